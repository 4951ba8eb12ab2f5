//! The steps of `cargo xtask test`, and the table at its end.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::{
    bench, board, booted, build, cargo, conformance, emulation, image, licences, logs, setup, sizes,
};

/// One thing that is checked.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it checks, in a line.
    pub(crate) about: &'static str,
    check: fn() -> Result<(), String>,
}

/// Every step, in an order in which what is cheap fails first.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "setup", about: "what the steps need is there, or is installed", check: set_up },
    Step { name: "fmt", about: "sources are formatted (cargo fmt --check)", check: cargo::fmt },
    Step {
        name: "deny",
        about: "licences of all dependencies are those of deny.toml",
        check: licences::check,
    },
    Step {
        name: "cargo-deny",
        about: "bans, licences and sources of deny.toml, by cargo-deny",
        check: licences::cargo_deny,
    },
    Step { name: "tiers", about: "boards/README.md lists the boards as they are", check: board::check_table },
    Step { name: "lint", about: "no warning of the compiler or of clippy", check: cargo::lint },
    Step { name: "unit", about: "cargo test: unit, documentation and integration tests", check: cargo::unit },
    Step { name: "docs", about: "the documentation builds without a warning", check: cargo::docs },
    Step {
        name: "conformance",
        about: "RFC 6455: kosoku's 301 cases against the echo built from ws and net",
        check: conformance::check,
    },
    Step {
        name: "logs",
        about: "a device's log, in frames, says what the text log says of the same exchange",
        check: logs::check,
    },
    Step {
        name: "boards",
        about: "every board builds, static and within its budget; tier 2 is imaged",
        check: boards,
    },
    Step {
        name: "figures",
        about: "instructions, system calls, allocations, bytes: not worse than kept in cross/bench/figures.toml",
        check: bench::check,
    },
    Step {
        name: "emulated",
        about: "all tests on the processors of generic-armv5 and raspberrypi-zero, in user-mode QEMU",
        check: emulated,
    },
    Step {
        name: "booted",
        about: "the emulated boards of tier 1, booted from their images in system-mode QEMU",
        check: booted::check_all,
    },
];

/// Everything that building, testing and booting any board needs.
fn set_up() -> Result<(), String> {
    setup::setup(&Board::all()?, false)
}

/// Builds each board and holds it to its budget.
fn boards() -> Result<(), String> {
    build::check_refusals()?;
    let all = Board::all()?;
    build::build_together(&all);
    for board in &all {
        build::build(board)?;
        sizes::show(board)?;
        // Those of tier 1 are imaged where they are booted.
        if board.tier > 1 {
            image::make(board, &image::Options::default())?;
        }
    }
    Ok(())
}

/// The oldest processors: what they run, the others do too.
fn emulated() -> Result<(), String> {
    let boards = ["generic-armv5", "raspberrypi-zero"].map(Board::load);
    emulation::test(&boards.into_iter().collect::<Result<Vec<_>, _>>()?)
}

/// How one step went.
struct Outcome {
    name: &'static str,
    took: Duration,
    error: Option<String>,
}

/// Runs the steps to the last, whatever fails, and tells of each.
pub(crate) fn run(steps: &[&Step]) -> ExitCode {
    let mut outcomes = Vec::with_capacity(steps.len());
    for step in steps {
        println!("==> {}: {}", step.name, step.about);
        let start = Instant::now();
        let error = (step.check)().err();
        if let Some(error) = &error {
            println!("    failed: {error}");
        }
        outcomes.push(Outcome { name: step.name, took: start.elapsed(), error });
    }
    print!("\n{}", table(&outcomes));
    if outcomes.iter().all(|outcome| outcome.error.is_none()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let verdict = if outcome.error.is_none() { "passed" } else { "FAILED" };
        text += &format!("{:<14} {verdict} {:>8.1} s\n", outcome.name, outcome.took.as_secs_f64());
        if let Some(error) = &outcome.error {
            text += &format!("               {}\n", error.lines().next().unwrap_or_default());
        }
    }
    let failed = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
    text += &format!("steps: {} passed, {failed} failed\n", outcomes.len() - failed);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &'static str, error: Option<&str>) -> Outcome {
        Outcome { name, took: Duration::from_millis(1500), error: error.map(str::to_owned) }
    }

    #[test]
    fn the_table_counts_and_tells_the_first_line_of_an_error() {
        let text = table(&[outcome("fmt", None), outcome("unit", Some("broken\nmore"))]);
        assert_eq!(
            text,
            "fmt            passed      1.5 s\nunit           FAILED      1.5 s\n               broken\n\
             steps: 1 passed, 1 failed\n"
        );
    }

    #[test]
    fn step_names_are_unique() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STEPS.len());
    }
}
