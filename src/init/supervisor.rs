//! Sans-IO supervisor of process 1: the server, the watchdog, and the end of the board.
//!
//! Notifications, exits, requests and the time since start go in. [`InitAction`]s come out, and
//! [`InitSupervisor::poll_timeout`] returns the next deadline. Every wait has a bound. Therefore the
//! hardware watchdog is fed during a wait, and only a server without a heartbeat leaves it unfed.

use core::time::Duration;

use super::notification::{Notification, PowerAction};
use super::{
    FEED_INTERVAL, HEARTBEAT_TIMEOUT, READY_TIMEOUT, REAP_TIMEOUT, SHORT_RUNS, STOP_TIME_MAX,
    TERMINATE_TIMEOUT, WATCHDOG_TIMEOUT,
};
use crate::log::console::{error, info, warning};
use crate::service::{BackOff, Exit, GOOD_RUN, KILL_TIMEOUT, SHUTDOWN_GRACE};

/// Action that the caller performs at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum InitAction {
    /// Write to the hardware watchdog.
    FeedWatchdog,
    /// Confirm the running slot in the boot state.
    ConfirmSlot,
    /// Start the server; on failure call [`InitSupervisor::handle_exit`] without an exit.
    StartServer,
    /// Send SIGTERM to the server.
    TerminateServer,
    /// Send SIGKILL to the server.
    KillServer,
    /// Send SIGTERM to every process but this one.
    TerminateOthers,
    /// Send SIGKILL to every process but this one.
    KillOthers,
    /// Unmount the data and end the board. It is the last action.
    Finish(PowerAction),
}

/// State of the server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ServerState {
    /// Not running; to be started at this time.
    Down { start_at: Duration },
    /// Running, without `READY=1`.
    Starting { since: Duration },
    /// Ready, with the time of its last heartbeat.
    Ready { since: Duration, heartbeat: Duration },
    /// Shutting down since `at`.
    Stopping { since: Duration, at: Duration },
    /// Killed at `at`, but not reaped.
    Killed { since: Duration, at: Duration },
}

/// Phase of the shutdown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ShutdownPhase {
    /// SIGTERM was sent to the server.
    Server,
    /// SIGTERM was sent to all others.
    Others,
    /// SIGKILL was sent to all others.
    Killed,
    /// The board ends now.
    Over,
}

/// Shutdown in progress.
#[derive(Clone, Copy, Debug)]
struct Shutdown {
    action: PowerAction,
    phase: ShutdownPhase,
    /// Deadline of the phase.
    until: Duration,
}

/// Supervisor of process 1.
#[derive(Debug)]
pub(super) struct InitSupervisor {
    server: ServerState,
    back_off: BackOff,
    short_runs: u8,
    /// True while the running slot is not confirmed, and the boot loader has another one.
    is_testing: bool,
    has_watchdog: bool,
    feed_at: Duration,
    shutdown: Option<Shutdown>,
    /// Time for the server to shut down.
    stop_time: Duration,
    /// Actions that precede all others.
    next: [Option<InitAction>; 2],
}

impl InitSupervisor {
    /// Supervisor at time zero, with a server to start.
    pub(super) fn new(is_testing: bool, has_watchdog: bool) -> Self {
        Self {
            server: ServerState::Down { start_at: Duration::ZERO },
            back_off: BackOff::new(),
            short_runs: 0,
            is_testing,
            has_watchdog,
            feed_at: Duration::ZERO,
            shutdown: None,
            stop_time: SHUTDOWN_GRACE,
            next: [None; 2],
        }
    }

