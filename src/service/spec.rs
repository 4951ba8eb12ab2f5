//! Specification of one service.

use core::time::Duration;

use heapless::{String, Vec};

use super::string_array::{Arguments, Name, Variables};
use super::{CapacityError, NamedCommand, RestartPolicy, STOP_TIMEOUT, Signal};
use crate::limits;

/// Service as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spec {
    /// Name in calls; see [`is_service_name`].
    pub name: Name,
    /// One line for people.
    pub description: Option<String<{ limits::DESCRIPTION_BYTES }>>,
    /// Program and arguments. A program without a slash is searched in `PATH`.
    pub argv: Arguments,
    /// Environment entries in addition to those of every service.
    pub env: Variables,
    /// Working directory; empty: the root directory.
    pub cwd: String<{ limits::FILE_PATH_BYTES }>,
    /// User to run as, by name, `uid` or `uid:gid`; empty: the server's own.
    pub user: String<{ limits::USER_NAME_BYTES }>,
    /// True to start the service with the server. `install` and `uninstall` override it.
    pub autostart: bool,
    /// Reaction to an exit of its own.
    pub restart: RestartPolicy,
    /// Services that start before this one and stop after it.
    pub after: Vec<Name, { limits::SERVICE_AFTER }>,
    /// Signal that requests termination.
    pub stop_signal: Signal,
    /// Time between the stop signal and `KILL`.
    pub stop_timeout: Duration,
    /// Named commands, offered by the call `command`.
    pub commands: Vec<NamedCommand, { limits::SERVICE_COMMANDS }>,
    /// HTML that `getwebgui` returns.
    pub webgui: Option<String<{ limits::WEBGUI_BYTES }>>,
}

impl Default for Spec {
    /// Service with the defaults of the configuration file and without a name: not started with the
    /// server, never restarted, stopped by `TERM` within 10 s.
    fn default() -> Self {
        Self {
            name: Name::new(),
            description: None,
            argv: Arguments::new(),
            env: Variables::new(),
            cwd: String::new(),
            user: String::new(),
            autostart: false,
            restart: RestartPolicy::Never,
            after: Vec::new(),
            stop_signal: Signal::Term,
            stop_timeout: STOP_TIMEOUT,
            commands: Vec::new(),
            webgui: None,
        }
    }
}

impl Spec {
    /// Service with the defaults.
    ///
    /// # Errors
    /// [`CapacityError`] when the name or the arguments exceed their limits.
    pub fn new(name: &str, argv: &[&str]) -> Result<Self, CapacityError> {
        let mut spec = Self { name: Name::try_from(name).map_err(|_| CapacityError)?, ..Self::default() };
        for argument in argv {
            spec.argv.push(argument)?;
        }
        Ok(spec)
    }

    /// Returns the command with this name.
    pub fn command(&self, name: &str) -> Option<&NamedCommand> {
        self.commands.iter().find(|command| command.name == name)
    }
}

/// Returns true for a valid service name: ASCII letters, digits, `-`, `_`, `.` and `@`, with a letter
/// or digit first. Such a name needs no escaping in a path, in JSON or in a file.
pub fn is_service_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::super::CommandAction;
    use super::*;

    #[test]
    fn names() {
        for name in ["hello", "a", "web-1.local_x@y", "0"] {
            assert!(is_service_name(name), "{name}");
        }
        for name in ["", "-a", ".", "a b", "a/b", "a\"", "é", "a\n"] {
            assert!(!is_service_name(name), "{name}");
        }
    }

    #[test]
    fn name_up_to_its_limit() {
        let name = "n".repeat(limits::SERVICE_NAME_BYTES);
        assert!(Spec::new(&name, &["x"]).is_ok());
        assert_eq!(Spec::new(&(name + "n"), &["x"]), Err(CapacityError));
    }

    #[test]
    fn arguments_up_to_their_limits() {
        let most = std::vec!["a"; limits::SERVICE_ARGUMENTS];
        assert_eq!(Spec::new("x", &most).unwrap().argv.len(), limits::SERVICE_ARGUMENTS);
        let more = std::vec!["a"; limits::SERVICE_ARGUMENTS + 1];
        assert_eq!(Spec::new("x", &more), Err(CapacityError));
        let long = "a".repeat(limits::SERVICE_ARGUMENT_BYTES);
        assert!(Spec::new("x", &[&long]).is_ok());
        assert_eq!(Spec::new("x", &[&long, "b"]), Err(CapacityError));
    }

    #[test]
    fn variables_up_to_their_limits() {
        let mut spec = Spec::default();
        for _ in 0..limits::SERVICE_VARIABLES {
            spec.env.push("A=1").unwrap();
        }
        assert_eq!(spec.env.push("A=1"), Err(CapacityError));
        let mut spec = Spec::default();
        spec.env.push(&"A".repeat(limits::SERVICE_VARIABLE_BYTES)).unwrap();
        assert_eq!(spec.env.push("B"), Err(CapacityError));
    }

    #[test]
    fn commands_up_to_their_limit() {
        let mut spec = Spec::default();
        for index in 0..limits::SERVICE_COMMANDS {
            let name = Name::try_from(format!("c{index}").as_str()).unwrap();
            spec.commands.push(NamedCommand { name, action: CommandAction::Signal(Signal::Hup) }).unwrap();
        }
        let more = NamedCommand { name: Name::new(), action: CommandAction::Signal(Signal::Hup) };
        assert!(spec.commands.push(more).is_err());
        assert_eq!(spec.command("c1").unwrap().name, "c1");
        assert!(spec.command("d").is_none());
    }
}
