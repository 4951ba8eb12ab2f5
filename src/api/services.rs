//! The calls under `system.library/services`.

use super::{Context, LOG_LINES, Platform, internal};
use crate::call::{
    Call, Caller, Failure, Identity, Outcome, ServiceDetails, ServiceList, ServiceLog, ServiceStatus, Work,
};
use crate::log::errno::{EAGAIN, EDQUOT, EINVAL, ESHUTDOWN, ESRCH};
use crate::service::{
    CommandAction, CommandError, LastExit, Program, START_OUTPUT_BYTES, ServiceId, SpawnError, Verb,
};
use crate::session::ClientAddr;

/// Parameter with which a bound socket receives the lines that follow.
pub(super) const FOLLOW: &str = "follow";
/// HTML of a service that configures none, as in Friend Core.
const NO_WEBGUI: &str = "<div> </div>";
/// Id of a call that no completion of the platform names: the supervisor completes it.
const NO_ID: u64 = 0;

/// Finds the service of this name, if the caller may see it.
pub(super) fn find<'a>(
    name: Option<&str>,
    identity: Identity,
    cx: &Context<'_>,
) -> Result<ServiceId, Failure<'a>> {
    let name = name.filter(|name| !name.is_empty()).ok_or(Failure::NoServiceName)?;
    let service = cx.api.services.table().find(name).ok_or(Failure::UnknownService)?;
    if cx.api.accounts.rights(identity).may_see(name) { Ok(service) } else { Err(Failure::NotAllowed) }
}

/// Runs a verb of the supervisor.
pub(super) fn run<'a>(
    verb: Verb,
    identity: Identity,
    source: ClientAddr,
    service: ServiceId,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let user = cx.api.accounts.name(identity);
    crate::info!("service {}: {} by {} from {}", cx.api.services.subject(service), verb.name(), user, source);
    let is_write = matches!(verb, Verb::Install | Verb::Uninstall);
    if is_write && !cx.api.write_rate.permits(identity.user(), cx.now) {
        return Outcome::Failed(Failure::Failed { function: verb.name(), result: EDQUOT });
    }
    let accepted = cx.api.services.handle_command(service, verb, cx.now);
    if accepted.is_ok() && matches!(verb, Verb::Start | Verb::Restart) && !cx.api.services.is_settled(service)
    {
        cx.api.run_actions(cx.platform);
        return cx.api.pending(NO_ID, Work::Verb { verb, service });
    }
    if accepted.is_ok() && is_write {
        let before = cx.api.persisting;
        cx.api.run_actions(cx.platform);
        if cx.api.persisting != before {
            cx.api.write_rate.count(identity.user(), cx.now);
        }
        // A second call of the same service waits for the same write.
        if let Some(id) = cx.api.persisting.filter(|_| cx.api.services.is_persisting(service)) {
            return cx.api.pending(id, Work::Verb { verb, service });
        }
    }
    finish(verb.name(), service, accepted, cx)
}

/// Executes the actions of an accepted command and returns its outcome.
fn finish<'a>(
    function: &'static str,
    service: ServiceId,
    accepted: Result<(), CommandError>,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    cx.api.run_actions(cx.platform);
    let result = accepted.and_then(|()| cx.api.services.take_result(service));
    cx.api.operations.end_at_once(function, service, result);
    outcome(function, service, result, cx)
}

/// Returns the outcome of a command.
pub(super) fn outcome<'a>(
    function: &'static str,
    service: ServiceId,
    result: Result<(), CommandError>,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let result = match result {
        Ok(()) => return Outcome::Done,
        Err(CommandError::Unknown) => return Outcome::Failed(Failure::UnknownService),
        Err(CommandError::Spawn(error)) => return not_started(function, service, Program::Main, error, cx),
        Err(CommandError::Exited(exit)) => return ended_at_once(function, service, exit, cx),
        Err(CommandError::NotRunning) => ESRCH,
        Err(CommandError::Persist(errno)) => errno,
        Err(CommandError::Busy) => EAGAIN,
        Err(CommandError::ShuttingDown) => ESHUTDOWN,
    };
    Outcome::Failed(Failure::Failed { function, result })
}

