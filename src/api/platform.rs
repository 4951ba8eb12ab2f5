//! The operating system as the api uses it.

use super::BoardEnd;
use crate::service::{Arguments, ServiceId, Signal, Spec};
use crate::session::{CANONICAL_PASSWORD_BYTES, PasswordHash, SESSION_ID_BYTES, Users};

/// A queue or table of the system is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

/// The operating system as the api uses it. Each method returns at once; the end of longer work completes
/// the call of that id.
pub trait Platform {
    /// Starts the process of a service in a process group of its own; returns its pid, or the error
    /// number.
    fn spawn(&mut self, service: ServiceId, spec: &Spec) -> Result<u32, i32>;

    /// Signals the process group that `pid` leads. One that is gone is no error.
    fn signal(&mut self, pid: u32, signal: Signal);

    /// Writes down durably which services start with the server; whether that worked.
    fn persist(&mut self, enabled: &mut dyn Iterator<Item = (&str, bool)>) -> bool;

    /// Copies output of a service to `room`: from position `since` on, or the newest. Returns the position
    /// of the first byte, counted since the start of the server, and how many there are.
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

    /// Hashes a new password, after a check of the old one (as received, and as stored) where one is
    /// given. The verdict completes the call.
    fn change_password(
        &mut self,
        old: Option<([u8; CANONICAL_PASSWORD_BYTES], PasswordHash)>,
        new: [u8; CANONICAL_PASSWORD_BYTES],
        call_id: u64,
    ) -> Result<(), Refused>;

    /// Writes down durably which passwords of these users differ from the device file's; whether that
    /// worked.
    fn store_passwords(&mut self, users: &Users) -> bool;

    /// Ends the board: services in their order, sockets with a goodbye, then the machine. It comes about
    /// after this returns, so that the call is answered first. The error number says why it cannot:
    /// 38 (`ENOSYS`) when the server was given no way.
    fn end_board(&mut self, end: BoardEnd) -> Result<(), i32>;

    /// Random bytes for a session id.
    fn random(&mut self) -> Result<[u8; SESSION_ID_BYTES / 2], Refused>;

    /// Seconds of Unix time, which a board without a clock may have wrong: for showing only.
    fn unix_s(&self) -> u64;
}
