//! The board and its users: `board`, `reload`, `upgrade`, `mark-good`, `reboot`, `poweroff`, `factory-reset`, `passwd`.

use std::time::Instant;

use super::arguments::BoardEnd;
use super::client::{Invocation, RETURN_TIMEOUT, call_again, connect, connect_stream, post, session};
use super::env::Env;
use super::failure::{FAILED, Failure, USAGE};
use super::output::{Row, columns, sanitize};
use super::password::hashed;
use super::reply::with_user;
use super::show::put_checks;
use super::values::{shown, shown_duration, string, text_of};
use crate::json::Raw;
use crate::log::Reason;
use crate::session::check_new_password;

/// Prompt before a factory reset.
const CONFIRM: &str = "This erases configuration, users, certificate and all data of the board.\n\
                       Its name, as `friendlet ctl board` prints it: ";

/// Rows of its status: title and member of the reply.
const ROWS: [(&str, &str); 13] = [
    ("board", "Board"),
    ("version", "Version"),
    ("build", "Build"),
    ("slot", "Slot"),
    ("configuration", "DeviceFile"),
    ("config error", "Complaint"),
    ("boot error", "Notice"),
    ("certificate", "Certificate"),
    ("certified for", "CertificateNames"),
    ("token", "Token"),
    ("sandbox", "Sandbox"),
    ("log server", "LogServer"),
    ("up", "Uptime"),
];

/// Prints the status of the board.
pub(super) fn status(invocation: &Invocation, env: &mut Env<'_>) -> Result<u8, Failure> {
    let content = connect(invocation, env)?.call("board/status", &[])?;
    env.print(&if invocation.json { format!("{content}\n") } else { columns(&rows(&content)?) })?;
    Ok(0)
}

fn rows(content: &str) -> Result<Vec<Row>, Failure> {
    let reply = Raw::parse(content).ok_or_else(|| {
        Failure::new(FAILED, "cannot read the status of the board: the server's reply is malformed")
    })?;
    // `B, testing: service web is not up`
    let mut slot = shown(reply, "Slot");
    for (joint, key) in [(", ", "SlotState"), (": ", "SlotMissing")] {
        if let Some(part) = text_of(reply, key) {
            slot = slot + joint + &sanitize(&part);
        }
    }
    let mut rows = Vec::new();
    for (title, key) in ROWS {
        let value = match key {
            "Slot" => slot.clone(),
            "Uptime" => shown_duration(reply, key),
            _ => shown(reply, key),
        };
        rows.push(vec![title.to_owned(), value]);
    }
    put_checks(&mut rows, reply);
    Ok(rows)
}

/// Reads the configuration file again, or only prints what that would change.
pub(super) fn reload(invocation: &Invocation, env: &mut Env<'_>, is_trial: bool) -> Result<u8, Failure> {
    let session = session(invocation, env)?;
    let dry_run = ("dryrun", if is_trial { "true" } else { "false" });
    let content = post(invocation, env, "board/reload", &[("sessionid", &session), dry_run])?;
    if invocation.json {
        env.print(&format!("{content}\n"))?;
        return Ok(0);
    }
    let reply = Raw::parse(&content)
        .ok_or_else(|| Failure::new(FAILED, "reload: the server's reply is malformed"))?;
    print_difference(env, reply)?;
    env.print(if is_trial { "nothing was changed\n" } else { "reload: ok\n" })?;
    Ok(0)
}

/// Prints what a reload or a change of the configuration changes.
pub(super) fn print_difference(env: &mut Env<'_>, reply: Raw<'_>) -> Result<(), Failure> {
    let mut text = String::new();
    for (key, title) in [
        ("Added", "added"),
        ("Changed", "changed"),
        ("Removed", "removed"),
        ("NeedsRestart", "needs a restart of the server"),
    ] {
        let names = reply.get(key).into_iter().flat_map(Raw::elements).filter_map(string);
        text.extend(names.map(|name| format!("{title}: {}\n", sanitize(&name))));
    }
    env.print(if text.is_empty() { "no service changes\n" } else { &text })
}

