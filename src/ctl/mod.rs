//! The command-line client: `friendlet ctl`.
//!
//! It speaks the envelope over one WebSocket, as Friend Core's own clients do; `login` and `logout`
//! are calls over HTTP. The parts, in the order in which they are used:
//!
//! | module | what it is |
//! |---|---|
//! | `arguments`, `url` | what is asked for, and of which server |
//! | `state` | what is remembered between runs: sessions and certificates |
//! | `connection`, `pin` | a socket, and the certificate behind it |
//! | `http` | one call by POST, and the upgrade |
//! | `link` | the socket after the upgrade: bind, call, pushes, chunks |
//! | `json`, `reply` | what a reply says |
//! | `action`, `board`, `log`, `watch` | the commands |
//! | `output`, `password` | the terminal |

mod action;
mod arguments;
mod board;
mod connection;
mod http;
mod json;
mod link;
mod log;
mod output;
mod password;
mod pin;
mod reply;
mod state;
#[cfg(test)]
mod tests;
mod url;
mod watch;

use core::time::Duration;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use self::arguments::Parsed;
pub use self::password::read_password;
use self::state::StateDir;

crate::limits::limits! {
    /// Pause of `ctl log --follow` between two calls.
    LOG_FOLLOW_STEP: Duration = Duration::from_millis(500), fixed "a pause of the client: one call follows";
}

/// The call failed.
const FAILED: u8 = 1;
/// `status`: the service does not run (LSB).
const NOT_RUNNING: u8 = 3;
/// The command line is wrong (`EX_USAGE`).
const USAGE: u8 = 64;
/// The server cannot be reached or takes nobody (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;
/// Not logged in, or without the right (`EX_NOPERM`).
const NO_RIGHT: u8 = 77;

/// Why a command did not do what it was to do.
#[derive(Debug, Eq, PartialEq)]
struct Failure {
    /// Exit code.
    code: u8,
    /// What, where, and what to do.
    text: String,
}

impl Failure {
    fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// What the client has of the world around it.
struct World<'w> {
    /// Where it remembers things.
    state: Result<StateDir, Failure>,
    /// `FRIENDLET_SESSION`.
    session: Option<String>,
    /// Results.
    out: &'w mut dyn Write,
    /// Everything else that is to be said.
    err: &'w mut dyn Write,
    /// Asks for a password.
    password: &'w mut dyn FnMut(&str) -> io::Result<String>,
    /// Whether people type it, and may mistype it.
    is_terminal: bool,
}

/// Runs `friendlet ctl` with the arguments behind `ctl`.
///
/// The exit code is 0 when all went well, 1 when the call failed, 3 when the service asked for with
/// `status` does not run, 64 for a wrong command line, 69 when the server cannot be reached, 77
/// without a session or the right.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut world = World {
        state: StateDir::of_user(),
        session: std::env::var("FRIENDLET_SESSION").ok().filter(|session| !session.is_empty()),
        out: &mut io::stdout(),
        err: &mut io::stderr(),
        password: &mut read_password,
        is_terminal: io::stdin().is_terminal(),
    };
    ExitCode::from(run_in(&mut world, arguments))
}

fn run_in(world: &mut World<'_>, arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let outcome = match arguments::parse(arguments) {
        Ok(Parsed::Help) => match world.out.write_all(arguments::HELP.as_bytes()) {
            Ok(()) => Ok(0),
            Err(error) => Err(output::unwritable(&error)),
        },
        Ok(Parsed::Run(invocation)) => action::run(&invocation, world),
        Err(failure) => Err(failure),
    };
    outcome.unwrap_or_else(|Failure { code, text }| {
        // Where standard error is closed there is nobody left to tell.
        let _ = writeln!(world.err, "friendlet ctl: {text}");
        code
    })
}
