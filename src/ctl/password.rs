//! Passwords: prompt, and the form in which they are sent.

use std::io::{self, BufRead, IsTerminal, Write};

use ring::digest;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

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
    if !input.is_terminal() {
        return read_line(&mut input.lock());
    }
    let mut err = io::stderr();
    write!(err, "{prompt}")?;
    err.flush()?;
    let no_echo = is_secret.then(NoEcho::start).transpose()?;
    let line = read_line(&mut input.lock());
    if no_echo.is_some() {
        drop(no_echo);
        // The end of the line was not echoed either.
        writeln!(err)?;
    }
    line
}

/// Hash of a password as it is sent.
pub(super) fn hashed(password: &str) -> String {
    let hash = digest::digest(&digest::SHA256, password.as_bytes());
    format!("HASHED{}", base16ct::lower::encode_string(hash.as_ref()))
}

fn read_line(input: &mut impl BufRead) -> io::Result<String> {
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

/// Standard input without echo, until dropped.
struct NoEcho(Termios);

impl NoEcho {
    fn start() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        // A terminal that has hung up has no echo to restore.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
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
