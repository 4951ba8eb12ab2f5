//! `cargo xtask log`: the log of a device as text.
//!
//! The frames are read by a program of its own, `cross/frames`, so that this tool does not wait for its
//! libraries to be built.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use lexopt::Arg::{Long, Value};
use lexopt::ValueExt as _;

use crate::{build, cargo};

/// Usage and summary for the help.
pub(crate) const HELP: (&str, &str) = (
    "log [FILE.. | --url URL [--follow]] [--elf FILE] [--lines]",
    "the log of a device as text: from its files, standard input, or a server, whose session\n\
     \x20     is that of `friendlet ctl --url URL login USER`; --lines: without places and wall clock",
);

/// Source and form of the log.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Options {
    files: Vec<PathBuf>,
    url: Option<String>,
    follow: bool,
    elf: Option<PathBuf>,
    lines: bool,
}

/// Reads the command line behind `log`.
pub(crate) fn parse(words: &[&str]) -> Result<Options, String> {
    options(words).map_err(|error| format!("log: {error}"))
}

fn options(words: &[&str]) -> Result<Options, lexopt::Error> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("url") => options.url = Some(parser.value()?.string()?),
            Long("elf") => options.elf = Some(parser.value()?.into()),
            Long("follow") => options.follow = true,
            Long("lines") => options.lines = true,
            Value(file) => options.files.push(file.into()),
            other => return Err(other.unexpected()),
        }
    }
    if options.url.is_some() && !options.files.is_empty() {
        return Err("files or --url, not both".into());
    }
    if options.follow && options.url.is_none() {
        return Err("--follow needs --url".into());
    }
    Ok(options)
}

/// The program that reads frames, built.
pub(crate) fn reader() -> Result<PathBuf, String> {
    let mut command = cargo::cargo(&["build", "--quiet", "--workspace", "--locked", "--bin", "frames"]);
    cargo::executable(&mut command, "frames")
}

/// Prints the log.
pub(crate) fn show(options: &Options) -> Result<(), String> {
    let mut frames = Command::new(reader()?);
    frames.arg("--symbols").arg(build::symbols());
    if let Some(elf) = &options.elf {
        frames.arg("--elf").arg(elf);
    }
    if options.lines {
        frames.arg("--lines");
    }
    frames.args(&options.files);
    let Some(url) = &options.url else {
        return ended(&mut frames);
    };
    let mut build = cargo::cargo(&["build", "--quiet", "--workspace", "--locked"]);
    let friendlet = cargo::executable(build.args(["--bin", "friendlet"]), "friendlet")?;
    let mut client = Command::new(friendlet);
    client.args(["ctl", "--url", url, "server-log", "--raw", "-"]);
    if options.follow {
        client.arg("--follow");
    }
    let failed = |error: std::io::Error| format!("friendlet ctl: {error}");
    let mut client = client.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let records = client.stdout.take().ok_or("friendlet ctl has no output")?;
    let shown = ended(frames.stdin(records));
    let status = client.wait().map_err(failed)?;
    shown?;
    if status.success() { Ok(()) } else { Err(format!("friendlet ctl ended with {status}")) }
}

fn ended(frames: &mut Command) -> Result<(), String> {
    let status = frames.status().map_err(|error| format!("frames: {error}"))?;
    if status.success() { Ok(()) } else { Err("the log was not read to its end".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_read() {
        let options = parse(&["--url", "wss://b:6500", "--follow", "--elf=x", "--lines"]).unwrap();
        assert_eq!(options.url.as_deref(), Some("wss://b:6500"));
        assert!(options.follow && options.lines && options.elf == Some("x".into()));
        assert_eq!(parse(&["a", "b"]).unwrap().files, ["a", "b"].map(PathBuf::from));
        assert_eq!(parse(&[]).unwrap(), Options::default());
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for words in [&["--url"][..], &["--url", "u", "f"], &["--follow"], &["--loud"], &["--lines=1"]] {
            assert!(parse(words).unwrap_err().starts_with("log: "), "{words:?}");
        }
    }
}
