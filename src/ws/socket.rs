//! WebSocket: messages, pings and the closing handshake.

use core::ops::Range;
use core::time::Duration;

use super::{
    Assembler, CLOSE_TIMEOUT, CloseCode, Event, Limits, PING_INTERVAL, ReceiveBuffer, SendBuffer,
    UNANSWERED_PINGS,
};
use crate::internal_error;

/// Payload of the pings sent: empty.
const PING: &[u8] = b"";
/// Comment of a stream of events, without an answer.
const COMMENT: &[u8] = b":\n\n";

/// Result of [`Socket::poll`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Incoming {
    /// No complete message yet, or the socket is closing: read more.
    More,
    /// Message in the receive buffer (relative to its filled part), valid until the next poll.
    Message {
        /// True for a text message.
        text: bool,
        /// Position in the filled part.
        range: Range<usize>,
    },
    /// No space for a pong: send, then poll again.
    Stalled,
}

/// State machine of one WebSocket after its upgrade, or of a stream of events (HTML, 9.2), whose client only reads.
#[derive(Debug)]
pub struct Socket {
    assembler: Assembler,
    /// It is a stream of events.
    is_stream: bool,
    /// Payload of a pong that had no space.
    pending_pong: Option<heapless::Vec<u8, { crate::ws::CONTROL_BYTES }>>,
    next_ping: Duration,
    unanswered: u8,
    /// A close frame was sent; deadline for that of the peer.
    closing: Option<Duration>,
    /// Code of the first close frame, sent or received.
    code: Option<u16>,
    /// The closing handshake is complete, or was given up.
    closed: bool,
}

impl Socket {
    /// Socket upgraded at `now`.
    pub fn new(limits: Limits, now: Duration) -> Self {
        Self {
            assembler: Assembler::new(limits),
            is_stream: false,
            pending_pong: None,
            next_ping: now + PING_INTERVAL,
            unanswered: 0,
            closing: None,
            code: None,
            closed: false,
        }
    }

    /// Stream of events that began at `now`. Comments take the place of pings, and it ends without a frame.
    pub fn stream(now: Duration) -> Self {
        let limits = Limits { message_bytes: 0, binary: false, masked: true };
        Self { is_stream: true, ..Self::new(limits, now) }
    }

    /// Returns true for a stream of events.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Returns true if the connection is to be closed once the send buffer is empty.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Returns true if a close frame was sent or received, so that no message may be sent.
    pub fn is_closing(&self) -> bool {
        self.closed || self.closing.is_some()
    }

    /// Close code, for the log. 1005: the close frame of the peer had none.
    pub fn close_code(&self) -> Option<u16> {
        self.code
    }

    /// Handles bytes received from the peer: puts off the next ping.
    pub fn handle_activity(&mut self, now: Duration) {
        self.unanswered = 0;
        self.next_ping = now + PING_INTERVAL;
    }

    /// Returns the next message; handles pings, close frames and violations.
    pub fn poll(&mut self, receive: &mut ReceiveBuffer, send: &mut SendBuffer, now: Duration) -> Incoming {
        if self.is_stream {
            receive.clear();
            return Incoming::More;
        }
        loop {
            if let Some(payload) = &self.pending_pong {
                if send.pong(payload).is_err() {
                    return Incoming::Stalled;
                }
                self.pending_pong = None;
            }
            match self.assembler.poll(receive) {
                Ok(Event::More) => return Incoming::More,
                Ok(Event::Message { .. }) if self.is_closing() => {}
                Ok(Event::Message { text, range }) => return Incoming::Message { text, range },
                Ok(Event::Ping(range)) if !self.is_closing() => {
                    let Some(payload) = receive.filled().get(range) else {
                        internal_error!("a ping lies outside of the receive buffer");
                        continue;
                    };
                    if send.pong(payload).is_err() {
                        self.pending_pong = heapless::Vec::from_slice(payload).ok();
                        return Incoming::Stalled;
                    }
                }
                Ok(Event::Ping(_) | Event::Pong) => {}
                Ok(Event::Close(code, _)) => {
                    self.code = self.code.or(Some(code.unwrap_or(1005)));
                    if self.closing.is_none() {
                        // The send buffer reserves space for it. A peer that reads nothing gets none.
                        let _ = send.close(code.map(CloseCode::from), "");
                    }
                    self.closed = true;
                    return Incoming::More;
                }
                Err(violation) => {
                    self.close(violation.close_code(), violation.reason(), send, now);
                    // RFC 6455, 7.1.7: after a violation the reply of the peer is not awaited.
                    self.closed = true;
                    return Incoming::More;
                }
            }
        }
    }

    /// Starts the closing handshake, unless it has started.
    pub fn close(&mut self, code: CloseCode, reason: &str, send: &mut SendBuffer, now: Duration) {
        if self.is_closing() {
            return;
        }
        self.code = Some(code.into());
        self.closing = Some(now + CLOSE_TIMEOUT);
        if self.is_stream || send.close(Some(code), reason).is_err() {
            self.closed = true;
        }
    }

