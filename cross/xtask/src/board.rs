//! The boards: `boards/<board>/board.toml` on top of `boards/base.toml`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run;

/// Keys of a board.toml. The tables have readers of their own.
const KEYS: [&str; 10] =
    ["about", "budget", "emulated_cpu", "flash", "image", "limits", "log", "qemu", "target", "tier"];

/// Form of a program's log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Log {
    /// Lines, on standard error.
    Text,
    /// Frames without their format strings, in files.
    Defmt,
}

/// One board, as its file and `boards/base.toml` say.
#[derive(Clone, Debug)]
pub(crate) struct Board {
    /// Directory under `boards`.
    pub(crate) name: String,
    /// Summary of a line.
    pub(crate) about: String,
    /// 1: booted in every run of the tests. 2: built, and tested in user-mode QEMU.
    pub(crate) tier: u8,
    /// Rust's target triple.
    pub(crate) target: String,
    /// The processor that user-mode QEMU plays; none where the tests run natively.
    pub(crate) emulated_cpu: Option<String>,
    /// Form of its log: key `log`, default text.
    pub(crate) log: Log,
    /// Most bytes of the binary.
    pub(crate) binary_bytes: u64,
    /// Most bytes that the server may hold with the board's configuration file.
    pub(crate) memory_bytes: u64,
    /// Everything, for the readers of the other tables.
    pub(crate) table: toml::Table,
    /// End of the name of its directory, for files of tests: an image of them accepts anyone, and must never be
    /// flashed.
    suffix: &'static str,
}

impl Board {
    /// The board of this name.
    pub(crate) fn load(name: &str) -> Result<Self, String> {
        Self::load_from(&run::root().join("boards"), name)
    }

    fn load_from(boards: &Path, name: &str) -> Result<Self, String> {
        let path = boards.join(name).join("board.toml");
        // A name is not a path.
        if name.is_empty() || name.contains(['/', '.']) || !path.is_file() {
            return Err(format!("unknown board '{name}'; boards: {}", names(boards)?.join(", ")));
        }
        let mut table = read(&boards.join("base.toml"))?;
        merge(&mut table, read(&path)?);
        Self::from_table(name, table).map_err(|error| format!("boards/{name}/board.toml: {error}"))
    }

    /// The board of this table, which is whole.
    pub(crate) fn from_table(name: &str, table: toml::Table) -> Result<Self, String> {
        if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("unknown key '{key}'; known are {}", KEYS.join(", ")));
        }
        let text = |key: &str| match table.get(key) {
            None => Ok(None),
            Some(toml::Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
            Some(_) => Err(format!("{key}: expected a text")),
        };
        let needed = |key: &str| text(key)?.ok_or_else(|| format!("{key} is missing"));
        let tier = match table.get("tier").and_then(toml::Value::as_integer) {
            Some(1) => 1,
            Some(2) => 2,
            _ => return Err("tier: expected 1 or 2".to_owned()),
        };
        let log = match text("log")?.as_deref() {
            None | Some("text") => Log::Text,
            Some("defmt") => Log::Defmt,
            Some(other) => return Err(format!("log: expected 'text' or 'defmt', found '{other}'")),
        };
        let budget = table.get("budget").and_then(toml::Value::as_table);
        let budget = budget.ok_or("[budget] is missing")?;
        if let Some(key) = budget.keys().find(|key| !["binary_bytes", "memory_bytes"].contains(&key.as_str()))
        {
            return Err(format!("[budget]: unknown key '{key}'; known are binary_bytes, memory_bytes"));
        }
        let bytes = |key: &str| {
            let value = budget.get(key).and_then(toml::Value::as_integer);
            value
                .and_then(|value| u64::try_from(value).ok())
                .filter(|value| *value > 0)
                .ok_or_else(|| format!("[budget] {key}: expected a positive number of bytes"))
        };
        Ok(Self {
            name: name.to_owned(),
            about: needed("about")?,
            tier,
            target: needed("target")?,
            emulated_cpu: text("emulated_cpu")?,
            log,
            binary_bytes: bytes("binary_bytes")?,
            memory_bytes: bytes("memory_bytes")?,
            table,
            suffix: "",
        })
    }

    /// Every board, in the order of the names.
    pub(crate) fn all() -> Result<Vec<Self>, String> {
        names(&run::root().join("boards"))?.iter().map(|name| Self::load(name)).collect()
    }

    /// Directory of this board's files.
    pub(crate) fn directory(&self) -> PathBuf {
        run::root().join("target/boards").join(format!("{}{}", self.name, self.suffix))
    }

    /// The same board, with a directory of its own for what is made.
    pub(crate) fn under_test(&self) -> Self {
        Self { suffix: "-under-test", ..self.clone() }
    }

    /// The same, for an image with programs of others.
    pub(crate) fn with_stack(&self) -> Self {
        Self { suffix: "-with-stack", ..self.clone() }
    }

    /// The same, for a program that does not know a key of the configuration file.
    pub(crate) fn of_another_version(&self) -> Self {
        Self { suffix: "-of-another-version", ..self.clone() }
    }

    /// The same limits and kind of log on another board's processor.
    pub(crate) fn on_processor_of(self, other: Self) -> Self {
        Self { target: other.target, emulated_cpu: other.emulated_cpu, ..self }
    }

    /// The architecture, as in the names of QEMU's programs.
    pub(crate) fn architecture(&self) -> &str {
        let first = self.target.split('-').next().unwrap_or_default();
        if first.starts_with("arm") { "arm" } else { first }
    }
}

