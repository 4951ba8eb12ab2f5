//! The configuration file over the wire: shown, changed for a trial, and written once the change is confirmed.
//!
//! A change is in force from memory until the same administrator confirms it over a connection that is younger, and with a
//! login that is younger if it replaces his password: he still gets in. Else the earlier configuration is back.

use core::net::SocketAddr;
use core::time::Duration;

use super::audit::{self, AuditCall, AuditObject};
use super::{CHANGE_CONFIRM_TIME, CONFIGURATION_PART_TIME, Context, Refused};
use crate::call::{
    Audited, Call, Caller, Change, ConfigurationWork, Failure, Identity, Outcome, UserName, Work,
};
use crate::limits::CONFIG_BYTES;
use crate::log::errno::{EBUSY, EDQUOT, EINVAL};

/// Name of the call that shows and changes the configuration.
const CONFIGURATION: &str = "configuration";
/// Name of the call that confirms a change.
const CONFIRM: &str = "confirm";
/// Error of a text over `CONFIG_BYTES`.
const TOO_LONG: &str = "the text is longer than config_bytes";

/// Change of the configuration that is in force until it is confirmed.
#[derive(Debug)]
pub struct Trial {
    /// Its number.
    pub change: u64,
    /// Administrator who made it.
    pub by: UserName,
    /// Time from which it is in force.
    pub since: Duration,
    /// End of its time.
    pub until: Duration,
    /// Its file is being written: it is confirmed, unless that fails.
    pub is_writing: bool,
    /// Address that it opened, over which it is to be confirmed.
    pub address: Option<SocketAddr>,
    /// It replaced the password of its administrator, whose session is to be younger.
    pub needs_login: bool,
}

/// Changes of the configuration file in progress.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    parts: Option<Parts>,
    pub(crate) trial: Option<Trial>,
}

/// First parts of a text.
#[derive(Debug)]
struct Parts {
    text: String,
    by: UserName,
    until: Duration,
}

impl Changes {
    /// Earliest deadline, for [`handle_timeout`](Self::handle_timeout) and [`is_over`](Self::is_over).
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let trial = self.trial.as_ref().filter(|trial| !trial.is_writing);
        let deadlines = [self.parts.as_ref().map(|parts| parts.until), trial.map(|trial| trial.until)];
        deadlines.into_iter().flatten().min()
    }

    /// Drops parts that no other one followed in time.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        self.parts.take_if(|parts| parts.until <= now);
    }

    /// Returns true once the time of the trial is over.
    pub(crate) fn is_over(&self, now: Duration) -> bool {
        self.trial.as_ref().is_some_and(|trial| !trial.is_writing && trial.until <= now)
    }

    /// Lets the time of a trial be over, unless its file is being written.
    pub(crate) fn give_up(&mut self) {
        if let Some(trial) = &mut self.trial {
            trial.until = Duration::ZERO;
        }
    }

    /// Adds a part at `offset` to those of the same administrator. Returns the whole text after the last one.
    fn add(
        &mut self,
        part: &str,
        offset: usize,
        by: &UserName,
        has_more: bool,
        now: Duration,
    ) -> Result<Result<String, usize>, &'static str> {
        self.handle_timeout(now);
        if offset == 0 {
            self.parts.take_if(|parts| parts.by == *by);
            if part.len() > CONFIG_BYTES {
                return Err(TOO_LONG);
            }
            if !has_more {
                return Ok(Ok(part.to_owned()));
            }
            let new = || Parts { text: String::new(), by: by.clone(), until: now };
            self.parts.get_or_insert_with(new);
        }
        let Some(parts) = self.parts.as_mut().filter(|parts| parts.by == *by) else {
            return Err(match self.parts {
                Some(_) => "another administrator sends a configuration file; try again",
                None => {
                    "offset: the parts before this one are not there any more; begin again with the first"
                }
            });
        };
        if offset != parts.text.len() {
            return Err("offset: not the number of bytes before this part");
        }
        if parts.text.len() + part.len() > CONFIG_BYTES {
            self.parts = None;
            return Err(TOO_LONG);
        }
        parts.text.reserve_exact(part.len());
        parts.text.push_str(part);
        parts.until = now + CONFIGURATION_PART_TIME;
        if has_more {
            return Ok(Err(parts.text.len()));
        }
        Ok(Ok(self.parts.take().map(|parts| parts.text).unwrap_or_default()))
    }
}

