//! Log servers: a socket for datagrams, and TLS with a certificate of an authority of its own.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _};
use ring::digest::{SHA256, digest};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustls::crypto::ring as provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned, version::TLS13};

/// A message, read by the grammar of RFC 5424, section 6.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) priority: u8,
    pub(crate) time: String,
    pub(crate) host: String,
    pub(crate) name: String,
    pub(crate) process: String,
    pub(crate) id: String,
    pub(crate) data: String,
    pub(crate) text: String,
}

impl Message {
    /// Panics if the bytes are not a message.
    #[track_caller]
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let wrong = |what: &str| -> ! { panic!("{what}: {:?}", String::from_utf8_lossy(bytes)) };
        let text = std::str::from_utf8(bytes).unwrap_or_else(|_| wrong("not UTF-8"));
        // HEADER = PRI VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID
        let mut parts = text.splitn(7, ' ');
        let mut part = || parts.next().unwrap_or_else(|| wrong("a field is missing")).to_owned();
        let [head, time, host, name, process, id, rest] = std::array::from_fn(|_| part());
        let priority = head.strip_prefix('<').and_then(|head| head.strip_suffix(">1"));
        let priority = priority.unwrap_or_else(|| wrong("priority or version"));
        let is_number =
            !priority.is_empty() && priority.len() <= 3 && (priority == "0" || !priority.starts_with('0'));
        let priority = priority.parse().ok().filter(|priority| is_number && *priority <= 191);
        let priority = priority.unwrap_or_else(|| wrong("priority"));
        for (field, most) in [(&host, 255), (&name, 48), (&process, 128), (&id, 32)] {
            let is_printable = field.bytes().all(|byte| (33..=126).contains(&byte));
            if field.is_empty() || field.len() > most || !is_printable {
                wrong("a field of the header");
            }
        }
        // FULL-DATE "T" TIME-HOUR ":" TIME-MINUTE ":" TIME-SECOND [TIME-SECFRAC] "Z"
        let form: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        if time != "-" && form != "0000-00-00T00:00:00.000Z" {
            wrong("time");
        }
        // One element of structured data, whose values have nothing to escape.
        let end = rest.find(']').unwrap_or_else(|| wrong("structured data"));
        let (data, text) = rest.split_at(end + 1);
        if !data.starts_with('[') || data.matches('"').count() % 2 != 0 {
            wrong("structured data");
        }
        let text = text.strip_prefix(' ').unwrap_or_else(|| wrong("text"));
        if !text.is_ascii() && !text.starts_with('\u{feff}') || text.chars().any(char::is_control) {
            wrong("text");
        }
        let (data, text) = (data.to_owned(), text.trim_start_matches('\u{feff}').to_owned());
        Self { priority, time, host, name, process, id, data, text }
    }
}

/// Messages that a log server has received.
#[derive(Debug, Default)]
struct Received {
    messages: Mutex<Vec<Message>>,
    has_ended: AtomicBool,
    connections: Mutex<usize>,
}

/// A log server, until it is dropped.
#[derive(Debug)]
pub(crate) struct LogServer {
    pub(crate) address: SocketAddr,
    received: Arc<Received>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Time after which a thread looks for the end of its log server.
const LOOK: Duration = Duration::from_millis(20);

impl LogServer {
    fn of(address: SocketAddr, run: impl FnOnce(&Received) + Send + 'static) -> Self {
        let received = Arc::new(Received::default());
        let theirs = Arc::clone(&received);
        let thread = Some(thread::spawn(move || run(&theirs)));
        Self { address, received, thread }
    }

    /// Receives datagrams.
    pub(crate) fn udp(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        Self::of(socket.local_addr().unwrap(), move |received| {
            let mut bytes = [0; 65_536];
            while !received.has_ended.load(Ordering::Relaxed) {
                if let Ok(count) = socket.recv(&mut bytes) {
                    received.messages.lock().unwrap().push(Message::parse(&bytes[..count]));
                }
            }
        })
    }

