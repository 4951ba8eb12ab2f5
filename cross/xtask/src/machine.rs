//! The tables `[image]`, `[qemu]` and `[flash]` of a board.toml: what lies on its disk, how it is
//! emulated, what it is flashed to. Every unknown key is an error.

use serde::Deserialize;

use crate::board::Board;

/// Bytes of a sector, the unit of the partition table.
pub(crate) const SECTOR: u64 = 512;
/// The sector with the boot state, in the gap before the first partition.
pub(crate) const STATE_SECTOR: u64 = 64;
/// The sectors where the two slots of the backup begin, at the end of the gap before the first partition.
pub(crate) const BACKUP_SECTORS: [u64; 2] = [7168, 7680];
/// First bytes of such a slot.
pub(crate) const BACKUP_MAGIC: &[u8; 8] = b"FLBACK1\n";
const MIB: u64 = 1 << 20;
/// Least MiB of the boot partition: FAT32 has at least 65525 clusters, here of one sector each.
const MIN_BOOT_MIB: u64 = 34;
/// MiB before the first partition: the partition table, the boot state, a boot loader of the board, the backup.
const GAP_MIB: u64 = 4;

/// Content of a board's disk.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Image {
    /// Debian's package that names the kernel's, with its architecture: `linux-image-armmp:armhf`.
    pub(crate) kernel: String,
    /// The kernel versions that the board was tried with: `6.1.0-*`. A `*` is any number.
    pub(crate) kernel_abi: String,
    /// Format of the kernel for U-Boot.
    pub(crate) kernel_format: KernelFormat,
    /// Load address of a `uImage`.
    #[serde(default)]
    pub(crate) kernel_load: Option<u32>,
    /// Kernel modules in the order in which they are wanted; what they need comes before them.
    /// Parameters stand after a name: `softdog soft_margin=10`.
    pub(crate) modules: Vec<String>,
    /// Kernel modules of the root, each loaded when a device appears that one of its aliases matches.
    #[serde(default)]
    pub(crate) hotplug: Vec<String>,
    /// Command line of the kernel, without friendlet's own arguments.
    pub(crate) arguments: String,
    /// Seconds of the watchdog, which a module's parameter or a kernel argument must set to the same.
    #[serde(default)]
    pub(crate) watchdog_s: Option<u32>,
    /// The disk as the running kernel calls it: `/dev/mmcblk0`.
    pub(crate) device: String,
    /// Device trees of the kernel package that lie on the boot partition.
    #[serde(default)]
    pub(crate) device_trees: Vec<String>,
    /// MiB of the whole disk, a power of two as emulated SD cards must have.
    #[serde(default = "disk_mib")]
    pub(crate) disk_mib: u64,
    /// MiB of the FAT partition.
    #[serde(default = "boot_mib")]
    pub(crate) boot_mib: u64,
    /// MiB of each root partition.
    #[serde(default = "root_mib")]
    pub(crate) root_mib: u64,
    /// Addresses for U-Boot's script.
    pub(crate) u_boot: UBoot,
    /// Files of Debian packages that lie on the boot partition.
    #[serde(default)]
    pub(crate) file: Vec<PackageFile>,
    /// Files of Debian packages that lie at a fixed place before the first partition.
    #[serde(default)]
    pub(crate) raw: Vec<RawFile>,
}

fn disk_mib() -> u64 {
    256
}

fn boot_mib() -> u64 {
    64
}

fn root_mib() -> u64 {
    16
}

/// The form of the kernel, and with it U-Boot's command.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
pub(crate) enum KernelFormat {
    /// 32 bits, unpacks itself (`bootz`).
    #[serde(rename = "zImage")]
    ZImage,
    /// 32 bits, unpacked when the image is made, with U-Boot's header (`bootm`): starts quicker.
    #[serde(rename = "uImage")]
    UImage,
    /// 64 bits (`booti`).
    Image,
}

impl KernelFormat {
    /// U-Boot's command that starts it.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::ZImage => "bootz",
            Self::UImage => "bootm",
            Self::Image => "booti",
        }
    }
}

