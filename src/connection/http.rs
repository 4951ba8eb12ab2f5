//! HTTP half of a connection: one request and one response, or the upgrade.

use core::fmt::Write as _;
use core::time::Duration;

use super::Admission;
use super::machine::{Connection, Context, Finish, HttpConfig, PendingReply};
use crate::api::{self, Api, Counters};
use crate::call::{Call, Failure, Outcome, ParameterError, Parameters};
use crate::friendcore::{Form, reply as encode};
use crate::http::{self, Head, Method, Pairs, Rejection, SEND_RESERVE_BYTES};
use crate::internal_error;
use crate::json::Writer;
use crate::limits::{MESSAGE_BYTES, SEND_BYTES, SERVICE_NAME_BYTES};
use crate::service::CheckLevel;
use crate::ws::{Limits, Socket};

/// Prefix of the paths of calls.
const CALLS: &str = "/system.library/";
/// Value of `retry-after` for a client that was rejected at capacity, in seconds.
const RETRY_AFTER_S: u32 = 5;
/// Longest line about a problem of the board.
const PROBLEM_BYTES: usize = SERVICE_NAME_BYTES + 32;
/// Longest body of the response to a call.
const BODY_BYTES: usize = SEND_BYTES - SEND_RESERVE_BYTES - http::CALL_HEAD_BYTES;

/// Target of a whole request.
enum Route {
    Page {
        head_only: bool,
    },
    /// With a level: the health of the board, not of the server alone.
    Health {
        level: Option<CheckLevel>,
        head_only: bool,
    },
    Preflight,
    Socket(http::Upgrade),
    Call {
        is_post: bool,
    },
}

/// Result of writing the response to a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// The response is in the send buffer.
    Sent,
    /// The outcome of the call follows.
    Pending,
    /// Only administrators are served.
    AtCapacity,
}

/// Answers a request once it is whole.
pub(super) fn handle_request(connection: &mut Connection, cx: &mut Context<'_>) {
    let parsed = match http::parse_head(connection.receive.filled()) {
        Ok(None) => return,
        Ok(Some((head, length))) if connection.receive.filled().len() < length + head.content_length => {
            return;
        }
        Ok(Some((head, length))) => route(&head, cx.http).map(|route| {
            let body = length..length + head.content_length;
            (route, body, head.path_at.clone(), head.query_at.clone())
        }),
        Err(rejection) => Err(rejection),
    };
    let (route, body, path, query) = match parsed {
        Ok(parsed) => parsed,
        Err(rejection) => {
            Counters::add(&mut cx.api.counters.bad_requests);
            reject(connection, &rejection, cx.now);
            return;
        }
    };
    if connection.place.is_refused {
        Counters::add(&mut cx.api.counters.bad_requests);
        reject(connection, &Rejection::FOREIGN_USER, cx.now);
        return;
    }
    let is_full = connection.place.admission != Admission::Open;
    match route {
        Route::Socket(upgrade) => handle_upgrade(connection, &upgrade, body.start, query, cx),
        Route::Call { is_post } => {
            let mut receive = core::mem::take(&mut connection.receive);
            match receive.filled_mut().get_disjoint_mut([path, query, body]) {
                Ok([path, query, body]) => handle_call(connection, path, query, body, is_post, cx),
                Err(_) => fail(connection, "parts of a request overlap", cx.now),
            }
            receive.clear();
            connection.receive = receive;
        }
        _ if is_full => reject_at_capacity(connection, cx.api, cx.now),
        Route::Page { head_only } => {
            respond(connection, cx.now, |room| http::write_page(room, head_only).ok());
        }
        Route::Health { level, head_only } => {
            let problem = level.and_then(|level| cx.api.services.problem(level));
            let mut text = heapless::String::<PROBLEM_BYTES>::new();
            let written = problem.map_or(Ok(()), |problem| writeln!(text, "{problem}"));
            debug_assert!(written.is_ok(), "the longest name fits");
            let problem = problem.map(|_| text.as_str());
            respond(connection, cx.now, |room| http::write_health(room, problem, head_only).ok());
        }
        Route::Preflight => respond(connection, cx.now, |room| http::write_preflight(room).ok()),
    }
}

