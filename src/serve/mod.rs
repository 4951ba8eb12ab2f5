//! Server: the sans-IO core, joined with the network and the operating system.
//!
//! [`run`] makes everything once (buffers, tasks, keys). Then one thread runs the tasks until a signal or an
//! administrator stops the server.
//!
//! | module | contents |
//! |---|---|
//! | `core` | the sans-IO server with sockets and system, in a cell that is never borrowed across an await |
//! | `system` | the server's [`Platform`](crate::api::Platform) |
//! | `state` | state directory: creation, lock, damage |
//! | `certificate`, `expiry`, `renewal`, `names` | certificate and key, their dates, and the names of this machine |
//! | `own_files` | files of the server, which no log may have |
//! | `first_user` | administrator of the first start |
//! | `announce` | its announcement on its networks |
//! | `preview` | errors of a start, for `friendlet check` |
//! | `probes` | attempts to connect to services that are not ready |
//! | `checks` | attempts of health checks |
//! | `confinement` | its sandbox |
//! | `connect` | connections to services, which never block |
//! | `descriptors` | their number, and how many connections it leaves |
//! | `later`, `reload`, `reloads` | the configuration file, read again; on a thread; and put in force |
//! | `change`, `trial` | the same of another text by an administrator, until he confirms it |
//! | `syslog` | sockets of the log server |
//! | `site` | own pages |
//! | `shutdown` | restart and power-off of the board, which the keeper executes |

mod announce;
mod certificate;
mod change;
mod checks;
mod confinement;
mod connect;
mod core;
mod descriptors;
mod expiry;
mod first_user;
mod later;
mod log_server;
mod mark;
mod names;
mod own_files;
mod preview;
mod probes;
mod reload;
mod reloads;
mod renewal;
mod shutdown;
mod site;
mod state;
mod syslog;
mod system;
mod trial;

use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

pub(crate) use self::announce::ANNOUNCER_BYTES;
use self::certificate::InUse;
use self::confinement::Confinement;
pub use self::confinement::preview_sandbox;
pub(crate) use self::connect::CONNECT_STACK_BYTES;
use self::core::Core;
pub use self::descriptors::descriptor_warning;
use self::expiry::{Dates, ExpiryWatch};
pub use self::own_files::GOOD;
pub use self::preview::{Finding, check_files, check_start, token_warnings};
pub(crate) use self::reload::RELOAD_STACK_BYTES;
use self::reload::{Reloader, Reloads};
use self::renewal::Renewal;
pub use self::shutdown::end_board;
use self::shutdown::{Shutdown, until_int};
pub(crate) use self::site::SITE_STACK_BYTES;
use self::state::{State, unread};
pub(crate) use self::syslog::SYSLOG_BYTES;
use self::syslog::Syslog;
use self::system::System;
use crate::api::{Api, Board};
use crate::config::{Config, LogFiles};
use crate::connection::{Server, ServerConfig};
use crate::keeper::{self, Link, Processes};
use crate::net::{BindError, ConnectionTable, Listener, Listeners, TlsConfig};
use crate::runtime::{Notify, Tasks, Timer, UPKEEP_DELAY, block_on};
use crate::service::{BoardEnd, KILL_TIMEOUT, RESTART_DELAY_MIN};
use crate::session::{Lockout, SessionTable};
use crate::sys::conditions::ConditionWatch;
use crate::sys::file::FileError;
use crate::sys::log_files::LogTarget;
use crate::sys::log_reader::LogReader;
use crate::sys::output_files::OutputFiles;
use crate::sys::password::PasswordWorker;
use crate::sys::state_writer::StateWriter;
use crate::sys::{
    EnabledFile, HostAddresses, NotifyEnvironment, NotifyState, PairedFile, PasswordsFile, Received,
    SdNotify, Signals, file, log_threads, random,
};
use crate::ws::CLOSE_TIMEOUT;
use crate::{info, limits, warning};

/// Tasks besides connections and processes. Each has its line in [`serve`].
const OTHER_TASKS: usize = 12;

