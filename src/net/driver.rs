//! Driver of one connection: moves bytes between its socket, TLS and its endpoint.

use core::mem;
use core::ops::RangeInclusive;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use rustls::ServerConfig;

use super::endpoint::Endpoint;
use super::linger::{LingeringClose, Step};
use super::socket::Socket;
use super::tls::{Buffers, Session, TlsFailure};
use super::{LINGER_TIMEOUT, STEP_BUDGET};
use crate::connection::{End, Finish, SlotId, Stage, State};
use crate::http::{PROXY_HEADER_BYTES, proxy_header};
use crate::limits::SEND_BYTES;
use crate::log::Reason;
use crate::mmap_buffer::IdleTracker;
use crate::runtime::{self, AsyncFd, Timer, UPKEEP_DELAY};

/// First bytes of TLS records (RFC 8446, 5.1). No text begins with one.
const TLS_RECORDS: RangeInclusive<u8> = 20..=24;

/// Interpretation of the bytes on the socket.
enum Transport<'a> {
    /// TLS listener, before the first byte.
    Sniffing(&'a Arc<ServerConfig>),
    Plain,
    Tls(Session),
}

/// Socket of one connection, its TLS session if any, and the id of its slot.
pub(super) struct Connection<'a> {
    stream: &'a AsyncFd<Socket>,
    id: SlotId,
    /// Deadline of the lingering close, and until then of the release of the TLS buffers.
    timer: &'a Timer,
    transport: Transport<'a>,
    /// Buffers of TLS, stored here between two sessions.
    buffers: Buffers,
    /// Use of the pages behind the buffers of TLS.
    memory: IdleTracker,
    phase: Phase,
    /// Time of the present poll.
    now: Duration,
}

/// Progress towards the end of a connection.
#[derive(Default)]
struct Phase {
    /// The header of a proxy was read, or none is awaited.
    begun: bool,
    /// The peer sends no more.
    ended: bool,
    /// TLS has failed: only its alert is still to be sent.
    failed: bool,
    close_notify_sent: bool,
    /// The send buffer of the kernel was enlarged for the last bytes.
    widened: bool,
    linger: Option<LingeringClose>,
}

impl<'a> Connection<'a> {
    pub(super) fn new(
        stream: &'a AsyncFd<Socket>,
        id: SlotId,
        timer: &'a Timer,
        tls: Option<&'a Arc<ServerConfig>>,
        buffers: Buffers,
    ) -> Self {
        let transport = tls.map_or(Transport::Plain, Transport::Sniffing);
        let (memory, phase) = (IdleTracker::default(), Phase::default());
        Self { stream, id, timer, transport, buffers, memory, phase, now: Duration::ZERO }
    }

    /// Returns the buffers of TLS.
    pub(super) fn into_buffers(self) -> Buffers {
        match self.transport {
            Transport::Tls(session) => session.into_buffers(),
            _ => self.buffers,
        }
    }

    /// Runs the connection until it is over.
    pub(super) fn poll(&mut self, endpoint: &mut impl Endpoint, context: &mut Context<'_>) -> Poll<()> {
        // The mailbox and the timer also wake the task. The steps below check every reason of a wake-up.
        if self.is_timed() && self.timer.take_expired() {
            self.handle_timeout();
        }
        self.now = endpoint.now();
        let mut state = endpoint.state(self.id);
        for _ in 0..STEP_BUDGET {
            match self.step(endpoint, &mut state) {
                Step::Progress => {}
                Step::Done => return Poll::Ready(()),
                Step::Blocked => {
                    self.stream.listen(context);
                    return Poll::Pending;
                }
            }
        }
        // Yield to the other tasks.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_timed(&self) -> bool {
        self.memory != IdleTracker::Released || self.phase.linger.is_some()
    }

    /// Releases the pages of the TLS buffers if they were not used since the last time.
    fn handle_timeout(&mut self) {
        let Transport::Tls(session) = &mut self.transport else { return };
        if self.memory.should_release(true) {
            session.release_idle();
        } else if self.memory != IdleTracker::Released && self.phase.linger.is_none() {
            self.timer.set(runtime::now().checked_add(UPKEEP_DELAY));
        }
    }

    /// Marks the buffers of TLS as used.
    fn touch_memory(&mut self) {
        if self.memory == IdleTracker::Released && self.phase.linger.is_none() {
            self.timer.set(runtime::now().checked_add(UPKEEP_DELAY));
        }
        self.memory = IdleTracker::Active;
    }

