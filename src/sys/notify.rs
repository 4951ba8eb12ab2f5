//! Notifications to the service manager by sd_notify(3), which systemd and `friendlet init` support.
//!
//! Nothing blocks: a notification that cannot be sent is sent again by the next
//! [`handle_tick`](Notify::handle_tick).

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::log::Reason;
use crate::runtime::TICK;
use crate::warning;

/// State of the server, or request to `friendlet init`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotifyState {
    /// The server accepts connections.
    Ready,
    /// The server shuts down.
    Stopping,
    /// Request to restart the board.
    Reboot,
    /// Request to power the board off.
    PowerOff,
}

impl NotifyState {
    const ALL: [Self; 4] = [Self::Ready, Self::Stopping, Self::Reboot, Self::PowerOff];

    fn message(self) -> &'static [u8] {
        match self {
            Self::Ready => b"READY=1",
            Self::Stopping => b"STOPPING=1",
            Self::Reboot => b"X_FRIENDLET=reboot",
            Self::PowerOff => b"X_FRIENDLET=poweroff",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Environment variables of sd_notify(3) and sd_watchdog_enabled(3).
#[derive(Clone, Debug, Default)]
pub struct NotifyEnvironment {
    /// `NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name.
    pub socket: Option<OsString>,
    /// `WATCHDOG_USEC`: longest interval between heartbeats.
    pub watchdog_usec: Option<OsString>,
    /// `WATCHDOG_PID`: process that sends heartbeats; by default every process.
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

    /// Shortest interval between heartbeats, or `None` if they are not required. Ticks delay them, but
    /// never beyond half of the watchdog's timeout.
    fn watchdog_interval(&self, own_pid: u32) -> Option<Duration> {
        let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
        if let Some(pid) = &self.watchdog_pid
            && number(pid) != Some(u64::from(own_pid))
        {
            return None;
        }
        let time = number(self.watchdog_usec.as_deref()?).filter(|usec| *usec > 0);
        time.map(Duration::from_micros).map(|time| (time / 2).saturating_sub(TICK).min(time / 3))
    }
}

/// Socket for notifications, which may have no receiver.
#[derive(Debug)]
pub struct Notify {
    receiver: Option<(UnixDatagram, SocketAddr)>,
    watchdog_interval: Option<Duration>,
    /// Time of the next heartbeat.
    watchdog_due: Cell<Duration>,
    /// States that are not sent yet, a bit each.
    pending: Cell<u8>,
    /// True after the first failure, which alone is logged.
    is_failure_logged: Cell<bool>,
}

impl Notify {
    /// Socket without a receiver.
    pub fn disabled() -> Self {
        Self {
            receiver: None,
            watchdog_interval: None,
            watchdog_due: Cell::default(),
            pending: Cell::default(),
            is_failure_logged: Cell::default(),
        }
    }

    /// Socket to the receiver of the environment. An invalid address is logged, and disables it.
    pub fn new(environment: &NotifyEnvironment) -> Self {
        let Some(name) = environment.socket.as_deref().filter(|name| !name.is_empty()) else {
            return Self::disabled();
        };
        let receiver = address(name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        });
        match receiver {
            Ok(receiver) => {
                let watchdog_interval = environment.watchdog_interval(std::process::id());
                if watchdog_interval.is_some_and(|interval| interval.is_zero()) {
                    warning!("WATCHDOG_USEC is too short: one heartbeat every {} ms", TICK.as_millis());
                }
                Self { receiver: Some(receiver), watchdog_interval, ..Self::disabled() }
            }
            Err(error) => {
                let name = name.to_string_lossy();
                warning!("cannot use NOTIFY_SOCKET={}: {}", name, Reason::from(&error));
                Self::disabled()
            }
        }
    }

    /// Returns true if there is a receiver.
    pub fn has_receiver(&self) -> bool {
        self.receiver.is_some()
    }

    /// Sends a state, now or with one of the next ticks.
    pub fn send(&self, state: NotifyState) {
        if self.receiver.is_some() && self.try_send(state).is_err() {
            self.pending.set(self.pending.get() | state.bit());
        }
    }

    /// Sends a state now.
    ///
    /// # Errors
    /// Error of the system: `ENOTCONN` without a receiver, `EAGAIN` when its queue is full, `ENOENT`
    /// or `ECONNREFUSED` when it has exited.
    pub fn try_send(&self, state: NotifyState) -> io::Result<()> {
        self.send_datagram(state.message())
    }

    /// Sends pending states, and a heartbeat if one is due. Only the tick of the server calls it, so
    /// that a server that hangs sends no heartbeat.
    pub fn handle_tick(&self, now: Duration) {
        for state in NotifyState::ALL {
            if self.pending.get() & state.bit() != 0 && self.try_send(state).is_ok() {
                self.pending.set(self.pending.get() & !state.bit());
            }
        }
        if let Some(interval) = self.watchdog_interval
            && now >= self.watchdog_due.get()
            && self.send_datagram(b"WATCHDOG=1").is_ok()
        {
            self.watchdog_due.set(now + interval);
        }
    }

    fn send_datagram(&self, message: &[u8]) -> io::Result<()> {
        let Some((socket, address)) = &self.receiver else {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::NOTCONN.raw_os_error()));
        };
        let sent = socket.send_to_addr(message, address).map(drop);
        if let Err(error) = &sent
            && error.kind() != io::ErrorKind::WouldBlock
            && !self.is_failure_logged.replace(true)
        {
            warning!("cannot send to NOTIFY_SOCKET: {}", Reason::from(error));
        }
        sent
    }
}