/// Outcome of a program that could not be started: that of the service, or of one of its commands.
pub(super) fn not_started<'a>(
    function: &'static str,
    service: ServiceId,
    program: Program,
    error: SpawnError,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    match cx.api.services.table().get(service) {
        Some(spec) => {
            let end = LastExit::Spawn(error);
            Outcome::Failed(Failure::NotStarted { function, spec, program, end, output: &[] })
        }
        None => internal("a service outside the table"),
    }
}

/// Outcome of a service that exited at once, with the last lines of its output.
fn ended_at_once<'a>(
    function: &'static str,
    service: ServiceId,
    end: LastExit,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let page = cx.api.page.get_mut(..START_OUTPUT_BYTES).unwrap_or_default();
    let output = newest_lines(service, usize::MAX, cx.platform, page);
    match cx.api.services.table().get(service) {
        Some(spec) => {
            let program = Program::Main;
            Outcome::Failed(Failure::NotStarted { function, spec, program, end, output })
        }
        None => internal("a service outside the table"),
    }
}

/// Lists the services that the caller may see, from the one in `from` on.
pub(super) fn list<'a>(
    call: &Call<'a>,
    _: &Caller,
    identity: Identity,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let first = call.parameter("from").map(|name| find(Some(name), identity, cx)).transpose();
    match first {
        Ok(first) => {
            let (services, rights) = (&cx.api.services, cx.api.accounts.rights(identity));
            Outcome::Services(ServiceList { services, rights, first, now: cx.now })
        }
        Err(failure) => Outcome::Failed(failure),
    }
}

/// Reports state and process of a service.
pub(super) fn status<'a>(
    _: &Call<'a>,
    _: &Caller,
    _: Identity,
    service: ServiceId,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let services = &cx.api.services;
    match services.table().get(service) {
        Some(spec) => {
            let now = cx.now;
            let (status, ends) = (services.status(service, now), services.ends(service));
            let text = services.status_text(service);
            Outcome::Service(ServiceStatus { spec, status, ends, text, services, service, now })
        }
        None => internal("a service outside the table"),
    }
}

/// Returns declaration, state and past ends of a service.
pub(super) fn show<'a>(
    _: &Call<'a>,
    _: &Caller,
    _: Identity,
    service: ServiceId,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let (services, now) = (&cx.api.services, cx.now);
    match services.table().get(service) {
        Some(spec) => {
            let status = services.status(service, now);
            let usage = (status.pid != 0).then(|| cx.platform.usage(&spec.name, status.pid));
            Outcome::Details(ServiceDetails { spec, status, usage, services, service, now })
        }
        None => internal("a service outside the table"),
    }
}

/// Returns the newest lines that a service wrote, or those from position `since` on. With `follow`, a bound
/// socket receives the lines after them as pushes, or no more.
pub(super) fn log<'a>(
    call: &Call<'a>,
    caller: &Caller,
    _: Identity,
    service: ServiceId,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let number = |key| call.parameter(key).map(str::parse::<u64>).transpose();
    let follow = call.parameter(FOLLOW).map(str::parse::<bool>).transpose();
    let (Ok(since), Ok(lines), Ok(follow)) = (number("since"), number("lines"), follow) else {
        return Outcome::Failed(Failure::Failed { function: "log", result: EINVAL });
    };
    if follow.is_some() && caller.bound.is_none() {
        return Outcome::Failed(Failure::Failed { function: "log", result: EINVAL });
    }
    let lines = lines.map_or(LOG_LINES, |lines| usize::try_from(lines).unwrap_or(LOG_LINES).min(LOG_LINES));
    Outcome::ServiceLog { service, log: lines_of(service, since, lines, cx), follow }
}

