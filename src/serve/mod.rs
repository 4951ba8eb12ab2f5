//! Server: the sans-IO core, joined with the network and the operating system.
//!
//! [`run`] makes everything once (buffers, tasks, keys). Then one thread runs the tasks until a signal or an
//! administrator stops the server.
//!
//! | module | contents |
//! |---|---|
//! | `core` | the sans-IO server with sockets and system, in a cell that is never borrowed across an await |
//! | `system` | the server's [`Platform`](crate::api::Platform) |
//! | `identity` | certificate and first administrator |
//! | `shutdown` | restart and power-off of the board |

mod core;
mod identity;
mod shutdown;
mod system;

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use self::core::Core;
use self::shutdown::Shutdown;
use self::system::System;
use crate::api::{Api, Board};
use crate::config::{Config, LogFiles};
use crate::connection::{Server, ServerConfig};
use crate::net::{ConnectionTable, Listener};
use crate::runtime::{Notify, Tasks, Timer, UPKEEP_DELAY, block_on};
use crate::service::{KILL_TIMEOUT, RESTART_DELAY_MIN, SHUTDOWN_GRACE, Supervisor};
use crate::session::{Lockout, SessionTable};
use crate::sys::password::PasswordWorker;
use crate::sys::{
    Clock, EnabledFile, NotifyEnvironment, NotifyState, PasswordsFile, Processes, Received, SdNotify,
    Signals, file, log_files,
};
use crate::ws::CLOSE_TIMEOUT;
use crate::{error, info, limits, warning};

/// Tasks besides connections and processes: passwords, commands, output, upkeep.
const OTHER_TASKS: usize = 4;

crate::limits::limits! {
    /// PEM file of a certificate chain, a key or an authority.
    PEM_BYTES: usize = 64 * 1024, exceeded "the server does not start",
        tests ["pem_files_may_be_as_large_as_their_limit"];
    /// File of the administrator that the first start creates.
    FIRST_USER_FILE_BYTES: usize = 4096, exceeded "the server does not start",
        tests ["file_of_the_first_user_may_be_as_large_as_its_limit"];
}

const _: () = assert!(
    UPKEEP_DELAY.as_millis() < RESTART_DELAY_MIN.as_millis()
        && UPKEEP_DELAY.as_millis() < CLOSE_TIMEOUT.as_millis()
        && UPKEEP_DELAY.as_millis() < KILL_TIMEOUT.as_millis(),
    "a deadline is later than the upkeep that checks it first"
);

/// Stack of the server's thread, and overhead of the allocator.
pub(crate) const STACK_BYTES: usize = 768 * 1024;

/// Parameters of [`run`].
#[derive(Debug)]
pub struct Start {
    /// The configuration.
    pub config: Config,
    /// Directory of the state.
    pub state_dir: PathBuf,
    /// The board that the server runs on.
    pub board: Board,
    /// `NOTIFY_SOCKET` is that of `friendlet init`, which shuts the board down on request.
    pub has_init: bool,
    /// Path and content of the last good copy of the configuration file, written once the server serves.
    pub good_copy: Option<(PathBuf, String)>,
}

/// Failure to start the server, or to shut its board down.
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

    /// Marks the failure as one of the configuration file, which this machine cannot apply.
    fn of_the_file(self) -> Self {
        Self { is_of_the_file: true, ..self }
    }

    /// The exit code, one of sysexits.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Returns true if the server may start with another configuration file: the address, the certificate or
    /// the state directory of this one cannot be used.
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

