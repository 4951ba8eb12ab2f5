//! Work on the configuration file that a call asks for.

use core::net::SocketAddr;
use core::time::Duration;

use heapless::String as Name;

use crate::limits::USER_NAME_BYTES;
use crate::session::SessionKey;

/// User as the log names him: an administrator of the local socket has a name that no user of the file has.
pub type UserName = Name<{ USER_NAME_BYTES + 16 }>;

/// Work on the configuration file, which may wait for the disk.
#[derive(Debug)]
pub enum ConfigurationWork {
    /// Text in force from this position on, without its secrets.
    Show {
        /// The position.
        since: usize,
        /// The file of each service, check and device rule instead.
        has_sources: bool,
    },
    /// Another text, for a trial.
    Change(Box<Change>),
    /// Write of the changed text.
    Write,
}

/// Change of the configuration file.
#[derive(Debug)]
pub struct Change {
    /// The text, in which secrets may be kept.
    pub text: String,
    /// Administrator who makes it.
    pub by: UserName,
    /// He is one at the local socket, whatever the file says.
    pub is_local: bool,
    /// His session; `None` with a token.
    pub session: Option<SessionKey>,
    /// Time to confirm it.
    pub time: Duration,
    /// Nothing is to change: only the difference is of interest.
    pub is_dry: bool,
    /// Checksum of the text that was changed, which is to be the one in force.
    pub base: Option<u64>,
}

/// Text of the configuration file in force, without its secrets.
#[derive(Clone, Copy, Debug)]
pub struct ConfigurationPage<'a> {
    /// Origin of the file.
    pub origin: &'a str,
    /// Bytes of the whole text.
    pub size: usize,
    /// Position of the first byte.
    pub from: usize,
    /// The text.
    pub text: &'a str,
    /// Checksum of the whole text of the file.
    pub base: u64,
    /// The text is that of a change, of this administrator.
    pub trial: Option<(&'a str, Unconfirmed)>,
}

/// Change of the configuration that is to be confirmed.
#[derive(Clone, Copy, Debug)]
pub struct Unconfirmed {
    /// Its number.
    pub change: u64,
    /// Time to confirm it.
    pub time: Duration,
    /// Address that it opened, over which it is to be confirmed.
    pub address: Option<SocketAddr>,
    /// It replaces the password of its administrator, who is to log in again.
    pub needs_login: bool,
}
