//! HTTP half of a connection: one request and one response, or the upgrade.

use core::fmt::Write as _;
use core::ops::Range;
use core::time::Duration;

use heapless::String;

use super::machine::{Connection, Context, Finish, HttpConfig, PendingReply};
use super::metrics;
use super::page::respond_page;
use super::response::{BODY_BYTES, fail, reject, reject_at_capacity, respond};
use super::stream;
use crate::api::{self, Counters, Handler, Row};
use crate::call::{Call, Failure, Outcome, ParameterError, Parameters};
use crate::friendcore::content::{self, Kind};
use crate::friendcore::{Form, reply as encode};
use crate::http::{
    self, ConsoleFile, ConsoleUse, Cookie, Head, MediaType, Method, Pairs, Recipient, Rejection, Site,
    SiteUse,
};
use crate::json::{Table, Writer};
use crate::limits::{MESSAGE_BYTES, SERVICE_NAME_BYTES};
use crate::log::errno::EDQUOT;
use crate::rest::{self, METRICS};
use crate::service::CheckLevel;
use crate::session::ClientAddr;
use crate::ws::{Limits, Socket};

/// Prefix of the paths of calls.
const CALLS: &str = "/system.library/";
/// Path of the health of the server.
const HEALTH: &str = "/healthz";
/// Path of the WebSocket in examples; an upgrade is accepted at any path.
const SOCKET: &str = "/fcws";
/// Parameters that no address may contain.
const SECRETS: [&str; 2] = ["password", "oldpassword"];
/// Longest line about a problem of the board.
const PROBLEM_BYTES: usize = SERVICE_NAME_BYTES + 32;

