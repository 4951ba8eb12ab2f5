//! Content of outcomes, equal to Friend Core's to the byte.
//!
//! The answer to a frame or to a call over HTTP is the content alone. [`reply`](super::reply) writes the
//! envelope around it. Where the versions of Friend Core differ, [`Form::Frame`] gets the content of 2016,
//! and the other forms the later one. All functions fail only for lack of room, with [`Full`].

mod checks;
mod keys;
mod services;

use base64::display::Base64Display;
use base64::prelude::BASE64_STANDARD as BASE64;

pub(crate) use self::services::put_details as service_details;
use super::Form;
use super::failure::{self, SEPARATE};
use super::lines::{Harmless, put_lines};
use crate::call::{
    BoardStatus, CommandOutput, ConfigurationPage, LogPage, Login, OperationList, OperationState, Outcome,
    Reloaded, ServiceLog, SessionList, SlotState, Unconfirmed,
};
use crate::json::{self, Full, Writer};
use crate::limits;

/// Kind of the content of an outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A JSON object or array.
    Json,
    /// HTML of a service.
    Html,
    /// Any other text.
    Text,
}

/// Returns the kind of an outcome's content.
pub fn kind(outcome: &Outcome<'_>) -> Kind {
    match outcome {
        Outcome::Done
        | Outcome::LoggedIn { .. }
        | Outcome::Resumed(_)
        | Outcome::Services(_)
        | Outcome::Service(_)
        | Outcome::Details(_)
        | Outcome::ServiceLog { .. }
        | Outcome::Command(_)
        | Outcome::Board(_)
        | Outcome::BoardLog(_)
        | Outcome::Reloaded(_)
        | Outcome::Operations(_)
        | Outcome::Sessions(_)
        | Outcome::Configuration(_)
        | Outcome::Pairing { .. }
        | Outcome::Received(_) => Kind::Json,
        Outcome::WebGui(html) if html.starts_with(['{', '[']) && json::is_valid(html) => Kind::Json,
        Outcome::WebGui(_) => Kind::Html,
        Outcome::Valid
        | Outcome::LoggedOut
        | Outcome::PasswordUpdated
        | Outcome::Failed(_)
        | Outcome::AtCapacity
        | Outcome::Pending(_) => Kind::Text,
    }
}

