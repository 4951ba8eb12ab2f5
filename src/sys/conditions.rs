//! Observation of the conditions of services: a thread for each, because a look at a path may take any time
//! on a mount that hangs.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;

use rustix::fs::{Mode, OFlags, open};

use super::{Clock, raw, thread};
use crate::runtime::{Receiver, Sender, queue};
use crate::service::{AllConditions, CONDITION_PERIOD, CONDITIONS, Condition};

/// Stack size of a thread: one look, with a path and the content of a file of `/proc` on the stack.
pub const CONDITION_STACK_BYTES: usize = 24 * 1024;
/// Bytes of a file of `/proc` that are looked at: more than 20 routes or addresses.
const PROC_BYTES: usize = 4096;
/// Longest path in `/sys/class/net`.
const CARRIER_PATH_BYTES: usize = 64;

/// Change of a condition: its index, and whether it is met.
pub type ConditionChange = (usize, bool);

/// Report of a thread, with the number of its table of conditions.
type Report = (u32, ConditionChange);

/// Threads that look at the conditions of the table in force.
#[derive(Debug)]
pub struct ConditionWatch {
    report: Sender<Report, CONDITIONS>,
    changes: Receiver<Report, CONDITIONS>,
    /// Number of the table in force. A thread of an earlier one ends at its next look.
    table: Arc<AtomicU32>,
    clock: Clock,
}

impl ConditionWatch {
    /// Watch of no condition.
    pub fn new(clock: Clock) -> Self {
        let (report, changes) = queue();
        Self { report, changes, table: Arc::default(), clock }
    }

    /// Starts a thread for each condition, in place of those before. Each reports one that differs from its bit in
    /// `met`, and later every change.
    ///
    /// # Errors
    /// Error of the system: a thread cannot be started.
    pub fn start(&self, conditions: &AllConditions, met: u8) -> io::Result<()> {
        let number = self.table.fetch_add(1, Ordering::Relaxed) + 1;
        for (index, text) in conditions.iter().enumerate() {
            let (text, report, clock) = (text.to_owned(), self.report.clone(), self.clock);
            let table = Arc::clone(&self.table);
            let run = move || {
                let Some(condition) = Condition::from_text(&text) else { return };
                let mut was_met = met & (1 << index) != 0;
                while table.load(Ordering::Relaxed) == number {
                    let is_met = is_met(condition, clock);
                    if is_met != was_met && report.send_blocking((number, (index, is_met))).is_err() {
                        return;
                    }
                    was_met = is_met;
                    sleep(CONDITION_PERIOD);
                }
            };
            thread::start("condition", CONDITION_STACK_BYTES, Box::new(run))?;
        }
        Ok(())
    }

    /// Waits for the next change.
    pub async fn change(&self) -> Option<ConditionChange> {
        loop {
            let (number, change) = self.changes.recv().await?;
            if number == self.table.load(Ordering::Relaxed) {
                return Some(change);
            }
        }
    }
}

impl Drop for ConditionWatch {
    fn drop(&mut self) {
        self.table.store(0, Ordering::Relaxed);
    }
}

fn is_met(condition: Condition<'_>, clock: Clock) -> bool {
    match condition {
        Condition::Clock => clock.time_of_day().is_some(),
        Condition::Ntp => raw::is_clock_synchronised(),
        Condition::Network => has_network(),
        Condition::Device(path) => std::fs::metadata(path).is_ok_and(|found| {
            let kind = found.file_type();
            kind.is_char_device() || kind.is_block_device()
        }),
        Condition::Path(path) => std::fs::metadata(path).is_ok(),
    }
}

/// Returns true if an interface other than loopback has a carrier and an address: one with a route of IPv4,
/// or an address of IPv6 that is valid beyond its link.
fn has_network() -> bool {
    let mut buffer = [0; PROC_BYTES];
    [("/proc/net/route", Columns::ROUTES), ("/proc/net/if_inet6", Columns::ADDRESSES)].iter().any(
        |(path, columns)| {
            let Some(text) = read(path, &mut buffer) else { return false };
            text.lines().filter_map(|line| columns.interface(line)).any(has_carrier)
        },
    )
}

fn has_carrier(interface: &str) -> bool {
    let mut path = heapless::String::<CARRIER_PATH_BYTES>::new();
    let fits = ["/sys/class/net/", interface, "/carrier"].iter().all(|part| path.push_str(part).is_ok());
    fits && interface != "lo" && read(&path, &mut [0; 4]).is_some_and(|text| text.starts_with('1'))
}

