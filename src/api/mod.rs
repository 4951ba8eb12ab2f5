//! Calls: routing, rights and handlers, the same for all transports and forms.
//!
//! Each call is one row of the table in [`calls`]. [`handle`] finds the row of a [`Call`], checks the right
//! of its [`Caller`], and returns an [`Outcome`] that contains the content. A call that has to wait returns
//! [`Outcome::Pending`]; [`complete`] returns its outcome later. Handlers make system calls through a
//! [`Platform`].

mod accounts;
pub(crate) mod audit;
mod board;
pub mod calls;
mod configuration;
mod counters;
mod login;
mod operations;
pub(crate) mod pairing;
mod password;
mod platform;
mod services;
mod sessions;
mod slot;
mod write_rate;

use core::fmt::Display;
use core::time::Duration;

use heapless::{String, Vec};

pub(crate) use self::accounts::Accounts;
use self::audit::{AuditCall, AuditKind, AuditObject, AuditRates};
pub use self::board::Board;
pub use self::calls::{CALLS, Effect, Handler, Row};
use self::configuration::Changes;
pub use self::configuration::Trial;
pub use self::counters::Counters;
use self::operations::Repeat;
use self::pairing::PairingState;
use self::password::PasswordChange;
pub use self::platform::{Platform, Refused};
pub(crate) use self::services::{lines_of, newest_lines};
use self::slot::{SlotEvent, SlotTest};
use self::write_rate::WriteRate;
use crate::call::{
    Audited, Call, Caller, Completion, Count, Failure, Identity, Missing, Operations, Outcome, PendingCall,
    PendingPassword, SlotState, Work,
};
use crate::config::{NOTICE_BYTES, one_line};
use crate::log::LOG_WRITE_BYTES;
use crate::log::Reason;
use crate::log::errno::{EIO, ETIMEDOUT};
use crate::service::{Action, BoardEnd, CommandError, ServiceId, Supervisor};
use crate::session::{Lockout, Rights, SessionTable, Tokens, Users};
use crate::{error, info, warning};

crate::limits::limits! {
    /// Records in one answer of `board/log`, and output in one answer of `services/NAME/log`.
    LOG_ANSWER_BYTES: usize = LOG_WRITE_BYTES, exceeded "the rest follows in the next answer",
        tests ["one_answer_is_bounded_and_the_rest_follows"];
    /// Names of the certificate in `board/status`.
    CERTIFICATE_TEXT_BYTES: usize = 512, exceeded "cut",
        tests ["longest_complaint_and_notice_fit_every_answer"];
    /// Lines in one answer of `services/NAME/log`.
    LOG_LINES: usize = 200, exceeded "the rest follows in the next answer",
        tests ["log_of_a_service_has_no_more_lines_than_its_limit"];
    /// Writes to the disk of one user (`install`, `uninstall`, `updatepassword`) without a pause.
    USER_WRITES: u32 = 240, exceeded "refused with error 122 until the pause is over; not at the local socket",
        tests ["user_writes_up_to_the_limit_and_then_at_intervals", "writes_of_a_user_are_bounded"];
    /// Lines of the audit trail of one kind (logins, changes, refusals) by one user within `audit_period`.
    AUDIT_BURST: u32 = 60, exceeded "counted, and the count is a line at the end of the period",
        tests ["lines_of_a_kind_up_to_the_limit_and_then_one_in_each_period"];
    /// The same of logins and calls that are refused, without a session, from one address.
    AUDIT_SOURCE_BURST: u32 = 15, exceeded "counted, and the count is a line at the end of the period",
        tests ["guesses_of_one_address_hide_those_of_no_other"];
    /// Addresses of which these are counted.
    AUDIT_SOURCES: usize = 4, exceeded "others have the limit of all without a session",
        tests ["guesses_of_one_address_hide_those_of_no_other"];
    /// Time over which `audit_burst` counts; after one that was too short, a kind has one line in it.
    AUDIT_PERIOD: Duration = Duration::from_secs(3600), exceeded "the count starts again",
        tests ["lines_of_a_kind_up_to_the_limit_and_then_one_in_each_period"];
    /// Pause between two writes after those.
    USER_WRITE_PAUSE: Duration = Duration::from_secs(60), exceeded "the next write",
        tests ["user_writes_up_to_the_limit_and_then_at_intervals"];
    /// Text of the configuration file in one answer of `board/configuration`.
    CONFIGURATION_ANSWER_BYTES: usize = 16 * 1024, exceeded "the rest follows in the next answer",
        tests ["text_is_shown_in_pages_up_to_their_limit"];
    /// Time from one part of a configuration file to the next.
    CONFIGURATION_PART_TIME: Duration = Duration::from_secs(60), exceeded "the parts are dropped",
        tests ["parts_expire_after_their_time"];
    /// Time to confirm a change of the configuration.
    CHANGE_CONFIRM_TIME: Duration = Duration::from_secs(60), exceeded "the earlier configuration is back",
        tests ["change_is_confirmed_within_its_time_or_over"];
}

