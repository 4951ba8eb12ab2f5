//! Kind of a device, and whether it may be overwritten: from /sys and /proc.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::run;

/// Directories in which the kernel lists devices; others in tests.
#[derive(Debug)]
pub(super) struct System {
    sys: PathBuf,
    proc: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self { sys: PathBuf::from("/sys"), proc: PathBuf::from("/proc") }
    }
}

/// Something that can be overwritten.
#[derive(Debug)]
pub(super) struct Medium {
    /// The device.
    pub(super) path: PathBuf,
    /// Name, which the user types to go on.
    pub(super) name: String,
    model: String,
    bytes: u64,
    is_removable: bool,
    is_read_only: bool,
    /// The whole, if something is directly on it, and its partitions.
    parts: Vec<Part>,
}

/// A partition, or the whole disk.
#[derive(Debug, Default, PartialEq)]
struct Part {
    name: String,
    bytes: u64,
    /// Uses: mount points, swap, a device on top of it.
    uses: Vec<Use>,
}

/// Reason why a part must not be overwritten.
#[derive(Clone, Debug, PartialEq)]
enum Use {
    Mounted(String),
    Swap,
    /// By another device, such as an encrypted one or a RAID.
    Holder(String),
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x2_8000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

/// A regular file as the medium.
pub(super) fn file(path: &Path) -> Result<Medium, String> {
    let metadata = fs::metadata(path).map_err(|error| {
        format!("{}: {error}; `truncate -s 256M FILE` makes a file to write to", path.display())
    })?;
    if !metadata.is_file() {
        return Err(format!("{}: --file is for a regular file, and it is none", path.display()));
    }
    Ok(Medium {
        path: path.to_owned(),
        name: super::name(path),
        model: "a file".to_owned(),
        bytes: metadata.len(),
        is_removable: false,
        is_read_only: false,
        parts: Vec::new(),
    })
}

impl System {
    /// The disk behind `path`, which may be a link such as those of /dev/disk.
    pub(super) fn medium(&self, path: &Path) -> Result<Medium, String> {
        let path = fs::canonicalize(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let kind = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.file_type();
        if kind.is_file() {
            return Err(format!("{} is a regular file; --file writes to one", path.display()));
        }
        if !kind.is_block_device() {
            return Err(format!("{} is not a disk", path.display()));
        }
        self.disk(&super::name(&path), path)
    }

    /// The disk `name`; `path` is only passed on.
    fn disk(&self, name: &str, path: PathBuf) -> Result<Medium, String> {
        let directory = self.sys.join("block").join(name);
        if !directory.is_dir() {
            return Err(match self.disk_of(name) {
                Some(disk) => format!("{name} is a partition; the image is for a whole disk, that is {disk}"),
                None => format!("{name} is not a disk that the system knows"),
            });
        }
        let mut parts = vec![self.part(name, &directory)?];
        let mut names: Vec<String> = fs::read_dir(&directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?
            .flatten()
            .filter(|entry| entry.path().join("partition").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort_by_key(|name| (name.len(), name.clone()));
        for name in names {
            parts.push(self.part(&name, &directory.join(&name))?);
        }
        let is_set = |file: &str| text(&directory.join(file)).is_some_and(|text| text != "0");
        let model: Vec<_> = ["device/vendor", "device/model", "device/name"]
            .iter()
            .filter_map(|file| text(&directory.join(file)))
            .collect();
        Ok(Medium {
            path,
            name: name.to_owned(),
            model: if model.is_empty() { "no name".to_owned() } else { model.join(" ") },
            bytes: parts[0].bytes,
            is_removable: is_set("removable"),
            is_read_only: is_set("ro"),
            parts,
        })
    }

    /// The disk that has the partition `name`.
    fn disk_of(&self, name: &str) -> Option<String> {
        let disks = fs::read_dir(self.sys.join("block")).ok()?;
        let disk = disks.flatten().find(|disk| disk.path().join(name).join("partition").is_file())?;
        Some(disk.file_name().to_string_lossy().into_owned())
    }

    fn part(&self, name: &str, directory: &Path) -> Result<Part, String> {
        let sectors = text(&directory.join("size")).and_then(|text| text.parse::<u64>().ok());
        let sectors = sectors.ok_or_else(|| format!("{}: no size", directory.display()))?;
        let number = text(&directory.join("dev")).unwrap_or_default();
        let mut uses = Vec::new();
        let mounts = self.proc.join("self/mountinfo");
        let mounts = run::read(&mounts)?;
        for line in mounts.lines() {
            // The device's number; or its name after the dash, for file systems with numbers of
            // their own.
            let fields: Vec<&str> = line.split(' ').collect();
            let source = fields.iter().position(|field| *field == "-").and_then(|dash| fields.get(dash + 2));
            let is_ours = fields.get(2) == Some(&number.as_str())
                || source.is_some_and(|source| *source == format!("/dev/{name}"));
            if let (true, Some(point)) = (is_ours, fields.get(4)) {
                uses.push(Use::Mounted((*point).to_owned()));
            }
        }
        // A kernel without swap has no such file.
        let swaps = fs::read_to_string(self.proc.join("swaps")).unwrap_or_default();
        if swaps.lines().any(|line| line.split_whitespace().next() == Some(&format!("/dev/{name}"))) {
            uses.push(Use::Swap);
        }
        if let Ok(holders) = fs::read_dir(directory.join("holders")) {
            let mut names: Vec<_> =
                holders.flatten().map(|holder| holder.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            uses.extend(names.into_iter().map(Use::Holder));
        }
        // A part with several mounts is reported once for each place.
        uses.dedup();
        Ok(Part { name: name.to_owned(), bytes: sectors * 512, uses })
    }
}

/// A small file's content without blanks; none if it is not there or empty.
fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl Use {
    fn is_system(&self) -> bool {
        matches!(self, Self::Mounted(point) if ["/", "/boot", "/boot/efi", "/usr"].contains(&point.as_str()))
    }

    fn words(&self) -> String {
        match self {
            Self::Mounted(point) => format!("mounted on {point}"),
            Self::Swap => "swap".to_owned(),
            Self::Holder(name) => format!("used by {name}"),
        }
    }
}

impl Medium {
    /// Description of the medium, for people.
    pub(super) fn describe(&self) -> String {
        let removable = if self.is_removable { ", removable" } else { "" };
        let mut lines =
            format!("    {}  {}, {}{removable}\n", self.path.display(), self.model, size(self.bytes));
        for part in self.parts.iter().skip(1) {
            let uses: Vec<_> = part.uses.iter().map(Use::words).collect();
            let uses = if uses.is_empty() { "not mounted".to_owned() } else { uses.join(", ") };
            lines += &format!("      {}  {}, {uses}\n", part.name, size(part.bytes));
        }
        lines
    }

    /// Says why it must not be overwritten by an image of `bytes`.
    pub(super) fn refuse(&self, bytes: u64) -> Result<(), String> {
        let name = &self.name;
        let shown = self.describe();
        let uses = self.parts.iter().flat_map(|part| part.uses.iter().map(move |used| (part, used)));
        // Parts of the running system are reported before other mounts.
        if let Some((part, used)) = uses.min_by_key(|(_, used)| !used.is_system()) {
            return Err(match used {
                Use::Mounted(point) if used.is_system() => {
                    format!(
                        "{name} is the disk that this system runs from ({} is {point})\n{shown}",
                        part.name
                    )
                }
                Use::Mounted(point) => {
                    format!(
                        "{} is mounted on {point}; `umount {point}` if {name} is the one\n{shown}",
                        part.name
                    )
                }
                Use::Swap => format!("{} is this system's swap\n{shown}", part.name),
                Use::Holder(holder) => format!("{} is in use by {holder}\n{shown}", part.name),
            });
        }
        if self.bytes == 0 {
            return Err(format!("no medium in {name}"));
        }
        if self.is_read_only {
            return Err(format!("{name} is write-protected"));
        }
        if self.bytes < bytes {
            return Err(format!("{name} has {}, the image needs {}", size(self.bytes), size(bytes)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
