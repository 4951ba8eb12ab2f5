//! Content of a reply, and the failure that it reports.
//!
//! Content is an object, or `ok<!--separate-->` or `fail<!--separate-->` and an object, or other text.
//! A failure is `fail`, or an object with a `response` and a `code`, or in the form of 2016 an
//! `ErrorMessage` other than 0.

use super::failure::{FAILED, Failure, NO_RIGHT, UNKNOWN};
use super::output::sanitize;
use super::values::{string, text_of};
use crate::call::Returned;
use crate::json::Raw;
use crate::wall_clock::Utc;

const SEPARATOR: &str = "<!--separate-->";

/// Returns the content without its return code.
///
/// # Errors
///
/// The failure that the content reports.
pub(super) fn parse_reply(content: &str) -> Result<&str, Failure> {
    let (word, rest) = content.split_once(SEPARATOR).unwrap_or(("", content));
    let value = Raw::parse(rest);
    let member = |key| value.and_then(|value| text_of(value, key));
    let response = || member("response");
    let code = member("code").filter(|code| code != "0");
    let message = member("ErrorMessage").filter(|text| text != "0");
    if let Some(reason) = member("reason").filter(|_| code.is_some() || message.is_some()) {
        return Err(Failure::new(FAILED, not_started(&reason, value.and_then(|value| value.get("output")))));
    }
    if let Some(code) = code {
        return Err(failure(&code, response().as_deref().unwrap_or("the call failed")));
    }
    if let Some(text) = message {
        return Err(failure("", &text));
    }
    if word == "fail" || rest.starts_with("LERR") {
        return Err(failure("", response().as_deref().unwrap_or(rest)));
    }
    Ok(rest)
}

/// Reason of a program that does not run, with its last lines.
fn not_started(reason: &str, output: Option<Raw<'_>>) -> String {
    let lines = output.into_iter().flat_map(Raw::elements).filter_map(string);
    let reason = reason.lines().map(sanitize).collect::<Vec<_>>().join("\n");
    lines.fold(reason, |text, line| format!("{text}\n  {}", sanitize(&line)))
}

/// Failure `Function NAME returned: NUMBER`.
fn returned(text: &str) -> Option<Failure> {
    let (function, number) = text.strip_prefix("Function ")?.split_once(" returned: ")?;
    let number = number.parse().ok()?;
    let text = Returned { function, number }.to_string();
    Some(Failure::of_number(FAILED, text, number))
}

/// Failure with this code of Friend Core's dictionary.
fn failure(code: &str, text: &str) -> Failure {
    let text = sanitize(text);
    if let Some(failure) = returned(&text) {
        return failure;
    }
    match code {
        "3" | "10" | "11" | "40" => no_session(&text),
        "4" => Failure::new(
            NO_RIGHT,
            "permission denied: this user has no right to that, or none to that service; ask an administrator",
        ),
        "71" => Failure::new(NO_RIGHT, format!("permission denied: {text}; ask an administrator")),
        "6" => Failure::new(NO_RIGHT, blocked(&text)),
        "55" => Failure::new(NO_RIGHT, "wrong user or password"),
        "1" => Failure::new(UNKNOWN, "the server does not know this call"),
        "13" => Failure::new(FAILED, NO_USER),
        "17" => Failure::new(FAILED, "the server has no room for one more call of this kind; try again"),
        "20" => Failure::new(UNKNOWN, "no such service; `friendlet ctl list` names the services"),
        "" => Failure::new(FAILED, text),
        _ => Failure::new(FAILED, format!("{text} (code {})", sanitize(code))),
    }
}

/// Message about a user that does not exist.
const NO_USER: &str = "no such user";

/// Names the user of a call who does not exist.
pub(super) fn with_user(user: &str, failure: Failure) -> Failure {
    if failure.text != NO_USER {
        return failure;
    }
    failure.with_text(format!("no user '{}'", sanitize(user)))
}

/// Begin of the message without a session.
pub(super) const NOT_LOGGED_IN: &str = "not logged in";

/// Failure without a session, or after its end.
pub(super) fn no_session(why: &str) -> Failure {
    Failure::new(NO_RIGHT, format!("{NOT_LOGGED_IN} ({why}); run `friendlet ctl login USER`"))
}

/// Last second whose year has four digits.
const END_OF_9999: u64 = 253_402_300_799;

