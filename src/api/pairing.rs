//! Pairing: a client certificate is accepted by its key as that of a user (docs/decisions/0037).

use core::time::Duration;

use super::audit;
use super::login::{audit_refusal, log_refusal, until_s};
use super::{Api, Context};
use crate::call::{Audited, Call, Caller, Failure, Identity, Outcome, PendingCall, Work};
use crate::log::errno::{EINVAL, EIO};
use crate::session::{ClientAddr, PairedId, PairedKey};

/// Name of the call of a client.
const PAIR: &str = "pair";
/// Path of it.
const PATH: &[&str] = &["user", PAIR];
/// Name of the client in the table of wrong passwords, and in the records of refusals: no user has it.
const NAME: &str = "(pairing)";

/// Opens the window in which one key is accepted as that of a user.
pub(super) fn open<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let accounts = &mut cx.api.accounts;
    let Some(name) = call.parameter("username") else {
        return Outcome::Failed(Failure::MissingParameters { names: "username" });
    };
    let Some(user) = accounts.users.find(name) else {
        return Outcome::Failed(Failure::UnknownUser);
    };
    if accounts.pairing.is_full() {
        return Outcome::Failed(Failure::TableFull);
    }
    accounts.pairing.open(user, cx.now);
    crate::info!("pairing: opened for user {} by {} from {}", name, accounts.name(identity), caller.source);
    Outcome::Done
}

/// Accepts the key of the caller's certificate, if the window is open.
pub(super) fn accept<'a>(call: &Call<'a>, caller: &Caller, cx: &'a mut Context<'_>) -> Outcome<'a> {
    let accounts = &mut cx.api.accounts;
    let left = accounts.lockout.blocked_for(NAME, caller.source, cx.now);
    let user = accounts.pairing.window(cx.now).filter(|_| left.is_none());
    let (Some(key), Some(user)) = (caller.key, user) else {
        return refuse(caller, left, cx);
    };
    let device = call.parameter("deviceid").unwrap_or_default();
    let Some(key) = PairedKey::new(key, accounts.users.name(user), device) else {
        return Outcome::Failed(Failure::Failed { function: PAIR, result: EINVAL });
    };
    if cx.api.pairing_change.is_some() {
        return Outcome::Failed(Failure::TableFull);
    }
    let Some((id, before)) = accounts.pairing.accept(key) else {
        return Outcome::Failed(Failure::TableFull);
    };
    let audited = Audited { path: PATH, user, source: caller.source };
    match store(PAIR, id, before, caller.source, cx) {
        Outcome::Pending(call) => Outcome::Pending(PendingCall { audited: Some(audited), ..call }),
        failed => failed,
    }
}

/// Refuses a key. An attempt counts as a wrong password, so that no client tries until the window opens.
fn refuse<'a>(caller: &Caller, left: Option<Duration>, cx: &mut Context<'_>) -> Outcome<'a> {
    audit_refusal(PATH, NAME, caller.source, cx);
    if let Some(left) = left {
        return Outcome::Failed(Failure::Blocked { until_s: until_s(left, cx.platform) });
    }
    cx.api.accounts.lockout.handle_failure(NAME, caller.source, cx.now);
    log_refusal(NAME, caller.source, cx);
    let reason = match caller.key {
        None => "the client has shown no certificate, or connected before the window for pairing was open",
        Some(_) => "the window for pairing is not open",
    };
    Outcome::Failed(Failure::Unchanged { function: PAIR, reason })
}

/// Ends a key: its sockets need another session.
pub(super) fn end(id: PairedId, source: ClientAddr, cx: &mut Context<'_>) -> Outcome<'static> {
    if cx.api.pairing_change.is_some() {
        return Outcome::Failed(Failure::TableFull);
    }
    let before = cx.api.accounts.pairing.replace(id, None);
    store("end", id, before, source, cx)
}

/// Change of the paired keys that is not on the disk yet.
#[derive(Debug)]
pub(super) struct PairingChange {
    /// Id of the write.
    write: u64,
    id: PairedId,
    /// Key that a failed write restores.
    before: Option<PairedKey>,
}

impl PairingChange {
    /// Returns true for the write of this id.
    pub(super) fn is(&self, write: u64) -> bool {
        self.write == write
    }
}

/// Has the keys written, of which one has changed.
fn store(
    function: &'static str,
    id: PairedId,
    before: Option<PairedKey>,
    source: ClientAddr,
    cx: &mut Context<'_>,
) -> Outcome<'static> {
    let write = cx.api.next_call_id();
    let pairing = &cx.api.accounts.pairing;
    let Some(changed) = pairing.get(id).or(before.as_ref()) else {
        return super::internal("a change of no key");
    };
    let key = changed.public_id();
    crate::info!("pairing: {} of key {} of user {} from {}", function, key, changed.user, source);
    let stored = cx.platform.store_pairing(pairing, write);
    let change = PairingChange { write, id, before };
    match stored {
        Ok(()) => {
            cx.api.pairing_change = Some(change);
            Outcome::Pending(PendingCall::new(write, Work::Pairing { function, key }))
        }
        Err(super::Refused) => {
            finish(change, false, cx.api);
            outcome(function, Err(EIO))
        }
    }
}

/// Closes the window at its end.
pub(crate) fn handle_timeout(api: &mut Api, now: Duration) {
    if let Some(user) = api.accounts.pairing.handle_timeout(now) {
        crate::info!("pairing: closed, without a certificate");
        audit::write_unpaired(api.accounts.users.name(user));
    }
}

/// Handles the end of a change's write.
pub(super) fn finish(change: PairingChange, is_written: bool, api: &mut Api) {
    if !is_written {
        api.accounts.pairing.replace(change.id, change.before);
    }
}

/// Outcome of a change after its write.
pub(super) fn outcome(function: &'static str, written: Result<(), i32>) -> Outcome<'static> {
    match written {
        Ok(()) => Outcome::Done,
        Err(result) => Outcome::Failed(Failure::Failed { function, result }),
    }
}
