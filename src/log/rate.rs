//! Rate limits for records of one kind, and for those about one service or user, so that none floods the log.

use core::cell::Cell;
use core::fmt;
use core::time::Duration;

use super::clock::elapsed_ms;
use super::{LOG_BURST, LOG_SUBJECT_BURST, LOG_SUBJECT_WINDOW, LOG_WINDOW};

/// Rate limit of [`LOG_BURST`] records in each [`LOG_WINDOW`]; counts the suppressed ones.
#[derive(Debug, Default)]
pub struct RateLimit {
    window_start: Duration,
    acquired: u32,
    suppressed: u64,
}

/// Number of records that were suppressed since the last one. Displayed as the end of the next one; nothing for none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Suppressed(u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, " ({} similar lines suppressed)", self.0) }
    }
}

impl RateLimit {
    /// Acquires a record at `now` (time since start). Returns the number of records suppressed since
    /// the last acquired one, or `None` if this one is to be suppressed.
    pub fn try_acquire(&mut self, now: Duration) -> Option<Suppressed> {
        if now.saturating_sub(self.window_start) >= LOG_WINDOW {
            self.window_start = now;
            self.acquired = 0;
        }
        if self.acquired >= LOG_BURST {
            self.suppressed += 1;
            return None;
        }
        self.acquired += 1;
        Some(Suppressed(core::mem::take(&mut self.suppressed)))
    }
}

/// Records about one subject in [`LOG_SUBJECT_WINDOW`].
#[derive(Clone, Copy, Debug, Default)]
struct SubjectCount {
    window_start_ms: u64,
    records: u32,
    left_out: u32,
}

impl SubjectCount {
    /// Counts a record at `now_ms`. Returns the number of records that were left out before it, or `None` if this one
    /// is to be left out.
    fn admit(&mut self, now_ms: u64) -> Option<u32> {
        let mut left_out = 0;
        if now_ms.saturating_sub(self.window_start_ms) >= LOG_SUBJECT_WINDOW.as_millis() as u64 {
            left_out = self.left_out;
            *self = Self { window_start_ms: now_ms, ..Self::default() };
        }
        if self.records >= LOG_SUBJECT_BURST {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.records += 1;
        Some(left_out)
    }
}

/// Rate limit of the records about one subject.
#[derive(Clone, Debug, Default)]
pub struct SubjectLimit(Cell<SubjectCount>);

impl SubjectLimit {
    /// Limit before the first record.
    pub const fn new() -> Self {
        Self(Cell::new(SubjectCount { window_start_ms: 0, records: 0, left_out: 0 }))
    }

    /// Argument of a record with the name of its subject. Over the limit its `Display` fails, which leaves the record
    /// out. The last record up to the limit, and the first one after the window, report it.
    pub fn subject<'a>(&'a self, name: &'a str) -> Subject<'a> {
        Subject { name, limit: self }
    }
}

/// Subject of a record.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    name: &'a str,
    limit: &'a SubjectLimit,
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut count = self.limit.0.get();
        let admitted = count.admit(elapsed_ms());
        self.limit.0.set(count);
        f.write_str(self.name)?;
        match admitted.ok_or(fmt::Error)? {
            0 if count.records == LOG_SUBJECT_BURST => {
                f.write_str(" (what follows is left out for some minutes)")
            }
            0 => Ok(()),
            left_out => write!(f, " ({left_out} records were left out)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_about_a_subject_up_to_the_limit_and_the_rest_is_counted() {
        let mut count = SubjectCount::default();
        for _ in 0..LOG_SUBJECT_BURST {
            assert_eq!(count.admit(5), Some(0));
        }
        for _ in 0..100 {
            assert_eq!(count.admit(6), None);
        }
        let window = LOG_SUBJECT_WINDOW.as_millis() as u64;
        assert_eq!(count.admit(window - 1), None);
        assert_eq!(count.admit(window), Some(101));
        assert_eq!(count.admit(window), Some(0));
        let (limit, other) = (SubjectLimit::default(), SubjectLimit::default());
        let mut text = String::new();
        while fmt::write(&mut text, format_args!("{},", limit.subject("a"))).is_ok() {}
        let expected = "a,".repeat(LOG_SUBJECT_BURST as usize - 1);
        assert_eq!(text, expected + "a (what follows is left out for some minutes),a");
        assert_eq!(other.subject("b").to_string(), "b");
    }

    #[test]
    fn burst_is_acquired_and_the_rest_is_counted() {
        let mut limit = RateLimit::default();
        for _ in 0..LOG_BURST {
            assert_eq!(
                limit.try_acquire(Duration::from_secs(1)).unwrap().to_string(),
                "",
                "not that there are none"
            );
        }
        for _ in 0..1000 {
            assert_eq!(limit.try_acquire(Duration::from_secs(2)), None);
        }
        assert_eq!(limit.try_acquire(LOG_WINDOW - Duration::from_millis(1)), None);
        let suppressed = limit.try_acquire(LOG_WINDOW).unwrap();
        assert_eq!(suppressed.to_string(), " (1001 similar lines suppressed)");
    }
}
