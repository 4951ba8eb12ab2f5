use super::*;

const MOUNTS: &str = "\
21 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw\n\
22 21 0:20 / /proc rw - proc proc rw\n\
19 21 259:1 / /boot/efi rw - vfat /dev/nvme0n1p1 rw\n\
23 21 8:17 / /media/stick rw shared:2 - vfat /dev/sdb1 rw\n\
24 21 0:44 / /pool rw - btrfs /dev/sdd1 rw\n";
const SWAPS: &str = "Filename Type Size Used Priority\n/dev/sdc2 partition 1 0 -2\n";

/// A system with an NVMe disk that it runs from, four USB disks and a card.
struct Fake(PathBuf, System);

impl Fake {
    fn new(test: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("friendlet-{test}-{}", std::process::id()));
        let system = System { sys: directory.join("sys"), proc: directory.join("proc") };
        let fake = Self(directory, system);
        fake.put("proc/self/mountinfo", MOUNTS);
        fake.put("proc/swaps", SWAPS);
        for (path, number, sectors) in [
            ("nvme0n1", "259:0", 1 << 30),
            ("nvme0n1/nvme0n1p1", "259:1", 1 << 20),
            ("nvme0n1/nvme0n1p2", "259:2", 1 << 29),
            ("sdb", "8:16", 1 << 22),
            ("sdb/sdb1", "8:17", 1 << 21),
            ("sdc", "8:32", 1 << 22),
            ("sdc/sdc2", "8:34", 1 << 21),
            ("sdd", "8:48", 1 << 22),
            ("sdd/sdd1", "8:49", 1 << 21),
            ("sde", "8:64", 1 << 22),
            ("mmcblk0", "179:0", 31_116_288),
            ("mmcblk0/mmcblk0p1", "179:1", 131_072),
            ("mmcblk0/mmcblk0p10", "179:10", 2048),
            ("mmcblk0/mmcblk0p2", "179:2", 32_768),
        ] {
            fake.put(&format!("sys/block/{path}/size"), &format!("{sectors}\n"));
            fake.put(&format!("sys/block/{path}/dev"), &format!("{number}\n"));
            if path.contains('/') {
                fake.put(&format!("sys/block/{path}/partition"), "1\n");
            }
        }
        fake.put("sys/block/sde/holders/dm-0", "");
        fake.put("sys/block/mmcblk0/removable", "1\n");
        fake.put("sys/block/mmcblk0/ro", "0\n");
        fake.put("sys/block/mmcblk0/device/name", "SC16G\n");
        fake
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn disk(&self, name: &str) -> Result<Medium, String> {
        self.1.disk(name, PathBuf::from(format!("/dev/{name}")))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const IMAGE: u64 = 256 << 20;

#[test]
fn a_free_card_is_described_and_taken() {
    let fake = Fake::new("card");
    let card = fake.disk("mmcblk0").unwrap();
    assert_eq!(
        card.describe(),
        "    /dev/mmcblk0  SC16G, 14 GiB, removable\n      mmcblk0p1  64 MiB, not mounted\n      \
         mmcblk0p2  16 MiB, not mounted\n      mmcblk0p10  1 MiB, not mounted\n"
    );
    assert_eq!(card.refuse(IMAGE), Ok(()));
    let error = card.refuse(16 << 30).unwrap_err();
    assert!(error.contains("14 GiB") && error.contains("16 GiB"), "{error}");
}

#[test]
fn what_the_system_uses_is_refused() {
    let fake = Fake::new("used");
    for (name, words) in [
        ("nvme0n1", ["runs from", "nvme0n1p1 is /boot/efi"]),
        ("sdb", ["sdb1 is mounted on /media/stick", "umount"]),
        ("sdc", ["sdc2", "swap"]),
        ("sdd", ["sdd1", "/pool"]),
        ("sde", ["sde", "dm-0"]),
    ] {
        let error = fake.disk(name).unwrap().refuse(IMAGE).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
        // What is refused is shown too.
        assert!(error.contains(&format!("/dev/{name}")), "{error}");
    }
}

#[test]
fn part_of_a_disk_is_refused() {
    let fake = Fake::new("part");
    let error = fake.disk("sdb1").unwrap_err();
    assert!(error.contains("partition") && error.contains("that is sdb"), "{error}");
    assert!(fake.disk("sdz").unwrap_err().contains("not a disk"));
    let error = fake.1.medium(&fake.0.join("proc/swaps")).unwrap_err();
    assert!(error.contains("--file"), "{error}");
    assert!(fake.1.medium(Path::new("/dev/null")).unwrap_err().contains("not a disk"));
    assert!(fake.1.medium(Path::new("/dev/nowhere")).is_err());
    assert!(file(Path::new("/dev/null")).unwrap_err().contains("regular file"));
    assert!(file(Path::new("/nowhere")).unwrap_err().contains("truncate"));
}

#[test]
fn empty_readers_and_protected_cards_are_refused() {
    let fake = Fake::new("reader");
    fake.put("sys/block/mmcblk0/ro", "1\n");
    assert!(fake.disk("mmcblk0").unwrap().refuse(IMAGE).unwrap_err().contains("write-protected"));
    fake.put("sys/block/mmcblk0/size", "0\n");
    assert!(fake.disk("mmcblk0").unwrap().refuse(IMAGE).unwrap_err().contains("no medium"));
    fake.put("sys/block/mmcblk0/size", "many\n");
    assert!(fake.disk("mmcblk0").unwrap_err().contains("no size"));
}