fn route(head: &Head<'_>, config: &HttpConfig) -> Result<Route, Rejection> {
    if head.upgrade.is_some() {
        let origins = config.origins.iter().map(|origin| origin.as_str());
        return http::check_upgrade(head, origins, config.tls).map(Route::Socket);
    }
    let head_only = head.method == Method::Head;
    match (head.method, head.path) {
        (Method::Options, _) => Ok(Route::Preflight),
        (Method::Get | Method::Post, path) if path.starts_with(CALLS) => {
            let is_post = head.method == Method::Post;
            if is_post && head.content_length > 0 {
                http::check_content_type(head.content_type)?;
            }
            Ok(Route::Call { is_post })
        }
        (Method::Get | Method::Head, "/") => Ok(Route::Page { head_only }),
        (Method::Get | Method::Head, "/healthz") => {
            health_level(head.query).map(|level| Route::Health { level, head_only })
        }
        _ => Err(Rejection::NOT_FOUND),
    }
}

/// Level in the query of `/healthz`.
fn health_level(query: Option<&str>) -> Result<Option<CheckLevel>, Rejection> {
    let level = query.and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("level=")));
    let unknown = Rejection { status: 400, reason: "level: expected alive or ready" };
    level.map(|level| CheckLevel::from_name(level).ok_or(unknown)).transpose()
}

fn handle_call(
    connection: &mut Connection,
    path: &mut [u8],
    query: &mut [u8],
    body: &mut [u8],
    is_post: bool,
    cx: &mut Context<'_>,
) {
    let mut parameters = Parameters::default();
    let decoded = http::decode_path(path).map_err(Rejection::from);
    let path = match decoded.and_then(|path| collect(&mut parameters, body, query).map(|()| path)) {
        Ok(path) => path,
        Err(rejection) => {
            Counters::add(&mut cx.api.counters.bad_requests);
            reject(connection, &rejection, cx.now);
            return;
        }
    };
    let session = parameters.get("sessionid").or_else(|| parameters.get("authid"));
    let call = Call { path: path.trim_start_matches('/'), parameters: &parameters, session };
    let caller = connection.caller(Form::Http, is_post, true);
    let api = &mut api::Context { api: &mut *cx.api, platform: &mut *cx.platform, now: cx.now };
    let outcome = api::handle(&call, &caller, api);
    if reply(connection, outcome, cx.reply, cx.now) == Reply::AtCapacity {
        reject_at_capacity(connection, cx.api, cx.now);
    }
}

/// Collects the parameters. As in Friend Core, the body precedes the query.
fn collect<'m>(
    parameters: &mut Parameters<'m>,
    body: &'m mut [u8],
    query: &'m mut [u8],
) -> Result<(), Rejection> {
    for pair in Pairs::new(body) {
        let (key, value) = pair?;
        insert(parameters, key, value)?;
    }
    let body_parameters = parameters.len();
    for pair in Pairs::new(query) {
        let (key, value) = pair?;
        if parameters.iter().take(body_parameters).all(|(known, _)| known != key) {
            insert(parameters, key, value)?;
        }
    }
    Ok(())
}

fn insert<'m>(parameters: &mut Parameters<'m>, key: &'m str, value: &'m str) -> Result<(), Rejection> {
    parameters.insert(key, value).map_err(|error| match error {
        ParameterError::Duplicate => Rejection { status: 400, reason: "a parameter is there twice" },
        ParameterError::Full => Rejection { status: 400, reason: "too many parameters" },
    })
}

