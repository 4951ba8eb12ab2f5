//! Content of failures.
//!
//! Friend Core of 2016 has texts without numbers. Since 2018 it has a numbered dictionary. The script of the
//! desktop logs in again when it finds some of these texts, so they are verbatim.

use core::fmt;

use super::Form;
use super::lines::put_lines;
use crate::call::Failure;
use crate::json::{Full, Writer};
use crate::log;
use crate::log::errno::{ECANCELED, EINVAL, ETIMEDOUT};
use crate::service::LastExit;

/// Separator of result and data in a reply of Friend Core.
pub(super) const SEPARATE: &str = "<!--separate-->";

/// Number of a failure in Friend Core's dictionary.
pub fn code(failure: Failure<'_>) -> u8 {
    match failure {
        Failure::UnknownFunction | Failure::UnknownLibrary => 1,
        Failure::MissingSession => 3,
        Failure::NotAllowed => 4,
        Failure::NotPost => 5,
        Failure::Blocked { .. } | Failure::LoginRefused { .. } => 6,
        Failure::MissingCredentials { .. } => 8,
        Failure::CannotResume => 10,
        Failure::UnknownSession { .. } => 11,
        Failure::UnknownUser => 13,
        Failure::MissingParameters { .. } => 14,
        Failure::TableFull => 17,
        Failure::Failed { .. }
        | Failure::NotStarted { .. }
        | Failure::Unchanged { .. }
        | Failure::NotStored { .. }
        | Failure::Internal => 18,
        Failure::NoServiceName | Failure::UnknownService => 20,
    }
}

/// HTTP status of the reply. Friend Core answers all other failures with 200.
pub(super) fn http_status(failure: Failure<'_>) -> u16 {
    match failure {
        Failure::UnknownFunction | Failure::UnknownLibrary => 404,
        Failure::UnknownSession { .. } => 403,
        _ => 200,
    }
}

/// Writes the content of the reply.
///
/// # Errors
/// [`Full`] when it does not fit.
pub(super) fn write(out: &mut Writer<'_>, form: Form, failure: Failure<'_>) -> Result<(), Full> {
    match (form, failure) {
        (_, Failure::LoginRefused { has_device: false, .. }) => out.put("LERR: -1"),
        (_, Failure::LoginRefused { has_device: true, until_s }) => write_blocked(out, until_s),
        // A call without a device is one of 2016 in every form.
        (_, Failure::MissingCredentials { has_device: false }) | (Form::Frame, _) => write_2016(out, failure),
        (Form::Envelope | Form::Http, _) => write_later(out, failure),
    }
}

fn write_2016(out: &mut Writer<'_>, failure: Failure<'_>) -> Result<(), Full> {
    out.put(match failure {
        Failure::MissingSession => r#"{ "ErrorMessage": "could not find sessionid or authid" }"#,
        Failure::UnknownSession { .. } => r#"{ "ErrorMessage": "user not found"}"#,
        Failure::NoServiceName => r#"{ "ErrorMessage": "ServiceName argument missing!"}"#,
        Failure::UnknownService => {
            r#"{ "ErrorMessage": "ServiceName argument missing or Service not found!"}"#
        }
        // Friend Core has this letter, too.
        Failure::UnknownFunction => r#"ok<!--separate-->{ "ErrorMessage": "nFunction not found" }"#,
        Failure::MissingCredentials { .. } => r#"{ "ErrorMessage": "Username or Password not found!"}"#,
        // In 2016 every user has all rights, so that version has no text for this.
        Failure::NotAllowed => return write_later(out, failure),
        _ => {
            out.put(r#"{ "ErrorMessage": "#)?;
            out.put_string(Text(failure))?;
            put_reason(out, failure)?;
            return out.put(" }");
        }
    })
}

/// Writes the reason of a failure in words, and the last lines of a program: members that Friend Core does not have.
fn put_reason(out: &mut Writer<'_>, failure: Failure<'_>) -> Result<(), Full> {
    if let Failure::Unchanged { .. } | Failure::NotStarted { .. } | Failure::NotStored { .. } = failure {
        out.put(r#", "reason": "#)?;
        out.put_string(Reason(failure))?;
    }
    put_output(out, failure)
}

/// Writes the last lines of a program that exited at once, if there are any.
pub(crate) fn put_output(out: &mut Writer<'_>, failure: Failure<'_>) -> Result<(), Full> {
    let Failure::NotStarted { output, .. } = failure else { return Ok(()) };
    if output.is_empty() {
        return Ok(());
    }
    out.put(r#", "output": ["#)?;
    put_lines(out, output)?;
    out.put("]")
}

/// Reason in words why a program does not run, or why nothing changes; empty for other failures.
pub(crate) struct Reason<'a>(pub(crate) Failure<'a>);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Failure::Unchanged { reason, .. } => f.write_str(reason),
            Failure::NotStored { result, .. } => write!(
                f,
                "in force, but not stored: {}; the server repeats the write, and forgets the change if it is restarted before",
                log::Reason::from(result)
            ),
            Failure::NotStarted { spec, program, end, .. } => match end {
                LastExit::Code(_) | LastExit::Signal { .. } => {
                    write!(f, "{}: exited at once, {end}", spec.name)
                }
                LastExit::Spawn(error) => write!(f, "{}: {}", spec.name, error.text_of(program, spec)),
                end => write!(f, "{}: {}", spec.name, end.text(spec)),
            },
            _ => Ok(()),
        }
    }
}