/// Output of a service in whole lines: at most `lines`, the newest, or those from position `since` on.
pub(crate) fn lines_of<'a>(
    service: ServiceId,
    since: Option<u64>,
    lines: usize,
    cx: &'a mut Context<'_>,
) -> ServiceLog<'a> {
    let (at, length) = cx.platform.copy_output(service, since, &mut cx.api.page);
    let is_full = length == cx.api.page.len();
    let page = cx.api.page.get(..length).unwrap_or(&cx.api.page);
    // Only a position that a client has asked for is that of a line; before it nothing is kept.
    let (begin, text) = whole_lines(page, at > 0 && since != Some(at), is_full);
    let each = || text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::len);
    let (skipped, kept) = match since {
        Some(_) => (0, each().take(lines).sum()),
        None => {
            let skipped: usize = each().take(each().count().saturating_sub(lines)).sum();
            (skipped, text.len() - skipped)
        }
    };
    let from = at + (begin + skipped) as u64;
    let output = text.get(skipped..skipped + kept).unwrap_or(text);
    let lost = since.map_or(0, |since| from.saturating_sub(since));
    ServiceLog { from, next: from + output.len() as u64, lost, output }
}

/// Newest lines of the latest run of a service, at most `lines` of them and no more than fit into `room`. The beginning of
/// a line that is too long is left out.
pub(crate) fn newest_lines<'r>(
    service: ServiceId,
    lines: usize,
    platform: &dyn Platform,
    room: &'r mut [u8],
) -> &'r [u8] {
    let (at, length) = platform.copy_output(service, None, room);
    let start = platform.output_start(service);
    let earlier = start.saturating_sub(at) as usize;
    let page = room.get(earlier.min(length)..length).unwrap_or(&[]);
    let text = match whole_lines(page, at > start, true) {
        (_, []) => page,
        (_, text) => text,
    };
    let each = || text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::len);
    let skipped = each().take(each().count().saturating_sub(lines)).sum();
    text.get(skipped..).unwrap_or(text)
}

/// The whole lines of a page, with their offset. A page that begins inside a line loses the rest of it; a
/// full page that is all one line counts as one.
fn whole_lines(page: &[u8], begins_inside: bool, is_full: bool) -> (usize, &[u8]) {
    let after = |end: Option<usize>| end.map(|end| end + 1);
    let first = after(page.iter().position(|byte| *byte == b'\n')).unwrap_or(0);
    let begin = if begins_inside { first } else { 0 };
    let end = match after(page.iter().rposition(|byte| *byte == b'\n')) {
        Some(end) => end,
        None if is_full => page.len(),
        None => 0,
    };
    (begin, page.get(begin..end).unwrap_or(&[]))
}

/// Returns the HTML of a service.
pub(super) fn web_gui<'a>(
    _: &Call<'a>,
    _: &Caller,
    _: Identity,
    service: ServiceId,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let spec = cx.api.services.table().get(service);
    Outcome::WebGui(spec.and_then(|spec| spec.webgui.as_deref()).unwrap_or(NO_WEBGUI))
}

/// Runs a named command of a service: a signal, or a program whose output is the outcome.
pub(super) fn command<'a>(
    call: &Call<'a>,
    _: &Caller,
    identity: Identity,
    service: ServiceId,
    cx: &'a mut Context<'_>,
) -> Outcome<'a> {
    let Some(name) = call.parameter("cmd") else {
        return Outcome::Failed(Failure::MissingParameters { names: "cmd" });
    };
    let Some((index, command)) = cx.api.services.named_command(service, name) else {
        return Outcome::Failed(Failure::UnknownFunction);
    };
    match command.action {
        CommandAction::Signal { signal, scope } => {
            let accepted = cx.api.services.handle_signal(service, signal, scope, cx.now);
            finish("command", service, accepted, cx)
        }
        CommandAction::Argv(_) => {
            let id = cx.api.next_call_id();
            let user = cx.api.accounts.sharing_user(identity);
            match cx.platform.run_command(service, index, id, user) {
                Ok(()) => {
                    let program = Program::Command(index as u8);
                    cx.api.pending(id, Work::Command { service, program })
                }
                Err(super::Refused) => Outcome::Failed(Failure::TableFull),
            }
        }
    }
}