    /// Sends everything that can be sent, then reads once.
    fn step(&mut self, endpoint: &mut impl Endpoint, state: &mut State) -> Step {
        match (state.finish, &mut self.phase.linger) {
            (Some(Finish::Abort), _) => return Step::Done,
            (Some(Finish::Evict), linger) => {
                let is_lingering = linger.is_some();
                return self.evict(endpoint, state, is_lingering);
            }
            (_, Some(linger)) => return linger.step(self.stream, self.now),
            _ => {}
        }
        let Ok(is_flushed) = self.flush(endpoint, state) else { return self.handle_broken(endpoint) };
        if is_flushed && state.finish.is_some() && !self.phase.failed && endpoint.refill(self.id) {
            state.sends = true;
            return Step::Progress;
        }
        if (state.finish.is_some() || self.phase.failed) && is_flushed {
            return self.finish();
        }
        if state.finish.is_some() && !self.phase.widened {
            // The peer does not read, and these are the last bytes. Once they fit the buffer of the kernel, it
            // keeps them for the peer after the close.
            self.phase.widened = true;
            let stream = self.stream.get_ref();
            if let Err(errno) = rustix::net::sockopt::set_socket_send_buffer_size(stream, 2 * SEND_BYTES) {
                crate::debug!("cannot enlarge the send buffer of a socket: {}", Reason::from(errno));
            }
            // Retry at once: the kernel does not report this room as an event.
            self.stream.note_room();
            return Step::Progress;
        }
        if state.receives && !self.phase.ended && !self.phase.failed {
            match self.read(endpoint, state) {
                Ok(true) => return Step::Progress,
                Ok(false) => {}
                Err(_) => return self.handle_broken(endpoint),
            }
        }
        Step::Blocked
    }

    /// Sends what the socket has room for. A connection with nothing to send is reset, so that nothing of it
    /// stays in the kernel.
    fn evict(&mut self, endpoint: &mut impl Endpoint, state: &mut State, is_lingering: bool) -> Step {
        if is_lingering {
            return Step::Done;
        }
        // The peer may be gone: its slot is free in any case.
        let _ = if state.sends {
            self.flush(endpoint, state).map(drop)
        } else {
            rustix::net::sockopt::set_socket_linger(self.stream.get_ref(), Some(Duration::ZERO))
                .map_err(io::Error::from)
        };
        Step::Done
    }

    fn handle_broken(&mut self, endpoint: &mut impl Endpoint) -> Step {
        endpoint.handle_end(self.id, End::Broken, self.now);
        Step::Done
    }

