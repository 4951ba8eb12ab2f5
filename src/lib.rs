//! friendlet: service control for small ARM Linux boards over one secure WebSocket.
//!
//! The layers, lowest first. A module imports from the modules named in its row and from nowhere else in
//! the crate. `tests/it/layers.rs` reads this table and holds the sources to it.
//!
//! | module | contents | imports |
//! |---|---|---|
//! | [`limits`] | capacities of the board built for | |
//! | [`log`] | log macros, sinks and ring buffer | limits |
//! | [`suggest`] | nearest-name hints for mistyped words | |
//! | [`mmap_buffer`] | buffers whose pages return to the system while empty | log |
//! | [`runtime`] | event loop: descriptors, timers, wakers | limits |
//! | [`json`] | JSON (RFC 8259) read and written in place | limits, log |
//! | [`ws`] | WebSocket (RFC 6455) over fixed buffers | mmap_buffer, limits, log |
//! | [`http`] | request head, form, responses, upgrade (RFC 9110, 9112) | limits, log |
//! | [`service`] | service table and supervisor | limits, log |
//! | [`session`] | users, sessions, tokens, lock-out | limits, log |
//! | [`dhcp`] | DHCP client (RFC 2131): messages and state machine | limits, log |
//! | [`config`] | configuration file | suggest, dhcp, service, session, limits, log |
//! | [`call`] | values that pass between a transport and the api | service, session, limits |
//! | [`friendcore`] | Friend Core's messages: bytes to calls, outcomes to bytes | call, json, service, session, limits, log |
//! | [`api`] | calls: routing, rights, handlers | call, config, service, session, limits, log |
//! | [`connection`] | one TCP connection as a state machine; slots, admission, eviction | api, call, friendcore, json, http, ws, config, service, session, limits, log |
//! | [`sys`] | the operating system: processes, signals, clock, files, network of a board | dhcp, service, session, config, runtime, mmap_buffer, limits, log |
//! | [`net`] | sockets and TLS | connection, http, ws, runtime, mmap_buffer, limits, log |
//! | [`ctl`] | command-line client | api, call, http, json, suggest, limits, log |
//! | [`serve`] | the server: all of the above, joined | api, call, connection, net, sys, friendcore, json, http, ws, config, service, session, runtime, mmap_buffer, limits, log |
//! | [`init`] | process 1 of a board: mounts, modules, network, watchdog, the server as its child | sys, service, config, limits, log |
//! | [`cli`] | command line: `serve`, `init`, `check`, `passwd`, `limits`, `ctl` | api, call, connection, serve, init, ctl, net, sys, friendcore, json, http, ws, config, dhcp, service, session, runtime, mmap_buffer, limits, log |
//! | `main` | entry point | cli |
//!
//! The modules from `json` to `connection` are sans-IO: bytes and `now` (time since start) go in, bytes and actions come out,
//! `poll_timeout` says when to call again. They hold no clock, no socket and no thread, and
//! allocate nothing after start-up. `docs/architecture.md` follows one call through them.

#![deny(unsafe_code)]

pub mod api;
pub mod call;
pub mod cli;
pub mod config;
pub mod connection;
pub mod ctl;
pub mod dhcp;
pub mod friendcore;
pub mod http;
pub mod init;
pub mod json;
pub mod limits;
pub mod log;
pub mod mmap_buffer;
pub mod net;
pub mod runtime;
pub mod serve;
pub mod service;
pub mod session;
pub mod suggest;
pub mod sys;
pub mod ws;
