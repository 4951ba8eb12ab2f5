//! The board's life: what is mounted and set before the server starts, and the loop that keeps it.

use std::ffi::OsStr;
use std::fmt::{Display, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use heapless::String;

use super::boot_state::{self, Standing};
use super::command_line::{CommandLine, Slot};
use super::keeper::{Action, Keeper};
use super::message::{self, End};
use super::root::restart;
use crate::config::Network;
use crate::limits::{
    DATA_RETRY_PAUSE, DEVICE_TIMEOUT, FEED_INTERVAL, NOTICE_BYTES, NOTIFY_BYTES, RUN_BYTES, SILENCE_TIMEOUT,
    SPARE_DATA_BYTES, STEP_BUDGET, TMP_BYTES,
};
use crate::log::console::{error, info, warning};
use crate::sys::machine::{self as system, BoardSignals, MountError, NotifySocket, Reaped, Server, Watchdog};
use crate::sys::{Clock, NetworkManager};

const WATCHDOG: &str = "/dev/watchdog";
const NOTIFY: &str = "/run/friendlet/notify";
const STATE: &str = "/data/state";
const CLOCK_FILE: &str = "/data/clock";
const DEVICE_FILE: &str = "/data/friendlet.toml";
const ARGUMENTS: [&str; 4] = ["serve", "--config", DEVICE_FILE, "--fall-back"];
/// When this program was built, in seconds since 1970: it cannot be earlier.
const BUILT_UNIX_S: u64 = match u64::from_str_radix(env!("FRIENDLET_BUILT_UNIX_S"), 10) {
    Ok(seconds) => seconds,
    Err(_) => panic!("FRIENDLET_BUILT_UNIX_S: not a number of seconds"),
};

/// What the server is told of init's troubles.
type Notice = String<NOTICE_BYTES>;

/// Brings up the rest of the board, and keeps it.
pub(super) fn run(line: &CommandLine<'_>, read_network: fn(&Path) -> Option<Network>) -> ! {
    let mut board = Board::new(line, read_network);
    board.keep()
}

struct Board<'l> {
    clock: Clock,
    keeper: Keeper,
    slot: Option<Slot>,
    /// The disk with the boot state.
    state: Option<&'l str>,
    notice: Notice,
    notify: NotifySocket,
    signals: BoardSignals,
    server: Option<Server>,
    watchdog: Option<Watchdog>,
    network: NetworkManager,
}

impl<'l> Board<'l> {
    fn new(line: &CommandLine<'l>, read_network: fn(&Path) -> Option<Network>) -> Self {
        // 0 s: it is not to be opened, since some reset the board as soon as they are.
        let mut watchdog = match line.watchdog_s {
            Some(0) => None,
            seconds => open_watchdog(seconds),
        };
        let mut feed = || {
            if let Some(watchdog) = &mut watchdog {
                // It is told when the board runs; here a reset is the answer.
                let _ = watchdog.feed();
            }
        };
        mount_memory();
        let mut notice = Notice::new();
        mount_data(line.data, &mut notice, &mut feed);
        if let Err(error) = system::prepare() {
            warning!("not all could be set for this machine: {}", error);
        }
        set_clock();
        let network = NetworkManager::new(read_network(Path::new(DEVICE_FILE)).as_ref());
        let on_trial = is_on_trial(line);
        let sockets =
            NotifySocket::bind(Path::new(NOTIFY)).and_then(|notify| Ok((notify, BoardSignals::new()?)));
        let (notify, signals) = match sockets {
            Ok(sockets) => sockets,
            Err(error) => {
                // Without these the server could not be looked after, nor the board be ended.
                error!("{}: {}", NOTIFY, error);
                restart()
            }
        };
        Self {
            clock: Clock::new(),
            keeper: Keeper::new(on_trial, watchdog.is_some()),
            slot: line.slot,
            state: line.state,
            notice,
            notify,
            signals,
            server: None,
            watchdog,
            network,
        }
    }

    fn keep(&mut self) -> ! {
        loop {
            let now = self.clock.now();
            self.take_signals(now);
            self.take_messages(now);
            self.reap(now);
            self.network.handle_ready(now);
            while let Some(action) = self.keeper.poll_action(now) {
                self.perform(action, now);
            }
            self.wait();
        }
    }

    fn take_signals(&mut self, now: Duration) {
        let raised = self.signals.take();
        if raised.switch_off {
            self.keeper.handle_end(End::PowerOff, now);
        }
        if raised.restart {
            self.keeper.handle_end(End::Restart, now);
        }
    }

