//! The tables of ETSI EN 303 645 in `docs/security.md`: every provision is there, and the tests that they name exist.

use std::collections::BTreeSet;
use std::fs;

use crate::layers::root;
use crate::limits::{sources, tests};

/// Clauses of V2.1.1, their headings, and their provisions in order: requirements (M) and recommendations (R).
const CLAUSES: [(&str, &str, &str); 15] = [
    ("4", "Reporting implementation", "M"),
    ("5.1", "No universal default passwords", "MMMMM"),
    ("5.2", "Implement a means to manage reports of vulnerabilities", "MRR"),
    ("5.3", "Keep software updated", "RMMRRRMMRMRRMRRM"),
    ("5.4", "Securely store sensitive security parameters", "MMMM"),
    ("5.5", "Communicate securely", "MRRRMRMM"),
    ("5.6", "Minimize exposed attack surfaces", "MMRMRRRRR"),
    ("5.7", "Ensure software integrity", "RR"),
    ("5.8", "Ensure that personal data is secure", "RMM"),
    ("5.9", "Make systems resilient to outages", "RRR"),
    ("5.10", "Examine system telemetry data", "R"),
    ("5.11", "Make it easy for users to delete user data", "MRRR"),
    ("5.12", "Make installation and maintenance of devices easy", "RRR"),
    ("5.13", "Validate input data", "M"),
    ("6", "Data protection provisions for consumer IoT", "MMMRM"),
];
/// Provisions that V3.1.3 adds.
const ADDED: [&str; 10] = [
    "5.1-2A R",
    "5.3-4B R",
    "5.3-6B R",
    "5.3-15B R",
    "5.6-4B R",
    "5.13-1B M",
    "6-3B M",
    "6-6 M",
    "6-7 R",
    "6-8 R",
];

/// Row of a table: provision with M or R, subject, state, and what holds it. That of a heading has clause and title.
type Row<'p> = [&'p str; 4];

/// Rows of the table whose first column has this head.
fn rows<'p>(page: &'p str, head: &str) -> Vec<Row<'p>> {
    let table = page.split("\n## ETSI EN 303 645\n").nth(1).unwrap_or_default();
    let table = table.split("\n## ").next().unwrap_or_default();
    let table = table.split(&format!("\n| {head} |")).nth(1).unwrap_or_default();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| cells(line).try_into().unwrap_or_else(|_| panic!("not four cells: {line}"))).collect()
}

fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// Both tables.
fn tables(page: &str) -> [Vec<Row<'_>>; 2] {
    ["provision", "provision of V3.1.3"].map(|head| rows(page, head))
}

/// First cells of both tables, a heading with its title.
fn expected() -> [Vec<String>; 2] {
    let of_clause = |(clause, title, kinds): &(&str, &str, &str)| {
        let numbers = kinds.chars().zip(1..).map(|(kind, number)| format!("{clause}-{number} {kind}"));
        [format!("**{clause}** {title}")].into_iter().chain(numbers).collect::<Vec<_>>()
    };
    [CLAUSES.iter().flat_map(of_clause).collect(), ADDED.map(str::to_owned).to_vec()]
}

fn is_heading(provision: &str) -> bool {
    provision.starts_with("**")
}

/// Names of tests in a text: words in backquotes with an underscore.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|name| name.contains('_'))
}

fn errors(rows: &[Row<'_>], expected: &[String], tests: &BTreeSet<String>) -> Vec<String> {
    let mut errors = Vec::new();
    let first = |[provision, subject, ..]: &Row<'_>| match is_heading(provision) {
        true => format!("{provision} {subject}"),
        false => (*provision).to_owned(),
    };
    let found: Vec<_> = rows.iter().map(first).collect();
    if found != expected {
        let missing: Vec<_> = expected.iter().filter(|id| !found.contains(id)).collect();
        errors.push(format!("missing {missing:?}, or another order"));
    }
    for [provision, _, state, held_by] in rows.iter().filter(|row| !is_heading(row[0])) {
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

/// Errors of both tables.
fn all_errors(page: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let pairs = tables(page).into_iter().zip(expected());
    pairs.flat_map(|(rows, expected)| errors(&rows, &expected, tests)).collect()
}

/// Names of all tests of the program.
fn test_names() -> BTreeSet<String> {
    let sources = ["src", "tests/it", "tests/system"].iter().flat_map(|directory| sources(directory, ""));
    sources.flat_map(|(_, source)| tests(&source)).map(|(name, _)| name).collect()
}

#[test]
fn provisions_have_their_tests_or_their_reasons() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    // As many as the standard has, 33 of them requirements.
    let expected = expected();
    let requirements = expected[0].iter().filter(|row| row.ends_with(" M")).count();
    assert_eq!((expected[0].len() - CLAUSES.len(), requirements), (68, 33));
    let errors = all_errors(&page, &test_names());
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn planted_errors_of_the_table_are_found() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let tests = test_names();
    for (from, to, error) in [
        ("| 5.13-1 M |", "| 5.13-1 R |", "missing [\"5.13-1 M\"]"),
        ("| **5.7** | Ensure", "| **5.7** | Check", "missing [\"**5.7** Ensure software integrity\"]"),
        ("| 6-8 R |", "| 6-9 R |", "missing [\"6-8 R\"]"),
        ("| 5.13-1 M |", "| 5.13-2 M |", "missing [\"5.13-1 M\"]"),
        ("`passwords_differ`, ", "`passwords_are_equal`, ", "5.1-2 M: no test is called passwords_are_equal"),
        ("| none | friendlet processes nothing by consent |", "| none | |", "6-2 M: \"none\", \"\""),
        ("| met | one port, and", "| done | one port, and", "5.6-1 M: \"done\""),
        (
            "| met | [init.md](init.md#factory-reset) |",
            "| met | somewhere else |",
            "5.11-3 R: met by neither",
        ),
    ] {
        let planted = page.replacen(from, to, 1);
        assert_ne!(planted, page, "{from}");
        let found = all_errors(&planted, &tests).join("\n");
        assert!(found.contains(error), "{from}: {found}");
    }
}
