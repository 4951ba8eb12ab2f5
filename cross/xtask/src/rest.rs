//! The API under `/api/v1` against its own description, by schemathesis.

use crate::cargo::cargo;
use crate::{conformance, run};

/// It makes requests from the description, right and wrong ones, and compares the answers with it.
const TOOL: &str = "schemathesis==4.32.5";

/// Runs the case.
pub(crate) fn check() -> Result<(), String> {
    let environment = conformance::install(&run::root().join("target/schemathesis"), TOOL, &[])?;
    let arguments = ["test", "--locked", "--test", "it", "--", "--ignored", "--exact"];
    let mut test = cargo(&arguments);
    test.arg("system::rest::tool_finds_no_answer_that_differs_from_the_description");
    run::shown(test.env("FRIENDLET_SCHEMATHESIS", environment.join("bin/schemathesis")))
}
