//! The command-line client: `friendlet ctl`.
//!
//! It sends envelopes over one WebSocket, as Friend Core's own clients do; `login`, `logout`, `passwd`,
//! `reboot`, `poweroff` and `factory-reset` are calls over HTTP. Modules, lowest first:
//!
//! | module | contents |
//! |---|---|
//! | `failure`, `values`, `output`, `password` | exit codes; JSON; the terminal |
//! | `url`, `state`, `pin` | address of a server; files of the state directory; verification of a certificate |
//! | `env`, `arguments` | environment and command line of a command |
//! | `reply` | content of a reply, and the failure that it reports |
//! | `connection`, `http`, `link` | a socket; a call by POST, the upgrade; the WebSocket after it |
//! | `client` | connections of a command to its server |
//! | `difference` | lines that differ between two texts |
//! | `login`, `services`, `show`, `service_log`, `server_log`, `board`, `configuration`, `watch`, `call` | the commands |

mod arguments;
mod board;
mod call;
mod client;
mod configuration;
mod connection;
mod difference;
mod env;
mod failure;
#[cfg(not(feature = "defmt"))]
mod frames;
mod http;
mod link;
mod login;
mod output;
mod password;
mod pin;
mod reply;
mod server_log;
mod service_log;
mod services;
mod sessions;
mod show;
mod state;
#[cfg(test)]
mod tests;
mod url;
mod values;
mod watch;

use core::time::Duration;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;

use self::arguments::{Action, Invocation, Parsed};
use self::env::Env;
use self::failure::Failure;
pub use self::password::read_password;
use self::state::StateDir;

crate::limits::limits! {
    /// Format strings of a server's log.
    TEXTS_BYTES: usize = 256 * 1024, fixed "a bound of the client: those of a build have some 25 kB";
    /// Pause of `ctl logs` and `ctl server-log` with `--follow` between two calls.
    LOG_FOLLOW_STEP: Duration = Duration::from_millis(500), fixed "a pause of the client: one call follows";
}

/// Runs `friendlet ctl` with the arguments behind `ctl`. Without an address it connects to `socket`, if that
/// exists.
///
/// The exit code is 0 on success, 1 if the call failed, 3 if the service of `status` does not run, 64 for
/// a command line error, 69 if the server cannot be reached, 77 without a session or the permission.
pub fn run(arguments: impl IntoIterator<Item = OsString>, socket: &Path) -> ExitCode {
    let mut env = Env {
        state: StateDir::of_user(),
        session: std::env::var("FRIENDLET_SESSION").ok().filter(|session| !session.is_empty()),
        out: &mut io::stdout(),
        err: &mut io::stderr(),
        password: &mut read_password,
        is_terminal: io::stdin().is_terminal(),
    };
    ExitCode::from(run_in(&mut env, arguments, socket))
}

fn run_in(env: &mut Env<'_>, arguments: impl IntoIterator<Item = OsString>, socket: &Path) -> u8 {
    let outcome = match arguments::parse(arguments, socket) {
        Ok(Parsed::Help) => env.print(arguments::HELP).map(|()| 0),
        Ok(Parsed::Run(invocation)) => execute(&invocation, env),
        Err(failure) => Err(failure),
    };
    outcome.unwrap_or_else(|Failure { code, text }| {
        env.note(format_args!("friendlet ctl: {text}"));
        code
    })
}

/// Executes a command and returns its exit code.
fn execute(invocation: &Invocation, env: &mut Env<'_>) -> Result<u8, Failure> {
    match &invocation.action {
        Action::Login { user } => login::login(invocation, env, user),
        Action::Logout => login::logout(invocation, env),
        Action::List => services::list(invocation, env),
        Action::Verb { verb, service } => services::run(invocation, env, verb, service),
        Action::Status { service: Some(service) } => services::status(invocation, env, service),
        Action::Status { service: None } => services::status_of_all(invocation, env),
        Action::Show { service } => show::run(invocation, env, service),
        Action::Command { service, name } => services::command(invocation, env, service, name),
        Action::Logs { service, options } => service_log::run(invocation, env, service, options),
        Action::Watch { service } => watch::run(invocation, env, service.as_deref()),
        Action::Board => board::status(invocation, env),
        Action::ServerLog(options) => server_log::run(invocation, env, options),
        Action::Reload { is_trial } => board::reload(invocation, env, *is_trial),
        Action::Configuration(action) => configuration::run(invocation, env, action),
        Action::Upgrade => board::upgrade(invocation, env),
        Action::MarkGood => board::mark_good(invocation, env),
        Action::End(end) => board::end(invocation, env, *end),
        Action::Sessions { end } => sessions::run(invocation, env, end.as_deref()),
        Action::Unlock { user } => board::unlock(invocation, env, user.as_deref()),
        Action::Passwd { user } => board::passwd(invocation, env, user.as_deref()),
        Action::Call { path, parameters } => call::run(invocation, env, path, parameters),
        Action::CompleteCalls => call::complete(env),
    }
}
