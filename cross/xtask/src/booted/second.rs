//! A second start of a board: it knows the time although its clock chip was wrong at the first one, and has the seed that
//! the first one has kept.

use super::{remove, suite};
use crate::board::Board;
use crate::qemu::copy;

/// Date of the clock chip, and the lines of init at that start.
const STARTS: [(&str, [&str; 2]); 2] = [
    ("2036-01-01", ["clock: 2036-01-01T00:00:", "random numbers: no seed of an earlier run"]),
    // The files of the data are dated 2036.
    ("2030-01-01", ["clock: 2030-01-01T00:00:", "random numbers: the seed of the last run is credited"]),
];

/// Boots the board twice, each time until it is switched off in order.
pub(super) fn run(board: &Board) -> Result<(), String> {
    let disk = copy(board, "second")?;
    for (date, lines) in STARTS {
        println!("==> {}: a start in {date}", board.name);
        suite::start_at(board, "second", &disk, date, &lines)?;
    }
    remove(&disk);
    Ok(())
}
