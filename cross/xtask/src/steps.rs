//! The steps of `cargo xtask test`, and the report at its end.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::part::Part::{self, Fast, Whole};
use crate::{
    bench, board, booted, build, checks, clock, conformance, emulation, image, licences, logs, notes, run,
    setup, sizes,
};

/// The page that `cargo xtask test --all` writes.
const PAGE: &str = "docs/gate.md";

/// One check.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// The smallest part that it belongs to.
    pub(crate) part: Part,
    /// One line for the help.
    pub(crate) about: &'static str,
    /// Runs it. Some steps do less in the fast part.
    check: fn(Part) -> Result<(), String>,
}

const fn step(
    name: &'static str,
    part: Part,
    check: fn(Part) -> Result<(), String>,
    about: &'static str,
) -> Step {
    Step { name, part, about, check }
}

/// Every step, in an order in which what is cheap fails first.
#[rustfmt::skip]
pub(crate) const STEPS: &[Step] = &[
    step("setup", Fast, set_up, "install what the steps need"),
    step("fmt", Fast, |_| checks::fmt(), "sources are formatted (cargo fmt --check)"),
    step("deny", Fast, |_| licences::check(), "licences of all dependencies are those of deny.toml"),
    step("cargo-deny", Whole, |_| licences::cargo_deny(), "bans, licences and sources of deny.toml, by cargo-deny"),
    step("tiers", Fast, |_| board::check_table(), "boards/README.md lists the boards as they are"),
    step("lint", Fast, checks::lint, "no warning of the compiler or of clippy; whole: of the peers' benchmark and the fuzz targets, too"),
    step("unit", Fast, checks::unit, "unit, documentation and integration tests, and the recorded messages"),
    step("docs", Whole, |_| checks::docs(), "the documentation builds without a warning"),
    step("conformance", Fast, |_| conformance::check(), "RFC 6455: kosoku's 301 cases against the echo built from ws and net"),
    step("logs", Whole, |_| logs::check(), "log frames of a board decode to the lines of a text log"),
    step("boards", Whole, |_| boards(), "every board builds, static and within its budget; tier 2 is imaged"),
    step("figures", Fast, |_| bench::check(), "instructions, system calls, allocations, bytes: not worse than in cross/bench/figures.toml"),
    step("emulated", Whole, |_| emulated(), "all tests on the processors of generic-armv5 and raspberrypi-zero, in user-mode QEMU"),
    step("booted", Fast, booted::check_part, "one board booted in QEMU, and the black-box cases; whole: all of tier 1, resets, power cuts"),
];

/// The steps of a part.
pub(crate) fn of(part: Part) -> Vec<&'static Step> {
    STEPS.iter().filter(|step| part == Whole || step.part == Fast).collect()
}

