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
const DEVICES: &str = "devices";

/// Server of a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Server {
    /// Name in the file, or address.
    pub(super) name: String,
    pub(super) url: Url,
    pub(super) fingerprint: Option<Fingerprint>,
}

/// Finds the servers that the words name, each once. Without words, `socket` is that of the server if it exists.
pub(super) fn find(words: &[String], env: &Env<'_>, socket: &Path) -> Result<Vec<Server>, Failure> {
    let mut servers: Vec<Server> = Vec::new();
    for word in words {
        let found = if word.contains(':') { vec![server(word, word, word)?] } else { of_file(word, env)? };
        servers.extend(found.into_iter().filter(|new| !servers.contains(new)).collect::<Vec<_>>());
    }
    if words.is_empty() {
        let url = Url::default_with(socket);
        servers.push(Server { name: url.to_string(), url, fingerprint: None });
    }
    Ok(servers)
}

/// Servers of the file whose names match a pattern.
fn of_file(pattern: &str, env: &Env<'_>) -> Result<Vec<Server>, Failure> {
    let directory = env.configuration.as_ref().map_err(Failure::clone)?;
    let path = directory.path_of(DEVICES);
    let lines = directory.lines(DEVICES)?;
    let lines: Vec<_> = lines.iter().filter(|(name, _)| !name.starts_with('#')).collect();
    let found: Vec<Server> = lines
        .iter()
        .filter(|(name, _)| is_match(pattern, name))
        .map(|(name, value)| server(name, value, &path.display().to_string()))
        .collect::<Result<_, _>>()?;
    if found.is_empty() {
        let hint = match nearest(pattern, lines.iter().map(|(name, _)| name.as_str())) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("an address is like wss://{pattern}:6500"),
        };
        return Err(usage(format_args!("{} names no server '{pattern}'; {hint}", path.display())));
    }
    Ok(found)
}

/// Server with `URL [FINGERPRINT]`, from this origin.
fn server(name: &str, value: &str, origin: &str) -> Result<Server, Failure> {
    let mut parts = value.split_whitespace();
    let url = Url::parse(parts.next().unwrap_or_default()).map_err(usage)?;
    let fingerprint = parts.next().map(|hex| {
        parse_fingerprint(hex)
            .ok_or_else(|| usage(format_args!("{origin}: '{hex}' of {name} is not a SHA-256 fingerprint")))
    });
    Ok(Server { name: name.to_owned(), url, fingerprint: fingerprint.transpose()? })
}
