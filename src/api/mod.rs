//! Calls: routing, rights and their meaning, whatever transport they came by.

mod board;
mod counters;
mod errno;
mod login;
mod password;
mod platform;
mod services;

use core::time::Duration;

use heapless::{String, Vec};

pub use self::board::{Board, BoardEnd};
pub use self::counters::Counters;
pub(crate) use self::errno::ETIMEDOUT;
pub use self::platform::{CommandEnd, PasswordVerdict, Platform, Refused};
use crate::call::{Caller, Identity, Outcome};
use crate::friendcore::{self, Failure, Form, Request, content};
use crate::json::{self, Writer};
use crate::limits::{PASSWORD_CHECKS, REPLY_BYTES, SESSIONS};
use crate::log::RateLimit;
use crate::service::{Action, Supervisor};
use crate::session::{ClientAddr, Lockout, SessionKey, SessionTable, Tokens, Users};

/// What the device file says that the server needs.
#[derive(Debug)]
pub struct ServerConfig {
    /// Connections served at once, 2 to the board's `slots`.
    pub slots: usize,
    /// Whether the listener speaks TLS.
    pub tls: bool,
    /// Origins allowed beside the server's own.
    pub origins: Vec<String<{ crate::limits::ORIGIN_BYTES }>, { crate::limits::ORIGINS }>,
    /// Everybody who may log in.
    pub users: Users,
    /// Sessions of programs.
    pub tokens: Tokens,
    /// Everybody's sessions.
    pub sessions: SessionTable,
    /// Wrong passwords.
    pub lockout: Lockout,
    /// The services.
    pub services: Supervisor,
    /// The board.
    pub board: Board,
}

pub(crate) struct Api {
    pub(crate) tls: bool,
    pub(crate) origins: Vec<String<{ crate::limits::ORIGIN_BYTES }>, { crate::limits::ORIGINS }>,
    pub(crate) users: Users,
    pub(crate) tokens: Tokens,
    pub(crate) sessions: SessionTable,
    pub(crate) lockout: Lockout,
    pub(crate) services: Supervisor,
    pub(crate) board: Board,
    pub(crate) counters: Counters,
    complaints: RateLimit,
    /// Sessions that have ended and whose sockets are still to be told.
    pub(crate) ended: Vec<SessionKey, SESSIONS>,
    /// Passwords being checked: their tickets, and where they came from.
    checks: Vec<(u64, ClientAddr), { PASSWORD_CHECKS + 1 }>,
    pub(crate) scratch: Box<[u8]>,
    /// Where an envelope is made that is too long for one message.
    envelope: Box<[u8]>,
    length: usize,
    /// Whether that content is of our own making.
    own: bool,
    last_call_id: u64,
}