/// Sends the outcome of the call, or keeps a pending one.
pub(super) fn reply(
    connection: &mut Connection,
    outcome: Outcome<'_>,
    buffer: &mut [u8],
    now: Duration,
) -> Reply {
    match outcome {
        Outcome::AtCapacity => Reply::AtCapacity,
        Outcome::Pending(call) => {
            connection.pending = Some(PendingReply::new(call, Form::Http, None, now));
            Reply::Pending
        }
        outcome => {
            let (status, length) = match write_body(buffer, &outcome) {
                Some(length) => (encode::http_status(&outcome), Some(length)),
                None => (200, write_body(buffer, &Outcome::Failed(Failure::TableFull))),
            };
            match length.and_then(|length| buffer.get(..length)) {
                Some(body) => {
                    respond(connection, now, |room| http::write_call(room, status, body, false).ok());
                }
                None => fail(connection, "an error is longer than the reply buffer", now),
            }
            Reply::Sent
        }
    }
}

fn write_body(buffer: &mut [u8], outcome: &Outcome<'_>) -> Option<usize> {
    let limit = buffer.len().min(BODY_BYTES);
    let mut out = Writer::new(buffer.get_mut(..limit)?);
    encode::outcome(&mut out, Form::Http, None, outcome, true).ok()?;
    Some(out.finish().ok()?.len())
}

/// Upgrades to a WebSocket. A session in the query (`/fcws?sessionid=..`) authenticates the connection, and
/// without one the user at the local socket. In the administrators' slot another socket has a short time to
/// bind to an administrator's session. The overflow slot accepts none.
fn handle_upgrade(
    connection: &mut Connection,
    upgrade: &http::Upgrade,
    length: usize,
    query: core::ops::Range<usize>,
    cx: &mut Context<'_>,
) {
    let Some(query) = connection.receive.filled_mut().get_mut(query) else {
        fail(connection, "a query lies outside of its request", cx.now);
        return;
    };
    let session = Pairs::new(query).flatten().find(|(key, _)| *key == "sessionid").map(|(_, value)| value);
    let identity = cx.api.accounts.identify(session.unwrap_or_default(), connection.place.local, cx.now);
    let is_admitted = match (connection.place.admission, identity) {
        (Admission::Open, _) | (Admission::Administrators, None) => true,
        (Admission::Administrators, Some(identity)) => cx.api.accounts.is_admin(identity),
        (Admission::Overflow, _) => false,
    };
    if !is_admitted {
        reject_at_capacity(connection, cx.api, cx.now);
        return;
    }
    let written = connection.send.raw(|room| http::write_switching(room, upgrade).ok());
    if written.is_err() {
        connection.closing.begin(Finish::Abort, cx.now);
        return;
    }
    connection.receive.consume(length);
    match identity {
        Some(identity) => connection.auth.authenticate(identity),
        None => connection.auth.deauthenticate(connection.place.admission, cx.now),
    }
    let limits = Limits { message_bytes: MESSAGE_BYTES, binary: false };
    connection.socket = Some(Socket::new(limits, cx.now));
}

/// Rejects a request because all slots are in use.
pub(super) fn reject_at_capacity(connection: &mut Connection, api: &mut Api, now: Duration) {
    Counters::add(&mut api.counters.rejected_at_capacity);
    reject(connection, &Rejection::AT_CAPACITY, now);
}

/// Reports a broken invariant in the log, and to the client.
fn fail(connection: &mut Connection, state: &'static str, now: Duration) {
    internal_error!("{}", state);
    reject(connection, &Rejection::INTERNAL, now);
}

/// Rejects the request of this connection.
pub(super) fn reject(connection: &mut Connection, rejection: &Rejection, now: Duration) {
    respond(connection, now, |room| http::write_rejection(room, rejection, RETRY_AFTER_S).ok());
}

/// Sends the one response of this connection.
pub(super) fn respond(
    connection: &mut Connection,
    now: Duration,
    write: impl FnOnce(&mut [u8]) -> Option<usize>,
) {
    connection.receive.clear();
    let finish = if connection.send.raw(write).is_ok() { Finish::Graceful } else { Finish::Abort };
    connection.closing.begin(finish, now);
}
