//! Attempts of health checks: connections and HTTP requests, which the upkeep polls, and programs.

use std::fmt::Write as _;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::connect::{self, Connecting};
use super::system::System;
use crate::connection::Server;
use crate::limits::CHECKS;
use crate::service::{
    Attempt, CHECK_PATH_BYTES, CHECK_RESPONSE_BYTES, Check, CheckError, CheckKind, Endpoint, Url,
};

/// Bytes of a request: the path, an address, and the rest.
const REQUEST_BYTES: usize = CHECK_PATH_BYTES + 128;
/// Bytes of a response that contain its status: `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// Attempts under way over sockets, at most one of each check.
pub(super) struct Checks {
    pending: [Option<(Attempt, Exchange)>; CHECKS],
}

impl Checks {
    pub(super) fn new() -> Self {
        Self { pending: [const { None }; CHECKS] }
    }

    /// Continues the attempts under way, ends those that are abandoned, and begins those that are due.
    pub(super) fn run(&mut self, server: &mut Server, system: &mut System, now: Duration) {
        for pending in &mut self.pending {
            let Some((attempt, exchange)) = pending.take() else { continue };
            if server.services().is_under_way(attempt) {
                *pending = advance(attempt, exchange, server, system, now);
            } else if exchange.connecting.hangs() {
                *pending = Some((attempt, exchange));
            }
        }
        system.processes().kill_checks(|attempt| !server.services().is_under_way(attempt));
        for id in server.services().due_checks(now) {
            let Some(check) = server.services().table().check(id) else { continue };
            if matches!(check.kind, CheckKind::Command(_)) && !system.processes().has_room_for_check() {
                // It stays due, and comes first when there is room.
                continue;
            }
            let attempt = server.begin_check(id, now);
            let Some(pending) = self.pending.get_mut(id.index()) else { continue };
            let check = server.services().table().check(id);
            if let (Some((_, earlier)), Some(CheckKind::Connect(endpoint))) =
                (&pending, check.map(|check| &check.kind))
                && earlier.connecting.hangs_at(endpoint)
            {
                let error = CheckError::Connect(Errno::TIMEDOUT.raw_os_error());
                server.handle_checked(attempt, Err(error), now, system);
                continue;
            }
            let begun = check.and_then(|check| begin(attempt, check, system));
            *pending = match begun {
                Some(Ok(exchange)) => advance(attempt, exchange, server, system, now),
                Some(Err(error)) => {
                    server.handle_checked(attempt, Err(error), now, system);
                    None
                }
                None => None,
            };
        }
    }

    /// Returns true if there is an attempt to continue.
    pub(super) fn is_pending(&self, server: &Server) -> bool {
        self.pending.iter().flatten().any(|(attempt, _)| server.services().is_under_way(*attempt))
    }
}

/// Begins an attempt. A program reports its end itself: `None`.
fn begin(attempt: Attempt, check: &Check, system: &System) -> Option<Result<Exchange, CheckError>> {
    let socket = match &check.kind {
        CheckKind::Connect(endpoint) => connect::begin(endpoint),
        CheckKind::Http(url) => connect::begin(&Endpoint::Tcp(url.address)),
        CheckKind::Command(_) => {
            system.processes().run_check(check.service?, attempt, check.timeout);
            return None;
        }
    };
    Some(socket.map(Exchange::new).map_err(|error| CheckError::Connect(error.raw_os_error())))
}

/// Continues an attempt. Returns it unless it has a result.
fn advance(
    attempt: Attempt,
    mut exchange: Exchange,
    server: &mut Server,
    system: &mut System,
    now: Duration,
) -> Option<(Attempt, Exchange)> {
    let check = server.services().table().check(attempt.check)?;
    match exchange.poll(&check.kind) {
        Some(result) => {
            server.handle_checked(attempt, result, now, system);
            None
        }
        None => Some((attempt, exchange)),
    }
}

/// Connection of one attempt.
struct Exchange {
    connecting: Connecting,
    is_requested: bool,
    /// Begin of the response.
    status: heapless::Vec<u8, STATUS_BYTES>,
}

impl Exchange {
    fn new(connecting: Connecting) -> Self {
        Self { connecting, is_requested: false, status: heapless::Vec::new() }
    }

