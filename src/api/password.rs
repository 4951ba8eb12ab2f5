//! Changing passwords.

use core::time::Duration;

use super::Api;
use super::errno::{EINVAL, EIO};
use super::login::until_s;
use super::{Counters, PasswordVerdict, Platform};
use crate::call::{Caller, Identity, Outcome, PendingCall, PendingPasswordChange, UPDATE_PASSWORD};
use crate::friendcore::{Failure, Form, Request, content};
use crate::limits::PASSWORD_BYTES;
use crate::session::{PasswordHash, SALT_BYTES, UserId, canonical_password};

impl Api {
    /// `system.library/user/updatepassword`: everybody's own, who shows the old one; an administrator
    /// changes anybody's. Friend Core does not ask for the old one.
    pub(crate) fn update_password(
        &mut self,
        request: &Request<'_>,
        identity: Identity,
        caller: &Caller,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> Outcome {
        let form = request.form;
        let value = |key| request.parameters.get(key).filter(|value| !value.is_empty());
        if !caller.may_change {
            return self.fail(form, Failure::NotPost);
        }
        let user = match value("username") {
            Some(name) => self.users.find(name),
            None => Some(identity.user()),
        };
        let is_own = user == Some(identity.user());
        // Who is there and who is not is told to administrators only.
        if !is_own && !self.users.is_admin(identity.user()) {
            return self.fail(form, Failure::NotAllowed);
        }
        let Some(user) = user else {
            return self.fail(form, Failure::UnknownUser);
        };
        let Some(new) = value("password") else {
            return self.fail(form, Failure::MissingParameters { names: "password" });
        };
        let canonical = canonical_password(new.as_bytes());
        // Empty is empty in the hashed form, too.
        if new.len() > PASSWORD_BYTES || canonical == canonical_password(b"") {
            return self.fail(form, Failure::Failed { function: UPDATE_PASSWORD, result: EINVAL });
        }
        let mut old = None;
        if is_own {
            let Some(given) = value("oldpassword") else {
                return self.fail(form, Failure::MissingParameters { names: "oldpassword" });
            };
            let name = self.users.get(user).map(|user| user.name.as_str()).unwrap_or_default();
            if let Some(left) = self.lockout.blocked_for(name, caller.source, now) {
                return self.refuse_change(form, Some(left), platform);
            }
            if given.len() > PASSWORD_BYTES {
                return self.refuse_change(form, None, platform);
            }
            // Who has none cannot show it, and has an administrator make one.
            let stored = self.users.password(user).cloned();
            let stored = stored.unwrap_or_else(|| PasswordHash::dummy(self.rounds()));
            old = Some((canonical_password(given.as_bytes()), stored));
        }
        if !self.may_check_password(caller.source) {
            return self.fail(form, Failure::TableFull);
        }
        let call_id = self.call_id();
        let salt = old.as_ref().map(|(_, stored)| *stored.salt());
        match platform.change_password(old, canonical, call_id) {
            Ok(()) => {
                self.begin_check(call_id, caller.source);
                let asker = match identity {
                    Identity::Session(key, _) => Some(key),
                    Identity::Token(_) => None,
                };
                let job =
                    PendingPasswordChange { user, by: identity.user(), asker, salt, source: caller.source };
                Outcome::Pending { call_id, job: PendingCall::Change(job) }
            }
            Err(super::Refused) => self.fail(form, Failure::TableFull),
        }
    }

    /// Ends a change whose old password was checked and whose new one was hashed: it is written down
    /// before it is acknowledged.
    pub(crate) fn finish_change(
        &mut self,
        job: &PendingPasswordChange,
        verdict: PasswordVerdict,
        form: Form,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> Outcome {
        let Some(name) = self.users.get(job.user).map(|user| user.name.clone()) else {
            return self.fail(form, Failure::UnknownUser);
        };
        let is_own = job.salt.is_some();
        if is_own && let Some(left) = self.lockout.blocked_for(&name, job.source, now) {
            return self.refuse_change(form, Some(left), platform);
        }
        let PasswordVerdict::Made(hash) = verdict else {
            if !is_own {
                return self.fail(form, Failure::Failed { function: UPDATE_PASSWORD, result: EINVAL });
            }
            let blocked = self.lockout.handle_failure(&name, job.source, now);
            if blocked.is_some() {
                crate::warning!("user {}: too many wrong passwords, blocked for that source", name);
            }
            return self.refuse_change(form, blocked, platform);
        };
        // While it was worked on, the session may have ended: by a change of this password, for one.
        if job.asker.is_some_and(|asker| !self.sessions.touch(asker, now)) {
            return self.fail(form, Failure::UnknownSession { given: "" });
        }
        if !self.is_current(job.user, job.salt) {
            return self.refuse_change(form, None, platform);
        }
        let before = self.users.changed_password(job.user).cloned();
        self.users.set_password(job.user, Some(hash));
        if !platform.store_passwords(&self.users) {
            self.users.set_password(job.user, before);
            return self.fail(form, Failure::Failed { function: UPDATE_PASSWORD, result: EIO });
        }
        if is_own {
            self.lockout.handle_success(&name, job.source);
        }
        // Whoever else is in with the old one is out.
        for key in self.sessions.close_user(job.user, job.asker) {
            let _ = self.ended.push(key);
        }
        let by = self.users.get(job.by).map(|user| user.name.as_str()).unwrap_or_default();
        crate::info!("user {}: password changed by {}", name, by);
        self.write(content::password_updated)
    }

    /// Whether the password with this salt is still the user's, where one was looked at.
    pub(crate) fn is_current(&self, user: UserId, salt: Option<[u8; SALT_BYTES]>) -> bool {
        salt.is_none_or(|salt| self.users.password(user).is_some_and(|hash| *hash.salt() == salt))
    }

    /// The old password was wrong, or may not be tried for so long.
    fn refuse_change(&mut self, form: Form, blocked: Option<Duration>, platform: &dyn Platform) -> Outcome {
        Counters::add(&mut self.counters.refused_logins);
        let until_s = blocked.map_or(0, |left| until_s(left, platform));
        self.fail(form, Failure::Blocked { until_s })
    }
}
