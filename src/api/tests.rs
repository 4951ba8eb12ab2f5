//! Paths of calls.

use super::*;

#[test]
fn path_splits_at_its_slashes() {
    let segments = |path| split(path).map(|segments| segments.join("|"));
    assert_eq!(
        segments("/system.library/services/hello/start/"),
        Some("system.library|services|hello|start".into())
    );
    assert_eq!(segments("system.library"), Some("system.library".into()));
    assert_eq!(segments("a//b"), Some("a||b".into()));
    assert_eq!(segments(""), Some("".into()));
    assert_eq!(segments("a/b/c/d/e/f"), None);
}

#[test]
fn each_path_of_the_table_finds_its_own_row() {
    for row in CALLS {
        let (found, name) = Row::find(row.path).unwrap();
        assert_eq!(found.path, row.path);
        assert_eq!(name.is_some(), row.path.contains(&calls::NAME), "{:?}", row.path);
    }
    let (row, name) = Row::find(&["services", "start"]).unwrap();
    assert_eq!((row.path, name), (&["services", calls::NAME, "start"][..], None));
    assert!(Row::find(&["services"]).is_none());
    assert!(Row::find(&["board", "start"]).is_none());
    assert!(Row::find(&[]).is_none());
}