    /// Continues as far as possible without blocking. Returns the result once it is known.
    fn poll(&mut self, kind: &CheckKind) -> Option<Result<(), CheckError>> {
        if !self.is_requested {
            if let Err(error) = self.connecting.poll()? {
                return Some(Err(CheckError::Connect(error.raw_os_error())));
            }
            let (CheckKind::Http(url), Some(socket)) = (kind, self.connecting.socket()) else {
                return Some(Ok(()));
            };
            // The buffer of a new socket has room for the whole request.
            if let Err(error) = send(socket, request(url).as_bytes(), SendFlags::NOSIGNAL) {
                return Some(Err(CheckError::Broken(error.raw_os_error())));
            }
            self.is_requested = true;
        }
        let mut bytes = [0; CHECK_RESPONSE_BYTES];
        match recv(self.connecting.socket()?, &mut bytes, RecvFlags::empty()) {
            Ok((_, 0)) => Some(Err(CheckError::Closed)),
            Ok((_, length)) => {
                let room = STATUS_BYTES - self.status.len();
                self.status.extend(bytes.into_iter().take(length.min(room)));
                self.status.is_full().then(|| verdict(&self.status))
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(error) => Some(Err(CheckError::Broken(error.raw_os_error()))),
        }
    }
}

fn request(url: &Url) -> heapless::String<REQUEST_BYTES> {
    let mut text = heapless::String::new();
    let Url { address, path } = url;
    let written = write!(text, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    debug_assert!(written.is_ok(), "the longest path fits");
    text
}

/// Result of an HTTP request from the begin of its response.
fn verdict(status: &[u8]) -> Result<(), CheckError> {
    match status {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', b' ', number @ ..] => {
            let number = str::from_utf8(number).ok().and_then(|number| number.parse().ok());
            match number {
                Some(200..=299) => Ok(()),
                Some(other) => Err(CheckError::Status(other)),
                None => Err(CheckError::NotHttp),
            }
        }
        _ => Err(CheckError::NotHttp),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread::yield_now;

    use super::*;
    use crate::sys::tests::lock_children;

    #[test]
    fn status_is_that_of_the_first_line() {
        for (status, expected) in [
            (&b"HTTP/1.1 200"[..], Ok(())),
            (b"HTTP/1.0 204", Ok(())),
            (b"HTTP/1.1 299", Ok(())),
            (b"HTTP/1.1 199", Err(CheckError::Status(199))),
            (b"HTTP/1.1 302", Err(CheckError::Status(302))),
            (b"HTTP/1.1 503", Err(CheckError::Status(503))),
            (b"HTTP/1.1 2 0", Err(CheckError::NotHttp)),
            (b"HTTP/2.0 200", Err(CheckError::NotHttp)),
            (b"SSH-2.0-Open", Err(CheckError::NotHttp)),
        ] {
            assert_eq!(verdict(status), expected, "{status:?}");
        }
    }

    /// An HTTP attempt, and the server's end of its connection.
    fn requested() -> (Exchange, CheckKind, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let url = Url::from_text(&format!("http://{address}/health?full")).unwrap();
        let mut exchange = Exchange::new(connect::begin(&Endpoint::Tcp(address)).unwrap());
        let kind = CheckKind::Http(url);
        assert_eq!(exchange.poll(&kind), None);
        let mut peer = listener.accept().unwrap().0;
        let mut request = [0; REQUEST_BYTES];
        let length = peer.read(&mut request).unwrap();
        let expected = format!("GET /health?full HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        assert_eq!(str::from_utf8(&request[..length]).unwrap(), expected);
        (exchange, kind, peer)
    }

    fn result(exchange: &mut Exchange, kind: &CheckKind) -> Result<(), CheckError> {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(result) = exchange.poll(kind) {
                return result;
            }
            assert!(std::time::Instant::now() < deadline);
            yield_now();
        }
    }

    #[test]
    fn response_in_single_bytes_is_read() {
        let (mut exchange, kind, mut peer) = requested();
        for byte in b"HTTP/1.1 20" {
            peer.write_all(&[*byte]).unwrap();
            assert_eq!(exchange.poll(&kind), None);
        }
        peer.write_all(b"4").unwrap();
        assert_eq!(result(&mut exchange, &kind), Ok(()));
    }

    #[test]
    fn long_response_is_read_up_to_the_limit() {
        let (mut exchange, kind, mut peer) = requested();
        let body = "x".repeat(4 * CHECK_RESPONSE_BYTES);
        peer.write_all(format!("HTTP/1.1 503 Busy\r\n\r\n{body}").as_bytes()).unwrap();
        assert_eq!(result(&mut exchange, &kind), Err(CheckError::Status(503)));
        let mut rest = vec![0; body.len()];
        let left = recv(exchange.connecting.socket().unwrap(), &mut rest, RecvFlags::empty()).unwrap().1;
        assert!(left >= 3 * CHECK_RESPONSE_BYTES, "{left}");
    }

    #[test]
    fn peer_that_closes_without_a_response_is_a_failure() {
        let _lock = lock_children();
        let (mut exchange, kind, peer) = requested();
        drop(peer);
        assert_eq!(result(&mut exchange, &kind), Err(CheckError::Closed));
    }

    #[test]
    fn longest_request_fits() {
        let path = "x".repeat(CHECK_PATH_BYTES - 1);
        let address = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        let text = request(&Url::from_text(&format!("http://{address}/{path}")).unwrap());
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }
}
