//! Debian's package on a machine that systemd has booted, played by QEMU: `cross/packages/deb/booted.sh` runs there.
//!
//! The root is the initramfs, so the kernel of the board needs no module.

use std::fs;

use super::content::Content;
use super::files::directory;
use super::{deb, roots};
use crate::board::Board;
use crate::image;
use crate::machine::Image;
use crate::run;

/// Board with the kernel.
const BOARD: &str = "qemu-armv7";
/// Packages of Debian in the root, beside those that are essential.
const INCLUDED: &str = "adduser,systemd-sysv";
/// Unit that runs the script.
const UNIT: &str = "etc/systemd/system/life.service";
/// Last line of the script.
const DONE: &str = "life.sh: done";
/// Seconds that the machine may take, from its start to its end.
const TIMEOUT: &str = "900";

/// Runs the life of Debian's package under systemd.
pub(super) fn live(content: &mut Content<'_>) -> Result<(), String> {
    println!("    cross/packages/deb/booted.sh on a machine of {BOARD} that systemd has booted");
    let packages = [deb::package(content)?, roots::later(content)?];
    let root = roots::unpack(&content.architecture, "-systemd", INCLUDED)?;
    roots::put_life(&root, "cross/packages/deb/booted.sh", &packages)?;
    let [old, new] = packages.map(|(name, _)| format!("/life/{name}"));
    let unit = format!(
        "[Unit]\nAfter=multi-user.target\n[Service]\nEnvironment=HOME=/root LC_ALL=C \
         PATH=/usr/sbin:/usr/bin:/sbin:/bin\nExecStart=/bin/sh -c '/life/booted.sh {old} {new} && echo {DONE} || \
         journalctl --boot --no-pager --unit friendlet; systemctl poweroff --force'\n\
         StandardOutput=tty\nStandardError=tty\nTTYPath=/dev/ttyAMA0\n"
    );
    run::write(&root.join(UNIT), unit)?;
    let initrd = directory().join("roots/systemd.cpio.gz");
    let pack = "cd \"$0\" && ln -s usr/lib/systemd/systemd init && find . | \
                cpio --quiet --create --format newc --owner 0:0 | gzip -1 >\"$1\"";
    run::captured(run::at_root("sh").args(["-c", pack]).arg(&root).arg(&initrd))?;
    let kernel = Image::of(&Board::load(BOARD)?)?.ok_or_else(|| format!("{BOARD} has no image"))?;
    let mut command = run::at_root("timeout");
    command.args([TIMEOUT, "qemu-system-arm", "-machine", "virt", "-cpu", "cortex-a15", "-m", "1024"]);
    command.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]);
    command.arg("-kernel").arg(image::kernel(&kernel)?).arg("-initrd").arg(&initrd).arg("-append");
    command.arg(
        "console=ttyAMA0 quiet systemd.show_status=0 systemd.mask=getty.target systemd.wants=life.service",
    );
    let text = run::captured(&mut command)?;
    let lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches('\r')).collect();
    if !lines.contains(&DONE) {
        return Err(format!("{}\n{BOARD}: the package does not live under systemd", lines.join("\n")));
    }
    lines.iter().filter(|line| line.starts_with("    ")).for_each(|line| println!("{line}"));
    fs::remove_file(&initrd).map_err(|error| format!("{}: {error}", initrd.display()))?;
    fs::remove_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))
}
