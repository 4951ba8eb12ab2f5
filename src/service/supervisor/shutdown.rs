//! Shutdown: stops all services, each after its dependents.

use core::time::Duration;

use super::super::record::{Next, Settle};
use super::super::table::bit;
use super::super::transition::{Event, Phase};
use super::super::{KILL_TIMEOUT, Program, SHUTDOWN_GRACE, ServiceId};
use super::Supervisor;
use crate::limits::SERVICES;

impl Supervisor {
    /// Stops all services, each after its dependents and within its own `stop_timeout`. No service starts
    /// from now on.
    pub fn shutdown(&mut self, now: Duration) {
        if self.is_shutting_down {
            return;
        }
        self.is_shutting_down = true;
        self.end_checks();
        for index in 0..SERVICES {
            let Some(service) = ServiceId::from_index(index) else { continue };
            let entry = &mut self.entries[index];
            // A service that is prepared does not start any more.
            if entry.next == Next::Start || entry.program == Program::PreStart {
                entry.next = Next::Stay;
            }
            let phase = entry.phase;
            if entry.settle == Settle::Starting {
                self.cancel_start(service);
            }
            if matches!(phase, Phase::Blocked | Phase::Waiting | Phase::Spawning | Phase::Preparing) {
                self.apply_internal(service, Event::Stop, now);
            }
        }
        self.continue_shutdown(now);
    }

    /// Time that a server has for a shutdown.
    pub fn shutdown_grace(&self) -> Duration {
        SHUTDOWN_GRACE.max(self.shutdown_time() + KILL_TIMEOUT)
    }

    /// Longest time of a shutdown: for each service of the longest chain of dependencies its `stop_timeout`
    /// and `KILL_TIMEOUT`, and the same for its `finish`.
    pub fn shutdown_time(&self) -> Duration {
        let mut chains = [Duration::ZERO; SERVICES];
        // The order has the dependencies of a service before it.
        for service in &self.order {
            let after = self.entries[service.index()].after;
            let dependencies = chains.iter().enumerate().filter(|(index, _)| after & (1 << index) != 0);
            let before = dependencies.map(|(_, chain)| *chain).max().unwrap_or_default();
            let own = self.spec(*service).map_or(Duration::ZERO, |spec| {
                let ends = 1 + u32::from(!spec.finish.is_empty());
                (spec.stop_timeout + KILL_TIMEOUT) * ends
            });
            chains[service.index()] = before + own;
        }
        chains.into_iter().max().unwrap_or_default()
    }

    /// Returns true after a shutdown: no service has a process, or the remaining ones cannot be killed.
    pub fn is_down(&self) -> bool {
        self.is_shutting_down && self.busy() == 0
    }

    /// During shutdown: stops every service without a live dependent.
    pub(super) fn continue_shutdown(&mut self, now: Duration) {
        if !self.is_shutting_down {
            return;
        }
        let busy = self.busy();
        for service in self.order.clone().into_iter().rev() {
            let needed = self
                .entries
                .iter()
                .enumerate()
                .any(|(index, entry)| busy & (1 << index) != 0 && entry.after & bit(service) != 0);
            let phase = self.entries[service.index()].phase;
            let runs = matches!(phase, Phase::Started | Phase::Paused);
            if runs && !needed && self.has_room() {
                self.apply_internal(service, Event::Stop, now);
            }
        }
    }

    /// Mask of the services that have a process or a pending spawn to wait for.
    pub(super) fn busy(&self) -> u64 {
        self.entries
            .iter()
            .enumerate()
            .fold(0, |busy, (index, entry)| busy | u64::from(entry.phase.is_busy()) << index)
    }
}
