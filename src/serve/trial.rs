//! A change of the configuration by an administrator: in force for a trial, then confirmed, or gone.

use std::fs::File;
use std::time::Duration;

use super::certificate::InUse;
use super::change::Page;
use super::core::Core;
use super::later::{Beside, Later};
use super::mark::{self, ChangeNotice, Left};
use super::reload::Unconfirmed;
use super::reloads::Effect;
use crate::api::Trial;
use crate::call::{Change, Completion, ConfigurationPage, Unconfirmed as Answer};
use crate::keeper::Force;
use crate::session::{UserLevel, Users};
use crate::{error, info, log, warning};

impl Core {
    pub(super) fn handle_shown(&mut self, call_id: u64, page: &Page, now: Duration) {
        self.system.reloader().release();
        let (_, origin) = self.server.config_state();
        let Page { size, from, text, base } = page;
        let trial = self.server.trial().map(|trial| {
            let Trial { change, address, needs_login, .. } = *trial;
            let time = trial.until.saturating_sub(now);
            (trial.by.clone(), Answer { change, time, address, needs_login })
        });
        let trial = trial.as_ref().map(|(by, answer)| (by.as_str(), *answer));
        let origin = origin.name();
        let page = ConfigurationPage { origin, size: *size, from: *from, text, base: *base, trial };
        self.server.handle_completion(call_id, Completion::Shown(page), now, &mut self.system);
    }

    pub(super) fn handle_changed(
        &mut self,
        call_id: u64,
        change: &Change,
        outcome: Result<[Box<Later>; 2], String>,
        now: Duration,
    ) {
        self.system.reloader().release();
        let mut answer = None;
        let applied = outcome.and_then(|[later, earlier]| {
            let is_administrator = later.config.users.iter().any(|(_, user)| {
                user.name.as_str() == change.by.as_str() && user.level == UserLevel::Admin
            });
            if !is_administrator && !change.is_local {
                return Err(format!(
                    "{} would not be an administrator, who could confirm it; let another one make this change",
                    change.by
                ));
            }
            self.check_beside(&later)?;
            if later.is_file_wrong && self.server.config_state().0.is_none() {
                return Err("the configuration file on the disk is not the one in force and has an error, perhaps in the \
                    middle of an edit, which a change would undo: correct and reload it; after a reload that finds \
                    the error, a change may replace it"
                    .to_owned());
            }
            if change.is_dry {
                return Ok(self.apply(later, true, now));
            }
            self.begin_trial(call_id, later, earlier, change, &mut answer, now)
        });
        if let (Err(errors), false) = (&applied, change.is_dry) {
            warning!("configuration: nothing changes: {}", errors);
            self.system.reloader().unmark(call_id);
        }
        let applied = applied.as_ref().map_err(String::as_str);
        self.complete_reload(call_id, applied, change.is_dry, answer, now);
    }

    /// Puts a changed configuration in force until it is confirmed. `earlier` is the present one.
    fn begin_trial(
        &mut self,
        call_id: u64,
        mut later: Box<Later>,
        mut earlier: Box<Later>,
        change: &Change,
        answer: &mut Option<Answer>,
        now: Duration,
    ) -> Result<Effect, String> {
        if self.server.is_shutting_down() {
            return Err("the server ends".to_owned());
        }
        let is_busy = self.reloads.pending.is_some()
            || self.reloads.returning.is_some()
            || self.system.is_upgrade_asked();
        if is_busy || !self.server.may_reload() || self.server.trial().is_some() {
            return Err("another change or reload is under way; try again".to_owned());
        }
        let address = match &mut later.beside {
            Some(Beside { address, socket }) => socket
                .take()
                .map(|socket| self.reloads.listeners.open(*address, socket))
                .transpose()
                .map_err(|error| error.to_string())?,
            None => None,
        };
        let (config_error, config_origin) = self.server.config_state();
        earlier.config_origin = config_origin;
        (earlier.author, later.author) = (change.session, change.session);
        let tls = self.reloads.tls.as_ref();
        earlier.tls = tls.zip(self.renewal.certificate.clone()).map(|(tls, certificate)| InUse {
            config: tls.current(),
            dates: self.expiry.dates(),
            certificate,
        });
        let unconfirmed = Unconfirmed {
            earlier,
            level: log::level(),
            config_error,
            address: later.config.listen.address,
            document: None,
        };
        self.reloads.unconfirmed = Some(unconfirmed);
        self.reloads.marked = Some(call_id);
        self.system.reloader().begin_trial(later.text.clone());
        let password = |users: &Users| users.find(&change.by).and_then(|user| users.password(user).cloned());
        let before = password(self.server.users());
        let effect = self.apply(later, false, now);
        let needs_login = password(self.server.users()) != before;
        let by = change.by.clone();
        let until = now + change.time;
        let trial = Trial { change: call_id, by, since: now, until, is_writing: false, address, needs_login };
        self.server.begin_trial(trial);
        *answer = Some(Answer { change: call_id, time: change.time, address, needs_login });
        info!("configuration: change {} is to be confirmed within {} s", call_id, change.time.as_secs());
        if let Some(address) = address {
            info!("configuration: change {} opens {}", call_id, address);
        }
        Ok(effect)
    }

    pub(super) fn handle_written(&mut self, call_id: u64, outcome: Result<(), String>, now: Duration) {
        match &outcome {
            Ok(()) => self.confirm_trial(),
            Err(errors) => {
                error!("configuration: cannot write the change: {}", errors);
                self.server.continue_trial();
            }
        }
        self.system.reloader().release();
        let completion = Completion::Confirmed(outcome.as_ref().copied().map_err(String::as_str));
        self.server.handle_completion(call_id, completion, now, &mut self.system);
    }

