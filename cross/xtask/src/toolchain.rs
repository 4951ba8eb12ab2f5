//! Rust for the boards' targets: which compiler, and where its std comes from.
//!
//! Few targets have a prebuilt std that can be had everywhere, so std is built from source for all
//! of them: by the compiler that rustup has, with rustup's source, or else by Debian's packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;

/// The environment variable that chooses a way: `rustup` or `debian`.
pub(crate) const VARIABLE: &str = "FRIENDLET_TOOLCHAIN";

/// A compiler whose std can be built from source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    /// The active toolchain, with rustup's component `rust-src`.
    Rustup,
    /// Debian's `rustc-web`, `cargo-web` and `rust-web-src`.
    Debian,
}

impl Way {
    /// Every way, the preferred one first.
    pub(crate) const ALL: [Self; 2] = [Self::Rustup, Self::Debian];

    /// Name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rustup => "rustup's Rust and rust-src",
            Self::Debian => "Debian's rustc-web and rust-web-src",
        }
    }

    /// Returns whether everything that it needs is there.
    pub(crate) fn is_there(self) -> bool {
        self.source().is_some_and(|source| source.join("library/std/Cargo.toml").is_file())
    }

    /// The directory of Rust's source.
    pub(crate) fn source(self) -> Option<PathBuf> {
        let rustc = match self {
            Self::Rustup => "rustc",
            Self::Debian => "/usr/bin/rustc",
        };
        // Without the toolchain that cargo put into the environment the way would be the caller's.
        let mut command = run::at_root(rustc);
        let sysroot = run::captured(command.args(["--print", "sysroot"])).ok()?;
        Some(Path::new(sysroot.trim()).join("lib/rustlib/src/rust"))
    }

    /// The way to take: the one named by `FRIENDLET_TOOLCHAIN`, or the first that is there.
    pub(crate) fn find() -> Result<Self, String> {
        let advice = "`cargo xtask setup` installs what is missing";
        match wanted()? {
            Some(way) if way.is_there() => Ok(way),
            Some(way) => Err(format!("{VARIABLE}: {} is not there; {advice}", way.name())),
            None => Self::ALL
                .into_iter()
                .find(|way| way.is_there())
                .ok_or_else(|| format!("the source of Rust's std is missing; {advice}")),
        }
    }

    /// A cargo command that may build std for a board.
    pub(crate) fn cargo(self) -> Command {
        let mut command = match self {
            Self::Rustup => crate::cargo::cargo(&[]),
            Self::Debian => {
                let mut command = run::at_root("/usr/bin/cargo");
                command.env("RUSTC", "/usr/bin/rustc").env("RUSTDOC", "/usr/bin/rustdoc");
                command
            }
        };
        // A stable compiler builds std only with this variable.
        command.env("RUSTC_BOOTSTRAP", "1");
        command
    }
}

/// The toolchain that `FRIENDLET_TOOLCHAIN` names.
pub(crate) fn wanted() -> Result<Option<Way>, String> {
    match std::env::var(VARIABLE).as_deref() {
        Err(_) | Ok("") => Ok(None),
        Ok("rustup") => Ok(Some(Way::Rustup)),
        Ok("debian") => Ok(Some(Way::Debian)),
        Ok(other) => Err(format!("{VARIABLE}: expected 'rustup' or 'debian', found '{other}'")),
    }
}
