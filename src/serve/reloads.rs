//! The configuration file that was read again, put in force.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::expiry::{Dates, ExpiryWatch};
use super::later::Later;
use super::reload::{Done, JobResult, NO_CALL, Reloader};
use crate::api::{Platform as _, audit};
use crate::call::{Completion, Reloaded, Unconfirmed};
use crate::config;
use crate::connection::Settings;
use crate::keeper::{Force, Unfinished};
use crate::log::Reason;
use crate::net::Endpoint as _;
use crate::service::{Difference, ServiceTable};
use crate::{error, info, warning};

/// Effect of a reload: the services that differ, and the keys that need a restart.
pub(super) type Effect = (Difference, Vec<&'static str>);

/// Passes what was read to the server.
pub(super) async fn run(core: Rc<RefCell<Core>>, reloader: Rc<Reloader>) {
    while let Some(Done { call_id, result }) = reloader.result().await {
        let core = &mut *core.borrow_mut();
        let now = core.now();
        match result {
            JobResult::Read { is_trial, outcome } => core.handle_read(call_id, is_trial, outcome, now),
            JobResult::Returned(outcome) => core.handle_returned(outcome),
            JobResult::Renewed(earlier, outcome) => core.handle_renewed(&earlier, outcome, now),
            JobResult::Shown(page) => core.handle_shown(call_id, &page, now),
            JobResult::Changed { change, outcome } => core.handle_changed(call_id, &change, outcome, now),
            JobResult::Written(outcome) => core.handle_written(call_id, outcome, now),
        }
        core.finish_step(now);
    }
}

impl Core {
    fn handle_read(
        &mut self,
        call_id: u64,
        is_trial: bool,
        mut outcome: Result<Box<Later>, String>,
        now: Duration,
    ) {
        if self.server.is_shutting_down() {
            outcome = Err("the server ends".to_owned());
        } else if !is_trial && outcome.is_ok() && !self.server.may_reload() {
            // The file may be another one by then.
            self.reloads.waiting = Some(call_id);
            return;
        }
        self.system.reloader().release();
        let ended = if !is_trial && outcome.is_ok() { self.replace_trial() } else { None };
        let is_own = call_id == NO_CALL;
        // What a server that was killed has left.
        let earlier = if is_own { self.reloads.change_notice.take() } else { None };
        if let (true, Ok(later)) = (is_own && core::mem::take(&mut self.reloads.is_confirmed), &mut outcome) {
            later.force = Force::Confirmed;
            self.system.reloader().keep(Arc::clone(&later.text));
        }
        // The mark is of use until the services are in force: without it, a later server takes the change for unconfirmed.
        let force = outcome.as_ref().ok().map(|later| later.force);
        let is_unfinished = self.reloads.is_confirmed || force == Some(Force::Confirmed);
        let applied = outcome.map(|later| self.apply(later, is_trial, now));
        if let (Err(errors), false) = (&applied, is_trial) {
            error!("reload: nothing changes: {}", errors);
            let text = format_args!("configuration file not reloaded: {errors}");
            self.server.set_config_error(config::one_line(text));
        }
        if !is_trial && applied.is_ok() {
            if earlier.is_none() && ended.is_none() && !is_unfinished {
                self.unmark();
            }
            if let Some(notice) = ended.or(earlier) {
                self.server.set_change_notice(notice);
            }
        } else if is_own && self.reloads.pending.is_none() && !self.server.is_shutting_down() {
            // One whose services still stop, or that the end of the server prevents, is for the next server.
            self.system.processes().report_unfinished(Unfinished::None);
        }
        if call_id == NO_CALL {
            audit::write_reload(applied.is_ok());
        } else {
            self.complete_reload(call_id, applied.as_ref().map_err(String::as_str), is_trial, None, now);
        }
    }

    /// Answers the call of a reload or of a change.
    pub(super) fn complete_reload(
        &mut self,
        call_id: u64,
        applied: Result<&Effect, &str>,
        is_trial: bool,
        unconfirmed: Option<Unconfirmed>,
        now: Duration,
    ) {
        let reloaded = applied.map(|(difference, needs_restart)| Reloaded {
            difference,
            needs_restart,
            is_trial,
            unconfirmed,
        });
        self.server.handle_completion(call_id, Completion::Reloaded(reloaded), now, &mut self.system);
    }

    /// Puts a later configuration in force. Returns what it changes, and what would need a restart.
    pub(super) fn apply(&mut self, mut later: Box<Later>, is_trial: bool, now: Duration) -> Effect {
        let services = self.succeed(&mut later);
        let difference = self.server.services().difference(&services);
        let mut needs_restart = self.needs_restart(&later);
        if !self.reloads.confinement.covers(&services) {
            needs_restart.push("[[service]] output_file");
        }
        if is_trial {
            return (difference, needs_restart);
        }
        for key in &needs_restart {
            warning!("reload: {} has an effect only after a restart of the server", key);
        }
        if later.config.log_level != self.reloads.config.log_level {
            crate::log::set_level(later.config.log_level);
        }
        self.apply_settings(&mut later, now);
        self.system.processes().report_unfinished(match later.force {
            Force::Reload => Unfinished::Reload,
            Force::Trial | Force::Confirmed | Force::Return => Unfinished::Trial,
        });
        self.apply_services(later, services, difference.clone(), now);
        (difference, needs_restart)
    }

    /// Keys of a later configuration that would need a restart.
    fn needs_restart(&self, later: &Later) -> Vec<&'static str> {
        let mut needs_restart = self.reloads.config.needs_restart(&later.config);
        needs_restart.retain(|key| later.beside.is_none() || *key != "[listen] address");
        if later.tls.is_none() && self.reloads.tls.is_some() {
            needs_restart.push("[listen] certificate");
        }
        needs_restart
    }

    /// Refuses to open an address with the encryption of an earlier configuration: clients from there would send their
    /// passwords in plain text, or need no certificate.
    pub(super) fn check_beside(&self, later: &Later) -> Result<(), String> {
        let mut keys = self.needs_restart(later).into_iter();
        match keys.find(|key| matches!(*key, "[listen] tls" | "[listen] certificate")) {
            Some(key) if later.beside.is_some() => Err(format!(
                "[listen] address: a new one cannot be opened while {key} of the file waits for a restart of the server; \
                 change one of them, restart the server, then change the other"
            )),
            _ => Ok(()),
        }
    }

    /// Takes the services of a later configuration, with the ids that they get.
    pub(super) fn succeed(&self, later: &mut Later) -> ServiceTable {
        self.server.services().table().succeed(core::mem::take(&mut later.config.services))
    }

    /// Puts everything in force but the services.
    pub(super) fn apply_settings(&mut self, later: &mut Later, now: Duration) {
        let config = &mut later.config;
        let mut users = core::mem::take(&mut config.users);
        self.system.carry_passwords(self.server.users(), &mut users);
        let token_dates = Dates::of_tokens(&users, &config.tokens);
        let settings = Settings {
            users,
            tokens: core::mem::take(&mut config.tokens),
            front: config.listen.front.clone(),
            session: (config.idle_timeout, config.lifetime),
            lockout: (config.lockout_attempts, config.lockout_time),
            update: config.update,
            kept: later.author,
        };
        if let Some(tls) = later.tls.take() {
            self.set_tls(tls);
        }
        if token_dates != self.token_expiry.dates() {
            self.token_expiry = ExpiryWatch::new(token_dates);
        }
        // Only what is new is logged.
        self.look_at_dates(now);
        // Others need a restart.
        if let Some(site) = later.site.take().filter(|_| later.config.web == self.reloads.config.web) {
            self.server.set_site(site);
        }
        self.server.set_config_origin(later.config_origin);
        self.server.set(settings, now, &mut self.system);
    }

    /// Begins to put services in force, which have the ids of [`succeed`](Self::succeed).
    pub(super) fn apply_services(
        &mut self,
        later: Box<Later>,
        services: ServiceTable,
        difference: Difference,
        now: Duration,
    ) {
        self.server.reload(services, now, &mut self.system);
        self.reloads.pending = Some((later, difference));
    }

    /// Ends a reload, if there is one and it is due, and begins the one that waits for it.
    pub(super) fn continue_reload(&mut self, now: Duration) {
        if self.reloads.pending.is_some() && self.server.reload_is_due() {
            self.finish_reload(now);
        }
        if self.has_trial() {
            self.continue_trial(now);
        }
        let Some(call_id) = self.reloads.waiting else { return };
        if self.server.is_shutting_down() {
            self.reloads.waiting = None;
            self.handle_read(call_id, false, Err(String::new()), now);
        } else if self.server.may_reload() {
            self.reloads.waiting = None;
            self.system.reloader().read(call_id, false);
        }
    }

    /// Returns true if the keeper had no room for a text, or the system none for a thread.
    pub(super) fn has_reload_to_retry(&self) -> bool {
        self.reloads.confirmed.is_some()
            || self.reloads.pending.is_some() && self.server.reload_is_due()
            || self.system.reloader().is_return_due()
    }

    /// Ends a reload once no service has a process that stops for it, and the keeper has its text.
    #[cold]
    #[inline(never)]
    fn finish_reload(&mut self, now: Duration) {
        let Some((later, difference)) = self.reloads.pending.take() else { return };
        let Difference { added, changed, removed } = &difference;
        if self.system.processes().configure(&later.document, later.force).is_err() {
            // With the next upkeep.
            self.reloads.pending = Some((later, difference));
            return;
        }
        let services = self.server.services();
        let conditions = services.table().conditions().clone();
        let overrides = services.overrides().filter(|(name, _)| removed.iter().any(|other| other == name));
        self.system.enabled().carry(overrides);
        let unix_s = self.system.time_of_day();
        let enabled = self.system.enabled();
        let replaced = self.server.finish_reload(now, unix_s, &mut |name| enabled.take(name));
        let services = self.server.services();
        let table = services.table();
        self.system.processes().renew(table, replaced);
        if *table.conditions() != conditions
            && let Err(error) = self.reloads.conditions.start(table.conditions(), services.met())
        {
            error!("cannot start a thread for a condition of a service: {}", Reason::from(&error));
        }
        self.renew_output_files(replaced);
        self.renew_syslog(later.config.syslog.as_ref(), later.syslog_tls.clone(), replaced);
        info!(
            "reloaded: {} services added, {} changed, {} removed",
            added.len(),
            changed.len(),
            removed.len()
        );
        let Later { config, text, force, document, .. } = *later;
        self.reloads.config.succeed(config);
        self.renewal.request(now);
        match force {
            Force::Reload => self.system.reloader().keep(text),
            Force::Trial => self.note_document(document),
            // Its text was kept when it was confirmed.
            Force::Confirmed => self.unmark(),
            Force::Return => {}
        }
        if self.system.reloader().is_reloading() {
            // Another one waits, of which the keeper knows nothing any more.
            self.system.processes().report_unfinished(Unfinished::Reload);
        }
        self.server.process_changes(now, &mut self.system);
    }
}