/// Target of a request.
enum Route {
    Console(&'static ConsoleFile, ConsoleUse),
    /// An own page.
    Page(SiteUse),
    /// With a level: the health of the board, not of the server alone.
    Health(Option<CheckLevel>),
    Metrics,
    Options,
    Socket(http::Upgrade),
    Call {
        is_post: bool,
    },
}

/// Request whose body may not be whole. Its parts are positions in the receive buffer.
struct Parsed {
    route: Route,
    path: Range<usize>,
    query: Range<usize>,
    /// Session of a request for a resource, in a field of the head.
    session: Option<Range<usize>>,
    /// Length of the head.
    length: usize,
    /// Length of the body, unless it is chunked.
    content_length: Option<usize>,
    expects_continue: bool,
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

/// Answers a request once it is whole, or refuses it once its head is.
pub(super) fn handle_request(connection: &mut Connection, cx: &mut Context<'_>) {
    let whole = match parse(connection, cx.http) {
        Ok(None) => return,
        Ok(Some(_)) if connection.place.is_refused => Err(Rejection::FOREIGN_USER),
        Ok(Some(parsed)) => read_body(connection, &parsed).map(|body| body.map(|body| (parsed, body))),
        Err(rejection) => Err(rejection),
    };
    let (Parsed { route, path, query, session, .. }, body) = match whole {
        Ok(None) => return,
        Ok(Some(whole)) => whole,
        Err(rejection) => {
            Counters::add(&mut cx.api.counters.bad_requests);
            if rejection.status == 403
                && let Some(suppressed) = cx.refusals.try_acquire(cx.now)
            {
                crate::info!("request refused: {}{}", rejection.reason, suppressed);
            }
            reject(connection, &rejection, cx.http, cx.now);
            return;
        }
    };
    match route {
        Route::Socket(upgrade) => handle_upgrade(connection, &upgrade, body.start, query, cx),
        Route::Call { is_post } => {
            let mut receive = core::mem::take(&mut connection.receive);
            let is_rest = connection.request.is_rest;
            let has_session = session.is_some();
            let parts = [path, query, body, session.unwrap_or_default()];
            match receive.filled_mut().get_disjoint_mut(parts) {
                Ok([path, query, body, session]) if is_rest => {
                    let session = session_of(has_session.then_some(&*session));
                    handle_resource(connection, path, query, body, session, is_post, cx);
                }
                Ok([path, query, body, _]) => handle_call(connection, path, query, body, is_post, cx),
                Err(_) => fail(connection, "parts of a request overlap", cx.http, cx.now),
            }
            receive.clear();
            connection.receive = receive;
        }
        Route::Console(file, mode) => {
            respond(connection, cx.http, cx.now, &mut |room, to| {
                http::write_console(room, file, mode, to).ok()
            });
        }
        Route::Page(page) => respond_page(connection, page, cx.http, cx.now),
        Route::Health(level) => {
            let problem = level.and_then(|level| cx.api.services.problem(level));
            let mut text = String::<PROBLEM_BYTES>::new();
            let written = problem.map_or(Ok(()), |problem| writeln!(text, "{problem}"));
            debug_assert!(written.is_ok(), "the longest name fits");
            let problem = problem.map(|_| text.as_str());
            respond(connection, cx.http, cx.now, &mut |room, to| http::write_health(room, problem, to).ok());
        }
        Route::Metrics => {
            let receive = core::mem::take(&mut connection.receive);
            let session = session.map(|session| receive.filled().get(session).unwrap_or_default());
            metrics::handle(connection, session_of(session), cx);
            connection.receive = receive;
            connection.receive.clear();
        }
        Route::Options => {
            respond(connection, cx.http, cx.now, &mut |room, to| http::write_options(room, to).ok())
        }
    }
}

/// Session in a field of the head. An empty one is an id that no session has: without any id, a call is one of the
/// identity that the connection lends.
fn session_of(field: Option<&[u8]>) -> Option<&str> {
    let session = str::from_utf8(field?).ok().filter(|session| !session.is_empty());
    Some(session.unwrap_or("-"))
}

/// Parses the head of the request, and finds its target; `None` while it is incomplete.
fn parse(connection: &mut Connection, config: &HttpConfig) -> Result<Option<Parsed>, Rejection> {
    let bytes = connection.receive.filled();
    let prefix = http::split_url(&config.front.public_url).1;
    connection.request.head_only = http::is_head(bytes);
    let path = rest::path(bytes, prefix);
    let resource = path.and_then(|path| path.strip_prefix(rest::PREFIX));
    // A path with escapes is compared once it is decoded.
    let plain = resource.filter(|resource| !resource.contains('%'));
    let row = plain.and_then(rest::call_path).and_then(|path| Row::of(&path));
    connection.request.is_rest = resource.is_some();
    connection.request.methods = match row {
        Some(row) => row.methods(None),
        // An own page may be anywhere else.
        None if path.is_some_and(|path| is_page(path) || !config.site.is_empty() && !is_call(path)) => {
            http::READ_METHODS
        }
        None => "",
    };
    let Some((mut head, length)) = http::parse_head(bytes)? else { return Ok(None) };
    strip_prefix(&mut head, prefix);
    if connection.place.is_proxied
        && let Some(client) = config.front.client(bytes.get(..length).unwrap_or_default())
    {
        connection.place.source = ClientAddr::from(client);
    }
    if row.is_some_and(|row| !is_one_of(head.method, row.methods(None))) {
        return Err(rest::METHOD);
    }
    if is_call(head.path) || head.path == METRICS || head.upgrade.is_some() || head.method == Method::Options
    {
        let position = http::check_origin(&head, config.allowed(), config.tls)?;
        connection.request.origin = position.and_then(|position| position.try_into().ok());
    }
    let has_session = resource.is_some() || head.path == METRICS;
    let session = rest::session(head.authorization, head.cookie).filter(|_| has_session);
    Ok(Some(Parsed {
        route: route(&head, &config.site)?,
        length,
        session: session.map(|session| position(bytes, session)),
        path: head.path_at,
        query: head.query_at,
        content_length: (!head.is_chunked).then_some(head.content_length),
        expects_continue: head.expects_continue,
    }))
}

/// Returns true for a method of this list, as in `Allow`.
fn is_one_of(method: Method, methods: &str) -> bool {
    match method {
        Method::Get | Method::Head => methods.contains("GET"),
        Method::Post => methods.contains("POST"),
        Method::Options => true,
    }
}

/// Returns true for a path that is only read, and is not a call.
fn is_page(path: &str) -> bool {
    matches!(path, METRICS | HEALTH) || ConsoleFile::find(path).is_some()
}

/// Returns true for a path of the server, which no own page has. That of the console without one is not among them.
pub fn is_reserved(path: &str) -> bool {
    path != "/" && is_page(path) || path == SOCKET || is_call(path)
}

/// Returns true for the path of a call, in either form.
fn is_call(path: &str) -> bool {
    [CALLS, rest::PREFIX].into_iter().any(|prefix| path.starts_with(prefix))
}

/// Position of a part of a text in it. An empty one is anywhere.
fn position(text: &[u8], part: &str) -> Range<usize> {
    if part.is_empty() {
        return 0..0;
    }
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}

/// Removes the path of `public_url` from that of a request.
fn strip_prefix(head: &mut Head<'_>, prefix: &str) {
    match head.path.strip_prefix(prefix) {
        Some("") => head.path = "/",
        Some(path) if path.starts_with('/') => {
            head.path_at.start += prefix.len();
            head.path = path;
        }
        _ => {}
    }
}

/// Returns the position of the body, decoded; `None` while it is incomplete.
fn read_body(connection: &mut Connection, parsed: &Parsed) -> Result<Option<Range<usize>>, Rejection> {
    let Connection { receive, request, send, .. } = connection;
    let Parsed { length, content_length, expects_continue, .. } = *parsed;
    let received = receive.filled().len();
    let end = match content_length {
        Some(content_length) => length + content_length,
        None => {
            let start = length + request.decoded;
            let bytes = receive.filled_mut().get_mut(start..).unwrap_or_default();
            let chunks = http::decode_chunks(bytes, request.decoded)?;
            receive.cut(start + chunks.data..start + chunks.read);
            request.decoded += chunks.data;
            let end = length + request.decoded;
            if chunks.is_whole { end } else { usize::MAX }
        }
    };
    if end <= received {
        return Ok(Some(length..end));
    }
    if expects_continue && received == length {
        // Without room the client waits for the response to the request, or sends the body nevertheless.
        let _ = send.raw(|room| {
            room.get_mut(..http::CONTINUE.len())?.copy_from_slice(http::CONTINUE);
            Some(http::CONTINUE.len())
        });
    }
    Ok(None)
}

fn route(head: &Head<'_>, site: &Site) -> Result<Route, Rejection> {
    if head.upgrade.is_some() {
        return http::check_upgrade(head).map(Route::Socket);
    }
    let page = site.find(head.path, head.accepts_gzip, head.known_tags);
    // No file has a path of the server but `/`.
    if let (Method::Get | Method::Head, Some(page)) = (head.method, page) {
        return Ok(Route::Page(page));
    }
    if let (Method::Get | Method::Head, Some(file)) = (head.method, ConsoleFile::find(head.path)) {
        return Ok(Route::Console(file, ConsoleUse::of(file, head.accepts_gzip, head.known_tags)));
    }
    match (head.method, head.path) {
        (Method::Options, _) => Ok(Route::Options),
        (method, path) if is_call(path) => {
            let is_post = method == Method::Post;
            if is_post && (head.content_length > 0 || head.is_chunked) {
                let check =
                    if path.starts_with(CALLS) { http::check_content_type } else { rest::check_content_type };
                check(head.content_type)?;
            }
            Ok(Route::Call { is_post })
        }
        (Method::Get | Method::Head, HEALTH) => health_level(head.query).map(Route::Health),
        (Method::Get | Method::Head, METRICS) => Ok(Route::Metrics),
        (_, path) if page.is_some() || is_page(path) => Err(rest::METHOD),
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
    let (path, has_secret) = match decoded.and_then(|path| Ok((path, collect(&mut parameters, body, query)?)))
    {
        Ok(collected) => collected,
        Err(rejection) => return refuse(connection, &rejection, cx),
    };
    let session = parameters.get("sessionid").or_else(|| parameters.get("authid"));
    let call = Call { path: path.trim_start_matches('/'), parameters: &parameters, session };
    // As in Friend Core, a login is in the body: an address is kept by logs, histories and proxies.
    run(connection, &call, is_post && !has_secret, cx);
}

/// Handles a call as a resource of `/api/v1`: its parameters are a JSON body or a query, its session is in the head.
fn handle_resource(
    connection: &mut Connection,
    path: &mut [u8],
    query: &mut [u8],
    body: &mut [u8],
    session: Option<&str>,
    is_post: bool,
    cx: &mut Context<'_>,
) {
    let (mut parameters, mut table) = (Parameters::default(), Table::default());
    let collected = decode_resource(path).and_then(|resource| {
        // What is in both would have two values.
        match is_post {
            true if query.is_empty() => rest::collect(body, &mut table, &mut parameters)?,
            false if body.is_empty() => _ = collect(&mut parameters, &mut [], query)?,
            _ => return Err(rest::PLACE),
        }
        connection.request.is_stream = resource == rest::EVENTS;
        let path = rest::call_path(resource).ok_or(Rejection::NOT_FOUND)?;
        match Row::of(&path) {
            Some(row) if !parameters.iter().all(|pair| is_value(row, pair)) => Err(rest::PARAMETER),
            row => Ok((path, row)),
        }
    });
    let (path, row) = match collected {
        Ok(collected) => collected,
        Err(rejection) => return refuse(connection, &rejection, cx),
    };
    // A login needs a password: the session of a cookie would be given to the page in clear.
    let session = session.filter(|_| row.is_none_or(|row| !matches!(row.handler, Handler::Public(_))));
    let call = Call { path: &path, parameters: &parameters, session };
    if let Some(row) = row {
        connection.request.methods = row.methods(Some(&call));
        let method = if is_post { Method::Post } else { Method::Get };
        if !is_one_of(method, connection.request.methods) {
            return refuse(connection, &rest::METHOD, cx);
        }
    }
    run(connection, &call, is_post, cx);
}

/// Decodes the path of a resource in place. A slash in a name would be one between names.
fn decode_resource(path: &mut [u8]) -> Result<&str, Rejection> {
    if path.windows(3).any(|escape| escape.eq_ignore_ascii_case(b"%2f")) {
        return Err(Rejection::NOT_FOUND);
    }
    let path = http::decode_path(path)?;
    path.strip_prefix(rest::PREFIX).ok_or(Rejection::NOT_FOUND)
}

/// Returns true for a value of a parameter that the call has.
fn is_value(row: &Row, (name, value): (&str, &str)) -> bool {
    !value.is_empty() && row.resource_parameters().any(|known| known == name)
}

/// Counts a request that is malformed, and rejects it.
fn refuse(connection: &mut Connection, rejection: &Rejection, cx: &mut Context<'_>) {
    Counters::add(&mut cx.api.counters.bad_requests);
    reject(connection, rejection, cx.http, cx.now);
}

fn run(connection: &mut Connection, call: &Call<'_>, may_change: bool, cx: &mut Context<'_>) {
    if connection.is_over_share(call.session, cx) {
        reject_at_capacity(connection, cx.api, cx.http, cx.now);
        return;
    }
    let caller = connection.caller(Form::Http, may_change, true, cx);
    let unix_s = cx.platform.unix_s();
    let api = &mut api::Context { api: &mut *cx.api, platform: &mut *cx.platform, now: cx.now };
    let outcome = api::handle(call, &caller, api);
    if connection.request.is_stream && matches!(outcome, Outcome::Valid) {
        return stream::begin(connection, call.session, cx);
    }
    match reply(connection, outcome, cx.reply, cx.http, unix_s, cx.now) {
        Reply::Sent => {}
        Reply::AtCapacity => reject_at_capacity(connection, cx.api, cx.http, cx.now),
        Reply::Pending => {
            let session = call.session.unwrap_or_default();
            if let Some(identity) = connection.place.identify(session, cx) {
                connection.auth.authenticate(identity, &cx.api.accounts);
            }
        }
    }
}

/// Collects the parameters. As in Friend Core, the body precedes the query. Returns true if a password is in the query.
fn collect<'m>(
    parameters: &mut Parameters<'m>,
    body: &'m mut [u8],
    query: &'m mut [u8],
) -> Result<bool, Rejection> {
    let mut has_secret = false;
    for pair in Pairs::new(body) {
        let (key, value) = pair?;
        insert(parameters, key, value)?;
    }
    let body_parameters = parameters.len();
    for pair in Pairs::new(query) {
        let (key, value) = pair?;
        has_secret |= SECRETS.contains(&key);
        if parameters.iter().take(body_parameters).all(|(known, _)| known != key) {
            insert(parameters, key, value)?;
        }
    }
    Ok(has_secret)
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
    config: &HttpConfig,
    unix_s: u64,
    now: Duration,
) -> Reply {
    match outcome {
        Outcome::AtCapacity => Reply::AtCapacity,
        Outcome::Pending(call) => {
            connection.pending = Some(PendingReply::new(call, Form::Http, None, now));
            Reply::Pending
        }
        outcome => {
            let full = Outcome::Failed(Failure::TableFull);
            let is_rest = connection.request.is_rest;
            let (outcome, position) = match write_body(buffer, &outcome, is_rest) {
                Some(position) => (&outcome, Some(position)),
                None => (&full, write_body(buffer, &full, is_rest)),
            };
            let (status, media_type) = match (outcome, is_rest) {
                (Outcome::Failed(failure), true) => (rest::status(*failure), MediaType::Problem),
                (_, true) => (200, MediaType::Json),
                (_, false) => (encode::http_status(outcome), media_type(outcome)),
            };
            let after = retry_after(outcome, unix_s).and_then(|seconds| seconds.try_into().ok());
            let path = [http::split_url(&config.front.public_url).1, rest::PREFIX];
            let is_secure = config.tls || config.front.public_url.starts_with("https:");
            let cookie = session_cookie(outcome).filter(|_| is_rest);
            let cookie = cookie.map(|session| Cookie { name: rest::COOKIE, session, path, is_secure });
            match position.and_then(|position| buffer.get(position)) {
                Some(body) => respond(connection, config, now, &mut |room, to| {
                    let to = Recipient { retry_after_s: after.unwrap_or(to.retry_after_s), ..to };
                    http::write_call(room, status, media_type, cookie, body, to).ok()
                }),
                None => fail(connection, "an error is longer than the reply buffer", config, now),
            }
            Reply::Sent
        }
    }
}

/// Seconds until a call may succeed that is refused now, if they are known: to the end of the block after wrong
/// passwords, or to the next write of a user.
fn retry_after(outcome: &Outcome<'_>, unix_s: u64) -> Option<u64> {
    match outcome {
        Outcome::Failed(Failure::LoginRefused { until_s, .. } | Failure::Blocked { until_s }) => {
            Some(until_s.saturating_sub(unix_s))
        }
        Outcome::Failed(Failure::Failed { result: EDQUOT, .. }) => Some(api::USER_WRITE_PAUSE.as_secs()),
        _ => None,
    }
}

fn media_type(outcome: &Outcome<'_>) -> MediaType {
    match content::kind(outcome) {
        Kind::Json => MediaType::Json,
        Kind::Html => MediaType::Html,
        Kind::Text => MediaType::Text,
    }
}

/// Session that a browser keeps from now on; empty: it drops the one that it has.
fn session_cookie<'a>(outcome: &Outcome<'a>) -> Option<&'a str> {
    match outcome {
        Outcome::LoggedIn { login, .. } | Outcome::Resumed(login) => Some(login.sessionid),
        Outcome::LoggedOut => Some(""),
        _ => None,
    }
}

