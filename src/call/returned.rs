//! Words for the error numbers that calls return.

use core::fmt;

use crate::log::Reason;
use crate::log::errno::{EAGAIN, EBUSY, EDQUOT, EINVAL, ENOENT, ESHUTDOWN, ESRCH, ETIMEDOUT};

/// Words by the function of the call.
const WORDS: [(&str, i32, &str); 9] = [
    (
        "end",
        ENOENT,
        "no session or certificate has this id; `friendlet ctl sessions` lists those that you may end",
    ),
    (
        "log",
        ENOENT,
        "the server writes no such files; [log] file and [log] audit of its configuration file name them",
    ),
    ("log", EBUSY, "the server reads a file for another client; try again"),
    ("configuration", EBUSY, "another reload or change is under way; try again"),
    ("factory-reset", EINVAL, "that is not the name of the board: nothing was erased"),
    ("factory-reset", ENOSYS, "only a board under `friendlet init`, with the disk of an image, can do that"),
    ("reboot", ENOSYS, "the server has no program for it; set [board] reboot in its configuration file"),
    ("poweroff", ENOSYS, "the server has no program for it; set [board] poweroff in its configuration file"),
    ("pause", ESRCH, "it does not run"),
];
/// Words for the other numbers that say more than the system's own.
const WORDS_OF_ANY: [(i32, &str); 7] = [
    (EINVAL, "a parameter is not valid"),
    (ESRCH, "it does not run, or was stopped meanwhile"),
    (EAGAIN, "an earlier command has not ended; try again"),
    (EBUSY, "another one is under way; try again"),
    (ESHUTDOWN, "the server is shutting down"),
    (ETIMEDOUT, "it did not end in time"),
    (EDQUOT, "too many writes to the disk in a short time; try again later"),
];
/// No program or driver for it.
const ENOSYS: i32 = 38;

/// Error number of a function, in words: Friend Core's `Function NAME returned: NUMBER`.
#[derive(Clone, Copy, Debug)]
pub struct Returned<'a> {
    /// Last part of the path of the call.
    pub function: &'a str,
    /// Error number of Linux.
    pub number: i32,
}

impl fmt::Display for Returned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, number } = *self;
        if let Some((.., words)) = WORDS.iter().find(|row| (row.0, row.1) == (function, number)) {
            return f.write_str(words);
        }
        match WORDS_OF_ANY.iter().find(|row| row.0 == number) {
            Some((_, words)) => write!(f, "{function}: {words}"),
            None => write!(f, "{function}: {}", Reason::Errno(number)),
        }
    }
}
