//! Passwords: prompt, and the form in which they are sent.

use std::io::{self, IsTerminal as _, Write};

use ring::digest;

use crate::sys::terminal::{self, HiddenInput};

/// Longest line that is read as a password.
const LINE_BYTES: usize = 4096;

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
    if !terminal::is_terminal() {
        return read_line(&mut terminal::read_input);
    }
    let mut err = io::stderr();
    // A secret may be typed for a program behind a pipe; a question that nobody sees would wait for ever.
    if !is_secret && !err.is_terminal() {
        return Err(io::Error::other("standard error is not the terminal"));
    }
    // The echo ends before anybody types.
    let hidden = is_secret.then(HiddenInput::new).transpose()?;
    write!(err, "{prompt}")?;
    err.flush()?;
    match hidden {
        Some(mut hidden) => read_line(&mut |buffer| hidden.read(buffer)),
        None => read_line(&mut terminal::read_input),
    }
}

/// Hash of a password as it is sent.
pub(super) fn hashed(password: &str) -> String {
    let hash = digest::digest(&digest::SHA256, password.as_bytes());
    format!("HASHED{}", base16ct::lower::encode_string(hash.as_ref()))
}

fn read_line(read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>) -> io::Result<String> {
    let line = terminal::read_line(read, LINE_BYTES)?;
    let line =
        line.ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no line on standard input"))?;
    String::from_utf8(line).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn line(mut input: &[u8]) -> io::Result<String> {
        read_line(&mut |buffer| input.read(buffer))
    }

    #[test]
    fn one_line_without_its_end() {
        for (input, password) in [("secret\n", "secret"), ("a b \r\nc\n", "a b "), ("é", "é"), ("\n", "")] {
            assert_eq!(line(input.as_bytes()).unwrap(), password);
        }
        assert_eq!(line(b"").unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(line(b"\xff\n").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(line(&[b'a'; LINE_BYTES + 1]).unwrap().len(), LINE_BYTES);
    }
}
