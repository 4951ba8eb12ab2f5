//! Packages of OpenWrt, for opkg: a tar of two tars.

use super::archive::{END, Entry, tar};
use super::content::{Content, Packed, entries, own};
use super::files::gzip;
use super::manifest::Format;

/// Scripts that opkg runs, in `cross/packages/ipk`.
const SCRIPTS: [&str; 2] = ["postinst", "prerm"];

/// Name of the package and its bytes.
pub(super) fn package(content: &Content<'_>) -> Result<(String, Vec<u8>), String> {
    let files = content.files(Format::Ipk)?;
    let kept: String = files.iter().filter(|file| file.kept).map(|file| format!("{}\n", file.path)).collect();
    let mut members = vec![
        Entry::directory("./"),
        Entry::file("./conffiles", 0o644, kept),
        Entry::file("./control", 0o644, control(content, &files)),
    ];
    for name in SCRIPTS {
        members.push(Entry::file(format!("./{name}"), 0o755, own(&format!("ipk/{name}"))?));
    }
    let packed = |entries: &[Entry]| gzip(&[tar(entries, content.time), END.to_vec()].concat());
    let outer = [
        Entry::file("./debian-binary", 0o644, *b"2.0\n"),
        Entry::file("./data.tar.gz", 0o644, packed(&entries(&files, "./"))?),
        Entry::file("./control.tar.gz", 0o644, packed(&members)?),
    ];
    let name = format!("friendlet_{}-{}_{}.ipk", content.version(), content.revision, content.names.ipk);
    Ok((name, packed(&outer)?))
}

fn control(content: &Content<'_>, files: &[Packed]) -> String {
    let friendlet = content.crates.friendlet();
    let size: usize = files.iter().map(|file| file.content.len()).sum();
    // The default script of OpenWrt makes the user.
    format!(
        "Package: friendlet\nVersion: {}-{}\nLicense: {}\nSection: {}\nRequire-User: friendlet:friendlet\n\
         Architecture: {}\nInstalled-Size: {size}\nMaintainer: {}\nDescription: {}\n",
        content.version(),
        content.revision,
        friendlet.license.as_deref().unwrap_or_default(),
        content.manifest.section,
        content.names.ipk,
        Content::maker(),
        friendlet.description.as_deref().unwrap_or_default(),
    )
}