/// State that the calls work on.
#[derive(Debug)]
pub struct Api {
    pub(crate) accounts: Accounts,
    pub(crate) services: Supervisor,
    pub(crate) board: Board,
    pub(crate) slot: SlotTest,
    /// Reason in the outcome of the latest call.
    reason: String<NOTICE_BYTES>,
    pub(crate) counters: Counters,
    /// Page of a log in the outcome of the latest call.
    page: Box<[u8]>,
    /// Calls whose result outlives the connection.
    pub(crate) operations: Operations,
    /// Open connections, and those with an identity that are served at once.
    pub(crate) connections: Count,
    last_call_id: u64,
    write_rate: WriteRate,
    pub(crate) changes: Changes,
    pub(crate) audit: AuditRates,
    /// Write of the services that start with the server.
    persisting: Option<u64>,
    /// Change of a password that is not on the disk yet.
    password_change: Option<PasswordChange>,
    pub(crate) pairing: PairingState,
}

/// Everything that a handler may use.
pub struct Context<'c> {
    /// State of the calls.
    pub api: &'c mut Api,
    /// The operating system.
    pub platform: &'c mut dyn Platform,
    /// Time since the start of the server.
    pub now: Duration,
}

impl Api {
    /// Creates an api with these tables.
    pub fn new(
        users: Users,
        tokens: Tokens,
        sessions: SessionTable,
        lockout: Lockout,
        services: Supervisor,
        board: Board,
    ) -> Self {
        Self {
            accounts: Accounts::new(users, tokens, sessions, lockout),
            services,
            slot: SlotTest::new(board.slot_state),
            reason: String::new(),
            board,
            counters: Counters::default(),
            page: vec![0; LOG_ANSWER_BYTES].into_boxed_slice(),
            operations: Operations::default(),
            connections: Count::default(),
            last_call_id: 0,
            write_rate: WriteRate::new(),
            changes: Changes::default(),
            audit: AuditRates::new(),
            persisting: None,
            password_change: None,
            pairing: PairingState::default(),
        }
    }

    /// Handles the result of a write to the disk, whether or not a call waits for it.
    pub(crate) fn handle_written(&mut self, id: u64, written: Result<(), i32>, now: Duration) {
        if self.persisting == Some(id) {
            self.persisting = None;
            self.services.handle_persisted(written);
        } else if let Some(change) = self.password_change.take_if(|change| change.is(id)) {
            password::finish(change, written.is_ok(), &mut self.accounts, now);
        } else if let Some(write) = self.pairing.take_write(id) {
            pairing::finish(write, written, self, now);
        }
    }

    /// Returns true while a call waits for a write to the disk.
    pub(crate) fn is_writing(&self) -> bool {
        self.persisting.is_some() || self.password_change.is_some() || self.pairing.is_writing()
    }

