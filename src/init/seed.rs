//! Seed of the kernel's random numbers, kept from one run of the board to the next: a board without a source of
//! randomness would wait for it at each start.
//!
//! `/data/state/seed` is credited to the kernel if this board wrote it on this disk: a copy of a card would give each board the
//! same numbers, and its secrets to the owner of the first one. The file has a digest of the numbers of board and disk for
//! that. Any other seed, also `/data/seed` of an image, is only mixed in.
//!
//! No seed is used twice. Before the one of the last run is used, another takes its place in the file, and neither can be
//! computed from the other: both are digests of the old one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::digest::{Context, SHA256};

use super::due_write::DueWrite;
use super::{IDENTITY_BYTES, IMAGE_SEED, IMAGE_SEED_BYTES, SAVE_INTERVAL, SEED_DELAY, SEED_FILE};
use crate::log::Reason;
use crate::log::console::{info, warning};
use crate::sys::file::{self, FileError};
use crate::sys::random;
use crate::sys::raw::{self, SEED_BYTES};

/// First bytes of the file. The identity of the board and the seed follow.
const MAGIC: [u8; 8] = *b"FLSEED1\n";
const DIGEST_BYTES: usize = 32;
const FILE_BYTES: usize = MAGIC.len() + DIGEST_BYTES + SEED_BYTES;

/// Files of the kernel with a number of the board.
const BOARD_NUMBERS: [&str; 1] = ["firmware/devicetree/base/serial-number"];
/// The same for a disk: an SD card or eMMC, NVMe, SCSI, virtio. The data may be a partition of it.
const DISK_NUMBERS: [&str; 5] = ["device/cid", "device/serial", "device/wwid", "wwid", "serial"];
const DISKS: [&str; 2] = ["", "../"];

type Digest = [u8; DIGEST_BYTES];

/// Random numbers of the kernel, or those of a test.
struct Generator<'g> {
    credit: &'g dyn Fn(&[u8; SEED_BYTES]) -> io::Result<()>,
    mix_in: &'g dyn Fn(&[u8]) -> io::Result<()>,
}

/// Seed of a running board.
pub(super) struct Seed {
    file: PathBuf,
    /// `None` for a board without a number, whose seed is not credited.
    identity: Option<Digest>,
    write: DueWrite,
}

impl Seed {
    /// Uses the seeds that the board has. `data` is the device of the data.
    pub(super) fn start(data: Option<&str>) -> Self {
        let identity = identity(Path::new("/sys"), data);
        let kernel = Generator { credit: &raw::credit_seed, mix_in: &raw::mix_in };
        Self::new(Path::new(SEED_FILE), Path::new(IMAGE_SEED), identity, &kernel)
    }

    fn new(file: &Path, image: &Path, identity: Option<Digest>, generator: &Generator<'_>) -> Self {
        match file::read_regular(image, IMAGE_SEED_BYTES) {
            Ok(bytes) => mix_in(generator, &bytes, "the seed of the image"),
            Err(error) if error.is_missing() => {}
            Err(error) => warning!("random numbers: cannot read the seed of the image: {}", error),
        }
        let is_kept = use_seed(file, identity, generator);
        let first = if is_kept { SAVE_INTERVAL } else { SEED_DELAY };
        Self { file: file.to_owned(), identity, write: DueWrite::new(first) }
    }

    /// Time since start of the next [`handle_ready`](Self::handle_ready).
    pub(super) fn poll_timeout(&self) -> Duration {
        self.write.at()
    }

    /// Stores another seed when it is due and the kernel has random numbers.
    pub(super) fn handle_ready(&mut self, now: Duration) {
        self.handle_due(now, random::is_seeded);
    }

    fn handle_due(&mut self, now: Duration, is_seeded: fn() -> bool) {
        if !self.write.is_due(now) {
            return;
        }
        if is_seeded() {
            let (file, identity) = (self.file.clone(), self.identity);
            self.write.start(Box::new(move || store_another(&file, identity)));
        } else {
            self.write.set(now + SEED_DELAY);
        }
    }

    /// Stores another seed at the end of the board, unless the thread does.
    pub(super) fn finish(&self) {
        if !self.write.is_writing() && random::is_seeded() {
            store_another(&self.file, self.identity);
        }
    }
}

/// Uses the seed of the last run. Returns true if the file has another one now that will be credited.
fn use_seed(path: &Path, identity: Option<Digest>, generator: &Generator<'_>) -> bool {
    let Some((owner, seed)) = read(path) else {
        info!("random numbers: no seed of an earlier run");
        return false;
    };
    if identity != Some(owner) {
        mix_in(generator, &seed, "a seed that this board may not have written");
        return false;
    }
    let next = digest(&[b"next", &seed, &random::seed().to_ne_bytes()]);
    if let Err(error) = store(path, identity, &next) {
        warning!("random numbers: cannot replace the seed: {}", error);
        mix_in(generator, &seed, "the seed of the last run");
        return false;
    }
    match (generator.credit)(&digest(&[b"use", &seed])) {
        Ok(()) => info!("random numbers: the seed of the last run is credited"),
        Err(error) => warning!("random numbers: cannot credit the seed: {}", Reason::from(&error)),
    }
    true
}

