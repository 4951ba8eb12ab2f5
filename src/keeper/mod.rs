//! Keeper: a small parent process of the server and of all services.
//!
//! [`run`] forks the server and then does nothing but start, signal and reap processes, as the server
//! requests. It reads nothing that comes from the network. A child that it forks looks up its user, enters
//! its directory and executes its program; so nothing waits for a disk but that child. It is the subreaper
//! of the services: a process that leaves its process group ends up here, and is known by the variable
//! `FRIENDLET_SERVICE` in its environment.
//!
//! | module | contents |
//! |---|---|
//! | `launch` | what the forked child of a service does before exec |
//! | `cgroups` | control groups of the services |
//! | `slot` | processes of one service |
//! | `group` | process group without a leader, and its number |
//! | `process_table` | file with the processes, for a later keeper |
//! | `procfs` | facts about processes from `/proc` |
//! | `usage` | processor time and memory of a service |
//! | `strays` | processes that have left the group of their service |
//! | `marks` | names of services in the environments of processes, which a child reads |
//! | `ended` | what is left of a service whose leader has exited |
//! | `main_loop` | the keeper's loop: signals, requests, reports |
//! | `succession` | legacy of a server to the next one |
//! | `upgrade` | another program in place of this one |
//! | `trial` | progress of that, and the program while it is tried |
//! | `legacy` | state that it takes over, as text |
//! | `crashes` | pauses between servers that are killed |
//! | `end` | what is left at the end of everything |
//! | `relay` | reports to the service manager, which accepts those of its own child alone |
//! | `server_socket` | the socket to the server, with the reports that wait |
//! | `message` | requests and reports, as bytes |
//! | `notices` | reports of services about themselves |
//! | `notified` | the same, each with its slot |
//! | `client` | the server's side: requests, reports, output of the processes |
//! | `line_search` | search for the line with which a service is ready |
//! | `output` | bounded buffers of output |

mod cgroups;
mod client;
mod crashes;
mod end;
mod ended;
mod group;
mod launch;
mod legacy;
mod line_search;
mod main_loop;
mod marks;
mod message;
mod notices;
mod notified;
mod output;
mod process_table;
mod procfs;
mod relay;
mod server_socket;
mod slot;
mod strays;
mod succession;
mod trial;
mod upgrade;
mod usage;

use core::ffi::c_int;
use core::time::Duration;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::process::{Pid, set_child_subreaper, setpgid};

pub use self::cgroups::Cgroups;
pub use self::client::{CommandDone, KeeperEvent, Processes, RunEnd, RunError, RunOwner};
pub use self::legacy::Legacy;
use self::main_loop::MainLoop;
pub use self::message::{Force, Unfinished, UpgradeReason};
use self::process_table::TableError;
use self::relay::Relay;
use self::server_socket::ServerSocket;
pub use self::usage::memory;
use crate::limits::{CONFIG_BYTES, SERVICE_COMMAND_RUNS, SERVICES, SESSIONS};
use crate::log::Reason;
use crate::log::console::{error, warning};
use crate::service::{BoardEnd, EVENTS, Inherited, ServiceId, ServiceTable};
use crate::session::SessionMemo;
use crate::sys::fork::{self, Forked, SignalFd};
use crate::sys::{Clock, NotifyEnvironment};

/// Directories of which a service with `private_tmp` has its own; the second one may be missing.
pub const TMP: [&str; 2] = ["/tmp", "/var/tmp"];

