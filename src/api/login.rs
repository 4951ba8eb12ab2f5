//! Logins and logouts.

use core::time::Duration;

use heapless::String;

use super::audit::{self, AuditCall, AuditKind, AuditObject};
use super::{Context, Counters, Platform};
use crate::call::{
    Call, Caller, Failure, Identity, Login, Outcome, PasswordVerdict, PendingCall, PendingLogin, Work,
};
use crate::limits::{PASSWORD_BYTES, USER_NAME_BYTES};
use crate::log::Word;
use crate::log::errno::EINVAL;
use crate::session::{ClientAddr, PasswordHash, SessionKey, UserId, canonical_password, device_id};

/// Path of the call.
const LOGIN: &[&str] = &["login"];

/// Opens a session. The outcome is that of Friend Core since 2021 with `deviceid`, and that of 2016 without.
/// A session id and a device instead of a password resume that session.
pub(super) fn login<'a>(call: &Call<'a>, caller: &Caller, cx: &'a mut Context<'_>) -> Outcome<'a> {
    let now = cx.now;
    let device = call.parameter("deviceid");
    let has_device = device.is_some();
    if let (Some(session), Some(_), None) = (call.session, device, call.parameter("password")) {
        return resume(session, caller, cx);
    }
    let (Some(name), Some(password)) = (call.parameter("username"), call.parameter("password")) else {
        return Outcome::Failed(Failure::MissingCredentials { has_device });
    };
    let device = match device.map(device_id) {
        Some(None) => {
            audit_refusal(LOGIN, name, caller.source, cx);
            log_refusal(name, caller.source, cx);
            return Outcome::Failed(Failure::Failed { function: "login", result: EINVAL });
        }
        device => device.flatten(),
    };
    let Ok(name) = String::try_from(name) else {
        // No user has such a name. The trail has as much of it, and of a device, as of others.
        audit_refusal(LOGIN, name, caller.source, cx);
        log_refusal(name, caller.source, cx);
        return refuse(has_device, 0, cx);
    };
    if let Some(left) = cx.api.accounts.lockout.blocked_for(&name, caller.source, now) {
        audit_refusal(LOGIN, &name, caller.source, cx);
        let until_s = until_s(left, cx.platform);
        return refuse(has_device, until_s, cx);
    }
    if password.len() > PASSWORD_BYTES {
        audit_refusal(LOGIN, &name, caller.source, cx);
        return refuse(has_device, 0, cx);
    }
    let accounts = &mut cx.api.accounts;
    if !accounts.may_check(accounts.lockout.is_known(&name, caller.source), caller.source) {
        return Outcome::Failed(Failure::TableFull);
    }
    let user = accounts.users.find(&name);
    let stored = user.and_then(|user| accounts.users.password(user).cloned());
    // The refusal of an unknown user lasts as long as that of a wrong password.
    let (user, hash) = match stored {
        Some(hash) => (user, hash),
        None => (None, PasswordHash::dummy(accounts.rounds())),
    };
    let id = cx.api.next_call_id();
    let salt = *hash.salt();
    match cx.platform.check_password(canonical_password(password.as_bytes()), hash, id) {
        Ok(()) => {
            cx.api.accounts.begin_check(id, caller.source);
            let (source, admins_only) = (caller.source, caller.admins_only);
            let work = Work::Login(PendingLogin { user, salt, name, device, source, admins_only });
            Outcome::Pending(PendingCall::new(id, work))
        }
        Err(super::Refused) => Outcome::Failed(Failure::TableFull),
    }
}

/// Completes a login whose password was checked.
pub(super) fn complete<'a>(
    pending: &PendingLogin,
    verdict: &PasswordVerdict,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let now = cx.now;
    let has_device = pending.device.is_some();
    let accounts = &mut cx.api.accounts;
    // The block that the first of several simultaneous guesses causes applies to the others.
    if let Some(left) = accounts.lockout.blocked_for(&pending.name, pending.source, now) {
        audit_refusal(LOGIN, &pending.name, pending.source, cx);
        let until_s = until_s(left, cx.platform);
        return refuse(has_device, until_s, cx);
    }
    let is_right = *verdict != PasswordVerdict::Wrong;
    // A password that changed during the check is not the user's any more.
    let user = pending.user.filter(|user| is_right && accounts.is_current(*user, Some(pending.salt)));
    let Some(user) = user else {
        audit_refusal(LOGIN, &pending.name, pending.source, cx);
        let accounts = &mut cx.api.accounts;
        let blocked = accounts.lockout.handle_failure(&pending.name, pending.source, now);
        if blocked.is_some() {
            crate::warning!(
                "user {}: too many wrong passwords from {}, blocked there",
                Word(&pending.name),
                pending.source
            );
        } else {
            log_refusal(&pending.name, pending.source, cx);
        }
        let until_s = blocked.map_or(0, |left| until_s(left, cx.platform));
        return refuse(has_device, until_s, cx);
    };
    accounts.lockout.handle_success(&pending.name, pending.source, now);
    let Some(level) = accounts.users.get(user).map(|user| user.level) else {
        return super::internal("a login of a user who does not exist");
    };
    if pending.admins_only && !accounts.users.is_admin(user) {
        return Outcome::AtCapacity;
    }
    let opened = match cx.platform.random() {
        Ok(random) => {
            let (device, source) = (pending.device.as_deref(), pending.source);
            accounts.sessions.open(user, level, device, source, random, now).ok()
        }
        Err(super::Refused) => None,
    };
    // A login displaces at most one session.
    if let Some(key) = accounts.sessions.take_evicted() {
        accounts.note_ended(key);
    }
    let Some(key) = opened else {
        return Outcome::Failed(Failure::TableFull);
    };
    crate::info!("user {}: logged in from {}", cx.api.accounts.subject(user), pending.source);
    let login = AuditCall { kind: AuditKind::Login, user: Some(user), source: pending.source, path: LOGIN };
    audit::finish(login.begin(None, AuditObject::None, cx), Outcome::Done);
    match login_of(key, user, cx) {
        Some(login) => Outcome::LoggedIn { login, has_device },
        None => super::internal("a session that was opened does not exist"),
    }
}

