//! Fixed table of sessions.
//!
//! A login opens a session, and every call presents its id: 40 hexadecimal digits. A session ends at
//! logout, without a call and without a socket for the idle timeout, and at the end of its lifetime.

use core::time::Duration;

use heapless::{String, Vec};

use ring::digest;

use super::client_addr::ADDRESS_BYTES;
use super::{
    ClientAddr, PUBLIC_ID_BYTES, SESSION_ID_BYTES, USER_SESSIONS, UserId, UserLevel, Users,
    equal_in_constant_time, public_id,
};
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

/// Session of a user.
#[derive(Debug)]
pub struct Session {
    /// User.
    pub user: UserId,
    /// Device of the login, if it named one.
    pub device: Option<String<DEVICE_ID_BYTES>>,
    /// Address of the latest login; `None` in a session of a server that did not store it.
    pub source: Option<ClientAddr>,
    /// Time of the latest login; in a session of an earlier server, that of its start.
    pub opened: Duration,
    /// Time of the last activity.
    pub active: Duration,
    /// A socket is bound to it.
    pub is_bound: bool,
    id: [u8; SESSION_ID_BYTES],
}

#[derive(Debug, Default)]
struct SessionEntry {
    generation: u32,
    session: Option<Session>,
    /// The session was opened or ended since [`SessionTable::poll_memo`].
    is_noted: bool,
}

/// Longest [`SessionMemo`]: length and bytes of the user's name, session id, length of the device id and one more (0:
/// without one), device id, and the address of the latest login, if it is known.
pub(crate) const SESSION_MEMO_BYTES: usize =
    2 + USER_NAME_BYTES + SESSION_ID_BYTES + DEVICE_ID_BYTES + ADDRESS_BYTES;

/// Session as bytes, for a later server; empty: the entry has none.
pub type SessionMemo = Vec<u8, SESSION_MEMO_BYTES>;

const _: () = assert!(DEVICE_ID_BYTES < u8::MAX as usize, "the length of a device id is a byte");
const _: () = assert!(USER_NAME_BYTES <= u8::MAX as usize, "the length of a name is a byte");

impl Session {
    /// Id for people, from which the id of the session cannot be computed: the first digits of its SHA-256.
    pub fn public_id(&self) -> String<PUBLIC_ID_BYTES> {
        public_id(digest::digest(&digest::SHA256, &self.id).as_ref())
    }

    fn is_over(&self, idle_timeout: Duration, lifetime: Duration, now: Duration) -> bool {
        now.saturating_sub(self.active) >= idle_timeout || now.saturating_sub(self.opened) >= lifetime
    }

    fn memo(&self, users: &Users) -> SessionMemo {
        // The index of a user is that of this server.
        let name = users.name(self.user).as_bytes();
        let device = self.device.as_deref();
        let length = device.map_or(0, |device| device.len() as u8 + 1);
        // It has room for all of it.
        let device = device.unwrap_or_default().as_bytes();
        let source = self.source.as_ref().map_or(&[][..], |source| &source.0);
        let parts = [&[name.len() as u8][..], name, &self.id, &[length], device, source];
        parts.into_iter().flatten().copied().collect()
    }

    fn from_memo(memo: &[u8], users: &Users, now: Duration) -> Option<Self> {
        let (length, rest) = memo.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let (id, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (device, source) = rest.split_at_checked(usize::from(length.saturating_sub(1)))?;
        let device = match length {
            0 => None,
            _ => Some(String::try_from(core::str::from_utf8(device).ok()?).ok()?),
        };
        let user = users.find(core::str::from_utf8(name).ok()?)?;
        let source = source.try_into().ok().map(ClientAddr);
        Some(Self { user, device, source, opened: now, active: now, is_bound: false, id: *id })
    }
}

/// Table of open sessions.
#[derive(Debug)]
pub struct SessionTable {
    entries: Box<[SessionEntry]>,
    /// Length of the prefix of `entries` that was ever used; the rest needs no search.
    used_entries: usize,
    idle_timeout: Duration,
    lifetime: Duration,
    evicted: Option<SessionKey>,
    /// An entry is noted.
    has_noted: bool,
}

impl SessionTable {
    /// Memory of the table, allocated at once.
    pub const BYTES: usize = size_of::<Self>() + SESSIONS * size_of::<SessionEntry>();

    /// Table without sessions; a session ends after `idle_timeout` without activity, and `lifetime` after its login.
    pub fn new(idle_timeout: Duration, lifetime: Duration) -> Self {
        let entries = (0..SESSIONS).map(|_| SessionEntry::default()).collect();
        Self { entries, used_entries: 0, idle_timeout, lifetime, evicted: None, has_noted: false }
    }

