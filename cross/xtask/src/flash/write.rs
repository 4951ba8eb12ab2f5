//! Writing an image to a medium, and comparing the two.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::medium;

/// Written and compared at once: several erase blocks of an SD card.
const BLOCK: usize = 4 << 20;
/// Written blocks after which the medium catches up, so that the progress shown is real.
const SYNC_BLOCKS: u64 = 4;
/// Linux: a block device that something uses is refused.
const O_EXCL: i32 = 0o200;
/// Cells of the bar.
const CELLS: u64 = 30;

/// Shows how far it is: a bar on a terminal, else a line every tenth.
pub(super) struct Progress {
    is_terminal: bool,
    started: Instant,
    shown: Option<u64>,
}

impl Progress {
    pub(super) fn new(is_terminal: bool) -> Self {
        Self { is_terminal, started: Instant::now(), shown: None }
    }

    fn start(&mut self) {
        self.started = Instant::now();
        self.shown = None;
    }

    fn show(&mut self, what: &str, done: u64, all: u64) {
        let percent = (done * 100).checked_div(all).unwrap_or(100);
        let step = if self.is_terminal { percent } else { percent / 10 };
        if self.shown == Some(step) && done < all {
            return;
        }
        self.shown = Some(step);
        let line = line(what, done, all, self.started.elapsed());
        if self.is_terminal {
            print!("\r{line}{}", if done == all { "\n" } else { "" });
        } else {
            println!("{line}");
        }
        // A progress that cannot be shown is none the worse.
        let _ = io::stdout().flush();
    }
}

fn line(what: &str, done: u64, all: u64, took: Duration) -> String {
    let full = (done * CELLS).checked_div(all).unwrap_or(CELLS) as usize;
    let bar = "#".repeat(full) + &".".repeat(CELLS as usize - full);
    let percent = (done * 100).checked_div(all).unwrap_or(100);
    let speed = done as f64 / 1e6 / took.as_secs_f64().max(0.001);
    format!("    {what:<7} [{bar}] {percent:>3} %  {}  {speed:.1} MB/s", medium::size(done))
}

/// Writes the file `image` to `to`, from the second block on; the first, with the partition table,
/// comes last, so that a medium that was not finished has no partitions to start from.
pub(super) fn write(image: &Path, to: &Path, is_device: bool, progress: &mut Progress) -> Result<(), String> {
    let read_error = |error: io::Error| format!("{}: {error}", image.display());
    let mut from = File::open(image).map_err(read_error)?;
    let all = from.metadata().map_err(read_error)?.len();
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(if is_device { O_EXCL } else { 0 });
    let mut medium = options.open(to).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{}: {error}; root may write to it", to.display()),
        io::ErrorKind::ResourceBusy => format!("{} is in use by this system", to.display()),
        _ => format!("{}: {error}", to.display()),
    })?;
    let mut block = vec![0; BLOCK];
    let mut done = 0;
    progress.start();
    let first = BLOCK.min(usize::try_from(all).unwrap_or(BLOCK));
    at(to, 0, medium.write_all(&block[..first]))?;
    at(to, 0, medium.sync_data())?;
    from.seek(SeekFrom::Start(first as u64)).map_err(read_error)?;
    let mut position = first as u64;
    loop {
        let filled = fill(&mut from, &mut block).map_err(read_error)?;
        if filled == 0 {
            break;
        }
        at(to, position, medium.write_all(&block[..filled]))?;
        position += filled as u64;
        done += filled as u64;
        if (position / BLOCK as u64).is_multiple_of(SYNC_BLOCKS) {
            at(to, position, medium.sync_data())?;
        }
        progress.show("writing", done, all);
    }
    at(to, position, medium.sync_data())?;
    from.rewind().map_err(read_error)?;
    at(to, 0, medium.rewind())?;
    let filled = fill(&mut from, &mut block[..first]).map_err(read_error)?;
    at(to, 0, medium.write_all(&block[..filled]))?;
    at(to, 0, medium.sync_all())?;
    progress.show("writing", all, all);
    Ok(())
}

/// Compares the file `image` with what is on `medium`.
pub(super) fn compare(image: &Path, medium: &Path, progress: &mut Progress) -> Result<(), String> {
    let read_error = |error: io::Error| format!("{}: {error}", image.display());
    let mut expected_file = File::open(image).map_err(read_error)?;
    let all = expected_file.metadata().map_err(read_error)?.len();
    let mut file = File::open(medium).map_err(|error| format!("{}: {error}", medium.display()))?;
    let mut expected = vec![0; BLOCK];
    let mut found = vec![0; BLOCK];
    let mut done = 0;
    progress.start();
    loop {
        let filled = fill(&mut expected_file, &mut expected).map_err(read_error)?;
        if filled == 0 {
            return Ok(());
        }
        at(medium, done, file.read_exact(&mut found[..filled]))?;
        if expected[..filled] != found[..filled] {
            let index = (0..filled).find(|index| expected[*index] != found[*index]).unwrap_or(0);
            return Err(format!(
                "{}: byte {} reads back as {:#04x}, {:#04x} was written: the medium is broken or not as large \
                 as it says",
                medium.display(),
                done + index as u64,
                found[index],
                expected[index]
            ));
        }
        done += filled as u64;
        progress.show("reading", done, all);
    }
}

/// Names the place of an error.
fn at<T>(path: &Path, position: u64, result: io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{}, at byte {position}: {error}", path.display()))
}

/// Reads until `block` is full or the file ends.
fn fill(from: &mut impl Read, block: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < block.len() {
        match from.read(&mut block[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_bytes_percent_and_speed() {
        let text = line("writing", 64 << 20, 256 << 20, Duration::from_secs(4));
        assert_eq!(text, "    writing [#######.......................]  25 %  64 MiB  16.8 MB/s");
        assert!(line("reading", 0, 0, Duration::ZERO).contains("100 %"));
    }

    #[test]
    fn failed_write_and_short_medium_are_reported() {
        let directory = std::env::temp_dir().join(format!("friendlet-write-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let image = directory.join("image");
        let short = directory.join("short");
        std::fs::write(&image, [7; 100]).unwrap();
        std::fs::write(&short, [7; 10]).unwrap();
        let mut progress = Progress::new(false);
        let errors = [
            write(&image, &directory.join("nothing"), false, &mut progress).unwrap_err(),
            write(&directory.join("no image"), &short, false, &mut progress).unwrap_err(),
            write(&image, Path::new("/dev/full"), false, &mut progress).unwrap_err(),
            compare(&image, &short, &mut progress).unwrap_err(),
        ];
        std::fs::remove_dir_all(&directory).unwrap();
        for (error, word) in
            errors.iter().zip(["nothing", "no image", "/dev/full, at byte 0", "short, at byte 0"])
        {
            assert!(error.contains(word), "{error}");
        }
    }
}
