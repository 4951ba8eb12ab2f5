//! Passwords: prompt, and the form in which they are sent.

use std::io::{self, BufRead, BufReader, Write};

use ring::digest;

use crate::sys::terminal::{self, HiddenInput};

/// Longest line that is read as a password.
const LINE_BYTES: u64 = 4096;

/// Reads a password, one line of standard input; on a terminal, after a prompt and without echo.
///
/// # Errors
///
/// Errors of reading, and `UnexpectedEof` without a line.
pub fn read_password(prompt: &str) -> io::Result<String> {
    read_answer(prompt, true)
}

/// Reads one line of standard input; on a terminal, after a prompt. A secret is not echoed.
pub(super) fn read_answer(prompt: &str, is_secret: bool) -> io::Result<String> {
    let input = io::stdin();
    if !terminal::is_terminal() {
        return read_line(&mut input.lock());
    }
    // The echo ends before anybody types.
    let hidden = is_secret.then(HiddenInput::new).transpose()?;
    let mut err = io::stderr();
    write!(err, "{prompt}")?;
    err.flush()?;
    match hidden {
        Some(hidden) => read_line(&mut BufReader::new(hidden)),
        None => read_line(&mut input.lock()),
    }
}

/// Hash of a password as it is sent.
pub(super) fn hashed(password: &str) -> String {
    let hash = digest::digest(&digest::SHA256, password.as_bytes());
    format!("HASHED{}", base16ct::lower::encode_string(hash.as_ref()))
}

fn read_line(input: &mut dyn BufRead) -> io::Result<String> {
    let mut line = String::new();
    if io::Read::take(input, LINE_BYTES).read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no line on standard input"));
    }
    if line.ends_with('\n') {
        line.pop();
        if line.ends_with('\r') {
            line.pop();
        }
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_without_its_end() {
        for (input, password) in [("secret\n", "secret"), ("a b \r\nc\n", "a b "), ("é", "é"), ("\n", "")] {
            assert_eq!(read_line(&mut input.as_bytes()).unwrap(), password);
        }
        assert_eq!(read_line(&mut "".as_bytes()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
