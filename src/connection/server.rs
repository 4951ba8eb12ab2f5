//! The whole server, without a socket and a clock.

use core::time::Duration;
use std::net::IpAddr;

use super::machine::{Connection, Context, Finish, State};
use super::{Admission, SlotId};
use crate::api::{Api, ServerConfig};
use crate::api::{CommandEnd, Counters, PasswordVerdict, Platform};
use crate::call::{Identity, PendingCall};
use crate::friendcore::chunk::Assembler;
use crate::limits::{OVERFLOW_SLOTS, SLOTS};
use crate::service::{Exit, Signal};
use crate::session::{SessionKey, Source};
use crate::ws::CloseCode;

/// How a connection's incoming side ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The peer sent its last byte.
    Eof,
    /// The connection broke.
    Broken,
    /// What came is not TLS, or TLS gone wrong.
    Tls,
}

/// The server: slots, sessions, services. Everything in it is made in [`new`](Self::new) and nothing
/// grows after.
///
/// After each call, [`next_wake`](Self::next_wake) returns the slots that have something to send or to end
/// because of it.
pub struct Server {
    slots: Box<[Connection]>,
    /// Slots in use at once, without the door.
    limit: usize,
    api: Api,
    chunks: Assembler,
    wakes: Wakes,
    is_shutting_down: bool,
}

impl Server {
    /// A server with all its buffers. `config.slots` is held between 2 and the board's.
    pub fn new(config: ServerConfig) -> Self {
        let limit = config.slots.clamp(2, SLOTS);
        Self {
            slots: (0..limit + OVERFLOW_SLOTS).map(|index| Connection::new(index as u16)).collect(),
            limit,
            api: Api::new(config),
            chunks: Assembler::new(),
            wakes: [0; (SLOTS + OVERFLOW_SLOTS).div_ceil(usize::BITS as usize)],
            is_shutting_down: false,
        }
    }