/// Addresses of memory that U-Boot may use for what it loads.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UBoot {
    /// The kernel.
    pub(crate) kernel: u32,
    /// The initramfs.
    pub(crate) initrd: u32,
    /// The sector with the boot state.
    pub(crate) scratch: u32,
    /// A device tree read from the boot partition, `fdtfile` of U-Boot; unless said, the device
    /// tree that U-Boot was given.
    #[serde(default)]
    pub(crate) device_tree: Option<u32>,
}

/// A file of a Debian package, on the boot partition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PackageFile {
    /// The package with its architecture.
    pub(crate) package: String,
    /// The file in it.
    pub(crate) path: String,
    /// Name on the boot partition.
    pub(crate) to: String,
}

/// A file of a Debian package, outside of the partitions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFile {
    /// The package with its architecture.
    pub(crate) package: String,
    /// The file in it.
    pub(crate) path: String,
    /// The sector of the disk where it begins.
    pub(crate) sector: u64,
}

/// QEMU's machine for the board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Qemu {
    /// QEMU's `-machine`.
    pub(crate) machine: String,
    /// QEMU's `-cpu`; unless said, the machine's own.
    #[serde(default)]
    pub(crate) cpu: Option<String>,
    /// MiB of memory; unless said, the machine's own.
    #[serde(default)]
    pub(crate) memory_mib: Option<u32>,
    /// Let the clock of the machine follow its instructions (QEMU's `-icount`): it is suspended while this
    /// machine does not run QEMU.
    #[serde(default)]
    pub(crate) counts_instructions: bool,
    /// First program of the machine.
    pub(crate) boot: Boot,
    /// U-Boot for this machine, for boards whose boot is `u-boot`.
    #[serde(default)]
    pub(crate) firmware: Option<String>,
    /// Bus of the disk.
    pub(crate) disk: Disk,
    /// QEMU's name of the network card.
    pub(crate) network: String,
    /// Further devices, as after QEMU's `-device`.
    #[serde(default)]
    pub(crate) devices: Vec<String>,
    /// The device tree that QEMU hands to the kernel; unless said, the machine's own.
    #[serde(default)]
    pub(crate) device_tree: Option<String>,
    /// Further arguments of a kernel that QEMU itself starts.
    #[serde(default)]
    pub(crate) arguments: String,
}

/// First program of a machine.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Boot {
    /// U-Boot, which reads everything from the disk, as on real hardware.
    UBoot,
    /// The kernel with its initramfs, handed over by QEMU; slot A.
    Kernel,
}

/// Bus of a disk.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Disk {
    /// A virtio block device.
    Virtio,
    /// An SD card.
    Sd,
}

/// Medium that the image is written to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flash {
    /// In words: `SD card`.
    pub(crate) medium: String,
    /// Instructions for after the writing.
    pub(crate) then: String,
}

impl Image {
    /// The table `[image]` of the board; none where only the root archive is made.
    pub(crate) fn of(board: &Board) -> Result<Option<Self>, String> {
        let Some(image) = section::<Self>(board, "image")? else { return Ok(None) };
        image.check().map_err(|error| format!("boards/{}/board.toml: [image]: {error}", board.name))?;
        Ok(Some(image))
    }

    fn check(&self) -> Result<(), String> {
        if !self.disk_mib.is_power_of_two() {
            return Err(format!("disk_mib: {} is not a power of two", self.disk_mib));
        }
        if self.boot_mib < MIN_BOOT_MIB {
            return Err(format!("boot_mib: FAT32 needs {MIN_BOOT_MIB} MiB, not {}", self.boot_mib));
        }
        let others = GAP_MIB + self.boot_mib + 2 * self.root_mib;
        if self.root_mib == 0 || self.disk_mib <= others {
            return Err(format!(
                "disk_mib: {} MiB leave no data partition after {others} MiB of others",
                self.disk_mib
            ));
        }
        if (self.kernel_format == KernelFormat::UImage) != self.kernel_load.is_some() {
            return Err("kernel_load: belongs to kernel_format = \"uImage\", and is needed there".to_owned());
        }
        if self.kernel_format == KernelFormat::UImage && self.kernel.ends_with(":arm64") {
            return Err("kernel_format: a 64-bit kernel is an Image".to_owned());
        }
        if !self.kernel.starts_with("linux-image-") || !self.kernel.contains(':') {
            return Err(format!("kernel: '{}' is not a linux-image-FLAVOUR:ARCHITECTURE", self.kernel));
        }
        if let Some(seconds) = self.watchdog_s {
            let set = format!("={seconds}");
            let words = self.modules.iter().flat_map(|module| module.split(' ').skip(1));
            let mut words = words.chain(self.arguments.split(' '));
            if !words.any(|word| word.ends_with(&set)) {
                return Err(format!("watchdog_s: {seconds} s is in neither modules nor arguments"));
            }
        }
        if self.arguments.contains("friendlet.") {
            return Err("arguments: friendlet's own arguments are made by the image".to_owned());
        }
        if let Some(raw) = self.raw.iter().find(|raw| raw.sector <= STATE_SECTOR) {
            return Err(format!("raw: sector {} is before the boot state", raw.sector));
        }
        Ok(())
    }

