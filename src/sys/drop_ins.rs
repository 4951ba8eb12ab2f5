//! Drop-in files of a configuration file, as they are on the disk.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::file::{self, FileReason};
use crate::config::{DROP_INS, Source, size_error};
use crate::limits::CONFIG_BYTES;
use crate::log::Reason;

/// Drop-in, or the directory of the drop-ins if that is wrong.
#[derive(Debug)]
pub struct DropIn {
    name: String,
    text: Result<String, String>,
}

impl DropIn {
    /// The file for the parser.
    pub fn source(&self) -> Source<'_> {
        Source { name: &self.name, text: self.text.as_deref().map_err(String::as_str) }
    }

    fn wrong(path: &Path, reason: impl ToString) -> Self {
        Self { name: path.display().to_string(), text: Err(reason.to_string()) }
    }
}

/// Reads the drop-ins of the configuration file at `config`: the files in `NAME.d` beside `NAME.toml` whose names end with
/// `.toml` and do not begin with a dot, in the order of the bytes of their names. A directory that is missing has none;
/// a link to one that is missing is an error.
pub fn read(config: &Path) -> Vec<DropIn> {
    let directory = config.with_extension("d");
    if directory == config {
        return Vec::new();
    }
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound && file::is_absent(&directory) => {
            return Vec::new();
        }
        Err(error) => return vec![DropIn::wrong(&directory, Reason::from(&error))],
    };
    let mut names: Vec<OsString> = Vec::new();
    let (mut more, mut failure) = (0, None);
    for entry in entries {
        match entry {
            Ok(entry) if is_drop_in(&entry.file_name()) => {
                let name = entry.file_name();
                names.insert(names.partition_point(|other| *other < name), name);
                // The directory may have any number of files.
                more += names.drain(DROP_INS.min(names.len())..).len();
            }
            Ok(_) => {}
            Err(error) => {
                failure = Some(DropIn::wrong(&directory, Reason::from(&error)));
                break;
            }
        }
    }
    let mut room = CONFIG_BYTES;
    let mut files: Vec<_> = names.iter().map(|name| read_file(&directory.join(name), &mut room)).collect();
    if more > 0 {
        let reason = format!("more than {DROP_INS} drop-ins; the last {more} are not read");
        files.push(DropIn::wrong(&directory, reason));
    }
    files.extend(failure);
    files
}

fn is_drop_in(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.ends_with(b".toml") && !name.starts_with(b".")
}

/// Reads a file of at most `room` bytes, and subtracts its own.
fn read_file(path: &Path, room: &mut usize) -> DropIn {
    if path.to_str().is_none_or(|path| path.contains(char::is_control)) {
        return DropIn::wrong(path, "its name is not UTF-8, or has control characters; rename it");
    }
    // One that a power cut has emptied is as wrong as a configuration file without content.
    match file::read_content(path, *room) {
        Ok(text) => {
            *room -= text.len();
            DropIn { name: path.display().to_string(), text: Ok(text) }
        }
        Err(error) => match error.reason {
            FileReason::TooLarge(_) => DropIn::wrong(path, size_error()),
            reason => DropIn::wrong(path, reason),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::sys::tests::TestDirectory;

    /// A configuration file with these drop-ins.
    fn directory(files: &[(&str, &str)]) -> TestDirectory {
        let directory = TestDirectory::new("drop-ins");
        fs::create_dir(directory.0.join("f.d")).unwrap();
        for (name, text) in files {
            fs::write(directory.0.join("f.d").join(name), text).unwrap();
        }
        directory
    }

    /// File name and text of each drop-in.
    fn read_all(directory: &TestDirectory) -> Vec<(String, Result<String, String>)> {
        let files = read(&directory.0.join("f.toml"));
        files.into_iter().map(|file| (file.source().file_name().to_owned(), file.text)).collect()
    }

    fn right(name: &str, text: &str) -> (String, Result<String, String>) {
        (name.to_owned(), Ok(text.to_owned()))
    }

    #[test]
    fn files_are_read_in_the_order_of_their_names() {
        let directory =
            directory(&[("b.toml", "b"), ("a.toml", "a"), ("B.toml", "B"), (".c.toml", "c"), ("d", "d")]);
        assert_eq!(read_all(&directory), [right("B.toml", "B"), right("a.toml", "a"), right("b.toml", "b")]);
        assert!(read(Path::new("/nonexistent/f.toml")).is_empty());
        assert!(read(&directory.0.join("f.d")).is_empty());
        symlink("nothing", directory.0.join("g.d")).unwrap();
        let of_a_link = read(&directory.0.join("g.toml"));
        assert!(
            matches!(&of_a_link[..], [DropIn { text: Err(reason), .. }] if reason.contains("No such file"))
        );
    }

    #[test]
    fn entry_that_cannot_be_read_has_its_reason() {
        let directory = directory(&[("e.toml", "e")]);
        let path = |name: &str| directory.0.join("f.d").join(name);
        fs::create_dir(path("a.toml")).unwrap();
        mknodat(CWD, path("b.toml"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        symlink("/nonexistent", path("c.toml")).unwrap();
        fs::write(path("d.toml"), b"\xff").unwrap();
        fs::write(path("f\n.toml"), "").unwrap();
        fs::write(directory.0.join("f.d").join(OsStr::from_bytes(b"g\xff.toml")), "").unwrap();
        let files = read_all(&directory);
        let reasons = [
            "not a regular file",
            "not a regular file",
            "No such file",
            "not UTF-8 from line 1, column 1",
            "",
            "its name is",
            "its name is",
        ];
        assert_eq!(files.len(), reasons.len());
        for ((name, text), reason) in files.into_iter().zip(reasons) {
            assert!(
                text.as_ref().is_ok_and(|_| reason.is_empty())
                    || text.is_err_and(|text| text.starts_with(reason)),
                "{name}"
            );
        }
        let directory = TestDirectory::new("no-directory");
        fs::write(directory.0.join("f.d"), "").unwrap();
        let [(name, Err(reason))] = &read_all(&directory)[..] else { panic!() };
        assert_eq!((name.as_str(), reason.as_str()), ("f.d", "Not a directory (errno 20)"));
    }

    #[test]
    fn files_up_to_their_limit_are_read() {
        let name = |index: usize| format!("{index:02}.toml");
        let directory = directory(&[]);
        let write = |index| fs::write(directory.0.join("f.d").join(name(index)), "#").unwrap();
        (1..=DROP_INS).for_each(write);
        assert_eq!(
            read_all(&directory),
            (1..=DROP_INS).map(|index| right(&name(index), "#")).collect::<Vec<_>>()
        );
        write(0);
        write(DROP_INS + 1);
        let files = read_all(&directory);
        assert_eq!(
            files[..DROP_INS],
            (0..DROP_INS).map(|index| right(&name(index), "#")).collect::<Vec<_>>()
        );
        let reason = format!("more than {DROP_INS} drop-ins; the last 2 are not read");
        assert_eq!(files[DROP_INS..], [("f.d".to_owned(), Err(reason))]);
    }

    #[test]
    fn bytes_of_all_files_are_bounded() {
        let (long, rest) = ("x".repeat(CONFIG_BYTES - 1), "yy");
        let directory = directory(&[("a.toml", &long), ("b.toml", rest), ("c.toml", "z")]);
        let files = read_all(&directory);
        assert_eq!(files[0], right("a.toml", &long));
        assert_eq!(files[1], ("b.toml".to_owned(), Err(size_error())));
        assert_eq!(files[2], right("c.toml", "z"));
    }
}
