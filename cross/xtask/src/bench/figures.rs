//! The firm figures of friendlet, held against those that were kept: the step `figures`.
//!
//! Each is a count, not a time, and the smaller the better.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout};
use std::time::Instant;

use super::counts;
use super::kit::{self, Kit};
use super::load::{self, Shape};
use super::memory;
use super::message::{PARSED_PING, PING, STATUS};
use super::peer::FRIENDLET;
use super::server::Server;
use crate::{cargo, run};

const FILE: &str = "cross/bench/figures.toml";
/// Tolerated difference, as a part of the kept figure.
const TOLERANCE: f64 = 0.05;

/// A figure, and its tolerated difference beside the [`TOLERANCE`]: that of a page or a tick of the clock.
struct Figure {
    name: &'static str,
    slack: f64,
    value: f64,
}

/// One of the figures against the kept one.
#[derive(Debug, PartialEq)]
enum Verdict {
    Same,
    Better,
    Worse,
    /// It is not in the file.
    New,
}

/// Measures, and fails where a figure is worse than the kept one.
pub(crate) fn check() -> Result<(), String> {
    let kept = read()?;
    let figures = measure()?;
    let mut worse = Vec::new();
    let mut is_better = false;
    println!("    {:<36} {:>12} {:>12}", "FIGURE", "NOW", "KEPT");
    for figure in &figures {
        let old = number(&kept, figure.name);
        let verdict = verdict(figure, old);
        let mark = match verdict {
            Verdict::Same => "",
            Verdict::Better => "  better",
            Verdict::Worse => "  WORSE",
            Verdict::New => "  not kept yet",
        };
        let old = old.map_or_else(|| "-".to_owned(), shown);
        println!("    {:<36} {:>12} {old:>12}{mark}", figure.name, shown(figure.value));
        is_better |= verdict == Verdict::Better;
        if matches!(verdict, Verdict::Worse | Verdict::New) {
            worse.push(figure.name);
        }
    }
    if is_better {
        println!("    better by more than a twentieth: keep it with `cargo xtask figures --keep`");
    }
    if worse.is_empty() {
        Ok(())
    } else {
        Err(format!("{FILE}: worse than kept, or not kept, is {}", worse.join(", ")))
    }
}

/// Measures, and keeps what is found.
pub(crate) fn keep() -> Result<(), String> {
    let text = written(&measure()?);
    print!("{text}");
    run::write(&run::root().join(FILE), text)
}

fn written(figures: &[Figure]) -> String {
    let mut text = String::from(
        "# What friendlet's static x86-64 build took when this was kept: `cargo xtask figures --keep` writes\n\
         # it, the step `figures` of `cargo xtask test` holds a build to it (docs/benchmarks.md).\n",
    );
    for figure in figures {
        text += &format!("{} = {}\n", figure.name, shown(figure.value));
    }
    text
}

fn read() -> Result<toml::Table, String> {
    let text = run::read(&run::root().join(FILE))?;
    text.parse().map_err(|error| format!("{FILE}: {error}"))
}

fn number(table: &toml::Table, name: &str) -> Option<f64> {
    let value = table.get(name)?;
    value.as_float().or_else(|| value.as_integer().map(|value| value as f64))
}

fn verdict(figure: &Figure, kept: Option<f64>) -> Verdict {
    let Some(kept) = kept else { return Verdict::New };
    let room = kept.abs() * TOLERANCE + figure.slack;
    // NaN is never better.
    if figure.value < kept - room {
        Verdict::Better
    } else if figure.value <= kept + room {
        Verdict::Same
    } else {
        Verdict::Worse
    }
}

