//! Events of one connection: bytes, the end of the peer, completions, deadlines.

use core::time::Duration;

use super::machine::{Connection, Context, Finish, HttpConfig};
use super::{HEAD_TIMEOUT, http, push, response, websocket};
use crate::api::{self, Counters};
use crate::call::Completion;
use crate::http::Rejection;
use crate::ws::{CloseCode, Socket};

impl Connection {
    /// Handles `count` new bytes in the receive buffer.
    pub(super) fn handle_received(&mut self, count: usize, cx: &mut Context<'_>) {
        self.receive.commit(count);
        if let Some(socket) = &mut self.socket {
            socket.handle_activity(cx.now);
        }
        if self.closing.is_open() && self.socket.is_none() && self.pending.is_none() {
            http::handle_request(self, cx);
        }
        if self.closing.is_open() && self.socket.is_some() {
            websocket::handle_messages(self, cx);
        }
        self.track_stall(cx.now);
    }

    /// Handles the sending of `count` bytes of the send buffer.
    pub(super) fn handle_sent(&mut self, count: usize, cx: &mut Context<'_>) {
        self.send.sent(count);
        self.flow.stalled_since = None;
        if count > 0 {
            self.closing.note_progress(cx.now);
        }
        if self.closing.is_open() && self.socket.is_some() {
            if self.outgoing.is_some() {
                websocket::continue_outgoing(self, cx.chunks);
            }
            if self.flow.is_paused {
                websocket::handle_messages(self, cx);
            }
            push::flush(self, cx);
        }
        self.track_stall(cx.now);
    }

    /// Handles the end of the incoming side; `broken` ends the outgoing side too.
    pub(super) fn handle_end(&mut self, broken: bool, cx: &mut Context<'_>) {
        self.closing.is_half_closed = true;
        if self.closing.is_open() && self.socket.is_none() && self.pending.is_none() {
            let counters = &mut cx.api.counters;
            if self.receive.filled().is_empty() {
                Counters::add(&mut counters.silent);
                self.closing.begin(Finish::Abort, cx.now);
            } else {
                Counters::add(&mut counters.half_requests);
                if !broken {
                    response::reject(self, &Rejection::TRUNCATED, cx.http, cx.now);
                }
            }
        }
        if broken || (self.socket.is_some() && self.closing.is_open()) {
            self.closing.abort();
        }
    }

    /// Handles the end of the pending call's work.
    pub(super) fn handle_completion(&mut self, completion: Completion<'_>, cx: &mut Context<'_>) {
        let Some(pending) = self.pending.take() else { return };
        let unix_s = cx.platform.unix_s();
        let api = &mut api::Context { api: &mut *cx.api, platform: &mut *cx.platform, now: cx.now };
        let outcome = api::complete(&pending.call, completion, api);
        if self.socket.is_none() {
            if http::reply(self, outcome, cx.reply, cx.http, unix_s, cx.now) == http::Reply::AtCapacity {
                response::reject_at_capacity(self, cx.api, cx.http, cx.now);
            }
        } else {
            let request_id = pending.request_id.as_deref();
            websocket::reply(self, pending.form, request_id, outcome, cx.chunks, cx.reply, cx.now);
            websocket::handle_messages(self, cx);
            push::flush(self, cx);
        }
        self.track_stall(cx.now);
    }

    /// Handles every deadline that has passed.
    pub(super) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        if !self.closing.is_open() {
            self.closing.abort();
            return;
        }
        if self.pending.as_ref().is_some_and(|pending| now >= pending.deadline) {
            self.handle_completion(Completion::TimedOut, cx);
            if !self.closing.is_open() {
                return;
            }
        }
        let is_stalled = self.flow.deadline().is_some_and(|deadline| now >= deadline);
        let counters = &mut cx.api.counters;
        let Some(socket) = &mut self.socket else {
            self.handle_head_timeout(is_stalled, counters, cx.http, now);
            return;
        };
        socket.handle_timeout(&mut self.send, now);
        if socket.is_closed() && socket.close_code() == Some(1006) {
            Counters::add(&mut counters.unresponsive);
            self.closing.begin(Finish::Abort, now);
        } else if is_stalled {
            // A peer that has not read for so long does not answer a closing frame either.
            Counters::add(&mut counters.unresponsive);
            socket.close(CloseCode::Again, "not reading", &mut self.send, now);
            self.closing.begin(Finish::Graceful, now);
        } else if self.auth.deadline().is_some_and(|deadline| now >= deadline) {
            Counters::add(&mut counters.unauthenticated);
            self.auth.stop_waiting();
            self.close(CloseCode::Policy, "no valid session shown", now);
        }
        self.finish_closed_socket(now);
        self.track_stall(now);
    }

    /// Earliest deadline; `None` without any.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        if !self.place.in_use {
            return None;
        }
        if !self.closing.is_open() {
            return self.closing.deadline();
        }
        let is_head_due = self.socket.is_none() && self.pending.is_none();
        let head = is_head_due.then(|| self.place.opened + HEAD_TIMEOUT);
        let socket = self.socket.as_ref().and_then(Socket::poll_timeout);
        let pending = self.pending.as_ref().map(|pending| pending.deadline);
        [self.flow.deadline(), head, socket, pending, self.auth.deadline()].into_iter().flatten().min()
    }

    fn handle_head_timeout(
        &mut self,
        is_stalled: bool,
        counters: &mut Counters,
        config: &HttpConfig,
        now: Duration,
    ) {
        if is_stalled {
            self.closing.begin(Finish::Abort, now);
        } else if self.pending.is_none() && now >= self.place.opened + HEAD_TIMEOUT {
            if self.receive.filled().is_empty() {
                Counters::add(&mut counters.silent);
                self.closing.begin(Finish::Abort, now);
            } else {
                Counters::add(&mut counters.half_requests);
                response::reject(self, &Rejection::TIMED_OUT, config, now);
            }
        }
    }
}
