//! What a message costs in instructions (callgrind) and system calls (strace).
//!
//! Both are counted over the whole life of a server, twice, with more messages the second time: in the
//! difference the start, the connection and the end cancel out. The load waits before each message
//! until the server sleeps, so that the server meets it as it meets one in real life, and not as one
//! that a slowed-down server finds waiting.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::kit::Kit;
use super::load::{self, Message, Shape};
use super::peer::{Peer, Server, Under};

/// Messages of the first and of the second run.
const INSTRUCTION_RUNS: [u32; 2] = [200, 1200];
const CALL_RUNS: [u32; 2] = [200, 2200];
/// strace writes its table when the server is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Instructions per message.
pub(super) fn instructions(kit: &Kit, peer: &Peer, tls: bool, message: Message) -> Result<f64, String> {
    per_message(INSTRUCTION_RUNS, |messages| {
        let out = kit.file("callgrind.out");
        run(kit, peer, tls, message, messages, &Under::Callgrind(out.clone()))?;
        let text = fs::read_to_string(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        total_instructions(&text).ok_or_else(|| format!("{}: there is no total", out.display()))
    })
}

/// System calls per message.
pub(super) fn system_calls(kit: &Kit, peer: &Peer, tls: bool, message: Message) -> Result<f64, String> {
    per_message(CALL_RUNS, |messages| {
        let out = kit.file("strace.out");
        run(kit, peer, tls, message, messages, &Under::Strace(&["-c"], out.clone()))?;
        total_calls(&written(&out, |text| total_calls(text).is_some())?)
            .ok_or_else(|| format!("{}: there is no total", out.display()))
    })
}

fn per_message(runs: [u32; 2], count: impl Fn(u32) -> Result<u64, String>) -> Result<f64, String> {
    let [few, many] = runs;
    let (first, second) = (count(few)?, count(many)?);
    Ok((second as f64 - first as f64) / f64::from(many - few))
}

fn run(
    kit: &Kit,
    peer: &Peer,
    tls: bool,
    message: Message,
    messages: u32,
    under: &Under,
) -> Result<(), String> {
    let server = Server::start(kit, peer, tls, under, false)?;
    let shape = Shape { connections: 1, in_flight: 1, messages, settle: true };
    load::rate(kit, &server, tls, message, shape)?;
    server.stop().map(drop)
}

/// The file of a tracer that ends a little after what it traced.
pub(super) fn written(path: &Path, is_whole: impl Fn(&str) -> bool) -> Result<String, String> {
    let begin = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if is_whole(&text) {
            return Ok(text);
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!("{}: strace wrote no table", path.display()));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The sum of a callgrind file: its last line `totals: N`, or `summary: N`.
fn total_instructions(text: &str) -> Option<u64> {
    let line = |name| text.lines().rev().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line("totals:").or_else(|| line("summary:"))
}

/// The calls in the last line of `strace -c`: `% time, seconds, usecs/call, calls, errors, total`, where
/// errors may be missing.
fn total_calls(text: &str) -> Option<u64> {
    let line = text.lines().rev().find(|line| line.trim_end().ends_with(" total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_callgrind_is_read() {
        let text = "version: 1\npid: 3\nevents: Ir\nsummary: 12\n\nfn=(1) main\n3 12\n\ntotals: 123456\n";
        assert_eq!(total_instructions(text), Some(123_456));
        assert_eq!(total_instructions("events: Ir\nsummary: 12\nfn=(1)\n"), Some(12));
        assert_eq!(total_instructions("events: Ir\n"), None);
    }

    #[test]
    fn the_sum_of_strace_is_read_with_and_without_errors() {
        let head = "% time     seconds  usecs/call     calls    errors syscall\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    60.00    0.000600           6       100           recvfrom\n";
        let with = format!("{head}100.00    0.001000           5       203         4 total\n");
        let without = format!("{head}100.00    0.001000           5       203           total\n");
        assert_eq!([total_calls(&with), total_calls(&without)], [Some(203), Some(203)]);
        assert_eq!(total_calls(head), None);
    }

    #[test]
    fn what_both_runs_have_cancels_out() {
        assert_eq!(per_message([100, 600], |messages| Ok(5000 + 3 * u64::from(messages))), Ok(3.0));
    }
}
