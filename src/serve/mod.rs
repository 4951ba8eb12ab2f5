//! The server: the sans-IO core, the network and the system, joined.
//!
//! [`run`] makes everything once (buffers, tasks, keys), then one thread runs one executor until a
//! signal or an administrator ends it. `core` lets network and core meet in cells that are never held across an await;
//! `system` is the core's [`Platform`](crate::api::Platform); `identity` makes the certificate and
//! the first administrator; `ending` ends the board.

mod core;
mod ending;
mod identity;
mod system;

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use smol::LocalExecutor;

use self::core::Core;
use self::ending::Ending;
use self::system::System;
use crate::api::{Api, Board};
use crate::config::{Config, LogFiles};
use crate::connection::{Server, ServerConfig};
use crate::net::{Bell, Endpoint as _, Listener, Ports};
use crate::runtime::{self, Tasks, Timer};
use crate::service::SHUTDOWN_GRACE;
use crate::service::Supervisor;
use crate::session::{Lockout, SessionTable};
use crate::sys::password::PasswordWorker;
use crate::sys::{
    Clock, EnabledFile, Notify, NotifyEnvironment, NotifyState, PasswordsFile, Processes, Received, Signals,
    file, log_files,
};
use crate::{error, info, limits, warning};

crate::limits::limits! {
    /// PEM file of a certificate chain, a key or an authority.
    PEM_BYTES: usize = 64 * 1024, exceeded "the server does not start",
        tests ["pem_files_may_be_as_large_as_their_limit"];
    /// File of the administrator that the first start makes.
    FIRST_USER_FILE_BYTES: usize = 4096, exceeded "the server does not start",
        tests ["file_of_the_first_user_may_be_as_large_as_its_limit"];
}

/// Step at which an ending server looks whether it is done.
const END_STEP: Duration = Duration::from_millis(20);

/// The stack of the server's thread, and what the allocator keeps beside what it gives out.
pub(crate) const STACK_BYTES: usize = 768 * 1024;

/// What the server is started with.
#[derive(Debug)]
pub struct Start {
    /// The device file.
    pub config: Config,
    /// Where it keeps its state.
    pub state_dir: PathBuf,
    /// What it knows of its board.
    pub board: Board,
    /// Whether `NOTIFY_SOCKET` is that of `friendlet init`, which ends the board when it is asked to.
    pub has_init: bool,
    /// What is written where once the server serves, unless it is there already: the last good copy of
    /// the device file.
    pub good_copy: Option<(PathBuf, String)>,
}

/// Why the server could not start, or not end its board: what, where, and what to do.
#[derive(Debug)]
pub struct StartError {
    code: u8,
    text: String,
    is_of_the_file: bool,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for StartError {}

impl StartError {
    /// sysexits' `EX_UNAVAILABLE`.
    const UNAVAILABLE: u8 = 69;
    /// sysexits' `EX_OSERR`.
    const SYSTEM: u8 = 71;
    /// sysexits' `EX_CANTCREAT`.
    const CANNOT_CREATE: u8 = 73;
    /// sysexits' `EX_CONFIG`.
    const CONFIG: u8 = 78;

    fn new(code: u8, text: impl fmt::Display) -> Self {
        Self { code, text: text.to_string(), is_of_the_file: code == Self::CONFIG }
    }

    /// The same, but for what the device file asks for that this machine does not have.
    fn of_the_file(self) -> Self {
        Self { is_of_the_file: true, ..self }
    }

    /// The exit code, one of sysexits.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Whether the server may start with another device file: it is asked for an address, a
    /// certificate or a state folder that cannot be had.
    pub fn is_of_the_file(&self) -> bool {
        self.is_of_the_file
    }

