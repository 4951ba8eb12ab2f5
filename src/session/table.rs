//! Fixed table of sessions.
//!
//! A login opens a session, and every call presents its id: 40 hexadecimal digits. A session ends at
//! logout, or without a call for the idle timeout.

use core::time::Duration;

use heapless::{String, Vec};

use super::{SESSION_ID_BYTES, UserId, UserLevel, Users, equal_in_constant_time};
use crate::limits::{DEVICE_ID_BYTES, SESSIONS, USER_NAME_BYTES};

/// Key of a session: index in the table and generation of the entry. The key of an ended session finds
/// nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SessionKey {
    index: u16,
    generation: u32,
}

/// Reason why a session cannot be opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OpenError {
    /// The device id is longer than [`DEVICE_ID_BYTES`].
    DeviceTooLong,
    /// [`SESSIONS`] are open and none of them may be evicted.
    Full,
}

#[derive(Debug)]
struct Session {
    user: UserId,
    device: Option<String<DEVICE_ID_BYTES>>,
    id: [u8; SESSION_ID_BYTES],
    /// Time of the last login.
    login: Duration,
    /// Time of the last activity.
    active: Duration,
}

#[derive(Debug, Default)]
struct SessionEntry {
    generation: u32,
    session: Option<Session>,
    /// The session was opened or ended since [`SessionTable::poll_memo`].
    is_noted: bool,
}

/// Longest [`SessionMemo`]: length and bytes of the user's name, session id, length of the device id and one more (0:
/// without one), device id.
pub(crate) const SESSION_MEMO_BYTES: usize = 2 + USER_NAME_BYTES + SESSION_ID_BYTES + DEVICE_ID_BYTES;

/// Session as bytes, for a later server; empty: the entry has none.
pub type SessionMemo = Vec<u8, SESSION_MEMO_BYTES>;

const _: () = assert!(DEVICE_ID_BYTES < u8::MAX as usize, "the length of a device id is a byte");
const _: () = assert!(USER_NAME_BYTES <= u8::MAX as usize, "the length of a name is a byte");

impl Session {
    fn memo(&self, users: &Users) -> SessionMemo {
        // The index of a user is that of this server.
        let name = users.name(self.user).as_bytes();
        let device = self.device.as_deref();
        let length = device.map_or(0, |device| device.len() as u8 + 1);
        // It has room for all of it.
        let parts =
            [&[name.len() as u8][..], name, &self.id, &[length], device.unwrap_or_default().as_bytes()];
        parts.into_iter().flatten().copied().collect()
    }

    fn from_memo(memo: &[u8], users: &Users, now: Duration) -> Option<Self> {
        let (length, rest) = memo.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let (id, rest) = rest.split_first_chunk()?;
        let (length, device) = rest.split_first()?;
        let device = match length {
            0 => None,
            _ => Some(String::try_from(core::str::from_utf8(device).ok()?).ok()?),
        };
        let user = users.find(core::str::from_utf8(name).ok()?)?;
        Some(Self { user, device, id: *id, login: Duration::ZERO, active: now })
    }
}

/// Table of open sessions.
#[derive(Debug)]
pub struct SessionTable {
    entries: Box<[SessionEntry]>,
    /// Length of the prefix of `entries` that was ever used; the rest needs no search.
    used_entries: usize,
    idle_timeout: Duration,
    evicted: Option<SessionKey>,
    /// An entry is noted.
    has_noted: bool,
}

impl SessionTable {
    /// Memory of the table, allocated at once.
    pub const BYTES: usize = size_of::<Self>() + SESSIONS * size_of::<SessionEntry>();

    /// Table without sessions; a session ends after `idle_timeout` without activity.
    pub fn new(idle_timeout: Duration) -> Self {
        let entries = (0..SESSIONS).map(|_| SessionEntry::default()).collect();
        Self { entries, used_entries: 0, idle_timeout, evicted: None, has_noted: false }
    }

