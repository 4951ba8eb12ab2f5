//! Requests of process 1 to the kernel: console, modules, settings, restart and power-off.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{FileType, Mode, fstat, major, minor};
use rustix::io::Errno;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use rustix::system::{RebootCommand, reboot};

const CONSOLE: &str = "/dev/console";
const MEMORY_DEVICES: u32 = 1;
const NULL: u32 = 3;

/// Makes the console standard input, output and error, if the kernel could not, for example without
/// `/dev/console` in the initramfs. Rust's start-up code has opened `/dev/null` instead then.
///
/// # Errors
/// The console is missing or cannot be opened.
pub fn redirect_to_console() -> io::Result<()> {
    if !is_stderr_null()? {
        return Ok(());
    }
    let console = OpenOptions::new().read(true).write(true).open(CONSOLE)?;
    // The null device may also have the name of the console.
    if console.metadata()?.rdev() == rustix::fs::makedev(MEMORY_DEVICES, NULL) {
        return Ok(());
    }
    dup2_stdin(&console)?;
    dup2_stdout(&console)?;
    dup2_stderr(&console)?;
    Ok(())
}

fn is_stderr_null() -> io::Result<bool> {
    let stat = fstat(rustix::stdio::stderr())?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    Ok(is_device && major(stat.st_rdev) == MEMORY_DEVICES && minor(stat.st_rdev) == NULL)
}

/// Release of the running kernel, such as `6.1.0-50-armmp`.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Loads a module from its file, unless it is loaded.
///
/// # Errors
/// Error of the file or of the kernel: `ENOENT` for a missing file or a missing dependency,
/// `ENOEXEC` for a module of another kernel, `ENODEV` for a missing device.
pub fn load_module(path: &Path, parameters: &str) -> io::Result<()> {
    let file = File::open(path)?;
    let parameters = CString::new(parameters).map_err(|_| io::ErrorKind::InvalidInput)?;
    match rustix::system::finit_module(&file, &parameters, 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sets the inherited attributes of all processes: the umask, and no core files. Also makes ctrl-alt-del a signal
/// to this process. Keeps the program in memory.
///
/// # Errors
/// The first failure; the other settings are applied.
pub fn prepare() -> io::Result<()> {
    rustix::process::umask(Mode::WGRP | Mode::WOTH);
    let core = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: None });
    // Keeper and server are the same file: its pages are there for them, too, while its disk hangs.
    let memory = mlockall(MlockAllFlags::CURRENT);
    Ok(reboot(RebootCommand::CadOff).and(core).and(memory)?)
}

/// Restarts the machine. It returns only on failure.
///
/// # Errors
/// Error of the kernel.
pub fn restart() -> io::Result<()> {
    Ok(reboot(RebootCommand::Restart)?)
}

/// Powers the machine off, or halts it where the hardware cannot. It returns only on failure.
///
/// # Errors
/// Error of the kernel.
pub fn power_off() -> io::Result<()> {
    Ok(reboot(RebootCommand::PowerOff)?)
}
