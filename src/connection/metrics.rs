//! `/metrics`: the figures of services and server, for programs that collect them.

use super::machine::{Connection, Context};
use super::response::{BODY_BYTES, reject, reject_at_capacity, respond};
use crate::api;
use crate::call::ServiceList;
use crate::http::{self, MediaType, Rejection};
use crate::json::Writer;
use crate::rest::{self, ServerFigure};

/// Response to a request for the metrics without a session.
const NO_SESSION: Rejection =
    Rejection { status: 401, reason: "log in first, or send a session or a token as Authorization: Bearer" };
/// Response to one whose metrics are longer than a response of this board.
const TOO_LONG: Rejection = Rejection { status: 500, reason: "the metrics of all services are too long" };

/// Answers with the metrics of the services that the user may see, and for administrators with those of the server.
#[cold]
pub(super) fn handle(connection: &mut Connection, session: Option<&str>, cx: &mut Context<'_>) {
    if connection.is_over_share(session, cx) {
        return reject_at_capacity(connection, cx.api, cx.http, cx.now);
    }
    let Some(identity) = connection.place.identify(session.unwrap_or_default(), cx) else {
        let source = connection.place.source;
        let api = &mut api::Context { api: &mut *cx.api, platform: &mut *cx.platform, now: cx.now };
        api::audit::refused_session(session.unwrap_or_default(), None, source, &["metrics"], api);
        return reject(connection, &NO_SESSION, cx.http, cx.now);
    };
    let Context { api, platform, reply, http, now, .. } = cx;
    let (services, rights, counters) = (&api.services, api.accounts.rights(identity), &api.counters);
    let list = ServiceList { services, rights, first: None, now: *now };
    let server: [ServerFigure; 5] = [
        ("server_memory_bytes", "gauge", platform.memory().server),
        ("server_connections", "counter", counters.accepted.into()),
        ("server_calls", "counter", counters.calls.into()),
        ("server_refusals", "counter", counters.refusals().into()),
        ("server_refused_logins", "counter", counters.refused_logins.into()),
    ];
    let server = if api.accounts.is_admin(identity) { &server[..] } else { &[] };
    let limit = reply.len().min(BODY_BYTES);
    let mut out = Writer::new(reply.get_mut(..limit).unwrap_or_default());
    let written = rest::write_metrics(&mut out, list, server, &|name, pid| platform.usage(name, pid));
    match written.and_then(|()| out.finish()) {
        Ok(body) => respond(connection, http, *now, &mut |room, to| {
            http::write_call(room, 200, MediaType::Metrics, None, body, to).ok()
        }),
        Err(_) => reject(connection, &TOO_LONG, http, *now),
    }
}
