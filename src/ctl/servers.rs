//! Servers of a command line: addresses, and names in the file of the user.

use std::path::Path;

use super::arguments::usage;
use super::env::Env;
use super::failure::Failure;
use super::pattern::is_match;
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
    pub(super) url: Url,
    pub(super) fingerprint: Option<Fingerprint>,
}

/// Finds the servers that the words name, each once. Without words, `socket` is that of the server if it exists.
pub(super) fn find(words: &[String], env: &Env<'_>, socket: &Path) -> Result<Vec<Server>, Failure> {
    let mut servers: Vec<Server> = Vec::new();
    if words.is_empty() {
        let url = Url::default_with(socket);
        servers.push(Server { name: String::new(), url, fingerprint: None });
    }
    for word in words {
        if word.is_empty() {
            return Err(usage("an address of --url, --on or FRIENDLET_URL is empty"));
        }
        if word.contains(':') {
            add(&mut servers, word, word, word)?;
        } else {
            add_of_file(&mut servers, word, env)?;
        }
    }
    Ok(servers)
}

/// Adds the servers of the file whose names match a pattern.
fn add_of_file(servers: &mut Vec<Server>, pattern: &str, env: &Env<'_>) -> Result<(), Failure> {
    let directory = env.configuration.as_ref().map_err(Failure::clone)?;
    let path = directory.path_of(DEVICES).display().to_string();
    let lines = directory.lines(DEVICES)?;
    let mut is_found = false;
    for (name, value) in &lines {
        if !name.starts_with('#') && is_match(pattern, name) {
            add(servers, name, value, &path)?;
            is_found = true;
        }
    }
    if is_found {
        return Ok(());
    }
    let hint = match nearest(pattern, lines.iter().map(|(name, _)| name.as_str())) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("an address is like wss://{pattern}:6500"),
    };
    Err(usage(format!("{path} names no server '{pattern}'; {hint}")))
}

/// Adds a server with `URL [FINGERPRINT]` from this origin, unless one of its name is there.
fn add(servers: &mut Vec<Server>, name: &str, value: &str, origin: &str) -> Result<(), Failure> {
    let (url, hex) = value.split_once(' ').unwrap_or((value, ""));
    let url = Url::parse(url).map_err(usage)?;
    let (hex, name) = (hex.trim(), name.to_owned());
    let fingerprint = parse_fingerprint(hex);
    if fingerprint.is_none() && !hex.is_empty() {
        return Err(usage(format!("{origin}: '{hex}' of {name} is not a SHA-256 fingerprint")));
    }
    match servers.iter().find(|server| server.name == name) {
        None => servers.push(Server { name, url, fingerprint }),
        Some(other) if (&other.url, other.fingerprint) != (&url, fingerprint) => {
            return Err(usage(format!("{origin}: {name} has two lines that differ")));
        }
        Some(_) => {}
    }
    Ok(())
}
