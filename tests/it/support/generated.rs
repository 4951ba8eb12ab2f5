//! Parts of documents that are generated from the code.
//!
//! Such a part stands between `<!-- begin: NAME -->` and `<!-- end -->`. A test generates it again and
//! compares. With `FRIENDLET_WRITE_DOCS=1` in its environment it writes the part instead.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

/// Tests that write parts of the same file run at the same time.
static WRITING: Mutex<()> = Mutex::new(());

/// Asserts that `text` is the part `marker` of the file at `path`, from the root of the repository.
#[track_caller]
pub(crate) fn check(path: &str, marker: &str, text: &str) {
    let _guard = WRITING.lock();
    let old = read(path);
    let new = replaced(&old, marker, text).unwrap_or_else(|| panic!("{path}: no part '{marker}'"));
    compare(path, marker, &old, &new);
}

/// Asserts that `text` is the whole file at `path`, from the root of the repository.
#[track_caller]
pub(crate) fn check_file(path: &str, text: &str) {
    let _guard = WRITING.lock();
    compare(path, "the whole file", &read(path), text);
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Content of a file; empty if there is none yet.
fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_default()
}

/// The document with `text` as its part `marker`.
fn replaced(document: &str, marker: &str, text: &str) -> Option<String> {
    let begin = format!("<!-- begin: {marker} -->\n");
    let start = document.find(&begin)? + begin.len();
    let end = start + document.get(start..)?.find("<!-- end -->")?;
    Some([document.get(..start)?, text, document.get(end..)?].concat())
}

#[track_caller]
fn compare(path: &str, part: &str, old: &str, new: &str) {
    if old == new {
        return;
    }
    if std::env::var_os("FRIENDLET_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(file(path), new).unwrap();
        return;
    }
    let line = old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count();
    panic!(
        "{path}: {part} is not what the code generates, from line {} on.\n is: {}\nnew: {}\n\
         FRIENDLET_WRITE_DOCS=1 cargo test --test it writes it.",
        line + 1,
        old.lines().nth(line).unwrap_or_default(),
        new.lines().nth(line).unwrap_or_default()
    );
}

#[test]
fn one_part_is_replaced() {
    let document = "a\n<!-- begin: x -->\nold\n<!-- end -->\nb\n<!-- begin: y -->\n<!-- end -->\n";
    let x = "a\n<!-- begin: x -->\nnew\n<!-- end -->\nb\n<!-- begin: y -->\n<!-- end -->\n";
    assert_eq!(replaced(document, "x", "new\n").as_deref(), Some(x));
    let y = "a\n<!-- begin: x -->\nold\n<!-- end -->\nb\n<!-- begin: y -->\nnew\n<!-- end -->\n";
    assert_eq!(replaced(document, "y", "new\n").as_deref(), Some(y));
    assert_eq!(replaced(document, "z", "new\n"), None);
    assert_eq!(replaced("<!-- begin: x -->\n", "x", "new\n"), None);
}
