//! Parts of the documents that are made from the code.

use std::fs;
use std::path::PathBuf;

/// Compares the part of the document `path` between the markers of `marker` with `text`. With
/// `FRIENDLET_WRITE_DOCS=1` in the environment it writes `text` there first.
#[track_caller]
pub(crate) fn check(path: &str, marker: &str, text: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    let document = fs::read_to_string(&file).unwrap();
    let (begin, end) = (format!("<!-- begin {marker} -->\n"), format!("<!-- end {marker} -->\n"));
    let (before, rest) = document.split_once(&begin).unwrap_or_else(|| panic!("{path}: no {begin}"));
    let (part, after) = rest.split_once(&end).unwrap_or_else(|| panic!("{path}: no {end}"));
    if std::env::var_os("FRIENDLET_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&file, [before, &begin, text, &end, after].concat()).unwrap();
        return;
    }
    if let Some((line, (is, should_be))) = differing_line(part, text) {
        panic!(
            "{path}, line {line} of '{marker}': '{is}' should be '{should_be}'; \
             FRIENDLET_WRITE_DOCS=1 writes it anew"
        );
    }
}

/// The first line, from 1, in which `a` and `b` differ, and what each has there.
fn differing_line<'t>(a: &'t str, b: &'t str) -> Option<(usize, (&'t str, &'t str))> {
    let count = a.lines().count().max(b.lines().count());
    let lines = |text: &'t str| text.lines().map(Some).chain(std::iter::repeat(None));
    let mut pairs = lines(a).zip(lines(b)).take(count).enumerate();
    pairs.find_map(|(line, (a, b))| (a != b).then(|| (line + 1, (a.unwrap_or("-"), b.unwrap_or("-")))))
}

#[test]
fn first_difference_is_reported() {
    assert_eq!(differing_line("a\nb\n", "a\nb\n"), None);
    assert_eq!(differing_line("a\nb\n", "a\nc\n"), Some((2, ("b", "c"))));
    assert_eq!(differing_line("a\n", "a\nc\n"), Some((2, ("-", "c"))));
    assert_eq!(differing_line("a\nb\n", ""), Some((1, ("a", "-"))));
}
