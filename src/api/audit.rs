//! Lines of the audit trail about calls, and their rate limit.
//!
//! Each user has a limit for logins, for changes and for refusals, and so have all clients without a session, and among
//! them those of one address. A flood of one kind by one user removes no line of another from the files: after a period with more lines than the limit, the
//! kind has one line in each period, with the number of the others, until a period is quiet.

use core::fmt;
use core::time::Duration;

use super::{AUDIT_BURST, AUDIT_PERIOD, AUDIT_SOURCE_BURST, AUDIT_SOURCES, Api, Context};
use crate::call::{Audited, Failure, Identity, Outcome};
use crate::limits::USERS;
use crate::log::audit::AuditLine;
use crate::service::ServiceId;
use crate::session::{ClientAddr, UserId};

/// Number of kinds.
const KINDS: usize = 3;

/// Kind of a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum AuditKind {
    Login,
    Change,
    Refusal,
}

impl AuditKind {
    const ALL: [Self; KINDS] = [Self::Login, Self::Change, Self::Refusal];

    fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Change => "change",
            Self::Refusal => "refusal",
        }
    }
}

/// Lines of one kind by one user, or from one address.
#[derive(Clone, Copy, Debug, Default)]
struct Rate {
    /// User of the latest line.
    user: Option<UserId>,
    /// Address of all lines.
    source: Option<ClientAddr>,
    period_start: Duration,
    /// Lines in the period.
    lines: u32,
    /// Lines left out in the period.
    left_out: u32,
}

impl Rate {
    /// Returns true if the next line begins a period.
    fn is_over(&self, now: Duration) -> bool {
        self.lines == 0 || self.left_out == 0 && now.saturating_sub(self.period_start) >= AUDIT_PERIOD
    }

    /// Returns true if a line is to be written at `now`, and counts it in any case.
    fn permits(&mut self, burst: u32, now: Duration) -> bool {
        if self.is_over(now) {
            (self.period_start, self.lines) = (now, 0);
        }
        if self.lines >= burst {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        }
        self.lines += 1;
        true
    }
}

/// Lines of each user, in the order of their ids, and of all other clients; then those of addresses.
#[derive(Debug)]
pub(crate) struct AuditRates([Rate; RATES + AUDIT_SOURCES]);

/// Kinds of each user, and of all others.
const RATES: usize = (USERS + 1) * KINDS;

impl AuditRates {
    pub(super) fn new() -> Self {
        Self([Rate::default(); RATES + AUDIT_SOURCES])
    }

    /// Returns true if a line of this kind is to be written at `now`, and counts it in any case.
    fn permits(&mut self, kind: AuditKind, user: Option<UserId>, now: Duration) -> bool {
        let Some(rate) = self.0.get_mut(index_of(kind, user)) else { return false };
        rate.user = user;
        rate.permits(AUDIT_BURST, now)
    }

    /// The same of a refusal without a session. Addresses over the limit are counted together.
    fn permits_guess(&mut self, source: ClientAddr, now: Duration) -> bool {
        let sources = self.0.get_mut(RATES..).unwrap_or_default();
        let known = sources.iter().position(|rate| rate.source == Some(source));
        let index = known.or_else(|| sources.iter().position(|rate| rate.is_over(now)));
        if let Some(rate) = index.and_then(|index| sources.get_mut(index)) {
            rate.source = Some(source);
            if !rate.permits(AUDIT_SOURCE_BURST, now) {
                return false;
            }
        }
        self.permits(AuditKind::Refusal, None, now)
    }

    /// Forgets the lines of a user. Returns how many were left out.
    fn forget(&mut self, kind: AuditKind, user: UserId) -> u32 {
        self.0.get_mut(index_of(kind, Some(user))).map(core::mem::take).unwrap_or_default().left_out
    }

