//! The API under `/api/v1`: the calls as resources, JSON in both directions, problem details (RFC 9457).
//!
//! It is another form of the same calls. [`call_path`] turns the path of a resource into that of its call, `collect`
//! a JSON body into parameters, and [`write()`] an outcome into a body: the content that the other forms have, with
//! the names of its members in camelCase, or a problem.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod content;
mod event;
mod metrics;
mod problem;
#[cfg(test)]
mod tests;

use core::fmt::Write as _;

use heapless::String;

pub use self::content::write;
pub use self::event::{EVENTS, event};
pub use self::metrics::{METRICS, ServerFigure, write_metrics};
pub use self::problem::{code, detail, status};
use crate::call::Parameters;
use crate::http::{Rejection, is_type};
use crate::json::{JsonError, Table, Value};
use crate::limits::PATH_BYTES;

/// Prefix of the paths of resources.
pub const PREFIX: &str = "/api/v1/";

/// Longest path of a call.
pub const CALL_PATH_BYTES: usize = PATH_BYTES + "system.library/".len() + "/show".len();

/// Name of the cookie that holds a session.
pub const COOKIE: &str = "friendlet";

const BODY: Rejection =
    Rejection { status: 400, reason: "the body is not one JSON object of texts, numbers, true and false" };
const PARAMETERS: Rejection = Rejection { status: 400, reason: "too many members, or one is there twice" };
/// Response to a parameter that is empty, or that the call does not have.
pub const PARAMETER: Rejection =
    Rejection { status: 400, reason: "a parameter is empty, or not one of this call" };
/// Response to parameters in the query of a `POST` or in the body of a `GET`.
pub const PLACE: Rejection = Rejection {
    status: 400,
    reason: "send the parameters of a GET in the query, and those of a POST in the body",
};
/// Response to a method that the resource does not have.
pub const METHOD: Rejection = Rejection { status: 405, reason: "this resource has other methods; see allow" };
const CONTENT_TYPE: Rejection =
    Rejection { status: 415, reason: "send the values of a call as application/json, in UTF-8" };

/// Returns the path that the bytes begin a request for, whatever follows. `prefix` is the path of the server behind a proxy.
pub fn path<'b>(bytes: &'b [u8], prefix: &str) -> Option<&'b str> {
    let target = str::from_utf8(bytes.split(|byte| *byte == b' ').nth(1)?).ok()?;
    let path = target.split('?').next()?;
    Some(path.strip_prefix(prefix).unwrap_or(path))
}

/// Returns the path of the call that a resource stands for: that of `services` is `services/list`, that of
/// `services/hello` is `services/hello/show`, that of `events` is the one with the same right, and any other is the same.
/// `None`: it is too long.
pub fn call_path(resource: &str) -> Option<String<CALL_PATH_BYTES>> {
    let resource = if resource == EVENTS { "validate" } else { resource };
    let mut segments = resource.split('/');
    let call = match (segments.next(), segments.next(), segments.next()) {
        (Some("services" | "sessions" | "operations"), None, _) => "/list",
        (Some("services"), Some(_), None) => "/show",
        _ => "",
    };
    let mut path = String::new();
    write!(path, "system.library/{resource}{call}").ok().map(|()| path)
}

/// Checks the type of a body. A page of another origin cannot send this one without being asked for it (Fetch, 4.8).
///
/// # Errors
///
/// 415 for any other type.
pub fn check_content_type(content_type: Option<&str>) -> Result<(), Rejection> {
    if is_type(content_type.unwrap_or_default(), "application/json") { Ok(()) } else { Err(CONTENT_TYPE) }
}

/// Returns the session in the field `Authorization: Bearer SESSION` (RFC 6750), or else in the cookie. It may be empty.
pub fn session<'b>(authorization: Option<&'b str>, cookie: Option<&'b str>) -> Option<&'b str> {
    let (scheme, session) = authorization.map(|field| field.split_once(' ').unwrap_or((field, ""))).unzip();
    if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer")) {
        return session.map(str::trim_ascii);
    }
    let mut cookies = cookie?.split(';').filter_map(|cookie| cookie.trim_ascii().split_once('='));
    cookies.find(|(name, _)| *name == COOKIE).map(|(_, session)| session)
}

/// Collects the members of a JSON body as parameters; an empty body has none.
///
/// # Errors
///
/// 400 for any other text than one object of texts, numbers, `true` and `false`, and for more members than a call may have.
pub(crate) fn collect<'m>(
    body: &'m mut [u8],
    table: &mut Table,
    parameters: &mut Parameters<'m>,
) -> Result<(), Rejection> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    table.scan(body).map_err(|error| match error {
        JsonError::DuplicateKey | JsonError::TooManyMembers => PARAMETERS,
        _ => BODY,
    })?;
    let object = table.resolve(body).map_err(|_| BODY)?;
    for (name, value) in object.members_at(0) {
        let (Value::String(text) | Value::Number(text) | Value::Word(text @ ("true" | "false"))) = value
        else {
            return Err(BODY);
        };
        parameters.insert(name, text).map_err(|_| PARAMETERS)?;
    }
    Ok(())
}
