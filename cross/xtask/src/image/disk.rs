//! The disk: partition table, boot state, and what lies in the partitions.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::work::Work;
use crate::machine::{BACKUP_MAGIC, BACKUP_SECTORS, Image, Partition, SECTOR, STATE_SECTOR};
use crate::run;

/// First bytes of the boot state.
pub(crate) const STATE_MAGIC: &[u8; 4] = b"FLB1";
/// Boots that a freshly written slot has to prove itself.
const TRIES: u8 = 3;

/// FAT32 addressed by sector, which U-Boot and every boot ROM of our boards read.
const TYPE_FAT32: u8 = 0x0c;
/// Any file system of Linux.
const TYPE_LINUX: u8 = 0x83;
/// Those of ext4 that every kernel since 3.16 knows.
const FEATURES: &str = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
/// Copying looks at this much at once, and leaves it out where it is all zero.
const BLOCK: usize = 64 << 10;

/// The first sector of the disk: the partition table.
pub(crate) fn table(partitions: &[Partition; 4], signature: u32) -> Result<[u8; SECTOR as usize], String> {
    let mut sector = [0; SECTOR as usize];
    sector[440..444].copy_from_slice(&signature.to_le_bytes());
    for (index, partition) in partitions.iter().enumerate() {
        let number =
            |value: u64| u32::try_from(value).map_err(|_| format!("sector {value} is past 2 TiB").to_owned());
        let at = 446 + 16 * index;
        let entry = &mut sector[at..at + 16];
        entry[0] = if index == 0 { 0x80 } else { 0 };
        entry[4] = if index == 0 { TYPE_FAT32 } else { TYPE_LINUX };
        // Cylinders, heads and sectors: too large to be said, look at the sector numbers.
        entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&number(partition.start)?.to_le_bytes());
        entry[12..16].copy_from_slice(&number(partition.sectors)?.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    Ok(sector)
}

/// The sector with the boot state: slot `A` or `B`, and the tries that it has left.
pub(crate) fn state(slot: u8, tries: u8) -> [u8; SECTOR as usize] {
    let mut sector = [0; SECTOR as usize];
    sector[..4].copy_from_slice(STATE_MAGIC);
    sector[4] = slot;
    sector[5] = tries;
    sector
}

/// The slot in force and the tries that it has left, on the disk in the file `disk`; none where no
/// boot state is.
pub(crate) fn read_state(disk: &Path) -> Result<Option<(u8, u8)>, String> {
    let failed = |error| format!("{}: {error}", disk.display());
    let mut file = File::open(disk).map_err(failed)?;
    let mut sector = [0; SECTOR as usize];
    file.seek(SeekFrom::Start(STATE_SECTOR * SECTOR)).map_err(failed)?;
    file.read_exact(&mut sector).map_err(failed)?;
    Ok(sector.starts_with(STATE_MAGIC).then_some((sector[4], sector[5])))
}

/// Sets the slot in force and the tries that it has left, on the disk in the file `disk`.
pub(crate) fn write_state(disk: &Path, slot: u8, tries: u8) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", disk.display());
    let mut file = fs::OpenOptions::new().write(true).open(disk).map_err(failed)?;
    file.seek(SeekFrom::Start(STATE_SECTOR * SECTOR)).map_err(failed)?;
    file.write_all(&state(slot, tries)).map_err(failed)
}

/// Writes a root to a partition, on the disk in the file `disk`.
pub(crate) fn write_root(disk: &Path, partition: Partition, root: &Path) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", disk.display());
    let root = run::bytes_of(root)?;
    if root.len() as u64 > partition.bytes() {
        return Err(format!(
            "{}: a root of {} bytes is larger than its partition",
            disk.display(),
            root.len()
        ));
    }
    let mut file = fs::OpenOptions::new().write(true).open(disk).map_err(failed)?;
    file.seek(SeekFrom::Start(partition.offset())).map_err(failed)?;
    file.write_all(&root).map_err(failed)
}

/// Overwrites a partition with zeros, on the disk in the file `disk`.
pub(crate) fn blank(disk: &Path, partition: Partition) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", disk.display());
    let mut file = fs::OpenOptions::new().write(true).open(disk).map_err(failed)?;
    file.seek(SeekFrom::Start(partition.offset())).map_err(failed)?;
    std::io::copy(&mut std::io::repeat(0).take(partition.bytes()), &mut file).map(drop).map_err(failed)
}

/// Makes the file system of the boot partition in the file `to`, with `files` (source, name).
pub(crate) fn boot(
    work: &Work,
    partition: Partition,
    files: &[(impl AsRef<Path>, String)],
    to: &Path,
) -> Result<(), String> {
    remove(to)?;
    let sectors = partition.sectors.to_string();
    let hidden = partition.start.to_string();
    let mut command = work.tool("mformat");
    command.arg("-i").arg(to).args(["-C", "-F", "-c", "1", "-h", "64", "-s", "32"]);
    command.args(["-T", &sectors, "-H", &hidden, "-v", "FRIENDLET"]);
    command.args(["-N", &format!("{:08x}", work.number)]).arg("::");
    run::captured(&mut command)?;
    let mut directories = Vec::new();
    for (_, name) in files {
        let Some((directory, _)) = name.rsplit_once('/') else { continue };
        if !directories.contains(&directory) {
            directories.push(directory);
            run::captured(work.tool("mmd").arg("-i").arg(to).arg(format!("::{directory}")))?;
        }
    }
    for (source, name) in files {
        let mut command = work.tool("mcopy");
        command.arg("-i").arg(to).arg(source.as_ref()).arg(format!("::{name}"));
        run::captured(&mut command).map_err(|error| format!("{error}; is boot_mib large enough?"))?;
    }
    Ok(())
}

