use core::cell::Cell;
use core::task::Waker;
use core::time::Duration;
use std::net::{SocketAddr, TcpListener};

use super::*;
use crate::net::{Read, SOCKET_BUFFER_BYTES, Write};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Hears a byte at a time, and says what it was made with; with `finish` it only leaves.
#[derive(Default)]
struct Fake {
    heard: Cell<usize>,
    unsaid: Cell<usize>,
    finish: Option<Finish>,
}

impl Endpoint for Fake {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn claim(&self, _: SocketAddr) -> Option<SlotId> {
        None
    }

    fn evict_idle(&self) {}

    fn release(&self, _: SlotId) {}

    fn state(&self, _: SlotId) -> State {
        State { receives: self.finish.is_none(), sends: self.unsaid.get() > 0, finish: self.finish }
    }

    fn receive(&self, id: SlotId, read: &mut Read<'_>) -> io::Result<(usize, State)> {
        let count = read(&mut [0])?;
        self.heard.set(self.heard.get() + count);
        Ok((count, self.state(id)))
    }

    fn send(&self, id: SlotId, write: &mut Write<'_>) -> io::Result<(usize, State)> {
        let count = write(&[b'x'; SEND_BYTES][..self.unsaid.get()])?;
        self.unsaid.set(self.unsaid.get() - count);
        Ok((count, self.state(id)))
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
    let (ports, endpoint) = (Ports::new(1), Fake::default());
    let port = ports.get(0).unwrap();
    let id = SlotId { index: 0, generation: 0 };
    let mut connection = Connection::new(&stream, id, &ports, port, &endpoint, None, Buffers::default());
    let mut context = Context::from_waker(Waker::noop());
    for polls in 1..=2 {
        assert!(connection.poll(&mut context).is_pending());
        assert_eq!(endpoint.heard.get(), polls * TURNS);
    }
    assert!(connection.poll(&mut context).is_pending());
    assert_eq!(endpoint.heard.get(), 2 * TURNS);
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
    let ports = Ports::new(1);
    let leaving = Some(Finish::Graceful);
    let endpoint = Fake { unsaid: Cell::new(SEND_BYTES), finish: leaving, ..Fake::default() };
    let port = ports.get(0).unwrap();
    let id = SlotId { index: 0, generation: 0 };
    let mut connection = Connection::new(&stream, id, &ports, port, &endpoint, None, Buffers::default());
    let mut context = Context::from_waker(Waker::noop());
    assert!(connection.poll(&mut context).is_pending());
    assert!(connection.widened);
    assert_eq!(endpoint.unsaid.get(), 0, "all is said in one poll, though nobody has read");
    assert!(connection.linger.is_some());
    drop(stream);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).unwrap();
    assert_eq!(heard.len(), before + SEND_BYTES);
    assert!(heard.ends_with(b"x"));
}
