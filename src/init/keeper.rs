//! What PID 1 does with its server, its watchdog and the end of the board: sans-IO.
//!
//! Messages, exits, wishes and the time since init's start go in; [`Action`]s come out, and
//! [`Keeper::poll_timeout`] says when to look again. Whatever it waits for has a bound: that is why
//! the hardware watchdog may be fed while it waits, and why only a server that says nothing, when it
//! should, leaves it unfed.

use core::time::Duration;

use super::message::{End, Message};
use crate::init::{
    FEED_INTERVAL, LEFTOVER_TIMEOUT, READY_TIMEOUT, RESET_TIMEOUT, SHORT_RUNS, SILENCE_TIMEOUT,
    VANISH_TIMEOUT,
};
use crate::log::console::{error, info, warning};
use crate::service::{BackOff, Exit, GOOD_RUN, KILL_TIMEOUT, SHUTDOWN_GRACE};

/// What is to be done, at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// Write to the hardware watchdog.
    Feed,
    /// Kill every process that the server left behind.
    KillRest,
    /// Kill the server.
    KillServer,
    /// Mark the slot that runs good.
    MarkGood,
    /// Start the server; when that fails, [`Keeper::handle_exit`] is told so with no exit.
    StartServer,
    /// Ask the server to end.
    StopServer,
    /// Ask every process but this one to end.
    StopRest,
    /// Let go of the data and end the board. Nothing comes after it.
    Finish(End),
}

/// How far the server is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Server {
    /// It does not run, and is to be started then.
    Down { start_at: Duration },
    /// It runs and does not serve yet.
    Starting { since: Duration },
    /// It serves; when it last said so.
    Ready { since: Duration, heard: Duration },
    /// It ends, as it said then.
    Stopping { since: Duration, at: Duration },
    /// It was killed then.
    Killed { since: Duration, at: Duration },
}

/// How far the end of the board is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// The server was asked to end.
    Server,
    /// All others were asked to.
    Rest,
    /// All others were killed.
    Killed,
    /// The board ends now.
    Over,
}

#[derive(Clone, Copy, Debug)]
struct Ending {
    end: End,
    phase: Phase,
    /// When the phase is over at the latest.
    until: Duration,
}

/// The state of PID 1.
#[derive(Debug)]
pub(super) struct Keeper {
    server: Server,
    back_off: BackOff,
    short_runs: u8,
    /// Whether the slot that runs has still to show that it serves, and another one waits.
    on_trial: bool,
    has_watchdog: bool,
    feed_at: Duration,
    ending: Option<Ending>,
    /// What is to be done before anything else.
    next: [Option<Action>; 2],
}

impl Keeper {
    /// Begins at time zero, with the server to be started.
    pub(super) fn new(on_trial: bool, has_watchdog: bool) -> Self {
        Self {
            server: Server::Down { start_at: Duration::ZERO },
            back_off: BackOff::new(),
            short_runs: 0,
            on_trial,
            has_watchdog,
            feed_at: Duration::ZERO,
            ending: None,
            next: [None; 2],
        }
    }

    /// The server says something.
    pub(super) fn handle_message(&mut self, message: Message, now: Duration) {
        match (message, self.server) {
            (Message::Ready, Server::Starting { since }) => {
                info!("the server serves, {} s after its start", (now - since).as_secs());
                self.server = Server::Ready { since, heard: now };
                // What was given up is not good because it came at last.
                if self.ending.is_none() && core::mem::take(&mut self.on_trial) {
                    self.next[0] = Some(Action::MarkGood);
                }
            }
            (Message::Ready | Message::Alive, Server::Ready { since, .. }) => {
                self.server = Server::Ready { since, heard: now };
            }
            (Message::Stopping, Server::Starting { since } | Server::Ready { since, .. }) => {
                self.server = Server::Stopping { since, at: now };
            }
            (Message::End(end), _) => self.handle_end(end, now),
            (Message::Ready | Message::Alive | Message::Stopping, _) => {}
        }
    }

    /// Somebody wants the board to end. What was wanted first is done.
    pub(super) fn handle_end(&mut self, end: End, now: Duration) {
        if self.ending.is_some() {
            return;
        }
        match end {
            End::Restart => info!("the board restarts"),
            End::PowerOff => info!("the board is switched off"),
        }
        match self.server {
            Server::Down { .. } => self.enter(end, Phase::Rest, now),
            _ => self.enter(end, Phase::Server, now),
        }
    }

    /// The server has ended, or could not be started (`None`).
    pub(super) fn handle_exit(&mut self, exit: Option<Exit>, now: Duration) {
        let since = match self.server {
            Server::Starting { since }
            | Server::Ready { since, .. }
            | Server::Stopping { since, .. }
            | Server::Killed { since, .. } => since,
            Server::Down { .. } => return,
        };
        let run = now.saturating_sub(since);
        let delay = self.back_off.after(run);
        self.server = Server::Down { start_at: now + delay };
        if let Some(Ending { end, phase: Phase::Server, .. }) = self.ending {
            self.enter(end, Phase::Rest, now);
            return;
        } else if self.ending.is_some() {
            return;
        }
        match exit {
            Some(Exit::Code(code)) => warning!("the server ended with code {}", code),
            Some(Exit::Signal(signal)) => warning!("the server was ended by signal {}", signal),
            None => {}
        }
        self.next[1] = Some(Action::KillRest);
        self.short_runs = if run < GOOD_RUN { self.short_runs.saturating_add(1) } else { 0 };
        if self.on_trial && self.short_runs >= SHORT_RUNS {
            error!("the server ended {} times in a row: this root is given up", self.short_runs);
            self.handle_end(End::Restart, now);
        } else {
            info!("the server starts again in {} ms", delay.as_millis());
        }
    }

