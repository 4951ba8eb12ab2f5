//! The board, and the calls under `system.library/board`.

use core::fmt;
use std::sync::Arc;

use heapless::String;

use super::audit::{self, AuditCall, AuditObject};
use super::{CERTIFICATE_TEXT_BYTES, Context, LOG_ANSWER_BYTES, Refused, internal};
use crate::call::{
    Audited, BoardStatus, Call, Caller, Count, Failure, Identity, LogPage, LogSource, Outcome, SlotState,
    StoredPage, Work,
};
use crate::config::{COMPLAINT_BYTES, ConfigError, ConfigOrigin, NOTICE_BYTES, one_line};
use crate::limits::{BOARD, CHECKS, REPLY_BYTES, REQUEST_ID_BYTES, SESSIONS};
use crate::log::audit as audit_trail;
use crate::log::errno::{EBUSY, EINVAL};
use crate::log::{self, BUILD_ID_BYTES, Level};
use crate::service::BoardEnd;

const _: () = {
    assert!(
        LOG_ANSWER_BYTES / 3 * 4 + BUILD_ID_BYTES + 512 <= REPLY_BYTES,
        "reply_bytes: must hold the records of one answer"
    );
    assert!(
        2 * (COMPLAINT_BYTES
            + 8 * NOTICE_BYTES
            + CERTIFICATE_TEXT_BYTES
            + AUDIT_FAILS.len()
            + END_FAILS.len())
            + REQUEST_ID_BYTES * 6
            + 960
            + CHECKS * 256
            <= REPLY_BYTES,
        "reply_bytes: must hold the health of a board"
    );
};

/// Notice of an audit trail that cannot be written.
const AUDIT_FAILS: &str = "the audit trail cannot be written: the log has the reason";
/// Notice of the end of a paired key that cannot be stored.
const END_FAILS: &str =
    "a certificate that was ended is accepted again if the server is restarted: its end cannot be written";

/// Facts about the board that do not change while the server runs.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Build id of the program in hexadecimal; empty when it has none.
    pub build: String<BUILD_ID_BYTES>,
    /// Slot of the running system, `A` or `B`; empty on a system without two slots.
    pub slot: &'static str,
    /// State of the slot at the start.
    pub slot_state: SlotState,
    /// The data partition is not mounted: changes are lost when the board restarts.
    pub has_data_in_memory: bool,
    /// Source of the configuration in force.
    pub config_origin: ConfigOrigin,
    /// Error of the configuration file.
    pub config_error: Option<ConfigError>,
    /// Notice of a change that was not confirmed.
    pub change_notice: Option<String<NOTICE_BYTES>>,
    /// The given configuration file, or a drop-in, is not in force.
    pub is_file_out_of_force: bool,
    /// Error before the start of the server.
    pub notice: Option<String<NOTICE_BYTES>>,
    /// Parts of the server's sandbox that are in force.
    pub sandbox: std::string::String,
    /// Notice that the slot fails its test.
    pub slot_notice: Option<String<NOTICE_BYTES>>,
    /// Notice about the dates of the certificates in use.
    pub certificate: Option<String<NOTICE_BYTES>>,
    /// Names of the certificate in use.
    pub certificate_names: String<CERTIFICATE_TEXT_BYTES>,
    /// SHA-256 of it, that of its public key, and its end.
    pub certificate_facts: Arc<[std::string::String; 3]>,
    /// Notice about tokens that have expired, or will soon.
    pub token: Option<String<NOTICE_BYTES>>,
    /// Log server, its state and counts; empty without one.
    pub syslog: String<NOTICE_BYTES>,
    /// Notice that it is out of reach.
    pub syslog_notice: Option<String<NOTICE_BYTES>>,
    /// Notice that another host has the name of this one.
    pub name: Option<String<NOTICE_BYTES>>,
    /// The audit trail cannot be written.
    pub is_audit_failing: bool,
    /// The end of a paired key cannot be stored.
    pub is_end_failing: bool,
}

impl Board {
    /// Returns true if there is a problem that administrators are notified of.
    pub(crate) fn has_problem(&self) -> bool {
        // Without their texts: every push to every socket asks.
        let of_dates = self.certificate.is_some() || self.token.is_some();
        let has_notice =
            self.notice.is_some() || self.slot_notice.is_some() || of_dates || self.syslog_notice.is_some();
        let has_notice = has_notice || self.name.is_some();
        let is_failing = self.is_audit_failing || self.is_end_failing;
        self.config_error.is_some() || self.change_notice.is_some() || has_notice || is_failing
    }

    /// Texts of the problems.
    fn texts(&self) -> [Option<&str>; 10] {
        [
            self.config_error.as_deref(),
            self.change_notice.as_deref(),
            self.notice.as_deref(),
            self.slot_notice.as_deref(),
            self.certificate.as_deref(),
            self.token.as_deref(),
            self.syslog_notice.as_deref(),
            self.name.as_deref(),
            self.is_audit_failing.then_some(AUDIT_FAILS),
            self.is_end_failing.then_some(END_FAILS),
        ]
    }

