//! Control groups (cgroup v2): one for each service, with its limits, its use of the processor and of memory.
//!
//! They are below `friendlet.PID.LINE` in the control group of the keeper, where LINE is that of the keepers that follow
//! each other. With them nothing escapes: every process
//! that a service starts is in its group, wherever it goes. Without them (another kernel, another user, a
//! service manager that does not delegate), processes are known by their process group and `/proc`.

use core::fmt::Write as _;
use core::str::FromStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use heapless::{String, Vec};
use rustix::fs::{FlockOperation, FsWord, Mode, OFlags, flock, fstat, mkdirat, open, openat, stat, statfs};
use rustix::io::{Errno, read, write};
use rustix::process::Pid;

use super::{NESTED_GROUPS, ORPHANS, procfs};
use crate::limits::SERVICE_NAME_BYTES;
use crate::log::console::warning;
use crate::service::{Attributes, CONTROLS, SERVICE_NICE, ServiceId, ServiceTable};

/// Mount points of cgroup v2; the second one beside the first version.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// `f_type` of its file system (statfs(2)).
const MAGIC: FsWord = 0x6367_7270;
/// Line of a keeper that none follows.
const NO_LINE: &str = "none";
/// Attribute of a directory that systemd leaves to its owner.
const DELEGATED: [&str; 2] = ["user.delegate", "trusted.delegate"];
/// Beginning of the name of the directory of a keeper; its pid follows, a dot and its [`line`].
const PREFIX: &str = "friendlet.";
/// Pause between two looks at groups whose processes have been killed.
const CLEAR_PAUSE: Duration = Duration::from_millis(10);
/// Attempts to create the directory of a keeper.
const CREATE_TRIES: usize = 8;
/// Group of the keeper and the server, where they may not stay in that of the services.
const KEEPER: &str = "keeper";
/// Beginning of the name of the group of a service.
const SERVICE: &str = "service-";
/// Largest `cpu.weight`.
const WEIGHT_MAX: &str = "10000";
/// Bytes of a file with a few numbers.
const FILE_BYTES: usize = 512;

/// Name of the group of a slot, and path of a file in it.
type GroupPath = String<{ SERVICE_NAME_BYTES + 32 }>;

/// Control groups of the services.
#[derive(Debug)]
pub struct Cgroups {
    /// `friendlet.PID.LINE`.
    directory: OwnedFd,
    base: std::string::String,
    /// Controllers that are in force, by the index of [`CONTROLS`].
    controllers: [bool; CONTROLS.len()],
    /// Directories of killed keepers before this one, while they have processes.
    followed: std::vec::Vec<PathBuf>,
}

impl Cgroups {
    /// Creates the directory of the groups; `None` where that is not possible. `table` is the file with the processes,
    /// the same for the keepers before and after it.
    pub fn create(table: Option<&Path>) -> Option<Self> {
        let mount =
            MOUNTS.into_iter().find(|mount| statfs(*mount).is_ok_and(|found| found.f_type == MAGIC))?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
        let parent = format!("{mount}{}", own.trim_end_matches('/'));
        // The group of a service manager is its own, unless it says otherwise. Nothing manages the root.
        let is_delegated = || {
            DELEGATED.into_iter().any(|name| rustix::fs::getxattr(&*parent, name, &mut [0; 8][..]).is_ok())
        };
        if own != "/" && !is_delegated() {
            return None;
        }
        let base = format!("{parent}/{PREFIX}{}.{}", std::process::id(), line(table));
        let directory = create_locked(&base)?;
        let (controllers, followed) = ([false; CONTROLS.len()], std::vec::Vec::new());
        let mut cgroups = Self { directory, base, controllers, followed };
        // A group with processes cannot have controllers for its children; the root can.
        if own != "/" {
            cgroups.make(KEEPER).and_then(|()| cgroups.write(KEEPER, "cgroup.procs", "0")).ok()?;
        }
        for (control, is_there) in CONTROLS.iter().zip(&mut cgroups.controllers) {
            let line = format!("+{}", control.controller);
            let enable = |directory: &str| fs::write(format!("{directory}/cgroup.subtree_control"), &line);
            *is_there = enable(&parent).and_then(|()| enable(&cgroups.base)).is_ok();
        }
        // Niceness does not count between groups: without this, one busy service would have as much of the
        // processor as the server. Fails without the controller.
        let _ = if own == "/" {
            fs::write(format!("{}/cpu.weight.nice", cgroups.base), SERVICE_NICE.to_string())
        } else {
            fs::write(format!("{}/{KEEPER}/cpu.weight", cgroups.base), WEIGHT_MAX)
        };
        Some(cgroups)
    }