    fn system(what: &str, error: impl fmt::Display) -> Self {
        Self::new(Self::SYSTEM, format_args!("{what}: {error}"))
    }
}

/// Bytes of the task of one connection.
pub(crate) fn task_bytes() -> usize {
    crate::net::task_bytes::<Core>()
}

/// Serves until `TERM` or `INT`, or until an administrator ends the board.
///
/// # Errors
/// See [`StartError`].
pub fn run(start: Start) -> Result<(), StartError> {
    let Start { config, state_dir, board, has_init, good_copy } = start;
    let state_dir = state_dir.as_path();
    crate::log::set_level(config.log_level);
    keep_log(&config.log_files, &board.build);
    let clock = Clock::new();
    // Before anything is made: a second server on the same port must not take the first one's users
    // and keys from under it. Nor may it serve on another one: it would start every service twice.
    let listener = Listener::bind(config.listen.address).map_err(|error| {
        let is_in_use = error.is_in_use();
        let error = StartError::new(StartError::UNAVAILABLE, error);
        if is_in_use { error } else { error.of_the_file() }
    })?;
    let address = listener.address().map_err(|error| StartError::system("no address", error))?;
    identity::prepare_state_dir(state_dir)
        .map_err(|error| if config.state_dir.is_empty() { error } else { error.of_the_file() })?;
    let tls = identity::tls(&config.listen, state_dir)?;
    let mut users = identity::users(config.users, state_dir)?;
    let changed_passwords = PasswordsFile::new(state_dir);
    // Nobody could log in to mend it, if this were the end.
    if let Err(error) = changed_passwords.load(&mut users) {
        error!("cannot read changed passwords, using those of the configuration file: {}", error);
    }

    let mut enabled = EnabledFile::new(state_dir);
    let services = supervisor(config.services, &mut enabled)?;
    let command_bell = Rc::new(Bell::default());
    let ring = Rc::clone(&command_bell);
    let processes = Rc::new(Processes::new(services.table().len(), move || ring.ring()));
    let passwords = Rc::new(
        PasswordWorker::start()
            .map_err(|error| StartError::system("cannot start the thread that checks passwords", error))?,
    );
    // Before anything is started: no end of a child is missed.
    let signals = Signals::new().map_err(|error| StartError::system("cannot listen to signals", error))?;
    let sessions = SessionTable::new(config.idle_timeout);
    let lockout = Lockout::new(config.lockout_attempts, config.lockout_time);
    let server = Server::new(ServerConfig {
        slots: config.slots,
        tls: tls.is_some(),
        origins: config.listen.origins,
        api: Api::new(users, config.tokens, sessions, lockout, services, board),
    });
    let ports = Ports::new(server.slots());
    let notify = Rc::new(Notify::new(&NotifyEnvironment::of_this_process()));
    let ending = Rc::new(Ending::new(config.board, has_init, Rc::clone(&notify)));
    let system = System::new(
        Rc::clone(&processes),
        Rc::clone(&passwords),
        enabled,
        changed_passwords,
        Rc::clone(&ending),
        clock,
    );
    let core = Rc::new(Core::new(server, system, clock, Rc::clone(&notify), Rc::clone(&ports)));

    let executor = LocalExecutor::new();
    let mut tasks = Tasks::new(crate::net::tasks(ports.len()));
    let no_reactor = |error| StartError::system("cannot wait for anything", error);
    processes.spawn_tasks(&executor).map_err(no_reactor)?;
    crate::net::run(&mut tasks, listener, &ports, &core, tls.as_ref()).map_err(no_reactor)?;
    let step = Timer::new().map_err(no_reactor)?;
    executor.spawn(core::passwords(Rc::clone(&core), passwords)).detach();
    executor.spawn(core::commands(Rc::clone(&core), processes, command_bell)).detach();
    core.start();
    // For people and for scripts: from here on connections are taken.
    eprintln!("listening on {}://{address}", if tls.is_some() { "https" } else { "http" });
    notify.send(NotifyState::Ready);
    if let Some((path, text)) = good_copy {
        keep_good_copy(&path, &text);
    }
    let end = executor.run(until_end(&core, &notify, &ending, &signals, &step));
    let outcome = runtime::block_on(&mut tasks, end).map_err(no_reactor);
    let outcome = outcome.and_then(|()| ending.carry_out());
    log_files::handle_tick(Duration::MAX);
    outcome
}

/// Keeps the text of a device file with which the server serves. One that is there already is not
/// written again: flash wears out.
fn keep_good_copy(path: &Path, text: &str) {
    if file::read(path, limits::CONFIG_BYTES).is_ok_and(|kept| kept == text.as_bytes()) {
        return;
    }
    // It may hold what the file itself shows to its owner alone.
    if let Err(error) = file::write_atomic(path, text.as_bytes(), 0o600) {
        warning!("cannot write the last good copy of the configuration file: {}", error);
    }
}

fn keep_log(files: &LogFiles, build: &str) {
    let LogFiles { file, bytes, count } = files;
    if !file.is_empty() {
        log_files::open(&log_files::LogTarget {
            file: Path::new(file.as_str()),
            bytes: *bytes,
            count: *count,
            build,
        });
    }
}

fn supervisor(
    table: crate::service::ServiceTable,
    enabled: &mut EnabledFile,
) -> Result<Supervisor, StartError> {
    let mut services = Supervisor::new(table);
    let mut overrides = Vec::with_capacity(limits::SERVICES);
    let loaded = enabled.load(|name, enabled| match services.table().find(name) {
        Some(service) => {
            overrides.push((service, enabled));
            true
        }
        None => {
            warning!("service {}: is not in the configuration file any more", name);
            false
        }
    });
    // A board that starts none of its services is worse than one that forgot a switch.
    if let Err(error) = loaded {
        warning!("what was installed and uninstalled cannot be read: {}", error);
    }
    for (service, enabled) in overrides {
        services.set_enabled(service, enabled);
    }
    Ok(services)
}

/// Handles signals until one ends the server, or the board's end does; then ends it in order.
async fn until_end(core: &Rc<Core>, notify: &Notify, ending: &Ending, signals: &Signals, step: &Timer) {
    loop {
        let asked = async {
            ending.asked().await;
            None
        };
        match smol::future::or(async { Some(signals.next().await) }, asked).await {
            Some(Received::Child) => core.reap(),
            Some(Received::Hup) => {}
            Some(Received::Term | Received::Int) | None => break,
        }
    }
    info!("ending: closing sockets, stopping services");
    notify.send(NotifyState::Stopping);
    core.shutdown();
    let deadline = core.now() + SHUTDOWN_GRACE;
    while !core.is_down() && core.now() < deadline {
        let stepped = async {
            step.after(END_STEP).await;
            None
        };
        match smol::future::or(async { Some(signals.next().await) }, stepped).await {
            // A second one says that there is no time.
            Some(Received::Term | Received::Int) => break,
            _ => core.reap(),
        }
    }
    core.kill_rest();
    core.log_counters();
}
