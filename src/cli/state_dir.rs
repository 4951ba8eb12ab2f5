//! State directory and local socket of the server.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::config::{Config, LocalSocket};

const SYSTEM_DIR: &str = "/var/lib/friendlet";
const SYSTEM_SOCKET: &str = "/run/friendlet/ctl";
/// Name of the local socket in another directory.
const SOCKET: &str = "ctl";

/// Environment of the process that determines the state directory and the local socket.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `$HOME`.
    pub home: Option<OsString>,
    /// The server runs as root.
    pub is_root: bool,
    /// `$STATE_DIRECTORY`, which systemd sets.
    pub state_directory: Option<OsString>,
    /// `$XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<OsString>,
    /// `$XDG_STATE_HOME`.
    pub xdg_state_home: Option<OsString>,
}

impl Environment {
    /// Environment of this process.
    pub fn of_this_process() -> Self {
        Self {
            home: std::env::var_os("HOME"),
            is_root: rustix::process::geteuid().is_root(),
            state_directory: std::env::var_os("STATE_DIRECTORY"),
            xdg_runtime_dir: std::env::var_os("XDG_RUNTIME_DIR"),
            xdg_state_home: std::env::var_os("XDG_STATE_HOME"),
        }
    }
}

/// Returns the path of the local socket: `[listen] socket`, else [`default_socket`]. `None`: there is none.
pub(super) fn socket(config: &Config, environment: &Environment) -> Option<PathBuf> {
    match &config.listen.socket {
        LocalSocket::Off => None,
        LocalSocket::At(path) => Some(PathBuf::from(path.as_str())),
        LocalSocket::Default => Some(default_socket(environment, &state_dir(config, environment))),
    }
}

/// Returns the path of a local socket that no file names: `/run/friendlet/ctl`, for an unprivileged user
/// `$XDG_RUNTIME_DIR/friendlet/ctl`, else `ctl` in the state directory.
fn default_socket(environment: &Environment, state_dir: &Path) -> PathBuf {
    if environment.is_root {
        return PathBuf::from(SYSTEM_SOCKET);
    }
    match absolute(&environment.xdg_runtime_dir) {
        Some(directory) => directory.join("friendlet").join(SOCKET),
        None => state_dir.join(SOCKET),
    }
}

/// Returns the path at which a client of this user finds the local socket.
pub(super) fn socket_of_client(environment: &Environment) -> PathBuf {
    default_socket(environment, &default_state_dir(environment))
}

/// Returns the state directory: `[state] dir`, else that of the environment.
pub fn state_dir(config: &Config, environment: &Environment) -> PathBuf {
    if config.state_dir.is_empty() {
        default_state_dir(environment)
    } else {
        PathBuf::from(config.state_dir.as_str())
    }
}

/// Returns the state directory that no file names: `$STATE_DIRECTORY`, else for an unprivileged user the
/// directory of the XDG Base Directory Specification, else `/var/lib/friendlet`.
fn default_state_dir(environment: &Environment) -> PathBuf {
    if let Some(list) = &environment.state_directory {
        // A list separated by colons, of which friendlet needs one.
        let first = list.as_bytes().split(|byte| *byte == b':').next().unwrap_or(list.as_bytes());
        let first = PathBuf::from(OsString::from_vec(first.to_owned()));
        if first.is_absolute() {
            return first;
        }
    }
    if environment.is_root {
        return PathBuf::from(SYSTEM_DIR);
    }
    absolute(&environment.xdg_state_home)
        .or_else(|| absolute(&environment.home).map(|home| home.join(".local/state")))
        .map_or_else(|| PathBuf::from(SYSTEM_DIR), |state| state.join("friendlet"))
}

fn absolute(path: &Option<OsString>) -> Option<PathBuf> {
    path.clone().map(PathBuf::from).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socket_is_that_of_the_file_of_root_or_of_the_user() {
        let socket_of = |file: &str, environment: &Environment| {
            let config = crate::config::parse(file, "f", "/bin/friendlet").unwrap();
            socket(&config, environment).map(|path| path.to_str().unwrap().to_owned())
        };
        let mut environment = Environment {
            home: Some("/home/a".into()),
            is_root: true,
            xdg_runtime_dir: Some("/run/user/1".into()),
            ..Environment::default()
        };
        assert_eq!(socket_of("", &environment).as_deref(), Some("/run/friendlet/ctl"));
        environment.is_root = false;
        assert_eq!(socket_of("", &environment).as_deref(), Some("/run/user/1/friendlet/ctl"));
        assert_eq!(socket_of("[listen]\nsocket = '/a/b'", &environment).as_deref(), Some("/a/b"));
        assert_eq!(socket_of("[listen]\nsocket = 'off'", &environment), None);
        environment.xdg_runtime_dir = Some("relative".into());
        let path = "/home/a/.local/state/friendlet/ctl";
        assert_eq!(socket_of("", &environment).as_deref(), Some(path));
        assert_eq!(socket_of("[state]\ndir = '/data'", &environment).as_deref(), Some("/data/ctl"));
        assert_eq!(socket_of_client(&environment), Path::new(path));
    }

    fn dir_of(dir: &str, environment: &Environment) -> String {
        let config = crate::config::parse(&format!("[state]\ndir = '{dir}'"), "f", "/bin/friendlet").unwrap();
        state_dir(&config, environment).to_str().unwrap().to_owned()
    }

    #[test]
    fn file_precedes_systemd_and_the_home_directory() {
        let mut environment = Environment {
            home: Some("/home/a".into()),
            is_root: false,
            state_directory: Some("/var/lib/private/friendlet:/var/lib/b".into()),
            xdg_runtime_dir: None,
            xdg_state_home: Some("/home/a/state".into()),
        };
        assert_eq!(dir_of("/data", &environment), "/data");
        assert_eq!(dir_of("", &environment), "/var/lib/private/friendlet");
        environment.state_directory = None;
        assert_eq!(dir_of("", &environment), "/home/a/state/friendlet");
        environment.xdg_state_home = None;
        assert_eq!(dir_of("", &environment), "/home/a/.local/state/friendlet");
        environment.home = None;
        assert_eq!(dir_of("", &environment), "/var/lib/friendlet");
    }

    #[test]
    fn root_uses_the_directory_of_the_system() {
        let environment = Environment {
            home: Some("/root".into()),
            is_root: true,
            state_directory: None,
            xdg_runtime_dir: None,
            xdg_state_home: Some("/home/anna/state".into()),
        };
        assert_eq!(dir_of("", &environment), "/var/lib/friendlet");
    }

    #[test]
    fn relative_and_empty_variables_are_ignored() {
        let environment = Environment {
            home: Some("/home/a".into()),
            is_root: false,
            state_directory: Some("".into()),
            xdg_runtime_dir: None,
            xdg_state_home: Some("state".into()),
        };
        assert_eq!(dir_of("", &environment), "/home/a/.local/state/friendlet");
    }
}