    /// Finds the groups of killed keepers before this one, which has their table of processes: a server of theirs that is
    /// ending may still live. Those of services count as theirs from now on; the processes of others are killed.
    pub(super) fn follow(&mut self, services: &ServiceTable) {
        self.followed = self.others().into_iter().filter(|base| self.follows(base)).collect();
        self.kill_left(|name| name != KEEPER && service_in(name, services).is_none());
    }

    /// Kills the processes of killed keepers before this one, in groups with these names.
    pub(super) fn kill_left(&self, is_meant: impl Fn(&str) -> bool) {
        let groups = self.followed.iter().flat_map(|base| children(base));
        let is_meant =
            |group: &PathBuf| group.file_name().and_then(|name| name.to_str()).is_some_and(&is_meant);
        for group in groups.filter(is_meant).filter(|group| is_populated(group)) {
            warning!("killing {}: its friendlet was killed", group.display());
            let _ = fs::write(group.join("cgroup.kill"), "1");
        }
    }

    /// Forgets them.
    pub(super) fn forget_followed(&mut self) {
        self.followed.clear();
    }

    /// Directories of a group: that of this keeper, and those of killed ones before it.
    fn paths(&self, group: &str) -> impl Iterator<Item = PathBuf> {
        core::iter::once(Path::new(&self.base))
            .chain(self.followed.iter().map(PathBuf::as_path))
            .map(move |base| base.join(group))
    }

    /// Removes the groups of killed keepers. Returns false while those before this one have processes. A keeper of
    /// another line may be followed by one that gives its services their time.
    pub(super) fn remove_left(&self) -> bool {
        let (populated, empty): (std::vec::Vec<_>, std::vec::Vec<_>) =
            self.others().into_iter().filter(|base| !is_locked(base)).partition(|base| is_populated(base));
        for base in empty {
            remove_below(&base);
            let _ = fs::remove_dir(base);
        }
        !populated.iter().any(|base| self.follows(base))
    }

    /// Returns true if the keeper of this directory is followed by this one.
    fn follows(&self, base: &Path) -> bool {
        let line = |base: &Path| Some(base.extension()?.to_str()?.to_owned());
        line(base).is_some_and(|found| found != NO_LINE && line(Path::new(&self.base)) == Some(found))
    }

