//! The read-only root, as squashfs and as an archive.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::Files;
use super::modules::{self, Module};
use super::packages;
use super::work::{Work, clean};
use crate::elf::Elf;
use crate::{build, run};

/// Directories of the root in which something else is mounted or made.
pub(super) const MOUNT_POINTS: [(&str, u32); 6] =
    [("proc", 0o555), ("sys", 0o555), ("dev", 0o755), ("run", 0o755), ("tmp", 0o1777), ("data", 0o755)];
pub(super) const PASSWD: &str = "root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n";
pub(super) const GROUP: &str = "root:x:0:\nnobody:x:65534:\n";

/// Kernel modules of the root.
pub(super) struct Hotplug<'a> {
    /// Release of the kernel.
    pub(super) release: &'a str,
    /// Modules in an order in which they can be loaded.
    pub(super) modules: &'a [Module],
}

/// Package of the program that checks the data, and the program in it: static, for the root has no library.
const CHECKER: (&str, &str) = ("e2fsck-static", "sbin/e2fsck.static");
/// The program in the root.
const CHECKER_PATH: &str = "sbin/e2fsck";

/// Puts the program that checks the data into the tree, unless that has one. `architecture` is Debian's name.
pub(super) fn put_checker(tree: &Path, architecture: &str) -> Result<(), String> {
    let to = tree.join(CHECKER_PATH);
    if fs::symlink_metadata(&to).is_ok() {
        return Ok(());
    }
    let (package, program) = CHECKER;
    let from = packages::files(&format!("{package}:{architecture}"))?.join(program);
    run::write(&to, run::bytes_of(&from)?)?;
    set_mode(&to, 0o755)
}

/// Makes its tree of `binary` and of the content of `programs`, whose user database and modules replace ours.
pub(super) fn make(
    work: &Work,
    binary: &[u8],
    programs: Option<&Path>,
    hotplug: Option<&Hotplug<'_>>,
) -> Result<PathBuf, String> {
    let tree = work.directory.join("root");
    clean(&tree)?;
    if let Some(directory) = programs {
        let mut command = work.tool("cp");
        run::captured(command.arg("-a").arg(directory.join(".")).arg(&tree))?;
    }
    set_mode(&tree, 0o755)?;
    for (name, mode) in MOUNT_POINTS.into_iter().chain([("etc", 0o755), ("sbin", 0o755)]) {
        set_mode(&directory(&tree, name)?, mode)?;
    }
    for (name, content) in [("etc/passwd", PASSWD), ("etc/group", GROUP)] {
        let path = tree.join(name);
        if fs::symlink_metadata(&path).is_err() {
            run::write(&path, content)?;
            set_mode(&path, 0o644)?;
        }
    }
    let [program, link] = ["sbin/friendlet", "sbin/init"].map(|name| tree.join(name));
    for path in [&program, &link] {
        if fs::symlink_metadata(path).is_ok() {
            fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    run::write(&program, binary)?;
    set_mode(&program, 0o755)?;
    symlink("friendlet", &link).map_err(|error| format!("{}: {error}", link.display()))?;
    if let Some(hotplug) = hotplug {
        put_modules(&tree, hotplug)?;
    }
    Ok(tree)
}

/// Puts the modules and their tables where `friendlet init` looks for them.
fn put_modules(tree: &Path, hotplug: &Hotplug<'_>) -> Result<(), String> {
    let mut path = PathBuf::new();
    for name in ["lib", "modules", hotplug.release] {
        path.push(name);
        set_mode(&directory(tree, &path.display().to_string())?, 0o755)?;
    }
    let path = tree.join(path);
    let tables = modules::tables(hotplug.modules);
    if fs::symlink_metadata(path.join(tables[0].0)).is_ok() {
        println!("    the modules of the given root stay");
        return Ok(());
    }
    for module in hotplug.modules {
        run::write(&path.join(format!("{}.ko", module.name)), &module.bytes)?;
    }
    tables.iter().try_for_each(|(name, text)| run::write(&path.join(name), text))
}

/// Puts the format strings of the log where the server looks for them. squashfs compresses them.
pub(super) fn put_texts(tree: &Path, binary: &Path) -> Result<(), String> {
    let Some(texts) = build::texts_of(&Elf::read(binary)?) else { return Ok(()) };
    for name in ["usr", "usr/share", "usr/share/friendlet"] {
        set_mode(&directory(tree, name)?, 0o755)?;
    }
    let path = tree.join("usr/share/friendlet").join(texts.file_name().unwrap_or_default());
    run::write(&path, run::bytes_of(&texts)?)?;
    set_mode(&path, 0o644)
}

/// Returns the directory `name` of the tree, made if it is missing. A link that leads out of the tree is an error: a
/// write through it would change the machine that makes the image.
fn directory(tree: &Path, name: &str) -> Result<PathBuf, String> {
    let path = tree.join(name);
    let failed = |error| format!("{}: {error}", path.display());
    if fs::symlink_metadata(&path).is_err() {
        fs::create_dir(&path).map_err(failed)?;
    }
    let real = fs::canonicalize(&path).map_err(failed)?;
    let is_inside = real.is_dir() && real.starts_with(fs::canonicalize(tree).map_err(failed)?);
    if is_inside { Ok(path) } else { Err(format!("--root: /{name} is not a directory in the root")) }
}

/// Packs the tree as squashfs and as an archive.
pub(super) fn pack(work: &Work, tree: &Path, files: &Files) -> Result<(), String> {
    let time = work.time.to_string();
    let mut command = work.tool("mksquashfs");
    // mksquashfs refuses the time from two sources.
    command.env_remove("SOURCE_DATE_EPOCH").arg(tree).arg(&files.root);
    command.args(["-noappend", "-no-progress", "-quiet", "-all-root", "-no-xattrs", "-comp", "gzip"]);
    command.args(["-mkfs-time", &time, "-all-time", &time]);
    run::captured(&mut command)?;
    let archive = work.directory.join("root.tar");
    let mut command = work.tool("tar");
    command.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]);
    command.arg(format!("--mtime=@{time}")).arg("-cf").arg(&archive).arg("-C").arg(tree).arg(".");
    run::captured(&mut command)?;
    run::captured(work.tool("gzip").args(["-n", "-9", "-f"]).arg(&archive))?;
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), String> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_tree() {
        let tree = std::env::temp_dir().join(format!("friendlet-root-{}", std::process::id()));
        fs::create_dir_all(tree.join("usr/sbin")).unwrap();
        symlink("usr/sbin", tree.join("sbin")).unwrap();
        symlink("/usr/bin", tree.join("bin")).unwrap();
        fs::write(tree.join("etc"), "").unwrap();
        let results = ["sbin", "run", "bin", "etc"].map(|name| directory(&tree, name).is_ok());
        fs::remove_dir_all(&tree).unwrap();
        assert_eq!(results, [true, true, false, false]);
    }
}
