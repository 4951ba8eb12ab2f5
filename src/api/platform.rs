//! What only the system can do.

use super::BoardEnd;
use crate::service::{Arguments, ServiceId, Signal, Spec};
use crate::session::{CANONICAL_PASSWORD_BYTES, PasswordHash, SESSION_ID_BYTES, Users};

/// The system has no place for it now: its queue or table is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

/// What became of a password that was checked, or made.
#[derive(Clone, Debug, PartialEq)]
pub enum PasswordVerdict {
    /// It is not the password.
    Wrong,
    /// It is the password.
    Right,
    /// What was to be checked is right, and this is the new one.
    Made(PasswordHash),
}

/// How a named command ended, and what it said.
#[derive(Clone, Copy, Debug)]
pub struct CommandEnd<'a> {
    /// `exit 0`, `signal 9` or `timed out`.
    pub exit: &'a str,
    /// Its output, at most as much as the limit lets through.
    pub output: &'a [u8],
    /// Whether there was more.
    pub is_cut: bool,
}

/// The system as the server needs it. Each method returns at once; what takes longer comes back
/// through [`Server`](super::Server) under its call_id.
pub trait Platform {
    /// Makes the process of a service, in a group of its own; gives its pid, or the error number.
    fn spawn(&mut self, service: ServiceId, spec: &Spec) -> Result<u32, i32>;

    /// Signals the process group that `pid` leads. One that is gone is no error.
    fn signal(&mut self, pid: u32, signal: Signal);

    /// Writes down durably which services start with the server; whether that worked.
    fn persist(&mut self, enabled: &mut dyn Iterator<Item = (&str, bool)>) -> bool;

    /// Runs a named command of a service. Its end comes to
    /// [`Server::handle_command_end`](super::Server::handle_command_end).
    fn run_command(&mut self, service: &Spec, argv: &Arguments, call_id: u64) -> Result<(), Refused>;

    /// Checks a password. The verdict comes to
    /// [`Server::handle_password`](super::Server::handle_password).
    fn check_password(
        &mut self,
        canonical: [u8; CANONICAL_PASSWORD_BYTES],
        hash: PasswordHash,
        call_id: u64,
    ) -> Result<(), Refused>;

    /// Makes a new password, once the old one is found to be right where one is given: what was received
    /// and what is stored. The verdict comes to [`Server::handle_password`](super::Server::handle_password).
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
