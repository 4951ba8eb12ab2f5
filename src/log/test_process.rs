//! Tests in processes of their own, whose statics no other test uses.

use std::io::Read as _;
use std::process::{Command, Stdio};

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
    let command = command.args(["--exact", test]).env(ALONE, "1").stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    // A test of the keeper may have reaped it.
    let _ = child.wait();
    assert!(report.contains("test result: ok. 1 passed"), "{report}");
    false
}