    /// Accepts connections with TLS, one at a time, and reads messages behind their length.
    pub(crate) fn tls(address: SocketAddr, pki: &Pki) -> Self {
        Self::with_tls(address, pki, true)
    }

    /// The same, and reads nothing after the handshake.
    pub(crate) fn silent(pki: &Pki) -> Self {
        Self::with_tls(SocketAddr::from(([127, 0, 0, 1], 0)), pki, false)
    }

    fn with_tls(address: SocketAddr, pki: &Pki, reads: bool) -> Self {
        let (listener, config) = (TcpListener::bind(address).unwrap(), pki.config());
        set_socket_recv_buffer_size(&listener, 4096).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self::of(listener.local_addr().unwrap(), move |received| {
            while !received.has_ended.load(Ordering::Relaxed) {
                let Ok((socket, _)) = listener.accept() else {
                    thread::sleep(LOOK);
                    continue;
                };
                socket.set_nonblocking(false).unwrap();
                socket.set_read_timeout(Some(LOOK)).unwrap();
                let mut stream =
                    StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket);
                serve(&mut stream, received, reads);
            }
        })
    }

    /// Messages so far.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.received.messages.lock().unwrap().clone()
    }

    /// Texts of the messages of a service.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let messages = self.messages().into_iter().filter(|message| message.name == name);
        messages.map(|message| message.text).collect()
    }

    /// Handshakes that were done.
    pub(crate) fn connections(&self) -> usize {
        *self.received.connections.lock().unwrap()
    }
}

impl Drop for LogServer {
    fn drop(&mut self) {
        self.received.has_ended.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking(), "a message is wrong");
    }
}

/// Reads messages until the end of a connection or of the log server.
fn serve(stream: &mut StreamOwned<ServerConnection, std::net::TcpStream>, received: &Received, reads: bool) {
    let (mut bytes, mut room) = (Vec::new(), [0; 4096]);
    let mut is_counted = false;
    while !received.has_ended.load(Ordering::Relaxed) {
        if !stream.conn.is_handshaking() && !is_counted {
            is_counted = true;
            *received.connections.lock().unwrap() += 1;
        }
        if is_counted && !reads {
            thread::sleep(LOOK);
            continue;
        }
        match stream.read(&mut room) {
            Ok(0) => return,
            Ok(count) => bytes.extend_from_slice(&room[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
        // MSG-LEN SP SYSLOG-MSG (RFC 5425, 4.3)
        while let Some(space) = bytes.iter().position(|byte| *byte == b' ') {
            let digits = std::str::from_utf8(&bytes[..space]).unwrap();
            assert!(!digits.starts_with('0'), "{digits}");
            let end = space + 1 + digits.parse::<usize>().unwrap();
            let Some(message) = bytes.get(space + 1..end) else { break };
            received.messages.lock().unwrap().push(Message::parse(message));
            bytes.drain(..end);
        }
    }
}

fn sha256(der: &[u8]) -> String {
    base16ct::lower::encode_string(digest(&SHA256, der).as_ref())
}

/// An authority, and a certificate of it.
#[derive(Debug)]
pub(crate) struct Pki {
    pub(crate) authority: String,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Pki {
    /// With these names or addresses in the certificate.
    pub(crate) fn new(names: &[&str]) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        params.distinguished_name.push(DnType::CommonName, sha256(&authority_key.subject_public_key_info()));
        let authority = params.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let of_server = CertificateParams::new(names).unwrap();
        let certificate = of_server.signed_by(&key, &Issuer::new(params, authority_key)).unwrap();
        Self { authority, certificate, key }
    }

    /// A certificate that is its own authority, as `openssl req -x509` makes it.
    pub(crate) fn of_its_own(names: &[&str]) -> Self {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { authority: certificate.pem(), certificate, key }
    }

    /// SHA-256 of the public key.
    pub(crate) fn fingerprint(&self) -> String {
        sha256(&self.key.subject_public_key_info())
    }

    fn config(&self) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.der().clone()], key);
        Arc::new(config.unwrap())
    }
}
