//! The state directory at the start of the server: its creation, its lock, and the damage that was found in it.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use super::{PREDECESSOR_PAUSE, PREDECESSOR_TIME, StartError};
use crate::config::{self, NOTICE_BYTES};
use crate::log::Reason;
use crate::log::console::error;
use crate::service::{ServiceTable, Supervisor};
use crate::sys::file::{self, BROKEN, FileError, with_suffix};
use crate::sys::state_file::Notices;
use crate::sys::state_lock::{self, LockError, StateLock};
use crate::sys::{EnabledFile, random};
use crate::{limits, warning};

/// State directory as the server starts.
#[derive(Debug)]
pub(super) struct State<'s> {
    /// Path of the directory. It may not exist if `falls_back`.
    pub(super) dir: &'s Path,
    /// A failed write does not end the server: the content stays in memory.
    pub(super) falls_back: bool,
    /// Damage, for administrators.
    pub(super) notices: Notices,
    /// Held as long as the server runs.
    lock: Option<StateLock>,
}

impl<'s> State<'s> {
    /// Creates the directory, for its owner alone, and locks it.
    ///
    /// # Errors
    /// Another server uses the directory. Without `falls_back`, it cannot be created.
    pub(super) fn open(dir: &'s Path, falls_back: bool) -> Result<Self, StartError> {
        let mut state = Self { dir, falls_back, notices: Notices::new(), lock: None };
        if let Err(error) = file::create_dir(dir) {
            let error = uncreated(&error);
            if !falls_back {
                return Err(error);
            }
            state.notices.push(error.to_string());
            return Ok(state);
        }
        state.notices.extend(open_to_all(dir));
        match StateLock::new(dir) {
            Ok(lock) => state.lock = Some(lock),
            Err(LockError::InUse(holder)) => return Err(in_use(dir, holder)),
            Err(LockError::Io(error)) => {
                state.notices.push(format!(
                    "{}: cannot lock the state directory, so a second server may use it: {}",
                    dir.display(),
                    Reason::from(&error)
                ));
            }
        }
        Ok(state)
    }

    /// Adds the damage that earlier starts found in these files: a server may end before an administrator has read its
    /// notice.
    pub(super) fn recall(&mut self, names: &[&str]) {
        for name in names {
            let path = self.dir.join(name);
            let text = path.display().to_string();
            let is_known = self.notices.iter().any(|notice| notice.contains(&text));
            let is_aside = |suffix: &&&str| !file::is_absent(&with_suffix(&path, suffix));
            if let (Some(suffix), false) = (BROKEN.iter().find(is_aside), is_known) {
                self.notices.push(format!(
                    "{text} was damaged at an earlier start; delete the {suffix} beside it to end this notice"
                ));
            }
        }
    }

    /// Handles a file that could not be written.
    pub(super) fn handle_unwritten(&mut self, error: &FileError) -> Result<(), StartError> {
        if !self.falls_back {
            return Err(StartError::new(StartError::CANNOT_CREATE, error));
        }
        self.notices.push(format!("kept in memory alone: {error}"));
        Ok(())
    }

    /// Logs the damage, and adds it to the notice of the board.
    pub(super) fn report(&self, notice: &mut Option<heapless::String<NOTICE_BYTES>>) {
        let mut text = notice.take().map(|notice| notice.to_string()).unwrap_or_default();
        for damage in &self.notices {
            error!("state: {}", damage);
            let joint = if text.is_empty() { "" } else { "; " };
            // Writing to it never fails.
            let _ = write!(text, "{joint}{damage}");
        }
        *notice = (!text.is_empty()).then(|| config::one_line(text));
    }
}

/// Problem of a state directory that any user can write to.
pub(super) fn open_to_all(dir: &Path) -> Option<String> {
    let mode = fs::metadata(dir).ok()?.mode();
    (mode & 0o002 != 0).then(|| {
        let dir = dir.display();
        format!("any user can replace the passwords in the state directory: chmod o-w {dir}")
    })
}

/// Error of a state directory that cannot be created.
pub(super) fn uncreated(error: &FileError) -> StartError {
    StartError::new(
        StartError::CANNOT_CREATE,
        format_args!("cannot create the state directory: {error}; [state] dir names another one"),
    )
}

/// Error of a file that cannot be read at the moment. Its content may be whole, so nothing takes its place.
pub(super) fn unread(error: &FileError) -> StartError {
    StartError::system("cannot read the state", error)
}

fn in_use(dir: &Path, holder: Option<u32>) -> StartError {
    let holder = holder.map(|pid| format!(" by process {pid}")).unwrap_or_default();
    StartError::new(
        StartError::UNAVAILABLE,
        format_args!(
            "the state directory {} is in use{holder}: one server runs there already; [state] dir names another one",
            dir.display()
        ),
    )
}

