//! Reasons why a process could not be started.

use core::fmt;

use super::{Attributes, CONTROLS, DirectoryKind, Resource, SPAWN_TIMEOUT};
use crate::log::Reason;
use crate::log::errno::{ENOENT, EOPNOTSUPP, ETIMEDOUT};

/// Stage of a start that failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum SpawnStage {
    /// Process, pipe or memory.
    Resources,
    /// User of the service; `ENOENT` if it does not exist.
    User,
    /// Groups of the user, or with an item one of the further groups; `ENOENT` if it does not exist.
    Groups,
    /// Working directory.
    Directory,
    /// Resource limits; the item is one of [`Resource::ALL`].
    Limits,
    /// Control group; the item is one of [`CONTROLS`].
    Cgroup,
    /// Niceness.
    Nice,
    /// Preference of the out-of-memory killer.
    OomScore,
    /// Priority of reads and writes.
    IoClass,
    /// Capabilities.
    Capabilities,
    /// Refusal of new privileges.
    NoNewPrivs,
    /// Mounts of its own; the item is 0 for `private_tmp`, 1 for `read_only`.
    Mounts,
    /// File of environment variables; the item is a line.
    EnvFile,
    /// Directories that are created; the item is one of [`DirectoryKind::ALL`].
    Directories,
    /// Program.
    Program,
    /// Interpreter of a script, or the loader of a program.
    Interpreter,
    /// Answer within `SPAWN_TIMEOUT`.
    Timeout,
}

impl SpawnStage {
    /// Every stage.
    pub const ALL: [Self; 17] = [
        Self::Resources,
        Self::User,
        Self::Groups,
        Self::Directory,
        Self::Limits,
        Self::Cgroup,
        Self::Nice,
        Self::OomScore,
        Self::IoClass,
        Self::Capabilities,
        Self::NoNewPrivs,
        Self::Mounts,
        Self::EnvFile,
        Self::Directories,
        Self::Program,
        Self::Interpreter,
        Self::Timeout,
    ];

    /// Returns the stage with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| *stage as u8 == number)
    }

    /// Key of the configuration file whose value cannot be set at this stage.
    fn key(self) -> &'static str {
        match self {
            Self::Limits => "limits",
            Self::Nice => "nice",
            Self::OomScore => "oom_score",
            Self::IoClass => "io_class",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivs => "no_new_privs",
            _ => "",
        }
    }
}

/// Reason why a process could not be started.
///
/// [`text`](Self::text) has the names of the program, the directory or the user; `Display` does not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpawnError {
    /// Stage that failed.
    pub stage: SpawnStage,
    /// Entry that failed, where the stage has several: its index plus one; else 0.
    pub item: u8,
    /// Error number of the system.
    pub errno: i32,
}

impl SpawnError {
    /// The start had no answer within `SPAWN_TIMEOUT`.
    pub const TIMEOUT: Self = Self::new(SpawnStage::Timeout, ETIMEDOUT);
    /// The user does not exist.
    pub const UNKNOWN_USER: Self = Self::new(SpawnStage::User, ENOENT);

    /// Error of a stage.
    pub const fn new(stage: SpawnStage, errno: i32) -> Self {
        Self { stage, item: 0, errno }
    }

    /// The error for the entry with this index.
    pub fn with_item(self, index: usize) -> Self {
        Self { item: u8::try_from(index + 1).unwrap_or_default(), ..self }
    }

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
    pub(super) attributes: &'a Attributes,
}

/// Text of an error, with or without names.
struct Text<'a> {
    error: SpawnError,
    names: Option<Names<'a>>,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SpawnError { stage, item, errno } = self.error;
        let index = usize::from(item).checked_sub(1);
        let program = Named(self.names.map(|names| names.program));
        let attributes = self.names.map(|names| names.attributes);
        match stage {
            SpawnStage::User => {
                return self.identity(f, "run as", "user", self.names.map(|names| names.user));
            }
            SpawnStage::Groups => {
                let user = self.names.map(|names| names.user).filter(|user| !user.is_empty());
                let group = attributes.zip(index).and_then(|(known, index)| known.groups.get(index));
                match (index, user) {
                    (None, Some(_)) => return self.identity(f, "set the groups of", "user", user),
                    (None, None) => f.write_str("cannot set its groups")?,
                    (Some(_), _) => return self.identity(f, "run with", "group", group.map(|name| &**name)),
                }
            }
            SpawnStage::Directory => {
                write!(f, "cannot enter directory{}", Named(self.names.map(|names| names.directory)))?;
            }
            SpawnStage::EnvFile => {
                let file = attributes.map(|known| &*known.env_file);
                write!(f, "cannot read environment file{}", Named(file))?;
                match (item, errno) {
                    (_, EOPNOTSUPP) => return f.write_str(", which is not a regular file"),
                    (0, _) => {}
                    (line, _) => write!(f, ", line {line}")?,
                }
            }
            SpawnStage::Directories => {
                let kind = index.and_then(|index| DirectoryKind::ALL.get(index));
                let name = attributes.zip(index);
                let name = name.and_then(|(known, index)| known.directories.get(index)?.as_deref());
                write!(f, "cannot create{}{}", Named(kind.map(|kind| kind.key())), Named(name))?;
            }
            SpawnStage::Limits
            | SpawnStage::Nice
            | SpawnStage::OomScore
            | SpawnStage::IoClass
            | SpawnStage::Capabilities
            | SpawnStage::NoNewPrivs => {
                let resource = index.and_then(|index| Resource::ALL.get(index)).map(|known| known.name());
                write!(
                    f,
                    "cannot set {}{} of{}",
                    stage.key(),
                    Named(resource),
                    Named(program.0.or(Some("it")))
                )?;
            }
            SpawnStage::Cgroup => {
                let key = index
                    .and_then(|index| CONTROLS.get(index))
                    .map_or("the control group", |known| known.key);
                write!(f, "cannot set {key} of{}", Named(program.0.or(Some("it"))))?;
            }
            SpawnStage::Mounts => {
                let key = if index == Some(0) { "private_tmp" } else { "read_only" };
                write!(f, "cannot set {key} of{}", Named(program.0.or(Some("it"))))?;
            }
            SpawnStage::Resources | SpawnStage::Program => write!(f, "cannot start{program}")?,
            SpawnStage::Interpreter => write!(f, "cannot start{program}: its interpreter is missing")?,
            SpawnStage::Timeout => {
                return write!(
                    f,
                    "cannot start{program}: its files or the look-up of its user do not answer in {} s",
                    SPAWN_TIMEOUT.as_secs()
                );
            }
        }
        write!(f, ": {}", Reason::from(errno))
    }
}

