//! The clients of a flood, in one thread with epoll(7).

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::kind::{Kind, Opening, Then};
use super::{Progress, socket};
use crate::{Error, Options};

/// Most events fetched in one system call.
const EVENTS: usize = 256;
/// Clients that are dialled before events are fetched again.
const DIALS: usize = 64;
/// Longest wait for events.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// Time after which a client sends its next few bytes, or hangs up if it does not read.
const DRIP: Duration = Duration::from_secs(1);

/// A connection of the flood.
struct Client {
    stream: TcpStream,
    tls: Option<ClientConnection>,
    /// Number among all.
    number: u64,
    /// It has sent its first bytes.
    is_there: bool,
    /// Time of its next few bytes.
    next: Instant,
}

struct Flood<'a> {
    kind: &'a Kind,
    options: &'a Options,
    progress: &'a Progress,
    epoll: OwnedFd,
    /// Half of a ClientHello.
    hello: Vec<u8>,
    clients: Vec<Option<Client>>,
    /// Indexes of those without a connection.
    away: Vec<usize>,
    /// Time of the latest [`drip`](Self::drip).
    dripped: Instant,
}

/// Runs until the flood is over.
pub(super) fn run(kind: &Kind, options: &Options, progress: &Progress) -> Result<(), Error> {
    let mut hello = Vec::new();
    client(options)?.write_tls(&mut hello)?;
    hello.truncate(hello.len() / 2);
    let mut flood = Flood {
        kind,
        options,
        progress,
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        hello,
        clients: (0..kind.clients).map(|_| None).collect(),
        away: (0..kind.clients).rev().collect(),
        dripped: Instant::now(),
    };
    let mut events = Vec::with_capacity(EVENTS);
    while !progress.is_over.load(Ordering::Relaxed) {
        flood.dial()?;
        events.clear();
        let wait = if flood.away.is_empty() { WAIT } else { Timespec::default() };
        match epoll::wait(&flood.epoll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            flood.with(event.data.u64() as usize, Flood::handle);
        }
        if flood.dripped.elapsed() > DRIP / 10 {
            flood.dripped = Instant::now();
            (0..kind.clients).for_each(|index| flood.with(index, Flood::drip));
        }
    }
    Ok(())
}

fn client(options: &Options) -> Result<ClientConnection, Error> {
    let config = options.target.tls.as_ref().ok_or("--tls is missing")?;
    Ok(ClientConnection::new(Arc::clone(config), ServerName::from(options.target.address.ip()))?)
}

impl Flood<'_> {
    /// Dials for some of the clients without a connection.
    fn dial(&mut self) -> Result<(), Error> {
        for _ in 0..DIALS {
            let Some(index) = self.away.pop() else { break };
            let number = self.progress.dials();
            let Ok(stream) = socket::dial(self.kind.source(index), self.options.target.address) else {
                // It waits for a port or a descriptor.
                self.away.insert(0, index);
                break;
            };
            Progress::note(&self.progress.dials);
            if self.kind.opening == Opening::Nothing && matches!(self.kind.then, Then::Close) {
                Progress::note(&self.progress.arrived);
                self.away.push(index);
                continue;
            }
            if matches!(self.kind.then, Then::Ignore) {
                socket::narrow(&stream)?;
            }
            let tls = (self.kind.opening == Opening::Tls).then(|| client(self.options)).transpose()?;
            let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&self.epoll, &stream, EventData::new_u64(index as u64), wanted)?;
            self.clients[index] = Some(Client { stream, tls, number, is_there: false, next: self.dripped });
        }
        Ok(())
    }

    /// Does something with a connection. An error is its end.
    fn with(&mut self, index: usize, step: impl Fn(&Self, &mut Client) -> io::Result<()>) {
        // An event of a connection that has ended meanwhile comes with the next one, too.
        let Some(mut client) = self.clients[index].take() else { return };
        match step(self, &mut client) {
            Ok(()) => self.clients[index] = Some(client),
            Err(_) => self.away.push(index),
        }
    }

    /// Handles an event.
    fn handle(&self, client: &mut Client) -> io::Result<()> {
        if !client.is_there && !self.open(client)? {
            return Ok(());
        }
        if matches!(self.kind.then, Then::Ignore) {
            return client.stream.take_error()?.map_or(Ok(()), Err);
        }
        // After the beginning, what comes is of no interest, but for the end.
        discard(&mut client.stream)?;
        match (self.kind.then, &mut client.tls) {
            (Then::Talk(more), Some(tls)) => {
                flush(tls, &mut client.stream)?;
                while !tls.wants_write() {
                    tls.writer().write_all(&more(client.number))?;
                    flush(tls, &mut client.stream)?;
                }
                Ok(())
            }
            (Then::Close, _) => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Goes on with the beginning of a connection. Returns true when all of it was sent.
    fn open(&self, client: &mut Client) -> io::Result<bool> {
        match &mut client.tls {
            Some(tls) => {
                if !shake(tls, &mut client.stream)? {
                    return Ok(false);
                }
                client.send(&self.kind.first(self.options, client.number))?;
            }
            None if self.kind.opening == Opening::HalfHello => match client.stream.write(&self.hello) {
                Err(error) if is_pending(&error) => return Ok(false),
                other => drop(other?),
            },
            None => {}
        }
        client.is_there = true;
        client.next = self.dripped;
        if matches!(self.kind.then, Then::Ignore) {
            client.next += DRIP;
        }
        Progress::note(&self.progress.arrived);
        Ok(true)
    }

    /// Sends the next few bytes of a connection if their time has come.
    fn drip(&self, client: &mut Client) -> io::Result<()> {
        if !client.is_there || client.next > self.dripped {
            return Ok(());
        }
        client.next = self.dripped + DRIP;
        match self.kind.then {
            Then::Drip(more) => client.send(&more(client.number)),
            // Its end may wait behind what it does not read.
            Then::Ignore => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Client {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        tls.writer().write_all(bytes)?;
        flush(tls, &mut self.stream)
    }
}

/// Goes on with a handshake; true when it is done.
fn shake(tls: &mut ClientConnection, stream: &mut TcpStream) -> io::Result<bool> {
    flush(tls, stream)?;
    loop {
        match tls.read_tls(stream) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if is_pending(&error) => break,
            Err(error) => return Err(error),
        }
        tls.process_new_packets().map_err(io::Error::other)?;
        if !tls.is_handshaking() {
            break;
        }
    }
    flush(tls, stream)?;
    Ok(!tls.is_handshaking())
}

fn flush(tls: &mut ClientConnection, stream: &mut TcpStream) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(stream) {
            Ok(_) => {}
            Err(error) if is_pending(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads what is there.
fn discard(stream: &mut TcpStream) -> io::Result<()> {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(_) => {}
            Err(error) if is_pending(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn is_pending(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}
