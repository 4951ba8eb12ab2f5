//! The steps that are cargo's own: formatting, lints, tests, documentation.

use std::path::PathBuf;
use std::process::Command;

use crate::steps::Part;
use crate::{json, left_out, run};

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
    let built = programs(command)?.into_iter().find(|program| program.name == name);
    built.map(|program| program.path).ok_or_else(|| format!("cargo built no program '{name}'"))
}

/// Runs a cargo command that builds tests, for one target or for several, and returns them all.
pub(crate) fn test_programs(command: &mut Command) -> Result<Vec<Program>, String> {
    Ok(programs(command)?.into_iter().filter(Program::is_test).collect())
}

/// A program that cargo has built.
#[derive(Debug)]
pub(crate) struct Program {
    /// The name of the program, or of the library or test that it tests.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl Program {
    fn new(message: &json::Value) -> Option<Self> {
        let path = PathBuf::from(message.member("executable")?.text()?);
        let name = message.member("target")?.member("name")?.text()?.to_owned();
        Some(Self { name, path })
    }

    /// Programs that tests start are told with them; those lie one folder above.
    fn is_test(&self) -> bool {
        self.path.parent().is_some_and(|folder| folder.ends_with("deps"))
    }
}

fn programs(command: &mut Command) -> Result<Vec<Program>, String> {
    let messages = run::captured(command.args(["--message-format", "json-render-diagnostics"]))?;
    Ok(messages.lines().filter_map(|line| Program::new(&json::parse(line).ok()?)).collect())
}

/// Sources are as `cargo fmt` leaves them.
pub(crate) fn fmt() -> Result<(), String> {
    component("rustfmt", "fmt")?;
    run::shown(&mut cargo(&["fmt", "--all", "--check"]))?;
    run::shown(&mut cargo(&["fmt", "--all", "--check", "--manifest-path", "cross/bench/Cargo.toml"]))
}

/// Clippy and the compiler have no warning; in the fast part, which does not build it, not of the benchmark.
pub(crate) fn lint(part: Part) -> Result<(), String> {
    component("clippy", "clippy")?;
    let workspaces = match part {
        Part::Fast => &[&[][..]][..],
        Part::Whole => &[&[][..], &BENCH],
    };
    for workspace in workspaces {
        let mut command = cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet"]);
        run::shown(command.args(*workspace).args(["--", "--deny", "warnings"]))?;
    }
    Ok(())
}

/// Unit tests, documentation tests and the integration binary; in the whole gate those of the load, too.
pub(crate) fn unit(part: Part) -> Result<(), String> {
    let mut command = cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--"]);
    command.args(["--test-threads", TEST_THREADS]).args(left_out::arguments(None));
    run::shown(&mut command)?;
    left_out::check()?;
    match part {
        Part::Fast => Ok(()),
        Part::Whole => run::shown(cargo(&["test", "--locked", "--package", "load"]).args(BENCH)),
    }
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
            Program::new(&json::parse(&text).unwrap()).filter(Program::is_test)
        };
        let found = program(r#""/t/debug/deps/friendlet-1""#).unwrap();
        assert_eq!(
            (found.name.as_str(), found.path),
            ("friendlet", PathBuf::from("/t/debug/deps/friendlet-1"))
        );
        assert!(program(r#""/t/debug/friendlet""#).is_none() && program("null").is_none());
    }
}
