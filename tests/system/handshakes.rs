//! Memory of TLS while a client's handshake is read and while it goes on, against the limits of the
//! budget.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};
use friendlet::net::tls::{
    TLS_CLIENT_CERTIFICATES, TLS_CLIENT_CHAIN_BYTES, TLS_CLIENT_HEAP_BYTES, TLS_HANDSHAKE_BYTES,
    TLS_HEAP_BYTES, TLS_PARSE_BYTES,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::tls::identity;
use super::tls_by_hand::Talk;
use crate::support::by_hand::{CONTENT_BYTES, HANDSHAKE, Hello};
use crate::support::device::ADMIN;
use crate::support::directory::Directory;
use crate::support::server::Allocations;
use crate::support::stream::Stream;
use crate::support::tls::{Identity, client_hello};
use crate::support::wait::until;
use crate::support::{Device, Server};

const CLIENTS: usize = 16;

/// Extensions (RFC 8446, 4.2).
const ALPN: u16 = 16;
const PADDING: u16 = 21;
const PRE_SHARED_KEY: u16 = 41;
const CERTIFICATE_AUTHORITIES: u16 = 47;
const KEY_SHARE: u16 = 51;

fn two(number: usize) -> [u8; 2] {
    u16::try_from(number).unwrap().to_be_bytes()
}

/// A list with its length of two bytes in front.
fn list(body: &[u8]) -> Vec<u8> {
    [&two(body.len())[..], body].concat()
}

fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &list(body)].concat()
}

/// The body of a hello up to its extensions, and these, of a hello in one record.
fn parts(hello: &[u8]) -> (&[u8], &[u8]) {
    let session = 9 + 34;
    let suites = session + 1 + usize::from(hello[session]);
    let compressions = suites + 2 + usize::from(u16::from_be_bytes([hello[suites], hello[suites + 1]]));
    let extensions = compressions + 1 + usize::from(hello[compressions]);
    (&hello[9..extensions], &hello[extensions + 2..])
}

/// A hello in one record.
fn hello(body: &[u8], extensions: &[u8]) -> Vec<u8> {
    let body = [body, &list(extensions)].concat();
    let message = [&[1, 0][..], &two(body.len()), &body].concat();
    [&[22, 3, 1][..], &list(&message)].concat()
}

/// As many bytes as an extension of `extensions` may have with the hello at its limit.
fn room(body: &[u8], extensions: &[u8]) -> usize {
    TLS_HANDSHAKE_BYTES - hello(body, &[extensions, &extension(0, &[])].concat()).len()
}

