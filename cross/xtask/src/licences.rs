//! The rules for friendlet's dependencies, `deny.toml`, held by two steps.
//!
//! `deny` reads the licences in a second. `cargo-deny` checks bans and sources as well; it takes minutes
//! to build, so it belongs to `cargo xtask test --all`.

use std::collections::BTreeSet;
use std::fs;

use cargo_metadata::{Metadata, MetadataCommand};
use serde::Deserialize;
use spdx::{Expression, LicenseReq, Licensee, ParseMode};

use crate::board::Board;
use crate::cargo::cargo;
use crate::run;

/// The version that the second step installs: a newer one may read `deny.toml` differently.
const CARGO_DENY: &str = "0.20.2";

/// The part of `deny.toml` that is read here.
#[derive(Debug, Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
}

/// The table `[graph]`.
#[derive(Debug, Deserialize)]
struct Graph {
    targets: BTreeSet<String>,
}

/// The table `[licenses]`.
#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

/// Licences that one package may have beside those that all may have.
#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: Vec<String>,
}

/// Name of a package, and its licence expression.
type Package = (String, Option<String>);

/// Checks the licence of every package that is built for a board.
pub(crate) fn check() -> Result<(), String> {
    let rules = Rules::read()?;
    let mut options = vec!["--locked".to_owned()];
    options.extend(rules.graph.targets.iter().map(|target| format!("--filter-platform={target}")));
    let mut command = MetadataCommand::new();
    command.current_dir(run::root()).features(cargo_metadata::CargoOpt::AllFeatures).other_options(options);
    let packages = packages(command.exec().map_err(|error| format!("cargo metadata: {error}"))?)?;
    println!("    {} packages, {} licences allowed", packages.len(), rules.licenses.allow.len());
    let refused = rules.licenses.refused(&packages)?;
    if refused.is_empty() {
        Ok(())
    } else {
        Err(format!("deny.toml allows no licence of {}", refused.join(", ")))
    }
}

/// Runs cargo-deny, which is installed under `target/tools` if this version is not there yet.
pub(crate) fn cargo_deny() -> Result<(), String> {
    let tools = run::root().join("target/tools");
    run::shown(
        cargo(&["install", "--quiet", "--locked", "cargo-deny", "--version", CARGO_DENY, "--root"])
            .arg(&tools),
    )?;
    let program = tools.join("bin/cargo-deny");
    run::shown(run::at_root(&program.to_string_lossy()).args([
        "--workspace",
        "check",
        "--hide-inclusion-graph",
        "bans",
        "licenses",
        "sources",
    ]))
}

impl Rules {
    fn read() -> Result<Self, String> {
        let text = fs::read_to_string(run::root().join("deny.toml"))
            .map_err(|error| format!("deny.toml: {error}"))?;
        let rules: Self = toml::from_str(&text).map_err(|error| format!("deny.toml: {error}"))?;
        rules.check_targets(&Board::all()?)?;
        Ok(rules)
    }

    /// The targets are those of the boards, no more and no fewer.
    fn check_targets(&self, boards: &[Board]) -> Result<(), String> {
        let built: BTreeSet<String> = boards.iter().map(|board| board.target.clone()).collect();
        if self.graph.targets == built {
            return Ok(());
        }
        Err(format!(
            "deny.toml: [graph] targets: {:?} are listed, the boards have {built:?}",
            self.graph.targets
        ))
    }
}

impl Licenses {
    /// The packages whose licence is not allowed, each with its licence.
    fn refused(&self, packages: &[Package]) -> Result<Vec<String>, String> {
        let general = licensees(&self.allow)?;
        let mut refused = Vec::new();
        for (name, licence) in packages {
            let own = self.exceptions.iter().filter(|exception| exception.package == *name);
            let own =
                own.map(|exception| licensees(&exception.allow)).collect::<Result<Vec<_>, _>>()?.concat();
            let is_allowed =
                |wanted: &LicenseReq| general.iter().chain(&own).any(|licensee| licensee.satisfies(wanted));
            let licence = licence.as_deref().unwrap_or_default();
            // Lax: older packages write `MIT/Apache-2.0`.
            let expression = Expression::parse_mode(licence, ParseMode::LAX);
            if !expression.is_ok_and(|expression| expression.evaluate(is_allowed)) {
                refused.push(format!("{name} ({licence})"));
            }
        }
        Ok(refused)
    }
}

fn licensees(names: &[String]) -> Result<Vec<Licensee>, String> {
    let parse =
        |name: &String| Licensee::parse(name).map_err(|error| format!("deny.toml: [licenses]: {error}"));
    names.iter().map(parse).collect()
}

/// The packages that are built, and their licences.
fn packages(metadata: Metadata) -> Result<Vec<Package>, String> {
    let resolve = metadata.resolve.ok_or("cargo metadata printed no resolve")?;
    let built: BTreeSet<_> = resolve.nodes.into_iter().map(|node| node.id).collect();
    let packages = metadata.packages.into_iter().filter(|package| built.contains(&package.id));
    Ok(packages.map(|package| (package.name.to_string(), package.license)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [graph]
        targets = ["t"]
        [licenses]
        allow = ["MIT", "ISC"]
        exceptions = [
            { crate = "subtle", allow = ["BSD-3-Clause"] },
            { crate = "llvm", allow = ["Apache-2.0 WITH LLVM-exception"] },
        ]
    "#;

    fn rules() -> Rules {
        toml::from_str(FILE).unwrap()
    }

    #[test]
    fn expressions_are_met_or_not() {
        for (name, licence, is_met) in [
            ("p", "MIT", true),
            ("p", "Apache-2.0 OR MIT", true),
            ("p", "MIT/Apache-2.0", true),
            ("p", "MIT AND ISC", true),
            ("p", "(MIT OR Apache-2.0) AND BSD-3-Clause", false),
            ("subtle", "(MIT OR Apache-2.0) AND BSD-3-Clause", true),
            ("llvm", "Apache-2.0 WITH LLVM-exception", true),
            ("llvm", "Apache-2.0", false),
            ("p", "BSD-3-Clause", false),
            ("p", "MIT AND GPL-3.0", false),
            ("p", "none", false),
            ("p", "", false),
            ("p", "(MIT", false),
            ("p", "MIT ISC", false),
        ] {
            let refused = rules().licenses.refused(&[(name.to_owned(), Some(licence.to_owned()))]).unwrap();
            assert_eq!(refused.is_empty(), is_met, "{name}: {licence}");
        }
        assert_eq!(rules().licenses.refused(&[("p".to_owned(), None)]).unwrap(), ["p ()"]);
    }

    #[test]
    fn deny_toml_lists_the_targets_of_the_boards() {
        Rules::read().unwrap();
        let error = rules().check_targets(&Board::all().unwrap()).unwrap_err();
        assert!(error.contains("armv5te-unknown-linux-musleabi"), "{error}");
    }
}
