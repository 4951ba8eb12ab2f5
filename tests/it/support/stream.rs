//! A connection: plain or TLS, with time-outs, and from any address of the loopback.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::{ClientConnection, StreamOwned};

use super::tls::{self, Identity};

/// A connection to the server.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    #[track_caller]
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self::Plain(TcpStream::connect(address).unwrap())
    }

    /// With TLS, the handshake done.
    #[track_caller]
    pub(crate) fn tls(address: SocketAddr) -> Self {
        Self::try_tls(TcpStream::connect(address).unwrap(), None).unwrap()
    }

    /// With TLS over `socket`, the handshake done, showing `identity`.
    pub(crate) fn try_tls(mut socket: TcpStream, identity: Option<&Identity>) -> io::Result<Self> {
        let mut connection = tls::client(identity);
        socket.set_read_timeout(Some(super::wait::SOON))?;
        connection.complete_io(&mut socket)?;
        Ok(Self::Tls(Box::new(StreamOwned::new(connection, socket))))
    }

    /// A connection from `source`, another address of the loopback.
    #[track_caller]
    pub(crate) fn from_source(source: Ipv4Addr, address: SocketAddr, with_tls: bool) -> Self {
        // Of this process alone, and of none that another test starts.
        let descriptor =
            socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        bind(&descriptor, &SocketAddr::new(IpAddr::V4(source), 0)).unwrap();
        connect(&descriptor, &address).unwrap();
        let stream = TcpStream::from(descriptor);
        if with_tls { Self::try_tls(stream, None).unwrap() } else { Self::Plain(stream) }
    }

    /// The socket of a plain connection.
    #[track_caller]
    pub(crate) fn into_socket(self) -> TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(_) => panic!("a connection with TLS"),
        }
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.get_ref(),
        }
    }

    /// Says that nothing more will be sent; what comes can still be read.
    pub(crate) fn end_writing(&mut self) {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Reads what is there within `timeout` into `buffer`; `Ok(false)` when nothing came.
    pub(crate) fn read_some(&mut self, buffer: &mut Vec<u8>, timeout: Duration) -> io::Result<ReadOutcome> {
        self.socket().set_read_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        let mut bytes = [0; 16 * 1024];
        match self.read(&mut bytes) {
            Ok(0) => Ok(ReadOutcome::End),
            Ok(count) => {
                buffer.extend_from_slice(&bytes[..count]);
                Ok(ReadOutcome::Bytes)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Ok(ReadOutcome::Nothing)
            }
            // A signal came, which is nothing to the peer: whoever waits goes on waiting.
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(ReadOutcome::Bytes),
            // TLS without a close_notify: an end all the same.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(ReadOutcome::End),
            Err(error) => Err(error),
        }
    }

    /// Reads until the peer ends the connection; panics after `timeout`.
    #[track_caller]
    pub(crate) fn read_to_end_within(&mut self, timeout: Duration) -> Vec<u8> {
        let start = Instant::now();
        let mut bytes = Vec::new();
        while let Some(left) = timeout.checked_sub(start.elapsed()) {
            match self.read_some(&mut bytes, left) {
                Ok(ReadOutcome::End) => return bytes,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return bytes,
                Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&bytes)),
            }
        }
        panic!("not ended within {timeout:?}, after {:?}", String::from_utf8_lossy(&bytes));
    }
}

/// Outcome of a read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReadOutcome {
    Bytes,
    Nothing,
    End,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
