//! Asks for a password.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

/// Longest line taken for a password.
const LINE_BYTES: u64 = 4096;

/// Reads a password, one line of standard input; on a terminal it asks for it and shows none of it.
///
/// # Errors
///
/// What reading reports, and `UnexpectedEof` when there is no line.
pub fn read_password(prompt: &str) -> io::Result<String> {
    let input = io::stdin();
    if !input.is_terminal() {
        return read_line(&mut input.lock());
    }
    let mut err = io::stderr();
    write!(err, "{prompt}")?;
    err.flush()?;
    let silence = Silence::start()?;
    let line = read_line(&mut input.lock());
    drop(silence);
    // The line's own end was not shown either.
    writeln!(err)?;
    line
}

fn read_line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if io::Read::take(input, LINE_BYTES).read_line(&mut line)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no password was given"));
    }
    if line.ends_with('\n') {
        line.pop();
        if line.ends_with('\r') {
            line.pop();
        }
    }
    Ok(line)
}

/// A terminal without echo, until it is dropped.
struct Silence(Termios);

impl Silence {
    fn start() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone has no echo to bring back.
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
