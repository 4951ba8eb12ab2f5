//! Succession: what a server that was killed leaves to the next one, and a later configuration file.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process_group};

use super::cgroups::{Cgroups, service_group};
use super::main_loop::{LeftGroups, MainLoop};
use super::notices::NoticeSocket;
use super::process_table::{Left, ProcessTable, TableError};
use super::relay::Relay;
use super::server_socket::ServerSocket;
use super::slot::Slot;
use super::{Configuration, Inheritance, raw};
use crate::log::console::warning;
use crate::service::KILL_TIMEOUT;

impl MainLoop {
    /// Prepares a new server in place of one that was killed. Returns its ends of the sockets.
    ///
    /// # Errors
    /// Error of the system: no descriptors left.
    pub(super) fn renew(&mut self) -> io::Result<(OwnedFd, Option<UnixDatagram>)> {
        while let Some(pause) = self.until_next_server().filter(|_| self.ending_since.is_none()) {
            self.wait(Some(self.pause().map_or(pause, |due| due.min(pause))));
            self.step();
            self.server_socket.clear();
        }
        self.slots.iter_mut().for_each(Slot::end_unfinished);
        let (keeper, server) = ServerSocket::pair()?;
        // With it, reports for the old server go. The slots have all of it.
        self.server_socket = ServerSocket::new(keeper);
        let notify = self.relay.as_mut().map(Relay::renew).transpose()?;
        Ok((server, notify))
    }

    /// Finds the processes that an earlier keeper has left. Those of services are stopped by the server, as long as
    /// their configuration gives them, and others are killed at once.
    ///
    /// # Errors
    /// See [`ProcessTable::open`].
    pub(super) fn find_left(&mut self, table: Option<&Path>) -> Result<(), TableError> {
        self.left_groups = LeftGroups::Waiting;
        let (table, left) = ProcessTable::open(table, &self.services)?;
        self.table = table;
        for Left { service, pid } in left {
            let name = service.and_then(|service| self.services.get(service)).map_or("?", |spec| &spec.name);
            warning!("{}: process {} runs, an earlier keeper has left it", name, raw(pid));
            match service.and_then(|service| self.slots.get_mut(service.index())) {
                Some(slot) => *slot = Slot::left(Some(pid)),
                // Fails if it has just ended.
                None => drop(kill_process_group(pid, Signal::KILL)),
            }
        }
        let Some(cgroups) = &mut self.cgroups else { return Ok(()) };
        cgroups.follow(&self.services);
        for (service, spec) in self.services.iter() {
            let slot = self.slots.get_mut(service.index()).filter(|slot| !slot.is_left());
            if let Some(slot) = slot.filter(|_| cgroups.is_populated(&service_group(&spec.name))) {
                warning!("{}: processes run, an earlier keeper has left them", spec.name);
                *slot = Slot::left(None);
            }
        }
        Ok(())
    }

    /// Clears the control groups of keepers that were killed, once no process is left that its service stops.
    pub(super) fn clear_left_groups(&mut self) {
        let Some(cgroups) = &mut self.cgroups else {
            self.left_groups = LeftGroups::None;
            return;
        };
        let until = match self.left_groups {
            LeftGroups::None => return,
            LeftGroups::Waiting if self.slots.iter().any(Slot::is_left) => return,
            LeftGroups::Waiting => {
                cgroups.kill_left(|_| true);
                Instant::now() + KILL_TIMEOUT
            }
            LeftGroups::Killed(until) => until,
        };
        // What cannot be killed stays, with its group.
        let is_over = cgroups.remove_left() || Instant::now() >= until;
        if is_over {
            cgroups.forget_followed();
        }
        self.left_groups = if is_over { LeftGroups::None } else { LeftGroups::Killed(until) };
    }

    /// Puts the services of a later configuration file in force: the next requests are about them.
    pub(super) fn reload(&mut self, configuration: &mut dyn Configuration) {
        let Some((text, force)) = self.configuration.take() else { return };
        let Some(later) = configuration.configure(text, force) else { return };
        self.services = self.services.succeed(later);
        if self.notices.is_none() {
            self.notices = NoticeSocket::new();
        }
        self.check_cgroups();
    }

    /// Control groups, for the server.
    pub(super) fn cgroups(&mut self) -> Option<Cgroups> {
        self.cgroups.take()
    }

    /// Services and sessions that a later server takes over.
    pub(super) fn inheritance(&mut self) -> Inheritance {
        let clock = self.clock;
        let (is_reloading, is_unconfirmed) = (self.is_reloading, self.is_unconfirmed);
        let sessions = core::mem::take(&mut self.sessions);
        let mut all = Inheritance { sessions, is_reloading, is_unconfirmed, ..Inheritance::default() };
        for (service, _) in self.services.iter() {
            let slot = self.slots.get_mut(service.index());
            if let Some((inherited, output)) = slot.and_then(|slot| slot.hand_over(clock)) {
                all.services.push((service, inherited));
                all.outputs.extend(output.map(|output| (service, output)));
            }
        }
        all
    }

    /// Rest of the pause before the next server.
    fn until_next_server(&self) -> Option<Duration> {
        let rest = self.next_server?.saturating_duration_since(Instant::now());
        (!rest.is_zero()).then_some(rest)
    }
}
