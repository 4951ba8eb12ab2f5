//! Pushes to a bound socket: changes of services and health checks, and the notice of a problem with the board.

use core::fmt::Display;
use core::time::Duration;

use super::machine::{ANSWER_ROOM, Connection, Context};
use super::pending_pushes::PendingPushes;
use super::{PUSH_BACKLOG_BYTES, PUSH_OUTPUT_BYTES, PUSH_OUTPUT_LINES};
use crate::api::{self, Accounts, Api, Platform};
use crate::friendcore::reply;
use crate::json::Writer;
use crate::limits::SERVICE_NAME_BYTES;
use crate::service::{
    EVENT_KEY_BYTES, EVENT_VALUE_BYTES, LastExit, SERVICE_EVENTS, ServiceId, Spec, StateChange,
};
use crate::ws::TextFrame;

/// A change of one service, encoded once for every socket.
pub(super) struct ServiceChange {
    pub(super) service: ServiceId,
    frame: TextFrame<PUSH_BACKLOG_BYTES>,
}

impl ServiceChange {
    /// Encodes a change with the newest lines of the service if a process exited. `None` after an internal
    /// error; the log has it.
    pub(super) fn new(change: StateChange, spec: &Spec, platform: &dyn Platform) -> Option<Self> {
        let StateChange { service, state, pid, reason } = change;
        let reason = reason.filter(|reason| *reason != LastExit::None);
        let mut room = [0; PUSH_OUTPUT_BYTES];
        // A program that was not started has written nothing.
        let output = match reason {
            None | Some(LastExit::Spawn(_)) => &[],
            Some(_) => api::newest_lines(service, PUSH_OUTPUT_LINES, platform, &mut room),
        };
        let names = reason.map(|reason| reason.text(spec));
        let whole = reply::Change { service: &spec.name, state, pid, reason: names, output };
        let change = Self::encode(service, &whole);
        // Long names and many escapes: the state is what counts.
        let change = change.or_else(|| {
            let short = reply::Change { service: &spec.name, state, pid, reason, output: &[] };
            Self::encode(service, &short)
        });
        debug_assert!(change.is_some(), "a change of {} does not fit", spec.name);
        if change.is_none() {
            crate::error!("internal error: a change of {} does not fit", spec.name);
        }
        change
    }

    /// Encodes a change; `None` if it does not fit.
    fn encode(service: ServiceId, change: &reply::Change<'_, impl Display>) -> Option<Self> {
        // A push reserves no more than the backlog of pushes.
        let frame = TextFrame::new(|room| {
            let mut out = Writer::new(room);
            reply::service_change(&mut out, change).ok()?;
            Some(out.finish().ok()?.len())
        });
        Some(Self { service, frame: frame? })
    }
}

const _: () = assert!(
    256 + SERVICE_NAME_BYTES <= TextFrame::<PUSH_BACKLOG_BYTES>::PAYLOAD_BYTES,
    "push_backlog_bytes: must hold the shortest push of a change"
);

const _: () = assert!(
    128 + SERVICE_NAME_BYTES + SERVICE_EVENTS * (24 + EVENT_KEY_BYTES + 2 * EVENT_VALUE_BYTES)
        <= PUSH_BACKLOG_BYTES,
    "push_backlog_bytes: must hold the events of a service"
);

/// Bit of a service in [`PendingPushes`].
fn bit(service: ServiceId) -> u64 {
    1 << service.index()
}

/// Sends a change to a socket that is bound, or notes that it is still to be sent.
pub(super) fn notify(connection: &mut Connection, change: &ServiceChange, now: Duration) {
    let bit = bit(change.service);
    let is_behind = connection.pushes.services & bit != 0 || !may_push(connection);
    if is_behind || connection.put_frame(&change.frame).is_err() {
        connection.pushes.services |= bit;
    }
    connection.track_stall(now);
}

/// Sends the pending pushes as far as there is room, once the peer has read everything before them.
pub(super) fn flush(connection: &mut Connection, cx: &mut Context<'_>) {
    if connection.send.is_empty() {
        flush_changes(connection, cx.api, cx.platform, cx.now);
        flush_checks(connection, cx.api, cx.now);
        flush_events(connection, cx.api, cx.now);
        if connection.pushes.log.is_some() {
            flush_log(connection, cx);
        }
    }
}

/// Sends the newest state of each service that changed, with the last exit if no process runs.
fn flush_changes(connection: &mut Connection, api: &Api, platform: &dyn Platform, now: Duration) {
    if !connection.pushes.is_notified && api.board.has_problem() {
        notify_problem(connection, api);
    }
    flush_services(
        connection,
        api,
        |pushes| &mut pushes.services,
        |connection, service, spec| {
            let status = api.services.status(service, now);
            let (state, pid, reason) = (status.state, status.pid, status.reason());
            let change = ServiceChange::new(StateChange { service, state, pid, reason }, spec, platform);
            change.is_none_or(|change| connection.put_frame(&change.frame).is_ok())
        },
    );
}

