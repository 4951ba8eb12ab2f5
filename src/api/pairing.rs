//! Pairing: a client certificate is accepted by its key as that of a user (docs/decisions/0037).

use core::time::Duration;

use super::audit;
use super::login::{audit_refusal, log_refusal, until_s};
use super::{Api, Context, Refused};
use crate::call::{Audited, Call, Caller, Failure, Identity, Outcome, PendingCall, Work};
use crate::log::Reason;
use crate::log::errno::{EBUSY, EINVAL, EIO};
use crate::session::{
    ClientAddr, KEY_ID_BYTES, PAIRING_RETRY, PAIRING_TIME, PairedId, PairedKey, UserId, Window,
};

/// Name of the call of a client.
const PAIR: &str = "pair";
/// Path of it.
const PATH: &[&str] = &["user", PAIR];
/// Name of the client in the table of wrong passwords, and in the records of refusals: no user has it.
const NAME: &str = "(pairing)";

/// State of pairing beside the keys and the window.
#[derive(Debug, Default)]
pub(crate) struct PairingState {
    /// Clients can show a certificate.
    pub(crate) has_tls: bool,
    /// The end of a key is in force and could not be stored.
    pub(crate) is_failing: bool,
    write: Option<Write>,
    /// Time at which an end that is not stored is to be written.
    retry: Option<Duration>,
}

impl PairingState {
    /// Returns true while a write is under way.
    pub(super) fn is_writing(&self) -> bool {
        self.write.is_some()
    }

    /// Takes the write of this id, which has ended.
    pub(super) fn take_write(&mut self, id: u64) -> Option<Write> {
        self.write.take_if(|write| write.id == id)
    }

    /// Time of the next attempt to store the end of a key.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.retry.filter(|_| !self.is_writing())
    }
}

/// Write of the keys.
#[derive(Debug)]
pub(super) struct Write {
    id: u64,
    new: Option<NewKey>,
    /// It has the end of a key that was not stored before.
    has_end: bool,
}

/// Key that is paired once it is stored.
#[derive(Debug)]
struct NewKey {
    id: PairedId,
    source: ClientAddr,
    /// State that a failed write restores.
    before: (Option<PairedKey>, Window),
}

/// Opens the window in which one key is accepted as that of a user, in place of an open one, or only closes that.
pub(super) fn open<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let accounts = &mut cx.api.accounts;
    let Some(name) = call.parameters.get("username") else {
        return Outcome::Failed(Failure::MissingParameters { names: "username" });
    };
    let user = accounts.users.find(name);
    // An empty one is a mistake: it would open the window for every key.
    let key = call.parameters.get("key");
    let is_id = |key: &&str| key.len() >= KEY_ID_BYTES && key.bytes().all(|b| b.is_ascii_hexdigit());
    let only = key.map_or(Some(""), |key| Some(key).filter(is_id));
    let only = only.and_then(|key| heapless::String::try_from(key).ok());
    if !name.is_empty() {
        let reason = match user {
            None => return Outcome::Failed(Failure::UnknownUser),
            Some(_) if !cx.api.pairing.has_tls => "[listen] tls is off: no client can show a certificate",
            Some(_) if only.is_none() => {
                "key: a beginning of the SHA-256 of the public key, of 16 hexadecimal digits or more"
            }
            Some(_) if accounts.pairing.is_full(only.as_deref().unwrap_or_default()) => {
                "no room for one more certificate; end one with `sessions/end` (ctl sessions end ID)"
            }
            Some(_) if accounts.pairing.has_early(cx.now) && key.is_none() => {
                "a client has asked in the last two minutes, before the window was open, and could be faster than yours: \
                 give the `key` of yours (ctl pair USER --only SHA256), or stop that one and try again later"
            }
            Some(_) => "",
        };
        if !reason.is_empty() {
            return Outcome::Failed(Failure::Unchanged { function: PAIR, reason });
        }
    }
    let closed = accounts.pairing.close();
    let (users, by) = (&accounts.users, accounts.users.name(identity.user()));
    if let Some(closed) = closed {
        crate::info!("pairing: closed for user {} by {} from {}", users.name(closed), by, caller.source);
        audit::write_unpaired(users.name(closed), "closed");
    }
    if let Some(user) = user {
        crate::info!("pairing: opened for user {} by {} from {}", name, by, caller.source);
        accounts.pairing.open(user, only.unwrap_or_default(), cx.now);
    }
    let accounts = &cx.api.accounts;
    let name_of = |user: Option<UserId>| user.map_or("", |user| accounts.users.name(user));
    Outcome::Pairing { user: name_of(user), key: accounts.pairing.only(cx.now), closed: name_of(closed) }
}

