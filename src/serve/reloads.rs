//! The configuration file that was read again, put in force.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::reload::{Later, NO_CALL, Read, Reloader};
use crate::call::{Completion, Reloaded};
use crate::config;
use crate::connection::Settings;
use crate::log::Reason;
use crate::net::Endpoint as _;
use crate::service::Difference;
use crate::{error, info, warning};

/// Passes what was read to the server.
pub(super) async fn run(core: Rc<RefCell<Core>>, reloader: Rc<Reloader>) {
    while let Some(read) = reloader.result().await {
        core.borrow_mut().handle_read(read);
    }
}

impl Core {
    fn handle_read(&mut self, read: Read) {
        let now = self.now();
        let Read { call_id, is_trial, mut outcome } = read;
        if self.server.is_shutting_down() {
            outcome = Err("the server ends".to_owned());
        } else if !is_trial && outcome.is_ok() && !self.server.may_reload() {
            // The file may be another one by then.
            self.reloads.waiting = Some(call_id);
            return;
        }
        self.system.reloader().release();
        let applied = outcome.map(|later| self.apply(later, is_trial, now));
        if let (Err(errors), false) = (&applied, is_trial) {
            error!("reload: nothing changes: {}", errors);
            let text = format_args!("configuration file not reloaded: {errors}");
            self.server.set_config_error(config::one_line(text));
        }
        if call_id != NO_CALL {
            let reloaded = applied.as_ref().map(|(difference, needs_restart)| Reloaded {
                difference,
                needs_restart,
                is_trial,
            });
            let completion = Completion::Reloaded(reloaded.map_err(String::as_str));
            self.server.handle_completion(call_id, completion, now, &mut self.system);
        }
        self.finish_step(now);
    }

    /// Puts a later configuration in force. Returns what it changes, and what would need a restart.
    fn apply(
        &mut self,
        mut later: Box<Later>,
        is_trial: bool,
        now: Duration,
    ) -> (Difference, Vec<&'static str>) {
        let services = self.server.services().table().succeed(core::mem::take(&mut later.config.services));
        let difference = self.server.services().difference(&services);
        let mut needs_restart = self.reloads.config.needs_restart(&later.config);
        if later.tls.is_none() && self.reloads.tls.is_some() {
            needs_restart.push("[listen] certificate");
        }
        if is_trial {
            return (difference, needs_restart);
        }
        for key in &needs_restart {
            warning!("reload: {} has an effect only after a restart of the server", key);
        }
        let config = &mut later.config;
        let mut users = core::mem::take(&mut config.users);
        self.system.carry_passwords(self.server.users(), &mut users);
        let settings = Settings {
            users,
            tokens: core::mem::take(&mut config.tokens),
            origins: config.listen.origins.clone(),
            public_url: config.listen.public_url.clone(),
            idle_timeout: config.idle_timeout,
            lockout: (config.lockout_attempts, config.lockout_time),
            update: config.update,
        };
        if config.log_level != self.reloads.config.log_level {
            crate::log::set_level(config.log_level);
        }
        if let (Some(tls), Some(config)) = (&self.reloads.tls, later.tls.take()) {
            tls.replace(config);
        }
        self.server.set_config_origin(later.config_origin);
        self.system.processes().report_reload();
        self.server.reload(settings, services, now, &mut self.system);
        self.reloads.pending = Some((later, difference.clone()));
        (difference, needs_restart)
    }

    /// Ends a reload, if there is one and it is due, and begins the one that waits for it.
    pub(super) fn continue_reload(&mut self, now: Duration) {
        if self.reloads.pending.is_some() && self.server.reload_is_due() {
            self.finish_reload(now);
        }
        let Some(call_id) = self.reloads.waiting else { return };
        if self.server.is_shutting_down() {
            self.reloads.waiting = None;
            self.handle_read(Read { call_id, is_trial: false, outcome: Err(String::new()) });
        } else if self.server.may_reload() {
            self.reloads.waiting = None;
            self.system.reloader().read(call_id, false);
        }
    }

    /// Ends a reload once no service has a process that stops for it, and the keeper has its text.
    #[cold]
    #[inline(never)]
    fn finish_reload(&mut self, now: Duration) {
        let Some((later, difference)) = self.reloads.pending.take() else { return };
        let Difference { added, changed, removed } = &difference;
        if self.system.processes().configure(&later.document).is_err() {
            // After the next step.
            self.reloads.pending = Some((later, difference));
            return;
        }
        let services = self.server.services();
        let conditions = services.table().conditions().clone();
        let overrides = services.overrides().filter(|(name, _)| removed.iter().any(|other| other == name));
        self.system.enabled().carry(overrides);
        let enabled = self.system.enabled();
        let replaced = self.server.finish_reload(now, &mut |name| enabled.take(name));
        let services = self.server.services();
        let table = services.table();
        self.system.processes().renew(table, replaced);
        if *table.conditions() != conditions
            && let Err(error) = self.reloads.conditions.start(table.conditions(), services.met())
        {
            error!("cannot start a thread for a condition of a service: {}", Reason::from(&error));
        }
        self.renew_output_files(replaced);
        info!(
            "reloaded: {} services added, {} changed, {} removed",
            added.len(),
            changed.len(),
            removed.len()
        );
        let Later { config, text, .. } = *later;
        self.reloads.config.succeed(config);
        self.system.reloader().keep(text);
        self.server.process_changes(now, &mut self.system);
    }
}