/// The names of all boards, sorted.
pub(crate) fn names(boards: &Path) -> Result<Vec<String>, String> {
    let failed = |error| format!("{}: {error}", boards.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(boards).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path().is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<toml::Table, String> {
    let text = run::read(path)?;
    text.parse().map_err(|error| format!("{}: {error}", path.display()))
}

/// Lays `over` onto `under`: tables join, everything else is replaced.
fn merge(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Checks the table of `boards/README.md`: one row a board, with its tier, target and words.
pub(crate) fn check_table() -> Result<(), String> {
    let path = run::root().join("boards/README.md");
    let text = run::read(&path)?;
    let boards = Board::all()?;
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| [")).collect();
    let expected: Vec<String> = boards.iter().map(row).collect();
    for row in &expected {
        if !rows.contains(&row.as_str()) {
            return Err(format!("boards/README.md lacks the row\n{row}"));
        }
    }
    if let Some(row) = rows.iter().find(|row| !expected.iter().any(|expected| expected == *row)) {
        return Err(format!("boards/README.md has a row of no board\n{row}"));
    }
    for board in &boards {
        if !run::root().join("boards").join(&board.name).join("README.md").is_file() {
            return Err(format!("boards/{}/README.md is missing", board.name));
        }
    }
    println!("    {} boards", boards.len());
    Ok(())
}

fn row(board: &Board) -> String {
    let Board { name, about, tier, target, .. } = board;
    format!("| [{name}]({name}/README.md) | {tier} | `{target}` | {about} |")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "[limits]\nslots = 64\nusers = 16\n[budget]\nbinary_bytes = 9\nmemory_bytes = 9\n";
    const OWN: &str = "about = 'b'\ntier = 1\ntarget = 'armv7-unknown-linux-musleabihf'\n";

    fn board(own: &str) -> Result<Board, String> {
        let mut table: toml::Table = BASE.parse().unwrap();
        merge(&mut table, own.parse().unwrap());
        Board::from_table("b", table)
    }

    #[test]
    fn own_file_is_laid_onto_the_base() {
        assert_eq!(board(OWN).unwrap().log, Log::Text);
        assert_eq!(board(&format!("{OWN}log = 'defmt'")).unwrap().log, Log::Defmt);
        let board = board(&format!("{OWN}[limits]\nslots = 2\n[budget]\nbinary_bytes = 5")).unwrap();
        assert_eq!((board.binary_bytes, board.memory_bytes, board.architecture()), (5, 9, "arm"));
        let limit = |name: &str| board.table["limits"][name].as_integer();
        assert_eq!((limit("slots"), limit("users")), (Some(2), Some(16)));
        assert_eq!(row(&board), "| [b](b/README.md) | 1 | `armv7-unknown-linux-musleabihf` | b |");
    }

    #[test]
    fn wrong_files_are_refused_by_the_key() {
        for (own, word) in [
            ("tier = 1\ntarget = 't'", "about"),
            ("about = 'b'\ntarget = 't'", "tier"),
            ("about = 'b'\ntier = 3\ntarget = 't'", "tier"),
            ("about = 'b'\ntier = 1", "target"),
            (&format!("{OWN}colour = 1"), "colour"),
            (&format!("{OWN}emulated_cpu = 7"), "emulated_cpu"),
            (&format!("{OWN}log = 'loud'"), "log"),
            (&format!("{OWN}[budget]\nbinary_bytes = 0"), "binary_bytes"),
            (&format!("{OWN}[budget]\nkilograms = 1"), "kilograms"),
        ] {
            let error = board(own).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn every_board_is_read() {
        let boards = Board::all().unwrap();
        assert!(boards.iter().any(|board| board.name == "host"));
        let error = Board::load("nowhere").unwrap_err();
        assert!(error.contains("'nowhere'") && error.contains("qemu-armv7"), "{error}");
        assert!(Board::load("../boards").is_err());
    }
}
