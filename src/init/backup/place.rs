//! Place of the backup on the disk: two slots in the gap before the first partition.

use std::io;
use std::path::{Path, PathBuf};

use crate::backup::{BACKUP_BYTES, CONTENT_BYTES, HEADER_BYTES, Header, SLOTS};
use crate::log::Reason;
use crate::log::console::warning;
use crate::sys::machine as system;

const _: () = assert!(HEADER_BYTES == system::SECTOR_BYTES, "a header is one sector");
const _: () =
    assert!(SLOTS[1] == SLOTS[0] + (BACKUP_BYTES / HEADER_BYTES) as u64, "one slot follows the other");

/// Place that an image has reserved on a disk.
#[derive(Clone, Debug)]
pub(in crate::init) struct Place {
    disk: PathBuf,
}

/// Slot as it is on the disk.
struct Slot {
    sector: u64,
    /// That of an empty slot, if the header is damaged: the other one proves that the place is reserved.
    header: Header,
    /// Content that fits the header.
    content: Option<Vec<u8>>,
}

impl Place {
    /// The place on this disk. `None` without one: nothing is ever written there then.
    pub(in crate::init) fn find(disk: &Path) -> Option<Self> {
        let place = Self { disk: disk.to_owned() };
        match place.headers() {
            Ok(headers) => headers.iter().any(Option::is_some).then_some(place),
            Err(error) => {
                warning!("backup: cannot read {}: {}", disk.display(), Reason::from(&error));
                None
            }
        }
    }

    /// The newest content, if a slot has one.
    pub(in crate::init) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let [first, second] = self.slots()?;
        let is_second = is_newer(&second, &first);
        Ok(if is_second { second.content } else { first.content })
    }

    /// Gives both slots this content, the older one first. Returns false if they have it, or if it is going to be erased.
    pub(in crate::init) fn write(&self, content: &[u8]) -> io::Result<bool> {
        let [first, second] = self.slots()?;
        if first.header.is_erasing || second.header.is_erasing {
            return Ok(false);
        }
        let [older, newer] = if is_newer(&second, &first) { [first, second] } else { [second, first] };
        let has_content = |slot: &Slot| slot.content.as_deref() == Some(content);
        let generation = newer.header.generation.max(older.header.generation);
        let header = Header::new(generation.saturating_add(1), content);
        let mut is_changed = false;
        for slot in [older, newer] {
            if !has_content(&slot) {
                self.write_slot(slot.sector, &header, content, slot.header.content_length())?;
                is_changed = true;
            }
        }
        Ok(is_changed)
    }

    /// Returns true if a factory reset is under way.
    pub(in crate::init) fn is_erasing(&self) -> bool {
        let headers = self.headers().unwrap_or_default();
        headers.into_iter().flatten().any(|header| header.is_erasing)
    }

    /// Has the next start of the board erase everything, also after a power cut.
    pub(in crate::init) fn mark(&self) -> io::Result<()> {
        let headers = self.headers()?;
        headers.into_iter().zip(SLOTS).try_for_each(|(header, sector)| {
            let header = header.unwrap_or_default().erasing();
            system::write_sectors(&self.disk, sector, &header.sector())
        })
    }

    /// Overwrites both slots with zeros. The mark of a factory reset is removed last.
    pub(in crate::init) fn erase(&self) -> io::Result<()> {
        let erasing = Header::default().erasing();
        for header in [erasing, Header::default()] {
            for sector in SLOTS {
                let content = if header.is_erasing { CONTENT_BYTES } else { 0 };
                self.write_slot(sector, &header, &[], Some(content))?;
            }
        }
        Ok(())
    }

    /// Writes content and then header. Zeros replace what is left of an earlier content, which had this length.
    fn write_slot(
        &self,
        sector: u64,
        header: &Header,
        content: &[u8],
        earlier: Option<usize>,
    ) -> io::Result<()> {
        let length = content.len().max(earlier.unwrap_or(CONTENT_BYTES));
        if length > 0 {
            let mut bytes = content.to_vec();
            bytes.resize(length.next_multiple_of(HEADER_BYTES), 0);
            system::write_sectors(&self.disk, sector + 1, &bytes)?;
        }
        system::write_sectors(&self.disk, sector, &header.sector())
    }

    fn headers(&self) -> io::Result<[Option<Header>; 2]> {
        let mut headers = [None, None];
        for (header, sector) in headers.iter_mut().zip(SLOTS) {
            *header = Header::parse(&system::read_sector(&self.disk, sector)?);
        }
        Ok(headers)
    }

    fn slots(&self) -> io::Result<[Slot; 2]> {
        let [first, second] = self.headers()?;
        let slot = |header: Option<Header>, sector| {
            let header = header.unwrap_or_default();
            let mut content = vec![0; header.content_length().unwrap_or_default()];
            // A sector that cannot be read is damage, too.
            let read = system::read_sectors(&self.disk, sector + 1, &mut content);
            let content = read.is_ok().then_some(content).filter(|content| header.is_of(content));
            Slot { sector, header, content }
        };
        Ok([slot(first, SLOTS[0]), slot(second, SLOTS[1])])
    }
}

