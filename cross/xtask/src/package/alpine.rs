//! Packages of Alpine, for apk 2: two tars, each compressed, one after the other. A signature would be a third one
//! before them, which `abuild-sign` makes.

use super::archive::{END, Entry, tar};
use super::content::{Content, entries, own};
use super::files::{gzip, hash};
use super::manifest::Format;

/// Scripts that apk runs, in `cross/packages/apk`.
const SCRIPTS: [&str; 4] = ["post-install", "post-upgrade", "pre-deinstall", "pre-install"];

/// Name of the package and its bytes.
pub(super) fn package(content: &Content<'_>) -> Result<(String, Vec<u8>), String> {
    let files = content.files(Format::Apk)?;
    let size: usize = files.iter().map(|file| file.content.len()).sum();
    let mut entries = entries(&files, "");
    for entry in entries.iter_mut().filter(|entry| !entry.is_directory()) {
        entry.records.push(("APK-TOOLS.checksum.SHA1", hash("sha1sum", &entry.content)?));
    }
    let data = gzip(&[tar(&entries, content.time), END.to_vec()].concat())?;
    let mut control = vec![Entry::file(".PKGINFO", 0o644, info(content, size, &hash("sha256sum", &data)?))];
    for name in SCRIPTS {
        control.push(Entry::file(format!(".{name}"), 0o755, own(&format!("apk/{name}"))?));
    }
    // Without an end: for apk, both parts are one tar.
    let control = gzip(&tar(&control, content.time))?;
    let name = format!("friendlet-{}-r{}.{}.apk", content.version(), content.revision, content.names.apk);
    Ok((name, [control, data].concat()))
}

fn info(content: &Content<'_>, size: usize, data: &str) -> String {
    let friendlet = content.crates.friendlet();
    let url = friendlet.homepage.as_ref().or(friendlet.repository.as_ref());
    let url = url.map(|url| format!("url = {url}\n")).unwrap_or_default();
    format!(
        "pkgname = friendlet\npkgver = {}-r{}\npkgdesc = {}\n{url}builddate = {}\npackager = {}\nsize = {size}\n\
         arch = {}\nlicense = {}\ndatahash = {data}\n",
        content.version(),
        content.revision,
        friendlet.description.as_deref().unwrap_or_default(),
        content.time,
        Content::maker(),
        content.names.apk,
        friendlet.license.as_deref().unwrap_or_default(),
    )
}
