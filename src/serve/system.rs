//! [`Platform`] of the server: processes, passwords, files, random numbers.

use std::rc::Rc;

use super::reload::Reloader;
use super::shutdown::Shutdown;
use crate::api::{Platform, Refused};
use crate::call::{ConfigurationWork, LogSource};
use crate::error;
use crate::keeper::{self, Processes, Unfinished};
use crate::service::{BoardEnd, Memo, Memory, Program, Scope, ServiceId, Signal, Usage};
use crate::session::{
    CANONICAL_PASSWORD_BYTES, Pairing, PasswordHash, SESSION_ID_BYTES, SessionMemo, UserId, Users,
};
use crate::sys::log_reader::LogReader;
use crate::sys::password::{PasswordJob, PasswordWorker};
use crate::sys::state_writer::{Records, StateText, StateWriter};
use crate::sys::{Clock, EnabledFile, PairedFile, PasswordsFile, random};

pub(super) struct System {
    processes: Rc<Processes>,
    passwords: Rc<PasswordWorker>,
    enabled: EnabledFile,
    changed_passwords: PasswordsFile,
    paired: PairedFile,
    writer: Rc<StateWriter>,
    shutdown: Rc<Shutdown>,
    reloader: Rc<Reloader>,
    log_reader: Rc<LogReader>,
    clock: Clock,
    /// Call that waits for an upgrade.
    upgrade_call: Option<u64>,
}

impl System {
    #[expect(
        clippy::too_many_arguments,
        reason = "its parts, each of which another part of the server uses, too"
    )]
    pub(super) fn new(
        processes: Rc<Processes>,
        passwords: Rc<PasswordWorker>,
        enabled: EnabledFile,
        changed_passwords: PasswordsFile,
        paired: PairedFile,
        writer: Rc<StateWriter>,
        shutdown: Rc<Shutdown>,
        reloader: Rc<Reloader>,
        log_reader: Rc<LogReader>,
        clock: Clock,
    ) -> Self {
        Self {
            processes,
            passwords,
            enabled,
            changed_passwords,
            paired,
            writer,
            shutdown,
            reloader,
            log_reader,
            clock,
            upgrade_call: None,
        }
    }

    pub(super) fn reloader(&self) -> &Rc<Reloader> {
        &self.reloader
    }

    /// Returns true while the keeper tries a new program for a call.
    pub(super) fn is_upgrade_asked(&self) -> bool {
        self.upgrade_call.is_some()
    }

    /// Call that waits for an upgrade. It is returned once.
    pub(super) fn take_upgrade_call(&mut self) -> Option<u64> {
        self.upgrade_call.take()
    }

    /// Takes the changed passwords over to later users.
    pub(super) fn carry_passwords(&mut self, before: &Users, later: &mut Users) {
        self.changed_passwords.carry(before, later);
    }

    /// Settings of services by install and uninstall.
    pub(super) fn enabled(&mut self) -> &mut EnabledFile {
        &mut self.enabled
    }

    pub(super) fn processes(&self) -> &Rc<Processes> {
        &self.processes
    }
}

impl Platform for System {
    fn spawn(&mut self, service: ServiceId, program: Program) {
        self.processes.spawn(service, program);
    }

    fn signal(&mut self, service: ServiceId, signal: Signal, scope: Scope) {
        self.processes.signal(service, signal, scope);
    }

    fn store_memo(&mut self, service: ServiceId, memo: Memo) {
        self.processes.store_memo(service, memo);
    }

    fn store_session(&mut self, index: usize, memo: &SessionMemo) -> Result<(), Refused> {
        self.processes.store_session(index, memo).map_err(|_| Refused)
    }

    fn persist(&mut self, enabled: &mut dyn Iterator<Item = (&str, bool)>, id: u64) -> Result<(), Refused> {
        let render = |text: &mut StateText| self.enabled.render(enabled, text);
        self.writer.submit(id, Records::Enabled, render).map_err(|error| {
            error!("cannot write which services are installed: {}", error);
            Refused
        })
    }