impl Text<'_> {
    /// Text about a user or a group, which may have a name.
    fn identity(
        &self,
        f: &mut fmt::Formatter<'_>,
        action: &str,
        kind: &str,
        name: Option<&str>,
    ) -> fmt::Result {
        match (self.error.errno, name) {
            (ENOENT, Some(name)) => write!(f, "{kind} '{name}' does not exist"),
            (ENOENT, None) => write!(f, "its {kind} does not exist"),
            (errno, Some(name)) => write!(f, "cannot {action} {kind} '{name}': {}", Reason::from(errno)),
            (errno, None) => write!(f, "cannot {action} its {kind}: {}", Reason::from(errno)),
        }
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

    fn texts(error: SpawnError) -> [String; 2] {
        let mut attributes = Attributes::default();
        for group in ["audio", "gpio"] {
            attributes.groups.push(group.try_into().unwrap()).unwrap();
        }
        attributes.directories[DirectoryKind::Runtime as usize] = Some("www".try_into().unwrap());
        attributes.env_file = "/data/web.env".try_into().unwrap();
        let (program, directory, user) = ("/srv/x.sh", "/srv/www", "web");
        let names = Names { program, directory, user, attributes: &attributes };
        [error.with_names(names).to_string(), error.to_string()]
    }

    #[test]
    fn texts_name_the_stage_and_the_reason() {
        use SpawnStage::*;
        let error = SpawnError::new(Mounts, 1).with_item(1);
        assert_eq!(texts(error)[0], "cannot set read_only of /srv/x.sh: Operation not permitted (errno 1)");
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
                "cannot set limits of /srv/x.sh: Invalid argument (errno 22)",
                "cannot set limits of it: Invalid argument (errno 22)",
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
                "cannot set the groups of user 'web': Operation not permitted (errno 1)",
                "cannot set its groups: Operation not permitted (errno 1)",
            ),
            (
                EnvFile,
                2,
                "cannot read environment file /data/web.env: No such file or directory (errno 2)",
                "cannot read environment file: No such file or directory (errno 2)",
            ),
            (
                EnvFile,
                EOPNOTSUPP,
                "cannot read environment file /data/web.env, which is not a regular file",
                "cannot read environment file, which is not a regular file",
            ),
            (
                Capabilities,
                1,
                "cannot set capabilities of /srv/x.sh: Operation not permitted (errno 1)",
                "cannot set capabilities of it: Operation not permitted (errno 1)",
            ),
            (
                Timeout,
                110,
                "cannot start /srv/x.sh: its files or the look-up of its user do not answer in 30 s",
                "cannot start: its files or the look-up of its user do not answer in 30 s",
            ),
        ] {
            assert_eq!(texts(SpawnError::new(stage, errno)), [text, short], "{stage:?}");
        }
    }

    #[test]
    fn texts_name_the_entry() {
        use SpawnStage::*;
        for (stage, index, errno, text, short) in [
            (Groups, 1, 2, "group 'gpio' does not exist", "its group does not exist"),
            (
                Groups,
                0,
                5,
                "cannot run with group 'audio': Input/output error (errno 5)",
                "cannot run with its group: Input/output error (errno 5)",
            ),
            (
                Limits,
                Resource::Nofile as usize,
                1,
                "cannot set limits nofile of /srv/x.sh: Operation not permitted (errno 1)",
                "cannot set limits nofile of it: Operation not permitted (errno 1)",
            ),
            (
                Directories,
                DirectoryKind::Runtime as usize,
                30,
                "cannot create runtime_directory www: Read-only file system (errno 30)",
                "cannot create runtime_directory: Read-only file system (errno 30)",
            ),
            (
                EnvFile,
                2,
                22,
                "cannot read environment file /data/web.env, line 3: Invalid argument (errno 22)",
                "cannot read environment file, line 3: Invalid argument (errno 22)",
            ),
        ] {
            let error = SpawnError::new(stage, errno).with_item(index);
            assert_eq!(texts(error), [text, short], "{stage:?}");
        }
    }

    #[test]
    fn stages_have_numbers() {
        for (number, stage) in SpawnStage::ALL.into_iter().enumerate() {
            assert_eq!(SpawnStage::from_number(number as u8), Some(stage));
        }
        assert_eq!(SpawnStage::from_number(SpawnStage::ALL.len() as u8), None);
    }

    #[test]
    fn error_is_small() {
        assert!(size_of::<SpawnError>() <= 8);
    }
}
