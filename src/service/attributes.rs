//! Attributes of the processes of a service, which the keeper's child sets before exec.

use core::fmt;

use heapless::{String, Vec};

use super::{Capabilities, Name, SERVICE_GROUPS, SERVICE_NICE};
use crate::limits;

/// Name of a user or a group of the system.
pub type AccountName = String<{ limits::USER_NAME_BYTES }>;

/// Attributes of the processes of a service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attributes {
    /// Niceness.
    pub nice: i8,
    /// File mode creation mask.
    pub umask: u16,
    /// Preference of the out-of-memory killer: its `oom_score_adj`.
    pub oom_score: i16,
    /// Priority of reads and writes; `None`: that of the niceness.
    pub io_class: Option<IoClass>,
    /// Resource limits, by the index of [`Resource::ALL`]; `None`: that of the keeper.
    pub limits: [Option<u64>; Resource::ALL.len()],
    /// Limits of all its processes together, by the index of [`CONTROLS`]; 0: no limit.
    pub controls: [u64; CONTROLS.len()],
    /// Groups in addition to those of the user, by name or number.
    pub groups: Vec<AccountName, SERVICE_GROUPS>,
    /// Capabilities that it can have at most, and has if it runs as a user; `None`: those of the keeper.
    pub capabilities: Option<Capabilities>,
    /// True if no program that it executes can give it more privileges.
    pub no_new_privs: bool,
    /// True for a `/tmp` and `/var/tmp` of its own, in memory.
    pub private_tmp: bool,
    /// True if it can only read the file systems, but for its own directories.
    pub read_only: bool,
    /// File of further environment variables; empty: none.
    pub env_file: String<{ limits::FILE_PATH_BYTES }>,
    /// Directories that are created for it, by the index of [`DirectoryKind::ALL`].
    pub directories: [Option<Name>; DirectoryKind::ALL.len()],
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            nice: SERVICE_NICE,
            umask: 0o022,
            oom_score: 0,
            io_class: None,
            limits: [None; Resource::ALL.len()],
            controls: [0, 0, CPU_WEIGHT],
            groups: Vec::new(),
            capabilities: None,
            no_new_privs: false,
            private_tmp: false,
            read_only: false,
            env_file: String::new(),
            directories: [const { None }; DirectoryKind::ALL.len()],
        }
    }
}

/// Resource with a limit (setrlimit(2)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Resource {
    /// Bytes of address space.
    As,
    /// Bytes of a core file.
    Core,
    /// Seconds of processor time.
    Cpu,
    /// Bytes of a file that it writes.
    Fsize,
    /// Bytes of locked memory.
    Memlock,
    /// Highest descriptor, plus one.
    Nofile,
    /// Processes of its user.
    Nproc,
    /// Bytes of stack.
    Stack,
}

impl Resource {
    /// Every resource, in the order of the names.
    pub const ALL: [Self; 8] =
        [Self::As, Self::Core, Self::Cpu, Self::Fsize, Self::Memlock, Self::Nofile, Self::Nproc, Self::Stack];

    /// Name in the configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::As => "as",
            Self::Core => "core",
            Self::Cpu => "cpu",
            Self::Fsize => "fsize",
            Self::Memlock => "memlock",
            Self::Nofile => "nofile",
            Self::Nproc => "nproc",
            Self::Stack => "stack",
        }
    }

    /// Returns the index of the resource with this name.
    pub fn index_of(name: &str) -> Option<usize> {
        Self::ALL.into_iter().position(|resource| resource.name() == name)
    }
}

/// Limit of all processes of a service together, by its control group (cgroup v2).
#[derive(Debug)]
pub struct Control {
    /// Key in the configuration file.
    pub key: &'static str,
    /// Controller of the kernel.
    pub controller: &'static str,
    /// File of the group.
    pub file: &'static str,
}

/// Share of the processor without a key.
pub const CPU_WEIGHT: u64 = 100;

/// Every limit.
pub const CONTROLS: [Control; 3] = [
    Control { key: "memory_max", controller: "memory", file: "memory.max" },
    Control { key: "pids_max", controller: "pids", file: "pids.max" },
    Control { key: "cpu_weight", controller: "cpu", file: "cpu.weight" },
];