    /// Directories of other keepers.
    fn others(&self) -> std::vec::Vec<PathBuf> {
        let base = Path::new(&self.base);
        let is_other = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) && path != base
        };
        base.parent().into_iter().flat_map(children).filter(is_other).collect()
    }

    /// Takes over what an earlier program has created: see [`parts`](Self::parts).
    pub(super) fn continued(directory: OwnedFd, base: std::string::String, mask: u8) -> Self {
        let controllers = core::array::from_fn(|index| mask & (1 << index) != 0);
        Self { directory, base, controllers, followed: std::vec::Vec::new() }
    }

    /// Directory, mask of the controllers in force, and path.
    pub(super) fn parts(&self) -> (BorrowedFd<'_>, u8, &str) {
        let mask = self.controllers.iter().rev().fold(0, |mask, is_there| mask << 1 | u8::from(*is_there));
        (self.directory.as_fd(), mask, &self.base)
    }

    /// Logs each limit of a service that cannot be in force here.
    pub fn check(cgroups: Option<&Self>, services: &ServiceTable) {
        for (_, spec) in services.iter() {
            let limits = spec.attributes.controls.iter().zip(Attributes::default().controls);
            for (index, (control, (limit, default))) in CONTROLS.iter().zip(limits).enumerate() {
                let is_there = cgroups.is_some_and(|known| known.controllers.get(index) == Some(&true));
                if *limit != default && !is_there {
                    warning!(
                        "{}: {} is not in force: no control groups with the controller {}",
                        spec.name,
                        control.key,
                        control.controller
                    );
                }
            }
        }
    }

    /// Moves the calling process, a child before its exec, to the group of a slot with these limits.
    ///
    /// # Errors
    /// Index of the limit in [`CONTROLS`], if it is one of them, and error of the system.
    pub(super) fn enter(
        &self,
        group: &str,
        limits: &[u64; CONTROLS.len()],
    ) -> Result<(), (Option<usize>, Errno)> {
        // A service may have frozen its group before its end.
        let _ = self.write(group, "cgroup.freeze", "0");
        for (index, control) in CONTROLS.iter().enumerate() {
            if self.controllers.get(index) == Some(&true) {
                let value = match limits.get(index) {
                    Some(0) | None => "max".to_owned(),
                    Some(limit) => limit.to_string(),
                };
                self.write(group, control.file, &value).map_err(|errno| (Some(index), errno))?;
            }
        }
        self.write(group, "cgroup.procs", "0").map_err(|errno| (None, errno))
    }

    /// Kills all processes of a group at once. Nothing happens on a kernel before 5.14.
    pub(super) fn kill(&self, group: &str) {
        for path in self.paths(group) {
            let _ = fs::write(path.join("cgroup.kill"), "1");
        }
    }

    /// Returns true if the group, or one below it, has a process.
    pub(super) fn is_populated(&self, group: &str) -> bool {
        self.paths(group).any(|path| is_populated(&path))
    }

    /// Processes that the kernel has killed in this group because memory ran out.
    pub(super) fn oom_kills(&self, group: &str) -> u32 {
        self.number(group, "memory.events", "oom_kill").unwrap_or(0)
    }

    /// Microseconds of processor time since the group was created.
    pub(super) fn cpu_us(&self, group: &str) -> Option<u64> {
        self.number(group, "cpu.stat", "usage_usec")
    }

    /// Bytes of memory.
    pub(super) fn memory(&self, group: &str) -> Option<u64> {
        self.number(group, "memory.current", "")
    }

    /// Name of the group of a slot that a process is in.
    pub(super) fn group_of(&self, pid: Pid) -> Option<std::string::String> {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).ok()?;
        let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
        self.group_in(path).map(str::to_owned)
    }

    /// The same for its path in the hierarchy. One of the same name elsewhere is another's.
    fn group_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        let (directory, name) = self.base.rsplit_once('/')?;
        let (parent, below) = path.split_once(&format!("/{name}/"))?;
        let group = below.split('/').next().filter(|group| *group != KEEPER)?;
        MOUNTS.iter().any(|mount| directory.strip_prefix(mount) == Some(parent)).then_some(group)
    }

    /// Processes of a group, and of the groups that its processes have made below it.
    pub(super) fn members(&self, group: &str) -> Vec<Pid, ORPHANS> {
        let mut members = Vec::new();
        for path in self.paths(group) {
            add_members(&path, &mut members);
            let stat = fs::read_to_string(path.join("cgroup.stat")).unwrap_or_default();
            if number_in::<u32>(&stat, "nr_descendants").is_some_and(|count| count > 0) {
                groups_below(&path).iter().for_each(|nested| add_members(nested, &mut members));
            }
        }
        members
    }

    /// Removes the groups, which are empty.
    pub(super) fn remove(&self) {
        remove_below(Path::new(&self.base));
        // Fails where the keeper is in a group of it; the service manager removes that one.
        let _ = fs::remove_dir(&self.base);
    }

    /// Creates a group, unless it exists.
    ///
    /// # Errors
    /// Error of the system, such as too many groups.
    pub(super) fn make(&self, group: &str) -> Result<(), Errno> {
        match mkdirat(&self.directory, group, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn open(&self, group: &str, file: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut path = GroupPath::new();
        write!(path, "{group}/{file}").map_err(|_| Errno::NAMETOOLONG)?;
        openat(self.directory.as_fd(), &*path, flags | OFlags::CLOEXEC, Mode::empty())
    }

    fn write(&self, group: &str, file: &str, text: &str) -> Result<(), Errno> {
        let file = self.open(group, file, OFlags::WRONLY)?;
        write(&file, text.as_bytes()).map(drop)
    }

    /// Number after a name in a file; the first one, if the name is empty.
    fn number<N: FromStr>(&self, group: &str, file: &str, name: &str) -> Option<N> {
        let file = self.open(group, file, OFlags::RDONLY).ok()?;
        let mut bytes = [0; FILE_BYTES];
        let count = read(&file, &mut bytes).ok()?;
        number_in(core::str::from_utf8(bytes.get(..count)?).ok()?, name)
    }
}

/// Line of the keepers with this file of processes.
fn line(table: Option<&Path>) -> std::string::String {
    let Some(table) = table else { return NO_LINE.to_owned() };
    // Containers that share the tree of control groups have a file of the same path, each in its own file system.
    let device =
        table.ancestors().skip(1).find_map(|directory| stat(directory).ok()).map_or(0, |found| found.st_dev);
    line_of(table, device)
}

/// The same, with the device of the file system.
fn line_of(table: &Path, device: u64) -> std::string::String {
    // FNV-1a: a name, no secret.
    let bytes = table.as_os_str().as_encoded_bytes().iter().copied().chain(device.to_le_bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}")
}

/// Creates the directory of a keeper, and locks it: keeper and server hold the lock as long as one of them lives. Another
/// keeper that starts may remove it before it is locked: then it is created again.
fn create_locked(base: &str) -> Option<OwnedFd> {
    for _ in 0..CREATE_TRIES {
        match fs::create_dir(base) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return None,
            _ => {}
        }
        let locked = open(base, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|directory| {
                flock(&directory, FlockOperation::NonBlockingLockShared).map(|()| directory)
            });
        if let Ok(directory) = locked
            && let (Ok(locked), Ok(found)) = (fstat(&directory), stat(base))
            && locked.st_ino == found.st_ino
        {
            return Some(directory);
        }
        std::thread::sleep(CLEAR_PAUSE);
    }
    None
}