    /// Opens a session for a login, with an id made from `random`. As in Friend Core, a user has one
    /// session on each device: a second login there returns the open session.
    ///
    /// A full table evicts the longest idle session of the same user. An administrator without a
    /// session evicts the longest idle session of any user. [`take_evicted`](Self::take_evicted)
    /// returns its key.
    pub fn open(
        &mut self,
        user: UserId,
        level: UserLevel,
        device: Option<&str>,
        random: [u8; SESSION_ID_BYTES / 2],
        now: Duration,
    ) -> Result<SessionKey, OpenError> {
        let device = match device {
            Some(device) => Some(String::try_from(device).map_err(|_| OpenError::DeviceTooLong)?),
            None => None,
        };
        let same = self.position(|session| session.user == user && session.device == device, now);
        if let Some(index) = same {
            let key = self.key(index);
            if let Some(session) = self.session_mut(key) {
                (session.login, session.active) = (now, session.active.max(now));
            }
            return Ok(key);
        }
        let index = self.find_entry(user, level, now).ok_or(OpenError::Full)?;
        let before = self.key(index);
        let entry = self.entries.get_mut(index).ok_or(OpenError::Full)?;
        if entry.session.is_some() {
            entry.generation = entry.generation.wrapping_add(1);
            self.evicted = Some(before);
        }
        self.used_entries = self.used_entries.max(index + 1);
        let mut id = [0; SESSION_ID_BYTES];
        // Two digits a byte: it always fits.
        base16ct::lower::encode(&random, &mut id).map_err(|_| OpenError::Full)?;
        entry.session = Some(Session { user, device, id, login: now, active: now });
        self.note(index);
        Ok(self.key(index))
    }

    /// Changes the time without activity after which a session ends.
    pub fn set_idle_timeout(&mut self, idle_timeout: Duration) {
        self.idle_timeout = idle_timeout;
    }