/// Error message for `Account blocked until: TIME`; in Friend Core, a TIME of 0 is a wrong password.
fn blocked(text: &str) -> String {
    match text.rsplit(' ').next().and_then(|time| time.parse::<u64>().ok()) {
        None | Some(0) => "wrong user or password".to_owned(),
        Some(until) => {
            let until = core::time::Duration::from_secs(until.min(END_OF_9999));
            format!("too many attempts; blocked until {}", Utc(until))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_a_call_that_succeeded() {
        for (content, text) in [
            ("{ \"Status\": \"ok\"}", "{ \"Status\": \"ok\"}"),
            ("ok<!--separate-->{\"response\":\"true\"}", "{\"response\":\"true\"}"),
            ("{\"result\":\"0\",\"sessionid\":\"S\"}", "{\"result\":\"0\",\"sessionid\":\"S\"}"),
            (
                "{ \"ErrorMessage\": \"0\", \"sessionid\": \"S\"}",
                "{ \"ErrorMessage\": \"0\", \"sessionid\": \"S\"}",
            ),
            ("<div> </div>", "<div> </div>"),
            ("", ""),
        ] {
            assert_eq!(parse_reply(content), Ok(text), "{content}");
        }
    }

    #[test]
    fn replies_of_a_call_that_failed() {
        let code = |n| format!("fail<!--separate-->{{ \"response\": \"why\", \"code\":\"{n}\" }}");
        for (n, exit, part) in [
            (3, NO_RIGHT, "login"),
            (4, NO_RIGHT, "no right to that, or none to that service; ask an administrator"),
            (13, FAILED, "no such user"),
            (11, NO_RIGHT, "login"),
            (1, UNKNOWN, "does not know this call"),
            (17, FAILED, "no room"),
            (20, UNKNOWN, "no such service"),
            (55, NO_RIGHT, "wrong user or password"),
            (18, FAILED, "why (code 18)"),
        ] {
            let failure = parse_reply(&code(n)).unwrap_err();
            assert_eq!(failure.code, exit, "{n}");
            assert!(failure.text.contains(part), "{n}: {}", failure.text);
        }
        for (content, text) in [
            (
                r#"fail<!--separate-->{ "response": "Function start returned: 2", "code":"18", "reason": "web: cannot start /x: No such file or directory (errno 2)" }"#,
                "web: cannot start /x: No such file or directory (errno 2)",
            ),
            (
                r#"{ "ErrorMessage": "Function start returned: 7", "reason": "b: exited at once, exit 7", "output": ["line 1","no\u001b port"] }"#,
                "b: exited at once, exit 7\n  line 1\n  no\u{FFFD} port",
            ),
            ("{ \"ErrorMessage\": \"user not found\"}", "user not found"),
            ("{ \"response\": \"Name argument missing!\", \"code\": 7}", "Name argument missing! (code 7)"),
            ("fail<!--separate-->{\"response\":\"a\x1bb\"}", "a\u{FFFD}b"),
            ("fail<!--separate-->what", "what"),
            ("LERR: -1", "LERR: -1"),
        ] {
            assert_eq!(parse_reply(&content.replace('\x1b', "\\u001b")).unwrap_err().text, text, "{content}");
        }
    }

    #[test]
    fn numbers_of_linux_are_words() {
        for (function, number, text) in [
            ("pause", 3, "it does not run"),
            ("start", 3, "start: it does not run, or was stopped meanwhile"),
            ("restart", 11, "restart: an earlier command has not ended; try again"),
            ("log", 22, "log: a parameter is not valid"),
            ("reload", 16, "reload: another one is under way; try again"),
            ("install", 28, "install: No space left on device (errno 28)"),
            ("install", 122, "install: too many writes to the disk in a short time; try again later"),
            (
                "poweroff",
                38,
                "the server has no program for it; set [board] poweroff in its configuration file",
            ),
            ("factory-reset", 22, "that is not the name of the board: nothing was erased"),
            ("x", 4000, "x: error (errno 4000)"),
        ] {
            let text = Failure::of_number(FAILED, text.to_owned(), number);
            let response = format!("Function {function} returned: {number}");
            let later = format!("fail<!--separate-->{{ \"response\": \"{response}\", \"code\":\"18\" }}");
            assert_eq!(parse_reply(&later), Err(text.clone()));
            assert_eq!(parse_reply(&format!("{{ \"ErrorMessage\": \"{response}\" }}")), Err(text));
        }
        for text in ["Function x returned: y", "Function returned: 3"] {
            assert_eq!(parse_reply(&format!("{{ \"ErrorMessage\": \"{text}\" }}")).unwrap_err().text, text);
        }
    }

    #[test]
    fn blocked_accounts() {
        let text = |until| {
            format!(
                "fail<!--separate-->{{\"result\":\"-1\",\"response\":\"Account blocked until: {until}\", \"code\":\"6\"}}"
            )
        };
        assert_eq!(parse_reply(&text("0")).unwrap_err(), Failure::new(NO_RIGHT, "wrong user or password"));
        assert_eq!(
            parse_reply(&text("951827696")).unwrap_err().text,
            "too many attempts; blocked until 2000-02-29T12:34:56Z"
        );
    }
}