/// Logs a refused login. The name is unproved.
pub(super) fn log_refusal(name: &str, source: ClientAddr, cx: &mut Context<'_>) {
    if let Some(suppressed) = cx.api.accounts.log_refusal(cx.now) {
        crate::warning!("user {}: login from {} refused{}", Word(beginning(name)), source, suppressed);
    }
}

/// Beginning of a name that may be longer than those of users.
fn beginning(name: &str) -> &str {
    let mut end = USER_NAME_BYTES.min(name.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name.get(..end).unwrap_or_default()
}

/// Writes a refused login to the audit trail. The name is unproved.
pub(super) fn audit_refusal(path: &[&str], name: &str, source: ClientAddr, cx: &mut Context<'_>) {
    let name = beginning(name);
    let login = AuditCall { kind: AuditKind::Refusal, user: None, source, path };
    audit::finish(login.begin(Some(name), AuditObject::None, cx), Outcome::Failed(Failure::NotAllowed));
}

fn resume<'a>(session: &str, caller: &Caller, cx: &'a mut Context<'_>) -> Outcome<'a> {
    let accounts = &mut cx.api.accounts;
    match accounts.sessions.find(session, cx.now) {
        Some((_, user)) if caller.admins_only && !accounts.users.is_admin(user) => Outcome::AtCapacity,
        Some((key, user)) => match login_of(key, user, cx) {
            Some(login) => Outcome::Resumed(login),
            None => super::internal("a session that was found does not exist"),
        },
        None => {
            audit::refused_session(session, None, caller.source, LOGIN, cx);
            Outcome::Failed(Failure::CannotResume)
        }
    }
}

fn login_of<'a>(key: SessionKey, user: UserId, cx: &'a Context<'_>) -> Option<Login<'a>> {
    let account = cx.api.accounts.users.get(user)?;
    Some(Login {
        sessionid: cx.api.accounts.sessions.id(key)?,
        level: account.level.name(),
        userid: user.index() as u32 + 1,
        fullname: &account.full_name,
        username: &account.name,
    })
}

/// Refuses a login. `until_s` is 0 if only the password was wrong.
fn refuse<'a>(has_device: bool, until_s: u64, cx: &mut Context<'_>) -> Outcome<'a> {
    Counters::add(&mut cx.api.counters.refused_logins);
    Outcome::Failed(Failure::LoginRefused { has_device, until_s })
}

/// Confirms that the session is valid.
pub(super) fn validate<'a>(_: &Call<'a>, _: &Caller, _: Identity, _: &'a mut Context<'_>) -> Outcome<'a> {
    Outcome::Valid
}

/// Ends the caller's session; an administrator may end another one by its id.
pub(super) fn logout<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let accounts = &mut cx.api.accounts;
    let named = call.session.filter(|_| accounts.is_admin(identity));
    let named = named.and_then(|id| accounts.sessions.find(id, cx.now)).map(|(key, _)| key);
    if named.is_none() && matches!(identity, Identity::Paired(..)) {
        let reason = "a paired certificate has no session; `sessions/end` (ctl sessions end ID) ends it";
        return Outcome::Failed(Failure::Unchanged { function: "logout", reason });
    }
    // A token belongs to the configuration file: no call ends it.
    if let Some(key) = named.or(identity.session())
        && let Some(user) = accounts.sessions.user(key)
        && accounts.sessions.close(key)
    {
        let user = accounts.subject(user);
        crate::info!("user {}: logged out by {} from {}", user, accounts.name(identity), caller.source);
        accounts.note_ended(key);
    }
    Outcome::LoggedOut
}

/// Ends the blocks of a user, or all of them.
pub(super) fn unlock<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let accounts = &mut cx.api.accounts;
    let user = call.parameter("username");
    if user.is_some_and(|user| accounts.users.find(user).is_none()) {
        return Outcome::Failed(Failure::UnknownUser);
    }
    accounts.lockout.clear(user);
    let blocked = user.unwrap_or("all users");
    crate::info!("{}: unlocked by {} from {}", blocked, accounts.name(identity), caller.source);
    Outcome::Done
}

/// End of a block in seconds of Unix time.
pub(super) fn until_s(left: Duration, platform: &dyn Platform) -> u64 {
    platform.unix_s().saturating_add(left.as_secs().max(1))
}
