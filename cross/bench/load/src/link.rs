//! One connection to the server under test: TCP, TLS where asked, the WebSocket.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use crate::Error;
use crate::frame::{self, CLOSE, PING, PONG, TEXT};

/// Longest wait of a blocking call.
const TIMEOUT: Duration = Duration::from_secs(10);
const BUFFER_BYTES: usize = 64 * 1024;

/// Address and handshake of a server.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Path of the upgrade request.
    pub(crate) path: String,
    /// Sent first and answered with one text: friendlet binds the socket by it.
    pub(crate) greeting: Option<String>,
}

/// A connection. Blocking, until [`Link::into_nonblocking`].
pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    /// Plain bytes that came and are not used yet: `input[start..end]`.
    input: Vec<u8>,
    start: usize,
    end: usize,
}

impl Link {
    /// Connects and does the handshakes, of TLS and of the WebSocket.
    pub(crate) fn open(target: &Target) -> Result<Self, Error> {
        let stream = TcpStream::connect(target.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let tls = match &target.tls {
            None => None,
            Some(config) => {
                let name = ServerName::from(target.address.ip());
                Some(Box::new(ClientConnection::new(Arc::clone(config), name)?))
            }
        };
        let mut link = Self { stream, tls, input: vec![0; BUFFER_BYTES], start: 0, end: 0 };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: FC-protocol\r\n\r\n",
            target.path, target.address
        );
        link.write(request.as_bytes())?;
        link.read_head()?;
        if let Some(greeting) = &target.greeting {
            let mut bytes = Vec::new();
            frame::append(&mut bytes, TEXT, greeting.as_bytes());
            link.write(&bytes)?;
            link.read_text()?;
        }
        Ok(link)
    }

    fn read_head(&mut self) -> Result<(), Error> {
        loop {
            let got = &self.input[self.start..self.end];
            if let Some(end) = got.windows(4).position(|four| four == b"\r\n\r\n") {
                if !got.starts_with(b"HTTP/1.1 101") {
                    return Err(format!("no upgrade: {}", String::from_utf8_lossy(got)).into());
                }
                self.start += end + 4;
                return Ok(());
            }
            self.read()?;
        }
    }

    /// The next text, on a blocking connection.
    fn read_text(&mut self) -> Result<String, Error> {
        loop {
            let mut text = None;
            self.texts(|payload| text = Some(String::from_utf8_lossy(payload).into_owned()))?;
            match text {
                Some(text) => return Ok(text),
                None => self.read()?,
            }
        }
    }

    /// Sends everything.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        let Some(tls) = &mut self.tls else { return write_all(&mut self.stream, bytes) };
        while !bytes.is_empty() {
            let count = tls.writer().write(bytes)?;
            bytes = &bytes[count..];
            while tls.is_handshaking() {
                tls.complete_io(&mut self.stream)?;
            }
            let mut records = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut records)?;
            }
            // One write for all records, as a client with several messages would do.
            write_all(&mut self.stream, &records)?;
        }
        Ok(())
    }

    /// Reads once. `WouldBlock` is an error here, too.
    pub(crate) fn read(&mut self) -> Result<(), Error> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let room = &mut self.input[self.end..];
        let count = match &mut self.tls {
            None => self.stream.read(room)?,
            Some(tls) => match tls.reader().read(room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if tls.read_tls(&mut self.stream)? == 0 {
                        return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
                    }
                    tls.process_new_packets()?;
                    match tls.reader().read(room) {
                        // A part of a record.
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                        other => other?,
                    }
                }
                other => other?,
            },
        };
        if count == 0 {
            return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
        }
        self.end += count;
        Ok(())
    }

    /// Hands every whole text that has come to `each`; answers pings.
    pub(crate) fn texts(&mut self, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
        let mut pongs = Vec::new();
        while let Some(frame) = frame::parse(&self.input[self.start..self.end]) {
            match frame.opcode {
                TEXT => each(frame.payload),
                PING => frame::append(&mut pongs, PONG, frame.payload),
                CLOSE => return Err(format!("the server closed: {:?}", frame.payload).into()),
                _ => {}
            }
            self.start += frame.bytes;
        }
        if pongs.is_empty() { Ok(()) } else { self.write(&pongs) }
    }

    /// Returns whether decrypted bytes wait that poll(2) does not report.
    pub(crate) fn has_more(&mut self) -> bool {
        self.tls
            .as_mut()
            .is_some_and(|tls| tls.process_new_packets().is_ok_and(|s| s.plaintext_bytes_to_read() > 0))
    }

    /// From now on reading does not wait.
    pub(crate) fn into_nonblocking(self) -> Result<Self, Error> {
        self.stream.set_nonblocking(true)?;
        Ok(self)
    }

    /// The closing handshake; the server's end of the connection is waited for.
    pub(crate) fn close(mut self) -> Result<(), Error> {
        self.stream.set_nonblocking(false)?;
        let mut bytes = Vec::new();
        frame::append(&mut bytes, CLOSE, &1000_u16.to_be_bytes());
        self.write(&bytes)?;
        // The answer, or the end of the stream where a server saves itself the answer.
        loop {
            while let Some(frame) = frame::parse(&self.input[self.start..self.end]) {
                if frame.opcode == CLOSE {
                    return Ok(());
                }
                self.start += frame.bytes;
            }
            match self.read() {
                Ok(()) => {}
                Err(error) => {
                    return match error.downcast::<io::Error>() {
                        Ok(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                            Ok(())
                        }
                        Ok(error) => Err(error.into()),
                        Err(error) => Err(error),
                    };
                }
            }
        }
    }
}

/// Writes all; waits where a non-blocking socket is full.
fn write_all(stream: &mut TcpStream, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let timeout = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
                let mut wait = [rustix::event::PollFd::new(stream, rustix::event::PollFlags::OUT)];
                if rustix::event::poll(&mut wait, Some(&timeout))? == 0 {
                    return Err("the server does not read".into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// TLS 1.3 by ring that takes any certificate: the servers are on this machine, and what the client
/// computes is not measured. `own` are the files of a certificate of the client and its key, in PEM.
pub(crate) fn tls_config(own: Option<[&Path; 2]>) -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let config = match own {
        None => config.with_no_client_auth(),
        Some([certificate, key]) => config.with_client_auth_cert(
            vec![CertificateDer::from_pem_file(certificate)?],
            PrivateKeyDer::from_pem_file(key)?,
        )?,
    };
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
