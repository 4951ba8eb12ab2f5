//! One connection: bytes between its socket, TLS and its endpoint.

use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

use super::ports::Port;
use super::{Endpoint, Ports, tls};
use crate::limits::{LINGER_BYTES, LINGER_TIMEOUT, SEND_BYTES, TURNS};
use crate::runtime::Source;
use crate::slot::{End, Finish, SlotId};

/// First byte of a TLS handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// How the bytes on the socket are to be read.
enum Transport<'a> {
    /// TLS is spoken here; the first byte is still to come.
    Undecided(&'a Arc<ServerConfig>),
    Plain,
    /// Boxed, because it is made when a handshake begins and gone when the connection is.
    Tls(Box<ServerConnection>),
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
    ) -> Self {
        let transport = tls.map_or(Transport::Plain, Transport::Undecided);
        Self {
            stream,
            id,
            ports,
            port,
            endpoint,
            transport,
            ended: false,
            failed: false,
            goodbye: false,
            widened: false,
            linger: None,
        }
    }

    /// Runs the connection until it is over.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Heard or not: the turns below look at everything the bell could mean.
        let _ = self.port.bell.poll(context);
        for _ in 0..TURNS {
            match self.turn() {
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
    fn turn(&mut self) -> Turn {
        if let Some(linger) = &mut self.linger {
            return turn_lingering(self.stream, linger, self.endpoint.now());
        }
        let state = self.endpoint.state(self.id);
        if state.finish == Some(Finish::Abort) {
            return Turn::Done;
        }
        let Ok(is_flushed) = self.flush() else { return self.broken() };
        let state = self.endpoint.state(self.id);
        if (state.finish.is_some() || self.failed) && is_flushed {
            return self.finish();
        }
        if state.finish.is_some() && !self.widened {
            // The peer does not read, and this is the last that is said to it. The kernel keeps that
            // for it when the connection is closed, once it has room.
            self.widened = true;
            let _ = rustix::net::sockopt::set_socket_send_buffer_size(self.stream.get_ref(), 2 * SEND_BYTES);
            return Turn::Progress;
        }
        if state.receives && !self.ended && !self.failed {
            match self.read() {
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

    /// Writes what waits. `false`: the socket takes no more for now.
    fn flush(&mut self) -> io::Result<bool> {
        let (endpoint, id) = (self.endpoint, self.id);
        let mut socket = self.stream.get_ref();
        loop {
            let result = match &mut self.transport {
                Transport::Tls(tls) if tls.wants_write() => tls.write_tls(&mut socket),
                // Before its handshake is done there is nobody to send to.
                Transport::Tls(tls) if tls.is_handshaking() || self.failed => return Ok(true),
                _ if !endpoint.state(id).sends => return Ok(true),
                Transport::Tls(tls) => endpoint.send(id, &mut |bytes| tls.writer().write(bytes)),
                Transport::Plain => endpoint.send(id, &mut |bytes| socket.write(bytes)),
                Transport::Undecided(_) => return Ok(true),
            };
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.stream.note_full();
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once. `false`: there is nothing to read for now.
    fn read(&mut self) -> io::Result<bool> {
        if self.is_drained() {
            return Ok(false);
        }
        let result = match &mut self.transport {
            Transport::Plain => {
                let stream = self.stream;
                self.endpoint.receive(self.id, &mut |space| {
                    let count = stream.get_ref().read(space)?;
                    stream.note_read(count, space.len());
                    Ok(count)
                })
            }
            Transport::Tls(tls) => {
                let opened = self.endpoint.receive(self.id, &mut |space| tls.reader().read(space));
                match opened {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => self.read_tls(),
                    other => other,
                }
            }
            Transport::Undecided(_) => self.decide(),
        };
        match result {
            Ok(0) => {
                self.ended = true;
                self.endpoint.handle_end(self.id, End::Eof);
                Ok(true)
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.stream.note_empty();
                Ok(false)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            // A peer that hangs up without TLS's goodbye has still hung up.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                self.ended = true;
                self.endpoint.handle_end(self.id, End::Eof);
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the socket is known to have nothing: a read would be a system call for nothing.
    fn is_drained(&self) -> bool {
        !self.stream.is_readable() && !matches!(self.transport, Transport::Tls(_))
    }

    /// Looks at the first byte: TLS, or somebody who does not know that TLS is spoken here.
    fn decide(&mut self) -> io::Result<usize> {
        let Transport::Undecided(config) = &self.transport else { return Ok(1) };
        let mut first = [0];
        let count = self.stream.get_ref().peek(&mut first)?;
        if count == 0 {
            return Ok(0);
        }
        if first[0] == TLS_HANDSHAKE {
            let connection = tls::accept(config).map_err(io::Error::other)?;
            self.transport = Transport::Tls(Box::new(connection));
        } else {
            self.transport = Transport::Plain;
            self.endpoint.handle_plain(self.id);
        }
        Ok(count)
    }

    fn read_tls(&mut self) -> io::Result<usize> {
        let Transport::Tls(tls) = &mut self.transport else { return Ok(1) };
        if !self.stream.is_readable() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut socket = self.stream.get_ref();
        let count = match tls.read_tls(&mut socket) {
            // rustls takes no more of a handshake that does not come to an end.
            Err(error) if error.kind() == ErrorKind::Other => {
                self.failed = true;
                self.endpoint.handle_end(self.id, End::Tls);
                return Ok(1);
            }
            other => other?,
        };
        if let Err(error) = tls.process_new_packets() {
            if let Some(held_back) = self.ports.complaint(self.endpoint.now()) {
                crate::debug!("TLS: {} ({} complaints not shown)", error, held_back);
            }
            self.failed = true;
            self.endpoint.handle_end(self.id, End::Tls);
        }
        Ok(count)
    }

    /// Everything is sent: says goodbye and reads on for a moment, because closing a socket with
    /// unread bytes resets it and may take our last answer away.
    fn finish(&mut self) -> Turn {
        if let Transport::Tls(tls) = &mut self.transport
            && !self.goodbye
            && !self.failed
            && !tls.is_handshaking()
        {
            self.goodbye = true;
            tls.send_close_notify();
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
    use crate::slot::State;

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

        fn receive(
            &self,
            _: SlotId,
            read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
        ) -> io::Result<usize> {
            let count = read(&mut [0])?;
            self.read.set(self.read.get() + count);
            Ok(count)
        }

        fn send(&self, _: SlotId, _: &mut dyn FnMut(&[u8]) -> io::Result<usize>) -> io::Result<usize> {
            Ok(0)
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
        let mut connection = Connection::new(&stream, id, &ports, port, &endpoint, None);
        let mut context = Context::from_waker(Waker::noop());
        for polls in 1..=2 {
            assert!(connection.poll(&mut context).is_pending());
            assert_eq!(endpoint.read.get(), polls * TURNS);
        }
        assert!(connection.poll(&mut context).is_pending());
        assert_eq!(endpoint.read.get(), 2 * TURNS);
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
        let mut linger = Linger { deadline, bytes: LINGER_BYTES };
        assert!(matches!(turn_lingering(&server, &mut linger, deadline - moment), Turn::Progress));
        assert_eq!(linger.bytes, LINGER_BYTES + 3);
        assert!(matches!(turn_lingering(&server, &mut linger, deadline - moment), Turn::Done));
    }
}
