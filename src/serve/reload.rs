//! Reload of the configuration file and its drop-ins.
//!
//! A thread reads and checks everything, so that nothing waits for the disk: the files, the certificate, the
//! administrator of a file without users. What it has read takes the place of what is in force on the event loop, in
//! one step, or nothing does.

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;
use smol::channel::{Receiver, Sender, bounded};

use super::{RELOAD_ERRORS_BYTES, ReloadFiles, certificate, first_user, keep_good_copy};
use crate::config::{self, Config, ConfigOrigin, References, Source};
use crate::limits::{BOARD_FILE, CONFIG_BYTES};
use crate::log::Reason;
use crate::net::TlsConfig;
use crate::service::Difference;
use crate::sys::conditions::ConditionWatch;
use crate::sys::drop_ins::{self, DropIn};
use crate::sys::{file, memory_file, thread};
use crate::warning;

/// Stack of the thread: the parser of the configuration file, and the certificate.
pub(crate) const RELOAD_STACK_BYTES: usize = 256 * 1024;

/// Number of no call, for a reload by a signal.
pub(super) const NO_CALL: u64 = 0;

/// Reader of the configuration file.
pub(super) struct Reloader {
    files: ReloadFiles,
    state_dir: PathBuf,
    done: Sender<Read>,
    results: Receiver<Read>,
    is_reading: Cell<bool>,
    /// A signal came meanwhile, perhaps after the file was read.
    is_due: Cell<bool>,
}

/// Result of a thread.
pub(super) struct Read {
    /// Call that waits for it, or [`NO_CALL`].
    pub(super) call_id: u64,
    /// Nothing is to change.
    pub(super) is_trial: bool,
    /// The content, or all errors.
    pub(super) outcome: Result<Box<Later>, String>,
}

/// A later configuration.
pub(super) struct Later {
    pub(super) config: Config,
    pub(super) config_origin: ConfigOrigin,
    /// Certificate and key, unless those in use stay.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Text of all files for the keeper, in memory.
    pub(super) document: File,
    /// The same, for the last good copy.
    pub(super) text: String,
}

/// Parts that a reload changes besides the sans-IO server.
pub(super) struct Reloads {
    /// Configuration in force, without users, tokens and services: the server has them.
    pub(super) config: Config,
    pub(super) tls: Option<Rc<TlsConfig>>,
    pub(super) conditions: Rc<ConditionWatch>,
    /// Reload that waits for the end of services, and what it changes.
    pub(super) pending: Option<(Box<Later>, Difference)>,
    /// Call of a reload that waits for the end of another one, or of a write to the disk.
    pub(super) waiting: Option<u64>,
}

impl Reloads {
    pub(super) fn new(config: Config, tls: Option<Rc<TlsConfig>>, conditions: Rc<ConditionWatch>) -> Self {
        Self { config, tls, conditions, pending: None, waiting: None }
    }
}

impl Reloader {
    pub(super) fn new(files: ReloadFiles, state_dir: PathBuf) -> Self {
        let (done, results) = bounded(1);
        Self { files, state_dir, done, results, is_reading: Cell::new(false), is_due: Cell::new(false) }
    }

    /// Starts a thread that reads. Returns false until [`release`](Self::release) after an earlier request.
    pub(super) fn request(&self, call_id: u64, is_trial: bool) -> bool {
        if self.is_reading.get() {
            return false;
        }
        self.read(call_id, is_trial)
    }

    /// Begins a reload for a signal: now, or after the one that is under way.
    pub(super) fn request_by_signal(&self) {
        let is_begun = self.request(NO_CALL, false);
        self.is_due.set(!is_begun);
    }

    /// Reads again for a request whose result could not be used.
    pub(super) fn read(&self, call_id: u64, is_trial: bool) -> bool {
        let (files, state_dir, done) = (self.files.clone(), self.state_dir.clone(), self.done.clone());
        let is_started = start(Box::new(move || {
            let outcome = Later::read(&files, &state_dir).map_err(cut);
            // There is room for the one that reads.
            let _ = done.try_send(Read { call_id, is_trial, outcome });
        }));
        self.is_reading.set(is_started);
        is_started
    }

    /// Waits for the next result.
    pub(super) async fn result(&self) -> Option<Read> {
        self.results.recv().await.ok()
    }

    /// Returns true while a request is not handled.
    pub(super) fn is_busy(&self) -> bool {
        self.is_reading.get() || self.is_due.get()
    }

    /// Accepts requests again, after a result was handled.
    pub(super) fn release(&self) {
        self.is_reading.set(false);
        if self.is_due.take() {
            self.request_by_signal();
        }
    }

    /// Writes the last good copy, on a thread.
    pub(super) fn keep(&self, text: String) {
        if let Some(path) = self.files.good_copy.clone() {
            start(Box::new(move || keep_good_copy(&path, &text)));
        }
    }
}