/// Waits until no other server has the state directory, for a short time: the server of a keeper that was killed ends some
/// milliseconds later, and has the port.
pub(super) fn await_predecessor(state_dir: &Path) {
    let begun = Instant::now();
    while state_lock::is_in_use(state_dir) && begun.elapsed() < PREDECESSOR_TIME {
        std::thread::sleep(PREDECESSOR_PAUSE);
    }
}

/// Supervisor of the services, with those that are started with the server as it was saved.
pub(super) fn supervisor(
    table: ServiceTable,
    enabled: &mut EnabledFile,
    state: &mut State<'_>,
) -> Result<Supervisor, StartError> {
    let mut services = Supervisor::new(table);
    services.set_seed(random::seed());
    let mut overrides = Vec::with_capacity(limits::SERVICES);
    let set = |name: &str, enabled| match services.table().find(name) {
        Some(service) => {
            overrides.push((service, enabled));
            true
        }
        None => {
            warning!("service {}: its saved state is ignored: it is not in the configuration file", name);
            false
        }
    };
    enabled.load(set, &mut state.notices).map_err(|error| unread(&error))?;
    let count = overrides.len();
    for (service, enabled) in overrides {
        services.set_enabled(service, enabled);
    }
    for (name, enabled) in services.overrides() {
        let (call, other) = if enabled { ("install", "uninstall") } else { ("uninstall", "install") };
        warning!(
            "{}: {} overrides autostart = {} of the configuration file; {} undoes it",
            name,
            call,
            !enabled,
            other
        );
    }
    if services.overrides().count() < count {
        enabled.rewrite(services.overrides(), &mut state.notices);
    }
    Ok(services)
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;
    use std::sync::MutexGuard;

    use super::*;
    use crate::sys::tests::{TestDirectory, lock_children};

    /// State directory of one test, removed at its end. A child of another test would have its lock, too.
    pub(in crate::serve) struct StateDirectory(
        TestDirectory,
        #[expect(dead_code, reason = "held")] MutexGuard<'static, ()>,
    );

    impl StateDirectory {
        pub(in crate::serve) fn new(name: &str) -> Self {
            crate::log::set_level(crate::log::Level::Off);
            Self(TestDirectory::new(name), lock_children())
        }

        pub(in crate::serve) fn path(&self, name: &str) -> PathBuf {
            self.0.0.join(name)
        }

        pub(in crate::serve) fn open(&self, falls_back: bool) -> Result<State<'_>, StartError> {
            State::open(&self.0.0, falls_back)
        }
    }

    #[test]
    fn damage_is_in_the_notice_of_each_server_until_what_was_set_aside_is_deleted() {
        let dir = StateDirectory::new("recalled");
        let notice = |own: &[&str]| {
            let mut state = dir.open(false).unwrap();
            state.notices.extend(own.iter().map(|own| format!("{}{own}", dir.path("").display())));
            let mut notice = None;
            state.recall(&["admin.toml", "passwords", "tls/key.pem"]);
            state.report(&mut notice);
            notice.map(|notice| notice.replace(&dir.path("").display().to_string(), "")).unwrap_or_default()
        };
        assert_eq!(notice(&[]), "");
        fs::write(dir.path("passwords.broken"), "").unwrap();
        fs::create_dir_all(dir.path("tls/key.pem.broken.1")).unwrap();
        let rest = "to end this notice";
        let passwords =
            format!("passwords was damaged at an earlier start; delete the .broken beside it {rest}");
        let key =
            format!("tls/key.pem was damaged at an earlier start; delete the .broken.1 beside it {rest}");
        for _ in 0..2 {
            assert_eq!(notice(&[]), format!("{passwords}; {key}"));
        }
        assert_eq!(notice(&["passwords: empty"]), format!("passwords: empty; {key}"));
        fs::remove_file(dir.path("passwords.broken")).unwrap();
        assert_eq!(notice(&[]), key);
    }

    #[test]
    fn directory_that_any_user_can_write_to_is_in_the_notice() {
        let dir = StateDirectory::new("open-state");
        for (mode, is_open) in [(0o700, false), (0o775, false), (0o777, true), (0o1702, true)] {
            fs::set_permissions(dir.path(""), fs::Permissions::from_mode(mode)).unwrap();
            let state = dir.open(false).unwrap();
            assert_eq!(state.notices.iter().any(|notice| notice.contains("chmod o-w")), is_open, "{mode:o}");
            assert_eq!(open_to_all(&dir.path("")).is_some(), is_open, "{mode:o}");
        }
    }
}
