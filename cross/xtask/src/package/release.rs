//! Files of a release beside its packages: the sources with all crates, and SHA256SUMS.

use std::fs;
use std::path::{Path, PathBuf};

use super::archive::{END, Entry, tar};
use super::deb::xz;
use super::files::{directory, hash, name_of, put};
use crate::cargo::cargo;
use crate::image::clean;
use crate::run;

/// Directory of the crates. By this name Buildroot knows that it has none to download.
const CRATES: &str = "VENDOR";
/// Configuration that has cargo use the crates of the archive: `cargo --config .cargo/vendor.toml build --offline`. It
/// is not that of the directory, because the crates of std, with which the boards are built, depend on the compiler.
const VENDORED: (&str, &str) = (
    ".cargo/vendor.toml",
    "[source.crates-io]\nreplace-with = \"vendored-sources\"\n\n\
     [source.vendored-sources]\ndirectory = \"VENDOR\"\n",
);

/// Writes the sources that git knows, and all crates, as an archive; returns its path.
pub(super) fn sources(time: u64) -> Result<PathBuf, String> {
    let name = format!("friendlet-{}", version()?);
    let work = directory().join("sources");
    let vendor = work.join(CRATES);
    clean(&work)?;
    run::captured(cargo(&["vendor", "--quiet", "--locked", "--versioned-dirs"]).arg(&vendor))?;
    let mut files = Vec::new();
    for path in run::captured(run::at_root("git").args(["ls-files", "-z"]))?.split_terminator('\0') {
        files.push((path.to_owned(), run::root().join(path)));
    }
    collect(&vendor, CRATES, &mut files)?;
    files.sort();
    let mut entries = vec![Entry::directory(format!("{name}/"))];
    for (path, file) in files {
        entries.push(entry(&format!("{name}/{path}"), &file)?);
    }
    entries.push(Entry::file(format!("{name}/{}", VENDORED.0), 0o644, VENDORED.1));
    // Without git, the time of the packages is that of this file.
    entries.push(Entry::file(format!("{name}/{}", crate::image::TIME_FILE), 0o644, format!("{time}\n")));
    let path = put(&format!("{name}.tar.xz"), &xz(&[tar(&entries, time), END.to_vec()].concat())?)?;
    fs::remove_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    Ok(path)
}

/// Entry of one file; a link is the file that it leads to.
fn entry(path: &str, file: &Path) -> Result<Entry, String> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
    Ok(Entry::file(path, mode, run::bytes_of(file)?))
}

/// Every file below a directory, with its path in the archive.
fn collect(directory: &Path, path: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", directory.display());
    for entry in fs::read_dir(directory).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let path = format!("{path}/{}", name_of(&file));
        if file.is_dir() {
            collect(&file, &path, files)?;
        } else {
            files.push((path, file));
        }
    }
    Ok(())
}

/// Version of friendlet.
pub(super) fn version() -> Result<String, String> {
    let text = run::read(&run::root().join("Cargo.toml"))?;
    let table: toml::Table = text.parse().map_err(|error| format!("Cargo.toml: {error}"))?;
    let version =
        table.get("package").and_then(|package| package.get("version")).and_then(toml::Value::as_str);
    version.map(str::to_owned).ok_or_else(|| "Cargo.toml: no version".to_owned())
}

/// Writes the sums of these files, in the form of sha256sum(1).
pub(super) fn sums(files: &[PathBuf]) -> Result<PathBuf, String> {
    let mut files = files.to_vec();
    files.sort();
    let mut text = String::new();
    for file in &files {
        text += &format!("{}  {}\n", hash("sha256sum", &run::bytes_of(file)?)?, name_of(file));
    }
    put("SHA256SUMS", text.as_bytes())
}