    /// Notes that an entry has to be stored for a later server.
    pub fn note(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.is_noted = true;
            self.has_noted = true;
        }
    }

    /// Returns the index and content of the next entry that has changed.
    pub fn poll_memo(&mut self, users: &Users) -> Option<(usize, SessionMemo)> {
        // Asked after each message.
        if !self.has_noted {
            return None;
        }
        let mut entries = self.entries.iter_mut().enumerate();
        let next = entries.find_map(|(index, entry)| {
            let is_noted = core::mem::take(&mut entry.is_noted);
            is_noted.then(|| {
                (index, entry.session.as_ref().map(|session| session.memo(users)).unwrap_or_default())
            })
        });
        self.has_noted = next.is_some();
        next
    }

    /// Takes over a session of an earlier server. It counts as active: its last activity is not known.
    pub fn inherit(&mut self, index: usize, memo: &[u8], users: &Users, now: Duration) {
        if let (Some(entry), Some(session)) =
            (self.entries.get_mut(index), Session::from_memo(memo, users, now))
        {
            entry.session = Some(session);
            self.used_entries = self.used_entries.max(index + 1);
        }
    }

    /// Returns once the session that the latest [`open`](Self::open) evicted.
    pub fn take_evicted(&mut self) -> Option<SessionKey> {
        self.evicted.take()
    }

    /// Index for a new session: a free entry, else that of an expired session, else that of an evicted
    /// one.
    fn find_entry(&self, user: UserId, level: UserLevel, now: Duration) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.session.is_none())
            .or_else(|| self.longest_idle(|session| self.is_idle(session, now)))
            .or_else(|| self.longest_idle(|session| session.user == user))
            .or_else(|| if level == UserLevel::Admin { self.longest_idle(|_| true) } else { None })
    }

    fn longest_idle(&self, is_match: impl Fn(&Session) -> bool) -> Option<usize> {
        self.sessions()
            .filter(|(_, session)| is_match(session))
            .min_by_key(|(_, session)| session.active)
            .map(|(index, _)| index)
    }

    /// Id of a session: 40 lower-case hexadecimal digits.
    pub fn id(&self, key: SessionKey) -> Option<&str> {
        self.session(key).and_then(|session| core::str::from_utf8(&session.id).ok())
    }

    /// Returns the session with this id and its user, and records activity. Compares with every entry,
    /// so timing does not reveal a match.
    pub fn find(&mut self, id: &str, now: Duration) -> Option<(SessionKey, UserId)> {
        let mut found = None;
        for (index, session) in self.sessions() {
            if equal_in_constant_time(&session.id, id.as_bytes()) && !self.is_idle(session, now) {
                found = Some((self.key(index), session.user));
            }
        }
        if let Some((key, _)) = found {
            self.touch(key, now);
        }
        found
    }

    /// Records activity; returns false if the session has ended.
    pub fn touch(&mut self, key: SessionKey, now: Duration) -> bool {
        let idle_timeout = self.idle_timeout;
        match self.session_mut(key) {
            Some(session) if now.saturating_sub(session.active) < idle_timeout => {
                session.active = session.active.max(now);
                true
            }
            _ => false,
        }
    }

    /// User of a session.
    pub fn user(&self, key: SessionKey) -> Option<UserId> {
        self.session(key).map(|session| session.user)
    }

    /// Time of the last login that opened or returned a session; zero if that was at an earlier server.
    pub fn last_login(&self, key: SessionKey) -> Option<Duration> {
        self.session(key).map(|session| session.login)
    }

    /// Ends a session; returns false if it has already ended.
    pub fn close(&mut self, key: SessionKey) -> bool {
        if self.session(key).is_none() {
            return false;
        }
        match self.entries.get_mut(usize::from(key.index)) {
            Some(entry) => {
                entry.session = None;
                entry.generation = entry.generation.wrapping_add(1);
                self.note(usize::from(key.index));
                true
            }
            None => false,
        }
    }

    /// Ends all sessions of a user except `but`; returns their keys.
    pub fn close_user(&mut self, user: UserId, but: Option<SessionKey>) -> Vec<SessionKey, SESSIONS> {
        self.close_all(|key, session| session.user == user && Some(key) != but)
    }

    /// Time when the next session expires.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.sessions().map(|(_, session)| session.active.saturating_add(self.idle_timeout)).min()
    }

    /// Ends the expired sessions; returns their keys.
    pub fn handle_timeout(&mut self, now: Duration) -> Vec<SessionKey, SESSIONS> {
        let idle_timeout = self.idle_timeout;
        self.close_all(|_, session| now.saturating_sub(session.active) >= idle_timeout)
    }

    /// Number of open sessions.
    pub fn len(&self) -> usize {
        self.sessions().count()
    }

    /// Returns true without open sessions.
    pub fn is_empty(&self) -> bool {
        self.sessions().next().is_none()
    }

    fn close_all(&mut self, is_match: impl Fn(SessionKey, &Session) -> bool) -> Vec<SessionKey, SESSIONS> {
        let sessions = self.sessions().map(|(index, session)| (self.key(index), session));
        let keys: Vec<SessionKey, SESSIONS> =
            sessions.filter(|(key, session)| is_match(*key, session)).map(|(key, _)| key).collect();
        for key in &keys {
            self.close(*key);
        }
        keys
    }

    fn is_idle(&self, session: &Session, now: Duration) -> bool {
        now.saturating_sub(session.active) >= self.idle_timeout
    }

    fn position(&self, is_match: impl Fn(&Session) -> bool, now: Duration) -> Option<usize> {
        self.sessions()
            .find(|(_, session)| is_match(session) && !self.is_idle(session, now))
            .map(|(index, _)| index)
    }

    fn sessions(&self) -> impl Iterator<Item = (usize, &Session)> {
        self.entries
            .iter()
            .take(self.used_entries)
            .enumerate()
            .filter_map(|(index, entry)| entry.session.as_ref().map(|session| (index, session)))
    }

    fn key(&self, index: usize) -> SessionKey {
        let generation = self.entries.get(index).map_or(0, |entry| entry.generation);
        // `sessions` of a board is at most 65535.
        SessionKey { index: u16::try_from(index).unwrap_or(u16::MAX), generation }
    }

    fn session(&self, key: SessionKey) -> Option<&Session> {
        let entry = self.entries.get(usize::from(key.index))?;
        if entry.generation == key.generation { entry.session.as_ref() } else { None }
    }

    fn session_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        let entry = self.entries.get_mut(usize::from(key.index))?;
        if entry.generation == key.generation { entry.session.as_mut() } else { None }
    }
}

#[cfg(test)]
mod tests;
