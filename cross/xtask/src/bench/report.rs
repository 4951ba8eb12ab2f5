//! The tables of `docs/benchmarks.md`: counts, which are firm, and times, which are of one machine and day.

use std::fs;
use std::time::Duration;

use super::kit;
use super::measure::{Effort, Row, Side};
use super::message::CALLS;
use super::peer::{FRIENDLET, LIMIT};
use crate::run;

const DOCUMENT: &str = "docs/benchmarks.md";
const PLOT: &str = "docs/benchmarks.svg";

/// A part of the document that a run writes, between two marks of this name; the rest is people's.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Counts,
    Times,
    Cycles,
    Floods,
}

impl Part {
    fn marks(self) -> [String; 2] {
        let name = match self {
            Self::Counts => "counts",
            Self::Times => "times",
            Self::Cycles => "cycles",
            Self::Floods => "floods",
        };
        let command = if matches!(self, Self::Cycles | Self::Floods) { name } else { "bench" };
        ["begin", "end"].map(|end| format!("<!-- {end}: {name}, written by cargo xtask {command} -->"))
    }
}

/// Writes a part of the document.
pub(super) fn write(part: Part, tables: &str) -> Result<(), String> {
    let document = run::root().join(DOCUMENT);
    let text = run::read(&document)?;
    let text =
        replaced(&text, part, tables).ok_or(format!("{DOCUMENT}: the marks of {part:?} are missing"))?;
    run::write(&document, text)
}

/// Writes the plot.
pub(super) fn write_plot(plot: &str) -> Result<(), String> {
    run::write(&run::root().join(PLOT), plot)
}

fn replaced(text: &str, part: Part, tables: &str) -> Option<String> {
    let [begin, end] = part.marks();
    let (head, rest) = text.split_once(&begin)?;
    let (_, tail) = rest.split_once(&end)?;
    Some(format!("{head}{begin}\n\n{tables}\n{end}{tail}"))
}

/// Head of a column, and its cell in a row.
pub(super) type Column<'a, R> = (&'a str, Box<dyn Fn(&R) -> String + 'a>);

