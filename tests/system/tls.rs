//! TLS: the generated key and certificate, the owner's, mutual TLS, and plain text on a TLS port.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::support::device::ADMIN;
use crate::support::directory::Directory;
use crate::support::http::{Response, exchange};
use crate::support::server::run;
use crate::support::stream::Stream;
use crate::support::tls::{Identity, client_hello};
use crate::support::wait::{SOON, until};
use crate::support::ws::Socket;
use crate::support::{Device, Server, process};

/// The certificate the server shows, in DER.
fn shown(server: &Server) -> Vec<u8> {
    let Stream::Tls(stream) = server.connect() else { panic!("no TLS") };
    stream.conn.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn first_start_creates_a_private_key_file() {
    let server = Server::start(&Device::new());
    let key = server.directory().file("state/tls/key.pem");
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&key), 0o600);
    assert!(fs::read_to_string(&key).unwrap().contains("PRIVATE KEY"));
    assert_eq!(mode(&server.directory().file("state/tls")) & 0o077, 0, "the directory too");
    let certificate = shown(&server);

    // The next start takes what is there.
    let server = Server::start_in(server.stop(), &Device::new());
    assert_eq!(shown(&server), certificate);
    // Another device has another.
    assert_ne!(shown(&Server::start(&Device::new())), certificate);
}

