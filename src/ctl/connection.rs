//! A connection to the server: TCP, with or without TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::env::Env;
use super::failure::{FAILED, Failure, UNAVAILABLE, USAGE};
use super::output::sanitize;
use super::pin::{Fingerprint, Pin, hex, parse_fingerprint};
use super::state::{KNOWN_SERVERS, StateDir};
use super::url::Url;

/// Time for TCP to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the server to accept bytes.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest silence of the server: it pings every 25 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest silence of the server during the handshakes of TLS and WebSocket.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of the server during the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A connected socket.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Lets the server be silent for as long as between two pings.
    pub(super) fn set_idle_timeout(&self) -> io::Result<()> {
        self.socket().set_read_timeout(Some(IDLE_TIMEOUT))
    }

    /// Limits the wait for the closing handshake.
    pub(super) fn set_close_timeout(&self) -> io::Result<()> {
        self.socket().set_read_timeout(Some(CLOSE_TIMEOUT))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        })
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        uninterrupted(|| match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        uninterrupted(|| match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        })
    }
}

/// Repeats a call that a signal interrupts: signal(7) restarts none on a socket with a timeout, not even after
/// a stop and SIGCONT.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Connects, and over TLS verifies the certificate: it must be `demanded`, or else the one remembered.
/// Without either, the one presented is noted on standard error and remembered.
pub(super) fn connect(
    url: &Url,
    demanded: Option<Fingerprint>,
    state: &StateDir,
    env: &mut Env<'_>,
) -> Result<Stream, Failure> {
    let socket = connect_tcp(url)?;
    if url.tls { connect_tls(url, socket, demanded, state, env) } else { Ok(Stream::Plain(socket)) }
}

fn connect_tcp(url: &Url) -> Result<TcpStream, Failure> {
    let unavailable = |why: &dyn std::fmt::Display| {
        Failure::new(
            UNAVAILABLE,
            format!("cannot connect to {url}: {why}; check that the server runs and that --url is right"),
        )
    };
    let addresses: Vec<SocketAddr> =
        (url.host.as_str(), url.port).to_socket_addrs().map_err(|error| unavailable(&error))?.collect();
    if !url.tls && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(Failure::new(
            USAGE,
            format!(
                "cannot use {url}: it would send the session over the network unencrypted; use wss://{}, or a tunnel to this machine",
                url.authority()
            ),
        ));
    }
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(socket) => {
                socket.set_read_timeout(Some(HANDSHAKE_TIMEOUT)).map_err(|error| unavailable(&error))?;
                socket.set_write_timeout(Some(WRITE_TIMEOUT)).map_err(|error| unavailable(&error))?;
                socket.set_nodelay(true).map_err(|error| unavailable(&error))?;
                return Ok(socket);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) => unavailable(&error),
        None => unavailable(&"its name has no address"),
    })
}

fn connect_tls(
    url: &Url,
    mut socket: TcpStream,
    demanded: Option<Fingerprint>,
    state: &StateDir,
    env: &mut Env<'_>,
) -> Result<Stream, Failure> {
    let authority = url.authority();
    let known = match state.get(KNOWN_SERVERS, &authority)? {
        None => None,
        Some(text) => Some(parse_fingerprint(&text).ok_or_else(|| {
            Failure::new(
                FAILED,
                format!(
                    "cannot verify {url}: the line of {authority} in {} is not a fingerprint; remove the line",
                    state.path_of(KNOWN_SERVERS).display()
                ),
            )
        })?),
    };
    let expected = demanded.or(known);
    let pin = Pin::new(expected);
    let unavailable = |error: &dyn std::fmt::Display| {
        Failure::new(UNAVAILABLE, format!("cannot start TLS with {url}: {error}"))
    };
    let name = ServerName::try_from(url.host.clone()).map_err(|error| unavailable(&error))?;
    let config = pin.config().map_err(|error| unavailable(&error))?;
    let mut connection =
        ClientConnection::new(Arc::new(config), name).map_err(|error| unavailable(&error))?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut socket) {
            return Err(match (pin.presented(), expected) {
                (Some(presented), Some(expected)) if presented != expected => {
                    certificate_changed(url, &presented, &expected, demanded.is_some(), state)
                }
                _ => unavailable(&explain(&error)),
            });
        }
    }
    if let Some(presented) = pin.presented().filter(|presented| known != Some(*presented)) {
        state.set(KNOWN_SERVERS, &authority, Some(&hex(&presented)))?;
        if demanded.is_none() {
            env.note(format_args!(
                "{url} is new: its certificate has the SHA-256 fingerprint\n  {}\nIt is trusted from now on. If it is not the fingerprint of the server, remove its line from\n{}.",
                hex(&presented),
                state.path_of(KNOWN_SERVERS).display()
            ));
        }
    }
    Ok(Stream::Tls(Box::new(StreamOwned::new(connection, socket))))
}

/// Failure with another certificate than the expected one.
fn certificate_changed(
    url: &Url,
    presented: &Fingerprint,
    expected: &Fingerprint,
    demanded: bool,
    state: &StateDir,
) -> Failure {
    let advice = if demanded {
        "It is not the one demanded; compare --fingerprint with the fingerprint of the server.".to_owned()
    } else {
        format!(
            "The connection may be intercepted, or the server has a new certificate: its owner replaced it, or its state was lost.\nNothing was sent. Compare the fingerprint with that of the server; if it is right, use --fingerprint once, or remove the line of {} from {}.",
            url.authority(),
            state.path_of(KNOWN_SERVERS).display()
        )
    };
    Failure::new(
        FAILED,
        format!(
            "{url} presents another certificate than expected\n  expected  {}\n  presented {}\n{advice}",
            hex(expected),
            hex(presented)
        ),
    )
}

/// Error of rustls with its likely cause.
fn explain(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind()) {
        (Some(rustls::Error::InvalidMessage(_)), _) => {
            format!("{error}; the server does not use TLS on this port: use ws:// on its own machine")
        }
        (None, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            "the server did not answer in time".to_owned()
        }
        (None, io::ErrorKind::UnexpectedEof) => "the server closed the connection".to_owned(),
        _ => sanitize(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_repeated() {
        let mut results =
            [Err(io::ErrorKind::Interrupted), Err(io::ErrorKind::Interrupted), Ok(3)].into_iter();
        assert_eq!(uninterrupted(|| results.next().unwrap().map_err(io::Error::from)).unwrap(), 3);
        let failed = uninterrupted(|| Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