crate::limits::limits! {
    /// Requests to the keeper that wait for room in its socket.
    REQUESTS: usize = 6 * SERVICES + 64, exceeded "internal error: the request is lost",
        tests ["requests_wait_for_the_keeper_up_to_the_limit"];
    /// Reports of the keeper that wait for the server.
    REPORTS: usize = 4 * SERVICES + 64, exceeded "reports of suspended services are lost",
        tests ["reports_over_the_limit_are_lost"];
    /// Runs of health checks and of users who are not administrators: all but one. A user, and all checks together, have at
    /// most as many as are free.
    SHARED_RUNS: usize = if SERVICE_COMMAND_RUNS > 1 { SERVICE_COMMAND_RUNS - 1 } else { 1 }, exceeded "answered with an error; a check waits",
        tests ["user_has_a_share_of_the_runs_and_an_administrator_the_last", "checks_leave_runs_for_named_commands"];
    /// Time for the end of another keeper with the same table of processes.
    KEEPER_TIME: Duration = Duration::from_secs(1), exceeded "the start fails with exit code 69",
        tests ["table_belongs_to_one_keeper"];
    /// Time in which the children of a keeper that was killed execute their programs, and with that release the table.
    LAUNCH_TIME: Duration = Duration::from_secs(10), exceeded "the start goes on without a table, with a notice",
        tests ["table_that_a_process_keeps_is_waited_for_and_then_left"];
    /// Pause between two looks at its lock.
    LOCK_PAUSE: Duration = Duration::from_millis(10), fixed "the next look";
    /// Files in `/tmp` of a service with `private_tmp`.
    PRIVATE_TMP_BYTES: usize = 8 * 1024 * 1024, fixed "the kernel refuses more: ENOSPC";
    /// Servers in a row that are killed before they serve.
    SERVER_FAILURES: u32 = 5, exceeded "the keeper ends with its services",
        tests ["servers_that_never_serve_are_given_up"];
    /// Run of a server after which the next one starts at once.
    SERVER_GOOD_RUN: Duration = Duration::from_secs(1), fixed "after a shorter run the next server waits";
    /// Pause before a server that follows a short run: this for the second in a row, and then doubled.
    SERVER_PAUSE_MIN: Duration = Duration::from_millis(50), fixed "the first of the pauses";
    /// Longest such pause.
    SERVER_PAUSE_MAX: Duration = Duration::from_secs(1), fixed "longer pauses are as long as this";
    /// Time of a new program to show that it can take over.
    UPGRADE_TRIAL_TIME: Duration = Duration::from_secs(30), exceeded "it is killed, and nothing changes",
        tests ["new_program_that_hangs_is_refused"];
    /// Time of a server to close its connections before an upgrade.
    SERVER_LEAVE_TIME: Duration = Duration::from_secs(30), exceeded "it is killed; the upgrade goes on",
        tests ["server_that_does_not_go_is_killed"];
    /// Time of a server to end beyond that of its services.
    SERVER_END_TIME: Duration = Duration::from_secs(30), exceeded "it is killed; without its end, the keeper goes on",
        tests ["server_that_does_not_end_is_killed_and_given_up"];
    /// Bytes without a newline on the descriptor of a service that is not ready.
    READY_PIPE_BYTES: usize = 4096, exceeded "the descriptor is closed, and the service is not ready",
        tests ["line_of_readiness_up_to_its_limit"];
    /// Output of a new program that is tried.
    UPGRADE_OUTPUT_BYTES: usize = 512, exceeded "the rest is dropped",
        tests ["output_of_a_trial_is_cut_at_its_limit"];
    /// Text of a keeper for a later program.
    LEGACY_BYTES: usize = 2 * CONFIG_BYTES + 512 * (SERVICES + SESSIONS + EVENTS), fixed "what it writes is shorter";
    /// Text of the error with which a server refuses its configuration file.
    REFUSAL_BYTES: usize = 512, exceeded "the rest is cut",
        tests ["refusal_is_cut_at_its_limit"];
    /// Datagram in which a service reports about itself.
    SERVICE_NOTICE_BYTES: usize = 2048, exceeded "the datagram is dropped",
        tests ["notice_up_to_its_limit"];
    /// Orphans that are looked at in one round.
    ORPHANS: usize = 512, fixed "a bound of one round: the next round finds the rest";
    /// Processes of the board that are looked at in one round, on a kernel without lists of children: more than 256 MB
    /// of memory have.
    PROCESSES: usize = 4096, fixed "those over it are not looked at";
    /// Groups that the processes of a service have made below its control group.
    NESTED_GROUPS: usize = 64, fixed "those over it are killed with the service, without a stop signal";
    /// Children without a service that are remembered, so that each is logged once.
    FOREIGNERS: usize = 16, fixed "those over it are not logged";
    /// Processes of a service whose use is counted without a control group.
    USAGE_PROCESSES: usize = 64, fixed "the use of the others is not counted";
    /// Ancestors of a process that reports about its service.
    ANCESTORS: usize = 64, fixed "a process that is further from its service reports nothing";
    /// Children of the keeper that read environments at once.
    MARK_READERS: usize = 4, exceeded "orphans that are not known yet belong to no service",
        tests ["readers_that_hang_are_given_up_and_no_more_than_the_limit"];
    /// Time to read the environment of an orphan.
    MARK_TIME: Duration = Duration::from_secs(2), exceeded "it belongs to no service",
        tests ["readers_that_hang_are_given_up_and_no_more_than_the_limit"];
    /// Environment of an orphan that is searched for the name of its service.
    ENVIRONMENT_BYTES: usize = 32 * 1024, exceeded "the process belongs to no service",
        tests ["environment_is_searched_up_to_the_limit"];
    /// File of environment variables of a service.
    ENV_FILE_BYTES: usize = 16 * 1024, exceeded "the service is not started",
        tests ["environment_file_up_to_its_limits"];
    /// Variables of such a file.
    ENV_FILE_VARIABLES: usize = 128, exceeded "the service is not started",
        tests ["environment_file_up_to_its_limits"];
}

