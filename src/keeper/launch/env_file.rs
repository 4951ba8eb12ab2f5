//! File of environment variables.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{at, io_at};
use crate::keeper::{ENV_FILE_BYTES, ENV_FILE_VARIABLES};
use crate::service::{SpawnError, SpawnStage};

/// Name and value of a variable.
type Variable = (String, String);

/// Reads a file of environment variables.
///
/// # Errors
/// Error of reading it; `E2BIG` above a limit, `EINVAL` with the line that is wrong, `EOPNOTSUPP` for what
/// is not a regular file.
pub(super) fn read(path: &str) -> Result<Vec<Variable>, SpawnError> {
    let mut bytes = Vec::new();
    if !fs::metadata(path).map_err(io_at(SpawnStage::EnvFile))?.is_file() {
        return Err(at(SpawnStage::EnvFile)(Errno::OPNOTSUPP));
    }
    // It may be another one by now: a pipe would have its reader wait.
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path);
    let file = file.map_err(io_at(SpawnStage::EnvFile))?;
    // One byte more than the limit shows that the file exceeds it.
    file.take(ENV_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io_at(SpawnStage::EnvFile))?;
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Vec<Variable>, SpawnError> {
    let error = at(SpawnStage::EnvFile);
    if bytes.len() > ENV_FILE_BYTES {
        return Err(error(Errno::TOOBIG));
    }
    let mut variables = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let wrong = || error(Errno::INVAL).with_item(index);
        let line = core::str::from_utf8(line).map_err(|_| wrong())?.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let variable = variable(line).ok_or_else(wrong)?;
        if variables.len() == ENV_FILE_VARIABLES {
            return Err(error(Errno::TOOBIG).with_item(index));
        }
        variables.push(variable);
    }
    Ok(variables)
}

/// Parses `NAME=value`, where the value may be in quotes, which have no other effect.
fn variable(line: &str) -> Option<Variable> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim_end(), value.trim_start());
    let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let in_quotes = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let value = in_quotes.unwrap_or(value);
    (is_name && !value.contains('\0')).then(|| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_comments_and_quotes() {
        let text = "# comment\n\nA=1\n  B = two words \r\nC=\"a=b \"\nD='\"'\nE=\n_F1=\"\nG=# no comment\n";
        let variables = parse(text.as_bytes()).unwrap();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(
            variables,
            [
                ("A", "1"),
                ("B", "two words"),
                ("C", "a=b "),
                ("D", "\""),
                ("E", ""),
                ("_F1", "\""),
                ("G", "# no comment"),
            ]
        );
    }

    #[test]
    fn wrong_lines_are_named() {
        for line in ["A", "=1", "1A=1", "A B=1", "export A=1", "\u{e4}=1", "A=\0"] {
            let error = parse(format!("A=1\n#\n{line}\n").as_bytes()).unwrap_err();
            assert_eq!(error, SpawnError::new(SpawnStage::EnvFile, 22).with_item(2), "{line}");
        }
        assert_eq!(parse(b"A=\xff").unwrap_err().item, 1);
    }

    #[test]
    fn environment_file_up_to_its_limits() {
        let too_big = SpawnError::new(SpawnStage::EnvFile, 7);
        let text = "A=".to_owned() + &"x".repeat(ENV_FILE_BYTES - 2);
        assert_eq!(parse(text.as_bytes()).unwrap().len(), 1);
        assert_eq!(parse((text + "x").as_bytes()), Err(too_big));
        let text = "A=1\n".repeat(ENV_FILE_VARIABLES);
        assert_eq!(parse(text.as_bytes()).unwrap().len(), ENV_FILE_VARIABLES);
        assert_eq!(parse((text + "A=1").as_bytes()), Err(too_big.with_item(ENV_FILE_VARIABLES)));
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused() {
        let directory = crate::sys::tests::TestDirectory::new("env-file");
        let pipe = directory.0.join("pipe");
        fs::create_dir_all(&directory.0).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        for path in [pipe.to_str().unwrap(), "/", "/dev/null"] {
            assert_eq!(read(path), Err(SpawnError::new(SpawnStage::EnvFile, 95)), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