/// Returns true for the directory of a keeper that lives, or whose server does. The lock is released at once.
fn is_locked(base: &Path) -> bool {
    open(base, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|directory| flock(&directory, FlockOperation::NonBlockingLockExclusive))
        .is_err()
}

fn is_populated(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("cgroup.events")).unwrap_or_default();
    number_in::<u8>(&events, "populated") == Some(1)
}

fn add_members(group: &Path, members: &mut Vec<Pid, ORPHANS>) {
    let Ok(list) = fs::read_to_string(group.join("cgroup.procs")) else { return };
    let room = ORPHANS - members.len();
    // A process of another namespace is 0.
    members.extend(list.lines().filter_map(procfs::pid).take(room));
}

fn children(group: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir())
}

/// Groups below a group, each after the one that it is in.
fn groups_below(group: &Path) -> std::vec::Vec<PathBuf> {
    let mut groups: std::vec::Vec<PathBuf> = children(group).take(NESTED_GROUPS).collect();
    let mut next = 0;
    while let Some(group) = groups.get(next).cloned() {
        next += 1;
        let room = NESTED_GROUPS - groups.len();
        groups.extend(children(&group).take(room));
    }
    groups
}

fn remove_below(group: &Path) {
    // The innermost first. One with processes stays.
    groups_below(group).iter().rev().for_each(|group| _ = fs::remove_dir(group));
}

