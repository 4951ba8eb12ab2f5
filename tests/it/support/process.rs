//! What `/proc` tells of a process.

use std::fs;

/// Whether there is such a process, zombies not counted.
pub(crate) fn is_alive(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z' && state != 'X')
}

/// The state letter of a process: `R`, `S`, `T` (stopped), `Z` (zombie).
pub(crate) fn state(pid: u32) -> Option<char> {
    fields(pid)?.first()?.chars().next()
}

/// What follows the name in `/proc/PID/stat`: state, parent, group and so on.
fn fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// The processes whose parent is `pid`.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    every().filter(|child| number(*child, 1) == Some(pid)).collect()
}

/// The living processes of process group `group`.
pub(crate) fn group(group: u32) -> Vec<u32> {
    every().filter(|pid| number(*pid, 2) == Some(group) && is_alive(*pid)).collect()
}

fn number(pid: u32, field: usize) -> Option<u32> {
    fields(pid)?.get(field)?.parse().ok()
}

fn every() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// Open descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// What the open descriptors are: paths, or `socket:[..]` and the like.
pub(crate) fn open_files(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.map(|target| target.to_string_lossy().into_owned()).collect()
}

/// A number of `/proc/PID/status`: `Threads`, or `VmRSS` in kB.
pub(crate) fn status(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

/// The command line of a process.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

/// Bytes of the private pages that a process has of the files it is made of: what the loader and
/// the program itself have written to.
pub(crate) fn written_file_pages(pid: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut is_file = false;
    let mut bytes = 0;
    for line in maps.lines() {
        match line.strip_prefix("Anonymous:") {
            Some(size) if is_file => {
                bytes += 1024 * size.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
            Some(_) => {}
            // `from-to rights offset device inode path`
            None if line.split_whitespace().next().is_some_and(|word| !word.ends_with(':')) => {
                is_file = line.contains(" /");
            }
            None => {}
        }
    }
    bytes
}
