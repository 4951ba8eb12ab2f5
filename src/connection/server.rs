//! Sans-IO server core: all connections and the state that calls work on, without a socket or a clock.

use core::fmt::Display;
use core::net::IpAddr;
use core::time::Duration;

use super::machine::{Connection, Context, Finish, HttpConfig, State};
use super::pool::Room;
use super::push::{self, ServiceChange};
use super::{OVERFLOW_SLOTS, SlotId, response, websocket};
use crate::api::{self, Accounts, Api, Counters, Platform};
use crate::call::{Completion, Identity, PasswordVerdict};
use crate::friendcore::chunk::Assembler;
use crate::http::{ClientFrom, Front, Rejection, Site};
use crate::limits::{REPLY_BYTES, SLOTS};
use crate::log::RateLimit;
use crate::log::audit;
use crate::service::{
    Attempt, CheckError, CheckId, CommandError, ProcessEvent, ReadyCheck, Scope, ServiceId, Signal,
    StateChange, Supervisor,
};
use crate::session::{ClientAddr, KeyHash, Pairing, SessionKey, Users};
use crate::ws::CloseCode;

/// End of the incoming side of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The peer sent its last byte.
    Eof,
    /// The connection broke.
    Broken,
    /// TLS failed, or the peer sent bytes that are not TLS.
    Tls,
}

/// Configuration of a [`Server`].
#[derive(Debug)]
pub struct ServerConfig {
    /// Connections with an identity served at once, 2 to the board's `slots`.
    pub slots: usize,
    /// The listener uses TLS.
    pub tls: bool,
    /// Proxies, and pages that may call.
    pub front: Front,
    /// User ID of the server, an administrator at the local socket as root is.
    pub owner: u32,
    /// State that the calls work on.
    pub api: Api,
}

/// Slots, sessions and services of the server. [`new`](Self::new) allocates everything, and nothing grows
/// afterwards.
///
/// After each call, [`next_wake`](Self::next_wake) returns the slots that have to send or to close because
/// of it.
pub struct Server {
    pub(super) slots: Box<[Connection]>,
    /// Proven connections at once: all slots but the overflow slots.
    pub(super) limit: usize,
    pub(super) owner: u32,
    pub(super) api: Api,
    pub(super) shared: Shared,
    pub(super) wakes: Wakes,
    pub(super) is_shutting_down: bool,
    /// Another server takes the services over.
    is_leaving: bool,
}

/// Parts of the server that every connection uses.
pub(super) struct Shared {
    chunks: Assembler,
    /// Buffer of the answer that is being encoded.
    reply: Box<[u8]>,
    pub(super) http: HttpConfig,
    pub(super) refusals: RateLimit,
    /// Room of unproven connections, computed before one is handled.
    pub(super) room: Room,
}

impl Shared {
    pub(super) fn context<'a>(
        &'a mut self,
        api: &'a mut Api,
        platform: &'a mut dyn Platform,
        now: Duration,
    ) -> Context<'a> {
        let Self { chunks, reply, http, refusals, room } = self;
        Context { api, chunks, reply, http, refusals, platform, room, now }
    }
}

impl Server {
    /// Creates a server with all its buffers. `config.slots` is clamped to 2 and the board's `slots`.
    pub fn new(config: ServerConfig) -> Self {
        let ServerConfig { slots, tls, front, owner, mut api } = config;
        let limit = slots.clamp(2, SLOTS);
        api.connections.limit = limit;
        api.pairing.has_tls = tls;
        Self {
            slots: (0..limit + OVERFLOW_SLOTS).map(|index| Connection::new(index as u16)).collect(),
            limit,
            owner,
            api,
            shared: Shared {
                chunks: Assembler::new(),
                reply: vec![0; REPLY_BYTES].into_boxed_slice(),
                http: HttpConfig { tls, front, site: Site::default() },
                refusals: RateLimit::default(),
                room: Room::beside(limit, core::iter::empty()),
            },
            wakes: [0; (SLOTS + OVERFLOW_SLOTS).div_ceil(usize::BITS as usize)],
            is_shutting_down: false,
            is_leaving: false,
        }
    }

    /// Number of slots with the overflow slots: one task each.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Counters since the start.
    pub fn counters(&self) -> &Counters {
        &self.api.counters
    }

    /// Starts the enabled services.
    pub fn start(&mut self, now: Duration, platform: &mut dyn Platform) {
        self.api.services.set_time_of_day(platform.time_of_day());
        self.api.services.start_enabled(now);
        self.process_changes(now, platform);
    }