/// Parses `/path`, or `@name` in the abstract namespace.
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

    /// Receiver with an abstract name, and an environment with that name.
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

    fn received(socket: &UnixDatagram) -> Vec<String> {
        let mut all = Vec::new();
        let mut buffer = [0; 64];
        while let Ok(count) = socket.recv(&mut buffer) {
            all.push(String::from_utf8(buffer[..count].to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn each_state_has_its_message() {
        let (socket, environment) = listener("words", None);
        let notify = Notify::new(&environment);
        assert!(notify.has_receiver());
        for state in NotifyState::ALL {
            notify.send(state);
        }
        let messages = ["READY=1", "STOPPING=1", "X_FRIENDLET=reboot", "X_FRIENDLET=poweroff"];
        assert_eq!(received(&socket), messages);
        notify.handle_tick(Duration::from_secs(100));
        assert!(received(&socket).is_empty(), "no watchdog, and nothing is pending");
    }

    #[test]
    fn receiver_may_have_a_path() {
        let path = std::env::temp_dir().join(format!("friendlet-notify-{}", std::process::id()));
        let environment =
            NotifyEnvironment { socket: Some(path.clone().into()), ..NotifyEnvironment::default() };
        let notify = Notify::new(&environment);
        // There is no receiver yet.
        notify.send(NotifyState::Ready);
        assert!(notify.is_failure_logged.get());
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        notify.handle_tick(Duration::ZERO);
        notify.handle_tick(Duration::ZERO);
        assert_eq!(received(&socket), ["READY=1"]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn state_is_pending_while_the_socket_is_full() {
        let (socket, environment) = listener("full", None);
        let notify = Notify::new(&environment);
        let room = (0..10_000).take_while(|_| notify.try_send(NotifyState::Ready).is_ok()).count();
        assert!((1..10_000).contains(&room), "{room}");
        notify.send(NotifyState::Stopping);
        assert!(!notify.is_failure_logged.get());
        assert_eq!(received(&socket).len(), room);
        notify.handle_tick(Duration::ZERO);
        assert_eq!(received(&socket), ["STOPPING=1"]);
    }

    #[test]
    fn heartbeats_are_at_most_half_of_the_timeout_apart() {
        let (socket, environment) = listener("watchdog", Some("4000000"));
        let notify = Notify::new(&environment);
        let mut sent = Vec::new();
        for tick in 0..100 {
            let now = TICK * tick;
            notify.handle_tick(now);
            sent.extend(received(&socket).iter().map(|text| (text == "WATCHDOG=1").then_some(now).unwrap()));
        }
        assert_eq!(sent[0], Duration::ZERO);
        assert!(sent.windows(2).all(|pair| pair[1] - pair[0] <= Duration::from_secs(2)), "{sent:?}");
        assert!(sent.len() < 25, "not at every tick");
    }

    #[test]
    fn watchdog_interval_is_that_of_the_environment() {
        let interval = |usec: &str, pid: Option<&str>| {
            let environment = NotifyEnvironment {
                watchdog_usec: Some(usec.into()),
                watchdog_pid: pid.map(OsString::from),
                ..NotifyEnvironment::default()
            };
            environment.watchdog_interval(42)
        };
        assert_eq!(interval("3000000", None), Some(Duration::from_secs(1)));
        assert_eq!(interval("3000000", Some("42")), Some(Duration::from_secs(1)));
        assert_eq!(interval("3000000", Some("43")), None);
        assert_eq!(interval("1000000", None), Some(Duration::from_millis(250)));
        assert_eq!(interval("400000", None), Some(Duration::ZERO), "at every tick");
        for usec in ["", "0", "-1", "x", "99999999999999999999"] {
            assert_eq!(interval(usec, None), None, "{usec}");
        }
    }

    #[test]
    fn invalid_socket_disables_notifications() {
        crate::log::set_level(crate::log::Level::Off);
        let long = format!("/{}", "x".repeat(200));
        for socket in [None, Some(""), Some("relative"), Some("vsock:2:1"), Some(long.as_str())] {
            let environment =
                NotifyEnvironment { socket: socket.map(OsString::from), ..NotifyEnvironment::default() };
            let notify = Notify::new(&environment);
            assert!(!notify.has_receiver(), "{socket:?}");
            notify.send(NotifyState::Ready);
            notify.handle_tick(Duration::ZERO);
            assert!(notify.try_send(NotifyState::Reboot).is_err());
        }
    }
}
