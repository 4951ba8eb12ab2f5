//! WebSocket half of a connection: messages, their answers, chunks.

use core::time::Duration;

use super::machine::{ANSWER_ROOM, Connection, Context, PendingReply};
use super::push;
use crate::api::{self, Counters};
use crate::call::{Failure, Identity, Outcome};
use crate::friendcore::chunk::{Assembler, Progress, SetId};
use crate::friendcore::{self, CHUNK_PIECE_BYTES, Form, Message, Request, Scratch, reply};
use crate::internal_error;
use crate::json::{self, Writer};
use crate::limits::REPLY_BYTES;
use crate::ws::{Incoming, SendBufferFull};

impl Connection {
    /// Handles all whole messages for whose answers there is room.
    pub(super) fn handle_messages(&mut self, cx: &mut Context<'_>) {
        loop {
            if self.pending.is_some() || self.outgoing.is_some() || self.send.free() < ANSWER_ROOM {
                self.flow.is_paused = true;
                break;
            }
            let Some(socket) = &mut self.socket else { break };
            match socket.poll(&mut self.receive, &mut self.send, cx.now) {
                Incoming::More => {
                    self.flow.is_paused = false;
                    break;
                }
                Incoming::Stalled => {
                    self.flow.is_paused = true;
                    break;
                }
                Incoming::Message { range, .. } => {
                    let mut receive = core::mem::take(&mut self.receive);
                    let whole = match receive.filled_mut().get_mut(range) {
                        Some(message) => self.handle_message(message, true, cx),
                        None => {
                            internal_error!("a message lies outside of the receive buffer");
                            self.closing.abort();
                            None
                        }
                    };
                    self.receive = receive;
                    if let Some(set) = whole {
                        self.handle_chunked(set, cx);
                    }
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

    /// Handles a complete chunked message.
    fn handle_chunked(&mut self, set: SetId, cx: &mut Context<'_>) {
        // The text is taken out of its set, because the answer may use the sets.
        let mut text = cx.chunks.take(set);
        self.handle_message(text.text(), false, cx);
        cx.chunks.put_back(set, text);
        cx.chunks.release(set);
    }

    /// Handles one message. Returns the set of a chunked message that it completes.
    fn handle_message(
        &mut self,
        message: &mut [u8],
        may_be_chunk: bool,
        cx: &mut Context<'_>,
    ) -> Option<SetId> {
        let mut scratch = Scratch::default();
        match friendcore::decode(message, &mut scratch) {
            Err(refusal) => {
                cx.log_refusal(refusal.kind);
                self.put_answer(|out| reply::refused(out, &refusal));
            }
            Ok(Message::Nothing | Message::Pong) => {}
            Ok(Message::Ping { echo }) => {
                if let Some(Identity::Session(key, _)) = self.auth.bound {
                    cx.api.accounts.sessions.touch(key, cx.now);
                }
                self.put_answer(|out| reply::pong(out, echo));
            }
            Ok(Message::LegacyPing { id }) => self.put_answer(|out| reply::legacy_pong(out, id)),
            Ok(Message::Bind { form, session }) => self.bind(form, session, cx),
            // All connections share a few sets, so an unauthenticated client gets none.
            Ok(Message::Chunk(part)) if may_be_chunk && !self.auth.is_due() => {
                match cx.chunks.handle_part(u32::from(self.place.id.index), part, cx.now) {
                    Ok(Progress::Waiting) => {}
                    Ok(Progress::Complete(set)) => return Some(set),
                    Err(error) => {
                        cx.log_refusal(error);
                        self.put_answer(|out| reply::parse_error(out, None));
                    }
                }
            }
            Ok(Message::Chunk(_)) => {
                Counters::add(&mut cx.api.counters.bad_messages);
                self.put_answer(|out| reply::parse_error(out, None));
            }
            Ok(Message::Call(request)) => self.handle_call(&request, true, cx),
            // Executed and never answered; its work continues after this.
            Ok(Message::Event(request)) => self.handle_call(&request, false, cx),
        }
        None
    }

    fn handle_call(&mut self, request: &Request<'_>, is_answered: bool, cx: &mut Context<'_>) {
        let caller = self.caller(request.form, true, is_answered);
        let api = &mut api::Context { api: &mut *cx.api, platform: &mut *cx.platform, now: cx.now };
        match api::handle(&request.call, &caller, api) {
            Outcome::AtCapacity => self.close_at_capacity(cx.now),
            outcome if is_answered => {
                self.reply(request.form, request.request_id, outcome, cx.chunks, cx.reply, cx.now);
            }
            _ => {}
        }
        // After the call, because a login or a logout may have opened or ended the session.
        if self.auth.is_due()
            && let Some(session) = request.call.session
            && let Some(identity) = cx.api.accounts.identify(session, cx.now)
            && self.is_admitted(identity, cx.api)
        {
            self.auth.authenticate(identity);
        }
    }

    /// Binds the socket to a session. An unknown session is ignored without an answer, as in Friend Core.
    /// The deadline for a valid one stays.
    fn bind(&mut self, form: Form, session: &str, cx: &mut Context<'_>) {
        let Some(identity) = cx.api.accounts.identify(session, cx.now) else { return };
        if !self.is_admitted(identity, cx.api) {
            self.close_at_capacity(cx.now);
            return;
        }
        self.auth.bound = Some(identity);
        self.auth.authenticate(identity);
        if form == Form::Envelope {
            self.put_answer(|out| reply::bind_ok(out, session));
        }
        push::notify_problem(self, cx.api);
    }

    /// Handles the end of the session that the socket is bound to.
    pub(super) fn unbind(&mut self, notice: &str, now: Duration) {
        self.auth.bound = None;
        self.pushes.clear();
        self.auth.deauthenticate(self.place.admission, now);
        self.put_answer(|out| reply::notice(out, notice));
        self.track_stall(now);
    }

    /// Sends the outcome of a call in the form of the call, or keeps a pending one.
    pub(super) fn reply(
        &mut self,
        form: Form,
        request_id: Option<&str>,
        outcome: Outcome<'_>,
        chunks: &mut Assembler,
        buffer: &mut [u8],
        now: Duration,
    ) {
        match outcome {
            Outcome::AtCapacity => self.close_at_capacity(now),
            Outcome::Pending(call) => self.pending = Some(PendingReply::new(call, form, request_id, now)),
            outcome if reply::is_sent(form, &outcome) => {
                match outcome {
                    Outcome::ServiceLog { service, log, follow: Some(true) } => {
                        self.pushes.follow(service, log.next);
                    }
                    Outcome::ServiceLog { follow: Some(false), .. } => self.pushes.unfollow(),
                    _ => {}
                }
                let may_cut = form != Form::Envelope;
                if self.put_text(|out| reply::outcome(out, form, request_id, &outcome, may_cut)).is_ok() {
                    return;
                }
                let is_sent = form == Form::Envelope
                    && self.reply_in_chunks(request_id, &outcome, chunks, buffer, now).is_some();
                if !is_sent {
                    let full = Outcome::Failed(Failure::TableFull);
                    self.put_answer(|out| reply::outcome(out, form, request_id, &full, false));
                }
            }
            _ => {}
        }
    }

    /// Sends a response that is too long for one message in chunks, from one of the server's sets. Returns
    /// `None` if it is too long for a set, or if every set is in use.
    fn reply_in_chunks(
        &mut self,
        request_id: Option<&str>,
        outcome: &Outcome<'_>,
        chunks: &mut Assembler,
        buffer: &mut [u8],
        now: Duration,
    ) -> Option<()> {
        let mut out = Writer::new(buffer);
        reply::outcome(&mut out, Form::Envelope, request_id, outcome, true).ok()?;
        let text = out.finish().ok()?;
        let set = chunks.lease_down(u32::from(self.place.id.index), text, now).ok()?;
        self.outgoing = Some((set, 0));
        self.continue_outgoing(chunks);
        Some(())
    }

    /// Sends the chunks for which there is room.
    pub(super) fn continue_outgoing(&mut self, chunks: &mut Assembler) {
        // RFC 6455, 5.5.1: no message follows a closing frame.
        let is_closing = self.socket.as_ref().is_none_or(|socket| socket.is_closing());
        while let Some((set, part)) = self.outgoing {
            if is_closing || part >= chunks.parts(set) {
                chunks.release(set);
                self.outgoing = None;
                return;
            }
            if self.send.free() < ANSWER_ROOM {
                return;
            }
            let written = self.send.text(|room| {
                let mut out = Writer::new(room);
                chunks.write_part(set, part, &mut out).ok()?;
                out.finish().ok().map(<[u8]>::len)
            });
            debug_assert!(written.is_ok(), "a chunk longer than its room");
            if written.is_err() {
                return;
            }
            self.outgoing = Some((set, part + 1));
        }
    }

    /// Writes a short answer to the send buffer, which has [`ANSWER_ROOM`] before a message is decoded.
    fn put_answer(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<(), json::Full>) {
        if self.put_text(write).is_err() {
            // Pushes or notices wait for a slow reader, whose deadline ends the connection.
            crate::debug!("an answer without room in the send buffer was dropped");
        }
    }

    /// Writes a text message of at most the size of one message to the send buffer.
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

    /// Writes an encoded text message to the send buffer.
    pub(super) fn put_bytes(&mut self, text: &[u8]) -> Result<(), SendBufferFull> {
        if self.socket.as_ref().is_none_or(|socket| socket.is_closing()) {
            return Ok(());
        }
        self.send.message(true, text)
    }
}
