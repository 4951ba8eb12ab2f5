//! `cargo xtask qemu`: the image of a board on QEMU, for people; and the same for tests, whose
//! verdict is QEMU's own account of how the guest ended.

mod arguments;
mod guest;
mod qmp;
mod verdict;

use std::os::unix::process::CommandExt;

use crate::board::Board;
use crate::image::{self, Files};
use crate::machine::{Boot, Image, Qemu};

pub(crate) use guest::{Guest, GuestOptions, Storage, copy};
pub(crate) use verdict::Verdict;

/// The port that friendlet listens on.
pub(crate) const PORT: u16 = 6500;

/// Options of `cargo xtask qemu`.
#[derive(Debug)]
pub(crate) struct Options {
    /// The port of this machine that leads to the guest's.
    pub(crate) port: u16,
    /// The image keeps nothing of what the guest writes.
    pub(crate) snapshot: bool,
    /// QEMU starts the kernel, not the boot loader.
    pub(crate) kernel: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { port: PORT, snapshot: false, kernel: false }
    }
}

/// Boots the board's image with its serial line on the terminal. Comes back only with an error.
pub(crate) fn interactive(board: &Board, options: &Options) -> Result<(), String> {
    let (qemu, image) = tables(board)?;
    let files = Files::of(board);
    if !files.disk.is_file() {
        image::make(board, &image::Options::default())?;
    }
    let machine = arguments::Machine {
        board,
        qemu: &qemu,
        image: &image,
        files: &files,
        boot: if options.kernel { Boot::Kernel } else { qemu.boot },
        disk: &files.disk,
        snapshot: options.snapshot,
        ports: &[(options.port, PORT)],
        memory_mib: None,
        kernel_arguments: "",
        devices: &[],
    };
    let mut command = machine.command()?;
    command.args(["-serial", "mon:stdio"]);
    println!("    {} in {}", board.name, command.get_program().to_string_lossy());
    println!("    cargo run -- ctl --url https://127.0.0.1:{} login admin", options.port);
    println!("    Ctrl-A then X ends it as a power cut would; Ctrl-A then H lists the other keys");
    let error = command.exec();
    Err(format!("{} did not start: {error}", command.get_program().to_string_lossy()))
}

/// Returns the tables of the board's file about QEMU and the image.
fn tables(board: &Board) -> Result<(Qemu, Image), String> {
    let qemu = Qemu::of(board)?;
    let image = Image::of(board)?.ok_or_else(|| {
        format!("boards/{}/board.toml has no [image]: there is nothing to boot", board.name)
    })?;
    Ok((qemu, image))
}