    /// Handles a notification of the server.
    pub(super) fn handle_notification(&mut self, notification: Notification, now: Duration) {
        match (notification, self.server) {
            (Notification::Ready, ServerState::Starting { since }) => {
                info!("server ready {} s after its start", (now - since).as_secs());
                self.server = ServerState::Ready { since, heartbeat: now };
                // A slot that has failed its test is not confirmed by a late `READY=1`.
                if self.shutdown.is_none() && core::mem::take(&mut self.is_testing) {
                    self.next[0] = Some(InitAction::ConfirmSlot);
                }
            }
            (Notification::Ready | Notification::Heartbeat, ServerState::Ready { since, .. }) => {
                self.server = ServerState::Ready { since, heartbeat: now };
            }
            (Notification::Stopping, ServerState::Starting { since } | ServerState::Ready { since, .. }) => {
                self.server = ServerState::Stopping { since, at: now };
            }
            (Notification::ExtendTimeout(time), _) => {
                // The end of the wait is later, and never earlier.
                self.stop_time = time.clamp(SHUTDOWN_GRACE, STOP_TIME_MAX);
                if let Some(Shutdown { phase: ShutdownPhase::Server, until, .. }) = &mut self.shutdown {
                    *until = now + self.stop_time;
                }
            }
            (Notification::Power(action), _) => self.handle_power_request(action, now),
            (Notification::Ready | Notification::Heartbeat | Notification::Stopping, _) => {}
        }
    }

    /// Handles a request to end the board. The first request counts.
    pub(super) fn handle_power_request(&mut self, action: PowerAction, now: Duration) {
        if self.shutdown.is_some() {
            return;
        }
        match action {
            PowerAction::Restart => info!("shutting down for a restart"),
            PowerAction::PowerOff => info!("shutting down for power-off"),
        }
        match self.server {
            ServerState::Down { .. } => self.enter_phase(action, ShutdownPhase::Others, now),
            _ => self.enter_phase(action, ShutdownPhase::Server, now),
        }
    }

    /// Handles the exit of the server, or a failure to start it (`None`).
    pub(super) fn handle_exit(&mut self, exit: Option<Exit>, now: Duration) {
        let since = match self.server {
            ServerState::Starting { since }
            | ServerState::Ready { since, .. }
            | ServerState::Stopping { since, .. }
            | ServerState::Killed { since, .. } => since,
            ServerState::Down { .. } => return,
        };
        let run = now.saturating_sub(since);
        let delay = self.back_off.after(run);
        self.server = ServerState::Down { start_at: now + delay };
        self.stop_time = SHUTDOWN_GRACE;
        if let Some(Shutdown { action, phase: ShutdownPhase::Server, .. }) = self.shutdown {
            self.enter_phase(action, ShutdownPhase::Others, now);
            return;
        } else if self.shutdown.is_some() {
            return;
        }
        match exit {
            Some(Exit::Code(code)) => warning!("server exited with code {}", code),
            Some(Exit::Signal { signal, .. }) => warning!("server killed by signal {}", signal),
            None => {}
        }
        self.next[1] = Some(InitAction::KillOthers);
        self.short_runs = if run < GOOD_RUN { self.short_runs.saturating_add(1) } else { 0 };
        if self.is_testing && self.short_runs >= SHORT_RUNS {
            error!("slot failed its test: the server exited {} times in a row", self.short_runs);
            self.handle_power_request(PowerAction::Restart, now);
        } else {
            info!("starting the server again in {} ms", delay.as_millis());
        }
    }

    /// Handles the exit of the last child.
    pub(super) fn handle_no_children(&mut self, now: Duration) {
        if let Some(Shutdown { action, phase: ShutdownPhase::Others | ShutdownPhase::Killed, .. }) =
            self.shutdown
        {
            self.enter_phase(action, ShutdownPhase::Over, now);
        }
    }

    /// Next action; to be called until it returns `None`.
    pub(super) fn poll_action(&mut self, now: Duration) -> Option<InitAction> {
        if let Some(action) = self.next.iter_mut().find_map(Option::take) {
            return Some(action);
        }
        if self.has_watchdog && now >= self.feed_at {
            // Also without a feed, or the deadline would never pass.
            self.feed_at = now + FEED_INTERVAL;
            if self.may_feed(now) {
                return Some(InitAction::FeedWatchdog);
            }
        }
        match self.shutdown {
            Some(shutdown) if now >= shutdown.until => self.on_phase_deadline(shutdown, now),
            Some(_) => None,
            None if self.server_deadline().is_some_and(|due| now >= due) => self.on_server_deadline(now),
            None => None,
        }
    }

