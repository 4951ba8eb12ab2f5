//! Reload: accounts, origins and services of a later configuration file take the place of those in force.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use heapless::{String, Vec};

use super::machine::Connection;
use super::server::{Server, wake};
use super::{push, websocket};
use crate::api::{Platform, Trial, audit};
use crate::call::{Completion, Identity, Work};
use crate::config::{ConfigError, ConfigOrigin, NOTICE_BYTES, Update, one_line};
use crate::friendcore::reply;
use crate::http::Front;
use crate::limits::USERS;
use crate::service::ServiceTable;
use crate::session::{SessionKey, Tokens, User, UserId, Users};
use crate::ws::CloseCode;

/// Parts of a configuration file that need no restart.
#[derive(Debug)]
pub struct Settings {
    /// Users, with their changed passwords.
    pub users: Users,
    /// Tokens, with the ids of these users.
    pub tokens: Tokens,
    /// Proxies, and pages that may call.
    pub front: Front,
    /// `[session] idle_timeout_s` and `lifetime_s`.
    pub session: (Duration, Duration),
    /// `[session] lockout_attempts` and `lockout_s`.
    pub lockout: (u8, Duration),
    /// `[update]`.
    pub update: Update,
    /// Session that stays, although the password of its user is another one.
    pub kept: Option<SessionKey>,
}

impl Server {
    /// Returns false while a reload has to wait: for the end of another one, or of a write to the disk.
    pub fn may_reload(&self) -> bool {
        !self.api.is_writing() && self.api.services.may_reload()
    }

    /// Puts later settings in force, unless [`is_writing`](Self::is_writing). Sessions of users that are gone end, and their
    /// sockets are closed. Sessions that were opened with another password end.
    pub fn set(&mut self, settings: Settings, now: Duration, platform: &mut dyn Platform) {
        let Settings { users, mut tokens, front, session, lockout, update, kept } = settings;
        self.set_update(update);
        self.shared.http.front = front;
        self.api.accounts.sessions.set_times(session.0, session.1);
        self.api.accounts.lockout.set(lockout.0, lockout.1);
        let names = self.api.accounts.users.iter();
        let gone = names.filter(|(_, user)| users.find(&user.name).is_none()).map(|(id, _)| id);
        for user in gone.collect::<Vec<UserId, USERS>>() {
            self.end_user(user, now, platform);
        }
        self.audit_users(&users, &tokens, now);
        let before = &self.api.accounts.users;
        let password = |user: &User| users.find(&user.name).and_then(|later| users.password(later));
        let changed =
            before.iter().filter(|(id, user)| before.password(*id) != password(user)).map(|(id, _)| id);
        for user in changed.collect::<Vec<UserId, USERS>>() {
            self.api.accounts.end_sessions(user, kept);
        }
        let has_same = |user: &User| {
            let later = users.find(&user.name).and_then(|id| users.get(id));
            later.is_some_and(|later| later.level == user.level && later.services == user.services)
        };
        let others = self.api.accounts.users.iter().filter(|(_, user)| !has_same(user));
        let others: Vec<UserId, USERS> = others.map(|(id, _)| id).collect();
        let ids = self.api.accounts.users.replace(users);
        tokens.renumber(&ids);
        if !self.api.accounts.tokens.has_same(&tokens) {
            self.unbind_where("tokens changed", now, &|identity, _| matches!(identity, Identity::Token(..)));
            self.api.accounts.tokens = tokens;
        }
        self.notify_rights(&others, now);
        self.process_changes(now, platform);
    }

    /// Notifies the sockets of users whose rights are others now. The state of all that they may see follows.
    fn notify_rights(&mut self, users: &[UserId], now: Duration) {
        let is_one =
            |slot: &Connection| slot.auth.bound.is_some_and(|identity| users.contains(&identity.user()));
        for slot in self.slots.iter_mut().filter(|slot| slot.closing.is_open() && is_one(slot)) {
            slot.pushes.add_all(&self.api.services);
        }
        self.notify_bound("rights changed", &is_one, now);
    }

    /// Notifies each open socket for which `is_one` returns true.
    fn notify_bound(&mut self, notice: &str, is_one: &dyn Fn(&Connection) -> bool, now: Duration) {
        for slot in self.slots.iter_mut().filter(|slot| slot.closing.is_open() && is_one(slot)) {
            slot.put_answer(|out| reply::notice(out, notice));
            slot.track_stall(now);
            wake(&mut self.wakes, slot.place.id);
        }
    }

