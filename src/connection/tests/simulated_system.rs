//! Simulated operating system, which refuses requests now and then.

use super::super::friendlet::api::{Platform, Refused};
use super::super::friendlet::call::{ConfigurationWork, LogSource};
use super::super::friendlet::limits;
use super::super::friendlet::service::BoardEnd;
use super::super::friendlet::service::{Memo, Program, Scope, ServiceId, Signal, Usage};
use super::super::friendlet::session::{
    CANONICAL_PASSWORD_BYTES, Pairing, PasswordHash, SessionMemo, UserId, Users,
};

/// Output of every service.
const OUTPUT: &[u8] = b"one\ntwo \x1b[31m\n\xff\n\nunfinished";

#[derive(Default)]
pub(super) struct System {
    pub(super) random: u8,
    pub(super) next_pid: u32,
    pub(super) refuses: bool,
    /// Services whose start is not reported.
    pub(super) spawned: Vec<ServiceId>,
    /// Services with a process.
    pub(super) running: Vec<ServiceId>,
    pub(super) checks: Vec<u64>,
    pub(super) commands: Vec<u64>,
    /// Writes to the disk that have not ended.
    pub(super) writes: Vec<u64>,
}

impl System {
    fn refused(&self) -> Result<(), Refused> {
        if self.refuses { Err(Refused) } else { Ok(()) }
    }
}

impl Platform for System {
    fn store_memo(&mut self, _: ServiceId, _: Memo) {}

    fn store_session(&mut self, _: usize, _: &SessionMemo) -> Result<(), Refused> {
        Ok(())
    }

    fn spawn(&mut self, service: ServiceId, _: Program) {
        // One that runs was given up: the keeper refuses the start.
        assert!(!self.spawned.contains(&service), "a second start before the outcome of the first");
        self.spawned.push(service);
    }

    fn signal(&mut self, service: ServiceId, _: Signal, _: Scope) {
        let is_alive = self.spawned.contains(&service) || self.running.contains(&service);
        assert!(is_alive, "a signal to a service without a process");
    }

    fn persist(&mut self, enabled: &mut dyn Iterator<Item = (&str, bool)>, id: u64) -> Result<(), Refused> {
        assert!(enabled.count() <= limits::SERVICES);
        self.refused()?;
        self.writes.push(id);
        Ok(())
    }

    fn output_start(&self, _: ServiceId) -> u64 {
        0
    }

    fn copy_output(&self, _: ServiceId, since: Option<u64>, room: &mut [u8]) -> (u64, usize) {
        let from = since.unwrap_or(OUTPUT.len().saturating_sub(room.len()) as u64);
        let output = OUTPUT.get(from as usize..).unwrap_or_default();
        let length = output.len().min(room.len());
        room[..length].copy_from_slice(&output[..length]);
        (from, length)
    }

    fn usage(&self, _: &str, _: u32) -> Usage {
        Usage { cpu: core::time::Duration::from_millis(1250), memory: 4096 }
    }

    fn memory(&self) -> crate::service::Memory {
        crate::service::Memory { server: 1 << 20, available: 2 << 20, total: 4 << 20 }
    }

    fn run_command(
        &mut self,
        _: ServiceId,
        _: usize,
        call_id: u64,
        _: Option<UserId>,
    ) -> Result<(), Refused> {
        self.refused()?;
        if self.commands.len() == limits::SERVICE_COMMAND_RUNS {
            return Err(Refused);
        }
        self.commands.push(call_id);
        Ok(())
    }

    fn check_password(
        &mut self,
        _: [u8; CANONICAL_PASSWORD_BYTES],
        _: PasswordHash,
        call_id: u64,
    ) -> Result<(), Refused> {
        self.refused()?;
        if self.checks.len() == limits::PASSWORD_CHECKS {
            return Err(Refused);
        }
        self.checks.push(call_id);
        Ok(())
    }

    fn change_password(
        &mut self,
        _: Option<([u8; CANONICAL_PASSWORD_BYTES], PasswordHash)>,
        new: [u8; CANONICAL_PASSWORD_BYTES],
        call_id: u64,
    ) -> Result<(), Refused> {
        self.check_password(new, PasswordHash::dummy(1), call_id)
    }

    fn store_passwords(&mut self, _: &Users, id: u64) -> Result<(), Refused> {
        self.refused()?;
        self.writes.push(id);
        Ok(())
    }

    fn store_pairing(&mut self, _: &Pairing, id: u64) -> Result<(), Refused> {
        self.refused()?;
        self.writes.push(id);
        Ok(())
    }

    fn end_board(&mut self, _: BoardEnd) -> Result<(), i32> {
        if self.refuses { Err(38) } else { Ok(()) }
    }

    fn factory_reset(&mut self) -> Result<(), i32> {
        if self.refuses { Err(38) } else { Ok(()) }
    }

    fn upgrade(&mut self, _: u64) -> Result<(), Refused> {
        Err(Refused)
    }

    fn configuration(&mut self, _: u64, _: ConfigurationWork) -> Result<(), Refused> {
        Err(Refused)
    }

    fn read_log(&mut self, _: u64, _: LogSource, _: usize, _: u64) -> Result<(), Refused> {
        Err(Refused)
    }

    fn reload(&mut self, _: u64, _: bool) -> Result<(), Refused> {
        Err(Refused)
    }

    fn random(&mut self) -> Result<[u8; crate::session::SESSION_ID_BYTES / 2], Refused> {
        self.refused()?;
        self.random = self.random.wrapping_add(1);
        Ok([self.random; crate::session::SESSION_ID_BYTES / 2])
    }

    fn time_of_day(&self) -> Option<u64> {
        None
    }

    fn unix_s(&self) -> u64 {
        1_000_000
    }
}
