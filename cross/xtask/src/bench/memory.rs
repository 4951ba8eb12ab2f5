//! Memory of a server: by connection and slot, idle, with every slot in use; the size of its program.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::kit::{BENCH_SLOTS, Kit};
use super::load::Held;
use super::peer::{FRIENDLET, Peer};
use super::server::{Server, Under};
use crate::run;

/// Connections that the host board's friendlet takes at once.
const SLOTS: u32 = 64;
/// Readings of a figure that must agree before it is taken, their pause, and how many there are at most.
const AGREEING: usize = 3;
const PAUSE: Duration = Duration::from_millis(40);
const READINGS: usize = 50;
/// Time before a connection counts as idle: friendlet gives memory back at its second tick.
const IDLE: Duration = Duration::from_millis(1200);

/// Private bytes written (`Private_Dirty`) with so many idle connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Growth {
    pub(crate) at_16: u64,
    pub(crate) at_64: u64,
    pub(crate) at_256: u64,
}

impl Growth {
    /// Bytes that an idle connection adds, between 16 and 256 of them.
    pub(crate) fn per_connection(self) -> f64 {
        (self.at_256 as f64 - self.at_16 as f64) / 240.0
    }
}

/// Opens idle connections and reads the server's written pages.
pub(super) fn growth(kit: &Kit, peer: &Peer, tls: bool) -> Result<Growth, String> {
    let server = Server::start(kit, peer, tls, &Under::Nothing, true)?;
    let mut held = Held::start(kit, peer, &server, tls)?;
    let mut at = |count| {
        held.hold(count)?;
        thread::sleep(IDLE);
        settled(|| sum(&server, dirty))
    };
    let growth = Growth { at_16: at(16)?, at_64: at(64)?, at_256: at(256)? };
    drop(held);
    server.stop()?;
    Ok(growth)
}

/// Resident pages in bytes, of server and keeper together: idle, and with 64 connections.
pub(super) fn resident(kit: &Kit, peer: &Peer, tls: bool) -> Result<[u64; 2], String> {
    let server = Server::start(kit, peer, tls, &Under::Nothing, false)?;
    let idle = settled(|| sum(&server, resident_share))?;
    let mut held = Held::start(kit, peer, &server, tls)?;
    held.hold(SLOTS)?;
    thread::sleep(IDLE);
    let full = settled(|| sum(&server, resident_share))?;
    drop(held);
    server.stop()?;
    Ok([idle, full])
}

/// Bytes that a slot of friendlet takes whether a client is connected or not: written pages of the build
/// with more slots less those of the host board's.
pub(super) fn per_slot(kit: &Kit, tls: bool) -> Result<f64, String> {
    let idle = |with_bench_slots| {
        let server = Server::start(kit, &FRIENDLET, tls, &Under::Nothing, with_bench_slots)?;
        thread::sleep(IDLE);
        let bytes = settled(|| sum(&server, dirty))?;
        server.stop()?;
        Ok::<u64, String>(bytes)
    };
    Ok((idle(true)? as f64 - idle(false)? as f64) / f64::from(BENCH_SLOTS - SLOTS))
}

fn settled(read: impl Fn() -> Result<u64, String>) -> Result<u64, String> {
    let mut last = read()?;
    let mut agreeing = 1;
    for _ in 0..READINGS {
        thread::sleep(PAUSE);
        let now = read()?;
        agreeing = if now == last { agreeing + 1 } else { 1 };
        last = now;
        if agreeing == AGREEING {
            break;
        }
    }
    Ok(last)
}

fn dirty(pid: u32) -> Result<u64, String> {
    kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Private_Dirty")
}

/// Resident pages; one that two processes share counts as a half for each.
fn resident_share(pid: u32) -> Result<u64, String> {
    kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Pss")
}

/// Sum over the server and its keeper.
fn sum(server: &Server, read: fn(u32) -> Result<u64, String>) -> Result<u64, String> {
    server.pids().into_iter().map(read).sum()
}

fn kilobytes(path: &str, field: &str) -> Result<u64, String> {
    let text = run::read(Path::new(path))?;
    parse(&text, field).ok_or_else(|| format!("{path}: no field {field}"))
}

/// The bytes of a line `field: N kB`.
fn parse(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Bytes of the program and of the shared libraries that it is linked to, the C library among them.
pub(super) fn sizes(program: &Path) -> Result<[u64; 2], String> {
    let bytes = |path: &Path| {
        // What is linked to is often a link.
        let found = fs::canonicalize(path).and_then(fs::metadata);
        found.map(|found| found.len()).map_err(|error| format!("{}: {error}", path.display()))
    };
    if crate::elf::Elf::read(program)?.is_static {
        return Ok([bytes(program)?, 0]);
    }
    let listed = run::captured(run::at_root("ldd").arg(program))?;
    let libraries = libraries(&listed).into_iter().map(|path| bytes(Path::new(path)));
    Ok([bytes(program)?, libraries.sum::<Result<u64, String>>()?])
}

/// The files that `ldd` names. The kernel's own has none.
fn libraries(text: &str) -> Vec<&str> {
    let words = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_smaps_and_of_status_is_read() {
        let text =
            "00400000-7ffd [rollup]\nRss:   1920 kB\nPrivate_Clean:  8 kB\nPrivate_Dirty:     384 kB\n";
        assert_eq!(parse(text, "Private_Dirty"), Some(384 * 1024));
        assert_eq!(parse(text, "Private"), None);
        assert_eq!(parse("VmHWM:\t 3 kB\nVmRSS:\t    2048 kB\n", "VmRSS"), Some(2_097_152));
    }

    #[test]
    fn libraries_are_the_files_that_ldd_names() {
        let text = "\tlinux-vdso.so.1 (0x00007ffc)\n\tlibgcc_s.so.1 => /lib/x/libgcc_s.so.1 (0x7f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        assert_eq!(libraries(text), ["/lib/x/libgcc_s.so.1", "/lib64/ld-linux-x86-64.so.2"]);
        assert!(libraries("\tstatically linked\n").is_empty());
    }

    #[test]
    fn growth_is_between_16_and_256() {
        let growth = Growth { at_16: 1000, at_64: 9000, at_256: 241_000 };
        assert!((growth.per_connection() - 1000.0).abs() < 1e-9);
    }
}
