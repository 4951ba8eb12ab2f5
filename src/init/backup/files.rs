//! Files of the data that the backup contains: which of them are whole, and which the data have lost.

use std::fs::{self, File as OpenFile};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{OFlags, Timespec, Timestamps, futimens, stat};
use rustix::io::Errno;

use crate::backup::{Archive, BACKUP_BYTES, File, Full, Time, is_kept, visit_kept};
use crate::sys::file::{self, FileError, FileReason, is_absent, set_aside, with_suffix};
use crate::sys::machine::release;
use crate::sys::state_file::{self, is_link};

/// Suffix of the copy of a state file.
const COPY: &str = ".copy";

/// A file of the data.
struct Version {
    content: Vec<u8>,
    mode: u16,
    modified: Time,
}

impl Version {
    fn read(path: &Path) -> Result<Self, FileError> {
        let status = stat(path).map_err(|errno| FileError::io(path, errno.into()))?;
        let nanoseconds = u32::try_from(status.st_mtime_nsec).unwrap_or_default();
        let modified = Time { seconds: status.st_mtime, nanoseconds };
        let mode = u16::try_from(status.st_mode & 0o777).unwrap_or_default();
        Ok(Self { content: file::read_regular(path, BACKUP_BYTES)?, mode, modified })
    }

    fn is_whole(&self, name: &str) -> bool {
        let Ok(text) = core::str::from_utf8(&self.content) else { return false };
        if text.trim().is_empty() || text.contains('\0') {
            return false;
        }
        match name {
            "state/admin.toml" | "state/enabled" | "state/paired" | "state/passwords" => {
                state_file::check(&self.content, &|_| true).is_ok()
            }
            _ => !name.ends_with(".pem") || text.contains("-----END "),
        }
    }

    /// Returns true if a disk has changed the content: without another length or time, no program has written it.
    fn is_altered(&self, earlier: &File<'_>) -> bool {
        self.modified == earlier.modified
            && self.content.len() == earlier.content.len()
            && self.content != earlier.content
    }
}

/// The files of `data` as a backup. A file that is missing beside its copy, or that cannot be used, is that of the
/// earlier backup.
pub(super) fn collect(data: &Path, earlier: &[File<'_>]) -> Result<Archive, Full> {
    let mut archive = Archive::default();
    for name in names(data, earlier) {
        let path = data.join(&name);
        let earlier = earlier.iter().find(|file| file.name == name);
        match (Version::read(&path), earlier) {
            (Ok(version), earlier)
                if version.is_whole(&name) && earlier.is_none_or(|earlier| !version.is_altered(earlier)) =>
            {
                let Version { content, mode, modified } = &version;
                archive.push(&File { name: &name, mode: *mode, modified: *modified, content })?;
            }
            // Deleted, because its owner wants another one. The medium of a link may come back.
            (Err(_), _) if is_absent(&path) && is_absent(&with_suffix(&path, COPY)) => {}
            (_, Some(earlier)) => archive.push(earlier)?,
            (_, None) => {}
        }
    }
    Ok(archive)
}

/// Names of all files that may be in a backup, sorted.
fn names(data: &Path, earlier: &[File<'_>]) -> Vec<String> {
    let mut names = Vec::<String>::new();
    let mut add = |name: String| {
        if let (true, Err(at)) = (is_kept(&name), names.binary_search(&name)) {
            names.insert(at, name);
        }
    };
    earlier.iter().for_each(|file| add(file.name.to_owned()));
    visit_kept(&mut |name| {
        if name.ends_with('/') {
            let entries = fs::read_dir(data.join(name)).into_iter().flatten().flatten();
            entries.for_each(|entry| add(name.to_owned() + &entry.file_name().to_string_lossy()));
        } else {
            add(name.to_owned());
        }
    });
    names
}

/// Files that `data` have lost: missing, damaged with their copy, or altered by the disk. What is whole and was
/// written later stays.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Losses<'f, 'b> {
    pub(super) files: Vec<&'f File<'b>>,
    /// The file system is damaged: it has to be repaired before anything is written.
    pub(super) is_damaged: bool,
}

/// Compares `data` with the backup.
pub(super) fn losses<'f, 'b>(data: &Path, backup: &'f [File<'b>]) -> Losses<'f, 'b> {
    let mut losses = Losses::default();
    for file in backup {
        let path = data.join(file.name);
        // Its owner decides where the content is stored, and the medium may come back.
        if is_link(&path) {
            continue;
        }
        let is_lost = match Version::read(&path) {
            Ok(version) if version.is_altered(file) => true,
            Ok(version) if version.is_whole(file.name) => false,
            Err(error) if error.is_passing() => false,
            result => {
                losses.is_damaged |= result.is_err_and(|error| is_damage(&error));
                // A copy that was written later is better, and the server uses it.
                let copy = Version::read(&with_suffix(&path, COPY));
                !copy.is_ok_and(|copy| copy.is_whole(file.name) && copy.modified >= file.modified)
            }
        };
        if is_lost {
            losses.files.push(file);
        }
    }
    losses
}

