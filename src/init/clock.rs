//! Time of day of a board, from the sources that it has, by their trust: NTP, the clock chip, the newest file of the
//! data, the build.
//!
//! `/data/clock` has a time that NTP confirmed, as `ntp 1795996773`, seconds since 1970. Of the files of the data it alone
//! counts then: one that a wrong clock has written would set each later start to its time. Without NTP the file is empty,
//! and the newest file counts.

use std::net::Ipv4Addr;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::due_write::DueWrite;
use super::{CLOCK_FILE, CLOCK_FILE_BYTES, SAVE_INTERVAL, STATE_DIRECTORY};
use crate::log::Reason;
use crate::log::console::{debug, info, warning};
use crate::sntp::{Correction, Reading};
use crate::sys::file::{self, FileError};
use crate::sys::{BUILT_UNIX_S, NtpManager, machine as system, raw};
use crate::wall_clock::{self, Utc};

/// Begin of a time that NTP confirmed.
const NTP: &str = "ntp ";

/// Source of the time of day at the start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    /// Time that NTP confirmed in an earlier run.
    EarlierNtp,
    /// Clock that was right enough before init set it: the kernel has read a clock chip.
    ClockChip,
    /// Newest file of the data.
    NewestFile,
    /// Build of this program.
    Build,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::EarlierNtp => "the time of NTP in an earlier run",
            Self::ClockChip => "the clock chip",
            Self::NewestFile => "the newest file",
            Self::Build => "the build",
        }
    }
}

/// Times since 1970 that are known at the start.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Clock of the kernel.
    clock: Duration,
    /// Newest time that NTP confirmed.
    ntp: Option<Duration>,
    newest_file: Duration,
    build: Duration,
}

impl Known {
    /// Time at which the clock starts, and its source.
    fn start(self) -> (Duration, Source) {
        let Self { clock, ntp, newest_file, build } = self;
        // Time passes: what was confirmed is a lower bound. A chip without its battery starts years before the build.
        let chip = Some(clock).filter(|clock| *clock >= build && ntp.is_none_or(|ntp| *clock >= ntp));
        let (time, source) = match (chip, ntp) {
            (Some(chip), _) => (chip, Source::ClockChip),
            (None, Some(ntp)) => (ntp, Source::EarlierNtp),
            (None, None) => (newest_file, Source::NewestFile),
        };
        if time < build { (build, Source::Build) } else { (time, source) }
    }
}

/// Clock of a running board.
pub(super) struct BoardClock {
    ntp: NtpManager,
    /// `/data/clock`.
    file: PathBuf,
    /// The time of day is that of NTP, of this run or of an earlier one that it continues.
    is_confirmed: bool,
    /// The file has a time that NTP confirmed.
    is_saved: bool,
    /// NTP has confirmed the time in this run.
    is_ntp_known: bool,
    write: DueWrite,
}

impl BoardClock {
    /// Sets the clock from the best source that the board has without a network.
    pub(super) fn start() -> Self {
        let written =
            [CLOCK_FILE, system::DATA, STATE_DIRECTORY].map(|path| system::newest_under(Path::new(path)));
        let known = Known {
            clock: wall_clock::now(),
            ntp: read_confirmed(Path::new(CLOCK_FILE)),
            newest_file: written.into_iter().fold(Duration::ZERO, Duration::max),
            build: Duration::from_secs(BUILT_UNIX_S),
        };
        let (time, source) = known.start();
        match source {
            Source::ClockChip => info!("clock: {}, of {}", Utc(time), source.name()),
            _ => step(known.clock, time, format_args!("{}", source.name())),
        }
        let is_confirmed = known.ntp.is_some() && source != Source::ClockChip;
        Self::new(Path::new(CLOCK_FILE), is_confirmed, known.ntp.is_some())
    }

    fn new(file: &Path, is_confirmed: bool, is_saved: bool) -> Self {
        Self {
            ntp: NtpManager::new(),
            file: file.to_owned(),
            is_confirmed,
            is_saved,
            is_ntp_known: false,
            write: DueWrite::new(SAVE_INTERVAL),
        }
    }

