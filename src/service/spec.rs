//! Specification of one service.

use core::fmt;
use core::time::Duration;

use heapless::{String, Vec};

use super::exit::lack;
use super::spawn_error::Names;
use super::string_array::{Arguments, Name, Variables};
use super::{
    Attributes, BoardEnd, CapacityError, CommandAction, Conditions, Exit, LastExit, NamedCommand, OutputFile,
    PreStartFailure, Program, ReadyCheck, RestartPolicy, SERVICE_READY_TIMEOUT, STOP_TIMEOUT, SUCCESS_CODES,
    Schedule, Sent, ServiceKind, Signal, SpawnError,
};
use crate::limits;

/// Service as configured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spec {
    /// Name in calls; see [`is_service_name`].
    pub name: Name,
    /// One line for people.
    pub description: Option<String<{ limits::DESCRIPTION_BYTES }>>,
    /// Kind of the service.
    pub kind: ServiceKind,
    /// Program and arguments. A program without a slash is searched in `PATH`.
    pub argv: Arguments,
    /// Program and arguments that run before each start; empty: none.
    pub pre_start: Arguments,
    /// Those that run instead of the stop signal.
    pub stop_command: Arguments,
    /// Those that run after each end.
    pub finish: Arguments,
    /// Environment entries in addition to those of every service.
    pub env: Variables,
    /// Working directory; empty: the root directory.
    pub cwd: String<{ limits::FILE_PATH_BYTES }>,
    /// User to run as, by name, `uid` or `uid:gid`; empty: the server's own.
    pub user: String<{ limits::USER_NAME_BYTES }>,
    /// Priorities, limits and groups, which the keeper's child sets before exec.
    pub attributes: Attributes,
    /// True to start the service with the server. `install` and `uninstall` override it.
    pub autostart: bool,
    /// The system of a slot is not marked good without it.
    pub is_required: bool,
    /// Reaction to an exit of its own.
    pub restart: RestartPolicy,
    /// Short runs in a row after which it is not restarted any more; 0: no limit.
    pub start_limit: u32,
    /// End of the board when it has failed and is not restarted any more.
    pub on_failure: Option<BoardEnd>,
    /// End of the board when it has ended well on its own and is not restarted.
    pub on_success: Option<BoardEnd>,
    /// Exit codes that count as success.
    pub success_codes: Vec<u8, SUCCESS_CODES>,
    /// Times at which it runs.
    pub schedule: Schedule,
    /// Services that this one needs: they start before it and with it, and it fails and stops with them.
    pub requires: Vec<Name, { limits::SERVICE_AFTER }>,
    /// Conditions that are met before it starts.
    pub wait: Conditions,
    /// Those that are met while it runs: it stops when one is not, and starts again when all are.
    pub needs: Conditions,
    /// Sign that the service is ready.
    pub ready: ReadyCheck,
    /// Time to become ready, after which other services do not wait any more.
    pub ready_timeout: Duration,
    /// Longest time between two reports of a service that runs; `None` without a watchdog.
    pub watchdog: Option<Duration>,
    /// Longest time of a run, which then counts as a failed one; `None`: any.
    pub max_runtime: Option<Duration>,
    /// Services that start before this one and stop after it.
    pub after: Vec<Name, { limits::SERVICE_AFTER }>,
    /// Signal that requests termination.
    pub stop_signal: Signal,
    /// Time between the stop signal and `KILL`.
    pub stop_timeout: Duration,
    /// Named commands, offered by the call `command`.
    pub commands: Vec<NamedCommand, { limits::SERVICE_COMMANDS }>,
    /// Files that keep its output; `None`: none do.
    pub output: Option<OutputFile>,
    /// Its output goes to the log server, if there is one.
    pub is_sent: Sent,
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
            kind: ServiceKind::Simple,
            argv: Arguments::new(),
            pre_start: Arguments::new(),
            stop_command: Arguments::new(),
            finish: Arguments::new(),
            env: Variables::new(),
            cwd: String::new(),
            user: String::new(),
            attributes: Attributes::default(),
            autostart: false,
            is_required: false,
            restart: RestartPolicy::Never,
            start_limit: 0,
            on_failure: None,
            on_success: None,
            success_codes: Vec::from_array([0]),
            schedule: Schedule::default(),
            requires: Vec::new(),
            wait: Conditions::new(),
            needs: Conditions::new(),
            ready: ReadyCheck::OfKind,
            ready_timeout: SERVICE_READY_TIMEOUT,
            watchdog: None,
            max_runtime: None,
            after: Vec::new(),
            stop_signal: Signal::Term,
            stop_timeout: STOP_TIMEOUT,
            commands: Vec::new(),
            output: None,
            is_sent: Sent(true),
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

    /// Returns true for an exit by a code that counts as success.
    pub fn is_success(&self, exit: Exit) -> bool {
        match exit {
            Exit::Code(code) => self.success_codes.iter().any(|success| i32::from(*success) == code),
            Exit::Signal { .. } => false,
        }
    }

    /// Returns true if the only sign of readiness is a run of some time.
    pub fn is_ready_after_run(&self) -> bool {
        self.kind == ServiceKind::Simple && self.ready == ReadyCheck::OfKind
    }

    /// Returns a program with its arguments; `None` if the service does not have it.
    pub fn program(&self, program: Program) -> Option<&Arguments> {
        let argv = match program {
            Program::Main => &self.argv,
            Program::PreStart => &self.pre_start,
            Program::Stop => &self.stop_command,
            Program::Finish => &self.finish,
            Program::Command(index) => match &self.commands.get(usize::from(index))?.action {
                CommandAction::Argv(argv) => argv,
                CommandAction::Signal { .. } => return None,
            },
            // Its table has it.
            Program::Check(_) => return None,
        };
        Some(argv).filter(|argv| !argv.is_empty())
    }

    /// Returns the command with this name.
    pub fn command(&self, name: &str) -> Option<&NamedCommand> {
        self.commands.iter().find(|command| command.name == name)
    }
}