    /// Debian's name of the architecture: `armhf`.
    pub(crate) fn architecture(&self) -> &str {
        // `check` has seen the colon.
        self.kernel.split_once(':').map_or("", |(_, architecture)| architecture)
    }

    /// The partitions in their order: boot, root A, root B, data.
    pub(crate) fn partitions(&self) -> [Partition; 4] {
        let mut start = GAP_MIB;
        let data = self.disk_mib.saturating_sub(GAP_MIB + self.boot_mib + 2 * self.root_mib);
        [self.boot_mib, self.root_mib, self.root_mib, data].map(|mib| {
            let partition = Partition { start: start * MIB / SECTOR, sectors: mib * MIB / SECTOR };
            start += mib;
            partition
        })
    }

    /// Partition `number` as the running kernel calls it: `/dev/vda2`, `/dev/mmcblk0p2`.
    pub(crate) fn partition_device(&self, number: usize) -> String {
        let between = if self.device.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        format!("{}{between}{number}", self.device)
    }

    /// The whole command line of a kernel that starts slot `slot`, the number of its partition
    /// being `root`.
    pub(crate) fn command_line(&self, slot: &str, root: &str) -> String {
        let watchdog = self.watchdog_s.map(|s| format!(" friendlet.watchdog={s}")).unwrap_or_default();
        format!(
            "{} friendlet.root={root} friendlet.slot={slot} friendlet.data={} friendlet.state={}{watchdog}",
            self.arguments,
            self.partition_device(4),
            self.device
        )
    }
}

/// Place of a partition.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Partition {
    /// First sector.
    pub(crate) start: u64,
    /// Number of sectors.
    pub(crate) sectors: u64,
}

impl Partition {
    /// Size in bytes.
    pub(crate) fn bytes(self) -> u64 {
        self.sectors * SECTOR
    }

    /// First byte on the disk.
    pub(crate) fn offset(self) -> u64 {
        self.start * SECTOR
    }
}

impl Qemu {
    /// The table `[qemu]` of the board.
    pub(crate) fn of(board: &Board) -> Result<Self, String> {
        let name = &board.name;
        let qemu = section::<Self>(board, "qemu")?.ok_or_else(|| {
            format!("boards/{name}/board.toml has no [qemu]: no QEMU machine plays this board")
        })?;
        if qemu.boot == Boot::UBoot && qemu.firmware.is_none() {
            return Err(format!("boards/{name}/board.toml: [qemu]: boot = \"u-boot\" needs firmware"));
        }
        Ok(qemu)
    }
}

impl Flash {
    /// The table `[flash]` of the board.
    pub(crate) fn of(board: &Board) -> Result<Self, String> {
        section(board, "flash")?.ok_or_else(|| {
            format!("boards/{}/board.toml has no [flash]: nothing is flashed for this board", board.name)
        })
    }
}

