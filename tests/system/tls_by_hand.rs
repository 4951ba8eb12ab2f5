//! A client of TLS made by hand: handshakes that are legal and unusual, and an alert that arrives for those
//! that are not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use crate::support::by_hand::{
    ALERT, ALPN, ByHand, CHANGE_CIPHER_SPEC, CONTENT_BYTES, DATA, HANDSHAKE, Hello, extension, list, record,
};
use crate::support::wait::SOON;
use crate::support::{Device, Server};

/// Alerts (RFC 8446, 6).
const CLOSE_NOTIFY: u8 = 0;
const UNEXPECTED_MESSAGE: u8 = 10;
const BAD_RECORD_MAC: u8 = 20;
const RECORD_OVERFLOW: u8 = 22;
const DECODE_ERROR: u8 = 50;
const PROTOCOL_VERSION: u8 = 70;
const MISSING_EXTENSION: u8 = 109;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Early data of a session with another server.
const RESUMPTION: Hello<'_> = Hello { early_data: true, resumes: true, lacks_key: false, extensions: &[] };

/// A record that the server has no key for.
fn sealed_otherwise(length: usize) -> Vec<u8> {
    record(DATA, &vec![0xab; length + 17])
}

/// A connection to the server.
pub(super) struct Talk {
    pub(super) stream: TcpStream,
    pub(super) client: ByHand,
}

impl Talk {
    fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, client: ByHand::new() }
    }

    /// Sends a hello, and what `more` is behind it.
    fn hello(&mut self, hello: Hello<'_>, more: &[u8]) {
        let bytes = [record(HANDSHAKE, &self.client.hello(hello)), more.to_vec()].concat();
        self.stream.write_all(&bytes).unwrap();
    }

    /// Waits for the server's flight.
    #[track_caller]
    pub(super) fn greet(server: &Server, hello: Hello<'_>, more: &[u8]) -> Self {
        let mut talk = Self::new(server);
        talk.hello(hello, more);
        talk.read_until(|client| client.is_ready);
        talk
    }

    #[track_caller]
    fn read_until(&mut self, is_so: fn(&ByHand) -> bool) {
        let mut bytes = [0; 4096];
        while !is_so(&self.client) {
            let count = self.stream.read(&mut bytes).unwrap();
            assert!(count > 0, "the server has hung up");
            assert_eq!(self.client.receive(&bytes[..count]), []);
        }
    }

    /// Ends the handshake, with this padding, and sends a request.
    fn request(&mut self, padding: usize) {
        let finished = self.client.finished();
        let mut bytes = self.client.seal(HANDSHAKE, &finished, padding);
        self.client.finish();
        bytes.extend(self.client.seal(DATA, REQUEST, 0));
        self.stream.write_all(&bytes).unwrap();
    }

    /// Reads up to the end, which is none by a reset. Returns the records without those of the handshake.
    #[track_caller]
    fn rest(&mut self) -> Vec<(u8, Vec<u8>)> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).unwrap();
        self.client.receive(&bytes)
    }

    /// Checks that an answer comes, and the end of it.
    #[track_caller]
    fn expect_answer(&mut self) {
        let records = self.rest();
        let (last, answer) = records.split_last().expect("an answer");
        assert_eq!(*last, (ALERT, vec![1, CLOSE_NOTIFY]));
        let answer: Vec<u8> = answer.iter().flat_map(|(_, content)| content.clone()).collect();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    }

    /// Sends `bytes`, and much behind them that the server does not want; checks that its alert arrives.
    #[track_caller]
    fn expect_refusal(mut self, bytes: &[u8], alert: u8) {
        let mut stream = self.stream.try_clone().unwrap();
        let bytes = [bytes, &[7; 600_000]].concat();
        let writer = thread::spawn(move || stream.write_all(&bytes));
        assert_eq!(self.rest(), [(ALERT, vec![2, alert])]);
        writer.join().unwrap().unwrap();
    }
}

#[test]
fn padded_handshake_is_answered() {
    let server = Server::start(&Device::new());
    for padding in [0, 300, 9000, CONTENT_BYTES - 36] {
        let mut talk = Talk::greet(&server, Hello::default(), &[]);
        talk.request(padding);
        talk.expect_answer();
    }
}

#[test]
fn early_data_of_another_session_are_skipped() {
    let server = Server::start(&Device::new());
    let early = [sealed_otherwise(CONTENT_BYTES), sealed_otherwise(8000)].concat();
    let mut talk = Talk::greet(&server, RESUMPTION, &[record(CHANGE_CIPHER_SPEC, &[1]), early].concat());
    talk.request(0);
    talk.expect_answer();
}

#[test]
fn early_data_before_another_hello_are_skipped() {
    let server = Server::start(&Device::new());
    let mut talk = Talk::new(&server);
    let early = [sealed_otherwise(CONTENT_BYTES), sealed_otherwise(8000)].concat();
    talk.hello(Hello { lacks_key: true, ..RESUMPTION }, &early);
    talk.read_until(|client| client.is_retried);
    talk.hello(Hello { early_data: false, ..RESUMPTION }, &[]);
    talk.read_until(|client| client.is_ready);
    talk.request(0);
    talk.expect_answer();
    // Those behind the second hello are not.
    let mut talk = Talk::new(&server);
    talk.hello(Hello { lacks_key: true, ..RESUMPTION }, &sealed_otherwise(100));
    talk.read_until(|client| client.is_retried);
    talk.hello(Hello { early_data: false, ..RESUMPTION }, &[]);
    talk.read_until(|client| client.is_ready);
    talk.expect_refusal(&sealed_otherwise(64), BAD_RECORD_MAC);
}

