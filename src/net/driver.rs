//! One connection: bytes between its socket, TLS and its endpoint.

use core::mem;
use core::task::{Context, Poll};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::ServerConfig;

use super::linger::Linger;
use super::ports::Port;
use super::tls::{Buffers, Session, TlsFailure};
use super::{Endpoint, Ports};
use crate::connection::{End, Finish, SlotId, State};
use crate::limits::SEND_BYTES;
use crate::mmap_buffer::IdleTracker;
use crate::net::TURNS;
use crate::runtime::Source;

/// First byte of a TLS handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// How the bytes on the socket are to be read.
enum Transport<'a> {
    /// TLS is spoken here; the first byte is still to come.
    Undecided(&'a Arc<ServerConfig>),
    Plain,
    Tls(Session),
}

/// What came of a connection's turn.
pub(super) enum Turn {
    Progress,
    /// Nothing more can be done until the socket or the endpoint changes.
    Blocked,
    Done,
}

pub(super) struct Connection<'a, E> {
    stream: &'a Source<TcpStream>,
    id: SlotId,
    ports: &'a Ports,
    port: &'a Port,
    endpoint: &'a E,
    transport: Transport<'a>,
    /// What TLS is carried out in, while it is not.
    buffers: Buffers,
    /// Nothing more comes from the peer.
    ended: bool,
    /// TLS has failed: only its alert is still to be sent.
    failed: bool,
    goodbye: bool,
    /// The kernel's buffer was made to hold all that is left to say.
    widened: bool,
    linger: Option<Linger>,
}

impl<'a, E: Endpoint> Connection<'a, E> {
    pub(super) fn new(
        stream: &'a Source<TcpStream>,
        id: SlotId,
        ports: &'a Ports,
        port: &'a Port,
        endpoint: &'a E,
        tls: Option<&'a Arc<ServerConfig>>,
        buffers: Buffers,
    ) -> Self {
        let transport = tls.map_or(Transport::Plain, Transport::Undecided);
        Self {
            stream,
            id,
            ports,
            port,
            endpoint,
            transport,
            buffers,
            ended: false,
            failed: false,
            goodbye: false,
            widened: false,
            linger: None,
        }
    }

    /// Gives back what TLS was carried out in.
    pub(super) fn into_buffers(self) -> Buffers {
        match self.transport {
            Transport::Tls(session) => session.into_buffers(),
            _ => self.buffers,
        }
    }

    /// Runs the connection until it is over.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Heard or not: the turns below look at everything the bell could mean.
        let _ = self.port.bell.poll(context);
        if self.port.should_release.take()
            && let Transport::Tls(session) = &mut self.transport
        {
            session.rest();
        }
        let mut state = self.endpoint.state(self.id);
        for _ in 0..TURNS {
            match self.turn(&mut state) {
                Turn::Progress => {}
                Turn::Done => return Poll::Ready(()),
                Turn::Blocked => {
                    self.stream.listen(context);
                    return Poll::Pending;
                }
            }
        }
        // It is others' turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends all that can be sent, then reads once.
    fn turn(&mut self, state: &mut State) -> Turn {
        if let Some(linger) = &mut self.linger {
            return linger.turn(self.stream, self.endpoint.now());
        }
        if state.finish == Some(Finish::Abort) {
            return Turn::Done;
        }
        let Ok(is_flushed) = self.flush(state) else { return self.broken() };
        if (state.finish.is_some() || self.failed) && is_flushed {
            return self.finish();
        }
        if state.finish.is_some() && !self.widened {
            // The peer does not read, and this is the last that is said to it. The kernel keeps that
            // for it when the connection is closed, once it has room.
            self.widened = true;
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(self.stream.get_ref(), 2 * SEND_BYTES);
            // What there was no room for is tried again: the kernel does not tell of this room.
            self.stream.note_room();
            return Turn::Progress;
        }
        if state.receives && !self.ended && !self.failed {
            match self.read(state) {
                Ok(true) => return Turn::Progress,
                Ok(false) => {}
                Err(_) => return self.broken(),
            }
        }
        Turn::Blocked
    }

    fn broken(&mut self) -> Turn {
        self.endpoint.handle_end(self.id, End::Broken);
        Turn::Done
    }

    /// Nothing more comes from the peer, for this reason.
    fn end(&mut self, end: End, state: &mut State) {
        self.ended = true;
        self.endpoint.handle_end(self.id, end);
        *state = self.endpoint.state(self.id);
    }

