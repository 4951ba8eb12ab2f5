//! Packages in a root of Debian: installed, used, upgraded and removed by the scripts `life.sh` of `cross/packages`.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::content::Content;
use super::files::directory;
use super::{alpine, deb};
use crate::image::clean;
use crate::{emulation, run};

/// Release of Debian, the same as that of the kernels of the images.
const SUITE: &str = "bookworm";
/// Its packages in the root, beside those that are essential. OpenRC runs the script of Alpine's package.
const INCLUDED: &str = "adduser,init-system-helpers,insserv,openrc";
/// Functions of the scripts.
pub(super) const FUNCTIONS: &str = "cross/packages/functions.sh";
/// Requests to a mirror that is being renewed, and the pause between them.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(20);

/// Runs the life of Debian's package. Natively it is upgraded, too: no emulated program executes itself.
pub(super) fn live(content: &mut Content<'_>) -> Result<(), String> {
    let is_emulated = emulation::emulator(&content.names.board()?).is_some();
    if is_emulated {
        emulation::register()?;
    }
    let mut packages = vec![deb::package(content)?];
    if !is_emulated {
        packages.push(later(content)?);
    }
    run_in_root(&content.architecture, "cross/packages/deb/life.sh", &packages)
}

/// The same package with the next revision.
pub(super) fn later(content: &mut Content<'_>) -> Result<(String, Vec<u8>), String> {
    content.revision += 1;
    let package = deb::package(content);
    content.revision -= 1;
    package
}

/// Runs the life of friendlet under OpenRC.
pub(super) fn live_with_openrc(content: &Content<'_>) -> Result<(), String> {
    run_in_root(&content.architecture, "cross/packages/apk/life.sh", &[alpine::package(content)?])
}

/// Runs a script with these packages in a new root, whose network, processes and mounts are its own.
fn run_in_root(architecture: &str, script: &str, packages: &[(String, Vec<u8>)]) -> Result<(), String> {
    println!("    {script} in a root of Debian for {architecture}");
    let root = unpack(architecture, "", INCLUDED)?;
    put_life(&root, script, packages)?;
    let enter = "ip link set lo up && mount -t proc proc \"$0/proc\" && mount -t tmpfs tmpfs \"$0/run\" && \
                 exec chroot \"$0\" /life/life.sh \"$@\"";
    let mut command = run::at_root("unshare");
    command.args([
        "--mount",
        "--net",
        "--uts",
        "--ipc",
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        enter,
    ]);
    command.arg(&root).args(packages.iter().map(|(name, _)| format!("/life/{name}")));
    run::captured(command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C"))?
        .lines()
        .filter(|line| line.starts_with("    "))
        .for_each(|line| println!("{line}"));
    fs::remove_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))
}

/// Puts a script and its packages into a root.
pub(super) fn put_life(root: &Path, script: &str, packages: &[(String, Vec<u8>)]) -> Result<(), String> {
    let life = root.join("life");
    run::create_directory(&life)?;
    run::captured(run::at_root("cp").args([script, FUNCTIONS]).arg(&life))?;
    packages.iter().try_for_each(|(name, bytes)| run::write(&life.join(name), bytes))
}

/// An unpacked root with these packages; the archive of it is kept for the next run.
pub(super) fn unpack(architecture: &str, suffix: &str, included: &str) -> Result<PathBuf, String> {
    let roots = directory().join("roots");
    let archive = roots.join(format!("{SUITE}-{architecture}{suffix}.tar"));
    run::create_directory(&roots)?;
    if !archive.is_file() {
        bootstrap(architecture, included, &archive)?;
    }
    let root = roots.join(format!("{architecture}{suffix}"));
    clean(&root)?;
    run::captured(run::at_root("tar").arg("-xf").arg(&archive).arg("-C").arg(&root))?;
    Ok(root)
}

fn bootstrap(architecture: &str, included: &str, archive: &Path) -> Result<(), String> {
    // One that fails half-way leaves no archive that could pass for a whole one.
    let half = archive.with_extension("half.tar");
    let mut last = Ok(());
    for attempt in 0..TRIES {
        if attempt > 0 {
            thread::sleep(PAUSE);
        }
        let mut command = run::at_root("mmdebstrap");
        command.args(["--quiet", "--variant=minbase", "--include", included]);
        command.args(["--architectures", architecture, SUITE]);
        last = run::shown(command.arg(&half).arg(mirror()?));
        if last.is_ok() {
            break;
        }
    }
    last?;
    fs::rename(&half, archive).map_err(|error| format!("{}: {error}", archive.display()))
}

/// Mirror of this machine.
fn mirror() -> Result<String, String> {
    let mut command = run::at_root("apt-get");
    let suite = format!("Codename: {SUITE}");
    command.args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        &suite,
        "Component: main",
    ]);
    let known = run::captured(&mut command)?;
    known.lines().next().map(str::to_owned).ok_or_else(|| format!("apt knows no mirror of {SUITE}"))
}
