//! Reload: accounts, origins and services of a later configuration file take the place of those in force.

use core::time::Duration;

use heapless::{String, Vec};

use super::server::{Server, wake};
use super::websocket;
use crate::api::Platform;
use crate::call::{Completion, Identity, Work};
use crate::config::{ConfigError, ConfigOrigin, Update};
use crate::limits::{ORIGIN_BYTES, ORIGINS, USERS};
use crate::service::ServiceTable;
use crate::session::{Tokens, UserId, Users};
use crate::ws::CloseCode;

/// Parts of a configuration file that need no restart.
#[derive(Debug)]
pub struct Settings {
    /// Users, with their changed passwords.
    pub users: Users,
    /// Tokens, with the ids of these users.
    pub tokens: Tokens,
    /// Allowed origins in addition to the server's own.
    pub origins: Vec<String<ORIGIN_BYTES>, ORIGINS>,
    /// URL under which a proxy makes the server reachable; empty without one.
    pub public_url: String<ORIGIN_BYTES>,
    /// `[session] idle_timeout_s`.
    pub idle_timeout: Duration,
    /// `[session] lockout_attempts` and `lockout_s`.
    pub lockout: (u8, Duration),
    /// `[update]`.
    pub update: Update,
}

impl Server {
    /// Returns false while a reload has to wait: for the end of another one, or of a write to the disk.
    pub fn may_reload(&self) -> bool {
        !self.api.is_writing() && self.api.services.may_reload()
    }

    /// Puts later settings in force, and begins the same of the services, which have the ids of
    /// [`ServiceTable::succeed`]. Sessions of users that are gone end, and their sockets are closed.
    pub fn reload(
        &mut self,
        settings: Settings,
        services: ServiceTable,
        now: Duration,
        platform: &mut dyn Platform,
    ) {
        let Settings { users, mut tokens, origins, public_url, idle_timeout, lockout, update } = settings;
        self.set_update(update);
        (self.shared.http.origins, self.shared.http.public_url) = (origins, public_url);
        self.api.accounts.sessions.set_idle_timeout(idle_timeout);
        self.api.accounts.lockout.set(lockout.0, lockout.1);
        let names = self.api.accounts.users.iter();
        let gone = names.filter(|(_, user)| users.find(&user.name).is_none()).map(|(id, _)| id);
        for user in gone.collect::<Vec<UserId, USERS>>() {
            self.end_user(user, now, platform);
        }
        let ids = self.api.accounts.users.replace(users);
        tokens.renumber(&ids);
        if !self.api.accounts.tokens.has_same(&tokens) {
            for slot in &mut self.slots {
                if matches!(slot.auth.identity(), Some(Identity::Token(_))) {
                    websocket::unbind(slot, "tokens changed", now);
                    wake(&mut self.wakes, slot.place.id);
                }
            }
            self.api.accounts.tokens = tokens;
        }
        self.api.services.begin_reload(services, now);
        self.process_changes(now, platform);
    }

    /// Sets what the test of the running slot asks for.
    pub fn set_update(&mut self, update: Update) {
        self.api.slot.update = update;
    }

    /// Sets the error of a configuration file that is not in force, of which administrators are notified.
    pub fn set_config_error(&mut self, error: ConfigError) {
        self.api.board.config_error = Some(error);
    }

    /// Sets the origin of a configuration that is in force without errors.
    pub fn set_config_origin(&mut self, config_origin: ConfigOrigin) {
        self.api.board.config_origin = config_origin;
        self.api.board.config_error = None;
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
    pub fn finish_reload(&mut self, now: Duration, stored: &mut dyn FnMut(&str) -> Option<bool>) -> u64 {
        let replaced = self.api.services.finish_reload(now, stored);
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
        for slot in self.slots.iter_mut().filter(|slot| slot.place.in_use) {
            if slot.pending.as_ref().is_some_and(|pending| is_about(&pending.call.work)) {
                let cx = &mut self.shared.context(&mut self.api, platform, now);
                slot.handle_completion(Completion::TimedOut, cx);
                wake(&mut self.wakes, slot.place.id);
            }
            if keys.iter().any(|key| slot.auth.is_bound_to(*key) || slot.auth.is_of(*key))
                || matches!(slot.auth.identity(), Some(Identity::Token(other)) if other == user)
            {
                websocket::unbind(slot, "user removed", now);
                slot.close(CloseCode::Policy, "the user was removed", now);
                wake(&mut self.wakes, slot.place.id);
            }
        }
    }
}