/// Shows the configuration file in force. With `text`, puts another one in force for a trial.
pub(super) fn configuration<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let invalid = Outcome::Failed(Failure::Failed { function: CONFIGURATION, result: EINVAL });
    let Some(part) = call.parameters.get("text") else {
        let (Some(since), Some(has_sources)) = (number(call, "since", 0), flag(call, "sources")) else {
            return invalid;
        };
        let show = ConfigurationWork::Show { since, has_sources };
        return begin(show, Work::Configuration, CONFIGURATION, cx);
    };
    let audited = Audited { path: &["board", CONFIGURATION], user: identity.user(), source: caller.source };
    let mut changed = change(part, call, caller, identity, cx);
    if flag(call, "dryrun") == Some(true) || matches!(changed, Outcome::Received(_)) {
        return changed;
    }
    if let Outcome::Pending(pending) = &mut changed {
        pending.audited = Some(audited);
    }
    audit::finish(AuditCall::of_change(&audited).begin(None, AuditObject::None, cx), changed)
}

fn number(call: &Call<'_>, key: &str, default: usize) -> Option<usize> {
    call.parameter(key).map_or(Some(default), |text| text.parse().ok())
}

fn flag(call: &Call<'_>, key: &str) -> Option<bool> {
    call.parameter(key).map_or(Some(false), |text| text.parse().ok())
}

/// Puts a text, or adds a part of it.
fn change<'a>(
    part: &str,
    call: &Call<'_>,
    caller: &Caller,
    identity: Identity,
    cx: &mut Context<'_>,
) -> Outcome<'a> {
    let most = CHANGE_CONFIRM_TIME.as_secs() as usize;
    let (Some(offset), Some(seconds), Some(has_more), Some(is_dry)) =
        (number(call, "offset", 0), number(call, "seconds", most), flag(call, "more"), flag(call, "dryrun"))
    else {
        return Outcome::Failed(Failure::Failed { function: CONFIGURATION, result: EINVAL });
    };
    let base = call.parameter("base").map(|base| u64::from_str_radix(base, 16));
    let Ok(base) = base.transpose() else {
        return Outcome::Failed(Failure::Failed { function: CONFIGURATION, result: EINVAL });
    };
    let refused = |reason| Outcome::Failed(Failure::Unchanged { function: CONFIGURATION, reason });
    if !(1..=most).contains(&seconds) {
        return refused("seconds: from 1 to those of change_confirm_time");
    }
    let by = name(identity, cx);
    if cx.api.changes.trial.is_some() && !is_dry {
        return refused("another change is unconfirmed: confirm it, or wait until its time is over");
    }
    match cx.api.changes.add(part, offset, &by, has_more, cx.now) {
        Err(reason) => refused(reason),
        Ok(Err(received)) => Outcome::Received(received),
        Ok(Ok(text)) => {
            if !is_dry {
                crate::info!("configuration: change by {} from {}", by.as_str(), caller.source);
            }
            let is_local = matches!(identity, Identity::Local(_));
            let time = Duration::from_secs(seconds as u64);
            let session = identity.session();
            let change = Change { text, by, is_local, session, time, is_dry, base };
            let change = ConfigurationWork::Change(Box::new(change));
            begin(change, Work::Configuration, CONFIGURATION, cx)
        }
    }
}

/// Confirms a change, so that its file is written.
pub(super) fn confirm<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let refused = |reason| Outcome::Failed(Failure::Unchanged { function: CONFIRM, reason });
    if !cx.api.write_rate.permits(identity.user(), cx.now) {
        return Outcome::Failed(Failure::Failed { function: CONFIRM, result: EDQUOT });
    }
    let by = name(identity, cx);
    let Some(trial) = cx.api.changes.trial.as_ref().filter(|_| !cx.api.changes.is_over(cx.now)) else {
        return refused("no change waits to be confirmed: it is confirmed, or its time is over");
    };
    if call.parameter("change").is_some_and(|change| change.parse() != Ok(trial.change)) {
        return refused("another change is unconfirmed");
    }
    if trial.by != by {
        return refused("another administrator made the change");
    }
    if caller.opened <= trial.since {
        return refused("this connection is older than the change: confirm it over a new one");
    }
    if trial.address.is_some() && !caller.is_beside && !matches!(caller.lent, Some(Identity::Local(_))) {
        return refused("the change opens another address: confirm it over a connection to that");
    }
    let is_older = |session| cx.api.accounts.sessions.last_login(session) <= Some(trial.since);
    if trial.needs_login && identity.session().is_some_and(is_older) {
        return refused(
            "the change replaces your password, and this session is older: log in with the password of the change, \
             and confirm it with that session",
        );
    }
    if trial.is_writing {
        return Outcome::Failed(Failure::Failed { function: CONFIRM, result: EBUSY });
    }
    crate::info!(
        "configuration: change {} confirmed by {} from {}",
        trial.change,
        by.as_str(),
        caller.source
    );
    let user = identity.user();
    let outcome = begin(ConfigurationWork::Write, Work::Confirm, CONFIRM, cx);
    if let (Outcome::Pending(_), Some(trial)) = (&outcome, &mut cx.api.changes.trial) {
        trial.is_writing = true;
        cx.api.write_rate.count(user, cx.now);
    }
    outcome
}