crate::limits::limits! {
    /// Time of the connections to close before an upgrade.
    LEAVE_TIME: Duration = Duration::from_secs(1), exceeded "they are cut",
        tests ["connection_that_does_not_close_delays_an_upgrade_by_its_time"];
    /// Time of writes to the disk after that.
    WRITE_TIME: Duration = Duration::from_secs(10), fixed "the upgrade goes on: their calls have no answer";
    /// Time of an earlier server, whose keeper was killed, to end.
    PREDECESSOR_TIME: Duration = Duration::from_secs(5), fixed "then the start fails with exit code 69";
    /// Pause between two looks at it.
    PREDECESSOR_PAUSE: Duration = Duration::from_millis(50), fixed "the next look";
    /// Threads that connect to the UNIX sockets of services: one each for readiness and for a check, which stays while
    /// its mount hangs.
    CONNECT_THREADS: usize = limits::SERVICES + limits::CHECKS, exceeded "the attempt fails with error 11",
        tests ["threads_that_hang_are_no_more_than_the_limit"];
    /// Delay of the event loop after which the watchdogs of services get that time, too.
    HELD_UP: Duration = Duration::from_secs(1), fixed "each watchdog expires that much later";
    /// Pause between two looks at the dates of certificates that have an end, unless one is passed earlier.
    EXPIRY_LOOK: Duration = Duration::from_secs(3600), exceeded "the next look",
        tests ["each_stage_is_found_once_and_again_when_the_clock_is_set_back"];
    /// Time after a change of the addresses of this host in which others follow.
    ADDRESS_SETTLE: Duration = Duration::from_secs(3), fixed "the certificate may be made anew";
    /// Pause between two certificates that are made anew, unless the configuration is another one.
    RENEWAL_PAUSE: Duration = Duration::from_secs(300), exceeded "later", tests ["one_renewal_in_each_pause"];
    /// PEM file of a certificate chain, a key or an authority.
    PEM_BYTES: usize = 64 * 1024, exceeded "its copy is used; an error of a named file",
        tests ["pem_files_may_be_as_large_as_their_limit"];
    /// Errors of a configuration file in the answer of a reload.
    RELOAD_ERRORS_BYTES: usize = 1024, exceeded "the rest is counted",
        tests ["errors_of_a_reload_are_cut_at_their_limit"];
    /// File of the administrator that the first start creates.
    FIRST_USER_FILE_BYTES: usize = 4096, exceeded "its copy is used",
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
    /// Path of the local socket; `None`: there is none.
    pub socket: Option<PathBuf>,
    /// The board that the server runs on.
    pub board: Board,
    /// `NOTIFY_SOCKET` is that of `friendlet init`, which shuts the board down on request.
    pub has_init: bool,
    /// Path of the last good copy of the configuration, which gets the text once the server serves.
    pub good_copy: Option<PathBuf>,
    /// Text of the configuration in force, for that and for an upgrade; `None` of the built-in default alone.
    pub text: Option<String>,
    /// Files of a reload.
    pub files: ReloadFiles,
    /// The server serves without what it cannot write or read, because a board has no reader of an error.
    pub falls_back: bool,
}

