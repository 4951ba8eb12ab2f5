//! The steps that are cargo's own: formatting, lints, tests, documentation.

use std::path::PathBuf;
use std::process::Command;

use cargo_metadata::{Artifact, Message};

use crate::run;

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
    let built = artifacts(command)?.into_iter().find(|artifact| artifact.target.name == name);
    let program = built.and_then(|artifact| artifact.executable);
    program.map(PathBuf::from).ok_or_else(|| format!("cargo built no program '{name}'"))
}

/// A test program that cargo has built.
#[derive(Debug)]
pub(crate) struct Program {
    /// Name of the library or the test.
    pub(crate) name: String,
    /// Path of the program.
    pub(crate) path: PathBuf,
}

/// Runs a cargo command that builds tests, for one target or for several, and returns them all. The
/// programs that tests start are not among them.
pub(crate) fn test_programs(command: &mut Command) -> Result<Vec<Program>, String> {
    let tests = artifacts(command)?.into_iter().filter(|artifact| artifact.profile.test);
    let program =
        |artifact: Artifact| Some(Program { name: artifact.target.name, path: artifact.executable?.into() });
    Ok(tests.filter_map(program).collect())
}

/// Everything with a program that a cargo command builds.
fn artifacts(command: &mut Command) -> Result<Vec<Artifact>, String> {
    let messages = run::captured(command.args(["--message-format", "json-render-diagnostics"]))?;
    let mut artifacts = Vec::new();
    for message in Message::parse_stream(messages.as_bytes()) {
        if let Message::CompilerArtifact(artifact) =
            message.map_err(|error| format!("cargo's messages: {error}"))?
            && artifact.executable.is_some()
        {
            artifacts.push(artifact);
        }
    }
    Ok(artifacts)
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
