//! One connection: a request head, then either one answer or a WebSocket.

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use heapless::String;

use super::auth::Auth;
use super::closing::Closing;
use super::pending_pushes::PendingPushes;
use super::pool::{Room, Stage, Unproven};
use super::request::Request;
use super::{ANSWER_TIMEOUT, Peer, RECEIVE_BYTES, SEND_TIMEOUT, SlotId};
use crate::api::{Accounts, Api, Counters, Platform};
use crate::call::{Caller, Identity, PendingCall};
use crate::friendcore::chunk::{Assembler, Owner, SetId};
use crate::friendcore::{CHUNK_ENVELOPE_BYTES, CHUNK_PIECE_BYTES, Form};
use crate::http::{Front, SEND_RESERVE_BYTES, Site};
use crate::json::{self, Writer};
use crate::limits::{REPLY_BYTES, REQUEST_ID_BYTES, SEND_BYTES};
use crate::log::RateLimit;
use crate::rest;
use crate::session::{ClientAddr, KeyHash, UserId};
use crate::ws::{
    CloseCode, FRAME_HEADER_BYTES, ReceiveBuffer, SendBuffer, SendBufferFull, Socket, TextFrame,
};

/// Largest frame that is ever sent: a reply, or one chunk of it.
const LARGEST_FRAME_BYTES: usize = FRAME_HEADER_BYTES
    + if REPLY_BYTES > CHUNK_PIECE_BYTES { CHUNK_PIECE_BYTES + CHUNK_ENVELOPE_BYTES } else { REPLY_BYTES };
/// Room in the send buffer that a message needs before it is read: its answer's, and some for pongs and
/// the closing frame.
pub(super) const ANSWER_ROOM: usize = LARGEST_FRAME_BYTES + SEND_RESERVE_BYTES;

/// Close reason of a socket when all slots are in use.
const AT_CAPACITY: &str = "the server is full";

/// Way to close a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Finish {
    /// After the unsent bytes.
    Graceful,
    /// After one attempt to send the unsent bytes: a new connection needs the slot.
    Evict,
    /// At once.
    Abort,
}

/// Interest of a connection in its transport.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct State {
    /// It accepts bytes.
    pub receives: bool,
    /// It has bytes to send.
    pub sends: bool,
    /// It is to be closed.
    pub finish: Option<Finish>,
}

/// Pending answer to a call.
#[derive(Debug)]
pub(super) struct PendingReply {
    pub(super) call: PendingCall,
    pub(super) form: Form,
    pub(super) request_id: Option<String<REQUEST_ID_BYTES>>,
    /// Deadline after which the call counts as failed.
    pub(super) deadline: Duration,
}

impl PendingReply {
    pub(super) fn new(call: PendingCall, form: Form, request_id: Option<&str>, now: Duration) -> Self {
        // The decoder refuses longer ids.
        let request_id = request_id.and_then(|id| String::try_from(id).ok());
        Self { call, form, request_id, deadline: now + ANSWER_TIMEOUT }
    }
}

/// Configuration of the HTTP half.
#[derive(Debug)]
pub(super) struct HttpConfig {
    /// The listener uses TLS.
    pub(super) tls: bool,
    /// Proxies, and pages that may call.
    pub(super) front: Front,
    /// Own pages.
    pub(super) site: Site,
}

impl HttpConfig {
    /// Origins beside the server's own whose pages may call.
    pub(super) fn allowed(&self) -> impl Iterator<Item = &str> {
        let public = crate::http::split_url(&self.front.public_url).0;
        self.front.origins.iter().map(|origin| origin.as_str()).chain([public])
    }
}

/// Everything outside a connection that its steps may use.
pub(super) struct Context<'a> {
    pub(super) api: &'a mut Api,
    pub(super) chunks: &'a mut Assembler,
    /// Buffer of the answer that is being encoded.
    pub(super) reply: &'a mut [u8],
    pub(super) http: &'a HttpConfig,
    /// Rate limit of the log lines about refused messages.
    pub(super) refusals: &'a mut RateLimit,
    pub(super) platform: &'a mut dyn Platform,
    /// Room for one more proven connection.
    pub(super) room: &'a Room,
    pub(super) now: Duration,
}

