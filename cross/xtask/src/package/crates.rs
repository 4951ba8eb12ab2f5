//! Crates that are linked into the program of a target, from cargo's metadata.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package, PackageId, TargetKind};

use crate::run;

/// The crates and their dependencies.
#[derive(Debug)]
pub(super) struct Crates {
    /// In the order of names and versions, friendlet first.
    pub(super) packages: Vec<Package>,
    /// Dependencies of each that are linked, too.
    pub(super) dependencies: BTreeMap<PackageId, Vec<PackageId>>,
}

impl Crates {
    /// The crates of the program for `target`, with the features of a package.
    pub(super) fn linked(target: &str) -> Result<Self, String> {
        let mut command = MetadataCommand::new();
        command
            .current_dir(run::root())
            .other_options(["--locked".to_owned(), format!("--filter-platform={target}")]);
        let metadata = command.exec().map_err(|error| format!("cargo metadata: {error}"))?;
        let resolve = metadata.resolve.as_ref().ok_or("cargo metadata: no graph of dependencies")?;
        let own = metadata.packages.iter().find(|package| *package.name == "friendlet");
        let own = own.ok_or("cargo metadata: no friendlet")?;
        let mut dependencies = BTreeMap::new();
        let mut pending = vec![own.id.clone()];
        while let Some(id) = pending.pop() {
            let node = resolve.nodes.iter().find(|node| node.id == id);
            let is_normal = |dependency: &&cargo_metadata::NodeDep| {
                dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal)
            };
            let mut linked = BTreeSet::new();
            for dependency in node.map_or(&[][..], |node| &node.deps).iter().filter(is_normal) {
                // A macro runs in the compiler.
                if !is_macro(&metadata[&dependency.pkg]) {
                    linked.insert(dependency.pkg.clone());
                }
            }
            pending.extend(linked.iter().filter(|id| !dependencies.contains_key(*id)).cloned());
            dependencies.insert(id, linked.into_iter().collect());
        }
        let mut packages: Vec<Package> = dependencies.keys().map(|id| metadata[id].clone()).collect();
        packages.sort_by_key(|package| {
            (*package.name != "friendlet", package.name.to_string(), package.version.clone())
        });
        Ok(Self { packages, dependencies })
    }

    /// The package that is made.
    pub(super) fn friendlet(&self) -> &Package {
        &self.packages[0]
    }

    /// All crates but friendlet.
    pub(super) fn others(&self) -> &[Package] {
        &self.packages[1..]
    }
}

fn is_macro(package: &Package) -> bool {
    package.targets.iter().any(|target| target.kind.contains(&TargetKind::ProcMacro))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_linked_crates_are_found() {
        let crates = Crates::linked("armv7-unknown-linux-musleabihf").unwrap();
        assert_eq!(*crates.friendlet().name, "friendlet");
        let has = |name: &str| crates.others().iter().any(|package| *package.name == name);
        assert!(has("ring") && has("rustix") && has("untrusted"));
        // For tests, for the build, for other targets, for the compiler.
        for name in ["proptest", "zopfli", "windows-sys", "serde_derive", "defmt", "xtask"] {
            assert!(!has(name), "{name}");
        }
    }
}
