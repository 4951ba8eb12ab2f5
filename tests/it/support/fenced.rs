//! Code of the documents: fenced blocks with their commands, and commands in the text.

use std::fs;
use std::path::{Path, PathBuf};

/// Documents, and directories of documents, from the root of the repository.
const DOCUMENTS: [&str; 5] = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs", "boards"];
const FENCE: &str = "```";
/// Beginning of a command in a comment of a TOML block.
const TOML_COMMAND: &str = "# printf ";

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// Path from the root of the repository.
    pub(crate) file: String,
    /// Number of its fence.
    line: usize,
    pub(crate) language: String,
    pub(crate) lines: Vec<String>,
}

/// A command, without its comment.
#[derive(Debug)]
pub(crate) struct Command {
    /// `FILE:LINE`.
    pub(crate) place: String,
    pub(crate) text: String,
}

/// Returns every block of the documents below `root`.
pub(crate) fn blocks(root: &Path) -> Vec<Block> {
    documents(root).iter().flat_map(|(file, text)| blocks_of(file, text)).collect()
}

/// Returns the code in the text of the documents below `root`, where it is in one line.
pub(crate) fn spans(root: &Path) -> Vec<Command> {
    let mut spans = Vec::new();
    for (file, text) in documents(root) {
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.contains(FENCE)) {
            let code = line.split('`').skip(1).step_by(2).map(str::to_owned);
            spans.extend(code.map(|text| Command { place: format!("{file}:{}", at + 1), text }));
        }
    }
    spans
}

/// Every document: its path from `root`, and its text.
fn documents(root: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for path in DOCUMENTS {
        collect(&root.join(path), &mut files);
    }
    files.sort();
    let name = |file: &Path| file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|file| (name(file), fs::read_to_string(file).unwrap())).collect()
}

/// Adds `path`, or every document of the directory `path`.
fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else if path.extension().is_some_and(|extension| extension == "md") {
        files.push(path.to_owned());
    }
}

fn blocks_of(file: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_inside = false;
    for (at, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix(FENCE);
        match (fence, is_inside) {
            (Some(language), false) => blocks.push(Block {
                file: file.to_owned(),
                line: at + 1,
                language: language.to_owned(),
                lines: Vec::new(),
            }),
            (None, true) => blocks.last_mut().unwrap().lines.push(line.to_owned()),
            _ => {}
        }
        is_inside ^= fence.is_some();
    }
    assert!(!is_inside, "{file}: the last block has no end");
    blocks
}

impl Block {
    /// `FILE:LINE` of a line, from 0.
    pub(crate) fn place(&self, line: usize) -> String {
        format!("{}:{}", self.file, self.line + 1 + line)
    }

    /// Every command: each line of a shell, lines that `\` joins, and commands in comments of TOML.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        let mut is_continued = false;
        for (at, line) in self.lines.iter().enumerate() {
            let text = match self.language.as_str() {
                "sh" => line,
                "console" => line.strip_prefix("$ ").unwrap_or(line),
                "toml" => line.find(TOML_COMMAND).map_or("", |begin| &line[begin + 2..]),
                _ => "",
            };
            let text = text.split(" # ").next().unwrap().trim();
            let (text, continues) = text.strip_suffix('\\').map_or((text, false), |text| (text, true));
            match commands.last_mut() {
                Some(command) if is_continued => command.text += text,
                _ if text.is_empty() => {}
                _ => commands.push(Command { place: self.place(at), text: text.to_owned() }),
            }
            is_continued = continues;
        }
        commands
    }
}

impl Command {
    /// The commands of the pipeline or list.
    pub(crate) fn stages(&self) -> impl Iterator<Item = &str> {
        self.text
            .split(" | ")
            .flat_map(|list| list.split(" && "))
            .flat_map(|list| list.split("; "))
            .map(str::trim)
    }
}
