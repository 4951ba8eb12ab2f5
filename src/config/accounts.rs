//! `[[user]]` and `[[token]]`.

use std::fmt::Write as _;

use super::diagnostics::{Diagnostics, ParseError};
use super::section::{Document, Section};
use super::sources::Source;
use super::syntax::parse_toml;
use super::value::{Text, hint, report_not_found};
use super::{References, schema};
use crate::limits::USERS;
use crate::session::{Grants, GrantsError, PasswordHash, Token, Tokens, User, UserLevel, Users, UsersError};

/// Source of a correct hash of a password.
const PRINTED: &str = "'friendlet passwd USER' prints a correct one";

/// Users of a file, and the names of all `[[user]]` tables, including those with errors.
pub(super) struct UserEntries<'t> {
    pub(super) table: Users,
    names: Vec<&'t str>,
}

/// Each `[[user]]`; `services` are the names of all services.
pub(super) fn users<'t>(
    document: &Document<'t, '_>,
    services: &[&str],
    diagnostics: &mut Diagnostics<'_>,
) -> UserEntries<'t> {
    let mut entries = UserEntries { table: Users::new(), names: Vec::new() };
    let mut seen: Vec<Text<'_>> = Vec::new();
    let sections = document.sections(&schema::USER, diagnostics);
    for section in &sections {
        entries.names.extend(section.written("name").map(|(name, _)| name));
        let name = section.string("name", diagnostics);
        let user = user(section, name.as_ref(), Some(services), diagnostics);
        let (Some(user), Some((name, span))) = (user, name) else {
            continue;
        };
        match entries.table.push(user) {
            Ok(_) => seen.push((name, span)),
            Err(UsersError::Duplicate) => {
                let first = seen.iter().find(|(seen, _)| *seen == name).map_or(&span, |(_, first)| first);
                let first = diagnostics.line(first, &span);
                diagnostics.error(&span, format_args!("duplicate user '{name}', first in {first}"));
            }
            Err(UsersError::Full) => {
                diagnostics.error(section.span(), format_args!("more than {USERS} users"));
            }
        }
    }
    if let Some(section) = sections.first()
        && !entries.table.iter().any(|(_, user)| user.level == UserLevel::Admin)
    {
        let message = "no [[user]] has level = \"admin\"";
        diagnostics.warning(
            section.span(),
            message,
            "without one, only the local socket has an administrator",
        );
    }
    entries
}

/// Parses one `[[user]]`. If `services` is `None`, every service name is valid.
fn user(
    section: &Section<'_, '_>,
    name: Option<&Text<'_>>,
    services: Option<&[&str]>,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<User> {
    let full_name = section.bounded_if_set("full_name", diagnostics);
    let level = section.parsed("level", UserLevel::from_name, diagnostics);
    let password = section.string("password", diagnostics).and_then(|(text, span)| {
        // An empty password is an error: as "no password" it would surprise in either direction.
        text.parse::<PasswordHash>()
            .map_err(|error| {
                diagnostics.error_with_hint(&span, format_args!("password: {error}"), PRINTED);
            })
            .ok()
    });
    let mut grants = Grants::default();
    for service in section.strings("services", diagnostics) {
        grant(section, &mut grants, &service, services, diagnostics);
    }
    let (name, _) = name?;
    let full_name = full_name.or_else(|| heapless::String::try_from(*name).ok())?;
    Some(User { name: heapless::String::try_from(*name).ok()?, full_name, level, password, services: grants })
}

fn grant(
    section: &Section<'_, '_>,
    grants: &mut Grants,
    (name, span): &Text<'_>,
    services: Option<&[&str]>,
    diagnostics: &mut Diagnostics<'_>,
) {
    if let Some(services) = services
        && *name != "*"
        && !services.contains(name)
    {
        report_not_found("services", (name, span), services, diagnostics);
    }
    match grants.push(name) {
        Ok(()) => {}
        Err(GrantsError::Full) => section.report_full("services", span, diagnostics),
        Err(GrantsError::NameTooLong) => debug_assert!(false, "{name}: its row has the same limit"),
    }
}

/// Each `[[token]]`.
pub(super) fn tokens(
    document: &Document<'_, '_>,
    users: &UserEntries<'_>,
    services: &[&str],
    diagnostics: &mut Diagnostics<'_>,
) -> Tokens {
    let mut tokens = Tokens::new();
    for section in document.sections(&schema::TOKEN, diagnostics) {
        let user = section.string("user", diagnostics).and_then(|(name, span)| {
            // A user with an error is reported once, in its own table.
            if !users.names.contains(&name) {
                let hint = hint(name, users.names.iter().copied());
                diagnostics.missing(&span, format_args!("user: no user '{name}'"), &hint);
            }
            users.table.find(name)
        });
        let sha256 = section.parsed_if_set("sha256", sha256, diagnostics);
        let expires = section.unix_s("expires", diagnostics);
        let reads_only = section.parsed("scope", reads_only, diagnostics);
        let is_set = section.value("services", diagnostics).1.is_some();
        let mut granted = if is_set { Grants::default() } else { Grants::all() };
        for service in section.strings("services", diagnostics) {
            grant(&section, &mut granted, &service, Some(services), diagnostics);
        }
        if let (Some(user), Some((sha256, span))) = (user, sha256)
            && let Err(error) = tokens.push(Token { user, sha256, expires, reads_only, services: granted })
        {
            diagnostics.error(&span, error);
        }
    }
    tokens
}

fn reads_only(scope: &str) -> Option<bool> {
    match scope {
        "all" => Some(false),
        "read" => Some(true),
        _ => None,
    }
}

pub(super) fn sha256(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    (base16ct::mixed::decode(hex, &mut bytes).ok()?.len() == bytes.len()).then_some(bytes)
}

/// Returns a `[[user]]` table for the configuration file, in the form of [`parse_user`]. An administrator
/// needs no services, and those of another user are to be added by hand.
pub fn user_text(name: &str, level: UserLevel, password: &PasswordHash) -> String {
    let mut text = String::new();
    // A user's name and a password hash contain nothing that TOML escapes, and writing to a String does
    // not fail.
    let _ = write!(
        text,
        "[[user]]\nname = \"{name}\"\nlevel = \"{}\"\npassword = \"{password}\"\n",
        level.name()
    );
    if level != UserLevel::Admin {
        text.push_str("services = []        # names of services this user may control; \"*\" is all\n");
    }
    text
}

/// Parses a file that contains one `[[user]]` and nothing else.
///
/// # Errors
/// All errors of the text, in the order of their positions.
pub fn parse_user(text: &str, source: &str) -> Result<User, ParseError> {
    let mut diagnostics = Diagnostics::new(&[Source::new(source, text)], References::Known);
    let values = parse_toml(text, 0, &mut diagnostics);
    let document = Document::new(&values, &[&schema::USER], &mut diagnostics);
    let sections = document.sections(&schema::USER, &mut diagnostics);
    let mut found = None;
    for section in &sections {
        let name = section.string("name", &mut diagnostics);
        found = user(section, name.as_ref(), None, &mut diagnostics);
    }
    if sections.len() != 1 {
        diagnostics.missing(&(0..0), format_args!("expected one [[user]], found {}", sections.len()), "");
    }
    diagnostics.finish()?;
    found.ok_or_else(ParseError::default)
}
