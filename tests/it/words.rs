//! Plain words: banned words and forms in sources, documents, examples and `--help`.

use std::fs;
use std::path::{Path, PathBuf};

/// Paths that are not clean yet, as prefixes from the root of the repository.
const NOT_CLEAN: &[&str] = &[];

/// Prefixes that are clean although one above covers them.
const CLEAN: &[&str] = &[];

/// Words that a doc comment must not begin with: it says what the item is or does.
const BAD_STARTS: &[&str] =
    &["how", "what", "when", "where", "whether", "which", "who", "whom", "whose", "why"];

/// Banned words of comments, names, strings and documents, with the better words.
const WORDS: &[(&str, &str)] = &[
    ("be told", "report, return or log"),
    ("board's own", "built-in default"),
    ("by itself", "on its own, or leave it out"),
    ("complain", "warn, or report an error"),
    ("complains", "warns, or reports an error"),
    ("converse", "exchange messages, or poll"),
    ("desk", "api"),
    ("device file", "configuration file"),
    ("device files", "configuration files"),
    ("door slot", "overflow slot"),
    ("doorbell", "waker"),
    ("drives out", "evicts"),
    ("folder", "directory"),
    ("folders", "directories"),
    ("for want of", "without"),
    ("founding", "reference"),
    ("gets up", "wakes"),
    ("give way", "be evicted"),
    ("gives way", "is evicted"),
    ("goodbye", "close_notify"),
    ("hear", "receive"),
    ("heard", "received"),
    ("hears", "receives"),
    ("house", "server, at capacity"),
    ("hurry", "set a timeout"),
    ("is given back", "is released"),
    ("is looked at", "is checked"),
    ("is said", "is reported"),
    ("judge", "check, or parse"),
    ("judged", "checked, or parsed"),
    ("last word", "close_notify or final alert"),
    ("let go of", "released"),
    ("lets go of", "releases"),
    ("lie down", "sleep"),
    ("nameless", "unauthenticated, or without a name"),
    ("newcomer", "client"),
    ("of today", "current"),
    ("on trial", "pending"),
    ("owed", "pending"),
    ("owes", "has pending"),
    ("patience", "timeout"),
    ("say so", "report it"),
    ("says so", "reports it"),
    ("spoken", "supported"),
    ("stand still", "be suspended"),
    ("stands still", "is suspended"),
    ("stay at home", "are kept out of the binary"),
    ("taken for", "counts as"),
    ("tell", "report, return or log"),
    ("telling", "reporting"),
    ("tells", "reports, returns or logs"),
    ("tenant", "connection"),
    ("tenants", "connections"),
    ("the door", "the overflow slot"),
    ("told", "reported, returned or logged"),
    ("turn away", "reject"),
    ("turned away", "rejected"),
    ("turns away", "rejects"),
    ("what it takes", "value, or accepts"),
    ("written down", "written"),
];

/// Banned words of doc comments and documents: the sentence names the actor, or uses the passive.
const ACTORS: &[&str] = &["anybody", "everybody", "nobody", "somebody", "whoever", "whomever"];

/// Forms of `is no X` that stay: everything but `is not an X`.
const NO_BUT: &[&str] =
    &["deeper", "earlier", "fewer", "further", "larger", "later", "less", "longer", "more", "need", "room"];

/// Text that a rule applies to.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Line of a Rust source outside of doc comments.
    Code,
    /// First line of a doc comment.
    DocStart,
    /// Further line of a doc comment.
    Doc,
    /// Line of a document.
    Document,
}

