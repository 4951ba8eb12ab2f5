//! A board after 2038-01-19, when times no longer fit 31 bits, and after 2106-02-07, when they no longer fit 32. Its
//! clock starts with the newest file of its data, because the battery of its clock chip is empty.

use super::{remove, suite, tables};
use crate::board::Board;
use crate::qemu::{GuestOptions, Storage, copy};
use crate::run;

/// Names and dates, in seconds since 1970: one that passes 2^31 while the board runs, and one after 2^32.
const DATES: [(&str, u64); 2] = [("2038", (1 << 31) - 15), ("2110", 4_417_977_600)];

/// Boots the board at each date, and asks it everything that reads the clock.
pub(super) fn run(board: &Board) -> Result<(), String> {
    let (_, image) = tables(board)?;
    for (name, seconds) in DATES {
        println!("==> {}: the year {name}", board.name);
        let disk = copy(board, name)?;
        // Of the 34 bits of a time, ext4 has the lower 32 in one field and the others in another.
        let (time, extra) = (seconds & u64::from(u32::MAX), seconds >> 32);
        for field in [format!("mtime @{time}"), format!("mtime_extra {extra}")] {
            let mut command = run::at_root("debugfs");
            command.args(["-w", "-R", &format!("set_inode_field /friendlet.toml {field}")]);
            command.arg(format!("{}?offset={}", disk.display(), image.partitions()[3].offset()));
            run::captured(&mut command)?;
        }
        let options = GuestOptions {
            storage: Storage::File(disk.clone()),
            rtc: Some("2000-01-01"),
            ..suite::options(name)
        };
        suite::run_cases(board, &options, &["system::booted::late::"])?;
        remove(&disk);
    }
    Ok(())
}