    /// Number of slots, the door included: one task each.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.api.counters
    }

    /// Starts what is enabled.
    pub fn start(&mut self, now: Duration, platform: &mut dyn Platform) {
        self.api.services.start_enabled(now);
        self.settle(now, platform);
    }

    /// Says goodbye to everybody and stops the services.
    pub fn shutdown(&mut self, now: Duration, platform: &mut dyn Platform) {
        self.is_shutting_down = true;
        for slot in self.slots.iter_mut().filter(|slot| slot.in_use) {
            slot.close(CloseCode::Away, "the server ends", now);
            wake(&mut self.wakes, slot.id);
        }
        self.api.services.shutdown(now);
        self.settle(now, platform);
    }

    /// Kills the process groups of whatever still runs: there is no time for more.
    pub fn kill_services(&mut self, platform: &mut dyn Platform) {
        for (service, _) in self.api.services.table().iter() {
            let status = self.api.services.status(service, Duration::ZERO);
            if status.pid != 0 {
                platform.signal(status.pid, Signal::Kill);
            }
        }
    }

    /// Whether, after [`shutdown`](Self::shutdown), nothing is left to wait for.
    pub fn is_down(&self) -> bool {
        self.is_shutting_down && self.api.services.is_down() && self.slots.iter().all(|slot| !slot.in_use)
    }

    /// A slot for a connection from `peer`; `None`: not even the door is free.
    pub fn claim(&mut self, peer: IpAddr, now: Duration) -> Option<SlotId> {
        if self.is_shutting_down {
            return None;
        }
        let used = self.slots.iter().filter(|slot| slot.in_use).count();
        let admission = Admission::of(used, self.limit)?;
        let slot = self.slots.iter_mut().find(|slot| !slot.in_use)?;
        slot.open(admission, Source::from(peer), now);
        Counters::add(&mut self.api.counters.accepted);
        Some(slot.id)
    }

    /// Ends the oldest connection that came to a full house and has not said in
    /// [`EVICT_AFTER`](crate::limits::EVICT_AFTER) who it is: a newcomer may be the administrator.
    pub fn evict_idle(&mut self, now: Duration) {
        let oldest =
            self.slots.iter_mut().filter(|slot| slot.is_evictable(now)).min_by_key(|slot| slot.opened);
        if let Some(slot) = oldest {
            Counters::add(&mut self.api.counters.unauthenticated);
            slot.evict(now);
            wake(&mut self.wakes, slot.id);
        }
    }

    /// Frees a slot.
    pub fn release(&mut self, id: SlotId) {
        if let Some(slot) = find(&mut self.slots, id) {
            slot.release(&mut self.chunks);
        }
    }

    /// What a connection wants.
    pub fn state(&self, id: SlotId) -> State {
        match self.slots.get(usize::from(id.index)) {
            Some(slot) if slot.id == id && slot.in_use => slot.state(),
            _ => GONE,
        }
    }

    /// Free space of a connection's receive buffer; none when the connection is gone.
    pub fn receive_space(&mut self, id: SlotId) -> &mut [u8] {
        find(&mut self.slots, id).map_or(&mut [], |slot| slot.receive.space())
    }

    /// Processes the first `count` bytes of [`receive_space`](Self::receive_space).
    pub fn received(
        &mut self,
        id: SlotId,
        count: usize,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> State {
        let Some(slot) = find(&mut self.slots, id) else { return GONE };
        let cx = &mut Context { api: &mut self.api, chunks: &mut self.chunks, platform, now };
        slot.handle_received(count, cx);
        self.settle(now, platform);
        self.state(id)
    }

    /// Bytes that a connection has to send.
    pub fn pending(&self, id: SlotId) -> &[u8] {
        let slot = self.slots.get(usize::from(id.index)).filter(|slot| slot.id == id && slot.in_use);
        slot.map_or(&[], |slot| slot.send.pending())
    }

    /// Drops the first `count` bytes of [`pending`](Self::pending), which were sent.
    pub fn sent(&mut self, id: SlotId, count: usize, now: Duration, platform: &mut dyn Platform) -> State {
        let Some(slot) = find(&mut self.slots, id) else { return GONE };
        let was_stalled = slot.stalled;
        let cx = &mut Context { api: &mut self.api, chunks: &mut self.chunks, platform, now };
        slot.handle_sent(count, cx);
        if !was_stalled {
            return slot.state();
        }
        self.settle(now, platform);
        self.state(id)
    }

    /// The incoming side of a connection has ended.
    pub fn handle_end(&mut self, id: SlotId, end: End, now: Duration, platform: &mut dyn Platform) {
        let Some(slot) = find(&mut self.slots, id) else { return };
        if end == End::Tls {
            Counters::add(&mut self.api.counters.bad_tls);
            slot.ended = true;
            // Graceful: the alert is still to be sent.
            slot.finish(Finish::Graceful, now);
            return;
        }
        let cx = &mut Context { api: &mut self.api, chunks: &mut self.chunks, platform, now };
        slot.handle_end(end == End::Broken, cx);
    }

    /// Something else than TLS came where TLS is spoken.
    pub fn handle_plain(&mut self, id: SlotId, now: Duration) {
        if let Some(slot) = find(&mut self.slots, id) {
            Counters::add(&mut self.api.counters.plain_on_tls);
            slot.respond(now, |room| crate::http::write_plain_on_tls(room).ok());
        }
    }

    /// A password was checked, or made.
    pub fn handle_password(
        &mut self,
        call_id: u64,
        verdict: PasswordVerdict,
        now: Duration,
        platform: &mut dyn Platform,
    ) {
        self.api.end_check(call_id);
        let Some(slot) = self.slots.iter_mut().find(|slot| is_waiting(slot, call_id)) else { return };
        let Some(waiting) = &slot.waiting else { return };
        let is_right = verdict != PasswordVerdict::Wrong;
        let answer = match &waiting.job {
            PendingCall::Login(job) => self.api.finish_login(job, is_right, waiting.form, now, platform),
            PendingCall::Change(job) => self.api.finish_change(job, verdict, waiting.form, now, platform),
            PendingCall::Command => return,
        };
        if is_right {
            slot.handle_right_password(now);
        }
        let cx = &mut Context { api: &mut self.api, chunks: &mut self.chunks, platform, now };
        slot.handle_outcome(answer, cx);
        wake(&mut self.wakes, slot.id);
        self.settle(now, platform);
    }

    /// A named command has ended.
    pub fn handle_command_end(
        &mut self,
        call_id: u64,
        end: &CommandEnd<'_>,
        now: Duration,
        platform: &mut dyn Platform,
    ) {
        let Some(slot) = self.slots.iter_mut().find(|slot| is_waiting(slot, call_id)) else { return };
        let Some(waiting) = &slot.waiting else { return };
        let answer = self.api.write_command_end(end, waiting.form);
        let cx = &mut Context { api: &mut self.api, chunks: &mut self.chunks, platform, now };
        slot.handle_outcome(answer, cx);
        wake(&mut self.wakes, slot.id);
        self.settle(now, platform);
    }

    /// A child process has ended. Gives `false` when it is no service's.
    pub fn handle_exit(&mut self, pid: u32, exit: Exit, now: Duration, platform: &mut dyn Platform) -> bool {
        let is_ours = self.api.services.handle_exit(pid, exit, now);
        self.settle(now, platform);
        is_ours
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work to do.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let slots = self.slots.iter().filter_map(Connection::poll_timeout).min();
        let others =
            [self.api.services.poll_timeout(), self.api.sessions.poll_timeout(), self.chunks.poll_timeout()];
        others.into_iter().flatten().chain(slots).min()
    }

    /// Does whatever is due.
    pub fn handle_timeout(&mut self, now: Duration, platform: &mut dyn Platform) {
        for slot in &mut self.slots {
            if slot.poll_timeout().is_some_and(|deadline| now >= deadline) {
                let cx = &mut Context { api: &mut self.api, chunks: &mut self.chunks, platform, now };
                slot.handle_timeout(cx);
                wake(&mut self.wakes, slot.id);
            }
        }
        self.chunks.handle_timeout(now);
        for key in self.api.sessions.handle_timeout(now) {
            self.tell_session_end(key, "session timeout", now);
        }
        self.api.services.handle_timeout(now);
        self.settle(now, platform);
    }

    /// Releases the memory of buffers that were not used since the last call. Returns whether there are more
    /// to be released at the next one.
    pub fn release_idle(&mut self) -> bool {
        let mut more = false;
        for slot in &mut self.slots {
            more |= slot.receive.release_idle();
            more |= slot.send.release_idle();
        }
        more
    }

    /// The next slot whose connection has something to send or is over, each once.
    pub fn next_wake(&mut self) -> Option<u16> {
        let (number, word) = self.wakes.iter_mut().enumerate().find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros();
        *word &= *word - 1;
        Some((number as u32 * usize::BITS + bit) as u16)
    }

    /// Carries out what services need, and tells everybody who is to be told.
    fn settle(&mut self, now: Duration, platform: &mut dyn Platform) {
        loop {
            self.api.pump(now, platform);
            let Some(change) = self.api.services.poll_change() else { break };
            for slot in self.slots.iter_mut().filter(|slot| slot.bound.is_some()) {
                slot.push(&self.api, change.service, change.state, change.pid, now);
                wake(&mut self.wakes, slot.id);
            }
        }
        while let Some(key) = self.api.ended.pop() {
            self.tell_session_end(key, "session killed", now);
        }
    }

    fn tell_session_end(&mut self, ended: SessionKey, notice: &str, now: Duration) {
        for slot in &mut self.slots {
            let is_it = |identity| matches!(identity, Some(Identity::Session(key, _)) if key == ended);
            if is_it(slot.bound) {
                slot.unbind(notice, now);
                wake(&mut self.wakes, slot.id);
            } else if is_it(slot.shown) {
                slot.deauthenticate(now);
            }
        }
    }
}

/// State of a connection that is gone.
const GONE: State = State { receives: false, sends: false, finish: Some(Finish::Abort) };

fn find(slots: &mut [Connection], id: SlotId) -> Option<&mut Connection> {
    slots.get_mut(usize::from(id.index)).filter(|slot| slot.id == id && slot.in_use)
}

fn is_waiting(slot: &Connection, call_id: u64) -> bool {
    slot.waiting.as_ref().is_some_and(|waiting| waiting.call_id == call_id)
}

/// Slots to be looked at again, a bit each.
type Wakes = [usize; (SLOTS + OVERFLOW_SLOTS).div_ceil(usize::BITS as usize)];

fn wake(wakes: &mut Wakes, id: SlotId) {
    let bits = usize::BITS as usize;
    if let Some(word) = wakes.get_mut(usize::from(id.index) / bits) {
        *word |= 1 << (usize::from(id.index) % bits);
    }
}
