//! Connections of a command to its server.

use super::arguments::Invocation;
use super::connection::{self, Stream};
use super::env::Env;
use super::failure::Failure;
use super::http;
use super::link::Link;
use super::reply::no_session;
use super::state::SESSIONS;
use super::url::Url;

/// Session id of the command line, of the environment, or of the latest login. The local socket needs none: an
/// empty one stands for its administrator.
pub(super) fn session(invocation: &Invocation, env: &Env<'_>) -> Result<String, Failure> {
    if let Some(session) = invocation.session.as_ref().or(env.session.as_ref()) {
        return Ok(session.clone());
    }
    let remembered = env.state().and_then(|state| state.get(SESSIONS, &invocation.url.to_string()));
    if let Url::Local(_) = invocation.url {
        return Ok(remembered.ok().flatten().unwrap_or_default());
    }
    remembered?.ok_or_else(|| no_session(&format!("no session for {} is remembered", invocation.url)))
}

/// Opens a socket to the server and verifies its certificate.
pub(super) fn connect_stream(invocation: &Invocation, env: &mut Env<'_>) -> Result<Stream, Failure> {
    connection::connect(&invocation.url, invocation.fingerprint, env)
}

/// Opens a WebSocket to the server and binds it to the session.
pub(super) fn connect(invocation: &Invocation, env: &mut Env<'_>) -> Result<Link, Failure> {
    let session = session(invocation, env)?;
    let stream = connect_stream(invocation, env)?;
    Link::new(http::upgrade(stream, &invocation.url.authority(), &session)?, session)
}

/// Makes one call by POST and returns the content of its reply.
pub(super) fn post(
    invocation: &Invocation,
    env: &mut Env<'_>,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<String, Failure> {
    let mut stream = connect_stream(invocation, env)?;
    http::post(&mut stream, &invocation.url.authority(), path, parameters)
}
