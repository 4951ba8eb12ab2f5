//! Keys of `[[service]]` about programs and times around the life of a service: one row a key.

use crate::config::key::Default::{Empty, Integer, String, Unset};
use crate::config::key::{Form, Key, Kind, documentation, fixed};
use crate::service::{
    CONDITION_BYTES, Condition, EVERY_MAX, MAX_RUNTIME_MAX, SCHEDULE_JITTER_MAX, SCHEDULE_TIMES,
    SERVICE_CONDITIONS, minute_of_day,
};

/// Conditions of the machine.
const CONDITION_LIST: Kind = Kind::List {
    most: fixed(SERVICE_CONDITIONS as u64),
    entry: &Form {
        bytes: fixed(CONDITION_BYTES as u64),
        expected: "'clock', 'ntp', 'network', 'device:PATH' or 'path:PATH' with an absolute path",
        is_met: |text| Condition::from_text(text).is_some(),
    },
};

pub(super) const WAIT: Key = Key::new(
    "wait",
    CONDITION_LIST,
    Empty,
    "Conditions before each start: `clock` (the time of day is plausible), `ntp` (it is that of NTP), \
     `network` (an interface other than loopback has a carrier and an address), `device:PATH` (a device is \
     there), `path:PATH` (anything is there). At most 8 different ones in the file.",
)
.example("[\"clock\", \"path:/data\"]")
.reload();

pub(super) const NEEDS: Key = Key::new(
    "needs",
    CONDITION_LIST,
    Empty,
    "The same, for conditions that hold while it runs: it stops when one does not, and starts again when all \
     do.",
)
.example("[\"device:/dev/null\"]")
.reload();

pub(super) const PRE_START: Key = Key::new(
    "pre_start",
    Kind::Command,
    Unset(documentation("none")),
    "Program that runs before each start, for up to `ready_timeout_s`. If it fails, the start fails.",
)
.example("[\"/bin/mkdir\", \"-p\", \"/tmp/clock\"]")
.reload();

pub(super) const STOP_COMMAND: Key = Key::new(
    "stop_command",
    Kind::Command,
    Unset(documentation("none")),
    "Program that asks it to end, instead of `stop_signal`, which follows if that was not enough. \
     `MAINPID` is its process.",
)
.example("[\"/bin/sh\", \"-c\", \"kill -INT $MAINPID\"]")
.reload();

pub(super) const FINISH: Key = Key::new(
    "finish",
    Kind::Command,
    Unset(documentation("none")),
    "Program that runs after each end, for up to `stop_timeout_s`. `FRIENDLET_EXIT` is the end, such as \
     'exit 1' or 'signal 9'.",
)
.example("[\"/bin/rm\", \"-rf\", \"/tmp/clock\"]")
.reload();

pub(super) const EVERY: Key = Key::new(
    "every_s",
    Kind::integer(0, EVERY_MAX.as_secs()),
    Integer(0),
    "Seconds from one start to the next, for type `oneshot`; 0: without a period. The first one is a period \
     after the start of the server.",
)
.reload();

pub(super) const AT: Key = Key::new(
    "at",
    Kind::List {
        most: fixed(SCHEDULE_TIMES as u64),
        entry: &Form {
            bytes: fixed(5),
            expected: "a time of day as 'HH:MM'",
            is_met: |text| minute_of_day(text).is_some(),
        },
    },
    Empty,
    "Times of day in UTC at which it starts, for type `oneshot`. They wait until the clock of the board is \
     plausible.",
)
.reload();

pub(super) const JITTER: Key = Key::new(
    "jitter_s",
    Kind::integer(0, SCHEDULE_JITTER_MAX.as_secs()),
    Integer(0),
    "Seconds up to which a start by `every_s` or `at` is delayed at random; less than `every_s`.",
)
.reload();

pub(super) const ON_FAILURE: Key = Key::new(
    "on_failure",
    Kind::Choice(&["none", "reboot", "poweroff"]),
    String("none"),
    "When it has failed and is not started again, the board restarts or is switched off, as with \
     `board/reboot` and `board/poweroff`, but not before the server has run for 300 s.",
)
.reload();

pub(super) const ON_SUCCESS: Key = Key::new(
    "on_success",
    Kind::Choice(&["none", "reboot", "poweroff"]),
    String("none"),
    "The same, when it has ended well on its own and is not started again; `poweroff` then comes at once.",
)
.reload();

pub(super) const MAX_RUNTIME: Key = Key::new(
    "max_runtime_s",
    Kind::integer(0, MAX_RUNTIME_MAX.as_secs()),
    Integer(0),
    "Seconds after which a run is stopped and counts as a failure; 0: it may take any time.",
)
.example("3600")
.reload();
