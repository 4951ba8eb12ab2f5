//! A WebSocket echo over friendlet's own `ws` and `net`: what a conformance suite talks to.
//!
//! `echo [--port N]` listens on 127.0.0.1 and says where on standard error. Its limits are its own:
//! messages of 16 MiB, binary ones too, and no deadline but the closing handshake's.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use friendlet::connection::{End, Finish, Peer, SlotId, Stage, State};
use friendlet::http;
use friendlet::net::{ConnectionTable, Endpoint, Listener, Listeners, run, tasks};
use friendlet::runtime::{Tasks, Timer, block_on};
use friendlet::ws::{Incoming, Limits, ReceiveBuffer, SendBuffer, Socket};

const SLOTS: usize = 8;
/// Pause between two looks at the deadlines.
const DEADLINE_STEP: Duration = Duration::from_millis(250);
const LIMITS: Limits = Limits { message_bytes: 16 << 20, binary: true, masked: true };

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
    slots: Vec<Echo>,
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
            Ok(Some((head, length))) => http::check_upgrade(&head).map(|upgrade| (upgrade, length)),
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
                self.send.raw(|room| http::write_rejection(room, &rejection, http::Recipient::default()).ok())
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
    fn slot(&mut self, id: SlotId) -> Option<&mut Echo> {
        self.slots.get_mut(usize::from(id.index))
    }

    fn end(&mut self, id: SlotId) -> State {
        if let Some(slot) = self.slot(id) {
            slot.finish = slot.finish.or(Some(Finish::Abort));
        }
        self.state(id)
    }

    /// The closing handshake has its deadline.
    fn handle_timeout(&mut self) {
        let now = self.now();
        for slot in &mut self.slots {
            if let Some(socket) = slot.socket.as_mut().filter(|socket| socket.is_closing()) {
                socket.handle_timeout(&mut slot.send, now);
                if socket.is_closed() {
                    slot.finish = Some(Finish::Graceful);
                }
            }
        }
    }
}

impl Endpoint for Server {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn claim(&mut self, _: Peer, _: Duration) -> Option<SlotId> {
        let (index, slot) = self.slots.iter_mut().enumerate().find(|(_, slot)| !slot.taken)?;
        slot.taken = true;
        Some(SlotId { index: index as u16, generation: 0 })
    }

    fn handle_stage(&mut self, _: SlotId, _: Stage, _: Duration) {}

    fn release(&mut self, id: SlotId, _: Duration) {
        if let Some(slot) = self.slot(id) {
            slot.receive.clear();
            slot.send.clear();
            (slot.taken, slot.socket, slot.finish, slot.stalled) = (false, None, None, false);
        }
    }

    fn state(&self, id: SlotId) -> State {
        let gone = State { receives: false, sends: false, finish: Some(Finish::Abort) };
        self.slots.get(usize::from(id.index)).map_or(gone, |slot| State {
            receives: slot.finish.is_none() && !slot.stalled,
            sends: !slot.send.is_empty(),
            finish: slot.finish,
        })
    }

    fn receive_space(&mut self, id: SlotId) -> &mut [u8] {
        self.slot(id).map_or(&mut [], |slot| slot.receive.space())
    }

    fn received(&mut self, id: SlotId, count: usize, now: Duration) -> State {
        if let Some(slot) = self.slot(id) {
            slot.receive.commit(count);
            slot.handle_input(now);
        }
        self.state(id)
    }

    fn pending(&self, id: SlotId) -> &[u8] {
        self.slots.get(usize::from(id.index)).map_or(&[], |slot| slot.send.pending())
    }

    fn sent(&mut self, id: SlotId, count: usize, now: Duration) -> State {
        if let Some(slot) = self.slot(id) {
            slot.send.sent(count);
            if slot.stalled {
                slot.handle_input(now);
            }
        }
        self.state(id)
    }

    fn handle_end(&mut self, id: SlotId, _: End, _: Duration) -> State {
        self.end(id)
    }

    fn handle_plain(&mut self, id: SlotId, _: Duration) -> State {
        self.end(id)
    }

    fn log_limit(&mut self, _: Duration) -> Option<friendlet::log::Suppressed> {
        Some(friendlet::log::Suppressed::default())
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
    let slots = (0..SLOTS).map(|_| Echo::new()).collect();
    let server = Rc::new(RefCell::new(Server { start: Instant::now(), slots }));
    let mut tasks = Tasks::new(tasks(SLOTS));
    let connections = ConnectionTable::new(SLOTS);
    run(&mut tasks, &Rc::new(Listeners::new(listener, None)), &connections, &server, None)
        .map_err(|error| error.to_string())?;
    eprintln!("listening on ws://{address}");
    let timer = Timer::new().map_err(|error| error.to_string())?;
    let deadlines = async {
        loop {
            timer.after(DEADLINE_STEP).await;
            server.borrow_mut().handle_timeout();
            (0..SLOTS as u16).for_each(|slot| connections.wake(slot));
        }
    };
    block_on(&mut tasks, deadlines).map_err(|error| error.to_string())
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