/// Reads the begin of a small file of the kernel.
fn read<'b>(path: &str, buffer: &'b mut [u8]) -> Option<&'b str> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = rustix::io::read(&file, &mut *buffer).ok()?;
    core::str::from_utf8(buffer.get(..length)?).ok()
}

/// Columns of a file of `/proc/net` about interfaces (proc_pid_net(5)).
struct Columns {
    interface: usize,
    /// Column that has this value in each line that counts.
    filter: (usize, &'static str),
}

impl Columns {
    /// Routes of IPv4: name, destination, gateway, flags; `0001` is up, `0003` through a gateway.
    const ROUTES: Self = Self { interface: 0, filter: (3, "000") };
    /// Addresses of IPv6: address, index, prefix length, scope, flags, name; scope `00` is global.
    const ADDRESSES: Self = Self { interface: 5, filter: (3, "00") };

    /// Returns the interface of a line that counts.
    fn interface<'t>(&self, line: &'t str) -> Option<&'t str> {
        let column = |index| line.split_ascii_whitespace().nth(index);
        let (index, begin) = self.filter;
        column(index).filter(|value| value.starts_with(begin))?;
        column(self.interface)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;
    use crate::sys::tests::TestDirectory;

    #[test]
    fn interfaces_with_routes_and_addresses() {
        let routes = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth1\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            eth2\t0001A8C0\t00000000\t0200\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let found: Vec<_> = routes.lines().filter_map(|line| Columns::ROUTES.interface(line)).collect();
        assert_eq!(found, ["eth0", "eth1"], "without the header, and without a route that is rejected");
        let addresses = "00000000000000000000000000000001 01 80 10 80       lo\n\
            fe80000000000000505400fffe123456 02 40 20 80     eth0\n\
            2001db80000000000000000000000001 02 40 00 80     wlan0\n";
        let found: Vec<_> = addresses.lines().filter_map(|line| Columns::ADDRESSES.interface(line)).collect();
        assert_eq!(found, ["wlan0"], "neither the host's own nor those of a link");
    }

    #[test]
    fn loopback_has_no_carrier_that_counts() {
        assert!(!has_carrier("lo") && !has_carrier("missing") && !has_carrier(&"x".repeat(64)));
    }

    #[test]
    fn devices_and_paths_on_this_machine() {
        let clock = Clock::new();
        for (text, expected) in [
            ("clock", true),
            ("device:/dev/null", true),
            ("device:/proc/self/stat", false),
            ("path:/proc/self/stat", true),
            ("path:/missing", false),
            ("device:/missing", false),
            // Some machines have an NTP client, and some have none.
            ("ntp", raw::is_clock_synchronised()),
        ] {
            assert_eq!(is_met(Condition::from_text(text).unwrap(), clock), expected, "{text}");
        }
    }

    #[test]
    fn change_of_a_condition_is_reported() {
        let directory = TestDirectory::new("condition");
        let path = directory.0.join("ready");
        let mut conditions = AllConditions::new();
        conditions.push("path:/missing").unwrap();
        conditions.push(&format!("path:{}", path.display())).unwrap();
        let watch = ConditionWatch::new(Clock::new());
        watch.start(&conditions, 0).unwrap();
        let next = || smol::future::block_on(watch.change());
        fs::write(&path, "").unwrap();
        assert_eq!(next(), Some((1, true)));
        let looked = Instant::now();
        fs::remove_file(&path).unwrap();
        assert_eq!(next(), Some((1, false)));
        // By the next look, on a machine that may be busy.
        assert!(looked.elapsed() < 10 * CONDITION_PERIOD);
    }

    #[test]
    fn conditions_of_a_later_table_replace_those_before() {
        let directory = TestDirectory::new("condition-later");
        let path = directory.0.join("ready");
        let conditions = |texts: &[String]| {
            let mut conditions = AllConditions::new();
            texts.iter().for_each(|text| conditions.push(text).unwrap());
            conditions
        };
        let ready = format!("path:{}", path.display());
        let watch = ConditionWatch::new(Clock::new());
        watch.start(&conditions(std::slice::from_ref(&ready)), 0).unwrap();
        watch.start(&conditions(&["path:/missing".to_owned(), ready]), 0).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(smol::future::block_on(watch.change()), Some((1, true)));
    }
}
