//! QEMU's command line for a board.

use std::path::Path;
use std::process::Command;

use crate::board::Board;
use crate::image::{self, Files};
use crate::machine::{Boot, Disk, Image, Qemu};
use crate::run;

/// QEMU's name of the disk, for its control.
pub(super) const DISK: &str = "disk";

/// Parts of QEMU's command line.
pub(crate) struct Machine<'a> {
    pub(crate) board: &'a Board,
    pub(crate) qemu: &'a Qemu,
    pub(crate) image: &'a Image,
    pub(crate) files: &'a Files,
    pub(crate) boot: Boot,
    /// The disk to attach.
    pub(crate) disk: &'a Path,
    /// The disk keeps nothing.
    pub(crate) snapshot: bool,
    /// Ports of this machine, and those of the guest to which they lead.
    pub(crate) ports: &'a [(u16, u16)],
    /// Other memory than the board's.
    pub(crate) memory_mib: Option<u32>,
    /// Further arguments of a kernel that QEMU starts.
    pub(crate) kernel_arguments: &'a str,
    /// Devices besides those of the board's file.
    pub(crate) devices: &'a [String],
}

impl Machine<'_> {
    /// QEMU with everything but its serial line and its control.
    pub(crate) fn command(&self) -> Result<Command, String> {
        let device_tree = match &self.qemu.device_tree {
            Some(name) if self.boot == Boot::Kernel => Some(image::device_tree(self.image, name)?),
            _ => None,
        };
        let mut command = run::at_root(&format!("qemu-system-{}", self.board.architecture()));
        command.args(self.arguments());
        if let Some(path) = device_tree {
            command.arg("-dtb").arg(path);
        }
        Ok(command)
    }

    fn arguments(&self) -> Vec<String> {
        let qemu = self.qemu;
        let mut list = Vec::new();
        let mut add = |words: &[&str]| list.extend(words.iter().map(|word| (*word).to_owned()));
        // Nothing is there that is not asked for; least of all a second serial line or network card.
        add(&["-nodefaults", "-display", "none", "-machine", &qemu.machine]);
        if let Some(cpu) = &qemu.cpu {
            add(&["-cpu", cpu]);
        }
        if qemu.counts_instructions {
            add(&["-icount", "shift=auto"]);
        }
        if let Some(mib) = self.memory_mib.or(qemu.memory_mib) {
            add(&["-m", &mib.to_string()]);
        }
        let mut network = "user,id=net".to_owned();
        for (host, guest) in self.ports {
            network += &format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
        }
        add(&["-netdev", &network, "-device", &format!("{},netdev=net", qemu.network)]);
        for device in qemu.devices.iter().chain(self.devices) {
            add(&["-device", device]);
        }
        // A comma in a file name is doubled.
        let file = self.disk.display().to_string().replace(',', ",,");
        let snapshot = if self.snapshot { "on" } else { "off" };
        let drive = format!("id={DISK},format=raw,file={file},snapshot={snapshot}");
        match qemu.disk {
            Disk::Virtio => {
                add(&[
                    "-drive",
                    &format!("if=none,{drive}"),
                    "-device",
                    // Boards know their disks by such numbers.
                    &format!("virtio-blk-device,drive={DISK},serial={}", self.board.name),
                ]);
            }
            Disk::Sd => add(&["-drive", &format!("if=sd,{drive}")]),
        }
        match self.boot {
            Boot::UBoot => add(&["-bios", qemu.firmware.as_deref().unwrap_or_default()]),
            Boot::Kernel => {
                let line = self.image.command_line("A", &self.image.partition_device(2));
                let line = format!("{line} {} {}", qemu.arguments, self.kernel_arguments);
                add(&["-kernel", &self.files.kernel.display().to_string()]);
                add(&["-initrd", &self.files.initrd.display().to_string()]);
                add(&["-append", line.trim_end()]);
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, boot: Boot) -> String {
        let board = Board::load(name).unwrap();
        let machine = Machine {
            board: &board,
            qemu: &Qemu::of(&board).unwrap(),
            image: &Image::of(&board).unwrap().unwrap(),
            files: &Files::of(&board),
            boot,
            disk: Path::new("/a,b/disk.img"),
            snapshot: true,
            ports: &[(1, 6500), (2, 22)],
            memory_mib: Some(96),
            kernel_arguments: "quiet",
            devices: &["qemu-xhci".to_owned()],
        };
        machine.arguments().join(" ")
    }

    #[test]
    fn a_board_is_played_as_its_file_says() {
        let text = line("qemu-armv7", Boot::UBoot);
        for words in [
            "-machine virt -cpu cortex-a15 -m 96 ",
            "hostfwd=tcp:127.0.0.1:1-:6500,hostfwd=tcp:127.0.0.1:2-:22 ",
            "file=/a,,b/disk.img,snapshot=on -device virtio-blk-device",
            "-bios /usr/lib/u-boot/qemu_arm/u-boot.bin",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
        assert!(!text.contains("-kernel"), "{text}");
        let text = line("raspberrypi-zero", Boot::Kernel);
        for words in ["-drive if=sd,", "friendlet.slot=A", "friendlet.watchdog=0 quiet", "-device usb-net,"] {
            assert!(text.contains(words), "{words} in {text}");
        }
        assert!(!text.contains("-bios") && !text.contains("-cpu"), "{text}");
    }
}
