//! One connection: a request head, then either one answer or a WebSocket.

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use heapless::String;

use super::{Admission, SlotId};
use crate::api::Api;
use crate::api::ETIMEDOUT;
use crate::api::{Counters, Platform};
use crate::call::{Caller, Identity, Outcome, PendingCall};
use crate::friendcore::chunk::{Assembler, SetId};
use crate::friendcore::{Failure, Form, reply};
use crate::limits::{
    ADMINISTRATOR_TIMEOUT, CHUNK_ENVELOPE_BYTES, CHUNK_PIECE_BYTES, CLOSE_TIMEOUT, EVICT_AFTER,
    FRAME_HEADER_BYTES, HEAD_TIMEOUT, RECEIVE_BYTES, REPLY_BYTES, REQUEST_ID_BYTES, SEND_BYTES,
    SEND_RESERVE_BYTES, SEND_TIMEOUT, SESSION_TIMEOUT,
};
use crate::session::ClientAddr;
use crate::ws::{CloseCode, ReceiveBuffer, SendBuffer, Socket};

/// Largest frame that is ever made: a reply, or one chunk of it.
const LARGEST_FRAME_BYTES: usize = FRAME_HEADER_BYTES
    + if REPLY_BYTES > CHUNK_PIECE_BYTES { CHUNK_PIECE_BYTES + CHUNK_ENVELOPE_BYTES } else { REPLY_BYTES };
/// Room in the send buffer that a message needs before it is looked at: its answer's, and some for
/// pongs and the closing frame.
pub(super) const ANSWER_ROOM: usize = LARGEST_FRAME_BYTES + SEND_RESERVE_BYTES;
const _: () = assert!(ANSWER_ROOM <= SEND_BYTES, "send_bytes: must hold a whole reply, or one chunk of it");

/// Why a socket is closed for which there is no place.
const AT_CAPACITY: &str = "the server is full";

/// How a connection is to be closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Finish {
    /// After what waits was sent.
    Graceful,
    /// At once.
    Abort,
}

/// What a connection wants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct State {
    /// It takes bytes.
    pub receives: bool,
    /// It has bytes to send.
    pub sends: bool,
    /// It is over.
    pub finish: Option<Finish>,
}

/// An answer that is still to come.
#[derive(Debug)]
pub(super) struct PendingReply {
    pub(super) call_id: u64,
    pub(super) job: PendingCall,
    pub(super) form: Form,
    pub(super) request_id: Option<String<REQUEST_ID_BYTES>>,
    /// When it is answered without what it waits for.
    pub(super) until: Duration,
}

/// What every step of a connection may use.
pub(super) struct Context<'a> {
    pub(super) api: &'a mut Api,
    pub(super) chunks: &'a mut Assembler,
    pub(super) platform: &'a mut dyn Platform,
    pub(super) now: Duration,
}

/// One slot and its tenant.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: SlotId,
    pub(super) in_use: bool,
    pub(super) admission: Admission,
    pub(super) source: ClientAddr,
    pub(super) opened: Duration,
    pub(super) receive: ReceiveBuffer,
    pub(super) send: SendBuffer,
    /// The WebSocket, once upgraded.
    pub(super) socket: Option<Socket>,
    /// Who the socket is bound to: they are pushed every change.
    pub(super) bound: Option<Identity>,
    /// Until when a session has to be shown. `None`: it was.
    pub(super) auth_deadline: Option<Duration>,
    /// Whose session was shown last when one had to be.
    pub(super) shown: Option<Identity>,
    /// Services whose newest state is still to be sent, a bit each.
    pub(super) pending_pushes: u64,
    /// An administrator was told here what is wrong with the board.
    pub(super) is_warned: bool,
    pub(super) waiting: Option<PendingReply>,
    /// A reply that goes out in chunks, and the next of them.
    pub(super) outgoing: Option<(SetId, usize)>,
    /// Messages wait in the receive buffer until answers have gone out.
    pub(super) stalled: bool,
    /// The peer has sent its last byte.
    pub(super) ended: bool,
    pub(super) finish: Option<Finish>,
    /// Since when the peer has in_use nothing of what waits.
    stalled_since: Option<Duration>,
    /// When a finish that does not come about is given up.
    finish_by: Option<Duration>,
}

