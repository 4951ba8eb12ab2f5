//! The steps that are cargo's own: formatting, lints, tests, documentation.

use std::path::PathBuf;

use crate::cargo::{BENCH, FUZZ, cargo, executable};
use crate::part::Part;
use crate::{left_out, run};

/// Tests run at once: most of them wait for a deadline of the server, so more than there are cores.
const TEST_THREADS: &str = "8";
/// Last commit of the first version, whose state this one takes over and gives back.
const FIRST_VERSION: &str = "3e69930acc";

/// Sources are as `cargo fmt` leaves them.
pub(crate) fn fmt() -> Result<(), String> {
    component("rustfmt", "fmt")?;
    run::shown(&mut cargo(&["fmt", "--all", "--check"]))?;
    run::shown(&mut cargo(&["fmt", "--all", "--check", "--manifest-path", "cross/bench/Cargo.toml"]))
}

/// Clippy and the compiler have no warning; in the fast part, which does not build them, not of the benchmark and
/// the fuzz targets.
pub(crate) fn lint(part: Part) -> Result<(), String> {
    component("clippy", "clippy")?;
    let workspaces = match part {
        Part::Fast => &[&[][..]][..],
        Part::Whole => &[&[][..], &BENCH, &FUZZ],
    };
    for workspace in workspaces {
        let mut command = cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--quiet"]);
        run::shown(command.args(*workspace).args(["--", "--deny", "warnings"]))?;
    }
    Ok(())
}

/// Unit tests, documentation tests and the integration binary; in the whole gate those that take
/// minutes and those of the load, too.
pub(crate) fn unit(part: Part) -> Result<(), String> {
    let mut command = cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--"]);
    command.args(["--test-threads", TEST_THREADS]).args(left_out::arguments(None));
    run::shown(&mut command)?;
    left_out::check()?;
    if part == Part::Fast {
        return Ok(());
    }
    let minutes =
        ["--", "--ignored", "--show-output", "system::endurance::", "system::deaths::", "system::earlier::"];
    let mut command = cargo(&["test", "--locked", "--test", "it"]);
    run::shown(command.args(minutes).env("FRIENDLET_EARLIER", first_version()?))?;
    run::shown(cargo(&["test", "--locked", "--package", "load"]).args(BENCH))
}

/// Builds the program of the first version, with everything below `target/first`.
fn first_version() -> Result<PathBuf, String> {
    let directory = run::root().join("target/first");
    run::create_directory(&directory)?;
    let extract = format!("git archive {FIRST_VERSION} | tar -x -C target/first");
    run::shown(run::at_root("sh").args(["-c", &extract]))?;
    let arguments = ["build", "--locked", "--bin", "friendlet", "--manifest-path", "target/first/Cargo.toml"];
    executable(cargo(&arguments).args(["--target-dir", "target/first/target"]), "friendlet")
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
