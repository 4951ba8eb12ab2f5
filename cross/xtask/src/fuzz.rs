//! The fuzz targets by libFuzzer: a minute each in the whole gate, hours by `soak`, with the simulation of the server.
//!
//! A corpus is kept in `tests/fuzz/corpus` from one run to the next.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::cargo::{FUZZ, Program, cargo, programs, test_programs};
use crate::run;

/// The coverage that libFuzzer steers by, a pass of LLVM that a stable compiler runs, too.
const FLAGS: &str = "--cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares";
/// Time of each target in the gate.
const GATE_TIME: Duration = Duration::from_secs(60);
/// Simulated hours of a seed.
const HOURS: &str = "20";
/// Lines of a failed run that are shown.
const SHOWN_LINES: usize = 40;

/// Target, files that begin its corpus, and further options.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

/// Targets that have either.
const ROWS: [Row; 5] = [
    ("frame", &["tests/vectors"], &[]),
    ("envelope", &["tests/vectors"], &[]),
    ("http_head", &["tests/vectors"], &[]),
    ("config", &["boards"], &[]),
    ("server", &[], &["-len_control=0", "-max_len=1200"]),
];

/// Runs every target for its time in the gate.
pub(crate) fn check() -> Result<(), String> {
    fuzz(&build()?, GATE_TIME)
}

/// Runs every target, and then the simulation with seeds that no other run has had, for this time together.
pub(crate) fn soak(time: Duration) -> Result<(), String> {
    let targets = build()?;
    let processors = thread::available_parallelism().map_or(1, usize::from);
    // Half of it: as many at once as there are processors.
    let each = time / 2 * processors as u32 / targets.len().max(1) as u32;
    fuzz(&targets, each)?;
    simulate(time / 2)
}

/// `[--hours N]`; an hour without it.
pub(crate) fn soak_time(words: &[&str]) -> Result<Duration, String> {
    let hours = match words {
        [] => 1,
        ["--hours", hours] => hours.parse().ok().filter(|hours| (1..=1000).contains(hours)).unwrap_or(0),
        _ => 0,
    };
    if hours == 0 {
        return Err("soak: expected --hours N, a number from 1 to 1000".to_owned());
    }
    Ok(Duration::from_secs(hours * 3600))
}

fn build() -> Result<Vec<Program>, String> {
    let version = run::captured(run::at_root("rustc").arg("-vV"))?;
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or("rustc -vV names no host")?;
    let mut command = cargo(&["build", "--release", "--locked", "--bins"]);
    // With a target, programs that run during the build are left alone.
    command.args(FUZZ).args(["--target", host]).env("RUSTFLAGS", FLAGS);
    programs(&mut command)
}

/// Runs every target for this time, as many at once as there are processors.
fn fuzz(targets: &[Program], time: Duration) -> Result<(), String> {
    if targets.is_empty() {
        return Err("cargo built no fuzz target".to_owned());
    }
    let waiting = Mutex::new(targets.iter().collect::<VecDeque<_>>());
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let failures: Vec<String> = thread::scope(|scope| {
        let work = || {
            let mut failures = Vec::new();
            loop {
                let Some(target) = waiting.lock().ok().and_then(|mut waiting| waiting.pop_front()) else {
                    return failures;
                };
                match run_target(target, time) {
                    Ok(inputs) => println!("    {:<14} {inputs} inputs in {} s", target.name, time.as_secs()),
                    Err(failure) => {
                        println!("{failure}");
                        failures.push(target.name.clone());
                    }
                }
            }
        };
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    });
    if failures.is_empty() { Ok(()) } else { Err(format!("fuzz targets failed: {}", failures.join(", "))) }
}

/// Runs a target. Returns the number of its inputs.
fn run_target(target: &Program, time: Duration) -> Result<u64, String> {
    let row = ROWS.iter().find(|row| row.0 == target.name);
    let (seeds, options) = row.map_or((&[][..], &[][..]), |row| (row.1, row.2));
    let corpus = run::root().join("tests/fuzz/corpus").join(&target.name);
    let artifacts = run::root().join("tests/fuzz/artifacts").join(&target.name);
    run::create_directory(&corpus)?;
    run::create_directory(&artifacts)?;
    for seed in seeds.iter().flat_map(|directory| files(&run::root().join(directory))) {
        let name = seed.strip_prefix(run::root()).unwrap_or(&seed).display().to_string().replace('/', "-");
        fs::copy(&seed, corpus.join(name)).map_err(|error| format!("{}: {error}", seed.display()))?;
    }
    let mut command = Command::new(&target.path);
    command.arg(&corpus).arg(format!("-max_total_time={}", time.as_secs().max(1)));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.args(["-print_final_stats=1", "-rss_limit_mb=1024", "-timeout=20"]).args(options);
    let output = command.output().map_err(|error| format!("{}: {error}", target.path.display()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let inputs = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    match inputs.and_then(|count| count.trim().parse().ok()) {
        Some(inputs) if output.status.success() && inputs > 0 => Ok(inputs),
        _ => {
            let lines: Vec<&str> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
            Err(format!("{}: {}\n{}", target.name, output.status, last.join("\n")))
        }
    }
}

/// Files in a directory, and in those below it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Runs the simulation of the whole server with one seed after the other.
fn simulate(time: Duration) -> Result<(), String> {
    let built = test_programs(&mut cargo(&["test", "--lib", "--no-run", "--locked"]))?;
    let library =
        built.iter().find(|program| program.name == "friendlet").ok_or("cargo built no library test")?;
    let begun = Instant::now();
    // Those of the gate are small numbers.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (first, mut count) = (now.as_secs(), 0);
    while begun.elapsed() < time || count == 0 {
        let seed = first + count;
        let mut test = run::at_root(&library.path.display().to_string());
        test.args(["--exact", "connection::tests::hours::ten_hours_keep_the_invariants"]);
        test.env("FRIENDLET_SEED", seed.to_string()).env("FRIENDLET_HOURS", HOURS);
        let report = run::captured(&mut test).map_err(|error| format!("seed {seed}: {error}"))?;
        if !report.contains("1 passed") {
            return Err(format!("seed {seed}: no test ran\n{report}"));
        }
        count += 1;
    }
    println!(
        "    {count} seeds from {first} on, {HOURS} simulated hours each, in {} s",
        begun.elapsed().as_secs()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_targets() {
        for (name, seeds, _) in ROWS {
            assert!(run::root().join(format!("tests/fuzz/fuzz_targets/{name}.rs")).is_file(), "{name}");
            for directory in seeds {
                assert!(!files(&run::root().join(directory)).is_empty(), "{directory}");
            }
        }
    }

    #[test]
    fn time_of_a_soak() {
        assert_eq!(soak_time(&[]).unwrap(), Duration::from_secs(3600));
        assert_eq!(soak_time(&["--hours", "8"]).unwrap(), Duration::from_secs(8 * 3600));
        for wrong in [&["--hours"][..], &["--hours", "0"], &["--hours", "x"], &["8"]] {
            assert!(soak_time(wrong).is_err(), "{wrong:?}");
        }
    }
}
