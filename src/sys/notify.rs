//! Telling whoever started the server how it fares: the datagrams of sd_notify(3), which systemd takes
//! and so does `friendlet init`.
//!
//! Nothing here waits: what finds the socket full or gone is tried again with the next
//! [`handle_tick`](Notify::handle_tick).

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::limits::TICK;
use crate::warning;

/// What is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum News {
    /// Connections are taken.
    Ready,
    /// The server begins to end.
    Stopping,
    /// An administrator asks for the board to be started anew.
    Reboot,
    /// An administrator asks for the board to be switched off.
    PowerOff,
}

impl News {
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

/// The variables of the environment that sd_notify(3) and sd_watchdog_enabled(3) name.
#[derive(Clone, Debug, Default)]
pub struct NotifyEnvironment {
    /// `NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name.
    pub socket: Option<OsString>,
    /// `WATCHDOG_USEC`: the time in which the watchdog wants to be told something.
    pub watchdog_usec: Option<OsString>,
    /// `WATCHDOG_PID`: whom that is meant for; everybody when it is not there.
    pub watchdog_pid: Option<OsString>,
}

impl NotifyEnvironment {
    /// That of this process.
    pub fn of_this_process() -> Self {
        Self {
            socket: std::env::var_os("NOTIFY_SOCKET"),
            watchdog_usec: std::env::var_os("WATCHDOG_USEC"),
            watchdog_pid: std::env::var_os("WATCHDOG_PID"),
        }
    }

    /// Pause between two signs of life, so that no two are more than half of the watchdog's time apart,
    /// though they go out at a tick of the server. `None`: nobody waits for them.
    fn watchdog_pause(&self, own_pid: u32) -> Option<Duration> {
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

/// The way to whoever wants to know, or none.
#[derive(Debug)]
pub struct Notify {
    way: Option<(UnixDatagram, SocketAddr)>,
    watchdog_pause: Option<Duration>,
    /// When the watchdog is told next.
    watchdog_due: Cell<Duration>,
    /// What is still to be told, a bit each.
    owed: Cell<u8>,
    /// That it cannot be told was said already.
    complained: Cell<bool>,
}

impl Notify {
    /// A way to nobody: everything told goes unheard.
    pub fn nowhere() -> Self {
        Self {
            way: None,
            watchdog_pause: None,
            watchdog_due: Cell::default(),
            owed: Cell::default(),
            complained: Cell::default(),
        }
    }

    /// The way that the environment names. One that cannot be understood is logged, and is none.
    pub fn new(environment: &NotifyEnvironment) -> Self {
        let Some(name) = environment.socket.as_deref().filter(|name| !name.is_empty()) else {
            return Self::nowhere();
        };
        let way = address(name).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        });
        match way {
            Ok(way) => {
                let watchdog_pause = environment.watchdog_pause(std::process::id());
                if watchdog_pause.is_some_and(|pause| pause.is_zero()) {
                    warning!(
                        "WATCHDOG_USEC is too short: signs of life go out every {} ms",
                        TICK.as_millis()
                    );
                }
                Self { way: Some(way), watchdog_pause, ..Self::nowhere() }
            }
            Err(error) => {
                warning!("NOTIFY_SOCKET={}: {}; nobody is told", name.to_string_lossy(), error);
                Self::nowhere()
            }
        }
    }

    /// Whether there is anybody to be told.
    pub fn is_heard(&self) -> bool {
        self.way.is_some()
    }

    /// Tells something, now or with one of the next ticks.
    pub fn tell(&self, news: News) {
        if self.way.is_some() && self.try_tell(news).is_err() {
            self.owed.set(self.owed.get() | news.bit());
        }
    }

    /// Tells something now.
    ///
    /// # Errors
    /// The system's: `ENOTCONN` when there is nobody to be told, `EAGAIN` when he does not keep up,
    /// `ENOENT` or `ECONNREFUSED` when he is gone.
    pub fn try_tell(&self, news: News) -> io::Result<()> {
        self.send(news.message())
    }

