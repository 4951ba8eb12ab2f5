//! Debian packages of other architectures: fetched, kept in `target/downloads`, unpacked, never
//! installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::run;

/// Tries of one download: a mirror in the middle of an update refuses for a moment.
const TRIES: u32 = 3;
/// Pause before another try.
const PAUSE: Duration = Duration::from_secs(5);

/// Directory of packages and their unpacked files.
fn downloads() -> PathBuf {
    run::root().join("target/downloads")
}

/// The files of the kernel package behind `package` (`linux-image-armmp:armhf`), whose version must
/// be one of `abi` (`6.1.0-*`).
pub(crate) fn kernel(package: &str, abi: &str) -> Result<PathBuf, String> {
    let (name, architecture) =
        package.split_once(':').ok_or_else(|| format!("'{package}': no architecture"))?;
    let flavour = name.trim_start_matches("linux-image-");
    let versioned = match depends(package) {
        Ok(text) => {
            let found = kernel_of(&text).ok_or_else(|| {
                format!("`apt-cache depends {package}` names no kernel; is the architecture known to apt?")
            })?;
            if !fits(found.trim_start_matches("linux-image-"), abi, flavour) {
                return Err(format!(
                    "{package} is now {found}, and the board was tried with {abi}: try the new one, then \
                     change kernel_abi in its board.toml"
                ));
            }
            format!("{found}:{architecture}")
        }
        // Without the archive's lists, what was fetched before is as good.
        Err(error) => newest(&downloads(), abi, flavour, architecture).ok_or(error)?,
    };
    files(&versioned)
}

fn depends(package: &str) -> Result<String, String> {
    let mut command = run::at_root("apt-cache");
    let text = run::captured(command.args(["depends", package]))
        .map_err(|error| format!("{error}; `cargo xtask setup` lets apt know the boards' architectures"))?;
    if text.contains("Depends:") { Ok(text) } else { Err(format!("apt knows no package {package}")) }
}

/// The kernel that a package without content depends on, without its architecture.
fn kernel_of(depends: &str) -> Option<&str> {
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.filter_map(|name| name.split(':').next()).find(|name| name.starts_with("linux-image-"))
}

/// Returns whether `version`, `6.1.0-50-armmp`, belongs to `abi`, `6.1.0-*`, in this flavour.
fn fits(version: &str, abi: &str, flavour: &str) -> bool {
    let Some(abi_found) = version.strip_suffix(flavour).and_then(|rest| rest.strip_suffix('-')) else {
        return false;
    };
    match abi.split_once('*') {
        None => abi == abi_found,
        Some((before, after)) => abi_found
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())),
    }
}

/// The newest kernel among what was fetched before: by the length of its number, then by the number.
fn newest(directory: &Path, abi: &str, flavour: &str, architecture: &str) -> Option<String> {
    let end = format!("_{architecture}.deb");
    let mut found: Vec<String> = fs::read_dir(directory)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name().into_string().ok()?;
            let name = file.strip_suffix(&end)?.split('_').next()?.to_owned();
            fits(name.strip_prefix("linux-image-")?, abi, flavour).then_some(name)
        })
        .collect();
    found.sort_by_key(|name| (name.len(), name.clone()));
    found.pop().map(|name| format!("{name}:{architecture}"))
}

/// The unpacked files of `package`, fetched if they are not there.
pub(crate) fn files(package: &str) -> Result<PathBuf, String> {
    let directory = downloads();
    run::create_directory(&directory)?;
    let file = match archive_name(package) {
        Ok(name) => directory.join(name),
        Err(error) => fetched(&directory, package).ok_or(error)?,
    };
    if !file.is_file() {
        fetch(package, &directory)?;
    }
    if !file.is_file() {
        return Err(format!("apt-get download {package} left no {}", file.display()));
    }
    unpack(&file)
}

