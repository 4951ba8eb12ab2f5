//! Costs in instructions (callgrind) and system calls (strace).
//!
//! Those of a message are counted over the whole life of a server, twice, with more messages the second
//! time: in the difference the start, the connection and the end cancel out. The load waits before each
//! message until the server sleeps, so that the server meets it as it meets one in real life, and not as
//! one that a slowed-down server finds waiting.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::kit::Kit;
use super::load::{self, Shape};
use super::message::{self, Message, RESTART};
use super::peer::{FRIENDLET, Peer};
use super::server::{Server, Under};
use crate::run;

/// Messages of the first and of the second run.
const INSTRUCTION_RUNS: [u32; 2] = [200, 1200];
const CALL_RUNS: [u32; 2] = [200, 2200];
const CHUNKED_RUNS: [u32; 2] = [10, 40];
const PUSH_RUNS: [u32; 2] = [20, 80];
/// Bytes of the two chunked messages whose instructions are compared.
const CHUNKED_BYTES: [u32; 2] = [24_000, 60_000];
/// Bound sockets of the two counts whose instructions are compared.
const BOUND: [u32; 2] = [8, 56];
/// Time in which the calls of an idle server are counted, and the time it has to come to rest before.
const IDLE: Duration = Duration::from_secs(10);
const REST: Duration = Duration::from_secs(3);
/// strace writes its table when the server is gone.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Instructions per message.
pub(super) fn instructions(kit: &Kit, peer: &Peer, tls: bool, message: &Message) -> Result<f64, String> {
    instructions_of(kit, peer, tls, message, INSTRUCTION_RUNS)
}

fn instructions_of(
    kit: &Kit,
    peer: &Peer,
    tls: bool,
    message: &Message,
    runs: [u32; 2],
) -> Result<f64, String> {
    per_message(runs, |messages| {
        let load = |server: &Server| load::rate(kit, server, tls, message, settled(messages));
        Ok(traced(kit, peer, tls, load)?.0)
    })
}

/// Instructions per byte of a message in chunks.
pub(super) fn per_chunked_byte(kit: &Kit) -> Result<f64, String> {
    per_message(CHUNKED_BYTES, |bytes| {
        let message = message::chunked(bytes as usize);
        Ok(instructions_of(kit, &FRIENDLET, false, &message, CHUNKED_RUNS)? as u64)
    })
}

/// Instructions per push and bound socket.
pub(super) fn per_push(kit: &Kit) -> Result<f64, String> {
    let mut pushes = 0.0;
    let instructions = per_message(BOUND, |connections| {
        let run = |messages| {
            let load = |server: &Server| load::pushes(kit, server, &RESTART, connections, messages);
            traced(kit, &FRIENDLET, false, load)
        };
        let [few, many] = PUSH_RUNS;
        let (first, second) = (run(few)?, run(many)?);
        pushes = second.1 - first.1;
        Ok(second.0.saturating_sub(first.0))
    })?;
    Ok(instructions / pushes)
}

/// System calls per message.
pub(super) fn system_calls(kit: &Kit, peer: &Peer, tls: bool, message: &Message) -> Result<f64, String> {
    per_message(CALL_RUNS, |messages| {
        let out = kit.file("strace.out");
        let server = Server::start(kit, peer, tls, &Under::Strace(&["-c"], out.clone()), false)?;
        load::rate(kit, &server, tls, message, settled(messages))?;
        server.stop()?;
        total_calls(&written(&out, |text| total_calls(text).is_some())?)
            .ok_or_else(|| format!("{}: no total", out.display()))
    })
}

/// System calls of a server without a connection, in [`IDLE`].
pub(super) fn idle_system_calls(kit: &Kit) -> Result<u64, String> {
    let out = kit.file("idle.out");
    let server = Server::start(kit, &FRIENDLET, false, &Under::Strace(&[], out.clone()), false)?;
    let calls = || {
        let text = run::read(&out)?;
        Ok::<u64, String>(finished_calls(&text))
    };
    thread::sleep(REST);
    let before = calls()?;
    thread::sleep(IDLE);
    let after = calls()?;
    server.stop()?;
    Ok(after - before)
}

/// The difference of two counts, by that of what was counted.
fn per_message(runs: [u32; 2], mut count: impl FnMut(u32) -> Result<u64, String>) -> Result<f64, String> {
    let [few, many] = runs;
    let (first, second) = (count(few)?, count(many)?);
    Ok((second as f64 - first as f64) / f64::from(many - few))
}

/// One connection, one message in flight, to a server that waits for it.
fn settled(messages: u32) -> Shape {
    Shape { connections: 1, in_flight: 1, messages, settle: true }
}

/// Instructions of a server's whole life, with those of its keeper, and the load's result.
fn traced<T>(
    kit: &Kit,
    peer: &Peer,
    tls: bool,
    load: impl FnOnce(&Server) -> Result<T, String>,
) -> Result<(u64, T), String> {
    let out = kit.file("callgrind.out");
    let server = Server::start(kit, peer, tls, &Under::Callgrind(out.clone()), false)?;
    let found = load(&server)?;
    let pids = server.pids();
    server.stop()?;
    let mut total = 0;
    for pid in pids {
        let out = out.with_extension(format!("out.{pid}"));
        let text = run::read(&out)?;
        total += total_instructions(&text).ok_or_else(|| format!("{}: no total", out.display()))?;
        // What fails is left to the next run.
        let _ = fs::remove_file(out);
    }
    Ok((total, found))
}

/// The file of a tracer that ends a little after what it traced.
fn written(path: &Path, is_whole: impl Fn(&str) -> bool) -> Result<String, String> {
    let begin = Instant::now();
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        if is_whole(&text) {
            return Ok(text);
        }
        if begin.elapsed() > TIMEOUT {
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

/// The calls that have returned, in a list of `strace -f`: those that another thread interrupts take two
/// lines.
fn finished_calls(text: &str) -> u64 {
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.filter(|line| line.contains(" = ") && !line.contains("<unfinished ...>")).count() as u64
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
    fn calls_that_have_returned_are_counted_once() {
        let text = "7 epoll_pwait(3, [], 1, 250, NULL, 8) = 0\n7 futex(0x1, 0 <unfinished ...>\n\
                    8 read(4, 8)   = 8\n7 <... futex resumed>) = 0\n7 --- SIGCHLD {si_signo=17} ---\n\
                    7 epoll_pwait(3, ";
        assert_eq!(finished_calls(text), 3);
    }

    #[test]
    fn what_both_runs_have_cancels_out() {
        assert_eq!(per_message([100, 600], |messages| Ok(5000 + 3 * u64::from(messages))), Ok(3.0));
    }
}
