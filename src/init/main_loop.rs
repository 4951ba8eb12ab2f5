//! Main loop of process 1: the server, its notifications, signals, the network, the clock and the watchdog.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use heapless::String;

use super::backup::Backup;
use super::bring_up::{self, Notice};
use super::clock::BoardClock;
use super::command_line::{CommandLine, Slot};
use super::data::{self, Data};
use super::devices::Devices;
use super::hotplug::Hotplug;
use super::notification::{self, Notification, PowerAction};
use super::root::restart;
use super::seed::Seed;
use super::supervisor::{InitAction, InitSupervisor};
use super::{CONFIG_FILE, FEED_INTERVAL, HEARTBEAT_TIMEOUT, STATE_DIRECTORY, Settings, WATCHDOG};
use crate::log::Reason;
use crate::log::console::{error, info, warning};
use crate::sys::board::{DATA_VARIABLE, INIT_VARIABLE, RESET_VARIABLE, SLOT_STATE_VARIABLE};
use crate::sys::machine::{self as system, BoardSignals, NotifySocket, Reaped, ServerProcess, Watchdog};
use crate::sys::{Clock, NOTIFY_BYTES, NetworkManager};

const NOTIFY: &str = "/run/friendlet/notify";
/// Datagrams received before other events are handled.
const DATAGRAMS_AT_ONCE: usize = 16;
const ARGUMENTS: [&str; 4] = ["serve", "--config", CONFIG_FILE, "--fall-back"];

/// Brings up the rest of the board, and runs its main loop.
pub(super) fn run(line: &CommandLine<'_>, read_settings: fn(&Path) -> Settings) -> ! {
    MainLoop::new(line, read_settings).run()
}

struct MainLoop<'l> {
    clock: Clock,
    supervisor: InitSupervisor,
    slot: Option<Slot>,
    /// State of the slot at the start, for the server.
    slot_state: Option<&'static str>,
    /// Disk with the boot state.
    state: Option<&'l str>,
    notice: Notice,
    has_kept_data: bool,
    notify: NotifySocket,
    signals: BoardSignals,
    server: Option<ServerProcess>,
    watchdog: Option<Watchdog>,
    network: NetworkManager,
    board_clock: BoardClock,
    seed: Seed,
    backup: Backup,
    devices: Devices,
}

impl<'l> MainLoop<'l> {
    fn new(line: &CommandLine<'l>, read_settings: fn(&Path) -> Settings) -> Self {
        // 0 s leaves the watchdog closed, because some reset the board when they are opened.
        let mut watchdog = match line.watchdog_s {
            Some(0) => None,
            seconds => bring_up::open_watchdog(seconds),
        };
        let mut feed = || {
            if let Some(watchdog) = &mut watchdog {
                // The main loop logs a watchdog that fails.
                let _ = watchdog.feed();
            }
        };
        bring_up::mount_memory();
        let mut notice = Notice::new();
        let Data { place, is_kept } = data::mount(line, &mut notice, &mut feed);
        if let Err(error) = system::prepare() {
            warning!("cannot apply all machine settings: {}", Reason::from(&error));
        }
        // Each look at a directory that a damaged disk has made huge takes seconds, and then the next one does not.
        feed();
        let board_clock = BoardClock::start();
        feed();
        let seed = Seed::start(line.data);
        feed();
        let settings = read_settings(Path::new(CONFIG_FILE));
        feed();
        let network = NetworkManager::new(settings.network.as_ref());
        let devices = Devices::new(settings.devices, Hotplug::new());
        let (test, slot_state) = bring_up::begin_test(line, &mut notice);
        feed();
        let notify = NotifySocket::bind(Path::new(NOTIFY)).unwrap_or_else(|error| {
            // Without the socket init could not supervise the server.
            error!("cannot listen on {}: {}", NOTIFY, Reason::from(&error));
            restart()
        });
        let signals = BoardSignals::new().unwrap_or_else(|error| {
            error!("cannot handle signals: {}", Reason::from(&error));
            restart()
        });
        Self {
            clock: Clock::new(),
            supervisor: InitSupervisor::new(test, watchdog.is_some()),
            slot: line.slot,
            slot_state,
            state: line.state,
            notice,
            has_kept_data: is_kept,
            notify,
            signals,
            server: None,
            watchdog,
            network,
            board_clock,
            seed,
            backup: Backup::start(place),
            devices,
        }
    }

    fn run(&mut self) -> ! {
        loop {
            let now = self.clock.now();
            self.handle_signals(now);
            self.handle_notifications(now);
            self.reap(now);
            self.network.handle_ready(now);
            self.board_clock.handle_ready(self.network.ntp_servers(), now);
            self.seed.handle_ready(now);
            self.backup.handle_ready(now);
            self.devices.handle_ready();
            while let Some(action) = self.supervisor.poll_action(now) {
                self.perform(action, now);
            }
            self.wait();
        }
    }

    fn handle_signals(&mut self, now: Duration) {
        let pending = self.signals.take_pending();
        if pending.power_off {
            self.supervisor.handle_power_request(PowerAction::PowerOff, now);
        }
        if pending.restart {
            self.supervisor.handle_power_request(PowerAction::Restart, now);
        }
    }