    /// Time of the next call of [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Duration> {
        if self.closed { None } else { Some(self.closing.unwrap_or(self.next_ping)) }
    }

    /// Sends a due ping, or closes after too many unanswered ones.
    pub fn handle_timeout(&mut self, send: &mut SendBuffer, now: Duration) {
        if let Some(deadline) = self.closing {
            self.closed |= now >= deadline;
        } else if self.is_stream && now >= self.next_ping {
            self.next_ping = now + PING_INTERVAL;
            // Without space it is left out: the client has enough to read.
            let _ = send.raw(|room| {
                room.get_mut(..COMMENT.len())?.copy_from_slice(COMMENT);
                Some(COMMENT.len())
            });
        } else if !self.closed && now >= self.next_ping {
            if self.unanswered >= UNANSWERED_PINGS {
                // 1006 (abnormal closure) is never sent; it is for the log.
                self.code = Some(1006);
                self.closed = true;
                return;
            }
            self.unanswered += 1;
            self.next_ping = now + PING_INTERVAL;
            // Without space the ping is skipped: the peer does not read, and the next one counts.
            let _ = send.ping(PING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { message_bytes: 64, binary: false, masked: true };

    fn socket() -> (Socket, ReceiveBuffer, SendBuffer) {
        (Socket::new(LIMITS, Duration::ZERO), ReceiveBuffer::new(256), SendBuffer::new(256))
    }

    fn receive(buffer: &mut ReceiveBuffer, bytes: &[u8]) {
        buffer.space()[..bytes.len()].copy_from_slice(bytes);
        buffer.commit(bytes.len());
    }

    #[test]
    fn ping_is_answered() {
        let (mut socket, mut input, mut output) = socket();
        receive(&mut input, &[0x89, 0x81, 0, 0, 0, 0, b'p']);
        assert_eq!(socket.poll(&mut input, &mut output, Duration::ZERO), Incoming::More);
        assert_eq!(output.pending(), [0x8A, 0x01, b'p']);
    }

    #[test]
    fn pong_waits_for_space() {
        let (mut socket, mut input, _) = socket();
        let mut output = SendBuffer::new(12);
        output.message(true, b"ab").unwrap();
        receive(&mut input, &[0x89, 0x81, 0, 0, 0, 0, b'p']);
        assert_eq!(socket.poll(&mut input, &mut output, Duration::ZERO), Incoming::Stalled);
        output.clear();
        assert_eq!(socket.poll(&mut input, &mut output, Duration::ZERO), Incoming::More);
        assert_eq!(output.pending(), [0x8A, 0x01, b'p']);
    }

    #[test]
    fn close_is_answered_with_the_same_code() {
        let (mut socket, mut input, mut output) = socket();
        receive(&mut input, &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]);
        socket.poll(&mut input, &mut output, Duration::ZERO);
        assert_eq!(output.pending(), [0x88, 0x02, 0x03, 0xE8]);
        assert!(socket.is_closed());
    }

    #[test]
    fn violation_closes_with_its_code() {
        let (mut socket, mut input, mut output) = socket();
        receive(&mut input, &[0x82, 0x81, 0, 0, 0, 0, b'p']);
        socket.poll(&mut input, &mut output, Duration::ZERO);
        assert_eq!(output.pending()[..4], [0x88, 20, 0x03, 0xEB]);
        assert!(socket.is_closed());
        assert_eq!(socket.close_code(), Some(1003));
    }

    #[test]
    fn unanswered_close_expires() {
        let (mut socket, mut input, mut output) = socket();
        socket.close(CloseCode::Away, "", &mut output, Duration::ZERO);
        receive(&mut input, &[0x81, 0x81, 0, 0, 0, 0, b'x']);
        assert_eq!(socket.poll(&mut input, &mut output, Duration::ZERO), Incoming::More);
        assert!(!socket.is_closed());
        assert_eq!(socket.poll_timeout(), Some(CLOSE_TIMEOUT));
        socket.handle_timeout(&mut output, CLOSE_TIMEOUT - Duration::from_millis(1));
        assert!(!socket.is_closed());
        socket.handle_timeout(&mut output, CLOSE_TIMEOUT);
        assert!(socket.is_closed());
    }

    #[test]
    fn two_unanswered_pings_close() {
        let (mut socket, _, mut output) = socket();
        for _ in 0..UNANSWERED_PINGS {
            let now = socket.poll_timeout().unwrap();
            socket.handle_timeout(&mut output, now - Duration::from_millis(1));
            assert!(output.is_empty());
            socket.handle_timeout(&mut output, now);
            assert_eq!(output.pending(), [0x89, 0x00]);
            output.clear();
        }
        let now = socket.poll_timeout().unwrap();
        assert_eq!(now, PING_INTERVAL * (1 + u32::from(UNANSWERED_PINGS)));
        socket.handle_timeout(&mut output, now);
        assert!(socket.is_closed() && output.is_empty());
    }

    #[test]
    fn stream_has_comments_and_ends_without_a_frame() {
        let (_, mut receive, mut output) = socket();
        let mut stream = Socket::stream(Duration::ZERO);
        for round in 1..=2 * u32::from(UNANSWERED_PINGS) {
            receive.space()[0] = 0x89;
            receive.commit(1);
            assert_eq!(stream.poll(&mut receive, &mut output, Duration::ZERO), Incoming::More);
            assert!(receive.filled().is_empty());
            assert_eq!(stream.poll_timeout(), Some(PING_INTERVAL * round));
            stream.handle_timeout(&mut output, PING_INTERVAL * round);
            assert_eq!(output.pending(), b":\n\n");
            output.clear();
        }
        stream.close(CloseCode::Away, "the server ends", &mut output, Duration::ZERO);
        assert!(stream.is_closed() && output.is_empty());
    }

    #[test]
    fn any_activity_puts_pings_off() {
        let (mut socket, _, mut output) = socket();
        let now = socket.poll_timeout().unwrap();
        socket.handle_timeout(&mut output, now);
        socket.handle_activity(now);
        assert_eq!(socket.poll_timeout(), Some(now + PING_INTERVAL));
        socket.handle_timeout(&mut output, now + PING_INTERVAL);
        socket.handle_timeout(&mut output, now + PING_INTERVAL * 2);
        assert!(!socket.is_closed());
    }
}
