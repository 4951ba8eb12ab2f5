//! Certificate and announcement, which follow the names and addresses of this machine.
//!
//! The thread of the reloads makes the certificate anew and writes it (docs/decisions/0039).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::announce::Announcer;
use super::certificate::{Certificate, InUse};
use super::core::Core;
use super::expiry::ExpiryWatch;
use crate::config::one_line;
use crate::net::Endpoint as _;
use crate::runtime::{AsyncFd, Tasks};
use crate::sys::KernelEvents;
use crate::{info, warning};

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
        self.server.set_certificate(certificate.names(), certificate.facts());
        self.renewal.certificate = Some(certificate);
    }

    /// Makes the announcer, if the configuration wants one. Returns true then.
    fn start_announcer(&mut self) -> io::Result<bool> {
        let is_announced = self.reloads.config.listen.is_announced;
        if is_announced {
            self.announcer = Some(Box::new(Announcer::new(self.reloads.tls.is_some(), self.clock)?));
            self.update_announcer(self.now());
        }
        Ok(is_announced)
    }

    /// Passes the addresses of this machine and of the server on to the announcer.
    pub(super) fn update_announcer(&mut self, now: Duration) {
        if let (Some(announcer), Some(listening)) = (&mut self.announcer, self.reloads.listeners.address()) {
            announcer.update(self.renewal.read_addresses(), listening, now);
        }
    }

    fn step_announcer(&mut self, context: &Context<'_>) {
        let now = self.now();
        let announced = self.announcer.as_mut().and_then(|announcer| announcer.step(context, now));
        let Some((name, is_other)) = announced else { return };
        let notice = is_other.then(|| {
            one_line(format_args!(
                "another host on the network has the name of this one, which is found as {name}.local: give one of them \
                 another host name"
            ))
        });
        match &notice {
            Some(notice) => warning!("{}", notice),
            None => info!("found on the network as {}.local", name),
        }
        self.server.set_name_notice(notice);
        self.finish_step(now);
    }
}

/// Starts the task that announces the server, if the configuration wants that, and the one that waits for changes of the
/// addresses, if the kernel reports them.
pub(super) fn spawn(
    tasks: &mut Tasks,
    core: &Rc<RefCell<Core>>,
    events: Option<KernelEvents>,
) -> io::Result<()> {
    if core.borrow_mut().start_announcer()? {
        tasks.spawn(announce(Rc::clone(core)))?;
    }
    let Some(events) = events else { return Ok(()) };
    let events = AsyncFd::new(events)?;
    tasks.spawn(watch(Rc::clone(core), events)).map_err(Into::into)
}

/// Announces the server.
async fn announce(core: Rc<RefCell<Core>>) {
    std::future::poll_fn(|context| {
        core.borrow_mut().step_announcer(context);
        Poll::<()>::Pending
    })
    .await;
}

/// Has the names looked at after each change of the addresses, and the announcement.
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
        core.update_announcer(now);
        core.finish_step(now);
    }
}