    /// Closes every connection and stops the services.
    pub fn shutdown(&mut self, now: Duration, platform: &mut dyn Platform) {
        self.close_all(CloseCode::Away, "the server ends", now);
        self.api.services.shutdown(now);
        self.process_changes(now, platform);
    }

    /// Closes every connection: another server takes the services over.
    pub fn leave(&mut self, now: Duration) {
        self.is_leaving = true;
        self.close_all(CloseCode::Restart, "the server is upgraded; connect again", now);
    }

    fn close_all(&mut self, code: CloseCode, reason: &str, now: Duration) {
        self.is_shutting_down = true;
        for slot in self.slots.iter_mut().filter(|slot| slot.place.in_use) {
            slot.close(code, reason, now);
            wake(&mut self.wakes, slot.place.id);
        }
    }

    /// Kills the process groups of the services that still run, at the end of the shutdown's time.
    pub fn kill_services(&mut self, platform: &mut dyn Platform) {
        for (service, _) in self.api.services.table().iter() {
            platform.signal(service, Signal::Kill, Scope::Group);
        }
    }

    /// Longest time of a [`shutdown`](Self::shutdown).
    pub fn shutdown_time(&self) -> Duration {
        self.api.services.shutdown_grace()
    }

    /// Returns true while a start that was called is not settled.
    pub fn is_starting(&self) -> bool {
        let services = &self.api.services;
        services.table().iter().any(|(service, _)| !services.is_settled(service))
    }

    /// Returns true while a write to the disk is under way.
    pub fn is_writing(&self) -> bool {
        self.api.is_writing()
    }

    /// Returns true when a [`shutdown`](Self::shutdown) is complete, or nothing is left to do before
    /// [`leave`](Self::leave) ends.
    pub fn is_down(&self) -> bool {
        let is_done = if self.is_leaving { !self.api.is_writing() } else { self.api.services.is_down() };
        self.is_shutting_down && is_done && self.slots.iter().all(|slot| !slot.place.in_use)
    }

    /// Frees a slot.
    pub fn release(&mut self, id: SlotId) {
        if let Some(slot) = find(&mut self.slots, id) {
            self.api.connections.used = self.api.connections.used.saturating_sub(1);
            slot.release(&mut self.shared.chunks);
        }
    }

    /// State of a connection, for its task.
    pub fn state(&self, id: SlotId) -> State {
        match self.slots.get(usize::from(id.index)) {
            Some(slot) if slot.place.id == id && slot.place.in_use => slot.state(),
            _ => GONE,
        }
    }