    /// Opens a session for a login, with an id made from `random`. As in Friend Core, a user has one
    /// session on each device: a second login there returns the open session. A login without a device has a session of
    /// its own.
    ///
    /// A user with [`USER_SESSIONS`], and a full table, evict the longest idle session of the same user, preferably one
    /// without a socket. An administrator without a session evicts that of any user.
    /// [`take_evicted`](Self::take_evicted) returns its key.
    pub fn open(
        &mut self,
        user: UserId,
        level: UserLevel,
        device: Option<&str>,
        source: ClientAddr,
        random: [u8; SESSION_ID_BYTES / 2],
        now: Duration,
    ) -> Result<SessionKey, OpenError> {
        let device = match device {
            Some(device) => Some(String::try_from(device).map_err(|_| OpenError::DeviceTooLong)?),
            None => None,
        };
        let is_same = |session: &Session| session.user == user && session.device == device;
        let same = device.is_some().then(|| self.position(is_same, now)).flatten();
        if let Some(key) = same.map(|index| self.key(index))
            && let Some(session) = self.session_mut(key)
        {
            (session.source, session.opened, session.active) = (Some(source), now, now);
            self.note(usize::from(key.index));
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
        let source = Some(source);
        entry.session = Some(Session { user, device, source, opened: now, active: now, is_bound: false, id });
        self.note(index);
        Ok(self.key(index))
    }

    /// Changes the time without activity after which a session ends, and that after its login.
    pub fn set_times(&mut self, idle_timeout: Duration, lifetime: Duration) {
        (self.idle_timeout, self.lifetime) = (idle_timeout, lifetime);
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

    /// Takes over a session of an earlier server. It counts as new: its login and last activity are not known.
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
        let is_open = |session: &Session| session.user == user && !self.is_over(session, now);
        if self.sessions().filter(|(_, session)| is_open(session)).count() >= USER_SESSIONS {
            return self.longest_idle(&is_open);
        }
        self.entries
            .iter()
            .position(|entry| entry.session.is_none())
            .or_else(|| self.longest_idle(&|session| self.is_over(session, now)))
            .or_else(|| self.longest_idle(&|session| session.user == user))
            .or_else(|| if level == UserLevel::Admin { self.longest_idle(&|_| true) } else { None })
    }

    fn longest_idle(&self, is_match: &dyn Fn(&Session) -> bool) -> Option<usize> {
        self.sessions()
            .filter(|(_, session)| is_match(session))
            .min_by_key(|(_, session)| (session.is_bound, session.active))
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
            if equal_in_constant_time(&session.id, id.as_bytes()) && !self.is_over(session, now) {
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
        let (idle_timeout, lifetime) = (self.idle_timeout, self.lifetime);
        match self.session_mut(key) {
            Some(session) if !session.is_over(idle_timeout, lifetime, now) => {
                session.active = session.active.max(now);
                true
            }
            _ => false,
        }
    }

    /// Notes which sessions have sockets, which counts as activity.
    pub fn set_bound(&mut self, keys: impl Iterator<Item = SessionKey>, now: Duration) {
        let used = self.entries.iter_mut().take(self.used_entries);
        used.filter_map(|entry| entry.session.as_mut()).for_each(|session| session.is_bound = false);
        keys.for_each(|key| self.bind(key, now));
    }

    /// Notes that a socket is bound to a session.
    pub fn bind(&mut self, key: SessionKey, now: Duration) {
        if self.touch(key, now)
            && let Some(session) = self.session_mut(key)
        {
            session.is_bound = true;
        }
    }

    /// User of a session.
    pub fn user(&self, key: SessionKey) -> Option<UserId> {
        self.session(key).map(|session| session.user)
    }

    /// Time of the last login that opened or returned a session; that of the start if it was at an earlier server.
    pub fn last_login(&self, key: SessionKey) -> Option<Duration> {
        self.session(key).map(|session| session.opened)
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

    /// Ends the sessions that match; returns their keys.
    pub fn close_matching(&mut self, is_match: impl Fn(&Session) -> bool) -> Vec<SessionKey, SESSIONS> {
        self.close_all(|_, session| is_match(session))
    }

    /// Time when the next session expires.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let end = |session: &Session| {
            let idle = session.active.saturating_add(self.idle_timeout);
            idle.min(session.opened.saturating_add(self.lifetime))
        };
        self.sessions().map(|(_, session)| end(session)).min()
    }

    /// Ends the expired sessions; returns their keys.
    pub fn handle_timeout(&mut self, now: Duration) -> Vec<SessionKey, SESSIONS> {
        let (idle_timeout, lifetime) = (self.idle_timeout, self.lifetime);
        self.close_all(|_, session| session.is_over(idle_timeout, lifetime, now))
    }

    /// Sessions with their keys.
    pub fn iter(&self) -> impl Iterator<Item = (SessionKey, &Session)> {
        self.sessions().map(|(index, session)| (self.key(index), session))
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

    fn is_over(&self, session: &Session, now: Duration) -> bool {
        session.is_over(self.idle_timeout, self.lifetime, now)
    }

    fn position(&self, is_match: impl Fn(&Session) -> bool, now: Duration) -> Option<usize> {
        self.sessions()
            .find(|(_, session)| is_match(session) && !self.is_over(session, now))
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
