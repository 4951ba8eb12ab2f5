//! Names of a server on the network, and its records.

use core::fmt::Write as _;

use heapless::String;

use super::packet::{Name, kind};

/// Longest label (RFC 1035, 2.3.4).
pub const LABEL_BYTES: usize = 63;
/// Name of a host that has none.
const FALLBACK: &str = "friendlet";
/// Largest number at the end of a name.
const LAST_NUMBER: u16 = 999;

/// Service that is announced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Service {
    /// TCP port.
    pub port: u16,
    /// TLS on it.
    pub has_tls: bool,
}

/// Name that a server has or uses: a label and the name above it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Node {
    Local,
    Tcp,
    Udp,
    DnsSd,
    /// Types of services (RFC 6763, 9).
    Types,
    /// `_friendlet._tcp.local`
    Friendlet,
    /// `_https._tcp.local`, or `_http`.
    Web,
    /// `NAME._friendlet._tcp.local`
    FriendletInstance,
    /// `NAME._https._tcp.local`
    WebInstance,
    /// `NAME.local`
    Host,
}

use Node::{DnsSd, Friendlet, FriendletInstance, Host, Local, Tcp, Types, Udp, Web, WebInstance};

/// Names with records.
const OWNERS: [Node; 6] = [Types, Friendlet, Web, FriendletInstance, WebInstance, Host];

impl Node {
    pub(super) const COUNT: usize = Host as usize + 1;

    /// The name above this one; `None`: the root.
    pub(super) fn parent(self) -> Option<Self> {
        Some(match self {
            Local => return None,
            Tcp | Udp | Host => Local,
            DnsSd => Udp,
            Types => DnsSd,
            Friendlet | Web => Tcp,
            FriendletInstance => Friendlet,
            WebInstance => Web,
        })
    }
}

/// Names of a server.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Label of the host, with a number or without.
    own: String<LABEL_BYTES>,
    /// Length of it without the number.
    len: usize,
    number: u16,
    has_tls: bool,
}

impl Names {
    /// Names with the first label of a host name.
    pub(super) fn new(host: &str, has_tls: bool) -> Self {
        let label = host.split('.').next().unwrap_or_default();
        let label = if label.is_empty() || label.len() > LABEL_BYTES { FALLBACK } else { label };
        let own = String::try_from(label).unwrap_or_default();
        // A number has three digits at most, and a hyphen.
        let len = own.len().min(LABEL_BYTES - 4);
        Self { own, len, number: 1, has_tls }
    }

    /// Label of the host and of the services.
    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// Number at its end; 1: none.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Takes the next name, because another host has this one. Returns the number at its end.
    pub(super) fn rename(&mut self) -> u16 {
        self.number = if self.number < LAST_NUMBER { self.number + 1 } else { 2 };
        while !self.own.is_char_boundary(self.len) {
            self.len -= 1;
        }
        self.own.truncate(self.len);
        // There is room.
        let _ = write!(self.own, "-{}", self.number);
        self.number
    }

    pub(super) fn label(&self, node: Node) -> &[u8] {
        let label = match node {
            Local => "local",
            Tcp => "_tcp",
            Udp => "_udp",
            DnsSd => "_dns-sd",
            Types => "_services",
            Friendlet => "_friendlet",
            Web if self.has_tls => "_https",
            Web => "_http",
            FriendletInstance | WebInstance | Host => &self.own,
        };
        label.as_bytes()
    }

    /// Returns true if this is the name. Case counts nothing.
    pub(super) fn is(&self, name: Name<'_>, node: Node) -> bool {
        let mut next = Some(node);
        for label in name.labels() {
            match next {
                Some(node) if self.label(node).eq_ignore_ascii_case(label) => next = node.parent(),
                _ => return false,
            }
        }
        next.is_none()
    }

    /// Finds the name, if it has records.
    pub(super) fn find(&self, name: Name<'_>) -> Option<Node> {
        OWNERS.into_iter().find(|node| self.is(name, *node))
    }
}

/// Set of records, by their indexes in [`RECORDS`].
pub(super) type Set = u16;

/// Record, or for an address all of one type.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) owner: Node,
    pub(super) kind: u16,
    /// Name in its data.
    pub(super) target: Node,
    /// Records that are sent with it (RFC 6763, 12).
    pub(super) with: Set,
}

