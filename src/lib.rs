//! friendlet: service control for small ARM Linux boards over one secure WebSocket.
//!
//! The layers, lowest first. A layer knows only those below it, and of its own row nothing;
//! `tests/it/layers.rs` holds this table.
//!
//! | layer | module | what it is |
//! |---|---|---|
//! | L0 | [`limits`] | every bound of the program, by name |
//! | L0 | [`log`] | the log's macros, its two sinks and its ring |
//! | L0 | [`pages`] | memory that goes back to the system while it is empty |
//! | L0 | [`runtime`] | the loop under the tasks: descriptors, timers, wakers |
//! | L1 | [`proto`] | Friend Core's messages: bytes to values and back |
//! | L1 | [`ws`] | RFC 6455 over fixed buffers |
//! | L1 | [`http`] | request head, form, responses, upgrade |
//! | L1 | [`service`] | the service table and its supervisor |
//! | L1 | [`session`] | users, sessions, tokens, lock-out |
//! | L1 | [`dhcp`] | a DHCP client: messages and its state machine |
//! | L2 | [`config`] | the device file |
//! | L2 | [`slot`] | fixed connection slots: one state machine each, and the dispatch of calls |
//! | L3 | [`sys`] | processes, signals, clock, files, a board's network: the only place that calls the system |
//! | L3 | [`net`] | sockets, TLS, timers: the only place that awaits the network |
//! | L3 | [`ctl`] | the command-line client |
//! | L4 | [`serve`] | the server: everything above, joined |
//! | L4 | [`init`] | PID 1 of a board: mounts, modules, network, watchdog, and the server as its child |
//! | L4 | [`cli`] | the command line: `serve`, `init`, `check`, `passwd`, `limits`, `ctl` |
//!
//! L1 and L2 are sans-IO: bytes and `now` (time since start) go in, bytes and actions come out,
//! `poll_timeout` says when to call again. They hold no clock, no socket and no thread, and
//! allocate nothing after start-up. A call's way through them is told in `docs/architecture.md`.

#![deny(unsafe_code)]

pub mod cli;
pub mod config;
pub mod ctl;
pub mod dhcp;
pub mod http;
pub mod init;
pub mod limits;
pub mod log;
pub mod net;
pub mod pages;
pub mod proto;
pub mod runtime;
pub mod serve;
pub mod service;
pub mod session;
pub mod slot;
pub mod sys;
pub mod ws;