    fn confirm_trial(&mut self) {
        let (Some(trial), Some(unconfirmed)) = (self.server.end_trial(true), self.reloads.unconfirmed.take())
        else {
            return;
        };
        self.reloads.listeners.confirm();
        self.reloads.config.listen.address = unconfirmed.address;
        self.update_announcer(self.clock.now());
        self.system.reloader().end_trial(Some(unconfirmed.address));
        match &mut self.reloads.pending {
            Some((later, _)) if unconfirmed.document.is_none() => later.force = Force::Confirmed,
            _ => self.reloads.confirmed = unconfirmed.document,
        }
        info!("configuration: change {} is written", trial.change);
    }

    /// Removes the mark of a change that is confirmed, or of one that ended, with its notice.
    pub(super) fn unmark(&mut self) {
        if let Some(change) = self.reloads.marked.take() {
            self.system.reloader().unmark(change);
        }
    }

    /// Notes the text of an unconfirmed change, which the keeper has got.
    pub(super) fn note_document(&mut self, document: File) {
        if let Some(unconfirmed) = &mut self.reloads.unconfirmed {
            unconfirmed.document = Some(document);
        }
    }

    /// Ends a trial because the configuration file is read again and put in force. Returns the notice of that.
    pub(super) fn replace_trial(&mut self) -> Option<ChangeNotice> {
        self.reloads.returning = None;
        let (Some(trial), Some(_)) = (self.server.end_trial(false), self.reloads.unconfirmed.take()) else {
            return None;
        };
        self.reloads.listeners.close();
        self.system.reloader().end_trial(None);
        warning!("configuration: change {} ends: the configuration file is read again", trial.change);
        Some(notice(&trial, "the file is in force, which was read again"))
    }

    /// Returns true if there is something to do for [`continue_trial`](Self::continue_trial), perhaps not yet.
    pub(super) fn has_trial(&self) -> bool {
        self.server.trial().is_some() || self.reloads.returning.is_some() || self.reloads.confirmed.is_some()
    }

    /// Returns to the earlier configuration once the time of a trial is over, and passes a confirmed one to the keeper.
    #[cold]
    #[inline(never)]
    pub(super) fn continue_trial(&mut self, now: Duration) {
        if let Some(document) = self.reloads.confirmed.take() {
            match self.system.processes().configure(&document, Force::Confirmed) {
                Ok(()) => self.unmark(),
                // With the next upkeep.
                Err(_) => self.reloads.confirmed = Some(document),
            }
        }
        if self.server.trial_is_over(now) && !self.server.is_shutting_down() {
            self.end_trial();
        }
        if self.reloads.returning.is_some() {
            self.return_to_earlier(now);
        }
    }

    fn end_trial(&mut self) {
        let (Some(trial), Some(unconfirmed)) =
            (self.server.end_trial(false), self.reloads.unconfirmed.take())
        else {
            return;
        };
        let Unconfirmed { earlier, level, config_error, .. } = unconfirmed;
        warning!(
            "configuration: change {} is not confirmed: the earlier configuration is back",
            trial.change
        );
        self.reloads.listeners.close();
        self.system.reloader().end_trial(None);
        log::set_level(level);
        self.reloads.returning = Some((earlier, false));
        self.reloads.notice = Some((config_error, notice(&trial, mark::IS_BACK)));
    }

    /// Puts the earlier configuration in force: its settings at once, its services when those that stop have ended.
    fn return_to_earlier(&mut self, now: Duration) {
        let Some((mut earlier, mut is_set)) = self.reloads.returning.take() else { return };
        if !is_set && !self.server.is_writing() {
            self.apply_settings(&mut earlier, now);
            is_set = true;
            if let Some((error, notice)) = self.reloads.notice.take() {
                self.server.set_change_notice(notice);
                if let Some(error) = error {
                    self.server.set_config_error(error);
                }
            }
        }
        if !is_set || !self.server.may_reload() {
            self.reloads.returning = Some((earlier, is_set));
            return;
        }
        earlier.force = Force::Return;
        let services = self.succeed(&mut earlier);
        let difference = self.server.services().difference(&services);
        self.apply_services(earlier, services, difference, now);
    }

    /// Puts the configuration in force whose services are not: those that run are of an earlier server's trial.
    pub(super) fn handle_returned(&mut self, outcome: Result<Box<Later>, String>) {
        self.system.reloader().release();
        match outcome {
            Ok(later) => {
                warning!("configuration: the change of an earlier server is not confirmed: its services end");
                self.reloads.returning = Some((later, true));
            }
            Err(errors) => error!("configuration: cannot return to the earlier one: {}", errors),
        }
    }

    /// Continues what an earlier server has left: a change that ended with it or is confirmed, and a reload.
    pub(super) fn continue_earlier(&mut self, left: Left, is_unconfirmed: bool, is_reloading: bool) {
        self.reloads.marked = left.change;
        if let Some(notice) = left.notice {
            warning!("configuration: {}", notice);
            self.server.set_change_notice(notice.clone());
            self.reloads.change_notice = Some(notice).filter(|_| is_reloading);
        }
        let reloader = self.system.reloader();
        self.reloads.is_confirmed = is_unconfirmed && left.is_confirmed;
        if is_unconfirmed && !left.is_confirmed {
            reloader.request_return();
        }
        if is_reloading || self.reloads.is_confirmed {
            info!("the reload of an earlier server begins anew");
            reloader.request_by_signal();
        }
    }
}

/// Notice of a trial that was not confirmed.
fn notice(trial: &Trial, end: &str) -> ChangeNotice {
    mark::notice(Some((trial.change, &trial.by)), end)
}
