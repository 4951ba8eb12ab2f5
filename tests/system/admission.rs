//! Floods of clients without an identity, which dial again whenever they are closed: the administrator gets in.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use friendlet::limits::SLOTS;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use crate::support::device::GUEST;
use crate::support::http::{Response, exchange, form_request, login_form, session_of};
use crate::support::stream::{ReadOutcome, Stream};
use crate::support::wait::{until, within};
use crate::support::ws::Socket;
use crate::support::{Device, Server, tls};

/// The address of the administrator, and another one.
const SAME: Ipv4Addr = Ipv4Addr::LOCALHOST;
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// Time of the administrator for a login and a bound socket: generous, for server, flood and other tests share the
/// processors. Alone, each takes less than a second.
const WAY_IN: Duration = Duration::from_secs(20);
const WAYS_IN: usize = 10;
/// Attempts of all ways in from the address of the flood. From another address, each has one.
const ATTEMPTS: usize = 2 * WAYS_IN;

/// One flood at a time.
static FLOOD: Mutex<()> = Mutex::new(());

/// A connection of which nothing is waited for.
fn dial(source: Ipv4Addr, address: SocketAddr) -> Option<TcpStream> {
    let descriptor =
        socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None).ok()?;
    bind(&descriptor, &SocketAddr::from((source, 0))).ok()?;
    // It is in progress.
    let _ = connect(&descriptor, &address);
    Some(TcpStream::from(descriptor))
}

/// A flood that goes on.
#[derive(Default)]
struct Flood {
    is_over: AtomicBool,
    dials: AtomicUsize,
}

impl Flood {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn note_dial(&self) {
        self.dials.fetch_add(1, Ordering::Relaxed);
    }

    fn dials(&self) -> usize {
        self.dials.load(Ordering::Relaxed)
    }
}

/// Ends the flood, also when a test panics.
struct End<'a>(&'a Flood);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

fn is_open(mut socket: &TcpStream) -> bool {
    match socket.read(&mut [0; 1024]) {
        Ok(count) => count > 0,
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    }
}

