//! Reports of services about themselves, each with its slot.

use std::time::Duration;

use rustix::net::UCred;
use rustix::process::{Pid, getpid};

use super::cgroups::service_in;
use super::main_loop::MainLoop;
use super::message::Report;
use super::notices::{self, Message};
use super::slot::Slot;
use super::{ANCESTORS, procfs};
use crate::log::console::warning;
use crate::service::{
    EVENT_KEY_BYTES, EVENT_LIFE_MAX, EVENT_VALUE_BYTES, EventReport, Notice, ProcessEvent, SERVICE_EVENTS,
    ServiceId, ServiceKind, StatusText,
};

/// Datagrams that are read in one round.
const NOTICES_AT_ONCE: usize = 16;

impl MainLoop {
    /// Reads what services report about themselves.
    pub(super) fn receive_notices(&mut self) {
        for _ in 0..NOTICES_AT_ONCE {
            let held = self.held_notice.take().map(Some);
            let Some(received) = held.or_else(|| self.notices.as_ref()?.receive()) else { return };
            let Some((sender, message)) = received else { continue };
            match self.slot_of(sender) {
                Ok(index) => self.note(index, message),
                Err(()) => {
                    self.held_notice = Some((sender, message));
                    return;
                }
            }
        }
    }

    /// Notes a report. Of a service of another type than notify, events and the text count: whether it is ready
    /// and alive is decided without it.
    fn note(&mut self, index: Option<usize>, mut message: Message) {
        let has_leader = |index: &usize| self.slots.get(*index).is_some_and(Slot::has_leader);
        let Some(index) = index.filter(has_leader) else { return };
        let spec = ServiceId::from_index(index).and_then(|service| self.services.get(service));
        if spec.is_none_or(|spec| spec.kind != ServiceKind::Notify) {
            message.notice = Notice { text: message.notice.text, ..Notice::default() };
            message.main = None;
        }
        self.note_events(index, &message);
        let Some(slot) = self.slots.get_mut(index) else { return };
        notices::merge(&mut slot.notice, message.notice);
        notices::merge(&mut slot.said, Notice { is_alive: false, extend: None, ..message.notice });
        let is_member = |main: &Pid| procfs::group_of_any(*main) == slot.pid();
        slot.main = message.main.filter(is_member).or(slot.main);
    }

    /// Notes the events of a service. The first refused one is logged, then the second, fourth and so on.
    fn note_events(&mut self, index: usize, message: &Message) {
        let (Some(service), now) = (ServiceId::from_index(index), self.clock.now()) else { return };
        let is_valid = message.life != Some(Duration::ZERO);
        let mut say = |text: &StatusText| self.events.say(service, *text, message.life, now);
        let refused = message.events.iter().filter(|text| !is_valid || say(text).is_err()).count();
        let Some(count) = self.refused_events.get_mut(index) else { return };
        for _ in 0..refused + message.refused {
            *count = count.saturating_add(1);
            if count.is_power_of_two() {
                let name = self.services.get(service).map_or("?", |spec| &spec.name);
                warning!(
                    "{}: event refused, {} so far: at most {} keys of {} bytes (a-z 0-9 . - _), values of {}, {} s",
                    name,
                    count,
                    SERVICE_EVENTS,
                    EVENT_KEY_BYTES,
                    EVENT_VALUE_BYTES,
                    EVENT_LIFE_MAX.as_secs()
                );
            }
        }
    }

    /// Passes the events of services on to the server.
    pub(super) fn send_events(&mut self) {
        let Self { events, slots, server_socket, clock, .. } = self;
        // A value is that of the run that has said it.
        events.retain(|service| slots.get(service.index()).is_some_and(Slot::has_leader));
        if events.is_unsent() {
            let now = clock.now();
            events.send(|event| {
                let report = EventReport {
                    text: event.text,
                    age: now.saturating_sub(event.at),
                    life: event.until.map(|until| until.saturating_sub(now)),
                    changes: event.changes,
                };
                let slot = event.service.index() as u8;
                server_socket.try_send(Report { slot, event: ProcessEvent::Event(report) })
            });
        }
    }

    /// Slot of the service that a process belongs to: by its control group, else by its ancestors. `Err`: it is not known
    /// yet. Nothing that a process of another service can set makes it one of this.
    fn slot_of(&mut self, sender: UCred) -> Result<Option<usize>, ()> {
        if let Some(group) = self.cgroups.as_ref().and_then(|cgroups| cgroups.group_of(sender.pid)) {
            return Ok(service_in(&group, &self.services).map(ServiceId::index));
        }
        let mut pid = sender.pid;
        for _ in 0..ANCESTORS {
            let leads = |slot: &Slot| slot.has_leader() && slot.pid() == Some(pid);
            if let Some(index) = self.slots.iter().position(leads) {
                return Ok(Some(index));
            }
            match procfs::parent(pid) {
                Some(parent) if parent == getpid() => return self.slot_of_orphan(pid, sender),
                Some(parent) => pid = parent,
                None => break,
            }
        }
        Ok(None)
    }

    /// The same for a child of the keeper that leads no slot, or for a descendant of it. Its group and its environment are
    /// its own choice, so its user has to be that of the service.
    fn slot_of_orphan(&mut self, child: Pid, sender: UCred) -> Result<Option<usize>, ()> {
        let group = procfs::group(child);
        let is_of = |slot: &Slot| slot.has_leader() && slot.pid() == group;
        let index = match self.slots.iter().position(is_of) {
            Some(index) => Some(index),
            None => self.slot_of_child(child)?.map(usize::from),
        };
        let leader = index.and_then(|index| self.slots.get(index)).and_then(Slot::pid);
        let is_allowed = sender.uid.is_root() || leader.and_then(procfs::uid) == Some(sender.uid.as_raw());
        Ok(index.filter(|_| is_allowed))
    }
}
