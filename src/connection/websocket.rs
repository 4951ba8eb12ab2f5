//! The WebSocket half of a connection: messages and their answers, pushes, chunks.

use core::time::Duration;

use heapless::String;

use super::Admission;
use super::machine::{ANSWER_ROOM, Connection, Context, PendingReply};
use crate::api::Api;
use crate::api::Counters;
use crate::call::{Identity, Outcome};
use crate::friendcore::chunk::Progress;
use crate::friendcore::{self, Failure, Form, Message, Scratch, reply};
use crate::json::{self, Writer};
use crate::limits::{ANSWER_TIMEOUT, CHUNK_PIECE_BYTES, PUSH_BACKLOG_BYTES, REPLY_BYTES, REQUEST_ID_BYTES};
use crate::service::{ServiceId, State};
use crate::ws::{Incoming, SendBufferFull};

/// What a message led to, free of the message's own bytes.
#[expect(clippy::large_enum_variant, reason = "it lives for one call on the stack; a box would allocate")]
enum MessageOutcome {
    Done,
    Outcome {
        form: Form,
        request_id: Option<String<REQUEST_ID_BYTES>>,
        answer: Outcome,
    },
    /// A chunked message is whole.
    Whole(friendcore::chunk::SetId),
}

impl Connection {
    /// Takes all whole messages for whose answers there is room.
    pub(super) fn handle_messages(&mut self, cx: &mut Context<'_>) {
        loop {
            if self.waiting.is_some() || self.outgoing.is_some() || self.send.free() < ANSWER_ROOM {
                self.stalled = true;
                break;
            }
            let Some(socket) = &mut self.socket else { break };
            match socket.poll(&mut self.receive, &mut self.send, cx.now) {
                Incoming::More => {
                    self.stalled = false;
                    break;
                }
                Incoming::Stalled => {
                    self.stalled = true;
                    break;
                }
                Incoming::Message { range, .. } => {
                    let mut receive = core::mem::take(&mut self.receive);
                    let message = receive.filled_mut().get_mut(range).unwrap_or_default();
                    let reaction = self.handle_message(message, true, cx);
                    self.receive = receive;
                    self.apply(reaction, cx);
                }
            }
        }
        if let Some(socket) = &self.socket
            && socket.is_closed()
        {
            if matches!(socket.close_code(), Some(1002 | 1003 | 1007 | 1009)) {
                Counters::add(&mut cx.api.counters.bad_sockets);
            }
            self.finish_closed_socket(cx.now);
        }
    }

    fn apply(&mut self, reaction: MessageOutcome, cx: &mut Context<'_>) {
        match reaction {
            MessageOutcome::Done => {}
            MessageOutcome::Outcome { form, request_id, answer } => {
                self.reply_message(form, request_id.as_deref(), answer, cx);
            }
            MessageOutcome::Whole(set) => {
                // Taken out of its set while it is read: its answer may need the set.
                let mut text = cx.chunks.take(set);
                let reaction = self.handle_message(text.text(), false, cx);
                cx.chunks.give_back(set, text);
                cx.chunks.release(set);
                self.apply(reaction, cx);
            }
        }
    }

    fn handle_message(
        &mut self,
        message: &mut [u8],
        may_be_chunk: bool,
        cx: &mut Context<'_>,
    ) -> MessageOutcome {
        let mut scratch = Scratch::default();
        let decoded = match friendcore::decode(message, &mut scratch) {
            Ok(decoded) => decoded,
            Err(refusal) => {
                Counters::add(&mut cx.api.counters.bad_messages);
                cx.api.complain(refusal.kind.as_str(), cx.now);
                let _ = self.put_text(|out| reply::refused(out, &refusal));
                return MessageOutcome::Done;
            }
        };
        match decoded {
            Message::Nothing | Message::Pong => {}
            Message::Ping { echo } => {
                if let Some(Identity::Session(key, _)) = self.bound {
                    cx.api.sessions.touch(key, cx.now);
                }
                let _ = self.put_text(|out| reply::pong(out, echo));
            }
            Message::LegacyPing { id } => {
                let _ = self.put_text(|out| reply::legacy_pong(out, id));
            }
            Message::Bind { form, session } => self.bind(form, session, cx),
            // Its sets are few and everybody's: nobody without a session has a claim to one.
            Message::Chunk(part) if may_be_chunk && self.auth_deadline.is_none() => {
                let owner = u32::from(self.id.index);
                match cx.chunks.handle_part(owner, part, cx.now) {
                    Ok(Progress::Waiting) => {}
                    Ok(Progress::Complete(set)) => return MessageOutcome::Whole(set),
                    Err(error) => {
                        Counters::add(&mut cx.api.counters.bad_messages);
                        cx.api.complain(error, cx.now);
                        let _ = self.put_text(|out| reply::parse_error(out, None));
                    }
                }
            }
            Message::Chunk(_) => {
                Counters::add(&mut cx.api.counters.bad_messages);
                let _ = self.put_text(|out| reply::parse_error(out, None));
            }
            Message::Call(request) => {
                let answer = self.call(&request, true, cx);
                let request_id = request.request_id.and_then(|id| String::try_from(id).ok());
                return MessageOutcome::Outcome { form: request.form, request_id, answer };
            }
            Message::Event(request) => {
                // Executed and never answered; what it has started goes on without it.
                if let Outcome::AtCapacity = self.call(&request, false, cx) {
                    self.close_at_capacity(cx.now);
                }
            }
        }
        MessageOutcome::Done
    }

