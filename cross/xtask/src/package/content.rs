//! Content of the packages of one architecture: the built program, what is made from it, and files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

use super::archive::Entry;
use super::crates::Crates;
use super::files::{directory, gzip};
use super::manifest::{Architecture, File, Format, Made, Manifest};
use super::usage::{Help, Usage};
use super::{completion, manual, notices};
use crate::board::Board;
use crate::emulation;
use crate::{build, run};

/// Variable with the time of a build.
const EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Variables of Debian's tools with name and address of who makes a package, and what stands there without them.
const MAKER: [(&str, &str); 2] =
    [("DEBFULLNAME", "The friendlet authors"), ("DEBEMAIL", "friendlet@packages.invalid")];

/// Everything that the packages of one architecture consist of.
#[derive(Debug)]
pub(super) struct Content<'m> {
    pub(super) manifest: &'m Manifest,
    /// Revision of the packages of one version.
    pub(super) revision: u32,
    /// Debian's name.
    pub(super) architecture: String,
    /// Names of the other formats.
    pub(super) names: &'m Architecture,
    /// Seconds since 1970 of everything in the packages.
    pub(super) time: u64,
    pub(super) crates: Crates,
    program: Vec<u8>,
    /// Texts of `--help`.
    helps: Vec<Help>,
}

/// File of a package.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) content: Vec<u8>,
    /// True for a file that belongs to the owner of the system.
    pub(super) kept: bool,
}

impl<'m> Content<'m> {
    /// Builds the program of an architecture, and reads its texts.
    pub(super) fn make(manifest: &'m Manifest, architecture: &str, time: u64) -> Result<Self, String> {
        let names = manifest.architecture.get(architecture).ok_or_else(|| format!("no '{architecture}'"))?;
        let board = names.board()?;
        let program = program(&board, architecture, time)?;
        Ok(Self {
            manifest,
            revision: manifest.revision,
            architecture: architecture.to_owned(),
            names,
            time,
            crates: Crates::linked(&board.target)?,
            helps: helps(&board, &program)?,
            program: run::bytes_of(&program)?,
        })
    }

    /// Version of friendlet.
    pub(super) fn version(&self) -> String {
        self.crates.friendlet().version.to_string()
    }