    /// Time at which the earliest period with lines that are left out ends.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let rates = self.0.iter().filter(|rate| rate.left_out > 0);
        rates.map(|rate| rate.period_start + AUDIT_PERIOD).min()
    }

    /// Takes a number of lines that were left out in a period that has ended. One line less than the limit is
    /// counted in the next period already.
    fn take_left_out(&mut self, now: Duration) -> Option<LeftOut> {
        let is_over = |rate: &Rate| rate.left_out > 0 && now >= rate.period_start + AUDIT_PERIOD;
        let index = self.0.iter().position(is_over)?;
        let (kind, burst) = match index.checked_sub(RATES) {
            None => (*AuditKind::ALL.get(index % KINDS)?, AUDIT_BURST),
            Some(_) => (AuditKind::Refusal, AUDIT_SOURCE_BURST),
        };
        let rate = self.0.get_mut(index)?;
        let Rate { user, source, left_out: count, .. } = *rate;
        (rate.period_start, rate.lines, rate.left_out) = (now, burst - 1, 0);
        Some(LeftOut { user, source, kind, count })
    }
}

/// Lines that were left out in a period.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct LeftOut {
    user: Option<UserId>,
    source: Option<ClientAddr>,
    kind: AuditKind,
    count: u32,
}

fn index_of(kind: AuditKind, user: Option<UserId>) -> usize {
    user.map_or(USERS, UserId::index).min(USERS) * KINDS + kind as usize
}

/// Object of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum AuditObject<'n> {
    None,
    Named(&'n str),
    Service(ServiceId),
    User(UserId),
}

/// Call of a line.
pub(super) struct AuditCall<'c> {
    pub(super) kind: AuditKind,
    /// User; `None` for one who has not proved it.
    pub(super) user: Option<UserId>,
    pub(super) source: ClientAddr,
    /// Path in the table of calls.
    pub(super) path: &'c [&'c str],
}

impl AuditCall<'static> {
    /// A change.
    pub(super) fn of_change(audited: &Audited) -> Self {
        let Audited { path, user, source } = *audited;
        Self { kind: AuditKind::Change, user: Some(user), source, path }
    }
}

impl AuditCall<'_> {
    /// Begins a line; `None` without an audit trail, or over the limit. `name` is that of a user who has not proved
    /// it.
    pub(super) fn begin(
        &self,
        name: Option<&str>,
        object: AuditObject<'_>,
        cx: &mut Context<'_>,
    ) -> Option<AuditLine> {
        let mut line = AuditLine::new()?;
        let (api, now) = (&mut *cx.api, cx.now);
        let is_permitted = match self.user {
            None => api.audit.permits_guess(self.source, now),
            Some(_) => api.audit.permits(self.kind, self.user, now),
        };
        if !is_permitted {
            return None;
        }
        let users = &api.accounts.users;
        let name = name.or(self.user.map(|user| users.name(user)));
        line.put("user", &name.unwrap_or("?"));
        line.put("from", &self.source);
        line.put("call", &Path(self.path));
        let object = match object {
            AuditObject::None => None,
            AuditObject::Named(name) => Some(name),
            AuditObject::Service(service) => api.services.table().get(service).map(|spec| spec.name.as_str()),
            AuditObject::User(user) => Some(users.name(user)),
        };
        if let Some(object) = object {
            line.put("on", &object);
        }
        Some(line)
    }
}

/// Path of a call without the placeholder of its service.
struct Path<'p>(&'p [&'p str]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut segments = self.0.iter().filter(|segment| **segment != super::calls::NAME);
        f.write_str(segments.next().copied().unwrap_or_default())?;
        segments.try_for_each(|segment| write!(f, "/{segment}"))
    }
}

/// Ends a line with what came of the call, and returns that.
pub(super) fn finish<'a>(line: Option<AuditLine>, outcome: Outcome<'a>) -> Outcome<'a> {
    if let Some(mut line) = line {
        let result = match &outcome {
            Outcome::Pending(_) => "begun",
            Outcome::AtCapacity | Outcome::Failed(Failure::NotAllowed | Failure::Blocked { .. }) => "refused",
            Outcome::Failed(_) => "failed",
            _ => "ok",
        };
        line.put("outcome", &result);
        if let Outcome::Failed(Failure::Failed { result, .. } | Failure::NotStored { result, .. }) = &outcome
        {
            line.put("errno", result);
        }
        line.finish();
    }
    outcome
}

