//! friendlet: see the library's documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    friendlet::cli::run(std::env::args_os())
}
