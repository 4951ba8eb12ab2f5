//! Facts about processes from `/proc`: children, parent, group, name, service.

use std::fs::{self, File};
use std::io::Read as _;

use heapless::Vec;
use rustix::process::{Pid, Signal, getpgid};

use super::{ENVIRONMENT_BYTES, ORPHANS, PROCESSES};

/// Environment variable with the name of the service. By it, the keeper recognises a process that has left
/// the process group of its service.
pub(super) const MARKER: &str = "FRIENDLET_SERVICE";

/// Pids of the keeper's children.
pub(super) fn children() -> Vec<Pid, ORPHANS> {
    Family::new().children_of(rustix::process::getpid())
}

/// List of children of this thread, on a kernel with such lists (`CONFIG_PROC_CHILDREN`).
const LISTS: &str = "/proc/thread-self/children";

/// Process with its parent and its group.
struct Process {
    pid: Pid,
    parent: Pid,
    group: Option<Pid>,
}

/// Parents and children: of the kernel's lists where it has them, else of one look at every process. A look for
/// the children of each would read `/proc` as often as there are processes.
pub(super) struct Family(Option<std::vec::Vec<Process>>);

impl Family {
    pub(super) fn new() -> Self {
        let has_lists = rustix::fs::access(LISTS, rustix::fs::Access::EXISTS).is_ok();
        Self((!has_lists).then(Self::every_process))
    }

    fn every_process() -> std::vec::Vec<Process> {
        let process = |pid| {
            let stat = stat(pid)?;
            let mut fields = stat_fields(&stat)?.skip(1).map(self::pid);
            Some(Process { pid, parent: fields.next()??, group: fields.next()? })
        };
        processes().filter_map(process).take(PROCESSES).collect()
    }

    /// Children of a process.
    pub(super) fn children_of(&self, parent: Pid) -> Vec<Pid, ORPHANS> {
        match &self.0 {
            None => listed_children(parent),
            Some(all) => {
                let children = all.iter().filter(|process| process.parent == parent);
                children.map(|process| process.pid).take(ORPHANS).collect()
            }
        }
    }

    /// Group of a process.
    pub(super) fn group_of(&self, pid: Pid) -> Option<Pid> {
        match &self.0 {
            None => group_of_any(pid),
            Some(all) => all.iter().find(|process| process.pid == pid)?.group,
        }
    }
}

/// Children of a process, by the lists of its threads.
fn listed_children(parent: Pid) -> Vec<Pid, ORPHANS> {
    let tasks = fs::read_dir(format!("/proc/{}/task", parent.as_raw_nonzero()));
    let lists = tasks.into_iter().flatten().flatten().filter_map(|task| {
        // A thread that has just ended has none.
        fs::read_to_string(task.path().join("children")).ok()
    });
    let mut children = Vec::new();
    for list in lists {
        let room = ORPHANS - children.len();
        children.extend(list.split_ascii_whitespace().filter_map(pid).take(room));
    }
    children
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| pid(entry.file_name().to_str()?))
}

fn stat(pid: Pid) -> Option<String> {
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()
}

fn stat_field(pid: Pid, index: usize) -> Option<String> {
    stat_fields(&stat(pid)?)?.nth(index).map(str::to_owned)
}

/// Fields of `/proc/PID/stat` behind the name of the program, which may contain anything: 0 is the state.
pub(super) fn stat_fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(") ")?.1.split(' '))
}

/// A process: its number, which the kernel gives to another one after its end, and its start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct ProcessKey {
    pub(super) pid: Pid,
    start: u64,
}

impl ProcessKey {
    /// The process that has this number now.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        Some(Self { pid, start: start(pid)? })
    }

    /// Returns true until it is reaped.
    pub(super) fn exists(self) -> bool {
        start(self.pid) == Some(self.start)
    }

    /// An earlier process with the same number.
    #[cfg(test)]
    pub(super) fn earlier(self) -> Self {
        Self { start: self.start - 1, ..self }
    }
}

/// Start of a process, in ticks since the boot.
pub(super) fn start(pid: Pid) -> Option<u64> {
    stat_field(pid, 19)?.parse().ok()
}

/// Returns true for a process that has ended and is not reaped.
pub(super) fn is_zombie(pid: Pid) -> bool {
    stat_field(pid, 0).is_none_or(|state| state == "Z")
}

/// Parses a pid; `None` for a number that kill(2) takes for more than one process.
pub(super) fn pid(text: &str) -> Option<Pid> {
    // The group of a process that is just being released is -1, which kill(2) takes for every process.
    Pid::from_raw(text.parse().ok().filter(|pid| *pid > 0)?)
}

/// Group of any process, which may be one without a group of this pid namespace, as a kernel thread is.
pub(super) fn group_of_any(pid: Pid) -> Option<Pid> {
    self::pid(&stat_field(pid, 2)?)
}

/// Group of a child.
pub(super) fn group(pid: Pid) -> Option<Pid> {
    getpgid(Some(pid)).ok()
}

/// Name of a program, for people.
pub(super) fn name(pid: Pid) -> String {
    let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
    name.map_or_else(|_| "?".to_owned(), |name| name.trim_end().to_owned())
}

