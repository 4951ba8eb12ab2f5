//! `call`: any call of the server by its path.

use super::client::{Invocation, connect, post, session};
use super::env::Env;
use super::failure::{Failure, UNKNOWN};
use super::output::{sanitize, sanitize_lines};
use super::values::LIBRARY;
use crate::api::{CALLS, Row, calls::NAME};
use crate::suggest::nearest;

/// Call that an envelope gets no answer to, as in Friend Core. It is made by POST.
const LOGOUT: &str = "user/logout";

/// Makes a call and prints the content of its reply.
pub(super) fn run(
    invocation: &Invocation,
    env: &mut Env<'_>,
    path: &str,
    parameters: &[(String, String)],
) -> Result<u8, Failure> {
    let path = path.trim_matches('/');
    let path = path.strip_prefix(LIBRARY).unwrap_or(path);
    check(path)?;
    let parameters: Vec<_> = parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let content = if path == LOGOUT {
        let session = session(invocation, env)?;
        let session = ("sessionid", session.as_str());
        let is_named = parameters.iter().any(|(key, _)| *key == session.0);
        let own = Some(session).filter(|_| !is_named);
        post(invocation, env, path, &parameters.into_iter().chain(own).collect::<Vec<_>>())?
    } else {
        connect(invocation, env)?.call(path, &parameters)?
    };
    let content = if invocation.json { content } else { sanitize_lines(&content) };
    env.print(&format!("{content}\n"))?;
    Ok(0)
}

/// Prints the path of every call, one a line, for the completion of a shell.
pub(super) fn complete(env: &mut Env<'_>) -> Result<u8, Failure> {
    env.print(&(paths(Some(NAME)).join("\n") + "\n"))?;
    Ok(0)
}

/// Checks that a call has this path; the error suggests the nearest one.
fn check(path: &str) -> Result<(), Failure> {
    let segments: Vec<&str> = path.split('/').collect();
    if Row::find(&segments).is_some() {
        return Ok(());
    }
    let service = if let [_, service, _] = segments[..] { Some(service) } else { None };
    let known = paths(service);
    let hint = match nearest(path, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean '{}'?", sanitize(near)),
        None => "`friendlet ctl complete-calls` prints all paths".to_owned(),
    };
    Err(Failure::new(UNKNOWN, format!("no call has the path '{}'; {hint}", sanitize(path))))
}

/// Paths of all calls, with this name of a service or without any.
fn paths(service: Option<&str>) -> Vec<String> {
    let mut paths = Vec::new();
    for row in CALLS {
        let mut path = String::new();
        for segment in row.path {
            let segment = if *segment == NAME { service } else { Some(*segment) };
            let Some(segment) = segment else { continue };
            if !path.is_empty() {
                path.push('/');
            }
            path += segment;
        }
        paths.push(path);
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_its_path() {
        for path in [paths(Some("hello")), paths(None)].concat() {
            assert_eq!(check(&path), Ok(()), "{path}");
        }
    }

    #[test]
    fn nearest_path_is_suggested() {
        for (path, hint) in [
            ("services/hello/statsu", "did you mean 'services/hello/status'?"),
            ("service/list", "did you mean 'services/list'?"),
            ("board/reboto", "did you mean 'board/reboot'?"),
            ("frobnicate/everything", "`friendlet ctl complete-calls` prints all paths"),
            ("", "complete-calls"),
        ] {
            let failure = check(path).unwrap_err();
            assert_eq!(failure.code, UNKNOWN);
            assert!(failure.text.ends_with(hint) || path.is_empty(), "{}", failure.text);
        }
    }
}
