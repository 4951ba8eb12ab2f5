//! A WebSocket echo over friendlet's own `ws` and `net`: what a conformance suite talks to.
//!
//! `echo [--port N]` listens on 127.0.0.1 and says where on standard error. Its limits are its own:
//! messages of 16 MiB, binary ones too, and no deadline but the closing handshake's.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use friendlet::connection::{End, Finish, SlotId, State};
use friendlet::http;
use friendlet::net::{Endpoint, Listener, Ports, Read, Write, run, tasks};
use friendlet::runtime::{Tasks, block_on};
use friendlet::ws::{Incoming, Limits, ReceiveBuffer, SendBuffer, Socket};

const SLOTS: usize = 8;
const LIMITS: Limits = Limits { message_bytes: 16 << 20, binary: true };

/// One connection: a request head, then echoes.
struct Echo {
    receive: ReceiveBuffer,
    send: SendBuffer,
    taken: bool,
    socket: Option<Socket>,
    finish: Option<Finish>,
    stalled: bool,
}

struct Server {
    start: Instant,
    slots: RefCell<Vec<Echo>>,
}

impl Echo {
    fn new() -> Self {
        Self {
            receive: ReceiveBuffer::new(LIMITS.message_bytes + 1024),
            send: SendBuffer::new(LIMITS.message_bytes + 1024),
            taken: false,
            socket: None,
            finish: None,
            stalled: false,
        }
    }

    fn handle_head(&mut self, now: Duration) {
        let upgrade = match http::parse_head(self.receive.filled()) {
            Ok(None) => return,
            Ok(Some((head, length))) => {
                http::check_upgrade(&head, core::iter::empty(), false).map(|upgrade| (upgrade, length))
            }
            Err(rejection) => Err(rejection),
        };
        let written = match upgrade {
            Ok((upgrade, length)) => {
                self.receive.consume(length);
                self.socket = Some(Socket::new(LIMITS, now));
                self.send.raw(|room| http::write_switching(room, &upgrade).ok())
            }
            Err(rejection) => {
                self.finish = Some(Finish::Graceful);
                self.send.raw(|room| http::write_rejection(room, &rejection, 1).ok())
            }
        };
        if written.is_err() {
            self.finish = Some(Finish::Abort);
        }
    }

    fn handle_input(&mut self, now: Duration) {
        if self.socket.is_none() {
            self.handle_head(now);
        }
        let Some(socket) = &mut self.socket else { return };
        socket.handle_activity(now);
        self.stalled = false;
        loop {
            // An echo needs its message's room: it waits until what was said before is sent.
            if !self.send.is_empty() && self.send.free() < self.receive.filled().len() + 256 {
                self.stalled = true;
                break;
            }
            match socket.poll(&mut self.receive, &mut self.send, now) {
                Incoming::More => break,
                Incoming::Stalled => {
                    self.stalled = true;
                    break;
                }
                Incoming::Message { text, range } => {
                    let Some(payload) = self.receive.filled().get(range) else { break };
                    if self.send.message(text, payload).is_err() {
                        self.finish = Some(Finish::Abort);
                        return;
                    }
                }
            }
        }
        if socket.is_closed() {
            self.finish = Some(Finish::Graceful);
        }
    }
}

impl Server {
    fn with<R>(&self, id: SlotId, use_slot: impl FnOnce(&mut Echo) -> R) -> Option<R> {
        self.slots.borrow_mut().get_mut(usize::from(id.index)).map(use_slot)
    }
}

impl Endpoint for Server {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn claim(&self, _: SocketAddr) -> Option<SlotId> {
        let mut slots = self.slots.borrow_mut();
        let (index, slot) = slots.iter_mut().enumerate().find(|(_, slot)| !slot.taken)?;
        slot.taken = true;
        Some(SlotId { index: index as u16, generation: 0 })
    }

    fn evict_idle(&self) {}

    fn release(&self, id: SlotId) {
        self.with(id, |slot| {
            slot.receive.clear();
            slot.send.clear();
            (slot.taken, slot.socket, slot.finish, slot.stalled) = (false, None, None, false);
        });
    }

    fn state(&self, id: SlotId) -> State {
        self.with(id, |slot| State {
            receives: slot.finish.is_none() && !slot.stalled,
            sends: !slot.send.is_empty(),
            finish: slot.finish,
        })
        .unwrap_or(State { receives: false, sends: false, finish: Some(Finish::Abort) })
    }

    fn receive(&self, id: SlotId, read: &mut Read<'_>) -> io::Result<(usize, State)> {
        let count: Option<io::Result<usize>> = self.with(id, |slot| {
            let count = read(slot.receive.space())?;
            slot.receive.commit(count);
            slot.handle_input(self.now());
            Ok(count)
        });
        Ok((count.unwrap_or(Ok(0))?, self.state(id)))
    }

    fn send(&self, id: SlotId, write: &mut Write<'_>) -> io::Result<(usize, State)> {
        let count: Option<io::Result<usize>> = self.with(id, |slot| {
            let count = write(slot.send.pending())?;
            slot.send.sent(count);
            if slot.stalled {
                slot.handle_input(self.now());
            }
            Ok(count)
        });
        Ok((count.unwrap_or(Ok(0))?, self.state(id)))
    }

    fn handle_end(&self, id: SlotId, _: End) {
        self.with(id, |slot| slot.finish = slot.finish.or(Some(Finish::Abort)));
    }

    fn handle_plain(&self, id: SlotId) {
        self.with(id, |slot| slot.finish = Some(Finish::Abort));
    }

    fn handle_tick(&self) {
        let now = self.now();
        for slot in self.slots.borrow_mut().iter_mut() {
            if let Some(socket) = slot.socket.as_mut().filter(|socket| socket.is_closing()) {
                socket.handle_timeout(&mut slot.send, now);
                if socket.is_closed() {
                    slot.finish = Some(Finish::Graceful);
                }
            }
        }
    }
}

fn port() -> Result<u16, String> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(0),
        (Some("--port"), Some(port)) => port.parse().map_err(|_| format!("'{port}' is not a port")),
        _ => Err("usage: echo [--port N]".to_owned()),
    }
}

fn serve() -> Result<(), String> {
    friendlet::log::set_level(friendlet::log::Level::Warn);
    let address = SocketAddr::from(([127, 0, 0, 1], port()?));
    let listener = Listener::bind(address).map_err(|error| error.to_string())?;
    let address = listener.address().map_err(|error| error.to_string())?;
    let server = Rc::new(Server {
        start: Instant::now(),
        slots: RefCell::new((0..SLOTS).map(|_| Echo::new()).collect()),
    });
    let mut tasks = Tasks::new(tasks(SLOTS));
    run(&mut tasks, listener, &Ports::new(SLOTS), &server, None).map_err(|error| error.to_string())?;
    eprintln!("listening on ws://{address}");
    block_on(&mut tasks, std::future::pending::<()>()).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("echo: {message}");
            ExitCode::FAILURE
        }
    }
}
