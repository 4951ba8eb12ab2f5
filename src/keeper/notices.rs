//! Socket on which services report about themselves (sd_notify(3)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use heapless::Vec;
use rustix::net::UCred;
use rustix::process::Pid;

use super::{SERVICE_NOTICE_BYTES, procfs};
use crate::log::Reason;
use crate::log::console::warning;
use crate::service::{EVENT_LIFE_MAX, Notice, SERVICE_EVENTS, StatusText};
use crate::sys::machine::NotifySocket;
use crate::sys::{EVENT, EVENT_LIFE, assignments, microseconds};

/// Names that are tried, in case another keeper has the same pid in another pid namespace.
const NAMES: u32 = 16;

/// Socket of the reports of services, with an abstract name.
#[derive(Debug)]
pub(super) struct NoticeSocket {
    socket: NotifySocket,
    /// Value of `NOTIFY_SOCKET`.
    name: String,
}

impl NoticeSocket {
    /// Opens the socket.
    pub(super) fn new() -> Option<Self> {
        Self::open()
            .inspect_err(|error| {
                warning!("cannot open the socket for reports of services: {}", Reason::from(error))
            })
            .ok()
    }

    /// Goes on with the socket of an earlier program: its services know the name.
    pub(super) fn continued(socket: OwnedFd, name: String) -> Option<Self> {
        NotifySocket::new(UnixDatagram::from(socket)).ok().map(|socket| Self { socket, name })
    }

    fn open() -> io::Result<Self> {
        let mut bound = Err(io::Error::from(io::ErrorKind::AddrInUse));
        for number in 0..NAMES {
            let name = format!("friendlet/notify/{}-{number}", std::process::id());
            bound = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name)?)
                .and_then(NotifySocket::new)
                .map(|socket| Self { socket, name: format!("@{name}") });
            if bound.is_ok() {
                break;
            }
        }
        bound
    }

    /// Value of `NOTIFY_SOCKET`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Receives the next datagram: its sender, as the kernel knows it, and its content, which one that is not used has not.
    pub(super) fn receive(&self) -> Option<Option<(UCred, Message)>> {
        let mut bytes = [0; SERVICE_NOTICE_BYTES];
        let (content, sender) = self.socket.receive(&mut bytes).ok()??;
        Some(sender.filter(|_| !content.is_empty()).map(|sender| (sender, Message::parse(content))))
    }
}

impl AsFd for NoticeSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Content of a datagram.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Message {
    pub(super) notice: Notice,
    /// Events, `KEY=VALUE` each, as yet unchecked.
    pub(super) events: Vec<StatusText, SERVICE_EVENTS>,
    /// Time until they are forgotten; 0 for an invalid one.
    pub(super) life: Option<Duration>,
    /// Events over the limit of a service.
    pub(super) refused: usize,
    /// `MAINPID`.
    pub(super) main: Option<Pid>,
}

impl Message {
    /// Parses the lines of a datagram. Unknown and invalid ones are ignored.
    fn parse(bytes: &[u8]) -> Self {
        let mut message = Self::default();
        let notice = &mut message.notice;
        for assignment in assignments(bytes) {
            match assignment {
                ("READY", "1") => (notice.is_ready, notice.is_stopping) = (true, false),
                ("STOPPING", "1") => (notice.is_ready, notice.is_stopping) = (false, true),
                ("WATCHDOG", "1") => notice.is_alive = true,
                ("STATUS", text) => notice.text = Some(StatusText::new(text)),
                ("EXTEND_TIMEOUT_USEC", usec) => {
                    notice.extend = microseconds(usec).or(notice.extend);
                }
                (EVENT, text) => {
                    message.refused += usize::from(message.events.push(StatusText::new(text)).is_err());
                }
                (EVENT_LIFE, seconds) => message.life = Some(life_of(seconds)),
                ("MAINPID", pid) => message.main = procfs::pid(pid).or(message.main),
                _ => {}
            }
        }
        message
    }
}

/// Time until an event is forgotten; 0 if it is invalid.
fn life_of(seconds: &str) -> Duration {
    let life = seconds.parse().map_or(Duration::ZERO, Duration::from_secs);
    if life > EVENT_LIFE_MAX { Duration::ZERO } else { life }
}

