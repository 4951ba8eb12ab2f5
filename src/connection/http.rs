//! The HTTP half of a connection: one request, one answer, or the upgrade.

use core::time::Duration;

use super::Admission;
use super::machine::{Connection, Context, Finish, PendingReply};
use crate::api::Api;
use crate::api::{Counters, Platform};
use crate::call::{Caller, Outcome};
use crate::call::{ParameterError, Parameters};
use crate::connection::ANSWER_TIMEOUT;
use crate::friendcore::{Form, Request};
use crate::http::{self, Head, Method, Pairs, Rejection};
use crate::limits::MESSAGE_BYTES;
use crate::ws::{Limits, Socket};

/// Where Friend Core's functions are.
const CALLS: &str = "/system.library/";
/// What a client that was turned away should wait before it comes again, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// What a whole request asks for.
enum Asked {
    Page { head_only: bool },
    Health { head_only: bool },
    Preflight,
    Socket(http::Upgrade),
    Call { posted: bool },
}

impl Connection {
    /// Looks whether a request is whole, and answers it.
    pub(super) fn handle_request(&mut self, cx: &mut Context<'_>) {
        let parsed = match http::parse_head(self.receive.filled()) {
            Ok(None) => return,
            Ok(Some((head, length))) if self.receive.filled().len() < length + head.content_length => return,
            Ok(Some((head, length))) => ask(&head, &cx.api.origins, cx.api.tls).map(|asked| {
                let body = length..length + head.content_length;
                (asked, body, head.path_at.clone(), head.query_at.clone())
            }),
            Err(rejection) => Err(rejection),
        };
        let (asked, body, path, query) = match parsed {
            Ok(parsed) => parsed,
            Err(rejection) => {
                Counters::add(&mut cx.api.counters.bad_requests);
                self.reject(&rejection, cx.now);
                return;
            }
        };
        let is_full = self.admission != Admission::Open;
        match asked {
            Asked::Socket(upgrade) => self.handle_upgrade(&upgrade, body.start, query, cx),
            Asked::Call { posted } => {
                let caller = self.caller(posted);
                let filled = self.receive.filled_mut();
                // The head lies before the body, and in it the path before the query.
                let (head, body_and_rest) = filled.split_at_mut(body.start);
                let body = body_and_rest.get_mut(..body.len()).unwrap_or_default();
                let (path_part, query_part) = head.split_at_mut(query.start);
                let path = path_part.get_mut(path).unwrap_or_default();
                let query = query_part.get_mut(..query.len()).unwrap_or_default();
                let answer = call(path, query, body, &caller, cx.api, cx.now, cx.platform);
                self.handle_call_answer(answer, cx);
            }
            _ if is_full => self.reject_at_capacity(cx.api, cx.now),
            Asked::Page { head_only } => self.respond(cx.now, |room| http::write_page(room, head_only).ok()),
            Asked::Health { head_only } => {
                self.respond(cx.now, |room| http::write_health(room, head_only).ok());
            }
            Asked::Preflight => self.respond(cx.now, |room| http::write_preflight(room).ok()),
        }
    }

    fn handle_call_answer(&mut self, answer: Result<Outcome, Rejection>, cx: &mut Context<'_>) {
        match answer {
            Err(rejection) => {
                Counters::add(&mut cx.api.counters.bad_requests);
                self.reject(&rejection, cx.now);
            }
            Ok(Outcome::Pending { call_id, job }) => {
                self.receive.clear();
                self.waiting = Some(PendingReply {
                    call_id,
                    job,
                    form: Form::Http,
                    request_id: None,
                    until: cx.now + ANSWER_TIMEOUT,
                });
            }
            Ok(answer) => self.reply_request(answer, cx.api, cx.now),
        }
    }

    /// Answers the one request of this connection.
    pub(super) fn reply_request(&mut self, answer: Outcome, api: &mut Api, now: Duration) {
        match answer {
            Outcome::Content { status } => {
                let content = api.content();
                self.respond(now, |room| http::write_call(room, status, content.as_bytes(), false).ok());
            }
            Outcome::AtCapacity => self.reject_at_capacity(api, now),
            // The form of a call over HTTP always has content; none is an empty one.
            Outcome::Silence | Outcome::UnknownLibrary | Outcome::Pending { .. } => {
                self.respond(now, |room| http::write_call(room, 200, b"", false).ok());
            }
        }
    }

