//! `server-log`: the server's own log.

#[cfg(not(feature = "defmt"))]
use std::fs;
use std::fs::File;
use std::io::Write;
#[cfg(not(feature = "defmt"))]
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD as BASE64, Engine as _};

use super::LOG_FOLLOW_STEP;
#[cfg(not(feature = "defmt"))]
use super::TEXTS_BYTES;
use super::arguments::LogOptions;
use super::client::{Invocation, connect, reconnect};
use super::env::Env;
use super::failure::{FAILED, Failure, IO, UNAVAILABLE};
#[cfg(not(feature = "defmt"))]
use super::frames::{FrameReader, Texts};
use super::link::Link;
use super::output::{sanitize, sanitize_lines};
use super::values::text_of;
use crate::call::LogSource;
use crate::json::Raw;
use crate::log::errno::EBUSY;
use crate::log::{self, ClockSample, LOG_FILE_BYTES_MAX, LOG_FILES_MAX, Reason};

/// Attempts to have a file read while the server reads one for another client.
const BUSY_TRIES: u32 = 30;
/// Bytes of records after which a log ends that is not followed: more than the memory of any board has. Each call may add
/// a record.
const RECORDS_BYTES: usize = 1 << 20;
/// Pause between two of them.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// Some records of a log: the content of a reply to `board/log`.
#[derive(Debug, PartialEq)]
struct Page {
    form: String,
    build: String,
    board: String,
    level: String,
    wall_ms: u64,
    mono_ms: u64,
    from: u64,
    next: u64,
    /// Inode of the file of the records.
    file: Option<u64>,
    records: Vec<u8>,
}

/// Prints the newest records, and with `--follow` the records that come after them; or files of the log.
pub(super) fn run(invocation: &Invocation, env: &mut Env<'_>, options: &LogOptions) -> Result<u8, Failure> {
    let link = connect(invocation, env)?;
    let file = match options.raw.as_deref() {
        None | Some("-") => None,
        Some(path) => {
            let created = File::create(path);
            Some(created.map_err(|error| {
                Failure::new(IO, format!("cannot create {path}: {}", Reason::from(&error)))
            })?)
        }
    };
    let mut reader = Reader {
        invocation,
        link,
        file,
        is_json: invocation.json,
        options,
        #[cfg(not(feature = "defmt"))]
        frames: None,
    };
    match options.source {
        Some(source) => reader.print_files(source, env),
        None => reader.print_records(env),
    }
}

/// Reader of pages, and their destination.
struct Reader<'o> {
    invocation: &'o Invocation,
    link: Link,
    file: Option<File>,
    is_json: bool,
    options: &'o LogOptions,
    /// Reader of frames, with the format strings of the server.
    #[cfg(not(feature = "defmt"))]
    frames: Option<FrameReader>,
}

