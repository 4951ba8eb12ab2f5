//! The steps that are cargo's own: formatting, lints, tests, documentation.

use std::path::PathBuf;
use std::process::Command;

use crate::{json, run};

/// Tests run at once: most of them wait for a deadline of the server, so more than there are cores.
const TEST_THREADS: &str = "8";

/// The workspace of the benchmark, which is none of ours: its peers must not be in our lock file.
pub(crate) const BENCH: [&str; 4] =
    ["--manifest-path", "cross/bench/Cargo.toml", "--target-dir", "cross/bench/target"];

/// The cargo that runs this tool.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = run::at_root(&program);
    command.args(arguments);
    command
}

/// Runs a cargo command that builds the program or test `name`, and returns the path of it.
pub(crate) fn executable(command: &mut Command, name: &str) -> Result<PathBuf, String> {
    let messages = run::captured(command.args(["--message-format", "json-render-diagnostics"]))?;
    messages
        .lines()
        .filter_map(|line| json::parse(line).ok())
        .filter(|message| {
            message.member("target").and_then(|target| target.member("name")?.text()) == Some(name)
        })
        .find_map(|message| message.member("executable")?.text().map(PathBuf::from))
        .ok_or_else(|| format!("cargo built no program '{name}'"))
}

/// A program of tests.
#[derive(Debug)]
pub(crate) struct TestProgram {
    /// What it tests: the name of the library or of the test.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
}

/// Runs a cargo command that builds tests, for one target or for several, and returns them all.
pub(crate) fn test_programs(command: &mut Command) -> Result<Vec<TestProgram>, String> {
    let messages = run::captured(command.args(["--message-format", "json-render-diagnostics"]))?;
    Ok(messages.lines().filter_map(|line| test_program(&json::parse(line).ok()?)).collect())
}

fn test_program(message: &json::Value) -> Option<TestProgram> {
    let path = PathBuf::from(message.member("executable")?.text()?);
    // Programs that tests start are told too; those lie one folder above.
    let is_test = path.parent()?.ends_with("deps");
    let name = message.member("target")?.member("name")?.text()?.to_owned();
    is_test.then_some(TestProgram { name, path })
}

/// Sources are as `cargo fmt` leaves them.
pub(crate) fn fmt() -> Result<(), String> {
    component("rustfmt", "fmt")?;
    run::shown(&mut cargo(&["fmt", "--all", "--check"]))?;
    run::shown(&mut cargo(&["fmt", "--all", "--check", "--manifest-path", "cross/bench/Cargo.toml"]))
}

/// Clippy and the compiler have nothing to say.
pub(crate) fn lint() -> Result<(), String> {
    component("clippy", "clippy")?;
    for workspace in [&[][..], &BENCH] {
        let mut command = cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet"]);
        run::shown(command.args(workspace).args(["--", "--deny", "warnings"]))?;
    }
    Ok(())
}

/// Unit tests, documentation tests and the integration binary.
pub(crate) fn unit() -> Result<(), String> {
    run::shown(&mut cargo(&[
        "test",
        "--workspace",
        "--locked",
        "--no-fail-fast",
        "--",
        "--test-threads",
        TEST_THREADS,
    ]))?;
    run::shown(cargo(&["test", "--locked", "--package", "load"]).args(BENCH))
}

/// The documentation builds without a warning, so its links lead somewhere.
pub(crate) fn docs() -> Result<(), String> {
    run::shown(
        cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// Installs a component of the toolchain that a minimal installation lacks.
fn component(name: &str, subcommand: &str) -> Result<(), String> {
    if run::works("cargo", &[subcommand, "--version"]) {
        return Ok(());
    }
    run::shown(run::at_root("rustup").args(["component", "add", name]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_the_programs_that_they_start() {
        let program = |path: &str| {
            let text = format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"friendlet"}},"executable":{path}}}"#
            );
            test_program(&json::parse(&text).unwrap())
        };
        let found = program(r#""/t/debug/deps/friendlet-1""#).unwrap();
        assert_eq!(
            (found.name.as_str(), found.path),
            ("friendlet", PathBuf::from("/t/debug/deps/friendlet-1"))
        );
        assert!(program(r#""/t/debug/friendlet""#).is_none() && program("null").is_none());
    }
}