impl Context<'_> {
    /// Counts a refused message, and logs the reason within the rate limit.
    pub(super) fn log_refusal(&mut self, reason: impl core::fmt::Display) {
        Counters::add(&mut self.api.counters.bad_messages);
        if let Some(suppressed) = self.refusals.try_acquire(self.now) {
            crate::debug!("message refused: {}{}", reason, suppressed);
        }
    }
}

/// One slot and its connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) place: Place,
    pub(super) receive: ReceiveBuffer,
    pub(super) send: SendBuffer,
    pub(super) request: Request,
    /// WebSocket, after the upgrade.
    pub(super) socket: Option<Socket>,
    pub(super) auth: Auth,
    pub(super) pushes: PendingPushes,
    pub(super) pending: Option<PendingReply>,
    /// Reply that is sent in chunks, and the number of the next chunk.
    pub(super) outgoing: Option<(SetId, usize)>,
    pub(super) flow: Flow,
    pub(super) closing: Closing,
}

/// A slot and the connection that it was claimed for.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: SlotId,
    pub(super) in_use: bool,
    pub(super) source: ClientAddr,
    /// Administrator at the local socket.
    pub(super) local: Option<UserId>,
    /// Public key of the client's certificate.
    pub(super) key: Option<KeyHash>,
    /// Its requests are refused: it is from another user at the local socket.
    pub(super) is_refused: bool,
    /// Its peer is a proxy that names the client.
    pub(super) is_proxied: bool,
    /// It came over an address that an unconfirmed change has opened.
    pub(super) is_beside: bool,
    pub(super) opened: Duration,
    /// Progress without an identity, and the time at which it was reached.
    pub(super) stage: Stage,
    since: Duration,
}

impl Place {
    /// Identity of calls without a session: that of the local socket, or of a paired certificate.
    pub(super) fn lent(&self, accounts: &Accounts) -> Option<Identity> {
        self.local.map(Identity::Local).or_else(|| accounts.of_key(self.key.as_ref()?))
    }

    /// Owner of a session id; [`lent`](Self::lent) for an empty one.
    pub(super) fn identify(&self, session: &str, cx: &mut Context<'_>) -> Option<Identity> {
        cx.api.accounts.identify(session, self.lent(&cx.api.accounts), cx.now, &*cx.platform)
    }
}

/// Flow control of one connection.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Messages stay in the receive buffer until answers have been sent.
    pub(super) is_paused: bool,
    /// Time since which the peer has read none of the unsent bytes.
    pub(super) stalled_since: Option<Duration>,
}

impl Flow {
    /// Time from which the peer counts as unresponsive.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.stalled_since.map(|since| since + SEND_TIMEOUT)
    }
}

/// Bytes of one connection without its two buffers.
pub const CONNECTION_BYTES: usize = size_of::<Connection>();

impl Connection {
    pub(super) fn new(index: u16) -> Self {
        let id = SlotId { index, generation: 0 };
        Self::vacant(id, ReceiveBuffer::new(RECEIVE_BYTES), SendBuffer::new(SEND_BYTES))
    }

    /// Creates a slot without a connection.
    fn vacant(id: SlotId, receive: ReceiveBuffer, send: SendBuffer) -> Self {
        Self {
            place: Place {
                id,
                in_use: false,
                source: ClientAddr::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
                local: None,
                key: None,
                is_refused: false,
                is_proxied: false,
                is_beside: false,
                opened: Duration::ZERO,
                stage: Stage::Silent,
                since: Duration::ZERO,
            },
            receive,
            send,
            request: Request::default(),
            socket: None,
            auth: Auth::default(),
            pushes: PendingPushes::default(),
            pending: None,
            outgoing: None,
            flow: Flow::default(),
            closing: Closing::default(),
        }
    }