    /// Condition of a good slot that is not met, but for time and an administrator.
    fn slot_fault(&self) -> Option<Missing<'_>> {
        fault(&self.board, &self.services, &self.changes)
    }

    /// Looks at the running slot. Returns true if administrators have to be notified of it.
    pub(crate) fn check_slot(&mut self, now: Duration) -> bool {
        let slot = self.board.slot;
        let (missing, time) = match self.slot.look(fault(&self.board, &self.services, &self.changes), now) {
            None => return false,
            Some(SlotEvent::Good) => {
                info!("slot {} is good", slot);
                self.board.slot_notice = None;
                return false;
            }
            Some(SlotEvent::Fails(missing, time)) => (missing, time.as_secs()),
        };
        let text =
            one_line(format_args!("slot {slot} is not good: {missing}; the board restarts in {time} s"));
        warning!("{}", text);
        self.board.slot_notice = Some(text);
        true
    }

    /// Has `report` report the result of the test of the slot, if there is a new one: good, or the reason of the failure.
    pub(crate) fn report_slot(&mut self, report: &mut dyn FnMut(Result<(), &dyn Display>) -> bool) {
        let Some(state) = self.slot.result() else { return };
        let fault = self.slot_fault().unwrap_or(Missing::Failed);
        let error = self.board.config_error.as_deref().filter(|_| self.board.is_file_out_of_force);
        let reason: &dyn Display = match &error {
            Some(error) => error,
            None => &fault,
        };
        if report(if state == SlotState::Good { Ok(()) } else { Err(reason) }) {
            self.slot.handle_reported();
        }
    }

    fn next_call_id(&mut self) -> u64 {
        self.last_call_id += 1;
        self.last_call_id
    }

    /// Outcome of a call that has to wait. It is an operation if it has an id.
    fn pending(&mut self, id: u64, work: Work) -> Outcome<'static> {
        let call = PendingCall::new(id, work);
        self.operations.run(&call);
        Outcome::Pending(call)
    }

    /// Shuts the board down because a service has failed or ended well.
    fn end_board(&self, service: ServiceId, end: BoardEnd, platform: &mut dyn Platform) {
        let name = self.services.table().get(service).map_or("?", |spec| &spec.name);
        match platform.end_board(end) {
            Ok(()) => warning!("{}: its end requests {} of the board", name, end.name()),
            Err(errno) => error!("{}: cannot {} the board: {}", name, end.name(), Reason::from(errno)),
        }
    }

    /// Executes the actions of the supervisor.
    pub(crate) fn run_actions(&mut self, platform: &mut dyn Platform) {
        while let Some(action) = self.services.poll_action() {
            match action {
                Action::Spawn { service, program } => platform.spawn(service, program),
                Action::Signal { service, signal, scope } => platform.signal(service, signal, scope),
                Action::EndBoard { service, end } => self.end_board(service, end, platform),
                Action::Persist => {
                    let id = self.next_call_id();
                    let queued = platform.persist(&mut self.services.overrides(), id);
                    match queued {
                        Ok(()) => self.persisting = Some(id),
                        Err(Refused) => self.services.handle_persisted(Err(EIO)),
                    }
                }
            }
        }
    }
}

/// Condition of a good slot that is not met, but for time and an administrator.
fn fault<'a>(board: &Board, services: &'a Supervisor, changes: &Changes) -> Option<Missing<'a>> {
    if board.is_file_out_of_force || changes.trial.is_some() {
        Some(Missing::Configuration)
    } else if board.has_data_in_memory && board.slot_state == SlotState::Testing {
        Some(Missing::Data)
    } else {
        services.missing().map(Missing::Service)
    }
}

/// Routes a call, checks the caller's right, and runs its handler.
pub fn handle<'a>(call: &Call<'a>, caller: &Caller, cx: &'a mut Context<'_>) -> Outcome<'a> {
    Counters::add(&mut cx.api.counters.calls);
    let Some(segments) = split(call.path) else {
        return Outcome::Failed(Failure::UnknownFunction);
    };
    let Some((&"system.library", function)) = segments.split_first() else {
        return Outcome::Failed(Failure::UnknownLibrary);
    };
    let Some((row, name)) = Row::find(function) else {
        // Only a caller with a session learns which calls exist.
        let refusal = authorise(&["?"], call, caller, cx).err();
        return refusal.unwrap_or(Refusal::Failed(Failure::UnknownFunction)).into();
    };
    run(row, name, call, caller, cx).unwrap_or_else(Outcome::from)
}

