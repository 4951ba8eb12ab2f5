//! Time of day, with 64 bits of seconds on every processor.
//!
//! `SystemTime::now` of the standard library panics after 2038-01-19 on a 32-bit processor whose C library has 32
//! bits of seconds.

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

/// The same for rustls, which compares it with the dates of certificates.
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
    #[expect(clippy::disallowed_methods, reason = "both clocks are compared")]
    fn time_is_that_of_the_system() {
        let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let time = now();
        let tls = TlsClock.current_time().unwrap().as_secs();
        assert!(before <= time && time < before + Duration::from_secs(60), "{before:?} {time:?}");
        assert!(tls >= time.as_secs() && tls < time.as_secs() + 60);
    }
}
