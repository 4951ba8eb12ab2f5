//! What the device file says about one service.

use core::time::Duration;

use heapless::{String, Vec};

use super::{Full, NamedCommand, RestartPolicy, Signal, TextList};
use crate::limits;
use crate::service::STOP_TIMEOUT;

/// Name of a service or of one of its commands.
pub type Name = String<{ limits::SERVICE_NAME_BYTES }>;
/// A program and its arguments.
pub type Arguments = TextList<{ limits::SERVICE_ARGUMENT_BYTES }, { limits::SERVICE_ARGUMENTS }>;
/// Environment entries, `NAME=value`.
pub type Variables = TextList<{ limits::SERVICE_VARIABLE_BYTES }, { limits::SERVICE_VARIABLES }>;

/// One service as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spec {
    /// Name in calls; see [`is_service_name`].
    pub name: Name,
    /// One line for people.
    pub description: Option<String<{ limits::DESCRIPTION_BYTES }>>,
    /// Program and arguments; a program without a slash is looked up in `PATH`.
    pub argv: Arguments,
    /// Environment entries beyond the few that every service gets.
    pub env: Variables,
    /// Working directory; empty: the root directory.
    pub cwd: String<{ limits::FILE_PATH_BYTES }>,
    /// User to run as, by name, `uid` or `uid:gid`; empty: the server's own.
    pub user: String<{ limits::USER_NAME_BYTES }>,
    /// Whether it is started with the server, unless install or uninstall said otherwise since.
    pub autostart: bool,
    /// What to do when it exits by itself.
    pub restart: RestartPolicy,
    /// Services to be started before this one and stopped after it.
    pub after: Vec<Name, { limits::SERVICE_AFTER }>,
    /// Signal that asks it to end.
    pub stop_signal: Signal,
    /// How long it may take to end before it is killed.
    pub stop_timeout: Duration,
    /// What `command` offers beside the verbs.
    pub commands: Vec<NamedCommand, { limits::SERVICE_COMMANDS }>,
    /// HTML that `getwebgui` answers.
    pub webgui: Option<String<{ limits::WEBGUI_BYTES }>>,
}

impl Default for Spec {
    /// A nameless service with the device file's defaults: not started by itself, never restarted,
    /// ended by `TERM` within 10 s.
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
    /// A service with the defaults.
    ///
    /// # Errors
    /// [`Full`] when the name or the arguments are over their limits.
    pub fn new(name: &str, argv: &[&str]) -> Result<Self, Full> {
        let mut spec = Self { name: Name::try_from(name).map_err(|_| Full)?, ..Self::default() };
        for argument in argv {
            spec.argv.push(argument)?;
        }
        Ok(spec)
    }

    /// The command of this name.
    pub fn command(&self, name: &str) -> Option<&NamedCommand> {
        self.commands.iter().find(|command| command.name == name)
    }
}

/// Whether a service may have this name: ASCII letters, digits, `-`, `_`, `.` and `@`, and a letter
/// or digit in front. So a name needs no escaping in a path, in JSON or in a file.
pub fn is_service_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::super::What;
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
    fn name_meets_its_limit_and_not_more() {
        let name = "n".repeat(limits::SERVICE_NAME_BYTES);
        assert!(Spec::new(&name, &["x"]).is_ok());
        assert_eq!(Spec::new(&(name + "n"), &["x"]), Err(Full));
    }

    #[test]
    fn arguments_meet_their_limits_and_not_more() {
        let most = std::vec!["a"; limits::SERVICE_ARGUMENTS];
        assert_eq!(Spec::new("x", &most).unwrap().argv.len(), limits::SERVICE_ARGUMENTS);
        let more = std::vec!["a"; limits::SERVICE_ARGUMENTS + 1];
        assert_eq!(Spec::new("x", &more), Err(Full));
        let long = "a".repeat(limits::SERVICE_ARGUMENT_BYTES);
        assert!(Spec::new("x", &[&long]).is_ok());
        assert_eq!(Spec::new("x", &[&long, "b"]), Err(Full));
    }

    #[test]
    fn variables_meet_their_limits_and_not_more() {
        let mut spec = Spec::default();
        for _ in 0..limits::SERVICE_VARIABLES {
            spec.env.push("A=1").unwrap();
        }
        assert_eq!(spec.env.push("A=1"), Err(Full));
        let mut spec = Spec::default();
        spec.env.push(&"A".repeat(limits::SERVICE_VARIABLE_BYTES)).unwrap();
        assert_eq!(spec.env.push("B"), Err(Full));
    }

    #[test]
    fn commands_meet_their_limit_and_are_found() {
        let mut spec = Spec::default();
        for index in 0..limits::SERVICE_COMMANDS {
            let name = Name::try_from(format!("c{index}").as_str()).unwrap();
            spec.commands.push(NamedCommand { name, what: What::Signal(Signal::Hup) }).unwrap();
        }
        let more = NamedCommand { name: Name::new(), what: What::Signal(Signal::Hup) };
        assert!(spec.commands.push(more).is_err());
        assert_eq!(spec.command("c1").unwrap().name, "c1");
        assert!(spec.command("d").is_none());
    }
}
