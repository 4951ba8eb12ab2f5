//! What a reply says: the content of Friend Core's calls.
//!
//! Content is an object, or `ok<!--separate-->` or `fail<!--separate-->` and an object, or other text.
//! An error is told by `fail`, by an object that has a `response` and a `code`, or in the words of
//! 2016 by an `ErrorMessage` other than 0.

use super::json::{self, Node};
use super::output::clean;
use super::{FAILED, Failure, NO_RIGHT};

const SEPARATOR: &str = "<!--separate-->";

/// The content's own text, its return code taken off.
///
/// # Errors
///
/// The failure that the content tells of.
pub(super) fn judge(content: &str) -> Result<&str, Failure> {
    let (word, rest) = content.split_once(SEPARATOR).unwrap_or(("", content));
    let node = json::parse(rest);
    let member = |name| node.as_ref().and_then(|node: &Node<'_>| node.get(name)).and_then(Node::text);
    if let Some(code) = member("code").filter(|code| *code != "0") {
        return Err(failure(code, member("response").unwrap_or("the call failed")));
    }
    if let Some(text) = member("ErrorMessage").filter(|text| *text != "0") {
        return Err(failure("", text));
    }
    if word == "fail" || rest.starts_with("LERR") {
        return Err(failure("", member("response").unwrap_or(rest)));
    }
    Ok(rest)
}

/// The codes are those of Friend Core's dictionary.
fn failure(code: &str, text: &str) -> Failure {
    let text = clean(text);
    match code {
        "3" | "10" | "11" | "40" => no_session(&text),
        "4" | "71" => Failure::new(NO_RIGHT, format!("no right to do this: {text}; ask an administrator")),
        "6" => Failure::new(NO_RIGHT, blocked(&text)),
        "55" => Failure::new(NO_RIGHT, "wrong user or password"),
        "20" => Failure::new(FAILED, format!("{text}; `friendlet ctl list` names the services")),
        "" => Failure::new(FAILED, text),
        _ => Failure::new(FAILED, format!("{text} (code {})", clean(code))),
    }
}

/// There is no session, or it has ended.
pub(super) fn no_session(why: &str) -> Failure {
    Failure::new(NO_RIGHT, format!("not logged in ({why}); run `friendlet ctl login USER`"))
}

/// `Account blocked until: 0` is Friend Core's way to say that the password is wrong.
fn blocked(text: &str) -> String {
    match text.rsplit(' ').next().and_then(|time| time.parse::<u64>().ok()) {
        None | Some(0) => "wrong user or password".to_owned(),
        Some(until) => {
            let until = std::time::UNIX_EPOCH + std::time::Duration::from_secs(until.min(u32::MAX.into()));
            format!("too many wrong passwords; blocked until {}", super::output::utc(until))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_replies() {
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
            assert_eq!(judge(content), Ok(text), "{content}");
        }
    }

    #[test]
    fn bad_replies() {
        let code = |n| format!("fail<!--separate-->{{ \"response\": \"why\", \"code\":\"{n}\" }}");
        for (n, exit, part) in [
            (3, NO_RIGHT, "login"),
            (4, NO_RIGHT, "administrator"),
            (11, NO_RIGHT, "login"),
            (20, FAILED, "list"),
            (55, NO_RIGHT, "wrong user or password"),
            (18, FAILED, "why (code 18)"),
        ] {
            let failure = judge(&code(n)).unwrap_err();
            assert_eq!(failure.code, exit, "{n}");
            assert!(failure.text.contains(part), "{n}: {}", failure.text);
        }
        for (content, text) in [
            ("{ \"ErrorMessage\": \"user not found\"}", "user not found"),
            ("{ \"response\": \"Name argument missing!\", \"code\": 7}", "Name argument missing! (code 7)"),
            ("fail<!--separate-->{\"response\":\"a\x1bb\"}", "a\u{FFFD}b"),
            ("fail<!--separate-->what", "what"),
            ("LERR: -1", "LERR: -1"),
        ] {
            assert_eq!(judge(&content.replace('\x1b', "\\u001b")).unwrap_err().text, text, "{content}");
        }
    }

    #[test]
    fn blocked_accounts() {
        let text = |until| {
            format!(
                "fail<!--separate-->{{\"result\":\"-1\",\"response\":\"Account blocked until: {until}\", \"code\":\"6\"}}"
            )
        };
        assert_eq!(judge(&text("0")).unwrap_err(), Failure::new(NO_RIGHT, "wrong user or password"));
        assert_eq!(
            judge(&text("951827696")).unwrap_err().text,
            "too many wrong passwords; blocked until 2000-02-29T12:34:56Z"
        );
    }
}
