//! The documents' tables of calls against the table of calls.

use std::fs;
use std::path::PathBuf;

use friendlet::api::CALLS;

use crate::support::generated;

#[test]
fn page_shows_every_call() {
    let mut text = "| call | parameters | right | effect | summary |\n|---|---|---|---|---|\n".to_owned();
    for row in CALLS {
        let parameters: Vec<String> = row.parameters.iter().map(|name| format!("`{name}`")).collect();
        let (path, parameters) = (row.path.join("/"), parameters.join(", "));
        let (right, effect) = (row.handler.right(), row.effect.name());
        text += &format!("| `{path}` | {parameters} | {right} | {effect} | {} |\n", row.summary.text());
    }
    generated::check("docs/api.md", "calls", &text);
}

#[test]
fn protocol_shows_the_content_of_every_call() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    let document = fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = document.lines().filter(|line| line.starts_with("| `")).collect();
    for row in CALLS {
        let path = format!("`{}`", row.path.join("/"));
        assert!(rows.iter().any(|row| row.contains(&path)), "docs/protocol.md has no row of {path}");
    }
}
