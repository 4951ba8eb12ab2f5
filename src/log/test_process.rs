//! Tests in processes of their own, whose statics no other test uses.

use std::process::Command;

/// Variable of a process that runs one test.
const ALONE: &str = "FRIENDLET_TEST_ALONE";

/// Runs a test by its path in a process of its own.
pub(crate) fn alone(test: &str, run: impl FnOnce()) {
    if is_alone(test) {
        run();
    }
}

/// Returns true in a process of one test; otherwise runs the test in such a process.
pub(crate) fn is_alone(test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test]).env(ALONE, "1").output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("1 passed"), "{report}");
    false
}
