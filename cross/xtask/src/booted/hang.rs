//! A disk that hangs: what needs it waits, the board answers, and its watchdog is fed. Then the disk is back.

use super::{BOOT, lab, suite};
use crate::board::Board;
use crate::qemu::Guest;

/// Bytes per second of a disk that hangs: a page takes an hour.
const HANGING: u64 = 1;

/// Boots the board, and takes its disk away for a while.
pub(super) fn run(board: &Board) -> Result<(), String> {
    println!("==> {}: a disk that hangs", board.name);
    let tests = suite::program(board);
    let (mut guest, _) = Guest::boot(board, BOOT, || Ok(suite::options("hang")))?;
    // The program of the service `far`: on the disk alone, not in memory.
    lab::run(
        guest.port(lab::PORT),
        "mkdir /data/far; cp /data/bin/busybox /data/far; cp /data/bin/busybox /tmp; sync; echo 3 > /proc/sys/vm/drop_caches",
    )?;
    guest.throttle_disk(HANGING)?;
    suite::ask(&tests, &guest, &["system::booted::hang::requests_"])?;
    guest.throttle_disk(0)?;
    suite::ask(&tests, &guest, &["system::booted::hang::what_"])?;
    guest.verdict().expect(None)?;
    suite::switch_off(&tests, &mut guest)
}
