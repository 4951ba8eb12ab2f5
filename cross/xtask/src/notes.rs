//! Notes of a run for the end of its report: what was begun anew, and what was left out. They stand in a
//! file, for some are written by processes that a step starts.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use crate::run;

/// Subject of a note.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// A boot that stalled and was started again.
    Boot,
    /// A test program that stood still and was begun anew.
    Program,
    /// A test that was left out.
    LeftOut,
}

const BOOT: &str = "boot";
const PROGRAM: &str = "program";
const LEFT_OUT: &str = "left out";

/// The notes of a run.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    boots: Vec<String>,
    programs: Vec<String>,
    /// Once each, however many programs leave a test out.
    left_out: BTreeSet<String>,
}

fn file() -> PathBuf {
    run::root().join("target/notes")
}

/// Forgets the notes of the run before.
pub(crate) fn clear() {
    let _ = fs::remove_file(file());
}

/// Adds a note.
pub(crate) fn add(kind: Kind, text: &str) {
    let kind = match kind {
        Kind::Boot => BOOT,
        Kind::Program => PROGRAM,
        Kind::LeftOut => LEFT_OUT,
    };
    // One write each: processes that run side by side append whole lines.
    let line = format!("{kind}\t{}\n", text.replace('\n', " "));
    let opened = OpenOptions::new().create(true).append(true).open(file());
    if let Err(error) = opened.and_then(|mut file| file.write_all(line.as_bytes())) {
        println!("    {}: {error}; not noted: {kind}: {text}", file().display());
    }
}

/// The notes so far.
pub(crate) fn read() -> Notes {
    Notes::parse(&fs::read_to_string(file()).unwrap_or_default())
}

impl Notes {
    fn parse(text: &str) -> Self {
        let mut notes = Self::default();
        for (kind, text) in text.lines().filter_map(|line| line.split_once('\t')) {
            match kind {
                BOOT => notes.boots.push(text.to_owned()),
                PROGRAM => notes.programs.push(text.to_owned()),
                _ => drop(notes.left_out.insert(text.to_owned())),
            }
        }
        notes
    }
}

impl fmt::Display for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tests left out: {}", self.left_out.len())?;
        self.left_out.iter().try_for_each(|text| writeln!(f, "    {text}"))?;
        for (title, texts) in [("boots", &self.boots), ("test programs", &self.programs)] {
            writeln!(f, "{title} begun anew: {}", texts.len())?;
            texts.iter().try_for_each(|text| writeln!(f, "    {text}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_counted_and_listed() {
        let text = "boot\traspberrypi-zero: silent\nleft out\ta: b\nleft out\ta: b\nprogram\tit\n";
        assert_eq!(
            Notes::parse(text).to_string(),
            "tests left out: 1\n    a: b\nboots begun anew: 1\n    raspberrypi-zero: silent\n\
             test programs begun anew: 1\n    it\n"
        );
        assert_eq!(
            Notes::default().to_string(),
            "tests left out: 0\nboots begun anew: 0\ntest programs begun anew: 0\n"
        );
    }
}
