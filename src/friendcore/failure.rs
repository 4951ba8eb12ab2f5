//! The content of replies that report an error.
//!
//! 2016 has texts without a number; Friend Cores since 2018 have a numbered dictionary. The desktop's
//! script looks for some of these texts to log in again, so they are kept verbatim.

use core::fmt;

use super::Form;
use super::content::{self, SEPARATE};
use crate::json::{Full, Writer};

/// An error as the peer is told it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure<'a> {
    /// The call shows no session; code 3.
    MissingSession,
    /// The session shown is none; code 11.
    UnknownSession {
        /// The id as it was shown.
        given: &'a str,
    },
    /// The user may not do this; code 4, in the same words in every form.
    NotAllowed,
    /// The call names no service; code 20.
    NoServiceName,
    /// The call names a service that is not there; code 20.
    UnknownService,
    /// The path names no function; code 1.
    UnknownFunction,
    /// The parameters came in another way than POST; code 5.
    NotPost,
    /// A login was refused; code 6.
    Blocked {
        /// End of the block in seconds of Unix time; 0 when there is none.
        until_s: u64,
    },
    /// A login without a user's name or a password; code 8.
    MissingCredentials,
    /// A session to go on with is not there; code 10.
    CannotResume,
    /// There is no such user; code 13.
    UnknownUser,
    /// A parameter is missing; code 14.
    MissingParameters {
        /// Names of the missing, with commas between.
        names: &'a str,
    },
    /// A fixed table is full; code 17.
    TableFull,
    /// The function was tried and failed; code 18.
    Failed {
        /// Name of the function: `start`.
        function: &'a str,
        /// What it gave, an `errno` for one.
        result: i32,
    },
}

impl Failure<'_> {
    /// Number in Friend Core's dictionary.
    pub fn code(self) -> u8 {
        match self {
            Self::UnknownFunction => 1,
            Self::MissingSession => 3,
            Self::NotAllowed => 4,
            Self::NotPost => 5,
            Self::Blocked { .. } => 6,
            Self::MissingCredentials => 8,
            Self::CannotResume => 10,
            Self::UnknownSession { .. } => 11,
            Self::UnknownUser => 13,
            Self::MissingParameters { .. } => 14,
            Self::TableFull => 17,
            Self::Failed { .. } => 18,
            Self::NoServiceName | Self::UnknownService => 20,
        }
    }

    /// HTTP status of the reply. Friend Core answers errors with 200 but for these two.
    pub fn http_status(self) -> u16 {
        match self {
            Self::UnknownFunction => 404,
            Self::UnknownSession { .. } => 403,
            _ => 200,
        }
    }

    /// Writes the content of the reply.
    ///
    /// # Errors
    /// [`Full`] when it does not fit.
    pub fn write(self, form: Form, out: &mut Writer<'_>) -> Result<(), Full> {
        match form {
            Form::Frame => self.write_2016(out),
            Form::Envelope | Form::Http => self.write_later(out),
        }
    }

    fn write_2016(self, out: &mut Writer<'_>) -> Result<(), Full> {
        out.put(match self {
            Self::MissingSession => r#"{ "ErrorMessage": "could not find sessionid or authid" }"#,
            Self::UnknownSession { .. } => r#"{ "ErrorMessage": "user not found"}"#,
            Self::NoServiceName => r#"{ "ErrorMessage": "ServiceName argument missing!"}"#,
            Self::UnknownService => {
                r#"{ "ErrorMessage": "ServiceName argument missing or Service not found!"}"#
            }
            // The odd letter is Friend Core's.
            Self::UnknownFunction => r#"ok<!--separate-->{ "ErrorMessage": "nFunction not found" }"#,
            Self::MissingCredentials => r#"{ "ErrorMessage": "Username or Password not found!"}"#,
            // 2016 lets every user do everything, so it has no words for this.
            Self::NotAllowed => return self.write_later(out),
            _ => {
                out.put(r#"{ "ErrorMessage": "#)?;
                out.put_string(self)?;
                return out.put(" }");
            }
        })
    }

    fn write_later(self, out: &mut Writer<'_>) -> Result<(), Full> {
        if let Self::Blocked { until_s } = self {
            return content::login_blocked(out, until_s);
        }
        out.put("fail")?;
        out.put(SEPARATE)?;
        match self {
            Self::UnknownSession { given } => {
                out.put(r#"{"response":"#)?;
                out.put_string(self)?;
                out.put(r#","code":"11","sessionid":"#)?;
                out.put_string(given)?;
                out.put("}")
            }
            Self::CannotResume => {
                out.put(r#"{ "result":"-1","response": "#)?;
                self.write_text_and_code(out)
            }
            _ => {
                out.put(r#"{ "response": "#)?;
                self.write_text_and_code(out)
            }
        }
    }

    fn write_text_and_code(self, out: &mut Writer<'_>) -> Result<(), Full> {
        out.put_string(self)?;
        out.put_display(format_args!(r#", "code":"{}" }}"#, self.code()))
    }
}

/// The dictionary's text.
impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownFunction => "Function not found",
            Self::MissingSession => "sessionid or authid parameter is missing",
            Self::NotAllowed => "Cannot execute function. Admin rights required",
            Self::NotPost => "Parameters must be send by using POST method",
            Self::Blocked { until_s } => return write!(f, "Account blocked until: {until_s}"),
            Self::MissingCredentials => "Missing parameters: username,password,deviceid",
            Self::CannotResume => "User session or User not found",
            Self::UnknownSession { .. } => "User session not found",
            Self::UnknownUser => "User not found",
            Self::MissingParameters { names } => return write!(f, "Missing parameters: {names}"),
            Self::TableFull => "Cannot allocate memory",
            Self::Failed { function, result } => {
                return write!(f, "Function {function} returned: {result}");
            }
            Self::NoServiceName | Self::UnknownService => {
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
        failure.write(form, &mut out).unwrap();
        String::from_utf8(out.finish().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn words_of_2016() {
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
            (Failure::MissingCredentials, r#"{ "ErrorMessage": "Username or Password not found!"}"#),
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
    fn later_words() {
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
                Failure::MissingCredentials,
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
        assert_eq!(Failure::UnknownSession { given: "" }.http_status(), 403);
        assert_eq!(Failure::UnknownFunction.http_status(), 404);
        assert_eq!(Failure::MissingSession.http_status(), 200);
    }
}
