//! Exit codes: those of `sysexits.h`. `friendlet --help` tells them.

use std::process::ExitCode;

/// The command line is wrong (`EX_USAGE`).
pub fn usage() -> ExitCode {
    ExitCode::from(64)
}

/// What was typed in cannot be used (`EX_DATAERR`).
pub fn data() -> ExitCode {
    ExitCode::from(65)
}

/// The file is not there (`EX_NOINPUT`).
pub fn no_input() -> ExitCode {
    ExitCode::from(66)
}

/// The system refuses something it should not (`EX_OSERR`).
pub fn system() -> ExitCode {
    ExitCode::from(71)
}

/// A file or folder cannot be made (`EX_CANTCREAT`).
pub fn cannot_create() -> ExitCode {
    ExitCode::from(73)
}

/// Something cannot be read or written (`EX_IOERR`).
pub fn io() -> ExitCode {
    ExitCode::from(74)
}

/// A right is missing (`EX_NOPERM`).
pub fn no_permission() -> ExitCode {
    ExitCode::from(77)
}

/// The device file is wrong (`EX_CONFIG`).
pub fn config() -> ExitCode {
    ExitCode::from(78)
}