    fn copy_output(&self, service: ServiceId, since: Option<u64>, room: &mut [u8]) -> (u64, usize) {
        self.processes.copy_output(service, since, room)
    }

    fn output_start(&self, service: ServiceId) -> u64 {
        self.processes.output_start(service)
    }

    fn usage(&self, name: &str, leader: u32) -> Usage {
        self.processes.usage(name, leader)
    }

    fn memory(&self) -> Memory {
        keeper::memory()
    }

    fn run_command(
        &mut self,
        service: ServiceId,
        command: usize,
        ticket: u64,
        user: Option<UserId>,
    ) -> Result<(), Refused> {
        self.processes.run_command(service, command, ticket, user).map_err(|_| Refused)
    }

    fn check_password(
        &mut self,
        canonical: [u8; CANONICAL_PASSWORD_BYTES],
        hash: PasswordHash,
        ticket: u64,
    ) -> Result<(), Refused> {
        let job = PasswordJob { ticket, check: Some((canonical, hash)), make: None };
        self.passwords.submit(job).map_err(|_| Refused)
    }

    fn change_password(
        &mut self,
        old: Option<([u8; CANONICAL_PASSWORD_BYTES], PasswordHash)>,
        new: [u8; CANONICAL_PASSWORD_BYTES],
        ticket: u64,
    ) -> Result<(), Refused> {
        let salt = random::bytes().map_err(|error| {
            error!("cannot make a password: {}", error);
            Refused
        })?;
        self.passwords
            .submit(PasswordJob { ticket, check: old, make: Some((new, salt)) })
            .map_err(|_| Refused)
    }

    fn store_passwords(&mut self, users: &Users, id: u64) -> Result<(), Refused> {
        let render = |text: &mut StateText| self.changed_passwords.render(users, text);
        self.writer.submit(id, Records::Passwords, render).map_err(|error| {
            error!("cannot write a changed password: {}", error);
            Refused
        })
    }

    fn store_pairing(&mut self, pairing: &Pairing, id: u64) -> Result<(), Refused> {
        let render = |text: &mut StateText| self.paired.render(pairing, text);
        self.writer.submit(id, Records::Paired, render).map_err(|error| {
            error!("cannot write the paired certificates: {}", error);
            Refused
        })
    }

    fn end_board(&mut self, end: BoardEnd) -> Result<(), i32> {
        self.shutdown.request(end)
    }

    fn factory_reset(&mut self) -> Result<(), i32> {
        self.shutdown.request_reset()
    }

    fn reload(&mut self, call_id: u64, is_trial: bool) -> Result<(), Refused> {
        if self.reloader.request(call_id, is_trial) { Ok(()) } else { Err(Refused) }
    }

    fn configuration(&mut self, call_id: u64, work: ConfigurationWork) -> Result<(), Refused> {
        let is_write = matches!(work, ConfigurationWork::Write);
        if !self.reloader.request_work(call_id, work) {
            return Err(Refused);
        }
        if is_write {
            // A server that takes over compares the file, which may be written by then, with the mark of the change.
            self.processes.report_unfinished(Unfinished::Trial);
        }
        Ok(())
    }

    fn upgrade(&mut self, call_id: u64) -> Result<(), Refused> {
        if self.upgrade_call.is_some() {
            return Err(Refused);
        }
        self.upgrade_call = Some(call_id);
        self.processes.request_upgrade();
        Ok(())
    }

    fn read_log(
        &mut self,
        call_id: u64,
        source: LogSource,
        number: usize,
        since: u64,
    ) -> Result<(), Refused> {
        let is_begun = self.log_reader.request(call_id, source as usize, number, since);
        if is_begun { Ok(()) } else { Err(Refused) }
    }

    fn random(&mut self) -> Result<[u8; SESSION_ID_BYTES / 2], Refused> {
        random::bytes().map_err(|error| {
            error!("cannot open a session: {}", error);
            Refused
        })
    }

    fn unix_s(&self) -> u64 {
        self.clock.unix_s()
    }

    fn time_of_day(&self) -> Option<u64> {
        self.clock.time_of_day()
    }
}
