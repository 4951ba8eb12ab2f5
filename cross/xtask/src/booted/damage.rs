//! A damaged data partition: whatever happens to it, the owner logs in with his password, and the board has his
//! certificate. Then a factory reset, of which nothing of the owner is left, also when the power is cut.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::cuts::Random;
use super::{BOOT, remove, suite, tables};
use crate::board::Board;
use crate::machine::{BACKUP_SECTORS, Boot, Partition, SECTOR};
use crate::qemu::{Guest, GuestOptions, Storage, copy};
use crate::run;

/// Files and directories of which a bit is flipped, in the data and in the inode of each.
const TARGETS: [&str; 10] = [
    "/",
    "/state",
    "/state/tls",
    "/friendlet.toml",
    "/friendlet.toml.good",
    "/state/passwords",
    "/state/passwords.copy",
    "/state/tls/certificate.pem",
    "/state/tls/certificate.pem.copy",
    "/state/tls/key.pem",
];
/// Bytes of an inode in which a bit is flipped.
const INODE_BYTES: u64 = 128;
/// Size of a block.
const BLOCK: u64 = 4096;
/// Bytes that are left of a truncated partition.
const TRUNCATED: u64 = 2 << 20;
/// Bytes of a configuration file, and words of a mark, that a reset must not leave.
const OWNER: &[u8] = b"Friend Administrator";
/// Place of the mark of a factory reset in the header of a slot.
const ERASE: (u64, &[u8]) = (52, b"ERASEALL");

/// Name of a damage, and what it does to the disk.
type Damage = (String, Box<dyn Fn(&File) -> std::io::Result<()>>);

/// Damages the partition in each way and boots, then resets the board.
pub(super) fn run(board: &Board) -> Result<(), String> {
    let (_, image) = tables(board)?;
    let data = image.partitions()[3];
    let whole = copy(board, "whole")?;
    let cases = Cases { board, pin: board.directory().join("damage.pin") };
    println!("==> {}: a changed password", board.name);
    let mut guest = cases.boot(&whole, "changed_password_is_in_the_backup_soon")?;
    suite::switch_off(&suite::program(board), &mut guest)?;

    let disk = board.directory().join("disk-damaged.img");
    let known = "owner_logs_in_with_his_password_and_his_certificate";
    for (name, damage) in damages(&whole, data)? {
        println!("==> {}: {name}", board.name);
        put_damaged(&whole, &disk, &damage)?;
        cases.boot(&disk, known)?.kill().expect(None)?;
    }

    println!("==> {}: factory reset", board.name);
    put_damaged(&whole, &disk, &|_: &File| Ok(()))?;
    let mut guest = cases.boot(&disk, "owner_resets_the_board")?;
    guest.wait_serial("factory reset: done", BOOT)?;
    guest.wait_serving(BOOT)?;
    cases.ask(&guest, "nothing_of_the_owner_is_left")?;
    guest.kill().expect(None)?;
    check_erased(&disk)?;

    println!("==> {}: factory reset that a power cut has interrupted", board.name);
    let mark = |file: &File| file.write_all_at(ERASE.1, BACKUP_SECTORS[1] * SECTOR + ERASE.0);
    put_damaged(&whole, &disk, &mark)?;
    let mut guest = cases.boot(&disk, "nothing_of_the_owner_is_left")?;
    guest.wait_serial("factory reset: done", BOOT)?;
    guest.kill().expect(None)?;
    check_erased(&disk)?;
    for path in [&whole, &disk, &cases.pin] {
        remove(path);
    }
    Ok(())
}

/// Cases of `tests/system/booted/damage.rs`.
struct Cases<'b> {
    board: &'b Board,
    /// File with the fingerprint of the public key: the certificate gets the addresses of the board.
    pin: std::path::PathBuf,
}

impl Cases<'_> {
    /// Boots this disk, and runs a case.
    fn boot(&self, disk: &Path, case: &str) -> Result<Guest, String> {
        let options = GuestOptions {
            boot: Some(Boot::Kernel),
            storage: Storage::File(disk.to_owned()),
            restarts: case == "owner_resets_the_board",
            ..suite::options("damage")
        };
        let (guest, took) = Guest::boot(self.board, BOOT, || Ok(options.clone()))?;
        println!("    serves after {:.1} s", took.as_secs_f64());
        self.ask(&guest, case)?;
        Ok(guest)
    }

    fn ask(&self, guest: &Guest, case: &str) -> Result<(), String> {
        let mut command = suite::test_command(&suite::program(self.board), guest);
        command.env("FRIENDLET_PIN", &self.pin).args(["--ignored", "--exact", "--show-output"]);
        command.arg(format!("system::booted::damage::{case}"));
        let output = run::captured(&mut command)
            .map_err(|error| format!("{error}; serial log: {}", guest.serial_log().display()))?;
        if !output.contains("1 passed") {
            return Err(format!("no case is called {case}"));
        }
        output.lines().filter(|line| line.contains(" s after ")).for_each(|line| println!("    {line}"));
        Ok(())
    }
}

