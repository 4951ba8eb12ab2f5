//! One connection: bytes between its socket, TLS and its endpoint.

use core::mem;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::ServerConfig;

use super::ports::Port;
use super::tls::{Buffers, Session, TlsFailure};
use super::{Endpoint, Ports};
use crate::limits::{LINGER_BYTES, LINGER_TIMEOUT, SEND_BYTES, TURNS};
use crate::pages::Use;
use crate::runtime::Source;
use crate::slot::{End, Finish, SlotId, State};

/// First byte of a TLS handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// How the bytes on the socket are to be read.
enum Transport<'a> {
    /// TLS is spoken here; the first byte is still to come.
    Undecided(&'a Arc<ServerConfig>),
    Plain,
    Tls(Session),
}

enum Turn {
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

struct Linger {
    deadline: Duration,
    bytes: usize,
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
        if self.port.may_rest.take()
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
            return turn_lingering(self.stream, linger, self.endpoint.now());
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
                        self.port.memory.set(Use::Fresh);
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
            self.port.memory.set(Use::Fresh);
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

    /// Everything is sent: says goodbye and reads on for a moment, because closing a socket with
    /// unread bytes resets it and may take our last answer away.
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
        self.linger = Some(Linger { deadline: self.endpoint.now() + LINGER_TIMEOUT, bytes: 0 });
        self.port.lingers.set(true);
        Turn::Progress
    }
}

