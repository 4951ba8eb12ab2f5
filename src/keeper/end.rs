//! End of everything: the services that are left have their time, and are killed after it.

use std::time::{Duration, Instant};

use super::main_loop::{GROUP_POLL, MainLoop};
use super::slot::Slot;
use super::strays::send;
use super::{procfs, raw};
use crate::log::console::warning;
use crate::service::{KILL_TIMEOUT, Scope, ServiceId, Signal};

impl MainLoop {
    /// Stops the services that run: a server that does not start leaves them what they may have to save.
    pub(super) fn stop_children(&mut self) {
        let mut time = Duration::ZERO;
        for index in 0..self.slots.len() {
            let is_running = self.slots.get(index).is_some_and(|slot| !slot.is_free());
            let spec = ServiceId::from_index(index).and_then(|service| self.services.get(service));
            let Some((signal, timeout)) =
                spec.filter(|_| is_running).map(|spec| (spec.stop_signal, spec.stop_timeout))
            else {
                continue;
            };
            time = time.max(timeout);
            self.signal(index as u8, signal, Scope::Group);
            self.signal(index as u8, Signal::Cont, Scope::Group);
        }
        let deadline = Instant::now() + time;
        while !self.slots.iter().all(Slot::is_free) && Instant::now() < deadline {
            self.wait(Some(GROUP_POLL));
            while self.signals.next().is_some() {}
            self.reap();
            self.check_groups();
            self.server_socket.clear();
        }
    }

    /// Kills every process that is left: the server is gone.
    pub(super) fn end_children(&mut self) {
        let deadline = Instant::now() + KILL_TIMEOUT;
        loop {
            self.reap();
            for slot in 0..self.slots.len() {
                self.signal(slot as u8, Signal::Kill, Scope::Group);
            }
            let left = procfs::children();
            left.iter().for_each(|pid| send(*pid, Signal::Kill));
            let is_over = Instant::now() >= deadline;
            if left.is_empty() || is_over {
                if let Some(cgroups) = &self.cgroups {
                    cgroups.remove();
                }
                for pid in left {
                    warning!("process {} ({}) cannot be killed", raw(pid), procfs::name(pid));
                }
                return;
            }
            self.server_socket.clear();
            self.wait(Some(GROUP_POLL));
            while self.signals.next().is_some() {}
        }
    }
}
