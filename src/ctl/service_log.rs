//! `logs`: output of a service.

use std::io::Write as _;

use super::LOG_FOLLOW_STEP;
use super::arguments::LogOptions;
use super::client::{Invocation, connect, reconnect};
use super::env::{Env, Framed};
use super::failure::{FAILED, Failure, UNAVAILABLE};
use super::link::Link;
use super::output::{pad, sanitize, sanitize_lines, width};
use super::services::{is_many, select, with_hint};
use super::values::{failure_line, member, string, text_of};
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
    operands: &[String],
    options: &LogOptions,
) -> Result<u8, Failure> {
    let mut link = connect(invocation, env)?;
    let targets = select(&mut link, operands, false)?;
    let is_many = is_many(operands, &targets);
    let width = targets.iter().map(|target| width(&target.name)).max().unwrap_or(0);
    // Services with the position to continue from.
    let mut open: Vec<_> = targets.into_iter().map(|target| (target, None)).collect();
    let (mut worst, mut is_followed) = (0, false);
    while !open.is_empty() {
        let (mut has_output, mut lost) = (false, None);
        for (target, since) in core::mem::take(&mut open) {
            if lost.is_some() {
                open.push((target, since));
                continue;
            }
            let mut log = Log { link: &mut link, invocation, env, options, is_many, width };
            match target.service().and_then(|name| log.print(name, since)) {
                Ok((next, has_more)) => {
                    has_output |= has_more;
                    open.push((target, Some(next)));
                }
                Err(failure) if is_followed && failure.code == UNAVAILABLE => {
                    lost = Some(failure);
                    open.push((target, since));
                }
                Err(failure) if !is_many || failure.code == UNAVAILABLE || failure.text.is_empty() => {
                    return Err(failure);
                }
                Err(failure) => {
                    worst = worst.max(failure.code);
                    match invocation.json {
                        true => env.print(&failure_line(&target.name, &failure)?)?,
                        false => env.note_failure(&failure),
                    }
                }
            }
        }
        if !options.follow {
            break;
        }
        is_followed = true;
        if let Some(failure) = lost {
            link = reconnect(invocation, env, &failure)?;
            // In another server, the positions are others.
            open.iter_mut().for_each(|(_, since)| *since = None);
            continue;
        }
        // A reply has a limit: output that is there already is requested at once.
        if !has_output {
            env.pause(LOG_FOLLOW_STEP)?;
        }
    }
    Ok(worst)
}

/// Reader of the output of services.
struct Log<'l, 'e> {
    link: &'l mut Link,
    invocation: &'l Invocation,
    env: &'l mut Env<'e>,
    options: &'l LogOptions,
    /// Each line begins with the name of its service, in a column of `width`.
    is_many: bool,
    width: usize,
}

impl Log<'_, '_> {
    /// Prints the output of a service from a position on. Returns the position after it, and whether there was any.
    fn print(&mut self, name: &str, since: Option<u64>) -> Result<(u64, bool), Failure> {
        let content = request(self.link, name, since, self.options)
            .map_err(|failure| with_hint(self.link, name, failure))?;
        let shown = sanitize(name);
        let page = read(&content).ok_or_else(|| {
            Failure::new(FAILED, format!("cannot read the log of {shown}: the server's reply is malformed"))
        })?;
        let has_output = page.lost > 0 || !page.lines.is_empty();
        let (text, begin, end) = if !self.invocation.json {
            let mut begin = String::new();
            pad(&mut begin, &shown, self.width);
            (format_page(&page), begin, "")
        } else if has_output || since.is_none() {
            (content + "\n", format!("{{{}", member(name, "")?), "}")
        } else {
            return Ok((page.next, has_output));
        };
        if self.is_many {
            let mut framed = Vec::new();
            let _ = Framed { out: &mut framed, begin, end, is_open: false }.write_all(text.as_bytes());
            self.env.write(&framed)?;
        } else {
            self.env.print(&text)?;
        }
        Ok((page.next, has_output))
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
