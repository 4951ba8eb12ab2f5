//! Attempts to connect to the sockets of services that are ready when they accept a connection.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::socket_error;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, getpeername, socket_with,
};

use crate::limits::SERVICES;
use crate::service::{PROBE_PERIOD, ReadyCheck, ServiceId};

/// Attempts of all services, at most one each.
#[derive(Debug)]
pub(super) struct Probes {
    /// Connections that are neither accepted nor refused.
    pending: [Option<OwnedFd>; SERVICES],
    next: Duration,
}

impl Probes {
    pub(super) fn new() -> Self {
        Self { pending: [const { None }; SERVICES], next: Duration::ZERO }
    }

    /// Tries all services that are not ready, if it is time. Returns those that accept a connection.
    pub(super) fn run<'s>(
        &mut self,
        unready: impl Iterator<Item = (ServiceId, &'s ReadyCheck)>,
        now: Duration,
    ) -> heapless::Vec<ServiceId, SERVICES> {
        let mut ready = heapless::Vec::new();
        if now < self.next {
            return ready;
        }
        let mut tried = 0_u64;
        for (service, check) in unready.filter(|(_, check)| is_address(check)) {
            tried |= 1 << service.index();
            let Some(pending) = self.pending.get_mut(service.index()) else { continue };
            if attempt(pending, check) {
                let is_added = ready.push(service).is_ok();
                debug_assert!(is_added, "each service once");
            }
        }
        for (index, pending) in self.pending.iter_mut().enumerate() {
            if tried & (1 << index) == 0 {
                *pending = None;
            }
        }
        if tried != 0 {
            self.next = now + PROBE_PERIOD;
        }
        ready
    }

    /// Time of the next attempts, if there are any services to try.
    pub(super) fn poll_timeout<'s>(
        &self,
        mut unready: impl Iterator<Item = (ServiceId, &'s ReadyCheck)>,
    ) -> Option<Duration> {
        unready.any(|(_, check)| is_address(check)).then_some(self.next)
    }
}

fn is_address(check: &ReadyCheck) -> bool {
    matches!(check, ReadyCheck::Tcp(_) | ReadyCheck::Unix(_))
}

/// Continues a pending attempt or begins one; true if the connection is accepted.
fn attempt(pending: &mut Option<OwnedFd>, check: &ReadyCheck) -> bool {
    if let Some(socket) = &*pending {
        if getpeername(socket).is_ok() {
            *pending = None;
            return true;
        }
        if socket_error(socket).is_ok_and(|error| error.is_ok()) {
            return false;
        }
        *pending = None;
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let stream = |family| socket_with(family, SocketType::STREAM, flags, None);
    let begun = match check {
        ReadyCheck::Tcp(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            stream(family).map(|socket| (connect(&socket, address), socket))
        }
        ReadyCheck::Unix(path) => SocketAddrUnix::new(path.as_str()).and_then(|address| {
            stream(AddressFamily::UNIX).map(|socket| (connect(&socket, &address), socket))
        }),
        ReadyCheck::OfKind | ReadyCheck::Line(_) => return false,
    };
    match begun {
        Ok((Ok(()), _)) => true,
        Ok((Err(Errno::INPROGRESS), socket)) => {
            *pending = Some(socket);
            false
        }
        // Refused, missing, or a full backlog: the next attempt is a new one.
        Ok((Err(_), _)) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn service_is_ready_once_it_accepts_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let (service, check) = (ServiceId::from_index(1).unwrap(), ReadyCheck::Tcp(address));
        let unready = || core::iter::once((service, &check));
        let mut probes = Probes::new();
        assert_eq!(probes.poll_timeout(unready()), Some(Duration::ZERO));
        let mut now = Duration::from_secs(1);
        assert!(probes.run(unready(), now).is_empty());
        assert_eq!(probes.poll_timeout(unready()), Some(now + PROBE_PERIOD));
        let _listener = TcpListener::bind(address).unwrap();
        assert!(probes.run(unready(), now).is_empty(), "before its time");
        let mut ready = heapless::Vec::<ServiceId, SERVICES>::new();
        for _ in 0..20 {
            now += PROBE_PERIOD;
            ready = probes.run(unready(), now);
            if !ready.is_empty() {
                break;
            }
        }
        assert_eq!(ready, [service]);
        assert_eq!(probes.poll_timeout(core::iter::empty()), None);
    }

    #[test]
    fn unix_socket_is_tried_too() {
        let path = std::env::temp_dir().join(format!("friendlet-probe-{}", std::process::id()));
        let check = ReadyCheck::Unix(path.to_str().unwrap().try_into().unwrap());
        assert!(!attempt(&mut None, &check), "it does not exist");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(attempt(&mut None, &check));
        drop(listener);
        assert!(!attempt(&mut None, &check), "nothing listens");
        std::fs::remove_file(path).unwrap();
    }
}
