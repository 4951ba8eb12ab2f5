//! `sessions`, `pair`: lists and ends sessions and paired certificates, and pairs one.

use super::client::{Invocation, connect, post, session};
use super::env::Env;
use super::failure::{FAILED, Failure};
use super::login::device_id;
use super::output::{Row, sanitize, table};
use super::reply::with_user;
use super::values::{shown, shown_duration, text_of};
use crate::json::Raw;

const HEAD: [&str; 7] = ["SESSION", "USER", "FROM", "DEVICE", "SINCE", "IDLE", "SOCKET"];

/// Lists sessions, or ends the one with an id of the list.
pub(super) fn run(invocation: &Invocation, env: &mut Env<'_>, end: Option<&str>) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    let (content, text) = match end {
        Some(id) => {
            let content = link.call("sessions/end", &[("session", id)])?;
            (content, format!("session {}: ended\n", sanitize(id)))
        }
        None => {
            let content = link.call("sessions/list", &[])?;
            let reply = Raw::parse(&content);
            let member = |name| reply.and_then(|reply| text_of(reply, name)).map(|text| sanitize(&text));
            let key = member("PairingKey").map_or_else(String::new, |key| format!(", key {key} alone"));
            let window =
                member("Pairing").map_or_else(String::new, |user| format!("pair: open for {user}{key}\n"));
            let text = window + &table(&HEAD, rows(&content)?, env.terminal);
            (content, text)
        }
    };
    env.print(&if invocation.json { format!("{content}\n") } else { text })?;
    Ok(0)
}

/// Opens the window for the certificate of a user, closes it if the name is empty, or pairs that of this client.
pub(super) fn pair(
    invocation: &Invocation,
    env: &mut Env<'_>,
    user: Option<&str>,
    only: Option<&str>,
) -> Result<u8, Failure> {
    let content = match user {
        Some(user) => {
            let session = session(invocation, env)?;
            let form =
                [("sessionid", session.as_str()), ("username", user), ("key", only.unwrap_or_default())];
            // Without `--only`, the call has no key: an empty one is a mistake.
            post(invocation, env, "board/pair", &form[..2 + usize::from(only.is_some())])
                .map_err(|failure| with_user(user, failure))?
        }
        None => post(invocation, env, "user/pair", &[("deviceid", &device_id())])?,
    };
    if invocation.json {
        env.print(&(content + "\n"))?;
        return Ok(0);
    }
    let member = |key| Raw::parse(&content).map_or_else(String::new, |reply| shown(reply, key));
    let (user_of, closed) = (member("User"), member("Closed"));
    let key = Some(member("Key")).filter(|key| key != "-");
    let key = key.map_or_else(String::new, |key| format!(", key {key} alone"));
    if user.is_some() && closed != "-" {
        env.print(&format!("pair: closed for {closed}\n"))?;
    }
    env.print(&match user {
        Some("") if closed != "-" => String::new(),
        Some("") => "pair: no window was open\n".to_owned(),
        Some(_) => format!("pair: open for two minutes, for {user_of}{key}; on the client: friendlet ctl --url URL --cert FILE --key FILE pair\n"),
        None => format!("pair: ok, this certificate is one of {user_of}, without a login from now on\n"),
    })?;
    Ok(0)
}

fn rows(content: &str) -> Result<Vec<Row>, Failure> {
    let sessions = Raw::parse(content).and_then(|reply| reply.get("Sessions"));
    let sessions = sessions
        .ok_or_else(|| Failure::new(FAILED, "cannot read the sessions: the server's reply is malformed"))?;
    let row = |session: Raw<'_>| {
        let shown = |key| shown(session, key);
        let is = |key| shown(key) == "true";
        let socket = match (is("Bound"), is("Paired")) {
            (true, _) => "bound",
            (_, true) => "paired",
            _ => "-",
        };
        let own = if is("Own") { " (this one)" } else { "" };
        let user = shown("User") + own;
        vec![
            shown("Session"),
            user,
            shown("From"),
            shown("Device"),
            shown_duration(session, "Since"),
            shown_duration(session, "Idle"),
            socket.to_owned(),
        ]
    };
    Ok(sessions.elements().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_printed_in_columns() {
        let content = "{ \"Status\": \"ok\", \"Sessions\": [{\"Session\": \"8ed92253\", \"User\": \"anna\", \"Device\": \"a\\u001bb\", \"From\": \"192.0.2.7\", \"Since\": 90000, \"Idle\": 3, \"Bound\": true, \"Own\": true},{\"Session\": \"00000001\", \"User\": \"ben\", \"Device\": \"\", \"Since\": 61, \"Idle\": 0, \"Bound\": false, \"Own\": false}]}";
        assert_eq!(
            table(&HEAD, rows(content).unwrap(), None),
            "SESSION   USER             FROM       DEVICE  SINCE  IDLE  SOCKET\n\
             8ed92253  anna (this one)  192.0.2.7  a\u{FFFD}b     1d 1h  3s    bound\n\
             00000001  ben              -          -       1m 1s  0s    -\n"
        );
        assert!(rows("nonsense").is_err());
    }
}
