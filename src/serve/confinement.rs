//! The sandbox of the server: the directories that it writes in, and what is in force.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use super::change::follow;
use super::{ReloadFiles, own_files};
use crate::config::Config;
use crate::service::ServiceTable;
use crate::sys::sandbox::Sandbox;
use crate::sys::state_file::{Notices, is_link};
use crate::{info, warning};

/// Confinement of a server.
pub(super) struct Confinement {
    /// `None`: its configuration file forbids that.
    sandbox: Option<Sandbox>,
    /// Directories that it writes in.
    directories: Vec<PathBuf>,
}

impl Confinement {
    /// Confines the server.
    pub(super) fn enter(
        config: &Config,
        files: &ReloadFiles,
        state_dir: &Path,
        socket: Option<&Path>,
        keeper: BorrowedFd<'_>,
    ) -> Self {
        let directories = directories(config, files, state_dir, socket);
        let is_wanted = !config.board.has_no_sandbox;
        let enter = || Sandbox::enter(directories.clone(), &config.board.user, keeper);
        Self { sandbox: is_wanted.then(enter), directories }
    }

    /// Logs what is in force, and what is not. Returns the former. What kernel and system lack is a fact of the board, any
    /// other reason a notice for administrators.
    pub(super) fn report(&self, notices: &mut Notices) -> String {
        let Some(sandbox) = &self.sandbox else {
            warning!("no sandbox, because [board] sandbox is false");
            return String::new();
        };
        for missing in sandbox.missing() {
            if missing.is_of_system() {
                info!("{}", missing);
                continue;
            }
            warning!("{}", missing);
            if !missing.is_of_kernel() {
                notices.push(missing.to_string());
            }
        }
        if sandbox.is_incomplete() {
            let text =
                "sandbox: a directory does not answer: writes there fail until the server is started again";
            warning!("{}", text);
            notices.push(text.to_owned());
        }
        let in_force = sandbox.in_force();
        info!("sandbox: {}", in_force.as_str());
        in_force
    }

    /// Returns true if the server can write the output of all these services.
    pub(super) fn covers(&self, services: &ServiceTable) -> bool {
        let is_covered = |file: &Path| self.directories.iter().any(|directory| file.starts_with(directory));
        !self.sandbox.as_ref().is_some_and(Sandbox::confines_files) || outputs(services).all(is_covered)
    }
}

/// Lines about the sandbox that a server with this configuration has on this machine.
pub fn preview_sandbox(config: &Config) -> String {
    if config.board.has_no_sandbox {
        return "sandbox: none, because [board] sandbox is false\n".to_owned();
    }
    let sandbox = Sandbox::preview(&config.board.user);
    let missing: String = sandbox.missing().map(|missing| format!("{missing}\n")).collect();
    format!("sandbox: {}\n{missing}", sandbox.in_force())
}

/// Directories that the server writes in: of its state, its local socket and its configuration file, and of the files of
/// its log and of the output of services.
fn directories(
    config: &Config,
    files: &ReloadFiles,
    state_dir: &Path,
    socket: Option<&Path>,
) -> Vec<PathBuf> {
    let target = follow(&files.config);
    let files = [&*files.config, &target].into_iter().chain(socket).chain(files_of(config));
    core::iter::once(state_dir.to_owned()).chain(linked(state_dir)).chain(files.map(directory)).collect()
}

/// Directories where links of the state lead, and with them a write of it. One that is missing is not made: its medium is
/// not mounted.
fn linked(state_dir: &Path) -> impl Iterator<Item = PathBuf> {
    let target = |name: &str| {
        let path = state_dir.join(name);
        is_link(&path).then(|| follow(&path))
    };
    let files = own_files::STATE.map(|name| target(name).map(|file| directory(&file)));
    files.into_iter().chain([target("tls")]).flatten().filter(|directory| directory.is_dir())
}

/// Files of the log and of the output of services.
fn files_of(config: &Config) -> impl Iterator<Item = &Path> {
    let logs = [&config.log_files, &config.audit_files].map(|files| files.file.as_str());
    logs.into_iter().filter(|file| !file.is_empty()).map(Path::new).chain(outputs(&config.services))
}

/// Files of the output of services.
fn outputs(services: &ServiceTable) -> impl Iterator<Item = &Path> {
    services.iter().filter_map(|(_, spec)| Some(Path::new(spec.output.as_ref()?.path.as_str())))
}

/// Directory of a file.
fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    }
}