    /// Free space of a connection's receive buffer; empty when the connection is gone.
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
        self.update_room_of(id);
        let Some(slot) = find(&mut self.slots, id) else { return GONE };
        let cx = &mut self.shared.context(&mut self.api, platform, now);
        slot.handle_received(count, cx);
        self.process_changes(now, platform);
        self.state(id)
    }

    /// Bytes that a connection has to send.
    pub fn pending(&self, id: SlotId) -> &[u8] {
        let slot =
            self.slots.get(usize::from(id.index)).filter(|slot| slot.place.id == id && slot.place.in_use);
        slot.map_or(&[], |slot| slot.send.pending())
    }

    /// Drops the first `count` bytes of [`pending`](Self::pending), which were sent.
    pub fn sent(&mut self, id: SlotId, count: usize, now: Duration, platform: &mut dyn Platform) -> State {
        self.update_room_of(id);
        let Some(slot) = find(&mut self.slots, id) else { return GONE };
        let was_stalled = slot.flow.is_paused;
        let cx = &mut self.shared.context(&mut self.api, platform, now);
        slot.handle_sent(count, cx);
        if !was_stalled {
            return slot.state();
        }
        self.process_changes(now, platform);
        self.state(id)
    }

    /// Handles the end of a connection's incoming side.
    pub fn handle_end(&mut self, id: SlotId, end: End, now: Duration, platform: &mut dyn Platform) {
        let Some(slot) = find(&mut self.slots, id) else { return };
        if end == End::Tls {
            Counters::add(&mut self.api.counters.bad_tls);
            slot.closing.is_half_closed = true;
            // Graceful: the alert is still to be sent.
            slot.closing.begin(Finish::Graceful, now);
            return;
        }
        let cx = &mut self.shared.context(&mut self.api, platform, now);
        slot.handle_end(end == End::Broken, cx);
    }

    /// Answers a client that sent plain text to a TLS listener.
    pub fn handle_plain(&mut self, id: SlotId, now: Duration) {
        if let Some(slot) = find(&mut self.slots, id) {
            Counters::add(&mut self.api.counters.plain_on_tls);
            response::reject(slot, &Rejection::PLAIN_ON_TLS, &self.shared.http, now);
        }
    }

    /// Handles the end of a pending call's work.
    pub fn handle_completion(
        &mut self,
        call_id: u64,
        completion: Completion<'_>,
        now: Duration,
        platform: &mut dyn Platform,
    ) {
        self.update_room_if(|slot| slot.pending.is_some());
        self.api.accounts.end_check(call_id);
        self.api.operations.complete(call_id, &completion);
        let is_waiting =
            |slot: &&mut Connection| slot.pending.as_ref().is_some_and(|pending| pending.call.id == call_id);
        if let Completion::Written(written) = completion {
            // A write has its effect without a caller.
            self.api.handle_written(call_id, written, now);
        }
        // Several may wait for a write, or for an operation.
        for slot in self.slots.iter_mut().filter(is_waiting) {
            if let Completion::Password(PasswordVerdict::Right | PasswordVerdict::Made(_)) = completion {
                slot.handle_right_password(now);
            }
            slot.handle_completion(
                completion.clone(),
                &mut self.shared.context(&mut self.api, platform, now),
            );
            wake(&mut self.wakes, slot.place.id);
        }
        self.process_changes(now, platform);
    }

    /// Returns whether a socket follows the output of this service.
    pub fn is_followed(&self, service: ServiceId) -> bool {
        self.slots.iter().any(|slot| slot.pushes.follows(service))
    }

    /// Pushes new output of a service to the sockets that follow it.
    pub fn handle_output(&mut self, service: ServiceId, now: Duration, platform: &mut dyn Platform) {
        for slot in self.slots.iter_mut().filter(|slot| slot.pushes.follows(service)) {
            push::flush_log(slot, &mut self.shared.context(&mut self.api, platform, now));
            wake(&mut self.wakes, slot.place.id);
        }
    }

    /// Handles an event of a service's processes.
    pub fn handle_event(
        &mut self,
        service: ServiceId,
        event: ProcessEvent,
        now: Duration,
        platform: &mut dyn Platform,
    ) {
        self.api.services.handle_event(service, event, now);
        self.process_changes(now, platform);
    }

    /// Handles a change of a condition that services wait for or need, by its index in the service table.
    pub fn handle_condition(
        &mut self,
        condition: usize,
        is_met: bool,
        now: Duration,
        platform: &mut dyn Platform,
    ) {
        self.api.services.handle_condition(condition, is_met, now);
        self.process_changes(now, platform);
    }

    /// Handles the sign that a service is ready.
    pub fn handle_ready(&mut self, service: ServiceId, now: Duration, platform: &mut dyn Platform) {
        self.api.services.handle_ready(service, now);
        self.process_changes(now, platform);
    }

    /// Services with a process that is not ready, and the sign of readiness to look for.
    pub fn unready(&self) -> impl Iterator<Item = (ServiceId, &ReadyCheck)> {
        self.api.services.unready()
    }

    /// Users of the configuration file in force.
    pub fn users(&self) -> &Users {
        &self.api.accounts.users
    }

    /// Services and their checks.
    pub fn services(&self) -> &Supervisor {
        &self.api.services
    }

    /// Begins an attempt of a check.
    pub fn begin_check(&mut self, check: CheckId, now: Duration) -> Attempt {
        self.api.services.begin_check(check, now)
    }

    /// Handles the result of an attempt of a check.
    pub fn handle_checked(
        &mut self,
        attempt: Attempt,
        result: Result<(), CheckError>,
        now: Duration,
        platform: &mut dyn Platform,
    ) {
        self.api.services.handle_checked(attempt, result, now);
        self.process_changes(now, platform);
    }

    /// Earliest deadline, for [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Duration> {
        let slots = self.slots.iter().filter_map(Connection::poll_timeout).min();
        let others = [
            self.api.services.poll_timeout(),
            self.api.accounts.sessions.poll_timeout(),
            self.shared.chunks.poll_timeout(),
            self.api.slot.poll_timeout(),
            self.api.changes.poll_timeout(),
            self.api.audit.poll_timeout(),
            self.api.accounts.pairing.poll_timeout(),
            self.api.pairing.poll_timeout(),
        ];
        others.into_iter().flatten().chain(slots).min()
    }

    /// Lets the watchdogs of all services expire later, because their reports could not be read for that time.
    pub fn extend_watchdogs(&mut self, late: Duration) {
        self.api.services.extend_watchdogs(late);
    }

    /// Handles every deadline that has passed.
    pub fn handle_timeout(&mut self, now: Duration, platform: &mut dyn Platform) {
        let is_due = |slot: &Connection| slot.poll_timeout().is_some_and(|deadline| now >= deadline);
        self.update_room_if(|slot| is_due(slot));
        for slot in self.slots.iter_mut().filter(|slot| is_due(slot)) {
            let cx = &mut self.shared.context(&mut self.api, platform, now);
            slot.handle_timeout(cx);
            wake(&mut self.wakes, slot.place.id);
        }
        self.shared.chunks.handle_timeout(now);
        self.api.changes.handle_timeout(now);
        api::audit::handle_timeout(&mut self.api, now);
        api::pairing::handle_timeout(&mut api::Context { api: &mut self.api, platform: &mut *platform, now });
        let bound = self.slots.iter().filter_map(|slot| slot.auth.bound.and_then(Identity::session));
        self.api.accounts.sessions.set_bound(bound, now);
        for key in self.api.accounts.sessions.handle_timeout(now) {
            self.end_session(key, "session timeout", now);
        }
        self.unbind_where("session timeout", now, &|identity, accounts| match identity {
            Identity::Token(id, _) => accounts.refusal(id, &*platform).is_some(),
            _ => false,
        });
        self.api.services.set_time_of_day(platform.time_of_day());
        self.api.services.handle_timeout(now);
        self.process_changes(now, platform);
        let is_failing = self.api.board.note_failing(audit::is_failing(), self.api.pairing.is_failing);
        if self.api.check_slot(now) || is_failing {
            self.notify_problem();
        }
    }

    /// Sets the paired keys of an earlier server.
    pub fn set_pairing(&mut self, pairing: Pairing) {
        self.api.accounts.pairing = pairing;
    }

    /// Returns true if clients are asked for a certificate, which may be paired.
    pub fn is_pairing(&self) -> bool {
        self.api.accounts.pairing.is_in_use()
    }

    /// Returns true if a header of the PROXY protocol comes before the first byte of a connection.
    pub fn awaits_proxy(&self, id: SlotId) -> bool {
        let is_proxied = self.slots.get(usize::from(id.index)).is_some_and(|slot| slot.place.is_proxied);
        is_proxied && self.shared.http.front.client_from == ClientFrom::ProxyProtocol
    }

    /// Notes the client that a proxy names.
    pub fn handle_client(&mut self, id: SlotId, client: IpAddr) {
        if let Some(slot) = find(&mut self.slots, id) {
            slot.place.source = ClientAddr::from(client);
        }
    }

    /// Notes the public key of a client's certificate.
    pub fn handle_client_key(&mut self, id: SlotId, key: &KeyHash) {
        if let Some(slot) = find(&mut self.slots, id) {
            slot.place.key = Some(*key);
        }
    }

    /// Has `report` report the result of the test of the slot, if there is a new one: good, or the reason of the failure.
    /// It returns false if that is to be repeated with the next deadline.
    pub fn report_slot(&mut self, report: &mut dyn FnMut(Result<(), &dyn Display>) -> bool) {
        self.api.report_slot(report);
    }

    /// Releases the memory of buffers that were not used since the last call. Returns true if the next call
    /// may release more.
    pub fn release_idle(&mut self) -> bool {
        let mut more = false;
        for slot in &mut self.slots {
            more |= slot.receive.release_idle();
            more |= slot.send.release_idle();
        }
        more
    }

    /// Takes the next slot that has to send or to close; each slot is returned once.
    pub fn next_wake(&mut self) -> Option<u16> {
        let (number, word) = self.wakes.iter_mut().enumerate().find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros();
        *word &= *word - 1;
        Some((number as u32 * usize::BITS + bit) as u16)
    }

    /// Executes the actions of the supervisor and pushes the changes of services and checks.
    pub fn process_changes(&mut self, now: Duration, platform: &mut dyn Platform) {
        loop {
            self.api.run_actions(platform);
            if let Some((service, result)) = self.api.services.poll_settled() {
                self.complete_verbs(service, result, now, platform);
                continue;
            }
            let Some(change) = self.api.services.poll_change() else { break };
            self.push(change, now, platform);
        }
        while let Some((service, memo)) = self.api.services.poll_memo() {
            platform.store_memo(service, memo);
        }
        let accounts = &mut self.api.accounts;
        while let Some((index, memo)) = accounts.sessions.poll_memo(&accounts.users) {
            if platform.store_session(index, &memo).is_err() {
                // After the next step.
                accounts.sessions.note(index);
                break;
            }
        }
        let services = &mut self.api.services;
        let (checks, events) = (services.take_changed_checks(), services.take_changed_events(now));
        // Each step comes here, and most change nothing of it.
        if checks != 0 || events != 0 {
            for slot in self.slots.iter_mut().filter(|slot| slot.closing.is_open()) {
                slot.pushes.checks |= checks;
                slot.pushes.events |= events;
                push::flush_checks(slot, &self.api, now);
                push::flush_events(slot, &self.api, now);
                wake(&mut self.wakes, slot.place.id);
            }
        }
        while let Some(key) = self.api.accounts.next_ended() {
            self.end_session(key, "session killed", now);
        }
        while let Some(key) = self.api.accounts.pairing.take_ended() {
            self.unbind_where(
                "session killed",
                now,
                &|identity, _| matches!(identity, Identity::Paired(of, _) if of == key),
            );
        }
    }

    /// Removes the identities that `is_over` says are over.
    pub(super) fn unbind_where(
        &mut self,
        notice: &str,
        now: Duration,
        is_over: &dyn Fn(Identity, &Accounts) -> bool,
    ) {
        for slot in &mut self.slots {
            if slot.auth.identity().is_some_and(|identity| is_over(identity, &self.api.accounts)) {
                websocket::unbind(slot, notice, now);
                wake(&mut self.wakes, slot.place.id);
            }
        }
    }

    /// Answers the calls that wait for the start of a service.
    fn complete_verbs(
        &mut self,
        service: ServiceId,
        result: Result<(), CommandError>,
        now: Duration,
        platform: &mut dyn Platform,
    ) {
        self.update_room_if(|slot| slot.pending.is_some());
        self.api.operations.settle(service, result);
        for slot in &mut self.slots {
            if slot.pending.as_ref().is_some_and(|pending| pending.call.waits_for(service)) {
                let cx = &mut self.shared.context(&mut self.api, platform, now);
                slot.handle_completion(Completion::Settled(result), cx);
                wake(&mut self.wakes, slot.place.id);
            }
        }
    }

    /// Pushes a change to every socket whose user may see the service.
    fn push(&mut self, change: StateChange, now: Duration, platform: &dyn Platform) {
        let Some(spec) = self.api.services.table().get(change.service) else { return };
        let Some(text) = ServiceChange::new(change, spec, platform) else { return };
        let accounts = &self.api.accounts;
        for slot in &mut self.slots {
            if push::may_receive(slot, accounts, &spec.name) && slot.closing.is_open() {
                push::notify(slot, &text, now);
                wake(&mut self.wakes, slot.place.id);
            }
        }
    }

    /// Notifies the sockets of a session that ended.
    fn end_session(&mut self, ended: SessionKey, notice: &str, now: Duration) {
        for slot in &mut self.slots {
            if slot.auth.is_bound_to(ended) {
                websocket::unbind(slot, notice, now);
                wake(&mut self.wakes, slot.place.id);
            } else if slot.auth.is_of(ended) {
                slot.deauthenticate(now);
            }
        }
    }
}

/// State of a connection that no longer exists.
const GONE: State = State { receives: false, sends: false, finish: Some(Finish::Abort) };

pub(super) fn find(slots: &mut [Connection], id: SlotId) -> Option<&mut Connection> {
    slots.get_mut(usize::from(id.index)).filter(|slot| slot.place.id == id && slot.place.in_use)
}

/// Bit set of the slots with a pending wake-up of their task.
pub(super) type Wakes = [usize; (SLOTS + OVERFLOW_SLOTS).div_ceil(usize::BITS as usize)];

pub(super) fn wake(wakes: &mut Wakes, id: SlotId) {
    let bits = usize::BITS as usize;
    if let Some(word) = wakes.get_mut(usize::from(id.index) / bits) {
        *word |= 1 << (usize::from(id.index) % bits);
    }
}