/// Returns true for a client that has connected since the window was opened: no other waits for it.
fn is_within((_, until): Window, caller: &Caller) -> bool {
    until <= caller.opened + PAIRING_TIME
}

/// Accepts the key of the caller's certificate, if the window is open. One that is paired already stays so without one.
pub(super) fn accept<'a>(call: &Call<'a>, caller: &Caller, cx: &'a mut Context<'_>) -> Outcome<'a> {
    let accounts = &mut cx.api.accounts;
    let window = accounts.pairing.window(cx.now).filter(|window| is_within(*window, caller));
    let window = window.zip(caller.key).filter(|(_, key)| accounts.pairing.is_for(key));
    let left = accounts.lockout.blocked_for(NAME, caller.source, cx.now);
    // With a key that the window names, there is nothing to guess.
    let left = left.filter(|_| window.is_none() || accounts.pairing.only(cx.now).is_empty());
    let (Some((window, key)), None) = (window, left) else {
        return match caller.key.and_then(|key| accounts.of_key(&key)) {
            // It may be the key that is not on the disk yet.
            Some(_) if cx.api.pairing.is_writing() => Outcome::Failed(Failure::TableFull),
            Some(paired) => {
                let user = cx.api.accounts.users.name(paired.user());
                Outcome::Pairing { user, key: "", closed: "" }
            }
            None => refuse(caller, left, cx),
        };
    };
    let (user, source) = (window.0, caller.source);
    let device = call.parameter("deviceid").unwrap_or_default();
    let Some(key) = PairedKey::new(key, accounts.users.name(user), device) else {
        return Outcome::Failed(Failure::Failed { function: PAIR, result: EINVAL });
    };
    let public_id = key.public_id();
    if cx.api.pairing.is_writing() {
        return Outcome::Failed(Failure::TableFull);
    }
    let Some((id, before)) = accounts.pairing.accept(key) else {
        return Outcome::Failed(Failure::TableFull);
    };
    match store(Some(NewKey { id, source, before: (before, window) }), false, cx) {
        Ok(write) => {
            let call = PendingCall::new(write, Work::Pairing { key: public_id, user: Some(user) });
            Outcome::Pending(PendingCall { audited: Some(Audited { path: PATH, user, source }), ..call })
        }
        Err(Refused) => Outcome::Failed(failure(Some(user), EIO)),
    }
}

/// Refuses a key. An attempt counts as a wrong password, so that no client tries until the window opens.
fn refuse<'a>(caller: &Caller, left: Option<Duration>, cx: &mut Context<'_>) -> Outcome<'a> {
    audit_refusal(PATH, NAME, caller.source, cx);
    cx.api.accounts.pairing.handle_early(cx.now);
    if let Some(left) = left {
        return Outcome::Failed(Failure::Blocked { until_s: until_s(left, cx.platform) });
    }
    cx.api.accounts.lockout.handle_failure(NAME, caller.source, cx.now);
    log_refusal(NAME, caller.source, cx);
    let reason = match cx.api.accounts.pairing.window(cx.now) {
        Some(window) if caller.key.is_none() || !is_within(window, caller) => {
            "the client has shown no certificate, or connected before the window for pairing was open: connect again"
        }
        _ => "the window for pairing is not open, or is for another key",
    };
    Outcome::Failed(Failure::Unchanged { function: PAIR, reason })
}

