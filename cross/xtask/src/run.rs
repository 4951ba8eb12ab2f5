//! Starting other programs: found or not, passed or not, and what they printed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Root of the repository: two directories above this package.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The text of a file; an error names the file, as it does below.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The content of a file.
pub(crate) fn bytes_of(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file, in place of one that is there.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))
}

/// Makes a directory, and those above it.
pub(crate) fn create_directory(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A command that starts in the root of the repository.
pub(crate) fn at_root(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// Runs `command` with its output shown; the error names the command and how it ended.
pub(crate) fn shown(command: &mut Command) -> Result<(), String> {
    println!("    $ {}", line(command));
    let status = command.status().map_err(|error| not_started(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", line(command))) }
}

/// Runs `command` with its error output shown, and returns what it printed.
pub(crate) fn captured(command: &mut Command) -> Result<String, String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| not_started(command, &error))?;
    if !output.status.success() {
        return Err(format!("`{}` ended with {}", line(command), output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| format!("`{}` printed something that is not text", line(command)))
}

/// Runs `command` with its error output shown, and returns the bytes that it printed.
pub(crate) fn bytes(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| not_started(command, &error))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("`{}` ended with {}", line(command), output.status))
    }
}

/// Returns whether `program ARGUMENT` starts and succeeds; its output is not shown.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    at_root(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as it would be typed: a program without its directory.
fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut text = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text += &argument.to_string_lossy();
    }
    text
}

fn not_started(command: &Command, error: &io::Error) -> String {
    format!("`{}` did not start: {error}", line(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("cross/xtask/Cargo.toml").is_file());
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = shown(at_root("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(error.contains("sh -c exit 3") && error.contains('3'), "{error}");
        let error = captured(&mut at_root("/nowhere/at-all")).unwrap_err();
        assert!(error.contains("`at-all` did not start"), "{error}");
        assert_eq!(captured(at_root("printf").arg("ok")), Ok("ok".to_owned()));
        assert!(works("true", &[]) && !works("false", &[]));
    }
}
