//! End of everything: the services that are left have their time, and are killed after it.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal as RawSignal, kill_process};

use super::main_loop::{GROUP_POLL, MainLoop};
use super::slot::Slot;
use super::strays::send;
use super::{SERVER_END_TIME, SOFTWARE, procfs, raw};
use crate::log::console::{error, warning};
use crate::service::{KILL_TIMEOUT, Scope, ServiceId, Signal, Supervisor};

impl MainLoop {
    /// Returns true once the server is asked to end, with everything.
    pub(super) fn is_to_end(&self) -> bool {
        self.ending_since.is_some() || self.is_server_ending
    }

    /// Kills a server that does not end in its time, and gives up one that cannot end: a thread that waits for a disk keeps
    /// its process.
    pub(super) fn watch_end(&mut self) {
        let Some(server) = self.server.filter(|_| self.is_to_end()) else { return };
        let now = Instant::now();
        let end_by = match self.end_by {
            Some(end_by) => end_by,
            None => {
                let services = Supervisor::new(self.services.clone()).shutdown_grace();
                *self.end_by.insert(now + services + SERVER_END_TIME)
            }
        };
        match self.dying_since {
            None if procfs::is_dying(server) => self.dying_since = Some(now),
            None if now >= end_by => {
                error!("server: it has not ended in its time, and is killed");
                self.dying_since = Some(now);
                // Fails if it has just exited.
                let _ = kill_process(server, RawSignal::KILL);
            }
            Some(since) if now.saturating_duration_since(since) >= KILL_TIMEOUT => {
                error!("server: cannot end: a thread of it hangs: {}", procfs::threads(server));
                self.end.code = procfs::exit_code(server).unwrap_or(SOFTWARE);
                self.server = None;
            }
            _ => {}
        }
    }

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
            self.wait_for_signal();
            self.reap();
            self.check_groups();
            self.server_socket.clear();
        }
    }

    /// Waits for a signal, such as that of the end of a child, or for a short time. Nothing else is read at the end.
    fn wait_for_signal(&self) {
        let time = Timespec { tv_sec: 0, tv_nsec: GROUP_POLL.subsec_nanos() as _ };
        let _ = poll(&mut [PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)], Some(&time));
        while self.signals.next().is_some() {}
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
            self.wait_for_signal();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::Pid;

    use super::super::HANDLED;
    use super::super::server_socket::ServerSocket;
    use super::*;
    use crate::service::ServiceTable;
    use crate::sys::Clock;
    use crate::sys::fork::SignalFd;
    use crate::sys::tests::lock_children;

    #[test]
    fn server_that_does_not_end_is_killed_and_given_up() {
        let _lock = lock_children();
        let mut server = Command::new("sleep").arg("1000").spawn().unwrap();
        let (socket, _end) = ServerSocket::pair().unwrap();
        let signals = SignalFd::new(&HANDLED[..1]).unwrap();
        let mut keeper = MainLoop::new(ServiceTable::new(), Clock::new(), socket, None, None, signals);
        keeper.server = Some(Pid::from_child(&server));
        keeper.watch_end();
        assert!(keeper.end_by.is_none(), "nothing asks for its end");
        keeper.ending_since = Some(Instant::now());
        keeper.watch_end();
        assert!(keeper.end_by.unwrap() >= Instant::now() + SERVER_END_TIME);
        assert!(keeper.dying_since.is_none() && server.try_wait().unwrap().is_none(), "it has its time");
        keeper.end_by = Some(Instant::now());
        keeper.watch_end();
        assert!(keeper.dying_since.is_some() && keeper.server.is_some());
        // One that cannot end is not reaped.
        while !procfs::is_dying(Pid::from_child(&server)) {
            std::thread::yield_now();
        }
        keeper.watch_end();
        assert!(keeper.server.is_some(), "it has a moment");
        keeper.dying_since = keeper.dying_since.and_then(|since| since.checked_sub(KILL_TIMEOUT));
        keeper.watch_end();
        assert_eq!((keeper.server, keeper.end.code), (None, SOFTWARE));
        server.wait().unwrap();
    }
}
