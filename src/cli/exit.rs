//! Exit codes: those of `sysexits.h`. `friendlet --help` tells them.

use std::process::ExitCode;

/// The command line is wrong (`EX_USAGE`).
pub(super) fn usage() -> ExitCode {
    ExitCode::from(64)
}

/// What was typed in cannot be used (`EX_DATAERR`).
pub(super) fn data() -> ExitCode {
    ExitCode::from(65)
}

/// The file is not there (`EX_NOINPUT`).
pub(super) fn no_input() -> ExitCode {
    ExitCode::from(66)
}

/// The system refuses something it should not (`EX_OSERR`).
pub(super) fn system() -> ExitCode {
    ExitCode::from(71)
}

/// Something cannot be read or written (`EX_IOERR`).
pub(super) fn io() -> ExitCode {
    ExitCode::from(74)
}

/// A right is missing (`EX_NOPERM`).
pub(super) fn no_permission() -> ExitCode {
    ExitCode::from(77)
}

/// The device file is wrong (`EX_CONFIG`).
pub(super) fn config() -> ExitCode {
    ExitCode::from(78)
}
