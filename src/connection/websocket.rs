//! WebSocket half of a connection: messages, their answers, chunks.

use core::time::Duration;

use super::machine::{ANSWER_ROOM, Connection, Context, PendingReply};
use super::push;
use crate::api::{self, Counters};
use crate::call::{Failure, Identity, Outcome};
use crate::friendcore::chunk::{Assembler, Progress, SetId};
use crate::friendcore::{self, Form, Message, Request, Scratch, reply};
use crate::internal_error;
use crate::json::Writer;
use crate::ws::{CloseCode, Incoming, Socket};

/// Handles all whole messages for whose answers there is room.
pub(super) fn handle_messages(connection: &mut Connection, cx: &mut Context<'_>) {
    loop {
        if connection.pending.is_some()
            || connection.outgoing.is_some()
            || connection.send.free() < ANSWER_ROOM
        {
            connection.flow.is_paused = true;
            break;
        }
        let Some(socket) = &mut connection.socket else { break };
        match socket.poll(&mut connection.receive, &mut connection.send, cx.now) {
            Incoming::More => {
                connection.flow.is_paused = false;
                break;
            }
            Incoming::Stalled => {
                connection.flow.is_paused = true;
                break;
            }
            Incoming::Message { range, .. } => {
                let mut receive = core::mem::take(&mut connection.receive);
                let whole = match receive.filled_mut().get_mut(range) {
                    Some(message) => handle_message(connection, message, true, cx),
                    None => {
                        internal_error!("a message lies outside of the receive buffer");
                        connection.closing.abort();
                        None
                    }
                };
                connection.receive = receive;
                if let Some(set) = whole {
                    handle_chunked(connection, set, cx);
                }
            }
        }
    }
    if let Some(socket) = &connection.socket
        && socket.is_closed()
    {
        if matches!(socket.close_code(), Some(1002 | 1003 | 1007 | 1009)) {
            Counters::add(&mut cx.api.counters.bad_sockets);
        }
        connection.finish_closed_socket(cx.now);
    }
}

/// Handles a complete chunked message.
fn handle_chunked(connection: &mut Connection, set: SetId, cx: &mut Context<'_>) {
    // The text is taken out of its set, because the answer may use the sets.
    let mut text = cx.chunks.take(set);
    handle_message(connection, text.text(), false, cx);
    cx.chunks.put_back(set, text);
    cx.chunks.release(set);
}

/// Handles one message. Returns the set of a chunked message that it completes.
fn handle_message(
    connection: &mut Connection,
    message: &mut [u8],
    may_be_chunk: bool,
    cx: &mut Context<'_>,
) -> Option<SetId> {
    let mut scratch = Scratch::default();
    match friendcore::decode(message, &mut scratch) {
        Err(refusal) => {
            cx.log_refusal(refusal.kind);
            connection.put_answer(|out| reply::refused(out, &refusal));
        }
        Ok(Message::Nothing | Message::Pong) => {}
        Ok(Message::Ping { echo }) => {
            if let Some(Identity::Session(key, _)) = connection.auth.bound {
                cx.api.accounts.sessions.touch(key, cx.now);
            }
            connection.put_answer(|out| reply::pong(out, echo));
        }
        Ok(Message::LegacyPing { id }) => connection.put_answer(|out| reply::legacy_pong(out, id)),
        Ok(Message::Bind { form, session }) => bind(connection, form, session, cx),
        // All connections share a few sets, so an unauthenticated client gets none.
        Ok(Message::Chunk(part)) if may_be_chunk && !connection.auth.is_due() => {
            match cx.chunks.handle_part(connection.chunk_owner(), part, cx.now) {
                Ok(Progress::Waiting) => {}
                Ok(Progress::Complete(set)) => return Some(set),
                Err(error) => {
                    cx.log_refusal(error);
                    connection.put_answer(|out| reply::parse_error(out, None));
                }
            }
        }
        Ok(Message::Chunk(_)) => {
            Counters::add(&mut cx.api.counters.bad_messages);
            connection.put_answer(|out| reply::parse_error(out, None));
        }
        Ok(Message::Call(request)) => handle_call(connection, &request, true, cx),
        // Executed and never answered; its work continues after this.
        Ok(Message::Event(request)) => handle_call(connection, &request, false, cx),
    }
    None
}

fn handle_call(connection: &mut Connection, request: &Request<'_>, is_answered: bool, cx: &mut Context<'_>) {
    if connection.is_over_share(request.call.session, cx) {
        connection.close_at_capacity(cx.now);
        return;
    }
    let caller = connection.caller(request.form, true, is_answered, cx);
    let api = &mut api::Context { api: &mut *cx.api, platform: &mut *cx.platform, now: cx.now };
    match api::handle(&request.call, &caller, api) {
        Outcome::AtCapacity => connection.close_at_capacity(cx.now),
        outcome if is_answered => {
            reply(connection, request.form, request.request_id, outcome, cx.chunks, cx.reply, cx.now);
        }
        _ => {}
    }
    // After the call, because a login or a logout may have opened or ended the session.
    if connection.auth.is_due()
        && let session = request.call.session.unwrap_or_default()
        && let Some(identity) = connection.place.identify(session, cx)
        && connection.is_admitted(identity, cx)
    {
        connection.auth.authenticate(identity, &cx.api.accounts);
    }
}

