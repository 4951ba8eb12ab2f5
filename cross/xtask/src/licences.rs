//! The licences of all dependencies against the allow list of `deny.toml`.
//!
//! cargo-deny does this and more, and is run where it is installed. It takes minutes to build, so
//! the part that matters in every change is done here, with cargo alone.

use std::collections::BTreeSet;
use std::fs;

use crate::cargo::cargo;
use crate::json::{self, Value};
use crate::run;

/// Checks every package of the lock file for the host, then runs cargo-deny if it is there.
pub(crate) fn check() -> Result<(), String> {
    let path = run::root().join("deny.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let rules = rules(&text)?;
    let target = host()?;
    let metadata = run::captured(&mut cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        &target,
    ]))?;
    let packages = packages(&json::parse(&metadata)?)?;
    let refused = refused(&packages, &rules);
    println!("    {} packages, {} licences allowed", packages.len(), rules.allow.len());
    if !refused.is_empty() {
        return Err(format!("deny.toml allows no licence of: {}", refused.join(", ")));
    }
    if run::works("cargo-deny", &["--version"]) {
        run::shown(run::at_root("cargo-deny").args(["check", "bans", "licenses", "sources"]))?;
    } else {
        println!("    cargo-deny is not installed: bans and sources are not looked at");
    }
    Ok(())
}

/// What `[licenses]` of deny.toml says.
#[derive(Debug, Default, PartialEq)]
struct Rules {
    allow: BTreeSet<String>,
    exceptions: Vec<(String, BTreeSet<String>)>,
}

fn rules(text: &str) -> Result<Rules, String> {
    let file: toml::Table = text.parse().map_err(|error| format!("deny.toml: {error}"))?;
    let licenses = file.get("licenses").ok_or("deny.toml: [licenses] is missing")?;
    let mut rules = Rules { allow: names(licenses.get("allow")), ..Rules::default() };
    for exception in licenses.get("exceptions").and_then(toml::Value::as_array).into_iter().flatten() {
        let package = exception.get("crate").and_then(toml::Value::as_str);
        let package = package.ok_or("deny.toml: an exception names no crate")?;
        rules.exceptions.push((package.to_owned(), names(exception.get("allow"))));
    }
    Ok(rules)
}

fn names(list: Option<&toml::Value>) -> BTreeSet<String> {
    let list = list.and_then(toml::Value::as_array);
    list.into_iter().flatten().filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

/// Name and licence expression of every package that is built for the target.
fn packages(metadata: &Value) -> Result<Vec<(String, String)>, String> {
    let nodes = metadata.member("resolve").and_then(|resolve| resolve.member("nodes"));
    let nodes = nodes.ok_or("cargo metadata printed no resolve")?.elements();
    let built: BTreeSet<&str> = nodes.iter().filter_map(|node| node.member("id")?.text()).collect();
    let mut found = Vec::new();
    for package in metadata.member("packages").map_or(&[][..], Value::elements) {
        let field = |key| package.member(key).and_then(Value::text);
        if field("id").is_some_and(|id| built.contains(id)) {
            let name = field("name").ok_or("cargo metadata printed a package without a name")?;
            found.push((name.to_owned(), field("license").unwrap_or("none").to_owned()));
        }
    }
    if found.is_empty() { Err("cargo metadata printed no package".to_owned()) } else { Ok(found) }
}

fn refused(packages: &[(String, String)], rules: &Rules) -> Vec<String> {
    let is_refused = |(name, licence): &&(String, String)| {
        let extra = rules.exceptions.iter().find(|(package, _)| package == name).map(|(_, allow)| allow);
        !allowed(licence, &|id| rules.allow.contains(id) || extra.is_some_and(|allow| allow.contains(id)))
    };
    packages.iter().filter(is_refused).map(|(name, licence)| format!("{name} ({licence})")).collect()
}

/// Whether an SPDX expression can be met: `OR` (older: `/`), `AND`, `WITH` and brackets.
fn allowed(expression: &str, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, is_allowed) && rest.is_empty()
}

fn any_of(words: &mut &[&str], is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = all_of(words, is_allowed);
    while let ["OR", rest @ ..] = *words {
        *words = rest;
        met |= all_of(words, is_allowed);
    }
    met
}

fn all_of(words: &mut &[&str], is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut met = one(words, is_allowed);
    while let ["AND", rest @ ..] = *words {
        *words = rest;
        met &= one(words, is_allowed);
    }
    met
}

fn one(words: &mut &[&str], is_allowed: &dyn Fn(&str) -> bool) -> bool {
    match *words {
        ["(", rest @ ..] => {
            *words = rest;
            let met = any_of(words, is_allowed);
            let closed = words.first() == Some(&")");
            *words = words.get(1..).unwrap_or_default();
            met && closed
        }
        [licence, "WITH", exception, rest @ ..] => {
            *words = rest;
            is_allowed(&format!("{licence} WITH {exception}"))
        }
        [licence, rest @ ..] => {
            *words = rest;
            is_allowed(licence)
        }
        [] => false,
    }
}

/// The target triple of this machine.
fn host() -> Result<String, String> {
    let version = run::captured(run::at_root("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        [licenses]
        allow = ["MIT", "ISC"]
        exceptions = [{ crate = "subtle", allow = ["BSD-3-Clause"] }]
    "#;

    #[test]
    fn expressions_are_met_or_not() {
        let is_allowed = |id: &str| ["MIT", "ISC", "Unicode-3.0", "GPL-2.0 WITH X"].contains(&id);
        for met in [
            "MIT",
            "Apache-2.0 OR MIT",
            "MIT/Apache-2.0",
            "MIT AND ISC",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "GPL-2.0 WITH X OR Y",
        ] {
            assert!(allowed(met, &is_allowed), "{met}");
        }
        for unmet in
            ["Apache-2.0", "MIT AND GPL-3.0", "none", "", "(MIT", "MIT ISC", "GPL-2.0", "GPL-2.0 WITH Y"]
        {
            assert!(!allowed(unmet, &is_allowed), "{unmet}");
        }
    }

    #[test]
    fn an_exception_counts_for_its_package_alone() {
        let rules = rules(FILE).unwrap();
        let packages = [("subtle", "BSD-3-Clause"), ("other", "BSD-3-Clause"), ("fine", "ISC")]
            .map(|(name, licence)| (name.to_owned(), licence.to_owned()));
        assert_eq!(refused(&packages, &rules), ["other (BSD-3-Clause)"]);
    }

    #[test]
    fn only_what_is_built_is_looked_at() {
        let metadata = json::parse(
            r#"{"packages":[{"id":"a 1","name":"a","license":"MIT"},{"id":"b 1","name":"b","license":null},
                {"id":"c 1","name":"c","license":"GPL-3.0"}],"resolve":{"nodes":[{"id":"a 1"},{"id":"b 1"}]}}"#,
        )
        .unwrap();
        let found = packages(&metadata).unwrap();
        assert_eq!(refused(&found, &rules(FILE).unwrap()), ["b (none)"]);
    }
}