    /// Opens the connection of a peer. `local` is an administrator at the local socket.
    pub(super) fn open(&mut self, peer: Peer, local: Option<UserId>, is_proxied: bool, now: Duration) {
        let is_local = matches!(peer, Peer::Local { .. });
        let is_beside = matches!(peer, Peer::Beside(_));
        let (id, is_refused) = (self.place.id, is_local && local.is_none());
        let (source, stage, opened) = (peer.source(), Stage::Silent, now);
        let (key, in_use, since) = (None, true, now);
        self.place =
            Place { id, in_use, source, local, key, is_refused, is_proxied, is_beside, opened, stage, since };
    }

    /// Resets the slot for its next connection.
    pub(super) fn release(&mut self, chunks: &mut Assembler) {
        let id = self.place.id;
        chunks.drop_owner(u32::from(id.index));
        self.receive.clear();
        self.send.clear();
        let id = SlotId { generation: id.generation.wrapping_add(1), ..id };
        // The buffers stay with the slot.
        *self = Self::vacant(id, core::mem::take(&mut self.receive), core::mem::take(&mut self.send));
    }

    pub(super) fn state(&self) -> State {
        let waits_over_http = self.socket.is_none() && self.pending.is_some();
        let is_open = self.closing.is_open() && !self.closing.is_half_closed;
        State {
            receives: is_open && !self.flow.is_paused && !waits_over_http,
            sends: !self.send.is_empty(),
            finish: self.closing.finish(),
        }
    }

    /// Returns the caller of a call that this connection received in `form`.
    pub(super) fn caller(&self, form: Form, may_change: bool, is_answered: bool, cx: &Context<'_>) -> Caller {
        Caller {
            source: self.place.source,
            // As in Friend Core, a call on a bound socket uses its session; the other forms contain one.
            bound: self.auth.bound.filter(|_| form == Form::Envelope),
            lent: self.place.lent(&cx.api.accounts),
            key: self.place.key,
            opened: self.place.opened,
            is_beside: self.place.is_beside,
            admins_only: self.proof().is_none() && cx.room.is_for_administrators(),
            may_change,
            is_answered,
        }
    }

    /// Owner of its chunked messages.
    pub(super) fn chunk_owner(&self) -> Owner {
        Owner {
            connection: u32::from(self.place.id.index),
            user: self.proof().map(Identity::user),
            is_admin: self.auth.is_admin() || self.place.local.is_some(),
        }
    }

