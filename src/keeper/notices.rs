//! Socket on which services of type notify report about themselves (sd_notify(3)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::net::UCred;
use rustix::process::Pid;

use super::{SERVICE_NOTICE_BYTES, procfs};
use crate::log::Reason;
use crate::log::console::warning;
use crate::service::{Notice, ServiceKind, ServiceTable, StatusText};
use crate::sys::machine::NotifySocket;
use crate::sys::{assignments, microseconds};

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
    /// Opens the socket if a service of the table uses it.
    pub(super) fn new(services: &ServiceTable) -> Option<Self> {
        let is_used = services.iter().any(|(_, spec)| spec.kind == ServiceKind::Notify);
        let socket = is_used.then(Self::open)?;
        socket
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
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Message {
    pub(super) notice: Notice,
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
                ("MAINPID", pid) => message.main = procfs::pid(pid).or(message.main),
                _ => {}
            }
        }
        message
    }
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
    use std::time::Duration;

    use super::*;
    use crate::service::Spec;

    fn socket() -> NoticeSocket {
        let mut services = ServiceTable::new();
        assert!(NoticeSocket::new(&services).is_none(), "without a service that uses it");
        let spec = Spec { kind: ServiceKind::Notify, ..Spec::new("a", &["a"]).unwrap() };
        services.push(spec).unwrap();
        NoticeSocket::new(&services).unwrap()
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
    fn later_reports_replace_earlier_ones() {
        let parse = |text: &str| Message::parse(text.as_bytes()).notice;
        let mut pending = parse("READY=1\nSTATUS=a\nWATCHDOG=1");
        merge(&mut pending, parse("STATUS=b"));
        assert_eq!(pending, parse("READY=1\nSTATUS=b\nWATCHDOG=1"));
        merge(&mut pending, parse("STOPPING=1\nEXTEND_TIMEOUT_USEC=1"));
        assert_eq!(pending, parse("STOPPING=1\nSTATUS=b\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC=1"));
    }
}
