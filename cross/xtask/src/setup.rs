//! Making a bare Debian machine able to build, test, image and boot the boards.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::board::Board;
use crate::run;
use crate::toolchain::{self, Way};

/// Number of requests to a mirror that is being renewed, and the pause between them.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_secs(20);

/// Program that Debian's packages ask whether they may start a daemon.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Packages for images and system-mode QEMU, beside Debian's essential ones. ipxe-qemu has the ROMs
/// of QEMU's network cards, u-boot-tools mkimage.
const IMAGE_PACKAGES: [&str; 8] = [
    "e2fsprogs",
    "ipxe-qemu",
    "mtools",
    "qemu-system-arm",
    "squashfs-tools",
    "u-boot-qemu",
    "u-boot-tools",
    "xz-utils",
];
/// Packages for the tests: cpio checks an initramfs, `ip` makes networks. A broker, a program that connects to it and
/// a web server are the services of `tests/system/stack.rs`, and proxies stand before the server of
/// `tests/system/proxies.rs`.
const TEST_PACKAGES: [&str; 9] =
    ["caddy", "cpio", "curl", "haproxy", "iproute2", "lighttpd", "mosquitto", "nginx", "python3"];

/// Returns Debian's architecture and packages for one target.
fn target_packages(target: &str) -> Result<(Option<&'static str>, &'static [&'static str]), String> {
    Ok(match target {
        "armv7-unknown-linux-musleabihf" => {
            (Some("armhf"), &["gcc-arm-linux-gnueabihf", "libc6-dev-armhf-cross", "musl-dev:armhf"])
        }
        "arm-unknown-linux-musleabi" | "armv5te-unknown-linux-musleabi" => {
            (Some("armel"), &["gcc-arm-linux-gnueabi", "libc6-dev-armel-cross", "musl-dev:armel"])
        }
        "aarch64-unknown-linux-musl" => {
            (Some("arm64"), &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "musl-dev:arm64"])
        }
        "x86_64-unknown-linux-musl" => (None, &["gcc", "libc6-dev", "musl-dev"]),
        other => return Err(format!("nothing is known of the target '{other}'")),
    })
}

/// Needs of the boards, without duplicates.
#[derive(Debug, Default)]
struct Needs {
    architectures: Vec<&'static str>,
    packages: Vec<&'static str>,
}

impl Needs {
    fn of(boards: &[Board]) -> Result<Self, String> {
        let mut needs = Self { packages: TEST_PACKAGES.to_vec(), ..Self::default() };
        for board in boards {
            let (architecture, packages) = target_packages(&board.target)?;
            needs.architectures.extend(architecture);
            needs.packages.extend(packages);
            if board.emulated_cpu.is_some() {
                needs.packages.push("qemu-user-static");
            }
            if board.table.contains_key("image") {
                needs.packages.extend(IMAGE_PACKAGES);
            }
        }
        needs.architectures.sort_unstable();
        needs.architectures.dedup();
        needs.packages.sort_unstable();
        needs.packages.dedup();
        Ok(needs)
    }
}

/// Installs what is missing for these boards; with `only_look`, only prints it.
pub(crate) fn setup(boards: &[Board], only_look: bool) -> Result<(), String> {
    if !run::works("dpkg-query", &["--version"]) {
        return Err("this system is not Debian: install a musl cross compiler and QEMU as in docs/boards.md"
            .to_owned());
    }
    let needs = Needs::of(boards)?;
    let wanted = toolchain::wanted()?;
    let ways: Vec<Way> = wanted.map_or_else(|| Way::ALL.to_vec(), |way| vec![way]);
    let way = ways.iter().copied().find(|way| way.is_there());
    let known = run::captured(run::at_root("dpkg").arg("--print-foreign-architectures"))?;
    let architectures: Vec<&str> =
        needs.architectures.iter().copied().filter(|name| !known.lines().any(|line| line == *name)).collect();
    let packages: Vec<&str> = needs.packages.iter().copied().filter(|name| !is_installed(name)).collect();

    println!("    {:<36} {}", "Rust's std from source", way.map_or("missing", Way::name));
    for name in &needs.architectures {
        print_state(&format!("packages for {name}"), !architectures.contains(name));
    }
    for name in &needs.packages {
        print_state(name, !packages.contains(name));
    }
    let is_complete = way.is_some() && architectures.is_empty() && packages.is_empty();
    if only_look || is_complete {
        return if is_complete {
            Ok(())
        } else {
            Err("something is missing; `cargo xtask setup` installs it".to_owned())
        };
    }

    if !is_root() && (!architectures.is_empty() || !packages.is_empty()) {
        return Err(format!(
            "as root, run: {}apt-get update && apt-get install --no-install-recommends {}",
            architectures.iter().map(|name| format!("dpkg --add-architecture {name}; ")).collect::<String>(),
            packages.join(" ")
        ));
    }
    // All at once: each architecture more gives one multi-arch musl-dev for all of them.
    for name in &architectures {
        run::shown(run::at_root("dpkg").args(["--add-architecture", name]))?;
    }
    let mut packages = packages;
    if way.is_none() {
        install_std(&ways, &mut packages)?;
    }
    install(&packages)?;
    let way = Way::find()?;
    println!("    ready, with {}", way.name());
    Ok(())
}

