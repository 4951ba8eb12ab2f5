//! Services of hundreds of processes.

use super::suite;
use crate::board::Board;
use crate::qemu::GuestOptions;

/// Memory of the board for so many processes.
const MEMORY_MIB: u32 = 256;

/// Boots the board with more memory, and has it end hundreds of processes.
pub(super) fn run(board: &Board) -> Result<(), String> {
    println!("==> {}: services of hundreds of processes", board.name);
    let options = GuestOptions { memory_mib: Some(MEMORY_MIB), ..suite::options("crowd") };
    suite::run_cases(board, &options, &["system::booted::crowd::"])
}