/// A Markdown table under a title.
pub(super) fn table<R>(title: &str, about: &str, rows: &[R], columns: &[Column<'_, R>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = format!("### {title}\n\n{about}\n\n");
    text += &line(columns.iter().map(|(head, _)| (*head).to_owned()).collect());
    text += &line(columns.iter().map(|_| "---".to_owned()).collect());
    for row in rows {
        text += &line(columns.iter().map(|(_, cell)| cell(row)).collect());
    }
    text
}

/// A column of a figure of each transport.
fn each<'a>(head: &'a str, digits: usize, figure: impl Fn(&Side) -> f64 + 'a) -> Column<'a, Row> {
    (head, Box::new(move |row| sides(row, |side| format!("{:.digits$}", figure(side)))))
}

fn name<'a>() -> Column<'a, Row> {
    ("server", Box::new(|row| row.peer.name.to_owned()))
}

/// The firm tables.
pub(super) fn counts(rows: &[Row]) -> Result<String, String> {
    let kilobytes = |bytes: u64| bytes as f64 / 1024.0;
    let per_message = table(
        "Size, instructions, system calls",
        "Plain / TLS.",
        rows,
        &[
            name(),
            ("binary + libraries, kB", Box::new(|row| size(row.sizes))),
            each("instructions per message", 0, |side| side.instructions),
            each("system calls per message", 1, |side| side.system_calls),
        ],
    );
    let memory = table(
        "Memory",
        "Plain / TLS. A slot's bytes are there from the start, whether a client is connected or not; only \
         friendlet has slots. An idle connection's bytes come on top.",
        rows,
        &[
            name(),
            (
                "bytes per slot",
                Box::new(|row| {
                    if row.peer.is_friendlet() {
                        sides(row, |side| format!("{:.0}", side.slot))
                    } else {
                        "0".to_owned()
                    }
                }),
            ),
            each("bytes per idle connection", 0, |side| side.growth.per_connection()),
            each("resident idle, kB", 0, move |side| kilobytes(side.resident[0])),
            each("resident with 64 connections, kB", 0, move |side| kilobytes(side.resident[1])),
            each("written pages with 16 idle connections, kB", 0, move |side| kilobytes(side.growth.at_16)),
            each("with 64", 0, move |side| kilobytes(side.growth.at_64)),
            each("with 256", 0, move |side| kilobytes(side.growth.at_256)),
        ],
    );
    let calls = calls(rows, "friendlet's messages", "instructions", 0, |side, index| match index {
        None => side.instructions,
        Some(index) => side.calls[index].instructions,
    });
    Ok([machine(None)?, per_message, memory, calls].join("\n"))
}

/// The table of starts and stops: names, and microseconds of processor time for one.
pub(super) fn cycles(rows: &[(&str, f64)], count: u32) -> Result<String, String> {
    let (_, least) = rows.first().ok_or("no cycles were measured")?;
    let about = format!(
        "Processor time of the supervisor, its helpers and the processes of the service for one start and stop of \
         `sleep`, {count} of them with pauses."
    );
    let table = table(
        "Start and stop of a service",
        &about,
        rows,
        &[
            ("supervisor", Box::new(|(name, _)| (*name).to_owned())),
            ("processor time, \u{b5}s", Box::new(|(_, time)| format!("{time:.0}"))),
            ("ratio", Box::new(move |(_, time)| format!("{:.2}", time / least))),
        ],
    );
    Ok([machine(None)?, table].join("\n"))
}

/// The tables of times.
pub(super) fn times(rows: &[Row], effort: Effort) -> Result<String, String> {
    let limit = rows.iter().find(|row| row.peer.name == LIMIT.name).and_then(|row| row.sides.first());
    let limit = limit.ok_or("the limit was not measured")?;
    let ratio = |head, shape: usize| {
        let base = limit.shapes[shape].cpu_ns;
        each(head, 2, move |side: &Side| side.shapes[shape].cpu_ns / base)
    };
    let processor = table(
        "Processor time",
        "Plain / TLS; x is the ratio to the bare epoll echo's plain figure in this run.",
        rows,
        &[
            name(),
            ratio("CPU x, 32 connections", 1),
            ratio("CPU x, 16 in flight", 2),
            ratio("CPU x, 32 connections, 16 in flight", 3),
            each("set-ups per CPU second", 0, |side| 1e9 / side.setup_cpu_ns),
        ],
    );
    let cpu = |head, shape: usize| each(head, 2, move |side: &Side| side.shapes[shape].cpu_ns / 1000.0);
    let latency =
        |head, index: usize| each(head, 0, move |side: &Side| side.shapes[0].latency_ns[index] / 1000.0);
    let speed = table(
        "Speed",
        "Best of all rounds. CPU is the server's, all threads; in flight is on each connection. The latencies \
         are of one connection with one message in flight.",
        rows,
        &[
            name(),
            cpu("CPU per message, us: 1 connection", 0),
            cpu("32 connections", 1),
            cpu("1, 16 in flight", 2),
            cpu("32, 16 in flight", 3),
            each("messages per second, 32 connections", 0, |side| side.shapes[1].per_second),
            latency("p50, us", 0),
            latency("p99, us", 1),
            latency("p99.9, us", 2),
            each("set-ups per second, one by one", 0, |side| side.setups_per_second),
        ],
    );
    let start = table(
        "Start",
        "Milliseconds from the spawn to the first accepted connection, plain / TLS.",
        rows,
        &[
            name(),
            each("best", 1, |side| milliseconds(&side.first_accept, 0)),
            each("median", 1, |side| milliseconds(&side.first_accept, 50)),
        ],
    );
    let calls = calls(rows, "friendlet's messages, processor time", "CPU, us", 1, |side, index| {
        let cpu_ns = index.map_or(side.shapes[0].cpu_ns, |index| side.calls[index].cpu_ns);
        cpu_ns / 1000.0
    });
    Ok([machine(Some(effort))?, processor, speed, start, calls].join("\n"))
}

/// friendlet's pings (no index) and calls.
fn calls(
    rows: &[Row],
    title: &str,
    head: &str,
    digits: usize,
    figure: impl Fn(&Side, Option<usize>) -> f64,
) -> String {
    let friendlet = rows.iter().filter(|row| row.peer.is_friendlet());
    let mut lines: Vec<(&Row, &str, Option<usize>)> =
        friendlet.map(|row| (row, row.peer.ping.name, None)).collect();
    if let Some(row) = rows.iter().find(|row| row.peer.name == FRIENDLET.name) {
        lines.extend(CALLS.iter().enumerate().map(|(index, message)| (row, message.name, Some(index))));
    }
    table(
        title,
        "Plain / TLS, one connection, one in flight.",
        &lines,
        &[
            ("message", Box::new(|(_, name, _)| (*name).to_owned())),
            (
                head,
                Box::new(|(row, _, index)| sides(row, |side| format!("{:.digits$}", figure(side, *index)))),
            ),
        ],
    )
}

/// Date, machine and compiler, and the rounds of times.
pub(super) fn machine(effort: Option<Effort>) -> Result<String, String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name| cpu.lines().find_map(|line| line.strip_prefix(name)?.split_once(": ")).map(|(_, v)| v);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = run::captured(run::at_root("rustc").arg("--version"))?;
    let date = run::captured(run::at_root("date").args(["-u", "+%Y-%m-%d"]))?;
    let profile: Vec<String> = kit::release_profile()?.iter().map(|(k, v)| format!("`{k} = {v}`")).collect();
    Ok(format!(
        "{} · {} · {} processors · Linux {} · {} · {}flags of all but level 3: {}\n",
        date.trim(),
        field("model name").unwrap_or("an unknown processor"),
        cpu.lines().filter(|line| line.starts_with("processor")).count(),
        kernel.trim(),
        rustc.trim(),
        effort.map(|effort| format!("{} rounds · ", effort.rounds)).unwrap_or_default(),
        profile.join(", ")
    ))
}

