//! Outcomes of calls, with their content.

use core::time::Duration;

use super::configuration::ConfigurationPage;
use super::operations::OperationList;
use super::pending::{CommandOutput, PendingCall, Reloaded};
use super::{Failure, Missing, SessionList, SlotState};
use crate::service::{
    Check, CheckStatus, LastExit, Memory, PastRun, ServiceId, Spec, State, Status, Supervisor, Usage,
};
use crate::session::Rights;

/// Outcome of a call. A transport encodes it in the form of the call.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// Done; there is nothing else to report.
    Done,
    /// Refused, or failed.
    Failed(Failure<'a>),
    /// Refused without a check of the call: only administrators are served now.
    AtCapacity,
    /// The outcome follows with [`api::complete`](crate::api::complete).
    Pending(PendingCall),
    /// A session opened with a password; as in 2016 without a device, as in 2021 with one.
    LoggedIn {
        /// The session.
        login: Login<'a>,
        /// The login names a device.
        has_device: bool,
    },
    /// A session resumed by its id.
    Resumed(Login<'a>),
    /// The session is valid.
    Valid,
    /// The session ended.
    LoggedOut,
    /// The password changed.
    PasswordUpdated,
    /// Services of the caller.
    Services(ServiceList<'a>),
    /// State and process of one service.
    Service(ServiceStatus<'a>),
    /// Declaration, state and past ends of one service.
    Details(ServiceDetails<'a>),
    /// Output of a service.
    ServiceLog {
        /// The service.
        service: ServiceId,
        /// The lines.
        log: ServiceLog<'a>,
        /// Start or stop pushing the lines after them to the socket; `None`: as before.
        follow: Option<bool>,
    },
    /// HTML of a service from the configuration file.
    WebGui(&'a str),
    /// End of a named command.
    Command(CommandOutput<'a>),
    /// State of the board.
    Board(BoardStatus<'a>),
    /// Records of the server's log.
    BoardLog(LogPage<'a>),
    /// The configuration file was read again, or another one is to be confirmed.
    Reloaded(Reloaded<'a>),
    /// Operations of the caller.
    Operations(OperationList<'a>),
    /// Sessions.
    Sessions(SessionList<'a>),
    /// Text of the configuration file.
    Configuration(ConfigurationPage<'a>),
    /// The window for a certificate was opened or closed, or a certificate was paired.
    Pairing {
        /// User of the window that is open, or of the certificate; empty: it was closed.
        user: &'a str,
        /// Begin of the only key that the window accepts; empty if it is the first one.
        key: &'a str,
        /// User of the window that the call has closed; empty without one.
        closed: &'a str,
    },
    /// So many bytes of a configuration file were received, and more are to come.
    Received(usize),
}

/// Session that a login opened or resumed.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Id of the session.
    pub sessionid: &'a str,
    /// Number of the user, from 1.
    pub userid: u32,
    /// `admin`, `user` or `viewer`.
    pub level: &'a str,
    /// Full name of the user.
    pub fullname: &'a str,
    /// Name that the user logs in with.
    pub username: &'a str,
}

/// Services that the caller may see.
#[derive(Clone, Copy, Debug)]
pub struct ServiceList<'a> {
    /// All services.
    pub services: &'a Supervisor,
    /// Rights of the caller.
    pub rights: Rights<'a>,
    /// First service of the list; `None`: that of the configuration file.
    pub first: Option<ServiceId>,
    /// Time since the start of the server.
    pub now: Duration,
}

/// One service of a list.
#[derive(Clone, Copy, Debug)]
pub struct ServiceEntry<'a> {
    /// Its row of the service table.
    pub spec: &'a Spec,
    /// Its state.
    pub state: State,
    /// Exit or failed start that explains the state.
    pub reason: Option<LastExit>,
    /// Service that its start waits for, or condition without its path.
    pub waits_for: Option<&'a str>,
}

impl<'a> ServiceList<'a> {
    /// The services in the order of the configuration file.
    pub fn entries(self) -> impl Iterator<Item = ServiceEntry<'a>> {
        self.visible().map(move |(id, spec)| {
            let status = self.services.status(id, Duration::ZERO);
            // A path is in `show`, so that the list of the largest table fits.
            let waits_for = self.services.awaited(id).next().and_then(|awaited| awaited.split(':').next());
            ServiceEntry { spec, state: status.state, reason: status.reason(), waits_for }
        })
    }

    /// The same in detail, but for their use of processor and memory.
    pub fn details(self) -> impl Iterator<Item = ServiceDetails<'a>> {
        let Self { services, now, .. } = self;
        self.visible().map(move |(service, spec)| {
            let status = services.status(service, now);
            ServiceDetails { spec, status, usage: None, services, service, now }
        })
    }

    fn visible(self) -> impl Iterator<Item = (ServiceId, &'a Spec)> {
        let first = self.first.map_or(0, ServiceId::index);
        let is_listed =
            move |(id, spec): &(ServiceId, &Spec)| id.index() >= first && self.rights.may_see(&spec.name);
        self.services.table().iter().filter(is_listed)
    }
}

/// State and process of one service.
#[derive(Clone, Copy, Debug)]
pub struct ServiceStatus<'a> {
    /// Its row of the service table.
    pub spec: &'a Spec,
    /// Its state and process.
    pub status: Status,
    /// Number of past ends that are kept.
    pub ends: u32,
    /// Line in which it describes its state; empty without one.
    pub text: &'a str,
    /// All services.
    pub services: &'a Supervisor,
    /// The service.
    pub service: ServiceId,
    /// Time since the start of the server.
    pub now: Duration,
}

/// One service in detail.
#[derive(Clone, Copy, Debug)]
pub struct ServiceDetails<'a> {
    /// Its row of the service table.
    pub spec: &'a Spec,
    /// Its state and process.
    pub status: Status,
    /// Use of the processor and of memory, if it has a process.
    pub usage: Option<Usage>,
    /// All services.
    pub services: &'a Supervisor,
    /// The service.
    pub service: ServiceId,
    /// Time since the start of the server.
    pub now: Duration,
}

impl<'a> ServiceDetails<'a> {
    /// Health checks of the service.
    pub fn checks(self) -> impl Iterator<Item = (&'a Check, CheckStatus)> + use<'a> {
        let checks = self.services.checks().filter(move |(_, check, _)| check.service == Some(self.service));
        checks.map(|(_, check, status)| (check, status))
    }

    /// Past ends that are kept, the newest first.
    pub fn ends(self) -> impl Iterator<Item = PastRun> + use<'a> {
        self.services.history(self.service).rev()
    }
}

/// Output of a service in whole lines.
#[derive(Clone, Copy, Debug)]
pub struct ServiceLog<'a> {
    /// Position of the first byte, counted since the start of the server.
    pub from: u64,
    /// Position after the last byte, where the next lines begin.
    pub next: u64,
    /// Requested bytes that are lost.
    pub lost: u64,
    /// The lines, any bytes.
    pub output: &'a [u8],
}

/// Number of things, and the most that there may be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Count {
    /// Those that there are.
    pub used: usize,
    /// The limit.
    pub limit: usize,
}

/// State of the board.
#[derive(Clone, Copy, Debug)]
pub struct BoardStatus<'a> {
    /// Build id of the program; empty when it has none.
    pub build: &'a str,
    /// Slot of the running system, `A` or `B`; empty on a system without two slots.
    pub slot: &'a str,
    /// State of the slot.
    pub slot_state: SlotState,
    /// Condition that it does not meet yet.
    pub missing: Option<Missing<'a>>,
    /// Configuration file in force.
    pub config_origin: &'a str,
    /// Error of the configuration file that is not in force; empty when there is none.
    pub complaint: &'a str,
    /// Error before the start of the server; empty when there was none.
    pub notice: &'a str,
    /// Problem with the dates of the certificates in use, or empty.
    pub certificate: &'a str,
    /// Names of the certificate in use, separated by commas; empty without TLS.
    pub certificate_names: &'a str,
    /// SHA-256 of it, that of its public key, and its end; empty without.
    pub certificate_facts: &'a [String; 3],
    /// Tokens that have expired or will soon, or empty.
    pub token: &'a str,
    /// Parts of the server's sandbox that are in force, separated by commas.
    pub sandbox: &'a String,
    /// Log server, its state and counts; empty without one.
    pub syslog: &'a str,
    /// Seconds since the start of the server.
    pub uptime_s: u32,
    /// Open connections, and those with an identity that are served at once.
    pub connections: Count,
    /// Open sessions.
    pub sessions: Count,
    /// Memory of the server and of the machine.
    pub memory: Memory,
    /// All services, with the health checks.
    pub services: &'a Supervisor,
}

/// Records of the server's log.
#[derive(Clone, Copy, Debug)]
pub struct LogPage<'a> {
    /// Name of the board built for.
    pub board: &'a str,
    /// Build id of the program in hexadecimal.
    pub build: &'a str,
    /// Form of the records: `defmt` or `text`.
    pub form: &'a str,
    /// Level in force.
    pub level: &'a str,
    /// Unix time in milliseconds, at the same moment as `mono_ms`.
    pub wall_ms: u64,
    /// Time of the records' clock in milliseconds.
    pub mono_ms: u64,
    /// Position of the first record.
    pub from: u64,
    /// Position after the last record: the next page starts there.
    pub next: u64,
    /// Number of the inode of the file that they are in; `None` for those in memory.
    pub inode: Option<u64>,
    /// Whole records.
    pub records: &'a [u8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcome_is_cheap_to_move() {
        assert!(size_of::<Outcome<'_>>() <= 256, "{}", size_of::<Outcome<'_>>());
    }
}
