//! A server that is announced on its network, found by another implementation of multicast DNS.

use crate::cargo::cargo;
use crate::{conformance, run};

/// It has been that of Home Assistant for years, and parses strictly.
const TOOL: &str = "zeroconf==0.154.0";

/// Runs the case.
pub(crate) fn check() -> Result<(), String> {
    let tool = conformance::install(&run::root().join("target/zeroconf"), TOOL, &[])?;
    let mut test =
        cargo(&["test", "--locked", "--test", "it", "--", "--ignored", "system::discovery::tool_"]);
    run::shown(test.env("FRIENDLET_ZEROCONF", tool.join("bin/python")))
}