/// `PLAIN / TLS`, with a dash for a missing TLS side.
fn sides(row: &Row, each: impl Fn(&Side) -> String) -> String {
    let mut cells: Vec<String> = row.sides.iter().map(each).collect();
    if cells.len() < 2 {
        cells.push("-".to_owned());
    }
    cells.join(" / ")
}

fn size([program, libraries]: [u64; 2]) -> String {
    match libraries {
        0 => format!("{}, static", program / 1000),
        _ => format!("{} + {}", program / 1000, libraries / 1000),
    }
}

/// Milliseconds below which `percent` of the times are.
fn milliseconds(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_marks_is_replaced() {
        let [begin, end] = Part::Counts.marks();
        let text = format!("before\n{begin}\nold\n{end}\nafter\n");
        let text = replaced(&text, Part::Counts, "new\n").unwrap();
        assert_eq!(text, format!("before\n{begin}\n\nnew\n\n{end}\nafter\n"));
        assert_eq!(replaced(&text, Part::Times, "new"), None);
        let document = fs::read_to_string(run::root().join(DOCUMENT)).unwrap();
        assert!(
            [Part::Counts, Part::Times, Part::Cycles, Part::Floods]
                .iter()
                .all(|part| replaced(&document, *part, "").is_some())
        );
    }

    #[test]
    fn both_pings_and_all_calls_have_a_row() {
        let row = |peer| Row { peer, sizes: [1, 0], sides: vec![Side::default(), Side::default()] };
        let rows: Vec<Row> = super::super::peer::PEERS.iter().map(row).collect();
        let text = calls(&rows, "t", "h", 0, |_, index| index.map_or(7.0, |index| index as f64));
        assert_eq!(text.lines().filter(|line| line.ends_with("| 7 / 7 |")).count(), 2);
        assert!(text.ends_with("| start of a running service, frame | 3 / 3 |\n"), "{text}");
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(size([1_923_752, 0]), "1923, static");
        assert_eq!(size([14_000, 7_993_000]), "14 + 7993");
        let times = [3, 1, 2].map(Duration::from_millis);
        assert_eq!([milliseconds(&times, 0), milliseconds(&times, 50)], [1.0, 2.0]);
        assert!(milliseconds(&[], 50).is_nan());
    }
}