    /// Writes what waits. `false`: the socket takes no more for now.
    fn flush(&mut self, state: &mut State) -> io::Result<bool> {
        loop {
            let stream = self.stream;
            let result = match &mut self.transport {
                Transport::Tls(session) => {
                    let was_pending = session.pending().len();
                    // What is said goes into as few records as there is room for, and these into one write.
                    while state.sends && !self.failed && !session.is_handshaking() {
                        let seal = &mut |bytes: &[u8]| Ok(session.seal(bytes));
                        let (count, next) = self.endpoint.send(self.id, seal)?;
                        *state = next;
                        if count == 0 {
                            break;
                        }
                    }
                    if session.pending().len() > was_pending {
                        self.port.memory.set(IdleTracker::Active);
                    }
                    if session.pending().is_empty() {
                        return Ok(true);
                    }
                    if !stream.is_writable() {
                        return Ok(false);
                    }
                    stream.get_ref().write(session.pending()).inspect(|count| session.sent(*count))
                }
                _ if !state.sends => return Ok(true),
                Transport::Undecided(_) => return Ok(true),
                Transport::Plain if !stream.is_writable() => return Ok(false),
                Transport::Plain => {
                    let write = &mut |bytes: &[u8]| stream.get_ref().write(bytes);
                    self.endpoint.send(self.id, write).map(|(count, next)| {
                        *state = next;
                        count
                    })
                }
            };
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    stream.note_full();
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once. `false`: there is nothing to read for now.
    fn read(&mut self, state: &mut State) -> io::Result<bool> {
        let result = match &mut self.transport {
            Transport::Tls(_) => self.read_tls(state),
            _ if !self.stream.is_readable() => return Ok(false),
            Transport::Undecided(_) => self.decide(state),
            Transport::Plain => {
                let stream = self.stream;
                let read = &mut |space: &mut [u8]| {
                    let count = stream.get_ref().read(space)?;
                    stream.note_read(count, space.len());
                    Ok(count)
                };
                self.endpoint.receive(self.id, read).map(|(count, next)| {
                    *state = next;
                    count
                })
            }
        };
        match result {
            Ok(0) => {
                self.end(End::Eof, state);
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

    /// Looks at the first byte: TLS, or somebody who does not know that TLS is spoken here.
    fn decide(&mut self, state: &mut State) -> io::Result<usize> {
        let Transport::Undecided(config) = &self.transport else { return Ok(1) };
        let mut first = [0];
        let count = self.stream.get_ref().peek(&mut first)?;
        if count == 0 {
            return Ok(0);
        }
        if first[0] == TLS_HANDSHAKE {
            let session = Session::accept(config, mem::take(&mut self.buffers));
            self.transport = Transport::Tls(session.map_err(|_| ErrorKind::OutOfMemory)?);
        } else {
            self.transport = Transport::Plain;
            self.endpoint.handle_plain(self.id);
            *state = self.endpoint.state(self.id);
        }
        Ok(count)
    }

    /// Reads records, if none is opened, and hands on what is in them.
    fn read_tls(&mut self, state: &mut State) -> io::Result<usize> {
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
                // Without a goodbye it has still hung up.
                return Ok(0);
            }
            self.port.memory.set(IdleTracker::Active);
            let received = session.handle_received(count);
            if received.is_err() || session.plaintext().is_empty() {
                self.judge(received, state);
                return Ok(count);
            }
        }
        let hand_on = &mut |space: &mut [u8]| {
            let plaintext = session.plaintext();
            let count = plaintext.len().min(space.len());
            let (Some(to), Some(from)) = (space.get_mut(..count), plaintext.get(..count)) else {
                return Ok(0);
            };
            to.copy_from_slice(from);
            Ok(count)
        };
        let (count, next) = self.endpoint.receive(self.id, hand_on)?;
        *state = next;
        let consumed = session.consume(count);
        self.judge(consumed, state);
        Ok(count)
    }

    fn judge(&mut self, result: Result<(), TlsFailure>, state: &mut State) {
        let Err(failure) = result else { return };
        if let Some(held_back) = self.ports.complaint(self.endpoint.now()) {
            crate::debug!("TLS: {} ({} complaints not shown)", failure, held_back);
        }
        self.failed = true;
        self.endpoint.handle_end(self.id, End::Tls);
        *state = self.endpoint.state(self.id);
    }

    /// Everything is sent: says goodbye, then [lingers](Linger).
    fn finish(&mut self) -> Turn {
        if let Transport::Tls(session) = &mut self.transport
            && !self.goodbye
            && !self.failed
            && !session.is_handshaking()
        {
            self.goodbye = true;
            session.close();
            return Turn::Progress;
        }
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
        if self.ended {
            return Turn::Done;
        }
        self.linger = Some(Linger::new(self.endpoint.now()));
        self.port.lingers.set(true);
        Turn::Progress
    }
}

#[cfg(test)]
mod tests;
