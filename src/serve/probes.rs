//! Attempts to connect to the sockets of services that are ready when they accept a connection.

use std::time::Duration;

use super::connect::{self, Connecting};
use crate::limits::SERVICES;
use crate::service::{Endpoint, PROBE_PERIOD, ReadyCheck, ServiceId};

/// Attempts of all services, at most one each.
#[derive(Debug)]
pub(super) struct Probes {
    /// Connections that are neither accepted nor refused.
    pending: [Option<Connecting>; SERVICES],
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
        for (service, endpoint) in unready.filter_map(endpoint) {
            tried |= 1 << service.index();
            let Some(pending) = self.pending.get_mut(service.index()) else { continue };
            if attempt(pending, endpoint) {
                let is_added = ready.push(service).is_ok();
                debug_assert!(is_added, "each service once");
            }
        }
        for (index, pending) in self.pending.iter_mut().enumerate() {
            if tried & (1 << index) == 0 && !pending.as_ref().is_some_and(Connecting::hangs) {
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
        unready: impl Iterator<Item = (ServiceId, &'s ReadyCheck)>,
    ) -> Option<Duration> {
        unready.filter_map(endpoint).next().map(|_| self.next)
    }
}

fn endpoint((service, check): (ServiceId, &ReadyCheck)) -> Option<(ServiceId, &Endpoint)> {
    match check {
        ReadyCheck::Connect(endpoint) => Some((service, endpoint)),
        ReadyCheck::OfKind | ReadyCheck::Line(_) | ReadyCheck::Descriptor(_) => None,
    }
}

/// Continues a pending attempt or begins one; true if the connection is accepted.
fn attempt(pending: &mut Option<Connecting>, endpoint: &Endpoint) -> bool {
    let kept = pending.take_if(|kept| !kept.hangs() || kept.hangs_at(endpoint));
    let begun = kept.map_or_else(|| connect::begin(endpoint), Ok);
    let Ok(connecting) = begun else { return false };
    let result = connecting.poll();
    if result.is_none() {
        *pending = Some(connecting);
    }
    result.is_some_and(|result| result.is_ok())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::sys::tests::lock_children;

    #[test]
    fn service_is_ready_once_it_accepts_a_connection() {
        let _lock = lock_children();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let (service, check) =
            (ServiceId::from_index(1).unwrap(), ReadyCheck::Connect(Endpoint::Tcp(address)));
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
}
