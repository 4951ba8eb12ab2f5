//! `configuration`: the configuration file of the server, shown, changed and confirmed.

use std::fs;
use std::io::{self, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::arguments::ConfigurationAction;
use super::board::print_difference;
use super::client::{Invocation, call_again, connect, session};
use super::difference::difference;
use super::env::Env;
use super::failure::{FAILED, Failure, IO, USAGE};
use super::http::encode;
use super::link::Link;
use super::output::{sanitize, sanitize_lines};
use super::pin::parse_fingerprint;
use super::state::{KNOWN_SERVERS, SESSIONS};
use super::url::Url;
use super::values::text_of;
use crate::json::Raw;
use crate::log::Reason;
use crate::service::Exit;
use crate::sys::fork::{SignalFd, unblock_signals};
use crate::sys::program::{Command, Surroundings, wait};

/// Path of the call that shows and changes the file.
const CONFIGURATION: &str = "board/configuration";
/// Bytes of a part of a file, in which each may be escaped.
const PART_BYTES: usize = 8 * 1024;
/// Longest file that is read, and a byte more; a server accepts less.
const FILE_BYTES: u64 = 1_000_001;

pub(super) fn run(
    invocation: &Invocation,
    env: &mut Env<'_>,
    action: &ConfigurationAction,
) -> Result<u8, Failure> {
    match action {
        ConfigurationAction::Show { has_sources } => show(invocation, env, *has_sources),
        ConfigurationAction::Set { file, is_dry, seconds, is_confirmed } => {
            set(invocation, env, &read_file(file)?, None, *is_dry, seconds.as_deref(), *is_confirmed)
        }
        ConfigurationAction::Edit => edit(invocation, env),
        ConfigurationAction::Confirm => {
            let answer = connect(invocation, env)?.call("board/confirm", &[])?;
            print_confirmed(invocation, env, &answer)
        }
    }
}

/// Prints the file in force, or the file of each service, check and device rule.
fn show(invocation: &Invocation, env: &mut Env<'_>, has_sources: bool) -> Result<u8, Failure> {
    let sources = if has_sources { "true" } else { "false" };
    let (text, _) = read_text(&mut connect(invocation, env)?, sources, invocation.json, env)?;
    // In a file it is to stay as it is.
    env.print(&if io::stdout().is_terminal() { sanitize_lines(&text) } else { text })?;
    Ok(0)
}

/// Reads all pages of the text, and its checksum, empty from an earlier server. With `is_json`, prints them instead.
fn read_text(
    link: &mut Link,
    sources: &str,
    is_json: bool,
    env: &mut Env<'_>,
) -> Result<(String, String), Failure> {
    let (mut text, mut size) = (String::new(), None);
    loop {
        let since = text.len().to_string();
        let answer = link.call(CONFIGURATION, &[("since", &since), ("sources", sources)])?;
        let number = |key| text_of(Raw::parse(&answer)?, key)?.parse::<usize>().ok();
        let page = Raw::parse(&answer).and_then(|page| text_of(page, "Text"));
        let (Some(page), Some(of)) = (page, number("Size")) else { return Err(malformed()) };
        if of as u64 >= FILE_BYTES {
            return Err(malformed());
        }
        if size.replace(of).is_some_and(|size| size != of) {
            return Err(Failure::new(FAILED, "the configuration has changed while it was read; try again"));
        }
        if is_json {
            env.print(&format!("{answer}\n"))?;
        }
        text += &page;
        if text.len() >= of || page.is_empty() {
            let base = Raw::parse(&answer).and_then(|page| text_of(page, "Base")).unwrap_or_default();
            return Ok((if is_json { String::new() } else { text }, base));
        }
    }
}

/// Opens the file in force in an editor, and puts what was saved in force. If that fails, the draft is kept.
fn edit(invocation: &Invocation, env: &mut Env<'_>) -> Result<u8, Failure> {
    if !env.is_terminal {
        let text = "an editor needs a terminal; without one, use `friendlet ctl configuration set FILE`";
        return Err(Failure::new(USAGE, text));
    }
    let (before, mut base) = read_text(&mut connect(invocation, env)?, "false", false, env)?;
    let draft = env.state()?.path_of(&format!("{}.toml", encode(&invocation.url.to_string())));
    // Checksum of the text that the draft was made from.
    let base_file = draft.with_extension("base");
    if draft.exists() && continues(&draft, env)? {
        base = fs::read_to_string(&base_file).unwrap_or(base);
    } else {
        env.state()?.write_draft(&base_file, &base)?;
        env.state()?.write_draft(&draft, &before)?;
    }
    let editor = ["VISUAL", "EDITOR"].into_iter().filter_map(|name| std::env::var(name).ok());
    let editor = editor.into_iter().find(|editor| !editor.is_empty()).unwrap_or_else(|| "vi".to_owned());
    let mut command = Command::new("/bin/sh");
    command
        .argument("sh")
        .argument("-c")
        .argument(format!("trap : INT QUIT; {editor} \"$0\""))
        .argument(&draft);
    // Keys such as Ctrl-C are for the editor alone, which has signals of its own.
    let signals = SignalFd::new(&[libc::SIGINT, libc::SIGQUIT]).ok();
    let exit = command.inherit_variables().start(Surroundings::Inherited).and_then(wait);
    while signals.as_ref().is_some_and(|signals| signals.next().is_some()) {}
    unblock_signals();
    let after = read_file(&draft.display().to_string())?;
    let exit = exit.ok().flatten();
    if exit != Some(Exit::Code(0)) {
        let why = match exit {
            // That of a shell.
            Some(Exit::Code(127)) => "is not there: set EDITOR",
            _ => "failed",
        };
        let mut text = format!("the editor '{editor}' {why}; nothing was changed");
        if after == before {
            let _ = fs::remove_file(&draft);
        } else {
            text += &format!("; the draft is {}", draft.display());
        }
        return Err(Failure::new(FAILED, text));
    }
    if after == before {
        env.print("nothing was changed\n")?;
    } else {
        let code = set(invocation, env, &after, Some(base), false, None, true).map_err(|failure| {
            let text = format!("{}\nthe draft is {}", failure.text, draft.display());
            failure.with_text(text)
        })?;
        if code != 0 {
            return Ok(code);
        }
    }
    // The next one asks about a draft that is left behind.
    let _ = fs::remove_file(&draft);
    let _ = fs::remove_file(&base_file);
    Ok(0)
}

/// Asks whether a draft that an earlier command has kept is edited on. If not, it is kept under another name.
fn continues(draft: &Path, env: &mut Env<'_>) -> Result<bool, Failure> {
    let question =
        format!("{} is a draft that was not put in force. Edit it on? [yes or no] ", draft.display());
    match (env.ask)(&question, false).as_deref() {
        Ok("yes" | "y") => Ok(true),
        Ok("no" | "n") => {
            let old = draft.with_extension("toml.old");
            fs::rename(draft, &old).map_err(|error| {
                Failure::new(
                    IO,
                    format!(
                        "cannot rename {}: {}; nothing was changed",
                        draft.display(),
                        Reason::from(&error)
                    ),
                )
            })?;
            env.note(format_args!("the draft is {}", old.display()));
            Ok(false)
        }
        _ => Err(Failure::new(FAILED, "nothing was changed; the draft is kept")),
    }
}

/// Text of a file; `-` is standard input.
fn read_file(path: &str) -> Result<String, Failure> {
    // By its path, a socket cannot be opened.
    let file = match path {
        "-" => io::stdin().as_fd().try_clone_to_owned().map(fs::File::from),
        _ => fs::File::open(path),
    };
    let mut bytes = Vec::new();
    let read = file.and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes));
    let why = match (read, String::from_utf8(bytes)) {
        (Err(error), _) => Reason::from(&error).to_string(),
        (Ok(length), _) if length as u64 == FILE_BYTES => "it is longer than 1 MB".to_owned(),
        (_, Err(_)) => "it is not UTF-8".to_owned(),
        (_, Ok(text)) => return Ok(text),
    };
    Err(Failure::new(IO, format!("cannot read {path}: {why}")))
}

