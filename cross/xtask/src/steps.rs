//! The steps of `cargo xtask test`, and the report at its end.

use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::part::Part::{self, Fast, Whole};
use crate::{
    bench, board, book, booted, build, checks, clock, conformance, console, descriptions, discovery,
    emulation, fuzz, image, licences, logs, notes, package, rest, run, setup, sizes,
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
    step("book", Whole, |_| book::check(), "the documentation builds as a book, whose links lead somewhere; its client for Node runs"),
    step("console", Whole, |_| console::check(), "the console at / in Chromium: every part of it, its keyboard, its accessibility"),
    step("rest", Whole, |_| rest::check(), "the API under /api/v1 answers as its description says, by schemathesis, and /metrics, by Prometheus's parser"),
    step("descriptions", Whole, |_| descriptions::check(), "the descriptions of the API and the schema of the configuration file have no fault, by spectral and taplo"),
    step("discovery", Whole, |_| discovery::check(), "zeroconf of Python finds a server that is announced on its network"),
    step("conformance", Fast, |_| conformance::check(), "RFC 6455: kosoku's 301 cases against the echo built from ws and net"),
    step("logs", Whole, |_| logs::check(), "log frames of a board decode to the lines of a text log"),
    step("boards", Whole, |_| boards(), "every board builds, static and within its budget; tier 2 is imaged"),
    step("packages", Whole, |_| package::check(), "packages of Debian, OpenWrt and Alpine: checked, installed, upgraded, purged, built again"),
    step("figures", Fast, |_| bench::check(), "instructions, system calls, allocations, bytes: not worse than in cross/bench/figures.toml"),
    step("floods", Whole, |_| bench::run_floods(&bench::FloodOptions::default()), "an administrator logs in beside each of eleven floods, 100 of 100 times within 2 s"),
    step("fuzz", Whole, |_| fuzz::check(), "every fuzz target for a minute, with what earlier runs have found"),
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

/// Runs the steps to the last, whatever fails, and reports each; `is_kept` writes the page, too.
pub(crate) fn run(steps: &[&Step], part: Part, is_kept: bool) -> ExitCode {
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
    if is_kept && let Err(error) = write_page(&outcomes, &notes) {
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

/// Writes the rows of these steps into the page of the whole gate, whose other rows stay.
fn write_page(outcomes: &[Outcome], notes: &notes::Notes) -> Result<(), String> {
    let [date, commit] = [
        run::at_root("date").args(["-u", "+%Y-%m-%d"]),
        run::at_root("git").args(["describe", "--always", "--dirty", "--abbrev=10"]),
    ]
    .map(run::captured);
    let path = run::root().join(PAGE);
    let before = fs::read_to_string(&path).unwrap_or_default();
    let text = page(&before, &format!("{} | `{}`", date?.trim(), commit?.trim()), outcomes, notes);
    fs::write(&path, text).map_err(|error| format!("{PAGE}: {error}"))
}

fn page(before: &str, run: &str, outcomes: &[Outcome], notes: &notes::Notes) -> String {
    let mut text =
        "# The last run of each step of the whole gate\n\n`cargo xtask test --all` wrote these rows, with \
                    `--only` some of them; [CONTRIBUTING.md](../CONTRIBUTING.md) says when to run it.\n\n\
                    | step | result | date | commit | seconds | seconds of processor time |\n\
                    |---|---|---|---|---:|---:|\n"
            .to_owned();
    for step in STEPS {
        let begin = format!("| `{}` |", step.name);
        if let Some(outcome) = outcomes.iter().find(|outcome| outcome.name == step.name) {
            let [elapsed, processor] = [outcome.elapsed, outcome.processor].map(|time| time.as_secs());
            text += &format!("{begin} {} | {run} | {elapsed} | {processor} |\n", verdict(outcome));
        } else if let Some(row) = before.lines().find(|line| line.starts_with(&begin)) {
            text += &format!("{row}\n");
        }
    }
    // As list items: a block would be one that no test of the documents reads.
    let lines = format!("{notes}{}", totals(outcomes));
    let items = lines.lines().map(|line| {
        let (indent, line) = (line.len() - line.trim_start().len(), line.trim_start());
        format!("{}- {line}\n", if indent == 0 { "" } else { "  " })
    });
    text + "\nOf the last of these runs:\n\n" + &items.collect::<String>()
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
    fn the_page_keeps_the_rows_of_other_steps() {
        let notes = notes::Notes::default();
        let first =
            page("", "2026-01-02 | `a`", &[outcome("unit", Some("broken")), outcome("fmt", None)], &notes);
        assert!(first.contains("| `unit` | FAILED | 2026-01-02 | `a` | 1 | 3 |\n"), "{first}");
        assert!(first.contains("boots begun anew: 0\n") && first.contains("steps: 1 passed, 1 failed\n"));
        let second = page(&first, "2026-01-03 | `b`", &[outcome("unit", None)], &notes);
        let rows: Vec<&str> = second.lines().filter(|line| line.starts_with("| `")).collect();
        let expected = [
            "| `fmt` | passed | 2026-01-02 | `a` | 1 | 3 |",
            "| `unit` | passed | 2026-01-03 | `b` | 1 | 3 |",
        ];
        assert_eq!(rows, expected);
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
