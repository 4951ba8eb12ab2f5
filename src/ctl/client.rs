//! Connections of a command to its server.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::rand::{GetRandomFlags, getrandom};

use super::connection::{self, Stream};
use super::env::Env;
use super::failure::{FAILED, Failure, UNAVAILABLE};
use super::http;
use super::link::Link;
use super::pin::Fingerprint;
use super::reply::no_session;
use super::state::SESSIONS;
use super::url::Url;
use crate::log::errno::ENOENT;

/// Server of a command, and what the command line has about all servers.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) url: Url,
    pub(super) session: Option<String>,
    pub(super) fingerprint: Option<Fingerprint>,
    /// Files of the client certificate and its key.
    pub(super) certificate: Option<Box<[String; 2]>>,
    /// Print replies unchanged.
    pub(super) json: bool,
}

/// Session id of the command line, of the environment, or of the latest login. The local socket and a paired
/// certificate need none: an empty one stands for their user.
pub(super) fn session(invocation: &Invocation, env: &Env<'_>) -> Result<String, Failure> {
    if let Some(session) = invocation.session.as_ref().or(env.session.as_ref()) {
        return Ok(session.clone());
    }
    let remembered = env.state().and_then(|state| state.get(SESSIONS, &invocation.url.to_string()));
    if matches!(invocation.url, Url::Local(_)) || invocation.certificate.is_some() {
        return Ok(remembered.ok().flatten().unwrap_or_default());
    }
    if let Some(session) = remembered? {
        return Ok(session);
    }
    // Without a server there, a login would not help.
    connection::reach(&invocation.url)?;
    Err(no_session(&format!("no session for {} is remembered", invocation.url)))
}

/// Opens a socket to the server and verifies its public key.
pub(super) fn connect_stream(invocation: &Invocation, env: &mut Env<'_>) -> Result<Stream, Failure> {
    let Invocation { url, fingerprint, certificate, .. } = invocation;
    connection::connect(url, *fingerprint, certificate.as_deref(), env)
}

/// Opens a WebSocket to the server and binds it to the session.
pub(super) fn connect(invocation: &Invocation, env: &mut Env<'_>) -> Result<Link, Failure> {
    let session = session(invocation, env)?;
    let stream = connect_stream(invocation, env)?;
    Link::new(http::upgrade(stream, &invocation.url, &session)?, session)
}

/// Longest time in which a server comes back whose connection was lost.
const RETURN_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two attempts to reach it.
const RETURN_STEP: Duration = Duration::from_millis(500);

/// Makes a call as an operation: if the connection is lost before the answer, another one, which replaces it, asks what
/// became of it.
pub(super) fn operate(
    invocation: &Invocation,
    env: &mut Env<'_>,
    link: &mut Link,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<String, Failure> {
    let mut number = [0; 8];
    getrandom(&mut number, GetRandomFlags::empty())
        .map_err(|errno| Failure::new(FAILED, format!("no random numbers: {}", io::Error::from(errno))))?;
    let id = format!("ctl-{:016x}", u64::from_ne_bytes(number));
    let operation = ("operation", id.as_str());
    let result = link.call(path, &[parameters, &[operation]].concat());
    let mut lost = match result {
        Err(failure) if failure.code == UNAVAILABLE => failure,
        other => return other,
    };
    env.note(format_args!("{path}: {}; asking what became of it", lost.text));
    let deadline = Instant::now() + RETURN_TIMEOUT;
    while Instant::now() < deadline {
        sleep(RETURN_STEP);
        let result = connect(invocation, env).and_then(|new| {
            *link = new;
            link.call("operations/wait", &[operation])
        });
        match result {
            Err(failure) if failure.code == UNAVAILABLE => lost = failure,
            Err(failure) if failure.number == ENOENT && failure.text.starts_with("wait: ") => {
                let text = format!(
                    "{path}: the server does not know of this call: it never got it, or it was restarted since; \
                     see `friendlet ctl status`"
                );
                return Err(Failure::new(UNAVAILABLE, text));
            }
            other => return other,
        }
    }
    Err(lost)
}

/// Makes one call by POST and returns the content of its reply.
pub(super) fn post(
    invocation: &Invocation,
    env: &mut Env<'_>,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<String, Failure> {
    let mut stream = connect_stream(invocation, env)?;
    http::post(&mut stream, &invocation.url, path, parameters)
}