/// Begins work whose result completes the call.
fn begin<'a>(
    configuration: ConfigurationWork,
    work: Work,
    function: &'static str,
    cx: &mut Context<'_>,
) -> Outcome<'a> {
    let id = cx.api.next_call_id();
    match cx.platform.configuration(id, configuration) {
        Ok(()) => cx.api.pending(id, work),
        Err(Refused) => Outcome::Failed(Failure::Failed { function, result: EBUSY }),
    }
}

fn name(identity: Identity, cx: &Context<'_>) -> UserName {
    let name = UserName::try_from(cx.api.accounts.name(identity));
    debug_assert!(name.is_ok(), "the longest name of a user fits");
    name.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(name: &str) -> UserName {
        UserName::try_from(name).unwrap()
    }

    #[test]
    fn parts_are_put_together() {
        let (mut changes, now, anna) = (Changes::default(), Duration::from_secs(9), by("anna"));
        assert_eq!(changes.add("whole", 0, &anna, false, now), Ok(Ok("whole".to_owned())));
        assert_eq!(changes.poll_timeout(), None);
        assert_eq!(changes.add("ab", 0, &anna, true, now), Ok(Err(2)));
        assert!(changes.add("x", 1, &anna, true, now).is_err());
        assert!(changes.add("x", 3, &anna, false, now).is_err());
        assert_eq!(changes.add("c", 2, &anna, false, now), Ok(Ok("abc".to_owned())));
        assert!(changes.add("d", 3, &anna, false, now).unwrap_err().contains("not there any more"));
        // The first part begins anew.
        assert_eq!(changes.add("ab", 0, &anna, true, now), Ok(Err(2)));
        assert_eq!(changes.add("z", 0, &anna, false, now), Ok(Ok("z".to_owned())));
    }

    #[test]
    fn parts_are_those_of_one_administrator() {
        let (mut changes, now) = (Changes::default(), Duration::from_secs(9));
        assert_eq!(changes.add("ab", 0, &by("anna"), true, now), Ok(Err(2)));
        for offset in [0, 2] {
            let refused = changes.add("x", offset, &by("ben"), true, now);
            assert!(refused.unwrap_err().contains("another administrator"));
        }
        assert_eq!(changes.add("whole", 0, &by("ben"), false, now), Ok(Ok("whole".to_owned())));
        assert_eq!(changes.add("c", 2, &by("anna"), false, now), Ok(Ok("abc".to_owned())));
    }

    #[test]
    fn parts_expire_after_their_time() {
        let (mut changes, now) = (Changes::default(), Duration::from_secs(9));
        assert_eq!(changes.add("a", 0, &by("anna"), true, now), Ok(Err(1)));
        let last = now + CONFIGURATION_PART_TIME - Duration::from_nanos(1);
        assert_eq!(changes.add("b", 1, &by("anna"), true, last), Ok(Err(2)));
        let end = last + CONFIGURATION_PART_TIME;
        assert_eq!(changes.poll_timeout(), Some(end));
        changes.handle_timeout(end - Duration::from_nanos(1));
        assert!(changes.parts.is_some());
        changes.handle_timeout(end);
        assert!(changes.parts.is_none() && changes.poll_timeout().is_none());
        assert!(changes.add("c", 2, &by("anna"), false, end).is_err());
        assert_eq!(changes.add("x", 0, &by("ben"), false, end), Ok(Ok("x".to_owned())));
    }

    #[test]
    fn text_is_as_long_as_a_configuration_file_may_be() {
        let (mut changes, now, anna) = (Changes::default(), Duration::ZERO, by("anna"));
        let longest = "x".repeat(CONFIG_BYTES);
        assert_eq!(changes.add(&longest, 0, &anna, true, now), Ok(Err(CONFIG_BYTES)));
        assert!(changes.add("y", CONFIG_BYTES, &anna, false, now).unwrap_err().contains("config_bytes"));
        assert_eq!(changes.add(&longest, 0, &anna, false, now), Ok(Ok(longest.clone())));
        assert!(changes.add(&(longest + "y"), 0, &anna, false, now).is_err());
    }
}