/// Lets the program at the path of the server take over, and waits until it answers.
pub(super) fn upgrade(invocation: &Invocation, env: &mut Env<'_>) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    link.call("board/upgrade", &[])?;
    // The earlier server accepts no connection any more once it has closed this one.
    link.wait_closed(RETURN_TIMEOUT);
    drop(link);
    let until = Instant::now() + RETURN_TIMEOUT;
    let (_, content) = call_again(invocation, env, until, "board/status", &[]).map_err(|failure| {
        let text =
            format!("upgrade: the new program took over, and its server does not answer: {}", failure.text);
        failure.with_text(text)
    })?;
    let shown = |key| Raw::parse(&content).map_or_else(String::new, |reply| shown(reply, key));
    let text =
        format!("upgrade: ok, the server is back: version {}, build {}", shown("Version"), shown("Build"));
    done(invocation, env, content, &text)
}

/// Marks the running slot good.
pub(super) fn mark_good(invocation: &Invocation, env: &mut Env<'_>) -> Result<u8, Failure> {
    let content = connect(invocation, env)?.call("board/markgood", &[])?;
    done(invocation, env, content, "mark-good: ok")
}

/// Restarts the board, switches it off, or has it erase everything once a person has typed its name.
pub(super) fn end(invocation: &Invocation, env: &mut Env<'_>, end: BoardEnd) -> Result<u8, Failure> {
    let session = session(invocation, env)?;
    let confirmation = match end {
        BoardEnd::FactoryReset => (env.ask)(CONFIRM, false).map_err(|error| {
            Failure::new(FAILED, format!("cannot read the name: {}", Reason::from(&error)))
        })?,
        BoardEnd::Reboot | BoardEnd::PowerOff => String::new(),
    };
    let mut parameters = vec![("sessionid", session.as_str())];
    if end == BoardEnd::FactoryReset {
        parameters.push(("confirm", &confirmation));
    }
    let path = format!("board/{}", end.name());
    let content = post(invocation, env, &path, &parameters)?;
    done(invocation, env, content, &format!("{}: ok", end.name()))
}

/// Prints the content of its answer, or what it has done.
fn done(invocation: &Invocation, env: &mut Env<'_>, content: String, text: &str) -> Result<u8, Failure> {
    env.print(&((if invocation.json { content.as_str() } else { text }).to_owned() + "\n"))?;
    Ok(0)
}

/// Ends the blocks of a user, or of all, after wrong passwords.
pub(super) fn unlock(invocation: &Invocation, env: &mut Env<'_>, user: Option<&str>) -> Result<u8, Failure> {
    let parameters: Vec<_> = user.iter().map(|user| ("username", *user)).collect();
    let content = connect(invocation, env)?
        .call("user/unlock", &parameters)
        .map_err(|failure| with_user(user.unwrap_or_default(), failure))?;
    let text =
        if invocation.json { content } else { format!("unlock {}: ok", sanitize(user.unwrap_or("all"))) };
    env.print(&format!("{text}\n"))?;
    Ok(0)
}

