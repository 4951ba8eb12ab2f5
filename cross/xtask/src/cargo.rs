//! Commands of cargo, and the programs that they build.

use std::path::PathBuf;
use std::process::Command;

use cargo_metadata::{Artifact, Message};

use crate::run;

/// The workspace of the benchmark, which is none of ours: its peers must not be in our lock file.
pub(crate) const BENCH: [&str; 4] =
    ["--manifest-path", "cross/bench/Cargo.toml", "--target-dir", "cross/bench/target"];

/// The workspace of the fuzz targets, which need libFuzzer.
pub(crate) const FUZZ: [&str; 4] =
    ["--manifest-path", "tests/fuzz/Cargo.toml", "--target-dir", "tests/fuzz/target"];

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

/// Runs a cargo command that builds programs, and returns them all.
pub(crate) fn programs(command: &mut Command) -> Result<Vec<Program>, String> {
    Ok(artifacts(command)?.into_iter().filter_map(program).collect())
}

fn program(artifact: Artifact) -> Option<Program> {
    Some(Program { name: artifact.target.name, path: artifact.executable?.into() })
}

/// A program that cargo has built.
#[derive(Debug)]
pub(crate) struct Program {
    /// Name of the program, or of the library or test of a test program.
    pub(crate) name: String,
    /// Path of the program.
    pub(crate) path: PathBuf,
}

/// Runs a cargo command that builds tests, for one target or for several, and returns them all. The
/// programs that tests start are not among them.
pub(crate) fn test_programs(command: &mut Command) -> Result<Vec<Program>, String> {
    let tests = artifacts(command)?.into_iter().filter(|artifact| artifact.profile.test);
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
