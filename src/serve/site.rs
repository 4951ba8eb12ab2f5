//! Own pages, read from their directory: at the start, at each reload, and by `friendlet check`.
//!
//! Every file is opened without waiting, and only after its type is known: a FIFO or a device is left out. A directory that
//! another user may write, or with more than the limits, has no pages at all, because half of a page would be wrong.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::config::Web;
use crate::connection::is_reserved;
use crate::http::{Site, WEB_DEPTH, WEB_LEFT_OUT, WEB_TIME};
use crate::limits::{PATH_BYTES, WEB_FILES};
use crate::log::Reason;
use crate::sys::thread;

/// Stack of the thread that reads them at the start.
pub(crate) const SITE_STACK_BYTES: usize = 128 * 1024;

/// Reason to leave a file or a directory out.
enum Wrong {
    Text(&'static str),
    System(io::Error),
}

impl From<io::Error> for Wrong {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::System(error) => Reason::from(error).fmt(f),
        }
    }
}

/// Reader of one directory.
struct Reader<'r> {
    root: PathBuf,
    bytes: usize,
    /// User of the server, who may own the files as root may.
    owner: u32,
    left_out: &'r mut Vec<String>,
    site: Site,
    /// Limit that is exceeded.
    over: Option<&'static str>,
}

/// Reads the pages at the start. Without them the server serves all the same. What is left out is a notice.
pub(super) fn at_start(web: &Web, owner: u32, notices: &mut Vec<String>) -> Site {
    if web.root.is_empty() {
        return Site::default();
    }
    let theirs = web.clone();
    let read = thread::within("pages", SITE_STACK_BYTES, WEB_TIME, move || {
        let mut left_out = Vec::new();
        let site = read(Path::new(theirs.root.as_str()), theirs.bytes, owner, &mut left_out);
        (site, left_out)
    });
    let (site, left_out) =
        read.unwrap_or_else(|| (None, vec!["[web] root cannot be read in time".to_owned()]));
    notices.extend(left_out);
    site.unwrap_or_default()
}

/// Reads a directory of at most `bytes` bytes. Returns nothing if it is left out as a whole: then this is the last line of
/// `left_out`.
pub(super) fn read(root: &Path, bytes: usize, owner: u32, left_out: &mut Vec<String>) -> Option<Site> {
    let mut reader =
        Reader { root: PathBuf::new(), bytes, owner, left_out, site: Site::default(), over: None };
    let read = reader.root(root);
    let Some(wrong) = reader.over.map(Wrong::Text).or(read.err()) else { return Some(reader.site) };
    left_out.truncate(WEB_LEFT_OUT);
    left_out.push(line(root, &wrong));
    None
}

fn line(at: &Path, wrong: &Wrong) -> String {
    format!("[web] root: {} is left out: {wrong}", at.display())
}

/// Checks that a file or directory is to be trusted: a page has the rights of the console.
fn check(metadata: &Metadata, owner: u32) -> Result<(), Wrong> {
    let (mode, user) = (metadata.mode(), metadata.uid());
    Err(Wrong::Text(if mode & 0o002 != 0 {
        "every user may write it; chmod o-w"
    } else if user != 0 && user != owner {
        "its owner is neither root nor the user of the server; chown"
    } else if metadata.is_file() && mode & 0o004 == 0 {
        // The server reads keys and passwords, too.
        "not every user may read it, but a page is for everyone; chmod o+r"
    } else {
        return Ok(());
    }))
}