/// Files that a reload reads and writes.
#[derive(Clone, Debug)]
pub struct ReloadFiles {
    /// Configuration file that was given, whether or not it is in force.
    pub config: PathBuf,
    /// Its last good copy; `None`: there is none.
    pub good_copy: Option<PathBuf>,
    /// The configuration file may be missing, as it was at the start: the built-in default is then in force.
    pub may_be_missing: bool,
    /// Path of this program, which the built-in service runs.
    pub program: String,
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

/// Serves until SIGTERM or SIGINT, or until an administrator shuts the board down: returns that end of the board. `link`
/// leads to the keeper.
///
/// # Errors
/// See [`StartError`].
pub fn run(start: Start, link: Link) -> Result<Option<BoardEnd>, StartError> {
    crate::log::set_level(start.config.log_level);
    own_files::check(&start.config, &start.files.config, &start.state_dir)?;
    let outcome = serve(start, link);
    log_threads::flush();
    outcome
}

fn serve(start: Start, link: Link) -> Result<Option<BoardEnd>, StartError> {
    let Start { mut config, state_dir, socket, mut board, has_init, good_copy, text, files, falls_back } =
        start;
    let state_dir = state_dir.as_path();
    let clock = link.clock;
    // This comes first, then the lock of the state directory: a second server must not replace the users and
    // keys of the first one, or run every service twice.
    state::await_predecessor(state_dir);
    let is_unconfirmed = link.inherited.is_unconfirmed();
    let left = mark::read(state_dir, &files.config, is_unconfirmed);
    if is_unconfirmed && let Some(address) = left.address(&files, state_dir) {
        config.listen.address = address;
    }
    let network = listen(config.listen.address, falls_back)?;
    let address = network.address().map_err(|error| StartError::system("no address", error))?;
    let (slots, few) = descriptors::reserve(&config, falls_back)?;
    let mut state = State::open(state_dir, falls_back)?;
    left.clear(state_dir);
    state.notices.extend(few);
    let owner = rustix::process::geteuid().as_raw();
    let (addresses, address_events) = HostAddresses::open().unzip();
    // Before the first thread, which gives it to those that it starts, and before the first byte of a stranger.
    let confinement = Confinement::enter(&config, &files, state_dir, socket.as_deref(), link.keeper());
    start_log(&config, &board.build)?;
    board.sandbox = confinement.report(&mut state.notices);
    random::wait().map_err(|error| {
        let advice = "this machine has no generator of random numbers, and no seed";
        StartError::system("cannot make keys and sessions", format_args!("{error}; {advice}"))
    })?;
    let local = match socket.as_deref().map(listen_locally).transpose() {
        Ok(local) => local,
        // Another server that runs there is not a fault of this board.
        Err(error) if falls_back && error.code != StartError::UNAVAILABLE => {
            state.notices.push(error.to_string());
            None
        }
        Err(error) => return Err(error),
    };
    let is_local = local.is_some();
    let build = board.build.clone();
    for (name, end) in config.without_board_end().filter(|_| !has_init) {
        warning!(
            "{}: its end cannot {} the board: neither friendlet init nor a program in [board]",
            name,
            end.name()
        );
    }
    let tls = certificate::tls(&config.listen, renewal::known(addresses.as_ref()), &mut state)?;
    let certificate = tls.as_ref().map(|tls| tls.certificate.clone());
    let (tls, dates) = match tls {
        Some(InUse { config, dates, .. }) => (Some(Rc::new(TlsConfig::new(config))), dates),
        None => (None, [].into()),
    };
    let syslog_tls =
        syslog::tls(config.syslog.as_ref(), &certificate::here).map_err(StartError::of_the_file)?;
    let run_dir = socket.as_deref().and_then(Path::parent);
    let mut users = first_user::users(std::mem::take(&mut config.users), run_dir, &mut state)?;
    users.set_owner(&first_user::user_name(owner));
    let mut changed_passwords = PasswordsFile::new(state_dir);
    changed_passwords.load(&mut users, &mut state.notices).map_err(|error| unread(&error))?;
    let mut paired = PairedFile::new(state_dir);
    let pairing = paired.load(&mut state.notices).map_err(|error| unread(&error))?;
    let mut enabled = EnabledFile::new(state_dir);
    let mut services = state::supervisor(std::mem::take(&mut config.services), &mut enabled, &mut state)?;
    services.inherit(link.inherited.services(), clock.now());
    let site = site::at_start(&config.web, owner, &mut state.notices);
    state.recall(&[&own_files::STATE[..], &own_files::PAIR].concat());
    state.report(&mut board.notice);
    let conditions = Rc::new(ConditionWatch::new(clock));
    conditions
        .start(services.table().conditions(), services.met())
        .map_err(|error| StartError::system("cannot start a thread for a condition of a service", error))?;
    let output_files = OutputFiles::start(services.table())
        .map_err(|error| StartError::system("cannot start the thread of the output files", error))?;
    let command_done = Rc::new(Notify::default());
    let no_reactor = |error| StartError::system("cannot wait for events", error);
    let processes = Processes::new(services.table(), link.messages, link.cgroups, Rc::clone(&command_done));
    let processes = Rc::new(processes.map_err(no_reactor)?);
    let passwords = Rc::new(
        PasswordWorker::start()
            .map_err(|error| StartError::system("cannot start the password thread", error))?,
    );
    let signals = Signals::new().map_err(|error| StartError::system("cannot handle signals", error))?;
    let writer = StateWriter::start(state_dir)
        .map_err(|error| StartError::system("cannot start the thread of the state files", error))?;
    let writer = Rc::new(writer);
    let mut sessions = SessionTable::new(config.idle_timeout, config.lifetime);
    for (index, memo) in link.inherited.sessions() {
        sessions.inherit(index, memo, &users, clock.now());
    }
    let token_dates = Dates::of_tokens(&users, &config.tokens);
    let lockout = Lockout::new(config.lockout_attempts, config.lockout_time);
    let is_reloading = link.inherited.is_reloading();
    processes.inherit(link.inherited.into_outputs());
    let mut server = Server::new(ServerConfig {
        slots,
        tls: tls.is_some(),
        front: config.listen.front.clone(),
        owner,
        api: Api::new(users, std::mem::take(&mut config.tokens), sessions, lockout, services, board),
    });
    server.set_site(site);
    server.set_pairing(pairing);
    server.set_update(config.update);
    let connections = ConnectionTable::new(server.slots());
    let keeper = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get().unsigned_abs());
    let sd_notify = SdNotify::new(link.notify, &NotifyEnvironment::of_this_process(), keeper);
    let sd_notify = Rc::new(sd_notify);
    let in_force = text.as_deref().unwrap_or_default().into();
    let reloader = Reloader::new(files, state_dir.to_owned(), in_force, config.listen.address, owner);
    let reloader = Rc::new(reloader);
    let listeners = Rc::new(Listeners::new(network, local));
    let [log, audit] = log_targets(&config, &build);
    let log_reader = Rc::new(LogReader::new(log.as_ref(), audit.as_ref()));
    let shutdown = Rc::new(Shutdown::new(config.board.clone(), has_init, Rc::clone(&sd_notify)));
    let system = System::new(
        Rc::clone(&processes),
        Rc::clone(&passwords),
        enabled,
        changed_passwords,
        paired,
        Rc::clone(&writer),
        Rc::clone(&shutdown),
        Rc::clone(&reloader),
        Rc::clone(&log_reader),
        clock,
    );
    let upkeep = Rc::new(Timer::new().map_err(no_reactor)?);
    let core = Core::new(
        server,
        system,
        clock,
        output_files,
        Syslog::new(Timer::new().map_err(no_reactor)?),
        Rc::clone(&connections),
        Rc::clone(&sd_notify),
        Rc::clone(&upkeep),
        Reloads::new(config, confinement, tls.clone(), Rc::clone(&conditions), Rc::clone(&listeners)),
        ExpiryWatch::new(dates),
        ExpiryWatch::new(token_dates),
        Renewal::new(addresses, certificate),
    );
    let core = Rc::new(RefCell::new(core));
    core.borrow_mut().start_syslog(syslog_tls);
    let gone = Rc::new(Notify::default());
    let mut tasks = Tasks::new(crate::net::tasks(connections.slots()) + processes.task_count() + OTHER_TASKS);
    processes.spawn_tasks(&mut tasks).map_err(no_reactor)?;
    crate::net::run(&mut tasks, &listeners, &connections, &core, tls.as_ref()).map_err(no_reactor)?;
    tasks
        .spawn(core::passwords(Rc::clone(&core), passwords))
        .and_then(|()| tasks.spawn(core::outputs(Rc::clone(&core), Rc::clone(&processes))))
        .and_then(|()| tasks.spawn(core::writes(Rc::clone(&core), writer)))
        .and_then(|()| tasks.spawn(core::events(Rc::clone(&core), Rc::clone(&processes), Rc::clone(&gone))))
        .and_then(|()| tasks.spawn(core::commands(Rc::clone(&core), processes, command_done)))
        .and_then(|()| tasks.spawn(core::conditions(Rc::clone(&core), conditions)))
        .and_then(|()| tasks.spawn(log_server::send(Rc::clone(&core))))
        .and_then(|()| tasks.spawn(core::upkeep(Rc::clone(&core), upkeep)))
        .and_then(|()| tasks.spawn(core::stored_logs(Rc::clone(&core), log_reader)))
        .and_then(|()| tasks.spawn(reloads::run(Rc::clone(&core), Rc::clone(&reloader))))
        .map_err(|full| no_reactor(full.into()))?;
    names::spawn(&mut tasks, &core, address_events).map_err(no_reactor)?;
    let grace = Timer::new().map_err(no_reactor)?;
    core.borrow_mut().start();
    // For people and for scripts: from here on connections are accepted.
    let scheme = if tls.is_some() { "https" } else { "http" };
    crate::log::print(format_args!("listening on {scheme}://{address}\n"));
    if let Some(path) = socket.filter(|_| is_local) {
        crate::log::print(format_args!("listening on unix:{}\n", path.display()));
    }
    core.borrow_mut().continue_earlier(left, is_unconfirmed, is_reloading);
    core.borrow().report_serving();
    sd_notify.send(NotifyState::Ready);
    if let (Some(path), Some(text)) = (good_copy, text) {
        own_files::keep_good_copy(&path, &text);
    }
    let end = async {
        until_end(&core, &sd_notify, &shutdown, &signals, &reloader, &grace).await;
        Ok(())
    };
    let keeper_end = async {
        gone.notified().await;
        Err(StartError::new(keeper::SOFTWARE, "the keeper has ended"))
    };
    block_on(&mut tasks, smol::future::or(end, keeper_end)).map_err(no_reactor)??;
    core.borrow_mut().flush_output();
    Ok(shutdown.end())
}

