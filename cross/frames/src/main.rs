//! Makes lines of the frames that a device's log consists of: `cargo xtask log` runs it.
//!
//! The frames hold the numbers of format strings, and the strings are in the program they come from:
//! the one whose build id stands at the head of the stream. Any other would give lines that look right
//! and are wrong, so that one is looked for and no other is taken.

#![allow(clippy::disallowed_methods, reason = "the rules of clippy.toml are the server's")]

mod head;
mod program;
mod stream;
mod texts;
mod time;

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use program::Programs;
use stream::{Reader, Style};

const USAGE: &str = "\
frames [--symbols DIR] [--elf FILE] [--lines] [FILE..]
frames --texts PROGRAM

Reads frames of a device's log from the files, or from standard input, and prints them as text.
  --symbols DIR  where programs are by their build id
  --elf FILE     the program, where a stream has no head; of a stream with one it must be the very same
  --texts        print the format strings of a program, for `friendlet ctl server-log`
  --lines        lines as a build with a text log prints them

Exit code: 0 all read, 1 not, 64 the command line is wrong.
";

struct Options {
    programs: Programs,
    style: Style,
    files: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [option, program] = arguments.as_slice()
        && option == "--texts"
    {
        return match texts::of(program.as_ref()) {
            Ok(text) => {
                print!("{text}");
                ExitCode::SUCCESS
            }
            Err(message) => {
                eprintln!("error: {message}");
                ExitCode::FAILURE
            }
        };
    }
    let options = match options(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(message) => {
            eprintln!("error: {message}\n\n{USAGE}");
            return ExitCode::from(64);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn options(arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { programs: Programs::new(None, None), style: Style::Full, files: Vec::new() };
    let (mut directory, mut elf) = (None, None);
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut path =
            |name: &str| arguments.next().map(PathBuf::from).ok_or(format!("{name}: a path is missing"));
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--symbols" => directory = Some(path("--symbols")?),
            "--elf" => elf = Some(path("--elf")?),
            "--lines" => options.style = Style::Lines,
            other if other.starts_with('-') => return Err(format!("unknown option '{other}'")),
            file => options.files.push(PathBuf::from(file)),
        }
    }
    options.programs = Programs::new(directory, elf);
    Ok(Some(options))
}

fn run(options: Options) -> Result<(), String> {
    let mut reader = Reader::new(options.programs, options.style);
    if options.files.is_empty() {
        copy(&mut io::stdin().lock(), &mut reader, "standard input")?;
    }
    for path in &options.files {
        let name = path.display().to_string();
        let mut file = File::open(path).map_err(|error| format!("{name}: {error}"))?;
        copy(&mut file, &mut reader, &name)?;
    }
    Ok(())
}

/// Prints what comes, as it comes.
fn copy(from: &mut dyn Read, reader: &mut Reader, name: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let mut buffer = [0; 4096];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("{name}: {error}")),
        };
        let text = reader.take(&buffer[..read]).map_err(|error| format!("{name}: {error}"))?;
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            // Nobody reads on.
            return Ok(());
        }
    }
    let rest = reader.end();
    let _ = out.write_all(rest.as_bytes());
    Ok(())
}
