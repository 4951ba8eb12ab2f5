//! Sessions: opened, found, evicted, ended.

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
