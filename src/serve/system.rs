//! The system, as the core asks for it.

use std::rc::Rc;

use super::ending::Ending;
use crate::api::{BoardEnd, Platform, Refused};
use crate::service::{Arguments, ServiceId, Signal, Spec};
use crate::session::{CANONICAL_PASSWORD_BYTES, PasswordHash, SESSION_ID_BYTES, Users};
use crate::sys::password::{PasswordJob, PasswordWorker};
use crate::sys::{Clock, EnabledFile, PasswordsFile, Processes, random};
use crate::{error, warning};

pub(super) struct System {
    processes: Rc<Processes>,
    passwords: Rc<PasswordWorker>,
    enabled: EnabledFile,
    changed_passwords: PasswordsFile,
    ending: Rc<Ending>,
    clock: Clock,
}

impl System {
    pub(super) fn new(
        processes: Rc<Processes>,
        passwords: Rc<PasswordWorker>,
        enabled: EnabledFile,
        changed_passwords: PasswordsFile,
        ending: Rc<Ending>,
        clock: Clock,
    ) -> Self {
        Self { processes, passwords, enabled, changed_passwords, ending, clock }
    }

    pub(super) fn processes(&self) -> &Rc<Processes> {
        &self.processes
    }
}

impl Platform for System {
    fn spawn(&mut self, service: ServiceId, spec: &Spec) -> Result<u32, i32> {
        self.processes.spawn(spec, service)
    }

    fn signal(&mut self, pid: u32, signal: Signal) {
        if let Err(errno) = self.processes.signal_group(pid, signal) {
            // Gone before the signal came: the reaping will tell.
            crate::debug!("signal {} to group {}: errno {}", signal.name(), pid, errno);
        }
    }

    fn persist(&mut self, enabled: &mut dyn Iterator<Item = (&str, bool)>) -> bool {
        match self.enabled.store(enabled) {
            Ok(()) => true,
            Err(error) => {
                error!("what is installed cannot be written down: {}", error);
                false
            }
        }
    }

    fn copy_output(&self, service: ServiceId, since: Option<u64>, room: &mut [u8]) -> (u64, usize) {
        self.processes.copy_output(service, since, room)
    }

    fn run_command(&mut self, service: &Spec, argv: &Arguments, ticket: u64) -> Result<(), Refused> {
        self.processes.run_command(service, argv, ticket).map_err(|error| {
            warning!("service {}: its command does not run: {}", service.name, error);
            Refused
        })
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
            error!("no password can be made: {}", error);
            Refused
        })?;
        self.passwords
            .submit(PasswordJob { ticket, check: old, make: Some((new, salt)) })
            .map_err(|_| Refused)
    }

    fn store_passwords(&mut self, users: &Users) -> bool {
        match self.changed_passwords.store(users) {
            Ok(()) => true,
            Err(error) => {
                error!("a changed password cannot be written down: {}", error);
                false
            }
        }
    }

    fn end_board(&mut self, end: BoardEnd) -> Result<(), i32> {
        self.ending.ask(end)
    }

    fn random(&mut self) -> Result<[u8; SESSION_ID_BYTES / 2], Refused> {
        random::bytes().map_err(|error| {
            error!("no session can be opened: {}", error);
            Refused
        })
    }

    fn unix_s(&self) -> u64 {
        self.clock.unix_s()
    }
}