    fn call(
        &mut self,
        request: &friendcore::Request<'_>,
        is_answered: bool,
        cx: &mut Context<'_>,
    ) -> Outcome {
        let caller = self.caller(is_answered);
        let shown = request.session.filter(|_| self.auth_deadline.is_some());
        let answer = cx.api.handle_call(request, &caller, cx.now, cx.platform);
        // After the call: a login or a logout may have changed what the session is worth.
        let identity = shown.and_then(|session| cx.api.identify(session, cx.now));
        if let Some(identity) = identity.filter(|identity| self.is_admitted(*identity, cx.api)) {
            self.authenticate(identity);
        }
        answer
    }

    /// Whether this slot is for whom it is: the administrators' is for nobody else.
    fn is_admitted(&self, identity: Identity, api: &Api) -> bool {
        self.admission == Admission::Open || api.users.is_admin(identity.user())
    }

    /// Binds the socket to a session. One that is none is passed over in silence, as in Friend Core;
    /// the deadline for showing one runs on.
    fn bind(&mut self, form: Form, session: &str, cx: &mut Context<'_>) {
        let Some(identity) = cx.api.identify(session, cx.now) else { return };
        if !self.is_admitted(identity, cx.api) {
            self.close_at_capacity(cx.now);
            return;
        }
        self.bound = Some(identity);
        self.authenticate(identity);
        if form == Form::Envelope {
            let _ = self.put_text(|out| reply::bind_ok(out, session));
        }
        self.warn(cx.api);
    }

    /// Tells an administrator's socket what is wrong with the board, once; when there is no room now,
    /// then when the peer has caught up.
    fn warn(&mut self, api: &Api) {
        if self.is_warned || !api.board.has_problem() {
            return;
        }
        let is_admin = self.bound.is_some_and(|identity| api.users.is_admin(identity.user()));
        if is_admin && self.may_push() {
            self.is_warned = self.put_text(|out| reply::notice(out, api.board.health_message())).is_ok();
        }
    }

    /// Sends an answer in the form its call had.
    pub(super) fn reply_message(
        &mut self,
        form: Form,
        request_id: Option<&str>,
        answer: Outcome,
        cx: &mut Context<'_>,
    ) {
        let id = request_id.unwrap_or_default();
        match (form, answer) {
            (_, Outcome::Silence) | (Form::Frame | Form::Http, Outcome::UnknownLibrary) => {}
            (_, Outcome::AtCapacity) => self.close_at_capacity(cx.now),
            (form, Outcome::Pending { call_id, job }) => {
                let request_id = request_id.and_then(|id| String::try_from(id).ok());
                self.waiting =
                    Some(PendingReply { call_id, job, form, request_id, until: cx.now + ANSWER_TIMEOUT });
            }
            (Form::Envelope, Outcome::UnknownLibrary) => {
                let _ = self.put_text(|out| reply::unknown_library(out, id));
            }
            (Form::Frame | Form::Http, Outcome::Content { .. }) => {
                let _ = self.put_text(|out| out.put(cx.api.content()));
            }
            (Form::Envelope, Outcome::Content { .. }) => {
                if self.put_text(|out| reply::response(out, id, cx.api.content(), cx.api.is_own())).is_err() {
                    self.reply_in_chunks(id, cx);
                }
            }
        }
    }

