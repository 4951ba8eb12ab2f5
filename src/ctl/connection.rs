//! A connection to the server: TCP, with or without TLS, or the local socket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, ClientConnection, StreamOwned};

use super::env::Env;
use super::failure::{FAILED, Failure, NO_RIGHT, UNAVAILABLE, UNTRUSTED, UNUSABLE, USAGE};
use super::output::{reader_has_gone, sanitize};
use super::pin::{Fingerprint, OwnCertificate, Pin, Presented, hex, parse_fingerprint};
use super::servers::DEVICES;
use super::state::{KNOWN_SERVERS, StateDir};
use super::url::{Url, without_zone};
use crate::log::Reason;
use crate::sys::file;

/// Time for TCP to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the server to accept bytes, or a connection to the local socket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest silence of the server: it pings every 25 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest silence of the server during the handshakes of TLS and WebSocket.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time until a reply, from the connection on: the longest stop of a service, and transmission.
pub(super) const REPLY_TIMEOUT: Duration = Duration::from_secs(330);
/// Longest file of a certificate or key: that of the server.
const PEM_BYTES: usize = 64 * 1024;
/// Longest silence of the server during the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A TCP socket whose reads have an end, however slowly the server sends.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    /// Time from which on a read fails.
    deadline: Option<Instant>,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.tcp.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

/// A connected socket.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Socket),
    Local(UnixStream),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

