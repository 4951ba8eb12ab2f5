//! Log server: its sockets, and the sender of the lines that wait for it.
//!
//! Nothing here blocks. Datagrams are sent as long as the kernel accepts them. A connection is made when there is something
//! to send, and stays.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_send_buffer_size, set_tcp_user_timeout, socket_error};
use rustix::net::{SendFlags, SocketAddrUnix, SocketType, send};
use rustls::ClientConfig;

use super::certificate::Locate;
use super::connect::{connect_to, connect_to_path, result_of};
use super::{PEM_BYTES, StartError};
use crate::config::{NOTICE_BYTES, one_line};
use crate::keeper::Processes;
use crate::log::{self, Reason, audit};
use crate::net::tls::{Client, Trust, client_config, refusal_text};
use crate::runtime::{AsyncFd, Timer};
use crate::service::{ServiceId, Supervisor};
use crate::sys::file::{self, FileError};
use crate::sys::{BUILT_UNIX_S, Clock, LOG_FLUSH_TIMEOUT, raw};
use crate::syslog::{
    AUDIT, HostName, LOG, Moment, SYSLOG_BURST, SYSLOG_PAUSE, SYSLOG_TIMEOUT, Sender, Settings, Sources,
    Target,
};
use crate::{info, wall_clock, warning};

/// Kernel buffer of the connection: what it holds is lost with the connection. The kernel doubles it.
const SEND_BUFFER_BYTES: usize = 8 * 1024;
/// Socket of the journal of systemd, in a directory of memory: a look-up does not wait.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
/// Pause between two steps at the end of the server.
const FLUSH_STEP: Duration = Duration::from_millis(5);

/// Bytes of the sender.
pub(crate) const SYSLOG_BYTES: usize = size_of::<Active>();

/// Configuration of TLS with the log server; `None` without TLS.
pub(super) type Tls = Option<Arc<ClientConfig>>;

/// Reads the proof that the log server has to give. `locate` returns the path on this machine of a file of the configuration.
pub(super) fn tls(settings: Option<&Settings>, locate: Locate<'_>) -> Result<Tls, StartError> {
    let Some(settings) = settings.filter(|settings| settings.target.is_tls()) else { return Ok(None) };
    if let Some(key) = settings.key {
        let config = client_config(Trust::Key(key));
        return config.map(Some).map_err(|error| StartError::new(StartError::SYSTEM, error));
    }
    let path = Path::new(settings.authority.as_str());
    let wrong =
        |error: &dyn fmt::Display| StartError::new(StartError::CONFIG, format_args!("[syslog] ca: {error}"));
    let found = locate(path).map_err(|error| wrong(&FileError::io(path, error)))?;
    let pem = file::read_regular(&found, PEM_BYTES).map_err(|error| wrong(&error))?;
    let config = client_config(Trust::Authority(&pem));
    config.map(Some).map_err(|error| wrong(&format_args!("{}: {error}", path.display())))
}

/// Lines of services, of the audit trail and of the log.
pub(super) struct Lines<'s> {
    pub(super) processes: &'s Processes,
    pub(super) services: &'s Supervisor,
    pub(super) now: Duration,
}

impl Sources for Lines<'_> {
    fn copy(&self, source: usize, since: u64, room: &mut [u8]) -> (u64, u64, usize) {
        match (source, ServiceId::from_index(source)) {
            (AUDIT, _) => audit::copy(since, room),
            // A log of frames has no lines.
            (LOG, _) if cfg!(not(feature = "defmt")) => log::copy(since, room),
            (_, Some(service)) => self.processes.copy_lines(service, since, room),
            (_, None) => (since, 0, 0),
        }
    }

    fn end(&self, service: usize) -> u64 {
        let service = ServiceId::from_index(service);
        service.map_or(0, |service| self.processes.copy_output(service, None, &mut []).0)
    }

    fn origin(&self, service: usize, position: u64) -> (&str, u32) {
        let Some(service) = ServiceId::from_index(service) else { return ("", 0) };
        let name = self.services.table().get(service).map_or("", |spec| spec.name.as_str());
        let is_of_this_run = position >= self.processes.output_start(service);
        (name, if is_of_this_run { self.services.status(service, self.now).pid } else { 0 })
    }
}

