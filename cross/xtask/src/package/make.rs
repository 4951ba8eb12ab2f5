//! Makes the packages and what a release has beside them.

use std::path::PathBuf;

use super::content::{self, Content};
use super::files::put;
use super::manifest::{Format, Manifest};
use super::{alpine, deb, openwrt, release, sbom};
use crate::image::source_time;

/// Packages to be made.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Options {
    /// Debian's names of the processors; empty: all.
    pub(super) targets: Vec<String>,
    /// True if everything of a release is made.
    pub(super) is_release: bool,
}

/// Makes the packages, and with them a release.
pub(crate) fn make(options: &Options) -> Result<(), String> {
    let manifest = Manifest::load()?;
    let time = source_time()?;
    let is_wanted = |name: &&String| options.targets.is_empty() || options.targets.contains(name);
    let wanted: Vec<&String> = manifest.architecture.keys().filter(is_wanted).collect();
    content::build(&manifest, &wanted, time)?;
    let mut made = Vec::new();
    for architecture in wanted {
        let content = Content::make(&manifest, architecture, time)?;
        for format in Format::ALL {
            made.push(write(&content, format)?);
        }
        if options.is_release {
            made.push(sbom::write(&content)?);
        }
    }
    if options.is_release {
        made.push(release::sources(time)?);
        made.push(release::sums(&made)?);
    }
    Ok(())
}

/// Writes one package; returns its path.
fn write(content: &Content<'_>, format: Format) -> Result<PathBuf, String> {
    let (name, bytes) = match format {
        Format::Deb => deb::package(content)?,
        Format::Ipk => openwrt::package(content)?,
        Format::Apk => alpine::package(content)?,
    };
    put(&name, &bytes)
}
