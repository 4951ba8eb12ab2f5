//! The tables of `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use super::kit;
use super::load::CALLS;
use super::measure::{Effort, Row, SHAPES, Side};
use super::peer::LIMIT;
use crate::run;

/// What is between these is written by a run, the rest by people.
const BEGIN: &str = "<!-- begin: written by cargo xtask bench -->";
const END: &str = "<!-- end: written by cargo xtask bench -->";
const DOCUMENT: &str = "docs/benchmarks.md";
const PLOT: &str = "docs/benchmarks.svg";

/// Writes the document and the plot.
pub(super) fn write(tables: &str, plot: &str) -> Result<(), String> {
    let root = run::root();
    let [document, svg] = [DOCUMENT, PLOT].map(|name| root.join(name));
    let text = fs::read_to_string(&document).map_err(|error| format!("{DOCUMENT}: {error}"))?;
    let text = replaced(&text, tables).ok_or(format!("{DOCUMENT}: its two marks are missing"))?;
    fs::write(&document, text).map_err(|error| format!("{DOCUMENT}: {error}"))?;
    fs::write(&svg, plot).map_err(|error| format!("{PLOT}: {error}"))
}

fn replaced(text: &str, tables: &str) -> Option<String> {
    let (head, rest) = text.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n\n{tables}\n{END}{tail}"))
}

/// All tables, as Markdown.
pub(super) fn tables(rows: &[Row], effort: Effort) -> Result<String, String> {
    let limit = rows.iter().find(|row| row.peer.name == LIMIT.name).and_then(|row| row.sides.first());
    let limit = limit.ok_or("the limit was not measured")?;
    Ok([machine(effort)?, first(rows, limit), speed(rows), memory(rows), calls(rows)].join("\n"))
}

fn machine(effort: Effort) -> Result<String, String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name| cpu.lines().find_map(|line| line.strip_prefix(name)?.split_once(": ")).map(|(_, v)| v);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = run::captured(run::at_root("rustc").arg("--version"))?;
    let date = run::captured(run::at_root("date").args(["-u", "+%Y-%m-%d"]))?;
    let profile: Vec<String> = kit::release_profile()?.iter().map(|(k, v)| format!("`{k} = {v}`")).collect();
    Ok(format!(
        "{} · {} · {} processors · Linux {} · {} · {} rounds · profile of all: {}\n",
        date.trim(),
        field("model name").unwrap_or("an unknown processor"),
        cpu.lines().filter(|line| line.starts_with("processor")).count(),
        kernel.trim(),
        rustc.trim(),
        effort.rounds,
        profile.join(", ")
    ))
}

/// The table that the project's aims are about.
fn first(rows: &[Row], limit: &Side) -> String {
    let mut text = String::from(
        "### Beside its peers\n\nPlain / TLS; x is the ratio to the bare epoll echo's plain figure in this run.\n\n\
         | peer | binary + libraries, kB | bytes per idle connection | CPU x, 32 connections | \
         CPU x, 16 in flight | instructions per message | system calls per message | set-ups per CPU second |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let ratio = |shape: usize| {
            let base = limit.shapes[shape].cpu_ns;
            sides(row, move |side| format!("{:.2}", side.shapes[shape].cpu_ns / base))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            row.peer.name,
            size(row.sizes),
            sides(row, |side| format!("{:.0}", side.growth.per_connection())),
            ratio(1),
            ratio(2),
            sides(row, |side| format!("{:.0}", side.instructions)),
            sides(row, |side| format!("{:.1}", side.system_calls)),
            sides(row, |side| format!("{:.0}", 1e9 / side.setup_cpu_ns)),
        );
    }
    text
}

fn speed(rows: &[Row]) -> String {
    let mut text = String::from(
        "### Speed\n\nBest of all rounds. CPU is the server's, all threads; in flight is on each connection. The \
         latencies are of one connection with one message in flight.\n\n\
         | peer | CPU per message, us: 1 connection | 32 connections | 1, 16 in flight | 32, 16 in flight | \
         messages per second, 32 connections | p50, us | p99, us | p99.9, us | set-ups per second, one by one |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = write!(text, "| {} |", row.peer.name);
        for shape in 0..SHAPES.len() {
            let cell = sides(row, |side| format!("{:.2}", side.shapes[shape].cpu_ns / 1000.0));
            let _ = write!(text, " {cell} |");
        }
        let _ = write!(text, " {} |", sides(row, |side| format!("{:.0}", side.shapes[1].per_second)));
        for percentile in 0..3 {
            let latency = |side: &Side| format!("{:.0}", side.shapes[0].latency_ns[percentile] / 1000.0);
            let _ = write!(text, " {} |", sides(row, latency));
        }
        let _ = writeln!(text, " {} |", sides(row, |side| format!("{:.0}", side.setups_per_second)));
    }
    text
}

