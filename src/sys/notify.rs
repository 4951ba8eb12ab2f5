//! Reports to the service manager: the datagrams of sd_notify(3), to systemd or `friendlet init`.
//!
//! Nothing here waits: a datagram for which the socket is full or gone is sent again by the next
//! [`handle_timeout`](SdNotify::handle_timeout).

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::fmt::Write as _;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{NOTIFY_BYTES, NOTIFY_TIMEOUT, raw};
use crate::config::one_line;
use crate::runtime::UPKEEP_DELAY;
use crate::warning;

/// Shortest pause between two heartbeats.
const WATCHDOG_PAUSE_MIN: Duration = Duration::from_millis(50);

/// Pause between two looks whether a datagram is read.
const NOTIFY_POLL: Duration = Duration::from_millis(2);

/// Report that the running slot is good.
pub(crate) const SLOT_GOOD: &[u8] = b"X_FRIENDLET=good";

/// Report of a state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotifyState {
    /// Connections are accepted.
    Ready,
    /// The server begins to stop.
    Stopping,
    /// An administrator requests a reboot of the board.
    Reboot,
    /// An administrator requests a power-off of the board.
    PowerOff,
    /// An administrator requests a factory reset of the board.
    FactoryReset,
}

impl NotifyState {
    const ALL: [Self; 5] = [Self::Ready, Self::Stopping, Self::Reboot, Self::PowerOff, Self::FactoryReset];

    fn message(self) -> &'static str {
        match self {
            Self::Ready => "READY=1",
            Self::Stopping => "STOPPING=1",
            Self::Reboot => "X_FRIENDLET=reboot",
            Self::PowerOff => "X_FRIENDLET=poweroff",
            Self::FactoryReset => "X_FRIENDLET=factory-reset",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Environment variables that sd_notify(3) and sd_watchdog_enabled(3) name.
#[derive(Clone, Debug, Default)]
pub struct NotifyEnvironment {
    /// `NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name.
    pub socket: Option<OsString>,
    /// `WATCHDOG_USEC`: longest silence that the watchdog accepts.
    pub watchdog_usec: Option<OsString>,
    /// `WATCHDOG_PID`: process that the watchdog watches; without it, every one.
    pub watchdog_pid: Option<OsString>,
}

impl NotifyEnvironment {
    /// Environment of this process.
    pub fn of_this_process() -> Self {
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog_usec: std::env::var_os("WATCHDOG_USEC"),
            watchdog_pid: std::env::var_os("WATCHDOG_PID"),
        }
    }

    /// Pause between two heartbeats: a third of the watchdog's time, so that one may be late. `None` without
    /// a watchdog for this process.
    fn watchdog_pause(&self, own_pid: u32) -> Option<Duration> {
        let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
        if let Some(pid) = &self.watchdog_pid
            && number(pid) != Some(u64::from(own_pid))
        {
            return None;
        }
        let time = number(self.watchdog_usec.as_deref()?).filter(|usec| *usec > 0);
        time.map(|usec| Duration::from_micros(usec) / 3)
    }
}

/// Socket of the service manager.
#[derive(Debug)]
pub struct ManagerSocket {
    socket: UnixDatagram,
    address: SocketAddr,
    /// An error of the socket was logged.
    is_error_logged: Cell<bool>,
}

impl ManagerSocket {
    /// Socket that the environment names. An invalid one is logged and not used.
    pub fn new(environment: &NotifyEnvironment) -> Option<Self> {
        let name = environment.socket.as_deref().filter(|name| !name.is_empty())?;
        let socket = address(name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok(Self { socket, address, is_error_logged: Cell::default() })
        });
        let log = |error: &io::Error| {
            warning!("NOTIFY_SOCKET={}: {}; nothing is reported", name.to_string_lossy(), error);
        };
        socket.inspect_err(log).ok()
    }

    /// Checks that the manager is there.
    ///
    /// # Errors
    /// `ENOENT` or `ECONNREFUSED` if it is gone.
    pub fn probe(&self) -> io::Result<()> {
        UnixDatagram::unbound()?.connect_addr(&self.address)
    }

    /// Sends a datagram.
    ///
    /// # Errors
    /// `EAGAIN` if the queue of the manager is full, `ENOENT` or `ECONNREFUSED` if it is gone. The first error
    /// of the second kind is logged.
    pub fn send(&self, datagram: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to_addr(datagram, &self.address).map(drop);
        if let Err(error) = &sent
            && error.kind() != io::ErrorKind::WouldBlock
            && !self.is_error_logged.replace(true)
        {
            warning!("cannot send to NOTIFY_SOCKET: {}", error);
        }
        sent
    }
}