/// Hellos as long as may be, of what takes more memory when read than on the wire.
fn swelling() -> Vec<(String, Vec<u8>)> {
    let real = client_hello();
    let (real_body, real_extensions) = parts(&real);
    // Of a version alone and one suite, without what a handshake needs.
    let bare = [&[3, 3][..], &[9; 32], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    let mut hellos = Vec::new();
    for (name, body, extensions) in [("real", real_body, real_extensions), ("bare", &bare, &[][..])] {
        let room = room(body, extensions);
        let lists: [(&str, u16, Vec<u8>); 5] = [
            ("protocols of one letter", ALPN, list(&[1, b'a'].repeat((room - 2) / 2))),
            ("keys of one byte", KEY_SHARE, list(&[0x99, 0x99, 0, 1, 7].repeat((room - 2) / 5))),
            ("authorities of one byte", CERTIFICATE_AUTHORITIES, list(&[0, 1, 7].repeat((room - 2) / 3))),
            (
                "binders of one byte",
                PRE_SHARED_KEY,
                [list(&[0, 1, 7, 0, 0, 0, 0]), list(&[1, 7].repeat((room - 11) / 2))].concat(),
            ),
            (
                "old keys of one byte",
                PRE_SHARED_KEY,
                [list(&[0, 1, 7, 0, 0, 0, 0].repeat((room - 4) / 9)), list(&[1, 7].repeat((room - 4) / 9))]
                    .concat(),
            ),
        ];
        for (what, kind, body_of) in lists {
            let hello = hello(body, &[extensions, &extension(kind, &body_of)].concat());
            assert!(
                (TLS_HANDSHAKE_BYTES - 10..=TLS_HANDSHAKE_BYTES).contains(&hello.len()),
                "{}",
                hello.len()
            );
            hellos.push((format!("{name}, {what}"), hello));
        }
        let unknown: Vec<u8> =
            (0..room / 4).flat_map(|number| extension(0x5000 + number as u16, &[])).collect();
        hellos.push((format!("{name}, unknown extensions"), hello(body, &[extensions, &unknown].concat())));
    }
    hellos
}

#[test]
fn reading_a_hello_of_any_shape_holds_its_limit() {
    let mut server = Server::start_counting(&Device::new());
    drop(Stream::tls(server.address()));
    let mut largest = 0;
    for (name, hello) in swelling() {
        let before = server.allocations();
        let mut stream = Stream::plain(server.address());
        stream.write_all(&hello).unwrap();
        // Whether it is refused or answered: it was read.
        assert!(stream.read(&mut [0; 1]).is_ok_and(|count| count == 1), "{name}");
        let taken = server.allocations().most - before.bytes;
        println!("{name}: {taken} bytes for {}", hello.len());
        assert!(taken <= TLS_PARSE_BYTES + TLS_HEAP_BYTES, "{name}: {taken} bytes");
        largest = largest.max(taken);
        // Sealed, in place of the last message.
        let mut talk = Talk::greet(&server, Hello::default(), &[]);
        let message = &hello[5..];
        let sealed = talk.client.seal(HANDSHAKE, message, CONTENT_BYTES - message.len());
        let before = server.allocations();
        talk.stream.write_all(&sealed).unwrap();
        assert!(talk.stream.read(&mut [0; 1]).is_ok_and(|count| count == 1), "{name}");
        let taken = server.allocations().most - before.bytes;
        println!("{name}, sealed: {taken} bytes");
        assert!(taken <= TLS_PARSE_BYTES, "{name}, sealed: {taken} bytes");
    }
    // A limit that is far off would be none.
    assert!(largest > TLS_PARSE_BYTES / 2, "{largest} bytes of {TLS_PARSE_BYTES}");
}

/// A hello without a key of a group that the server has, so that another is asked for.
fn hello_to_retry() -> Vec<u8> {
    let mut hello = client_hello();
    let at = hello.windows(2).rposition(|pair| pair == KEY_SHARE.to_be_bytes()).unwrap();
    hello[at + 6..at + 8].copy_from_slice(&[0x99, 0x99]);
    hello
}

/// Returns the allocated bytes of an idle server.
fn at_rest(server: &mut Server) -> usize {
    let mut last: Option<Allocations> = None;
    let mut bytes = 0;
    until("the server rests", || {
        let now = server.allocations();
        let rests = last.is_some_and(|last| last.total == now.total);
        (last, bytes) = (Some(now), now.bytes);
        thread::sleep(Duration::from_millis(200));
        rests
    });
    bytes
}

/// Returns the allocated bytes for one client, the mean of several that `connect` makes.
fn held(server: &mut Server, connect: impl Fn(&Server) -> Stream) -> usize {
    let before = at_rest(server);
    let clients: Vec<Stream> = (0..CLIENTS).map(|_| connect(server)).collect();
    let after = at_rest(server);
    drop(clients);
    (after - before) / CLIENTS
}

/// Sends `flight` and waits for an answer where there is one.
fn begin(server: &Server, flight: &[u8], has_answer: bool) -> Stream {
    let mut stream = Stream::plain(server.address());
    stream.write_all(flight).unwrap();
    if has_answer {
        stream.read_exact(&mut [0; 1]).unwrap();
    }
    stream
}

/// A hello as long as may be.
fn long_hello() -> Vec<u8> {
    let real = client_hello();
    let (body, extensions) = parts(&real);
    let padding = extension(PADDING, &vec![0; room(body, extensions)]);
    hello(body, &[extensions, &padding].concat())
}

#[test]
fn handshake_without_end_holds_its_limit() {
    let mut server = Server::start_counting(&Device::new());
    drop(Stream::tls(server.address()));
    let (hello, long) = (client_hello(), long_hello());
    for (name, flight, has_answer) in [
        ("half a hello", &hello[..hello.len() - 1], false),
        ("half a long hello", &long[..long.len() - 1], false),
        ("hello", &hello, true),
        ("long hello", &long, true),
        ("hello without a key", &hello_to_retry(), true),
    ] {
        let held = held(&mut server, |server| begin(server, flight, has_answer));
        println!("{name}: {held} bytes");
        assert!((500..=TLS_HEAP_BYTES).contains(&held), "{name}: {held} bytes of {TLS_HEAP_BYTES}");
    }
    let held = held(&mut server, |server| Stream::tls(server.address()));
    println!("handshake that is done: {held} bytes");
    assert!((500..=TLS_HEAP_BYTES).contains(&held), "{held} bytes of {TLS_HEAP_BYTES}");
}

#[test]
fn handshake_with_certificates_of_clients_holds_its_limit() {
    let directory = Directory::new();
    let (authority, ..) = identity(true);
    let listen = format!("client_ca = \"{}\"\n", directory.write("ca.pem", authority.certificate));
    let mut server = Server::start_counting(&Device::new().listen(&listen));
    let limit = TLS_HEAP_BYTES + TLS_CLIENT_HEAP_BYTES;
    for flight in [client_hello(), long_hello()] {
        let held = held(&mut server, |server| begin(server, &flight, true));
        println!("hello of {} bytes: {held} bytes", flight.len());
        assert!((500..=limit).contains(&held), "{held} bytes of {limit}");
    }
}

#[test]
fn handshake_that_asks_for_a_certificate_holds_its_limit() {
    let mut server = Server::start_counting(&Device::new());
    let opened = server.post("/system.library/board/pair", &format!("sessionid={ADMIN}&username=guest"));
    assert!(opened.body.contains("\"ok\""), "{opened:?}");
    // Its messages are not kept, as they would be for a client of TLS 1.2.
    let long = held(&mut server, |server| begin(server, &long_hello(), true));
    println!("long hello: {long} bytes");
    assert!((500..=TLS_HEAP_BYTES).contains(&long), "{long} bytes of {TLS_HEAP_BYTES}");
    let (mut shown, ..) = identity(false);
    let length = CertificateDer::from_pem_slice(shown.certificate.as_bytes()).unwrap().len();
    // Many small certificates, which are refused once they are read, take no more than a hello.
    let small = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
    let many = (TLS_HANDSHAKE_BYTES - length - 256) / 6;
    let many = Identity { certificate: shown.certificate.clone() + &small.repeat(many), ..shown.clone() };
    let before = server.allocations();
    let socket = TcpStream::connect(server.address()).unwrap();
    let refused = Stream::try_tls(socket, Some(&many)).map(|mut stream| stream.read(&mut [0; 1]));
    assert!(!matches!(refused, Ok(Ok(1..))), "{refused:?}");
    let taken = server.allocations().most - before.bytes;
    println!("many certificates of a client: {taken} bytes");
    assert!((TLS_HANDSHAKE_BYTES..=TLS_PARSE_BYTES + TLS_HEAP_BYTES).contains(&taken), "{taken} bytes");
    // As many certificates as may be, in a message as long as may be.
    let others = TLS_CLIENT_CERTIFICATES - 1;
    let each = (TLS_HANDSHAKE_BYTES - length - 256) / others;
    let other = BASE64.encode(vec![7; each]);
    let other = format!("-----BEGIN CERTIFICATE-----\n{other}\n-----END CERTIFICATE-----\n");
    shown.certificate += &other.repeat(others);
    let connect = |server: &Server| {
        let socket = TcpStream::connect(server.address()).unwrap();
        let mut stream = Stream::try_tls(socket, Some(&shown)).unwrap();
        // The server has read its last message when it answers.
        stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
        stream
    };
    let done = held(&mut server, connect);
    println!("certificates of a client: {done} bytes");
    let limit = TLS_HEAP_BYTES + TLS_CLIENT_CHAIN_BYTES;
    assert!((TLS_HANDSHAKE_BYTES / 2..=limit).contains(&done), "{done} bytes of {limit}");
    let log = server.log();
    assert_eq!(log.matches("TLS: ").count(), 1, "{log}");
}
