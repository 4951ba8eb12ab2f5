//! A connection to the server: TCP, and TLS around it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::arguments::read_fingerprint;
use super::output::clean;
use super::pin::{Fingerprint, Pin, hex};
use super::state::{KNOWN_SERVERS, StateDir};
use super::url::Url;
use super::{FAILED, Failure, UNAVAILABLE, USAGE};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the server may say nothing: it pings every 25 s.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long TLS and the upgrade may take between two bytes.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

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

    /// From here on the server may be silent for as long as lies between two pings.
    pub(super) fn settle(&self) -> io::Result<()> {
        self.socket().set_read_timeout(Some(READ_TIMEOUT))
    }

    /// Bounds how long the farewell is waited for.
    pub(super) fn hurry(&self) -> io::Result<()> {
        self.socket().set_read_timeout(Some(Duration::from_secs(1)))
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

/// Connects, and over TLS makes sure of the certificate: `demanded`, or the one remembered, or when
/// there is neither the one shown, which is then said on `err` and remembered.
pub(super) fn connect(
    url: &Url,
    demanded: Option<Fingerprint>,
    state: &StateDir,
    err: &mut dyn Write,
) -> Result<Stream, Failure> {
    let socket = open(url)?;
    if url.tls { secure(url, socket, demanded, state, err) } else { Ok(Stream::Plain(socket)) }
}

fn open(url: &Url) -> Result<TcpStream, Failure> {
    let unavailable = |why: &dyn std::fmt::Display| {
        Failure::new(
            UNAVAILABLE,
            format!(
                "cannot connect to {url}: {why}; is the server running, and is the address right (--url)?"
            ),
        )
    };
    let addresses: Vec<SocketAddr> =
        (url.host.as_str(), url.port).to_socket_addrs().map_err(|error| unavailable(&error))?.collect();
    if !url.tls && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(Failure::new(
            USAGE,
            format!(
                "{url} would send the session in the clear over the network; use wss://{}, or a tunnel to this machine",
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
        None => unavailable(&"the name has no address"),
    })
}

fn secure(
    url: &Url,
    mut socket: TcpStream,
    demanded: Option<Fingerprint>,
    state: &StateDir,
    err: &mut dyn Write,
) -> Result<Stream, Failure> {
    let authority = url.authority();
    let known = match state.get(KNOWN_SERVERS, &authority)? {
        None => None,
        Some(text) => Some(read_fingerprint(&text).ok_or_else(|| {
            Failure::new(
                FAILED,
                format!(
                    "the line of {authority} in {} is no fingerprint; take it out",
                    state.path_of(KNOWN_SERVERS).display()
                ),
            )
        })?),
    };
    let expected = demanded.or(known);
    let pin = Pin::new(expected);
    let unavailable =
        |error: &dyn std::fmt::Display| Failure::new(UNAVAILABLE, format!("cannot secure {url}: {error}"));
    let name = ServerName::try_from(url.host.clone()).map_err(|error| unavailable(&error))?;
    let config = pin.config().map_err(|error| unavailable(&error))?;
    let mut connection =
        ClientConnection::new(Arc::new(config), name).map_err(|error| unavailable(&error))?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut socket) {
            return Err(match (pin.shown(), expected) {
                (Some(shown), Some(expected)) if shown != expected => {
                    changed(url, &shown, &expected, demanded.is_some(), state)
                }
                _ => unavailable(&explain(&error)),
            });
        }
    }
    if let Some(shown) = pin.shown().filter(|shown| known != Some(*shown)) {
        state.set(KNOWN_SERVERS, &authority, Some(&hex(&shown)))?;
        if demanded.is_none() {
            let text = format!(
                "{url} is new: its certificate has the SHA-256 fingerprint\n  {}\nIt is trusted from now on. If it is not the one that the server has, remove its line from\n{}.",
                hex(&shown),
                state.path_of(KNOWN_SERVERS).display()
            );
            // Where standard error is closed nobody wants to know.
            let _ = writeln!(err, "{text}");
        }
    }
    Ok(Stream::Tls(Box::new(StreamOwned::new(connection, socket))))
}

fn changed(
    url: &Url,
    shown: &Fingerprint,
    expected: &Fingerprint,
    demanded: bool,
    state: &StateDir,
) -> Failure {
    let what_to_do = if demanded {
        "It is not the one demanded; compare --fingerprint with the server's own.".to_owned()
    } else {
        format!(
            "Somebody may be in between, or the server has a new certificate because its owner gave it one or its state was lost.\nNothing was sent. Compare the fingerprint with the server's own; when it is right, give it with --fingerprint once, or remove the line of {} from {}.",
            url.authority(),
            state.path_of(KNOWN_SERVERS).display()
        )
    };
    Failure::new(
        FAILED,
        format!(
            "{url} shows another certificate than expected\n  expected {}\n  shown    {}\n{what_to_do}",
            hex(expected),
            hex(shown)
        ),
    )
}

/// What rustls reports, with a hint at its likely cause.
fn explain(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind()) {
        (Some(rustls::Error::InvalidMessage(_)), _) => {
            format!("{error}; the server does not speak TLS there: use ws:// on its own machine")
        }
        (None, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            "the server did not answer in time".to_owned()
        }
        (None, io::ErrorKind::UnexpectedEof) => "the server closed the connection".to_owned(),
        _ => clean(&error.to_string()),
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