/// Writes the content of an outcome.
///
/// # Errors
/// [`Full`] if it does not fit. With `tail`, the output of a command or a service is cut instead, so that
/// `tail` bytes remain after the content.
pub(super) fn write(
    out: &mut Writer<'_>,
    form: Form,
    outcome: &Outcome<'_>,
    tail: Option<usize>,
) -> Result<(), Full> {
    match outcome {
        Outcome::Done => out.put(r#"{ "Status": "ok"}"#),
        Outcome::Failed(failure) => failure::write(out, form, *failure),
        Outcome::LoggedIn { login, has_device: false } => login_2016(out, login),
        Outcome::LoggedIn { login, has_device: true } => {
            login_members(out, login)?;
            out.put(r#","username":"#)?;
            out.put_string(login.username)?;
            out.put("}")
        }
        Outcome::Resumed(login) => {
            login_members(out, login)?;
            out.put("}")
        }
        Outcome::Valid => put_ok(out, r#"{"response":"true"}"#),
        // Friend Core of 2016 sends no content.
        Outcome::LoggedOut if form == Form::Frame => Ok(()),
        Outcome::LoggedOut => put_ok(out, r#"{"logout":"success"}"#),
        Outcome::PasswordUpdated => put_ok(out, r#"{ "updatepassword": "success!"}"#),
        Outcome::Services(list) => services::list(out, form, *list),
        Outcome::Service(service) => services::status(out, service),
        Outcome::Details(details) => services::details(out, details),
        Outcome::WebGui(html) => out.put(html),
        Outcome::Command(command) => shorten(out, command.output, tail, |out, output| {
            command_output(
                out,
                &CommandOutput {
                    output,
                    is_cut: command.is_cut || output.len() < command.output.len(),
                    ..*command
                },
            )
        }),
        Outcome::ServiceLog { log, .. } => service_log(out, log),
        Outcome::Board(status) => board_status(out, status),
        Outcome::BoardLog(page) => board_log(out, page),
        Outcome::Reloaded(reloaded) => put_reloaded(out, reloaded),
        Outcome::Operations(list) => put_operations(out, *list),
        Outcome::Sessions(list) => sessions(out, *list),
        Outcome::Configuration(page) => configuration(out, page),
        Outcome::Pairing { user, key, closed } => {
            out.put(r#"{ "Status": "ok""#)?;
            put_if_any(out, "User", user)?;
            put_if_any(out, "Key", key)?;
            put_if_any(out, "Closed", closed)?;
            out.put("}")
        }
        Outcome::Received(bytes) => {
            out.put_display(format_args!(r#"{{ "Status": "ok", "Received": {bytes}}}"#))
        }
        Outcome::AtCapacity | Outcome::Pending(_) => {
            debug_assert!(false, "an outcome without content");
            Ok(())
        }
    }
}

fn put_ok(out: &mut Writer<'_>, data: &str) -> Result<(), Full> {
    out.put("ok")?;
    out.put(SEPARATE)?;
    out.put(data)
}

/// Writes `output`. With `tail`, it is halved until it fits: escapes may make it six times as long.
fn shorten<'b>(
    out: &mut Writer<'_>,
    mut output: &'b [u8],
    tail: Option<usize>,
    write: impl Fn(&mut Writer<'_>, &'b [u8]) -> Result<(), Full>,
) -> Result<(), Full> {
    let start = out.len();
    loop {
        let written = write(out, output);
        let fits = tail.is_none_or(|tail| written.is_ok() && out.room() >= tail);
        if fits || output.is_empty() {
            return written;
        }
        out.rewind(start);
        output = output.split_at(output.len() / 2).0;
    }
}

/// Writes the exit of a command and its output as text.
fn command_output(out: &mut Writer<'_>, command: &CommandOutput<'_>) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok", "Exit": "#)?;
    out.put_string(command.exit)?;
    out.put(r#", "Output": "#)?;
    out.put_string(Harmless(command.output))?;
    out.put(if command.is_cut { r#", "Cut": true}"# } else { "}" })
}

/// Writes output of a service. It begins like [`Outcome::Done`].
fn service_log(out: &mut Writer<'_>, log: &ServiceLog<'_>) -> Result<(), Full> {
    let ServiceLog { from, next, lost, output } = log;
    out.put_display(format_args!(
        r#"{{ "Status": "ok", "From": {from}, "Next": {next}, "Lost": {lost}, "Lines": ["#
    ))?;
    put_lines(out, output)?;
    out.put("]}")
}

/// Writes the status of the board. It begins like [`Outcome::Done`].
fn board_status(out: &mut Writer<'_>, status: &BoardStatus<'_>) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok""#)?;
    put_members(
        out,
        &[
            ("Board", limits::BOARD),
            ("Version", env!("CARGO_PKG_VERSION")),
            ("Build", status.build),
            ("Slot", status.slot),
        ],
    )?;
    if status.slot_state != SlotState::None {
        put_members(out, &[("SlotState", status.slot_state.name())])?;
    }
    if let Some(missing) = status.missing {
        out.put(r#", "SlotMissing": "#)?;
        out.put_string(format_args!("{missing}"))?;
    }
    let [sum, key, end] = status.certificate_facts;
    put_members(
        out,
        &[
            ("DeviceFile", status.config_origin),
            ("Complaint", status.complaint),
            ("Notice", status.notice),
            ("Certificate", status.certificate),
            ("CertificateNames", status.certificate_names),
            ("CertificateSum", sum),
            ("CertificateKey", key),
            ("CertificateEnd", end),
            ("Token", status.token),
            ("Sandbox", status.sandbox),
        ],
    )?;
    if !status.syslog.is_empty() {
        put_members(out, &[("LogServer", status.syslog)])?;
    }
    for (name, number) in [
        ("Uptime", u64::from(status.uptime_s)),
        ("Connections", status.connections.used as u64),
        ("Slots", status.connections.limit as u64),
        ("Sessions", status.sessions.used as u64),
        ("SessionSlots", status.sessions.limit as u64),
        ("Memory", status.memory.server),
        ("MemoryAvailable", status.memory.available),
        ("MemoryTotal", status.memory.total),
    ] {
        out.put_display(format_args!(r#", "{name}": {number}"#))?;
    }
    checks::put(out, status.services.checks().map(|(_, check, status)| (check, status)))?;
    out.put("}")
}

/// Writes records of the server's log. It begins like [`Outcome::Done`].
fn board_log(out: &mut Writer<'_>, page: &LogPage<'_>) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok""#)?;
    put_members(
        out,
        &[("Board", page.board), ("Build", page.build), ("Form", page.form), ("Level", page.level)],
    )?;
    if let Some(inode) = page.inode {
        out.put_display(format_args!(r#", "File": {inode}"#))?;
    }
    out.put_display(format_args!(
        r#", "Wall": {}, "Mono": {}, "From": {}, "Next": {}, "Records": ""#,
        page.wall_ms, page.mono_ms, page.from, page.next
    ))?;
    out.put_display(Base64Display::new(page.records, &BASE64))?;
    out.put(r#""}"#)
}

/// Writes the effect of a reload. It begins like [`Outcome::Done`].
fn put_reloaded(out: &mut Writer<'_>, reloaded: &Reloaded<'_>) -> Result<(), Full> {
    let Reloaded { difference, needs_restart, is_trial, unconfirmed } = reloaded;
    out.put(r#"{ "Status": "ok""#)?;
    if *is_trial {
        out.put(r#", "DryRun": true"#)?;
    }
    let names =
        [("Added", &difference.added), ("Changed", &difference.changed), ("Removed", &difference.removed)];
    for (title, names) in names {
        put_names(out, title, &mut names.iter().map(|name| name.as_str()))?;
    }
    put_names(out, "NeedsRestart", &mut needs_restart.iter().copied())?;
    if let Some(unconfirmed) = unconfirmed {
        put_unconfirmed(out, unconfirmed)?;
    }
    out.put("}")
}

/// Writes the members of a change that is to be confirmed.
fn put_unconfirmed(out: &mut Writer<'_>, unconfirmed: &Unconfirmed) -> Result<(), Full> {
    let Unconfirmed { change, time, address, needs_login } = unconfirmed;
    out.put_display(format_args!(r#", "Change": {change}, "Seconds": {}"#, time.as_secs()))?;
    if let Some(address) = address {
        out.put_display(format_args!(r#", "Address": "{address}""#))?;
    }
    out.put(if *needs_login { r#", "NeedsLogin": true"# } else { "" })
}

/// Writes a page of the configuration file. It begins like [`Outcome::Done`].
fn configuration(out: &mut Writer<'_>, page: &ConfigurationPage<'_>) -> Result<(), Full> {
    let ConfigurationPage { origin, size, from, text, base, trial } = page;
    out.put(r#"{ "Status": "ok""#)?;
    put_members(out, &[("DeviceFile", origin)])?;
    let next = from + text.len();
    out.put_display(format_args!(
        r#", "Size": {size}, "From": {from}, "Next": {next}, "Limit": {}, "Base": "{base:016x}""#,
        limits::CONFIG_BYTES
    ))?;
    if let Some((by, unconfirmed)) = trial {
        out.put(r#", "Trial": { "By": "#)?;
        out.put_string(by)?;
        put_unconfirmed(out, unconfirmed)?;
        out.put("}")?;
    }
    put_members(out, &[("Text", text)])?;
    out.put("}")
}

/// Writes operations. It begins like [`Outcome::Done`].
fn put_operations(out: &mut Writer<'_>, list: OperationList<'_>) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok", "Operations": ["#)?;
    for (number, operation) in list.entries().enumerate() {
        let service = operation.service.and_then(|service| list.services.table().get(service));
        let state = match operation.state {
            OperationState::Running(_) => "running",
            OperationState::Ended(_) => "ended",
        };
        out.put(if number > 0 { ",{" } else { "{" })?;
        out.put(r#""Operation": "#)?;
        out.put_string(operation.id())?;
        put_members(
            out,
            &[
                ("Function", operation.function),
                ("Service", service.map_or("", |spec| &spec.name)),
                ("State", state),
            ],
        )?;
        out.put_display(format_args!(
            r#", "Ago": {}}}"#,
            list.now.saturating_sub(operation.begun).as_secs()
        ))?;
    }
    out.put("]}")
}

/// Writes sessions. It begins like [`Outcome::Done`].
fn sessions(out: &mut Writer<'_>, list: SessionList<'_>) -> Result<(), Full> {
    out.put(r#"{ "Status": "ok""#)?;
    let (window, key) = list.window();
    put_if_any(out, "Pairing", window)?;
    put_if_any(out, "PairingKey", key)?;
    out.put(r#", "Sessions": ["#)?;
    let mut joint = "{";
    for (session, is_own) in list.entries() {
        let device = session.device.as_deref().unwrap_or_default();
        put_session(out, joint, &session.public_id(), list.users.name(session.user), device)?;
        joint = ",{";
        if let Some(source) = session.source {
            out.put_display(format_args!(r#", "From": "{source}""#))?;
        }
        let [since, idle] =
            [session.opened, session.active].map(|time| list.now.saturating_sub(time).as_secs());
        out.put_display(format_args!(
            r#", "Since": {since}, "Idle": {idle}, "Bound": {}, "Own": {is_own}}}"#,
            session.is_bound
        ))?;
    }
    for (key, is_own) in list.keys() {
        put_session(out, joint, &key.public_id(), &key.user, &key.device)?;
        joint = ",{";
        out.put_display(format_args!(r#", "Paired": true, "Own": {is_own}}}"#))?;
    }
    out.put("]}")
}

/// Writes the members that a session and a paired key have.
fn put_session(out: &mut Writer<'_>, joint: &str, id: &str, user: &str, device: &str) -> Result<(), Full> {
    out.put(joint)?;
    out.put_display(format_args!(r#""Session": "{id}""#))?;
    put_members(out, &[("User", user), ("Device", device)])
}

fn put_names(out: &mut Writer<'_>, title: &str, names: &mut dyn Iterator<Item = &str>) -> Result<(), Full> {
    out.put_display(format_args!(r#", "{title}": ["#))?;
    for (number, name) in names.enumerate() {
        out.put(if number > 0 { ", " } else { "" })?;
        out.put_string(name)?;
    }
    out.put("]")
}

#[inline(never)]
fn put_members(out: &mut Writer<'_>, members: &[(&str, &str)]) -> Result<(), Full> {
    for (name, value) in members {
        out.put_display(format_args!(r#", "{name}": "#))?;
        out.put_string(value)?;
    }
    Ok(())
}

/// Writes a member that is there only with a value.
fn put_if_any(out: &mut Writer<'_>, name: &str, value: &str) -> Result<(), Full> {
    if value.is_empty() { Ok(()) } else { put_members(out, &[(name, value)]) }
}

/// Writes a session in the form of 2016.
fn login_2016(out: &mut Writer<'_>, login: &Login<'_>) -> Result<(), Full> {
    out.put(r#"{ "ErrorMessage": "0", "sessionid": "#)?;
    out.put_string(login.sessionid)?;
    out.put_display(format_args!(r#", "userid": "{}", "fullName": "#, login.userid))?;
    out.put_string(login.fullname)?;
    out.put(" }")
}

/// Writes the members of a session in the form of 2021. For the desktop, `username` or `loginid` means
/// success.
fn login_members(out: &mut Writer<'_>, login: &Login<'_>) -> Result<(), Full> {
    out.put(r#"{"result":"0","sessionid":"#)?;
    out.put_string(login.sessionid)?;
    out.put(r#","level":"#)?;
    out.put_string(login.level)?;
    out.put_display(format_args!(r#","userid":"{}","fullname":"#, login.userid))?;
    out.put_string(login.fullname)?;
    out.put(r#","loginid":"#)?;
    out.put_string(login.sessionid)
}

#[cfg(test)]
mod tests;