    /// Name and address of who makes the package.
    pub(super) fn maker() -> String {
        let [name, address] = MAKER.map(|(variable, otherwise)| {
            std::env::var(variable)
                .ok()
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| otherwise.to_owned())
        });
        format!("{name} <{address}>")
    }

    /// The files of a format, in the order of their paths.
    pub(super) fn files(&self, format: Format) -> Result<Vec<Packed>, String> {
        let mut files = Vec::new();
        for file in self.manifest.file.iter().filter(|file| file.only.contains(&format)) {
            for (name, content) in self.sources(file)? {
                let path = format!("{}{name}", file.path);
                let content = if path.ends_with(".gz") { gzip(&content)? } else { content };
                files.push(Packed { path, mode: file.mode, content, kept: file.kept });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Content of a row of the table; for a directory its files by their names.
    fn sources(&self, file: &File) -> Result<Vec<(String, Vec<u8>)>, String> {
        let text = match (file.made, &file.from) {
            (Some(Made::Manual), _) => {
                return Ok(manual::pages(&self.helps, &self.version(), &self.date("%F")?));
            }
            (Some(Made::Program), _) => return Ok(vec![(String::new(), self.program.clone())]),
            (Some(Made::Bash), _) => completion::bash(&self.helps),
            (Some(Made::Zsh), _) => completion::zsh(&self.helps),
            (Some(Made::Fish), _) => completion::fish(&self.helps),
            (Some(Made::Copyright), _) => notices::text(&self.crates)?,
            (Some(Made::Changelog), _) => self.changelog()?,
            (None, Some(from)) => run::read(&run::root().join(from))?,
            (None, None) => return Err(format!("{}: neither `from` nor `made`", file.path)),
        };
        let text = match &file.replaced {
            Some([from, to]) if !text.contains(from.as_str()) => {
                return Err(format!("{}: no '{from}', for '{to}'", file.path));
            }
            Some([from, to]) => text.replace(from, to),
            None => text,
        };
        Ok(vec![(String::new(), text.into_bytes())])
    }

    /// Debian's list of changes of the packages. Those of friendlet are in CHANGELOG.md.
    fn changelog(&self) -> Result<String, String> {
        let (version, revision) = (self.version(), self.revision);
        Ok(format!(
            "friendlet ({version}-{revision}) unstable; urgency=medium\n\n  \
             * friendlet {version}: changelog.gz has its changes.\n\n -- {}  {}\n",
            Self::maker(),
            self.date("%a, %d %b %Y %H:%M:%S +0000")?
        ))
    }

    /// The time of the packages in a form of date(1).
    fn date(&self, form: &str) -> Result<String, String> {
        let mut command = run::at_root("date");
        command.env("LC_ALL", "C").args(["-u", "-d", &format!("@{}", self.time), &format!("+{form}")]);
        run::captured(&mut command).map(|text| text.trim().to_owned())
    }
}

/// Builds the programs of these architectures at once: each optimises as a whole, on one processor.
pub(super) fn build(manifest: &Manifest, architectures: &[&String], time: u64) -> Result<(), String> {
    let named = architectures.iter().filter_map(|name| manifest.architecture.get(*name));
    let boards = named.map(Architecture::board).collect::<Result<Vec<_>, _>>()?;
    build::build_all_in(&boards, &run::root().join("target"), &[(EPOCH, &time.to_string())])
}

/// Builds the program of a board; its time of build is that of the packages.
fn program(board: &Board, architecture: &str, time: u64) -> Result<PathBuf, String> {
    let built = build::build_in(board, &run::root().join("target"), &[(EPOCH, &time.to_string())])?;
    let program = directory().join("programs").join(architecture).join("friendlet");
    build::put(&built, &program)?;
    Ok(program)
}

/// Texts of `--help`: of the program and of each of its commands.
fn helps(board: &Board, program: &Path) -> Result<Vec<Help>, String> {
    let help = |command: &str| {
        let mut process = emulation::command(board, program)?;
        process.args((!command.is_empty()).then_some(command)).arg("--help");
        let usage = Usage::parse(&run::captured(&mut process)?);
        Ok::<_, String>(Help { command: command.to_owned(), usage })
    };
    let general = help("")?;
    let names: Vec<String> = general.usage.commands().into_iter().map(|command| command.name).collect();
    let mut helps = vec![general];
    for name in &names {
        helps.push(help(name)?);
    }
    Ok(helps)
}

/// The entries of an archive with these files below `root` (`./` or nothing), the directories above each before it.
pub(super) fn entries(files: &[Packed], root: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    if !root.is_empty() {
        entries.push(Entry::directory(root));
    }
    for file in files {
        let path = format!("{root}{}", file.path.trim_start_matches('/'));
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end >= root.len()) {
            let directory = Entry::directory(&path[..=end]);
            if !entries.contains(&directory) {
                entries.push(directory);
            }
        }
        entries.push(Entry::file(path, file.mode, file.content.clone()));
    }
    entries
}

/// Text of a file of `cross/packages`.
pub(super) fn own(path: &str) -> Result<Vec<u8>, String> {
    let path = run::root().join("cross/packages").join(path);
    fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_is_there_once_and_before_its_files() {
        let file =
            |path: &str| Packed { path: path.to_owned(), mode: 0o644, content: Vec::new(), kept: false };
        let paths = |root: &str| -> Vec<String> {
            let entries = entries(&[file("/usr/bin/a"), file("/usr/bin/b"), file("/usr/lib/c")], root);
            entries.into_iter().map(|entry| entry.path).collect()
        };
        assert_eq!(
            paths("./"),
            ["./", "./usr/", "./usr/bin/", "./usr/bin/a", "./usr/bin/b", "./usr/lib/", "./usr/lib/c"]
        );
        assert_eq!(paths(""), ["usr/", "usr/bin/", "usr/bin/a", "usr/bin/b", "usr/lib/", "usr/lib/c"]);
    }
}
