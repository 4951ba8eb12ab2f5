//! The calls under `system.library/board`: how the board stands, and its end.

use core::fmt;
use core::time::Duration;

use heapless::String;

use super::Platform;
use super::errno::EINVAL;
use super::{Api, render};
use crate::call::{Caller, Identity, Outcome};
use crate::config::{Complaint, InForce};
use crate::friendcore::content::{self, BoardLog, BoardStatus};
use crate::friendcore::{Failure, Request};
use crate::limits::{BOARD, BUILD_ID_BYTES, LOG_WRITE_BYTES, NOTICE_BYTES, REPLY_BYTES};
use crate::log::{self, Level};

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
    pub(crate) fn has_problem(&self) -> bool {
        self.complaint.is_some() || self.notice.is_some()
    }

    /// What that is.
    pub(crate) fn health_message(&self) -> impl fmt::Display {
        HealthMessage(self)
    }
}

struct HealthMessage<'b>(&'b Board);

impl fmt::Display for HealthMessage<'_> {
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

/// What is asked of the board.
enum Asked {
    Status,
    Log,
    End(BoardEnd),
}

impl Api {
    /// All of them are for administrators: a complaint shows what is in the device file.
    pub(crate) fn board(
        &mut self,
        function: &[&str],
        request: &Request<'_>,
        identity: Identity,
        caller: &Caller,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> Outcome {
        let asked = match function {
            ["status"] => Asked::Status,
            ["log"] => Asked::Log,
            ["reboot"] => Asked::End(BoardEnd::Reboot),
            ["poweroff"] => Asked::End(BoardEnd::PowerOff),
            _ => return self.fail(request.form, Failure::UnknownFunction),
        };
        if !self.users.is_admin(identity.user()) {
            return self.fail(request.form, Failure::NotAllowed);
        }
        match asked {
            Asked::Status => self.board_status(now),
            Asked::Log => self.board_log(request, identity, caller),
            // Neither a link nor a picture in a page may bring a board down.
            Asked::End(_) if !caller.may_change => self.fail(request.form, Failure::NotPost),
            Asked::End(end) => self.end_board(end, request, identity, platform),
        }
    }

    /// The newest records, or what follows `since`; with `level`, the level in force from now on.
    fn board_log(&mut self, request: &Request<'_>, identity: Identity, caller: &Caller) -> Outcome {
        let value = |key| request.parameters.get(key).filter(|value| !value.is_empty());
        let refused = Failure::Failed { function: "log", result: EINVAL };
        let since = match value("since").map(str::parse::<u64>) {
            None => None,
            Some(Ok(since)) => Some(since),
            Some(Err(_)) => return self.fail(request.form, refused),
        };
        if let Some(name) = value("level") {
            if !caller.may_change {
                return self.fail(request.form, Failure::NotPost);
            }
            let Some(level) = Level::from_name(name) else {
                return self.fail(request.form, refused);
            };
            let by = self.users.get(identity.user()).map(|user| user.name.as_str()).unwrap_or_default();
            crate::info!("log: level {} by {}", name, by);
            log::set_level(level);
        }
        let since = since.unwrap_or_else(|| log::tail(LOG_WRITE_BYTES));
        let Self { scratch, board, .. } = self;
        let written = log::since(since, LOG_WRITE_BYTES, |part| {
            let stamp = log::sample_clock();
            render(scratch, REPLY_BYTES, |out| {
                content::board_log(
                    out,
                    &BoardLog {
                        board: BOARD,
                        build: &board.build,
                        form: log::FORM,
                        level: log::level().name(),
                        wall_ms: stamp.wall_ms,
                        mono_ms: stamp.mono_ms,
                        from: part.from,
                        next: part.next(),
                        records: part.pieces,
                    },
                )
            })
        });
        match written.map(|written| self.rendered(written, 200, true)) {
            Some(Ok(answer)) => answer,
            _ => self.fail(request.form, Failure::TableFull),
        }
    }

    fn board_status(&mut self, now: Duration) -> Outcome {
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
    ) -> Outcome {
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
