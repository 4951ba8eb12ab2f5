//! Operating system, as the api uses it.

use crate::call::{ConfigurationWork, LogSource};
use crate::service::{BoardEnd, Memo, Memory, Program, Scope, ServiceId, Signal, Usage};
use crate::session::{
    CANONICAL_PASSWORD_BYTES, Pairing, PasswordHash, SESSION_ID_BYTES, SessionMemo, UserId, Users,
};

/// A queue or table of the system is full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

/// Operating system, as the api uses it. Each method returns at once. The end of longer work completes the
/// call of that id.
pub trait Platform {
    /// Starts a program of a service in a process group of its own, or its stop command in that of the
    /// service. The outcome follows as an event of the service.
    fn spawn(&mut self, service: ServiceId, program: Program);

    /// Signals the processes of a service. It is not an error if they are gone.
    fn signal(&mut self, service: ServiceId, signal: Signal, scope: Scope);

    /// Stores what a later server has to know of a service, as long as the keeper runs.
    fn store_memo(&mut self, service: ServiceId, memo: Memo);

    /// The same of an entry in the table of sessions.
    fn store_session(&mut self, index: usize, memo: &SessionMemo) -> Result<(), Refused>;

    /// Writes the services that start with the server to the disk. The result completes the write of this id.
    fn persist(&mut self, enabled: &mut dyn Iterator<Item = (&str, bool)>, id: u64) -> Result<(), Refused>;

    /// Copies output of a service to `room`: from position `since` on, or the newest. Returns the position
    /// of the first byte, counted since the start of the server, and the number of bytes.
    fn copy_output(&self, service: ServiceId, since: Option<u64>, room: &mut [u8]) -> (u64, usize);

    /// Position of the first byte of the output of the latest run of a service.
    fn output_start(&self, service: ServiceId) -> u64;

    /// Use of the processor and of memory by a running service with this name and leader.
    fn usage(&self, name: &str, leader: u32) -> Usage;

    /// Memory of the server and of its machine.
    fn memory(&self) -> Memory;

    /// Runs the program of a named command, by its index in the specification of the service. Its end completes
    /// the call. `user` is that of the call, who has a share of the runs, unless an administrator.
    fn run_command(
        &mut self,
        service: ServiceId,
        command: usize,
        call_id: u64,
        user: Option<UserId>,
    ) -> Result<(), Refused>;

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

    /// Writes the passwords of these users that differ from the configuration file to the disk. The result
    /// completes the write of this id.
    fn store_passwords(&mut self, users: &Users, id: u64) -> Result<(), Refused>;

    /// Writes the paired keys to the disk. The result completes the write of this id.
    fn store_pairing(&mut self, pairing: &Pairing, id: u64) -> Result<(), Refused>;

    /// Shuts the board down: stops the services in their order, closes the sockets, then ends the machine.
    /// All of that follows after the return, so that the call is answered first. Fails with an error number:
    /// 38 (`ENOSYS`) if the server has no way to do it.
    fn end_board(&mut self, end: BoardEnd) -> Result<(), i32>;

    /// Erases configuration, users and identity of the board, and restarts it, after the return. Fails with an error
    /// number: 38 (`ENOSYS`) if the server has no way to do it.
    fn factory_reset(&mut self) -> Result<(), i32>;

    /// Reads the configuration file again. The result completes the call; without `is_trial` it is in force then.
    fn reload(&mut self, call_id: u64, is_trial: bool) -> Result<(), Refused>;

    /// Does work on the configuration file. The result completes the call.
    fn configuration(&mut self, call_id: u64, work: ConfigurationWork) -> Result<(), Refused>;

    /// Lets the program at the path of this one take over, if it can. The result completes the call.
    fn upgrade(&mut self, call_id: u64) -> Result<(), Refused>;

    /// Reads a file of the log from a position on: `number` 0 is the newest. The result completes the call.
    fn read_log(&mut self, call_id: u64, source: LogSource, number: usize, since: u64)
    -> Result<(), Refused>;

    /// Random bytes for a session id.
    fn random(&mut self) -> Result<[u8; SESSION_ID_BYTES / 2], Refused>;

    /// Seconds of Unix time, only for display: they are wrong on a board without a clock.
    fn unix_s(&self) -> u64;

    /// Seconds of Unix time; `None` while they are certainly wrong.
    fn time_of_day(&self) -> Option<u64>;
}
