//! Every limit is held by a test that meets it and one that exceeds it, or has a reason why nothing can
//! exceed it; and `docs/limits.md` shows all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use friendlet::cli::limits::MODULES;
use friendlet::limits::{BOARD, Bound, Limit, Value};

use crate::support::generated;
use crate::support::source::{Token, tokens};

/// Directories with tests, and the module that each is in the program of its tests.
const TESTS: [(&str, &str); 2] = [("src", ""), ("tests/system", "system")];

fn limits() -> impl Iterator<Item = &'static Limit> {
    MODULES.iter().flat_map(|(_, limits)| *limits)
}

/// Every Rust file under `directory`: its module path, after `module`, and its text.
pub(crate) fn sources(directory: &str, module: &str) -> Vec<(Vec<String>, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory);
    let (mut found, mut directories) = (Vec::new(), vec![root.clone()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = fs::read_to_string(&path).unwrap();
                found.push((module_path(path.strip_prefix(&root).unwrap(), module), source));
            }
        }
    }
    found
}

fn module_path(file: &Path, module: &str) -> Vec<String> {
    let file = file.with_extension("");
    let parts = file.iter().map(|part| part.to_str().unwrap()).filter(|part| *part != "mod");
    Some(module).filter(|module| !module.is_empty()).into_iter().chain(parts).map(str::to_owned).collect()
}

fn words(source: &str) -> impl Iterator<Item = String> {
    tokens(source).into_iter().filter_map(|at| match at.token {
        Token::Word(word) => Some(word),
        _ => None,
    })
}

/// The test functions of a source by name, and the words in each.
pub(crate) fn tests(source: &str) -> Vec<(String, BTreeSet<String>)> {
    let tokens: Vec<Token> = tokens(source).into_iter().map(|at| at.token).collect();
    let word = |text: &str| Token::Word(text.to_owned());
    let attribute = [Token::Other('#'), Token::Other('['), word("test"), Token::Other(']')];
    let mut found = Vec::new();
    for start in 0..tokens.len() {
        let Some(rest) = tokens[start..].strip_prefix(&attribute) else { continue };
        let Some(function) = rest.iter().position(|token| *token == word("fn")) else { continue };
        let Some(Token::Word(name)) = rest.get(function + 1) else { continue };
        let mut open = 0;
        let body = rest[function..].iter().take_while(|token| match token {
            Token::Other('{') => {
                open += 1;
                true
            }
            Token::Other('}') => {
                open -= 1;
                open > 0
            }
            _ => true,
        });
        let words = body.filter_map(|token| match token {
            Token::Word(word) => Some(word.clone()),
            _ => None,
        });
        found.push((name.clone(), words.collect()));
    }
    found
}

/// Every test of the program by its path in the sources, and the words in it. A test of a module
/// `tests` inside a file counts as one of the file.
fn all_tests() -> BTreeMap<String, BTreeSet<String>> {
    let sources = TESTS.iter().flat_map(|(directory, module)| sources(directory, module));
    let tests = sources.flat_map(|(path, source)| {
        let path = path.join("::");
        tests(&source).into_iter().map(move |(name, words)| (format!("{path}::{name}"), words))
    });
    tests.collect()
}

/// Errors in the row of one limit.
fn errors(limit: &Limit, all: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let tests = match limit.bound {
        Bound::Exceeded(outcome, tests) if !outcome.is_empty() && (1..=2).contains(&tests.len()) => tests,
        Bound::Fixed(reason) if reason.len() > 5 => return Vec::new(),
        _ => return vec![format!("{}: needs an outcome and one or two tests, or a reason", limit.name)],
    };
    let (mut errors, mut is_named) = (Vec::new(), false);
    for test in tests {
        let named = |path: &str| path.strip_suffix(test).is_some_and(|rest| rest.ends_with("::"));
        let found: Vec<_> = all.iter().filter(|(path, _)| named(path)).collect();
        match found[..] {
            [(_, words)] => is_named |= words.contains(limit.name),
            _ => errors.push(format!("{}: {} tests are called {test}", limit.name, found.len())),
        }
    }
    if errors.is_empty() && !is_named {
        errors.push(format!("{}: none of its tests uses it", limit.name));
    }
    errors
}

