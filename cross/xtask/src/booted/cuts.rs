//! Power cuts: changes are made and acknowledged, QEMU is killed at a random moment, and after the
//! next boot every acknowledged change is there and none is half there.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::{BOOT, lab, remove, suite, tables};
use crate::board::Board;
use crate::machine::Boot;
use crate::qemu::{Guest, GuestOptions, Storage, copy};
use crate::run;

/// The longest time from the first change to the cut.
const LONGEST: Duration = Duration::from_millis(4000);

/// Options of the command line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Number of cuts.
    pub(crate) cuts: u32,
}

/// Cuts the power so often, and boots once more.
pub(crate) fn run(board: &Board, options: &Options) -> Result<(), String> {
    println!("==> {}: {} power cuts", board.name, options.cuts);
    let tests = suite::program(board);
    let disk = copy(board, "cuts")?;
    let journal = board.directory().join("cuts.journal");
    write(&journal, "")?;
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.subsec_nanos()) | 1;
    println!("    seed {seed}, journal {}", journal.display());
    let mut random = Random(seed);
    let mut changes = 0;
    let start = Instant::now();
    for cut in 0..=options.cuts {
        let guest_options = GuestOptions {
            name: "cuts".to_owned(),
            boot: Some(Boot::Kernel),
            storage: Storage::File(disk.clone()),
            ports: vec![lab::PORT, lab::PORT + 1],
            ..GuestOptions::default()
        };
        let booted = Guest::boot(board, BOOT, || Ok(guest_options.clone()));
        let (mut guest, _) = booted.map_err(|error| format!("after {cut} cuts: {error}"))?;
        let mut look = suite::test_command(&tests, &guest);
        look.env("FRIENDLET_JOURNAL", &journal);
        look.args(["--ignored", "--exact", "system::booted::acknowledged_changes_are_there"]);
        quiet(&mut look).map_err(|error| {
            let text = fs::read_to_string(&journal).unwrap_or_default();
            format!("after {cut} cuts: {error}\njournal:\n{text}")
        })?;
        if cut == options.cuts {
            let mut command = suite::test_command(&tests, &guest);
            quiet(command.args(["--ignored", "--exact", "system::booted::board_switches_itself_off"]))?;
            guest.wait_end(super::END)?.expect(Some("guest-shutdown"))?;
            break;
        }
        let mut change = suite::test_command(&tests, &guest);
        change.env("FRIENDLET_JOURNAL", &journal).stdout(Stdio::null());
        change.args(["--ignored", "--exact", "system::booted::changes_are_made_until_the_power_is_cut"]);
        let mut child = change.spawn().map_err(|error| format!("the tests do not start: {error}"))?;
        thread::sleep(random.below(LONGEST));
        let verdict = guest.kill();
        let status = child.wait().map_err(|error| format!("the tests: {error}"))?;
        if !status.success() {
            return Err(format!("after {cut} cuts a change went wrong: {status}"));
        }
        if let Some(line) = verdict.complaints.first() {
            return Err(format!("after {cut} cuts the serial log has a problem: {line}"));
        }
        let text = fs::read_to_string(&journal).map_err(|error| format!("{}: {error}", journal.display()))?;
        changes += text.lines().filter(|line| line.starts_with("ack ")).count();
        println!("    cut {} of {}: {changes} changes acknowledged so far", cut + 1, options.cuts);
    }
    check_file_system(board, &disk)?;
    println!(
        "    {} cuts, {changes} acknowledged changes, none lost, none half there; {:.0} s",
        options.cuts,
        start.elapsed().as_secs_f64()
    );
    if changes == 0 {
        return Err("no change was acknowledged, so none could be lost".to_owned());
    }
    remove(&disk);
    Ok(())
}

/// Looks at the data partition without changing it.
fn check_file_system(board: &Board, disk: &Path) -> Result<(), String> {
    let (_, image) = tables(board)?;
    let offset = image.partitions()[3].offset();
    let mut command = run::at_root("e2fsck");
    command.args(["-fn", &format!("{}?offset={offset}", disk.display())]);
    quiet(&mut command)
}

/// Runs a command whose output counts only when it fails.
fn quiet(command: &mut std::process::Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Err(format!("{}\n{out}{err}", output.status))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Marsaglia's xorshift of 32 bits: good enough to choose moments.
pub(super) struct Random(pub(super) u32);

impl Random {
    fn below(&mut self, most: Duration) -> Duration {
        most.mul_f64(f64::from(self.next()) / f64::from(u32::MAX))
    }

    /// A number below `end`.
    pub(super) fn number(&mut self, end: u64) -> u64 {
        u64::from(self.next()) % end.max(1)
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_and_bounded() {
        let mut random = Random(1);
        let moments: Vec<Duration> = (0..100).map(|_| random.below(LONGEST)).collect();
        assert!(moments.iter().all(|moment| *moment <= LONGEST));
        assert!(moments.iter().any(|moment| *moment < LONGEST / 4));
        assert!(moments.iter().any(|moment| *moment > LONGEST / 4 * 3));
    }
}