    /// Descriptor that is readable when there is a reply of an NTP server.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.ntp.fd()
    }

    /// Time since start of the next [`handle_ready`](Self::handle_ready).
    pub(super) fn poll_timeout(&self) -> Duration {
        self.ntp.poll_timeout().map_or(self.write.at(), |ntp| ntp.min(self.write.at()))
    }

    /// Handles replies and deadlines at `now`, the time since start, with the NTP servers that the network has now.
    pub(super) fn handle_ready(&mut self, servers: &[Ipv4Addr], now: Duration) {
        if let Some(reading) = self.ntp.handle_ready(servers, now) {
            correct(reading);
            if !self.is_ntp_known {
                info!("clock: confirmed by NTP server {}", reading.server);
            }
            self.confirm(matches!(reading.correction, Correction::Step(_)), now);
        }
        if self.write.is_due(now) {
            self.save();
        }
    }

    /// Notes that NTP has confirmed the time, and whether it has set the clock.
    fn confirm(&mut self, is_step: bool, now: Duration) {
        // At once, so that after a power cut the files of the time before do not count.
        if is_step || !self.is_ntp_known {
            self.write.set(now);
        }
        self.is_ntp_known = true;
        self.is_confirmed = true;
    }

    /// Has the thread write the file.
    fn save(&mut self) {
        let Some(content) = self.content() else { return };
        self.is_saved |= self.is_confirmed;
        let file = self.file.clone();
        self.write.start(Box::new(move || log_failure(write(&file, content))));
    }

    /// Writes `/data/clock` at the end of the board, unless the thread does.
    pub(super) fn finish(&self) {
        if self.write.is_writing() {
            return;
        }
        if let Some(content) = self.content() {
            log_failure(write(&self.file, content));
        }
    }

    /// Content of `/data/clock`. `None` if the clock is worse than the one that the file has: that stays.
    fn content(&self) -> Option<Option<Duration>> {
        match (self.is_confirmed, self.is_saved) {
            (true, _) => Some(Some(wall_clock::now())),
            (false, false) => Some(None),
            (false, true) => None,
        }
    }
}

fn log_failure(written: Result<(), FileError>) {
    if let Err(error) = written {
        warning!("cannot write the time: {}", error);
    }
}

/// Corrects the clock by NTP.
fn correct(reading: Reading) {
    let Reading { server, correction, interval } = reading;
    let nanoseconds = match correction {
        Correction::Step(time) => {
            step(wall_clock::now(), time, format_args!("NTP server {server}"));
            0
        }
        Correction::Adjust(nanoseconds) => {
            debug!("clock: off by {} us, by NTP server {}", nanoseconds / 1000, server);
            nanoseconds
        }
    };
    // After a step, too: the kernel writes only a synchronised clock to the chip.
    if let Err(error) = raw::adjust_clock(nanoseconds, interval) {
        warning!("cannot adjust the clock: {}", Reason::from(&error));
    }
}

/// Sets the clock.
fn step(old: Duration, new: Duration, source: std::fmt::Arguments<'_>) {
    match system::set_clock(new) {
        Ok(()) => info!("clock: set from {} to {}, {}", Utc(old), Utc(new), source),
        Err(error) => {
            warning!(
                "cannot set the clock from {} to {}, {}: {}",
                Utc(old),
                Utc(new),
                source,
                Reason::from(&error)
            );
        }
    }
}

/// Reads the time that NTP confirmed, if the file has one.
fn read_confirmed(path: &Path) -> Option<Duration> {
    let bytes = file::read_regular(path, CLOCK_FILE_BYTES).ok()?;
    let text = core::str::from_utf8(&bytes).ok()?;
    text.strip_prefix(NTP)?.trim_end().parse().ok().map(Duration::from_secs)
}

