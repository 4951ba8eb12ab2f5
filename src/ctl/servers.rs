//! Servers of a command line: addresses, and names in the file of the user.

use std::path::Path;

use super::arguments::usage;
use super::env::Env;
use super::failure::Failure;
use super::pattern::{is_match, is_pattern};
use super::pin::{Fingerprint, parse_fingerprint};
use super::url::Url;
use crate::suggest::nearest;

/// File with lines `NAME URL [FINGERPRINT]`.
pub(super) const DEVICES: &str = "devices";

/// Server of a command.
#[derive(Debug)]
pub(super) struct Server {
    /// Name in the file, or address; empty for that of this machine.
    pub(super) name: String,
    /// Its address, and the fingerprint in the file; or why it is not known.
    pub(super) address: Result<(Url, Option<Fingerprint>), Failure>,
}

/// Finds the servers that the words name, each once. Without words, `socket` is that of the server if it exists.
pub(super) fn find(words: &[String], env: &Env<'_>, socket: &Path) -> Result<Vec<Server>, Failure> {
    let mut servers: Vec<Server> = Vec::new();
    if words.is_empty() {
        servers.push(Server { name: String::new(), address: Ok((Url::default_with(socket), None)) });
    }
    for word in words {
        let word = word.trim();
        if word.is_empty() {
            return Err(usage("an address of --url, --on or FRIENDLET_URL is empty"));
        }
        if word.contains(':') {
            add(&mut servers, word, parse(word, word, word), word);
        } else {
            add_of_file(&mut servers, word, env);
        }
    }
    Ok(servers)
}

/// Adds the servers of the file whose names match a pattern.
fn add_of_file(servers: &mut Vec<Server>, pattern: &str, env: &Env<'_>) {
    let lines = env.configuration.as_ref().map_err(Failure::clone).and_then(|directory| {
        Ok((directory.path_of(DEVICES).display().to_string(), directory.lines(DEVICES)?))
    });
    let (path, lines) = match lines {
        Ok(found) => found,
        Err(failure) => return add(servers, pattern, Err(failure), ""),
    };
    let mut is_found = false;
    for (name, value) in &lines {
        if !name.starts_with('#') && is_match(pattern, name) {
            add(servers, name, parse(name, value, &path), &path);
            is_found = true;
        }
    }
    if !is_found {
        let hint = match nearest(pattern, lines.iter().map(|(name, _)| name.as_str())) {
            Some(near) => format!("did you mean '{near}'?"),
            None if is_pattern(pattern) => "an address is like wss://HOST:6500".to_owned(),
            None => format!("an address is like wss://{pattern}:6500"),
        };
        let failure = usage(format!("{path} names no server '{pattern}'; {hint}"));
        add(servers, pattern, Err(failure), &path);
    }
}

/// Reads `URL [FINGERPRINT] [# COMMENT]` of a server, from this origin.
fn parse(name: &str, value: &str, origin: &str) -> Result<(Url, Option<Fingerprint>), Failure> {
    let is_comment = |at: &(usize, &str)| value.get(..at.0).is_some_and(|text| text.ends_with([' ', '\t']));
    let value = value.match_indices('#').find(is_comment).and_then(|at| value.get(..at.0)).unwrap_or(value);
    let value = value.trim_end();
    let (url, hex) = value.split_once(char::is_whitespace).unwrap_or((value, ""));
    let url = Url::parse(url).map_err(usage)?;
    let hex = hex.trim();
    let fingerprint = parse_fingerprint(hex);
    if fingerprint.is_none() && !hex.is_empty() {
        return Err(usage(format!("{origin}: '{hex}' of {name} is not a SHA-256 fingerprint")));
    }
    Ok((url, fingerprint))
}

/// Adds a server, unless one of its name is there.
fn add(
    servers: &mut Vec<Server>,
    name: &str,
    address: Result<(Url, Option<Fingerprint>), Failure>,
    origin: &str,
) {
    match servers.iter_mut().find(|server| server.name == name) {
        None => servers.push(Server { name: name.to_owned(), address }),
        Some(other) if other.address != address => {
            other.address = Err(usage(format!("{origin}: {name} has two lines that differ")));
        }
        Some(_) => {}
    }
}
