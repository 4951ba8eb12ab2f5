//! List of the components of a program: CycloneDX 1.5, as JSON.

use std::path::PathBuf;

use cargo_metadata::Package;
use serde_json::{Value, json};

use super::content::Content;
use super::crates::Crates;
use super::files::put;
use crate::run;

/// Writes the list of an architecture; returns its path.
pub(super) fn write(content: &Content<'_>) -> Result<PathBuf, String> {
    let rust = run::captured(run::at_root("rustc").arg("--version"))?;
    let rust = rust.split(' ').nth(1).unwrap_or_default();
    let lock = run::read(&run::root().join("Cargo.lock"))?;
    let text =
        serde_json::to_string_pretty(&list(&content.crates, &content.architecture, rust, &sums(&lock)?));
    let text = text.map_err(|error| format!("list of components: {error}"))? + "\n";
    let name = format!("friendlet_{}_{}.cdx.json", content.version(), content.architecture);
    put(&name, text.as_bytes())
}

/// SHA-256 of each crate of a lock file: name, version and sum.
fn sums(lock: &str) -> Result<Vec<[String; 3]>, String> {
    let table: toml::Table = lock.parse().map_err(|error| format!("Cargo.lock: {error}"))?;
    let packages = table.get("package").and_then(toml::Value::as_array).ok_or("Cargo.lock: no package")?;
    let sum = |package: &toml::Value| {
        let text = |key: &str| Some(package.get(key)?.as_str()?.to_owned());
        Some([text("name")?, text("version")?, text("checksum")?])
    };
    Ok(packages.iter().filter_map(sum).collect())
}

fn list(crates: &Crates, architecture: &str, rust: &str, sums: &[[String; 3]]) -> Value {
    let own = crates.friendlet();
    let mut program = component(own, sums);
    program["type"] = json!("application");
    program["properties"] = json!([{ "name": "friendlet:architecture", "value": architecture }]);
    let mut components: Vec<Value> = crates.others().iter().map(|package| component(package, sums)).collect();
    components.push(json!({
        "type": "library", "bom-ref": "std", "name": "Rust standard library", "version": rust,
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    }));
    components.push(json!({
        "type": "library", "bom-ref": "musl", "name": "musl", "licenses": [{ "license": { "id": "MIT" } }],
    }));
    let reference =
        |id: &cargo_metadata::PackageId| crates.packages.iter().find(|package| package.id == *id).map(purl);
    let dependencies: Vec<Value> = crates
        .packages
        .iter()
        .map(|package| {
            let of = crates.dependencies.get(&package.id).map(Vec::as_slice).unwrap_or_default();
            let mut on: Vec<String> = of.iter().filter_map(reference).collect();
            if package.id == own.id {
                on.extend(["std", "musl"].map(str::to_owned));
            }
            on.sort();
            json!({ "ref": purl(package), "dependsOn": on })
        })
        .collect();
    json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": { "component": program },
        "components": components,
        "dependencies": dependencies,
    })
}

fn component(package: &Package, sums: &[[String; 3]]) -> Value {
    let version = package.version.to_string();
    let mut component = json!({
        "type": "library", "bom-ref": purl(package), "name": *package.name, "version": version, "purl": purl(package),
    });
    if let Some(about) = &package.description {
        component["description"] = json!(about.trim());
    }
    if let Some(licence) = &package.license {
        // Older packages write `MIT/Apache-2.0`.
        component["licenses"] = json!([{ "expression": licence.replace('/', " OR ") }]);
    }
    if let Some([_, _, sum]) =
        sums.iter().find(|[name, of, _]| *name == *package.name.as_str() && *of == version)
    {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    component
}

/// The name of a package among those of all registries.
fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_every_crate_with_its_sum_and_its_dependencies() {
        let crates = Crates::linked("aarch64-unknown-linux-musl").unwrap();
        let lock = run::read(&run::root().join("Cargo.lock")).unwrap();
        let list = list(&crates, "arm64", "1.2.3", &sums(&lock).unwrap());
        let components = list["components"].as_array().unwrap();
        assert_eq!(components.len(), crates.others().len() + 2);
        let ring = components.iter().find(|component| component["name"] == "ring").unwrap();
        assert_eq!(ring["hashes"][0]["content"].as_str().unwrap().len(), 64);
        let references: Vec<&Value> = components.iter().map(|component| &component["bom-ref"]).collect();
        for dependency in list["dependencies"].as_array().unwrap() {
            for on in dependency["dependsOn"].as_array().unwrap() {
                assert!(references.contains(&on), "{on}");
            }
        }
    }
}