impl Reader<'_> {
    fn root(&mut self, root: &Path) -> Result<(), Wrong> {
        self.root = fs::canonicalize(root)?;
        let root = self.root.clone();
        check(&fs::symlink_metadata(&root)?, self.owner)?;
        self.directory(&root, "", 1)
    }

    /// Reads a directory, whose path in requests is `prefix` and a slash.
    fn directory(&mut self, directory: &Path, prefix: &str, depth: usize) -> Result<(), Wrong> {
        if depth > WEB_DEPTH {
            return Err(Wrong::Text("too many directories in one another"));
        }
        for entry in fs::read_dir(directory)? {
            let at = entry?.path();
            let name = at.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            if let Err(wrong) = self.entry(&at, &format!("{prefix}/{name}"), depth) {
                match self.left_out.len() {
                    0..WEB_LEFT_OUT => self.left_out.push(line(&at, &wrong)),
                    WEB_LEFT_OUT => self.left_out.push("[web] root: more files are left out".to_owned()),
                    _ => {}
                }
            }
            if self.over.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn entry(&mut self, at: &Path, path: &str, depth: usize) -> Result<(), Wrong> {
        // A link to a directory could lead back.
        let target =
            if fs::symlink_metadata(at)?.is_symlink() { fs::canonicalize(at)? } else { at.to_owned() };
        let metadata = fs::symlink_metadata(&target)?;
        if !target.starts_with(&self.root) {
            return Err(Wrong::Text("its link leads out of the directory"));
        }
        check(&metadata, self.owner)?;
        if metadata.is_file() {
            self.file(&target, path)
        } else if metadata.is_dir() && target == at {
            self.directory(&target, path, depth + 1)
        } else {
            Err(Wrong::Text("neither a file nor a directory itself"))
        }
    }

    fn file(&mut self, at: &Path, path: &str) -> Result<(), Wrong> {
        // A name that is not UTF-8 is empty.
        if path.len() > PATH_BYTES || path.ends_with('/') {
            return Err(Wrong::Text("its path is too long or not UTF-8"));
        }
        if is_reserved(path) {
            return Err(Wrong::Text("the server has this path"));
        }
        // It may have become another file meanwhile, which nothing waits for.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        let mut file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(at)?;
        let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        if self.site.len() == WEB_FILES {
            self.over = Some("it has more files than web_files");
        } else if size > self.bytes - self.site.bytes() {
            self.over = Some("its files have more bytes than [web] bytes");
        } else {
            self.site.add(path, size, |room| file.read_exact(room))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::limits::FILE_PATH_BYTES;
    use crate::sys::tests::TestDirectory;

    fn directory(name: &str, files: &[(&str, &str)]) -> TestDirectory {
        let directory = TestDirectory::new(name);
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
        for (file, content) in files {
            let path = directory.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, content).unwrap();
        }
        directory
    }

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// Pages of a directory, and what is left out, sorted and without the path of it.
    fn read(directory: &TestDirectory, bytes: usize) -> (Option<Site>, Vec<String>) {
        let mut left_out = Vec::new();
        let site = super::read(&directory.0, bytes, own(), &mut left_out);
        let root = fs::canonicalize(&directory.0).unwrap().display().to_string();
        left_out.iter_mut().for_each(|line| *line = line.replace(&root, "").replace("[web] root: ", ""));
        left_out.sort();
        (site, left_out)
    }

    fn content<'s>(site: &'s Site, path: &str) -> Option<&'s [u8]> {
        site.find(path, false, None).map(|page| site.content(page.file, 0))
    }

    #[test]
    fn files_are_read_and_hidden_ones_are_not() {
        let files = [("index.html", "<p>"), ("a/b/c.js", "1"), (".git/config", "x"), (".env", "x")];
        let directory = directory("site", &files);
        symlink("a/b/c.js", directory.0.join("link.js")).unwrap();
        let (site, left_out) = read(&directory, 100);
        let site = site.unwrap();
        assert_eq!(left_out, [""; 0]);
        for (path, expected) in [
            ("/", Some("<p>")),
            ("/a/b/c.js", Some("1")),
            ("/link.js", Some("1")),
            ("/.env", None),
            ("/.git/config", None),
        ] {
            assert_eq!(content(&site, path), expected.map(str::as_bytes), "{path}");
        }
        assert_eq!(site.len(), 3);
    }

    #[test]
    fn nothing_but_files_of_the_directory_is_read() {
        let files =
            [("ok", "1"), ("d/x", "1"), ("open", "1"), ("key", "1"), ("healthz", "1"), ("console", "1")];
        let directory = directory("site-others", &files);
        let at = |name: &str| directory.0.join(name);
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        symlink("/etc/hostname", at("out")).unwrap();
        symlink("../../../../etc/hostname", at("d/out")).unwrap();
        symlink("fifo", at("pipe")).unwrap();
        symlink("d", at("e")).unwrap();
        symlink(".", at("d/loop")).unwrap();
        symlink("nowhere", at("lost")).unwrap();
        symlink("self", at("self")).unwrap();
        let _socket = UnixListener::bind(at("sock")).unwrap();
        fs::set_permissions(at("open"), fs::Permissions::from_mode(0o646)).unwrap();
        fs::set_permissions(at("key"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::create_dir_all(at("api/v1")).unwrap();
        fs::write(at("api/v1/services"), "1").unwrap();
        let (site, _) = read(&directory, 100);
        let site = site.unwrap();
        assert_eq!(site.len(), 2);
        assert!(content(&site, "/ok").is_some() && content(&site, "/d/x").is_some());
        let reason = |name: &str| {
            let root = fs::canonicalize(&directory.0).unwrap();
            let (left_out, site) = (&mut Vec::new(), Site::default());
            let mut reader = Reader { root, bytes: 100, owner: own(), left_out, site, over: None };
            let read = reader.entry(&reader.root.join(name), &format!("/{name}"), 1);
            read.err().map(|wrong| wrong.to_string()).unwrap_or_default()
        };
        for (name, expected) in [
            ("ok", ""),
            ("fifo", "neither a file nor a directory itself"),
            ("sock", "neither a file nor a directory itself"),
            ("pipe", "neither a file nor a directory itself"),
            ("out", "its link leads out of the directory"),
            ("d/out", "its link leads out of the directory"),
            ("e", "neither a file nor a directory itself"),
            ("d/loop", "neither a file nor a directory itself"),
            ("lost", "No such file or directory (errno 2)"),
            ("open", "every user may write it; chmod o-w"),
            ("key", "not every user may read it, but a page is for everyone; chmod o+r"),
            ("healthz", "the server has this path"),
            ("console", "the server has this path"),
            ("api/v1/services", "the server has this path"),
        ] {
            assert_eq!(reason(name), expected, "{name}");
        }
    }

    #[test]
    fn directory_that_others_may_write_has_no_pages() {
        let directory = directory("site-mode", &[("index.html", "1")]);
        let left_out = |owner| {
            let mut left_out = Vec::new();
            let site = super::read(&directory.0, 100, owner, &mut left_out);
            assert!(site.is_none() && left_out.len() == 1, "{left_out:?}");
            left_out.remove(0)
        };
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o757)).unwrap();
        assert!(left_out(own()).ends_with(" is left out: every user may write it; chmod o-w"));
        fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&directory.0, Some(own()), None).unwrap();
        if own() != 0 {
            assert!(left_out(own() + 1).ends_with("neither root nor the user of the server; chown"));
        }
        fs::remove_dir_all(&directory.0).unwrap();
        assert!(left_out(own()).ends_with(": No such file or directory (errno 2)"));
        fs::write(&directory.0, "").unwrap();
        assert!(left_out(own()).ends_with(": Not a directory (errno 20)"));
        fs::remove_file(&directory.0).unwrap();
    }

    #[test]
    fn bytes_up_to_their_limit() {
        let directory = directory("site-bytes", &[("a", "12345"), ("b", "67890")]);
        assert_eq!(read(&directory, 10).0.unwrap().bytes(), 10);
        let (site, left_out) = read(&directory, 9);
        assert!(site.is_none());
        assert_eq!(left_out, [" is left out: its files have more bytes than [web] bytes"]);
    }

    #[test]
    fn files_of_a_directory_up_to_their_limit() {
        let directory = directory("site-files", &[]);
        for number in 0..WEB_FILES {
            fs::write(directory.0.join(number.to_string()), "").unwrap();
        }
        assert_eq!(read(&directory, 0).0.unwrap().len(), WEB_FILES);
        fs::write(directory.0.join("more"), "").unwrap();
        let (site, left_out) = read(&directory, 0);
        assert!(site.is_none());
        assert_eq!(left_out, [" is left out: it has more files than web_files"]);
    }

    #[test]
    fn directories_up_to_their_depth() {
        let deepest = "d/".repeat(WEB_DEPTH - 1);
        let directory =
            directory("site-depth", &[(&format!("{deepest}x"), "1"), (&format!("{deepest}d/y"), "1")]);
        let (site, left_out) = read(&directory, 100);
        assert_eq!(site.unwrap().len(), 1);
        assert_eq!(left_out, [format!("/{deepest}d is left out: too many directories in one another")]);
    }

    #[test]
    fn files_left_out_up_to_their_limit() {
        let directory = directory("site-left-out", &[]);
        for number in 0..WEB_LEFT_OUT {
            symlink("/etc/hostname", directory.0.join(number.to_string())).unwrap();
        }
        assert_eq!(read(&directory, 0).1.len(), WEB_LEFT_OUT);
        symlink("/etc/hostname", directory.0.join("more")).unwrap();
        symlink("/etc/hostname", directory.0.join("most")).unwrap();
        let (_, left_out) = read(&directory, 0);
        assert_eq!(left_out.len(), WEB_LEFT_OUT + 1);
        assert!(left_out.contains(&"more files are left out".to_owned()), "{left_out:?}");
    }

    #[test]
    fn path_of_a_file_up_to_its_limit() {
        let (name, longer) = ("x".repeat(200), "y".repeat(PATH_BYTES - 202));
        let files = [format!("{name}/{longer}"), format!("{name}/{longer}y")];
        let directory = directory("site-path", &[(&files[0], "1"), (&files[1], "1")]);
        assert!(directory.0.as_os_str().len() < FILE_PATH_BYTES);
        let (site, left_out) = read(&directory, 100);
        assert_eq!(site.unwrap().len(), 1);
        assert!(left_out[0].ends_with("its path is too long or not UTF-8"), "{left_out:?}");
    }
}