    /// Time of the next [`InitSupervisor::poll_action`].
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        if self.next.iter().any(Option::is_some) {
            return Some(Duration::ZERO);
        }
        let feed = (self.has_watchdog && self.may_feed(self.feed_at)).then_some(self.feed_at);
        let due = self.shutdown.map_or_else(|| self.server_deadline(), |shutdown| Some(shutdown.until));
        feed.into_iter().chain(due).min()
    }

    /// Returns true while the watchdog may be fed: the server has a heartbeat, or init waits for
    /// something that has a bound.
    fn may_feed(&self, now: Duration) -> bool {
        match (self.shutdown, self.server) {
            (None, ServerState::Ready { heartbeat, .. }) => now < heartbeat + HEARTBEAT_TIMEOUT,
            _ => true,
        }
    }

    /// Deadline of the server's state.
    fn server_deadline(&self) -> Option<Duration> {
        let due = match self.server {
            ServerState::Down { start_at } => start_at,
            ServerState::Starting { since } => since + READY_TIMEOUT,
            // The hardware comes first, because it resets more than the server.
            ServerState::Ready { heartbeat, .. } if self.has_watchdog => heartbeat + WATCHDOG_TIMEOUT,
            ServerState::Ready { heartbeat, .. } => heartbeat + HEARTBEAT_TIMEOUT,
            ServerState::Stopping { at, .. } => at + self.stop_time,
            ServerState::Killed { at, .. } => at + REAP_TIMEOUT,
        };
        // This limits the test of a slot, over all starts of the server.
        Some(if self.is_testing { due.min(READY_TIMEOUT) } else { due })
    }

    /// Handles the deadline of the server's state.
    fn on_server_deadline(&mut self, now: Duration) -> Option<InitAction> {
        if self.is_testing && now >= READY_TIMEOUT {
            error!("slot failed its test: the server is not ready after {} s", READY_TIMEOUT.as_secs());
            self.handle_power_request(PowerAction::Restart, now);
            return self.poll_action(now);
        }
        let since = match self.server {
            ServerState::Down { .. } => {
                self.server = ServerState::Starting { since: now };
                return Some(InitAction::StartServer);
            }
            ServerState::Killed { at, .. } => {
                error!("server not reaped {} s after SIGKILL", (now - at).as_secs());
                self.handle_power_request(PowerAction::Restart, now);
                return self.poll_action(now);
            }
            ServerState::Starting { since } => {
                error!("killing the server: not ready {} s after its start", (now - since).as_secs());
                since
            }
            ServerState::Ready { since, heartbeat } => {
                error!("killing the server: no heartbeat for {} s", (now - heartbeat).as_secs());
                since
            }
            ServerState::Stopping { since, at } => {
                error!("killing the server: not stopped after {} s", (now - at).as_secs());
                since
            }
        };
        self.server = ServerState::Killed { since, at: now };
        Some(InitAction::KillServer)
    }

    /// Enters a phase of the shutdown and queues its action.
    fn enter_phase(&mut self, action: PowerAction, phase: ShutdownPhase, now: Duration) {
        let (first, time) = match phase {
            ShutdownPhase::Server => (Some(InitAction::TerminateServer), self.stop_time),
            ShutdownPhase::Others => (Some(InitAction::TerminateOthers), TERMINATE_TIMEOUT),
            ShutdownPhase::Killed => (Some(InitAction::KillOthers), KILL_TIMEOUT),
            ShutdownPhase::Over => (None, Duration::ZERO),
        };
        self.next[1] = first;
        self.shutdown = Some(Shutdown { action, phase, until: now + time });
    }

    /// Handles the deadline of a phase of the shutdown.
    fn on_phase_deadline(&mut self, shutdown: Shutdown, now: Duration) -> Option<InitAction> {
        let next = match shutdown.phase {
            ShutdownPhase::Server => {
                error!("server not stopped after {} s", self.stop_time.as_secs());
                ShutdownPhase::Others
            }
            ShutdownPhase::Others => ShutdownPhase::Killed,
            ShutdownPhase::Killed => {
                warning!("processes left {} s after SIGKILL", KILL_TIMEOUT.as_secs());
                ShutdownPhase::Over
            }
            ShutdownPhase::Over => {
                self.shutdown = Some(Shutdown { until: Duration::MAX, ..shutdown });
                return Some(InitAction::Finish(shutdown.action));
            }
        };
        self.enter_phase(shutdown.action, next, now);
        self.poll_action(now)
    }
}

#[cfg(test)]
mod tests;
