//! `login` and `logout`.

use super::client::{Invocation, connect_stream, post, session};
use super::env::Env;
use super::failure::{FAILED, Failure, NO_RIGHT};
use super::output::sanitize;
use super::password::hashed;
use super::state::SESSIONS;
use super::values::{string, text_of};
use crate::json::Raw;
use crate::log::Reason;

/// Longest session id that is accepted; Friend Core stores ids in 256 bytes.
const SESSION_BYTES: usize = 255;
/// Longest part of a device id that names this machine, in characters.
const MACHINE_NAME: usize = 32;

/// Opens a session and remembers it.
pub(super) fn login(invocation: &Invocation, env: &mut Env<'_>, user: &str) -> Result<u8, Failure> {
    // The certificate is verified before anybody types a secret.
    drop(connect_stream(invocation, env)?);
    let password = (env.ask)(&format!("password of {} at {}: ", sanitize(user), invocation.url), true)
        .map_err(|error| {
            Failure::new(FAILED, format!("cannot read the password: {}", Reason::from(&error)))
        })?;
    let password = hashed(&password);
    let device = device_id();
    let parameters = [("username", user), ("password", &password), ("deviceid", &device)];
    let content = post(invocation, env, "login", &parameters)?;
    let reply = Raw::parse(&content);
    let is_id =
        |id: &String| (1..=SESSION_BYTES).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic());
    let session = reply.and_then(|reply| reply.get("sessionid")).and_then(string).filter(is_id);
    let session = session
        .ok_or_else(|| Failure::new(FAILED, "cannot log in: the server's reply contains no session id"))?;
    env.state()?.set(SESSIONS, &invocation.url.to_string(), Some(&session))?;
    if invocation.json {
        env.print(&format!("{content}\n"))?;
        return Ok(0);
    }
    let level = reply.and_then(|reply| text_of(reply, "level")).unwrap_or_else(|| "user".to_owned());
    env.print(&format!("logged in to {} as {} ({})\n", invocation.url, sanitize(user), sanitize(&level)))?;
    Ok(0)
}

/// Ends the session and forgets it.
pub(super) fn logout(invocation: &Invocation, env: &mut Env<'_>) -> Result<u8, Failure> {
    let session = session(invocation, env)?;
    let content = match post(invocation, env, "user/logout", &[("sessionid", &session)]) {
        // The session has ended already.
        Err(failure) if failure.code == NO_RIGHT => String::new(),
        other => other?,
    };
    let url = invocation.url.to_string();
    let state = env.state()?;
    if state.get(SESSIONS, &url)?.as_deref() == Some(session.as_str()) {
        state.set(SESSIONS, &url, None)?;
    }
    env.print(&if invocation.json { format!("{content}\n") } else { format!("logged out of {url}\n") })?;
    Ok(0)
}

/// Name of this machine: a second login from here resumes the same session.
pub(super) fn device_id() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    format!("friendlet-ctl-{}", name.chars().filter(is_plain).take(MACHINE_NAME).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_id_is_short_and_plain() {
        let id = device_id();
        assert!(id.starts_with("friendlet-ctl-") && id.len() <= 46, "{id}");
    }
}
