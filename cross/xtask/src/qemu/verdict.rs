//! How a guest did: what QEMU tells of its end, and what is on its serial line. QEMU's exit code
//! says nothing: it is 0 after a kernel panic too.

use super::qmp::Event;

/// What no serial line of a sound guest has.
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
/// What the watchdog that is part of the kernel says when it barks; QEMU does not know of that one.
const SOFTWARE_WATCHDOG: &str = "softdog: Initiating system reboot";
/// Complaints that are kept.
const KEPT: usize = 8;

/// How a guest did.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Why it ended, as QEMU says: `guest-shutdown` (powered off), `guest-reset` (wanted to start
    /// again, and was not to), `host-qmp-quit`, `host-signal`. None: it runs, or was killed.
    pub(crate) end: Option<String>,
    /// How often it started again.
    pub(crate) resets: usize,
    /// How often a watchdog barked.
    pub(crate) watchdogs: usize,
    /// Lines of the serial log that tell of a kernel or a program in distress; the first eight.
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
    fn a_clean_end_is_told_from_every_other() {
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