    fn take_messages(&mut self, now: Duration) {
        let mut buffer = [0; NOTIFY_BYTES];
        // More wait for the next turn.
        for _ in 0..STEP_BUDGET {
            match self.notify.receive(&mut buffer) {
                Ok(None) => break,
                // Another process has no say, nor has a server that is gone.
                Ok(Some((_, sender)))
                    if !sender.is_some_and(|sender| {
                        self.server.as_ref().is_some_and(|server| server.is(sender))
                    }) => {}
                Ok(Some((datagram, _))) => {
                    message::read(datagram).for_each(|message| self.keeper.handle_message(message, now));
                }
                Err(error) => {
                    warning!("{}: {}", NOTIFY, error);
                    break;
                }
            }
        }
    }

    fn reap(&mut self, now: Duration) {
        loop {
            match system::reap() {
                Reaped::Child(pid, exit) if self.server.as_ref().is_some_and(|server| server.is(pid)) => {
                    self.server = None;
                    self.keeper.handle_exit(Some(exit), now);
                }
                Reaped::Child(..) => {}
                Reaped::NoMore => return,
                Reaped::NobodyLeft => {
                    self.keeper.handle_nobody_left(now);
                    return;
                }
            }
        }
    }

    fn perform(&mut self, action: Action, now: Duration) {
        match action {
            Action::Feed => {
                if let Some(Err(error)) = self.watchdog.as_mut().map(Watchdog::feed) {
                    warning!("{}: {}", WATCHDOG, error);
                }
            }
            Action::KillRest => system::kill_all_others(true),
            Action::StopRest => system::kill_all_others(false),
            Action::KillServer => self.server.iter().for_each(Server::kill),
            Action::StopServer => self.server.iter().for_each(Server::terminate),
            Action::MarkGood => mark_good(self.slot, self.state),
            Action::StartServer => match self.start() {
                Ok(server) => self.server = Some(server),
                Err(error) => {
                    error!("the server does not start: {}", error);
                    self.keeper.handle_exit(None, now);
                }
            },
            Action::Finish(end) => self.finish(end),
        }
    }

    fn start(&self) -> Result<Server, system::ServerError> {
        let mut silence = String::<20>::new();
        // Twenty digits are the longest number of microseconds there is.
        let _ = write!(silence, "{}", SILENCE_TIMEOUT.as_micros());
        let slot = self.slot.map(Slot::name);
        let notice = Some(self.notice.as_str()).filter(|notice| !notice.is_empty());
        let environment = [
            ("STATE_DIRECTORY", Some(STATE)),
            ("NOTIFY_SOCKET", Some(NOTIFY)),
            ("WATCHDOG_USEC", Some(silence.as_str())),
            ("FRIENDLET_INIT", Some("1")),
            ("FRIENDLET_SLOT", slot),
            ("FRIENDLET_NOTICE", notice),
        ];
        let given = environment.iter().filter_map(|(name, value)| Some((*name, OsStr::new((*value)?))));
        Server::start(&ARGUMENTS, given)
    }

    /// Waits until something comes or is due.
    fn wait(&self) {
        let due = self.keeper.poll_timeout().into_iter().chain(self.network.poll_timeout()).min();
        let timeout = due.map(|due| due.saturating_sub(self.clock.now()));
        let sources = [Some(self.signals.as_fd()), Some(self.notify.as_fd()), self.network.fd()];
        if let Err(error) = system::wait_input(sources, timeout) {
            // PID 1 has nobody to give up to; it goes on by its clock.
            error!("waiting for the server and for signals: {}", error);
            system::wait(FEED_INTERVAL, &mut || ());
        }
    }

    /// Ends the board. Every other process is gone, or cannot be helped.
    fn finish(&mut self, end: End) -> ! {
        if let Err(error) = system::touch(Path::new(CLOCK_FILE)) {
            warning!("{}: {}", CLOCK_FILE, error);
        }
        if let Err(error) = system::release_data() {
            error!("{} is not let go of: {}", system::DATA, error);
        }
        match end {
            End::Restart => info!("restarting"),
            End::PowerOff => {
                info!("switching off");
                if let Some(Err(error)) = self.watchdog.take().map(Watchdog::disarm) {
                    warning!("{}: {}", WATCHDOG, error);
                }
                if let Err(error) = system::switch_off() {
                    error!("the board cannot be switched off: {}", error);
                }
            }
        }
        // The watchdog stays armed, for a restart that hangs.
        if let Err(error) = system::restart() {
            error!("the board does not restart: {}", error);
        }
        restart()
    }
}

/// Opens the watchdog, which arms it, when there is one.
fn open_watchdog(seconds: Option<u32>) -> Option<Watchdog> {
    match Watchdog::open(Path::new(WATCHDOG)) {
        Ok(watchdog) => {
            match seconds {
                Some(seconds) => info!("{} is armed: reset after {} s", WATCHDOG, seconds),
                None => info!("{} is armed", WATCHDOG),
            }
            Some(watchdog)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            info!("no {}: a silent server is killed instead", WATCHDOG);
            None
        }
        Err(error) => {
            warning!("{}: {}", WATCHDOG, error);
            None
        }
    }
}