fn write_later(out: &mut Writer<'_>, failure: Failure<'_>) -> Result<(), Full> {
    if let Failure::Blocked { until_s } = failure {
        return write_blocked(out, until_s);
    }
    out.put("fail")?;
    out.put(SEPARATE)?;
    match failure {
        Failure::UnknownSession { given } => {
            out.put(r#"{"response":"#)?;
            out.put_string(Text(failure))?;
            out.put(r#","code":"11","sessionid":"#)?;
            out.put_string(given)?;
            return out.put("}");
        }
        Failure::CannotResume => out.put(r#"{ "result":"-1","response": "#)?,
        _ => out.put(r#"{ "response": "#)?,
    }
    out.put_string(Text(failure))?;
    out.put_display(format_args!(r#", "code":"{}""#, code(failure)))?;
    put_reason(out, failure)?;
    out.put(" }")
}

/// Writes a refused login of 2021. `until_s` is the end of the block in Unix time; 0 without a block.
fn write_blocked(out: &mut Writer<'_>, until_s: u64) -> Result<(), Full> {
    out.put("fail")?;
    out.put(SEPARATE)?;
    out.put_display(format_args!(
        r#"{{"result":"-1","response":"Account blocked until: {until_s}", "code":"6"}}"#
    ))
}

/// Number of the end of a program, as a shell has it: the error, the exit code, or 128 and the signal.
fn number(end: LastExit) -> i32 {
    match end {
        LastExit::None => 0,
        LastExit::Spawn(error) => error.errno,
        LastExit::Required { .. } => ECANCELED,
        LastExit::Overran(_) => ETIMEDOUT,
        LastExit::PreStart(failure) => number(failure.into()),
        LastExit::Code(code) => code,
        LastExit::Signal { signal, .. } => 128 + signal,
    }
}

/// Text of a failure in Friend Core's dictionary.
struct Text<'a>(Failure<'a>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Failure::UnknownFunction | Failure::UnknownLibrary => "Function not found",
            Failure::MissingSession => "sessionid or authid parameter is missing",
            Failure::NotAllowed => "Cannot execute function. Admin rights required",
            Failure::NotPost => "Parameters must be send by using POST method",
            Failure::Blocked { until_s } | Failure::LoginRefused { until_s, .. } => {
                return write!(f, "Account blocked until: {until_s}");
            }
            Failure::MissingCredentials { .. } => "Missing parameters: username,password,deviceid",
            Failure::CannotResume => "User session or User not found",
            Failure::UnknownSession { .. } => "User session not found",
            Failure::UnknownUser => "User not found",
            Failure::MissingParameters { names } => return write!(f, "Missing parameters: {names}"),
            Failure::TableFull => "Cannot allocate memory",
            Failure::Failed { function, result } | Failure::NotStored { function, result } => {
                return write!(f, "Function {function} returned: {result}");
            }
            Failure::NotStarted { function, end, .. } => {
                return write!(f, "Function {function} returned: {}", number(end));
            }
            Failure::Unchanged { function, .. } => {
                return write!(f, "Function {function} returned: {EINVAL}");
            }
            Failure::Internal => "Internal error",
            Failure::NoServiceName | Failure::UnknownService => {
                "Service not found or service name parameter is missing!"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(failure: Failure<'_>, form: Form) -> String {
        let mut buffer = [0; 1024];
        let mut out = Writer::new(&mut buffer);
        write(&mut out, form, failure).unwrap();
        String::from_utf8(out.finish().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn messages_of_2016() {
        let cases = [
            (Failure::MissingSession, r#"{ "ErrorMessage": "could not find sessionid or authid" }"#),
            (Failure::UnknownSession { given: "x" }, r#"{ "ErrorMessage": "user not found"}"#),
            (
                Failure::NotAllowed,
                r#"fail<!--separate-->{ "response": "Cannot execute function. Admin rights required", "code":"4" }"#,
            ),
            (Failure::NoServiceName, r#"{ "ErrorMessage": "ServiceName argument missing!"}"#),
            (
                Failure::UnknownService,
                r#"{ "ErrorMessage": "ServiceName argument missing or Service not found!"}"#,
            ),
            (Failure::UnknownFunction, r#"ok<!--separate-->{ "ErrorMessage": "nFunction not found" }"#),
            (Failure::NotPost, r#"{ "ErrorMessage": "Parameters must be send by using POST method" }"#),
            (Failure::Blocked { until_s: 7 }, r#"{ "ErrorMessage": "Account blocked until: 7" }"#),
            (
                Failure::MissingCredentials { has_device: true },
                r#"{ "ErrorMessage": "Username or Password not found!"}"#,
            ),
            (Failure::CannotResume, r#"{ "ErrorMessage": "User session or User not found" }"#),
            (Failure::MissingParameters { names: "cmd" }, r#"{ "ErrorMessage": "Missing parameters: cmd" }"#),
            (Failure::TableFull, r#"{ "ErrorMessage": "Cannot allocate memory" }"#),
            (
                Failure::Failed { function: "start", result: 2 },
                r#"{ "ErrorMessage": "Function start returned: 2" }"#,
            ),
        ];
        for (failure, text) in cases {
            assert_eq!(written(failure, Form::Frame), text);
        }
    }

    #[test]
    fn later_messages() {
        let service =
            r#"{ "response": "Service not found or service name parameter is missing!", "code":"20" }"#;
        let cases = [
            (
                Failure::MissingSession,
                r#"{ "response": "sessionid or authid parameter is missing", "code":"3" }"#,
            ),
            (
                Failure::UnknownSession { given: "dead\"beef" },
                r#"{"response":"User session not found","code":"11","sessionid":"dead\"beef"}"#,
            ),
            (
                Failure::NotAllowed,
                r#"{ "response": "Cannot execute function. Admin rights required", "code":"4" }"#,
            ),
            (Failure::NoServiceName, service),
            (Failure::UnknownService, service),
            (Failure::UnknownFunction, r#"{ "response": "Function not found", "code":"1" }"#),
            (
                Failure::NotPost,
                r#"{ "response": "Parameters must be send by using POST method", "code":"5" }"#,
            ),
            (
                Failure::Blocked { until_s: 1_463_000_000 },
                r#"{"result":"-1","response":"Account blocked until: 1463000000", "code":"6"}"#,
            ),
            (
                Failure::MissingCredentials { has_device: true },
                r#"{ "response": "Missing parameters: username,password,deviceid", "code":"8" }"#,
            ),
            (
                Failure::CannotResume,
                r#"{ "result":"-1","response": "User session or User not found", "code":"10" }"#,
            ),
            (
                Failure::MissingParameters { names: "cmd" },
                r#"{ "response": "Missing parameters: cmd", "code":"14" }"#,
            ),
            (Failure::TableFull, r#"{ "response": "Cannot allocate memory", "code":"17" }"#),
            (
                Failure::Failed { function: "start", result: 2 },
                r#"{ "response": "Function start returned: 2", "code":"18" }"#,
            ),
        ];
        for (failure, text) in cases {
            for form in [Form::Envelope, Form::Http] {
                assert_eq!(written(failure, form), format!("fail<!--separate-->{text}"));
            }
        }
    }

    #[test]
    fn statuses() {
        assert_eq!(http_status(Failure::UnknownSession { given: "" }), 403);
        assert_eq!(http_status(Failure::UnknownFunction), 404);
        assert_eq!(http_status(Failure::MissingSession), 200);
    }
}