#[test]
fn the_protocol_is_1_3_alone() {
    let server = Server::start(&Device::new());
    let Stream::Tls(stream) = server.connect() else { panic!("no TLS") };
    assert_eq!(stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert!(stream.conn.negotiated_cipher_suite().is_some());
}

/// A self-signed certificate for a server or an authority.
pub(super) fn identity(is_authority: bool) -> (Identity, CertificateParams, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let certificate = params.self_signed(&key).unwrap();
    (Identity { certificate: certificate.pem(), key: key.serialize_pem() }, params, key)
}

/// A client's certificate, signed by the authority.
fn signed_by(authority: &(Identity, CertificateParams, KeyPair)) -> Identity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["client".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let issuer = Issuer::from_params(&authority.1, &authority.2);
    let certificate = params.signed_by(&key, &issuer).unwrap();
    Identity { certificate: certificate.pem(), key: key.serialize_pem() }
}

#[test]
fn named_certificate_is_used() {
    let directory = Directory::new();
    let (own, ..) = identity(false);
    let listen = format!(
        "certificate = \"{}\"\nkey = \"{}\"\n",
        directory.write("own.pem", &own.certificate),
        directory.write("own.key", &own.key)
    );
    let device = Device::new().listen(&listen);
    let server = Server::start(&device);
    assert_eq!(shown(&server), der(&own.certificate));

    // Named and not there, it is an error and no reason to make another.
    fs::remove_file(directory.file("own.key")).unwrap();
    let stopped = server.stop();
    let file = stopped.file("friendlet.toml");
    let run = run(&["serve", "--config", &file], "");
    assert!(run.code.is_some_and(|code| code != 0), "{run:?}");
    assert!(run.stderr.contains("own.key"), "{run:?}");
}

/// PEM of a certificate of this key that is valid from 1975 to this time since 1970.
fn until_time(key: &KeyPair, unix_s: u64) -> String {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(unix_s);
    params.self_signed(key).unwrap().pem()
}

#[test]
fn certificate_that_nears_its_end_is_reported_while_the_server_runs() {
    let month = 30 * 86_400;
    let directory = Directory::new();
    let key = KeyPair::generate().unwrap();
    let now = || friendlet::wall_clock::now().as_secs();
    let write = |unix_s| directory.write("own.pem", until_time(&key, unix_s));
    let own = write(now() + 2 * month);
    let key_file = directory.write("own.key", key.serialize_pem());
    let server =
        Server::start(&Device::new().listen(&format!("certificate = '{own}'\nkey = '{key_file}'\n")));
    let mut socket = server.bound(ADMIN);
    let reload = |unix_s| {
        write(unix_s);
        let answer = server.call("board/reload");
        assert!(answer.contains(r#""Status": "ok""#), "{answer}");
    };
    let has_notice = |text: &str| server.call("board/status").contains(&format!(r#""Certificate": "{text}"#));
    let soon = format!("{own}: this certificate expires within 30 days, on ");
    let end = now() + month + 5;
    reload(end);
    let start = Instant::now();
    assert!(has_notice("\""), "more than 30 days are left");
    assert!(socket.push("server-notice").contains(&soon));
    assert!(start.elapsed() < friendlet::ws::PING_INTERVAL, "with the look, not with a ping");
    assert!(has_notice(&soon));
    // The same certificate again.
    reload(end);
    let log = server.log();
    assert_eq!(log.matches(&soon).count(), 1, "{log}");
    reload(now() - 1);
    let over = format!("{own}: this certificate has expired on ");
    assert!(socket.push("server-notice").contains(&over));
    reload(now() + 2 * month);
    until("it is gone", || has_notice("\""));
}

fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[test]
fn client_ca_accepts_certificates_of_its_authority() {
    let directory = Directory::new();
    let authority = identity(true);
    let listen = format!("client_ca = \"{}\"\n", directory.write("ca.pem", &authority.0.certificate));
    let server = Server::start(&Device::new().listen(&listen));
    let connect = |identity: Option<&Identity>| {
        let mut stream = Stream::try_tls(TcpStream::connect(server.address()).unwrap(), identity).ok()?;
        // In TLS 1.3 a client learns that it is refused with the first read.
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        let mut answer = Vec::new();
        let start = Instant::now();
        while start.elapsed() < SOON {
            match stream.read_some(&mut answer, SOON) {
                Ok(crate::support::stream::ReadOutcome::Bytes) => {}
                Ok(_) | Err(_) => break,
            }
        }
        (!answer.is_empty()).then_some(answer)
    };
    let signed = signed_by(&authority);
    assert!(connect(Some(&signed)).is_some_and(|answer| answer.starts_with(b"HTTP/1.1 200")));
    assert!(connect(None).is_none(), "nobody without a certificate");
    let stranger = signed_by(&identity(true));
    assert!(connect(Some(&stranger)).is_none(), "nobody of another authority");
    // And over a WebSocket.
    let stream = Stream::try_tls(TcpStream::connect(server.address()).unwrap(), Some(&signed)).unwrap();
    let mut socket = Socket::open(stream);
    socket.bind(ADMIN);
}

#[test]
fn plain_http_is_answered_with_the_https_address() {
    let server = Server::start(&Device::new());
    for request in
        ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /system.library/login HTTP/1.1\r\n\r\n"]
    {
        let answer = Response::parse(&exchange(Stream::plain(server.address()), request.as_bytes()));
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("https"), "{answer:?}");
    }
}

#[test]
fn garbage_is_refused() {
    let server = Server::start(&Device::new());
    let idle = process::descriptors(server.pid());
    let mut broken_hello = client_hello();
    for byte in &mut broken_hello[5..] {
        *byte = !*byte;
    }
    let mut long_record = vec![0x16, 3, 1, 0xff, 0xff];
    long_record.resize(70_000, 0);
    for bytes in [&[0x16][..], &[0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5], &broken_hello, &long_record, &[0x16; 400]]
    {
        let start = Instant::now();
        let mut stream = Stream::plain(server.address());
        let _ = stream.write_all(bytes);
        stream.end_writing();
        let answer = stream.read_to_end_within(SOON);
        // An alert, or nothing at all.
        assert!(answer.is_empty() || answer[0] == 0x15, "{answer:?}");
        // Refused, and not waited for.
        assert!(start.elapsed() < friendlet::connection::HEAD_TIMEOUT);
    }
    until("all descriptors are closed", || process::descriptors(server.pid()) <= idle);
    let mut socket = server.bound(ADMIN);
    socket.service("start", "hello");
}

#[test]
fn messages_larger_than_a_record_pass() {
    let server = Server::start(&Device::new());
    let mut socket = server.bound(ADMIN);
    let filler = "x".repeat(60_000);
    let data = format!(r#"{{"filler":"{filler}"}}"#);
    let answer = socket.call(&crate::support::ws::request("r", "services/hello/start", &data, ADMIN));
    assert!(answer.contains(r#"{ "Status": "ok"}"#), "{answer}");
}