impl Record {
    /// Seconds for which it is valid (RFC 6762, 10).
    pub(super) fn ttl(&self) -> u32 {
        if matches!(self.kind, kind::PTR | kind::TXT) { 4500 } else { 120 }
    }
}

/// All records.
pub(super) const ALL: Set = (1 << RECORDS.len()) - 1;
/// Those of which other hosts have some, too.
pub(super) const SHARED: Set = 0b1111;
/// Those that are withdrawn: of the services. The host remains, and the types are of others, too.
pub(super) const WITHDRAWN: Set = 0b1111_1100;

/// Records of a server.
pub(super) static RECORDS: [Record; 11] = {
    const fn record(owner: Node, kind: u16, target: Node, with: Set) -> Record {
        Record { owner, kind, target, with }
    }
    const HOST: Set = 1 << A | 1 << AAAA | 1 << NSEC;
    [
        record(Types, kind::PTR, Friendlet, 0),
        record(Types, kind::PTR, Web, 0),
        record(Friendlet, kind::PTR, FriendletInstance, 1 << 4 | 1 << 6 | HOST),
        record(Web, kind::PTR, WebInstance, 1 << 5 | 1 << 7 | HOST),
        record(FriendletInstance, kind::SRV, Host, HOST),
        record(WebInstance, kind::SRV, Host, HOST),
        record(FriendletInstance, kind::TXT, FriendletInstance, 0),
        record(WebInstance, kind::TXT, WebInstance, 0),
        record(Host, kind::A, Host, HOST),
        record(Host, kind::AAAA, Host, HOST),
        record(Host, kind::NSEC, Host, 0),
    ]
};

/// Records of a name and type, those that are not there included. Each type is not that which denies the others.
pub(super) fn records_of(node: Node, kind: u16) -> Set {
    let mut set = 0;
    for (index, record) in RECORDS.iter().enumerate() {
        let is_kind = record.kind == kind || kind == kind::ANY && index != NSEC;
        set |= Set::from(record.owner == node && is_kind) << index;
    }
    set
}

/// Records of a set, with their indexes.
pub(super) fn records(set: Set) -> impl Iterator<Item = (usize, &'static Record)> {
    RECORDS.iter().enumerate().filter(move |(index, _)| set & 1 << index != 0)
}

/// Index of the addresses, and of the record that denies the others.
pub(super) const A: usize = 8;
pub(super) const AAAA: usize = 9;
pub(super) const NSEC: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_the_first_label_of_the_host_name() {
        for (host, own) in
            [("board", "board"), ("Board.example.org", "Board"), ("", FALLBACK), (".x", FALLBACK)]
        {
            assert_eq!(Names::new(host, true).own(), own);
        }
        let longest = "x".repeat(LABEL_BYTES);
        assert_eq!(Names::new(&longest, true).own(), longest);
        assert_eq!(Names::new(&(longest + "x"), true).own(), FALLBACK);
    }

    #[test]
    fn further_names_have_a_number_and_the_length_of_a_label() {
        let mut names = Names::new("board", true);
        assert_eq!((names.rename(), names.own()), (2, "board-2"));
        assert_eq!((names.rename(), names.own()), (3, "board-3"));
        let mut names = Names::new(&"\u{e4}".repeat(31), true);
        for number in 2..=LAST_NUMBER {
            assert_eq!(names.rename(), number);
            assert!(names.own().ends_with(&format!("-{number}")) && names.own().len() <= LABEL_BYTES);
        }
        assert_eq!(names.rename(), 2);
    }

    #[test]
    fn records_with_a_record_are_of_its_target() {
        for record in &RECORDS {
            for (index, other) in RECORDS.iter().enumerate() {
                if record.with & 1 << index != 0 {
                    assert!(other.owner == record.target || other.owner == Host, "{record:?} {other:?}");
                }
            }
        }
        for (index, of) in [(A, kind::A), (AAAA, kind::AAAA), (NSEC, kind::NSEC)] {
            assert_eq!(RECORDS[index].kind, of);
        }
        for (index, record) in RECORDS.iter().enumerate() {
            assert_eq!(SHARED & 1 << index != 0, record.kind == kind::PTR);
            let is_of_type = record.owner == Types || record.owner == Host;
            assert_eq!(WITHDRAWN & 1 << index == 0, is_of_type, "{record:?}");
        }
    }
}
