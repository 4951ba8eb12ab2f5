//! The sources of the release, unpacked in another directory: their crates are all there, and they give the same bytes.
//! The package of the registry, unpacked: it installs.

use std::fs;
use std::path::{Path, PathBuf};

use super::files::{directory, name_of};
use super::manifest::Format;
use super::release;
use crate::cargo::cargo;
use crate::image::clean;
use crate::run;

/// Builds the packages of an architecture again, and compares them.
pub(super) fn check(architecture: &str) -> Result<(), String> {
    // Outside of this tree, whose configuration of cargo would hold below it.
    let elsewhere = std::env::temp_dir().join(format!("friendlet-built-again-{}", std::process::id()));
    clean(&elsewhere)?;
    let result = install(&elsewhere).and_then(|()| build_again(&elsewhere, architecture));
    fs::remove_dir_all(&elsewhere).map_err(|error| format!("{}: {error}", elsewhere.display()))?;
    result
}

/// Installs what `cargo publish` would upload.
fn install(elsewhere: &Path) -> Result<(), String> {
    let name = format!("friendlet-{}", release::version()?);
    let target = run::root().join("target");
    run::captured(&mut cargo(&[
        "package",
        "--quiet",
        "--no-verify",
        "--allow-dirty",
        "--package",
        "friendlet",
    ]))?;
    let archive = target.join(format!("package/{name}.crate"));
    run::captured(run::at_root("tar").arg("-xzf").arg(&archive).arg("-C").arg(elsewhere))?;
    let installed = elsewhere.join("installed");
    let mut command = cargo(&["install", "--quiet", "--debug", "--locked", "--no-track", "--path"]);
    command.arg(elsewhere.join(&name)).arg("--root").arg(&installed).arg("--target-dir").arg(&target);
    run::shown(&mut command)?;
    let version =
        run::captured(run::at_root(&installed.join("bin/friendlet").to_string_lossy()).arg("--version"))?;
    println!("    installed from {name}.crate: {}", version.trim());
    fs::remove_dir_all(elsewhere.join(name)).map_err(|error| format!("{}: {error}", elsewhere.display()))
}

fn build_again(elsewhere: &Path, architecture: &str) -> Result<(), String> {
    let name = format!("friendlet-{}", release::version()?);
    let archive = directory().join(format!("{name}.tar.xz"));
    run::captured(run::at_root("tar").arg("-xJf").arg(&archive).arg("-C").arg(elsewhere))?;
    let root = elsewhere.join(name);

    // All crates are in the archive: an empty home of cargo, and no network.
    let cargo_program = cargo(&[]).get_program().to_owned();
    let mut command = run::at_root("unshare");
    command.args(["--net", "--"]).arg(&cargo_program).args(["check", "--quiet", "--offline", "--locked"]);
    command.args(["--config", ".cargo/vendor.toml", "--package", "friendlet"]);
    command.current_dir(&root).env("CARGO_HOME", elsewhere.join("home"));
    run::shown(&mut command)?;

    let mut command = cargo(&["xtask", "package", "--target", architecture]);
    command.current_dir(&root).env_remove("SOURCE_DATE_EPOCH").env_remove("CARGO_TARGET_DIR");
    run::shown(&mut command)?;
    let packages = packages(&root.join("target/packages"))?;
    for package in &packages {
        let name = name_of(package);
        if run::bytes_of(package)? != run::bytes_of(&directory().join(&name))? {
            return Err(format!("{name}: {} and {} differ", root.display(), run::root().display()));
        }
        println!("    {name}: the same bytes from {}", root.display());
    }
    if packages.len() == Format::ALL.len() { Ok(()) } else { Err(format!("packages: {packages:?}")) }
}

/// The packages in a directory.
fn packages(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error| format!("{}: {error}", directory.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| ["apk", "deb", "ipk"].iter().any(|known| extension == *known))
        {
            found.push(path);
        }
    }
    Ok(found)
}