impl LastExit {
    /// Exit in words, with the names of a service for a failed start or a required service.
    pub fn text(self, spec: &Spec) -> impl fmt::Display {
        EndText { end: self, spec }
    }
}

/// End of a service, with the names of its specification.
struct EndText<'s> {
    end: LastExit,
    spec: &'s Spec,
}

impl fmt::Display for EndText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            LastExit::Required { index, is_down } => {
                let name = self.spec.requires.get(usize::from(index)).map_or("?", |name| name.as_str());
                write!(f, "requires {name}, which {}", lack(is_down))
            }
            LastExit::Spawn(error) => error.text(self.spec).fmt(f),
            LastExit::PreStart(PreStartFailure::Spawn(error)) => {
                let text = error.text_of(Program::PreStart, self.spec);
                write!(f, "{}: {text}", Program::PreStart.key())
            }
            end => end.fmt(f),
        }
    }
}

impl SpawnError {
    /// Error with the names of a service: `cannot start /bin/x: No such file or directory (errno 2)`.
    pub fn text(self, spec: &Spec) -> impl fmt::Display {
        self.text_of(Program::Main, spec)
    }

    /// The same for another program of the service.
    pub fn text_of(self, program: Program, spec: &Spec) -> impl fmt::Display {
        let program = spec.program(program).and_then(Arguments::first).unwrap_or("?");
        let directory = if spec.cwd.is_empty() { "/" } else { &spec.cwd };
        self.with_names(Names { program, directory, user: &spec.user, attributes: &spec.attributes })
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
    use super::super::Scope;
    use super::*;

    const HANG_UP: CommandAction = CommandAction::Signal { signal: Signal::Hup, scope: Scope::Leader };

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
    fn programs_of_a_service() {
        let mut spec = Spec::new("a", &["main"]).unwrap();
        spec.finish.push("finish").unwrap();
        let action = CommandAction::Signal { signal: Signal::Hup, scope: Scope::Leader };
        spec.commands.push(NamedCommand { name: Name::new(), action }).unwrap();
        let first = |program| spec.program(program).and_then(Arguments::first);
        assert_eq!(first(Program::Main), Some("main"));
        assert_eq!(first(Program::Finish), Some("finish"));
        for missing in [Program::PreStart, Program::Stop, Program::Command(0), Program::Command(1)] {
            assert_eq!(first(missing), None, "{missing:?}");
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
    fn command_lines_of_pipelines_have_room() {
        const { assert!(limits::SERVICE_ARGUMENTS >= 48 && limits::SERVICE_ARGUMENT_BYTES >= 2048) };
        // Its memory is that of its strings.
        assert!(size_of::<Spec>() < 6 * 1024, "{}", size_of::<Spec>());
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
            spec.commands.push(NamedCommand { name, action: HANG_UP }).unwrap();
        }
        let more = NamedCommand { name: Name::new(), action: HANG_UP };
        assert!(spec.commands.push(more).is_err());
        assert_eq!(spec.command("c1").unwrap().name, "c1");
        assert!(spec.command("d").is_none());
    }

    #[test]
    fn spawn_error_has_the_names_of_the_service() {
        use super::super::SpawnStage::*;
        let mut spec = Spec::new("web", &["/usr/sbin/lighttpd", "-D"]).unwrap();
        spec.user = "web".try_into().unwrap();
        let text = |stage, errno| SpawnError::new(stage, errno).text(&spec).to_string();
        assert_eq!(text(Program, 2), "cannot start /usr/sbin/lighttpd: No such file or directory (errno 2)");
        assert_eq!(text(Directory, 13), "cannot enter directory /: Permission denied (errno 13)");
        assert_eq!(text(User, 2), "user 'web' does not exist");
        let error = SpawnError { stage: Program, item: 0, errno: 2 };
        let text = |exit: LastExit| exit.text(&spec).to_string();
        assert_eq!(
            text(LastExit::Spawn(error)),
            "cannot start /usr/sbin/lighttpd: No such file or directory (errno 2)"
        );
        assert_eq!(text(LastExit::Code(1)), "exit 1");
        assert_eq!(text(LastExit::None), "");
    }

    #[test]
    fn success_codes_up_to_their_limit() {
        let mut spec = Spec::default();
        assert!(spec.is_success(Exit::Code(0)));
        for exit in [Exit::Code(1), Exit::Code(-256), Exit::signal(15)] {
            assert!(!spec.is_success(exit), "{exit:?}");
        }
        for code in 1..SUCCESS_CODES as u8 {
            spec.success_codes.push(code).unwrap();
        }
        assert_eq!(spec.success_codes.push(99), Err(99));
        assert!(spec.is_success(Exit::Code(7)) && !spec.is_success(Exit::Code(99)));
    }
}
