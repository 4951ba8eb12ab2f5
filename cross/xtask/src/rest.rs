//! The API under `/api/v1` against its own description, by schemathesis, and the metrics by Prometheus's parser.

use crate::cargo::cargo;
use crate::{conformance, run};

/// It makes requests from the description, right and wrong ones, and compares the answers with it.
const TOOL: &str = "schemathesis==4.32.5";
/// It parses OpenMetrics as strictly as the format is.
const PARSER: &str = "prometheus_client==0.26.0";

/// Runs the cases.
pub(crate) fn check() -> Result<(), String> {
    let target = run::root().join("target");
    let tool = conformance::install(&target.join("schemathesis"), TOOL, &[])?;
    let parser = conformance::install(&target.join("prometheus"), PARSER, &[])?;
    let mut test = cargo(&["test", "--locked", "--test", "it", "--", "--ignored", "system::rest::tool_"]);
    test.env("FRIENDLET_SCHEMATHESIS", tool.join("bin/schemathesis"));
    run::shown(test.env("FRIENDLET_PROMETHEUS", parser.join("bin/python")))
}
