//! List of sessions, and their end by others.

use super::{Context, pairing};
use crate::call::{Call, Caller, Failure, Identity, Outcome, SessionList};
use crate::limits::{DEVICE_ID_BYTES, REPLY_BYTES, REQUEST_ID_BYTES, SESSIONS, USER_NAME_BYTES};
use crate::log::errno::ENOENT;
use crate::session::PAIRED_KEYS;

const _: () = assert!(
    (SESSIONS + PAIRED_KEYS) * (7 * DEVICE_ID_BYTES + 2 * USER_NAME_BYTES + 256) + REQUEST_ID_BYTES * 6 + 256
        <= REPLY_BYTES,
    "reply_bytes: must hold the list of sessions"
);

/// Lists the sessions and paired keys of the caller, or all of them for an administrator.
pub(super) fn list<'a>(_: &Call<'a>, _: &Caller, identity: Identity, cx: &'a mut Context<'_>) -> Outcome<'a> {
    let accounts = &cx.api.accounts;
    let is_admin = accounts.is_admin(identity);
    Outcome::Sessions(SessionList {
        sessions: &accounts.sessions,
        pairing: &accounts.pairing,
        users: &accounts.users,
        user: (!is_admin).then_some(identity.user()),
        own: identity.session(),
        own_key: if let Identity::Paired(key, _) = identity { Some(key) } else { None },
        now: cx.now,
    })
}

/// Ends the session or the paired key of a public id, or all sessions of a user: the caller's own, or those of others for an administrator.
pub(super) fn end<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let accounts = &mut cx.api.accounts;
    let (id, name) = (call.parameter("session"), call.parameter("username"));
    let user = name.and_then(|name| accounts.users.find(name));
    if id.is_none() && name.is_none() {
        return Outcome::Failed(Failure::MissingParameters { names: "session" });
    }
    let is_admin = accounts.is_admin(identity);
    if name.is_some() && !is_admin && user != Some(identity.user()) {
        return Outcome::Failed(Failure::NotAllowed);
    }
    if name.is_some() && user.is_none() {
        return Outcome::Failed(Failure::UnknownUser);
    }
    let user = if is_admin { user } else { Some(identity.user()) };
    if let Some(ended) = id.and_then(|id| pairing::end(id, user, identity, caller.source, cx)) {
        return ended;
    }
    let accounts = &mut cx.api.accounts;
    let ended = accounts.sessions.close_matching(|session| {
        user.is_none_or(|user| session.user == user) && id.is_none_or(|id| session.public_id().as_str() == id)
    });
    if id.is_some() && ended.is_empty() {
        return Outcome::Failed(Failure::Failed { function: "end", result: ENOENT });
    }
    let subject = id.or(name).unwrap_or_default();
    crate::info!("sessions {}: ended by {} from {}", subject, accounts.name(identity), caller.source);
    ended.iter().for_each(|key| accounts.note_ended(*key));
    Outcome::Done
}