/// Prints what another file changes, puts it in force, and confirms it over a new connection. `base` is the checksum of
/// the text that was changed, or that of the one with which it is compared.
fn set(
    invocation: &Invocation,
    env: &mut Env<'_>,
    text: &str,
    mut base: Option<String>,
    is_dry: bool,
    seconds: Option<&str>,
    is_confirmed: bool,
) -> Result<u8, Failure> {
    let session = session(invocation, env)?;
    let mut link = connect(invocation, env)?;
    if !invocation.json {
        let (before, shown) = read_text(&mut link, "false", false, env)?;
        base.get_or_insert(shown);
        env.print(&sanitize_lines(&difference(&before, text)))?;
    }
    let answer = send(&mut link, text, base.as_deref().unwrap_or_default(), is_dry, seconds)?;
    let begin = Instant::now();
    // The confirmation needs another one.
    drop(link);
    let reply = Raw::parse(&answer).ok_or_else(malformed)?;
    if invocation.json {
        env.print(&format!("{answer}\n"))?;
    } else {
        print_difference(env, reply)?;
    }
    if is_dry {
        if !invocation.json {
            env.print("nothing was changed\n")?;
        }
        return Ok(0);
    }
    let (Some(change), Some(time)) = (text_of(reply, "Change"), text_of(reply, "Seconds")) else {
        return Err(malformed());
    };
    let time = Duration::from_secs(time.parse().map_err(|_| malformed())?);
    let address = text_of(reply, "Address").map(|address| sanitize(&address));
    let needs_login = reply.get("NeedsLogin").is_some();
    if needs_login {
        // With the password that was in force before, nothing shows that the administrator still gets in.
        let user = "`friendlet ctl login USER`, then `friendlet ctl configuration confirm`";
        env.note(format_args!("the change replaces your password: log in again with {user}"));
    }
    if !is_confirmed || needs_login {
        if !invocation.json {
            let over = address.map(|address| format!(", over {address}")).unwrap_or_default();
            env.print(&format!(
                "in force for {} s, unless `friendlet ctl configuration confirm` follows{over}\n",
                time.as_secs()
            ))?;
        }
        return Ok(if is_confirmed { FAILED } else { 0 });
    }
    let later = at(invocation, env, session, address.as_deref())?;
    match confirm(&later, env, &change, begin + time) {
        Ok(answer) => {
            if later.url != invocation.url
                && let Some(session) = later.session.as_deref().filter(|session| !session.is_empty())
            {
                env.state()?.set(SESSIONS, &later.url.to_string(), Some(session))?;
                env.note(format_args!("the server is at {} from now on", later.url));
            }
            print_confirmed(invocation, env, &answer)
        }
        Err(failure) => {
            let left = (begin + time).saturating_duration_since(Instant::now()).as_secs();
            // A server that has ended meanwhile has it at once.
            let then = match left {
                0 => "the earlier configuration is back".to_owned(),
                _ => format!(
                    "the earlier configuration is back in {left} s at the latest, unless it is confirmed"
                ),
            };
            let text = format!("the change is not confirmed: {}\n{then}", failure.text);
            Err(failure.with_text(text))
        }
    }
}