fn section<T: for<'a> Deserialize<'a>>(board: &Board, key: &str) -> Result<Option<T>, String> {
    let Some(value) = board.table.get(key) else { return Ok(None) };
    let read = T::deserialize(value.clone());
    read.map(Some).map_err(|error| {
        let error = error.to_string();
        format!("boards/{}/board.toml: [{key}]: {}", board.name, error.trim_end().replace('\n', ", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "kernel = 'linux-image-armmp:armhf'\nkernel_abi = '6.1.0-*'\nkernel_format = 'zImage'\n\
         modules = ['softdog soft_margin=9']\narguments = 'panic=5'\ndevice = '/dev/mmcblk0'\n\
         u_boot = { kernel = 1, initrd = 2, scratch = 3 }\n";

    fn board(text: &str) -> Board {
        let text = format!(
            "about = 'b'\ntier = 2\ntarget = 't'\n{text}\n[budget]\nbinary_bytes = 1\nmemory_bytes = 1"
        );
        Board::from_table("b", text.parse().unwrap()).unwrap()
    }

    #[test]
    fn partitions_follow_each_other_and_fill_the_disk() {
        let image = Image::of(&board(&format!("[image]\n{IMAGE}"))).unwrap().unwrap();
        let partitions = image.partitions();
        assert_eq!(partitions[0], Partition { start: 8192, sectors: 131_072 });
        for pair in partitions.windows(2) {
            assert_eq!(pair[0].start + pair[0].sectors, pair[1].start);
        }
        let last = partitions[3];
        assert_eq!((last.start + last.sectors) * SECTOR, image.disk_mib * MIB);
        assert_eq!(partitions[0].start, BACKUP_SECTORS[1] + (BACKUP_SECTORS[1] - BACKUP_SECTORS[0]));
        assert_eq!(image.architecture(), "armhf");
        assert_eq!(image.partition_device(4), "/dev/mmcblk0p4");
        assert_eq!(
            image.command_line("A", "/dev/mmcblk0p2"),
            "panic=5 friendlet.root=/dev/mmcblk0p2 friendlet.slot=A friendlet.data=/dev/mmcblk0p4 \
             friendlet.state=/dev/mmcblk0"
        );
        assert!(Image::of(&board("")).unwrap().is_none());
    }

    #[test]
    fn wrong_images_are_refused_by_the_key() {
        for (lines, word) in [
            ("disk_mib = 200", "disk_mib"),
            ("disk_mib = 64", "disk_mib"),
            ("boot_mib = 8", "boot_mib"),
            ("kernel_load = 7", "kernel_load"),
            ("watchdog_s = 8", "watchdog_s"),
            ("colour = 'red'", "colour"),
            ("device_trees = 'one'", "device_trees"),
            ("raw = [{ package = 'p', path = 'f', sector = 64 }]", "sector 64"),
            ("raw = [{ package = 'p', path = 'f' }]", "sector"),
        ] {
            let error = Image::of(&board(&format!("[image]\n{IMAGE}{lines}"))).unwrap_err();
            assert!(error.contains(word) && error.contains("boards/b/board.toml: [image]"), "{error}");
        }
        for (from, to, word) in [
            ("zImage", "uImage", "kernel_load"),
            ("zImage", "ELF", "ELF"),
            ("'panic=5'", "'friendlet.slot=A'", "arguments"),
            ("linux-image-armmp:armhf", "busybox", "busybox"),
            ("scratch = 3", "scrap = 3", "scrap"),
        ] {
            let error = Image::of(&board(&format!("[image]\n{}", IMAGE.replace(from, to)))).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
        let text = format!("[image]\n{IMAGE}watchdog_s = 9");
        assert!(Image::of(&board(&text)).unwrap().unwrap().command_line("B", "r").ends_with("watchdog=9"));
    }

    #[test]
    fn emulation_and_flashing_are_said_or_refused() {
        assert!(Qemu::of(&board("")).unwrap_err().contains("no [qemu]"));
        assert!(Flash::of(&board("")).unwrap_err().contains("no [flash]"));
        let text = "[qemu]\nmachine = 'virt'\nboot = 'u-boot'\ndisk = 'virtio'\nnetwork = 'n'\n";
        assert!(Qemu::of(&board(text)).unwrap_err().contains("firmware"));
        let qemu = Qemu::of(&board(&text.replace("u-boot", "kernel"))).unwrap();
        assert_eq!((qemu.boot, qemu.disk), (Boot::Kernel, Disk::Virtio));
        assert!(Qemu::of(&board(&format!("{text}speed = 9"))).unwrap_err().contains("speed"));
    }

    #[test]
    fn every_board_is_readable() {
        for board in Board::all().unwrap() {
            Image::of(&board).unwrap();
            for key in ["qemu", "flash"] {
                let missing = !board.table.contains_key(key);
                let result =
                    if key == "qemu" { Qemu::of(&board).map(drop) } else { Flash::of(&board).map(drop) };
                assert!(result.is_ok() || missing, "{result:?}");
            }
        }
    }
}
