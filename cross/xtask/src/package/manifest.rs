//! `cross/packages/manifest.toml`: the table of architectures and files.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::board::Board;
use crate::run;

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// Extended description.
    pub(super) description: String,
    /// Section of Debian's archive.
    pub(super) section: String,
    /// Revision of the packages of one version.
    pub(super) revision: u32,
    /// By Debian's name.
    pub(super) architecture: BTreeMap<String, Architecture>,
    pub(super) file: Vec<File>,
}

/// Processor of packages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Architecture {
    /// Board whose target and emulated processor it has.
    board: String,
    /// OpenWrt's name.
    pub(super) ipk: String,
    /// Alpine's name.
    pub(super) apk: String,
}

/// File of the packages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Path on the system; a directory ends with a slash.
    pub(super) path: String,
    /// Path in the repository.
    pub(super) from: Option<String>,
    pub(super) made: Option<Made>,
    /// Text that is replaced, and the one in its place.
    pub(super) replaced: Option<[String; 2]>,
    #[serde(default = "plain_mode")]
    pub(super) mode: u32,
    /// True for a file that belongs to the owner of the system once it is installed.
    #[serde(default)]
    pub(super) kept: bool,
    #[serde(default = "all_formats")]
    pub(super) only: Vec<Format>,
}

fn plain_mode() -> u32 {
    0o644
}

fn all_formats() -> Vec<Format> {
    Format::ALL.to_vec()
}

/// Content that the tool makes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Made {
    Program,
    Manual,
    Bash,
    Zsh,
    Fish,
    Copyright,
    Changelog,
}

/// Format of a package.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Format {
    /// Debian.
    Deb,
    /// OpenWrt, for opkg.
    Ipk,
    /// Alpine, for apk 2.
    Apk,
}

impl Format {
    pub(super) const ALL: [Self; 3] = [Self::Deb, Self::Ipk, Self::Apk];
}

impl Manifest {
    pub(super) fn load() -> Result<Self, String> {
        let text = run::read(&run::root().join("cross/packages/manifest.toml"))?;
        toml::from_str(&text).map_err(|error| format!("cross/packages/manifest.toml: {error}"))
    }
}

impl Architecture {
    /// Board of the packages: limits and built-in configuration of `host` and a log of text, for a system with a disk
    /// and a journal, on the processor of this architecture.
    pub(super) fn board(&self) -> Result<Board, String> {
        Ok(Board::load("host")?.on_processor_of(Board::load(&self.board)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_one_source_and_one_place() {
        let manifest = Manifest::load().unwrap();
        for file in &manifest.file {
            assert_eq!(
                [file.from.is_some(), file.made.is_some()].iter().filter(|is| **is).count(),
                1,
                "{file:?}"
            );
            assert!(file.path.starts_with('/') && !file.only.is_empty(), "{file:?}");
            if let Some(from) = &file.from {
                assert!(run::root().join(from).is_file(), "{from}");
            }
            let same = manifest.file.iter().filter(|other| {
                other.path == file.path && other.only.iter().any(|format| file.only.contains(format))
            });
            assert_eq!(same.count(), 1, "{}: twice in one format", file.path);
        }
    }

    #[test]
    fn every_architecture_has_a_target_of_its_own() {
        let manifest = Manifest::load().unwrap();
        let boards = manifest.architecture.values().map(|architecture| architecture.board().unwrap());
        let mut targets: Vec<String> = boards.map(|board| board.target).collect();
        targets.sort();
        targets.dedup();
        assert_eq!(targets.len(), manifest.architecture.len());
    }
}