    /// Writes to the audit trail what later settings change of each user.
    fn audit_users(&mut self, later: &Users, tokens: &Tokens, now: Duration) {
        let (rates, accounts) = (&mut self.api.audit, &self.api.accounts);
        let before = &accounts.users;
        for (id, user) in before.iter() {
            let changes = match later.find(&user.name).and_then(|id| Some((id, later.get(id)?))) {
                None => [("removed", true), ("", false), ("", false), ("", false)],
                Some((then, other)) => [
                    ("password", before.password(id) != later.password(then)),
                    ("level", user.level != other.level),
                    ("services", user.services != other.services),
                    ("tokens", !accounts.tokens.has_same_of(id, tokens, then)),
                ],
            };
            audit::write_user(rates, &user.name, &changes, now);
        }
        for (_, user) in later.iter().filter(|(_, user)| before.find(&user.name).is_none()) {
            audit::write_user(rates, &user.name, &[("added", true)], now);
        }
    }

    /// Begins to put later services in force, which have the ids of [`ServiceTable::succeed`].
    pub fn reload(&mut self, services: ServiceTable, now: Duration, platform: &mut dyn Platform) {
        self.api.services.begin_reload(services, now);
        self.process_changes(now, platform);
    }

    /// Sets what the test of the running slot asks for.
    pub fn set_update(&mut self, update: Update) {
        self.api.slot.update = update;
    }

    /// Tokens of the configuration file in force, with the ids of [`users`](Self::users).
    pub fn tokens(&self) -> &Tokens {
        &self.api.accounts.tokens
    }

    /// Begins the time of a change to be confirmed.
    pub fn begin_trial(&mut self, trial: Trial) {
        self.api.changes.trial = Some(trial);
    }

    /// Change that is to be confirmed.
    pub fn trial(&self) -> Option<&Trial> {
        self.api.changes.trial.as_ref()
    }

    /// Returns true once the time of that is over.
    pub fn trial_is_over(&self, now: Duration) -> bool {
        self.api.changes.is_over(now)
    }

    /// Lets its time be over now.
    pub fn give_trial_up(&mut self) {
        self.api.changes.give_up();
    }

    /// Notes that its file could not be written: it may be confirmed again.
    pub fn continue_trial(&mut self) {
        if let Some(trial) = &mut self.api.changes.trial {
            trial.is_writing = false;
        }
    }

    /// Ends it. An unconfirmed one is in the audit trail.
    pub fn end_trial(&mut self, is_confirmed: bool) -> Option<Trial> {
        let trial = self.api.changes.trial.take()?;
        if !is_confirmed {
            audit::write_unconfirmed(&trial.by);
        }
        Some(trial)
    }

    /// Error of the configuration file that is not in force, and the origin of the one that is.
    pub fn config_state(&self) -> (Option<ConfigError>, ConfigOrigin) {
        let board = &self.api.board;
        (board.config_error.clone().filter(|_| board.is_file_out_of_force), board.config_origin)
    }

    /// Sets the error of a configuration file that is not in force, of which administrators are notified.
    pub fn set_config_error(&mut self, error: ConfigError) {
        self.api.board.is_file_out_of_force = true;
        self.api.board.config_error = Some(error);
        self.notify_problem();
    }

    /// Sets the notice of a change that was not confirmed.
    pub fn set_change_notice(&mut self, notice: String<NOTICE_BYTES>) {
        self.api.board.change_notice = Some(notice);
        self.notify_problem();
    }

    /// Sets the notices about the dates of the certificates in use and of the tokens. Administrators are notified of
    /// another one.
    pub fn set_expiry_notices(
        &mut self,
        certificate: Option<String<NOTICE_BYTES>>,
        token: Option<String<NOTICE_BYTES>>,
    ) {
        let board = &mut self.api.board;
        let mut is_other = false;
        for (notice, before) in [(certificate, &mut board.certificate), (token, &mut board.token)] {
            is_other |= notice.is_some() && notice != *before;
            *before = notice;
        }
        if is_other {
            self.notify_problem();
        }
    }

