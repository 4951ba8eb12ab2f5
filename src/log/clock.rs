//! Clock of the log, and the header that ties it to wall time.

use core::fmt::Write as _;
use core::time::Duration;
use std::sync::OnceLock;
use std::time::Instant;

use super::{LOG_CLOCK_STEP, LOG_HEAD_BYTES};
use crate::wall_clock::{self, Utc};

static START: OnceLock<Instant> = OnceLock::new();

/// Starts the clock, unless it runs.
pub(super) fn start_clock() {
    START.get_or_init(Instant::now);
}

/// Milliseconds on the clock.
pub(super) fn elapsed_ms() -> u64 {
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// One moment on the wall clock and on the clock of the log.
#[derive(Clone, Copy, Debug)]
pub struct ClockSample {
    /// Unix time in milliseconds; wrong on a board without a clock.
    pub wall_ms: u64,
    /// Milliseconds since the start of the log's clock, as in the records.
    pub mono_ms: u64,
}

/// Samples both clocks now.
pub fn sample_clock() -> ClockSample {
    let wall = wall_clock::now();
    ClockSample { wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX), mono_ms: elapsed_ms() }
}

impl ClockSample {
    /// Unix time in milliseconds at the zero of the clock of the log; negative before 1970.
    fn zero_ms(self) -> i64 {
        i64::try_from(self.wall_ms).unwrap_or(i64::MAX).saturating_sub_unsigned(self.mono_ms)
    }
}

/// Observer of steps of the wall clock: it is compared with the clock of the log.
#[derive(Debug)]
pub struct StepWatch {
    zero_ms: i64,
}

impl StepWatch {
    /// Observes steps after `sample`.
    pub fn new(sample: ClockSample) -> Self {
        Self { zero_ms: sample.zero_ms() }
    }

    /// Logs a step since the last call. Returns true if there was one.
    pub fn log_step(&mut self) -> bool {
        let sample = sample_clock();
        let step = self.take_step(sample);
        if let Some(before) = step {
            let wall = Duration::from_millis(sample.wall_ms);
            crate::info!("the clock was set from {} to {}", Utc(before), Utc(wall));
        }
        step.is_some()
    }

    /// Returns the time that the clock would have without a step of at least [`LOG_CLOCK_STEP`] since
    /// [`new`](Self::new) or the last step; `None` without one. What a clock drifts in a long time is one, too.
    pub fn take_step(&mut self, sample: ClockSample) -> Option<Duration> {
        let zero_ms = sample.zero_ms();
        if zero_ms.abs_diff(self.zero_ms) < LOG_CLOCK_STEP.as_millis() as u64 {
            return None;
        }
        let before = core::mem::replace(&mut self.zero_ms, zero_ms).saturating_add_unsigned(sample.mono_ms);
        Some(Duration::from_millis(u64::try_from(before).unwrap_or(0)))
    }
}

/// Header of each log file and of the output of `ctl log --raw`.
///
/// In a log of frames it stands between zeros, so that a frame decoder skips it. In a log of lines it
/// is a line. `slide` is the load offset of the program: 0, because it has fixed addresses. `note` is a further
/// field, after a space, or empty.
pub fn header(
    form: &str,
    build: &str,
    board: &str,
    sample: ClockSample,
    note: &str,
) -> heapless::String<LOG_HEAD_BYTES> {
    let mut header = heapless::String::new();
    let (open, close) = if form == "text" { ("", "\n") } else { ("\0", "\n\0") };
    let ClockSample { wall_ms, mono_ms } = sample;
    // Only another server's overlong names do not fit; the header is then cut.
    let _ = write!(
        header,
        "{open}friendlet-log 1 form={form} build={build} board={board} wall_ms={wall_ms} mono_ms={mono_ms} slide=0{note}{close}"
    );
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_of_the_clock_is_found_once() {
        let at = |wall_ms, mono_ms| ClockSample { wall_ms, mono_ms };
        let mut watch = StepWatch::new(at(5000, 4000));
        let step = LOG_CLOCK_STEP.as_millis() as u64;
        assert_eq!(watch.take_step(at(105_000, 104_000)), None);
        assert_eq!(watch.take_step(at(105_000 + step - 1, 104_000)), None);
        // Set by NTP, and back again.
        let before = Duration::from_millis(106_000);
        assert_eq!(watch.take_step(at(1_764_000_000_000, 105_000)), Some(before));
        assert_eq!(watch.take_step(at(1_764_000_001_000, 106_000)), None);
        let before = Duration::from_millis(1_764_000_002_000);
        assert_eq!(watch.take_step(at(0, 107_000)), Some(before));
        assert_eq!(watch.take_step(at(0, 107_000 + step)), Some(Duration::from_millis(step)));
        assert!(watch.take_step(at(u64::MAX, u64::MAX)).is_some());
    }
}
