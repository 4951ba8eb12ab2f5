//! The console in a real browser: the cases of `tests/system/console` in Debian's Chromium.

use crate::cargo::cargo;
use crate::{conformance, run, setup};

/// The browser, its WebDriver, and a font for the pictures.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "fonts-dejavu-core"];
/// Its wheel has axe-core, the checker of accessibility.
const AXE: &str = "axe-playwright-python==0.1.8";
/// A browser needs a core and more.
const TEST_THREADS: &str = "2";

/// Runs the cases.
pub(crate) fn check() -> Result<(), String> {
    setup::ensure(&PACKAGES)?;
    let directory = run::root().join("target/console");
    let target = directory.to_string_lossy();
    conformance::install(&directory, AXE, &["--no-deps", "--upgrade", "--target", &target])?;
    let arguments = ["test", "--locked", "--test", "it", "--", "--ignored", "--test-threads", TEST_THREADS];
    run::shown(cargo(&arguments).arg("system::console::"))
}
