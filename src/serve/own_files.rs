//! Files that the server writes or reads for itself: no log may have their names, nor those of another log.

use std::fs;
use std::path::{Path, PathBuf};

use super::{StartError, certificate, first_user};
use crate::config::{self, Config, Tls};
use crate::limits::CONFIG_BYTES;
use crate::sys::file::{self, with_suffix};
use crate::sys::{ENABLED_FILE, PAIRED_FILE, PASSWORDS_FILE, SANDBOX_TIME, thread};
use crate::warning;

/// Suffix of the last good copy of a configuration file.
pub const GOOD: &str = ".good";
/// Files of the state directory. Copies, temporary files and what is set aside have names that begin so.
pub(super) const STATE: [&str; 6] = [
    first_user::FILE,
    ENABLED_FILE,
    first_user::PASSWORD_FILE,
    PAIRED_FILE,
    PASSWORDS_FILE,
    certificate::TEMPORARY,
];
/// Certificate and key that the server makes.
pub(super) const PAIR: [&str; 2] = ["tls/certificate.pem", "tls/key.pem"];
/// Stack of the thread that looks for the directories of logs.
const LOOK_STACK_BYTES: usize = 64 * 1024;

/// Files `PATH`, `PATH.1` and so on.
struct Log<'c> {
    /// Key of the newest one in the configuration file.
    key: &'static str,
    file: &'c str,
    path: PathBuf,
    count: usize,
}

impl<'c> Log<'c> {
    fn names(&self) -> impl Iterator<Item = PathBuf> {
        let name = |number| match number {
            0 => self.path.clone(),
            _ => with_suffix(&self.path, &format!(".{number}")),
        };
        (0..self.count.max(1)).map(name)
    }
}

/// Checks the files of `[log]` and `output_file`, for the configuration file at `file` and the state directory `dir`.
pub(super) fn check(config: &Config, file: &Path, dir: &Path) -> Result<(), StartError> {
    let (log, audit) = (&config.log_files, &config.audit_files);
    let outputs = config.services.iter().filter_map(|(_, spec)| spec.output.as_ref());
    let outputs = outputs.map(|output| ("output_file", output.path.as_str(), output.count));
    let logs =
        [("[log] file", log.file.as_str(), log.count), ("[log] audit", audit.file.as_str(), audit.count)];
    let logs: Vec<_> = logs.into_iter().chain(outputs).filter(|(_, file, _)| !file.is_empty()).collect();
    let paths = resolve_within(logs.iter().map(|(_, file, _)| PathBuf::from(file)).collect());
    let logs = logs.into_iter().zip(paths);
    let logs: Vec<_> = logs.map(|((key, file, count), path)| Log { key, file, path, count }).collect();
    let own = OwnFiles::new(config, file, dir);
    for (index, log) in logs.iter().enumerate() {
        let found = log.names().find_map(|name| own.find(&name).map(|what| (name, what.to_owned())));
        let others = logs.iter().take(index);
        let found = found.or_else(|| {
            others.into_iter().find_map(|other| {
                let shared = log.names().find(|name| *name == other.path);
                let shared = shared.or_else(|| other.names().find(|name| *name == log.path));
                shared.map(|name| (name, format!("one of {} = \"{}\"", other.key, other.file)))
            })
        });
        if let Some((name, what)) = found {
            let (key, file) = (log.key, log.file);
            return Err(StartError::new(
                StartError::CONFIG,
                format_args!("{key}: {file}: {} is {what}; name another file", name.display()),
            ));
        }
    }
    Ok(())
}

/// Files of the server.
struct OwnFiles {
    files: Vec<(PathBuf, &'static str)>,
    drop_ins: PathBuf,
    dir: PathBuf,
}

impl OwnFiles {
    fn new(config: &Config, file: &Path, dir: &Path) -> Self {
        const CONFIG: &str = "the configuration file";
        let path = resolve(file);
        let mut files = vec![(with_suffix(&path, GOOD), "the last good copy")];
        files.extend(fs::canonicalize(&path).ok().map(|target| (target, CONFIG)));
        if let Tls::On { certificate, key, client_ca, .. } = &config.listen.tls {
            let named = [Some(certificate), Some(key), client_ca.as_ref()].into_iter().flatten();
            files.extend(named.map(|name| (resolve(&dir.join(name.as_str())), "a file of the certificate")));
        }
        let ca = config.syslog.as_ref().map(|settings| settings.authority.as_str());
        let ca = ca.filter(|ca| !ca.is_empty());
        files.extend(ca.map(|ca| (resolve(Path::new(ca)), "the authority of the log server")));
        let drop_ins = resolve(&file.with_extension("d")).join("x");
        files.push((path, CONFIG));
        let dir = resolve(&dir.join("x"));
        Self { files, drop_ins: resolve(&drop_ins), dir }
    }

