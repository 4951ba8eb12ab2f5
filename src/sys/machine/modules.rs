//! Kernel modules.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::io::Errno;

/// Loads a module from its file, with these parameters. One that is there already is fine.
///
/// # Errors
/// The file's, and the kernel's reason: `ENOENT` for a missing file or a module that this one needs,
/// `ENOEXEC` for one of another kernel, `ENODEV` when its device is not there.
pub fn load_module(path: &Path, parameters: &str) -> io::Result<()> {
    let file = File::open(path)?;
    let parameters = CString::new(parameters).map_err(|_| io::ErrorKind::InvalidInput)?;
    match rustix::system::finit_module(&file, &parameters, 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
