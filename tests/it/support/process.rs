//! State of a process in `/proc`.

use std::fs;

use super::guest::guest;

/// Returns whether the process exists; zombies do not count.
pub(crate) fn is_alive(pid: u32) -> bool {
    fields(pid).is_some_and(|fields| runs(&fields))
}

/// Those of `pids` that exist.
pub(crate) fn alive(pids: &[u32]) -> Vec<u32> {
    let every = every().into_iter().filter(|(pid, fields)| pids.contains(pid) && runs(fields));
    every.map(|(pid, _)| pid).collect()
}

fn runs(fields: &[String]) -> bool {
    fields.first().is_some_and(|state| state != "Z" && state != "X")
}

/// The state letter of a process: `R`, `S`, `T` (stopped), `Z` (zombie).
pub(crate) fn state(pid: u32) -> Option<char> {
    fields(pid)?.first()?.chars().next()
}

/// Returns the fields after the name in `/proc/PID/stat`: state, parent, group and so on.
fn fields(pid: u32) -> Option<Vec<String>> {
    parse(&read(&format!("/proc/{pid}/stat"))?).map(|(_, fields)| fields)
}

fn parse(stat: &str) -> Option<(u32, Vec<String>)> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some((pid.parse().ok()?, rest.split_whitespace().map(str::to_owned).collect()))
}

/// A file of `/proc`, here or on the board under test.
fn read(path: &str) -> Option<String> {
    match guest() {
        None => fs::read_to_string(path).ok(),
        Some(guest) => Some(guest.run(&format!("cat {path} 2> /dev/null"))).filter(|text| !text.is_empty()),
    }
}

/// The processes whose parent is `pid`.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    every().into_iter().filter(|(_, fields)| number(fields, 1) == Some(pid)).map(|(pid, _)| pid).collect()
}

/// The processes that descend from `pid`.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let every = every();
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        let children = every.iter().filter(|(_, fields)| number(fields, 1) == Some(parent));
        found.extend(children.map(|(pid, _)| *pid));
    }
    found.split_off(1)
}

/// The parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    number(&fields(pid)?, 1)
}

/// The living processes of process group `group`.
pub(crate) fn group(group: u32) -> Vec<u32> {
    let of_group = every().into_iter().filter(|(_, fields)| number(fields, 2) == Some(group) && runs(fields));
    of_group.map(|(pid, _)| pid).collect()
}

fn number(fields: &[String], field: usize) -> Option<u32> {
    fields.get(field)?.parse().ok()
}

/// Every process, and its fields.
fn every() -> Vec<(u32, Vec<String>)> {
    match guest() {
        None => {
            let entries = fs::read_dir("/proc").unwrap();
            let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
            pids.filter_map(|pid| Some((pid, fields(pid)?))).collect()
        }
        // One of them may end meanwhile, and has no line then.
        Some(guest) => guest.run("cat /proc/[0-9]*/stat 2> /dev/null").lines().filter_map(parse).collect(),
    }
}

/// Open descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    match guest() {
        None => fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        Some(guest) => guest.run(&format!("ls /proc/{pid}/fd")).lines().count(),
    }
}

/// Returns the targets of the open descriptors: paths, or `socket:[..]` and the like.
pub(crate) fn open_files(pid: u32) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.map(|target| target.to_string_lossy().into_owned()).collect()
}

/// A number of `/proc/PID/status`: `Threads`, or `VmRSS` in kB.
pub(crate) fn status(pid: u32, key: &str) -> u64 {
    field(&status_text(pid), key).split_whitespace().next().unwrap().parse().unwrap()
}

/// A value in a text of `/proc/PID/status`.
#[track_caller]
pub(crate) fn field(text: &str, key: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {key} in {text}")).trim().to_owned()
}

/// The text of `/proc/PID/status`.
#[track_caller]
pub(crate) fn status_text(pid: u32) -> String {
    read(&format!("/proc/{pid}/status")).expect("the process is there")
}

/// The same of each thread of a process.
pub(crate) fn threads(pid: u32) -> Vec<String> {
    let path = format!("/proc/{pid}/task");
    let text = match guest() {
        None => {
            let threads = fs::read_dir(path).unwrap().map(|thread| thread.unwrap().path().join("status"));
            threads.filter_map(|status| fs::read_to_string(status).ok()).collect()
        }
        Some(guest) => guest.run(&format!("cat {path}/*/status")),
    };
    text.split("Name:").skip(1).map(str::to_owned).collect()
}

/// Private memory of a process in kB, to the page, which `/proc/PID/status` has not.
pub(crate) fn anonymous(pid: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = maps.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    line.unwrap().trim().trim_end_matches(" kB").parse().unwrap()
}

/// The command line of a process.
pub(crate) fn command_line(pid: u32) -> String {
    read(&format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ").trim().to_owned()
}

/// Living processes whose command line contains `text`.
pub(crate) fn with(text: &str) -> Vec<u32> {
    match guest() {
        None => {
            let pids = every().into_iter().map(|(pid, _)| pid);
            pids.filter(|pid| command_line(*pid).contains(text) && is_alive(*pid)).collect()
        }
        Some(guest) => {
            // One script for hundreds of processes. grep itself has ended by the second one.
            let found = guest.run(&format!("ps -o pid,args | grep -F '{text}'"));
            let pids = found.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
            alive(&pids.collect::<Vec<_>>())
        }
    }
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