/// Makes a copy of the disk, and damages it.
fn put_damaged(
    whole: &Path,
    disk: &Path,
    damage: &dyn Fn(&File) -> std::io::Result<()>,
) -> Result<(), String> {
    run::captured(run::at_root("cp").args(["--sparse=always", "--reflink=auto"]).arg(whole).arg(disk))?;
    let failed = |error| format!("{}: {error}", disk.display());
    let file = OpenOptions::new().read(true).write(true).open(disk).map_err(failed)?;
    damage(&file).map_err(failed)
}

/// The damages: of the whole partition, 20 flipped bits each alone, and all of them together.
fn damages(whole: &Path, data: Partition) -> Result<Vec<Damage>, String> {
    let zero = move |from: u64, to: u64| {
        move |file: &File| file.write_all_at(&vec![0; (to - from) as usize], data.offset() + from)
    };
    let mut damages: Vec<Damage> = vec![
        ("the superblock is zero".to_owned(), Box::new(zero(1024, 2048))),
        ("the partition ends after 2 MiB".to_owned(), Box::new(zero(TRUNCATED, data.bytes()))),
        ("the partition is zero".to_owned(), Box::new(zero(0, data.bytes()))),
    ];
    let seed = std::process::id();
    println!("    seed {seed}");
    let mut random = Random(seed);
    let mut places = Vec::new();
    for path in TARGETS {
        let debug = |request: &str| {
            let image = format!("{}?offset={}", whole.display(), data.offset());
            run::captured(run::at_root("debugfs").args(["-R", &format!("{request} {path}"), &image]))
        };
        let inode = place_of_inode(&debug("imap")?).ok_or_else(|| format!("{path} has no inode"))?;
        let (block, size) = (first_number(&debug("blocks")?, ""), first_number(&debug("stat")?, "Size: "));
        let (Some(block), Some(size)) = (block, size) else { return Err(format!("{path} has no content")) };
        places.push((format!("the inode of {path}"), inode + random.number(INODE_BYTES)));
        places.push((format!("the content of {path}"), block * BLOCK + random.number(size.min(BLOCK))));
    }
    let flips: Vec<(u64, u8)> = places.iter().map(|(_, at)| (*at, 1 << random.number(8))).collect();
    for ((name, at), flip) in places.into_iter().zip(flips.clone()) {
        let name = format!("a bit of {name} is flipped, {:#04x} of byte {at}", flip.1);
        damages.push((name, Box::new(move |file| flip_bits(file, data, &[flip]))));
    }
    let name = format!("all {} bits are flipped", flips.len());
    damages.push((name, Box::new(move |file| flip_bits(file, data, &flips))));
    Ok(damages)
}

fn flip_bits(file: &File, data: Partition, flips: &[(u64, u8)]) -> std::io::Result<()> {
    flips.iter().try_for_each(|(at, bits)| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, data.offset() + at)?;
        file.write_all_at(&[byte[0] ^ bits], data.offset() + at)
    })
}

/// First byte of an inode, from `located at block 41, offset 0x0200`.
fn place_of_inode(text: &str) -> Option<u64> {
    let offset = text.split_once("offset 0x")?.1.split_whitespace().next()?;
    Some(first_number(text, "located at block ")? * BLOCK + u64::from_str_radix(offset, 16).ok()?)
}

fn first_number(text: &str, before: &str) -> Option<u64> {
    let digits = text.split_once(before)?.1.trim_start();
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Neither the slots of the backup nor the data have anything of the owner.
fn check_erased(disk: &Path) -> Result<(), String> {
    let bytes = fs::read(disk).map_err(|error| format!("{}: {error}", disk.display()))?;
    match bytes.windows(OWNER.len()).position(|window| window == OWNER) {
        Some(at) => Err(format!("{}: byte {at} has the name of a user", disk.display())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_debugfs() {
        let text = "Inode 19 is part of block group 0\n\tlocated at block 41, offset 0x0200\n";
        assert_eq!(place_of_inode(text), Some(41 * 4096 + 512));
        assert_eq!(first_number("7 8 9 \n", ""), Some(7));
        assert_eq!(first_number("User: 0\tGroup: 0\tSize: 1230\n", "Size: "), Some(1230));
        assert_eq!((place_of_inode("none"), first_number("", "Size: ")), (None, None));
    }
}