/// Writes to the audit trail that a session was refused: that of the call, or of its socket. One that is unknown may be a
/// guess; why a token is refused is in the log, too.
pub(crate) fn refused_session(
    session: &str,
    bound: Option<Identity>,
    source: ClientAddr,
    path: &[&str],
    cx: &mut Context<'_>,
) {
    let accounts = &mut cx.api.accounts;
    let bound = match bound {
        Some(Identity::Token(id, _)) => Some(id),
        _ => None,
    };
    let token = accounts.tokens.find(session).or(bound);
    let Some((id, refusal)) = token.and_then(|id| Some((id, accounts.refusal(id, &*cx.platform)?))) else {
        if !session.is_empty() {
            let unknown = AuditCall { kind: AuditKind::Refusal, user: None, source, path };
            finish(unknown.begin(None, AuditObject::None, cx), Outcome::Failed(Failure::NotAllowed));
        }
        return;
    };
    let user = accounts.tokens.get(id).map(|token| token.user);
    let refused = AuditCall { kind: AuditKind::Refusal, user, source, path };
    let mut line = refused.begin(None, AuditObject::None, cx);
    if let Some(line) = &mut line {
        line.put("reason", &refusal);
    }
    finish(line, Outcome::Failed(Failure::NotAllowed));
    let accounts = &mut cx.api.accounts;
    if let Some(suppressed) = accounts.log_refusal(cx.now) {
        let user = user.map_or("?", |user| accounts.users.name(user));
        crate::warning!("token of {} from {}: {}{}", user, source, refusal, suppressed);
    }
}

/// Writes the numbers of lines that were left out in periods that have ended.
pub(crate) fn handle_timeout(api: &mut Api, now: Duration) {
    while let Some(left_out) = api.audit.take_left_out(now) {
        write_left_out(api, left_out);
    }
}

/// Writes the numbers of lines that were left out of a user who is gone. Another one may have the id next.
pub(crate) fn forget_user(api: &mut Api, user: UserId) {
    for kind in AuditKind::ALL {
        let count = api.audit.forget(kind, user);
        if count > 0 {
            write_left_out(api, LeftOut { user: Some(user), source: None, kind, count });
        }
    }
}

/// Writes that a signal has caused a reload.
pub(crate) fn write_reload(is_ok: bool) {
    let Some(mut line) = AuditLine::new() else { return };
    line.put("user", &"(signal)");
    line.put("call", &"board/reload");
    line.put("outcome", if is_ok { &"ok" } else { &"failed" });
    line.finish();
}

/// Writes what another configuration changes of a user: the words whose flag is set. A flood of changes is bounded, as that
/// of a user.
pub(crate) fn write_user(rates: &mut AuditRates, name: &str, changes: &[(&str, bool)], now: Duration) {
    let words = || changes.iter().filter(|(_, is_set)| *is_set).map(|(word, _)| *word);
    if words().next().is_none() {
        return;
    }
    let Some(mut line) = AuditLine::new().filter(|_| rates.permits(AuditKind::Change, None, now)) else {
        return;
    };
    line.put("user", &"(configuration)");
    line.put("on", &name);
    words().for_each(|word| line.put("change", &word));
    line.finish();
}

/// Writes that a change of the configuration by a user was not confirmed.
pub(crate) fn write_unconfirmed(user: &str) {
    write_end(user, "board/configuration", "unconfirmed");
}

/// Writes that the window for a certificate of this user was closed without one, and by what.
pub(crate) fn write_unpaired(user: &str, outcome: &str) {
    write_end(user, "user/pair", outcome);
}

fn write_end(user: &str, call: &str, outcome: &str) {
    let Some(mut line) = AuditLine::new() else { return };
    line.put("user", &user);
    line.put("call", &call);
    line.put("outcome", &outcome);
    line.finish();
}

