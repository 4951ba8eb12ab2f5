//! Keys of `[[service]]` about the attributes of its processes: one row a key.

use super::SERVICE_NAME;
use crate::config::checks::{is_absolute_path, is_name};
use crate::config::key::Default::{Boolean, Empty, Integer, Signed, String, Unset};
use crate::config::key::{Form, Key, Kind, UNBOUNDED, any, board_limit, documentation, fixed, word};
use crate::service::{CAPABILITY_NAMES, CPU_WEIGHT as CPU_WEIGHT_DEFAULT, SERVICE_GROUPS, SERVICE_NICE};

pub(super) const GROUPS: Key = Key::new(
    "groups",
    Kind::List {
        most: fixed(SERVICE_GROUPS as u64),
        entry: &Form {
            bytes: board_limit!(USER_NAME_BYTES),
            expected: "the name or number of a group",
            is_met: is_name,
        },
    },
    Empty,
    "Groups in addition to those of the user. Needs a server that runs as root.",
)
.example("[\"dialout\", \"gpio\"]")
.reload();

pub(super) const NICE: Key = Key::new(
    "nice",
    Kind::Signed { least: -20, most: 19 },
    Signed(SERVICE_NICE as i32),
    "Niceness: -20 has the processor first, 19 last. One below that of the server needs root.",
)
.reload();

pub(super) const UMASK: Key = Key::new(
    "umask",
    Kind::parsed("octal digits up to 777, such as '022'"),
    String("022"),
    "Permissions that new files do not have, as umask(2).",
)
.reload();

pub(super) const OOM_SCORE: Key = Key::new(
    "oom_score",
    Kind::Signed { least: -1000, most: 1000 },
    Signed(0),
    "Preference of the out-of-memory killer: 1000 is killed first, -1000 never. One below that of the \
     server needs root.",
)
.reload();

pub(super) const IO_CLASS: Key = Key::new(
    "io_class",
    Kind::parsed("'idle', 'best-effort', or 'best-effort:LEVEL' with a level of 0 to 7"),
    Unset(documentation("that of `nice`")),
    "Priority of reads and writes. `idle` comes after all other processes; of the levels, 0 is first.",
)
.example("\"best-effort:6\"")
.reload();

pub(super) const LIMITS: Key = Key::new(
    "limits",
    Kind::Numbers(&["as", "core", "cpu", "fsize", "memlock", "nofile", "nproc", "stack"]),
    Empty,
    "Resource limits, soft and hard, as setrlimit(2): bytes, but seconds for `cpu`, descriptors for \
     `nofile` and processes of the user for `nproc`. The others are those of the server.",
)
.example("{ core = 0, nofile = 1024 }")
.reload();

pub(super) const MEMORY_MAX: Key = Key::new(
    "memory_max",
    Kind::Memory,
    Integer(0),
    "Bytes of memory of all its processes together. The kernel kills one of them if they need more; 0: no \
     limit. Needs a kernel with cgroup v2.",
)
.example("33554432")
.reload();

pub(super) const PIDS_MAX: Key = Key::new(
    "pids_max",
    Kind::integer(0, 1 << 22),
    Integer(0),
    "Processes and threads that it can have; 0: no limit. Needs a kernel with cgroup v2.",
)
.example("64")
.reload();

pub(super) const CPU_WEIGHT: Key = Key::new(
    "cpu_weight",
    Kind::integer(1, 10_000),
    Integer(word(CPU_WEIGHT_DEFAULT)),
    "Share of a busy processor, beside the other services. Needs a kernel with cgroup v2.",
)
.example("50")
.reload();

pub(super) const CAPABILITIES: Key = Key::new(
    "capabilities",
    Kind::List {
        most: fixed(CAPABILITY_NAMES.len() as u64),
        entry: &Form {
            bytes: UNBOUNDED,
            expected: "the name of a capability, such as 'net_bind_service'",
            is_met: any,
        },
    },
    Unset(documentation("those of the server, for a `user` none")),
    "Capabilities that its processes can have at most. With `user` they have them from the start. Needs a \
     server that runs as root.",
)
.example("[\"net_bind_service\"]")
.reload();

pub(super) const NO_NEW_PRIVS: Key = Key::new(
    "no_new_privs",
    Kind::Boolean,
    Boolean(false),
    "No program that it executes, such as sudo, gives it more privileges.",
)
.reload();

pub(super) const PRIVATE_TMP: Key = Key::new(
    "private_tmp",
    Kind::Boolean,
    Boolean(false),
    "A `/tmp` and `/var/tmp` of its own, in memory, of up to 8 MiB each, which end with each of its programs. \
     Programs and `cwd` in the common ones are not found. Needs a server that runs as root.",
)
.reload();

pub(super) const READ_ONLY: Key = Key::new(
    "read_only",
    Kind::Boolean,
    Boolean(false),
    "It can only read the file systems, but for its own directories below, a `/tmp` of its own, `/dev`, `/proc` \
     and `/sys`. What is mounted later it does not see. Needs a server that runs as root; a service of root with \
     all `capabilities` can undo it.",
)
.reload();

pub(super) const ENV_FILE: Key = Key::new(
    "env_file",
    Kind::string(board_limit!(FILE_PATH_BYTES), "an absolute path", is_absolute_path),
    Unset(documentation("none")),
    "Regular file of further variables, which is read at each start, as the server's user: lines of `NAME=value`, \
     and comments that begin with `#`. Those of `env` win.",
)
.example("\"/data/clock.env\"")
.reload();

pub(super) const STATE_DIRECTORY: Key = directory(
    "state_directory",
    "Name of a directory for data that are kept, which is created for the user: below `/data/lib` with \
     `friendlet init`, else below `/var/lib`. `STATE_DIRECTORY` is its path.",
);

pub(super) const RUNTIME_DIRECTORY: Key = directory(
    "runtime_directory",
    "The same below `/run`, which is memory, for sockets and the like. `RUNTIME_DIRECTORY` is its path.",
);

pub(super) const LOG_DIRECTORY: Key = directory(
    "log_directory",
    "The same below `/data/log` or `/var/log`, for log files. `LOGS_DIRECTORY` is its path.",
);

/// Name of a directory that is created.
const fn directory(name: &'static str, doc: &'static str) -> Key {
    Key::new(name, SERVICE_NAME, Unset(documentation("none")), doc).example("\"clock\"").reload()
}
