//! The configuration file as an administrator sees and changes it, on the thread of the reloads.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{SHA256, digest};

use super::ReloadFiles;
use super::later::{Beside, Later};
use crate::api::CONFIGURATION_ANSWER_BYTES;
use crate::call::Change;
use crate::config::{self, ConfigOrigin, References, Source};
use crate::keeper::Force;
use crate::limits::{BOARD_FILE, CONFIG_BYTES};
use crate::net::Listener;
use crate::sys::file::{self, AtomicFile};

/// Links from a configuration file to the next one. The kernel follows 40.
const LINKS: usize = 40;

/// Part of the text of a configuration file, without its secrets.
pub(super) struct Page {
    /// Bytes of the whole text.
    pub(super) size: usize,
    /// Position of the first byte.
    pub(super) from: usize,
    pub(super) text: String,
    /// Checksum of the text of the file.
    pub(super) base: u64,
}

/// Checksum of the file of a document, without its secrets: a change keeps those that it does not replace.
fn checksum(hidden: &str) -> u64 {
    let digest = digest(&SHA256, hidden.as_bytes());
    digest.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Text of the file of a document, without its secrets. A document in force is TOML.
fn hidden(document: &str) -> String {
    config::hide_secrets(file_of(document)).unwrap_or_default()
}

/// Text of the configuration file of a document.
pub(super) fn file_of(document: &str) -> &str {
    let file = config::split(document, "").first().and_then(|file| file.text.ok()).unwrap_or_default();
    if file.trim().is_empty() { BOARD_FILE } else { file }
}

/// Shows a document from this position on, or the file of each service, check and device rule in it.
pub(super) fn show(document: &str, name: &str, since: usize, has_sources: bool) -> Page {
    let hidden = hidden(document);
    let base = checksum(&hidden);
    let text = if has_sources {
        let mut files = config::split(document, name);
        if let Some(file) = files.first_mut() {
            file.text = Ok(file_of(document));
        }
        config::provenance(&files).into_iter().map(|line| line + "\n").collect()
    } else {
        hidden
    };
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let from = boundary(since);
    let to = boundary(from + CONFIGURATION_ANSWER_BYTES);
    Page { size: text.len(), from, text: text.get(from..to).unwrap_or_default().to_owned(), base }
}

/// Reads a change as a reload reads the file. `shown` is the document whose secrets it may keep, `in_force` the one to
/// return to, and `address` that of its configuration. Returns that configuration, too.
pub(super) fn read(
    change: &Change,
    shown: &str,
    in_force: &Arc<str>,
    address: SocketAddr,
    files: &ReloadFiles,
    state_dir: &Path,
) -> Result<[Box<Later>; 2], String> {
    if change.base.is_some_and(|base| base != checksum(&hidden(shown))) {
        return Err(
            "base: another configuration is in force by now, which this change would undo: read it again"
                .to_owned(),
        );
    }
    let name = files.config.display().to_string();
    let text = config::restore_secrets(&change.text, file_of(shown), &name);
    let text = text.map_err(|errors| errors.to_string())?;
    let text = if text.trim().is_empty() { Err("the file is empty".to_owned()) } else { Ok(text) };
    let on_disk = file::read_content(&files.config, CONFIG_BYTES).unwrap_or_default();
    let is_right = |text: &str| {
        config::parse_files(&[Source::new(&name, text)], References::MayBeMissing, &files.program).is_ok()
    };
    let is_other = on_disk != file_of(in_force) && !on_disk.is_empty();
    if is_other && is_right(&on_disk) {
        return Err(format!(
            "{name} is not the file in force: reload it first, because a change would undo it"
        ));
    }
    let mut later = Later::of_file(text, ConfigOrigin::Given, files, state_dir)?;
    let earlier = Later::of_document(in_force, files, state_dir)?;
    if later.config.listen.address != address {
        later.beside = Some(open(later.config.listen.address, address, change.is_dry)?);
    }
    if !change.is_dry {
        let file = target(&files.config)?;
        file.try_write(&[file_of(&later.text).as_bytes()]).map_err(|error| error.to_string())?;
    }
    later.force = Force::Trial;
    later.is_file_wrong = is_other;
    Ok([later, earlier])
}

/// Opens an address beside another one, or only checks that this is possible.
fn open(address: SocketAddr, present: SocketAddr, is_dry: bool) -> Result<Beside, String> {
    let socket = if is_dry {
        Listener::check(address).map(|()| None)
    } else {
        Listener::bind_socket(address).map(Some)
    };
    let socket = socket.map_err(|error| {
        if error.is_in_use() && address.port() == present.port() {
            return format!(
                "[listen] address: {address} cannot be opened beside {present}; name another port, or change the \
                 file on its machine and restart the server"
            );
        }
        error.to_string()
    })?;
    Ok(Beside { address, socket })
}

/// Writes the configuration file of a document, and the last good copy.
pub(super) fn write(files: &ReloadFiles, document: &str) -> Result<(), String> {
    let file = target(&files.config)?;
    file.write(&[file_of(document).as_bytes()]).map_err(|error| error.to_string())?;
    if let Some(good_copy) = &files.good_copy {
        super::own_files::keep_good_copy(good_copy, document);
    }
    Ok(())
}

/// The configuration file, or the one that it is a link to, which is replaced by another with its mode and owner. A link
/// stays: one that leads nowhere is an error, because its medium may come back.
fn target(path: &Path) -> Result<AtomicFile, String> {
    let target = follow(path);
    let file = AtomicFile::replacing(&target, 0o600).map_err(|error| error.to_string())?;
    if target != *path && !target.exists() {
        return Err(format!("{}: its link leads to a file that is missing", target.display()));
    }
    Ok(file)
}

/// The path, or the one that it is a link to.
pub(super) fn follow(path: &Path) -> PathBuf {
    let mut target = PathBuf::from(path);
    for _ in 0..LINKS {
        let Ok(link) = fs::read_link(&target) else { break };
        target = target.parent().unwrap_or(Path::new("")).join(link);
    }
    target
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::sys::tests::TestDirectory;

    fn files(config: PathBuf, good_copy: Option<PathBuf>) -> ReloadFiles {
        ReloadFiles { config, good_copy, may_be_missing: false, program: "/bin/friendlet".to_owned() }
    }

    #[test]
    fn text_is_shown_in_pages_up_to_their_limit() {
        let comment = format!("#{}", "\u{e4}".repeat(CONFIGURATION_ANSWER_BYTES / 2));
        let document = format!("{comment}\n[[user]]\nname = 'a'\npassword = 'x'\x1c1.toml\npassword = 'y'");
        let show = |document: &str, since| show(document, "f", since, false);
        let first = show(&document, 0);
        assert_eq!((first.from, first.text.len()), (0, CONFIGURATION_ANSWER_BYTES - 1));
        let second = show(&document, first.text.len());
        assert_eq!(second.from, first.text.len());
        let whole = format!("{comment}\n[[user]]\nname = 'a'\npassword = \"<kept secret>\"");
        assert_eq!(first.text + &second.text, whole);
        assert_eq!((first.size, second.size), (whole.len(), whole.len()));
        // In the middle of a character.
        assert_eq!(show(&document, 2).from, 1);
        let end = show(&document, usize::MAX);
        assert_eq!((end.from, end.text.as_str()), (whole.len(), ""));
        let exact = "#".repeat(CONFIGURATION_ANSWER_BYTES);
        assert_eq!(show(&exact, 0).text, exact);
        assert_eq!(show("\x1ca\nb", 0).size, config::hide_secrets(BOARD_FILE).unwrap().len());
    }

    #[test]
    fn checksum_is_that_of_the_text_without_secrets() {
        let sum = |document: &str, since, has_sources| show(document, "f", since, has_sources).base;
        let document = "[[user]]\nname = 'a'\npassword = 'x'";
        let whole = sum(document, 0, false);
        assert_eq!(sum(document, 5, true), whole);
        assert_eq!(sum(&document.replace("'x'", "'y'"), 0, false), whole, "a change keeps it");
        assert_eq!(
            sum(&(document.to_owned() + "\x1c1.toml\n# more"), 0, false),
            whole,
            "a change leaves drop-ins"
        );
        assert_ne!(sum(&document.replace("'a'", "'b'"), 0, false), whole);
    }

    #[test]
    fn sources_of_a_document_are_shown() {
        let document = "[[service]]\nname = 'a'\x1c1.toml\n[[service]]\nname = 'a'\n[[service]]\nname = 'b'";
        let page = show(document, "f.toml", 0, true);
        assert_eq!(page.text, "service a: 1.toml, overrides f.toml\nservice b: 1.toml\n");
    }

    #[test]
    fn file_is_written_where_its_link_leads_with_its_mode() {
        let directory = TestDirectory::new("target");
        let (file, link) = (directory.0.join("data.toml"), directory.0.join("link.toml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("data.toml", &link).unwrap();
        let good_copy = directory.0.join("good");
        write(&files(link.clone(), Some(good_copy.clone())), "new\x1c1.toml\n# more").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&good_copy).unwrap(), "new\x1c1.toml\n# more");
        // Its medium may come back.
        fs::remove_file(&file).unwrap();
        let error = write(&files(link.clone(), None), "new").unwrap_err();
        assert!(error.contains("its link leads to a file that is missing"), "{error}");
        // One that was missing at the start.
        write(&files(file.clone(), None), "new").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn address_is_opened_beside_another_one_or_the_reason_is_given() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let present = other.local_addr().unwrap();
        let free = "127.0.0.1:0".parse().unwrap();
        assert!(open(free, present, true).unwrap().socket.is_none());
        assert!(open(free, present, false).unwrap().socket.is_some());
        for is_dry in [true, false] {
            let wide = SocketAddr::from(([0, 0, 0, 0], present.port()));
            let error = open(wide, present, is_dry).err().unwrap();
            assert!(error.contains("cannot be opened beside") && error.contains("another port"), "{error}");
            let error = open(present, free, is_dry).err().unwrap();
            assert!(error.starts_with("cannot listen on"), "{error}");
        }
    }
}
