//! How the board ends: by its init, which is told, or by a program of the device file.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use super::StartError;
use crate::api::BoardEnd;
use crate::config::BoardCommands;
use crate::net::Bell;
use crate::service::{Arguments, Exit, LastExit};
use crate::sys::{BOARD_COMMAND_TIMEOUT, Notify, NotifyState, board};
use crate::{info, warning};

/// The way in which the board ends, and whether it is to.
pub(super) struct Ending {
    commands: BoardCommands,
    /// Whether who is notified ends the board when asked: `friendlet init`.
    has_init: bool,
    notify: Rc<Notify>,
    wanted: Cell<Option<BoardEnd>>,
    bell: Bell,
}

impl Ending {
    pub(super) fn new(commands: BoardCommands, has_init: bool, notify: Rc<Notify>) -> Self {
        let has_init = has_init && notify.has_receiver();
        Self { commands, has_init, notify, wanted: Cell::default(), bell: Bell::default() }
    }

    /// Asks for the end. What init does about it, it does by `TERM`, so that all goes its way.
    ///
    /// # Errors
    /// The system's number; nothing ends then.
    pub(super) fn ask(&self, end: BoardEnd) -> Result<(), i32> {
        if self.has_init {
            let state = match end {
                BoardEnd::Reboot => NotifyState::Reboot,
                BoardEnd::PowerOff => NotifyState::PowerOff,
            };
            return self.notify.try_send(state).map_err(|error| errno(&error));
        }
        board::check(self.command(end))?;
        // The first counts: the server ends already.
        if self.wanted.get().is_none() {
            self.wanted.set(Some(end));
        }
        self.bell.ring();
        Ok(())
    }

    /// Waits until the server is to end because the board does.
    pub(super) async fn asked(&self) {
        self.bell.heard().await;
    }

    /// The last that the server does.
    ///
    /// # Errors
    /// The board goes on although it was to end.
    pub(super) fn carry_out(&self) -> Result<(), StartError> {
        let Some(end) = self.wanted.get() else { return Ok(()) };
        let argv = self.command(end);
        let program = argv.first().unwrap_or_default();
        info!("board: {} by {}", end.name(), program);
        match board::run(argv, BOARD_COMMAND_TIMEOUT) {
            Ok(Exit::Code(0)) => Ok(()),
            Ok(exit) => Err(failed(end, program, LastExit::from(exit))),
            Err(error) => Err(failed(end, program, error)),
        }
    }

    fn command(&self, end: BoardEnd) -> &Arguments {
        match end {
            BoardEnd::Reboot => &self.commands.reboot,
            BoardEnd::PowerOff => &self.commands.poweroff,
        }
    }
}

fn failed(end: BoardEnd, program: &str, why: impl std::fmt::Display) -> StartError {
    StartError::system("the board goes on", format_args!("[board] {}: {program}: {why}", end.name()))
}

fn errno(error: &io::Error) -> i32 {
    let number = error.raw_os_error().unwrap_or_default();
    warning!("init cannot be asked to end the board: {}", error);
    number
}
