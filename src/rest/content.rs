//! Bodies of responses.

use core::ops::Range;

use super::problem;
use crate::call::{Login, Outcome, ServiceList};
use crate::friendcore::{Form, content, reply};
use crate::json::{self, Full, Writer};

/// Beginning of the content of a success in the other forms.
const OK: &[u8] = br#"{ "Status": "ok""#;
/// Room for the end of a list of services.
const END_BYTES: usize = 128;

/// Writes the body of the response to a call into `buffer`, and returns its position.
///
/// # Errors
/// [`Full`] if it does not fit. The output of a command or a service is cut instead.
pub fn write(buffer: &mut [u8], outcome: &Outcome<'_>) -> Result<Range<usize>, Full> {
    let mut out = Writer::new(buffer);
    match outcome {
        Outcome::Failed(failure) => problem::write(&mut out, *failure)?,
        Outcome::LoggedIn { login, .. } | Outcome::Resumed(login) => write_login(&mut out, login)?,
        Outcome::Done | Outcome::Valid | Outcome::LoggedOut | Outcome::PasswordUpdated => out.put("{}")?,
        Outcome::Services(list) => write_services(&mut out, *list)?,
        Outcome::WebGui(html) => {
            out.put(r#"{"html":"#)?;
            out.put_string(html)?;
            out.put("}")?;
        }
        _ => reply::outcome(&mut out, Form::Http, None, outcome, true)?,
    }
    let end = out.finish()?.len();
    let body = buffer.get_mut(..end).ok_or(Full)?;
    rename_members(body);
    Ok(remove_status(body)..end)
}

fn write_login(out: &mut Writer<'_>, login: &Login<'_>) -> Result<(), Full> {
    out.put(r#"{"session":"#)?;
    out.put_text(login.sessionid)?;
    out.put(r#","user":"#)?;
    out.put_string(login.username)?;
    out.put(r#","level":"#)?;
    out.put_text(login.level)?;
    out.put(r#","fullName":"#)?;
    out.put_string(login.fullname)?;
    out.put("}")
}

/// Writes all that is declared and known of services, as many as fit. The name of the first one that does not is `next`.
fn write_services(out: &mut Writer<'_>, list: ServiceList<'_>) -> Result<(), Full> {
    out.put(r#"{"services":["#)?;
    let start = out.len();
    for details in list.details() {
        let end = out.len();
        let written = if end > start { out.put(",") } else { Ok(()) };
        if written.and_then(|()| content::service_details(out, &details)).is_err() || out.room() < END_BYTES {
            out.rewind(end);
            out.put(r#"],"next":"#)?;
            out.put_text(&details.spec.name)?;
            return out.put("}");
        }
    }
    out.put("]}")
}

/// Makes the first letter of each member's name a small one, in place.
fn rename_members(text: &mut [u8]) {
    let mut at = 0;
    while let Some(quote) = text.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'"')) {
        let first = at + quote + 1;
        let Some(end) = json::string_end(text, first) else { return };
        let rest = text.get(end + 1..).unwrap_or_default();
        if rest.iter().find(|byte| !json::is_space(**byte)) == Some(&b':')
            && let Some(letter) = text.get_mut(first)
        {
            letter.make_ascii_lowercase();
        }
        at = end + 1;
    }
}

/// Removes the status of a success, in place. Returns the start of the object.
fn remove_status(text: &mut [u8]) -> usize {
    let is_ok = text.get(..OK.len()).is_some_and(|start| start.eq_ignore_ascii_case(OK));
    match text.get_mut(OK.len()) {
        Some(comma @ b',') if is_ok => {
            *comma = b'{';
            OK.len()
        }
        _ => 0,
    }
}
