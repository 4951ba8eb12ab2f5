//! Processes of services outside of their process groups, and the signals that they have had.

use heapless::Vec;
use rustix::process::{Pid, Signal as RawSignal, kill_process};

use super::procfs::{self, Family};
use super::{FOREIGNERS, ORPHANS, raw};
use crate::log::console::warning;
use crate::service::Signal;

/// A process that has left the group of its service.
#[derive(Debug)]
struct Stray {
    pid: Pid,
    slot: u8,
    /// Last signal that asked for its end.
    signal: Option<Signal>,
}

/// Every stray that is known.
#[derive(Debug, Default)]
pub(super) struct Strays {
    known: Vec<Stray, ORPHANS>,
    /// Children that belong to no service, each logged once.
    foreigners: Vec<Pid, FOREIGNERS>,
}

/// Owner of a child that is not in the group of the slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Owner {
    /// The server, or a process in the process group or in the control group of a slot.
    Known,
    /// The service of this slot, by the environment of the process.
    Slot(u8),
    /// None: the environment has no name of a service.
    NoService,
}

impl Strays {
    /// Looks for the processes of a slot that are not in its process group: members of its control group,
    /// children of the keeper that its service has started, and descendants of all its processes.
    pub(super) fn look(
        &mut self,
        slot: u8,
        group: Option<Pid>,
        mut members: Vec<Pid, ORPHANS>,
        owner: impl Fn(Pid) -> Owner,
    ) {
        if self.foreigners.is_full() {
            self.foreigners.retain(|pid| !procfs::is_zombie(*pid));
        }
        let family = Family::new();
        for pid in family.children_of(rustix::process::getpid()) {
            if members.contains(&pid) {
                continue;
            }
            let is_member = procfs::group(pid) == group
                || match self.known.iter().find(|stray| stray.pid == pid) {
                    Some(stray) => stray.slot == slot,
                    None => match owner(pid) {
                        Owner::Known => false,
                        Owner::Slot(of) => of == slot,
                        Owner::NoService => {
                            self.name_foreigner(pid);
                            false
                        }
                    },
                };
            if is_member && members.push(pid).is_err() {
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
        self.known.retain(|stray| stray.slot != slot || members.contains(&stray.pid));
        for pid in members {
            let is_known = self.known.iter().any(|stray| stray.pid == pid);
            if !is_known && family.group_of(pid) != group {
                // One over the limit is found once another has ended.
                let _ = self.known.push(Stray { pid, slot, signal: None });
            }
        }
    }

    fn name_foreigner(&mut self, pid: Pid) {
        if !self.foreigners.contains(&pid) && !procfs::is_zombie(pid) && self.foreigners.push(pid).is_ok() {
            warning!(
                "process {} ({}) belongs to no service: it has left its group, and FRIENDLET_SERVICE is not in \
                 its environment; it ends with the server",
                raw(pid),
                procfs::name(pid)
            );
        }
    }

    /// Sends a signal to the strays of a slot.
    pub(super) fn signal(&mut self, slot: u8, signal: Signal) {
        for stray in self.known.iter_mut().filter(|stray| stray.slot == slot) {
            send(stray.pid, signal);
            if signal.can_end() {
                stray.signal = Some(signal);
            }
        }
    }

    /// Sends the last signal of a slot to those that have not had it. A program may take its second one for
    /// a demand to end at once.
    pub(super) fn repeat(&mut self, slot: u8, signal: Signal) {
        let is_new = |stray: &Stray| signal == Signal::Kill || stray.signal != Some(signal);
        for stray in self.known.iter_mut().filter(|stray| stray.slot == slot && is_new(stray)) {
            send(stray.pid, signal);
            // A suspended process handles no other signal.
            send(stray.pid, Signal::Cont);
            stray.signal = Some(signal);
        }
    }

    /// Returns true if a stray of the slot is left.
    pub(super) fn has_any(&self, slot: u8) -> bool {
        self.known.iter().any(|stray| stray.slot == slot)
    }
}

/// Signals a process outside of a group.
pub(super) fn send(pid: Pid, signal: Signal) {
    if let Some(signal) = RawSignal::from_named_raw(signal.number()) {
        // Fails if it has just exited, or belongs to another user of a keeper that is not root.
        let _ = kill_process(pid, signal);
    }
}
