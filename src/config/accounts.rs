//! `[[user]]` and `[[token]]` of the device file.

use std::fmt::Write as _;

use toml::Spanned;
use toml::de::DeValue;

use super::diagnostics::{Diagnostics, Report};
use super::section::{Place, Section, bounded};
use super::{alternatives, read};
use crate::limits::{SERVICE_NAME_BYTES, USER_NAME_BYTES, USER_SERVICES, USERS};
use crate::session::{
    Grants, GrantsError, Level, PasswordHash, Tokens, User, Users, UsersError, is_user_name,
};
use crate::suggest::nearest;

/// Each `[[user]]`; `services` are the names of all services.
pub(super) fn users(root: &Section<'_, '_>, services: &[&str], report: &mut Report<'_>) -> Users {
    let mut users = Users::new();
    let mut seen = Vec::<(&str, usize)>::new();
    for value in root.tables("user", report) {
        let Some((user, name)) = user(value, Some(services), report) else {
            continue;
        };
        match users.push(user) {
            Ok(_) => seen.push((name.0, report.line(&name.1))),
            Err(UsersError::Duplicate) => {
                let line = seen.iter().find(|(seen, _)| *seen == name.0).map_or(0, |(_, line)| *line);
                report.error(&name.1, format_args!("user '{}' is there already, in line {line}", name.0));
            }
            Err(UsersError::Full) => report.error(&value.span(), format_args!("more than {USERS} users")),
        }
    }
    users
}