fn turn_lingering(stream: &Source<TcpStream>, linger: &mut Linger, now: Duration) -> Turn {
    if now >= linger.deadline || linger.bytes > LINGER_BYTES {
        return Turn::Done;
    }
    if !stream.is_readable() {
        return Turn::Blocked;
    }
    let mut dropped = [0; 1024];
    match stream.get_ref().read(&mut dropped) {
        Ok(0) => Turn::Done,
        Ok(count) => {
            linger.bytes += count;
            Turn::Progress
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            stream.note_empty();
            Turn::Blocked
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Turn::Progress,
        Err(_) => Turn::Done,
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use core::task::Waker;
    use std::net::{SocketAddr, TcpListener};

    use super::*;
    use crate::limits::SOCKET_BUFFER_BYTES;
    use crate::net::{Read, Write};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Reads a byte at a time and has nothing to say.
    #[derive(Default)]
    struct Counting {
        read: Cell<usize>,
    }

    impl Endpoint for Counting {
        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn claim(&self, _: SocketAddr) -> Option<SlotId> {
            None
        }

        fn make_room(&self) {}

        fn release(&self, _: SlotId) {}

        fn state(&self, _: SlotId) -> State {
            State { receives: true, sends: false, finish: None }
        }

        fn receive(&self, id: SlotId, read: &mut Read<'_>) -> io::Result<(usize, State)> {
            let count = read(&mut [0])?;
            self.read.set(self.read.get() + count);
            Ok((count, self.state(id)))
        }

        fn send(&self, id: SlotId, _: &mut Write<'_>) -> io::Result<(usize, State)> {
            Ok((0, self.state(id)))
        }

        fn handle_end(&self, _: SlotId, _: End) {}

        fn handle_plain(&self, _: SlotId) {}

        fn handle_tick(&self) {}
    }

    #[test]
    fn connection_takes_its_turns_and_lets_others_have_theirs() {
        let (mut client, server) = pair();
        client.write_all(&[0; 2 * TURNS]).unwrap();
        while server.peek(&mut [0; 2 * TURNS]).unwrap() < 2 * TURNS {}
        server.set_nonblocking(true).unwrap();
        let stream = Source::new(server).unwrap();
        let wait = core::future::poll_fn(|context| stream.poll_readable(context));
        crate::runtime::block_on(&mut crate::runtime::Tasks::new(0), wait).unwrap();
        let (ports, endpoint) = (Ports::new(1), Counting::default());
        let port = ports.get(0).unwrap();
        let id = SlotId { index: 0, generation: 0 };
        let mut connection = Connection::new(&stream, id, &ports, port, &endpoint, None, Buffers::default());
        let mut context = Context::from_waker(Waker::noop());
        for polls in 1..=2 {
            assert!(connection.poll(&mut context).is_pending());
            assert_eq!(endpoint.read.get(), polls * TURNS);
        }
        assert!(connection.poll(&mut context).is_pending());
        assert_eq!(endpoint.read.get(), 2 * TURNS);
    }

    /// Has as many bytes to say as it was made with, and is over.
    struct Leaving {
        left: Cell<usize>,
    }

    impl Endpoint for Leaving {
        fn now(&self) -> Duration {
            Duration::ZERO
        }

        fn claim(&self, _: SocketAddr) -> Option<SlotId> {
            None
        }

        fn make_room(&self) {}

        fn release(&self, _: SlotId) {}

        fn state(&self, _: SlotId) -> State {
            State { receives: false, sends: self.left.get() > 0, finish: Some(Finish::Graceful) }
        }

        fn receive(&self, id: SlotId, _: &mut Read<'_>) -> io::Result<(usize, State)> {
            Ok((0, self.state(id)))
        }

        fn send(&self, id: SlotId, write: &mut Write<'_>) -> io::Result<(usize, State)> {
            let count = write(&[b'x'; SEND_BYTES][..self.left.get()])?;
            self.left.set(self.left.get() - count);
            Ok((count, self.state(id)))
        }

        fn handle_end(&self, _: SlotId, _: End) {}

        fn handle_plain(&self, _: SlotId) {}

        fn handle_tick(&self) {}
    }

    #[test]
    fn the_kernel_keeps_the_last_words_for_a_peer_that_does_not_read() {
        let (mut client, server) = pair();
        rustix::net::sockopt::set_socket_send_buffer_size(&server, SOCKET_BUFFER_BYTES).unwrap();
        server.set_nonblocking(true).unwrap();
        // Whatever the two kernel buffers take now they do not take later.
        let mut before = 0;
        while let Ok(count) = (&server).write(&[b'-'; 1024]) {
            before += count;
        }
        let stream = Source::new(server).unwrap();
        let (ports, endpoint) = (Ports::new(1), Leaving { left: Cell::new(SEND_BYTES) });
        let port = ports.get(0).unwrap();
        let id = SlotId { index: 0, generation: 0 };
        let mut connection = Connection::new(&stream, id, &ports, port, &endpoint, None, Buffers::default());
        let mut context = Context::from_waker(Waker::noop());
        assert!(connection.poll(&mut context).is_pending());
        assert!(connection.widened);
        assert_eq!(endpoint.left.get(), 0, "all is said in one poll, though nobody has read");
        assert!(connection.linger.is_some());
        drop(stream);
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).unwrap();
        assert_eq!(heard.len(), before + SEND_BYTES);
        assert!(heard.ends_with(b"x"));
    }

    #[test]
    fn closed_connection_is_read_on_to_its_limits_and_no_further() {
        let (mut client, server) = pair();
        server.set_nonblocking(true).unwrap();
        let (deadline, moment) = (LINGER_TIMEOUT, Duration::from_millis(1));
        let server = Source::new(server).unwrap();
        let turn = |bytes, now| turn_lingering(&server, &mut Linger { deadline, bytes }, now);
        assert!(matches!(turn(LINGER_BYTES, deadline - moment), Turn::Blocked));
        assert!(matches!(turn(0, deadline), Turn::Done));
        client.write_all(&[0; 3]).unwrap();
        while server.get_ref().peek(&mut [0; 3]).unwrap_or_default() < 3 {}
        let wait = core::future::poll_fn(|context| server.poll_readable(context));
        crate::runtime::block_on(&mut crate::runtime::Tasks::new(0), wait).unwrap();
        let mut linger = Linger { deadline, bytes: LINGER_BYTES };
        assert!(matches!(turn_lingering(&server, &mut linger, deadline - moment), Turn::Progress));
        assert_eq!(linger.bytes, LINGER_BYTES + 3);
        assert!(matches!(turn_lingering(&server, &mut linger, deadline - moment), Turn::Done));
    }
}