fn write_left_out(api: &Api, LeftOut { user, source, kind, count }: LeftOut) {
    let Some(mut line) = AuditLine::new() else { return };
    let name = user.map_or("?", |user| api.accounts.users.name(user));
    line.put("user", &name);
    if let Some(source) = source {
        line.put("from", &source);
    }
    line.put("kind", &kind.name());
    line.put("left_out", &count);
    line.finish();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_kind_up_to_the_limit_and_then_one_in_each_period() {
        let mut rates = AuditRates::new();
        let permits = |rates: &mut AuditRates, kind, now| rates.permits(kind, None, now);
        let start = Duration::from_secs(9);
        for _ in 0..AUDIT_BURST {
            assert!(permits(&mut rates, AuditKind::Refusal, start));
        }
        assert_eq!(rates.poll_timeout(), None);
        for _ in 0..1000 {
            assert!(!permits(&mut rates, AuditKind::Refusal, start + AUDIT_PERIOD / 2));
        }
        // Other kinds and users have their own.
        assert!(permits(&mut rates, AuditKind::Login, start));
        let end = start + AUDIT_PERIOD;
        assert_eq!(rates.poll_timeout(), Some(end));
        assert_eq!(rates.take_left_out(end - Duration::from_nanos(1)), None);
        let left_out = |count| Some(LeftOut { user: None, source: None, kind: AuditKind::Refusal, count });
        assert_eq!(rates.take_left_out(end), left_out(1000));
        assert_eq!((rates.take_left_out(end), rates.poll_timeout()), (None, None));
        // The flood goes on.
        assert!(permits(&mut rates, AuditKind::Refusal, end));
        assert!(!permits(&mut rates, AuditKind::Refusal, end));
        assert_eq!(rates.take_left_out(end + AUDIT_PERIOD), left_out(1));
        // And ends.
        let later = end + 2 * AUDIT_PERIOD;
        for _ in 0..AUDIT_BURST {
            assert!(permits(&mut rates, AuditKind::Refusal, later));
        }
    }

    #[test]
    fn user_with_the_id_of_one_who_is_gone_has_limits_of_his_own() {
        let (mut rates, now) = (AuditRates::new(), Duration::from_secs(9));
        let user = UserId::LOCAL_OWNER;
        let permits = |rates: &mut AuditRates| rates.permits(AuditKind::Change, Some(user), now);
        let permitted = (0..AUDIT_BURST + 5).filter(|_| permits(&mut rates)).count();
        assert_eq!(permitted, AUDIT_BURST as usize);
        assert_eq!(rates.forget(AuditKind::Change, user), 5);
        assert!(permits(&mut rates) && rates.poll_timeout().is_none());
        assert_eq!(rates.forget(AuditKind::Login, user), 0);
    }

    #[test]
    fn guesses_of_one_address_hide_those_of_no_other() {
        let (mut rates, now) = (AuditRates::new(), Duration::from_secs(9));
        let source = |number: u8| ClientAddr::from(core::net::IpAddr::from([192, 0, 2, number]));
        let permitted = |rates: &mut AuditRates, number, now| {
            (0..100).filter(|_| rates.permits_guess(source(number), now)).count()
        };
        for number in 0..AUDIT_SOURCES as u8 {
            assert_eq!(permitted(&mut rates, number, now), AUDIT_SOURCE_BURST as usize);
        }
        // Further ones share what is left for all.
        let left = AUDIT_BURST as usize - AUDIT_SOURCES * AUDIT_SOURCE_BURST as usize;
        assert_eq!(permitted(&mut rates, 100, now), left);
        let end = now + AUDIT_PERIOD;
        let counts: Vec<_> = std::iter::from_fn(|| rates.take_left_out(end)).collect();
        let of_sources = counts.iter().filter(|count| count.source.is_some());
        assert!(of_sources.clone().all(|count| count.count == 100 - AUDIT_SOURCE_BURST));
        assert_eq!((of_sources.count(), counts.len()), (AUDIT_SOURCES, AUDIT_SOURCES + 1));
        // A quiet one makes room.
        let later = end + AUDIT_PERIOD;
        assert_eq!(permitted(&mut rates, 101, later), AUDIT_SOURCE_BURST as usize);
    }

    #[test]
    fn path_without_its_placeholder() {
        assert_eq!(Path(&["services", "NAME", "start"]).to_string(), "services/start");
        assert_eq!(Path(&["login"]).to_string(), "login");
    }
}
