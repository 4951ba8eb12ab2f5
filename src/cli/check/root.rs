//! Root directory of the file system that a configuration file is for.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::suggest::nearest;
use crate::sys::{GROUP, PASSWD, lookup_group_in, lookup_in};

/// Symbolic links of one path, as many as the kernel follows (path_resolution(7)).
const LINKS: usize = 40;

/// Root directory: that of this machine, or a directory of it with the root of another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root<'r>(pub(super) Option<&'r Path>);

impl Root<'_> {
    /// Path on this machine of a path in the root. Symbolic links are those of the root: none leads out of it.
    ///
    /// # Errors
    /// `ELOOP`: too many symbolic links.
    pub(super) fn path(self, path: &Path) -> io::Result<PathBuf> {
        self.0.map_or(Ok(path.to_owned()), |root| resolve(root, path))
    }

    /// Returns true if there is a directory.
    pub(super) fn has_dir(self, path: &str) -> bool {
        self.path(Path::new(path)).is_ok_and(|path| path.is_dir())
    }

    /// Returns true if there is a regular file.
    pub(super) fn has_file(self, path: &str) -> bool {
        self.path(Path::new(path)).is_ok_and(|path| path.is_file())
    }

    /// Returns true for a path with a slash that leads to something below this directory.
    pub(super) fn is_below(self, path: &str, directory: &str) -> bool {
        let path = Path::new(path);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let found = |path: &Path| self.path(path).and_then(fs::canonicalize);
        // A socket is missing before its service runs.
        let target = found(path).or_else(|_| Ok::<_, io::Error>(found(parent)?.join(name)));
        let (Ok(directory), Ok(target)) = (found(Path::new(directory)), target) else { return false };
        path.has_root() && target != directory && target.starts_with(directory)
    }

    /// Checks that a program can be executed. One without a directory is searched in `directories`, a list as `PATH` has it.
    pub(super) fn executable(self, name: impl AsRef<Path>, directories: &str) -> io::Result<()> {
        let name = name.as_ref();
        if name.is_absolute() {
            return self.check_program(name);
        }
        let mut found = directories.split(':').map(|dir| self.check_program(&Path::new(dir).join(name)));
        found.find(Result::is_ok).unwrap_or(Err(Errno::NOENT.into()))
    }

    fn check_program(self, path: &Path) -> io::Result<()> {
        let found = self.path(path)?;
        if self.0.is_none() {
            return Ok(access(&found, Access::EXEC_OK)?);
        }
        // The users of an image are not those of this machine, so any right to execute counts.
        let file = fs::metadata(&found)?;
        let is_program = file.is_file() && file.permissions().mode() & 0o111 != 0;
        if is_program { Ok(()) } else { Err(Errno::ACCESS.into()) }
    }

    /// Returns false if the user database lacks this name. Numbers need no entry.
    pub(super) fn has_user(self, user: &str) -> bool {
        let found = self.path(Path::new(PASSWD)).and_then(|file| lookup_in(&file, user));
        !matches!(found, Ok(None))
    }

    /// Returns false if the group database lacks this name. Numbers need no entry.
    pub(super) fn has_group(self, group: &str) -> bool {
        let found = self.path(Path::new(GROUP)).and_then(|file| lookup_group_in(&file, group));
        !matches!(found, Ok(None))
    }

    /// The file with the most similar name in the directory of a path.
    pub(super) fn nearest_file(self, path: &Path) -> Option<String> {
        let directory = path.parent().filter(|directory| directory.is_absolute())?;
        let mut names = String::new();
        for entry in fs::read_dir(self.path(directory).ok()?).ok()? {
            names = names + entry.ok()?.file_name().to_str().unwrap_or_default() + "\n";
        }
        let near = nearest_line(&names, path.file_name()?.to_str()?)?;
        Some(directory.join(near).display().to_string())
    }

    /// The most similar name in a user database.
    pub(super) fn nearest_entry(self, database: &str, name: &str) -> Option<String> {
        nearest_line(&fs::read_to_string(self.path(Path::new(database)).ok()?).ok()?, name)
    }

    /// Returns true for the root of an image whose process 1 is friendlet.
    pub(super) fn has_init(self) -> bool {
        let init = self.0.and_then(|root| resolve(root, Path::new("/sbin/init")).ok());
        init.is_some_and(|init| init.ends_with("friendlet"))
    }
}

/// The most similar one of the first fields of the lines of a text.
fn nearest_line(text: &str, name: &str) -> Option<String> {
    nearest(name, text.lines().filter_map(|line| line.split(':').next())).map(str::to_owned)
}

/// Follows the symbolic links of a path as if `root` were the root directory.
fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let (mut resolved, mut depth, mut links) = (root.to_owned(), 0, 0);
    let mut rest = names(path);
    while let Some(name) = rest.pop() {
        if name == ".." {
            // That of the root is the root.
            if depth > 0 {
                resolved.pop();
                depth -= 1;
            }
            continue;
        }
        let next = resolved.join(&name);
        // Anything but a link, and what is missing, is a part of the path.
        let Ok(target) = fs::read_link(&next) else {
            resolved = next;
            depth += 1;
            continue;
        };
        links += 1;
        if links > LINKS {
            return Err(Errno::LOOP.into());
        }
        if target.is_absolute() {
            (resolved, depth) = (root.to_owned(), 0);
        }
        rest.extend(names(&target));
    }
    Ok(resolved)
}