/// Bytes of one connection beside its two buffers.
pub const CONNECTION_BYTES: usize = size_of::<Connection>();

impl Connection {
    pub(super) fn new(index: u16) -> Self {
        let id = SlotId { index, generation: 0 };
        Self::vacant(id, ReceiveBuffer::new(RECEIVE_BYTES), SendBuffer::new(SEND_BYTES))
    }

    /// A slot without a tenant.
    fn vacant(id: SlotId, receive: ReceiveBuffer, send: SendBuffer) -> Self {
        Self {
            id,
            in_use: false,
            admission: Admission::Open,
            source: ClientAddr::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            opened: Duration::ZERO,
            receive,
            send,
            socket: None,
            bound: None,
            auth_deadline: None,
            shown: None,
            pending_pushes: 0,
            is_warned: false,
            waiting: None,
            outgoing: None,
            stalled: false,
            ended: false,
            finish: None,
            stalled_since: None,
            finish_by: None,
        }
    }

    pub(super) fn open(&mut self, admission: Admission, source: ClientAddr, now: Duration) {
        self.in_use = true;
        self.admission = admission;
        self.source = source;
        self.opened = now;
    }

    /// Empties the slot for its next tenant.
    pub(super) fn release(&mut self, chunks: &mut Assembler) {
        chunks.drop_owner(u32::from(self.id.index));
        self.receive.clear();
        self.send.clear();
        let id = SlotId { generation: self.id.generation.wrapping_add(1), ..self.id };
        // The buffers are the slot's, whoever its tenant is.
        *self = Self::vacant(id, core::mem::take(&mut self.receive), core::mem::take(&mut self.send));
    }

    pub(super) fn state(&self) -> State {
        State {
            receives: self.finish.is_none() && !self.stalled && !self.ended && !self.waits_over_http(),
            sends: !self.send.is_empty(),
            finish: self.finish,
        }
    }

    fn waits_over_http(&self) -> bool {
        self.socket.is_none() && self.waiting.is_some()
    }

    pub(super) fn caller(&self, may_change: bool) -> Caller {
        Caller {
            source: self.source,
            bound: self.bound,
            admins_only: self.admission != Admission::Open,
            may_change,
        }
    }

    /// `count` bytes were put into the receive buffer.
    pub(super) fn handle_received(&mut self, count: usize, cx: &mut Context<'_>) {
        self.receive.commit(count);
        if let Some(socket) = &mut self.socket {
            socket.handle_activity(cx.now);
        }
        self.advance(cx);
    }

