//! The command-line client: `friendlet ctl`.
//!
//! It sends envelopes over one WebSocket, as Friend Core's own clients do; `login`, `logout`, `passwd`,
//! `reboot`, `poweroff` and `factory-reset` are calls over HTTP. Modules, lowest first:
//!
//! | module | contents |
//! |---|---|
//! | `failure`, `values`, `output`, `password` | exit codes; JSON; the terminal |
//! | `url`, `state`, `pin`, `pattern` | address of a server; files of the user; verification of a certificate; names |
//! | `env`, `help`, `arguments`, `servers` | environment and command line of a command, and the servers that it names |
//! | `reply` | content of a reply, and the failure that it reports |
//! | `connection`, `http`, `link` | a socket; a call by POST, the upgrade; the WebSocket after it |
//! | `client` | connections of a command to its server |
//! | `difference` | lines that differ between two texts |
//! | `discover` | servers on the network |
//! | `login`, `services`, `show`, `service_log`, `server_log`, `board`, `configuration`, `watch`, `call` | the commands |

mod arguments;
mod board;
mod call;
mod client;
mod configuration;
mod connection;
mod difference;
#[cfg(feature = "discover")]
mod discover;
mod env;
mod failure;
#[cfg(not(feature = "defmt"))]
mod frames;
mod help;
mod http;
mod link;
mod login;
mod output;
mod password;
mod pattern;
mod pin;
mod reply;
mod server_log;
mod servers;
mod service_log;
mod services;
mod sessions;
mod show;
mod socket;
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

use self::arguments::{Action, Arguments, Parsed};
use self::client::Invocation;
use self::env::{Env, Framed};
use self::failure::Failure;
use self::output::{Terminal, pad};
use self::password::read_answer;
pub use self::password::read_password;
use self::reply::NOT_LOGGED_IN;
use self::servers::Server;
use self::state::StateDir;
use self::values::{failure_object, member};

crate::limits::limits! {
    /// Format strings of a server's log.
    TEXTS_BYTES: usize = 256 * 1024, fixed "a bound of the client: those of a build have some 25 kB";
    /// Time of servers to reply to `ctl discover`.
    DISCOVER_TIME: Duration = Duration::from_secs(3), fixed "those that have replied are printed";
    /// Pause before its question is repeated.
    DISCOVER_REPEAT: Duration = Duration::from_secs(1), fixed "the next question";
    /// Servers that `ctl discover` prints.
    DISCOVERED: usize = 64, exceeded "the others are left out",
        tests ["servers_up_to_the_limit_are_found_each_once"];
    /// Pause of `ctl logs` and `ctl server-log` with `--follow` between two calls.
    LOG_FOLLOW_STEP: Duration = Duration::from_millis(500), fixed "a pause of the client: one call follows";
}

/// Runs `friendlet ctl` with the arguments behind `ctl`. Without an address it connects to `socket`, if that
/// exists. `docs/exit-codes.md` has the exit codes.
pub fn run(arguments: impl IntoIterator<Item = OsString>, socket: &Path) -> ExitCode {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    let mut env = Env {
        state: StateDir::of_user(),
        configuration: StateDir::of_configuration(),
        url: variable("FRIENDLET_URL"),
        session: variable("FRIENDLET_SESSION"),
        out: &mut io::stdout(),
        err: &mut io::stderr(),
        ask: &mut read_answer,
        is_terminal: io::stdin().is_terminal(),
        terminal: Terminal::of_output(),
        measure: Terminal::of_output,
    };
    ExitCode::from(run_in(&mut env, arguments, socket))
}

fn run_in(env: &mut Env<'_>, arguments: impl IntoIterator<Item = OsString>, socket: &Path) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // An error of the command line is an object too.
    let is_json = arguments.iter().any(|argument| argument == "--json");
    let outcome = match arguments::parse(arguments) {
        Ok(Parsed::Help(text)) => env.print(&text).map(|()| 0),
        Ok(Parsed::Run(arguments)) => run_on(&arguments, env, socket),
        Err(failure) => Err(failure),
    };
    report(outcome, is_json, env)
}

/// Returns the exit code, and prints the failure.
fn report(outcome: Result<u8, Failure>, is_json: bool, env: &mut Env<'_>) -> u8 {
    outcome.unwrap_or_else(|failure| {
        match failure_object(&failure) {
            // Without standard output, standard error is left.
            Ok(object) if is_json && env.print(&format!("{object}\n")).is_ok() => {}
            _ => env.note_failure(&failure),
        }
        failure.code
    })
}

