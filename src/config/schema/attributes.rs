//! Keys of `[[service]]` about the attributes of its processes: one row a key.

use crate::config::checks::is_name;
use crate::config::key::Default::{Empty, Signed, String, Unset};
use crate::config::key::{Form, Key, Kind, board_limit, fixed};
use crate::service::{SERVICE_GROUPS, SERVICE_NICE};

pub(super) const GROUPS: Key = Key::new(
    "groups",
    Kind::List {
        most: fixed(SERVICE_GROUPS as u64),
        entry: Form {
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
    Signed(SERVICE_NICE as i64),
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
    Unset("that of `nice`"),
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