impl Reader<'_> {
    /// Makes the call. The server reads one file at a time: while another client has one read, it is repeated.
    fn call(&mut self, parameters: &[(&str, &str)]) -> Result<String, Failure> {
        let mut tries = 0;
        loop {
            match self.link.call("board/log", parameters) {
                Err(failure) if failure.number == EBUSY && tries < BUSY_TRIES => sleep(BUSY_PAUSE),
                result => return result,
            }
            tries += 1;
        }
    }

    /// Requests a page, and with `--json` prints its reply.
    fn request(&mut self, parameters: &[(&str, &str)], env: &mut Env<'_>) -> Result<Page, Failure> {
        let content = self.call(parameters)?;
        if self.is_json {
            env.print(&format!("{content}\n"))?;
        }
        read(&content).ok_or_else(|| {
            Failure::new(FAILED, "cannot read the server's log: the server's reply is malformed")
        })
    }

    fn print_records(&mut self, env: &mut Env<'_>) -> Result<u8, Failure> {
        let options = self.options;
        let mut since: Option<u64> = None;
        let (mut bytes, mut is_followed) = (0, false);
        loop {
            let position = since.map(|since| since.to_string());
            let mut parameters = Vec::new();
            parameters.extend(position.as_deref().map(|position| ("since", position)));
            let level = options.level.as_deref().filter(|_| since.is_none());
            parameters.extend(level.map(|level| ("level", level)));
            let page = match self.request(&parameters, env) {
                // The records of another server need a head of their own.
                Err(failure) if failure.code == UNAVAILABLE && options.follow && is_followed => {
                    self.link = reconnect(self.invocation, env, &failure)?;
                    #[cfg(not(feature = "defmt"))]
                    {
                        self.frames = None;
                    }
                    // In another server, the positions are others.
                    since = None;
                    continue;
                }
                page => page?,
            };
            if self.is_json {
                return Ok(0);
            }
            is_followed = options.raw.is_none();
            if let Some(level) = level {
                env.note(format_args!("level {level} was requested, {} is in effect", sanitize(&page.level)));
            }
            if since.is_some_and(|since| since < page.from) {
                env.note("-- records were lost here: overwritten before they were read --");
            }
            self.put(&page, since.is_none(), env)?;
            since = Some(page.next);
            bytes += page.records.len();
            if !options.follow && bytes >= RECORDS_BYTES {
                env.note("-- there are more records all the time: --follow prints them without an end --");
                return Ok(0);
            }
            // A reply has a limit: records that are there already are requested at once.
            match (page.records.is_empty(), options.follow) {
                (false, _) => {}
                (true, true) => env.pause(LOG_FOLLOW_STEP)?,
                (true, false) => return Ok(0),
            }
        }
    }

    /// Prints the files of a source, the oldest first.
    fn print_files(&mut self, source: LogSource, env: &mut Env<'_>) -> Result<u8, Failure> {
        // Each rotation of two files or more changes file 1.
        let mut last = None;
        for number in (0..LOG_FILES_MAX).rev() {
            let (mut since, mut bytes) = (0, 0);
            loop {
                let page = self.request_file(source, number, since, env)?;
                if page.records.is_empty() {
                    break;
                }
                bytes += page.records.len();
                if bytes > 2 * LOG_FILE_BYTES_MAX {
                    let text = "cannot read the server's log: a file of it has no end";
                    return Err(Failure::new(FAILED, text));
                }
                if number >= 1 || last.is_none() {
                    last = Some((number, page.file));
                }
                since = page.next;
                if !self.is_json {
                    self.put(&page, false, env)?;
                }
            }
        }
        if let Some((number, file)) = last
            && !self.is_json
            && self.request_file(source, number, 0, env)?.file != file
        {
            env.note("-- the files rotated while they were read: a part may be missing --");
        }
        Ok(0)
    }

    fn request_file(
        &mut self,
        source: LogSource,
        number: usize,
        since: u64,
        env: &mut Env<'_>,
    ) -> Result<Page, Failure> {
        let (number, since) = (number.to_string(), since.to_string());
        let parameters = [("source", source.name()), ("file", &*number), ("since", &*since)];
        self.request(&parameters, env)
    }

    /// Lines of a page of frames; `None` for one that is text or stored.
    #[cfg(not(feature = "defmt"))]
    fn print_frames(&mut self, page: &Page, env: &mut Env<'_>) -> Result<Option<String>, Failure> {
        if page.form == "text" || self.options.raw.is_some() {
            return Ok(None);
        }
        if self.frames.is_none() {
            self.frames = self.texts(&page.build, env)?.map(FrameReader::new);
        }
        let Some(frames) = &mut self.frames else { return Ok(None) };
        if page.file.is_none() {
            frames.set_clock(page.wall_ms, page.mono_ms);
        }
        Ok(Some(frames.lines(&page.records)))
    }

    /// A device prints no frames: its program has not the code for it.
    #[cfg(feature = "defmt")]
    fn print_frames(&mut self, _: &Page, _: &mut Env<'_>) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// Format strings of a build: those in the cache of the user, or those of the server, which the cache keeps.
    #[cfg(not(feature = "defmt"))]
    fn texts(&mut self, build: &str, env: &mut Env<'_>) -> Result<Option<Texts>, Failure> {
        let is_build = !build.is_empty() && build.bytes().all(|byte| byte.is_ascii_hexdigit());
        let of_build = |text: &str| Texts::parse(text).filter(|texts| texts.build() == build);
        let cache =
            cache_dir().filter(|_| is_build).map(|directory| directory.join(format!("log-texts-{build}")));
        let cached = cache.as_ref().and_then(|path| fs::read_to_string(path).ok());
        if let Some(texts) = cached.as_deref().and_then(of_build) {
            return Ok(Some(texts));
        }
        let mut text = String::new();
        loop {
            let since = text.len().to_string();
            let parameters = [("source", LogSource::Texts.name()), ("since", &*since)];
            let page = match self.request(&parameters, env) {
                Ok(page) => page,
                // An image without them, or a server that does not know this source.
                Err(failure) if failure.code == FAILED => break,
                Err(failure) => return Err(failure),
            };
            if page.records.is_empty() || text.len() > TEXTS_BYTES {
                break;
            }
            text += &String::from_utf8_lossy(&page.records);
        }
        let texts = of_build(&text);
        if let (Some(path), Some(_)) = (cache, &texts) {
            // Without the cache they are read once more.
            let _ = path.parent().map(fs::create_dir_all).transpose().and_then(|_| {
                let draft = path.with_extension(std::process::id().to_string());
                fs::write(&draft, &text).and_then(|()| fs::rename(&draft, &path))
            });
        }
        Ok(texts)
    }

    /// Writes a page to its destination.
    fn put(&mut self, page: &Page, is_first: bool, env: &mut Env<'_>) -> Result<(), Failure> {
        let bytes = match self.print_frames(page, env)? {
            Some(lines) => lines.into_bytes(),
            None => format_page(page, self.options, is_first)?,
        };
        match (&mut self.file, self.options.raw.as_deref()) {
            (Some(file), Some(path)) => file
                .write_all(&bytes)
                .map_err(|error| Failure::new(IO, format!("cannot write {path}: {}", Reason::from(&error)))),
            _ => env.write(&bytes),
        }
    }
}