/// Logs that a user lacks the right to a call, and returns that failure.
fn not_allowed<'a>(
    row: &Row,
    object: AuditObject<'_>,
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &mut Context<'_>,
) -> Failure<'a> {
    let (source, user) = (caller.source, Some(identity.user()));
    let refused = AuditCall { kind: AuditKind::Refusal, user, source, path: row.path };
    audit::finish(refused.begin(None, object, cx), Outcome::Failed(Failure::NotAllowed));
    let accounts = &mut cx.api.accounts;
    if let Some(suppressed) = accounts.log_refusal(cx.now) {
        let user = accounts.name(identity);
        warning!("user {}: {} from {} refused{}", user, call.path, caller.source, suppressed);
    }
    Failure::NotAllowed
}

/// Reason why a call does not reach its handler.
#[derive(Clone, Copy, Debug)]
enum Refusal<'a> {
    /// Only administrators are served on this connection.
    AtCapacity,
    /// The call fails.
    Failed(Failure<'a>),
}

impl<'a> From<Failure<'a>> for Refusal<'a> {
    fn from(failure: Failure<'a>) -> Self {
        Self::Failed(failure)
    }
}

impl<'a> From<Refusal<'a>> for Outcome<'a> {
    fn from(refusal: Refusal<'a>) -> Self {
        match refusal {
            Refusal::AtCapacity => Self::AtCapacity,
            Refusal::Failed(failure) => Self::Failed(failure),
        }
    }
}

/// Checks the right that a row requires and whether it may change anything, and runs its handler.
fn run<'a>(
    row: &'static Row,
    name: Option<&'a str>,
    call: &Call<'a>,
    caller: &Caller,
    cx: &'a mut Context<'_>,
) -> Result<Outcome<'a>, Refusal<'a>> {
    let (identity, service) = match row.handler {
        Handler::Public(_) => (None, None),
        Handler::Session(_) | Handler::Own(_) => (Some(authorise(row.path, call, caller, cx)?), None),
        Handler::Administrator(_) => {
            let identity = authorise(row.path, call, caller, cx)?;
            if !cx.api.accounts.is_admin(identity) {
                return Err(Refusal::Failed(not_allowed(row, AuditObject::None, call, caller, identity, cx)));
            }
            (Some(identity), None)
        }
        Handler::Service(_) | Handler::Verb(_) => {
            let (identity, service) = authorise_service(row, name, call, caller, cx)?;
            (Some(identity), Some(service))
        }
    };
    let effect = row.effect.of(call);
    if let Some(identity) = identity
        && effect != Effect::Reads
        && !may_change(row, cx.api.accounts.rights(identity))
    {
        let object = service.map_or(AuditObject::None, AuditObject::Service);
        return Err(Refusal::Failed(not_allowed(row, object, call, caller, identity, cx)));
    }
    check_effect(effect, caller)?;
    cx.api.operations.prepare_none();
    // Those of a session are about operations.
    if let Some(identity) = identity.filter(|_| !matches!(row.handler, Handler::Session(_)))
        && let Some(repeat) = begin_operation(row, call, identity, service, cx)?
    {
        return Ok(operations::outcome(&repeat, cx));
    }
    // A call that changes something by a parameter has a line of its handler.
    let is_change = matches!(row.effect, Effect::Changes | Effect::ChangesAnswered);
    let audited = identity.filter(|_| is_change).map(|identity| Audited {
        path: row.path,
        user: identity.user(),
        source: caller.source,
    });
    // A parameter that the call does not have is the caller's alone.
    let user = call.parameter("username").filter(|_| row.parameters.contains(&"username"));
    let object = service.map_or(user.map_or(AuditObject::None, AuditObject::Named), AuditObject::Service);
    let line = audited.and_then(|audited| AuditCall::of_change(&audited).begin(None, object, cx));
    let mut outcome = match (row.handler, identity, service) {
        (Handler::Public(handler), ..) => handler(call, caller, cx),
        (
            Handler::Session(handler) | Handler::Own(handler) | Handler::Administrator(handler),
            Some(identity),
            _,
        ) => handler(call, caller, identity, cx),
        (Handler::Service(handler), Some(identity), Some(service)) => {
            handler(call, caller, identity, service, cx)
        }
        (Handler::Verb(verb), Some(identity), Some(service)) => {
            services::run(verb, identity, caller.source, service, cx)
        }
        _ => internal("a call without what its handler needs"),
    };
    if let Outcome::Pending(pending) = &mut outcome {
        pending.audited = pending.audited.or(audited);
    }
    Ok(audit::finish(line, outcome))
}