    /// Notes whether the audit trail, or the end of a paired key, cannot be written. Returns true if administrators have to
    /// be notified.
    pub(crate) fn note_failing(&mut self, is_audit: bool, is_end: bool) -> bool {
        let was_audit = core::mem::replace(&mut self.is_audit_failing, is_audit);
        let was_end = core::mem::replace(&mut self.is_end_failing, is_end);
        is_audit && !was_audit || is_end && !was_end
    }

    /// Text of the problem.
    pub(crate) fn health_message(&self) -> impl fmt::Display {
        HealthMessage(self)
    }
}

struct HealthMessage<'b>(&'b Board);

impl fmt::Display for HealthMessage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Notices(&self.0.texts()).fmt(f)
    }
}

/// Texts, joined.
struct Notices<'n>(&'n [Option<&'n str>]);

impl fmt::Display for Notices<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut joint = "";
        for text in self.0.iter().flatten() {
            f.write_str(joint)?;
            f.write_str(text)?;
            joint = "; ";
        }
        Ok(())
    }
}

/// Reports what runs on the board, and its problems.
pub(super) fn status<'a>(_: &Call<'a>, _: &Caller, _: Identity, cx: &'a mut Context<'_>) -> Outcome<'a> {
    let Board { notice, config_error, change_notice, name, .. } = &cx.api.board;
    // A thread sets it.
    let of_audit = audit_trail::is_failing().then_some(AUDIT_FAILS);
    let of_end = cx.api.pairing.is_failing.then_some(END_FAILS);
    let change = change_notice.as_deref();
    let notices =
        [of_audit, of_end, change.filter(|_| config_error.is_some()), notice.as_deref(), name.as_deref()];
    let complaint = if config_error.is_some() { config_error.as_deref() } else { change };
    cx.api.reason = one_line(Notices(&notices));
    let board = &cx.api.board;
    let slot_state = cx.api.slot.state();
    let missing = cx.api.slot.missing(cx.api.slot_fault(), cx.now);
    Outcome::Board(BoardStatus {
        build: &board.build,
        slot: board.slot,
        slot_state,
        missing: missing.filter(|_| slot_state != SlotState::None),
        config_origin: board.config_origin.name(),
        complaint: complaint.unwrap_or_default(),
        notice: &cx.api.reason,
        certificate: board.certificate.as_deref().unwrap_or_default(),
        certificate_names: &board.certificate_names,
        certificate_facts: &board.certificate_facts,
        token: board.token.as_deref().unwrap_or_default(),
        sandbox: &board.sandbox,
        syslog: &board.syslog,
        uptime_s: cx.now.as_secs().try_into().unwrap_or(u32::MAX),
        connections: cx.api.connections,
        sessions: Count { used: cx.api.accounts.sessions.len(), limit: SESSIONS },
        memory: cx.platform.memory(),
        services: &cx.api.services,
    })
}

/// Reads the configuration file again. With `dryrun`, nothing changes.
pub(super) fn reload<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let is_trial = match call.parameter("dryrun") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Outcome::Failed(Failure::Failed { function: "reload", result: EINVAL }),
    };
    if !is_trial {
        crate::info!("reload by {} from {}", cx.api.accounts.name(identity), caller.source);
    }
    let id = cx.api.next_call_id();
    match cx.platform.reload(id, is_trial) {
        Ok(()) => cx.api.pending(id, Work::Reload),
        Err(Refused) => Outcome::Failed(Failure::Failed { function: "reload", result: EBUSY }),
    }
}

/// Tries the program at the path of this one, and lets it take over.
pub(super) fn upgrade<'a>(
    _: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    crate::info!("upgrade by {} from {}", cx.api.accounts.name(identity), caller.source);
    let id = cx.api.next_call_id();
    match cx.platform.upgrade(id) {
        Ok(()) => {
            // The new program has the earlier configuration.
            cx.api.changes.give_up();
            cx.api.pending(id, Work::Upgrade)
        }
        Err(Refused) => Outcome::Failed(Failure::Failed { function: "upgrade", result: EBUSY }),
    }
}