fn number_in<N: FromStr>(text: &str, name: &str) -> Option<N> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Name of the group of a slot: that of its service, or of a run of a named command or health check.
pub(super) fn group_name(slot: usize, services: &ServiceTable) -> GroupPath {
    let mut name = GroupPath::new();
    let service = ServiceId::from_index(slot).and_then(|id| services.get(id));
    match service {
        Some(spec) => return service_group(&spec.name),
        None => _ = write!(name, "run-{slot}"),
    }
    name
}

/// Service whose group has this name.
pub(super) fn service_in(group: &str, services: &ServiceTable) -> Option<ServiceId> {
    services.find(group.strip_prefix(SERVICE)?)
}

/// Name of the group of a service.
pub(super) fn service_group(service: &str) -> GroupPath {
    let mut name = GroupPath::new();
    let written = write!(name, "{SERVICE}{service}");
    debug_assert!(written.is_ok(), "the longest name fits");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keepers_with_one_file_of_processes_follow_each_other() {
        let keeper = |pid: u32, table: Option<&str>| {
            let base = format!("/sys/fs/cgroup/friendlet.{pid}.{}", line(table.map(Path::new)));
            Cgroups::continued(fs::File::open("/dev/null").unwrap().into(), base, 0)
        };
        let (first, next) = (keeper(1, Some("/run/a.processes")), keeper(2, Some("/run/a.processes")));
        assert!(next.follows(Path::new(&first.base)));
        for other in [keeper(3, Some("/run/b.processes")), keeper(4, None)] {
            assert!(!other.follows(Path::new(&first.base)) && !first.follows(Path::new(&other.base)));
        }
        assert!(!keeper(5, None).follows(Path::new(&keeper(6, None).base)), "none follows it");
        assert!(!first.follows(Path::new("/sys/fs/cgroup/friendlet.7")));
    }

    /// A keeper killed the services of another container, whose file had the same path.
    #[test]
    fn keepers_of_other_file_systems_do_not_follow_each_other() {
        let table = Path::new("/var/lib/friendlet.processes");
        assert_eq!(line_of(table, 7), line_of(table, 7));
        assert_ne!(line_of(table, 7), line_of(table, 8));
        assert_eq!(
            line(Some(Path::new("/proc/missing/x.processes"))),
            line(Some(Path::new("/proc/missing/x.processes")))
        );
        assert_ne!(line(Some(table)), line_of(table, u64::MAX));
    }

    #[test]
    fn group_of_the_same_name_elsewhere_is_not_one_of_a_service() {
        let keeper =
            |base: &str| Cgroups::continued(fs::File::open("/dev/null").unwrap().into(), base.to_owned(), 0);
        let (root, below) =
            (keeper("/sys/fs/cgroup/friendlet.7.a"), keeper("/sys/fs/cgroup/system/friendlet.7.a"));
        for (path, in_root, in_below) in [
            ("/friendlet.7.a/service-web", Some("service-web"), None),
            ("/friendlet.7.a/service-web/friendlet.7.a/service-x", Some("service-web"), None),
            ("/system/friendlet.7.a/service-web/nested", None, Some("service-web")),
            ("/user/friendlet.7.a/service-web", None, None),
            ("/user/system/friendlet.7.a/service-web", None, None),
            ("/friendlet.7.a/keeper", None, None),
            ("/friendlet.7.ab/service-web", None, None),
            ("/friendlet.7.a", None, None),
            ("/", None, None),
        ] {
            assert_eq!((root.group_in(path), below.group_in(path)), (in_root, in_below), "{path}");
        }
    }

    #[test]
    fn numbers_are_found_by_their_names() {
        let text = "low 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n";
        assert_eq!(number_in(text, "oom_kill"), Some(1));
        assert_eq!(number_in(text, "oom "), Some(2_u64));
        assert_eq!(number_in::<u32>(text, "high"), None);
        assert_eq!(number_in("4096\n", ""), Some(4096));
        assert_eq!(number_in::<u32>("max\n", ""), None);
    }
}