/// Adds later reports to those that the server does not have yet.
pub(super) fn merge(pending: &mut Notice, later: Notice) {
    if later.is_ready || later.is_stopping {
        (pending.is_ready, pending.is_stopping) = (later.is_ready, later.is_stopping);
    }
    pending.is_alive |= later.is_alive;
    pending.extend = later.extend.or(pending.extend);
    pending.text = later.text.or(pending.text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{EVENT_KEY_BYTES, EVENT_VALUE_BYTES, Events, ServiceId};

    fn socket() -> NoticeSocket {
        NoticeSocket::new().unwrap()
    }

    fn send(socket: &NoticeSocket, datagram: &[u8]) {
        let name = SocketAddr::from_abstract_name(&socket.name()[1..]).unwrap();
        UnixDatagram::unbound().unwrap().send_to_addr(datagram, &name).unwrap();
    }

    #[test]
    fn datagram_comes_with_its_sender() {
        let socket = socket();
        assert!(socket.receive().is_none());
        send(&socket, b"READY=1");
        let (sender, message) = socket.receive().unwrap().unwrap();
        assert_eq!((sender.pid, sender.uid), (rustix::process::getpid(), rustix::process::getuid()));
        assert_eq!(message.notice, Notice::READY);
    }

    #[test]
    fn notice_up_to_its_limit() {
        let socket = socket();
        let padded = |length: usize| [b"READY=1\n".to_vec(), vec![b'x'; length - 8]].concat();
        send(&socket, &padded(SERVICE_NOTICE_BYTES + 1));
        assert!(socket.receive().is_some_and(|datagram| datagram.is_none()), "dropped");
        send(&socket, &padded(SERVICE_NOTICE_BYTES));
        assert!(socket.receive().unwrap().unwrap().1.notice.is_ready);
    }

    #[test]
    fn lines_are_parsed() {
        let message =
            Message::parse(b"STATUS=a=b\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=1500\nMAINPID=12\nX=\xff\n\n");
        assert_eq!(message.main, Pid::from_raw(12));
        let notice = message.notice;
        assert_eq!(notice.text.unwrap().as_str(), "a=b");
        assert_eq!((notice.extend, notice.is_alive), (Some(Duration::from_micros(1500)), true));
        assert!(!notice.is_ready && !notice.is_stopping);
        for invalid in [
            "READY=0",
            "READY",
            "MAINPID=0",
            "MAINPID=-1",
            "MAINPID=x",
            "EXTEND_TIMEOUT_USEC=-1",
            "WATCHDOG=trigger",
        ] {
            assert_eq!(Message::parse(invalid.as_bytes()), Message::default(), "{invalid}");
        }
    }

    #[test]
    fn events_are_parsed() {
        let parse = |text: &str| Message::parse(text.as_bytes());
        let message = parse("X_FRIENDLET_EVENT=door=open\nX_FRIENDLET_FOR=60\nX_FRIENDLET_EVENT=lamp=");
        let texts: std::vec::Vec<&str> = message.events.iter().map(StatusText::as_str).collect();
        assert_eq!((texts, message.refused), (vec!["door=open", "lamp="], 0));
        assert_eq!(message.life, Some(Duration::from_secs(60)));
        let most = EVENT_LIFE_MAX.as_secs();
        assert_eq!(parse(&format!("X_FRIENDLET_FOR={most}")).life, Some(EVENT_LIFE_MAX));
        for invalid in [(most + 1).to_string().as_str(), "", "-1", "1.5", "x"] {
            assert_eq!(parse(&format!("X_FRIENDLET_FOR={invalid}")).life, Some(Duration::ZERO), "{invalid}");
        }
        let message = parse(&"X_FRIENDLET_EVENT=a=b\n".repeat(SERVICE_EVENTS + 2));
        assert_eq!((message.events.len(), message.refused), (SERVICE_EVENTS, 2));
    }

    #[test]
    fn later_reports_replace_earlier_ones() {
        let parse = |text: &str| Message::parse(text.as_bytes()).notice;
        let mut pending = parse("READY=1\nSTATUS=a\nWATCHDOG=1");
        merge(&mut pending, parse("STATUS=b"));
        assert_eq!(pending, parse("READY=1\nSTATUS=b\nWATCHDOG=1"));
        merge(&mut pending, parse("STOPPING=1\nEXTEND_TIMEOUT_USEC=1"));
        assert_eq!(pending, parse("STOPPING=1\nSTATUS=b\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=1"));
    }

    proptest::proptest! {
        #[test]
        fn any_datagram_leaves_events_within_their_limits(
            lines in proptest::collection::vec("(X_FRIENDLET_EVENT=)?[a-zA-Z=.\\PC]{0,60}", 0..12),
        ) {
            let mut events = Events::default();
            let service = ServiceId::from_index(0).unwrap();
            for text in &Message::parse(lines.join("\n").as_bytes()).events {
                let _ = events.say(service, *text, None, Duration::ZERO);
            }
            proptest::prop_assert!(events.of(service).count() <= SERVICE_EVENTS);
            for event in events.of(service) {
                proptest::prop_assert!((1..=EVENT_KEY_BYTES).contains(&event.key().len()));
                proptest::prop_assert!(event.value().len() <= EVENT_VALUE_BYTES);
            }
        }
    }
}