impl Later {
    fn read(files: &ReloadFiles, state_dir: &Path) -> Result<Box<Self>, String> {
        let (text, config_origin) = read(files);
        let name = match config_origin {
            ConfigOrigin::BuiltIn => config::built_in_source(),
            _ => files.config.display().to_string(),
        };
        let drop_ins = drop_ins::read(&files.config);
        let mut sources = vec![Source { name: &name, text: text.as_deref().map_err(String::as_str) }];
        sources.extend(drop_ins.iter().map(DropIn::source));
        let mut config = config::parse_files(&sources, References::Known, &files.program)
            .map_err(|errors| errors.to_string())?;
        let tls = certificate::renewed(&config.listen, state_dir).map_err(|error| error.to_string())?;
        if config.users.is_empty() {
            config.users = first_user::stored(state_dir)?;
        }
        let text = config::join(&sources, config_origin);
        let document = memory_file::create("configuration", &text)
            .map_err(|error| format!("cannot keep it in memory: {error}"))?;
        Ok(Box::new(Self { config, config_origin, tls, document, text }))
    }
}

/// Text and origin of the configuration file.
fn read(files: &ReloadFiles) -> (Result<String, String>, ConfigOrigin) {
    match file::read_content(&files.config, CONFIG_BYTES) {
        Err(error) if error.is_missing() && files.may_be_missing => {
            (Ok(BOARD_FILE.to_owned()), ConfigOrigin::BuiltIn)
        }
        text => (text.map_err(|error| error.reason.to_string()), ConfigOrigin::Given),
    }
}

/// Cuts errors, a line each, at their limit.
fn cut(errors: String) -> String {
    if errors.len() <= RELOAD_ERRORS_BYTES {
        return errors;
    }
    let mut kept = String::new();
    for (number, line) in errors.lines().enumerate() {
        let more = format!("and {} more", errors.lines().count() - number);
        if kept.len() + line.len() + more.len() + 2 > RELOAD_ERRORS_BYTES {
            return kept + &more;
        }
        kept = kept + line + "\n";
    }
    kept
}

/// Starts a thread that may wait for the disk. Returns false if the system has no room for one.
fn start(work: thread::Work) -> bool {
    let started = thread::start("reload", RELOAD_STACK_BYTES, work);
    started.inspect_err(|error| warning!("cannot start a thread: {}", Reason::from(error))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::tests::TestDirectory;

    #[test]
    fn file_may_be_missing_where_it_was_at_the_start() {
        let directory = TestDirectory::new("reload");
        let config = directory.0.join("f.toml");
        let files = |may_be_missing| ReloadFiles {
            config: config.clone(),
            good_copy: None,
            may_be_missing,
            program: "/bin/friendlet".to_owned(),
        };
        std::fs::create_dir(directory.0.join("f.d")).unwrap();
        let drop_in = "[[service]]\nname = 'web'\ncommand = ['web']\n";
        std::fs::write(directory.0.join("f.d/1.toml"), drop_in).unwrap();
        let read = |may_be_missing| Later::read(&files(may_be_missing), &directory.0);
        let missing = read(false).err().unwrap();
        assert!(missing.ends_with("f.toml: No such file or directory (errno 2)"), "{missing}");
        crate::log::set_level(crate::log::Level::Off);
        let plain = |later: &Later| (later.config_origin, later.text.clone());
        let expected = (ConfigOrigin::BuiltIn, format!("\x1c1.toml\n{drop_in}"));
        // Without users and certificate, which the server makes at its start.
        match read(true) {
            Ok(later) => assert_eq!(plain(&later), expected),
            Err(error) => assert!(!error.contains("f.toml"), "{error}"),
        }
        std::fs::write(&config, "[listen]\ntls = 'off'\n[[user]]\nname = 'a'\n").unwrap();
        let later = read(true).unwrap();
        assert_eq!(later.config_origin, ConfigOrigin::Given);
        assert!(later.config.services.find("web").is_some());
        std::fs::write(&config, "\n").unwrap();
        std::fs::write(directory.0.join("f.d/2.toml"), "x = 1").unwrap();
        let errors = read(true).err().unwrap();
        assert!(
            errors.contains("f.toml: the file is empty\n") && errors.contains("2.toml:1:1: 'x'"),
            "{errors}"
        );
    }

    #[test]
    fn errors_of_a_reload_are_cut_at_their_limit() {
        let line = "f.toml:1:1: unknown key";
        let errors = |count| vec![line; count].join("\n");
        let most = RELOAD_ERRORS_BYTES / (line.len() + 1);
        assert_eq!(cut(errors(most)), errors(most));
        let text = cut(errors(100));
        assert!(text.len() <= RELOAD_ERRORS_BYTES && text.len() > RELOAD_ERRORS_BYTES - 2 * line.len());
        let kept = text.lines().count() - 1;
        assert_eq!(text, format!("{}\nand {} more", errors(kept), 100 - kept));
        assert_eq!(cut("x".repeat(2000)), "and 1 more");
    }
}