/// Slots of the keeper: one for each service, then one for each run of a named command.
const SLOTS: usize = SERVICES + SERVICE_COMMAND_RUNS;

/// Exit code while another keeper has these services: sysexits' `EX_UNAVAILABLE`.
const IN_USE: u8 = 69;

/// Exit code when the server was killed, or its keeper: sysexits' `EX_SOFTWARE`.
pub const SOFTWARE: u8 = 70;

/// Signals that the keeper handles: exits of children, those that end the server, reload, and upgrade.
const HANDLED: [c_int; 6] =
    [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGUSR2];
/// Signals whose default action would end the keeper or the server, and leave the services alone.
const IGNORED: [c_int; 12] = [
    libc::SIGUSR1,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGPIPE,
    libc::SIGIO,
    libc::SIGPWR,
    libc::SIGXCPU,
    libc::SIGXFSZ,
    libc::SIGSTKFLT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// Signals of faults. Those that kill(2) sends would end the keeper; a fault of its own does so although they are ignored.
const FAULTS: [c_int; 5] = [libc::SIGILL, libc::SIGABRT, libc::SIGFPE, libc::SIGBUS, libc::SIGSEGV];

/// The server's ends of the sockets between it and the keeper.
#[derive(Debug)]
pub struct Link {
    /// Requests and reports.
    pub messages: OwnedFd,
    /// Datagrams to the service manager; `None` without one.
    pub notify: Option<UnixDatagram>,
    /// Control groups of the services; `None` where there are none.
    pub cgroups: Option<Cgroups>,
    /// Clock that starts with the keeper.
    pub clock: Clock,
    /// Services and sessions that an earlier server left.
    pub inherited: Inheritance,
}

impl Link {
    /// Socket to the keeper.
    pub fn keeper(&self) -> BorrowedFd<'_> {
        self.messages.as_fd()
    }
}

/// End of the server.
#[derive(Debug, Default)]
pub struct ServerEnd {
    /// Exit code.
    pub code: u8,
    /// Error of a server that has not started because of its configuration file.
    pub refusal: Option<String>,
    /// End of the board that it has requested, which comes after its own.
    pub board_end: Option<BoardEnd>,
}

/// Configuration in force, which the keeper does not know as a whole.
pub trait Configuration {
    /// The services, which the keeper takes.
    fn services(&mut self) -> &mut ServiceTable;

    /// Puts the text of a later configuration file in force, and returns its services; `None` if it cannot be used. On
    /// trial, only its services are of use: all else stays as it is.
    fn configure(&mut self, text: String, force: Force) -> Option<ServiceTable>;

    /// Adds a problem to the notice for administrators.
    fn add_notice(&mut self, problem: &str);

    /// Notes that the running slot is good.
    fn set_slot_good(&mut self);

    /// Text of it, for [`Legacy::configuration`] of a later program.
    fn text(&self) -> String;
}

