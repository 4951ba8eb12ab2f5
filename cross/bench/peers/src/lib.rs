//! Common parts of all peers: the command line, the TLS set-up, the limits; and the loop of those on
//! tokio.

pub mod on_tokio;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;

/// Error of a peer's start.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Bytes of a connection's read buffer, where the stack asks for a number.
pub const BUFFER_BYTES: usize = 1024;
/// The largest message, where the stack asks for a number: friendlet's.
pub const MESSAGE_BYTES: usize = 65536;

/// `--listen ADDRESS [--tls CERTIFICATE KEY]`.
#[derive(Debug)]
pub struct Arguments {
    pub listen: SocketAddr,
    /// PEM files of certificate and key.
    pub tls: Option<(PathBuf, PathBuf)>,
}

impl Arguments {
    /// Reads the command line.
    pub fn read() -> Result<Self, Error> {
        use lexopt::{Arg, ValueExt as _};
        let mut parser = lexopt::Parser::from_env();
        let (mut listen, mut tls) = (None, None);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("listen") => listen = Some(parser.value()?.parse()?),
                Arg::Long("tls") => tls = Some((parser.value()?.into(), parser.value()?.into())),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Self { listen: listen.ok_or("--listen ADDRESS is missing")?, tls })
    }

    /// As friendlet's: TLS 1.3 by ring, no tickets, nothing kept of a session.
    pub fn tls_config(&self) -> Result<Option<Arc<ServerConfig>>, Error> {
        let Some((certificate, key)) = &self.tls else { return Ok(None) };
        let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
        let key = PrivateKeyDer::from_pem_file(key)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Some(Arc::new(config)))
    }
}

/// Prints the address that the peer listens on, port 0 resolved.
pub fn report_address(address: SocketAddr) -> Result<(), Error> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "listening on {address}")?;
    Ok(output.flush()?)
}
