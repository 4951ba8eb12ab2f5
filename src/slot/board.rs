//! The calls under `system.library/board`: how the board stands, and its end.

use core::fmt;
use core::time::Duration;

use heapless::String;

use super::Platform;
use super::answer::{Answer, Caller, Identity};
use super::desk::Desk;
use crate::config::{Complaint, InForce};
use crate::limits::{BOARD, BUILD_ID_BYTES, NOTICE_BYTES};
use crate::proto::content::{self, BoardStatus};
use crate::proto::{Failure, Request};

/// What the server knows of the board that it runs on, and will not know better while it runs.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// Build id of the program in hexadecimal; empty: it has none.
    pub build: String<BUILD_ID_BYTES>,
    /// Which of the board's two systems runs, `A` or `B`; empty: it has no two.
    pub slot: &'static str,
    /// Which device file is in force.
    pub in_force: InForce,
    /// Why it is not the one that was given.
    pub complaint: Option<Complaint>,
    /// What went wrong before the server was started.
    pub notice: Option<String<NOTICE_BYTES>>,
}

impl Board {
    /// Whether something is wrong that an administrator is to be told unasked.
    pub(super) fn is_troubled(&self) -> bool {
        self.complaint.is_some() || self.notice.is_some()
    }

    /// What that is.
    pub(super) fn trouble(&self) -> impl fmt::Display {
        Trouble(self)
    }
}

struct Trouble<'b>(&'b Board);

impl fmt::Display for Trouble<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Board { complaint, notice, .. } = self.0;
        let joint = if complaint.is_some() && notice.is_some() { "; " } else { "" };
        f.write_str(complaint.as_deref().unwrap_or_default())?;
        f.write_str(joint)?;
        f.write_str(notice.as_deref().unwrap_or_default())
    }
}

/// How the board is to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BoardEnd {
    /// It starts anew.
    Reboot,
    /// It is switched off.
    PowerOff,
}

impl BoardEnd {
    /// Name of the call, and of the key in the device file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
        }
    }
}

impl Desk {
    /// All of them are for administrators: a complaint shows what is in the device file.
    pub(super) fn board(
        &mut self,
        function: &[&str],
        request: &Request<'_>,
        identity: Identity,
        caller: &Caller,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> Answer {
        let end = match function {
            ["status"] => None,
            ["reboot"] => Some(BoardEnd::Reboot),
            ["poweroff"] => Some(BoardEnd::PowerOff),
            _ => return self.fail(request.form, Failure::UnknownFunction),
        };
        if !self.users.is_admin(identity.user()) {
            return self.fail(request.form, Failure::NotAllowed);
        }
        match end {
            None => self.board_status(now),
            // Neither a link nor a picture in a page may bring a board down.
            Some(_) if !caller.may_log_in => self.fail(request.form, Failure::NotPost),
            Some(end) => self.end_board(end, request, identity, platform),
        }
    }

    fn board_status(&mut self, now: Duration) -> Answer {
        let board = self.board.clone();
        self.write(|out| {
            content::board_status(
                out,
                &BoardStatus {
                    board: BOARD,
                    version: env!("CARGO_PKG_VERSION"),
                    build: &board.build,
                    slot: board.slot,
                    device_file: board.in_force.name(),
                    complaint: board.complaint.as_deref().unwrap_or_default(),
                    notice: board.notice.as_deref().unwrap_or_default(),
                    uptime_s: now.as_secs(),
                },
            )
        })
    }

    /// The answer is made before anything ends: whoever carries it out lets it go first.
    fn end_board(
        &mut self,
        end: BoardEnd,
        request: &Request<'_>,
        identity: Identity,
        platform: &mut dyn Platform,
    ) -> Answer {
        match platform.end_board(end) {
            Ok(()) => {
                if let Some(user) = self.users.get(identity.user()) {
                    crate::info!("board: {} by {}", end.name(), user.name);
                }
                self.write(content::status_ok)
            }
            Err(result) => self.fail(request.form, Failure::Failed { function: end.name(), result }),
        }
    }
}
