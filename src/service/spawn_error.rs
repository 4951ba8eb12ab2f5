//! Reasons why a process could not be started.

use core::fmt;

use super::SPAWN_TIMEOUT;
use crate::log::Reason;

/// Error number of a start that had no answer in time.
const ETIMEDOUT: i32 = 110;
/// Error number of a user or a program that does not exist.
const ENOENT: i32 = 2;

/// Stage of a start that failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum SpawnStage {
    /// Process, pipe or memory.
    Resources,
    /// User of the service; `ENOENT` if it does not exist.
    User,
    /// Groups of the user.
    Groups,
    /// Working directory.
    Directory,
    /// Resource limits and priorities.
    Limits,
    /// Program.
    Program,
    /// Interpreter of a script, or the loader of a program.
    Interpreter,
    /// Answer within `SPAWN_TIMEOUT`.
    Timeout,
}

impl SpawnStage {
    /// Every stage.
    pub const ALL: [Self; 8] = [
        Self::Resources,
        Self::User,
        Self::Groups,
        Self::Directory,
        Self::Limits,
        Self::Program,
        Self::Interpreter,
        Self::Timeout,
    ];
}

/// Reason why a process could not be started.
///
/// [`text`](Self::text) has the names of the program, the directory or the user; `Display` does not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpawnError {
    /// Stage that failed.
    pub stage: SpawnStage,
    /// Error number of the system.
    pub errno: i32,
}

impl SpawnError {
    /// The start had no answer within `SPAWN_TIMEOUT`.
    pub const TIMEOUT: Self = Self { stage: SpawnStage::Timeout, errno: ETIMEDOUT };
    /// The user does not exist.
    pub const UNKNOWN_USER: Self = Self { stage: SpawnStage::User, errno: ENOENT };

    /// Error with these names.
    pub(super) fn with_names<'a>(self, names: Names<'a>) -> impl fmt::Display + use<'a> {
        Text { error: self, names: Some(names) }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text { error: *self, names: None }.fmt(f)
    }
}

impl core::error::Error for SpawnError {}

/// Names in the text of an error.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) program: &'a str,
    pub(super) directory: &'a str,
    pub(super) user: &'a str,
}

/// Text of an error, with or without names.
struct Text<'a> {
    error: SpawnError,
    names: Option<Names<'a>>,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SpawnError { stage, errno } = self.error;
        let program = self.names.map(|names| names.program);
        let directory = self.names.map(|names| names.directory);
        let user = self.names.map(|names| names.user);
        match (stage, user) {
            (SpawnStage::User, Some(user)) if errno == ENOENT => {
                return write!(f, "user '{user}' does not exist");
            }
            (SpawnStage::User, None) if errno == ENOENT => return f.write_str("its user does not exist"),
            (SpawnStage::User | SpawnStage::Groups, Some(user)) => write!(f, "cannot run as user '{user}'")?,
            (SpawnStage::User | SpawnStage::Groups, None) => f.write_str("cannot run as its user")?,
            (SpawnStage::Directory, _) => {
                write!(f, "cannot enter directory{}", Named(directory))?;
            }
            (SpawnStage::Limits, _) => {
                write!(f, "cannot set the limits of{}", Named(program.or(Some("it"))))?
            }
            (SpawnStage::Resources | SpawnStage::Program, _) => write!(f, "cannot start{}", Named(program))?,
            (SpawnStage::Interpreter, _) => {
                write!(f, "cannot start{}: its interpreter is missing", Named(program))?;
            }
            (SpawnStage::Timeout, _) => {
                let limit = SPAWN_TIMEOUT.as_secs();
                return write!(f, "cannot start{}: no answer in {limit} s", Named(program));
            }
        }
        write!(f, ": {}", Reason::from(errno))
    }
}

/// Name after a space, if there is one.
struct Named<'a>(Option<&'a str>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, " {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(stage: SpawnStage, errno: i32) -> [String; 2] {
        let names = Names { program: "/srv/x.sh", directory: "/srv/www", user: "web" };
        let error = SpawnError { stage, errno };
        [error.with_names(names).to_string(), error.to_string()]
    }

    #[test]
    fn texts_name_the_stage_and_the_reason() {
        use SpawnStage::*;
        for (stage, errno, text, short) in [
            (
                Program,
                2,
                "cannot start /srv/x.sh: No such file or directory (errno 2)",
                "cannot start: No such file or directory (errno 2)",
            ),
            (
                Interpreter,
                2,
                "cannot start /srv/x.sh: its interpreter is missing: No such file or directory (errno 2)",
                "cannot start: its interpreter is missing: No such file or directory (errno 2)",
            ),
            (
                Resources,
                11,
                "cannot start /srv/x.sh: Resource temporarily unavailable (errno 11)",
                "cannot start: Resource temporarily unavailable (errno 11)",
            ),
            (
                Directory,
                13,
                "cannot enter directory /srv/www: Permission denied (errno 13)",
                "cannot enter directory: Permission denied (errno 13)",
            ),
            (
                Limits,
                22,
                "cannot set the limits of /srv/x.sh: Invalid argument (errno 22)",
                "cannot set the limits of it: Invalid argument (errno 22)",
            ),
            (User, 2, "user 'web' does not exist", "its user does not exist"),
            (
                User,
                1,
                "cannot run as user 'web': Operation not permitted (errno 1)",
                "cannot run as its user: Operation not permitted (errno 1)",
            ),
            (
                Groups,
                1,
                "cannot run as user 'web': Operation not permitted (errno 1)",
                "cannot run as its user: Operation not permitted (errno 1)",
            ),
            (Timeout, 110, "cannot start /srv/x.sh: no answer in 30 s", "cannot start: no answer in 30 s"),
        ] {
            assert_eq!(texts(stage, errno), [text, short], "{stage:?}");
        }
    }

    #[test]
    fn error_is_small() {
        assert!(size_of::<SpawnError>() <= 8);
    }
}