    /// Tells what is owed, and the watchdog that the server lives. To be called at every tick of the
    /// server, and by nobody else: a server that is stuck has to fall silent.
    pub fn handle_tick(&self, now: Duration) {
        for news in News::ALL {
            if self.owed.get() & news.bit() != 0 && self.try_tell(news).is_ok() {
                self.owed.set(self.owed.get() & !news.bit());
            }
        }
        if let Some(pause) = self.watchdog_pause
            && now >= self.watchdog_due.get()
            && self.send(b"WATCHDOG=1").is_ok()
        {
            self.watchdog_due.set(now + pause);
        }
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        let Some((socket, address)) = &self.way else {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::NOTCONN.raw_os_error()));
        };
        let sent = socket.send_to_addr(message, address).map(drop);
        if let Err(error) = &sent
            && error.kind() != io::ErrorKind::WouldBlock
            && !self.complained.replace(true)
        {
            warning!("whoever NOTIFY_SOCKET names cannot be told: {}", error);
        }
        sent
    }
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

    /// A socket that listens under an abstract name, and the environment that names it.
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

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut all = Vec::new();
        let mut buffer = [0; 64];
        while let Ok(count) = socket.recv(&mut buffer) {
            all.push(String::from_utf8(buffer[..count].to_vec()).unwrap());
        }
        all
    }

    #[test]
    fn everything_is_told_in_its_words() {
        let (socket, environment) = listener("words", None);
        let notify = Notify::new(&environment);
        assert!(notify.is_heard());
        for news in News::ALL {
            notify.tell(news);
        }
        let words = ["READY=1", "STOPPING=1", "X_FRIENDLET=reboot", "X_FRIENDLET=poweroff"];
        assert_eq!(heard(&socket), words);
        notify.handle_tick(Duration::from_secs(100));
        assert!(heard(&socket).is_empty(), "no watchdog, and nothing is owed");
    }

    #[test]
    fn path_is_as_good_as_an_abstract_name() {
        let path = std::env::temp_dir().join(format!("friendlet-notify-path-{}", std::process::id()));
        // Left behind by a run that was killed and had the same process id.
        let _ = std::fs::remove_file(&path);
        let environment =
            NotifyEnvironment { socket: Some(path.clone().into()), ..NotifyEnvironment::default() };
        let notify = Notify::new(&environment);
        // Nobody listens yet: it is owed.
        notify.tell(News::Ready);
        assert!(notify.complained.get());
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        notify.handle_tick(Duration::ZERO);
        notify.handle_tick(Duration::ZERO);
        assert_eq!(heard(&socket), ["READY=1"]);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn full_socket_is_not_waited_for_and_its_news_is_owed() {
        let (socket, environment) = listener("full", None);
        let notify = Notify::new(&environment);
        let room = (0..10_000).take_while(|_| notify.try_tell(News::Ready).is_ok()).count();
        assert!((1..10_000).contains(&room), "{room}");
        notify.tell(News::Stopping);
        assert!(!notify.complained.get());
        assert_eq!(heard(&socket).len(), room);
        notify.handle_tick(Duration::ZERO);
        assert_eq!(heard(&socket), ["STOPPING=1"]);
    }

    #[test]
    fn watchdog_is_told_at_most_half_of_its_time_apart() {
        let (socket, environment) = listener("watchdog", Some("4000000"));
        let notify = Notify::new(&environment);
        let mut told = Vec::new();
        for tick in 0..100 {
            let now = TICK * tick;
            notify.handle_tick(now);
            told.extend(heard(&socket).iter().map(|word| (word == "WATCHDOG=1").then_some(now).unwrap()));
        }
        assert_eq!(told[0], Duration::ZERO);
        assert!(told.windows(2).all(|pair| pair[1] - pair[0] <= Duration::from_secs(2)), "{told:?}");
        assert!(told.len() < 25, "and not at every tick");
    }

    #[test]
    fn watchdog_is_whose_it_is() {
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
        assert_eq!(pause("1000000", None), Some(Duration::from_millis(250)));
        assert_eq!(pause("400000", None), Some(Duration::ZERO), "every tick, which is all there is");
        for usec in ["", "0", "-1", "x", "99999999999999999999"] {
            assert_eq!(pause(usec, None), None, "{usec}");
        }
    }

    #[test]
    fn without_a_socket_that_can_be_one_nobody_is_told() {
        crate::log::set_level(crate::log::Level::Off);
        let long = format!("/{}", "x".repeat(200));
        for socket in [None, Some(""), Some("relative"), Some("vsock:2:1"), Some(long.as_str())] {
            let environment =
                NotifyEnvironment { socket: socket.map(OsString::from), ..NotifyEnvironment::default() };
            let notify = Notify::new(&environment);
            assert!(!notify.is_heard(), "{socket:?}");
            notify.tell(News::Ready);
            notify.handle_tick(Duration::ZERO);
            assert!(notify.try_tell(News::Reboot).is_err());
        }
    }
}