#[test]
fn every_limit_is_met_and_exceeded_by_a_test() {
    let all = all_tests();
    assert!(all.len() > 800 && limits().count() > 140, "{} tests, {} limits", all.len(), limits().count());
    let errors: Vec<String> = limits().flat_map(|limit| errors(limit, &all)).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    let names: BTreeSet<_> = limits().map(|limit| limit.name).collect();
    assert_eq!(names.len(), limits().count(), "two limits have one name");
}

#[test]
fn every_table_of_limits_is_listed() {
    let is_block = |line: &str| line.ends_with("limits! {") && !line.starts_with("//");
    let sources = sources("src", "");
    let blocks = sources.iter().filter(|(_, source)| source.lines().any(is_block)).count();
    // That of the board is in what build.rs makes.
    assert_eq!(blocks + 1, MODULES.len(), "src/cli/limits.rs lists the tables of limits");
}

#[test]
fn every_limit_is_used_by_the_program() {
    let mut used = BTreeSet::new();
    for (path, source) in sources("src", "") {
        if path != ["limits"] && !path.iter().any(|part| part == "tests") {
            let program = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let (before, block) = program.split_once("limits! {\n").unwrap_or((program, ""));
            used.extend(words(before).chain(words(block.split_once("\n}\n").map_or("", |(_, after)| after))));
        }
    }
    let unused: Vec<_> = limits().map(|limit| limit.name).filter(|name| !used.contains(*name)).collect();
    assert!(unused.is_empty(), "nothing is held to {unused:?}");
}

#[test]
fn page_shows_every_limit() {
    assert_eq!(BOARD, "host", "docs/limits.md shows the values of the host");
    let mut page = String::new();
    for (title, limits) in MODULES {
        page += &format!("\n## {title}\n\n| limit | value | meaning | when exceeded |\n|---|---|---|---|\n");
        for limit in *limits {
            let value = match limit.value {
                Value::Time(time) => format!("{} s", time.as_secs_f64()),
                Value::Number(number) if limit.name.contains("BYTES") => format!("{number} bytes"),
                Value::Number(number) => number.to_string(),
            };
            let exceeded = match limit.bound {
                Bound::Exceeded(outcome, _) => outcome.to_owned(),
                Bound::Fixed(reason) => format!("fixed: {reason}"),
            };
            let name = limit.name.to_ascii_lowercase();
            let about = limit.about.trim().trim_end_matches('.');
            page += &format!("| `{name}` | {value} | {about} | {exceeded} |\n");
        }
    }
    generated::check("docs/limits.md", "limits", &(page + "\n"));
}

#[test]
fn planted_errors_are_found() {
    const GOOD: &str = "burst_is_acquired_and_the_rest_is_counted";
    let all = all_tests();
    let of = |bound| {
        let limit = Limit { name: "LOG_BURST", value: Value::Number(5), about: "", bound };
        errors(&limit, &all).len()
    };
    assert_eq!(of(Bound::Exceeded("counted", &[GOOD])), 0);
    assert_eq!(of(Bound::Exceeded("counted", &["rate::burst_is_acquired_and_the_rest_is_counted"])), 0);
    assert_eq!(of(Bound::Exceeded("counted", &[GOOD, "pass"])), 1, "a function that is not a test");
    assert_eq!(of(Bound::Exceeded("counted", &["ring::burst_is_acquired_and_the_rest_is_counted"])), 1);
    assert_eq!(of(Bound::Exceeded("counted", &["is_acquired_and_the_rest_is_counted"])), 1, "part of a name");
    assert_eq!(of(Bound::Exceeded("counted", &["table_takes_its_limit_and_no_more"])), 1, "two of a name");
    assert_eq!(of(Bound::Exceeded("counted", &["output_up_to_its_limit_is_whole"])), 1, "of another limit");
    assert_eq!(of(Bound::Exceeded("counted", &[])), 1);
    assert_eq!(of(Bound::Exceeded("", &[GOOD])), 1);
    assert_eq!(of(Bound::Fixed("")), 1);
}
