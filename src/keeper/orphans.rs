//! Processes that have left the process group of their service: the kernel gives them to the keeper, their
//! subreaper, when their parent exits.

use std::fs::{self, File};
use std::io::Read as _;

use heapless::Vec;
use rustix::process::{Pid, getpgid};

use super::launch::MARKER;
use super::{ENVIRONMENT_BYTES, ORPHANS};

/// Pids of this process's children.
pub(super) fn children() -> Vec<Pid, ORPHANS> {
    let own = std::process::id();
    match fs::read_to_string("/proc/thread-self/children") {
        Ok(list) => list.split_ascii_whitespace().filter_map(pid).take(ORPHANS).collect(),
        // A kernel without CONFIG_PROC_CHILDREN.
        Err(_) => processes().filter(|pid| parent(*pid) == Some(own)).take(ORPHANS).collect(),
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| pid(entry.file_name().to_str()?))
}

/// Parent of a process, from `PID (NAME) STATE PARENT ..`; the name may contain anything.
fn parent(pid: Pid) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn pid(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

/// Group of any process, which may be one without a group of this pid namespace, as a kernel thread is.
pub(super) fn group_of_any(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    self::pid(stat.rsplit_once(") ")?.1.split(' ').nth(2)?)
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
    fn parent_is_read_after_the_name() {
        let own = Pid::from_raw(std::process::id().cast_signed()).unwrap();
        assert_eq!(
            parent(own),
            Some(rustix::process::getppid().unwrap().as_raw_nonzero().get().unsigned_abs())
        );
        assert!(processes().any(|pid| pid == own));
        assert_eq!(group_of_any(own), group(own));
    }
}
