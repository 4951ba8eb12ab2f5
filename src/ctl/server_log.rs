//! The log of a server: `log`.

use std::fs::File;
use std::io::Write;
use std::thread;

use data_encoding::BASE64;

use super::action::{open, print};
use super::arguments::{Invocation, LogOptions};
use super::json::{self, Node};
use super::output::{clean_lines, unwritable};
use super::reply::judge;
use super::{FAILED, Failure, World};
use crate::limits::LOG_FOLLOW_STEP;
use crate::log::{self, Stamp};

const PATH: &str = "system.library/board/log";

/// One answer of the server.
#[derive(Debug, PartialEq)]
struct Part {
    form: String,
    build: String,
    board: String,
    level: String,
    wall_ms: u64,
    mono_ms: u64,
    from: u64,
    next: u64,
    records: Vec<u8>,
}

/// Shows the newest records, and with `--follow` those that come after them.
pub(super) fn run(
    invocation: &Invocation,
    world: &mut World<'_>,
    options: &LogOptions,
) -> Result<u8, Failure> {
    let mut link = open(invocation, world)?;
    let mut file = match options.raw.as_deref() {
        None | Some("-") => None,
        Some(path) => {
            let made = File::create(path);
            Some(made.map_err(|error| Failure::new(FAILED, format!("{path}: {error}")))?)
        }
    };
    let mut since: Option<u64> = None;
    loop {
        let place = since.map(|since| since.to_string());
        let mut parameters = Vec::new();
        parameters.extend(place.as_deref().map(|place| ("since", place)));
        let level = options.level.as_deref().filter(|_| since.is_none());
        parameters.extend(level.map(|level| ("level", level)));
        let content = link.call(PATH, &parameters)?;
        let content = judge(&content)?;
        if invocation.json {
            return print(world, &format!("{content}\n"));
        }
        let part = read(content)
            .ok_or_else(|| Failure::new(FAILED, "what the server says of its log cannot be read"))?;
        if let Some(level) = level {
            let _ = writeln!(
                world.err,
                "level {} was asked for, {} is in force",
                level,
                clean_lines(&part.level)
            );
        }
        if since.is_some_and(|since| since < part.from) {
            let _ = writeln!(
                world.err,
                "-- records are missing here: they were overwritten before they were read"
            );
        }
        let out: &mut dyn Write = match &mut file {
            Some(file) => file,
            None => world.out,
        };
        show(&part, options, since.is_none(), out)?;
        let is_all = part.records.is_empty();
        since = Some(part.next);
        // An answer is bounded: what is there already is asked for at once.
        match (is_all, options.follow) {
            (false, _) => {}
            (true, true) => thread::sleep(LOG_FOLLOW_STEP),
            (true, false) => return Ok(0),
        }
    }
}

/// Writes the records: lines as they are, frames where they are wanted raw.
fn show(part: &Part, options: &LogOptions, is_first: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let bytes = if options.raw.is_some() {
        let mut bytes = Vec::new();
        if is_first {
            let stamp = Stamp { wall_ms: part.wall_ms, mono_ms: part.mono_ms };
            let head = log::head(&part.form, &part.build, &part.board, stamp);
            // Between zeros whatever follows, so that a reader finds it.
            bytes.push(0);
            bytes.extend_from_slice(head.trim_matches('\0').as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(&part.records);
        bytes
    } else if part.form == "text" {
        clean_lines(&String::from_utf8_lossy(&part.records)).into_bytes()
    } else {
        return Err(Failure::new(
            FAILED,
            format!(
                "this server's log is frames, without their texts: `cargo xtask log --url URL` reads them with \
                 the program of build {}, and --raw FILE keeps them",
                clean_lines(&part.build)
            ),
        ));
    };
    out.write_all(&bytes).and_then(|()| out.flush()).map_err(|error| unwritable(&error))
}

fn read(content: &str) -> Option<Part> {
    let node = json::parse(content)?;
    let text = |name| node.get(name).and_then(Node::text);
    let number = |name| text(name)?.parse().ok();
    Some(Part {
        form: text("Form")?.to_owned(),
        build: text("Build")?.to_owned(),
        board: text("Board")?.to_owned(),
        level: text("Level")?.to_owned(),
        wall_ms: number("Wall")?,
        mono_ms: number("Mono")?,
        from: number("From")?,
        next: number("Next")?,
        records: BASE64.decode(text("Records")?.as_bytes()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(form: &str) -> Part {
        read(&format!(
            r#"{{ "Status": "ok", "Board": "b", "Build": "0a", "Form": "{form}", "Level": "info", "Wall": 5, "Mono": 4, "From": 2, "Next": 5, "Records": "YRsK"}}"#
        ))
        .unwrap()
    }

    fn shown(part: &Part, raw: bool, is_first: bool) -> Result<Vec<u8>, Failure> {
        let options = LogOptions { raw: raw.then(|| "-".to_owned()), ..LogOptions::default() };
        let mut out = Vec::new();
        show(part, &options, is_first, &mut out).map(|()| out)
    }

    #[test]
    fn lines_are_shown_and_frames_are_not() {
        let text = part("text");
        assert_eq!((text.from, text.next, text.records.as_slice()), (2, 5, &b"a\x1b\n"[..]));
        assert_eq!(shown(&text, false, true).unwrap(), "a\u{FFFD}\n".as_bytes());
        let failure = shown(&part("defmt"), false, true).unwrap_err();
        assert!(failure.text.contains("build 0a") && failure.text.contains("--raw"), "{failure:?}");
    }

    #[test]
    fn raw_has_a_head_once() {
        let head = b"\0friendlet-log 1 form=defmt build=0a board=b wall_ms=5 mono_ms=4 slide=0\n\0";
        assert_eq!(shown(&part("defmt"), true, true).unwrap(), [&head[..], b"a\x1b\n"].concat());
        assert_eq!(shown(&part("defmt"), true, false).unwrap(), b"a\x1b\n");
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{ "Status": "ok"}"#), None);
    }
}