/// Prepares the operation of a call that may have one. Returns the operation that a call repeats.
fn begin_operation<'a>(
    row: &Row,
    call: &Call<'a>,
    identity: Identity,
    service: Option<ServiceId>,
    cx: &mut Context<'_>,
) -> Result<Option<Repeat>, Refusal<'a>> {
    match row.path.last() {
        Some(function) if row.parameters.contains(&operations::PARAMETER) => {
            let is_verb = matches!(row.handler, Handler::Verb(_));
            Ok(operations::begin(function, is_verb, call, identity, service, cx)?)
        }
        _ => Ok(None),
    }
}

/// Returns the identity of a caller. On a connection for administrators alone, other callers are refused. `path` is that of
/// the call in the audit trail.
fn authorise<'a>(
    path: &[&str],
    call: &Call<'a>,
    caller: &Caller,
    cx: &mut Context<'_>,
) -> Result<Identity, Refusal<'a>> {
    match cx.api.accounts.authorise(call, caller, cx.now, &*cx.platform) {
        Ok(identity) if caller.admins_only && !cx.api.accounts.is_admin(identity) => Err(Refusal::AtCapacity),
        Ok(identity) => Ok(identity),
        Err(_) if caller.admins_only => Err(Refusal::AtCapacity),
        Err(failure) => {
            let session = call.session.unwrap_or_default();
            audit::refused_session(session, caller.bound, caller.source, path, cx);
            Err(Refusal::Failed(failure))
        }
    }
}

/// Returns the identity of a caller, and the service of the call, which the caller may see. Without a
/// name in the path, the parameter `serviceName` names it.
fn authorise_service<'a>(
    row: &Row,
    name: Option<&str>,
    call: &Call<'a>,
    caller: &Caller,
    cx: &mut Context<'_>,
) -> Result<(Identity, ServiceId), Refusal<'a>> {
    let identity = authorise(row.path, call, caller, cx)?;
    let name = name.or_else(|| call.parameters.get("serviceName"));
    match services::find(name, identity, cx) {
        Ok(service) => Ok((identity, service)),
        Err(Failure::NotAllowed) => {
            let object = name.map_or(AuditObject::None, AuditObject::Named);
            Err(Refusal::Failed(not_allowed(row, object, call, caller, identity, cx)))
        }
        Err(failure) => Err(Refusal::Failed(failure)),
    }
}

/// Returns the outcome of a pending call.
pub fn complete<'a>(
    pending: &PendingCall,
    completion: Completion<'a>,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let object = match &pending.work {
        Work::Command { service, .. } | Work::Verb { service, .. } => AuditObject::Service(*service),
        Work::Password(PendingPassword { user, .. }) | Work::StoredPassword { user } => {
            AuditObject::User(*user)
        }
        Work::Pairing { key, .. } => AuditObject::Named(key),
        Work::Login(_)
        | Work::Reload
        | Work::Configuration
        | Work::Confirm
        | Work::Upgrade
        | Work::StoredLog => AuditObject::None,
    };
    let line = pending.audited.and_then(|audited| AuditCall::of_change(&audited).begin(None, object, cx));
    let mut outcome = completed(pending, completion, cx);
    if let Outcome::Pending(next) = &mut outcome {
        // The line of its end follows.
        next.audited = pending.audited;
        return outcome;
    }
    audit::finish(line, outcome)
}

