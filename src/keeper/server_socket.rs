//! The keeper's end of the socket to the server: requests come in, reports go out in order.

use std::io::{IoSlice, IoSliceMut, PipeReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use heapless::Deque;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::message::{self, Force, FromKeeper, REQUEST_BYTES, Report, Request};
use super::{REFUSAL_BYTES, REPORTS, SLOTS};
use crate::limits::CONFIG_BYTES;
use crate::log::console::error;
use crate::service::ProcessEvent;
use crate::session::SessionMemo;
use crate::sys::memory_file;

/// Message of the server.
#[derive(Debug)]
pub(super) enum Received {
    /// A request.
    Request(Request),
    /// Entry of the table of sessions.
    Session(usize, SessionMemo),
    /// Text of a later configuration file.
    Configuration(String, Force),
    /// Error with which the server refuses its configuration file.
    Refusal(String),
}

/// Socket to the server, with the reports that it has no room for.
#[derive(Debug)]
pub(super) struct ServerSocket {
    socket: OwnedFd,
    /// The server has closed its end: it is ending.
    has_ended: bool,
    /// Reports that are not sent yet, each with the pipe that goes with it.
    reports: Deque<(Report, Option<PipeReader>), REPORTS>,
}

impl ServerSocket {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, has_ended: false, reports: Deque::new() }
    }

    /// Creates the socket's two ends, which keep the boundaries of messages.
    ///
    /// # Errors
    /// Error of the system: no descriptors left.
    pub(super) fn pair() -> Result<(OwnedFd, OwnedFd), Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
    }

    /// The socket, until the server has closed its end: from then on it would be ready all the time, and the keeper would
    /// take the processor that the server needs to end.
    pub(super) fn watched(&self) -> Option<BorrowedFd<'_>> {
        (!self.has_ended).then(|| self.socket.as_fd())
    }

    /// Returns the next message. `None`: nothing is there, or the server has ended.
    pub(super) fn receive(&mut self) -> Option<Received> {
        let mut bytes = [0; REFUSAL_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(&mut bytes)];
        let received = recvmsg(&self.socket, parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC);
        self.has_ended |= received.as_ref().is_ok_and(|message| message.bytes == 0);
        let count = received.ok()?.bytes;
        let file = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        if let Some((index, memo)) = bytes.get(..count).and_then(message::session_of) {
            return Some(Received::Session(index, memo));
        }
        let content = bytes.get(1..count)?;
        let request = bytes.first_chunk::<REQUEST_BYTES>().filter(|_| count == REQUEST_BYTES);
        Some(match request.and_then(|request| Request::decode(*request)) {
            // An empty text is refused.
            Some(Request::Configure(force)) => {
                let text = file.and_then(|file| memory_file::read(file, CONFIG_BYTES).ok());
                Received::Configuration(text.unwrap_or_default(), force)
            }
            Some(request) => Received::Request(request),
            None => Received::Refusal(String::from_utf8_lossy(content).into_owned()),
        })
    }

    /// Queues a report, and the pipe that goes with it.
    pub(super) fn push(&mut self, report: Report, pipe: Option<PipeReader>) {
        let is_optional = matches!(report.event, ProcessEvent::Suspended | ProcessEvent::Resumed);
        if is_optional && self.reports.len() >= REPORTS - 2 * SLOTS {
            return;
        }
        if self.reports.push_back((report, pipe)).is_err() {
            error!("keeper: a report of a service is lost: the server does not read");
        }
    }

    /// Returns true while reports are queued.
    pub(super) fn is_pending(&self) -> bool {
        !self.reports.is_empty()
    }

    /// Sends the queued reports. Returns false if the socket has no room for all of them.
    pub(super) fn send_reports(&mut self) -> bool {
        while let Some((report, pipe)) = self.reports.front() {
            if !self.send(*report, pipe.as_ref()) {
                return false;
            }
            self.reports.pop_front();
        }
        true
    }

    /// Sends a report now. Returns false if the socket has no room.
    pub(super) fn try_send(&self, report: Report) -> bool {
        self.send(report, None)
    }

    /// Reports that no other program takes over. It is lost if the socket has no room: the log has it, too.
    pub(super) fn send_refusal(&self, reason: &str) {
        self.send_bytes(&FromKeeper::refusal(reason), &mut SendAncillaryBuffer::default());
    }

    /// Lets the server go. Returns false if the socket has no room.
    pub(super) fn send_leave(&self) -> bool {
        self.send_bytes(&FromKeeper::leave(), &mut SendAncillaryBuffer::default())
    }

    /// Drops the queued reports.
    pub(super) fn clear(&mut self) {
        self.reports.clear();
    }

    fn send(&self, report: Report, pipe: Option<&PipeReader>) -> bool {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let pipe = pipe.map(|pipe| [pipe.as_fd()]);
        if let Some(pipe) = &pipe {
            let is_pushed = ancillary.push(SendAncillaryMessage::ScmRights(pipe));
            debug_assert!(is_pushed, "the space of one descriptor");
        }
        self.send_bytes(&report.encode(), &mut ancillary)
    }

    fn send_bytes(&self, bytes: &[u8], ancillary: &mut SendAncillaryBuffer<'_, '_, '_>) -> bool {
        // Any other error says that the server has ended.
        sendmsg(&self.socket, &[IoSlice::new(bytes)], ancillary, SendFlags::NOSIGNAL) != Err(Errno::AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::send_refusal;
    use super::super::message::REPORT_BYTES;
    use super::*;
    use crate::sys::tests::lock_children;
    use rustix::net::recv;

    fn pair() -> (ServerSocket, OwnedFd) {
        let (keeper, server) = ServerSocket::pair().unwrap();
        (ServerSocket::new(keeper), server)
    }

    #[test]
    fn reports_over_the_limit_are_lost() {
        let (mut keeper, server) = pair();
        let report = |event| Report { slot: 1, event };
        for _ in 0..2 * REPORTS {
            keeper.push(report(ProcessEvent::Suspended), None);
        }
        assert_eq!(keeper.reports.len(), REPORTS - 2 * SLOTS);
        for _ in 0..2 * SLOTS {
            keeper.push(report(ProcessEvent::Gone), None);
        }
        assert_eq!(keeper.reports.len(), REPORTS);
        keeper.push(report(ProcessEvent::Gone), None);
        assert_eq!(keeper.reports.len(), REPORTS);
        // A server that reads gets them in order.
        let mut last = None;
        while keeper.is_pending() {
            keeper.send_reports();
            let mut bytes = [0; REPORT_BYTES];
            while recv(&server, &mut bytes, RecvFlags::empty()).is_ok() {
                last = Report::decode(bytes);
            }
        }
        assert_eq!(last, Some(report(ProcessEvent::Gone)));
    }

    #[test]
    fn socket_of_a_server_that_has_ended_is_not_watched() {
        // A child of another test would have the server's end, too.
        let _children = lock_children();
        let (mut keeper, server) = pair();
        assert!(keeper.receive().is_none() && keeper.watched().is_some());
        send_refusal(&server, "last");
        drop(server);
        assert!(keeper.receive().is_some() && keeper.watched().is_some(), "its last message comes first");
        assert!(keeper.receive().is_none() && keeper.watched().is_none());
    }

    #[test]
    fn refusal_is_cut_at_its_limit() {
        for (length, expected) in
            [(3, 3), (REFUSAL_BYTES - 1, REFUSAL_BYTES - 1), (REFUSAL_BYTES, REFUSAL_BYTES - 1)]
        {
            let (mut keeper, server) = pair();
            send_refusal(&server, &"x".repeat(length));
            let Some(Received::Refusal(text)) = keeper.receive() else {
                panic!("a refusal of {length} bytes")
            };
            assert_eq!(text.len(), expected);
        }
    }
}
