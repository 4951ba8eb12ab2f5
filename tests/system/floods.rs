//! Clients that hang up, ten thousand at a time: nothing of them stays.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::http::{Response, exchange, form_request, login_form, session_of};
use crate::support::memory::assert_bound_holds;
use crate::support::stream::Stream;
use crate::support::wait::until;
use crate::support::{Device, Server, process, tls};

const CLIENTS: usize = 10_000;
/// Clients at once.
const AT_ONCE: usize = 8;
/// Tolerance of the memory in kB: the allocator keeps some freed memory.
const TOLERANCE_KB: u64 = 1024;

/// Timeout of the administrator's login, including rejections.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Logs in as often as it goes until `is_over`; returns how often.
fn administrator(server: &Server, is_over: &AtomicBool) -> usize {
    let mut logins = 0;
    while !is_over.load(Ordering::Relaxed) {
        let start = Instant::now();
        loop {
            if try_login(server) {
                break;
            }
            assert!(start.elapsed() < LOGIN_TIMEOUT, "the administrator is shut out");
            thread::sleep(Duration::from_millis(50));
        }
        logins += 1;
        thread::sleep(Duration::from_millis(100));
    }
    logins
}

fn try_login(server: &Server) -> bool {
    let Ok(socket) = TcpStream::connect(server.address()) else { return false };
    let stream = if server.is_tls() { Stream::try_tls(socket, None) } else { Ok(Stream::Plain(socket)) };
    let Ok(stream) = stream else { return false };
    let request = form_request("/system.library/login", &login_form("fadmin", "secret"));
    let answer = exchange(stream, request.as_bytes());
    !answer.is_empty() && session_of(&Response::parse(&answer).body).is_some()
}

fn flood(server: &Server, client: impl Fn(usize, SocketAddr) + Sync) {
    let is_over = AtomicBool::new(false);
    let next = AtomicUsize::new(0);
    let logins = thread::scope(|scope| {
        let logins = scope.spawn(|| administrator(server, &is_over));
        let clients: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= CLIENTS {
                            break;
                        }
                        client(number, server.address());
                    }
                })
            })
            .collect();
        for client in clients {
            client.join().unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        logins.join().unwrap()
    });
    assert!(logins > 0, "the administrator never came");
}

/// Floods a server that has served once. Checks its peak memory, and the memory that remains.
fn nothing_stays(what: &str, device: &Device, client: impl Fn(usize, SocketAddr) + Sync) {
    let mut server = Server::start(device);
    // What is made on first use is made before memory is measured: every slot once, and a login.
    let settle = |server: &Server| {
        let sockets: Vec<_> = (0..friendlet::limits::SLOTS).map(|_| server.administrator()).collect();
        assert!(sockets.iter().all(Result::is_ok), "every slot is of use");
        drop(sockets);
        server.login("fadmin", "secret");
    };
    let quiet = |server: &Server, descriptors: usize| {
        until("all descriptors are closed", || process::descriptors(server.pid()) <= descriptors);
    };
    let descriptors = process::descriptors(server.pid());
    settle(&server);
    settle(&server);
    quiet(&server, descriptors);
    let memory = process::status(server.pid(), "VmRSS");
    let threads = process::status(server.pid(), "Threads");

    flood(&server, client);

    assert_bound_holds(&server, what);
    quiet(&server, descriptors);
    settle(&server);
    quiet(&server, descriptors);
    let after = process::status(server.pid(), "VmRSS");
    assert!(after <= memory + TOLERANCE_KB, "{memory} kB before, {after} kB after");
    assert_eq!(process::status(server.pid(), "Threads"), threads);
    assert!(server.is_running());
    let lines = server.log().lines().count();
    assert!(lines < CLIENTS / 4, "{lines} lines of log: not rate-limited");
}

#[test]
fn connections_that_hang_up_without_a_byte() {
    nothing_stays("hang-ups", &Device::plain(), |_, address| drop(TcpStream::connect(address)));
}

#[test]
fn connections_that_hang_up_without_a_byte_to_a_tls_listener() {
    nothing_stays("hang-ups", &Device::new(), |_, address| drop(TcpStream::connect(address)));
}

#[test]
fn half_heads() {
    let head = b"POST /system.library/services/hello/start HTTP/1.1\r\nHost: localhost\r\nContent-Ty";
    nothing_stays("half heads", &Device::plain(), |number, address| {
        // It may be rejected before it has written.
        if let Ok(mut socket) = TcpStream::connect(address) {
            let _ = socket.write_all(&head[..1 + number % (head.len() - 1)]);
        }
    });
}

#[test]
fn client_hellos_cut_short() {
    let hello = tls::client_hello();
    nothing_stays("hellos cut short", &Device::new(), |number, address| {
        if let Ok(mut socket) = TcpStream::connect(address) {
            let _ = socket.write_all(&hello[..1 + number % (hello.len() - 1)]);
        }
    });
}