    /// Looks at what was received.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) {
        if self.finish.is_none() && self.socket.is_none() && self.waiting.is_none() {
            self.handle_request(cx);
        }
        if self.finish.is_none() && self.socket.is_some() {
            self.handle_messages(cx);
        }
        self.track_stall(cx.now);
    }

    /// `count` bytes of the send buffer were sent.
    pub(super) fn handle_sent(&mut self, count: usize, cx: &mut Context<'_>) {
        self.send.sent(count);
        self.stalled_since = None;
        if count > 0 && self.finish == Some(Finish::Graceful) {
            // A long answer over a slow line: whoever reads gets it all.
            self.finish_by = Some(cx.now + SEND_TIMEOUT);
        }
        if self.finish.is_none() && self.socket.is_some() {
            self.continue_outgoing(cx);
            if self.stalled {
                self.handle_messages(cx);
            }
            if self.send.is_empty() {
                self.flush_pushes(cx.api, cx.now);
            }
        }
        self.track_stall(cx.now);
    }

    /// The peer sends no more; with `broken`, it does not read any more either.
    pub(super) fn handle_end(&mut self, broken: bool, cx: &mut Context<'_>) {
        self.ended = true;
        if self.finish.is_none() && self.socket.is_none() && self.waiting.is_none() {
            let counters = &mut cx.api.counters;
            if self.receive.filled().is_empty() {
                Counters::add(&mut counters.silent);
                self.finish(Finish::Abort, cx.now);
            } else {
                Counters::add(&mut counters.half_requests);
                if !broken {
                    self.reject(&crate::http::Rejection::TRUNCATED, cx.now);
                }
            }
        }
        if broken || (self.socket.is_some() && self.finish.is_none()) {
            self.finish = Some(Finish::Abort);
        }
    }

    pub(super) fn finish(&mut self, finish: Finish, now: Duration) {
        if self.finish.is_none() {
            self.finish = Some(finish);
            self.finish_by = Some(now + CLOSE_TIMEOUT);
        }
    }

    /// Closes a socket, or whatever else this connection is.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str, now: Duration) {
        match &mut self.socket {
            Some(socket) => {
                socket.close(code, reason, &mut self.send, now);
                self.finish_closed_socket(now);
            }
            None if self.waiting.is_none() => self.finish(Finish::Abort, now),
            // The answer is on its way, and ends the connection.
            None => {}
        }
    }

    /// Closes a socket for which there is no place in a full house.
    pub(super) fn close_at_capacity(&mut self, now: Duration) {
        self.close(CloseCode::Again, AT_CAPACITY, now);
    }

    /// Gives the slot up for somebody else: a socket is told, and not waited for.
    pub(super) fn evict(&mut self, now: Duration) {
        match &mut self.socket {
            Some(socket) => {
                socket.close(CloseCode::Again, AT_CAPACITY, &mut self.send, now);
                self.finish(Finish::Graceful, now);
            }
            None => self.finish(Finish::Abort, now),
        }
    }

    /// Whether the tenant of a slot in a full house has not said yet who it is.
    pub(super) fn is_evictable(&self, now: Duration) -> bool {
        let is_unauthenticated = self.socket.is_none() || self.auth_deadline.is_some();
        self.in_use
            && self.admission != Admission::Open
            && is_unauthenticated
            && self.waiting.is_none()
            && self.finish.is_none()
            && now >= self.opened + EVICT_AFTER
    }

    pub(super) fn finish_closed_socket(&mut self, now: Duration) {
        if self.socket.as_ref().is_some_and(Socket::is_closed) {
            self.finish(Finish::Graceful, now);
        }
    }

    /// How long a socket may stay here without a session.
    pub(super) fn auth_timeout(&self) -> Duration {
        match self.admission {
            Admission::Open => SESSION_TIMEOUT,
            Admission::Administrators | Admission::Overflow => ADMINISTRATOR_TIMEOUT,
        }
    }

    /// A right password came: no session is shown yet, but somebody works on it.
    pub(super) fn handle_right_password(&mut self, now: Duration) {
        self.auth_deadline = self.auth_deadline.map(|_| now + self.auth_timeout());
    }

    /// A valid session was shown.
    pub(super) fn authenticate(&mut self, identity: Identity) {
        self.auth_deadline = None;
        self.shown = Some(identity);
    }

    /// The session that was shown is over: another one has to be.
    pub(super) fn deauthenticate(&mut self, now: Duration) {
        self.shown = None;
        self.auth_deadline = Some(now + self.auth_timeout());
    }

    /// The session that the socket was bound to is over.
    pub(super) fn unbind(&mut self, notice: &str, now: Duration) {
        self.bound = None;
        self.pending_pushes = 0;
        self.deauthenticate(now);
        // Without room it goes unsaid; the deadline says it all the same.
        let _ = self.put_text(|out| reply::notice(out, notice));
        self.track_stall(now);
    }

    /// Ends the wait for an answer; `Outcome` is what it came to.
    pub(super) fn handle_outcome(&mut self, answer: Outcome, cx: &mut Context<'_>) {
        let Some(waiting) = self.waiting.take() else { return };
        if self.socket.is_some() {
            self.reply_message(waiting.form, waiting.request_id.as_deref(), answer, cx);
            self.handle_messages(cx);
            if self.send.is_empty() {
                self.flush_pushes(cx.api, cx.now);
            }
        } else {
            self.reply_request(answer, cx.api, cx.now);
        }
        self.track_stall(cx.now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work to do.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        if !self.in_use {
            return None;
        }
        if self.finish.is_some() {
            return self.finish_by;
        }
        let unread = self.stalled_since.map(|since| since + SEND_TIMEOUT);
        let head = (self.socket.is_none() && self.waiting.is_none()).then(|| self.opened + HEAD_TIMEOUT);
        let socket = self.socket.as_ref().and_then(Socket::poll_timeout);
        let waiting = self.waiting.as_ref().map(|waiting| waiting.until);
        [unread, head, socket, waiting, self.auth_deadline].into_iter().flatten().min()
    }

    /// Does what is due, which the caller has seen something to be.
    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        if self.finish.is_some() {
            self.finish = Some(Finish::Abort);
            self.finish_by = None;
            return;
        }
        if let Some(waiting) = self.waiting.as_ref().filter(|waiting| now >= waiting.until) {
            crate::warning!("a call was given up: what it waits for does not come");
            let failure = Failure::Failed { function: waiting.job.function(), result: ETIMEDOUT };
            let answer = cx.api.fail(waiting.form, failure);
            self.handle_outcome(answer, cx);
            if self.finish.is_some() {
                return;
            }
        }
        let api = &mut *cx.api;
        let Some(socket) = &mut self.socket else {
            self.handle_head_timeout(api, now);
            return;
        };
        socket.handle_timeout(&mut self.send, now);
        if socket.is_closed() && socket.close_code() == Some(1006) {
            Counters::add(&mut api.counters.unresponsive);
            self.finish(Finish::Abort, now);
        } else if self.stalled_since.is_some_and(|since| now >= since + SEND_TIMEOUT) {
            // Who has not read for so long will not answer a close frame either.
            Counters::add(&mut api.counters.unresponsive);
            socket.close(CloseCode::Again, "not reading", &mut self.send, now);
            self.finish(Finish::Graceful, now);
        } else if self.auth_deadline.is_some_and(|deadline| now >= deadline) {
            Counters::add(&mut api.counters.unauthenticated);
            self.auth_deadline = None;
            match self.admission {
                Admission::Open => self.close(CloseCode::Policy, "no valid session shown", now),
                _ => self.close_at_capacity(now),
            }
        }
        self.finish_closed_socket(now);
        self.track_stall(now);
    }

    fn handle_head_timeout(&mut self, api: &mut Api, now: Duration) {
        if self.stalled_since.is_some_and(|since| now >= since + SEND_TIMEOUT) {
            self.finish(Finish::Abort, now);
        } else if self.waiting.is_none() && now >= self.opened + HEAD_TIMEOUT {
            if self.receive.filled().is_empty() {
                Counters::add(&mut api.counters.silent);
                self.finish(Finish::Abort, now);
            } else {
                Counters::add(&mut api.counters.half_requests);
                self.reject(&crate::http::Rejection::TIMED_OUT, now);
            }
        }
    }

    pub(super) fn track_stall(&mut self, now: Duration) {
        if self.send.is_empty() {
            self.stalled_since = None;
        } else if self.stalled_since.is_none() {
            self.stalled_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_without_its_buffers_stays_small() {
        assert!(size_of::<Connection>() <= 1024, "{}", size_of::<Connection>());
    }
}
