//! A second start of a board: it knows the time although its clock chip was wrong at the first one, and has the seed that
//! the first one has kept.

use super::{BOOT, remove, suite};
use crate::board::Board;
use crate::qemu::{Guest, GuestOptions, Storage, copy};

/// Date of the clock chip, and the lines of init at that start.
const STARTS: [(&str, [&str; 2]); 2] = [
    ("2036-01-01", ["clock: 2036-01-01T00:00:", "random numbers: no seed of an earlier run"]),
    // The files of the data are dated 2036.
    ("2030-01-01", ["clock: 2030-01-01T00:00:", "random numbers: the seed of the last run is credited"]),
];

/// Boots the board twice, each time until it is switched off in order.
pub(super) fn run(board: &Board) -> Result<(), String> {
    let disk = copy(board, "second")?;
    let tests = suite::program(board);
    for (date, lines) in STARTS {
        println!("==> {}: a start in {date}", board.name);
        let storage = Storage::File(disk.clone());
        let options = GuestOptions { storage, rtc: Some(date), ..suite::options("second") };
        let (mut guest, _) = Guest::boot(board, BOOT, || Ok(options.clone()))?;
        for line in lines {
            guest.wait_serial(line, BOOT)?;
        }
        suite::switch_off(&tests, &mut guest)?;
    }
    remove(&disk);
    Ok(())
}
