//! Command line of `friendlet`: parser, commands and exit codes.
//!
//! Each command is a module: `serve`, `check`, `import`, `passwd`, `notify`, `hello` and [`limits`]; [`init`](crate::init) and
//! [`ctl`](crate::ctl) are layers of their own. `load` finds and reads the configuration file.

mod arguments;
mod budget;
mod build_id;
mod check;
pub mod exit;
mod hello;
#[cfg(feature = "import")]
#[doc(hidden)]
pub mod import;
#[doc(hidden)]
pub mod limits;
pub mod load;
mod notify;
mod passwd;
mod serve;
mod state_dir;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

pub use budget::{Budget, Item};
pub use state_dir::{Environment, state_dir};

use crate::init::Settings;
use crate::log;

use arguments::Command;
use load::LoadError;

/// Placeholder for the table of exit codes in a text of `--help`.
const EXIT_CODES: &str = "EXIT-CODES\n";

/// Runs the program with these arguments, the name of the program first.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match arguments::parse(arguments) {
        Ok(command) => command,
        Err(error) => {
            log::print(format_args!("friendlet: {error}\nTry 'friendlet --help'.\n"));
            return exit::USAGE.into();
        }
    };
    match command {
        Command::Check(options) => check::run(&options),
        Command::Ctl(arguments) => {
            let socket = state_dir::socket_of_client(&Environment::of_this_process());
            crate::ctl::run(arguments.into_iter().map(OsString::from), &socket)
        }
        Command::Hello => hello::run(),
        Command::Help(text) => print(&text.to_string().replace(EXIT_CODES, &exit::help())),
        #[cfg(feature = "import")]
        Command::Import(files) => import::run(&files),
        #[cfg(not(feature = "import"))]
        Command::Import(_) => {
            let text = "the program of a board cannot import; run that of a PC";
            log::print(format_args!("friendlet: import: {text}\n"));
            exit::UNAVAILABLE.into()
        }
        Command::Init => crate::init::run(|file| {
            let config = load::load_with_fallback(file).config;
            Settings { network: config.network, devices: config.devices }
        }),
        Command::Limits => print(limits::text()),
        Command::Notify { datagram } => notify::run(&datagram),
        Command::Passwd { user } => passwd::run(&user),
        Command::Serve { config, falls_back } => serve::run(config.as_deref(), falls_back),
        Command::Version => print(&version()),
    }
}

/// Writes a text to standard output.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A reader that has closed its end has enough.
            if error.kind() != io::ErrorKind::BrokenPipe {
                let reason = log::Reason::from(&error);
                log::print(format_args!("friendlet: cannot write to standard output: {reason}\n"));
            }
            exit::IO.into()
        }
    }
}

/// Prints the errors of a configuration file.
fn refuse(error: &LoadError) -> ExitCode {
    match error {
        LoadError::Config(errors) => log::print(format_args!("{errors}\n")),
        LoadError::File(_) => log::print(format_args!("friendlet: {error}\n")),
    }
    error.exit_code()
}

fn version() -> String {
    let build = match build_id::of_this_program() {
        Some(id) => format!(", build {id}"),
        None => String::new(),
    };
    format!(
        "friendlet {} (board {}, {}{build})\n",
        env!("CARGO_PKG_VERSION"),
        crate::limits::BOARD,
        crate::limits::TARGET
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_names_the_board() {
        let version = version();
        let start = format!("friendlet {} (board {}, ", env!("CARGO_PKG_VERSION"), crate::limits::BOARD);
        assert!(version.starts_with(&start), "{version}");
        assert!(version.ends_with(")\n"), "{version}");
    }
}