/// Opens the TCP port. With `falls_back`, the address may be one that this machine gets later, because a board has
/// no person who starts the server again. Another configuration file helps against other errors, unless another server runs
/// there.
fn listen(address: SocketAddr, falls_back: bool) -> Result<Listener, StartError> {
    let bound = Listener::bind(address).or_else(|error| {
        if !falls_back || !error.is_address_missing() {
            return Err(error);
        }
        warning!("{}: not an address of this machine yet; connections come once it is one", address);
        Listener::bind_ahead(address)
    });
    bound.map_err(|error| {
        let is_in_use = error.is_in_use();
        let error = StartError::new(StartError::UNAVAILABLE, error);
        if is_in_use { error } else { error.of_the_file() }
    })
}

/// Opens the local socket, in its directory, which is created for its owner alone.
fn listen_locally(path: &Path) -> Result<Listener, StartError> {
    path.parent().map_or(Ok(()), file::create_dir).map_err(|error| no_socket_directory(&error))?;
    Listener::bind_local(path).map_err(|error| no_socket(&error))
}

/// Error of a local socket whose directory cannot be created.
fn no_socket_directory(error: &FileError) -> StartError {
    StartError::new(
        StartError::CANNOT_CREATE,
        format_args!(
            "cannot create the directory of the local socket: {error}; [listen] socket names another path, or \"off\""
        ),
    )
}

