//! The board and its passwords: `board`, `reboot`, `poweroff`, `passwd`.

use super::action::{connect, hashed, open, print, session};
use super::arguments::{End, Invocation};
use super::json::{self, Node};
use super::output::{clean, columns, span};
use super::reply::judge;
use super::{FAILED, Failure, World, http};

/// How the board stands.
pub(super) fn status(invocation: &Invocation, world: &mut World<'_>) -> Result<u8, Failure> {
    let content = open(invocation, world)?.call("system.library/board/status", &[])?;
    let content = judge(&content)?;
    if invocation.json {
        return print(world, &format!("{content}\n"));
    }
    print(world, &columns(&rows(content)?))
}

fn rows(content: &str) -> Result<Vec<[String; 2]>, Failure> {
    let node = json::parse(content)
        .ok_or_else(|| Failure::new(FAILED, "what the server says of its board cannot be read"))?;
    let text = |name| node.get(name).and_then(Node::text).filter(|text| !text.is_empty());
    let row = |title: &str, text: Option<String>| [title.to_owned(), text.unwrap_or_else(|| "-".to_owned())];
    let shown = |title, name| row(title, text(name).map(clean));
    let up = text("Uptime").and_then(|seconds| seconds.parse().ok()).map(span);
    Ok(vec![
        shown("board", "Board"),
        shown("version", "Version"),
        shown("build", "Build"),
        shown("slot", "Slot"),
        shown("configuration", "DeviceFile"),
        shown("complaint", "Complaint"),
        shown("notice", "Notice"),
        row("up", up),
    ])
}

/// Ends the board.
pub(super) fn end(invocation: &Invocation, world: &mut World<'_>, end: End) -> Result<u8, Failure> {
    let session = session(invocation, world)?;
    let mut stream = connect(invocation, world)?;
    let path = format!("system.library/board/{}", end.name());
    let content = http::post(&mut stream, &invocation.url.authority(), &path, &[("sessionid", &session)])?;
    let content = judge(&content).map_err(|failure| explain(end, failure))?;
    if invocation.json {
        return print(world, &format!("{content}\n"));
    }
    print(world, &format!("{}: ok\n", end.name()))
}

/// The number is Linux's `ENOSYS`.
fn explain(end: End, failure: Failure) -> Failure {
    let name = end.name();
    if failure.text.starts_with(&format!("Function {name} returned: 38 ")) {
        let text = format!(
            "the server has no way to do it: name a program in [board] {name} of its configuration file"
        );
        return Failure::new(failure.code, text);
    }
    failure
}

/// Changes a password: the own one, or that of `user`.
pub(super) fn passwd(
    invocation: &Invocation,
    world: &mut World<'_>,
    user: Option<&str>,
) -> Result<u8, Failure> {
    let session = session(invocation, world)?;
    // The certificate is made sure of before anything secret is asked for.
    drop(connect(invocation, world)?);
    let mut ask = |prompt: &str| {
        (world.password)(prompt)
            .map_err(|error| Failure::new(FAILED, format!("cannot read the password: {error}")))
    };
    let old = match user {
        None => Some(hashed(&ask("old password: ")?)),
        Some(_) => None,
    };
    let new = match user {
        None => ask("new password: ")?,
        Some(user) => ask(&format!("new password of {}: ", clean(user)))?,
    };
    if new.is_empty() {
        return Err(Failure::new(FAILED, "the new password is empty"));
    }
    if world.is_terminal && ask("again: ")? != new {
        return Err(Failure::new(FAILED, "the two passwords differ"));
    }
    let new = hashed(&new);
    let mut parameters = vec![("sessionid", session.as_str()), ("password", &new)];
    parameters.extend(old.as_ref().map(|old| ("oldpassword", old.as_str())));
    parameters.extend(user.map(|user| ("username", user)));
    let mut stream = connect(invocation, world)?;
    let path = "system.library/user/updatepassword";
    let content = http::post(&mut stream, &invocation.url.authority(), path, &parameters)?;
    let content = judge(&content).map_err(|failure| explain_password(user, failure))?;
    if invocation.json {
        return print(world, &format!("{content}\n"));
    }
    print(world, "password changed; other sessions of that user have ended\n")
}

fn explain_password(user: Option<&str>, failure: Failure) -> Failure {
    match user {
        Some(user) if failure.text.starts_with("Missing parameters: oldpassword") => {
            let text = format!(
                "{} is who is logged in: `friendlet ctl passwd` alone asks for the old password",
                clean(user)
            );
            Failure::new(failure.code, text)
        }
        None if failure.text == "wrong user or password" => {
            Failure::new(failure.code, "the old password is wrong")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn board_is_shown_a_line_each() {
        let content = "{ \"Status\": \"ok\", \"Board\": \"host\", \"Version\": \"0.1.0\", \"Build\": \"\", \"Slot\": \"A\", \"DeviceFile\": \"last good\", \"Complaint\": \"f:1:2: a\\u001bb\", \"Notice\": \"\", \"Uptime\": 61}";
        assert_eq!(
            columns(&rows(content).unwrap()),
            "board          host\nversion        0.1.0\nbuild          -\nslot           A\n\
             configuration  last good\ncomplaint      f:1:2: a\u{FFFD}b\nnotice         -\nup             1m 1s\n"
        );
        assert!(rows("nonsense").is_err());
        assert_eq!(rows("{}").unwrap()[0], ["board", "-"]);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let refusal = |response: &str, code| {
            let text = format!("fail<!--separate-->{{ \"response\": \"{response}\", \"code\":\"{code}\" }}");
            judge(&text).unwrap_err()
        };
        let failure = explain(End::Reboot, refusal("Function reboot returned: 38", 18));
        assert!(failure.code == FAILED && failure.text.contains("[board] reboot"), "{failure:?}");
        let failure = explain(End::Reboot, refusal("Function reboot returned: 3", 18));
        assert_eq!(failure.text, "Function reboot returned: 3 (code 18)");
        let failure = explain_password(Some("me"), refusal("Missing parameters: oldpassword", 14));
        assert!(failure.text.contains("`friendlet ctl passwd` alone"), "{failure:?}");
        let failure = explain_password(None, refusal("Account blocked until: 0", 6));
        assert_eq!(failure.text, "the old password is wrong");
        let failure = explain_password(Some("anna"), refusal("User not found", 13));
        assert_eq!(failure.text, "User not found (code 13)");
    }
}
