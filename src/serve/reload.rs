//! Reload of the configuration file and its drop-ins.
//!
//! A thread reads and checks everything, so that nothing waits for the disk: the files, the certificate, the
//! administrator of a file without users. What it has read takes the place of what is in force on the event loop, in
//! one step, or nothing does.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use super::certificate::{Certificate, InUse};
use super::change::{self, Page};
use super::confinement::Confinement;
use super::later::Later;
use super::mark::{self, ChangeNotice};
use super::{RELOAD_ERRORS_BYTES, ReloadFiles};
use crate::call::{Change, ConfigurationWork};
use crate::config::{Config, ConfigError};
use crate::log::{Level, Reason};
use crate::net::tls::Names;
use crate::net::{Listeners, TlsConfig};
use crate::runtime::{Receiver, Sender, queue};
use crate::service::Difference;
use crate::sys::conditions::ConditionWatch;
use crate::sys::thread;
use crate::warning;

/// Stack of the thread: the parser of the configuration file, and the certificate.
pub(crate) const RELOAD_STACK_BYTES: usize = 256 * 1024;

/// Number of no call, for a reload by a signal.
pub(super) const NO_CALL: u64 = 0;

/// Reader and writer of the configuration file, on a thread.
pub(super) struct Reloader {
    files: ReloadFiles,
    state_dir: PathBuf,
    /// User of the server.
    owner: u32,
    /// Text of all files in force, but not of an unconfirmed change.
    in_force: RefCell<Arc<str>>,
    /// Text of all files of an unconfirmed change.
    unconfirmed: RefCell<Option<Arc<str>>>,
    /// Address of the server in its configuration file.
    address: Cell<SocketAddr>,
    done: Sender<Done, 1>,
    results: Receiver<Done, 1>,
    is_reading: Cell<bool>,
    /// It reads the files in order to put them in force.
    is_reloading: Cell<bool>,
    /// A signal came meanwhile, perhaps after the file was read.
    is_due: Cell<bool>,
    /// The services of an earlier server are those of a trial.
    is_return_due: Cell<bool>,
}

/// Work of the thread.
enum Job {
    /// Read the files.
    Read { is_trial: bool },
    /// Parse the text in force again.
    Return,
    /// Make the certificate anew with these names.
    Renew(Arc<Certificate>, Box<Names>),
    /// Work of a call.
    Call(ConfigurationWork),
}

/// Result of the thread.
pub(super) struct Done {
    /// Call that waits for it, or [`NO_CALL`].
    pub(super) call_id: u64,
    pub(super) result: JobResult,
}

/// Results of each kind of work: the content, or all errors.
pub(super) enum JobResult {
    /// The files; nothing is to change if it `is_trial`.
    Read { is_trial: bool, outcome: Result<Box<Later>, String> },
    /// The text in force.
    Returned(Result<Box<Later>, String>),
    /// The certificate that took the place of an earlier one.
    Renewed(Arc<Certificate>, Result<InUse, String>),
    /// A page of the text in force.
    Shown(Page),
    /// Another text, and the one in force to return to.
    Changed { change: Box<Change>, outcome: Result<[Box<Later>; 2], String> },
    /// The changed file is written.
    Written(Result<(), String>),
}

/// Parts that a reload changes besides the sans-IO server.
pub(super) struct Reloads {
    /// Configuration in force, without users, tokens and services: the server has them.
    pub(super) config: Config,
    pub(super) confinement: Confinement,
    pub(super) tls: Option<Rc<TlsConfig>>,
    pub(super) conditions: Rc<ConditionWatch>,
    pub(super) listeners: Rc<Listeners>,
    /// Reload that waits for the end of services, and what it changes.
    pub(super) pending: Option<(Box<Later>, Difference)>,
    /// Call of a reload that waits for the end of another one, or of a write to the disk.
    pub(super) waiting: Option<u64>,
    /// Parts of a change that is to be confirmed.
    pub(super) unconfirmed: Option<Unconfirmed>,
    /// Earlier configuration that comes back after a trial; true: its settings are in force already.
    pub(super) returning: Option<(Box<Later>, bool)>,
    /// Text of a confirmed trial that the keeper has not got yet.
    pub(super) confirmed: Option<File>,
    /// Notice of a change that ended with an earlier server: the reload that it has left does not end that.
    pub(super) change_notice: Option<ChangeNotice>,
    /// The reload that it has left is of a confirmed change.
    pub(super) is_confirmed: bool,
    /// Change whose mark is on the disk.
    pub(super) marked: Option<u64>,
    /// Error of the earlier file, and notice of the change, for administrators once its settings are in force.
    pub(super) notice: Option<(Option<ConfigError>, ChangeNotice)>,
}

