//! Sans-IO supervisor of process 1: the server, the watchdog, and the end of the board.
//!
//! Notifications, exits, requests and the time since start go in. [`InitAction`]s come out, and
//! [`InitSupervisor::poll_timeout`] returns the next deadline. Every wait has a bound. Therefore the
//! hardware watchdog is fed during a wait, and only a server without a heartbeat leaves it unfed.

use core::fmt;
use core::time::Duration;

use heapless::String;

use super::notification::{Notification, PowerAction};
use super::{
    FEED_INTERVAL, GOOD_TIMEOUT, HEARTBEAT_TIMEOUT, READY_TIMEOUT, REAP_TIMEOUT, SHORT_RUNS, STOP_TIME_MAX,
    TERMINATE_TIMEOUT, WATCHDOG_TIMEOUT,
};
use crate::config::{NOTICE_BYTES, one_line};
use crate::log::console::{error, info, warning};
use crate::service::{BackOff, Exit, GOOD_RUN, KILL_TIMEOUT, SHUTDOWN_GRACE};

/// Action that the caller performs at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum InitAction {
    /// Write to the hardware watchdog.
    FeedWatchdog,
    /// Confirm the running slot in the boot state; `is_good`: mark it good.
    ConfirmSlot { is_good: bool },
    /// Record that the running slot has failed, with [`InitSupervisor::reason`], then call
    /// [`InitSupervisor::handle_given_up`].
    GiveUp,
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

/// Test of the running slot: what confirms it, and what gives it up.
///
/// | | `READY=1` | marked good | five short runs | not ready in time | not good in time |
/// |---|---|---|---|---|---|
/// | `Over` | | marked | | | |
/// | `Good` | | confirmed, marked | given up | given up | given up |
/// | `Serves` | confirmed, over | confirmed, marked | given up | given up | |
/// | `Stays` | confirmed, over | confirmed, marked | | | |
/// | `GoesBack` | over | marked | given up | | |
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SlotTest {
    /// No test: the slot is confirmed, or the system has no slots.
    Over,
    /// The slot has to be marked good.
    Good,
    /// The slot has to serve: no slot is known that does better.
    Serves,
    /// The same, and nothing ends the test: neither slot has served.
    Stays,
    /// The slot is confirmed, and the other one is known as good.
    GoesBack,
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
    test: SlotTest,
    /// End of a test in which the slot can fail.
    test_until: Duration,
    /// Reason of its failure.
    reason: String<NOTICE_BYTES>,
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
    pub(super) fn new(test: SlotTest, has_watchdog: bool) -> Self {
        Self {
            server: ServerState::Down { start_at: Duration::ZERO },
            back_off: BackOff::new(),
            short_runs: 0,
            test,
            test_until: READY_TIMEOUT,
            reason: String::new(),
            has_watchdog,
            feed_at: Duration::ZERO,
            shutdown: None,
            stop_time: SHUTDOWN_GRACE,
            next: [None; 2],
        }
    }

    /// Handles a notification of the server.
    pub(super) fn handle_notification(&mut self, notification: Notification<'_>, now: Duration) {
        match (notification, self.server) {
            (Notification::Ready, ServerState::Starting { since }) => {
                info!("server ready {} s after its start", (now - since).as_secs());
                self.server = ServerState::Ready { since, heartbeat: now };
                self.handle_serving(now);
            }
            // A slot that has failed is not confirmed by a late notification.
            (Notification::Good, _) if self.shutdown.is_none() => {
                self.test = SlotTest::Over;
                self.next[0] = Some(InitAction::ConfirmSlot { is_good: true });
            }
            (Notification::Bad(reason), _) if self.test == SlotTest::Good && self.shutdown.is_none() => {
                self.fail(format_args!("{reason}"));
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
            // The disk is marked, and the next start erases it.
            (Notification::FactoryReset, _) => self.handle_power_request(PowerAction::Restart, now),
            (
                Notification::Ready
                | Notification::Heartbeat
                | Notification::Stopping
                | Notification::Good
                | Notification::Bad(_),
                _,
            ) => {}
        }
    }

    /// Handles the first `READY=1` of a server.
    fn handle_serving(&mut self, now: Duration) {
        match self.test {
            _ if self.shutdown.is_some() => {}
            SlotTest::Over => {}
            // The first server alone extends the test.
            SlotTest::Good if self.test_until == READY_TIMEOUT => self.test_until = now + GOOD_TIMEOUT,
            SlotTest::Good => {}
            SlotTest::GoesBack => self.test = SlotTest::Over,
            SlotTest::Serves | SlotTest::Stays => {
                self.test = SlotTest::Over;
                self.next[0] = Some(InitAction::ConfirmSlot { is_good: false });
            }
        }
    }

    /// Gives the slot up.
    fn fail(&mut self, reason: fmt::Arguments<'_>) {
        self.reason = one_line(reason);
        self.next[0] = Some(InitAction::GiveUp);
    }

    /// Reason of the failure of the slot.
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// Handles the end of [`InitAction::GiveUp`]: restarts the board. A confirmed slot that could not be given up runs
    /// on, because the boot loader would start it again.
    pub(super) fn handle_given_up(&mut self, is_recorded: bool, now: Duration) {
        if core::mem::replace(&mut self.test, SlotTest::Over) != SlotTest::GoesBack || is_recorded {
            self.handle_power_request(PowerAction::Restart, now);
        }
    }

    /// Returns true if a test in which the slot can fail is under way.
    fn is_testing(&self) -> bool {
        matches!(self.test, SlotTest::Good | SlotTest::Serves)
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
        if (self.is_testing() || self.test == SlotTest::GoesBack) && self.short_runs >= SHORT_RUNS {
            let runs = self.short_runs;
            self.fail(format_args!("its server exited {runs} times in a row"));
        } else {
            info!("starting the server again in {} ms", delay.as_millis() as u64);
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
        Some(if self.is_testing() { due.min(self.test_until) } else { due })
    }

    /// Handles the deadline of the server's state.
    fn on_server_deadline(&mut self, now: Duration) -> Option<InitAction> {
        if self.is_testing() && now >= self.test_until {
            if self.test_until == READY_TIMEOUT {
                self.fail(format_args!("its server was not ready after {} s", READY_TIMEOUT.as_secs()));
            } else {
                self.fail(format_args!("it was not marked good in {} s", GOOD_TIMEOUT.as_secs()));
            }
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