/// Reports of the server, which go to the service manager through the keeper.
#[derive(Debug)]
pub struct SdNotify {
    receiver: Option<UnixDatagram>,
    /// Socket of the service manager itself.
    manager: Option<ManagerSocket>,
    watchdog_pause: Option<Duration>,
    /// Time that the server needs to stop.
    stop_time: Cell<Duration>,
    /// Time of the next heartbeat.
    watchdog_due: Cell<Duration>,
    /// Reports that could not be sent yet, a bit each.
    pending: Cell<u8>,
    /// Time of the next attempt to send them.
    retry_at: Cell<Duration>,
}

impl SdNotify {
    /// Creates one without a receiver, which sends nothing.
    pub fn without_receiver() -> Self {
        Self {
            receiver: None,
            manager: None,
            watchdog_pause: None,
            stop_time: Cell::default(),
            watchdog_due: Cell::default(),
            pending: Cell::default(),
            retry_at: Cell::default(),
        }
    }

    /// Creates one that sends to `receiver`, if there is one. `environment` and `pid` are those of the process
    /// that the service manager has started.
    pub fn new(receiver: Option<UnixDatagram>, environment: &NotifyEnvironment, pid: u32) -> Self {
        let Some(receiver) = receiver else { return Self::without_receiver() };
        let mut watchdog_pause = environment.watchdog_pause(pid);
        if watchdog_pause.is_some_and(|pause| pause < WATCHDOG_PAUSE_MIN) {
            warning!(
                "WATCHDOG_USEC is too short: the heartbeat is sent every {} ms",
                WATCHDOG_PAUSE_MIN.as_millis()
            );
            watchdog_pause = Some(WATCHDOG_PAUSE_MIN);
        }
        let manager = ManagerSocket::new(environment);
        Self { receiver: Some(receiver), manager, watchdog_pause, ..Self::without_receiver() }
    }

    /// Returns true if reports have a receiver.
    pub fn has_receiver(&self) -> bool {
        self.receiver.is_some()
    }

    /// Sends the report that the server stops, which takes up to `time`.
    pub fn send_stopping(&self, time: Duration) {
        self.stop_time.set(time);
        self.send(NotifyState::Stopping);
    }

    /// Sends a report, now or with one of the next [`handle_timeout`](Self::handle_timeout).
    pub fn send(&self, state: NotifyState) {
        if self.has_receiver() && self.try_send(state).is_err() {
            self.pending.set(self.pending.get() | state.bit());
        }
    }

    /// Sends a report now.
    ///
    /// # Errors
    /// Error of the system: `ENOTCONN` without a receiver, `EAGAIN` if its queue is full, `ENOENT` or
    /// `ECONNREFUSED` if it is gone.
    pub fn try_send(&self, state: NotifyState) -> io::Result<()> {
        let time = self.stop_time.get().as_micros();
        if state != NotifyState::Stopping || time == 0 {
            return self.send_message(state.message().as_bytes());
        }
        // The manager may have a shorter limit of its own.
        let mut message = heapless::String::<64>::new();
        let written = write!(message, "{}\nEXTEND_TIMEOUT_USEC={time}", state.message());
        debug_assert!(written.is_ok(), "the longest time fits");
        self.send_message(message.as_bytes())
    }