/// Makes the data partition's file system in the file `to`, with everything in `content`.
pub(crate) fn data(work: &Work, partition: Partition, content: &Path, to: &Path) -> Result<(), String> {
    remove(to)?;
    let uuid = format!("{:08x}-0000-4000-8000-{:08x}0000", work.number, work.number);
    let mut command = work.tool("mke2fs");
    // Everything that mke2fs.conf would say, for it differs from machine to machine.
    command.args(["-q", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-O", FEATURES]);
    command.args(["-L", "friendlet-data", "-m", "0", "-U", &uuid]);
    command.arg("-E").arg(format!("hash_seed={uuid},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0"));
    command.arg("-d").arg(content).arg(to).arg(format!("{}k", partition.bytes() / 1024));
    run::captured(&mut command)
        .map_err(|error| format!("{error}; is disk_mib large enough for the data?"))?;
    settle(work, content, to)
}

/// Gives every file of the data partition to root, with one time: mke2fs takes owner and time
/// from the building machine.
fn settle(work: &Work, content: &Path, to: &Path) -> Result<(), String> {
    let mut script = String::new();
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        let path = content.join(directory.trim_start_matches('/'));
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(|error| format!("{}: {error}", path.display()))? {
            let entry = entry.map_err(|error| format!("{}: {error}", path.display()))?;
            let name = entry.file_name().into_string().unwrap_or_default();
            if name.is_empty() || name.contains(['"', '\n', '\\']) {
                return Err(format!("{}: a file name that cannot be laid down", entry.path().display()));
            }
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            names.push((format!("{directory}/{name}"), is_directory));
        }
        names.sort();
        directories
            .extend(names.iter().filter(|(_, is_directory)| *is_directory).map(|(name, _)| name.clone()));
        script += &fields(if directory.is_empty() { "/" } else { &directory }, work.time);
        script.extend(
            names.iter().filter(|(_, is_directory)| !is_directory).map(|(name, _)| fields(name, work.time)),
        );
    }
    let file = work.directory.join("debugfs.cmd");
    run::write(&file, script.as_bytes())?;
    let output = work.tool("debugfs").arg("-w").arg("-f").arg(&file).arg(to).output();
    let output = output.map_err(|error| format!("`debugfs` did not start: {error}"))?;
    remove(&file)?;
    // It ends well whatever its commands did, and prints its version where others print errors.
    let errors = String::from_utf8_lossy(&output.stderr);
    match errors.lines().find(|line| !line.starts_with("debugfs ")) {
        Some(error) => Err(format!("debugfs: {error}")),
        None if output.status.success() => Ok(()),
        None => Err(format!("`debugfs` ended with {}", output.status)),
    }
}

fn fields(path: &str, time: u64) -> String {
    let mut lines = String::new();
    for field in ["uid", "gid", "ctime_extra", "mtime_extra", "atime_extra", "crtime_extra", "generation"] {
        lines += &format!("set_inode_field \"{path}\" {field} 0\n");
    }
    for field in ["ctime", "mtime", "atime", "crtime"] {
        lines += &format!("set_inode_field \"{path}\" {field} @{time}\n");
    }
    lines
}

/// Puts the disk together in the file `to`: partition table, boot state, the board's loader
/// (`raw`: bytes and the sector where they begin), two empty slots of the backup, then the partitions.
pub(crate) fn assemble(
    work: &Work,
    image: &Image,
    raw: &[(Vec<u8>, u64)],
    parts: &[&Path; 4],
    to: &Path,
) -> Result<(), String> {
    let partitions = image.partitions();
    let failed = |error| format!("{}: {error}", to.display());
    let mut disk = File::create(to).map_err(failed)?;
    disk.set_len(image.disk_mib << 20).map_err(failed)?;
    disk.write_all(&table(&partitions, work.number)?).map_err(failed)?;
    for (bytes, sector) in placed(raw)? {
        put(&mut disk, &mut bytes.as_slice(), sector * SECTOR).map_err(failed)?;
    }
    for sector in BACKUP_SECTORS {
        put(&mut disk, &mut BACKUP_MAGIC.as_slice(), sector * SECTOR).map_err(failed)?;
    }
    disk.seek(SeekFrom::Start(STATE_SECTOR * SECTOR)).map_err(failed)?;
    disk.write_all(&state(b'A', TRIES)).map_err(failed)?;
    for (part, partition) in parts.iter().zip(partitions) {
        let mut file = File::open(part).map_err(|error| format!("{}: {error}", part.display()))?;
        let size = file.metadata().map_err(failed)?.len();
        if size > partition.bytes() {
            return Err(format!("{} has {size} bytes, its partition {}", part.display(), partition.bytes()));
        }
        put(&mut disk, &mut file, partition.offset()).map_err(failed)?;
    }
    disk.sync_all().map_err(failed)
}

/// The parts of the board's loader in their order, which fit between the boot state and the backup.
fn placed(raw: &[(Vec<u8>, u64)]) -> Result<Vec<&(Vec<u8>, u64)>, String> {
    let mut taken = STATE_SECTOR + 1;
    let mut raw: Vec<_> = raw.iter().collect();
    raw.sort_by_key(|(_, sector)| *sector);
    for (bytes, sector) in &raw {
        let end = sector + (bytes.len() as u64).div_ceil(SECTOR);
        if *sector < taken || end > BACKUP_SECTORS[0] {
            return Err(format!("what begins at sector {sector} overlaps something else"));
        }
        taken = end;
    }
    Ok(raw)
}

/// Copies `from` to byte `offset` of `disk`, but for blocks of zeros, which a new file has already.
fn put(disk: &mut File, from: &mut impl Read, mut offset: u64) -> std::io::Result<()> {
    let mut block = vec![0; BLOCK];
    loop {
        let mut filled = 0;
        while filled < BLOCK {
            match from.read(&mut block[filled..])? {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            return Ok(());
        }
        if block[..filled].iter().any(|byte| *byte != 0) {
            disk.seek(SeekFrom::Start(offset))?;
            disk.write_all(&block[..filled])?;
        }
        offset += filled as u64;
    }
}

fn remove(path: &Path) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_of_the_pc() {
        let partitions = [(8192, 131_072), (139_264, 32_768), (172_032, 32_768), (204_800, 319_488)]
            .map(|(start, sectors)| Partition { start, sectors });
        let sector = table(&partitions, 0x0403_0201).unwrap();
        assert_eq!(&sector[440..446], &[1, 2, 3, 4, 0, 0]);
        assert_eq!(
            &sector[446..462],
            &[0x80, 0xfe, 0xff, 0xff, 0x0c, 0xfe, 0xff, 0xff, 0, 0x20, 0, 0, 0, 0, 2, 0]
        );
        assert_eq!(sector[462], 0);
        assert_eq!(sector[466], 0x83);
        assert_eq!(&sector[510..], &[0x55, 0xaa]);
        let far = [Partition { start: 1 << 32, sectors: 1 }; 4];
        assert!(table(&far, 0).unwrap_err().contains("2 TiB"));
    }

    #[test]
    fn the_boot_state_is_a_sector_of_six_bytes() {
        let sector = state(b'B', 0xff);
        assert_eq!(&sector[..6], b"FLB1B\xff");
        assert!(sector[6..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn boot_state_and_slots_of_a_disk_can_be_set() {
        let path = std::env::temp_dir().join(format!("friendlet-state-{}", std::process::id()));
        fs::write(&path, vec![0xee; 200 * SECTOR as usize]).unwrap();
        let none = read_state(&path).unwrap();
        write_state(&path, b'B', 3).unwrap();
        let some = read_state(&path).unwrap();
        blank(&path, Partition { start: 100, sectors: 2 }).unwrap();
        let written = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!((none, some), (None, Some((b'B', 3))));
        let changed = written.chunks(512).map(|sector| sector.iter().all(|byte| *byte == 0xee));
        let changed: Vec<_> =
            changed.enumerate().filter(|(_, same)| !same).map(|(index, _)| index as u64).collect();
        assert_eq!(changed, [STATE_SECTOR, 100, 101]);
        assert_eq!(written.len(), 200 * 512);
    }

    #[test]
    fn loader_ends_before_the_backup() {
        let part = |sectors: u64, sector| (vec![1; (sectors * SECTOR) as usize], sector);
        let last = BACKUP_SECTORS[0];
        let parts = [part(10, last - 10), part(2, 65)];
        assert_eq!(placed(&parts).unwrap().iter().map(|part| part.1).collect::<Vec<_>>(), [65, last - 10]);
        for parts in [vec![part(11, last - 10)], vec![part(1, 64)], vec![part(2, 100), part(1, 101)]] {
            assert!(placed(&parts).unwrap_err().contains("overlaps"));
        }
    }

    #[test]
    fn zeros_are_left_out_of_a_copy() {
        let path = std::env::temp_dir().join(format!("friendlet-disk-{}", std::process::id()));
        let mut disk = File::create_new(&path).unwrap();
        disk.set_len(4 << 20).unwrap();
        let mut bytes = vec![0; 3 * BLOCK + 5];
        bytes[2 * BLOCK] = 7;
        bytes[3 * BLOCK + 4] = 9;
        put(&mut disk, &mut bytes.as_slice(), 4096).unwrap();
        let written = fs::read(&path).unwrap();
        let blocks = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert_eq!(&written[4096..4096 + bytes.len()], bytes);
        assert_eq!(written.len(), 4 << 20);
        assert!(blocks * 512 < 1 << 20, "{blocks} blocks");
    }
}
