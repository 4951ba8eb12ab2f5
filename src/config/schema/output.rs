//! Keys of `[[service]]` about its output: one row a key.

use crate::config::checks::is_absolute_path;
use crate::config::key::Default::{Integer, Unset};
use crate::config::key::{Key, Kind, board_limit, documentation, word};
use crate::log::{LOG_FILE_BYTES_MAX, LOG_FILE_BYTES_MIN, LOG_FILES_MAX};
use crate::service::{OUTPUT_DAY_BYTES, OUTPUT_DAY_BYTES_MAX, OUTPUT_FILE_BYTES, OUTPUT_FILES};

pub(super) const OUTPUT_FILE: Key = Key::new(
    "output_file",
    Kind::string(board_limit!(FILE_PATH_BYTES), "an absolute path", is_absolute_path),
    Unset(documentation("none: the newest output is kept in memory alone")),
    "File of its output, with the time before each line; older ones are `FILE.1`, `FILE.2` and so on.",
)
.example("\"/data/log/clock\"")
.reload();

pub(super) const FILE_BYTES: Key = Key::new(
    "output_file_bytes",
    Kind::integer(LOG_FILE_BYTES_MIN as u64, LOG_FILE_BYTES_MAX as u64),
    Integer(word(OUTPUT_FILE_BYTES as u64)),
    "Most bytes of one file.",
)
.reload();

pub(super) const FILES: Key = Key::new(
    "output_files",
    Kind::integer(1, LOG_FILES_MAX as u64),
    Integer(word(OUTPUT_FILES as u64)),
    "Most files.",
)
.reload();

pub(super) const DAY_BYTES: Key = Key::new(
    "output_day_bytes",
    Kind::integer(0, OUTPUT_DAY_BYTES_MAX),
    Integer(word(OUTPUT_DAY_BYTES)),
    "Most bytes that are written in 24 h, because flash wears out; 0: any number. What exceeds them is left out, \
     and counted.",
)
.reload();

pub(super) const SYSLOG: Key = Key::new(
    "syslog",
    Kind::Boolean,
    Unset(documentation("`services` of `[syslog]`")),
    "Sends its output to the log server. A change of it does not restart the service.",
)
.example("true")
.reload();
