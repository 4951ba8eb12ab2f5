//! Operating system, as the api uses it.

use super::BoardEnd;
use crate::service::{Arguments, ServiceId, Signal, Spec};
use crate::session::{CANONICAL_PASSWORD_BYTES, PasswordHash, SESSION_ID_BYTES, Users};

/// A queue or table of the system is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

/// Operating system, as the api uses it. Each method returns at once. The end of longer work completes the
/// call of that id.
pub trait Platform {
    /// Starts the process of a service in a process group of its own; returns its pid, or the error
    /// number.
    fn spawn(&mut self, service: ServiceId, spec: &Spec) -> Result<u32, i32>;

    /// Signals the process group that `pid` leads. It is not an error if the group is gone.
    fn signal(&mut self, pid: u32, signal: Signal);

    /// Stores the services that start with the server. Returns true if they are on the disk.
    fn persist(&mut self, enabled: &mut dyn Iterator<Item = (&str, bool)>) -> bool;

    /// Copies output of a service to `room`: from position `since` on, or the newest. Returns the position
    /// of the first byte, counted since the start of the server, and the number of bytes.
    fn copy_output(&self, service: ServiceId, since: Option<u64>, room: &mut [u8]) -> (u64, usize);

    /// Runs a named command of a service, whose end completes the call.
    fn run_command(&mut self, service: &Spec, argv: &Arguments, call_id: u64) -> Result<(), Refused>;

    /// Checks a password. The verdict completes the call.
    fn check_password(
        &mut self,
        canonical: [u8; CANONICAL_PASSWORD_BYTES],
        hash: PasswordHash,
        call_id: u64,
    ) -> Result<(), Refused>;

    /// Checks the old password, if one is given (as received, and as stored), and hashes the new one. The
    /// verdict completes the call.
    fn change_password(
        &mut self,
        old: Option<([u8; CANONICAL_PASSWORD_BYTES], PasswordHash)>,
        new: [u8; CANONICAL_PASSWORD_BYTES],
        call_id: u64,
    ) -> Result<(), Refused>;

    /// Stores the passwords of these users that differ from the configuration file. Returns true if they are
    /// on the disk.
    fn store_passwords(&mut self, users: &Users) -> bool;

    /// Shuts the board down: stops the services in their order, closes the sockets, then ends the machine.
    /// All of that follows after the return, so that the call is answered first. Fails with an error number:
    /// 38 (`ENOSYS`) if the server has no way to do it.
    fn end_board(&mut self, end: BoardEnd) -> Result<(), i32>;

    /// Random bytes for a session id.
    fn random(&mut self) -> Result<[u8; SESSION_ID_BYTES / 2], Refused>;

    /// Seconds of Unix time, only for display: they are wrong on a board without a clock.
    fn unix_s(&self) -> u64;
}
