//! Reasons why an attempt of a check fails.

use core::fmt;

use crate::log::Reason;
use crate::service::{Exit, LastExit, SpawnError};

/// Reason why an attempt of a check has failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CheckError {
    /// No connection: an error number of the system.
    Connect(i32),
    /// The connection broke: an error number of the system.
    Broken(i32),
    /// The connection was closed before a whole response.
    Closed,
    /// The response is not HTTP.
    NotHttp,
    /// Status of the response.
    Status(u16),
    /// Exit of the program.
    Exit(Exit),
    /// The program could not be started.
    Spawn(SpawnError),
    /// No result in time.
    TimedOut,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Connect(errno) => write!(f, "cannot connect: {}", Reason::from(errno)),
            Self::Broken(errno) => write!(f, "connection broken: {}", Reason::from(errno)),
            Self::Closed => f.write_str("closed without a response"),
            Self::NotHttp => f.write_str("the response is not HTTP"),
            Self::Status(status) => write!(f, "HTTP status {status}"),
            Self::Exit(exit) => LastExit::from(exit).fmt(f),
            Self::Spawn(error) => error.fmt(f),
            Self::TimedOut => f.write_str("timed out"),
        }
    }
}

impl core::error::Error for CheckError {}

#[cfg(test)]
mod tests {
    use super::super::super::SpawnStage;
    use super::*;

    #[test]
    fn errors_are_words() {
        for (error, words) in [
            (CheckError::Connect(111), "cannot connect: Connection refused (errno 111)"),
            (CheckError::Broken(104), "connection broken: Connection reset by peer (errno 104)"),
            (CheckError::Closed, "closed without a response"),
            (CheckError::NotHttp, "the response is not HTTP"),
            (CheckError::Status(503), "HTTP status 503"),
            (CheckError::Exit(Exit::Code(2)), "exit 2"),
            (
                CheckError::Spawn(SpawnError::new(SpawnStage::Program, 2)),
                "cannot start: No such file or directory (errno 2)",
            ),
            (CheckError::TimedOut, "timed out"),
        ] {
            assert_eq!(error.to_string(), words);
        }
    }
}