/// Class and level of the priority of reads and writes (ioprio_set(2)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IoClass {
    /// After all other processes.
    Idle,
    /// With this level, of which 0 is the first.
    BestEffort(u8),
}

impl IoClass {
    /// Level of `best-effort` without a number.
    const LEVEL: u8 = 4;

    /// Parses `idle`, `best-effort` or `best-effort:LEVEL`.
    pub fn from_name(name: &str) -> Option<Self> {
        let (class, level) = name.split_once(':').map_or((name, None), |(class, level)| (class, Some(level)));
        match (class, level.map(str::as_bytes)) {
            ("idle", None) => Some(Self::Idle),
            ("best-effort", None) => Some(Self::BestEffort(Self::LEVEL)),
            ("best-effort", Some([level @ b'0'..=b'7'])) => Some(Self::BestEffort(level - b'0')),
            _ => None,
        }
    }
}

impl fmt::Display for IoClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::BestEffort(level) => write!(f, "best-effort:{level}"),
        }
    }
}

/// Directory that is created for a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum DirectoryKind {
    /// Data that are kept.
    State,
    /// Sockets and the like, which the end of the board removes.
    Runtime,
    /// Log files.
    Log,
}

impl DirectoryKind {
    /// Every directory.
    pub const ALL: [Self; 3] = [Self::State, Self::Runtime, Self::Log];

    /// Key of its name in the configuration file.
    pub fn key(self) -> &'static str {
        match self {
            Self::State => "state_directory",
            Self::Runtime => "runtime_directory",
            Self::Log => "log_directory",
        }
    }

    /// Environment variable with its path, as systemd names it.
    pub fn variable(self) -> &'static str {
        match self {
            Self::State => "STATE_DIRECTORY",
            Self::Runtime => "RUNTIME_DIRECTORY",
            Self::Log => "LOGS_DIRECTORY",
        }
    }

    /// Directory above it. On a board that `friendlet init` runs, only `/data` is on a disk that can be
    /// written. `/data/state` is the server's own and closed to others.
    pub fn base(self, has_init: bool) -> &'static str {
        match (self, has_init) {
            (Self::State, true) => "/data/lib",
            (Self::State, false) => "/var/lib",
            (Self::Runtime, _) => "/run",
            (Self::Log, true) => "/data/log",
            (Self::Log, false) => "/var/log",
        }
    }
}

/// Parses permissions, or a mask of them, in octal digits: `022`.
pub fn permissions_from_text(text: &str) -> Option<u16> {
    let is_octal = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    u16::from_str_radix(text, 8).ok().filter(|mask| is_octal && *mask <= 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_levels() {
        assert_eq!(IoClass::from_name("idle"), Some(IoClass::Idle));
        assert_eq!(IoClass::from_name("best-effort"), Some(IoClass::BestEffort(4)));
        assert_eq!(IoClass::from_name("best-effort:0"), Some(IoClass::BestEffort(0)));
        assert_eq!(IoClass::from_name("best-effort:7"), Some(IoClass::BestEffort(7)));
        for name in ["", "idle:1", "best-effort:", "best-effort:8", "best-effort:07", "realtime", "Idle"] {
            assert_eq!(IoClass::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn masks_are_octal() {
        for (text, mask) in [("022", 0o22), ("0", 0), ("0077", 0o77), ("777", 0o777)] {
            assert_eq!(permissions_from_text(text), Some(mask));
        }
        for text in ["", "8", "1000", "-1", "+22", "0o22", "00022"] {
            assert_eq!(permissions_from_text(text), None, "{text}");
        }
    }

    #[test]
    fn directories_of_a_board_are_on_its_data() {
        for kind in DirectoryKind::ALL {
            assert_eq!(kind.base(true).starts_with("/data/"), kind != DirectoryKind::Runtime);
            assert!(!kind.base(false).starts_with("/data/"));
        }
    }

    #[test]
    fn resources_are_found_by_their_names() {
        for (index, resource) in Resource::ALL.into_iter().enumerate() {
            assert_eq!((Resource::index_of(resource.name()), resource as usize), (Some(index), index));
        }
        assert_eq!(Resource::index_of("nofiles"), None);
    }
}
