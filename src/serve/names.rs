//! The certificate that the server has made, made anew once this machine has another name or address.
//!
//! The thread of the reloads makes and writes it (docs/decisions/0039).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::certificate::{Certificate, InUse};
use super::core::Core;
use super::expiry::ExpiryWatch;
use crate::net::Endpoint as _;
use crate::runtime::{AsyncFd, Tasks};
use crate::sys::KernelEvents;
use crate::warning;

impl Core {
    /// Has the certificate made anew if it lacks a name of this machine.
    pub(super) fn look_at_names(&mut self, now: Duration) {
        if !self.renewal.take_due(now) || self.server.is_shutting_down() {
            return;
        }
        let Some((certificate, names)) = self.renewal.look(&self.reloads.config.listen) else { return };
        if !self.system.reloader().renew(certificate, names) {
            // A reload is under way.
            self.renewal.handle_change(now);
        }
    }

    /// Puts a renewed certificate in force, unless another one took the place of the earlier.
    pub(super) fn handle_renewed(
        &mut self,
        earlier: &Arc<Certificate>,
        outcome: Result<InUse, String>,
        now: Duration,
    ) {
        self.system.reloader().release();
        let has_failed = outcome.is_err();
        match outcome {
            Ok(renewed) if self.renewal.certificate.as_ref().is_some_and(|now| Arc::ptr_eq(now, earlier)) => {
                self.set_tls(renewed);
                self.look_at_dates(now);
            }
            Ok(_) => return self.renewal.handle_change(now),
            Err(error) => warning!("certificate not renewed: {}", error),
        }
        self.renewal.pause(now, has_failed);
    }

    /// Puts a certificate in force for new connections.
    pub(super) fn set_tls(&mut self, InUse { config, dates, certificate }: InUse) {
        let Some(tls) = &self.reloads.tls else { return };
        tls.replace(config);
        if dates != self.expiry.dates() {
            self.expiry = ExpiryWatch::new(dates);
        }
        self.server.set_certificate_names(certificate.names());
        self.renewal.certificate = Some(certificate);
    }
}

/// Starts the task that waits for changes of the addresses, if the kernel reports them.
pub(super) fn spawn(
    tasks: &mut Tasks,
    core: &Rc<RefCell<Core>>,
    events: Option<KernelEvents>,
) -> io::Result<()> {
    let Some(events) = events else { return Ok(()) };
    let events = AsyncFd::new(events)?;
    tasks.spawn(watch(Rc::clone(core), events)).map_err(Into::into)
}

/// Has the names looked at after each change of the addresses.
async fn watch(core: Rc<RefCell<Core>>, events: AsyncFd<KernelEvents>) {
    loop {
        std::future::poll_fn(|context| events.poll_readable(context)).await;
        if !events.get_ref().drain() {
            events.note_empty();
            continue;
        }
        let core = &mut *core.borrow_mut();
        let now = core.now();
        core.renewal.handle_change(now);
        core.finish_step(now);
    }
}