    /// Reports that the running slot is good, or the reason why it has failed. Returns false if the socket is full.
    pub fn report_slot(&self, result: Result<(), &dyn Display>) -> bool {
        let sent = match result {
            Ok(()) => self.send_message(SLOT_GOOD),
            Err(reason) => {
                let message: heapless::String<NOTIFY_BYTES> =
                    one_line(format_args!("X_FRIENDLET_BAD={reason}"));
                self.send_message(message.as_bytes())
            }
        };
        !sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Checks that the service manager is there. The keeper passes reports on, and would not answer that.
    ///
    /// # Errors
    /// `ENOTCONN` without a service manager, `ENOENT` or `ECONNREFUSED` if it is gone.
    pub fn probe(&self) -> io::Result<()> {
        self.manager.as_ref().map_or(Err(Errno::NOTCONN.into()), ManagerSocket::probe)
    }

    /// Earliest deadline, for [`handle_timeout`](Self::handle_timeout).
    pub fn poll_timeout(&self) -> Option<Duration> {
        let watchdog = self.watchdog_pause.map(|_| self.watchdog_due.get());
        let retry = (self.pending.get() != 0).then(|| self.retry_at.get());
        watchdog.into_iter().chain(retry).min()
    }

    /// Sends the pending reports, and the heartbeat (`WATCHDOG=1`) when it is due. Only the loop of the
    /// server may call it, so that a server that is stuck sends no heartbeat.
    pub fn handle_timeout(&self, now: Duration) {
        for state in NotifyState::ALL {
            if self.pending.get() & state.bit() != 0 && self.try_send(state).is_ok() {
                self.pending.set(self.pending.get() & !state.bit());
            }
        }
        self.retry_at.set(now + UPKEEP_DELAY);
        if let Some(pause) = self.watchdog_pause
            && now >= self.watchdog_due.get()
        {
            let is_sent = self.send_message(b"WATCHDOG=1").is_ok();
            self.watchdog_due.set(now + if is_sent { pause } else { pause.min(UPKEEP_DELAY) });
        }
    }

    fn send_message(&self, message: &[u8]) -> io::Result<()> {
        let receiver = self.receiver.as_ref().ok_or(Errno::NOTCONN)?;
        receiver.send(message).map(drop)
    }
}

/// Name of the line with an event of a service, `KEY=VALUE`.
pub const EVENT: &str = "X_FRIENDLET_EVENT";
/// Name of the line with the seconds after which the events of its datagram are forgotten.
pub const EVENT_LIFE: &str = "X_FRIENDLET_FOR";

/// Sends a datagram to the socket that the environment names, and returns once it is handled: the receiver looks at the
/// process that it comes from.
///
/// # Errors
/// `ENOTCONN` without a socket, `ENOENT` or `ECONNREFUSED` if its reader is gone, `TimedOut` if it does not read.
pub fn send_and_wait(environment: &NotifyEnvironment, datagram: &[u8]) -> io::Result<()> {
    let name = environment.socket.as_deref().filter(|name| !name.is_empty()).ok_or(Errno::NOTCONN)?;
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address(name)?)?;
    socket.set_write_timeout(Some(NOTIFY_TIMEOUT))?;
    // Datagrams are handled in order: once the second one is read, the first one is handled.
    for datagram in [datagram, b"\n"] {
        socket.send(datagram).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        })?;
    }
    let start = Instant::now();
    while raw::unread_bytes(&socket)? > 0 {
        if start.elapsed() >= NOTIFY_TIMEOUT {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(NOTIFY_POLL);
    }
    Ok(())
}

/// Lines `KEY=value` of a datagram. Others are skipped, as sd_notify(3) requires of unknown ones.
pub fn assignments(datagram: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let lines = datagram.split(|byte| *byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
    lines.filter_map(|line| line.split_once('='))
}

/// Value of `.._USEC`.
pub fn microseconds(digits: &str) -> Option<Duration> {
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number).map(Duration::from_micros)
}