fn mount_memory() {
    for (target, bytes, mode) in
        [("/run", RUN_BYTES, 0o755), ("/tmp", TMP_BYTES, 0o1777), ("/dev/shm", TMP_BYTES, 0o1777)]
    {
        if let Err(error) = system::mount_memory(target, bytes, mode) {
            error!("{}: {}", target, error);
        }
    }
}

/// Mounts the data, or memory in their place: a board that serves and forgets can be repaired from
/// afar, one that does not serve cannot.
fn mount_data(device: Option<&str>, notice: &mut Notice, feed: &mut dyn FnMut()) {
    match device {
        Some(device) => match try_mount_data(device, feed) {
            Ok(()) => {
                info!("data {} mounted", device);
                return;
            }
            Err(error) => {
                error!("data {}: {}", device, error);
                tell(notice, format_args!("data partition {device}: {error}"));
            }
        },
        None => {
            warning!("no friendlet.data= on the kernel's command line");
            tell(notice, "no data partition is named on the kernel's command line");
        }
    }
    tell(notice, "; changes are lost when the board ends");
    warning!("{} is memory: changes are lost when the board ends", system::DATA);
    if let Err(error) = system::mount_memory(system::DATA, SPARE_DATA_BYTES, 0o755) {
        error!("{}: {}", system::DATA, error);
    }
}

/// Adds to what the server is told; what does not fit is cut.
fn tell(notice: &mut Notice, text: impl Display) {
    for c in text.to_string().chars() {
        if notice.push(c).is_err() {
            break;
        }
    }
}

fn try_mount_data(device: &str, feed: &mut dyn FnMut()) -> Result<(), MountError> {
    // When it does not come, mounting says so.
    system::wait_for(Path::new(device), DEVICE_TIMEOUT, feed);
    system::mount_data(device).or_else(|error| {
        warning!("data {}: {}; once more", device, error);
        system::wait(DATA_RETRY_PAUSE, feed);
        system::mount_data(device)
    })
}

/// The time is not before this program was built, nor before anything that was written.
fn set_clock() {
    let written = [CLOCK_FILE, system::DATA, STATE].map(|path| system::newest_under(Path::new(path)));
    let floor = written.into_iter().fold(Duration::from_secs(BUILT_UNIX_S), Duration::max);
    match system::set_clock_forward(floor) {
        Ok(true) => info!("clock set forward to {} s since 1970", floor.as_secs()),
        Ok(false) => {}
        Err(error) => warning!("clock: {}", error),
    }
}

/// Whether the slot that runs has still to show that it serves.
fn is_on_trial(line: &CommandLine<'_>) -> bool {
    let (Some(slot), Some(disk)) = (line.slot, line.state) else { return false };
    let sector = match system::read_sector(Path::new(disk), boot_state::SECTOR) {
        Ok(sector) => sector,
        Err(error) => {
            warning!("boot state on {}: {}", disk, error);
            return false;
        }
    };
    match boot_state::standing(&sector, slot) {
        Ok(Standing::Good) => {
            info!("slot {} is good", slot);
            false
        }
        Ok(Standing::OnTrial(left)) => {
            info!("slot {} is on trial, {} tries left", slot, left);
            true
        }
        Err(error) => {
            warning!("boot state on {}: {}", disk, error);
            false
        }
    }
}

fn mark_good(slot: Option<Slot>, disk: Option<&str>) {
    let (Some(slot), Some(disk)) = (slot, disk) else { return };
    let marked = system::read_sector(Path::new(disk), boot_state::SECTOR).and_then(|mut sector| {
        if boot_state::mark_good(&mut sector, slot).is_ok_and(|is_new| is_new) {
            system::write_sector(Path::new(disk), boot_state::SECTOR, &sector)?;
        }
        Ok(())
    });
    match marked {
        Ok(()) => info!("slot {} is marked good", slot),
        Err(error) => error!("slot {} cannot be marked good on {}: {}", slot, disk, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_takes_its_limit_and_is_cut_beyond() {
        let mut notice = Notice::new();
        tell(&mut notice, "x".repeat(NOTICE_BYTES - 2));
        tell(&mut notice, "ab");
        assert_eq!(notice.len(), NOTICE_BYTES);
        assert!(notice.ends_with("xab"));
        tell(&mut notice, "c");
        assert!(notice.ends_with("xab"));
        // No sign is cut in two.
        let mut notice = Notice::new();
        tell(&mut notice, "x".repeat(NOTICE_BYTES - 1) + "\u{e4}");
        assert_eq!(notice.len(), NOTICE_BYTES - 1);
    }

    #[test]
    fn program_was_built_after_this_was_written() {
        const { assert!(BUILT_UNIX_S > 1_700_000_000) };
    }
}