/// Parts of an unconfirmed change.
pub(super) struct Unconfirmed {
    /// The configuration that was in force before.
    pub(super) earlier: Box<Later>,
    /// The log level in force, and the error of the configuration file.
    pub(super) level: Level,
    pub(super) config_error: Option<ConfigError>,
    /// Address of the changed configuration.
    pub(super) address: SocketAddr,
    /// Text of the changed configuration, once the keeper has it.
    pub(super) document: Option<File>,
}

impl Reloads {
    pub(super) fn new(
        config: Config,
        confinement: Confinement,
        tls: Option<Rc<TlsConfig>>,
        conditions: Rc<ConditionWatch>,
        listeners: Rc<Listeners>,
    ) -> Self {
        Self {
            config,
            confinement,
            tls,
            conditions,
            listeners,
            pending: None,
            waiting: None,
            unconfirmed: None,
            returning: None,
            confirmed: None,
            change_notice: None,
            is_confirmed: false,
            marked: None,
            notice: None,
        }
    }
}

impl Reloader {
    /// Reader of these files. `text` is that of all files in force, `owner` the user of the server.
    pub(super) fn new(
        files: ReloadFiles,
        state_dir: PathBuf,
        text: Arc<str>,
        address: SocketAddr,
        owner: u32,
    ) -> Self {
        let (done, results) = queue();
        Self {
            files,
            state_dir,
            owner,
            in_force: RefCell::new(text),
            unconfirmed: RefCell::new(None),
            address: Cell::new(address),
            done,
            results,
            is_reading: Cell::new(false),
            is_reloading: Cell::new(false),
            is_due: Cell::new(false),
            is_return_due: Cell::new(false),
        }
    }

    /// Starts a thread that reads. Returns false until [`release`](Self::release) after an earlier request.
    pub(super) fn request(&self, call_id: u64, is_trial: bool) -> bool {
        !self.is_reading.get() && self.read(call_id, is_trial)
    }

    /// The same for other work.
    pub(super) fn request_work(&self, call_id: u64, work: ConfigurationWork) -> bool {
        !self.is_reading.get() && self.start(call_id, Job::Call(work))
    }

    /// Begins to make a certificate anew. Returns false as [`request`](Self::request) does.
    pub(super) fn renew(&self, certificate: Arc<Certificate>, names: Names) -> bool {
        !self.is_reading.get() && self.start(NO_CALL, Job::Renew(certificate, Box::new(names)))
    }

    /// Begins a reload for a signal: now, or after the one that is under way.
    pub(super) fn request_by_signal(&self) {
        let is_begun = self.request(NO_CALL, false);
        self.is_due.set(!is_begun);
    }

    /// Asks for the configuration in force, whose services are not: they are those of an earlier server's trial.
    pub(super) fn request_return(&self) {
        self.is_return_due.set(true);
        self.retry_return();
    }

    /// Returns true while that has not begun.
    pub(super) fn is_return_due(&self) -> bool {
        self.is_return_due.get()
    }

    /// Begins the return that was asked for, unless the thread is at work or cannot be started.
    pub(super) fn retry_return(&self) {
        if self.is_return_due.get() && !self.is_reading.get() {
            self.is_return_due.set(!self.start(NO_CALL, Job::Return));
        }
    }