/// `count` sockets that send `bytes` and dial again when they are closed.
fn dial_again(server: &Server, source: Ipv4Addr, count: usize, bytes: &[u8], flood: &Flood) {
    let mut sockets: Vec<Option<(TcpStream, bool)>> = (0..count).map(|_| None).collect();
    while !flood.is_over() {
        for place in &mut sockets {
            if !place.as_ref().is_some_and(|(socket, _)| is_open(socket)) {
                *place = dial(source, server.address()).map(|socket| (socket, bytes.is_empty()));
                flood.note_dial();
            }
            if let Some((socket, has_sent)) = place
                && !*has_sent
            {
                *has_sent = socket.write_all(bytes).is_ok();
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// `count` clients that open a WebSocket without a session, and another one when it is closed.
fn strangers(server: &Server, source: Ipv4Addr, count: usize, flood: &Flood) {
    let stranger = || {
        while !flood.is_over() {
            flood.note_dial();
            let stream = dial(source, server.address());
            let Some(socket) = stream.filter(|socket| socket.set_nonblocking(false).is_ok()) else {
                continue;
            };
            let Ok(stream) = Stream::try_tls(socket, None) else { continue };
            let Ok(mut socket) = Socket::try_open(stream, "/fcws") else { continue };
            let mut received = Vec::new();
            let is_open = |outcome| !matches!(outcome, Ok(ReadOutcome::End) | Err(_));
            while !flood.is_over()
                && is_open(socket.stream().read_some(&mut received, Duration::from_millis(100)))
            {}
        }
    };
    thread::scope(|scope| (0..count).for_each(|_| drop(scope.spawn(stranger))));
}

fn connection(server: &Server) -> Option<Stream> {
    let socket = TcpStream::connect(server.address()).ok()?;
    if server.is_tls() { Stream::try_tls(socket, None).ok() } else { Some(Stream::Plain(socket)) }
}

/// Logs in and opens a socket, which is bound.
fn get_in(server: &Server) -> Option<Socket> {
    let login = form_request("/system.library/login", &login_form("fadmin", "secret"));
    let answer = exchange(connection(server)?, login.as_bytes());
    let answer = (!answer.is_empty()).then(|| Response::parse(&answer))?;
    let session = session_of(&answer.body)?;
    let mut socket = Socket::try_open(connection(server)?, &format!("/fcws?sessionid={session}")).ok()?;
    socket.bind(&session);
    Some(socket)
}

fn is_healthy(server: &Server) -> bool {
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    connection(server).is_some_and(|stream| exchange(stream, request).starts_with(b"HTTP/1.1 200 "))
}

/// The administrator gets in ten of ten times, with this number of attempts at most, the health is answered, and a
/// socket that was bound before stays.
fn administrator_gets_in(attempts: usize, clients: impl Fn(&Server, &Flood) + Sync) {
    let _one = FLOOD.lock().unwrap_or_else(PoisonError::into_inner);
    let server = &Server::start(&Device::new());
    let mut bound = server.administrator().unwrap();
    let flood = &Flood::default();
    thread::scope(|scope| {
        scope.spawn(|| clients(server, flood));
        let _end = End(flood);
        until("every slot was in use", || flood.dials() > 2 * SLOTS);
        let mut tried = 0;
        let mut times = Vec::new();
        for _ in 0..WAYS_IN {
            let start = Instant::now();
            let inside = within(WAY_IN, "the administrator gets in", || {
                tried += 1;
                get_in(server)
            });
            times.push(start.elapsed());
            until("the health is answered", || is_healthy(server));
            drop(inside);
        }
        for verb in ["start", "stop"] {
            assert_eq!(bound.service(verb, "hello"), r#"{ "Status": "ok"}"#);
        }
        println!("{} dials; {tried} attempts, {times:?}", flood.dials());
        assert!(tried <= attempts, "{tried} attempts: {times:?}");
    });
}

#[test]
fn administrator_gets_in_among_two_hundred_idle_sockets() {
    administrator_gets_in(WAYS_IN, |server, flood| dial_again(server, OTHER, 200, b"", flood));
}

#[test]
fn administrator_gets_in_among_two_hundred_idle_sockets_of_the_same_address() {
    administrator_gets_in(ATTEMPTS, |server, flood| dial_again(server, SAME, 200, b"", flood));
}

#[test]
fn administrator_gets_in_among_a_thousand_idle_sockets() {
    administrator_gets_in(WAYS_IN, |server, flood| dial_again(server, OTHER, 1000, b"", flood));
}

#[test]
fn administrator_gets_in_among_a_thousand_idle_sockets_of_the_same_address() {
    administrator_gets_in(ATTEMPTS, |server, flood| dial_again(server, SAME, 1000, b"", flood));
}

#[test]
fn administrator_gets_in_among_a_thousand_cut_hellos() {
    let hello = tls::client_hello();
    let half = &hello[..hello.len() / 2];
    administrator_gets_in(WAYS_IN, |server, flood| dial_again(server, OTHER, 1000, half, flood));
}

#[test]
fn administrator_gets_in_among_a_hundred_sockets_without_a_session() {
    administrator_gets_in(WAYS_IN, |server, flood| strangers(server, OTHER, 100, flood));
}

#[test]
fn user_with_a_share_of_the_slots_leaves_the_others() {
    let server = Server::start(&Device::plain().slots(16));
    let share = 16 / friendlet::connection::USER_SHARE;
    let _users: Vec<_> = (0..share).map(|_| server.bound(GUEST)).collect();
    let rejected = Socket::try_open(server.connect(), &format!("/fcws?sessionid={GUEST}"));
    assert!(rejected.is_err_and(|answer| answer.starts_with("HTTP/1.1 503 ")));
    let _administrators: Vec<_> = (0..16 - share).map(|_| server.administrator().unwrap()).collect();
    assert!(is_healthy(&server));
}
