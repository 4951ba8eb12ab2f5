//! Packages of Debian: deb(5).

use super::archive::{END, Entry, ar, tar};
use super::content::{Content, Packed, entries, own};
use super::files::{filter, hash};
use super::manifest::Format;

/// Scripts that dpkg runs, in `cross/packages/deb`.
const SCRIPTS: [&str; 3] = ["postinst", "postrm", "prerm"];

/// Name of the package and its bytes.
pub(super) fn package(content: &Content<'_>) -> Result<(String, Vec<u8>), String> {
    let files = content.files(Format::Deb)?;
    let mut control = vec![Entry::directory("./")];
    let kept: String = files.iter().filter(|file| file.kept).map(|file| format!("{}\n", file.path)).collect();
    control.push(Entry::file("./conffiles", 0o644, kept));
    control.push(Entry::file("./control", 0o644, self::control(content, &files)));
    control.push(Entry::file("./md5sums", 0o644, sums(&files)?));
    for name in SCRIPTS {
        control.push(Entry::file(format!("./{name}"), 0o755, own(&format!("deb/{name}"))?));
    }
    let packed = |entries: &[Entry]| xz(&[tar(entries, content.time), END.to_vec()].concat());
    let (control, data) = (packed(&control)?, packed(&entries(&files, "./"))?);
    let members: [(&str, &[u8]); 3] =
        [("debian-binary", b"2.0\n"), ("control.tar.xz", &control), ("data.tar.xz", &data)];
    let name = format!("friendlet_{}-{}_{}.deb", content.version(), content.revision, content.architecture);
    Ok((name, ar(&members, content.time)))
}

/// Compresses in one thread, so that the number of processors changes nothing.
pub(super) fn xz(bytes: &[u8]) -> Result<Vec<u8>, String> {
    filter("xz", &["-6", "-T1", "-c"], bytes)
}

fn control(content: &Content<'_>, files: &[Packed]) -> String {
    let friendlet = content.crates.friendlet();
    // In units of 1024 bytes, each file rounded up, as dpkg-gencontrol counts.
    let size: usize = files.iter().map(|file| file.content.len().div_ceil(1024)).sum();
    let homepage = friendlet.homepage.as_ref().or(friendlet.repository.as_ref());
    let homepage = homepage.map(|url| format!("Homepage: {url}\n")).unwrap_or_default();
    let about: String =
        content.manifest.description.trim().lines().map(|line| format!(" {line}\n")).collect();
    format!(
        "Package: friendlet\nVersion: {}-{}\nSection: {}\nPriority: optional\nArchitecture: {}\n\
         Depends: adduser\nInstalled-Size: {size}\nMaintainer: {}\n{homepage}Description: {}\n{about}",
        content.version(),
        content.revision,
        content.manifest.section,
        content.architecture,
        Content::maker(),
        summary(friendlet.description.as_deref().unwrap_or_default()),
    )
}

/// The description as a synopsis: a phrase in small letters.
fn summary(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn sums(files: &[Packed]) -> Result<String, String> {
    let mut text = String::new();
    for file in files.iter().filter(|file| !file.kept) {
        text += &format!("{}  {}\n", hash("md5sum", &file.content)?, file.path.trim_start_matches('/'));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synopsis_is_a_phrase() {
        assert_eq!(summary("Service control"), "service control");
        assert_eq!(summary(""), "");
    }
}
