//! Simulated operating system: processes, passwords and writes with an outcome after a random time, or with a fault.

use core::time::Duration;
use std::collections::BTreeMap;

use super::random::Random;
use crate::api::{Platform, Refused};
use crate::call::{ConfigurationWork, LogSource};
use crate::limits;
use crate::service::{
    BoardEnd, Exit, KILL_TIMEOUT, Memo, Memory, ProcessEvent, Program, Scope, ServiceId, Signal, SpawnError,
    SpawnStage, Usage,
};
use crate::session::{
    CANONICAL_PASSWORD_BYTES, Pairing, PasswordHash, SESSION_ID_BYTES, SessionMemo, UserId, Users,
    canonical_password,
};

/// Password of every user.
pub(super) const PASSWORD: &str = "secret password";

/// Result of earlier work, for the server.
#[derive(Debug)]
pub(super) enum Outcome {
    Spawned(ServiceId, u32),
    /// End of the leader with this pid, on its own or by a signal.
    Exited(ServiceId, u32, Exit),
    Password(u64, bool),
    /// Named command, with the number of its run.
    Command(u64, u32),
    Written(u64, Result<(), i32>),
}

/// Process of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    /// 0 while the spawn has no outcome.
    pub(super) pid: u32,
    /// It had a stop signal, and when it was killed.
    pub(super) is_stopped: bool,
    pub(super) killed: Option<Duration>,
}

impl Process {
    /// The supervisor may go on without its end.
    pub(super) fn is_given_up(&self, now: Duration) -> bool {
        self.killed.is_some_and(|killed| now >= killed + KILL_TIMEOUT)
    }
}

pub(super) struct Keeper {
    pub(super) random: Random,
    pub(super) now: Duration,
    /// Outcomes by their time, and by a number where that is the same.
    due: BTreeMap<(Duration, u64), Outcome>,
    next: u64,
    /// By service.
    pub(super) processes: Vec<Option<Process>>,
    /// Time of the last end of a process, by service; true: it failed on its own.
    pub(super) ended: Vec<(Duration, bool)>,
    /// Number of starts, signals, runs, writes and sessions: what a call without the right to it must not change.
    pub(super) effects: u64,
    /// Runs of named commands.
    pub(super) runs: u32,
    /// Calls of the checks of wrong passwords since it was cleared.
    pub(super) guesses: Vec<u64>,
    /// Time at which the one password thread is idle.
    idle: Duration,
    checks: usize,
    commands: usize,
    pub(super) unix_s: Option<u64>,
}

impl Keeper {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            now: Duration::ZERO,
            due: BTreeMap::new(),
            next: 0,
            processes: vec![None; limits::SERVICES],
            ended: vec![(Duration::ZERO, false); limits::SERVICES],
            effects: 0,
            runs: 0,
            guesses: Vec::new(),
            idle: Duration::ZERO,
            checks: 0,
            commands: 0,
            unix_s: None,
        }
    }

    /// Time of the next outcome.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.due.first_key_value().map(|((time, _), _)| *time)
    }

    /// Takes the next outcome that is due.
    pub(super) fn poll(&mut self) -> Option<Outcome> {
        if self.poll_timeout()? > self.now {
            return None;
        }
        let (_, outcome) = self.due.pop_first()?;
        match &outcome {
            Outcome::Password(..) => self.checks -= 1,
            Outcome::Command(..) => self.commands -= 1,
            _ => {}
        }
        Some(outcome)
    }

    fn after_ms(&mut self, ms: u64, outcome: Outcome) {
        self.next += 1;
        self.due.insert((self.now + Duration::from_millis(ms), self.next), outcome);
    }

    /// Event of the keeper for the server; `None` of a process that has gone.
    pub(super) fn event(&mut self, outcome: Outcome) -> Option<(ServiceId, ProcessEvent)> {
        match outcome {
            Outcome::Spawned(service, 0) => {
                self.processes[service.index()].take_if(|process| process.pid == 0);
                let error = SpawnError::new(SpawnStage::Program, 2);
                Some((service, ProcessEvent::Spawned(Err(error))))
            }
            Outcome::Spawned(service, pid) => {
                let process = self.processes[service.index()].as_mut()?;
                process.pid = pid;
                if process.killed.is_some() {
                    self.after_ms(1, Outcome::Exited(service, pid, Exit::signal(9)));
                } else if self.random.is_one_of(4) {
                    // A program that ends soon, before or after its start counts.
                    let longest = self.random.pick(&[200, 3000]);
                    let (ms, code) = (self.random.below(longest), self.random.below(2) as i32);
                    self.after_ms(ms, Outcome::Exited(service, pid, Exit::Code(code)));
                } else {
                    let ms = self.random.below(4 * 3_600_000);
                    self.after_ms(ms, Outcome::Exited(service, pid, Exit::signal(11)));
                }
                Some((service, ProcessEvent::Spawned(Ok(pid))))
            }
            Outcome::Exited(service, pid, exit) => {
                let place = &mut self.processes[service.index()];
                let process = place.take_if(|process| process.pid == pid)?;
                let is_asked = process.is_stopped || process.killed.is_some();
                self.ended[service.index()] = (self.now, !is_asked && exit != Exit::Code(0));
                Some((service, ProcessEvent::Exited { exit, is_gone: true }))
            }
            Outcome::Password(..) | Outcome::Command(..) | Outcome::Written(..) => None,
        }
    }
}

impl Platform for Keeper {
    fn store_memo(&mut self, _: ServiceId, _: Memo) {}

    fn store_session(&mut self, _: usize, _: &SessionMemo) -> Result<(), Refused> {
        // The keeper may have no room for a moment.
        if self.random.is_one_of(50) { Err(Refused) } else { Ok(()) }
    }