/// Returns the newest records, or those from `since` on; with `source`, those of a file. `level` sets the level from now on.
pub(super) fn log<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let refused = Outcome::Failed(Failure::Failed { function: "log", result: EINVAL });
    let since = match call.parameter("since").map(str::parse::<u64>) {
        None => None,
        Some(Ok(since)) => Some(since),
        Some(Err(_)) => return refused,
    };
    if let Some(name) = call.parameter("level") {
        let Some(level) = Level::from_name(name) else {
            return refused;
        };
        crate::info!("log: level {} by {} from {}", name, cx.api.accounts.name(identity), caller.source);
        let audited = Audited { path: &["board", "log"], user: identity.user(), source: caller.source };
        let line = AuditCall::of_change(&audited).begin(None, AuditObject::Named(name), cx);
        audit::finish(line, Outcome::Done);
        log::set_level(level);
    }
    if let Some(name) = call.parameter("source") {
        let source = LogSource::ALL.into_iter().find(|source| source.name() == name);
        let number = call.parameter("file").map_or(Ok(0), str::parse);
        let (Some(source), Ok(number)) = (source, number) else {
            return refused;
        };
        let id = cx.api.next_call_id();
        return match cx.platform.read_log(id, source, number, since.unwrap_or(0)) {
            Ok(()) => cx.api.pending(id, Work::StoredLog),
            Err(Refused) => Outcome::Failed(Failure::Failed { function: "log", result: EBUSY }),
        };
    }
    let page = &mut cx.api.page;
    let since = since.unwrap_or_else(|| log::tail(page.len()));
    let copied = log::since(since, page.len(), |part| {
        let [first, second] = part.pieces;
        page.get_mut(..first.len())?.copy_from_slice(first);
        page.get_mut(first.len()..part.len())?.copy_from_slice(second);
        Some((part.from, part.len()))
    });
    let Some((from, length)) = copied.flatten() else {
        return internal("a page of the log longer than its buffer");
    };
    let Some(records) = cx.api.page.get(..length) else {
        return internal("a page of the log longer than its buffer");
    };
    Outcome::BoardLog(page_of(&cx.api.board, log::FORM, from, records))
}

/// Page of records with this moment.
fn page_of<'a>(board: &'a Board, form: &'a str, from: u64, records: &'a [u8]) -> LogPage<'a> {
    let stamp = log::sample_clock();
    LogPage {
        board: BOARD,
        build: &board.build,
        form,
        level: log::level().name(),
        wall_ms: stamp.wall_ms,
        mono_ms: stamp.mono_ms,
        from,
        next: from.saturating_add(records.len() as u64),
        inode: None,
        records,
    }
}

/// Outcome of a file of the log that was read.
pub(super) fn stored<'a>(page: Result<StoredPage<'a>, i32>, cx: &'a mut Context<'_>) -> Outcome<'a> {
    match page {
        Ok(StoredPage { form, inode, from, records }) => {
            Outcome::BoardLog(LogPage { inode: Some(inode), ..page_of(&cx.api.board, form, from, records) })
        }
        Err(result) => Outcome::Failed(Failure::Failed { function: "log", result }),
    }
}

/// Marks the running slot good, if only an administrator is missing.
pub(super) fn mark_good<'a>(
    _: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let api = &mut *cx.api;
    match api.slot.confirm(super::fault(&api.board, &api.services, &api.changes), cx.now) {
        Ok(()) => {
            let user = api.accounts.name(identity);
            crate::info!("board: slot {} marked good by {} from {}", api.board.slot, user, caller.source);
            api.board.slot_notice = None;
            Outcome::Done
        }
        Err(missing) => {
            api.reason = one_line(format_args!("{missing}"));
            Outcome::Failed(Failure::Unchanged { function: "markgood", reason: &api.reason })
        }
    }
}

/// Restarts the board.
pub(super) fn reboot<'a>(
    _: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    end(BoardEnd::Reboot, identity, caller, cx)
}

/// Switches the board off.
pub(super) fn power_off<'a>(
    _: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    end(BoardEnd::PowerOff, identity, caller, cx)
}

/// Erases everything of this board's owner and restarts it, if `confirm` is the name of the board.
pub(super) fn factory_reset<'a>(
    call: &Call<'a>,
    caller: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    const FUNCTION: &str = "factory-reset";
    let result = match call.parameter("confirm") {
        None => return Outcome::Failed(Failure::MissingParameters { names: "confirm" }),
        Some(BOARD) => cx.platform.factory_reset(),
        Some(_) => Err(EINVAL),
    };
    match result {
        Ok(()) => {
            let user = cx.api.accounts.name(identity);
            crate::warning!("board: factory reset by {} from {}", user, caller.source);
            Outcome::Done
        }
        Err(result) => Outcome::Failed(Failure::Failed { function: FUNCTION, result }),
    }
}

/// Restarts or powers off the board. The platform sends the outcome first.
fn end<'a>(end: BoardEnd, identity: Identity, caller: &Caller, cx: &mut Context<'_>) -> Outcome<'a> {
    match cx.platform.end_board(end) {
        Ok(()) => {
            let user = cx.api.accounts.name(identity);
            crate::info!("board: {} by {} from {}", end.name(), user, caller.source);
            Outcome::Done
        }
        Err(result) => Outcome::Failed(Failure::Failed { function: end.name(), result }),
    }
}