/// The name of the archive that apt would fetch.
fn archive_name(package: &str) -> Result<String, String> {
    let mut command = run::at_root("apt-get");
    command.args(["download", "--print-uris", package]);
    let text = run::captured(&mut command)
        .map_err(|error| format!("{error}; `cargo xtask setup` lets apt know the boards' architectures"))?;
    text.lines()
        .find(|line| line.starts_with('\''))
        .and_then(|line| line.split(' ').nth(1))
        .map(str::to_owned)
        .ok_or_else(|| format!("apt knows no package {package}"))
}

/// A package that was fetched before; the last of several names.
fn fetched(directory: &Path, package: &str) -> Option<PathBuf> {
    let (name, architecture) = package.split_once(':')?;
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            file.starts_with(&format!("{name}_")) && file.ends_with(&format!("_{architecture}.deb"))
        })
        .collect();
    found.sort();
    found.pop()
}

fn fetch(package: &str, directory: &Path) -> Result<(), String> {
    println!("    fetching {package} into {}", directory.display());
    let mut result = Ok(());
    for attempt in 0..TRIES {
        if attempt > 0 {
            println!("    trying again in {} s", PAUSE.as_secs());
            std::thread::sleep(PAUSE);
        }
        let mut command = run::at_root("apt-get");
        command.args(["download", "-q", "-o", "APT::Sandbox::User=root", package]).current_dir(directory);
        result = run::shown(&mut command);
        if result.is_ok() {
            return result;
        }
    }
    result.map_err(|error| format!("{error}; `apt-get update` refreshes apt's lists"))
}

/// Unpacks an archive beside itself, once; a half unpacked one never has the final name.
fn unpack(archive: &Path) -> Result<PathBuf, String> {
    let directory = archive.with_extension("files");
    if directory.is_dir() {
        return Ok(directory);
    }
    println!("    unpacking {}", archive.file_name().unwrap_or_default().to_string_lossy());
    let part = archive.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).map_err(|error| format!("{}: {error}", part.display()))?;
    }
    let mut command = run::at_root("dpkg-deb");
    run::captured(command.arg("-x").arg(archive).arg(&part))?;
    fs::rename(&part, &directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_found_behind_its_flavour() {
        let text = "linux-image-armmp:armhf\n  Depends: linux-image-6.1.0-50-armmp:armhf\n  Suggests: x\n";
        assert_eq!(kernel_of(text), Some("linux-image-6.1.0-50-armmp"));
        assert_eq!(kernel_of("linux-image-armmp\n  Depends: kmod\n"), None);
    }

    #[test]
    fn a_version_fits_its_pattern_and_flavour_alone() {
        assert!(fits("6.1.0-50-armmp", "6.1.0-*", "armmp"));
        assert!(fits("6.1.0-50-armmp", "6.1.0-50", "armmp"));
        for version in ["6.1.0-50-armmp-lpae", "6.12.0-1-armmp", "6.1.0--armmp", "6.1.0-50-rt-armmp", "armmp"]
        {
            assert!(!fits(version, "6.1.0-*", "armmp"), "{version}");
        }
    }

    #[test]
    fn the_newest_of_what_is_there_serves_without_the_archive() {
        let directory = std::env::temp_dir().join(format!("friendlet-packages-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for version in ["6.1.0-9", "6.1.0-50", "6.1.0-49", "6.12.0-60"] {
            fs::write(directory.join(format!("linux-image-{version}-armmp_1_armhf.deb")), "").unwrap();
        }
        fs::write(directory.join("linux-image-6.1.0-99-armmp_1_armel.deb"), "").unwrap();
        let found = newest(&directory, "6.1.0-*", "armmp", "armhf");
        let missing = newest(&directory, "5.10.0-*", "armmp", "armhf");
        let package = fetched(&directory, "linux-image-6.1.0-49-armmp:armhf");
        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(found.as_deref(), Some("linux-image-6.1.0-50-armmp:armhf"));
        assert_eq!(missing, None);
        assert!(package.unwrap().ends_with("linux-image-6.1.0-49-armmp_1_armhf.deb"));
    }
}