    fn handle_notifications(&mut self, now: Duration) {
        let mut buffer = [0; NOTIFY_BYTES];
        // The next iteration of the main loop receives the rest.
        for _ in 0..DATAGRAMS_AT_ONCE {
            match self.notify.receive(&mut buffer) {
                Ok(None) => break,
                // Only the running server may send notifications.
                Ok(Some((_, sender)))
                    if !sender.is_some_and(|sender| {
                        self.server.as_ref().is_some_and(|server| server.has_pid(sender.pid))
                    }) => {}
                Ok(Some((datagram, _))) => {
                    notification::parse(datagram)
                        .for_each(|notification| self.handle_notification(notification, now));
                }
                Err(error) => {
                    warning!("cannot receive on {}: {}", NOTIFY, Reason::from(&error));
                    break;
                }
            }
        }
    }

    fn handle_notification(&mut self, notification: Notification, now: Duration) {
        // The mark first: from then on the reset happens, also after a power cut.
        if notification != Notification::FactoryReset || self.backup.mark() {
            self.supervisor.handle_notification(notification, now);
        }
    }

    fn reap(&mut self, now: Duration) {
        loop {
            match system::reap() {
                Reaped::Child(pid, exit)
                    if self.server.as_ref().is_some_and(|server| server.has_pid(pid)) =>
                {
                    self.server = None;
                    self.supervisor.handle_exit(Some(exit), now);
                }
                Reaped::Child(..) => {}
                Reaped::NoneExited => return,
                Reaped::NoChildren => {
                    self.supervisor.handle_no_children(now);
                    return;
                }
            }
        }
    }

    fn perform(&mut self, action: InitAction, now: Duration) {
        match action {
            InitAction::FeedWatchdog => {
                if let Some(Err(error)) = self.watchdog.as_mut().map(Watchdog::feed) {
                    warning!("cannot write to {}: {}", WATCHDOG, Reason::from(&error));
                }
            }
            InitAction::ConfirmSlot { is_good } => bring_up::confirm_slot(self.slot, self.state, is_good),
            InitAction::GiveUp => {
                let is_recorded = bring_up::give_up(self.slot, self.state, self.supervisor.reason());
                self.supervisor.handle_given_up(is_recorded, now);
            }
            InitAction::KillOthers => system::kill_all_others(true),
            InitAction::TerminateOthers => system::kill_all_others(false),
            InitAction::KillServer => self.server.iter().for_each(ServerProcess::kill),
            InitAction::TerminateServer => self.server.iter().for_each(ServerProcess::terminate),
            InitAction::StartServer => match self.start_server() {
                Ok(server) => self.server = Some(server),
                Err(error) => {
                    error!("cannot start the server: {}", error);
                    self.supervisor.handle_exit(None, now);
                }
            },
            InitAction::Finish(action) => self.finish(action),
        }
    }

    fn start_server(&self) -> Result<ServerProcess, system::ServerError> {
        let mut timeout_us = String::<20>::new();
        if write!(timeout_us, "{}", HEARTBEAT_TIMEOUT.as_micros() as u64).is_err() {
            crate::internal_error!("WATCHDOG_USEC of more than 20 digits");
        }
        let slot = self.slot.map(Slot::name);
        let notice = Some(self.notice.as_str()).filter(|notice| !notice.is_empty());
        let environment = [
            ("STATE_DIRECTORY", Some(STATE_DIRECTORY)),
            ("NOTIFY_SOCKET", Some(NOTIFY)),
            ("WATCHDOG_USEC", Some(timeout_us.as_str())),
            (INIT_VARIABLE, Some("1")),
            ("FRIENDLET_SLOT", slot),
            (SLOT_STATE_VARIABLE, self.slot_state),
            ("FRIENDLET_NOTICE", notice),
            (DATA_VARIABLE, (!self.has_kept_data).then_some("memory")),
            (RESET_VARIABLE, self.backup.has_place().then_some("1")),
        ];
        let variables = environment.iter().filter_map(|(name, value)| Some((*name, OsStr::new((*value)?))));
        ServerProcess::start(&ARGUMENTS, variables)
    }

    /// Waits for the next event or deadline.
    fn wait(&self) {
        let others = [self.supervisor.poll_timeout(), self.network.poll_timeout()];
        let files = self.board_clock.poll_timeout().min(self.seed.poll_timeout());
        let files = files.min(self.backup.poll_timeout());
        let due = others.into_iter().flatten().fold(files, Duration::min);
        let sources = [
            Some(self.signals.as_fd()),
            Some(self.notify.as_fd()),
            self.network.fd(),
            self.board_clock.fd(),
            self.devices.fd(),
            self.backup.fd(),
        ];
        if let Err(error) = system::wait_input(sources, Some(due.saturating_sub(self.clock.now()))) {
            // Process 1 cannot exit, so it polls instead.
            error!("cannot wait for events: {}", Reason::from(&error));
            system::wait(FEED_INTERVAL, &mut || ());
        }
    }

    /// Restarts or powers off the board. All other processes have exited, or cannot be killed.
    fn finish(&mut self, action: PowerAction) -> ! {
        // First: clock and seed change files beside those of the backup.
        self.backup.finish();
        self.board_clock.finish();
        self.seed.finish();
        if let Err(error) = system::release_data() {
            error!("{}", error);
        }
        match action {
            PowerAction::Restart => info!("restarting"),
            PowerAction::PowerOff => {
                info!("powering off");
                if let Some(Err(error)) = self.watchdog.take().map(Watchdog::disarm) {
                    warning!("cannot disarm {}: {}", WATCHDOG, Reason::from(&error));
                }
                if let Err(error) = system::power_off() {
                    error!("cannot power off: {}", Reason::from(&error));
                }
            }
        }
        // The watchdog stays armed, in case the restart hangs.
        if let Err(error) = system::restart() {
            error!("cannot restart: {}", Reason::from(&error));
        }
        restart()
    }
}