/// Small figures with their fractions.
fn shown(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

fn measure() -> Result<Vec<Figure>, String> {
    let begin = Instant::now();
    let kit = kit::for_figures()?;
    let mut figures = Vec::new();
    let mut add = |name, slack, value| figures.push(Figure { name, slack, value });

    let instructions = |tls, message| counts::instructions(&kit, &FRIENDLET, tls, message);
    add("instructions_ping_plain", 50.0, instructions(false, &PING)?);
    add("instructions_ping_tls", 50.0, instructions(true, &PING)?);
    add("instructions_ping_parsed_plain", 50.0, instructions(false, &PARSED_PING)?);
    add("instructions_status_plain", 50.0, instructions(false, &STATUS)?);
    add("instructions_status_tls", 50.0, instructions(true, &STATUS)?);
    add("instructions_push_per_bound_socket", 20.0, counts::per_push(&kit)?);
    add("instructions_chunked_per_byte", 1.0, counts::per_chunked_byte(&kit)?);
    add("system_calls_idle_10_s", 2.0, counts::idle_system_calls(&kit)? as f64);
    let calls = |tls| counts::system_calls(&kit, &FRIENDLET, tls, &PING);
    add("system_calls_ping_plain", 0.1, calls(false)?);
    add("system_calls_ping_tls", 0.1, calls(true)?);
    let counting = build_counting()?;
    add("allocations_ping_plain", 0.05, allocations(&kit, &counting, false)?);
    add("allocations_ping_tls", 0.05, allocations(&kit, &counting, true)?);
    let growth = |tls| memory::growth(&kit, &FRIENDLET, tls);
    // Two pages among 240 connections.
    add("bytes_per_idle_connection_plain", 35.0, growth(false)?.per_connection());
    add("bytes_per_idle_connection_tls", 35.0, growth(true)?.per_connection());
    let resident = |tls| memory::resident(&kit, &FRIENDLET, tls);
    let page = 4096.0;
    for (tls, idle, full) in
        [(false, "resident_idle_plain", "resident_64_plain"), (true, "resident_idle_tls", "resident_64_tls")]
    {
        let bytes = resident(tls)?;
        add(idle, 8.0 * page, bytes[0] as f64);
        add(full, 8.0 * page, bytes[1] as f64);
    }
    add("binary_bytes", 0.0, memory::sizes(&kit.friendlet)?[0] as f64);
    println!("    measured in {:.0} s, building included", begin.elapsed().as_secs_f64());
    Ok(figures)
}

/// The program over an allocator that counts: `tests/system/counting.rs`.
fn build_counting() -> Result<PathBuf, String> {
    let mut command = cargo::cargo(&["build", "--locked", "--quiet", "--example", "counting"]);
    cargo::executable(&mut command, "counting")
}

/// Messages of two counts of what is taken from the allocator.
const MESSAGES: [u32; 2] = [500, 2500];

/// Blocks taken from the allocator per ping, given back or not.
fn allocations(kit: &Kit, program: &Path, tls: bool) -> Result<f64, String> {
    let mut counter = None;
    let server = Server::start_piped(kit, &FRIENDLET, tls, program, |child| counter = Counter::of(child))?;
    let mut counter = counter.ok_or("the counting server has no input")?;
    // The connection of each count costs the same, and so cancels out.
    let mut taken = |messages| {
        let before = counter.blocks()?;
        let shape = Shape { connections: 1, in_flight: 1, messages, settle: true };
        load::rate(kit, &server, tls, &PING, shape)?;
        Ok::<u64, String>(counter.blocks()?.saturating_sub(before))
    };
    let [few, many] = MESSAGES;
    taken(few)?;
    let (first, second) = (taken(few)?, taken(many)?);
    server.stop()?;
    Ok((second as f64 - first as f64) / f64::from(many - few))
}

/// The counting server's answers.
struct Counter {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Counter {
    fn of(child: &mut Child) -> Option<Self> {
        Some(Self { input: child.stdin.take()?, output: BufReader::new(child.stdout.take()?) })
    }

    /// Blocks ever taken.
    fn blocks(&mut self) -> Result<u64, String> {
        let failed = |error: std::io::Error| format!("the counting server is gone: {error}");
        self.input.write_all(b"\n").map_err(failed)?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(failed)?;
        blocks(&line).ok_or_else(|| format!("the counting server printed: {line}"))
    }
}

/// The last of `allocations LIVE_BYTES LIVE_BLOCKS TOTAL_BLOCKS`.
fn blocks(line: &str) -> Option<u64> {
    let numbers = line.trim_end().strip_prefix("allocations ")?;
    numbers.split(' ').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(value: f64) -> Figure {
        Figure { name: "a_figure", slack: 2.0, value }
    }

    #[test]
    fn a_twentieth_and_the_slack_are_let_pass() {
        for (value, wanted) in [
            (100.0, Verdict::Same),
            (107.0, Verdict::Same),
            (107.1, Verdict::Worse),
            (93.0, Verdict::Same),
            (92.9, Verdict::Better),
            (f64::NAN, Verdict::Worse),
        ] {
            assert_eq!(verdict(&figure(value), Some(100.0)), wanted, "{value}");
        }
        assert_eq!(verdict(&figure(0.0), None), Verdict::New);
        assert_eq!(verdict(&figure(2.1), Some(0.0)), Verdict::Worse);
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let text = written(&[figure(12345.6), figure(3.0)]);
        let table: toml::Table = text.replacen("a_figure", "another", 1).parse().unwrap();
        assert_eq!(number(&table, "another"), Some(12346.0));
        assert_eq!(number(&table, "a_figure"), Some(3.0));
        assert_eq!(number(&table, "no_figure"), None);
    }

    #[test]
    fn blocks_are_the_third_number() {
        assert_eq!(blocks("allocations 1000 20 345\n"), Some(345));
        assert_eq!(blocks("listening\n"), None);
    }
}
