//! `friendlet hello`: the built-in service, which writes a line a second.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::exit;

/// Writes lines until standard output is closed. `TERM` ends it by its default action.
pub(super) fn run() -> ExitCode {
    let mut out = io::stdout().lock();
    for second in 0_u64.. {
        if writeln!(out, "hello, {second} s").and_then(|()| out.flush()).is_err() {
            break;
        }
        thread::sleep(Duration::from_secs(1));
    }
    exit::IO.into()
}