#[test]
fn records_without_data_and_with_much_padding_are_accepted() {
    let server = Server::start(&Device::new());
    let mut talk = Talk::greet(&server, Hello::default(), &[]);
    let finished = talk.client.finished();
    let mut bytes = talk.client.seal(HANDSHAKE, &finished, 0);
    talk.client.finish();
    for piece in REQUEST.chunks(20) {
        bytes.extend(talk.client.seal(DATA, &[], CONTENT_BYTES));
        bytes.extend(talk.client.seal(DATA, piece, CONTENT_BYTES - piece.len()));
    }
    talk.stream.write_all(&bytes).unwrap();
    talk.expect_answer();
}

#[test]
fn client_of_unknown_protocols_is_accepted() {
    let server = Server::start(&Device::new());
    let protocols = extension(ALPN, &list(b"\x02h2\x08http/1.1\x07unknown"));
    let mut talk = Talk::greet(&server, Hello { extensions: &protocols, ..Hello::default() }, &[]);
    talk.request(0);
    talk.expect_answer();
}

#[test]
fn hello_that_is_refused_is_answered_with_an_alert() {
    let server = Server::start(&Device::new());
    let many = |count: u16| -> Vec<u8> {
        let extensions: Vec<u8> = (0..count).flat_map(|number| extension(0x5000 + number, &[])).collect();
        record(HANDSHAKE, &ByHand::new().hello(Hello { extensions: &extensions, ..Hello::default() }))
    };
    // A client of TLS 1.2 does not send supported_versions, an older one no signature_algorithms either.
    let hello = record(HANDSHAKE, &ByHand::new().hello(Hello::default()));
    let without = |hello: &[u8], kind: u8| {
        let at = hello.windows(3).position(|bytes| bytes == [0, kind, 0]).unwrap();
        [&hello[..at], &[0x99], &hello[at + 1..]].concat()
    };
    let old = without(&hello, 43);
    let mut oldest = without(&old, 13);
    oldest[10] = 1;
    // The header of a long record alone is refused at once: nothing more need come.
    for (hello, alert) in [
        (old, PROTOCOL_VERSION),
        (oldest, PROTOCOL_VERSION),
        (without(&hello, 13), MISSING_EXTENSION),
        (many(2500), DECODE_ERROR),
        (many(4500), RECORD_OVERFLOW),
        (many(2500)[..5].to_vec(), DECODE_ERROR),
        (record(HANDSHAKE, &[20, 0, 0, 0]), UNEXPECTED_MESSAGE),
        (record(DATA, &[0; 300]), UNEXPECTED_MESSAGE),
    ] {
        Talk::new(&server).expect_refusal(&hello, alert);
    }
}

#[test]
fn sealed_handshake_that_is_refused_is_answered_with_an_alert() {
    let server = Server::start(&Device::new());
    type Make = fn(&mut ByHand) -> Vec<u8>;
    let cases: [(&str, Make, u8); 8] = [
        ("a record that cannot be opened", |_| sealed_otherwise(16_000), BAD_RECORD_MAC),
        ("empty data", |client| client.seal(DATA, &[], 0), UNEXPECTED_MESSAGE),
        ("empty data with much padding", |client| client.seal(DATA, &[], CONTENT_BYTES), UNEXPECTED_MESSAGE),
        ("too much padding", |client| client.seal(HANDSHAKE, &client.finished(), 16_587), RECORD_OVERFLOW),
        (
            "a record longer than any may be",
            |client| client.seal(HANDSHAKE, &client.finished(), 16_588),
            RECORD_OVERFLOW,
        ),
        (
            "a long message",
            |client| client.seal(HANDSHAKE, &[&[20, 0, 63, 252], &[0; 16_380][..]].concat(), 0),
            DECODE_ERROR,
        ),
        (
            "a message in many records",
            |client| (0..300).flat_map(|_| client.seal(HANDSHAKE, &[20; 20], 0)).collect(),
            DECODE_ERROR,
        ),
        (
            "data within a message",
            |client| [client.seal(HANDSHAKE, &[20, 0], 0), client.seal(DATA, &[1], 0)].concat(),
            UNEXPECTED_MESSAGE,
        ),
    ];
    for (name, make, alert) in cases {
        println!("{name}");
        let mut talk = Talk::greet(&server, Hello::default(), &[]);
        let bytes = make(&mut talk.client);
        talk.expect_refusal(&bytes, alert);
    }
}

#[test]
fn record_that_is_refused_after_the_handshake_is_answered_with_an_alert() {
    let server = Server::start(&Device::new());
    for hello in [Hello::default(), RESUMPTION] {
        let mut talk = Talk::greet(&server, hello, &[]);
        let finished = talk.client.finished();
        let mut bytes = talk.client.seal(HANDSHAKE, &finished, 0);
        talk.client.finish();
        bytes.extend(sealed_otherwise(16_000));
        talk.expect_refusal(&bytes, BAD_RECORD_MAC);
    }
}
