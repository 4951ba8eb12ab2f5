//! HTTP by hand: bytes out, bytes in until the server closes.

use std::io::Write;
use std::time::Duration;

use super::Server;
use super::stream::Stream;

/// Deadlines of the server are 10 s at most here.
pub(crate) const TIMEOUT: Duration = super::wait::SOON;

/// A response, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    #[track_caller]
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no response: {text:?}"));
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        Self { status: status.unwrap(), head: head.to_owned(), body: body.to_owned() }
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// Sends `request` over `stream` and reads to the end.
#[track_caller]
pub(crate) fn exchange(mut stream: Stream, request: &[u8]) -> Vec<u8> {
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request);
    let _ = stream.flush();
    stream.read_to_end_within(TIMEOUT)
}

impl Server {
    /// Sends raw bytes and takes the response.
    #[track_caller]
    pub(crate) fn raw(&self, request: &str) -> Response {
        Response::parse(&exchange(self.connect(), request.as_bytes()))
    }

    #[track_caller]
    pub(crate) fn get(&self, target: &str) -> Response {
        self.raw(&format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// Posts a form.
    #[track_caller]
    pub(crate) fn post(&self, target: &str, form: &str) -> Response {
        self.raw(&form_request(target, form))
    }

    /// A call with the administrator's token; returns its content.
    #[track_caller]
    pub(crate) fn call(&self, path: &str) -> String {
        self.post(&format!("/system.library/{path}"), &format!("sessionid={}", super::device::ADMIN)).body
    }

    /// Logs in and returns the session.
    #[track_caller]
    pub(crate) fn login(&self, user: &str, password: &str) -> String {
        let reply = self.post("/system.library/login", &login_form(user, password)).body;
        session_of(&reply).unwrap_or_else(|| panic!("login: {reply}"))
    }
}

/// A request that posts a form.
pub(crate) fn form_request(target: &str, form: &str) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    )
}

/// The form of a login of 2021.
pub(crate) fn login_form(user: &str, password: &str) -> String {
    format!("username={user}&password={password}&deviceid=test")
}

/// The session in the reply to a login.
pub(crate) fn session_of(reply: &str) -> Option<String> {
    let (_, rest) = reply.split_once("\"sessionid\":")?;
    let session = rest.trim_start().strip_prefix('"')?.get(..40)?;
    session.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| session.to_owned())
}