fn memory(rows: &[Row]) -> String {
    let mut text = String::from(
        "### Memory and start\n\n\
         | peer | resident idle, kB | with 64 connections, kB | written pages with 16, 64, 256 idle connections, kB | \
         spawn to first accept, ms: best | median | execve to listen, ms: best | median |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let kilobytes = |bytes: u64| bytes / 1024;
        let dirty = |side: &Side| {
            let growth = side.growth;
            [growth.at_16, growth.at_64, growth.at_256].map(|bytes| kilobytes(bytes).to_string()).join(", ")
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            row.peer.name,
            sides(row, |side| kilobytes(side.resident[0]).to_string()),
            sides(row, |side| kilobytes(side.resident[1]).to_string()),
            sides(row, dirty),
            sides(row, |side| milliseconds(&side.first_accept, 0)),
            sides(row, |side| milliseconds(&side.first_accept, 50)),
            sides(row, |side| milliseconds(&side.until_listen, 0)),
            sides(row, |side| milliseconds(&side.until_listen, 50)),
        );
    }
    text
}

fn calls(rows: &[Row]) -> String {
    let Some(row) = rows.iter().find(|row| row.peer.is_friendlet()) else { return String::new() };
    let mut text = String::from(
        "### friendlet's calls\n\nPlain / TLS, one connection, one in flight.\n\n\
         | message | instructions | CPU, us | CPU x to ping |\n|---|---|---|---|\n",
    );
    let ping = |side: &Side| side.shapes[0].cpu_ns;
    let _ = writeln!(
        text,
        "| ping | {} | {} | 1.00 / 1.00 |",
        sides(row, |side| format!("{:.0}", side.instructions)),
        sides(row, |side| format!("{:.1}", ping(side) / 1000.0)),
    );
    for (index, message) in CALLS.iter().enumerate() {
        let call = |side: &Side| side.calls.get(index).copied().unwrap_or((f64::NAN, f64::NAN));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            message.name,
            sides(row, |side| format!("{:.0}", call(side).0)),
            sides(row, |side| format!("{:.1}", call(side).1 / 1000.0)),
            sides(row, |side| format!("{:.2}", call(side).1 / ping(side))),
        );
    }
    text
}

/// `PLAIN / TLS`, a dash where there is no TLS.
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

/// The value below which `percent` of the times are.
fn milliseconds(times: &[Duration], percent: usize) -> String {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or_else(|| "-".to_owned(), |time| format!("{:.1}", time.as_secs_f64() * 1000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peer::FRIENDLET;

    fn row() -> Row {
        Row { peer: &FRIENDLET, sizes: [1_923_752, 0], sides: vec![Side::default(), Side::default()] }
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let text = replaced(&text, "new\n").unwrap();
        assert_eq!(text, format!("before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"));
        assert_eq!(replaced("nothing", "new"), None);
    }

    #[test]
    fn every_row_has_as_many_cells_as_its_head() {
        let rows = [row()];
        for table in [first(&rows, &Side::default()), speed(&rows), memory(&rows), calls(&rows)] {
            let cells: Vec<usize> = table
                .lines()
                .filter(|line| line.starts_with('|'))
                .map(|line| line.matches('|').count())
                .collect();
            assert!(cells.len() >= 3 && cells.iter().all(|count| *count == cells[0]), "{table}");
        }
    }

    #[test]
    fn sizes_and_times() {
        assert_eq!(size([1_923_752, 0]), "1923, static");
        assert_eq!(size([14_000, 7_993_000]), "14 + 7993");
        let times = [3, 1, 2].map(Duration::from_millis);
        assert_eq!([milliseconds(&times, 0), milliseconds(&times, 50)], ["1.0", "2.0"]);
        assert_eq!(milliseconds(&[], 50), "-");
    }
}
