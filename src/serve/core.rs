//! Where the network, the system and the core meet.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::system::System;
use crate::api::Counters;
use crate::call::{CommandOutput, Completion, PasswordVerdict};
use crate::connection::{End, Server, SlotId, State};
use crate::log::RateLimit;
use crate::net::{Bell, Endpoint, Ports, Read, Write};
use crate::runtime;
use crate::service::LastExit;
use crate::sys::password::{PasswordResult, PasswordWorker};
use crate::sys::{Clock, Notify, Processes, log_files};
use crate::{debug, info};

/// The server in a cell. Every method borrows it for one call and lets go before anything waits.
pub(super) struct Core {
    inside: RefCell<Inside>,
    clock: Clock,
    /// The loop's time, and what it is on our clock: the same for all that happens in one turn.
    time: Cell<(Instant, Duration)>,
    notify: Rc<Notify>,
    ports: Rc<Ports>,
}

struct Inside {
    server: Server,
    system: System,
    told: Counters,
    told_of: RateLimit,
}

impl Core {
    pub(super) fn new(
        server: Server,
        system: System,
        clock: Clock,
        notify: Rc<Notify>,
        ports: Rc<Ports>,
    ) -> Self {
        let inside = Inside { server, system, told: Counters::default(), told_of: RateLimit::default() };
        let time = Cell::new((runtime::now(), clock.now()));
        Self { inside: RefCell::new(inside), clock, time, notify, ports }
    }

    fn time(&self) -> Duration {
        let moment = runtime::now();
        let (known, time) = self.time.get();
        if moment == known {
            return time;
        }
        let time = self.clock.at(moment);
        self.time.set((moment, time));
        time
    }

    /// Runs `step` on the server, then wakes the slots that it left something for.
    fn with<R>(&self, step: impl FnOnce(&mut Server, &mut System, Duration) -> R) -> R {
        let mut inside = self.inside.borrow_mut();
        let Inside { server, system, .. } = &mut *inside;
        let result = step(server, system, self.time());
        server.take_wakes(|index| self.ports.wake(index));
        result
    }

    pub(super) fn start(&self) {
        self.with(|server, system, now| server.start(now, system));
    }

    pub(super) fn shutdown(&self) {
        self.with(|server, system, now| {
            server.shutdown(now, system);
            system.processes().kill_commands();
        });
    }

    pub(super) fn is_down(&self) -> bool {
        self.inside.borrow().server.is_down()
    }

    pub(super) fn kill_rest(&self) {
        self.with(|server, system, _| server.kill_services(system));
    }

    pub(super) fn log_counters(&self) {
        info!("served {}", self.inside.borrow().server.counters());
    }

    /// Takes note of every child that has ended.
    pub(super) fn reap(&self) {
        let processes = Rc::clone(self.inside.borrow().system.processes());
        while let Some((pid, exit)) = processes.reap() {
            if !processes.handle_exit(pid, exit) {
                self.with(|server, system, now| server.handle_exit(pid, exit, now, system));
            }
        }
    }
}

impl Endpoint for Core {
    fn now(&self) -> Duration {
        self.time()
    }

    fn claim(&self, peer: SocketAddr) -> Option<SlotId> {
        self.with(|server, _, now| server.claim(peer.ip(), now))
    }

    fn evict_idle(&self) {
        self.with(|server, _, now| server.evict_idle(now));
    }

    fn release(&self, id: SlotId) {
        self.with(|server, _, _| server.release(id));
    }

    fn state(&self, id: SlotId) -> State {
        self.inside.borrow().server.state(id)
    }

    fn receive(&self, id: SlotId, read: &mut Read<'_>) -> io::Result<(usize, State)> {
        self.with(|server, system, now| {
            let count = server.receive(id, read, now, system)?;
            Ok((count, server.state(id)))
        })
    }

    fn send(&self, id: SlotId, write: &mut Write<'_>) -> io::Result<(usize, State)> {
        self.with(|server, system, now| {
            let count = server.send(id, write, now, system)?;
            Ok((count, server.state(id)))
        })
    }

    fn handle_end(&self, id: SlotId, end: End) {
        self.with(|server, system, now| server.handle_end(id, end, now, system));
    }

    fn handle_plain(&self, id: SlotId) {
        self.with(|server, _, now| server.handle_plain(id, now));
    }

    fn handle_tick(&self) {
        // A signal may be lost when many children end at once; none stays unreaped for long.
        self.reap();
        self.with(|server, system, now| {
            if server.poll_timeout().is_some_and(|deadline| now >= deadline) {
                server.handle_timeout(now, system);
            }
            server.rest();
        });
        // Only what comes this far is alive.
        self.notify.handle_tick(self.time());
        log_files::handle_tick(self.time());
        let mut inside = self.inside.borrow_mut();
        let counters = *inside.server.counters();
        if counters.refusals() != inside.told.refusals() && inside.told_of.try_acquire(self.time()).is_some()
        {
            debug!("so far {}", counters);
            inside.told = counters;
        }
    }
}

/// Passes on the verdicts of the thread that checks passwords.
pub(super) async fn passwords(core: Rc<Core>, worker: Rc<PasswordWorker>) {
    while let Some(result) = worker.result().await {
        core.with(|server, system, now| {
            let PasswordResult { ticket, ok, made } = result;
            let verdict = match made {
                Some(hash) => PasswordVerdict::Made(hash),
                None if ok => PasswordVerdict::Right,
                None => PasswordVerdict::Wrong,
            };
            server.handle_completion(ticket, Completion::Password(verdict), now, system);
        });
    }
}

/// Passes on the ends of named commands.
pub(super) async fn commands(core: Rc<Core>, processes: Rc<Processes>, bell: Rc<Bell>) {
    loop {
        bell.heard().await;
        while let Some(done) = processes.poll_command_done() {
            let mut exit = heapless::String::<32>::new();
            let _ = if done.timed_out() {
                exit.write_str("timed out")
            } else {
                write!(exit, "{}", LastExit::from(done.exit()))
            };
            core.with(|server, system, now| {
                let output = CommandOutput { exit: &exit, output: &done.output(), is_cut: done.is_cut() };
                server.handle_completion(done.ticket(), Completion::Command(output), now, system);
            });
        }
    }
}