fn completed<'a>(pending: &PendingCall, completion: Completion<'a>, cx: &'a mut Context<'_>) -> Outcome<'a> {
    match (&pending.work, completion) {
        (_, Completion::TimedOut) => {
            crate::warning!("call {}: no completion in time", pending.function());
            Outcome::Failed(match pending.work {
                Work::Pairing { user, .. } => pairing::failure(user, ETIMEDOUT),
                _ => Failure::Failed { function: pending.function(), result: ETIMEDOUT },
            })
        }
        (Work::Login(login), Completion::Password(verdict)) => login::complete(login, &verdict, cx),
        (Work::Password(password), Completion::Password(verdict)) => {
            password::complete(password, verdict, cx)
        }
        (Work::Command { .. }, Completion::Command(output)) => Outcome::Command(output),
        (Work::Command { service, program }, Completion::NotStarted(error)) => {
            services::not_started("command", *service, *program, error, cx)
        }
        (Work::Verb { verb, service }, Completion::Written(written)) => {
            services::outcome(verb.name(), *service, written.map_err(CommandError::Persist), cx)
        }
        (Work::StoredPassword { .. }, Completion::Written(written)) => password::outcome(written),
        (Work::Pairing { user, .. }, Completion::Written(written)) => pairing::outcome(*user, written, cx),
        (Work::Reload, Completion::Reloaded(Ok(reloaded))) => Outcome::Reloaded(reloaded),
        (Work::Reload, Completion::Reloaded(Err(reason))) => {
            Outcome::Failed(Failure::Unchanged { function: "reload", reason })
        }
        (Work::Configuration, Completion::Shown(page)) => Outcome::Configuration(page),
        (Work::Configuration, Completion::Reloaded(Ok(reloaded))) => Outcome::Reloaded(reloaded),
        (Work::Configuration, Completion::Reloaded(Err(reason))) => {
            Outcome::Failed(Failure::Unchanged { function: "configuration", reason })
        }
        (Work::Confirm, Completion::Confirmed(Ok(()))) => Outcome::Done,
        (Work::Confirm, Completion::Confirmed(Err(reason))) => {
            Outcome::Failed(Failure::Unchanged { function: "confirm", reason })
        }
        (Work::Upgrade, Completion::Upgraded(Ok(()))) => Outcome::Done,
        (Work::Upgrade, Completion::Upgraded(Err(reason))) => {
            Outcome::Failed(Failure::Unchanged { function: "upgrade", reason })
        }
        (Work::StoredLog, Completion::StoredLog(page)) => board::stored(page, cx),
        (Work::Verb { verb, service }, Completion::Settled(result)) => {
            services::outcome(verb.name(), *service, result, cx)
        }
        _ => internal("a completion of another kind of call"),
    }
}

/// Splits a path at its slashes; `None` if it has more segments than any call.
fn split(path: &str) -> Option<Vec<&str, 5>> {
    let mut segments = Vec::new();
    let mut rest = path.trim_matches('/');
    loop {
        let slash = rest.bytes().position(|byte| byte == b'/');
        let (segment, after) = match slash.and_then(|slash| rest.split_at_checked(slash)) {
            Some((segment, after)) => (segment, after.get(1..)),
            None => (rest, None),
        };
        segments.push(segment).ok()?;
        match after {
            Some(after) => rest = after,
            None => return Some(segments),
        }
    }
}

/// Returns true if a caller with these rights may make the call, which changes something.
fn may_change(row: &Row, rights: Rights<'_>) -> bool {
    if matches!(row.handler, Handler::Own(_)) { rights.may_change_account() } else { rights.may_change() }
}

fn check_effect(effect: Effect, caller: &Caller) -> Result<(), Refusal<'static>> {
    let refused = Err(Refusal::Failed(Failure::NotPost));
    match effect {
        Effect::Changes if !caller.may_change => refused,
        Effect::ChangesAnswered if !caller.may_change || !caller.is_answered => refused,
        _ => Ok(()),
    }
}

/// Outcome of an internal error.
fn internal(state: &'static str) -> Outcome<'static> {
    debug_assert!(false, "{state}");
    crate::error!("internal error: {}", state);
    Outcome::Failed(Failure::Internal)
}

#[cfg(test)]
mod tests;