/// Executes the command at each of its servers, one after the other; the exit code is the highest.
fn run_on(arguments: &Arguments, env: &mut Env<'_>, socket: &Path) -> Result<u8, Failure> {
    let Arguments { session, fingerprint, certificate, json, action, .. } = arguments;
    let mut words = arguments.servers.clone();
    let is_of_server = !matches!(action, Action::Discover);
    if let (Some(url), true) = (&env.url, words.is_empty() && is_of_server) {
        words.extend(url.split(',').map(str::to_owned));
    }
    let servers = servers::find(&words, env, socket)?;
    let execute = |server: &Server, env: &mut Env<'_>| {
        let (url, of_file) = server.address.clone()?;
        let invocation = Invocation {
            url,
            session: session.clone(),
            fingerprint: fingerprint.or(of_file),
            certificate: certificate.clone(),
            json: *json,
        };
        execute(&invocation, env, action)
    };
    if let [server] = servers.as_slice() {
        return execute(server, env);
    }
    let is_endless = match action {
        Action::Watch { .. } => true,
        Action::Logs { options, .. } | Action::ServerLog(options) => options.follow,
        _ => false,
    };
    if is_endless || session.is_some() || env.session.is_some() || fingerprint.is_some() {
        let text = "`watch`, --follow, --session, FRIENDLET_SESSION and --fingerprint are for one server; there are several";
        return Err(arguments::usage(text));
    }
    let width = servers.iter().map(|server| output::width(&server.name)).max().unwrap_or(0);
    let mut worst = 0;
    for server in &servers {
        let mut note = String::new();
        pad(&mut note, &server.name, width);
        let (begin, end) = match json {
            true => (format!("{{{}", member(&server.name, "")?), "}"),
            false => (note.clone(), ""),
        };
        let ask = &mut *env.ask;
        let terminal = env.terminal.map(|terminal| terminal.narrower(width + 2));
        let mut env = Env {
            state: env.state.clone(),
            configuration: env.configuration.clone(),
            url: None,
            session: None,
            out: &mut Framed { out: &mut *env.out, begin, end, is_open: false },
            err: &mut Framed { out: &mut *env.err, begin: note, end: "", is_open: false },
            ask: &mut |prompt, is_secret| ask(&format!("{}: {prompt}", server.name), is_secret),
            is_terminal: env.is_terminal,
            terminal,
            measure: env.measure,
        };
        let outcome = execute(server, &mut env);
        worst = worst.max(report(outcome, *json, &mut env));
    }
    Ok(worst)
}

/// Executes a command at a server and returns its exit code.
fn execute(invocation: &Invocation, env: &mut Env<'_>, action: &Action) -> Result<u8, Failure> {
    execute_action(invocation, env, action).map_err(|failure| match &invocation.certificate {
        Some(_) if failure.text.starts_with(NOT_LOGGED_IN) => {
            let text = format!(
                "{}, or pair this certificate: an administrator runs `friendlet ctl pair USER`, then you the same \
                 command line with `pair`",
                failure.text
            );
            failure.with_text(text)
        }
        _ => failure,
    })
}

fn execute_action(invocation: &Invocation, env: &mut Env<'_>, action: &Action) -> Result<u8, Failure> {
    match action {
        Action::Login { user } => login::login(invocation, env, user),
        Action::Logout => login::logout(invocation, env),
        Action::List => services::list(invocation, env),
        Action::Verb { verb, services, waits } => services::run(invocation, env, *verb, services, *waits),
        Action::Status { services } => services::status(invocation, env, services),
        Action::Show { service } => show::run(invocation, env, service),
        Action::Command { service, name } => services::command(invocation, env, service, name),
        Action::Logs { services, options } => service_log::run(invocation, env, services, options),
        Action::Watch { services } => watch::run(invocation, env, services),
        Action::Board => board::status(invocation, env),
        Action::ServerLog(options) => server_log::run(invocation, env, options),
        Action::Reload { is_trial } => board::reload(invocation, env, *is_trial),
        Action::Configuration(action) => configuration::run(invocation, env, action),
        Action::Upgrade => board::upgrade(invocation, env),
        Action::MarkGood => board::mark_good(invocation, env),
        Action::End(end) => board::end(invocation, env, *end),
        Action::Sessions { end } => sessions::run(invocation, env, end.as_deref()),
        Action::Pair { user, only } => sessions::pair(invocation, env, user.as_deref(), only.as_deref()),
        Action::Unlock { user } => board::unlock(invocation, env, user.as_deref()),
        Action::Passwd { user } => board::passwd(invocation, env, user.as_deref()),
        Action::Call { path, parameters } => call::run(invocation, env, path, parameters),
        Action::CompleteCalls => call::complete(env),
        #[cfg(feature = "discover")]
        Action::Discover => discover::run(env, invocation.json),
        #[cfg(not(feature = "discover"))]
        Action::Discover => Err(Failure::new(
            failure::UNAVAILABLE,
            "the program of a board cannot discover; run that of a PC",
        )),
    }
}