/// Reason of a failure.
enum Failure {
    System(Errno),
    Tls(io::Error),
    Late,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(errno) => Reason::from(*errno).fmt(f),
            Self::Tls(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("it has closed the connection")
            }
            Self::Tls(error) => match refusal_text(error) {
                Some(text) => f.write_str(text),
                None => Reason::from(error).fmt(f),
            },
            Self::Late => f.write_str("it does not answer"),
        }
    }
}

/// Connection of TLS.
struct Stream {
    socket: AsyncFd<TcpStream>,
    session: Box<Client>,
    is_connected: bool,
    /// End of the time of the log server to make progress.
    deadline: Option<Duration>,
}

/// Way to the log server.
enum Link {
    Closed,
    Datagrams(OwnedFd),
    Stream(Stream),
}

/// Rest after a step.
enum Left {
    Nothing,
    /// Further messages.
    Messages,
    /// The log server has to make progress until this time.
    Progress(Option<Duration>),
}

/// The log server in use.
struct Active {
    settings: Settings,
    tls: Tls,
    sender: Sender,
    link: Link,
    /// Reason of the failure since which nothing was delivered.
    failure: Option<heapless::String<NOTICE_BYTES>>,
}

/// Log server of the configuration, if it has one.
pub(super) struct Syslog {
    active: Option<Box<Active>>,
    timer: Timer,
    /// Earliest time of the next step, so that many single lines are sent at once.
    next: Duration,
    /// Its text for administrators may be another one.
    has_changed: bool,
}

impl Syslog {
    pub(super) fn new(timer: Timer) -> Self {
        Self { active: None, timer, next: Duration::ZERO, has_changed: false }
    }

    /// Takes the settings of a configuration. `replaced` is the mask of the services whose output begins anew.
    pub(super) fn renew(
        &mut self,
        settings: Option<&Settings>,
        tls: Tls,
        services: &Supervisor,
        replaced: u64,
    ) {
        self.has_changed = true;
        audit::forward(settings.is_some_and(|settings| settings.has_audit));
        let Some(settings) = settings else {
            self.active = None;
            self.timer.set(None);
            return;
        };
        let is_sent = |source| match source {
            AUDIT => settings.has_audit,
            LOG => settings.has_log,
            service => {
                let spec = ServiceId::from_index(service).and_then(|service| services.table().get(service));
                spec.is_some_and(|spec| spec.is_sent.0)
            }
        };
        let is_other = |source: usize| source < AUDIT && replaced & (1 << source) != 0;
        let (form, facility, host) = (settings.target.form(), settings.facility, host(settings));
        match &mut self.active {
            Some(active) => {
                active.sender.renew(&is_sent, &is_other);
                active.sender.set(form, facility, host);
                active.tls = tls;
                if active.settings != *settings {
                    active.close();
                    (active.settings, active.failure) = (settings.clone(), None);
                }
            }
            None => {
                let (settings, sender) = (settings.clone(), Sender::new(form, facility, host, &is_sent));
                let active = Active { settings, tls, sender, link: Link::Closed, failure: None };
                self.active = Some(Box::new(active));
            }
        }
        // At once.
        self.timer.set(Some(Instant::now()));
    }

    /// Notes that a source may have new lines, and has them sent.
    pub(super) fn note(&mut self, source: usize, lines: &Lines<'_>, clock: &Clock) {
        if let Some(active) = &mut self.active
            && active.sender.note(source, lines, lines.now)
            && !active.sender.is_pausing(lines.now)
            && !active.is_waiting()
        {
            self.timer.set(Some(clock.instant(self.next)));
        }
    }

    /// Notes that the audit trail and the log may have new lines.
    pub(super) fn note_own(&mut self, lines: &Lines<'_>, clock: &Clock) {
        self.note(AUDIT, lines, clock);
        self.note(LOG, lines, clock);
    }

    /// Returns the text for administrators, and the notice of a log server that is out of reach, if they may be others than
    /// before.
    pub(super) fn take_report(&mut self) -> Option<[heapless::String<NOTICE_BYTES>; 2]> {
        if !core::mem::take(&mut self.has_changed) {
            return None;
        }
        let Some(active) = &self.active else { return Some(Default::default()) };
        let (target, (sent, dropped)) = (active.settings.target, active.sender.counts());
        let is_open = !matches!(active.link, Link::Closed);
        let (joint, state) = match &active.failure {
            Some(failure) => ("not reached: ", failure.as_str()),
            None if is_open => ("", "connected"),
            None => ("", "not connected"),
        };
        let text = format_args!("{target}: {joint}{state}; {sent} messages sent, {dropped} lines dropped");
        let notice = match &active.failure {
            Some(failure) if active.sender.is_failing() => {
                one_line(format_args!("log server {target}: not reached: {failure}"))
            }
            _ => heapless::String::new(),
        };
        Some([one_line(text), notice])
    }

