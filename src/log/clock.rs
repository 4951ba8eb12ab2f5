//! Clock of the log, and the header that ties it to wall time.

use core::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Instant;

use super::LOG_HEAD_BYTES;
use crate::wall_clock;

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

/// Header of each log file and of the output of `ctl log --raw`.
///
/// In a log of frames it stands between zeros, so that a frame decoder skips it. In a log of lines it
/// is the first line. `slide` is the load offset of the program: 0, because it has fixed addresses.
pub fn header(form: &str, build: &str, board: &str, sample: ClockSample) -> heapless::String<LOG_HEAD_BYTES> {
    let mut header = heapless::String::new();
    let (open, close) = if form == "text" { ("", "\n") } else { ("\0", "\n\0") };
    let ClockSample { wall_ms, mono_ms } = sample;
    // Only another server's overlong names do not fit; the header is then cut.
    let _ = write!(
        header,
        "{open}friendlet-log 1 form={form} build={build} board={board} wall_ms={wall_ms} mono_ms={mono_ms} slide=0{close}"
    );
    header
}
