//! Connections of a command to its server.

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
use crate::log::Reason;
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
pub(super) const RETURN_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two attempts to reach it.
const RETURN_STEP: Duration = Duration::from_millis(500);
/// First pause of a command without an end; it doubles with every failed attempt.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest one.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Pauses between attempts to connect again, without an end.
pub(super) struct Pauses(Duration);

impl Pauses {
    pub(super) fn new() -> Self {
        Self(PAUSE_MIN)
    }

    /// Pauses, unless the reader of the results has gone.
    pub(super) fn pause(&mut self, env: &Env<'_>) -> Result<(), Failure> {
        env.pause(jittered(self.0))?;
        self.0 = (self.0 * 2).min(PAUSE_MAX);
        Ok(())
    }
}

/// Connects again to a server whose connection was lost, however long that takes.
pub(super) fn reconnect(invocation: &Invocation, env: &mut Env<'_>, lost: &Failure) -> Result<Link, Failure> {
    env.note(format_args!("-- {}; connecting again, and then printing the newest lines anew --", lost.text));
    let mut pauses = Pauses::new();
    loop {
        pauses.pause(env)?;
        match connect(invocation, env) {
            Err(failure) if failure.code == UNAVAILABLE => {}
            other => return other,
        }
    }
}

/// A random time from half of the pause to all of it, which spreads the clients of a restarted server.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random bytes the pause is the shortest one.
    let _ = getrandom(&mut byte, GetRandomFlags::empty());
    pause / 2 + pause / 2 * u32::from(byte[0]) / 256
}

/// Makes a call to a server that may not be there for a moment, each time over a new connection, until it answers or the
/// time is over.
pub(super) fn call_again(
    invocation: &Invocation,
    env: &mut Env<'_>,
    until: Instant,
    path: &str,
    parameters: &[(&str, &str)],
) -> Result<(Link, String), Failure> {
    loop {
        let answer = connect(invocation, env).and_then(|mut link| {
            let content = link.call(path, parameters)?;
            Ok((link, content))
        });
        match answer {
            Err(failure) if failure.code == UNAVAILABLE && Instant::now() + RETURN_STEP < until => {
                sleep(RETURN_STEP);
            }
            other => return other,
        }
    }
}

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
        .map_err(|errno| Failure::new(FAILED, format!("no random numbers: {}", Reason::from(errno))))?;
    let id = format!("ctl-{:016x}", u64::from_ne_bytes(number));
    let operation = ("operation", id.as_str());
    let result = link.call(path, &[parameters, &[operation]].concat());
    let lost = match result {
        Err(failure) if failure.code == UNAVAILABLE => failure,
        other => return other,
    };
    env.note(format_args!("{path}: {}; asking what became of it", lost.text));
    sleep(RETURN_STEP);
    match call_again(invocation, env, Instant::now() + RETURN_TIMEOUT, "operations/wait", &[operation]) {
        Ok((new, content)) => {
            *link = new;
            Ok(content)
        }
        Err(failure) if failure.number == ENOENT && failure.text.starts_with("wait: ") => {
            let text = format!(
                "{path}: the server does not know of this call: it never got it, or it was restarted since; \
                 see `friendlet ctl status`"
            );
            Err(Failure::new(UNAVAILABLE, text))
        }
        Err(failure) => Err(failure),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_within_half_and_whole() {
        for _ in 0..100 {
            let pause = jittered(PAUSE_MAX);
            assert!(pause >= PAUSE_MAX / 2 && pause < PAUSE_MAX, "{pause:?}");
        }
    }
}
