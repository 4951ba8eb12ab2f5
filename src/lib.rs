//! friendlet: service control for small ARM Linux boards over one secure WebSocket.
//!
//! The server supervises a fixed table of services. Clients start, stop and watch them by calls, which
//! arrive over WebSocket or HTTP in a form of Friend Core's protocol. The worst-case use of memory is known
//! when the program is built: each buffer, queue, string and time has a limit, and the state
//! machines of the server do not allocate after start-up.
//!
//! # Layers
//!
//! Lowest first. A module imports from the modules in its row, and from no others in the crate.
//! `tests/it/layers.rs` reads this table and compares the sources with it.
//!
//! | module | contents | imports |
//! |---|---|---|
//! | [`limits`] | capacities of the board built for | |
//! | [`wall_clock`] | time of day | |
//! | [`log`] | log macros, sinks and ring buffer | wall_clock, limits |
//! | [`help`] | texts of `--help` | |
//! | [`suggest`] | nearest-name hints for mistyped words | |
//! | [`stable_index`] | indexes of named entries over a reload | |
//! | [`mmap_buffer`] | buffers whose pages return to the system while empty | log |
//! | [`runtime`] | event loop: descriptors, timers, wakers | limits |
//! | [`json`] | JSON (RFC 8259) read and written in place | limits, log |
//! | [`ws`] | WebSocket (RFC 6455) over fixed buffers | mmap_buffer, limits, log |
//! | [`http`] | request head, form, responses, upgrade (RFC 9110, 9112) | limits, log |
//! | [`service`] | service table and supervisor | stable_index, limits, log |
//! | [`session`] | users, sessions, tokens, paired keys, lock-out | stable_index, limits, log |
//! | [`sntp`] | SNTP client (RFC 4330): messages and state machine | limits |
//! | [`dhcp`] | DHCP client (RFC 2131): messages and state machine | sntp, limits, log |
//! | [`syslog`] | messages for a log server (RFC 5424), and the sender of the lines that wait | wall_clock, limits, log |
//! | [`mdns`] | multicast DNS and service discovery (RFC 6762, 6763): messages, responder, browser | limits, log |
//! | [`backup`] | backup of a board outside the file system: its files and slots as bytes | limits |
//! | [`config`] | configuration file | wall_clock, suggest, dhcp, sntp, syslog, http, service, session, limits, log |
//! | [`call`] | values that pass between a transport and the api | service, session, limits, log |
//! | [`friendcore`] | Friend Core's messages: bytes to calls, outcomes to bytes | call, json, service, session, limits, log |
//! | [`rest`] | the API under `/api/v1`: resources, JSON bodies, problem details | call, friendcore, json, http, service, session, limits, log |
//! | [`api`] | calls: routing, rights, handlers | call, config, service, session, limits, log |
//! | [`connection`] | one connection as a state machine; slots, admission, eviction | api, call, rest, friendcore, json, http, ws, config, service, session, limits, log |
//! | [`sys`] | the operating system: processes, signals, clock, files, network of a board | dhcp, sntp, mdns, service, session, config, runtime, mmap_buffer, wall_clock, limits, log |
//! | [`net`] | sockets and TLS | connection, http, ws, runtime, mmap_buffer, wall_clock, limits, log |
//! | [`ctl`] | command-line client | sys, mdns, api, call, service, session, http, ws, json, suggest, help, wall_clock, limits, log |
//! | [`keeper`] | parent of the server and of all services: starts, signals and reaps processes | sys, service, session, runtime, limits, log |
//! | [`serve`] | the server: all of the above, joined | api, call, connection, keeper, net, sys, mdns, syslog, friendcore, json, http, ws, config, service, session, runtime, mmap_buffer, wall_clock, limits, log |
//! | [`init`] | process 1 of a board: mounts, modules, network, clock, watchdog, the server as its child | sys, backup, sntp, service, config, wall_clock, limits, log |
//! | [`cli`] | command line: `serve`, `init`, `check`, `passwd`, `limits`, `ctl` | api, call, connection, serve, init, ctl, keeper, net, sys, mdns, syslog, backup, friendcore, json, http, ws, config, dhcp, sntp, service, session, runtime, mmap_buffer, suggest, help, limits, log |
//! | `main` | entry point | cli |
//!
//! # State machines
//!
//! The modules from `json` to `connection` are sans-IO: bytes and `now` (the time since start) go in, bytes
//! and actions come out. They have no clock, no socket and no thread. `handle_..` processes an event,
//! `poll_..` returns the next output, `poll_timeout` the next deadline, and `handle_timeout` handles the
//! deadlines that have passed. [`net`] and [`sys`] connect the machines to sockets and processes, and
//! [`serve`] joins both in one event loop, [`runtime`].
//!
//! # Where to start
//!
//! | subject | start with |
//! |---|---|
//! | a message on its way through the server | [`serve`], [`connection::Server::received`], [`friendcore::decode`], [`api::handle`] |
//! | a call | its row in [`api::CALLS`] |
//! | a key of the configuration file | its row in [`config::schema`] |
//! | a limit | its entry in `limits!` of its module, or in `boards/base.toml`: [`limits`] |
//! | a service | [`service::Supervisor`] |
//!
//! `docs/architecture.md` follows a message and a key through these functions in order.

#![deny(unsafe_code)]

pub mod api;
pub mod backup;
pub mod call;
pub mod cli;
pub mod config;
pub mod connection;
pub mod ctl;
pub mod dhcp;
pub mod friendcore;
pub mod help;
pub mod http;
pub mod init;
pub mod json;
pub mod keeper;
pub mod limits;
pub mod log;
pub mod mdns;
pub mod mmap_buffer;
pub mod net;
pub mod rest;
pub mod runtime;
pub mod serve;
pub mod service;
pub mod session;
pub mod sntp;
pub mod stable_index;
pub mod suggest;
pub mod sys;
pub mod syslog;
pub mod wall_clock;
pub mod ws;