/// Ends the keys with this id, of one user or of all, if there are any: their sockets need another session. The end is in
/// force at once, also if it cannot be stored.
pub(super) fn end(
    id: &str,
    user: Option<UserId>,
    by: Identity,
    source: ClientAddr,
    cx: &mut Context<'_>,
) -> Option<Outcome<'static>> {
    let accounts = &mut cx.api.accounts;
    let user = user.map(|user| accounts.users.name(user));
    let is_match = |key: &PairedKey| key.has_id(id) && user.is_none_or(|user| key.user == user);
    let (mut key, by) = (None, accounts.users.name(by.user()));
    while let Some(ended) = accounts.pairing.end(is_match) {
        let id = ended.public_id();
        crate::info!("pairing: key {} of user {} ended by {} from {}", id, ended.user, by, source);
        key = Some(id);
    }
    let key = key?;
    if cx.api.pairing.is_writing() {
        cx.api.pairing.retry = Some(cx.now);
        return Some(Outcome::Failed(failure(None, EBUSY)));
    }
    Some(match store(None, true, cx) {
        Ok(write) => Outcome::Pending(PendingCall::new(write, Work::Pairing { key, user: None })),
        Err(Refused) => Outcome::Failed(failure(None, EIO)),
    })
}

/// Has the keys written. Returns the id of the write.
fn store(new: Option<NewKey>, has_end: bool, cx: &mut Context<'_>) -> Result<u64, Refused> {
    let id = cx.api.next_call_id();
    let has_end = cx.api.pairing.retry.take().is_some() || has_end;
    let write = Write { id, new, has_end };
    if let Err(refused) = cx.platform.store_pairing(&cx.api.accounts.pairing, id) {
        finish(write, Err(EIO), cx.api, cx.now);
        return Err(refused);
    }
    cx.api.pairing.write = Some(write);
    Ok(id)
}

/// Closes the window at its end, and stores what could not be stored.
pub(crate) fn handle_timeout(cx: &mut Context<'_>) {
    if let Some(user) = cx.api.accounts.pairing.handle_timeout(cx.now) {
        crate::info!("pairing: closed, without a certificate");
        audit::write_unpaired(cx.api.accounts.users.name(user), "timeout");
    }
    if cx.api.pairing.poll_timeout().is_some_and(|due| cx.now >= due) {
        // A failure sets the next attempt.
        let _ = store(None, false, cx);
    }
}

/// Handles the end of a write. A key that is not stored is not paired; an end that is not stored is in force.
pub(super) fn finish(write: Write, written: Result<(), i32>, api: &mut Api, now: Duration) {
    let (keys, state) = (&mut api.accounts.pairing, &mut api.pairing);
    // Without an end in the meantime.
    if let Some(NewKey { id, source, before: (before, window) }) = write.new
        && let Some(key) = keys.get(id)
    {
        let public_id = key.public_id();
        match written {
            Ok(()) => {
                crate::info!("pairing: key {} is that of user {}, from {}", public_id, key.user, source)
            }
            Err(errno) => {
                crate::warning!("pairing: key {} is not paired: {}", public_id, Reason::from(errno));
                keys.replace(id, before);
                keys.reopen(window);
            }
        }
    }
    if !write.has_end {
        return;
    }
    let was_failing = core::mem::replace(&mut state.is_failing, written.is_err());
    match written {
        Ok(()) if was_failing => crate::info!("pairing: the end of a key is stored now"),
        Ok(()) => {}
        Err(errno) => {
            state.retry = Some(now + PAIRING_RETRY);
            if !was_failing {
                crate::warning!("pairing: the end of a key is not stored: {}", Reason::from(errno));
            }
        }
    }
}

/// Failure of a write: of the end of a key without the user of a new one.
pub(super) fn failure(user: Option<UserId>, result: i32) -> Failure<'static> {
    match user {
        Some(_) => Failure::Failed { function: PAIR, result },
        None => Failure::NotStored { function: "end", result },
    }
}

/// Outcome of a change after its write.
pub(super) fn outcome<'a>(
    user: Option<UserId>,
    written: Result<(), i32>,
    cx: &'a Context<'_>,
) -> Outcome<'a> {
    match (written, user) {
        (Ok(()), None) => Outcome::Done,
        (Ok(()), Some(user)) => {
            Outcome::Pairing { user: cx.api.accounts.users.name(user), key: "", closed: "" }
        }
        (Err(errno), user) => Outcome::Failed(failure(user, errno)),
    }
}