/// Real user of a process.
pub(super) fn uid(pid: Pid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Parent of a process.
pub(super) fn parent(pid: Pid) -> Option<Pid> {
    self::pid(&stat_field(pid, 1)?)
}

/// Returns true for a process that has ended or is killed, and has threads that go on: they wait for a disk.
pub(super) fn is_dying(pid: Pid) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).unwrap_or_default();
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map_or("", str::trim);
    let pending = u64::from_str_radix(value("SigPnd:"), 16).unwrap_or_default();
    value("State:").starts_with('Z') || pending & (1 << (Signal::KILL.as_raw() - 1)) != 0
}

/// Exit code of a process whose first thread has exited; `None` if a signal ended it.
pub(super) fn exit_code(pid: Pid) -> Option<u8> {
    let status: u32 = stat_field(pid, 49)?.trim().parse().ok()?;
    (is_zombie(pid) && status & 0x7f == 0).then_some((status >> 8) as u8)
}

/// Names of the threads of a process that have not exited, for people.
pub(super) fn threads(pid: Pid) -> String {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).into_iter().flatten().flatten();
    let tasks = tasks.filter_map(|task| self::pid(task.file_name().to_str()?));
    let names: std::vec::Vec<String> = tasks.filter(|task| !is_zombie(*task)).map(name).collect();
    names.join(", ")
}

/// Returns false while a process executes a program, and for one that cannot be looked at.
pub(super) fn has_environment(pid: Pid) -> bool {
    stat_field(pid, 48).is_none_or(|end| end.trim() != "0") || is_zombie(pid)
}

/// Passes the name of the service in whose environment a process was started. It may wait for a disk: only a child of the
/// keeper calls it.
pub(super) fn with_service<R>(pid: Pid, found: impl FnOnce(&[u8]) -> R) -> Option<R> {
    let file = File::open(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
    let mut environment = std::vec::Vec::new();
    file.take(ENVIRONMENT_BYTES as u64).read_to_end(&mut environment).ok()?;
    service_in(&environment).map(found)
}

fn service_in(environment: &[u8]) -> Option<&[u8]> {
    let mut variables = environment.split(|byte| *byte == 0);
    variables.find_map(|variable| variable.strip_prefix(MARKER.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;

    use super::*;
    use crate::sys::tests::lock_children;

    #[test]
    fn name_of_the_service_is_found_among_the_variables() {
        let find = |text: &str| service_in(text.as_bytes()).map(<[u8]>::to_vec);
        assert_eq!(find("A=1\0FRIENDLET_SERVICE=web\0B=2\0"), Some(b"web".to_vec()));
        assert_eq!(find("FRIENDLET_SERVICE=web"), Some(b"web".to_vec()));
        for text in ["", "A=FRIENDLET_SERVICE=web\0", "XFRIENDLET_SERVICE=web\0", "FRIENDLET_SERVICES=web\0"]
        {
            assert_eq!(find(text), None, "{text:?}");
        }
    }

    #[test]
    fn environment_is_searched_up_to_the_limit() {
        let mut text = std::vec![b'a'; ENVIRONMENT_BYTES - 24];
        text.extend(b"\0FRIENDLET_SERVICE=web\0B=2");
        assert!(text.len() >= ENVIRONMENT_BYTES);
        assert_eq!(service_in(&text[..ENVIRONMENT_BYTES]), Some(&b"web"[..]));
        text.insert(0, b'a');
        text.truncate(ENVIRONMENT_BYTES);
        assert_eq!(service_in(&text), Some(&b"web"[..]), "the name ends within the limit");
        text.splice(0..0, [b'a'; 30]);
        text.truncate(ENVIRONMENT_BYTES);
        assert_eq!(service_in(&text), None);
    }

    #[test]
    fn children_are_the_same_with_and_without_lists_of_the_kernel() {
        let _lock = lock_children();
        let script = "sleep 1000 & setsid sleep 1000 & wait";
        let mut shell =
            std::process::Command::new("sh").args(["-c", script]).process_group(0).spawn().unwrap();
        let leader = Pid::from_child(&shell);
        let found = |family: &Family| {
            let mut children = family.children_of(leader);
            children.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
            let groups: std::vec::Vec<_> = children.iter().map(|pid| family.group_of(*pid)).collect();
            (children, groups)
        };
        let by_look = || found(&Family(Some(Family::every_process())));
        // One of them is in a group of its own.
        while by_look().1.iter().filter(|group| **group != Some(leader)).count() != 1 {
            std::thread::yield_now();
        }
        assert_eq!(found(&Family::new()), by_look());
        assert_eq!(by_look().0.len(), 2);
        for pid in by_look().0 {
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
    }

    #[test]
    fn pids_are_positive() {
        assert_eq!(pid("12").map(|pid| pid.as_raw_nonzero().get()), Some(12));
        for text in ["-1", "0", "", "x", "99999999999"] {
            assert_eq!(pid(text), None, "{text}");
        }
    }

    #[test]
    fn fields_are_read_after_the_name() {
        let own = rustix::process::getpid();
        let parent = Family::every_process().into_iter().find(|process| process.pid == own).unwrap().parent;
        assert_eq!(Some(parent), rustix::process::getppid());
        assert!(processes().any(|pid| pid == own) && !is_zombie(own));
        assert_eq!(group_of_any(own), group(own));
    }
}