/// Sends the pending pushes of one kind, as far as there is room, to users of their services. `put` returns false without
/// room for that of a service.
fn flush_services(
    connection: &mut Connection,
    api: &Api,
    pending: fn(&mut PendingPushes) -> &mut u64,
    put: impl Fn(&mut Connection, ServiceId, &Spec) -> bool,
) {
    if *pending(&mut connection.pushes) == 0 {
        return;
    }
    for (service, spec) in api.services.table().iter() {
        let bit = bit(service);
        // The socket may be bound to another user since the change.
        if !may_receive(connection, &api.accounts, &spec.name) {
            *pending(&mut connection.pushes) &= !bit;
        }
        let is_pending = *pending(&mut connection.pushes) & bit != 0;
        if is_pending && may_push(connection) && put(connection, service, spec) {
            *pending(&mut connection.pushes) &= !bit;
        }
    }
}

/// Sends the status of each health check that has changed, as far as there is room: to users of its service, and
/// of one without a service to administrators.
pub(super) fn flush_checks(connection: &mut Connection, api: &Api, now: Duration) {
    if connection.pushes.checks == 0 {
        return;
    }
    let is_admin = connection.auth.bound.is_some_and(|identity| api.accounts.is_admin(identity));
    for (id, check, status) in api.services.checks() {
        let bit = 1 << id.index();
        let service = check.service.and_then(|service| api.services.table().get(service));
        let service = service.map(|spec| spec.name.as_str());
        // The socket may be bound to another user since the change.
        if !service.map_or(is_admin, |name| may_receive(connection, &api.accounts, name)) {
            connection.pushes.checks &= !bit;
        }
        if connection.pushes.checks & bit != 0
            && may_push(connection)
            && connection.put_text(|out| reply::check_change(out, check, service, status)).is_ok()
        {
            connection.pushes.checks &= !bit;
        }
    }
    connection.track_stall(now);
}

/// Sends the events of each service of which one has changed, as far as there is room, to users of the service.
pub(super) fn flush_events(connection: &mut Connection, api: &Api, now: Duration) {
    if connection.pushes.events == 0 {
        return;
    }
    flush_services(
        connection,
        api,
        |pushes| &mut pushes.events,
        |connection, service, spec| {
            let events = || api.services.events(service);
            connection.put_text(|out| reply::service_events(out, &spec.name, events())).is_ok()
        },
    );
    connection.track_stall(now);
}

/// Sends the lines that the socket follows, as far as there is room. A slow peer gets the rest when it has
/// caught up, with the number of bytes that were overwritten meanwhile.
pub(super) fn flush_log(connection: &mut Connection, cx: &mut Context<'_>) {
    while let Some((service, since)) = connection.pushes.log
        && may_push(connection)
    {
        let Some(spec) = cx.api.services.table().get(service) else { return };
        // The socket may be bound to another user since the call.
        if !may_receive(connection, &cx.api.accounts, &spec.name) {
            connection.pushes.log = None;
            return;
        }
        let name = spec.name.clone();
        let api = &mut api::Context { api: &mut *cx.api, platform: &mut *cx.platform, now: cx.now };
        let log = api::lines_of(service, Some(since), api::LOG_LINES, api);
        if log.output.is_empty() || connection.put_text(|out| reply::service_log(out, &name, &log)).is_err() {
            break;
        }
        connection.pushes.log = Some((service, log.next));
    }
    connection.track_stall(cx.now);
}

/// Sends the problem of the board to an administrator's socket, once; without room now, later.
pub(super) fn notify_problem(connection: &mut Connection, api: &Api) {
    if connection.pushes.is_notified || !api.board.has_problem() {
        return;
    }
    let is_admin = connection.auth.bound.is_some_and(|identity| api.accounts.is_admin(identity));
    if is_admin && may_push(connection) {
        let sent = connection.put_text(|out| reply::notice(out, api.board.health_message()));
        connection.pushes.is_notified = sent.is_ok();
    }
}

/// Returns true if the socket is bound to a user who may see the service.
pub(super) fn may_receive(connection: &Connection, accounts: &Accounts, service: &str) -> bool {
    connection.auth.bound.is_some_and(|identity| accounts.rights(identity).may_see(service))
}

/// Returns true if a push fits beside the unsent bytes and beside the answer of a pending call.
fn may_push(connection: &Connection) -> bool {
    let room = if connection.pending.is_some() { ANSWER_ROOM + PUSH_BACKLOG_BYTES } else { 0 };
    connection.outgoing.is_none()
        && connection.send.len() <= PUSH_BACKLOG_BYTES
        && connection.send.free() >= room
}