    fn spawn(&mut self, service: ServiceId, program: Program) {
        assert_eq!(program, Program::Main);
        self.effects += 1;
        let place = &mut self.processes[service.index()];
        if let Some(process) = place {
            assert!(process.pid != 0, "a second start before the outcome of the first");
            assert!(process.is_given_up(self.now), "two processes of one service: {process:?}");
            self.after_ms(5, Outcome::Spawned(service, 0));
            return;
        }
        let pid = 1000 + self.next as u32;
        *place = Some(Process { pid: 0, is_stopped: false, killed: None });
        let (ms, pid) = match self.random.below(50) {
            0 => (5, 0),
            // A medium that does not answer; the supervisor gives it up.
            1 => (5_000 + self.random.below(40_000), pid),
            _ => (1 + self.random.below(40), pid),
        };
        self.after_ms(ms, Outcome::Spawned(service, pid));
    }

    fn signal(&mut self, service: ServiceId, signal: Signal, _: Scope) {
        self.effects += 1;
        let Some(process) = &mut self.processes[service.index()] else { return };
        let pid = process.pid;
        let exit = |signal| Outcome::Exited(service, pid, Exit::signal(signal));
        match signal {
            Signal::Term => {
                assert!(!process.is_stopped, "a second stop signal");
                process.is_stopped = true;
                // Some take longer than they have, and some do not end at all.
                match self.random.below(20) {
                    0 => {}
                    1 => self.after_ms(9_000 + self.now.as_millis() as u64 % 3000, exit(15)),
                    _ => {
                        let ms = 1 + self.random.below(2000);
                        self.after_ms(ms, exit(15));
                    }
                }
            }
            Signal::Kill => {
                process.killed.get_or_insert(self.now);
                // One that waits for a medium ends late.
                let ms = if self.random.is_one_of(40) { 20_000 } else { 1 + self.random.below(50) };
                if pid != 0 {
                    self.after_ms(ms, exit(9));
                }
            }
            _ => {}
        }
    }

    fn persist(&mut self, enabled: &mut dyn Iterator<Item = (&str, bool)>, id: u64) -> Result<(), Refused> {
        assert!(enabled.count() <= limits::SERVICES);
        self.effects += 1;
        let (ms, result) = (self.random.below(300), self.random.is_one_of(10));
        self.after_ms(ms, Outcome::Written(id, if result { Err(28) } else { Ok(()) }));
        Ok(())
    }

    fn output_start(&self, _: ServiceId) -> u64 {
        0
    }

    fn copy_output(&self, service: ServiceId, since: Option<u64>, room: &mut [u8]) -> (u64, usize) {
        let output = format!("words of {}\n", super::SERVICES[service.index()]);
        let from = since.unwrap_or(0).min(output.len() as u64);
        let output = &output.as_bytes()[from as usize..];
        let length = output.len().min(room.len());
        room[..length].copy_from_slice(&output[..length]);
        (from, length)
    }

    fn usage(&self, _: &str, _: u32) -> Usage {
        Usage { cpu: Duration::ZERO, memory: 4096 }
    }

    fn memory(&self) -> Memory {
        Memory { server: 1 << 20, available: 2 << 20, total: 4 << 20 }
    }

    fn run_command(
        &mut self,
        _: ServiceId,
        _: usize,
        call_id: u64,
        _: Option<UserId>,
    ) -> Result<(), Refused> {
        if self.commands == limits::SERVICE_COMMAND_RUNS {
            return Err(Refused);
        }
        self.effects += 1;
        self.runs += 1;
        self.commands += 1;
        let ms = self.random.below(4000);
        self.after_ms(ms, Outcome::Command(call_id, self.runs));
        Ok(())
    }

    fn check_password(
        &mut self,
        canonical: [u8; CANONICAL_PASSWORD_BYTES],
        _: PasswordHash,
        call_id: u64,
    ) -> Result<(), Refused> {
        if self.checks == limits::PASSWORD_CHECKS {
            return Err(Refused);
        }
        self.checks += 1;
        let is_right = canonical == canonical_password(PASSWORD.as_bytes());
        if !is_right {
            self.guesses.push(call_id);
        }
        self.idle = self.idle.max(self.now) + Duration::from_millis(150);
        let wait = (self.idle - self.now).as_millis() as u64;
        self.after_ms(wait, Outcome::Password(call_id, is_right));
        Ok(())
    }

    fn change_password(
        &mut self,
        _: Option<([u8; CANONICAL_PASSWORD_BYTES], PasswordHash)>,
        _: [u8; CANONICAL_PASSWORD_BYTES],
        _: u64,
    ) -> Result<(), Refused> {
        Err(Refused)
    }

    fn store_passwords(&mut self, _: &Users, _: u64) -> Result<(), Refused> {
        Err(Refused)
    }

    fn store_pairing(&mut self, _: &Pairing, _: u64) -> Result<(), Refused> {
        Err(Refused)
    }

    fn end_board(&mut self, _: BoardEnd) -> Result<(), i32> {
        Err(38)
    }

    fn factory_reset(&mut self) -> Result<(), i32> {
        Err(38)
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

    fn random(&mut self) -> Result<[u8; SESSION_ID_BYTES / 2], Refused> {
        let mut id = [0; SESSION_ID_BYTES / 2];
        id.iter_mut().for_each(|byte| *byte = self.random.below(256) as u8);
        Ok(id)
    }

    fn time_of_day(&self) -> Option<u64> {
        self.unix_s
    }

    fn unix_s(&self) -> u64 {
        self.unix_s.unwrap_or_default()
    }
}