fn print_state(what: &str, is_there: bool) {
    println!("    {what:<36} {}", if is_there { "there" } else { "missing" });
}

/// rustup's source where rustup has it to give; else Debian's compiler and source are to be installed.
fn install_std(ways: &[Way], packages: &mut Vec<&str>) -> Result<(), String> {
    if ways.contains(&Way::Rustup) && run::works("rustup", &["--version"]) {
        let added = run::shown(run::at_root("rustup").args(["component", "add", "rust-src"]));
        if Way::Rustup.is_there() {
            return Ok(());
        }
        println!(
            "    rustup gives no rust-src ({}): Debian's packages instead",
            added.err().unwrap_or_default()
        );
    }
    if ways.contains(&Way::Debian) {
        packages.extend(["cargo-web", "rust-web-src", "rustc-web"]);
        Ok(())
    } else {
        Err(format!("{}: rustup gives no rust-src", toolchain::VARIABLE))
    }
}

/// Installs those of these packages that are missing, for what is measured and not built or booted.
pub(crate) fn ensure(packages: &[&str]) -> Result<(), String> {
    let missing: Vec<&str> = packages.iter().copied().filter(|name| !is_installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !run::works("dpkg-query", &["--version"]) || !is_root() {
        return Err(format!("to be installed first: {}", missing.join(" ")));
    }
    install(&missing)
}

fn is_installed(package: &str) -> bool {
    let query = run::at_root("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status}\\n", package])
        .output();
    query.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).lines().any(|line| line == "installed"))
}

/// Returns whether packages may be installed.
pub(crate) fn is_root() -> bool {
    run::works("sh", &["-c", "test $(id -u) = 0"])
}

/// Installs packages; a mirror that is being renewed is given time.
pub(crate) fn install(packages: &[&str]) -> Result<(), String> {
    if packages.is_empty() {
        return Ok(());
    }
    let mut last = String::new();
    for attempt in 1..=TRIES {
        if attempt > 1 {
            println!("    once more in {} s", PAUSE.as_secs());
            thread::sleep(PAUSE);
        }
        // A failed index may be one that is not needed: what counts is whether the packages come.
        let _ = run::shown(run::at_root("apt-get").args(["update", "-qq"]));
        let mut command = run::at_root("apt-get");
        command.args(["install", "-qq", "-y", "--no-install-recommends"]).args(packages);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        match without_daemons(|| run::shown(&mut command)) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Runs an installation that starts no daemon of a package, on a system with a service manager, too.
fn without_daemons(install: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let has_policy = Path::new(POLICY).exists();
    if !has_policy {
        let failed = |error| format!("{POLICY}: {error}");
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").map_err(failed)?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    }
    let result = install();
    if !has_policy {
        let _ = fs::remove_file(POLICY);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_needed_once() {
        let needs = Needs::of(&Board::all().unwrap()).unwrap();
        assert_eq!(needs.architectures, ["arm64", "armel", "armhf"]);
        let mut packages = needs.packages.clone();
        packages.dedup();
        assert_eq!(packages, needs.packages);
        assert!(packages.contains(&"qemu-user-static") && packages.contains(&"musl-dev:armhf"));
    }

    #[test]
    fn host_board_needs_no_other_architecture() {
        let needs = Needs::of(&[Board::load("host").unwrap()]).unwrap();
        assert!(needs.architectures.is_empty() && !needs.packages.contains(&"qemu-user-static"));
    }

    #[test]
    fn an_unknown_target_is_refused() {
        assert!(target_packages("m68k-unknown-linux-gnu").unwrap_err().contains("m68k"));
    }
}