    /// Runs a step if one is due, and registers the task for the next one. Returns true if the log server fails, or does not
    /// fail any more.
    pub(super) fn poll(&mut self, context: &Context<'_>, lines: &Lines<'_>, clock: &Clock) -> bool {
        self.timer.listen(context);
        let Some(active) = &mut self.active else {
            self.timer.set(None);
            return false;
        };
        let now = lines.now;
        if now < self.next {
            self.timer.set(Some(clock.instant(self.next)));
            return false;
        }
        self.has_changed = true;
        let had_failed = active.failure.is_some();
        let result = active.step(context, lines);
        let due = match &result {
            Ok(Left::Progress(deadline)) => *deadline,
            Ok(left) => {
                self.next = now + SYSLOG_PAUSE;
                let is_more = matches!(left, Left::Messages);
                if is_more { Some(self.next) } else { active.sender.poll_timeout(now) }
            }
            Err(failure) => {
                active.fail(failure, now);
                active.sender.poll_timeout(now)
            }
        };
        self.timer.set(due.map(|due| clock.instant(due)));
        had_failed != active.failure.is_some() || result.is_err()
    }

    /// Sends what waits at the end of the server, for a short time.
    pub(super) fn flush(&mut self, lines: &Lines<'_>, clock: &Clock) {
        let Some(active) = &mut self.active else { return };
        let (begun, context) = (Instant::now(), Context::from_waker(Waker::noop()));
        (0..=AUDIT + 1).for_each(|source| {
            active.sender.note(source, lines, lines.now);
        });
        while active.failure.is_none() && begun.elapsed() < LOG_FLUSH_TIMEOUT {
            match active.step(&context, &Lines { now: clock.now(), ..*lines }) {
                Ok(Left::Messages | Left::Progress(_)) => std::thread::sleep(FLUSH_STEP),
                Ok(Left::Nothing) => break,
                Err(failure) => active.fail(&failure, lines.now),
            }
        }
        active.close();
    }
}

/// Name of this host in the messages.
fn host(settings: &Settings) -> HostName {
    if !settings.host.is_empty() {
        return settings.host.clone();
    }
    let system = rustix::system::uname();
    let name = system.nodename().to_str().unwrap_or_default();
    let is_name = name.bytes().all(|byte| byte.is_ascii_graphic());
    HostName::try_from(if is_name { name } else { "" }).unwrap_or_default()
}

impl Active {
    /// Returns true while the log server has to make progress.
    fn is_waiting(&self) -> bool {
        matches!(self.link, Link::Stream(Stream { deadline: Some(_), .. }))
    }

    /// Logs a failure, unless it is that of before, and closes the link.
    fn fail(&mut self, failure: &Failure, now: Duration) {
        let text = one_line(failure);
        if self.failure.as_ref() != Some(&text) {
            warning!("log server {}: {}; lines wait for it", self.settings.target, text.as_str());
        }
        self.failure = Some(text);
        self.link = Link::Closed;
        self.sender.handle_failure(now);
    }

    /// Closes the link, so that the log server has what was sent.
    fn close(&mut self) {
        if let Link::Stream(stream) = &mut self.link {
            stream.session.close();
            // What it does not accept now is lost.
            let _ = stream.session.write_to(&mut stream.socket.get_ref());
        }
        self.link = Link::Closed;
    }

