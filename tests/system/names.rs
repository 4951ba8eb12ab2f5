//! Names of the certificate that the server makes, in a network whose addresses change.

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;

use friendlet::net::tls::{Names, public_key};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::ctl::Person;
use crate::support::device::ADMIN;
use crate::support::namespaces::{ip, run_alone};
use crate::support::wait::until;
use crate::support::{Device, Server};

/// Device that is reached at every address of its machine, the host `wall`.
fn device() -> Device {
    rustix::system::sethostname(b"wall").unwrap();
    Device { address: "0.0.0.0:0".to_owned(), ..Device::new() }
}

/// The certificate in the state directory.
fn stored(server: &Server) -> CertificateDer<'static> {
    let file = server.directory().file("state/tls/certificate.pem");
    CertificateDer::from_pem_slice(&fs::read(file).unwrap()).unwrap()
}

fn names(server: &Server) -> String {
    Names::of(&stored(server)).to_string()
}

/// Connects as a client that trusts this certificate alone, and that knows the server by this name. Returns the
/// certificate that it was shown, if that is for the name.
fn verified(
    server: &Server,
    trusted: CertificateDer<'static>,
    name: &str,
) -> Option<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = if name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_ipv4()) {
        name
    } else {
        "127.0.0.1"
    };
    let mut socket = TcpStream::connect((host, server.address().port())).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    while client.is_handshaking() {
        client.complete_io(&mut socket).ok()?;
    }
    client.peer_certificates().and_then(|chain| chain.first().cloned().map(CertificateDer::into_owned))
}

#[test]
fn certificate_has_the_names_by_which_people_reach_the_machine() {
    run_alone(|| {
        ip(&["address", "add", "192.0.2.7/24", "dev", "lo"]);
        // Without the look for another host that has it.
        ip(&["address", "add", "fd00::7/64", "dev", "lo", "nodad"]);
        let server = Server::start(&device().listen("public_url = 'https://panel.example/board'\n"));
        let expected = "localhost, wall, wall.local, panel.example, 127.0.0.1, ::1, 192.0.2.7, fd00::7";
        assert_eq!(names(&server), expected);
        let status = server.call("board/status");
        assert!(status.contains(&format!(r#""CertificateNames": "{expected}""#)), "{status}");
        assert!(status.contains("system calls"), "the server is confined: {status}");
        for name in ["192.0.2.7", "wall.local", "wall", "localhost", "panel.example", "fd00::7"] {
            assert!(verified(&server, stored(&server), name).is_some(), "{name}");
        }
        for name in ["192.0.2.8", "floor.local"] {
            assert!(verified(&server, stored(&server), name).is_none(), "{name}");
        }
    });
}

#[test]
fn certificate_gets_an_address_that_comes_later_and_clients_that_know_its_key_notice_nothing() {
    run_alone(|| {
        let mut device = device();
        let server = Server::start(&device);
        let first = stored(&server);
        let person = Person::new(&server);
        person.done(&["--session", ADMIN, "list"]);
        let mut socket = server.bound(ADMIN);

        ip(&["address", "add", "192.0.2.7/24", "dev", "lo"]);
        until("its name", || names(&server).ends_with("::1, 192.0.2.7"));
        let second = stored(&server);
        assert_eq!(public_key(&second), public_key(&first));
        until("it is in force", || verified(&server, second.clone(), "192.0.2.7").is_some());
        assert_eq!(verified(&server, second.clone(), "wall.local"), Some(second.clone()));
        // A client of rustls that trusts the first one knows its key.
        assert_eq!(verified(&server, first, "192.0.2.7"), Some(second.clone()));
        let run = person.ctl(&["--session", ADMIN, "board"]);
        assert!(run.code == Some(0) && run.stderr.is_empty(), "{run:?}");
        assert!(
            run.stdout.contains("certified for  localhost, wall, wall.local, 127.0.0.1, ::1, 192.0.2.7\n")
        );
        socket.service("start", "allowed");
        let log = server.log();
        let record =
            "is renewed with the same key, for localhost, wall, wall.local, 127.0.0.1, ::1, 192.0.2.7";
        assert_eq!(log.matches(record).count(), 1, "{log}");

        // An address that goes and comes changes nothing, and another one waits. A reload does not.
        ip(&["address", "del", "192.0.2.7/24", "dev", "lo"]);
        ip(&["address", "add", "192.0.2.8/24", "dev", "lo"]);
        let answer = server.call("board/reload");
        assert!(answer.contains(r#""Status": "ok""#), "{answer}");
        until("the other name", || names(&server).ends_with("::1, 192.0.2.8, 192.0.2.7"));
        let third = stored(&server);
        assert_eq!(public_key(&third), public_key(&second));
        until("it is in force", || verified(&server, third.clone(), "192.0.2.8") == Some(third.clone()));

        device.address = server.address().to_string();
        let server = Server::start_in(server.stop(), &device);
        assert_eq!(stored(&server), third);
        let [pem, copy] = ["", ".copy"]
            .map(|suffix| fs::read(server.directory().file(&format!("state/tls/certificate.pem{suffix}"))));
        assert_eq!(pem.unwrap(), copy.unwrap());
    });
}
