//! Problem details (RFC 9457) of a failure.

use core::fmt;

use crate::call::{Failure, Returned};
use crate::friendcore::failure::{Reason, put_output};
use crate::http::phrase;
use crate::json::{Full, Writer};
use crate::log::errno::{EAGAIN, EBUSY, EDQUOT, EINVAL, ENOENT};

/// HTTP status and name of a failure.
fn kind(failure: Failure<'_>) -> (u16, &'static str) {
    match failure {
        Failure::MissingParameters { .. } | Failure::MissingCredentials { .. } => (400, "missing-parameters"),
        Failure::MissingSession => (401, "no-session"),
        Failure::UnknownSession { .. } | Failure::CannotResume => (401, "unknown-session"),
        Failure::LoginRefused { until_s: 0, .. } => (401, "wrong-password"),
        Failure::Blocked { until_s: 0 } => (403, "wrong-password"),
        Failure::NotAllowed => (403, "not-allowed"),
        Failure::UnknownFunction | Failure::UnknownLibrary => (404, "unknown-call"),
        Failure::NoServiceName | Failure::UnknownService => (404, "unknown-service"),
        Failure::UnknownUser => (404, "unknown-user"),
        Failure::NotPost => (405, "needs-post"),
        Failure::Failed { result: EINVAL, .. } => (400, "invalid"),
        Failure::Failed { result: ENOENT, .. } => (404, "not-found"),
        Failure::Failed { result: EAGAIN | EBUSY, .. } => (409, "busy"),
        Failure::Failed { result: EDQUOT, .. } => (429, "too-many-writes"),
        Failure::Failed { .. } => (409, "failed"),
        Failure::NotStarted { .. } => (409, "not-started"),
        Failure::Unchanged { .. } => (409, "unchanged"),
        Failure::NotStored { .. } => (409, "not-stored"),
        Failure::LoginRefused { .. } | Failure::Blocked { .. } => (429, "blocked"),
        Failure::Internal => (500, "internal"),
        Failure::TableFull => (503, "full"),
    }
}

/// HTTP status of a failure.
pub fn status(failure: Failure<'_>) -> u16 {
    kind(failure).0
}

/// Name of a failure for programs.
pub fn code(failure: Failure<'_>) -> &'static str {
    kind(failure).1
}

/// Failure in words for people.
pub fn detail(failure: Failure<'_>) -> impl fmt::Display {
    Detail(failure)
}

struct Detail<'a>(Failure<'a>);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Failure::MissingParameters { names } => return write!(f, "missing: {names}"),
            Failure::MissingCredentials { .. } => "missing: username or password",
            Failure::MissingSession => "log in first, or send a session or a token as Authorization: Bearer",
            Failure::UnknownSession { .. } | Failure::CannotResume => {
                "this session or token is not valid, or no longer; log in again"
            }
            Failure::LoginRefused { until_s: 0, .. } | Failure::Blocked { until_s: 0 } => {
                "wrong user name or password"
            }
            Failure::LoginRefused { .. } | Failure::Blocked { .. } => {
                "too many attempts; wait until the time in `until`"
            }
            Failure::NotAllowed => "this user or token lacks the right",
            Failure::UnknownFunction | Failure::UnknownLibrary => "this call is unknown",
            Failure::NoServiceName | Failure::UnknownService => "this service is unknown",
            Failure::UnknownUser => "this user is unknown",
            Failure::NotPost => "this call changes something; send it by POST",
            Failure::Failed { function, result } => {
                return Returned { function, number: result }.fmt(f);
            }
            Failure::NotStarted { .. } | Failure::Unchanged { .. } | Failure::NotStored { .. } => {
                return Reason(self.0).fmt(f);
            }
            Failure::Internal => "internal error; see the log of the server",
            Failure::TableFull => "no room for this now; try again later",
        })
    }
}

/// Writes the problem.
pub(super) fn write(out: &mut Writer<'_>, failure: Failure<'_>) -> Result<(), Full> {
    let (status, code) = kind(failure);
    let title = phrase(status);
    out.put_display(format_args!(r#"{{"title":"{title}","status":{status},"code":"{code}","detail":"#))?;
    out.put_string(Detail(failure))?;
    if let Failure::LoginRefused { until_s, .. } | Failure::Blocked { until_s } = failure
        && until_s > 0
    {
        out.put_display(format_args!(r#","until":{until_s}"#))?;
    }
    put_output(out, failure)?;
    out.put("}")
}
