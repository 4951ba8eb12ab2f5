//! The kinds of floods.

use std::net::Ipv4Addr;

use super::SAME;
use crate::frame::{self, TEXT};
use crate::{Error, Options};

/// A flood: what each of its clients does, and how many there are. A client dials again whenever its connection
/// has ended.
#[derive(Debug)]
pub(super) struct Kind {
    name: &'static str,
    pub(super) clients: usize,
    /// Its addresses are this one and those that follow.
    pub(super) sources: u8,
    pub(super) opening: Opening,
    /// Sent once a TLS handshake is done.
    first: fn(&Options, u64) -> Vec<u8>,
    pub(super) then: Then,
    /// Clients that get as far as this flood goes, at least.
    pub(super) least: u64,
}

/// Beginning of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Opening {
    Nothing,
    /// Half of a ClientHello.
    HalfHello,
    Tls,
}

/// The rest of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Then {
    /// To read until the server ends the connection.
    Hold,
    /// The same, with a few bytes each second.
    Drip(fn(u64) -> Vec<u8>),
    /// The same, with these bytes as often as the server takes them.
    Talk(fn(u64) -> Vec<u8>),
    /// Not to read.
    Ignore,
    /// To hang up.
    Close,
}

const KIND: Kind = Kind {
    name: "none",
    clients: 0,
    sources: 1,
    opening: Opening::Nothing,
    first: |_, _| Vec::new(),
    then: Then::Hold,
    least: 0,
};

/// Every kind. A flood from one address has that of the administrator with a token.
static KINDS: &[Kind] = &[
    KIND,
    Kind { name: "idle", clients: 1000, ..KIND },
    Kind { name: "hellos", clients: 1000, opening: Opening::HalfHello, ..KIND },
    Kind {
        name: "heads",
        clients: 1000,
        opening: Opening::Tls,
        first: |_, _| b"GET /system.library/validate HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec(),
        then: Then::Drip(|_| b"x".to_vec()),
        ..KIND
    },
    Kind {
        name: "bodies",
        clients: 1000,
        opening: Opening::Tls,
        first: |_, _| post("login", "username=admin&password=", 4000),
        then: Then::Drip(|_| b"x".to_vec()),
        ..KIND
    },
    Kind {
        name: "reads",
        clients: 1000,
        opening: Opening::Tls,
        first: |_, _| b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n".to_vec(),
        then: Then::Ignore,
        ..KIND
    },
    Kind { name: "handshakes", clients: 64, opening: Opening::Tls, then: Then::Close, least: 26_000, ..KIND },
    Kind { name: "connects", clients: 256, then: Then::Close, least: 200_000, ..KIND },
    Kind { name: "sockets", clients: 100, opening: Opening::Tls, first: |_, _| upgrade("/fcws"), ..KIND },
    Kind {
        name: "names",
        clients: 32,
        sources: 4,
        opening: Opening::Tls,
        first: |_, number| {
            let form = format!("username=user{number}&password=guess{number}");
            post("login", &form, form.len())
        },
        ..KIND
    },
    Kind {
        name: "user",
        clients: 64,
        opening: Opening::Tls,
        first: bound,
        then: Then::Drip(|number| {
            let mut bytes = Vec::new();
            frame::append(&mut bytes, TEXT, command("wait").as_bytes());
            frame::append(&mut bytes, TEXT, part_of_a_message(number).as_bytes());
            bytes
        }),
        ..KIND
    },
    Kind {
        name: "calls",
        clients: 64,
        opening: Opening::Tls,
        first: bound,
        then: Then::Talk(|_| {
            let mut bytes = Vec::new();
            while bytes.len() < 8 * 1024 {
                frame::append(&mut bytes, TEXT, STATUS.as_bytes());
            }
            bytes
        }),
        ..KIND
    },
];

/// A call on a socket that is bound.
pub(super) const STATUS: &str = r#"{"type":"msg","data":{"type":"request","requestid":"r","path":"system.library/services/hello/status","data":{}}}"#;

/// The upgrade of another user, and what binds the socket.
fn bound(options: &Options, _: u64) -> Vec<u8> {
    let mut bytes = upgrade(&format!("/fcws?sessionid={}", options.user));
    frame::append(&mut bytes, TEXT, frame::bind(&options.user).as_bytes());
    bytes
}

impl Kind {
    pub(super) fn find(name: &str) -> Result<&'static Self, Error> {
        let found = KINDS.iter().find(|kind| kind.name == name);
        found.ok_or_else(|| format!("unknown flood '{name}'").into())
    }

    /// Address of a client.
    pub(super) fn source(&self, client: usize) -> Ipv4Addr {
        let [a, b, c, d] = SAME.octets();
        Ipv4Addr::new(a, b, c, d + (client % usize::from(self.sources)) as u8)
    }

    /// Sent first, by the connection of this number.
    pub(super) fn first(&self, options: &Options, number: u64) -> Vec<u8> {
        (self.first)(options, number)
    }
}

/// A call by HTTP whose body may end before its length.
pub(super) fn post(call: &str, form: &str, length: usize) -> Vec<u8> {
    format!(
        "POST /system.library/{call} HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n{form}"
    )
    .into_bytes()
}

fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: FC-protocol\r\n\r\n"
    )
    .into_bytes()
}

/// A run of a named command of the service, on a socket that is bound.
pub(super) fn command(name: &str) -> String {
    format!(
        r#"{{"type":"msg","data":{{"type":"request","requestid":"r","path":"system.library/services/hello/command","data":{{"cmd":"{name}"}}}}}}"#
    )
}

/// A message in two parts, of which the second one never comes.
fn part_of_a_message(number: u64) -> String {
    format!(
        r#"{{"type":"con","data":{{"type":"chunk","data":{{"id":"{number}","part":0,"total":2,"data":"eyJ0"}}}}}}"#
    )
}
