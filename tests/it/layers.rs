//! Rules of the sources: imports between modules, and the length of a file.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::source::{Token, tokens};

/// Modules that each module may import, itself apart: the table in the documentation of the crate.
pub(crate) fn layers() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = rows.map(|row| row.trim_end_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let name = |cell: &str| cell.trim_matches(['[', ']', '`']).to_owned();
    cells
        .filter(|cells| cells.len() == 3 && cells[0].ends_with('`') | cells[0].ends_with(']'))
        .map(|cells| {
            let imports = cells[2].split(',').map(str::trim).filter(|import| !import.is_empty());
            (name(cells[0]), imports.map(str::to_owned).collect())
        })
        .collect()
}

/// The log's macros, which Rust exports at the root of the crate.
const LOG_MACROS: &[&str] = &[
    "log_at",
    "error",
    "warning",
    "info",
    "debug",
    "internal_error",
    "log_record",
    "log_frame",
    "internal_error",
    "console_at",
    "console_error",
    "console_warning",
    "console_info",
    "console_debug",
];

/// Longest source file, tests included.
const FILE_LINES: usize = 600;

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `directory`, by its path from there and its text.
pub(crate) fn sources(directory: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(directory).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The module path of a file of `src`: `proto/frame.rs` is `["proto", "frame"]`.
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if path.last().is_some_and(|last| last == "mod") {
        path.pop();
    }
    path
}

/// The modules of the crate that `source` names, with their lines: `crate::x`, `crate::{x, y::z}`,
/// `friendlet::x`, and `super::` as often as it takes to come to the root. `depth` is how deep the
/// file's module is under the root.
fn references(source: &str, depth: usize) -> Vec<(usize, String)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    // How many braces were open where each inline module began.
    let mut modules: Vec<usize> = Vec::new();
    let mut braces = 0;
    let mut index = 0;
    while index < tokens.len() {
        let after_path = index > 0 && tokens[index - 1].token == Token::PathSeparator;
        match &tokens[index].token {
            Token::Other('{') => {
                let is_module = index >= 2 && tokens[index - 2].token == Token::Word("mod".to_owned());
                if is_module {
                    modules.push(braces);
                }
                braces += 1;
            }
            Token::Other('}') => {
                braces = braces.saturating_sub(1);
                if modules.last() == Some(&braces) {
                    modules.pop();
                }
            }
            Token::Word(word) if word == "super" && !after_path => {
                let mut supers = 0;
                while matches!(&tokens.get(index).map(|t| &t.token), Some(Token::Word(word)) if word == "super")
                    && tokens.get(index + 1).is_some_and(|next| next.token == Token::PathSeparator)
                {
                    supers += 1;
                    index += 2;
                }
                if supers >= depth + modules.len() && supers > 0 {
                    named(&tokens[index..], &mut found);
                }
                index += usize::from(supers == 0);
                continue;
            }
            Token::Word(word)
                if (word == "crate" || word == "friendlet")
                    && !after_path
                    && tokens.get(index + 1).is_some_and(|next| next.token == Token::PathSeparator) =>
            {
                named(&tokens[index + 2..], &mut found);
            }
            _ => {}
        }
        index += 1;
    }
    found
}

/// Adds the modules of a path from the root: one, or one for each item of a group.
fn named(tokens: &[crate::support::source::At], found: &mut Vec<(usize, String)>) {
    let mut push = |line: usize, token: &Token| match token {
        Token::Word(word) => found.push((line, word.clone())),
        Token::Other(other) => found.push((line, other.to_string())),
        Token::PathSeparator => {}
    };
    let Some(first) = tokens.first() else { return };
    if first.token != Token::Other('{') {
        push(first.line, &first.token);
        return;
    }
    let mut open = 0;
    let mut at_start = false;
    for at in tokens {
        match at.token {
            Token::Other('{') => {
                open += 1;
                at_start = open == 1;
                continue;
            }
            Token::Other('}') => {
                open -= 1;
                if open == 0 {
                    return;
                }
            }
            Token::Other(',') if open == 1 => {
                at_start = true;
                continue;
            }
            _ if at_start => push(at.line, &at.token),
            _ => {}
        }
        at_start = false;
    }
}

/// Every path that `file` may not have, as `file:line: what it names`.
fn violations(file: &Path, source: &str) -> Vec<String> {
    let path = module_path(file);
    let module = path.first().map(String::as_str).unwrap_or_default();
    // The root of the crate names its modules and nothing more.
    let depth = if module == "main" || module == "lib" { 0 } else { path.len() };
    let layers = layers();
    let Some((_, allowed)) = layers.iter().find(|(name, _)| *name == module || module == "lib") else {
        return vec![format!("{}: is not a module of the layer table", file.display())];
    };
    references(source, depth)
        .into_iter()
        .map(|(line, name)| (line, if LOG_MACROS.contains(&name.as_str()) { "log".to_owned() } else { name }))
        .filter(|(_, name)| name != module && !allowed.contains(name))
        .map(|(line, name)| format!("{}:{line}: names {name}", file.display()))
        .collect()
}

