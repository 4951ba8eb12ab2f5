//! Changes of passwords.

use core::time::Duration;

use super::accounts::Accounts;
use super::login::until_s;
use super::{Context, Counters};
use crate::call::{
    Call, Caller, Failure, Identity, Outcome, PasswordVerdict, PendingCall, PendingPassword, Work,
};
use crate::limits::PASSWORD_BYTES;
use crate::log::errno::{EDQUOT, EINVAL, EIO};
use crate::session::{
    ChangedPassword, ClientAddr, PasswordHash, SessionKey, UserId, canonical_password, check_new_password,
};

/// Name of the call.
const UPDATE: &str = "updatepassword";

/// Changes the caller's own password, which needs the old one, unlike in Friend Core. An administrator
/// changes the password of any other user without the old one.
pub(super) fn update<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    if !cx.api.write_rate.permits(identity.user(), cx.now) {
        return Outcome::Failed(Failure::Failed { function: UPDATE, result: EDQUOT });
    }
    let accounts = &mut cx.api.accounts;
    let user = match call.parameter("username") {
        Some(name) => accounts.users.find(name),
        // A local administrator has no password.
        None if matches!(identity, Identity::Local(_)) => {
            return Outcome::Failed(Failure::MissingParameters { names: "username" });
        }
        None => Some(identity.user()),
    };
    let is_own = user == Some(identity.user());
    // Only administrators learn which users exist.
    if !is_own && !accounts.is_admin(identity) {
        return Outcome::Failed(Failure::NotAllowed);
    }
    let Some(user) = user else {
        return Outcome::Failed(Failure::UnknownUser);
    };
    let Some(new) = call.parameters.get("password") else {
        return Outcome::Failed(Failure::MissingParameters { names: "password" });
    };
    if new.len() > PASSWORD_BYTES {
        return Outcome::Failed(Failure::Failed { function: UPDATE, result: EINVAL });
    }
    if let Err(reason) = check_new_password(new, accounts.users.name(user)) {
        return Outcome::Failed(Failure::Unchanged { function: UPDATE, reason });
    }
    let canonical = canonical_password(new.as_bytes());
    let mut old = None;
    if is_own {
        let Some(given) = call.parameter("oldpassword") else {
            return Outcome::Failed(Failure::MissingParameters { names: "oldpassword" });
        };
        let name = accounts.users.get(user).map_or("", |user| &user.name);
        if let Some(left) = accounts.lockout.blocked_for(name, caller.source, cx.now) {
            let until_s = until_s(left, cx.platform);
            return refuse(until_s, cx);
        }
        if given.len() > PASSWORD_BYTES {
            return refuse(0, cx);
        }
        // A user without a password cannot change it; an administrator must set one.
        let stored = accounts.users.password(user).cloned();
        let stored = stored.unwrap_or_else(|| PasswordHash::dummy(accounts.rounds()));
        old = Some((canonical_password(given.as_bytes()), stored));
    }
    if !accounts.may_check(false, caller.source) {
        return Outcome::Failed(Failure::TableFull);
    }
    let id = cx.api.next_call_id();
    let salt = old.as_ref().map(|(_, stored)| *stored.salt());
    match cx.platform.change_password(old, canonical, id) {
        Ok(()) => {
            cx.api.accounts.begin_check(id, caller.source);
            let work = Work::Password(PendingPassword {
                user,
                by: identity.user(),
                session: identity.session(),
                salt,
                source: caller.source,
            });
            Outcome::Pending(PendingCall::new(id, work))
        }
        Err(super::Refused) => Outcome::Failed(Failure::TableFull),
    }
}