    /// Description of the file with this name.
    fn find(&self, path: &Path) -> Option<&'static str> {
        if let Some((_, what)) = self.files.iter().find(|(file, _)| file == path) {
            return Some(what);
        }
        let is_beside = |file: &Path| path.parent() == file.parent();
        let name = path.file_name()?.to_string_lossy();
        let name = name.strip_prefix('.').unwrap_or(&name);
        if is_beside(&self.drop_ins) && name.ends_with(".toml") {
            return Some("a drop-in file");
        }
        let is_state = is_beside(&self.dir) && STATE.iter().any(|file| name.starts_with(file))
            || is_beside(&self.dir.with_file_name("tls").join("x"));
        is_state.then_some("a file of the state")
    }
}

/// The same as [`resolve`], on a thread: a medium may not answer. Then the paths are compared as they are written.
fn resolve_within(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let theirs = paths.clone();
    let work = move || theirs.iter().map(|path| resolve(path)).collect();
    let resolved = thread::within("directories", LOOK_STACK_BYTES, SANDBOX_TIME, work);
    resolved.unwrap_or_else(|| paths.into_iter().map(absolute).collect())
}

fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Absolute path without links to the directory.
fn resolve(path: &Path) -> PathBuf {
    let path = absolute(path.to_owned());
    match (path.parent().map(fs::canonicalize), path.file_name()) {
        (Some(Ok(directory)), Some(name)) => directory.join(name),
        _ => path,
    }
}

/// Writes the copy of the configuration with which the server serves. An equal copy is left alone: flash
/// wears out.
pub(super) fn keep_good_copy(path: &Path, document: &str) {
    let kept = file::read_regular_text(path, CONFIG_BYTES).unwrap_or_default();
    let document = config::with_file_of(document, &kept);
    // A longer one could not be read.
    if document == kept || document.len() > CONFIG_BYTES {
        return;
    }
    // The file may contain secrets that only its owner may read.
    if let Err(error) = file::write_atomic(path, document.as_bytes(), 0o600) {
        warning!("cannot write the last good copy of the configuration file: {}", error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::TestDirectory;

    #[test]
    fn log_has_no_file_of_the_server_and_none_of_another_log() {
        let directory = TestDirectory::new("own-files");
        let path = |name: &str| directory.0.join(name);
        for name in ["state", "state/tls", "f.d"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("real.toml"), "").unwrap();
        std::os::unix::fs::symlink("real.toml", path("f.toml")).unwrap();
        std::os::unix::fs::symlink("state", path("link")).unwrap();
        let dir = directory.0.display();
        let error = |text: &str| {
            let text = text.replace("DIR", &dir.to_string());
            let config = config::parse(&text, "f", "/bin/friendlet").unwrap();
            let checked = check(&config, &path("f.toml"), &path("state"));
            checked.err().map(|error| {
                assert!(error.is_of_the_file() && error.code() == StartError::CONFIG);
                error.to_string().replace(&dir.to_string(), "DIR")
            })
        };
        for (file, what) in [
            ("f.toml", "f.toml is the configuration file"),
            ("real.toml", "real.toml is the configuration file"),
            ("f.toml.good", "f.toml.good is the last good copy"),
            ("f.d/1.toml", "f.d/1.toml is a drop-in file"),
            ("state/passwords", "state/passwords is a file of the state"),
            ("link/passwords", "state/passwords is a file of the state"),
            ("state/../state/enabled.copy", "state/enabled.copy is a file of the state"),
            ("state/.admin.toml.new", "state/.admin.toml.new is a file of the state"),
            ("state/tls/log", "state/tls/log is a file of the state"),
            ("own.pem", "own.pem is a file of the certificate"),
        ] {
            let listen = "[listen]\ncertificate = 'DIR/own.pem'\nkey = 'DIR/key.pem'\n";
            for (key, text) in [
                ("[log] file", format!("[log]\nfile = 'DIR/{file}'\n")),
                ("[log] audit", format!("[log]\naudit = 'DIR/{file}'\n")),
                (
                    "output_file",
                    format!("[[service]]\nname = 'a'\ncommand = ['a']\noutput_file = 'DIR/{file}'\n"),
                ),
            ] {
                let expected = format!("{key}: DIR/{file}: DIR/{what}; name another file");
                assert_eq!(error(&(listen.to_owned() + &text)), Some(expected));
            }
        }
        fs::write(path("log.1"), "").unwrap();
        fs::remove_file(path("f.toml")).unwrap();
        std::os::unix::fs::symlink("log.1", path("f.toml")).unwrap();
        for (log, name) in [
            ("file = 'DIR/log'\nfiles = 2", Some("log.1 is the configuration file")),
            ("file = 'DIR/log'\nfiles = 1", None),
            ("file = 'DIR/a'\nfiles = 3\naudit = 'DIR/a.2'", Some("a.2 is one of [log] file = \"DIR/a\"")),
            ("file = 'DIR/a.1'\naudit = 'DIR/a'", Some("a.1 is one of [log] file = \"DIR/a.1\"")),
            ("file = 'DIR/a'\nfiles = 2\naudit = 'DIR/a.2'", None),
            ("file = 'DIR/state/log'\naudit = 'DIR/state/audit'", None),
        ] {
            let found = error(&format!("[log]\n{log}\n"));
            let found = found.map(|error| error.rsplit_once(": DIR/").unwrap().1.to_owned());
            assert_eq!(found, name.map(|name| format!("{name}; name another file")), "{log}");
        }
    }
}
