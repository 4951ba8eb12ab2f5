//! Services of hundreds of processes.

use super::{BOOT, lab, suite};
use crate::board::Board;
use crate::qemu::{Guest, GuestOptions};

/// Memory of the board for so many processes.
const MEMORY_MIB: u32 = 256;

/// Boots the board with more memory, and has it end hundreds of processes.
pub(super) fn run(board: &Board) -> Result<(), String> {
    println!("==> {}: services of hundreds of processes", board.name);
    let tests = suite::program(board);
    let options = GuestOptions {
        name: "crowd".to_owned(),
        ports: vec![lab::PORT, lab::PORT + 1],
        memory_mib: Some(MEMORY_MIB),
        ..GuestOptions::default()
    };
    let (mut guest, _) = Guest::boot(board, BOOT, || Ok(options.clone()))?;
    suite::ask(&tests, &guest, &["system::booted::crowd::"])?;
    guest.verdict().expect(None)?;
    suite::switch_off(&tests, &mut guest)
}