/// Writes the time that NTP confirmed, or else an empty file whose time of change counts.
fn write(path: &Path, confirmed: Option<Duration>) -> Result<(), FileError> {
    let text = confirmed.map(|time| format!("{NTP}{}\n", time.as_secs())).unwrap_or_default();
    file::write_atomic(path, text.as_bytes(), 0o644)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::TestDirectory;

    const BUILD: u64 = 1000;

    #[test]
    fn start_is_by_the_best_source() {
        use Source::{Build, ClockChip, EarlierNtp, NewestFile};
        // Clock of the kernel, time of NTP, newest file; start and its source.
        for (clock, ntp, newest_file, expected) in [
            // Without a clock chip.
            (10, None, 0, (BUILD, Build)),
            (10, None, 900, (BUILD, Build)),
            (10, None, 2000, (2000, NewestFile)),
            (10, Some(1500), 2000, (1500, EarlierNtp)),
            (10, Some(900), 2000, (BUILD, Build)),
            // With one.
            (1200, None, 0, (1200, ClockChip)),
            (1200, None, 2000, (1200, ClockChip)),
            (1200, Some(1100), 2000, (1200, ClockChip)),
            (1200, Some(1500), 2000, (1500, EarlierNtp)),
            // Without its battery.
            (999, None, 2000, (2000, NewestFile)),
            (999, Some(1500), 2000, (1500, EarlierNtp)),
        ] {
            let seconds = Duration::from_secs;
            let known = Known {
                clock: seconds(clock),
                ntp: ntp.map(seconds),
                newest_file: seconds(newest_file),
                build: seconds(BUILD),
            };
            assert_eq!(known.start(), (seconds(expected.0), expected.1), "{known:?}");
        }
    }

    #[test]
    fn start_is_never_before_the_build_or_a_confirmed_time() {
        proptest::proptest!(|(clock: u32, ntp: Option<u32>, newest_file: u32, build: u32)| {
            let seconds = |seconds: u32| Duration::from_secs(seconds.into());
            let known = Known {
                clock: seconds(clock),
                ntp: ntp.map(seconds),
                newest_file: seconds(newest_file),
                build: seconds(build),
            };
            let (time, source) = known.start();
            proptest::prop_assert!(time >= known.build && known.ntp.is_none_or(|ntp| time >= ntp));
            // A file has no effect after NTP, nor beside a clock chip.
            if known.ntp.is_some() || source == Source::ClockChip {
                let (later, _) = Known { newest_file: Duration::MAX, ..known }.start();
                proptest::prop_assert_eq!(later, time);
            }
        });
    }

    #[test]
    fn file_has_a_time_only_by_ntp() {
        let directory = TestDirectory::new("clock");
        let path = directory.0.join("clock");
        assert_eq!(read_confirmed(&path), None);
        let time = Duration::from_secs(5_000_000_000);
        write(&path, Some(time)).unwrap();
        assert_eq!(read_confirmed(&path), Some(time));
        write(&path, None).unwrap();
        assert_eq!((read_confirmed(&path), std::fs::read(&path).unwrap().len()), (None, 0));
        for damaged in ["ntp", "ntp ", "ntp -1\n", "ntp 1x\n", "NTP 1\n", "1\n", "ntp 99999999999999999999\n"]
        {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(read_confirmed(&path), None, "{damaged}");
        }
    }

    #[test]
    fn clock_file_up_to_its_limit_is_read() {
        let directory = TestDirectory::new("clock-limit");
        let path = directory.0.join("clock");
        let text = |len: usize| format!("ntp 7{}", "\n".repeat(len - 5));
        std::fs::write(&path, text(CLOCK_FILE_BYTES)).unwrap();
        assert_eq!(read_confirmed(&path), Some(Duration::from_secs(7)));
        std::fs::write(&path, text(CLOCK_FILE_BYTES + 1)).unwrap();
        assert_eq!(read_confirmed(&path), None);
    }

    fn clock(is_confirmed: bool, is_saved: bool) -> BoardClock {
        BoardClock::new(Path::new("/nonexistent/clock"), is_confirmed, is_saved)
    }

    #[test]
    fn confirmed_time_is_not_replaced_by_a_worse_one() {
        assert!(clock(true, false).content().flatten().is_some_and(|time| time.as_secs() > BUILT_UNIX_S));
        assert!(clock(true, true).content().flatten().is_some());
        assert_eq!(clock(false, true).content(), None);
        assert_eq!(clock(false, false).content(), Some(None));
    }

    #[test]
    fn file_is_written_when_the_clock_is_set() {
        let directory = TestDirectory::new("clock-interval");
        let path = directory.0.join("clock");
        let mut clock = BoardClock::new(&path, false, false);
        let mut handle = |now: Duration, confirmed: Option<bool>| {
            confirmed.into_iter().for_each(|is_step| clock.confirm(is_step, now));
            let _ = std::fs::remove_file(&path);
            clock.handle_ready(&[], now);
            clock.write.wait();
            (path.exists(), clock.poll_timeout() - now)
        };
        let second = Duration::from_secs(1);
        let mut now = SAVE_INTERVAL - second;
        assert_eq!(handle(now, None), (false, second));
        now += second;
        assert_eq!(handle(now, None), (true, SAVE_INTERVAL));
        assert_eq!(read_confirmed(&path), None);
        now += second;
        assert_eq!(handle(now, Some(false)), (true, SAVE_INTERVAL), "the first time of NTP");
        assert!(read_confirmed(&path).is_some());
        now += second;
        assert_eq!(handle(now, Some(false)), (false, SAVE_INTERVAL - second), "right since");
        assert_eq!(handle(now, Some(true)), (true, SAVE_INTERVAL), "set");
    }
}
