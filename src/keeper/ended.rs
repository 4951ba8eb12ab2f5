//! Slots whose leader has exited: processes that are left, and those that have left their process groups.

use std::time::Instant;

use rustix::process::Pid;

use super::cgroups::{Cgroups, group_name};
use super::main_loop::MainLoop;
use super::procfs;
use super::slot::Slot;
use crate::service::{ProcessEvent, Signal};

/// Pause after a look, in multiples of its duration: a service with many processes may not take the processor.
const LOOK_PAUSE: u32 = 9;

impl MainLoop {
    /// Looks at the slots whose leader has exited.
    pub(super) fn check_groups(&mut self) {
        let start = Instant::now();
        if self.next_look.is_some_and(|next| start < next) {
            return;
        }
        for index in 0..self.slots.len() {
            if self.slots.get(index).is_some_and(Slot::has_ended) && self.is_gone(index as u8) {
                if let Some(place) = self.slots.get_mut(index) {
                    place.set_free();
                }
                self.report(index as u8, ProcessEvent::Gone);
            }
        }
        self.clear_left_groups();
        let end = Instant::now();
        self.next_look = end.checked_add(end.saturating_duration_since(start) * LOOK_PAUSE);
    }

    /// Returns true if nothing of a slot is left after its leader. What has left the group since the last
    /// signal to it gets that signal now.
    pub(super) fn is_gone(&mut self, slot: u8) -> bool {
        let Some(place) = self.slots.get(usize::from(slot)) else { return true };
        let last_signal = place.last_signal;
        let is_populated = |cgroups: &Cgroups| cgroups.is_populated(&group_name(slot.into(), &self.services));
        let is_populated = self.cgroups.as_ref().is_some_and(is_populated);
        if is_populated && last_signal == Some(Signal::Kill) {
            // A look at hundreds of processes would only delay their end.
            self.kill_cgroup(slot);
            return false;
        }
        let is_undecided = self.look(slot);
        if let Some(signal) = last_signal {
            self.strays.repeat(slot, signal);
        }
        let is_empty = !is_populated && !self.strays.has_any(slot) && !is_undecided;
        is_empty && self.slots.get_mut(usize::from(slot)).is_none_or(Slot::is_group_gone)
    }

    /// Looks for processes of a slot that have left its group. Returns true while another one may be found.
    pub(super) fn look(&mut self, slot: u8) -> bool {
        let Some(place) = self.slots.get_mut(usize::from(slot)) else { return false };
        place.forget_empty_group();
        let group = place.pid();
        let (slots, services, cgroups) = (&self.slots, &self.services, self.cgroups.as_ref());
        let own = [self.server, self.upgrade.pid()];
        let members = cgroups.map(|cgroups| cgroups.members(&group_name(slot.into(), services)));
        // Also with a control group: root can leave it.
        let has_owner = |pid| has_owner(pid, own, slots, cgroups);
        self.strays.look(slot, group, members.unwrap_or_default(), services, has_owner)
    }

    /// Slot of a child that may have left the group of its service. `Err`: it is not known yet.
    pub(super) fn slot_of_child(&mut self, pid: Pid) -> Result<Option<u8>, ()> {
        let (slots, cgroups) = (&self.slots, self.cgroups.as_ref());
        let own = [self.server, self.upgrade.pid()];
        self.strays.slot_of(pid, &self.services, |pid| has_owner(pid, own, slots, cgroups))
    }

    /// Takes late answers about children. What belongs to a slot gets the last signal of it.
    pub(super) fn attribute_children(&mut self) {
        while let Some(slot) = self.strays.next_attributed() {
            let Some(slot) = slot else { continue };
            if let Some(signal) = self.slots.get(usize::from(slot)).and_then(|place| place.last_signal) {
                self.strays.repeat(slot, signal);
            }
        }
    }
}

/// Returns true for the server, a program that is tried, and a child in the process group or the control group of a slot.
fn has_owner(pid: Pid, own: [Option<Pid>; 2], slots: &[Slot], cgroups: Option<&Cgroups>) -> bool {
    let group = procfs::group(pid);
    own.contains(&Some(pid))
        || slots.iter().any(|slot| group.is_some() && slot.pid() == group)
        || cgroups.is_some_and(|cgroups| cgroups.group_of(pid).is_some())
}
