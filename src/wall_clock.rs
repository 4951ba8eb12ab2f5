//! Time of day, with 64 bits of seconds on every processor, and its text.
//!
//! `SystemTime::now` of the standard library panics after 2038-01-19 on a 32-bit processor whose C library has 32
//! bits of seconds.

use core::fmt;
use core::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// Time since 1970; zero for earlier times.
#[cfg(target_pointer_width = "64")]
#[expect(clippy::disallowed_methods, reason = "cannot panic with 64 bits of seconds")]
pub fn now() -> Duration {
    // Not of rustix, which calls the vDSO of the kernel directly: valgrind does not know it.
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// Time since 1970; zero for earlier times.
#[cfg(not(target_pointer_width = "64"))]
pub fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    match (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec)) {
        (Ok(seconds), Ok(nanoseconds)) => Duration::new(seconds, nanoseconds),
        _ => Duration::ZERO,
    }
}

/// Time since 1970 as `2026-11-22T23:02:11Z` (RFC 3339); with a precision (`{:.3}`), milliseconds too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Utc(pub Duration);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match f.precision() {
            Some(_) => write!(f, ".{:03}Z", self.0.subsec_millis()),
            None => f.write_str("Z"),
        }
    }
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar.
fn date(days: u64) -> (u64, u64, u64) {
    // Years begin in March here, so that the day of a leap year is the last one; 146097 days are 400 years.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + next, month, day)
}

/// Seconds from 1970 to the beginning of a day, 0 for an earlier one; `None` for a day that the calendar lacks.
pub fn seconds_of_day(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 {
        return Some(0);
    }
    // As in `date`, years begin in March.
    let (year_of_march, month_of_march) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year_of_march / 400, year_of_march % 400);
    let day_of_year = (153 * month_of_march + 2) / 5 + day;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = days.checked_sub(719_469)?;
    (date(days) == (year, month, day)).then_some(days * 86_400)
}

/// Time since 1970 for rustls, which compares it with the dates of certificates.
#[derive(Debug)]
pub struct TlsClock;

impl TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_text() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696, "2000-02-29T12:34:56Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Utc(Duration::from_secs(seconds)).to_string(), text);
        }
        let precise = format!("{:.3}", Utc(Duration::from_millis(1_735_689_599_007)));
        assert_eq!(precise, "2024-12-31T23:59:59.007Z");
        // The year has as many digits as it needs.
        assert!(Utc(Duration::MAX).to_string().ends_with('Z'));
    }

    #[test]
    fn days_have_their_seconds() {
        for days in (0..3_000_000).step_by(13) {
            let (year, month, day) = date(days);
            assert_eq!(seconds_of_day(year, month, day), Some(days * 86_400));
        }
        for (year, month, day) in [(2026, 0, 1), (2026, 13, 1), (2026, 2, 29), (2024, 2, 30), (2026, 1, 0)] {
            assert_eq!(seconds_of_day(year, month, day), None, "{year}-{month}-{day}");
        }
        assert_eq!(seconds_of_day(1969, 12, 31), Some(0));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "both clocks are compared")]
    fn time_is_that_of_the_system() {
        let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let time = now();
        let tls = TlsClock.current_time().unwrap().as_secs();
        assert!(before <= time && time < before + Duration::from_secs(60), "{before:?} {time:?}");
        assert!(tls >= time.as_secs() && tls < time.as_secs() + 60);
    }
}
