//! Reports of services about themselves, each with its slot.

use rustix::process::Pid;

use super::main_loop::MainLoop;
use super::notices::{self, NoticeSocket};
use super::procfs;
use super::slot::Slot;
use crate::service::{ServiceId, ServiceKind};

/// Reports that are read in one round.
const NOTICES_AT_ONCE: usize = 16;

impl MainLoop {
    /// Reads what services report about themselves. Only processes of services of type notify are known.
    pub(super) fn receive_notices(&mut self) {
        for _ in 0..NOTICES_AT_ONCE {
            let Some((sender, message)) = self.notices.as_ref().and_then(NoticeSocket::receive) else {
                return;
            };
            let Some(slot) = self.slot_of(sender).and_then(|index| self.slots.get_mut(index)) else {
                continue;
            };
            notices::merge(&mut slot.notice, message.notice);
            slot.was_ready |= message.notice.is_ready;
            let is_member = |main: &Pid| procfs::group_of_any(*main) == slot.pid();
            slot.main = message.main.filter(is_member).or(slot.main);
        }
    }

    /// Slot of the service of type notify that a process belongs to, by its group, or by its environment if
    /// it has left the group.
    fn slot_of(&self, pid: Pid) -> Option<usize> {
        let group = procfs::group_of_any(pid)?;
        let by_group = self.slots.iter().position(|slot| slot.has_leader() && slot.pid() == Some(group));
        let of = |name: &[u8]| str::from_utf8(name).ok().and_then(|name| self.services.find(name));
        let index = match by_group {
            Some(index) => index,
            None => procfs::with_service(pid, of)??.index(),
        };
        let spec = ServiceId::from_index(index).and_then(|service| self.services.get(service))?;
        let is_running = self.slots.get(index).is_some_and(Slot::has_leader);
        (spec.kind == ServiceKind::Notify && is_running).then_some(index)
    }
}