/// Names of a path, the first one last.
fn names(path: &Path) -> Vec<OsString> {
    let is_name = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().rev().filter(is_name).map(|part| part.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::tests::TestDirectory;

    fn error(result: io::Result<()>) -> Option<Errno> {
        result.err().as_ref().and_then(Errno::from_io_error)
    }

    #[test]
    fn programs_of_this_machine_are_searched_as_at_a_start() {
        let found = |name, path| error(Root(None).executable(name, path));
        assert_eq!(found("/bin/sh", ""), None);
        assert_eq!(found("sh", "/nonexistent:/bin"), None);
        assert_eq!(found("sh", "/nonexistent"), Some(Errno::NOENT));
        assert_eq!(found("/etc/passwd", ""), Some(Errno::ACCESS));
        assert_eq!(found("/bin/sh/sh", ""), Some(Errno::NOTDIR));
    }

    #[test]
    fn links_stay_in_the_root() {
        let directory = TestDirectory::new("root-links");
        let root = directory.0.join("root");
        fs::create_dir_all(root.join("usr/bin")).unwrap();
        fs::write(root.join("usr/bin/web"), "").unwrap();
        for (target, link) in [
            ("/usr/bin", "bin"),
            ("web", "usr/bin/relative"),
            ("../../../../usr/bin/web", "usr/bin/above"),
            ("/bin/relative", "absolute"),
            ("loop", "loop"),
            ("/nowhere", "dangling"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let web = root.join("usr/bin/web");
        for path in
            ["/bin/web", "bin/./web", "/usr/bin/relative", "/usr/bin/above", "/absolute", "/../bin/web"]
        {
            assert_eq!(resolve(&root, Path::new(path)).unwrap(), web, "{path}");
        }
        for (path, resolved) in [("/", ""), ("/../..", ""), ("/dangling", "nowhere"), ("/a/../b/c", "b/c")] {
            assert_eq!(resolve(&root, Path::new(path)).unwrap(), root.join(resolved), "{path}");
        }
        let found = resolve(&root, Path::new("/loop")).map(drop);
        assert_eq!(error(found), Some(Errno::LOOP));
        // A program that this machine has and the root lacks.
        assert_eq!(error(Root(Some(&root)).executable("sh", "/bin:/usr/bin")), Some(Errno::NOENT));
    }

    #[test]
    fn paths_below_a_directory_are_found_through_links() {
        let directory = TestDirectory::new("root-below");
        for name in ["tmp/own", "srv", "run"] {
            fs::create_dir_all(directory.0.join(name)).unwrap();
        }
        fs::create_dir(directory.0.join("var")).unwrap();
        for (target, link) in [("/tmp", "var/tmp"), ("/tmp/own", "srv/link"), ("/run", "tmp/out")] {
            symlink(target, directory.0.join(link)).unwrap();
        }
        let root = Root(Some(&directory.0));
        for (path, is_below) in [
            ("/tmp/own", true),
            ("/tmp/socket", true),
            ("/var/tmp/own", true),
            ("/srv/link", true),
            ("/srv/link/socket", true),
            ("/tmp/../tmp/own", true),
            ("/tmp", false),
            ("/tmp/out", false),
            ("/tmpfs/own", false),
            ("/srv/other", false),
            ("own", false),
            ("", false),
        ] {
            assert_eq!(root.is_below(path, "/tmp"), is_below, "{path}");
            assert_eq!(root.is_below(path, "/var/tmp"), is_below, "{path}");
            assert!(!root.is_below(path, "/nowhere"), "{path}");
        }
    }

    #[test]
    fn up_to_forty_links_are_followed() {
        let directory = TestDirectory::new("root-forty");
        fs::write(directory.0.join("0"), "").unwrap();
        for number in 1..=LINKS + 1 {
            symlink(format!("/{}", number - 1), directory.0.join(number.to_string())).unwrap();
        }
        let last = |number: usize| resolve(&directory.0, Path::new(&number.to_string()));
        assert_eq!(last(LINKS).unwrap(), directory.0.join("0"));
        assert!(last(LINKS + 1).is_err());
    }

    #[test]
    fn programs_and_accounts_are_those_of_the_root() {
        let directory = TestDirectory::new("root-accounts");
        for name in ["bin", "etc", "sbin"] {
            fs::create_dir(directory.0.join(name)).unwrap();
        }
        for (name, mode) in [("bin/web", 0o750), ("bin/text", 0o644)] {
            fs::write(directory.0.join(name), "").unwrap();
            fs::set_permissions(directory.0.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        let root = Root(Some(&directory.0));
        assert_eq!(error(root.executable("web", "/usr/bin:/bin")), None);
        assert_eq!(error(root.executable("/bin/text", "")), Some(Errno::ACCESS));
        assert_eq!(error(root.executable("/bin", "")), Some(Errno::ACCESS));
        assert!(root.has_dir("/bin") && root.has_file("/bin/text") && !root.has_file("/bin"));
        // Without the files no name is known.
        assert!(!root.has_user("root") && root.has_user("0") && !root.has_group("root"));
        fs::write(directory.0.join("etc/passwd"), "web:x:7:8::/:\n").unwrap();
        fs::write(directory.0.join("etc/group"), "gpio:x:9:\n").unwrap();
        assert!(root.has_user("web") && !root.has_user("root"));
        assert!(root.has_group("gpio") && !root.has_group("root"));
        assert!(!root.has_init() && !Root(None).has_init());
        symlink("friendlet", directory.0.join("sbin/init")).unwrap();
        assert!(root.has_init());
    }
}