/// Returns true for an error of a damaged file system or disk. One that the kernel finds damaged is read-only from then
/// on.
pub(super) fn is_damage(error: &FileError) -> bool {
    const DAMAGE: [Errno; 4] = [Errno::IO, Errno::BADMSG, Errno::UCLEAN, Errno::ROFS];
    matches!(&error.reason, FileReason::Io(error) if DAMAGE.iter().any(|errno| {
        error.raw_os_error() == Some(errno.raw_os_error())
    }))
}

/// Makes the files and directories of the state writable for root again. A disk that flips a bit of an inode may have set an
/// attribute that even root obeys (immutable, append-only); no program of a board sets one there.
pub(super) fn release_state(data: &Path) {
    let files = names(data, &[])
        .into_iter()
        .map(|name| data.join(name))
        .filter(|path| path.starts_with(data.join("state")));
    let with_copies = files.flat_map(|path| [with_suffix(&path, COPY), path]);
    ["", "state", "state/tls"]
        .into_iter()
        .map(|name| data.join(name))
        .chain(with_copies)
        .for_each(|path| release(&path));
}

/// Writes a file of the backup below `data`, with its time of change. Another file of that name is set aside.
pub(super) fn restore(data: &Path, file: &File<'_>) -> Result<(), FileError> {
    let path = data.join(file.name);
    path.parent().map_or(Ok(()), file::create_dir)?;
    path.parent().into_iter().chain([path.as_path()]).for_each(release);
    set_aside(&path);
    file::write_atomic(&path, file.content, file.mode.into())?;
    set_time(&path, file.modified).map_err(|error| FileError::io(&path, error))
}

/// With its own time, the file is not one that was written since.
fn set_time(path: &Path, time: Time) -> io::Result<()> {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(futimens(OpenFile::options().append(true).open(path)?, &times)?)
}

