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
        Some(Self { user, device, id: *id, active: now })
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
            self.touch(key, now);
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
        entry.session = Some(Session { user, device, id, active: now });
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
mod tests {
    use super::super::{Grants, User, Users};
    use super::*;

    const IDLE: Duration = Duration::from_secs(100);
    const USERS_OF_TEST: usize = 2;

    fn users() -> [UserId; USERS_OF_TEST] {
        let mut users = Users::new();
        ["a", "b"].map(|name| {
            users
                .push(User {
                    name: String::try_from(name).unwrap(),
                    full_name: String::new(),
                    level: UserLevel::User,
                    password: None,
                    services: Grants::default(),
                })
                .unwrap()
        })
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn random(n: usize) -> [u8; 20] {
        let mut random = [0; 20];
        random[..8].copy_from_slice(&(n as u64).to_be_bytes());
        random
    }

    /// Fills the table with sessions of `user`, the n-th opened at second n.
    fn fill(table: &mut SessionTable, user: UserId) -> std::vec::Vec<SessionKey> {
        (0..SESSIONS)
            .map(|n| {
                let device = format!("device{n}");
                table.open(user, UserLevel::User, Some(&device), random(n), at(n as u64)).unwrap()
            })
            .collect()
    }

    #[test]
    fn session_is_found_by_its_id() {
        let [a, _] = users();
        let mut table = SessionTable::new(IDLE);
        let random = *b"\x8e\xd9\x22\x53\x5b\xc7\xcb\x2d\xe3\x9d\xc9\xbd\xaf\xef\x50\x2e\x2e\x20\xb9\x86";
        let key = table.open(a, UserLevel::User, None, random, at(0)).unwrap();
        let id = "8ed922535bc7cb2de39dc9bdafef502e2e20b986";
        assert_eq!(table.id(key), Some(id));
        assert_eq!(table.user(key), Some(a));
        assert_eq!(table.find(id, at(1)), Some((key, a)));
        for other in ["", "8ed922535bc7cb2de39dc9bdafef502e2e20b98", &id.to_uppercase(), &format!("{id}0")] {
            assert_eq!(table.find(other, at(1)), None, "{other}");
        }
    }

    #[test]
    fn same_user_and_device_share_a_session() {
        let [a, b] = users();
        let mut table = SessionTable::new(IDLE);
        let first = table.open(a, UserLevel::User, Some("phone"), random(1), at(0)).unwrap();
        assert_eq!(table.open(a, UserLevel::User, Some("phone"), random(2), at(1)), Ok(first));
        assert_ne!(table.open(a, UserLevel::User, Some("tablet"), random(3), at(1)), Ok(first));
        assert_ne!(table.open(a, UserLevel::User, None, random(4), at(1)), Ok(first));
        assert_ne!(table.open(b, UserLevel::User, Some("phone"), random(5), at(1)), Ok(first));
        assert_eq!(table.len(), 4);
    }

    #[test]
    fn sessions_are_taken_over_by_a_later_table() {
        let [a, b] = users();
        let named = |names: &[&str]| {
            let mut users = Users::new();
            for name in names {
                let user = User {
                    name: String::try_from(*name).unwrap(),
                    full_name: String::new(),
                    level: UserLevel::User,
                    password: None,
                    services: Grants::default(),
                };
                users.push(user).unwrap();
            }
            users
        };
        let both = named(&["a", "b"]);
        let mut table = SessionTable::new(IDLE);
        let longest = "d".repeat(DEVICE_ID_BYTES);
        let plain = table.open(a, UserLevel::User, None, random(1), at(0)).unwrap();
        let phone = table.open(b, UserLevel::User, Some(&longest), random(2), at(0)).unwrap();
        let empty = table.open(b, UserLevel::User, Some(""), random(3), at(0)).unwrap();
        let ended = table.open(a, UserLevel::User, Some("x"), random(4), at(0)).unwrap();
        let mut memos = std::collections::BTreeMap::new();
        let mut store = |table: &mut SessionTable| {
            while let Some((index, memo)) = table.poll_memo(&both) {
                memos.insert(index, memo);
            }
        };
        store(&mut table);
        table.close(ended);
        store(&mut table);
        let mut later = SessionTable::new(IDLE);
        for (index, memo) in &memos {
            later.inherit(*index, memo, &both, at(7));
        }
        assert_eq!((later.len(), later.poll_memo(&both)), (3, None));
        for key in [plain, phone, empty] {
            let id = table.id(key).unwrap().to_owned();
            assert_eq!(later.find(&id, at(8)), Some((key, table.user(key).unwrap())));
        }
        assert_eq!(later.open(b, UserLevel::User, Some(&longest), random(9), at(8)), Ok(phone));
        // Users have other numbers there, or are gone.
        let mut later = SessionTable::new(IDLE);
        for (index, memo) in &memos {
            later.inherit(*index, memo, &named(&["b"]), at(7));
        }
        assert_eq!(later.len(), 2);
        assert_eq!((later.user(phone), later.user(plain)), (Some(a), None), "the first one is b now");
        // Other bytes, and those of an unknown user, are left.
        for memo in [&[][..], &[0], &[0; 42], &[9; 52], &[1, b'a', 255], &[1, b'?', 255]] {
            let mut table = SessionTable::new(IDLE);
            table.inherit(0, memo, &both, at(0));
            assert!(table.is_empty(), "{memo:?}");
        }
    }

    #[test]
    fn key_of_a_closed_session_does_not_find_its_successor() {
        let [a, b] = users();
        let mut table = SessionTable::new(IDLE);
        let first = table.open(a, UserLevel::User, None, random(1), at(0)).unwrap();
        assert!(table.close(first));
        assert!(!table.close(first));
        let second = table.open(b, UserLevel::User, None, random(2), at(0)).unwrap();
        assert_ne!(first, second);
        assert_eq!((table.user(first), table.id(first)), (None, None));
        assert!(!table.touch(first, at(1)));
        assert!(!table.close(first));
        assert_eq!(table.user(second), Some(b));
    }

    #[test]
    fn idle_session_expires() {
        let [a, _] = users();
        let mut table = SessionTable::new(IDLE);
        assert_eq!(table.poll_timeout(), None);
        let key = table.open(a, UserLevel::User, None, random(1), at(0)).unwrap();
        assert_eq!(table.poll_timeout(), Some(at(100)));
        assert!(table.touch(key, at(60)));
        assert_eq!(table.poll_timeout(), Some(at(160)));
        assert!(table.handle_timeout(at(159)).is_empty());
        assert_eq!(table.handle_timeout(at(160)).as_slice(), [key]);
        assert_eq!(table.user(key), None);
        assert!(table.is_empty());
    }

    #[test]
    fn expired_session_is_not_revived() {
        let [a, _] = users();
        let mut table = SessionTable::new(IDLE);
        let key = table.open(a, UserLevel::User, None, random(1), at(0)).unwrap();
        let id = table.id(key).unwrap().to_owned();
        assert_eq!(table.find(&id, at(100)), None);
        assert!(!table.touch(key, at(100)));
        assert_ne!(table.open(a, UserLevel::User, None, random(2), at(100)), Ok(key));
        assert_eq!(table.handle_timeout(at(100)).as_slice(), [key]);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn session_expires_at_the_default_timeout() {
        let [a, _] = users();
        let mut table = SessionTable::new(crate::session::IDLE_TIMEOUT);
        let end = crate::session::IDLE_TIMEOUT;
        for (number, now, is_there) in [(1, end - Duration::from_millis(1), true), (2, end, false)] {
            let device = format!("device{number}");
            let key = table.open(a, UserLevel::User, Some(&device), random(number), at(0)).unwrap();
            let id = table.id(key).unwrap().to_owned();
            assert_eq!(table.find(&id, now).is_some(), is_there);
        }
    }

    #[test]
    fn find_records_activity() {
        let [a, _] = users();
        let mut table = SessionTable::new(IDLE);
        let key = table.open(a, UserLevel::User, None, random(1), at(0)).unwrap();
        let id = table.id(key).unwrap().to_owned();
        table.find(&id, at(99));
        assert_eq!(table.poll_timeout(), Some(at(199)));
    }

    #[test]
    fn sessions_of_a_user_are_closed_together() {
        let [a, b] = users();
        let mut table = SessionTable::new(IDLE);
        let one = table.open(a, UserLevel::User, Some("1"), random(1), at(0)).unwrap();
        let other = table.open(b, UserLevel::User, Some("1"), random(2), at(0)).unwrap();
        let two = table.open(a, UserLevel::User, Some("2"), random(3), at(0)).unwrap();
        let three = table.open(a, UserLevel::User, Some("3"), random(4), at(0)).unwrap();
        assert_eq!(table.close_user(a, Some(three)).as_slice(), [one, two]);
        assert_eq!(table.user(three), Some(a));
        assert_eq!(table.close_user(a, None).as_slice(), [three]);
        assert_eq!(table.user(other), Some(b));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn full_table_refuses_the_login_of_another_user() {
        let [a, b] = users();
        let mut table = SessionTable::new(Duration::from_secs(1_000_000));
        let keys = fill(&mut table, a);
        assert_eq!(table.len(), SESSIONS);
        let now = at(SESSIONS as u64);
        assert_eq!(table.open(b, UserLevel::User, None, random(SESSIONS), now), Err(OpenError::Full));
        assert!(keys.iter().all(|key| table.user(*key) == Some(a)));
    }

    #[test]
    fn full_table_evicts_the_longest_idle_session_of_the_user() {
        let [a, b] = users();
        let mut table = SessionTable::new(Duration::from_secs(1_000_000));
        let keys = fill(&mut table, a);
        let now = at(SESSIONS as u64);
        table.touch(keys[0], now);
        assert_eq!(table.take_evicted(), None);
        let new = table.open(a, UserLevel::User, None, random(SESSIONS), now).unwrap();
        assert_eq!(table.user(keys[1]), None);
        assert_eq!((table.take_evicted(), table.take_evicted()), (Some(keys[1]), None));
        assert_eq!(table.user(new), Some(a));
        assert_eq!(table.len(), SESSIONS);
        // The login of an administrator evicts the session of any user.
        let admin = table.open(b, UserLevel::Admin, None, random(SESSIONS + 1), now).unwrap();
        assert_eq!(table.user(keys[2]), None);
        assert_eq!(table.user(admin), Some(b));
        // The next login of the administrator evicts its own session.
        let again = table.open(b, UserLevel::Admin, Some("x"), random(SESSIONS + 2), now).unwrap();
        assert_eq!((table.user(admin), table.user(again)), (None, Some(b)));
    }

    #[test]
    fn full_table_reuses_an_expired_session_first() {
        let [a, b] = users();
        let mut table = SessionTable::new(Duration::from_secs(SESSIONS as u64));
        let keys = fill(&mut table, a);
        let now = at(SESSIONS as u64);
        let new = table.open(b, UserLevel::User, None, random(SESSIONS), now).unwrap();
        assert_eq!(table.user(keys[0]), None);
        assert_eq!(table.user(new), Some(b));
    }

    #[test]
    fn device_id_up_to_its_limit() {
        let [a, _] = users();
        let mut table = SessionTable::new(IDLE);
        let longest = "d".repeat(DEVICE_ID_BYTES);
        assert!(table.open(a, UserLevel::User, Some(&longest), random(1), at(0)).is_ok());
        let longer = "d".repeat(DEVICE_ID_BYTES + 1);
        assert_eq!(
            table.open(a, UserLevel::User, Some(&longer), random(2), at(0)),
            Err(OpenError::DeviceTooLong)
        );
        assert_eq!(table.len(), 1);
    }
}
