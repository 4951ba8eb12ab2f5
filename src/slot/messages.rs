//! The WebSocket half of a connection: messages and their answers, pushes, chunks.

use core::time::Duration;

use heapless::String;

use super::answer::{Answer, Identity};
use super::connection::{ANSWER_ROOM, Around, Connection, Waiting};
use super::desk::Desk;
use super::{Admission, Counters};
use crate::limits::{ANSWER_TIMEOUT, CHUNK_PIECE_BYTES, PUSH_BACKLOG_BYTES, REPLY_BYTES, REQUEST_ID_BYTES};
use crate::proto::chunk::Progress;
use crate::proto::{self, Failure, Form, Message, Scratch, Writer, reply};
use crate::service::{ServiceId, State};
use crate::ws::{Full, Incoming};

/// What a message led to, free of the message's own bytes.
#[expect(clippy::large_enum_variant, reason = "it lives for one call on the stack; a box would allocate")]
enum Reaction {
    Done,
    Answer {
        form: Form,
        request_id: Option<String<REQUEST_ID_BYTES>>,
        answer: Answer,
    },
    /// A chunked message is whole.
    Whole(proto::chunk::SetId),
}

impl Connection {
    /// Takes all whole messages for whose answers there is room.
    pub(super) fn handle_messages(&mut self, around: &mut Around<'_>) {
        loop {
            if self.waiting.is_some() || self.outgoing.is_some() || self.send.free() < ANSWER_ROOM {
                self.stalled = true;
                break;
            }
            let Some(socket) = &mut self.socket else { break };
            match socket.poll(&mut self.receive, &mut self.send, around.now) {
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
                    let reaction = self.handle_message(message, true, around);
                    self.receive = receive;
                    self.react(reaction, around);
                }
            }
        }
        if let Some(socket) = &self.socket
            && socket.is_closed()
        {
            if matches!(socket.close_code(), Some(1002 | 1003 | 1007 | 1009)) {
                Counters::add(&mut around.desk.counters.bad_sockets);
            }
            self.finish_closed_socket(around.now);
        }
    }

    fn react(&mut self, reaction: Reaction, around: &mut Around<'_>) {
        match reaction {
            Reaction::Done => {}
            Reaction::Answer { form, request_id, answer } => {
                self.answer_message(form, request_id.as_deref(), answer, around);
            }
            Reaction::Whole(set) => {
                // Taken out of its set while it is read: its answer may need the set.
                let mut text = around.chunks.take(set);
                let reaction = self.handle_message(text.text(), false, around);
                around.chunks.give_back(set, text);
                around.chunks.release(set);
                self.react(reaction, around);
            }
        }
    }

    fn handle_message(
        &mut self,
        message: &mut [u8],
        may_be_chunk: bool,
        around: &mut Around<'_>,
    ) -> Reaction {
        let mut scratch = Scratch::default();
        let decoded = match proto::decode(message, &mut scratch) {
            Ok(decoded) => decoded,
            Err(refusal) => {
                Counters::add(&mut around.desk.counters.bad_messages);
                around.desk.complain(refusal.kind.as_str(), around.now);
                let _ = self.put_text(|out| reply::refused(out, &refusal));
                return Reaction::Done;
            }
        };
        match decoded {
            Message::Nothing | Message::Pong => {}
            Message::Ping { echo } => {
                if let Some(Identity::Session(key, _)) = self.bound {
                    around.desk.sessions.touch(key, around.now);
                }
                let _ = self.put_text(|out| reply::pong(out, echo));
            }
            Message::LegacyPing { id } => {
                let _ = self.put_text(|out| reply::legacy_pong(out, id));
            }
            Message::Bind { form, session } => self.bind(form, session, around),
            // Its sets are few and everybody's: nobody without a session has a claim to one.
            Message::Chunk(part) if may_be_chunk && self.name_by.is_none() => {
                let owner = u32::from(self.id.index);
                match around.chunks.handle_part(owner, part, around.now) {
                    Ok(Progress::Waiting) => {}
                    Ok(Progress::Complete(set)) => return Reaction::Whole(set),
                    Err(error) => {
                        Counters::add(&mut around.desk.counters.bad_messages);
                        around.desk.complain(error, around.now);
                        let _ = self.put_text(|out| reply::parse_error(out, None));
                    }
                }
            }
            Message::Chunk(_) => {
                Counters::add(&mut around.desk.counters.bad_messages);
                let _ = self.put_text(|out| reply::parse_error(out, None));
            }
            Message::Call(request) => {
                let answer = self.call(&request, true, around);
                let request_id = request.request_id.and_then(|id| String::try_from(id).ok());
                return Reaction::Answer { form: request.form, request_id, answer };
            }
            Message::Event(request) => {
                // Executed and never answered; what it has started goes on without it.
                if let Answer::HouseFull = self.call(&request, false, around) {
                    self.close_full(around.now);
                }
            }
        }
        Reaction::Done
    }

    fn call(&mut self, request: &proto::Request<'_>, is_answered: bool, around: &mut Around<'_>) -> Answer {
        let caller = self.caller(is_answered);
        let shown = request.session.filter(|_| self.name_by.is_some());
        let answer = around.desk.handle_call(request, &caller, around.now, around.platform);
        // After the call: a login or a logout may have changed what the session is worth.
        let identity = shown.and_then(|session| around.desk.identify(session, around.now));
        if let Some(identity) = identity.filter(|identity| self.may_stay(*identity, around.desk)) {
            self.named(identity);
        }
        answer
    }

    /// Whether this slot is for whom it is: the administrators' is for nobody else.
    fn may_stay(&self, identity: Identity, desk: &Desk) -> bool {
        self.admission == Admission::Open || desk.users.is_admin(identity.user())
    }

    /// Binds the socket to a session. One that is none is passed over in silence, as in Friend Core;
    /// the deadline for showing one runs on.
    fn bind(&mut self, form: Form, session: &str, around: &mut Around<'_>) {
        let Some(identity) = around.desk.identify(session, around.now) else { return };
        if !self.may_stay(identity, around.desk) {
            self.close_full(around.now);
            return;
        }
        self.bound = Some(identity);
        self.named(identity);
        if form == Form::Envelope {
            let _ = self.put_text(|out| reply::bind_ok(out, session));
        }
        self.warn(around.desk);
    }

    /// Tells an administrator's socket what is wrong with the board, once; when there is no room now,
    /// then when the peer has caught up.
    fn warn(&mut self, desk: &Desk) {
        if self.is_warned || !desk.board.is_troubled() {
            return;
        }
        let is_admin = self.bound.is_some_and(|identity| desk.users.is_admin(identity.user()));
        if is_admin && self.may_push() {
            self.is_warned = self.put_text(|out| reply::notice(out, desk.board.trouble())).is_ok();
        }
    }

    /// Sends an answer in the form its call had.
    pub(super) fn answer_message(
        &mut self,
        form: Form,
        request_id: Option<&str>,
        answer: Answer,
        around: &mut Around<'_>,
    ) {
        let id = request_id.unwrap_or_default();
        match (form, answer) {
            (_, Answer::Silence) | (Form::Frame | Form::Http, Answer::UnknownLibrary) => {}
            (_, Answer::HouseFull) => self.close_full(around.now),
            (form, Answer::Pending { ticket, job }) => {
                let request_id = request_id.and_then(|id| String::try_from(id).ok());
                self.waiting =
                    Some(Waiting { ticket, job, form, request_id, until: around.now + ANSWER_TIMEOUT });
            }
            (Form::Envelope, Answer::UnknownLibrary) => {
                let _ = self.put_text(|out| reply::unknown_library(out, id));
            }
            (Form::Frame | Form::Http, Answer::Content { .. }) => {
                let _ = self.put_text(|out| out.put(around.desk.content()));
            }
            (Form::Envelope, Answer::Content { .. }) => {
                if self
                    .put_text(|out| reply::response(out, id, around.desk.content(), around.desk.is_own()))
                    .is_err()
                {
                    self.answer_in_chunks(id, around);
                }
            }
        }
    }

    /// A response too long for one message goes out in chunks, out of one of the server's sets; when
    /// all of them are in use, the answer is that.
    fn answer_in_chunks(&mut self, request_id: &str, around: &mut Around<'_>) {
        let owner = u32::from(self.id.index);
        let leased = around
            .desk
            .wrapped(request_id)
            .and_then(|text| around.chunks.lease_down(owner, text, around.now).ok());
        match leased {
            Some(set) => {
                self.outgoing = Some((set, 0));
                self.continue_outgoing(around);
            }
            None => {
                around.desk.fail(Form::Envelope, Failure::TableFull);
                let _ = self.put_text(|out| {
                    reply::response(out, request_id, around.desk.content(), around.desk.is_own())
                });
            }
        }
    }

    /// Sends the chunks for which there is room.
    pub(super) fn continue_outgoing(&mut self, around: &mut Around<'_>) {
        // RFC 6455, 5.5.1: no message follows a closing frame.
        let is_closing = self.socket.as_ref().is_none_or(|socket| socket.is_closing());
        while let Some((set, part)) = self.outgoing {
            if is_closing || part >= around.chunks.parts(set) {
                around.chunks.release(set);
                self.outgoing = None;
                return;
            }
            if self.send.free() < ANSWER_ROOM {
                return;
            }
            let chunks = &*around.chunks;
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
    pub(super) fn push(&mut self, desk: &Desk, service: ServiceId, state: State, pid: u32, now: Duration) {
        let Some(identity) = self.bound.filter(|_| self.finish.is_none()) else { return };
        let Some(spec) = desk.services.table().get(service) else { return };
        if !desk.users.may_control(identity.user(), &spec.name) {
            return;
        }
        let bit = 1 << service.index();
        let is_behind = self.owed & bit != 0 || !self.may_push();
        if is_behind
            || self.put_text(|out| reply::service_change(out, &spec.name, state.word(), pid)).is_err()
        {
            self.owed |= bit;
        }
        self.note_unread(now);
    }

    /// Whether there is room for a push: beside what waits, and beside an answer that is still to come.
    fn may_push(&self) -> bool {
        let room = if self.waiting.is_some() { ANSWER_ROOM + PUSH_BACKLOG_BYTES } else { 0 };
        self.outgoing.is_none() && self.send.pending().len() <= PUSH_BACKLOG_BYTES && self.send.free() >= room
    }

    /// The peer has caught up: it gets the newest state of whatever it is owed.
    pub(super) fn send_owed(&mut self, desk: &Desk, now: Duration) {
        self.warn(desk);
        if self.owed == 0 {
            return;
        }
        for (service, spec) in desk.services.table().iter() {
            let bit = 1 << service.index();
            // Somebody else may be bound now than when it was owed.
            if !self.bound.is_some_and(|identity| desk.users.may_control(identity.user(), &spec.name)) {
                self.owed &= !bit;
            }
            if self.owed & bit != 0 && self.may_push() {
                let status = desk.services.status(service, now);
                let word = status.state.word();
                if self.put_text(|out| reply::service_change(out, &spec.name, word, status.pid)).is_ok() {
                    self.owed &= !bit;
                }
            }
        }
    }

    /// Puts a text message into the send buffer, of at most the size that goes out in one piece.
    pub(super) fn put_text(
        &mut self,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), proto::Full>,
    ) -> Result<(), Full> {
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