    /// Sets the names of the certificate in use; its SHA-256, that of its public key, and its end.
    pub fn set_certificate(&mut self, names: &dyn fmt::Display, facts: &Arc<[std::string::String; 3]>) {
        self.api.board.certificate_facts = Arc::clone(facts);
        self.api.board.certificate_names = one_line(names);
    }

    /// Sets the text about the log server, and the notice that it is out of reach, or empty ones. Administrators are notified
    /// of the latter.
    pub fn set_syslog(&mut self, text: String<NOTICE_BYTES>, notice: String<NOTICE_BYTES>) {
        let board = &mut self.api.board;
        let is_new = !notice.is_empty() && board.syslog_notice.is_none();
        board.syslog = text;
        board.syslog_notice = Some(notice).filter(|notice| !notice.is_empty());
        if is_new {
            self.notify_problem();
        }
    }

    /// Sets or removes the notice that another host has the name of this one.
    pub fn set_name_notice(&mut self, notice: Option<String<NOTICE_BYTES>>) {
        let is_set = notice.is_some();
        self.api.board.name = notice;
        if is_set {
            self.notify_problem();
        }
    }

    /// Notifies each administrator of the problems of the board.
    pub(super) fn notify_problem(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.place.in_use && slot.closing.is_open()) {
            slot.pushes.is_notified = false;
            push::notify_problem(slot, &self.api);
            wake(&mut self.wakes, slot.place.id);
        }
    }

    /// Sets the origin of a configuration that is in force without errors.
    pub fn set_config_origin(&mut self, config_origin: ConfigOrigin) {
        self.api.board.config_origin = config_origin;
        (self.api.board.config_error, self.api.board.change_notice) = (None, None);
        self.api.board.is_file_out_of_force = false;
    }

    /// Returns true while the services stop for the end of the server.
    pub fn is_shutting_down(&self) -> bool {
        self.is_shutting_down
    }

    /// Returns true once no service has a process that stops for the reload, and no call waits for a write to the disk:
    /// the settings that the reload stores would take the place of that write, and its call would get their result.
    pub fn reload_is_due(&self) -> bool {
        !self.api.is_writing() && self.api.services.reload_is_due()
    }

    /// Ends the reload of the services. What it starts is executed by [`process_changes`](Self::process_changes). Returns the
    /// mask of the services whose place another one has now, or none. `stored` is the setting of a service, by an earlier
    /// `install` or `uninstall`.
    pub fn finish_reload(
        &mut self,
        now: Duration,
        unix_s: Option<u64>,
        stored: &mut dyn FnMut(&str) -> Option<bool>,
    ) -> u64 {
        let replaced = self.api.services.finish_reload(now, unix_s, stored);
        if replaced != 0 {
            self.notify_bound("services changed", &|slot| slot.auth.bound.is_some(), now);
        }
        self.slots.iter_mut().for_each(|slot| slot.pushes.forget(replaced));
        self.api.operations.forget_services(replaced);
        replaced
    }

    /// Ends the sessions of a user that is gone, closes the sockets, and lets pending calls about the user fail.
    fn end_user(&mut self, user: UserId, now: Duration, platform: &mut dyn Platform) {
        let is_about = |work: &Work| match work {
            Work::Login(login) => login.user == Some(user),
            Work::Password(password) => password.user == user || password.by == user,
            _ => false,
        };
        let keys = self.api.accounts.sessions.close_user(user, None);
        self.api.operations.forget_user(user);
        audit::forget_user(&mut self.api, user);
        self.api.accounts.pairing.forget_user(user);
        // The next user with this id is another one.
        for pending in self.slots.iter_mut().filter_map(|slot| slot.pending.as_mut()) {
            pending.call.audited.take_if(|audited| audited.user == user);
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.place.in_use) {
            if slot.pending.as_ref().is_some_and(|pending| is_about(&pending.call.work)) {
                let cx = &mut self.shared.context(&mut self.api, platform, now);
                slot.handle_completion(Completion::TimedOut, cx);
                wake(&mut self.wakes, slot.place.id);
            }
            if keys.iter().any(|key| slot.auth.is_bound_to(*key) || slot.auth.is_of(*key))
                || matches!(
                    slot.auth.identity(),
                    Some(Identity::Token(_, other) | Identity::Paired(_, other)) if other == user
                )
            {
                websocket::unbind(slot, "user removed", now);
                slot.close(CloseCode::Policy, "the user was removed", now);
                wake(&mut self.wakes, slot.place.id);
            }
        }
    }
}
