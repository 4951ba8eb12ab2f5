//! Kinds of services and their signs of readiness.

use core::fmt;

use heapless::String;

use super::{Endpoint, READY_LINE_BYTES};

/// Kind of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServiceKind {
    /// The process is the service.
    Simple,
    /// The same; the process reports that it is ready, by sd_notify(3).
    Notify,
    /// The process does its work and ends; after a success the service is up without a process.
    Oneshot,
}

impl ServiceKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Simple, Self::Notify, Self::Oneshot];

    /// Returns the kind with this name in the configuration file.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Name in the configuration file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Notify => "notify",
            Self::Oneshot => "oneshot",
        }
    }
}

/// Descriptors of which a service may get one to report that it is ready.
pub const READY_DESCRIPTORS: core::ops::RangeInclusive<u8> = 3..=9;

/// Sign that a service is ready.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ReadyCheck {
    /// That of its kind: a simple service has run for `START_SETTLE`, one of type notify has sent `READY=1`,
    /// a one-shot has ended well.
    #[default]
    OfKind,
    /// A line of its output contains this text.
    Line(String<{ READY_LINE_BYTES }>),
    /// A connection is accepted.
    Connect(Endpoint),
    /// The process writes a line to this descriptor, which it gets for that (`notification-fd` of s6).
    Descriptor(u8),
}

impl ReadyCheck {
    /// Returns the sign with this text in the configuration file: `line:TEXT`, `tcp:ADDRESS:PORT`,
    /// `unix:PATH` or `fd:NUMBER`.
    pub fn from_text(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("line", line) if !line.is_empty() && !line.contains(char::is_control) => {
                line.try_into().ok().map(Self::Line)
            }
            ("tcp", address) => Endpoint::tcp(address).map(Self::Connect),
            ("unix", path) => Endpoint::unix(path).map(Self::Connect),
            ("fd", number) => {
                READY_DESCRIPTORS.into_iter().find(|fd| fd.to_string() == number).map(Self::Descriptor)
            }
            _ => None,
        }
    }
}

/// Writes the text in the configuration file; nothing for the sign of the kind.
impl fmt::Display for ReadyCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfKind => Ok(()),
            Self::Line(line) => write!(f, "line:{line}"),
            Self::Connect(endpoint) => endpoint.fmt(f),
            Self::Descriptor(number) => write!(f, "fd:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_name() {
        for kind in ServiceKind::ALL {
            assert_eq!(ServiceKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(ServiceKind::from_name("forking"), None);
    }

    #[test]
    fn signs_by_their_text() {
        let line = |text: &str| ReadyCheck::Line(text.try_into().unwrap());
        let address = Endpoint::tcp("[::1]:1883").unwrap();
        for (text, expected) in [
            ("line:listening: 80", Some(line("listening: 80"))),
            ("tcp:[::1]:1883", Some(ReadyCheck::Connect(address))),
            ("unix:/run/a.sock", Endpoint::unix("/run/a.sock").map(ReadyCheck::Connect)),
            ("fd:3", Some(ReadyCheck::Descriptor(3))),
            ("fd:9", Some(ReadyCheck::Descriptor(9))),
            ("fd:2", None),
            ("fd:10", None),
            ("fd:+3", None),
            ("fd:03", None),
            ("fd:", None),
            ("tcp:localhost:1883", None),
            ("tcp:127.0.0.1", None),
            ("tcp:127.0.0.1:0", None),
            ("unix:a.sock", None),
            ("line:", None),
            ("line:a\nb", None),
            ("udp:127.0.0.1:1", None),
            ("notify", None),
        ] {
            if let Some(ready) = &expected {
                assert_eq!(ready.to_string(), text);
            }
            assert_eq!(ReadyCheck::from_text(text), expected, "{text}");
        }
    }

    #[test]
    fn ready_line_up_to_its_limit() {
        let line = |length: usize| ReadyCheck::from_text(&format!("line:{}", "x".repeat(length)));
        assert!(line(READY_LINE_BYTES).is_some());
        assert_eq!(line(READY_LINE_BYTES + 1), None);
    }
}