/// Forks the server, keeps its processes until it ends, and returns its end in the parent. In the child,
/// `server` runs, and its result ends that process. A server that was killed is followed by another one, which
/// takes the services over. `table` is the path of the file with the processes, for the keeper after this one.
/// `legacy` is what an earlier program has left to this one.
///
/// # Errors
/// Error of the system: no process, no memory or no descriptors left.
pub fn run<T: Configuration>(
    mut start: T,
    cgroups: Option<Cgroups>,
    table: Option<&Path>,
    legacy: Option<Legacy>,
    server: impl FnOnce(T, Link) -> ServerEnd,
) -> io::Result<ServerEnd> {
    // Records of the keeper and of the server have one beginning.
    crate::log::sample_clock();
    let clock = legacy.as_ref().map_or_else(Clock::new, |legacy| Clock::continued(legacy.clock_ns));
    let (messages, mut server_messages) = ServerSocket::pair()?;
    let (relay, mut notify) = Relay::new(&NotifyEnvironment::of_this_process())?.unzip();
    if let Err(error) = set_child_subreaper(Some(rustix::process::getpid())) {
        warning!("cannot become the subreaper of orphans: {}", Reason::from(error));
    }
    // Before the first child, so that no exit is missed. The child undoes it.
    let signals = SignalFd::new(&HANDLED)?;
    fork::ignore_signals(&IGNORED);
    let own = core::mem::take(start.services());
    let mut main_loop = MainLoop::new(own, clock, messages, cgroups, relay, signals);
    main_loop.check_cgroups();
    match legacy {
        Some(legacy) => legacy.restore(&mut main_loop),
        None => match main_loop.find_left(table) {
            Ok(()) => {}
            Err(TableError::Problem(problem)) => start.add_notice(&problem),
            // It may have no server at this moment, which would have the state and the port.
            Err(TableError::InUse(path, keeper)) => {
                error!(
                    "{}: in use by process {}, another friendlet; [listen] socket names another place",
                    path.display(),
                    keeper
                );
                main_loop.end_children();
                return Ok(ServerEnd { code: IN_USE, ..ServerEnd::default() });
            }
        },
    }
    loop {
        // Without another server, no one would stop the services.
        match fork::fork().inspect_err(|_| main_loop.end_children())? {
            Forked::Child => {
                let inherited = main_loop.inheritance();
                let cgroups = main_loop.cgroups();
                *start.services() = core::mem::take(&mut main_loop.services);
                // Its descriptors are the keeper's.
                drop(main_loop);
                fork::reset_signals();
                fork::ignore_signals(&IGNORED);
                // Until the server handles the second one.
                fork::ignore_signals(&[libc::SIGQUIT, libc::SIGUSR2]);
                // Ctrl-C comes to the keeper alone, which passes it on.
                if let Err(error) = setpgid(None, None) {
                    warning!("cannot create a process group: {}", Reason::from(error));
                }
                let messages = server_messages.try_clone()?;
                let link = Link { messages, notify, cgroups, clock, inherited };
                let end = server(start, link);
                if let Some(refusal) = &end.refusal {
                    client::send_refusal(&server_messages, refusal);
                }
                if let Some(end) = end.board_end {
                    client::send_board_end(&server_messages, end);
                }
                std::process::exit(i32::from(end.code));
            }
            Forked::Parent(server) => {
                drop((server_messages, notify));
                fork::ignore_signals(&FAULTS);
                fork::ignore_signals(&fork::REAL_TIME);
                // A reader of standard error that does not read must not stop the keeper.
                crate::log::never_wait();
                if let Some(end) = main_loop.serve(server, &mut start) {
                    return Ok(end);
                }
                if main_loop.is_slot_good() {
                    start.set_slot_good();
                }
                if main_loop.has_left() {
                    main_loop.execute(&start.text());
                }
                let renewed = main_loop.renew();
                (server_messages, notify) = renewed.inspect_err(|_| main_loop.end_children())?;
            }
        }
    }
}

/// Services that an earlier server left.
#[derive(Debug, Default)]
pub struct Inheritance {
    services: Vec<(ServiceId, Inherited)>,
    outputs: Vec<(ServiceId, PipeReader)>,
    sessions: Box<[SessionMemo]>,
    is_reloading: bool,
    is_unconfirmed: bool,
}

impl Inheritance {
    /// The services.
    pub fn services(&self) -> &[(ServiceId, Inherited)] {
        &self.services
    }

    /// Returns true if the earlier server has begun a reload, and not ended it.
    pub fn is_reloading(&self) -> bool {
        self.is_reloading
    }

    /// Returns true if the services are those of an unconfirmed change, or stop for it, unlike the rest.
    pub fn is_unconfirmed(&self) -> bool {
        self.is_unconfirmed
    }

    /// The table of sessions.
    pub fn sessions(&self) -> impl Iterator<Item = (usize, &SessionMemo)> {
        self.sessions.iter().enumerate().filter(|(_, memo)| !memo.is_empty())
    }

    /// The output of each that runs.
    pub fn into_outputs(self) -> impl Iterator<Item = (ServiceId, PipeReader)> {
        self.outputs.into_iter()
    }
}

fn raw(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
