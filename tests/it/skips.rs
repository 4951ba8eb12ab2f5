//! No test passes by skipping: a test that cannot run fails, and is left out by name in
//! `cross/xtask/src/left_out.rs`.

use crate::layers::{root, sources};
use crate::support::source::{At, Token, tokens};

/// Directories with tests.
const DIRECTORIES: [&str; 5] = ["src", "tests/it", CASES, "cross/xtask/src", "cross/frames/src"];
/// All of whose functions are tests or parts of them.
const CASES: &str = "tests/system";
/// Tests that may return early, and why.
#[rustfmt::skip]
const EXCEPTIONS: [(&str, &str); 6] = [
    ("files_are_rotated_at_their_limits", "it passes in a process of its own"),
    ("tick_writes_up_to_its_limit_and_lost_records_are_counted", "it passes in a process of its own"),
    ("failed_file_is_retried_after_the_pause", "it passes in a process of its own"),
    ("long_reply_is_sent_in_chunks", "the limits of the host, which the gate tests, have chunks"),
    ("long_reply_that_finds_no_free_set_is_an_error", "the limits of the host, which the gate tests, have chunks"),
    ("changes_are_made_until_the_power_is_cut", "the power is cut, which ends it"),
];
/// Conditions that a test may have, and why.
#[rustfmt::skip]
const CONDITIONS: [(&str, &str); 2] = [
    ("#[cfg(not(feature = \"defmt\"))]", "no run of the tests is built with this feature"),
    ("#[cfg(target_env = \"gnu\")]", "texts of errors are compared with glibc's; musl has others"),
];

#[test]
fn no_test_returns_early() {
    let mut found = Vec::new();
    for directory in DIRECTORIES {
        for (file, source) in sources(&root().join(directory)) {
            let lines = early_returns(&source, directory == CASES);
            found.extend(lines.into_iter().map(|line| format!("{directory}/{}:{line}", file.display())));
        }
    }
    assert!(found.is_empty(), "tests that return early, or under a condition: {found:?}");
}

/// Lines with a return without a value: in tests, or in every function.
fn early_returns(source: &str, in_all: bool) -> Vec<usize> {
    let tokens = tokens(source);
    let mut found = conditions(source);
    let is = |at: usize, word: &str| matches!(&tokens[at].token, Token::Word(found) if found == word);
    let mut is_test = false;
    for at in 0..tokens.len() {
        let is_attribute = at > 1 && tokens[at - 1].token == Token::Other('[');
        is_test |= is_attribute && is(at, "test");
        let is_function = at + 1 < tokens.len() && is(at, "fn");
        if is_function && (in_all || is_test) && !EXCEPTIONS.iter().any(|(name, _)| is(at + 1, name)) {
            found.extend(bare_returns(body(&tokens[at..])));
        }
        is_test &= !is_function;
    }
    found
}

/// The first block in braces.
fn body(tokens: &[At]) -> &[At] {
    let mut depth = 0;
    let begin = tokens.iter().position(|at| at.token == Token::Other('{')).unwrap_or(tokens.len());
    let end = tokens[begin..].iter().position(|at| {
        match at.token {
            Token::Other('{') => depth += 1,
            Token::Other('}') => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    &tokens[begin..end.map_or(tokens.len(), |end| begin + end)]
}

fn bare_returns(tokens: &[At]) -> impl Iterator<Item = usize> {
    let is_bare = |pair: &&[At]| {
        matches!(&pair[0].token, Token::Word(word) if word == "return")
            && matches!(pair[1].token, Token::Other(';' | '}'))
    };
    tokens.windows(2).filter(is_bare).map(|pair| pair[0].line)
}

/// Lines of conditions, other than [`CONDITIONS`], beside a `#[test]`.
fn conditions(source: &str) -> Vec<usize> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let is_condition =
        |line: &str| line.starts_with("#[cfg") && CONDITIONS.iter().all(|(known, _)| line != *known);
    let beside = |at: usize| [at.checked_sub(1), Some(at + 1)].into_iter().flatten();
    let tests = (0..lines.len()).filter(|at| lines[*at] == "#[test]");
    tests
        .flat_map(beside)
        .filter(|at| lines.get(*at).is_some_and(|line| is_condition(line)))
        .map(|at| at + 1)
        .collect()
}

#[test]
fn early_returns_are_found() {
    let helper = "fn a() { return; }\n";
    let test = "#[test]\nfn b() {\n    if x { return; }\n    y.map(|_| { return 1 });\n}\n";
    assert_eq!(early_returns(&format!("{helper}{test}"), false), [4]);
    assert_eq!(early_returns(helper, true), [1]);
    assert_eq!(early_returns("#[test]\nfn b() {\n let Some(a) = b else { return };\n}", false), [3]);
    let exception = format!("#[test]\nfn {}() {{ return; }}", EXCEPTIONS[0].0);
    assert!(early_returns(&exception, false).is_empty());
    assert_eq!(early_returns("#[cfg(target_arch = \"arm\")]\n#[test]\nfn b() {}", false), [1]);
}
