//! Facts about processes from `/proc`: children, parent, group, name, service.

use std::fs::{self, File};
use std::io::Read as _;

use heapless::Vec;
use rustix::process::{Pid, getpgid};

use super::{ENVIRONMENT_BYTES, ORPHANS};

/// Environment variable with the name of the service. By it, the keeper recognises a process that has left
/// the process group of its service.
pub(super) const MARKER: &str = "FRIENDLET_SERVICE";

/// Pids of the keeper's children.
pub(super) fn children() -> Vec<Pid, ORPHANS> {
    children_of(rustix::process::getpid())
}

/// Pids of the children of a process.
pub(super) fn children_of(parent: Pid) -> Vec<Pid, ORPHANS> {
    let tasks = fs::read_dir(format!("/proc/{}/task", parent.as_raw_nonzero()));
    let mut lists = tasks.into_iter().flatten().flatten().filter_map(|task| {
        // A thread that has just ended has none.
        fs::read_to_string(task.path().join("children")).ok()
    });
    let Some(first) = lists.next() else {
        // A kernel without CONFIG_PROC_CHILDREN.
        return processes().filter(|pid| parent_of(*pid) == Some(parent)).take(ORPHANS).collect();
    };
    let mut children = Vec::new();
    for list in core::iter::once(first).chain(lists) {
        let room = ORPHANS - children.len();
        children.extend(list.split_ascii_whitespace().filter_map(pid).take(room));
    }
    children
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| pid(entry.file_name().to_str()?))
}

fn stat_field(pid: Pid, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat_fields(&stat)?.nth(index).map(str::to_owned)
}

/// Fields of `/proc/PID/stat` behind the name of the program, which may contain anything: 0 is the state.
pub(super) fn stat_fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(") ")?.1.split(' '))
}

fn parent_of(pid: Pid) -> Option<Pid> {
    self::pid(&stat_field(pid, 1)?)
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

/// Passes the name of the service in whose environment a process was started.
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
    use super::*;

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
    fn pids_are_positive() {
        assert_eq!(pid("12").map(|pid| pid.as_raw_nonzero().get()), Some(12));
        for text in ["-1", "0", "", "x", "99999999999"] {
            assert_eq!(pid(text), None, "{text}");
        }
    }

    #[test]
    fn fields_are_read_after_the_name() {
        let own = rustix::process::getpid();
        assert_eq!(parent_of(own), rustix::process::getppid());
        assert!(processes().any(|pid| pid == own) && !is_zombie(own));
        assert_eq!(group_of_any(own), group(own));
    }
}