fn mix_in(generator: &Generator<'_>, seed: &[u8], name: &str) {
    match (generator.mix_in)(seed) {
        Ok(()) => info!("random numbers: {} is mixed in without credit", name),
        Err(error) => warning!("random numbers: cannot mix in {}: {}", name, Reason::from(&error)),
    }
}

/// Reads the file: the identity of its board, and the seed.
fn read(path: &Path) -> Option<(Digest, [u8; SEED_BYTES])> {
    let bytes: [u8; FILE_BYTES] = file::read_regular(path, FILE_BYTES).ok()?.try_into().ok()?;
    let (owner, seed) = bytes.strip_prefix(&MAGIC)?.split_first_chunk()?;
    Some((*owner, seed.try_into().ok()?))
}

fn store_another(path: &Path, identity: Option<Digest>) {
    let stored = match random::bytes() {
        Ok(seed) => store(path, identity, &seed).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = stored {
        warning!("random numbers: cannot store a seed: {}", error);
    }
}

fn store(path: &Path, identity: Option<Digest>, seed: &[u8; SEED_BYTES]) -> Result<(), FileError> {
    // At the first start of a board before its server.
    path.parent().map_or(Ok(()), file::create_dir)?;
    let bytes = [&MAGIC[..], &identity.unwrap_or_default(), seed].concat();
    file::write_atomic(path, &bytes, 0o600)
}

/// Digest of the numbers of board and disk, if the kernel knows any.
fn identity(sys: &Path, data: Option<&str>) -> Option<Digest> {
    let disk = data.and_then(|device| device.strip_prefix("/dev/"));
    let disks = disk.into_iter().flat_map(|disk| DISKS.map(|base| format!("class/block/{disk}/{base}")));
    let of_disk = disks.flat_map(|base| DISK_NUMBERS.map(|file| format!("{base}{file}")));
    let files = BOARD_NUMBERS.iter().map(|file| (*file).to_owned()).chain(of_disk);
    let mut context = Context::new(&SHA256);
    let mut is_known = false;
    for file in files {
        let number = file::read_start(&sys.join(&file), IDENTITY_BYTES).unwrap_or_default();
        // A missing number is one, too, so that one does not take the place of another.
        context.update(&number.len().to_le_bytes());
        context.update(&number);
        is_known |= !number.is_empty();
    }
    is_known.then(|| array(context))
}

fn digest(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    array(context)
}

fn array(context: Context) -> Digest {
    let mut array = Digest::default();
    // Of the same length.
    array.iter_mut().zip(context.finish().as_ref()).for_each(|(to, from)| *to = *from);
    array
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::sys::tests::TestDirectory;

    const BOARD: Option<Digest> = Some([7; DIGEST_BYTES]);

    /// Bytes that were credited, and bytes that were mixed in.
    type Used = (Vec<Vec<u8>>, Vec<Vec<u8>>);

    /// Starts a board with the files in a directory. Returns the use of its seeds.
    fn start(directory: &TestDirectory, identity: Option<Digest>) -> (Seed, Used) {
        crate::log::set_level(crate::log::Level::Off);
        let used = RefCell::new(Used::default());
        let generator = Generator {
            credit: &|seed| {
                used.borrow_mut().0.push(seed.to_vec());
                Ok(())
            },
            mix_in: &|seed| {
                used.borrow_mut().1.push(seed.to_vec());
                Ok(())
            },
        };
        let seed = Seed::new(&file(directory), &directory.0.join("seed"), identity, &generator);
        (seed, used.into_inner())
    }

    fn file(directory: &TestDirectory) -> PathBuf {
        directory.0.join("state/seed")
    }

    #[test]
    fn seed_of_the_last_run_is_credited_once() {
        let directory = TestDirectory::new("seed");
        let (seed, used) = start(&directory, BOARD);
        assert_eq!(used, Used::default(), "the first run has none");
        seed.finish();
        assert_eq!(fs::metadata(file(&directory)).unwrap().permissions().mode() & 0o777, 0o600);
        let mut all = vec![read(&file(&directory)).unwrap().1.to_vec()];
        // Power is cut after each of these starts.
        for _ in 0..3 {
            let (seed, (credited, mixed)) = start(&directory, BOARD);
            assert_eq!((credited.len(), mixed.len()), (1, 0));
            assert_eq!(seed.poll_timeout(), SAVE_INTERVAL);
            all.extend(credited);
            all.push(read(&file(&directory)).unwrap().1.to_vec());
        }
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "none is used or stored twice");
    }

    #[test]
    fn seed_of_another_board_is_only_mixed_in() {
        for (writer, user) in [(BOARD, Some([8; DIGEST_BYTES])), (BOARD, None), (None, BOARD), (None, None)] {
            let directory = TestDirectory::new("seed-another");
            start(&directory, writer).0.finish();
            let (_, stored) = read(&file(&directory)).unwrap();
            let (seed, used) = start(&directory, user);
            assert_eq!(used, (vec![], vec![stored.to_vec()]), "{writer:?} {user:?}");
            assert_eq!(seed.poll_timeout(), SEED_DELAY, "and is replaced soon");
        }
    }

    #[test]
    fn seed_that_cannot_be_replaced_is_only_mixed_in() {
        let directory = TestDirectory::new("seed-fixed");
        start(&directory, BOARD).0.finish();
        // A new file has no room beside these directories.
        for suffix in ["", ".broken", ".broken.1"] {
            fs::create_dir_all(directory.0.join(format!("state/.seed.new{suffix}/x"))).unwrap();
        }
        let (_, (credited, mixed)) = start(&directory, BOARD);
        assert_eq!((credited.len(), mixed.len()), (0, 1));
    }

    #[test]
    fn damaged_seed_is_not_used() {
        let directory = TestDirectory::new("seed-damaged");
        start(&directory, BOARD).0.finish();
        let whole = fs::read(file(&directory)).unwrap();
        for damaged in [&whole[1..], &whole[..FILE_BYTES - 1], &[&whole[..], b"x"].concat(), b""] {
            fs::write(file(&directory), damaged).unwrap();
            assert_eq!(start(&directory, BOARD).1, Used::default());
        }
    }

    #[test]
    fn seed_of_an_image_is_mixed_in_up_to_its_limit() {
        let directory = TestDirectory::new("seed-image");
        for len in [0, 1, IMAGE_SEED_BYTES] {
            fs::write(directory.0.join("seed"), vec![3; len]).unwrap();
            assert_eq!(start(&directory, BOARD).1, (vec![], vec![vec![3; len]]));
        }
        fs::write(directory.0.join("seed"), [3; IMAGE_SEED_BYTES + 1]).unwrap();
        assert_eq!(start(&directory, BOARD).1, Used::default());
    }

    #[test]
    fn first_seed_is_stored_once_the_kernel_has_random_numbers() {
        let directory = TestDirectory::new("seed-first");
        let (mut seed, _) = start(&directory, BOARD);
        let mut now = SEED_DELAY;
        assert_eq!(seed.poll_timeout(), now);
        seed.handle_due(now, || false);
        assert_eq!((seed.poll_timeout(), read(&file(&directory))), (now + SEED_DELAY, None));
        now += SEED_DELAY;
        seed.handle_due(now, || true);
        seed.write.wait();
        assert_eq!(seed.poll_timeout(), now + SAVE_INTERVAL);
        let first = read(&file(&directory)).unwrap();
        assert_eq!(Some(first.0), BOARD);
        seed.handle_ready(now + SAVE_INTERVAL);
        seed.write.wait();
        assert_ne!(read(&file(&directory)).unwrap().1, first.1);
    }

    #[test]
    fn identity_is_that_of_board_and_disk() {
        let directory = TestDirectory::new("seed-identity");
        let sys = |file: &str, content: &[u8]| {
            let path = directory.0.join(file);
            file::create_dir(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        let of = |data: Option<&str>| identity(&directory.0, data);
        file::create_dir(&directory.0.join("block/mmcblk0/mmcblk0p4")).unwrap();
        file::create_dir(&directory.0.join("class/block")).unwrap();
        let link = directory.0.join("class/block/mmcblk0p4");
        std::os::unix::fs::symlink("../../block/mmcblk0/mmcblk0p4", link).unwrap();
        let data = Some("/dev/mmcblk0p4");
        assert_eq!((of(data), of(None)), (None, None));
        sys("block/mmcblk0/device/cid", b"1b534d303030303010a4f2f1a3012500\n");
        let card = of(data);
        assert!(card.is_some() && of(None).is_none() && of(Some("/dev/sda4")).is_none());
        sys("firmware/devicetree/base/serial-number", b"10000000a1b2c3d4\0");
        let board = of(data);
        assert!(board != card && board == of(data) && of(None).is_some());
        sys("block/mmcblk0/device/cid", b"1b534d303030303010a4f2f1a3012501\n");
        assert_ne!(of(data), board);
        // Two long numbers differ in what is read.
        sys("block/mmcblk0/device/cid", &[b'a'; IDENTITY_BYTES]);
        let longest = of(data);
        sys("block/mmcblk0/device/cid", &[b'a'; IDENTITY_BYTES + 1]);
        assert_eq!(of(data), longest);
    }
}
