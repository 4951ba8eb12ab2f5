//! Reboot and power-off of the board: by its init, or by a program of the configuration file.

use std::cell::Cell;
use std::fmt::Display;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{WaitOptions, waitpid};

use super::StartError;
use crate::config::BoardCommands;
use crate::log::print;
use crate::runtime::Notify;
use crate::service::BoardEnd;
use crate::service::{Arguments, Exit, LastExit};
use crate::sys::fork::{self, Forked};
use crate::sys::{BOARD_COMMAND_TIMEOUT, NotifyState, Received, SdNotify, Signals, board};
use crate::{info, warning};

/// Time after the first signal in which another one is the same.
const REPEAT_TIME: Duration = Duration::from_secs(1);

/// Shutdown of the board on the request of an administrator.
pub(super) struct Shutdown {
    commands: BoardCommands,
    /// The process behind `NOTIFY_SOCKET` shuts the board down on request: it is `friendlet init`.
    has_init: bool,
    sd_notify: Rc<SdNotify>,
    requested: Cell<Option<BoardEnd>>,
    notify: Notify,
}

impl Shutdown {
    pub(super) fn new(commands: BoardCommands, has_init: bool, sd_notify: Rc<SdNotify>) -> Self {
        let has_init = has_init && sd_notify.has_receiver();
        Self { commands, has_init, sd_notify, requested: Cell::default(), notify: Notify::default() }
    }

    /// Requests a shutdown. init answers with SIGTERM, so the normal shutdown path runs.
    ///
    /// # Errors
    /// Error number of the system; nothing is shut down then.
    pub(super) fn request(&self, end: BoardEnd) -> Result<(), i32> {
        if self.has_init {
            let state = match end {
                BoardEnd::Reboot => NotifyState::Reboot,
                BoardEnd::PowerOff => NotifyState::PowerOff,
            };
            return self.send(state);
        }
        board::check(command(&self.commands, end))?;
        // The first request counts: the server stops already.
        if self.requested.get().is_none() {
            self.requested.set(Some(end));
        }
        self.notify.notify();
        Ok(())
    }

    /// Requests a factory reset. init marks the disk, and then shuts the board down.
    ///
    /// # Errors
    /// Error number of the system, `ENOSYS` without an init that can do it; nothing is erased then.
    pub(super) fn request_reset(&self) -> Result<(), i32> {
        if self.has_init && board::can_reset() {
            self.send(NotifyState::FactoryReset)
        } else {
            Err(Errno::NOSYS.raw_os_error())
        }
    }

    fn send(&self, state: NotifyState) -> Result<(), i32> {
        let sent = self.sd_notify.probe().and_then(|()| self.sd_notify.try_send(state));
        sent.map_err(|error| errno(&error))
    }

    /// Waits until the server has to stop for a shutdown of the board.
    pub(super) async fn requested(&self) {
        self.notify.notified().await;
    }

    /// Returns the end of the board that is requested: the keeper executes it after that of the server.
    pub(super) fn end(&self) -> Option<BoardEnd> {
        let end = self.requested.get()?;
        info!("board: {} by {}", end.name(), command(&self.commands, end).first().unwrap_or_default());
        Some(end)
    }
}

/// Runs the program that shuts the board down, in a child with the signals of a new process. The keeper does this last.
/// Returns the exit code of friendlet: another one than 0 if the board stays up, which is printed.
pub fn end_board(commands: &BoardCommands, end: BoardEnd) -> u8 {
    let ended = match fork::fork() {
        Ok(Forked::Child) => {
            fork::reset_signals();
            let failure = execute(commands, end).err();
            failure.iter().for_each(|error| print(format_args!("friendlet: {error}\n")));
            fork::exit_now(failure.map_or(0, |error| error.code().into()));
        }
        Ok(Forked::Parent(child)) => waitpid(Some(child), WaitOptions::empty()).map_err(io::Error::from),
        Err(error) => Err(error),
    };
    let code = ended.ok().flatten().and_then(|(_, status)| u8::try_from(status.exit_status()?).ok());
    code.unwrap_or(StartError::SYSTEM)
}

/// Runs the program.
///
/// # Errors
/// It failed, and the board stays up.
fn execute(commands: &BoardCommands, end: BoardEnd) -> Result<(), StartError> {
    let argv = command(commands, end);
    // `request` has checked that there is one.
    let program = argv.first().unwrap_or_default();
    match board::run(argv, BOARD_COMMAND_TIMEOUT) {
        Ok(Exit::Code(0)) => Ok(()),
        Ok(exit) => Err(failed(end, program, LastExit::from(exit))),
        Err(error) => Err(failed(end, program, error)),
    }
}

fn command(commands: &BoardCommands, end: BoardEnd) -> &Arguments {
    match end {
        BoardEnd::Reboot => &commands.reboot,
        BoardEnd::PowerOff => &commands.poweroff,
    }
}

fn failed(end: BoardEnd, program: &str, why: impl Display) -> StartError {
    StartError::system("the board goes on", format_args!("[board] {}: {program}: {why}", end.name()))
}

fn errno(error: &io::Error) -> i32 {
    warning!("board: cannot request the shutdown from init: {}", error);
    // Every error of a datagram socket has a number.
    error.raw_os_error().unwrap_or(Errno::IO.raw_os_error())
}

/// Waits for a further SIGINT, with which a person at the terminal ends the wait for the services. Other
/// signals have no such meaning: one SIGTERM to all processes of friendlet comes here twice, from its sender
/// and from the keeper, which passes its own on. So does one SIGINT, but at once.
pub(super) async fn until_int(signals: &Signals) -> Received {
    let start = Instant::now();
    while signals.next().await != Received::Int || start.elapsed() < REPEAT_TIME {}
    warning!("SIGINT again: killing what is left of the services");
    Received::Int
}
