//! Times at which the certificate that the server has made is compared with the names of this machine.

use std::sync::Arc;
use std::time::Duration;

use super::certificate::{self, Certificate};
use super::{ADDRESS_SETTLE, RENEWAL_PAUSE};
use crate::config::{Listen, NOTICE_BYTES, one_line};
use crate::net::tls::Names;
use crate::sys::{HostAddress, HostAddresses};

/// Addresses of this machine. There are none without a table.
pub(super) fn known(table: Option<&HostAddresses>) -> &[HostAddress] {
    table.map_or(&[], HostAddresses::get)
}

/// Watch over the names of the certificate in use.
pub(super) struct Renewal {
    addresses: Option<HostAddresses>,
    /// `None` without TLS.
    pub(super) certificate: Option<Arc<Certificate>>,
    /// Time of the next look.
    due: Option<Duration>,
    /// Time until which no certificate is made.
    paused_until: Duration,
}

impl Renewal {
    pub(super) fn new(addresses: Option<HostAddresses>, certificate: Option<Arc<Certificate>>) -> Self {
        let mut renewal = Self { addresses, certificate, due: None, paused_until: Duration::ZERO };
        renewal.due = renewal.notice().map(|_| RENEWAL_PAUSE);
        renewal
    }

    /// Notice that it is in memory alone.
    pub(super) fn notice(&self) -> Option<heapless::String<NOTICE_BYTES>> {
        self.certificate.as_ref()?.unwritten().map(one_line)
    }

    /// Time of the next look.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.due
    }

    /// Schedules a look after a change of the addresses, of which there may be more.
    pub(super) fn handle_change(&mut self, now: Duration) {
        self.due.get_or_insert((now + ADDRESS_SETTLE).max(self.paused_until));
    }

    /// Schedules a look at once, for a later configuration.
    pub(super) fn request(&mut self, now: Duration) {
        self.due = Some(now);
    }

    /// Returns true if a look is due, and none from then on.
    pub(super) fn take_due(&mut self, now: Duration) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }

    /// Addresses of this machine, read anew.
    pub(super) fn read_addresses(&mut self) -> &[HostAddress] {
        self.addresses.iter_mut().for_each(HostAddresses::read);
        known(self.addresses.as_ref())
    }

    /// Certificate that is to be made anew, and the names for it.
    pub(super) fn look(&mut self, listen: &Listen) -> Option<(Arc<Certificate>, Names)> {
        let names = certificate::names(listen, self.read_addresses());
        let certificate = self.certificate.as_ref().filter(|certificate| certificate.is_due(&names))?;
        Some((Arc::clone(certificate), names))
    }

    /// Begins the pause after an attempt. The next one follows it where that one failed, or the disk did.
    pub(super) fn pause(&mut self, now: Duration, has_failed: bool) {
        if has_failed || self.notice().is_some() {
            self.due.get_or_insert(now);
        }
        self.paused_until = now + RENEWAL_PAUSE;
        self.due = self.due.map(|due| due.max(self.paused_until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_renewal_in_each_pause() {
        let second = Duration::from_secs(1);
        let mut renewal = Renewal::new(None, None);
        assert_eq!(renewal.poll_timeout(), None);
        let mut now = 7 * second;
        renewal.handle_change(now);
        renewal.handle_change(now + second);
        assert_eq!(renewal.poll_timeout(), Some(now + ADDRESS_SETTLE), "changes do not put it off");
        for _ in 0..3 {
            renewal.due = None;
            renewal.pause(now, false);
            assert_eq!(renewal.poll_timeout(), None);
            renewal.handle_change(now + second);
            assert_eq!(renewal.poll_timeout(), Some(now + RENEWAL_PAUSE));
            now += RENEWAL_PAUSE;
        }
        // A change while it is made waits, too, and so does the next attempt after a failure.
        renewal.due = None;
        renewal.handle_change(now);
        renewal.pause(now, false);
        assert_eq!(renewal.poll_timeout(), Some(now + RENEWAL_PAUSE));
        renewal.due = None;
        renewal.pause(now, true);
        assert_eq!(renewal.poll_timeout(), Some(now + RENEWAL_PAUSE));
        renewal.request(now);
        assert_eq!(renewal.poll_timeout(), Some(now), "a person changes the configuration");
    }
}