    /// There is no other process any more.
    pub(super) fn handle_nobody_left(&mut self, now: Duration) {
        if let Some(Ending { end, phase: Phase::Rest | Phase::Killed, .. }) = self.ending {
            self.enter(end, Phase::Over, now);
        }
    }

    /// What is to be done now; to be asked until nothing comes.
    pub(super) fn poll_action(&mut self, now: Duration) -> Option<Action> {
        if let Some(action) = self.next.iter_mut().find_map(Option::take) {
            return Some(action);
        }
        if self.has_watchdog && now >= self.feed_at {
            // Whether it gets something or not: else it would be due for ever.
            self.feed_at = now + FEED_INTERVAL;
            if self.is_to_be_fed(now) {
                return Some(Action::Feed);
            }
        }
        match self.ending {
            Some(ending) if now >= ending.until => self.pass(ending, now),
            Some(_) => None,
            None if self.server_due().is_some_and(|due| now >= due) => self.pass_server(now),
            None => None,
        }
    }

    /// When [`Keeper::poll_action`] has something at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        if self.next.iter().any(Option::is_some) {
            return Some(Duration::ZERO);
        }
        let feed = (self.has_watchdog && self.is_to_be_fed(self.feed_at)).then_some(self.feed_at);
        let due = self.ending.map_or_else(|| self.server_due(), |ending| Some(ending.until));
        feed.into_iter().chain(due).min()
    }

    /// Whether the watchdog may be told that all is well: while init waits for something that has a
    /// bound, and while the server says that it is alive.
    fn is_to_be_fed(&self, now: Duration) -> bool {
        match (self.ending, self.server) {
            (None, Server::Ready { heard, .. }) => now < heard + SILENCE_TIMEOUT,
            _ => true,
        }
    }

    /// When the server's state is to change if nothing comes.
    fn server_due(&self) -> Option<Duration> {
        let due = match self.server {
            Server::Down { start_at } => start_at,
            Server::Starting { since } => since + READY_TIMEOUT,
            // The hardware has the first word, and resets more than the server.
            Server::Ready { heard, .. } if self.has_watchdog => heard + RESET_TIMEOUT,
            Server::Ready { heard, .. } => heard + SILENCE_TIMEOUT,
            Server::Stopping { at, .. } => at + SHUTDOWN_GRACE,
            Server::Killed { at, .. } => at + VANISH_TIMEOUT,
        };
        // A slot on trial has this long in all.
        Some(if self.on_trial { due.min(READY_TIMEOUT) } else { due })
    }

    /// The server's state is due.
    fn pass_server(&mut self, now: Duration) -> Option<Action> {
        if self.on_trial && now >= READY_TIMEOUT {
            error!("nothing serves {} s after the start: this root is given up", READY_TIMEOUT.as_secs());
            self.handle_end(End::Restart, now);
            return self.poll_action(now);
        }
        let since = match self.server {
            Server::Down { .. } => {
                self.server = Server::Starting { since: now };
                return Some(Action::StartServer);
            }
            Server::Killed { .. } => {
                error!("the killed server does not vanish");
                self.handle_end(End::Restart, now);
                return self.poll_action(now);
            }
            Server::Starting { since } => {
                error!(
                    "the server does not serve {} s after its start: it is killed",
                    (now - since).as_secs()
                );
                since
            }
            Server::Ready { since, heard } => {
                error!("the server has said nothing for {} s: it is killed", (now - heard).as_secs());
                since
            }
            Server::Stopping { since, at } => {
                error!("the server has not ended in {} s: it is killed", (now - at).as_secs());
                since
            }
        };
        self.server = Server::Killed { since, at: now };
        Some(Action::KillServer)
    }

    /// A phase of the end begins; what it begins with is the next action.
    fn enter(&mut self, end: End, phase: Phase, now: Duration) {
        let (action, time) = match phase {
            Phase::Server => (Some(Action::StopServer), SHUTDOWN_GRACE),
            Phase::Rest => (Some(Action::StopRest), LEFTOVER_TIMEOUT),
            Phase::Killed => (Some(Action::KillRest), KILL_TIMEOUT),
            Phase::Over => (None, Duration::ZERO),
        };
        self.next[1] = action;
        self.ending = Some(Ending { end, phase, until: now + time });
    }

    /// A phase of the end is over.
    fn pass(&mut self, ending: Ending, now: Duration) -> Option<Action> {
        let next = match ending.phase {
            Phase::Server => {
                error!("the server has not ended in {} s", SHUTDOWN_GRACE.as_secs());
                Phase::Rest
            }
            Phase::Rest => Phase::Killed,
            Phase::Killed => {
                warning!("something cannot be killed");
                Phase::Over
            }
            Phase::Over => {
                self.ending = Some(Ending { until: Duration::MAX, ..ending });
                return Some(Action::Finish(ending.end));
            }
        };
        self.enter(ending.end, next, now);
        self.poll_action(now)
    }
}

#[cfg(test)]
mod tests;
