//! `friendlet serve`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::load::{self, Loaded};
use super::place::{Environment, state_dir};
use super::refuse;
use crate::config::Config;
use crate::serve::{self, Start, StartError};

/// Runs the server with the device file at `config`, or the one in its usual place. With `falls_back`,
/// one that cannot be used gives way to its last good copy, and that to the board's own.
pub(super) fn run(config: Option<&Path>, falls_back: bool) -> ExitCode {
    if falls_back {
        return run_falling_back(load::load_falling_back(config.unwrap_or(Path::new(load::DEFAULT_PATH))));
    }
    match load::load(config) {
        Ok((config, _)) => finish(serve(config, None)),
        Err(error) => refuse(&error),
    }
}

/// Each of the files is tried at most once, and none when another would not help.
fn run_falling_back(mut loaded: Loaded) -> ExitCode {
    loop {
        // Whatever the file wants to be logged: this has to be said.
        crate::log::set_level(crate::log::Level::Error);
        if let Some(complaint) = &loaded.complaint {
            crate::error!("{}", complaint);
        }
        let (config, good_copy, next) = loaded.into_parts();
        match serve(config, good_copy) {
            Err(error) if error.is_of_the_file() => match next.after(&error) {
                Some(next) => loaded = next,
                None => return finish(Err(error)),
            },
            outcome => return finish(outcome),
        }
    }
}

fn serve(config: Config, good_copy: Option<(PathBuf, String)>) -> Result<(), StartError> {
    let state_dir = state_dir(&config, &Environment::of_this_process());
    serve::run(Start { config, state_dir, good_copy })
}

/// Tells why the server did not start.
fn finish(outcome: Result<(), StartError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("friendlet: {error}");
            ExitCode::from(error.code())
        }
    }
}