    /// Upgrades to a WebSocket. A session in the address (`/fcws?sessionid=..`) counts as shown. In
    /// the administrators' slot a socket without one has a short time to bind to an administrator's;
    /// at the door there is no socket for anybody.
    fn handle_upgrade(
        &mut self,
        upgrade: &http::Upgrade,
        length: usize,
        query: core::ops::Range<usize>,
        cx: &mut Context<'_>,
    ) {
        let query = self.receive.filled_mut().get_mut(query).unwrap_or_default();
        let shown = Pairs::new(query).flatten().find(|(key, _)| *key == "sessionid").map(|(_, value)| value);
        let identity = shown.and_then(|session| cx.api.identify(session, cx.now));
        let is_let_in = match (self.admission, identity) {
            (Admission::Open, _) | (Admission::Administrators, None) => true,
            (Admission::Administrators, Some(identity)) => cx.api.users.is_admin(identity.user()),
            (Admission::Overflow, _) => false,
        };
        if !is_let_in {
            self.reject_at_capacity(cx.api, cx.now);
            return;
        }
        let written = self.send.raw(|room| http::write_switching(room, upgrade).ok());
        if written.is_err() {
            self.finish(Finish::Abort, cx.now);
            return;
        }
        self.receive.consume(length);
        match identity {
            Some(identity) => self.authenticate(identity),
            None => self.deauthenticate(cx.now),
        }
        self.socket = Some(Socket::new(Limits { message_bytes: MESSAGE_BYTES, binary: false }, cx.now));
    }

    pub(super) fn reject_at_capacity(&mut self, api: &mut Api, now: Duration) {
        Counters::add(&mut api.counters.rejected_at_capacity);
        self.reject(&Rejection::AT_CAPACITY, now);
    }

    pub(super) fn reject(&mut self, rejection: &Rejection, now: Duration) {
        self.respond(now, |room| http::write_rejection(room, rejection, RETRY_AFTER_S).ok());
    }

    /// Sends the one response of this connection.
    pub(super) fn respond(&mut self, now: Duration, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        self.receive.clear();
        let finish = if self.send.raw(write).is_ok() { Finish::Graceful } else { Finish::Abort };
        self.finish(finish, now);
    }
}

fn ask(
    head: &Head<'_>,
    origins: &[heapless::String<{ crate::limits::ORIGIN_BYTES }>],
    tls: bool,
) -> Result<Asked, Rejection> {
    if head.upgrade.is_some() {
        return http::check_upgrade(head, origins.iter().map(|origin| origin.as_str()), tls)
            .map(Asked::Socket);
    }
    let head_only = head.method == Method::Head;
    match (head.method, head.path) {
        (Method::Options, _) => Ok(Asked::Preflight),
        (Method::Get | Method::Post, path) if path.starts_with(CALLS) => {
            let posted = head.method == Method::Post;
            if posted && head.content_length > 0 {
                http::check_content_type(head.content_type)?;
            }
            Ok(Asked::Call { posted })
        }
        (Method::Get | Method::Head, "/") => Ok(Asked::Page { head_only }),
        (Method::Get | Method::Head, "/healthz") => Ok(Asked::Health { head_only }),
        _ => Err(Rejection::NOT_FOUND),
    }
}

fn call(
    path: &mut [u8],
    query: &mut [u8],
    body: &mut [u8],
    caller: &Caller,
    api: &mut Api,
    now: Duration,
    platform: &mut dyn Platform,
) -> Result<Outcome, Rejection> {
    let path = http::decode_path(path)?;
    let mut parameters = Parameters::default();
    for pair in Pairs::new(body) {
        let (key, value) = pair?;
        insert(&mut parameters, key, value)?;
    }
    let body_parameters = parameters.len();
    for pair in Pairs::new(query) {
        let (key, value) = pair?;
        // As in Friend Core, what is in the body counts more than what is in the address.
        if parameters.iter().take(body_parameters).all(|(known, _)| known != key) {
            insert(&mut parameters, key, value)?;
        }
    }
    let session = parameters.get("sessionid").or_else(|| parameters.get("authid"));
    let request = Request {
        form: Form::Http,
        path: path.trim_start_matches('/'),
        parameters: &parameters,
        request_id: None,
        session,
    };
    Ok(api.handle_call(&request, caller, now, platform))
}

fn insert<'m>(parameters: &mut Parameters<'m>, key: &'m str, value: &'m str) -> Result<(), Rejection> {
    parameters.insert(key, value).map_err(|error| match error {
        ParameterError::Duplicate => Rejection { status: 400, reason: "a parameter is there twice" },
        ParameterError::Full => Rejection { status: 400, reason: "too many parameters" },
    })
}