    /// Reads again for a request whose result could not be used.
    pub(super) fn read(&self, call_id: u64, is_trial: bool) -> bool {
        self.start(call_id, Job::Read { is_trial })
    }

    fn start(&self, call_id: u64, job: Job) -> bool {
        let (files, state_dir, done) = (self.files.clone(), self.state_dir.clone(), self.done.clone());
        let (in_force, address) = (self.in_force(), self.address.get());
        let owner = self.owner;
        let unconfirmed = self.unconfirmed.borrow().clone();
        let shown = unconfirmed.clone().unwrap_or_else(|| Arc::clone(&in_force));
        self.is_reloading.set(matches!(job, Job::Read { is_trial: false }));
        let is_started = start(Box::new(move || {
            let result = match job {
                Job::Read { is_trial } => {
                    let outcome = Later::read(&files, &state_dir).and_then(|later| later.with_site(owner));
                    let outcome = outcome.map_err(cut);
                    JobResult::Read { is_trial, outcome }
                }
                Job::Return => {
                    JobResult::Returned(Later::of_document(&in_force, &files, &state_dir).map_err(cut))
                }
                Job::Renew(certificate, names) => {
                    let outcome = certificate.renew(*names);
                    JobResult::Renewed(certificate, outcome)
                }
                Job::Call(ConfigurationWork::Show { since, has_sources }) => {
                    let name = files.config.display().to_string();
                    JobResult::Shown(change::show(&shown, &name, since, has_sources))
                }
                Job::Call(ConfigurationWork::Change(change)) => {
                    let outcome = change::read(&change, &shown, &in_force, address, &files, &state_dir);
                    if let (Ok([later, _]), false) = (&outcome, change.is_dry) {
                        mark::write(&state_dir, call_id, change::file_of(&later.text), &change.by);
                    }
                    JobResult::Changed { change, outcome: outcome.map_err(cut) }
                }
                Job::Call(ConfigurationWork::Write) => {
                    let written = change::write(&files, unconfirmed.as_deref().unwrap_or_default());
                    JobResult::Written(written)
                }
            };
            // There is room for the one that reads.
            let _ = done.try_send(Done { call_id, result });
        }));
        self.is_reading.set(is_started);
        is_started
    }

    /// Waits for the next result.
    pub(super) async fn result(&self) -> Option<Done> {
        self.results.recv().await
    }

    /// Returns true while a reload is not handled.
    pub(super) fn is_reloading(&self) -> bool {
        self.is_reading.get() && self.is_reloading.get() || self.is_due.get()
    }

    /// Accepts requests again, after a result was handled.
    pub(super) fn release(&self) {
        self.is_reading.set(false);
        self.retry_return();
        if self.is_due.take() {
            self.request_by_signal();
        }
    }

    /// Text of all files in force, but not of an unconfirmed change.
    pub(super) fn in_force(&self) -> Arc<str> {
        Arc::clone(&self.in_force.borrow())
    }

    /// Notes the text of all files in force, and writes the last good copy, on a thread.
    pub(super) fn keep(&self, text: Arc<str>) {
        self.in_force.replace(Arc::clone(&text));
        if let Some(path) = self.files.good_copy.clone() {
            start(Box::new(move || super::own_files::keep_good_copy(&path, &text)));
        }
    }

    /// Removes the mark of a change from the disk, on a thread.
    pub(super) fn unmark(&self, change: u64) {
        let state_dir = self.state_dir.clone();
        start(Box::new(move || mark::remove(&state_dir, change)));
    }

    /// Begins the trial of a text.
    pub(super) fn begin_trial(&self, text: Arc<str>) {
        self.unconfirmed.replace(Some(text));
    }

    /// Ends it. `address` is that of a text that is in force from now on.
    pub(super) fn end_trial(&self, address: Option<SocketAddr>) {
        let text = self.unconfirmed.take();
        if let (Some(text), Some(address)) = (text, address) {
            self.in_force.replace(text);
            self.address.set(address);
        }
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
