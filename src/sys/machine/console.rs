//! Standard input and output of PID 1.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{FileType, fstat, major, minor};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

const CONSOLE: &str = "/dev/console";
const MEMORY_DEVICES: u32 = 1;
const NULL: u32 = 3;

/// Makes the console standard input, output and error when the kernel could not, as without a node
/// of its name in the initramfs. Rust's start-up code has put `/dev/null` in their place then.
///
/// # Errors
/// There is no console, or it cannot be opened.
pub fn open_console() -> io::Result<()> {
    if !is_null()? {
        return Ok(());
    }
    let console = OpenOptions::new().read(true).write(true).open(CONSOLE)?;
    // The same file under two names would be the null device again.
    if console.metadata()?.rdev() == rustix::fs::makedev(MEMORY_DEVICES, NULL) {
        return Ok(());
    }
    dup2_stdin(&console)?;
    dup2_stdout(&console)?;
    dup2_stderr(&console)?;
    Ok(())
}

/// Whether what is written to standard error goes nowhere.
fn is_null() -> io::Result<bool> {
    let stat = fstat(rustix::stdio::stderr())?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    Ok(is_device && major(stat.st_rdev) == MEMORY_DEVICES && minor(stat.st_rdev) == NULL)
}
