//! `sessions`: lists and ends sessions.

use super::arguments::Invocation;
use super::client::connect;
use super::env::Env;
use super::failure::{FAILED, Failure};
use super::output::{columns, format_duration, sanitize};
use super::values::{shown_or, text_of};
use crate::json::Raw;

const HEAD: [&str; 7] = ["SESSION", "USER", "FROM", "DEVICE", "SINCE", "IDLE", "SOCKET"];

/// Lists sessions, or ends the one with an id of the list.
pub(super) fn run(invocation: &Invocation, env: &mut Env<'_>, end: Option<&str>) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    let (content, text) = match end {
        Some(id) => {
            let content =
                link.call("sessions/end", &[("session", id)]).map_err(|failure| explain(id, failure))?;
            (content, format!("session {}: ended\n", sanitize(id)))
        }
        None => {
            let content = link.call("sessions/list", &[])?;
            let text = columns(&rows(&content)?);
            (content, text)
        }
    };
    env.print(&if invocation.json { format!("{content}\n") } else { text })?;
    Ok(0)
}

fn rows(content: &str) -> Result<Vec<[String; 7]>, Failure> {
    let sessions = Raw::parse(content).and_then(|reply| reply.get("Sessions"));
    let sessions = sessions
        .ok_or_else(|| Failure::new(FAILED, "cannot read the sessions: the server's reply is malformed"))?;
    let row = |session: Raw<'_>| {
        let text = |key| text_of(session, key).filter(|text| !text.is_empty());
        let shown = |key| shown_or(text(key).as_deref().map(sanitize));
        let time = |key| shown_or(text(key).and_then(|text| text.parse().ok()).map(format_duration));
        let is = |key| text(key).as_deref() == Some("true");
        let socket = if is("Bound") { "bound" } else { "-" };
        let own = if is("Own") { " (this one)" } else { "" };
        let user = shown("User") + own;
        [
            shown("Session"),
            user,
            shown("From"),
            shown("Device"),
            time("Since"),
            time("Idle"),
            socket.to_owned(),
        ]
    };
    Ok([HEAD.map(str::to_owned)].into_iter().chain(sessions.elements().map(row)).collect())
}

/// Explains the number of Linux: 2 is `ENOENT`.
fn explain(id: &str, failure: Failure) -> Failure {
    if failure.text.starts_with("Function end returned: 2 ") {
        let text =
            format!("no session '{}'; `friendlet ctl sessions` lists those that you may end", sanitize(id));
        return Failure::new(failure.code, text);
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::super::reply::parse_reply;
    use super::*;

    #[test]
    fn sessions_are_printed_in_columns() {
        let content = "{ \"Status\": \"ok\", \"Sessions\": [{\"Session\": \"8ed92253\", \"User\": \"anna\", \"Device\": \"a\\u001bb\", \"From\": \"192.0.2.7\", \"Since\": 90000, \"Idle\": 3, \"Bound\": true, \"Own\": true},{\"Session\": \"00000001\", \"User\": \"ben\", \"Device\": \"\", \"Since\": 61, \"Idle\": 0, \"Bound\": false, \"Own\": false}]}";
        assert_eq!(
            columns(&rows(content).unwrap()),
            "SESSION   USER             FROM       DEVICE  SINCE  IDLE  SOCKET\n\
             8ed92253  anna (this one)  192.0.2.7  a\u{FFFD}b     1d 1h  3s    bound\n\
             00000001  ben              -          -       1m 1s  0s    -\n"
        );
        assert!(rows("nonsense").is_err());
    }

    #[test]
    fn unknown_session_is_explained() {
        let text = "fail<!--separate-->{ \"response\": \"Function end returned: 2\", \"code\":\"18\" }";
        let failure = explain("x", parse_reply(text).unwrap_err());
        assert!(failure.text.starts_with("no session 'x'"), "{failure:?}");
    }
}