impl Stream {
    /// Ends reads from this time on. The local server, which only root can replace, has no such end.
    pub(super) fn set_deadline(&mut self, deadline: Option<Instant>) {
        match self {
            Self::Plain(socket) => socket.deadline = deadline,
            Self::Local(_) => {}
            Self::Tls(stream) => stream.sock.deadline = deadline,
        }
    }

    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.tcp.set_read_timeout(Some(timeout)),
            Self::Local(socket) => socket.set_read_timeout(Some(timeout)),
            Self::Tls(stream) => stream.sock.tcp.set_read_timeout(Some(timeout)),
        }
    }

    /// Waits for more bytes of the server, for as long as it may be silent. Returns true when the reader of standard output
    /// has gone.
    pub(super) fn wait(&self) -> io::Result<bool> {
        let socket = match self {
            Self::Plain(socket) => socket.tcp.as_fd(),
            Self::Local(socket) => socket.as_fd(),
            Self::Tls(stream) if stream.conn.wants_read() => stream.sock.tcp.as_fd(),
            // Bytes were received that are not read yet.
            Self::Tls(_) => return Ok(false),
        };
        reader_has_gone(Some(socket), IDLE_TIMEOUT)
    }

    /// Lets the server be silent for as long as between two pings.
    pub(super) fn set_idle_timeout(&self) -> io::Result<()> {
        self.set_read_timeout(IDLE_TIMEOUT)
    }

    /// Limits the wait for the closing handshake.
    pub(super) fn set_close_timeout(&self) -> io::Result<()> {
        self.set_read_timeout(CLOSE_TIMEOUT)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Local(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        })
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        uninterrupted(|| match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Local(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        uninterrupted(|| match self {
            Self::Plain(socket) => socket.flush(),
            Self::Local(socket) => socket.flush(),
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

/// Connects, and over TLS verifies the server: its public key must be `demanded`, or else the one remembered.
/// Without either, the one presented is noted on standard error and remembered. `certificate` is that of this client,
/// with its key.
pub(super) fn connect(
    url: &Url,
    demanded: Option<Fingerprint>,
    certificate: Option<&[String; 2]>,
    env: &mut Env<'_>,
) -> Result<Stream, Failure> {
    if certificate.is_some() && !matches!(url, Url::Network { tls: true, .. }) {
        let text = format!(
            "--cert and --key are for a server with TLS, and not for {url}; name it: --url wss://HOST:PORT"
        );
        return Err(Failure::new(USAGE, text));
    }
    match url {
        Url::Local(path) => connect_local(url, path),
        Url::Network { tls, host, port, .. } => {
            let socket = connect_tcp(url, *tls, host, *port)?;
            if *tls {
                connect_tls(url, host, socket, demanded, certificate, env)
            } else {
                Ok(Stream::Plain(socket))
            }
        }
    }
}

/// Checks that a server listens at an address of the network.
pub(super) fn reach(url: &Url) -> Result<(), Failure> {
    match url {
        Url::Local(_) => Ok(()),
        Url::Network { tls, host, port, .. } => connect_tcp(url, *tls, host, *port).map(drop),
    }
}

/// Connects to the local socket. The kernel refuses other users than root and that of the server.
fn connect_local(url: &Url, path: &Path) -> Result<Stream, Failure> {
    let connected = || -> rustix::io::Result<UnixStream> {
        let address = SocketAddrUnix::new(path)?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // A server that hangs has no room for one more connection.
        set_socket_timeout(&socket, Timeout::Send, Some(WRITE_TIMEOUT))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(HANDSHAKE_TIMEOUT))?;
        rustix::net::connect(&socket, &address)?;
        Ok(socket.into())
    };
    connected().map(Stream::Local).map_err(|errno| {
        let (code, why) = match errno {
            Errno::NOENT | Errno::CONNREFUSED => (
                UNAVAILABLE,
                "no server listens there; start it, or name another address with --url".to_owned(),
            ),
            Errno::ACCESS | Errno::PERM => (
                NO_RIGHT,
                "permission denied; it is for root and the user of the server, others log in at its port: \
                 --url wss://127.0.0.1:6500"
                    .to_owned(),
            ),
            Errno::AGAIN => (UNAVAILABLE, "the server did not answer in time".to_owned()),
            other => (UNAVAILABLE, Reason::from(other).to_string()),
        };
        Failure::new(code, format!("cannot connect to {url}: {why}"))
    })
}

fn connect_tcp(url: &Url, tls: bool, host: &str, port: u16) -> Result<Socket, Failure> {
    let because = |why: &dyn std::fmt::Display| {
        Failure::new(
            UNAVAILABLE,
            format!("cannot connect to {url}: {why}; check that the server runs and that --url is right"),
        )
    };
    let unavailable = |error: &io::Error| because(&Reason::from(error));
    let addresses: Vec<SocketAddr> =
        (host, port).to_socket_addrs().map_err(|error| unavailable(&error))?.collect();
    if !tls && !addresses.iter().all(|address| address.ip().is_loopback()) {
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
                let deadline = Some(Instant::now() + REPLY_TIMEOUT);
                return Ok(Socket { tcp: socket, deadline });
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(error) => unavailable(&error),
        None => because(&"its name has no address"),
    })
}

fn connect_tls(
    url: &Url,
    host: &str,
    socket: Socket,
    demanded: Option<Fingerprint>,
    certificate: Option<&[String; 2]>,
    env: &mut Env<'_>,
) -> Result<Stream, Failure> {
    let state = &env.state()?.clone();
    let authority = url.authority();
    let known = known_key(url, state)?;
    let expected = demanded.or(known);
    let pin = Pin::new(expected);
    let unavailable = |error: &dyn std::fmt::Display| {
        Failure::new(UNAVAILABLE, format!("cannot start TLS with {url}: {error}"))
    };
    let name = ServerName::try_from(without_zone(host).to_owned()).map_err(|error| unavailable(&error))?;
    let own = certificate.map(read_certificate).transpose()?;
    let config = pin.config(own).map_err(|error| match certificate {
        Some(files) => unusable_certificate(files, &error),
        None => unavailable(&error),
    })?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| unavailable(&error))?;
    let mut stream = Box::new(StreamOwned::new(connection, socket));
    while stream.conn.is_handshaking() {
        if let Err(error) = stream.conn.complete_io(&mut stream.sock) {
            return Err(match (pin.presented(), expected) {
                (Some(presented), Some(expected)) if !presented.has(&expected) => {
                    key_changed(url, &presented, &expected, demanded.is_some(), state, env)
                }
                _ => unavailable(&explain(&error)),
            });
        }
    }
    if let Some(presented) = pin.presented().filter(|presented| known != Some(presented.key)) {
        let new = format!("{url} is new; its SHA-256 fingerprints are\n{presented}");
        if expected.is_none() && env.is_terminal {
            trust(url, &new, env)?;
        }
        let written = state.set(KNOWN_SERVERS, &authority, Some(&hex(&presented.key)));
        match written {
            Ok(()) if expected.is_none() && !env.is_terminal => env.note(format_args!(
                "{new}Its public key is trusted from now on. If it is not that of the server, remove its line from\n{}.",
                state.path_of(KNOWN_SERVERS).display()
            )),
            Ok(()) if expected == Some(presented.certificate) => env.note(format_args!(
                "{url}: its public key is required from now on, no longer its certificate"
            )),
            // The fingerprint of the certificate is as good until the certificate is renewed.
            Err(failure) if known == Some(presented.certificate) => env.note_failure(&failure),
            written => written?,
        }
    }
    Ok(Stream::Tls(stream))
}

/// Fingerprint of the server in the file of known servers. Each line of it must have one: a damaged line could be that of
/// this server, whose key would be new.
fn known_key(url: &Url, state: &StateDir) -> Result<Option<Fingerprint>, Failure> {
    let mut known = None;
    for (host, text) in state.lines(KNOWN_SERVERS)?.iter().filter(|(host, _)| !host.starts_with('#')) {
        let fingerprint = parse_fingerprint(text).ok_or_else(|| {
            let file = state.path_of(KNOWN_SERVERS);
            let file = file.display();
            let text = format!(
                "cannot verify {url}: the line of {host} in {file} is not a fingerprint; correct or remove it"
            );
            Failure::new(FAILED, text)
        })?;
        if *host == url.authority() {
            known = known.or(Some(fingerprint));
        }
    }
    Ok(known)
}

/// Asks a person whether a public key is that of the server.
fn trust(url: &Url, new: &str, env: &mut Env<'_>) -> Result<(), Failure> {
    let answer = (env.ask)(&format!("{new}Are these the fingerprints of the server? [yes or no] "), false);
    let why = match answer.as_deref() {
        Ok("yes" | "y") => return Ok(()),
        Ok(_) => String::new(),
        Err(error) => format!(", because nobody was asked: {error}"),
    };
    Err(Failure::new(UNTRUSTED, format!("{url} is not trusted{why}: nothing was sent")))
}

/// Reads the certificate of this client, and its key.
fn read_certificate([certificate, key]: &[String; 2]) -> Result<OwnCertificate, Failure> {
    let read =
        |file: &str| file::read(Path::new(file), PEM_BYTES).map_err(|error| unusable(file, &error.reason));
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| unusable(certificate, &"no certificate (PEM) in it"))?;
    let key_file = key;
    let key = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| unusable(key_file, &KEYS))?;
    Ok((chain, key))
}