/// Returns the lower-case words of a line. `snake_case` names are split.
fn words(line: &str) -> Vec<String> {
    line.to_lowercase()
        .split(|c: char| !(c.is_alphanumeric() || c == '\''))
        .map(|word| word.trim_matches('\'').to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Returns a line of prose without its code spans and link targets.
fn prose(line: &str) -> String {
    let line = line.split('`').step_by(2).collect::<Vec<_>>().join(" code ");
    let mut pieces = line.split("](");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |prose, piece| prose + " " + piece.split_once(')').map_or("", |(_, rest)| rest))
}

/// Returns the banned forms of a line, each with the better form.
fn findings(kind: Kind, line: &str) -> Vec<(String, String)> {
    let words = if kind == Kind::Code { words(line) } else { words(&prose(line)) };
    let mut found = Vec::new();
    let mut report = |bad: &str, better: &str| found.push((bad.to_owned(), better.to_owned()));
    if kind == Kind::DocStart
        && let Some(first) = words.first().filter(|first| BAD_STARTS.contains(&first.as_str()))
    {
        report(first, "begin with a noun phrase or a verb: what the item is or does");
    }
    for (phrase, better) in WORDS {
        let phrase_words: Vec<&str> = phrase.split(' ').collect();
        if words.windows(phrase_words.len()).any(|window| window == phrase_words) {
            report(phrase, better);
        }
    }
    if kind != Kind::Code {
        for actor in ACTORS.iter().filter(|actor| words.iter().any(|word| word == *actor)) {
            report(actor, "name the actor: client, user, caller, administrator");
        }
    }
    for (index, window) in words.windows(3).enumerate() {
        let [is, no, noun] = window else { continue };
        let is_form = matches!(is.as_str(), "is" | "are" | "was" | "were") && no == "no";
        let has_there = index > 0 && words.get(index - 1).is_some_and(|before| before == "there");
        if is_form && has_there {
            report(
                &format!("there {is} no {noun}"),
                "state what exists: `X is missing`, `without X`, `no X`",
            );
        } else if is_form && !NO_BUT.contains(&noun.as_str()) {
            report(&format!("{is} no {noun}"), &format!("{is} not a {noun}"));
        }
    }
    found
}

/// Returns the lines of a file with their kinds; lines without a rule are left out.
fn lines(path: &Path, text: &str) -> Vec<(usize, Kind, String)> {
    let is_rust = path.extension().is_some_and(|extension| extension == "rs");
    let mut lines = Vec::new();
    let (mut was_doc, mut is_fenced) = (false, false);
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if !is_rust {
            lines.push((number, Kind::Document, line.to_owned()));
            continue;
        }
        let trimmed = line.trim_start();
        let doc = trimmed.strip_prefix("///").or(trimmed.strip_prefix("//!"));
        let Some(doc) = doc else {
            was_doc = false;
            lines.push((number, Kind::Code, line.to_owned()));
            continue;
        };
        if doc.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced {
            lines.push((number, if was_doc { Kind::Doc } else { Kind::DocStart }, doc.to_owned()));
        }
        was_doc = true;
    }
    lines
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files under `path` with one of these extensions, from the root of the repository.
fn files(path: &str, extensions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    let mut pending = vec![root().join(path)];
    while let Some(next) = pending.pop() {
        if next.is_dir() {
            pending.extend(fs::read_dir(&next).unwrap().map(|entry| entry.unwrap().path()));
        } else if next.extension().is_some_and(|e| extensions.iter().any(|extension| e == *extension)) {
            let relative = next.strip_prefix(root()).unwrap();
            found.push(relative.to_str().unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// Returns every file that the rules apply to. This one contains the banned words.
fn all_files() -> Vec<String> {
    [
        files("src", &["rs", "txt"]),
        files("cross", &["rs"]),
        files("cross/packages", &["toml"]),
        files("tests", &["rs"]),
        files("docs", &["md"]),
        files("examples", &["html", "mjs", "py", "rs", "service", "toml"]),
        files("boards", &["md"]),
        files("README.md", &["md"]),
        files("CONTRIBUTING.md", &["md"]),
        files("SECURITY.md", &["md"]),
        files("CHANGELOG.md", &["md"]),
    ]
    .concat()
    .into_iter()
    .filter(|file| file != "tests/it/words.rs")
    .collect()
}

#[test]
fn words_are_plain() {
    let mut reports = Vec::new();
    let mut dirty = Vec::new();
    for file in all_files() {
        let prefix = NOT_CLEAN.iter().find(|prefix| file.starts_with(**prefix));
        let text = fs::read_to_string(root().join(&file)).unwrap();
        for (number, kind, line) in lines(Path::new(&file), &text) {
            for (bad, better) in findings(kind, &line) {
                let report = format!("{file}:{number}: '{bad}': {better}");
                match prefix {
                    Some(prefix) if !CLEAN.iter().any(|clean| file.starts_with(clean)) => {
                        println!("{report}");
                        dirty.push(*prefix);
                    }
                    _ => reports.push(report),
                }
            }
        }
    }
    // Shown by `cargo test --test it words:: -- --nocapture`.
    for prefix in NOT_CLEAN {
        match dirty.iter().filter(|dirty| *dirty == prefix).count() {
            0 => println!("{prefix}: clean, remove it from NOT_CLEAN"),
            count => println!("{prefix}: {count} banned words"),
        }
    }
    assert!(reports.is_empty(), "{} banned words:\n{}", reports.len(), reports.join("\n"));
}

#[test]
fn planted_words_are_found() {
    for (kind, line) in [
        (Kind::DocStart, " What the item is."),
        (Kind::DocStart, " Whether it is there."),
        (Kind::DocStart, " How long it takes."),
        (Kind::Code, "let house = \"the house is full\";"),
        (Kind::Code, "fn the_peer_is_told() {"),
        (Kind::Code, "    error!(\"no such folder\");"),
        (Kind::Code, "struct Tenant;"),
        (Kind::Doc, "The client is no administrator."),
        (Kind::Code, "f.write_str(\"'{}' is no number\")"),
        (Kind::Document, "Nobody reads the device file."),
        (Kind::Document, "as of today"),
        (Kind::Code, "Err(format!(\"there is no board '{name}'\"))"),
        (Kind::Code, "// There are no children, so none exits."),
        (Kind::DocStart, " There was no console."),
        (Kind::Doc, "and there were no more."),
        (Kind::Document, "There is no default password."),
    ] {
        assert!(!findings(kind, line).is_empty(), "{line}");
    }
}

#[test]
fn plain_words_pass() {
    for (kind, line) in [
        (Kind::DocStart, " Record buffers of one TLS connection, reused by the next."),
        (Kind::Doc, "What follows is a continuation line."),
        (Kind::Doc, "There is none, and the name is no longer than 32 bytes."),
        (Kind::Code, "// foretold by an oracle"),
        (Kind::Code, "info!(\"service door: start by anna\");"),
        (Kind::Document, "The configuration file is not used."),
        (Kind::Document, "See the [file](device-file.md)."),
        (Kind::Document, "The reader prints `-- n bytes that are not a record --`."),
    ] {
        assert_eq!(findings(kind, line), [], "{line}");
    }
    let rust = "/// Noun.\n/// ```\n/// // What it shows\n/// ```\nfn a() {}\n";
    let kinds: Vec<usize> = lines(Path::new("a.rs"), rust).iter().map(|(number, ..)| *number).collect();
    assert_eq!(kinds, [1, 5]);
}

/// Headings of a decision, in their order. The first two are in every decision.
const DECISION: &[&str] = &["Question", "Decision", "Why", "Measured", "Against", "Alternatives"];

#[test]
fn decisions_follow_one_template() {
    for file in files("docs/decisions", &["md"]) {
        let Some(name) = file.strip_prefix("docs/decisions/").filter(|name| *name != "README.md") else {
            continue;
        };
        let text = fs::read_to_string(root().join(&file)).unwrap();
        let title = text.lines().next().unwrap();
        assert!(title.starts_with(&format!("# {}: ", &name[..4])), "{file}: title {title:?}");
        let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert!(headings.starts_with(&DECISION[..2]), "{file}: {headings:?}");
        let mut expected = DECISION.iter();
        for heading in &headings {
            assert!(expected.any(|known| known == heading), "{file}: '{heading}' is not in {DECISION:?}");
        }
        let index = fs::read_to_string(root().join("docs/decisions/README.md")).unwrap();
        assert!(index.contains(&format!("]({name})")), "docs/decisions/README.md does not list {name}");
    }
}
