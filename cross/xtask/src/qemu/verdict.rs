//! Result of a guest: QEMU's report of its end, and its serial line. QEMU's exit code
//! says nothing: it is 0 after a kernel panic too.

use super::qmp::Event;

/// Strings that the serial line of a healthy guest never has.
const COMPLAINTS: [&str; 8] = [
    "Kernel panic",
    "Internal error:",
    "Unable to handle kernel",
    "BUG: ",
    "BUG at ",
    "Oops",
    "panicked at",
    "Out of memory: Killed",
];
/// Message of the kernel's own watchdog when it expires; QEMU does not know of that one.
const SOFTWARE_WATCHDOG: &str = "softdog: Initiating system reboot";
/// Complaints that are kept.
const KEPT: usize = 8;

/// Result of a guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Reason for its end, as QEMU reports it: `guest-shutdown` (powered off), `guest-reset` (wanted to start
    /// again, and was not to), `host-qmp-quit`, `host-signal`. None: it runs, or was killed.
    pub(crate) end: Option<String>,
    /// Number of resets.
    pub(crate) resets: usize,
    /// Number of watchdogs that expired.
    pub(crate) watchdogs: usize,
    /// Lines of the serial log with errors of the kernel or of a program; the first eight.
    pub(crate) complaints: Vec<String>,
}

impl Verdict {
    /// Judges by the events and the serial log.
    pub(crate) fn of(events: &[Event], serial: &str) -> Self {
        let count = |name: &str| events.iter().filter(|event| event.name == name).count();
        let is_reset = |event: &&Event| event.name == "RESET" && event.reason.starts_with("guest");
        Self {
            end: events.iter().find(|event| event.name == "SHUTDOWN").map(|event| event.reason.clone()),
            resets: events.iter().filter(is_reset).count(),
            watchdogs: count("WATCHDOG") + serial.matches(SOFTWARE_WATCHDOG).count(),
            complaints: serial
                .lines()
                .filter(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)))
                .take(KEPT)
                .map(str::to_owned)
                .collect(),
        }
    }

    /// No watchdog barked, the kernel is well, and it ended for `reason`, or runs if there is none.
    pub(crate) fn expect(&self, reason: Option<&str>) -> Result<(), String> {
        if let Some(first) = self.complaints.first() {
            return Err(format!("the serial log has {} complaints, first: {first}", self.complaints.len()));
        }
        if self.watchdogs > 0 {
            return Err(format!("the watchdog reset the guest {} times", self.watchdogs));
        }
        if self.end.as_deref() != reason {
            let say = |end: Option<&str>| end.unwrap_or("still running").to_owned();
            return Err(format!("the guest's end: {}; expected: {}", say(self.end.as_deref()), say(reason)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn event(name: &str, reason: &str) -> Event {
        Event { name: name.to_owned(), reason: reason.to_owned(), at: Duration::ZERO }
    }

    #[test]
    fn a_clean_end_differs_from_every_other() {
        let clean = Verdict::of(&[event("RESUME", ""), event("SHUTDOWN", "guest-shutdown")], "all is well\n");
        assert_eq!(clean.expect(Some("guest-shutdown")), Ok(()));
        assert!(clean.expect(Some("guest-reset")).is_err() && clean.expect(None).is_err());
        assert_eq!(Verdict::of(&[], "").expect(None), Ok(()));
        let panic = Verdict::of(
            &[event("SHUTDOWN", "guest-reset")],
            "[    1.0] Kernel panic - not syncing: Attempted to kill init!\r\n",
        );
        assert!(panic.expect(Some("guest-reset")).unwrap_err().contains("Attempted to kill init"));
        let watchdog = Verdict::of(&[event("WATCHDOG", "reset"), event("SHUTDOWN", "guest-reset")], "");
        assert!(watchdog.expect(Some("guest-reset")).unwrap_err().contains("watchdog"));
        let software =
            Verdict::of(&[event("SHUTDOWN", "guest-reset")], "[ 9.1] softdog: Initiating system reboot\n");
        assert_eq!(software.watchdogs, 1);
    }

    #[test]
    fn starts_are_counted_but_not_those_of_the_host() {
        let events = [event("RESET", "guest-reset"), event("RESET", "host-qmp-system-reset")];
        assert_eq!(Verdict::of(&events, "").resets, 1);
    }
}