/// Completes a change after the check of the old password and the hash of the new one. The new password is
/// on the disk before the outcome is sent.
pub(super) fn complete<'a>(
    pending: &PendingPassword,
    verdict: PasswordVerdict,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let now = cx.now;
    let accounts = &mut cx.api.accounts;
    let Some(name) = accounts.users.get(pending.user).map(|user| user.name.clone()) else {
        return Outcome::Failed(Failure::UnknownUser);
    };
    let is_own = pending.salt.is_some();
    if is_own && let Some(left) = accounts.lockout.blocked_for(&name, pending.source, now) {
        let until_s = until_s(left, cx.platform);
        return refuse(until_s, cx);
    }
    let PasswordVerdict::Made(hash) = verdict else {
        if !is_own {
            return Outcome::Failed(Failure::Failed { function: UPDATE, result: EINVAL });
        }
        let blocked = accounts.lockout.handle_failure(&name, pending.source, now);
        if blocked.is_some() {
            crate::warning!("user {}: too many wrong passwords from {}, blocked there", name, pending.source);
        }
        let until_s = blocked.map_or(0, |left| until_s(left, cx.platform));
        return refuse(until_s, cx);
    };
    // The session may have ended during the check, for example by another change of this password.
    if pending.session.is_some_and(|session| !accounts.sessions.touch(session, now)) {
        return Outcome::Failed(Failure::UnknownSession { given: "" });
    }
    if !accounts.is_current(pending.user, pending.salt) {
        return refuse(0, cx);
    }
    if cx.api.password_change.is_some() {
        return Outcome::Failed(Failure::TableFull);
    }
    let before = accounts.users.changed_password(pending.user).cloned();
    accounts.users.set_password(pending.user, Some(ChangedPassword::To(hash)));
    let id = cx.api.next_call_id();
    let accounts = &mut cx.api.accounts;
    match cx.platform.store_passwords(&accounts.users, id) {
        Ok(()) => {
            let PendingPassword { user, by, session, source, .. } = *pending;
            cx.api.write_rate.count(by, now);
            cx.api.password_change = Some(PasswordChange { id, user, by, session, source, is_own, before });
            Outcome::Pending(PendingCall::new(id, Work::StoredPassword { user }))
        }
        Err(super::Refused) => {
            accounts.users.set_password(pending.user, before);
            outcome(Err(EIO))
        }
    }
}

/// Change of a password that is not on the disk yet.
#[derive(Debug)]
pub(super) struct PasswordChange {
    /// Id of the write.
    id: u64,
    user: UserId,
    by: UserId,
    session: Option<SessionKey>,
    source: ClientAddr,
    is_own: bool,
    /// Password that a failed write restores; `None`: that of the configuration file.
    before: Option<ChangedPassword>,
}

impl PasswordChange {
    /// Returns true for the write of this id.
    pub(super) fn is(&self, id: u64) -> bool {
        self.id == id
    }
}

/// Handles the end of a change's write. Sessions opened with the old password end.
pub(super) fn finish(change: PasswordChange, is_written: bool, accounts: &mut Accounts, now: Duration) {
    let PasswordChange { user, by, session, source, is_own, before, .. } = change;
    if !is_written {
        accounts.users.set_password(user, before);
        return;
    }
    let name = accounts.users.get(user).map(|user| user.name.clone()).unwrap_or_default();
    if is_own {
        accounts.lockout.handle_success(&name, source, now);
    } else {
        // Of an earlier password: the user has the new one from an administrator.
        accounts.lockout.clear(Some(&name));
    }
    accounts.end_sessions(user, session);
    crate::info!("user {}: password changed by {} from {}", name, accounts.users.name(by), source);
}

/// Outcome of a change after its write.
pub(super) fn outcome(written: Result<(), i32>) -> Outcome<'static> {
    match written {
        Ok(()) => Outcome::PasswordUpdated,
        Err(result) => Outcome::Failed(Failure::Failed { function: UPDATE, result }),
    }
}

/// Refuses a change. `until_s` is 0 if only the old password was wrong.
fn refuse<'a>(until_s: u64, cx: &mut Context<'_>) -> Outcome<'a> {
    Counters::add(&mut cx.api.counters.refused_logins);
    Outcome::Failed(Failure::Blocked { until_s })
}
