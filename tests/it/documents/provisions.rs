//! The table of ETSI EN 303 645 in `docs/security.md`: every provision is there, and the tests that it names exist.

use std::collections::BTreeSet;
use std::fs;

use crate::layers::root;
use crate::limits::{sources, tests};

/// Clauses of V2.1.1 and the number of their provisions.
const CLAUSES: [(&str, usize); 15] = [
    ("4", 1),
    ("5.1", 5),
    ("5.2", 3),
    ("5.3", 16),
    ("5.4", 4),
    ("5.5", 8),
    ("5.6", 9),
    ("5.7", 2),
    ("5.8", 3),
    ("5.9", 3),
    ("5.10", 1),
    ("5.11", 4),
    ("5.12", 3),
    ("5.13", 1),
    ("6", 5),
];
/// Requirements among them; the others are recommendations.
const REQUIREMENTS: usize = 33;

/// Row of the table: provision, M or R, state, and what holds it.
struct Row<'p> {
    provision: &'p str,
    is_requirement: bool,
    state: &'p str,
    held_by: &'p str,
}

fn rows(page: &str) -> Vec<Row<'_>> {
    let table = page.split("\n## ETSI EN 303 645\n").nth(1).unwrap_or_default();
    let table = table.split("\n## ").next().unwrap_or_default();
    let table = table.split("\n| provision |").nth(1).unwrap_or_default();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let row = |line| {
        let [provision, _, state, held_by] = cells(line)[..] else { panic!("not four cells: {line}") };
        let (provision, kind) = provision.split_once(' ').unwrap_or((provision, ""));
        assert!(["M", "R"].contains(&kind), "neither M nor R: {line}");
        Row { provision, is_requirement: kind == "M", state, held_by }
    };
    rows.map(row).collect()
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// Names of tests in a text: words in backquotes with an underscore.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|name| name.contains('_'))
}

fn errors(rows: &[Row<'_>], tests: &BTreeSet<String>) -> Vec<String> {
    let clauses = CLAUSES.iter();
    let expected: Vec<_> = clauses
        .flat_map(|(clause, count)| (1..=*count).map(move |number| format!("{clause}-{number}")))
        .collect();
    let mut errors = Vec::new();
    let found: Vec<_> = rows.iter().map(|row| row.provision).collect();
    if found != expected {
        let missing: Vec<_> = expected.iter().filter(|id| !found.contains(&id.as_str())).collect();
        errors.push(format!("missing {missing:?}, or another order"));
    }
    for Row { provision, state, held_by, .. } in rows {
        let unknown = names(held_by).filter(|name| !tests.contains(*name));
        errors.extend(unknown.map(|name| format!("{provision}: no test is called {name}")));
        let is_held = names(held_by).next().is_some() || held_by.contains("](");
        match *state {
            "met" | "partly" if !is_held => {
                errors.push(format!("{provision}: {state} by neither a test nor a page"))
            }
            "met" | "partly" | "builder" | "none" | "not met" if held_by.len() >= 12 => {}
            _ => errors.push(format!("{provision}: {state:?}, {held_by:?}: needs a state and a reason")),
        }
    }
    errors
}

/// Names of all tests of the program.
fn test_names() -> BTreeSet<String> {
    let sources = ["src", "tests/it", "tests/system"].iter().flat_map(|directory| sources(directory, ""));
    sources.flat_map(|(_, source)| tests(&source)).map(|(name, _)| name).collect()
}

#[test]
fn provisions_have_their_tests_or_their_reasons() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let rows = rows(&page);
    let requirements = rows.iter().filter(|row| row.is_requirement).count();
    assert_eq!((rows.len(), requirements), (68, REQUIREMENTS));
    let errors = errors(&rows, &test_names());
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn planted_errors_of_the_table_are_found() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let tests = test_names();
    for (from, to, error) in [
        ("| 5.13-1 M |", "| 5.13-2 M |", "missing [\"5.13-1\"]"),
        ("`passwords_differ`, ", "`passwords_are_equal`, ", "5.1-2: no test is called passwords_are_equal"),
        ("| none | friendlet processes nothing by consent |", "| none | |", "6-2: \"none\", \"\""),
        ("| met | one port, and", "| done | one port, and", "5.6-1: \"done\""),
        ("| met | [init.md](init.md#factory-reset) |", "| met | somewhere else |", "5.11-3: met by neither"),
    ] {
        let planted = page.replacen(from, to, 1);
        assert_ne!(planted, page, "{from}");
        let found = errors(&rows(&planted), &tests).join("\n");
        assert!(found.contains(error), "{from}: {found}");
    }
}
