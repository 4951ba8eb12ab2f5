//! Logging in and out.

use core::time::Duration;

use heapless::String;

use super::Api;
use super::{Counters, Platform};
use crate::call::{Caller, Identity, Outcome, PendingCall, PendingLogin};
use crate::friendcore::content::{self, Login};
use crate::friendcore::{Failure, Form, Request};
use crate::limits::{PASSWORD_BYTES, PASSWORD_ROUNDS};
use crate::session::{PasswordHash, SessionKey, UserId, canonical_password};

impl Api {
    /// `system.library/login`: with `deviceid` as Friend Core answers it since 2021, without as in
    /// 2016. A session and a device instead of a password go on with that session.
    pub(crate) fn login(
        &mut self,
        request: &Request<'_>,
        caller: &Caller,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> Outcome {
        let value = |key| request.parameters.get(key).filter(|value| !value.is_empty());
        let device = value("deviceid");
        if !caller.may_change {
            return self.fail(request.form, Failure::NotPost);
        }
        if let (Some(session), Some(_), None) = (request.session, device, value("password")) {
            return self.resume(session, request.form, caller, now);
        }
        let (Some(name), Some(password)) = (value("username"), value("password")) else {
            // Without a device the call is one of 2016, whichever way it comes.
            let form = if device.is_some() { request.form } else { Form::Frame };
            return self.fail(form, Failure::MissingCredentials);
        };
        let (Ok(name), Ok(device)) = (String::try_from(name), device.map(String::try_from).transpose())
        else {
            return self.refuse(device.is_some(), 0);
        };
        if let Some(left) = self.lockout.blocked_for(&name, caller.source, now) {
            return self.refuse(device.is_some(), until_s(left, platform));
        }
        if password.len() > PASSWORD_BYTES {
            return self.refuse(device.is_some(), 0);
        }
        if !self.may_check_password(caller.source) {
            return self.fail(request.form, Failure::TableFull);
        }
        let user = self.users.find(&name);
        let stored = user.and_then(|user| self.users.password(user).cloned());
        // Who is not there takes as long to refuse as who is.
        let (user, hash) = match stored {
            Some(hash) => (user, hash),
            None => (None, PasswordHash::dummy(self.rounds())),
        };
        let call_id = self.call_id();
        let salt = *hash.salt();
        match platform.check_password(canonical_password(password.as_bytes()), hash, call_id) {
            Ok(()) => {
                self.begin_check(call_id, caller.source);
                let (source, admins_only) = (caller.source, caller.admins_only);
                let job = PendingLogin { user, salt, name, device, source, admins_only };
                Outcome::Pending { call_id, job: PendingCall::Login(job) }
            }
            Err(super::Refused) => self.fail(request.form, Failure::TableFull),
        }
    }

    /// Ends a login whose password was checked.
    pub(crate) fn finish_login(
        &mut self,
        job: &PendingLogin,
        is_right: bool,
        form: Form,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> Outcome {
        // Guesses sent at the same time do not get past the block that the first of them brought.
        if let Some(left) = self.lockout.blocked_for(&job.name, job.source, now) {
            return self.refuse(job.device.is_some(), until_s(left, platform));
        }
        // A password that was changed while the old one was checked is not that any more.
        let user = job.user.filter(|user| is_right && self.is_current(*user, Some(job.salt)));
        let Some(user) = user else {
            let blocked = self.lockout.handle_failure(&job.name, job.source, now);
            if blocked.is_some() {
                crate::warning!("user {}: too many wrong passwords, blocked for that source", job.name);
            }
            return self.refuse(job.device.is_some(), blocked.map_or(0, |left| until_s(left, platform)));
        };
        self.lockout.handle_success(&job.name, job.source);
        let Some(level) = self.users.get(user).map(|user| user.level) else {
            return self.refuse(job.device.is_some(), 0);
        };
        if job.admins_only && !self.users.is_admin(user) {
            return Outcome::AtCapacity;
        }
        let opened = match platform.random() {
            Ok(random) => self.sessions.open(user, level, job.device.as_deref(), random, now).ok(),
            Err(super::Refused) => None,
        };
        if let Some(key) = self.sessions.take_evicted() {
            // One login displaces one session, and its sockets are told before the next.
            let _ = self.ended.push(key);
        }
        let Some(key) = opened else {
            return self.fail(form, Failure::TableFull);
        };
        crate::info!("user {}: logged in", job.name);
        self.write_login(
            key,
            user,
            if job.device.is_some() { content::login_2021 } else { content::login_2016 },
        )
    }

    /// The rounds that checking a user's password takes. A device file made for another board may
    /// have others than this one makes.
    pub(crate) fn rounds(&self) -> u32 {
        let passwords = self.users.iter().filter_map(|(id, _)| self.users.password(id));
        passwords.map(PasswordHash::rounds).max().unwrap_or(PASSWORD_ROUNDS as u32)
    }

    fn resume(&mut self, session: &str, form: Form, caller: &Caller, now: Duration) -> Outcome {
        match self.sessions.find(session, now) {
            Some((_, user)) if caller.admins_only && !self.users.is_admin(user) => Outcome::AtCapacity,
            Some((key, user)) => self.write_login(key, user, content::resume_2021),
            None => self.fail(form, Failure::CannotResume),
        }
    }

    fn write_login(
        &mut self,
        key: SessionKey,
        user: UserId,
        write: impl FnOnce(&mut crate::json::Writer<'_>, &Login<'_>) -> Result<(), crate::json::Full>,
    ) -> Outcome {
        let mut sessionid = String::<{ crate::limits::SESSION_ID_BYTES }>::new();
        let (Some(id), Some(account)) = (self.sessions.id(key), self.users.get(user)) else {
            return Outcome::Silence;
        };
        let _ = sessionid.push_str(id);
        let account = account.clone();
        self.write(|out| {
            write(
                out,
                &Login {
                    sessionid: &sessionid,
                    level: account.level.name(),
                    userid: user.index() as u32 + 1,
                    fullname: &account.full_name,
                    username: &account.name,
                },
            )
        })
    }

    /// `until_s`: 0 when it is only the password that was wrong.
    fn refuse(&mut self, later: bool, until_s: u64) -> Outcome {
        Counters::add(&mut self.counters.refused_logins);
        if later {
            self.write(|out| content::login_blocked(out, until_s))
        } else {
            self.write(content::login_failed_2016)
        }
    }

    /// `system.library/user/logout`: ends the caller's session; an administrator may end another by
    /// showing its id. Over the envelope Friend Core says nothing, and neither does this.
    pub(crate) fn logout(&mut self, request: &Request<'_>, identity: Identity, now: Duration) -> Outcome {
        let own = match identity {
            Identity::Session(key, _) => Some(key),
            // A token is the device file's: nothing sent here can end it.
            Identity::Token(_) => None,
        };
        let named = request.session.filter(|_| self.users.is_admin(identity.user()));
        let named = named.and_then(|id| self.sessions.find(id, now)).map(|(key, _)| key);
        if let Some(key) = named.or(own)
            && self.sessions.close(key)
        {
            // Every session fits once; a second mention needs no second notice.
            let _ = self.ended.push(key);
        }
        match request.form {
            Form::Envelope => Outcome::Silence,
            form => self.write(|out| content::logout(out, form)),
        }
    }
}

pub(crate) fn until_s(left: Duration, platform: &dyn Platform) -> u64 {
    platform.unix_s().saturating_add(left.as_secs().max(1))
}
