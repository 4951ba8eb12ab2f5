//! `friendlet passwd`: prints a `[[user]]` table with the hash of a password.

use std::fmt;
use std::io;
use std::process::ExitCode;

use super::{exit, print};
use crate::config::user_text;
use crate::limits::PASSWORD_BYTES;
use crate::log;
use crate::session::{PasswordHashError, UserLevel, canonical_password, check_new_password};
use crate::sys::terminal::{self, HiddenInput};
use crate::sys::{password, random};

/// Name of the user that becomes an administrator.
const ADMIN: &str = "admin";

/// Error of `friendlet passwd`.
#[derive(Debug)]
enum PasswdError {
    Differs,
    Empty,
    Hash(PasswordHashError),
    Io(io::Error),
    NotText,
    Random(random::RandomError),
    TooLong,
    Weak(&'static str),
}

impl PasswdError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Differs | Self::Empty | Self::NotText | Self::TooLong | Self::Weak(_) => exit::DATA.into(),
            Self::Hash(_) | Self::Random(_) => exit::SYSTEM.into(),
            Self::Io(_) => exit::IO.into(),
        }
    }
}

impl fmt::Display for PasswdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs => f.write_str("the two passwords differ"),
            Self::Empty => f.write_str("the password is empty"),
            Self::Hash(error) => error.fmt(f),
            Self::Io(error) => write!(f, "standard input: {error}"),
            Self::NotText => f.write_str("the password is not UTF-8"),
            Self::Random(error) => error.fmt(f),
            Self::TooLong => write!(f, "the password is longer than {PASSWORD_BYTES} bytes"),
            Self::Weak(reason) => f.write_str(reason),
        }
    }
}

/// Reads a password and prints the table of `user`.
pub(super) fn run(user: &str) -> ExitCode {
    match read().and_then(|password| table(user, &password)) {
        Ok(text) => print(&text),
        Err(error) => {
            log::print(format_args!("friendlet: passwd: {error}\n"));
            error.exit_code()
        }
    }
}

fn read() -> Result<String, PasswdError> {
    if !terminal::is_terminal() {
        return read_line(&mut terminal::read_input);
    }
    let mut hidden = HiddenInput::new().map_err(PasswdError::Io)?;
    log::print(format_args!("Password: "));
    let password = read_line(&mut |buffer| hidden.read(buffer))?;
    log::print(format_args!("Again: "));
    let again = read_line(&mut |buffer| hidden.read(buffer));
    drop(hidden);
    if again.is_ok_and(|again| again == password) { Ok(password) } else { Err(PasswdError::Differs) }
}

/// Reads the first line, without its end.
fn read_line(read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>) -> Result<String, PasswdError> {
    // The longest password and the end of its line.
    let line = terminal::read_line(read, PASSWORD_BYTES + 2).map_err(PasswdError::Io)?.unwrap_or_default();
    match line.len() {
        0 => Err(PasswdError::Empty),
        len if len > PASSWORD_BYTES => Err(PasswdError::TooLong),
        _ => String::from_utf8(line).map_err(|_| PasswdError::NotText),
    }
}

fn table(user: &str, plain: &str) -> Result<String, PasswdError> {
    check_new_password(plain, user).map_err(PasswdError::Weak)?;
    let salt = random::bytes().map_err(PasswdError::Random)?;
    let hash = password::hash(&canonical_password(plain.as_bytes()), password::rounds(), salt)
        .map_err(PasswdError::Hash)?;
    let level = if user == ADMIN { UserLevel::Admin } else { UserLevel::User };
    Ok(user_text(user, level, &hash))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::limits::PASSWORD_ROUNDS;
    use crate::session::PASSWORD_ROUNDS_MIN;

    fn line(mut input: &[u8]) -> Result<String, String> {
        read_line(&mut |buffer| input.read(buffer)).map_err(|error| error.to_string())
    }

    #[test]
    fn password_is_the_first_line() {
        for input in ["secret\nmore\n", "secret\r\n", "secret"] {
            assert_eq!(line(input.as_bytes()).as_deref(), Ok("secret"), "{input:?}");
        }
        assert_eq!(line("pass wört \n".as_bytes()).as_deref(), Ok("pass wört "));
    }

    #[test]
    fn empty_password_is_refused() {
        for input in ["", "\n", "\r\n", "\nsecret\n"] {
            assert_eq!(line(input.as_bytes()).unwrap_err(), "the password is empty", "{input:?}");
        }
        assert_eq!(line(b"\xff\n").unwrap_err(), "the password is not UTF-8");
    }

    #[test]
    fn password_up_to_its_limit() {
        let longest = "p".repeat(PASSWORD_BYTES);
        for end in ["", "\n", "\r\n", "\nmore"] {
            assert_eq!(line(format!("{longest}{end}").as_bytes()).as_ref(), Ok(&longest));
            let error = line(format!("{longest}p{end}").as_bytes()).unwrap_err();
            assert_eq!(error, format!("the password is longer than {PASSWORD_BYTES} bytes"));
        }
        assert!(line(&vec![b'p'; 10 * PASSWORD_BYTES]).is_err());
    }

    #[test]
    fn lines_are_read_in_turn() {
        let mut input = &b"one\ntwo\n"[..];
        let mut next = || read_line(&mut |buffer| input.read(buffer));
        assert_eq!(next().unwrap(), "one");
        assert_eq!(next().unwrap(), "two");
        assert!(matches!(next(), Err(PasswdError::Empty)));
    }

    #[test]
    fn table_has_the_hash_of_the_password() {
        let text = table("admin", "a secret").unwrap();
        let user = crate::config::parse_user(&text, "f").unwrap();
        assert_eq!(user.level, UserLevel::Admin);
        let hash = user.password.unwrap();
        assert!((PASSWORD_ROUNDS_MIN..=PASSWORD_ROUNDS as u32).contains(&hash.rounds()));
        assert!(password::verify(&canonical_password(b"a secret"), &hash));
        assert!(!password::verify(&canonical_password(b"A secret"), &hash));
        // Salted: no two are the same.
        assert_ne!(table("admin", "a secret").unwrap(), text);
        assert!(table("ben", "a secret").unwrap().contains("level = \"user\"\n"));
        for (password, end) in [("secret", "8 characters"), ("benedict", "the name of the user")] {
            assert!(table("benedict", password).unwrap_err().to_string().ends_with(end));
        }
    }
}
