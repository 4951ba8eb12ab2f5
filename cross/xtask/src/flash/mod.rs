//! `cargo xtask flash`: writes a board's image to an SD card or disk, and reads it back.

mod medium;
mod write;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::board::Board;
use crate::image::{self, Files};
use crate::machine::Flash;
use crate::run;

use medium::{Medium, System};
use write::Progress;

/// The options of `cargo xtask flash`.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Device or file that is overwritten.
    pub(crate) device: PathBuf,
    /// Do not ask.
    pub(crate) yes: bool,
    /// `device` is a regular file.
    pub(crate) file: bool,
}

/// Writes the image of `board`.
pub(crate) fn flash(board: &Board, options: &Options) -> Result<(), String> {
    let flash = Flash::of(board)?;
    let files = Files::of(board);
    if !files.disk.is_file() {
        image::make(board, &image::Options::default())?;
    }
    let bytes = files.disk.metadata().map_err(|error| format!("{}: {error}", files.disk.display()))?.len();
    let target = target(&System::default(), options, bytes)?;
    println!("==> {}, {}, onto this {}:", board.name, medium::size(bytes), flash.medium);
    print!("{}", target.describe());
    if !options.yes {
        let terminal = io::stdin();
        ask(&target.name, &mut terminal.lock(), &mut io::stdout())?;
    }
    println!("    Ctrl-C stops it; what is half written then does not boot, and can be flashed again.");
    let mut progress = Progress::new(io::stdout().is_terminal());
    write::write(&files.disk, &target.path, !options.file, &mut progress)?;
    if !options.file {
        // Else the pages that were just written would be compared, not what is on the medium.
        if run::captured(run::at_root("blockdev").arg("--flushbufs").arg(&target.path)).is_err() {
            println!("    the cache could not be emptied: some may be compared out of memory");
        }
    }
    write::compare(&files.disk, &target.path, &mut progress)?;
    if !options.file {
        // Only for the partitions to show up at once; they do when the medium is put in again.
        run::works("blockdev", &["--rereadpt", &target.path.to_string_lossy()]);
    }
    println!("    written, and read back the same.\n    {}", flash.then);
    Ok(())
}

/// The medium to overwrite, if that is allowed: the image has `bytes`.
fn target(system: &System, options: &Options, bytes: u64) -> Result<Medium, String> {
    let medium =
        if options.file { medium::file(&options.device)? } else { system.medium(&options.device)? };
    medium.refuse(bytes)?;
    Ok(medium)
}

/// Lets the user type the name of what is overwritten.
fn ask(name: &str, input: &mut impl BufRead, output: &mut impl Write) -> Result<(), String> {
    let failed = |error: io::Error| format!("nothing was written: {error}");
    write!(output, "    All of it is overwritten. Type {name} to go on: ")
        .and_then(|()| output.flush())
        .map_err(failed)?;
    let mut line = String::new();
    input.read_line(&mut line).map_err(failed)?;
    if line.trim() == name { Ok(()) } else { Err(format!("nothing was written: that was not {name}")) }
}

/// The last part of a path.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_the_device_goes_on() {
        let answer = |text: &str| ask("sdx", &mut text.as_bytes(), &mut Vec::new());
        assert_eq!(answer("sdx\n"), Ok(()));
        assert_eq!(answer(" sdx "), Ok(()));
        for text in ["", "\n", "y\n", "sdy\n", "sdx1\n"] {
            assert!(answer(text).unwrap_err().contains("nothing was written"), "{text}");
        }
    }

    #[test]
    fn an_image_goes_to_a_file_and_comes_back_the_same() {
        let directory = std::env::temp_dir().join(format!("friendlet-flash-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let image = directory.join("image");
        let device = directory.join("card");
        let bytes: Vec<u8> = (0..9_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(&image, &bytes).unwrap();
        std::fs::write(&device, vec![0xee; bytes.len() + 5]).unwrap();
        let options = Options { device: device.clone(), yes: true, file: true };
        let target = target(&System::default(), &options, bytes.len() as u64).unwrap();
        let mut progress = Progress::new(false);
        write::write(&image, &target.path, false, &mut progress).unwrap();
        write::compare(&image, &target.path, &mut progress).unwrap();
        let mut written = std::fs::read(&device).unwrap();
        // What is behind the image stays.
        assert_eq!(written[bytes.len()..], [0xee; 5]);
        assert!(written[..bytes.len()] == bytes);

        written[5 << 20] ^= 1;
        std::fs::write(&device, &written).unwrap();
        let error = write::compare(&image, &target.path, &mut progress).unwrap_err();
        std::fs::remove_dir_all(&directory).unwrap();
        assert!(error.contains("byte 5242880"), "{error}");
    }
}
