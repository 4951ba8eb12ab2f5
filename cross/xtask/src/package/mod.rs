//! `cargo xtask package`: the program as packages of Debian, OpenWrt and Alpine, all made from one table,
//! `cross/packages/manifest.toml`, and what a release has beside them.

mod alpine;
mod archive;
mod booted;
mod check;
mod completion;
mod content;
mod crates;
mod deb;
mod files;
mod make;
mod manifest;
mod manual;
mod notices;
mod openwrt;
mod rebuilt;
mod release;
mod roots;
mod sbom;
mod trees;
mod usage;

use lexopt::Arg::Long;
use lexopt::ValueExt as _;

pub(crate) use check::check;
pub(crate) use make::{Options, make};
use manifest::Manifest;

/// Usage and summary for the help.
pub(crate) const HELP: (&str, &str) = (
    "package [--target ARCHITECTURE].. [--release]",
    "packages of Debian, OpenWrt and Alpine in target/packages: amd64, arm64, armel, armhf; --release: also the\n\
     \x20     sources with all crates, the list of components and SHA256SUMS",
);

/// Reads the command line behind `package`.
pub(crate) fn parse(words: &[&str]) -> Result<Options, String> {
    options(words).map_err(|error| format!("package: {error}"))
}

fn options(words: &[&str]) -> Result<Options, lexopt::Error> {
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("target") => options.targets.push(parser.value()?.string()?),
            Long("release") => options.is_release = true,
            other => return Err(other.unexpected()),
        }
    }
    let manifest = Manifest::load()?;
    match options.targets.iter().find(|target| !manifest.architecture.contains_key(*target)) {
        Some(target) => {
            let known: Vec<&str> = manifest.architecture.keys().map(String::as_str).collect();
            Err(format!("no packages for '{target}'; known are {}", known.join(", ")).into())
        }
        None => Ok(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_architectures_are_packaged() {
        let options = parse(&["--target", "armhf", "--target=amd64", "--release"]).unwrap();
        assert_eq!(
            options,
            Options { targets: vec!["armhf".to_owned(), "amd64".to_owned()], is_release: true }
        );
        assert!(parse(&["--target", "m68k"]).unwrap_err().contains("known are amd64, arm64, armel, armhf"));
        assert!(parse(&["armhf"]).is_err());
    }
}
