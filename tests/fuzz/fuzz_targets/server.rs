//! The whole server, sans-IO, under a script of bytes: connections that come, speak, do not read and
//! go, passwords and commands that end, children that exit, time that passes. What it promises is
//! checked after every step; the unit tests run the same driver on random scripts.

#![no_main]

// The driver finds them at the root of its crate.
use friendlet::{self, service, session, ws};
use libfuzzer_sys::fuzz_target;

#[path = "../../../src/connection/tests/simulation.rs"]
mod chaos;

fuzz_target!(|bytes: &[u8]| chaos::run(bytes));
