//! Check and repair of the data partition by e2fsck(8) of the root.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use super::{REPAIR_STEP, REPAIR_TIMEOUT};
use crate::log::Reason;
use crate::log::console::{info, warning};
use crate::service::{Exit, KILL_TIMEOUT};
use crate::sys::machine::wait;
use crate::sys::program::{Command, Surroundings, try_wait};

/// Static program in the root of an image.
const TOOL: &str = "/sbin/e2fsck";
/// Exit codes are a sum: errors left uncorrected, or none that the program could look for.
const UNCORRECTED: i32 = 4 | 8 | 16 | 32 | 128;

/// Beginning of a partition: where ext4 has its first superblock, and others have theirs.
const START_BYTES: usize = 4096;
const SUPERBLOCK: usize = 1024;
/// Place of the magic number and of the label in the superblock.
const MAGIC: (usize, &[u8]) = (0x38, &[0x53, 0xef]);
const LABEL: (usize, &[u8]) = (0x78, b"friendlet-data");

/// Corrects what can be corrected without a question. Returns false if more is wrong, true for a root without the program.
pub(super) fn preen(device: &str, feed: &mut dyn FnMut()) -> bool {
    if !Path::new(TOOL).exists() {
        info!("no {}: the data are not checked", TOOL);
        return true;
    }
    check(Path::new(TOOL), &["-p", device], feed)
}

/// Corrects everything, which may lose files. Returns false if that is impossible, or if the partition is not one of
/// ext4: what is there may be the owner's.
pub(super) fn repair(device: &str, feed: &mut dyn FnMut()) -> bool {
    let mut start = [0; START_BYTES];
    let read = File::open(device).and_then(|mut file| file.read_exact(&mut start));
    if read.is_err() || !is_ours(&start) {
        warning!("{}: not repaired: it may be another file system than ext4", device);
        return false;
    }
    warning!("{}: repair, for at most {} s", device, REPAIR_TIMEOUT.as_secs());
    check(Path::new(TOOL), &["-f", "-y", device], feed)
}

/// Returns true for the start of an ext4, also of one whose superblock is zero or has lost its magic number. Another
/// file system has some data of its own in the first 4 KiB, or has deleted the superblocks of the earlier one.
fn is_ours(start: &[u8; START_BYTES]) -> bool {
    let superblock = start.get(SUPERBLOCK..).unwrap_or_default();
    let has = |(at, bytes): (usize, &[u8])| superblock.get(at..).is_some_and(|rest| rest.starts_with(bytes));
    has(MAGIC) || has(LABEL) || start.iter().all(|byte| *byte == 0)
}

/// Runs the program. Returns false if errors are left.
fn check(tool: &Path, arguments: &[&str], feed: &mut dyn FnMut()) -> bool {
    match run(tool, arguments, REPAIR_TIMEOUT, feed) {
        Ok(code) => {
            info!("{}: code {}", tool.display(), code);
            code & UNCORRECTED == 0
        }
        Err(error) => {
            warning!("{}: {}", tool.display(), Reason::from(&error));
            false
        }
    }
}

/// Runs a program, and kills it after `timeout`. Its output is that of this process.
fn run(tool: &Path, arguments: &[&str], timeout: Duration, feed: &mut dyn FnMut()) -> io::Result<i32> {
    let child = Command::new(tool).argument(tool).arguments(arguments.iter()).start(Surroundings::Own)?;
    let start = Instant::now();
    loop {
        if let Some(exit) = try_wait(child)? {
            return Ok(if let Exit::Code(code) = exit { code } else { UNCORRECTED });
        }
        if start.elapsed() >= timeout {
            kill_process(child, Signal::KILL)?;
            // Until then it has the device. A process that waits for a broken disk ends with it.
            let killed = Instant::now();
            while try_wait(child)?.is_none() && killed.elapsed() < KILL_TIMEOUT {
                wait(REPAIR_STEP, feed);
            }
            return Err(io::ErrorKind::TimedOut.into());
        }
        wait(REPAIR_STEP, feed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::lock_children;

    fn shell(script: &str, timeout: Duration) -> (io::Result<i32>, u32) {
        let _lock = lock_children();
        let mut steps = 0;
        let result = run(Path::new("/bin/sh"), &["-c", script], timeout, &mut || steps += 1);
        (result, steps)
    }

    #[test]
    fn exit_code_says_whether_errors_are_left() {
        crate::log::set_level(crate::log::Level::Off);
        let _lock = lock_children();
        for (script, is_good) in [
            ("exit 0", true),
            ("exit 1", true),
            ("exit 3", true),
            ("exit 4", false),
            ("exit 8", false),
            ("kill -9 $$", false),
        ] {
            assert_eq!(check(Path::new("/bin/sh"), &["-c", script], &mut || ()), is_good, "{script}");
        }
        assert!(!check(Path::new("/nonexistent"), &[], &mut || ()));
    }

    #[test]
    fn repair_is_killed_after_its_time_and_the_watchdog_is_fed_meanwhile() {
        let (result, _) = shell("exit 5", REPAIR_TIMEOUT);
        assert_eq!(result.unwrap(), 5);
        let (result, steps) = shell("sleep 60", 3 * REPAIR_STEP);
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(steps > 0);
    }

    #[test]
    fn only_an_ext4_is_repaired() {
        let with = |at: usize, bytes: &[u8]| {
            let mut start = [0; START_BYTES];
            start[at..at + bytes.len()].copy_from_slice(bytes);
            start
        };
        assert!(is_ours(&with(0, b"")));
        assert!(is_ours(&with(1024 + 0x38, &[0x53, 0xef])));
        assert!(is_ours(&with(1024 + 0x78, b"friendlet-data\0\0")));
        // FAT, F2FS, LUKS, and an ext4 label of somebody else without the magic number.
        for other in [
            with(510, &[0x55, 0xaa]),
            with(1024, &[0x10, 0x20, 0xf5, 0xf2]),
            with(0, b"LUKS\xba\xbe"),
            with(1024 + 0x78, b"photos"),
        ] {
            assert!(!is_ours(&other));
        }
        assert!(!repair("/nonexistent", &mut || ()));
    }
}
