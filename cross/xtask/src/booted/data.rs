//! Content of the data partition of a board under test.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;

use crate::board::Board;
use crate::{image, run};

/// The files of a Debian package of the board's architecture.
pub(super) fn package_files(board: &Board, package: &str) -> Result<PathBuf, String> {
    let architecture = match board.target.as_str() {
        "armv7-unknown-linux-musleabihf" => "armhf",
        "aarch64-unknown-linux-musl" => "arm64",
        _ => "armel",
    };
    image::package_files(&format!("{package}:{architecture}"))
}

/// Path of a static busybox.
pub(super) fn busybox(board: &Board) -> Result<PathBuf, String> {
    Ok(package_files(board, "busybox-static")?.join("bin/busybox"))
}

/// Makes the directory: the configuration file of the tests, and a busybox as the shell of its services.
pub(super) fn make(board: &Board) -> Result<PathBuf, String> {
    let directory = board.directory().join("test-data");
    let failed = |error| format!("{}: {error}", directory.display());
    if directory.exists() {
        fs::remove_dir_all(&directory).map_err(failed)?;
    }
    let programs = directory.join("bin");
    fs::create_dir_all(&programs).map_err(failed)?;
    fs::copy(busybox(board)?, programs.join("busybox")).map_err(failed)?;
    fs::set_permissions(programs.join("busybox"), fs::Permissions::from_mode(0o755)).map_err(failed)?;
    symlink("busybox", programs.join("sh")).map_err(failed)?;
    let file = run::root().join("tests/system/booted/friendlet.toml");
    fs::copy(&file, directory.join("friendlet.toml"))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(directory)
}
