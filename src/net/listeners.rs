//! Listening sockets of the server, one of which may be replaced while it runs.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::Poll;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

use super::listener::{BindError, Listener};
use crate::runtime::Notify;

/// Listening sockets: the local one, the TCP port, and an address that a change has opened beside that.
#[derive(Debug)]
pub struct Listeners([Place; Self::COUNT]);

/// Place of a listening socket, with the task that accepts its connections.
#[derive(Debug, Default)]
struct Place {
    listener: RefCell<Option<Rc<Listener>>>,
    changed: Notify,
}

impl Place {
    fn set(&self, listener: Option<Rc<Listener>>) -> Option<Rc<Listener>> {
        self.changed.notify();
        self.listener.replace(listener)
    }
}

impl Listeners {
    /// Number of them. Of two tasks that wait for a slot, the first one is polled first: local administrators go before
    /// others.
    pub(super) const COUNT: usize = 3;
    const PORT: usize = 1;
    /// Index of the address of an unconfirmed change.
    pub(super) const BESIDE: usize = 2;

    /// The sockets of the start.
    pub fn new(port: Listener, local: Option<Listener>) -> Self {
        let place = |listener: Option<Listener>| Place {
            listener: RefCell::new(listener.map(Rc::new)),
            changed: Notify::default(),
        };
        Self([place(local), place(Some(port)), Place::default()])
    }

    /// Listens on another socket, too. Returns its address.
    ///
    /// # Errors
    /// Error of the system.
    pub fn open(&self, address: SocketAddr, socket: TcpListener) -> Result<SocketAddr, BindError> {
        let listener = Listener::over(address, Ok(socket))?;
        let address = listener.address().unwrap_or(address);
        self.set(Self::BESIDE, Some(Rc::new(listener)));
        Ok(address)
    }

    /// Closes that socket again.
    pub fn close(&self) {
        self.set(Self::BESIDE, None);
    }

    /// Puts that socket, if there is one, in the place of the port. Connections stay.
    pub fn confirm(&self) {
        if let Some(listener) = self.set(Self::BESIDE, None) {
            self.set(Self::PORT, Some(listener));
        }
    }

    /// Address of the port.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.get(Self::PORT)?.listener.borrow().as_ref()?.address().ok()
    }

    fn set(&self, index: usize, listener: Option<Rc<Listener>>) -> Option<Rc<Listener>> {
        self.0.get(index).and_then(|place| place.set(listener))
    }

    /// Waits until the socket of this index may have a connection.
    pub(super) async fn ready(&self, index: usize) -> Rc<Listener> {
        poll_fn(|context| {
            let Some(place) = self.0.get(index) else { return Poll::Pending };
            // Another socket wakes the task.
            place.changed.listen(context);
            match place.listener.borrow().as_ref() {
                Some(listener) => listener.poll_readable(context).map(|()| Rc::clone(listener)),
                None => Poll::Pending,
            }
        })
        .await
    }
}