    /// Sends up to [`SYSLOG_BURST`] messages.
    fn step(&mut self, context: &Context<'_>, lines: &Lines<'_>) -> Result<Left, Failure> {
        let now = lines.now;
        if self.sender.is_pausing(now) {
            return Ok(Left::Nothing);
        }
        // The failure of an earlier datagram comes first.
        if let Link::Datagrams(socket) = &self.link {
            socket_error(socket)??;
        }
        if self.sender.handle_timeout(now) && self.failure.take().is_some() {
            let (_, dropped) = self.sender.counts();
            info!(
                "log server {}: reached again; {} lines were dropped so far",
                self.settings.target, dropped
            );
        }
        if let Link::Closed = self.link {
            if !self.sender.is_pending() {
                return Ok(Left::Nothing);
            }
            self.link = self.open(now)?;
        }
        let moment = moment(now);
        match &mut self.link {
            Link::Closed => Ok(Left::Nothing),
            Link::Datagrams(socket) => {
                for _ in 0..SYSLOG_BURST {
                    if !self.sender.poll_message(lines, &moment) {
                        return Ok(Left::Nothing);
                    }
                    match send(&*socket, self.sender.message().datagram(), SendFlags::NOSIGNAL) {
                        Ok(_) => self.sender.handle_sent(now),
                        // No room, of the socket or of the interface.
                        Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => break,
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok(Left::Messages)
            }
            Link::Stream(stream) => {
                for _ in 0..SYSLOG_BURST {
                    if !stream.is_ready(context, now)? {
                        return Ok(Left::Progress(stream.deadline));
                    }
                    if !self.sender.poll_message(lines, &moment) {
                        return Ok(Left::Nothing);
                    }
                    stream.session.seal(self.sender.message().frame()).map_err(Failure::Tls)?;
                    self.sender.handle_sent(now);
                }
                if stream.is_ready(context, now)? {
                    Ok(Left::Messages)
                } else {
                    Ok(Left::Progress(stream.deadline))
                }
            }
        }
    }

    /// Opens a socket, and begins a connection.
    fn open(&self, now: Duration) -> Result<Link, Failure> {
        let address = match &self.settings.target {
            Target::Journal => {
                return Ok(Link::Datagrams(connect_to_path(
                    &SocketAddrUnix::new(JOURNAL_SOCKET)?,
                    SocketType::DGRAM,
                )?));
            }
            Target::Datagrams(address) => {
                return Ok(Link::Datagrams(connect_to(address, SocketType::DGRAM)?));
            }
            Target::Tls(address) => address,
        };
        // It was read with the settings.
        let config = self.tls.as_ref().ok_or(Errno::INVAL)?;
        let name = match self.settings.server_name.as_str() {
            "" => address.ip().to_string(),
            name => name.to_owned(),
        };
        let session = Client::new(config, name).map_err(|error| Failure::Tls(io::Error::other(error)))?;
        let socket = connect_to(address, SocketType::STREAM)?;
        // Neither is needed: without the first more is lost with a connection, without the second it fails later.
        let _ = set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES);
        let _ = set_tcp_user_timeout(&socket, SYSLOG_TIMEOUT.as_millis() as u32);
        let socket = AsyncFd::new(TcpStream::from(socket)).map_err(Failure::Tls)?;
        let deadline = Some(now + SYSLOG_TIMEOUT);
        Ok(Link::Stream(Stream { socket, session: Box::new(session), is_connected: false, deadline }))
    }
}

impl Stream {
    /// Moves bytes both ways. Returns true if the session has room for a message.
    fn is_ready(&mut self, context: &Context<'_>, now: Duration) -> Result<bool, Failure> {
        // Before it is tried, so that no change is missed.
        self.socket.listen(context);
        if !self.is_connected {
            match result_of(self.socket.get_ref()) {
                Some(result) => result?,
                None => return self.wait(now),
            }
            self.is_connected = true;
        }
        loop {
            match self.session.read_from(&mut self.socket.get_ref()) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    // The alert of a refusal.
                    let _ = self.session.write_to(&mut self.socket.get_ref());
                    return Err(Failure::Tls(error));
                }
            }
        }
        while self.session.has_pending() {
            match self.session.write_to(&mut self.socket.get_ref()) {
                Ok(_) => self.deadline = None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.wait(now),
                Err(error) => return Err(Failure::Tls(error)),
            }
        }
        if self.session.is_handshaking() {
            return self.wait(now);
        }
        self.deadline = None;
        Ok(true)
    }

    /// Waits for the log server, up to its deadline.
    fn wait(&mut self, now: Duration) -> Result<bool, Failure> {
        let deadline = *self.deadline.get_or_insert(now + SYSLOG_TIMEOUT);
        if now < deadline { Ok(false) } else { Err(Failure::Late) }
    }
}

/// This moment on all clocks.
fn moment(now: Duration) -> Moment {
    let wall = wall_clock::now();
    Moment {
        now,
        of_log: Duration::from_millis(log::sample_clock().mono_ms),
        wall: (wall.as_secs() >= BUILT_UNIX_S).then_some(wall),
        is_synchronised: raw::is_clock_synchronised(),
    }
}