/// Error of a local socket that cannot be opened.
fn no_socket(error: &BindError) -> StartError {
    let code = if error.is_in_use() { StartError::UNAVAILABLE } else { StartError::CANNOT_CREATE };
    StartError::new(code, error)
}

/// Files of the log and of the audit trail.
fn log_targets<'c>(config: &'c Config, build: &'c str) -> [Option<LogTarget<'c>>; 2] {
    [&config.log_files, &config.audit_files].map(|LogFiles { file, bytes, count }| {
        let target = LogTarget { file: Path::new(file.as_str()), bytes: *bytes, count: *count, build };
        (!file.is_empty()).then_some(target)
    })
}

/// Starts the threads of the log: from here on no line or record blocks the server.
fn start_log(config: &Config, build: &str) -> Result<(), StartError> {
    let [log, audit] = log_targets(config, build);
    log_threads::start(log.as_ref(), audit.as_ref())
        .map_err(|error| StartError::system("cannot start the threads of the log", error))
}

/// Handles signals until one stops the server, or the board is to shut down. Then shuts the server down, or leaves the
/// services to another one.
async fn until_end(
    core: &RefCell<Core>,
    sd_notify: &SdNotify,
    shutdown: &Shutdown,
    signals: &Signals,
    reloader: &Reloader,
    grace: &Timer,
) {
    let requested = async {
        shutdown.requested().await;
        Received::Term
    };
    let leaving = core.borrow().leaving();
    let left = async {
        leaving.notified().await;
        Received::Usr2
    };
    let end = smol::future::or(until_signal(core, signals, reloader), requested);
    if smol::future::or(end, left).await == Received::Usr2 {
        info!("upgrade: closing sockets, the services run on");
        let left = core.borrow_mut().leave();
        smol::future::or(left.notified(), grace.after(LEAVE_TIME)).await;
        let begun = Instant::now();
        while core.borrow().is_writing() && begun.elapsed() < WRITE_TIME {
            grace.after(UPKEEP_DELAY).await;
        }
        core.borrow().log_counters();
        return;
    }
    info!("stopping: closing sockets, stopping services");
    let time = core.borrow().shutdown_time();
    sd_notify.send_stopping(time);
    let down = core.borrow_mut().shutdown();
    let is_over = async {
        smol::future::or(down.notified(), grace.after(time)).await;
        Received::Term
    };
    smol::future::or(until_int(signals), is_over).await;
    let mut core = core.borrow_mut();
    core.kill_rest();
    core.log_counters();
}

/// Waits for a signal that stops the server.
async fn until_signal(core: &RefCell<Core>, signals: &Signals, reloader: &Reloader) -> Received {
    loop {
        match signals.next().await {
            Received::Hup => {
                info!("SIGHUP: reload");
                core.borrow().report_reload();
                reloader.request_by_signal();
            }
            // It comes to the keeper first, as a rule.
            Received::Usr2 => core.borrow_mut().request_upgrade(),
            end @ (Received::Term | Received::Int) => return end,
        }
    }
}