/// Binds the socket to a session. An unknown session is ignored without an answer, as in Friend Core.
/// The deadline for a valid one stays. An empty one binds the socket to the identity that its connection lends.
fn bind(connection: &mut Connection, form: Form, session: &str, cx: &mut Context<'_>) {
    let Some(identity) = connection.place.identify(session, cx) else {
        let api = &mut api::Context { api: &mut *cx.api, platform: &mut *cx.platform, now: cx.now };
        api::audit::refused_session(session, None, connection.place.source, &["con"], api);
        return;
    };
    if !connection.is_admitted(identity, cx) {
        connection.close_at_capacity(cx.now);
        return;
    }
    if let Some(key) = identity.session() {
        cx.api.accounts.sessions.bind(key, cx.now);
    }
    connection.auth.bound = Some(identity);
    connection.auth.authenticate(identity, &cx.api.accounts);
    if form == Form::Envelope {
        connection.put_answer(|out| reply::bind_ok(out, session));
    }
    push::notify_problem(connection, cx.api);
}

/// Handles the end of the session that the socket is bound to.
pub(super) fn unbind(connection: &mut Connection, notice: &str, now: Duration) {
    connection.auth.bound = None;
    connection.pushes.clear();
    connection.deauthenticate(now);
    connection.put_answer(|out| reply::notice(out, notice));
    if connection.socket.as_ref().is_some_and(Socket::is_stream) {
        // It cannot show another session.
        connection.close(CloseCode::Policy, notice, now);
    }
    connection.track_stall(now);
}

/// Sends the outcome of a call in the form of the call, or keeps a pending one.
pub(super) fn reply(
    connection: &mut Connection,
    form: Form,
    request_id: Option<&str>,
    outcome: Outcome<'_>,
    chunks: &mut Assembler,
    buffer: &mut [u8],
    now: Duration,
) {
    match outcome {
        Outcome::AtCapacity => connection.close_at_capacity(now),
        Outcome::Pending(call) => connection.pending = Some(PendingReply::new(call, form, request_id, now)),
        outcome if reply::is_sent(form, &outcome) => {
            let follow = match &outcome {
                Outcome::ServiceLog { service, log, follow } => {
                    follow.map(|follow| follow.then_some((*service, log.next)))
                }
                _ => None,
            };
            let may_cut = form != Form::Envelope;
            let is_sent =
                connection.put_text(|out| reply::outcome(out, form, request_id, &outcome, may_cut)).is_ok()
                    || (form == Form::Envelope
                        && reply_in_chunks(connection, request_id, &outcome, chunks, buffer, now).is_some());
            if !is_sent {
                let full = Outcome::Failed(Failure::TableFull);
                connection.put_answer(|out| reply::outcome(out, form, request_id, &full, false));
            } else if let Some(follow) = follow {
                connection.pushes.log = follow;
            }
        }
        _ => {}
    }
}

/// Sends a response that is too long for one message in chunks, from one of the server's sets. Returns
/// `None` if it is too long for a set, or if every set is in use.
fn reply_in_chunks(
    connection: &mut Connection,
    request_id: Option<&str>,
    outcome: &Outcome<'_>,
    chunks: &mut Assembler,
    buffer: &mut [u8],
    now: Duration,
) -> Option<()> {
    let mut out = Writer::new(buffer);
    reply::outcome(&mut out, Form::Envelope, request_id, outcome, true).ok()?;
    let text = out.finish().ok()?;
    let set = chunks.lease_down(connection.chunk_owner(), text, now).ok()?;
    connection.outgoing = Some((set, 0));
    continue_outgoing(connection, chunks);
    Some(())
}

/// Sends the chunks for which there is room.
pub(super) fn continue_outgoing(connection: &mut Connection, chunks: &mut Assembler) {
    // RFC 6455, 5.5.1: no message follows a closing frame.
    let is_closing = connection.socket.as_ref().is_none_or(|socket| socket.is_closing());
    while let Some((set, part)) = connection.outgoing {
        if is_closing || part >= chunks.parts(set) {
            chunks.release(set);
            connection.outgoing = None;
            return;
        }
        if connection.send.free() < ANSWER_ROOM {
            return;
        }
        let written = connection.send.text(|room| {
            let mut out = Writer::new(room);
            chunks.write_part(set, part, &mut out).ok()?;
            out.finish().ok().map(<[u8]>::len)
        });
        debug_assert!(written.is_ok(), "a chunk longer than its room");
        if written.is_err() {
            return;
        }
        connection.outgoing = Some((set, part + 1));
    }
}