/// Changes a password: the caller's own, or that of `user`.
pub(super) fn passwd(invocation: &Invocation, env: &mut Env<'_>, user: Option<&str>) -> Result<u8, Failure> {
    let session = session(invocation, env)?;
    if session.is_empty() && user.is_none() {
        let text = format!(
            "the administrator at {} has no password; name a user: `friendlet ctl passwd USER`",
            invocation.url
        );
        return Err(Failure::new(USAGE, text));
    }
    // The certificate is verified before anybody types a secret.
    drop(connect_stream(invocation, env)?);
    let mut read_password = |prompt: &str| {
        (env.ask)(prompt, true).map_err(|error| {
            Failure::new(FAILED, format!("cannot read the password: {}", Reason::from(&error)))
        })
    };
    let old = match user {
        None => Some(hashed(&read_password("old password: ")?)),
        Some(_) => None,
    };
    let new = match user {
        None => read_password("new password: ")?,
        Some(user) => read_password(&format!("new password of {}: ", sanitize(user)))?,
    };
    // The server cannot measure a hashed one, and finds the name of the session's user itself.
    check_new_password(&new, user.unwrap_or_default()).map_err(|reason| Failure::new(FAILED, reason))?;
    if env.is_terminal && read_password("again: ")? != new {
        return Err(Failure::new(FAILED, "the two passwords differ"));
    }
    let new = hashed(&new);
    let mut parameters = vec![("sessionid", session.as_str()), ("password", &new)];
    parameters.extend(old.as_ref().map(|old| ("oldpassword", old.as_str())));
    parameters.extend(user.map(|user| ("username", user)));
    let content = post(invocation, env, "user/updatepassword", &parameters)
        .map_err(|failure| explain_password(user, failure))?;
    let changed = "password changed; other sessions of that user have ended";
    env.print(&format!("{}\n", if invocation.json { &content } else { changed }))?;
    Ok(0)
}

fn explain_password(user: Option<&str>, failure: Failure) -> Failure {
    match user {
        Some(user) if failure.text.starts_with("Missing parameters: oldpassword") => {
            let text = format!(
                "{} is the user of this session: `friendlet ctl passwd` alone asks for the old password",
                sanitize(user)
            );
            failure.with_text(text)
        }
        None if failure.text == "wrong user or password" => failure.with_text("the old password is wrong"),
        _ => with_user(user.unwrap_or_default(), failure),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reply::parse_reply;
    use super::*;

    #[test]
    fn status_is_printed_in_lines() {
        let content = "{ \"Status\": \"ok\", \"Board\": \"host\", \"Version\": \"0.1.0\", \"Build\": \"\", \"Slot\": \"A\", \"SlotState\": \"testing\", \"SlotMissing\": \"service web is not up\", \"DeviceFile\": \"last good\", \"Complaint\": \"f:1:2: a\\u001bb\", \"Notice\": \"\", \"Certificate\": \"c.pem: this certificate has expired\", \"CertificateNames\": \"localhost, 192.0.2.7\", \"Token\": \"[[token]] 1, of anna: expires\", \"Sandbox\": \"files\", \"Uptime\": 61, \"Checks\": [{\"Name\": \"uplink\", \"State\": \"unchecked\", \"Failures\": 0}]}";
        assert_eq!(
            columns(&rows(content).unwrap()),
            "board          host\nversion        0.1.0\nbuild          -\nslot           A, testing: service web is not up\n\
             configuration  last good\nconfig error   f:1:2: a\u{FFFD}b\nboot error     -\ncertificate    c.pem: this certificate has expired\ncertified for  localhost, 192.0.2.7\ntoken          [[token]] 1, of anna: expires\nsandbox        files\nlog server     -\nup             1m 1s\n\
             checks         uplink: unchecked\n"
        );
        assert!(rows("nonsense").is_err());
        assert_eq!(rows("{}").unwrap()[0], ["board", "-"]);
    }

    #[test]
    fn failures_contain_advice() {
        let refusal = |response: &str, code| {
            let text = format!("fail<!--separate-->{{ \"response\": \"{response}\", \"code\":\"{code}\" }}");
            parse_reply(&text).unwrap_err()
        };
        let failure = explain_password(Some("me"), refusal("Missing parameters: oldpassword", 14));
        assert!(failure.text.contains("`friendlet ctl passwd` alone"), "{failure:?}");
        let failure = explain_password(None, refusal("Account blocked until: 0", 6));
        assert_eq!(failure.text, "the old password is wrong");
        let failure = explain_password(Some("anna"), refusal("User not found", 13));
        assert_eq!(failure.text, "no user 'anna'");
    }
}