    /// A response too long for one message goes out in chunks, out of one of the server's sets; when
    /// all of them are in use, the answer is that.
    fn reply_in_chunks(&mut self, request_id: &str, cx: &mut Context<'_>) {
        let owner = u32::from(self.id.index);
        let leased =
            cx.api.wrapped(request_id).and_then(|text| cx.chunks.lease_down(owner, text, cx.now).ok());
        match leased {
            Some(set) => {
                self.outgoing = Some((set, 0));
                self.continue_outgoing(cx);
            }
            None => {
                cx.api.fail(Form::Envelope, Failure::TableFull);
                let _ =
                    self.put_text(|out| reply::response(out, request_id, cx.api.content(), cx.api.is_own()));
            }
        }
    }

    /// Sends the chunks for which there is room.
    pub(super) fn continue_outgoing(&mut self, cx: &mut Context<'_>) {
        // RFC 6455, 5.5.1: no message follows a closing frame.
        let is_closing = self.socket.as_ref().is_none_or(|socket| socket.is_closing());
        while let Some((set, part)) = self.outgoing {
            if is_closing || part >= cx.chunks.parts(set) {
                cx.chunks.release(set);
                self.outgoing = None;
                return;
            }
            if self.send.free() < ANSWER_ROOM {
                return;
            }
            let chunks = &*cx.chunks;
            let written = self.send.text(|room| {
                let mut out = Writer::new(room);
                chunks.write_part(set, part, &mut out).ok()?;
                out.finish().ok().map(<[u8]>::len)
            });
            if written.is_err() {
                return;
            }
            self.outgoing = Some((set, part + 1));
        }
    }

    /// Tells a bound socket of a change, or owes it when the peer is behind.
    pub(super) fn push(&mut self, api: &Api, service: ServiceId, state: State, pid: u32, now: Duration) {
        let Some(identity) = self.bound.filter(|_| self.finish.is_none()) else { return };
        let Some(spec) = api.services.table().get(service) else { return };
        if !api.users.may_control(identity.user(), &spec.name) {
            return;
        }
        let bit = 1 << service.index();
        let is_behind = self.pending_pushes & bit != 0 || !self.may_push();
        if is_behind
            || self.put_text(|out| reply::service_change(out, &spec.name, state.word(), pid)).is_err()
        {
            self.pending_pushes |= bit;
        }
        self.track_stall(now);
    }

    /// Whether there is room for a push: beside what waits, and beside an answer that is still to come.
    fn may_push(&self) -> bool {
        let room = if self.waiting.is_some() { ANSWER_ROOM + PUSH_BACKLOG_BYTES } else { 0 };
        self.outgoing.is_none() && self.send.pending().len() <= PUSH_BACKLOG_BYTES && self.send.free() >= room
    }

    /// The peer has caught up: it gets the newest state of whatever it is pending_pushes.
    pub(super) fn flush_pushes(&mut self, api: &Api, now: Duration) {
        self.warn(api);
        if self.pending_pushes == 0 {
            return;
        }
        for (service, spec) in api.services.table().iter() {
            let bit = 1 << service.index();
            // Somebody else may be bound now than when it was pending_pushes.
            if !self.bound.is_some_and(|identity| api.users.may_control(identity.user(), &spec.name)) {
                self.pending_pushes &= !bit;
            }
            if self.pending_pushes & bit != 0 && self.may_push() {
                let status = api.services.status(service, now);
                let word = status.state.word();
                if self.put_text(|out| reply::service_change(out, &spec.name, word, status.pid)).is_ok() {
                    self.pending_pushes &= !bit;
                }
            }
        }
    }

    /// Puts a text message into the send buffer, of at most the size that goes out in one piece.
    pub(super) fn put_text(
        &mut self,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), json::Full>,
    ) -> Result<(), SendBufferFull> {
        if self.socket.as_ref().is_none_or(|socket| socket.is_closing()) {
            return Ok(());
        }
        self.send.text(|room| {
            let limit = room.len().min(CHUNK_PIECE_BYTES).min(REPLY_BYTES);
            let mut out = Writer::new(room.get_mut(..limit)?);
            write(&mut out).ok()?;
            out.finish().ok().map(<[u8]>::len)
        })
    }
}
