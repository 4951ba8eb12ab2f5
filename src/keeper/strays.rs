//! Processes of services outside of their process groups, and the signals that they have had.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use heapless::Vec;
use rustix::process::{Pid, Signal as RawSignal, kill_process};

use super::marks::{Answer, Asked, Marks};
use super::procfs::{self, Family, ProcessKey};
use super::{FOREIGNERS, ORPHANS, raw};
use crate::log::console::warning;
use crate::service::{ServiceTable, Signal};

/// A process that has left the group of its service.
#[derive(Debug)]
struct Stray {
    key: ProcessKey,
    /// `None`: a child of the keeper that belongs to no service.
    slot: Option<u8>,
    /// Last signal that asked for its end.
    signal: Option<Signal>,
}

/// Every stray that is known.
#[derive(Debug, Default)]
pub(super) struct Strays {
    known: Vec<Stray, ORPHANS>,
    marks: Marks,
}

impl Strays {
    /// Looks for the processes of a slot that are not in its process group: members of its control group,
    /// children of the keeper that its service has started, and descendants of all its processes. `has_owner` returns
    /// true for the server, and for a child in the process group or in the control group of a slot. Returns true while a child
    /// may be one of any service, because its environment is being read.
    pub(super) fn look(
        &mut self,
        slot: u8,
        group: Option<Pid>,
        mut members: Vec<Pid, ORPHANS>,
        services: &ServiceTable,
        has_owner: impl Fn(Pid) -> bool,
    ) -> bool {
        let is_in = |of: Option<Pid>| group.is_some() && of == group;
        let family = Family::new();
        let mut children = family.children_of(rustix::process::getpid());
        children.retain(|pid| !members.contains(pid));
        let is_undecided =
            self.attribute(&children, services, |pid| is_in(procfs::group(pid)) || has_owner(pid));
        for pid in children {
            let is_stray = || self.find(pid).is_some_and(|stray| stray.slot == Some(slot));
            if (is_in(procfs::group(pid)) || is_stray()) && members.push(pid).is_err() {
                break;
            }
        }
        // The list grows while it is read: the descendants of each follow.
        let mut next = 0;
        while let Some(pid) = members.get(next).copied() {
            next += 1;
            for child in family.children_of(pid) {
                if !members.contains(&child) && members.push(child).is_err() {
                    break;
                }
            }
        }
        // Another process may have the number of one that has ended.
        let is_left = |stray: &Stray| members.contains(&stray.key.pid) && stray.key.exists();
        self.known.retain(|stray| stray.slot != Some(slot) || is_left(stray));
        for pid in members {
            if !self.known.iter().any(|stray| stray.key.pid == pid)
                && !is_in(family.group_of(pid))
                && let Some(key) = ProcessKey::of(pid)
            {
                // One over the limit is found once another has ended.
                let _ = self.known.push(Stray { key, slot: Some(slot), signal: None });
            }
        }
        is_undecided
    }

    fn find(&self, pid: Pid) -> Option<&Stray> {
        self.known.iter().find(|stray| stray.key.pid == pid && stray.key.exists())
    }

    /// Finds out to which service children of the keeper belong, each once. Returns true while that is not known of all.
    fn attribute(
        &mut self,
        children: &[Pid],
        services: &ServiceTable,
        has_owner: impl Fn(Pid) -> bool,
    ) -> bool {
        let mut unknown = Asked::new();
        for pid in children {
            if self.find(*pid).is_some()
                || self.marks.is_reader(*pid)
                || has_owner(*pid)
                || procfs::is_zombie(*pid)
            {
                continue;
            }
            self.known.retain(|stray| stray.key.pid != *pid);
            // Each needs a place, or it would be asked for again and again.
            if let Some(key) = ProcessKey::of(*pid).filter(|_| unknown.len() + self.known.len() < ORPHANS) {
                let _ = unknown.push(key);
            }
        }
        self.marks.ask(unknown.clone(), services);
        while self.next_attributed().is_some() {}
        let is_known = |key: &ProcessKey| self.known.iter().any(|stray| stray.key == *key);
        self.marks.is_reading() && !unknown.iter().all(is_known)
    }