/// Serves until SIGTERM or SIGINT, or until an administrator shuts the board down.
///
/// # Errors
/// See [`StartError`].
pub fn run(start: Start) -> Result<(), StartError> {
    let Start { config, state_dir, board, has_init, good_copy } = start;
    let state_dir = state_dir.as_path();
    crate::log::set_level(config.log_level);
    keep_log(&config.log_files, &board.build);
    let clock = Clock::new();
    // This comes first: a second server on the same port must not replace the users and keys of the first
    // one. It must not use another port either, or every service would run twice.
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
    // The server starts anyway, so that an administrator can log in and repair the file.
    if let Err(error) = changed_passwords.load(&mut users) {
        error!("cannot read changed passwords; using those of the configuration file: {}", error);
    }

    let mut enabled = EnabledFile::new(state_dir);
    let services = supervisor(config.services, &mut enabled)?;
    let command_done = Rc::new(Notify::default());
    let processes = Rc::new(Processes::new(services.table().len(), Rc::clone(&command_done)));
    let passwords = Rc::new(
        PasswordWorker::start()
            .map_err(|error| StartError::system("cannot start the password thread", error))?,
    );
    // Before the start of any child, so that no exit is missed.
    let signals = Signals::new().map_err(|error| StartError::system("cannot handle signals", error))?;
    let sessions = SessionTable::new(config.idle_timeout);
    let lockout = Lockout::new(config.lockout_attempts, config.lockout_time);
    let server = Server::new(ServerConfig {
        slots: config.slots,
        tls: tls.is_some(),
        origins: config.listen.origins,
        api: Api::new(users, config.tokens, sessions, lockout, services, board),
    });
    let connections = ConnectionTable::new(server.slots());
    let sd_notify = Rc::new(SdNotify::new(&NotifyEnvironment::of_this_process()));
    let shutdown = Rc::new(Shutdown::new(config.board, has_init, Rc::clone(&sd_notify)));
    let system = System::new(
        Rc::clone(&processes),
        Rc::clone(&passwords),
        enabled,
        changed_passwords,
        Rc::clone(&shutdown),
        clock,
    );
    let no_reactor = |error| StartError::system("cannot wait for events", error);
    let upkeep = Rc::new(Timer::new().map_err(no_reactor)?);
    let core =
        Core::new(server, system, clock, Rc::clone(&connections), Rc::clone(&sd_notify), Rc::clone(&upkeep));
    let core = Rc::new(RefCell::new(core));

    let mut tasks = Tasks::new(crate::net::tasks(connections.slots()) + processes.task_count() + OTHER_TASKS);
    processes.spawn_tasks(&mut tasks).map_err(no_reactor)?;
    crate::net::run(&mut tasks, listener, &connections, &core, tls.as_ref()).map_err(no_reactor)?;
    tasks
        .spawn(core::passwords(Rc::clone(&core), passwords))
        .and_then(|()| tasks.spawn(core::outputs(Rc::clone(&core), Rc::clone(&processes))))
        .and_then(|()| tasks.spawn(core::commands(Rc::clone(&core), processes, command_done)))
        .and_then(|()| tasks.spawn(core::upkeep(Rc::clone(&core), upkeep)))
        .map_err(|full| no_reactor(full.into()))?;
    let grace = Timer::new().map_err(no_reactor)?;
    core.borrow_mut().start();
    // For people and for scripts: from here on connections are accepted.
    eprintln!("listening on {}://{address}", if tls.is_some() { "https" } else { "http" });
    sd_notify.send(NotifyState::Ready);
    if let Some((path, text)) = good_copy {
        keep_good_copy(&path, &text);
    }
    let end = until_end(&core, &sd_notify, &shutdown, &signals, &grace);
    let outcome = block_on(&mut tasks, end).map_err(no_reactor);
    let outcome = outcome.and_then(|()| shutdown.execute());
    log_files::flush(Duration::MAX);
    outcome
}

/// Writes the copy of a configuration file with which the server serves. An equal copy is left alone: flash
/// wears out.
fn keep_good_copy(path: &Path, text: &str) {
    if file::read(path, limits::CONFIG_BYTES).is_ok_and(|kept| kept == text.as_bytes()) {
        return;
    }
    // The file may contain secrets that only its owner may read.
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
            warning!("service {}: its saved state is ignored: it is not in the configuration file", name);
            false
        }
    });
    // A board without its services is worse than one with an old setting.
    if let Err(error) = loaded {
        warning!("cannot read which services are installed: {}", error);
    }
    for (service, enabled) in overrides {
        services.set_enabled(service, enabled);
    }
    Ok(services)
}

/// Handles signals until one stops the server, or the board is to shut down. Then shuts the server down.
async fn until_end(
    core: &RefCell<Core>,
    sd_notify: &SdNotify,
    shutdown: &Shutdown,
    signals: &Signals,
    grace: &Timer,
) {
    let requested = async {
        shutdown.requested().await;
        Received::Term
    };
    smol::future::or(until_signal(core, signals), requested).await;
    info!("stopping: closing sockets, stopping services");
    sd_notify.send(NotifyState::Stopping);
    let down = core.borrow_mut().shutdown();
    let is_over = async {
        smol::future::or(down.notified(), grace.after(SHUTDOWN_GRACE)).await;
        Received::Term
    };
    // A second signal ends the wait.
    smol::future::or(until_signal(core, signals), is_over).await;
    let mut core = core.borrow_mut();
    core.kill_rest();
    core.log_counters();
}

/// Reaps children until a signal stops the server.
async fn until_signal(core: &RefCell<Core>, signals: &Signals) -> Received {
    loop {
        match signals.next().await {
            Received::Child => core.borrow_mut().reap(),
            Received::Hup => {}
            end @ (Received::Term | Received::Int) => return end,
        }
    }
}
