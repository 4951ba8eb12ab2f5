//! The console in a real browser: the cases of `tests/system/console` in Debian's Chromium.

use crate::cargo::cargo;
use crate::{run, setup};

/// The browser, its WebDriver, and a font for the screenshots.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "fonts-dejavu-core"];
/// A browser needs a core and more.
const TEST_THREADS: &str = "2";

/// Runs the cases.
pub(crate) fn check() -> Result<(), String> {
    setup::ensure(&PACKAGES)?;
    let arguments = ["test", "--locked", "--test", "it", "--", "--ignored", "--test-threads", TEST_THREADS];
    run::shown(cargo(&arguments).arg("system::console::"))
}