impl Api {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let ServerConfig { tls, origins, users, tokens, sessions, lockout, services, board, .. } = config;
        Self {
            tls,
            origins,
            users,
            tokens,
            sessions,
            lockout,
            services,
            board,
            counters: Counters::default(),
            complaints: RateLimit::default(),
            ended: Vec::new(),
            checks: Vec::new(),
            scratch: vec![0; REPLY_BYTES].into_boxed_slice(),
            envelope: vec![0; REPLY_BYTES].into_boxed_slice(),
            length: 0,
            own: true,
            last_call_id: 0,
        }
    }

    /// Content of the last [`Outcome::Content`].
    pub(crate) fn content(&self) -> &str {
        self.scratch.get(..self.length).and_then(|bytes| core::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// Whether the content is none that a device file or a program has made.
    pub(crate) fn is_own(&self) -> bool {
        self.own
    }

    /// The same in the envelope of a response. `None`: it does not fit.
    pub(crate) fn wrapped(&mut self, request_id: &str) -> Option<&[u8]> {
        let own = self.own;
        let content = self.scratch.get(..self.length).and_then(|bytes| core::str::from_utf8(bytes).ok())?;
        let length = render(&mut self.envelope, REPLY_BYTES, |out| {
            friendcore::reply::response(out, request_id, content, own)
        });
        self.envelope.get(..length.ok()?)
    }

    /// Logs why a message was refused, when not too many were of late.
    pub(crate) fn complain(&mut self, why: impl core::fmt::Display, now: Duration) {
        if let Some(held_back) = self.complaints.try_acquire(now) {
            crate::debug!("message refused: {} ({} like it not shown)", why, held_back);
        }
    }

    /// Decides a call and carries it out.
    pub(crate) fn handle_call(
        &mut self,
        request: &Request<'_>,
        caller: &Caller,
        now: Duration,
        platform: &mut dyn Platform,
    ) -> Outcome {
        Counters::add(&mut self.counters.calls);
        let mut segments: Vec<&str, 5> = Vec::new();
        let mut rest = request.path.trim_matches('/');
        loop {
            let slash = rest.bytes().position(|byte| byte == b'/');
            let segment = slash.map_or(rest, |slash| rest.get(..slash).unwrap_or_default());
            if segments.push(segment).is_err() {
                return self.fail(request.form, Failure::UnknownFunction);
            }
            let Some(slash) = slash else { break };
            rest = rest.get(slash + 1..).unwrap_or_default();
        }
        let Some((&"system.library", function)) = segments.split_first() else {
            return match request.form {
                Form::Envelope => Outcome::UnknownLibrary,
                Form::Frame => Outcome::Silence,
                Form::Http => self.fail(request.form, Failure::UnknownFunction),
            };
        };
        if function == ["login"] {
            return self.login(request, caller, now, platform);
        }
        let identity = match self.authorise(request, caller, now) {
            Ok(identity) => identity,
            Err(_) if caller.admins_only => return Outcome::AtCapacity,
            Err(failure) => return self.fail(request.form, failure),
        };
        if caller.admins_only && !self.users.is_admin(identity.user()) {
            return Outcome::AtCapacity;
        }
        match function {
            ["validate"] => self.write(content::validate),
            ["user", "updatepassword"] => self.update_password(request, identity, caller, now, platform),
            ["user", "logout"] => self.logout(request, identity, now),
            ["board", function @ ..] => self.board(function, request, identity, caller, now, platform),
            ["services", function @ ..] => self.services(function, request, identity, now, platform),
            _ => self.fail(request.form, Failure::UnknownFunction),
        }
    }

    /// Whose call this is. A bound socket speaks for whom it is bound to, as in Friend Core; all else
    /// shows its session with each call.
    fn authorise<'m>(
        &mut self,
        request: &Request<'m>,
        caller: &Caller,
        now: Duration,
    ) -> Result<Identity, Failure<'m>> {
        if let (Form::Envelope, Some(identity)) = (request.form, caller.bound) {
            let is_alive = match identity {
                Identity::Session(key, _) => self.sessions.touch(key, now),
                Identity::Token(_) => true,
            };
            // One whose session has just ended will be told so, and speaks for nobody until then.
            if is_alive {
                return Ok(identity);
            }
        }
        let given = request.session.filter(|session| !session.is_empty()).ok_or(Failure::MissingSession)?;
        self.identify(given, now).ok_or(Failure::UnknownSession { given })
    }

    /// Whose session this id is. Finding a session is activity in it.
    pub(crate) fn identify(&mut self, session: &str, now: Duration) -> Option<Identity> {
        match self.sessions.find(session, now) {
            Some((key, user)) => Some(Identity::Session(key, user)),
            None => self.tokens.find(session).map(Identity::Token),
        }
    }

    /// Carries out what the supervisor asks for.
    pub(crate) fn pump(&mut self, now: Duration, platform: &mut dyn Platform) {
        while let Some(action) = self.services.poll_action() {
            match action {
                Action::Spawn { service } => {
                    let spawned = match self.services.table().get(service) {
                        Some(spec) => platform.spawn(service, spec),
                        None => continue,
                    };
                    self.services.handle_spawned(service, spawned, now);
                }
                Action::Signal { pid, signal, .. } => platform.signal(pid, signal),
                Action::Persist => {
                    let written = platform.persist(&mut self.services.overrides());
                    self.services.handle_persisted(written);
                }
            }
        }
    }

    /// Whether one more password of this source may be checked: half of the queue is for others,
    /// so that nobody keeps everybody from logging in.
    pub(crate) fn may_check_password(&self, source: ClientAddr) -> bool {
        let of_source = self.checks.iter().filter(|(_, other)| *other == source).count();
        of_source < PASSWORD_CHECKS.div_ceil(2) && !self.checks.is_full()
    }

    /// A password of this source is being checked.
    pub(crate) fn begin_check(&mut self, call_id: u64, source: ClientAddr) {
        // There is room, or it would not have been begun.
        let _ = self.checks.push((call_id, source));
    }

    /// A password was checked, whether somebody still waits for it or not.
    pub(crate) fn end_check(&mut self, call_id: u64) {
        self.checks.retain(|(other, _)| *other != call_id);
    }

    pub(crate) fn call_id(&mut self) -> u64 {
        self.last_call_id += 1;
        self.last_call_id
    }

    pub(crate) fn write(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<(), json::Full>) -> Outcome {
        self.write_within(REPLY_BYTES, 200, write).unwrap_or_else(|json::Full| Outcome::Silence)
    }

    /// Writes content of at most `limit` bytes.
    pub(crate) fn write_within(
        &mut self,
        limit: usize,
        status: u16,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), json::Full>,
    ) -> Result<Outcome, json::Full> {
        let written = render(&mut self.scratch, limit, write);
        self.rendered(written, status, true)
    }

    /// Takes note of what [`render`] wrote to the scratch, and whether it was all of our own making.
    pub(crate) fn rendered(
        &mut self,
        written: Result<usize, json::Full>,
        status: u16,
        own: bool,
    ) -> Result<Outcome, json::Full> {
        self.length = written?;
        self.own = own;
        Ok(Outcome::Content { status })
    }

    pub(crate) fn fail(&mut self, form: Form, failure: Failure<'_>) -> Outcome {
        let status = if form == Form::Http { failure.http_status() } else { 200 };
        self.write_within(REPLY_BYTES, status, |out| failure.write(form, out))
            .unwrap_or_else(|json::Full| Outcome::Silence)
    }
}

/// Writes to the front of `scratch`, at most `limit` bytes; gives how many.
pub(crate) fn render(
    scratch: &mut [u8],
    limit: usize,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), json::Full>,
) -> Result<usize, json::Full> {
    let limit = limit.min(scratch.len());
    let mut out = Writer::new(scratch.get_mut(..limit).unwrap_or_default());
    write(&mut out)?;
    Ok(out.finish()?.len())
}