/// Required content of a key file.
const KEYS: &str = "it has to be a private key (PEM, without a password): P-256, P-384, Ed25519, or RSA of 2048 to 4096 bits";

/// Failure of the certificate of this client and its key, by the error of rustls.
fn unusable_certificate([certificate, key]: &[String; 2], error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            unusable(key, &format_args!("it is not the key of {}", sanitize(certificate)))
        }
        rustls::Error::InvalidCertificate(_) => {
            unusable(certificate, &"not a certificate of X.509 version 3")
        }
        _ => unusable(key, &KEYS),
    }
}

fn unusable(file: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(UNUSABLE, format!("cannot use {}: {why}", sanitize(file)))
}

/// Failure with another public key than the expected one.
fn key_changed(
    url: &Url,
    presented: &Presented,
    expected: &Fingerprint,
    demanded: bool,
    state: &StateDir,
    env: &Env<'_>,
) -> Failure {
    let advice = if demanded {
        let file = env.configuration.as_ref().map_or_else(
            |_| String::new(),
            |directory| format!(" or in {}", directory.path_of(DEVICES).display()),
        );
        format!(
            "It is not the one demanded; compare that of --fingerprint{file} with the fingerprint of the server."
        )
    } else {
        format!(
            "The connection may be intercepted, or the server has a new key: its owner replaced it, or its state was lost.\nNothing was sent. Compare the fingerprint with that of the server; if it is right, use --fingerprint once, or remove the line of {} from {}.",
            url.authority(),
            state.path_of(KNOWN_SERVERS).display()
        )
    };
    Failure::new(
        UNTRUSTED,
        format!(
            "{url} does not have the expected fingerprint\n  expected     {}\n{presented}{advice}",
            hex(expected)
        ),
    )
}

/// Error of a connection with its likely cause.
pub(super) fn explain(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind()) {
        (Some(rustls::Error::InvalidMessage(_)), _) => {
            format!("{error}; the server does not use TLS on this port: use ws:// on its own machine")
        }
        (Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)), _) => {
            "the server requires a certificate of its client_ca: name it, --cert FILE --key FILE".to_owned()
        }
        // Those of a certificate that is wrong (RFC 8446, 6.2); the last one, of another authority with the same name.
        (Some(rustls::Error::AlertReceived(alert)), _)
            if matches!(u8::from(*alert), 0x2a..=0x2e | 0x30 | 0x31 | 0x33) =>
        {
            format!("the server refuses the certificate of --cert, which must be of its client_ca: {alert:?}")
        }
        (None, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            "the server did not answer in time".to_owned()
        }
        (None, io::ErrorKind::UnexpectedEof) => "the server closed the connection".to_owned(),
        _ => sanitize(&Reason::from(error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn server_that_sends_byte_by_byte_is_left_at_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut server = listener.accept().unwrap().0;
        let mut stream = Stream::Plain(Socket { tcp, deadline: None });
        let mut byte = [0];
        for _ in 0..2 {
            server.write_all(b"more").unwrap();
            assert_eq!(stream.read(&mut byte).unwrap(), 1);
        }
        stream.set_deadline(Some(Instant::now()));
        assert_eq!(stream.read(&mut byte).unwrap_err().kind(), io::ErrorKind::TimedOut);
        stream.set_deadline(None);
        assert_eq!(stream.read(&mut byte).unwrap(), 1);
    }

    #[test]
    fn an_interrupted_call_is_repeated() {
        let mut results =
            [Err(io::ErrorKind::Interrupted), Err(io::ErrorKind::Interrupted), Ok(3)].into_iter();
        assert_eq!(uninterrupted(|| results.next().unwrap().map_err(io::Error::from)).unwrap(), 3);
        let failed = uninterrupted(|| Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe)));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
