//! `logs`: output of a service.

use std::thread;

use super::LOG_FOLLOW_STEP;
use super::arguments::{Invocation, LogOptions};
use super::client::connect;
use super::env::Env;
use super::failure::{FAILED, Failure};
use super::link::Link;
use super::output::{sanitize, sanitize_lines};
use super::values::{string, text_of};
use crate::json::Raw;

/// Some output of a service: the content of a reply to `services/NAME/log`.
#[derive(Debug, Eq, PartialEq)]
struct Page {
    /// Position to continue from.
    next: u64,
    /// Bytes before the first line that were overwritten before they were read.
    lost: u64,
    lines: Vec<String>,
}

/// Prints the newest lines, and with `--follow` the lines that come after them.
pub(super) fn run(
    invocation: &Invocation,
    env: &mut Env<'_>,
    service: &str,
    options: &LogOptions,
) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    let mut since = None;
    loop {
        let content = request(&mut link, service, since, options)?;
        let page = read(&content).ok_or_else(|| {
            Failure::new(
                FAILED,
                format!("cannot read the log of {}: the server's reply is malformed", sanitize(service)),
            )
        })?;
        let has_output = page.lost > 0 || !page.lines.is_empty();
        if !invocation.json {
            env.print(&format_page(&page))?;
        } else if has_output || since.is_none() {
            env.print(&format!("{content}\n"))?;
        }
        if !options.follow {
            return Ok(0);
        }
        since = Some(page.next);
        // A reply has a limit: output that is there already is requested at once.
        if !has_output {
            thread::sleep(LOG_FOLLOW_STEP);
        }
    }
}

/// Requests the newest output, or the output from a position on. `--lines` counts the newest lines alone.
fn request(
    link: &mut Link,
    service: &str,
    since: Option<u64>,
    options: &LogOptions,
) -> Result<String, Failure> {
    let since = since.map(|since| since.to_string());
    let lines = options.lines.filter(|_| since.is_none()).map(|lines| lines.to_string());
    let mut parameters = vec![("serviceName", service)];
    parameters.extend(since.as_deref().map(|since| ("since", since)));
    parameters.extend(lines.as_deref().map(|lines| ("lines", lines)));
    link.call("services/log", &parameters)
}

/// Text of a page for a terminal. The server has replaced control characters; an older or a foreign one
/// may not have.
fn format_page(page: &Page) -> String {
    let mut text = String::new();
    if page.lost > 0 {
        text += &format!("-- {} bytes lost --\n", page.lost);
    }
    for line in &page.lines {
        text += &sanitize_lines(&line.replace('\n', "\u{FFFD}"));
        text.push('\n');
    }
    text
}

fn read(content: &str) -> Option<Page> {
    let reply = Raw::parse(content)?;
    let number = |key| text_of(reply, key)?.parse().ok();
    Some(Page {
        next: number("Next")?,
        lost: number("Lost")?,
        lines: reply.get("Lines")?.elements().map(string).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_printed_in_lines() {
        let content = r#"{ "Status": "ok", "From": 3, "Next": 12, "Lost": 3, "Lines": ["a\tb","","\u001b[2J\n\u009b"]}"#;
        let page = read(content).unwrap();
        assert_eq!((page.next, page.lost), (12, 3));
        assert_eq!(format_page(&page), "-- 3 bytes lost --\na\tb\n\n\u{FFFD}[2J\u{FFFD}\u{FFFD}\n");
        let none = read(r#"{ "Status": "ok", "From": 0, "Next": 0, "Lost": 0, "Lines": []}"#).unwrap();
        assert_eq!(format_page(&none), "");
    }

    #[test]
    fn malformed_page() {
        for content in ["", "{}", r#"{"Next":1,"Lost":0}"#, r#"{"Next":1,"Lost":0,"Lines":[1]}"#] {
            assert_eq!(read(content), None, "{content}");
        }
    }
}
