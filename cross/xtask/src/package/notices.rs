//! Licences of friendlet and of every crate in the program: a static program ships with the notices of all of them.

use std::fs;

use cargo_metadata::Package;

use super::crates::Crates;
use super::files::name_of;
use crate::run;

/// Beginnings of the names of files with notices.
const NAMES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE"];
/// Text that Debian has at a place of its own.
const APACHE: &str = "Apache License";

/// The file of licences.
pub(super) fn text(crates: &Crates) -> Result<String, String> {
    let own = crates.friendlet();
    let description = own.description.as_deref().unwrap_or_default();
    let mut text = format!(
        "friendlet: {description}\n\nLicence: {}, at your choice. The text of Apache-2.0 is\n\
         /usr/share/common-licenses/Apache-2.0 on Debian, and LICENSE-APACHE in the sources.\n\n{}\n\
         The program is linked statically. It contains Rust's standard library (MIT OR Apache-2.0), musl (MIT) and\n\
         these crates, each with its licence:\n\n",
        licence(own),
        run::read(&run::root().join("LICENSE-MIT"))?
    );
    for package in crates.others() {
        text += &format!("  {} {}: {}\n", package.name, package.version, licence(package));
    }
    // Many crates share one text.
    let mut texts: Vec<(Vec<String>, String)> = Vec::new();
    for package in crates.others() {
        for notice in notices(package)? {
            let name = package.name.to_string();
            match texts.iter_mut().find(|(_, known)| *known == notice) {
                Some((names, _)) => names.push(name),
                None => texts.push((vec![name], notice)),
            }
        }
    }
    for (mut names, notice) in texts {
        names.dedup();
        text += &format!("\n---- {}\n\n{notice}\n", names.join(", "));
    }
    Ok(text)
}

fn licence(package: &Package) -> &str {
    package.license.as_deref().unwrap_or("see below")
}

/// Notices of a crate, in the order of their files; not the text of Apache-2.0.
fn notices(package: &Package) -> Result<Vec<String>, String> {
    let directory = package.manifest_path.parent().ok_or("a package without a directory")?;
    let failed = |error| format!("{directory}: {error}");
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = name_of(&path).to_uppercase();
        if path.is_file() && NAMES.iter().any(|begin| name.starts_with(begin)) {
            paths.push(path);
        }
    }
    paths.sort();
    let texts = paths.iter().map(|path| run::read(path)).collect::<Result<Vec<_>, _>>()?;
    let texts = texts.into_iter().filter(|text| !text.contains(APACHE));
    Ok(texts.map(|text| text.trim().replace("\r\n", "\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_has_its_licence() {
        let crates = Crates::linked("x86_64-unknown-linux-musl").unwrap();
        let text = text(&crates).unwrap();
        assert!(text.contains("The friendlet authors") && text.contains("Brian Smith"), "{text}");
        for package in crates.others() {
            assert!(package.license.is_some() || package.license_file.is_some(), "{}", package.name);
            assert!(text.contains(&format!("  {} {}: ", package.name, package.version)), "{}", package.name);
        }
        assert!(!text.contains("Grant of Patent License"));
    }
}
