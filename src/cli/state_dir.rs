//! State directory of the server.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use crate::config::Config;

const SYSTEM_DIR: &str = "/var/lib/friendlet";

/// Environment of the process that determines the state directory.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `$HOME`.
    pub home: Option<OsString>,
    /// The server runs as root.
    pub is_root: bool,
    /// `$STATE_DIRECTORY`, which systemd sets.
    pub state_directory: Option<OsString>,
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
            xdg_state_home: std::env::var_os("XDG_STATE_HOME"),
        }
    }
}

/// Returns the state directory: `[state] dir`, else `$STATE_DIRECTORY`, else for an unprivileged user the
/// directory of the XDG Base Directory Specification, else `/var/lib/friendlet`.
pub fn state_dir(config: &Config, environment: &Environment) -> PathBuf {
    if !config.state_dir.is_empty() {
        return PathBuf::from(config.state_dir.as_str());
    }
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
    let absolute =
        |path: &Option<OsString>| path.clone().map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(&environment.xdg_state_home)
        .or_else(|| absolute(&environment.home).map(|home| home.join(".local/state")))
        .map_or_else(|| PathBuf::from(SYSTEM_DIR), |state| state.join("friendlet"))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            xdg_state_home: Some("state".into()),
        };
        assert_eq!(dir_of("", &environment), "/home/a/.local/state/friendlet");
    }
}