/// Sends a file in parts. Returns the answer to the last one.
fn send(
    link: &mut Link,
    text: &str,
    base: &str,
    is_dry: bool,
    seconds: Option<&str>,
) -> Result<String, Failure> {
    let (mut rest, mut offset) = (text, 0);
    loop {
        let mut end = PART_BYTES.min(rest.len());
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let position = offset.to_string();
        let flag = |is_set| if is_set { "true" } else { "false" };
        let mut parameters = vec![
            ("text", part),
            ("offset", &position),
            ("more", flag(!after.is_empty())),
            ("dryrun", flag(is_dry)),
        ];
        parameters.extend(seconds.map(|seconds| ("seconds", seconds)));
        parameters.extend((!base.is_empty()).then_some(("base", base)));
        let answer = link.call(CONFIGURATION, &parameters)?;
        if after.is_empty() {
            return Ok(answer);
        }
        (rest, offset) = (after, offset + part.len());
    }
}

/// The command line of the confirmation: the same server, at the port that it has opened. Its key is the same.
fn at(
    invocation: &Invocation,
    env: &Env<'_>,
    session: String,
    address: Option<&str>,
) -> Result<Invocation, Failure> {
    let mut url = invocation.url.clone();
    let mut fingerprint = invocation.fingerprint;
    let new_port = address.and_then(|address| address.rsplit_once(':')?.1.parse::<u16>().ok());
    if let (Url::Network { tls, port, .. }, Some(new_port)) = (&mut url, new_port) {
        if *tls && fingerprint.is_none() {
            let known = env.state()?.get(KNOWN_SERVERS, &invocation.url.authority())?;
            fingerprint = known.and_then(|known| parse_fingerprint(&known));
        }
        *port = new_port;
    }
    let (certificate, json) = (invocation.certificate.clone(), invocation.json);
    Ok(Invocation { url, session: Some(session), fingerprint, certificate, json })
}

/// Confirms a change over a new connection. A server that is not reached is tried again until the time is over.
fn confirm(
    invocation: &Invocation,
    env: &mut Env<'_>,
    change: &str,
    until: Instant,
) -> Result<String, Failure> {
    // An answer that was lost is given once more.
    let operation = format!("confirm-{change}");
    let parameters = [("change", change), ("operation", &operation)];
    call_again(invocation, env, until, "board/confirm", &parameters).map(|(_, answer)| answer)
}

fn print_confirmed(invocation: &Invocation, env: &mut Env<'_>, answer: &str) -> Result<u8, Failure> {
    let text = if invocation.json { answer } else { "configuration: ok, confirmed and written" };
    env.print(&format!("{text}\n"))?;
    Ok(0)
}

fn malformed() -> Failure {
    Failure::new(FAILED, "configuration: the server's reply is malformed")
}