/// Cache of the user: `$XDG_CACHE_HOME/friendlet`, else `~/.cache/friendlet` (XDG Base Directory, 0.8).
#[cfg(not(feature = "defmt"))]
fn cache_dir() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(cache.join("friendlet"))
}

/// Bytes of a page: with `--raw` its records, else its lines.
fn format_page(page: &Page, options: &LogOptions, is_first: bool) -> Result<Vec<u8>, Failure> {
    if options.raw.is_some() {
        let mut bytes = Vec::new();
        if is_first {
            let sample = ClockSample { wall_ms: page.wall_ms, mono_ms: page.mono_ms };
            let head = log::header(&page.form, &page.build, &page.board, sample, "");
            // Between zeros whatever follows, so that a reader finds it.
            bytes.push(0);
            bytes.extend_from_slice(head.trim_matches('\0').as_bytes());
            bytes.push(0);
        }
        bytes.extend_from_slice(&page.records);
        Ok(bytes)
    } else if page.form == "text" {
        Ok(sanitize_lines(&String::from_utf8_lossy(&page.records)).into_bytes())
    } else {
        Err(Failure::new(
            FAILED,
            format!(
                "cannot print this server's log: it contains frames without their format strings, and {}; \
                 `cargo xtask log --url URL` decodes them with the program of build {}, --raw FILE stores them, \
                 --audit prints the audit trail",
                if cfg!(feature = "defmt") {
                    "a device does not print them: `friendlet ctl --url URL server-log` on a workstation does"
                } else {
                    "the image of the board has none of this build"
                },
                sanitize(&page.build)
            ),
        ))
    }
}

fn read(content: &str) -> Option<Page> {
    let reply = Raw::parse(content)?;
    let text = |key| text_of(reply, key);
    let number = |key| text(key)?.parse().ok();
    Some(Page {
        form: text("Form")?,
        build: text("Build")?,
        board: text("Board")?,
        level: text("Level")?,
        wall_ms: number("Wall")?,
        mono_ms: number("Mono")?,
        from: number("From")?,
        next: number("Next")?,
        file: number("File"),
        records: BASE64.decode(&text("Records")?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(form: &str) -> Page {
        read(&format!(
            r#"{{ "Status": "ok", "Board": "b", "Build": "0a", "Form": "{form}", "Level": "info", "Wall": 5, "Mono": 4, "From": 2, "Next": 5, "Records": "YRsK"}}"#
        ))
        .unwrap()
    }

    fn format(page: &Page, raw: bool, is_first: bool) -> Result<Vec<u8>, Failure> {
        let options = LogOptions { raw: raw.then(|| "-".to_owned()), ..LogOptions::default() };
        format_page(page, &options, is_first)
    }

    #[test]
    fn lines_are_printed_and_frames_are_not() {
        let text = page("text");
        assert_eq!((text.from, text.next, text.records.as_slice()), (2, 5, &b"a\x1b\n"[..]));
        assert_eq!(format(&text, false, true).unwrap(), "a\u{FFFD}\n".as_bytes());
        let failure = format(&page("defmt"), false, true).unwrap_err();
        assert!(failure.text.contains("build 0a") && failure.text.contains("--raw"), "{failure:?}");
    }

    #[test]
    fn raw_begins_with_one_head() {
        let head = b"\0friendlet-log 1 form=defmt build=0a board=b wall_ms=5 mono_ms=4 slide=0\n\0";
        assert_eq!(format(&page("defmt"), true, true).unwrap(), [&head[..], b"a\x1b\n"].concat());
        assert_eq!(format(&page("defmt"), true, false).unwrap(), b"a\x1b\n");
    }

    #[test]
    fn malformed_page() {
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{ "Status": "ok"}"#), None);
    }
}