/// One `[[user]]`, with its name and the place of that. Without `services` any may be named.
fn user<'t>(
    value: &'t Spanned<DeValue<'_>>,
    services: Option<&[&str]>,
    report: &mut Report<'_>,
) -> Option<(User, (&'t str, Place))> {
    let known = ["full_name", "level", "name", "password", "services"];
    let section = Section::of("[[user]]", value, &known, report)?;
    let name = section.needed_text("name", report);
    let full_name = section.text("full_name", report);
    let level = level(&section, report);
    let password = section.text("password", report).and_then(|(text, at)| {
        // Taking the text of an empty password for none would be a surprise in either direction.
        text.parse::<PasswordHash>()
            .map_err(|error| {
                report.error(
                    &at,
                    format_args!("password: {error}; 'friendlet passwd USER' prints one that is right"),
                );
            })
            .ok()
    });
    let mut grants = Grants::default();
    for service in section.texts("services", report).unwrap_or_default() {
        grant(&mut grants, &service, services, report);
    }

    let full_name = match &full_name {
        Some(full_name) => bounded("full_name", full_name, report),
        None => Some(heapless::String::try_from(name.as_ref()?.0).unwrap_or_default()),
    };
    let name = name?;
    if !is_user_name(name.0) {
        report.error(
            &name.1,
            format_args!(
                "name '{}': expected 1 to {USER_NAME_BYTES} letters, digits and '.', '_', '-', '@'",
                name.0
            ),
        );
        return None;
    }
    let bounded_name = bounded("name", &name, report)?;
    let user = User { name: bounded_name, full_name: full_name?, level, password, services: grants };
    Some((user, name))
}

fn level(section: &Section<'_, '_>, report: &mut Report<'_>) -> Level {
    let Some((name, at)) = section.text("level", report) else {
        return Level::User;
    };
    Level::from_name(name).unwrap_or_else(|| {
        let names = [Level::Admin.name(), Level::User.name()];
        report.error(&at, format_args!("level: expected {}, found '{name}'", alternatives(&names)));
        Level::User
    })
}

fn grant(grants: &mut Grants, service: &(&str, Place), services: Option<&[&str]>, report: &mut Report<'_>) {
    let (name, at) = service;
    if let Some(services) = services
        && *name != "*"
        && !services.contains(name)
    {
        report.missing(at, unknown("services", "service", name, services));
    }
    match grants.push(name) {
        Ok(()) => {}
        Err(GrantsError::Full) => {
            report.error(at, format_args!("services: more than {USER_SERVICES} of one user"));
        }
        Err(GrantsError::NameTooLong) => {
            report.error(at, format_args!("services: longer than {SERVICE_NAME_BYTES} bytes"));
        }
    }
}

/// The message that `key` names a `what` which does not exist.
pub(super) fn unknown(key: &str, what: &str, name: &str, known: &[&str]) -> String {
    let hint = match nearest(name, known.iter().copied()) {
        Some(meant) => format!("; did you mean '{meant}'?"),
        None => String::new(),
    };
    format!("{key}: there is no {what} '{name}'{hint}")
}

/// Each `[[token]]`.
pub(super) fn tokens(root: &Section<'_, '_>, users: &Users, report: &mut Report<'_>) -> Tokens {
    let names: Vec<&str> = named(root).collect();
    let mut tokens = Tokens::new();
    for value in root.tables("token", report) {
        let Some(section) = Section::of("[[token]]", value, &["sha256", "user"], report) else {
            continue;
        };
        let user = section.needed_text("user", report).and_then(|(name, at)| {
            // A user that is there but wrong is reported once, where it is.
            if !names.contains(&name) {
                report.missing(&at, unknown("user", "user", name, &names));
            }
            users.find(name)
        });
        let sha256 = section.needed_text("sha256", report).and_then(|(hex, at)| {
            let bytes = sha256(hex);
            if bytes.is_none() {
                report.error(
                    &at,
                    "sha256: expected the SHA-256 of the token, 64 hexadecimal digits (printf %s TOKEN | sha256sum)",
                );
            }
            bytes.map(|bytes| (bytes, at))
        });
        if let (Some(user), Some((sha256, at))) = (user, sha256)
            && let Err(error) = tokens.push(user, sha256)
        {
            report.error(&at, error);
        }
    }
    tokens
}

/// The names of all `[[user]]`, whatever else is wrong with them.
fn named<'t>(root: &Section<'t, '_>) -> impl Iterator<Item = &'t str> {
    let users = root.value("user").and_then(|value| value.get_ref().as_array());
    users
        .into_iter()
        .flat_map(|users| users.iter())
        .filter_map(|user| user.get_ref().as_table()?.get("name")?.get_ref().as_str())
}

fn sha256(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    // decode_mut takes no text of another length.
    if hex.len() != 2 * bytes.len() {
        return None;
    }
    data_encoding::HEXLOWER_PERMISSIVE.decode_mut(hex.as_bytes(), &mut bytes).ok()?;
    Some(bytes)
}

/// A `[[user]]` table for the device file, as [`parse_user`] reads it. An administrator needs no
/// services; another user's are to be filled in.
pub fn user_text(name: &str, level: Level, password: &PasswordHash) -> String {
    let mut text = String::new();
    // A user's name and a password hash hold nothing that TOML would need escaped, and writing to
    // a String does not fail.
    let _ = write!(
        text,
        "[[user]]\nname = \"{name}\"\nlevel = \"{}\"\npassword = \"{password}\"\n",
        level.name()
    );
    if level == Level::User {
        text.push_str("services = []        # names of services this user may control; \"*\" is all\n");
    }
    text
}

/// Reads a file that holds one `[[user]]` and nothing else.
///
/// # Errors
/// All errors of the text, in the order of their places.
pub fn parse_user(text: &str, origin: &str) -> Result<User, Diagnostics> {
    let mut report = Report::new(text);
    let document = read(text, &mut report);
    let root = Section::root(&document, &["user"], &mut report);
    let tables = root.tables("user", &mut report);
    let mut users = tables.iter().map(|value| user(value, None, &mut report)).collect::<Vec<_>>();
    if tables.len() != 1 {
        report.missing(&(0..0), format_args!("expected one [[user]], found {}", tables.len()));
    }
    let user = users.pop().flatten().map(|(user, _)| user);
    report.finish(origin, user)
}