/// Installs what the steps of this part need.
fn set_up(part: Part) -> Result<(), String> {
    let boards = match part {
        Fast => ["host", booted::FAST_BOARD].into_iter().map(Board::load).collect::<Result<_, _>>()?,
        Whole => Board::all()?,
    };
    setup::setup(&boards, false)
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

/// Result of one step.
struct Outcome {
    name: &'static str,
    elapsed: Duration,
    /// Processor time of the programs that it ran: unlike `elapsed` the same on a busy machine.
    processor: Duration,
    error: Option<String>,
}

/// Runs the steps to the last, whatever fails, and reports each.
pub(crate) fn run(steps: &[&Step], part: Part) -> ExitCode {
    notes::clear();
    let mut outcomes = Vec::with_capacity(steps.len());
    for step in steps {
        println!("==> {}: {}", step.name, step.about);
        let (start, used) = (Instant::now(), clock::used_by_children());
        let error = (step.check)(part).err();
        if let Some(error) = &error {
            println!("    failed: {error}");
        }
        let processor = clock::used_by_children().saturating_sub(used);
        outcomes.push(Outcome { name: step.name, elapsed: start.elapsed(), processor, error });
    }
    let notes = notes::read();
    if steps.len() == STEPS.len()
        && let Err(error) = write_page(&outcomes, &notes)
    {
        println!("    {error}");
    }
    print!("\n{notes}{}", table(&outcomes));
    if outcomes.iter().all(|outcome| outcome.error.is_none()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn verdict(outcome: &Outcome) -> &'static str {
    if outcome.error.is_none() { "passed" } else { "FAILED" }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = String::new();
    for outcome in outcomes {
        let [elapsed, processor] = [outcome.elapsed, outcome.processor].map(|time| time.as_secs_f64());
        let (name, verdict) = (outcome.name, verdict(outcome));
        text += &format!("{name:<14} {verdict} {elapsed:>8.1} s {processor:>8.1} s of processor time\n");
        if let Some(error) = &outcome.error {
            text += &format!("               {}\n", error.lines().next().unwrap_or_default());
        }
    }
    text + &totals(outcomes)
}

/// The last line, which CI reads.
fn totals(outcomes: &[Outcome]) -> String {
    let failed = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
    format!("steps: {} passed, {failed} failed\n", outcomes.len() - failed)
}

/// Writes the page of the last run of the whole gate.
fn write_page(outcomes: &[Outcome], notes: &notes::Notes) -> Result<(), String> {
    let date = run::captured(run::at_root("date").args(["-u", "+%Y-%m-%d"]))?;
    let text = page(date.trim(), outcomes, notes);
    fs::write(run::root().join(PAGE), text).map_err(|error| format!("{PAGE}: {error}"))
}

fn page(date: &str, outcomes: &[Outcome], notes: &notes::Notes) -> String {
    let mut text = format!(
        "# The last run of the whole gate\n\n`cargo xtask test --all` wrote this page on {date}; \
         [CONTRIBUTING.md](../CONTRIBUTING.md) says when to run it.\n\n\
         | step | result | seconds | seconds of processor time |\n|---|---|---:|---:|\n"
    );
    for outcome in outcomes {
        let [elapsed, processor] = [outcome.elapsed, outcome.processor].map(|time| time.as_secs());
        text += &format!("| `{}` | {} | {elapsed} | {processor} |\n", outcome.name, verdict(outcome));
    }
    // As list items: a block would be one that no test of the documents reads.
    let lines = format!("{notes}{}", totals(outcomes));
    let items = lines.lines().map(|line| {
        let (indent, line) = (line.len() - line.trim_start().len(), line.trim_start());
        format!("{}- {line}\n", if indent == 0 { "" } else { "  " })
    });
    text + "\n" + &items.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &'static str, error: Option<&str>) -> Outcome {
        let time = Duration::from_millis(1500);
        Outcome { name, elapsed: time, processor: 2 * time, error: error.map(str::to_owned) }
    }

    #[test]
    fn the_table_counts_and_shows_the_first_line_of_an_error() {
        let text = table(&[outcome("fmt", None), outcome("unit", Some("broken\nmore"))]);
        assert_eq!(
            text,
            "fmt            passed      1.5 s      3.0 s of processor time\n\
             unit           FAILED      1.5 s      3.0 s of processor time\n               broken\n\
             steps: 1 passed, 1 failed\n"
        );
    }

    #[test]
    fn the_page_has_date_steps_and_notes() {
        let notes = notes::Notes::default();
        let text = page("2026-01-02", &[outcome("fmt", None), outcome("unit", Some("broken"))], &notes);
        assert!(text.contains("on 2026-01-02;") && text.contains("| `unit` | FAILED | 1 | 3 |\n"), "{text}");
        assert!(text.contains("boots begun anew: 0\n") && text.contains("steps: 1 passed, 1 failed\n"));
    }

    #[test]
    fn step_names_are_unique_and_the_fast_part_is_a_part_of_the_whole() {
        let mut names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!((names.len(), of(Whole).len()), (STEPS.len(), STEPS.len()));
        assert!(of(Fast).iter().all(|step| step.part == Fast) && of(Fast).len() < STEPS.len());
    }
}
