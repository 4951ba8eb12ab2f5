//! Pushes that one socket has not received yet.

use crate::service::{ServiceId, Supervisor};

/// Pushes that one socket has not received yet.
#[derive(Debug, Default)]
pub(super) struct PendingPushes {
    /// Bit set of the services with a pending push of their state.
    pub(super) services: u64,
    /// Bit set of the health checks with a pending push of their state.
    pub(super) checks: u64,
    /// Bit set of the services with a pending push of their events.
    pub(super) events: u64,
    /// The problem of the board was sent.
    pub(super) is_notified: bool,
    /// Service whose output the socket follows, and the position of the next line to send.
    pub(super) log: Option<(ServiceId, u64)>,
}

impl PendingPushes {
    /// Adds the state of every service and check, and the events of every service that has any.
    pub(super) fn add_all(&mut self, services: &Supervisor) {
        let all = services.table().iter().map(|(service, _)| service.index());
        self.services = all.fold(0, |mask, index| mask | 1 << index);
        let has_events = |service: &ServiceId| services.events(*service).next().is_some();
        let all = services.table().iter().map(|(service, _)| service).filter(has_events);
        self.events = all.fold(0, |mask, service| mask | 1 << service.index());
        self.checks = services.checks().fold(0, |mask, (check, ..)| mask | 1 << check.index());
    }

    /// Forgets the changes that were not sent: the socket is not bound any more.
    pub(super) fn clear(&mut self) {
        self.services = 0;
        self.checks = 0;
        self.events = 0;
        self.log = None;
    }

    /// Stops to follow the services of a mask.
    pub(super) fn forget(&mut self, services: u64) {
        self.log = self.log.filter(|(service, _)| services & (1 << service.index()) == 0);
    }

    /// Returns whether the socket follows the output of this service.
    pub(super) fn follows(&self, service: ServiceId) -> bool {
        self.log.is_some_and(|(followed, _)| followed == service)
    }
}