    /// Takes the next answer about an environment: the process has a place among those that are known. Returns its slot.
    pub(super) fn next_attributed(&mut self) -> Option<Option<u8>> {
        let (key, answer) = self.marks.poll()?;
        let slot = match answer {
            Answer::Service(slot) => Some(slot),
            Answer::NoService => self.name_foreigner(key.pid, "FRIENDLET_SERVICE is not in its environment"),
            Answer::Unreadable => self.name_foreigner(key.pid, "its environment cannot be read"),
        };
        let _ = self.known.push(Stray { key, slot, signal: None });
        Some(slot)
    }

    fn name_foreigner(&self, pid: Pid, reason: &str) -> Option<u8> {
        let foreigners = self.known.iter().filter(|stray| stray.slot.is_none()).count();
        if foreigners < FOREIGNERS && !procfs::is_zombie(pid) {
            warning!(
                "process {} ({}) belongs to no service: it has left its group, and {}; it ends with the server",
                raw(pid),
                procfs::name(pid),
                reason
            );
        }
        None
    }

    /// Slot of one child of the keeper. `Err`: its environment is being read.
    pub(super) fn slot_of(
        &mut self,
        pid: Pid,
        services: &ServiceTable,
        has_owner: impl Fn(Pid) -> bool,
    ) -> Result<Option<u8>, ()> {
        let is_undecided = self.attribute(&[pid], services, has_owner);
        match self.find(pid) {
            Some(stray) => Ok(stray.slot),
            None if is_undecided => Err(()),
            None => Ok(None),
        }
    }

    /// Pipe that has to be watched.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.marks.pipe()
    }

    /// Time until something is due that no descriptor announces.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.marks.pause()
    }

    /// Notes that a child is reaped: another process may get its number.
    pub(super) fn forget(&mut self, pid: Pid) {
        self.marks.forget(pid);
        self.known.retain(|stray| stray.key.pid != pid);
    }

    /// Sends a signal to the strays of a slot.
    pub(super) fn signal(&mut self, slot: u8, signal: Signal) {
        for stray in self.known.iter_mut().filter(|stray| stray.slot == Some(slot)) {
            stray.send(signal);
            if signal.can_end() {
                stray.signal = Some(signal);
            }
        }
    }

    /// Sends the last signal of a slot to those that have not had it. A program may take its second one for
    /// a demand to end at once.
    pub(super) fn repeat(&mut self, slot: u8, signal: Signal) {
        let is_new = |stray: &Stray| signal == Signal::Kill || stray.signal != Some(signal);
        for stray in self.known.iter_mut().filter(|stray| stray.slot == Some(slot) && is_new(stray)) {
            stray.send(signal);
            // A suspended process handles no other signal.
            stray.send(Signal::Cont);
            stray.signal = Some(signal);
        }
    }

    /// Returns true if a stray of the slot is left.
    pub(super) fn has_any(&self, slot: u8) -> bool {
        self.known.iter().any(|stray| stray.slot == Some(slot))
    }
}

impl Stray {
    /// Signals it, unless another process has its number by now.
    fn send(&self, signal: Signal) {
        if self.key.exists() {
            send(self.key.pid, signal);
        }
    }
}

/// Signals a process outside of a group.
pub(super) fn send(pid: Pid, signal: Signal) {
    if let Some(signal) = RawSignal::from_named_raw(signal.number()) {
        // Fails if it has just exited, or belongs to another user of a keeper that is not root.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::lock_children;

    /// A process outside of a group has ended, and another one has its number.
    #[test]
    fn process_with_the_number_of_a_dead_stray_gets_no_signal() {
        let _lock = lock_children();
        let sleep = || std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let mut other = sleep();
        let key = ProcessKey::of(Pid::from_child(&other)).unwrap();
        let mut strays = Strays::default();
        strays.known.push(Stray { key: key.earlier(), slot: Some(3), signal: None }).unwrap();
        strays.signal(3, Signal::Kill);
        strays.repeat(3, Signal::Kill);
        assert!(other.try_wait().unwrap().is_none(), "it lives");
        // Nor does it count as a process of that service.
        strays.look(3, None, Vec::new(), &ServiceTable::new(), |_| true);
        assert!(!strays.has_any(3));
        // The one that is known gets it.
        strays.known.push(Stray { key, slot: Some(3), signal: None }).unwrap();
        strays.look(3, None, Vec::new(), &ServiceTable::new(), |_| true);
        assert!(strays.has_any(3));
        strays.signal(3, Signal::Kill);
        assert!(!other.wait().unwrap().success());
    }
}
