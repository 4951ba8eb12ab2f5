//! Parts of documents that are generated from the code.
//!
//! Such a part stands between `<!-- begin NAME -->` and `<!-- end NAME -->`. A test generates it again
//! and compares. With `FRIENDLET_WRITE_DOCS=1` in its environment it writes the part instead.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

/// Held by the test that reads or writes a document: tests of its other parts run at the same time.
static DOCUMENTS: Mutex<()> = Mutex::new(());

/// Asserts that `text` is the part `marker` of the document `path`, from the root of the repository.
#[track_caller]
pub(crate) fn check(path: &str, marker: &str, text: &str) {
    let _guard = DOCUMENTS.lock();
    let document = read(path);
    let new = replaced(&document, marker, text).unwrap_or_else(|| panic!("{path}: no part '{marker}'"));
    compare(path, &document, &new);
}

/// Asserts that `text` is the whole document `path`, from the root of the repository.
#[track_caller]
pub(crate) fn check_file(path: &str, text: &str) {
    let _guard = DOCUMENTS.lock();
    compare(path, &read(path), text);
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The document; empty where there is none yet.
fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_default()
}

/// The document with `text` as its part `marker`.
fn replaced(document: &str, marker: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- begin {marker} -->\n"), format!("<!-- end {marker} -->\n"));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some([before, &begin, text, &end, after].concat())
}

#[track_caller]
fn compare(path: &str, old: &str, new: &str) {
    if std::env::var_os("FRIENDLET_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(file(path), new).unwrap();
    } else if let Some((line, is, expected)) = first_difference(old, new) {
        panic!("{path}:{line}: '{is}' should be '{expected}'; FRIENDLET_WRITE_DOCS=1 writes it");
    }
}

/// The first line, from 1, in which `a` and `b` differ, and what each has there.
fn first_difference<'t>(a: &'t str, b: &'t str) -> Option<(usize, &'t str, &'t str)> {
    let (mut a, mut b) = (a.lines(), b.lines());
    for line in 1.. {
        match (a.next(), b.next()) {
            (None, None) => break,
            (a, b) if a != b => return Some((line, a.unwrap_or("(nothing)"), b.unwrap_or("(nothing)"))),
            _ => {}
        }
    }
    None
}

#[test]
fn one_part_is_replaced() {
    let document = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n<!-- begin y -->\n<!-- end y -->\n";
    let x = "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n<!-- begin y -->\n<!-- end y -->\n";
    assert_eq!(replaced(document, "x", "new\n").as_deref(), Some(x));
    let y = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n<!-- begin y -->\nnew\n<!-- end y -->\n";
    assert_eq!(replaced(document, "y", "new\n").as_deref(), Some(y));
    assert_eq!(replaced(document, "z", "new\n"), None);
    assert_eq!(replaced("<!-- begin x -->\n", "x", "new\n"), None);
}

#[test]
fn first_difference_is_reported() {
    assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some((2, "b", "c")));
    assert_eq!(first_difference("a\n", "a\nc\n"), Some((2, "(nothing)", "c")));
    assert_eq!(first_difference("a\nb\n", ""), Some((1, "a", "(nothing)")));
}