/// Returns true if `slot` has a content, and a newer one than `other`.
fn is_newer(slot: &Slot, other: &Slot) -> bool {
    slot.content.is_some() && (other.content.is_none() || slot.header.generation > other.header.generation)
}

#[cfg(test)]
pub(in crate::init) mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use crate::sys::tests::TestDirectory;

    /// Disk of one test.
    pub(in crate::init) struct Disk(TestDirectory);

    impl Disk {
        /// Disk with a reserved place.
        pub(in crate::init) fn new(name: &str) -> Self {
            crate::log::set_level(crate::log::Level::Off);
            let disk = Self(TestDirectory::new(name));
            fs::write(disk.path(), vec![0xee; 8200 * HEADER_BYTES]).unwrap();
            for sector in SLOTS {
                disk.put(sector, &Header::default().sector());
                disk.put(sector + 1, &vec![0; CONTENT_BYTES]);
            }
            disk
        }

        pub(in crate::init) fn place(&self) -> Place {
            Place::find(&self.path()).unwrap()
        }

        fn path(&self) -> PathBuf {
            self.0.0.join("disk")
        }

        fn put(&self, sector: u64, bytes: &[u8]) {
            let file = File::options().write(true).open(self.path()).unwrap();
            file.write_all_at(bytes, sector * 512).unwrap();
        }

        fn bytes(&self) -> Vec<u8> {
            fs::read(self.path()).unwrap()
        }

        /// Returns true if nothing outside of the place has changed.
        fn is_whole_around(&self) -> bool {
            let bytes = self.bytes();
            let range = 7168 * 512..8192 * 512;
            bytes[..range.start].iter().chain(&bytes[range.end..]).all(|byte| *byte == 0xee)
        }
    }

    #[test]
    fn disk_without_a_place_is_never_written() {
        let disk = Disk::new("backup-none");
        SLOTS.iter().for_each(|sector| disk.put(*sector, &[0; 512]));
        assert!(Place::find(&disk.path()).is_none());
        assert!(Place::find(Path::new("/nonexistent")).is_none());
        // One header is enough: the other one may be damaged.
        disk.put(SLOTS[1], &Header::default().sector());
        let place = disk.place();
        assert_eq!(place.read().unwrap(), None);
        assert!(place.write(b"content").unwrap());
        assert_eq!(place.read().unwrap().unwrap(), b"content");
        assert!(disk.is_whole_around());
    }

    #[test]
    fn both_slots_have_the_newest_content() {
        let disk = Disk::new("backup-both");
        let place = disk.place();
        for content in [&b"first, and longer than a sector: "[..], b"second", b""] {
            let content = content.repeat(40);
            assert!(place.write(&content).unwrap());
            assert!(!place.write(&content).unwrap());
            for lost in SLOTS {
                let before = disk.bytes();
                disk.put(lost, &[0xff; 512]);
                assert_eq!(place.read().unwrap().unwrap(), content);
                // It is written again, with the same content.
                assert!(place.write(&content).unwrap());
                fs::write(disk.path(), before).unwrap();
            }
        }
        assert!(disk.is_whole_around());
        // Nothing of a longer content is left.
        assert!(!disk.bytes().windows(5).any(|bytes| bytes == b"first" || bytes == b"secon"));
    }

    #[test]
    fn write_that_is_cut_at_any_sector_leaves_one_of_the_two() {
        let disk = Disk::new("backup-cut");
        let place = disk.place();
        let (old, new) = (b"old".repeat(700), b"newer".repeat(700));
        place.write(&old).unwrap();
        let before = disk.bytes();
        place.write(&new).unwrap();
        let after = disk.bytes();
        // In the order in which they are written: contents, then header; the older slot is the second one at first.
        let sectors = |sector: u64| (sector + 1..sector + 8).chain([sector]);
        let order: Vec<u64> = sectors(SLOTS[1]).chain(sectors(SLOTS[0])).collect();
        for cut in 0..=order.len() {
            fs::write(disk.path(), &before).unwrap();
            for sector in &order[..cut] {
                let at = *sector as usize * 512;
                disk.put(*sector, &after[at..at + 512]);
            }
            // The sector under way is garbage.
            order.get(cut).iter().for_each(|sector| disk.put(**sector, &[0x55; 512]));
            let found = place.read().unwrap().unwrap();
            assert!(found == if cut < 8 { &old[..] } else { &new[..] }, "{cut}");
            assert!(place.write(&new).unwrap() || cut == order.len());
            assert_eq!(place.read().unwrap().unwrap(), new);
        }
    }

    #[test]
    fn any_flipped_bit_of_one_slot_leaves_the_content() {
        let disk = Disk::new("backup-flip");
        let place = disk.place();
        place.write(b"content").unwrap();
        let before = disk.bytes();
        for sector in SLOTS {
            for byte in (0..52).chain(512..519) {
                let at = sector as usize * 512 + byte;
                let file = File::options().write(true).open(disk.path()).unwrap();
                file.write_all_at(&[before[at] ^ 4], at as u64).unwrap();
                assert_eq!(place.read().unwrap().unwrap(), b"content", "{sector} {byte}");
                file.write_all_at(&[before[at]], at as u64).unwrap();
            }
        }
    }

    #[test]
    fn factory_reset_goes_on_after_a_cut_and_leaves_zeros() {
        let disk = Disk::new("backup-erase");
        let place = disk.place();
        place.write(b"secret").unwrap();
        assert!(!place.is_erasing());
        place.mark().unwrap();
        assert!(place.is_erasing());
        // A change that comes too late does not remove the mark.
        assert!(!place.write(b"later").unwrap() && place.is_erasing());
        // Until the data are erased, the content remains.
        assert_eq!(place.read().unwrap().unwrap(), b"secret");
        let marked = disk.bytes();
        place.erase().unwrap();
        let erased = disk.bytes();
        assert!(!place.is_erasing() && place.read().unwrap().is_none());
        for sector in SLOTS {
            let at = sector as usize * 512;
            assert_eq!(erased[at..at + 512], Header::default().sector());
            assert!(erased[at + 512..at + BACKUP_BYTES].iter().all(|byte| *byte == 0));
        }
        // One header was written, and not the other.
        for (sector, is_old) in [(SLOTS[0], false), (SLOTS[1], false), (SLOTS[0], true)] {
            fs::write(disk.path(), if is_old { &marked } else { &erased }).unwrap();
            let header = if is_old { Header::default() } else { Header::default().erasing() };
            disk.put(sector, &header.sector());
            assert!(place.is_erasing());
        }
        assert!(disk.is_whole_around());
    }
}
