//! Tasks of the listening sockets and of their connections.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::STEP_BUDGET;
use super::connection_table::{Accepted, ConnectionTable, Mailbox};
use super::driver::Connection;
use super::endpoint::Endpoint;
use super::listener::TlsConfig;
use super::listeners::Listeners;
use super::tls::Buffers;
use crate::connection::Peer;
use crate::runtime::{Tasks, Timer};

/// Pause of the acceptor while the system has no socket for it (no descriptors, no memory), or the server
/// no slot: all are an administrator's of this machine.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes of the task of one slot and its mailbox.
pub fn task_bytes<E: Endpoint>() -> usize {
    fn of<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }
    of(serve_slot::<E>) + size_of::<Mailbox>()
}

/// Number of tasks that [`run`] spawns at most for `slots` slots.
pub fn tasks(slots: usize) -> usize {
    slots + Listeners::COUNT
}

/// Spawns the tasks of the listeners, the TCP port and the local socket if there is one. They never end.
///
/// # Errors
/// See [`Timer::new`]; or `tasks` is full.
pub fn run<E: Endpoint + 'static>(
    tasks: &mut Tasks,
    listeners: &Rc<Listeners>,
    connections: &Rc<ConnectionTable>,
    endpoint: &Rc<RefCell<E>>,
    tls: Option<&Rc<TlsConfig>>,
) -> io::Result<()> {
    for index in 0..connections.slots() {
        let slot = Slot { connections: Rc::clone(connections), index };
        tasks.spawn(serve_slot(slot, Rc::clone(endpoint), tls.cloned(), Timer::new()?))?;
    }
    for index in 0..Listeners::COUNT {
        let accept =
            accept(Rc::clone(listeners), index, Rc::clone(connections), Rc::clone(endpoint), Timer::new()?);
        tasks.spawn(accept)?;
    }
    Ok(())
}

/// One slot of the table.
struct Slot {
    connections: Rc<ConnectionTable>,
    index: usize,
}

async fn serve_slot<E: Endpoint>(
    slot: Slot,
    endpoint: Rc<RefCell<E>>,
    tls: Option<Rc<TlsConfig>>,
    timer: Timer,
) {
    let Some(mailbox) = slot.connections.get(slot.index) else { return };
    let mut buffers = if tls.is_some() { Buffers::new() } else { Buffers::default() };
    // Once is enough, here and for the mailbox: a task keeps its waker.
    poll_fn(|context| {
        timer.listen(context);
        Poll::Ready(())
    })
    .await;
    loop {
        let Accepted { stream, id, is_local } = mailbox.next_connection().await;
        timer.set(None);
        let tls = tls.as_ref().filter(|_| !is_local).map(|tls| tls.current());
        let mut connection = Connection::new(&stream, id, &timer, tls.as_ref(), buffers);
        // A connection borrows the machines only here, for one poll.
        poll_fn(|context| connection.poll(&mut *endpoint.borrow_mut(), context)).await;
        buffers = connection.into_buffers();
        drop(stream);
        let now = endpoint.borrow().now();
        endpoint.borrow_mut().release(id, now);
        slot.connections.note_freed();
    }
}

async fn accept<E: Endpoint>(
    listeners: Rc<Listeners>,
    index: usize,
    connections: Rc<ConnectionTable>,
    endpoint: Rc<RefCell<E>>,
    pause: Timer,
) {
    let mut accepted_at_once = 0;
    loop {
        let listener = listeners.ready(index).await;
        let is_local = listener.is_local();
        let accepted = listener.accept();
        // It may be closed while the task waits.
        drop(listener);
        let (stream, peer) = match accepted {
            Ok((stream, Peer::Network(address))) if index == Listeners::BESIDE => {
                (stream, Peer::Beside(address))
            }
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                accepted_at_once = 0;
                continue;
            }
            // The peer hung up while it waited; accept(2) lists more errors of the network.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) =>
            {
                continue;
            }
            Err(error) => {
                let now = endpoint.borrow().now();
                if let Some(suppressed) = endpoint.borrow_mut().log_limit(now) {
                    crate::warning!("cannot accept a connection: {}{}", error, suppressed);
                }
                pause.after(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let id = loop {
            let now = endpoint.borrow().now();
            let claimed = endpoint.borrow_mut().claim(peer, now);
            if let Some(id) = claimed {
                break id;
            }
            smol::future::or(connections.slot_freed(is_local).notified(), pause.after(ACCEPT_PAUSE)).await;
        };
        connections.assign(Accepted { stream, id, is_local });
        accepted_at_once += 1;
        if accepted_at_once >= STEP_BUDGET {
            // Yield to the other tasks.
            accepted_at_once = 0;
            smol::future::yield_now().await;
        }
    }
}
