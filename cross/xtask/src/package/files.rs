//! Files of the packages' directory, and the programs that compress and count them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use crate::run;

/// Directory of the packages.
pub(super) fn directory() -> PathBuf {
    run::root().join("target/packages")
}

/// Writes a file of the packages' directory.
pub(super) fn put(name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
    run::create_directory(&directory())?;
    let path = directory().join(name);
    run::write(&path, bytes)?;
    println!("    {name}: {} bytes", bytes.len());
    Ok(path)
}

/// Runs a program with `input` on its standard input; returns its output.
pub(super) fn filter(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let failed = |error| format!("{program}: {error}");
    let mut command = run::at_root(program);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut stdin = child.stdin.take().ok_or_else(|| format!("{program}: no standard input"))?;
    let output = thread::scope(|scope| {
        // A program that ends early has said why in its exit code.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output()
    });
    let output = output.map_err(failed)?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("{program} ended with {}", output.status))
    }
}

/// Compresses with gzip, without name and time.
pub(super) fn gzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    filter("gzip", &["-9", "-n", "-c"], bytes)
}

/// Hash of some bytes in hexadecimal, by `sha256sum` and its sisters.
pub(super) fn hash(program: &str, bytes: &[u8]) -> Result<String, String> {
    let text = filter(program, &[], bytes)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// The name of a file.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_that_of_the_bytes() {
        assert_eq!(hash("md5sum", b"").unwrap(), "d41d8cd98f00b204e9800998ecf8427e");
        assert!(filter("false", &[], &[0; 1 << 20]).is_err());
    }
}