/// `/path`, or `@name` in the abstract name space.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a path or '@' and a name")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// A socket bound to an abstract name, and the environment that names it.
    fn listener(name: &str, usec: Option<&str>) -> (UnixDatagram, NotifyEnvironment) {
        let name = format!("friendlet-notify-{name}-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        let environment = NotifyEnvironment {
            socket: Some(format!("@{name}").into()),
            watchdog_usec: usec.map(OsString::from),
            watchdog_pid: None,
        };
        (socket, environment)
    }

    /// Reports that go to the listener at once, without a keeper.
    fn notify(environment: &NotifyEnvironment) -> SdNotify {
        let receiver = UnixDatagram::unbound().unwrap();
        receiver.set_nonblocking(true).unwrap();
        let name = environment.socket.as_deref().unwrap();
        receiver.connect_addr(&address(name).unwrap()).unwrap();
        SdNotify::new(Some(receiver), environment, 42)
    }

    #[test]
    fn datagram_is_sent_and_its_reader_awaited() {
        let (socket, environment) = listener("wait", None);
        let mut all = Vec::new();
        thread::scope(|scope| {
            let sending = scope.spawn(|| send_and_wait(&environment, b"X_FRIENDLET_EVENT=a=b"));
            let start = Instant::now();
            while all.len() < 2 && start.elapsed() < NOTIFY_TIMEOUT {
                assert!(!sending.is_finished(), "not before it is read");
                all.extend(received(&socket));
            }
            sending.join().unwrap().unwrap();
        });
        assert_eq!(all, ["X_FRIENDLET_EVENT=a=b", "\n"]);
        let (_unread, environment) = listener("unread", None);
        let start = Instant::now();
        let error = send_and_wait(&environment, b"READY=1").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() >= NOTIFY_TIMEOUT);
        assert!(send_and_wait(&NotifyEnvironment::default(), b"READY=1").is_err());
    }

    fn received(socket: &UnixDatagram) -> Vec<String> {
        let mut all = Vec::new();
        let mut buffer = [0; 64];
        while let Ok(count) = socket.recv(&mut buffer) {
            all.push(String::from_utf8(buffer[..count].to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn every_report_has_its_text() {
        let (socket, environment) = listener("words", None);
        let notify = notify(&environment);
        assert!(notify.has_receiver());
        for state in NotifyState::ALL {
            notify.send(state);
        }
        let ends = ["X_FRIENDLET=reboot", "X_FRIENDLET=poweroff", "X_FRIENDLET=factory-reset"];
        let words = [&["READY=1", "STOPPING=1"][..], &ends].concat();
        assert_eq!(received(&socket), words);
        assert_eq!(notify.poll_timeout(), None);
        notify.handle_timeout(Duration::from_secs(100));
        assert!(received(&socket).is_empty(), "no watchdog, and nothing is pending");
    }

    #[test]
    fn path_is_as_good_as_an_abstract_name() {
        let path = std::env::temp_dir().join(format!("friendlet-notify-path-{}", std::process::id()));
        // Left behind by a run that was killed and had the same process id.
        let _ = std::fs::remove_file(&path);
        let environment =
            NotifyEnvironment { socket: Some(path.clone().into()), ..NotifyEnvironment::default() };
        let manager = ManagerSocket::new(&environment).unwrap();
        assert!(manager.send(b"READY=1").is_err(), "the socket is missing so far");
        assert!(manager.is_error_logged.get());
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        manager.send(b"READY=1").unwrap();
        assert_eq!(received(&socket), ["READY=1"]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn full_socket_is_not_waited_for_and_its_report_is_pending() {
        let (socket, environment) = listener("full", None);
        let notify = notify(&environment);
        let room = (0..10_000).take_while(|_| notify.try_send(NotifyState::Ready).is_ok()).count();
        assert!((1..10_000).contains(&room), "{room}");
        notify.send(NotifyState::Stopping);
        assert_eq!(received(&socket).len(), room);
        notify.handle_timeout(Duration::ZERO);
        assert_eq!(received(&socket), ["STOPPING=1"]);
    }

    #[test]
    fn stop_has_the_time_that_it_needs() {
        let (socket, environment) = listener("stop", None);
        let notify = notify(&environment);
        notify.send_stopping(Duration::from_secs(124));
        assert_eq!(received(&socket), ["STOPPING=1\nEXTEND_TIMEOUT_USEC=124000000"]);
    }

    #[test]
    fn heartbeats_are_a_third_of_the_watchdogs_time_apart() {
        let (socket, environment) = listener("watchdog", Some("4000000"));
        let notify = notify(&environment);
        for _ in 0..3 {
            let now = notify.poll_timeout().unwrap();
            if now > Duration::ZERO {
                notify.handle_timeout(now - Duration::from_millis(1));
                assert!(received(&socket).is_empty(), "{now:?}");
            }
            notify.handle_timeout(now);
            assert_eq!(received(&socket), ["WATCHDOG=1"]);
            let pause = notify.poll_timeout().unwrap() - now;
            assert_eq!(pause, Duration::from_secs(4) / 3);
        }
    }

    #[test]
    fn watchdog_of_another_process_is_left_alone() {
        let pause = |usec: &str, pid: Option<&str>| {
            let environment = NotifyEnvironment {
                watchdog_usec: Some(usec.into()),
                watchdog_pid: pid.map(OsString::from),
                ..NotifyEnvironment::default()
            };
            environment.watchdog_pause(42)
        };
        assert_eq!(pause("3000000", None), Some(Duration::from_secs(1)));
        assert_eq!(pause("3000000", Some("42")), Some(Duration::from_secs(1)));
        assert_eq!(pause("3000000", Some("43")), None);
        assert_eq!(pause("300000", None), Some(Duration::from_millis(100)));
        for usec in ["", "0", "-1", "x", "99999999999999999999"] {
            assert_eq!(pause(usec, None), None, "{usec}");
        }
    }

    #[test]
    fn without_a_valid_socket_nothing_is_sent() {
        crate::log::set_level(crate::log::Level::Off);
        let long = format!("/{}", "x".repeat(200));
        for socket in [None, Some(""), Some("relative"), Some("vsock:2:1"), Some(long.as_str())] {
            let environment =
                NotifyEnvironment { socket: socket.map(OsString::from), ..NotifyEnvironment::default() };
            assert!(ManagerSocket::new(&environment).is_none(), "{socket:?}");
        }
        let notify = SdNotify::new(None, &NotifyEnvironment::default(), 42);
        assert!(!notify.has_receiver());
        notify.send(NotifyState::Ready);
        notify.handle_timeout(Duration::ZERO);
        assert!(notify.try_send(NotifyState::Reboot).is_err());
    }
}
