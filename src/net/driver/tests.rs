use core::task::Waker;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::connection::{Peer, Stage};
use crate::net::SOCKET_BUFFER_BYTES;
use crate::runtime::{Tasks, block_on};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// Receives a byte at a time, and sends what it was made with; with `finish` it only leaves.
#[derive(Default)]
struct Fake {
    space: [u8; 1],
    received: usize,
    pending: Vec<u8>,
    finish: Option<Finish>,
}

impl Endpoint for Fake {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn claim(&mut self, _: Peer, _: Duration) -> Option<SlotId> {
        None
    }

    fn handle_stage(&mut self, _: SlotId, _: Stage, _: Duration) {}

    fn release(&mut self, _: SlotId, _: Duration) {}

    fn state(&self, _: SlotId) -> State {
        State { receives: self.finish.is_none(), sends: !self.pending.is_empty(), finish: self.finish }
    }

    fn receive_space(&mut self, _: SlotId) -> &mut [u8] {
        &mut self.space
    }

    fn received(&mut self, id: SlotId, count: usize, _: Duration) -> State {
        self.received += count;
        self.state(id)
    }

    fn pending(&self, _: SlotId) -> &[u8] {
        &self.pending
    }

    fn sent(&mut self, id: SlotId, count: usize, _: Duration) -> State {
        self.pending.drain(..count);
        self.state(id)
    }

    fn handle_end(&mut self, id: SlotId, _: End, _: Duration) -> State {
        self.state(id)
    }

    fn handle_plain(&mut self, id: SlotId, _: Duration) -> State {
        self.state(id)
    }

    fn log_limit(&mut self, _: Duration) -> Option<crate::log::Suppressed> {
        None
    }
}

#[test]
fn connection_has_its_budget_of_steps_and_then_yields() {
    let (mut client, server) = pair();
    client.write_all(&[0; 2 * STEP_BUDGET]).unwrap();
    while server.peek(&mut [0; 2 * STEP_BUDGET]).unwrap() < 2 * STEP_BUDGET {}
    server.set_nonblocking(true).unwrap();
    let stream = AsyncFd::new(Socket::new(server)).unwrap();
    let wait = core::future::poll_fn(|context| stream.poll_readable(context));
    block_on(&mut Tasks::new(0), wait).unwrap();
    let (timer, mut endpoint) = (Timer::new().unwrap(), Fake::default());
    let id = SlotId { index: 0, generation: 0 };
    let mut connection = Connection::new(&stream, id, &timer, None, Buffers::default());
    let mut context = Context::from_waker(Waker::noop());
    for polls in 1..=2 {
        assert!(connection.poll(&mut endpoint, &mut context).is_pending());
        assert_eq!(endpoint.received, polls * STEP_BUDGET);
    }
    assert!(connection.poll(&mut endpoint, &mut context).is_pending());
    assert_eq!(endpoint.received, 2 * STEP_BUDGET);
}

#[test]
fn kernel_keeps_the_last_bytes_for_a_peer_that_does_not_read() {
    let (mut client, server) = pair();
    rustix::net::sockopt::set_socket_send_buffer_size(&server, SOCKET_BUFFER_BYTES).unwrap();
    server.set_nonblocking(true).unwrap();
    // Fills both kernel buffers.
    let mut before = 0;
    while let Ok(count) = (&server).write(&[b'-'; 1024]) {
        before += count;
    }
    let stream = AsyncFd::new(Socket::new(server)).unwrap();
    let timer = Timer::new().unwrap();
    let (pending, finish) = (vec![b'x'; SEND_BYTES], Some(Finish::Graceful));
    let mut endpoint = Fake { pending, finish, ..Fake::default() };
    let id = SlotId { index: 0, generation: 0 };
    let mut connection = Connection::new(&stream, id, &timer, None, Buffers::default());
    let mut context = Context::from_waker(Waker::noop());
    assert!(connection.poll(&mut endpoint, &mut context).is_pending());
    assert!(connection.phase.widened);
    assert!(endpoint.pending.is_empty(), "everything is sent in one poll, though nobody has read");
    assert!(connection.phase.linger.is_some());
    drop(stream);
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), before + SEND_BYTES);
    assert!(received.ends_with(b"x"));
}

#[test]
fn evicted_connection_ends_in_one_poll_with_what_it_had_to_send_or_a_reset() {
    for pending in [b"1013".to_vec(), Vec::new()] {
        let (mut client, server) = pair();
        server.set_nonblocking(true).unwrap();
        let stream = AsyncFd::new(Socket::new(server)).unwrap();
        let timer = Timer::new().unwrap();
        let mut endpoint = Fake { pending: pending.clone(), finish: Some(Finish::Evict), ..Fake::default() };
        let id = SlotId { index: 0, generation: 0 };
        let mut connection = Connection::new(&stream, id, &timer, None, Buffers::default());
        assert!(connection.poll(&mut endpoint, &mut Context::from_waker(Waker::noop())).is_ready());
        drop(stream);
        let mut received = Vec::new();
        let end = client.read_to_end(&mut received);
        assert_eq!(received, pending);
        assert_eq!(
            end.map_err(|error| error.kind()).err(),
            pending.is_empty().then_some(ErrorKind::ConnectionReset)
        );
    }
}

#[test]
fn evicted_connection_does_not_linger() {
    let (_client, server) = pair();
    server.set_nonblocking(true).unwrap();
    let stream = AsyncFd::new(Socket::new(server)).unwrap();
    let timer = Timer::new().unwrap();
    let mut endpoint = Fake { finish: Some(Finish::Graceful), ..Fake::default() };
    let id = SlotId { index: 0, generation: 0 };
    let mut connection = Connection::new(&stream, id, &timer, None, Buffers::default());
    let mut context = Context::from_waker(Waker::noop());
    assert!(connection.poll(&mut endpoint, &mut context).is_pending());
    endpoint.finish = Some(Finish::Evict);
    assert!(connection.poll(&mut endpoint, &mut context).is_ready());
}