#[test]
fn modules_import_only_lower_layers() {
    let sources = sources(&root().join("src"));
    let found: Vec<String> = sources.iter().flat_map(|(file, source)| violations(file, source)).collect();
    assert!(found.is_empty(), "against the layer table:\n{}", found.join("\n"));
    let names: Vec<_> = sources.iter().map(|(file, _)| module_path(file)[0].clone()).collect();
    let layers = layers();
    assert!(layers.len() > 15, "the table in src/lib.rs");
    for (module, _) in &layers {
        assert!(names.iter().any(|name| name == module), "src has no {module}: is it still in the table?");
    }
}

#[test]
fn planted_violation_is_found() {
    let planted = [
        ("friendcore/frame.rs", "use crate::config::Config;"),
        ("friendcore/frame.rs", "fn f() -> crate::ws::Frame { todo() }"),
        ("friendcore/mod.rs", "use crate::{limits, http::Head};"),
        ("friendcore/mod.rs", "use crate::{log::{Level, level}, net};"),
        ("friendcore/mod.rs", "use crate::*;"),
        ("friendcore/mod.rs", "use super::ws::Frame;"),
        ("friendcore/frame.rs", "use super::super::sys;"),
        ("friendcore/mod.rs", "#[cfg(test)]\nmod tests { use super::super::sys; }"),
        ("service/supervisor/a.rs", "use super::super::super::session::User;"),
        ("net/tls.rs", "use crate::sys::file;"),
        ("sys/mod.rs", "use crate :: net;"),
        ("ctl/mod.rs", "use friendlet::serve;"),
        ("limits.rs", "crate::info!(\"{}\", 1);"),
        ("main.rs", "use friendlet::connection;"),
        ("unheard_of.rs", "const A: u8 = 1;"),
    ];
    for (file, source) in planted {
        assert_eq!(violations(Path::new(file), source).len(), 1, "{file}: {source}");
    }
}

#[test]
fn other_tokens_are_not_violations() {
    let innocent = [
        (
            "friendcore/frame.rs",
            "use crate::limits; use crate::{log::Level, friendcore::Form}; crate::info!(\"x\");",
        ),
        (
            "friendcore/frame.rs",
            "// crate::net\n/* crate::sys /* nested */ crate::ws */ pub(crate) const A: u8 = 1;",
        ),
        (
            "friendcore/frame.rs",
            "const A: &str = \"crate::net\"; const B: &str = r#\"\"crate::net\"#; const C: char = '\"';",
        ),
        ("friendcore/frame.rs", "use super::error; use super::super::friendcore::Form;"),
        ("friendcore/frame.rs", "mod tests { use super::super::error; }"),
        ("friendcore/frame.rs", "mod tests { fn a() {} } use super::error;"),
        ("friendcore/mod.rs", "fn a<'a>(a: &'a str) -> &'a str { std::super_::net(a) }"),
        ("serve/mod.rs", "use crate::{net::Listener, sys::Clock};"),
        ("main.rs", "fn main() { friendlet::cli::run() }"),
    ];
    for (file, source) in innocent {
        assert_eq!(violations(Path::new(file), source), [""; 0], "{file}: {source}");
    }
}

/// The names in `source`, comments and strings left out.
fn words(source: &str) -> Vec<String> {
    let word = |at: crate::support::source::At| match at.token {
        Token::Word(word) => Some(word),
        _ => None,
    };
    tokens(source).into_iter().filter_map(word).collect()
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for directory in ["src", "tests", "cross"] {
        for (file, source) in sources(&root().join(directory)) {
            let lines = source.lines().count();
            if lines > FILE_LINES && !file.components().any(|part| part.as_os_str() == "target") {
                long.push(format!("{directory}/{}: {lines} lines", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "over {FILE_LINES} lines:\n{}", long.join("\n"));
}

/// The files that may hold `unsafe`, each of which says why.
const UNSAFE: [&str; 7] = [
    "log/frames.rs",
    "mmap_buffer.rs",
    "net/peer_uid.rs",
    "sys/fork.rs",
    "sys/raw.rs",
    "sys/sandbox/raw.rs",
    "sys/thread_name.rs",
];

#[test]
fn unsafe_code_is_where_it_may_be() {
    let holders: Vec<_> = sources(&root().join("src"))
        .into_iter()
        .filter(|(_, source)| {
            words(source).iter().any(|word| matches!(word.as_str(), "unsafe" | "unsafe_code"))
        })
        .map(|(file, _)| file)
        .collect();
    // lib.rs forbids it to all others.
    let expected: Vec<_> = ["lib.rs"].iter().chain(&UNSAFE).map(Path::new).collect();
    assert_eq!(holders, expected);
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(lib.contains("\n#![deny(unsafe_code)]\n"));
}

#[test]
fn security_policy_matches_the_unsafe_code() {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let promise = text.split("\n- ").find(|item| item.starts_with("**No `unsafe` code**")).unwrap();
    let promise = promise.split("\n\n").next().unwrap();
    assert!(promise.contains("`#![deny(unsafe_code)]`") && !promise.contains("forbid"), "{promise}");
    let named = promise.split('`').filter(|code| code.starts_with("src/"));
    assert!(named.eq(UNSAFE.map(|file| format!("src/{file}"))), "{promise}");
}