    /// Writes all pending bytes. Returns false if the socket has no more room.
    fn flush(&mut self, endpoint: &mut impl Endpoint, state: &mut State) -> io::Result<bool> {
        loop {
            if let Transport::Tls(_) = self.transport {
                self.seal(endpoint, state);
            }
            let stream = self.stream;
            let pending = match &self.transport {
                Transport::Tls(session) => session.pending(),
                Transport::Plain if state.sends => endpoint.pending(self.id),
                Transport::Plain | Transport::Sniffing(_) => &[],
            };
            if pending.is_empty() {
                return Ok(true);
            }
            if !stream.is_writable() {
                return Ok(false);
            }
            match stream.get_ref().write(pending) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => match &mut self.transport {
                    Transport::Tls(session) => {
                        let sent = session.sent(count);
                        self.report_failure(sent, endpoint, state);
                    }
                    _ => *state = endpoint.sent(self.id, count, self.now),
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    stream.note_full();
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Seals pending bytes into as few records as there is room for, to be sent in one write.
    fn seal(&mut self, endpoint: &mut impl Endpoint, state: &mut State) {
        let Transport::Tls(session) = &mut self.transport else { return };
        if session.is_handshaking() || self.phase.failed || !state.sends {
            return;
        }
        let mut sealed = Ok(());
        let mut is_used = false;
        while state.sends {
            match session.seal(endpoint.pending(self.id)) {
                Ok(0) => break,
                Ok(count) => {
                    is_used = true;
                    *state = endpoint.sent(self.id, count, self.now);
                }
                Err(failure) => {
                    sealed = Err(failure);
                    break;
                }
            }
        }
        if is_used {
            self.touch_memory();
        }
        self.report_failure(sealed, endpoint, state);
    }

    /// Reads once. Returns false if there is nothing to read.
    fn read(&mut self, endpoint: &mut impl Endpoint, state: &mut State) -> io::Result<bool> {
        // Asked once: a later configuration is for later connections.
        if !self.phase.begun {
            self.phase.begun = !endpoint.awaits_proxy(self.id);
        }
        let result = match &mut self.transport {
            Transport::Tls(_) => self.read_tls(endpoint, state),
            _ if !self.phase.begun => self.read_proxy_header(endpoint),
            _ if !self.stream.is_readable() => return Ok(false),
            Transport::Sniffing(_) => self.sniff_tls(endpoint, state),
            Transport::Plain => self.read_plain(endpoint, state),
        };
        match result {
            Ok(0) => {
                self.phase.ended = true;
                *state = endpoint.handle_end(self.id, End::Eof, self.now);
                Ok(true)
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.stream.note_empty();
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Reads the header of a proxy once it is whole, and nothing after it.
    fn read_proxy_header(&mut self, endpoint: &mut impl Endpoint) -> io::Result<usize> {
        if !self.stream.is_readable() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut bytes = [0; PROXY_HEADER_BYTES];
        let count = self.stream.get_ref().peek(&mut bytes)?;
        if count == 0 {
            return Ok(0);
        }
        let Ok(header) = proxy_header(bytes.get(..count).unwrap_or_default()) else {
            if let Some(suppressed) = endpoint.log_limit(self.now) {
                crate::warning!(
                    "closed a connection of a trusted proxy without a header of the PROXY protocol, version 2 ({} similar lines suppressed)",
                    suppressed
                );
            }
            return Err(ErrorKind::InvalidData.into());
        };
        // The end of a header that comes later is a new event of the socket.
        let (length, client) = header.ok_or(ErrorKind::WouldBlock)?;
        self.phase.begun = true;
        if let Some(client) = client {
            endpoint.handle_client(self.id, client);
        }
        self.stream.get_ref().read(bytes.get_mut(..length).unwrap_or_default())
    }

    fn read_plain(&mut self, endpoint: &mut impl Endpoint, state: &mut State) -> io::Result<usize> {
        let space = endpoint.receive_space(self.id);
        debug_assert!(!space.is_empty(), "a connection receives and has no room");
        let room = space.len();
        let count = self.stream.get_ref().read(space)?;
        self.stream.note_read(count, room);
        if count > 0 {
            *state = endpoint.received(self.id, count, self.now);
        }
        Ok(count)
    }

    /// Checks whether the first byte starts TLS or plain text.
    fn sniff_tls(&mut self, endpoint: &mut impl Endpoint, state: &mut State) -> io::Result<usize> {
        let Transport::Sniffing(config) = &self.transport else { return Ok(1) };
        let mut first = [0];
        let count = self.stream.get_ref().peek(&mut first)?;
        if count == 0 {
            return Ok(0);
        }
        if TLS_RECORDS.contains(&first[0]) {
            let session = Session::accept(config, endpoint.asks_for_keys(), mem::take(&mut self.buffers));
            self.transport = Transport::Tls(session.map_err(|_| ErrorKind::OutOfMemory)?);
            endpoint.handle_stage(self.id, Stage::Begun, self.now);
        } else {
            self.transport = Transport::Plain;
            *state = endpoint.handle_plain(self.id, self.now);
        }
        Ok(count)
    }

    /// Reads records, unless one is open, and passes its plaintext on.
    fn read_tls(&mut self, endpoint: &mut impl Endpoint, state: &mut State) -> io::Result<usize> {
        let Transport::Tls(session) = &mut self.transport else { return Ok(1) };
        if session.plaintext().is_empty() {
            if session.is_closed_by_peer() {
                return Ok(0);
            }
            if !self.stream.is_readable() {
                return Err(ErrorKind::WouldBlock.into());
            }
            let space = session.space();
            let room = space.len();
            let count = self.stream.get_ref().read(space)?;
            self.stream.note_read(count, room);
            if count == 0 {
                // The peer has hung up, though without a close_notify.
                return Ok(0);
            }
            let was_handshaking = session.is_handshaking();
            let received = session.handle_received(count);
            if was_handshaking {
                endpoint.handle_stage(self.id, session.stage(), self.now);
                if let Some(key) = session.client_key() {
                    endpoint.handle_client_key(self.id, key);
                }
            }
            let has_plaintext = !session.plaintext().is_empty();
            self.touch_memory();
            if received.is_err() || !has_plaintext {
                self.report_failure(received, endpoint, state);
                return Ok(count);
            }
        }
        let Transport::Tls(session) = &mut self.transport else { return Ok(1) };
        let count = copy(session.plaintext(), endpoint.receive_space(self.id));
        debug_assert!(count > 0, "a connection receives and has no room");
        *state = endpoint.received(self.id, count, self.now);
        let consumed = session.consume(count);
        self.report_failure(consumed, endpoint, state);
        Ok(count)
    }

    fn report_failure(
        &mut self,
        result: Result<(), TlsFailure>,
        endpoint: &mut impl Endpoint,
        state: &mut State,
    ) {
        let Err(failure) = result else { return };
        if let Some(suppressed) = endpoint.log_limit(self.now) {
            crate::debug!("TLS: {}{}", failure, suppressed);
        }
        self.phase.failed = true;
        *state = endpoint.handle_end(self.id, End::Tls, self.now);
    }

    /// Sends close_notify after the last bytes, then [lingers](LingeringClose).
    fn finish(&mut self) -> Step {
        if let Transport::Tls(session) = &mut self.transport
            && !self.phase.close_notify_sent
            && !self.phase.failed
            && !session.is_handshaking()
        {
            self.phase.close_notify_sent = true;
            session.close();
            return Step::Progress;
        }
        // A peer that has reset the connection leaves nothing to shut down.
        if self.stream.get_ref().shutdown_write().is_err() || self.phase.ended {
            return Step::Done;
        }
        self.phase.linger = Some(LingeringClose::new(self.now));
        self.timer.set(runtime::now().checked_add(LINGER_TIMEOUT));
        Step::Progress
    }
}

/// Copies as much as there is room for. Returns the number of bytes.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    match (to.get_mut(..count), from.get(..count)) {
        (Some(to), Some(from)) => to.copy_from_slice(from),
        _ => debug_assert!(false, "{count} bytes are in both"),
    }
    count
}

#[cfg(test)]
mod tests;
