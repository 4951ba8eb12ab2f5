//! A USB controller, whose module init loads, and a serial adapter that is plugged in and pulled out.

use super::{BOOT, lab, suite};
use crate::board::Board;
use crate::qemu::{Guest, GuestOptions};

/// Boots the board with a controller, and plugs an adapter into it.
pub(super) fn run(board: &Board) -> Result<(), String> {
    println!("==> {}: a serial adapter", board.name);
    let tests = suite::program(board);
    let options = GuestOptions { devices: vec!["qemu-xhci".to_owned()], ..suite::options("hotplug") };
    let (mut guest, _) = Guest::boot(board, BOOT, || Ok(options.clone()))?;
    lab::run(guest.port(lab::PORT), "true")?;
    suite::ask(&tests, &guest, &["system::booted::hotplug::without_"])?;
    guest.plug_serial_adapter()?;
    suite::ask(&tests, &guest, &["system::booted::hotplug::with_"])?;
    guest.pull_serial_adapter()?;
    suite::ask(&tests, &guest, &["system::booted::hotplug::without_"])?;
    guest.verdict().expect(None)?;
    suite::switch_off(&tests, &mut guest)
}