/// Overwrites the files of the backup and their copies below `data` with zeros, so that their blocks do not have them
/// any more.
pub(super) fn overwrite(data: &Path) {
    release_state(data);
    for name in names(data, &[]) {
        let path = data.join(name);
        for path in [with_suffix(&path, COPY), path] {
            release(&path);
            // A pipe would block. A failure has no remedy: the file is deleted next.
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            let opened = OpenFile::options().write(true).custom_flags(flags).open(&path);
            let _ = opened.and_then(|mut file| {
                let metadata = file.metadata()?;
                if !metadata.is_file() {
                    return Ok(());
                }
                let length = usize::try_from(metadata.len()).unwrap_or_default();
                file.write_all(&vec![0; length.min(BACKUP_BYTES)])?;
                file.sync_all()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::backup::files;
    use crate::sys::state_file::with_header;
    use crate::sys::tests::TestDirectory;

    const CONFIG: &str = "[log]\nlevel = 'info'\n";
    const PEM: &str = "-----BEGIN X-----\nAAAA\n-----END X-----\n";

    /// Needs a file system with attributes, and root.
    fn lock(path: &Path) {
        let file = OpenFile::open(path).unwrap();
        let attributes = rustix::fs::ioctl_getflags(&file).unwrap();
        rustix::fs::ioctl_setflags(&file, attributes | rustix::fs::IFlags::IMMUTABLE).unwrap();
    }

    #[test]
    fn file_that_a_disk_has_made_immutable_is_restored() {
        let data = board("backup-immutable");
        let backup = backup_of(&data, &[]);
        let backup = files(&backup).unwrap();
        let passwords = data.0.join("state/passwords");
        for path in ["state/passwords", "state/passwords.copy"] {
            fs::write(data.0.join(path), "#damaged").unwrap();
            lock(&data.0.join(path));
        }
        lock(&data.0.join("friendlet.d"));
        lock(&data.0.join("state"));
        let lost = losses(&data.0, &backup).files;
        assert_eq!(lost.iter().map(|file| file.name).collect::<Vec<_>>(), ["state/passwords"]);
        lost.iter().for_each(|file| restore(&data.0, file).unwrap());
        assert_eq!(fs::read(&passwords).unwrap(), with_header(b"anna $pbkdf2\n"));
        // The server writes the rest of the state. What is not the state stays as its owner wants it.
        release_state(&data.0);
        fs::write(data.0.join("state/passwords.copy"), "").unwrap();
        let locked = data.0.join("friendlet.d");
        assert!(fs::write(locked.join("20-new.toml"), "").is_err());
        release(&locked);
    }

    /// Data of a board with the files of the backup and others.
    fn board(name: &str) -> TestDirectory {
        crate::log::set_level(crate::log::Level::Off);
        let data = TestDirectory::new(name);
        let passwords = with_header(b"anna $pbkdf2\n");
        for (file, content) in [
            ("friendlet.toml", CONFIG.as_bytes()),
            ("friendlet.d/10-web.toml", b"[[service]]\n"),
            ("friendlet.d/10-web.toml~", b"x"),
            ("state/passwords", &passwords),
            ("state/passwords.copy", &passwords),
            ("state/seed", b"seed"),
            ("state/tls/key.pem", PEM.as_bytes()),
            ("state/tls/key.pem.copy", PEM.as_bytes()),
            ("bin/program", b"\0"),
        ] {
            let path = data.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::set_permissions(data.0.join("state/tls/key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
        data
    }

    fn backup_of(data: &TestDirectory, earlier: &[u8]) -> Vec<u8> {
        collect(&data.0, &files(earlier).unwrap()).unwrap().bytes().to_vec()
    }

    /// Names of the files that the data have lost.
    fn lost(data: &TestDirectory, backup: &[u8]) -> Vec<String> {
        let backup = files(backup).unwrap();
        let losses = losses(&data.0, &backup);
        assert!(!losses.is_damaged);
        losses.files.iter().map(|file| file.name.to_owned()).collect()
    }

    const KEPT: [&str; 4] =
        ["friendlet.d/10-web.toml", "friendlet.toml", "state/passwords", "state/tls/key.pem"];

    #[test]
    fn backup_has_configuration_users_and_identity() {
        let data = board("files-collect");
        let backup = backup_of(&data, b"");
        let found = files(&backup).unwrap();
        assert_eq!(found.iter().map(|file| file.name).collect::<Vec<_>>(), KEPT);
        assert_eq!((found[1].content, found[3].mode), (CONFIG.as_bytes(), 0o640));
        assert!(lost(&data, &backup).is_empty());
        // The same again, to the byte.
        assert_eq!(backup_of(&data, &backup), backup);
    }

    #[test]
    fn empty_data_get_every_file_as_it_was() {
        let data = board("files-restore");
        let backup = backup_of(&data, b"");
        let empty = TestDirectory::new("files-empty");
        assert_eq!(lost(&empty, &backup), KEPT);
        files(&backup).unwrap().iter().for_each(|file| restore(&empty.0, file).unwrap());
        assert!(lost(&empty, &backup).is_empty());
        assert_eq!(backup_of(&empty, b""), backup);
    }

    #[test]
    fn each_damage_of_a_file_and_its_copy_is_a_loss() {
        type Damage<'d> = (&'d str, &'d dyn Fn(&Path));
        let damages: [Damage<'_>; 6] = [
            ("missing", &|path| fs::remove_file(path).unwrap()),
            ("empty", &|path| fs::write(path, "").unwrap()),
            ("zeros", &|path| fs::write(path, [0; 100]).unwrap()),
            ("garbage", &|path| fs::write(path, [0xff; 100]).unwrap()),
            ("directory", &|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
            ("huge", &|path| fs::write(path, "x".repeat(BACKUP_BYTES + 1)).unwrap()),
        ];
        for (damage, act) in damages {
            let data = board("files-damage");
            let backup = backup_of(&data, b"");
            for name in KEPT {
                act(&data.0.join(name));
                let copy = data.0.join(format!("{name}.copy"));
                if copy.exists() {
                    // The server has a better one.
                    assert!(!lost(&data, &backup).contains(&name.to_owned()), "{damage} {name}");
                    act(&copy);
                }
            }
            assert_eq!(lost(&data, &backup), KEPT, "{damage}");
            let all = files(&backup).unwrap();
            losses(&data.0, &all).files.iter().for_each(|file| restore(&data.0, file).unwrap());
            assert!(lost(&data, &backup).is_empty(), "{damage}");
        }
    }

    #[test]
    fn older_copy_does_not_replace_the_backup() {
        let data = board("files-copy");
        let backup = backup_of(&data, b"");
        let (passwords, copy) = (data.0.join("state/passwords"), data.0.join("state/passwords.copy"));
        fs::remove_file(passwords).unwrap();
        set_time(&copy, Time { seconds: 1_000_000_000, nanoseconds: 0 }).unwrap();
        assert_eq!(lost(&data, &backup), ["state/passwords"]);
    }

    #[test]
    fn flipped_bit_is_a_loss_and_an_edit_is_none() {
        let data = board("files-flip");
        let backup = backup_of(&data, b"");
        let all = files(&backup).unwrap();
        for name in KEPT {
            let path = data.0.join(name);
            let mut content = fs::read(&path).unwrap();
            *content.last_mut().unwrap() ^= 1;
            fs::write(&path, &content).unwrap();
            let file = all.iter().find(|file| file.name == name).unwrap();
            set_time(&path, file.modified).unwrap();
            assert_eq!(lost(&data, &backup), [name]);
            // It does not get into the next backup either.
            assert_eq!(backup_of(&data, &backup), backup);
            restore(&data.0, file).unwrap();
        }
        let edited = CONFIG.replace("info", "warn");
        fs::write(data.0.join("friendlet.toml"), &edited).unwrap();
        assert!(lost(&data, &backup).is_empty());
        let later = backup_of(&data, &backup);
        assert_eq!(files(&later).unwrap()[1].content, edited.as_bytes());
    }

    #[test]
    fn damaged_file_stays_in_the_backup_and_a_deleted_one_does_not() {
        let data = board("files-keep");
        let backup = backup_of(&data, b"");
        fs::write(data.0.join("state/passwords"), "#friendlet 1 0\nbroken\n").unwrap();
        fs::remove_file(data.0.join("state/tls/key.pem")).unwrap();
        assert_eq!(backup_of(&data, &backup), backup);
        fs::remove_file(data.0.join("state/tls/key.pem.copy")).unwrap();
        fs::remove_file(data.0.join("friendlet.d/10-web.toml")).unwrap();
        let later = backup_of(&data, &backup);
        let names: Vec<_> = files(&later).unwrap().iter().map(|file| file.name).collect();
        assert_eq!(names, ["friendlet.toml", "state/passwords"]);
    }

    #[test]
    fn link_to_a_medium_that_is_missing_stays_and_so_does_its_file_in_the_backup() {
        let data = board("files-link");
        let (key, medium) = (data.0.join("state/tls/key.pem"), data.0.join("medium"));
        fs::remove_file(data.0.join("state/tls/key.pem.copy")).unwrap();
        fs::rename(&key, &medium).unwrap();
        std::os::unix::fs::symlink(&medium, &key).unwrap();
        let backup = backup_of(&data, b"");
        assert_eq!(files(&backup).unwrap()[3].content, PEM.as_bytes());
        fs::remove_file(&medium).unwrap();
        assert!(lost(&data, &backup).is_empty());
        assert_eq!(backup_of(&data, &backup), backup);
    }

    #[test]
    fn too_much_for_a_slot_is_an_error() {
        let data = board("files-full");
        fs::write(data.0.join("friendlet.toml"), "x".repeat(BACKUP_BYTES)).unwrap();
        assert_eq!(collect(&data.0, &[]).unwrap_err(), Full);
    }

    #[test]
    fn errors_of_a_disk_are_damage() {
        let error = |errno: Errno| FileError::io(Path::new("f"), errno.into());
        assert!(
            [Errno::IO, Errno::BADMSG, Errno::UCLEAN, Errno::ROFS]
                .iter()
                .all(|errno| is_damage(&error(*errno)))
        );
        assert!([Errno::NOENT, Errno::ISDIR, Errno::LOOP].iter().all(|errno| !is_damage(&error(*errno))));
    }

    #[test]
    fn overwritten_files_are_zero_and_others_are_not() {
        let data = board("files-overwrite");
        let pipe = data.0.join("state/first-password");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        overwrite(&data.0);
        assert!(!pipe.is_file(), "a pipe without a reader does not block");
        for name in KEPT.into_iter().chain(["state/passwords.copy", "state/tls/key.pem.copy"]) {
            let content = fs::read(data.0.join(name)).unwrap();
            assert!(!content.is_empty() && content.iter().all(|byte| *byte == 0), "{name}");
        }
        assert_eq!(fs::read(data.0.join("state/seed")).unwrap(), b"seed");
    }
}