    /// Closes the connection, a socket with a closing frame.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str, now: Duration) {
        match &mut self.socket {
            Some(socket) => {
                socket.close(code, reason, &mut self.send, now);
                self.finish_closed_socket(now);
            }
            None if self.pending.is_none() => self.closing.begin(Finish::Abort, now),
            // The pending answer ends the connection.
            None => {}
        }
    }

    /// Closes a socket because all slots are in use.
    pub(super) fn close_at_capacity(&mut self, now: Duration) {
        self.close(CloseCode::Again, AT_CAPACITY, now);
    }

    /// Returns true if it is or may become a socket of `identity`.
    pub(super) fn is_admitted(&self, identity: Identity, cx: &Context<'_>) -> bool {
        let is_admin = cx.api.accounts.is_admin(identity);
        self.proof().is_some() || cx.room.admits_socket(identity.user(), is_admin)
    }

    /// Returns true if the user of this session has a whole share of the slots. While administrators alone are served,
    /// the api refuses others.
    pub(super) fn is_over_share(&self, session: Option<&str>, cx: &mut Context<'_>) -> bool {
        self.proof().is_none()
            && cx.room.is_scarce()
            && self.place.identify(session.unwrap_or_default(), cx).is_some_and(|identity| {
                cx.room.has_share(identity.user()) && !cx.api.accounts.is_admin(identity)
            })
    }

    /// Frees the slot for another connection at once. A socket gets a closing frame if its peer reads.
    pub(super) fn evict(&mut self, now: Duration) {
        if let Some(socket) = &mut self.socket {
            socket.close(CloseCode::Again, AT_CAPACITY, &mut self.send, now);
        }
        self.closing.evict();
    }

    /// Returns true if the slot is about to be free.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.closing.finish(), Some(Finish::Evict | Finish::Abort))
    }

    /// Identity that makes the connection proven.
    pub(super) fn proof(&self) -> Option<Identity> {
        self.auth.identity().or(self.place.local.map(Identity::Local))
    }

    /// The connection as a candidate for eviction; `None` if it is proven, or about to end. The answer to a proven
    /// one has to be sent before.
    pub(super) fn unproven(&self) -> Option<Unproven> {
        let is_proven = self.proof().is_some() && (self.closing.is_open() || !self.send.is_empty());
        let Place { id, source, since, .. } = self.place;
        let is_candidate = self.place.in_use && !is_proven && !self.is_leaving();
        is_candidate.then(|| Unproven { index: id.index, source, stage: self.stage(), since })
    }

    fn stage(&self) -> Stage {
        if !self.closing.is_open() {
            Stage::Answered
        } else if self.pending.is_some() {
            Stage::Checking
        } else if self.socket.is_some() {
            Stage::Socket
        } else if self.receive.filled().is_empty() {
            self.place.stage
        } else {
            self.place.stage.max(Stage::Begun)
        }
    }

    /// Sets the progress of the transport.
    pub(super) fn set_stage(&mut self, stage: Stage, now: Duration) {
        if stage > self.place.stage {
            (self.place.stage, self.place.since) = (stage, now);
        }
    }

    /// Handles a right password: the session follows.
    pub(super) fn handle_right_password(&mut self, now: Duration) {
        self.auth.extend(now);
        self.place.since = now;
    }

    /// Handles the end of its session: a socket needs another one.
    pub(super) fn deauthenticate(&mut self, now: Duration) {
        self.auth.deauthenticate(self.socket.is_some(), now);
        self.place.since = now;
    }

    /// Notes the time of a new stage.
    pub(super) fn track_stage(&mut self, now: Duration) {
        if self.auth.bound.is_none() {
            self.set_stage(self.stage(), now);
        }
    }

    pub(super) fn finish_closed_socket(&mut self, now: Duration) {
        if self.socket.as_ref().is_some_and(Socket::is_closed) {
            self.closing.begin(Finish::Graceful, now);
        }
    }

    /// Writes a short answer to the send buffer, which has [`ANSWER_ROOM`] before a message is decoded.
    pub(super) fn put_answer(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<(), json::Full>) {
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
        let mut write = Some(write);
        self.put_message(&mut |room| {
            let limit = room.len().min(CHUNK_PIECE_BYTES).min(REPLY_BYTES);
            let mut out = Writer::new(room.get_mut(..limit)?);
            write.take()?(&mut out).ok()?;
            out.finish().ok().map(<[u8]>::len)
        })
    }

    /// Writes a text message, or the event of a stream, to the send buffer.
    fn put_message(
        &mut self,
        compose: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<(), SendBufferFull> {
        match &self.socket {
            Some(socket) if socket.is_closing() => Ok(()),
            Some(socket) if socket.is_stream() => self.send.raw(|room| {
                let length = compose(room)?;
                rest::event(room, length)
            }),
            Some(_) => self.send.text(compose),
            None => Ok(()),
        }
    }

    /// Writes an encoded text message to the send buffer.
    pub(super) fn put_frame<const BYTES: usize>(
        &mut self,
        frame: &TextFrame<BYTES>,
    ) -> Result<(), SendBufferFull> {
        match &self.socket {
            Some(socket) if socket.is_stream() => self.put_message(&mut |room| {
                room.get_mut(..frame.payload().len())?.copy_from_slice(frame.payload());
                Some(frame.payload().len())
            }),
            Some(socket) if !socket.is_closing() => self.send.encoded(frame),
            _ => Ok(()),
        }
    }

    /// Starts or ends the time of a peer that does not read, and that of a stage.
    pub(super) fn track_stall(&mut self, now: Duration) {
        self.track_stage(now);
        if self.send.is_empty() {
            self.flow.stalled_since = None;
        } else if self.flow.stalled_since.is_none() {
            self.flow.stalled_since = Some(now);
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