/// Writes the body of a response; returns its position.
fn write_body(buffer: &mut [u8], outcome: &Outcome<'_>, is_rest: bool) -> Option<Range<usize>> {
    let limit = buffer.len().min(BODY_BYTES);
    let buffer = buffer.get_mut(..limit)?;
    if is_rest {
        return rest::write(buffer, outcome).ok();
    }
    let mut out = Writer::new(buffer);
    encode::outcome(&mut out, Form::Http, None, outcome, true).ok()?;
    Some(0..out.finish().ok()?.len())
}

/// Upgrades to a WebSocket. A session in the query (`/fcws?sessionid=..`) authenticates the connection, and
/// without one the identity that the connection lends. Another socket may bind to one later.
fn handle_upgrade(
    connection: &mut Connection,
    upgrade: &http::Upgrade,
    length: usize,
    query: Range<usize>,
    cx: &mut Context<'_>,
) {
    let Some(query) = connection.receive.filled_mut().get_mut(query) else {
        fail(connection, "a query lies outside of its request", cx.http, cx.now);
        return;
    };
    let session = Pairs::new(query).flatten().find(|(key, _)| *key == "sessionid").map(|(_, value)| value);
    let session = session.unwrap_or_default();
    let identity = connection.place.identify(session, cx);
    if identity.is_none() {
        let api = &mut api::Context { api: &mut *cx.api, platform: &mut *cx.platform, now: cx.now };
        api::audit::refused_session(session, None, connection.place.source, &["upgrade"], api);
    }
    if !identity.map_or(!cx.room.is_full(), |identity| connection.is_admitted(identity, cx)) {
        reject_at_capacity(connection, cx.api, cx.http, cx.now);
        return;
    }
    let written = connection.send.raw(|room| http::write_switching(room, upgrade).ok());
    if written.is_err() {
        connection.closing.begin(Finish::Abort, cx.now);
        return;
    }
    connection.receive.consume(length);
    match identity {
        Some(identity) => connection.auth.authenticate(identity, &cx.api.accounts),
        None => connection.auth.deauthenticate(true, cx.now),
    }
    let limits = Limits { message_bytes: MESSAGE_BYTES, binary: false, masked: true };
    connection.socket = Some(Socket::new(limits, cx.now));
}
