//! Tests of the table of sessions.

use super::super::{Grants, LIFETIME, User, Users};
use super::*;

const IDLE: Duration = Duration::from_secs(100);
const USERS_OF_TEST: usize = 3;

fn users() -> [UserId; USERS_OF_TEST] {
    let mut users = Users::new();
    ["a", "b", "c"].map(|name| {
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

fn here() -> ClientAddr {
    ClientAddr::from(core::net::IpAddr::from([192, 0, 2, 1]))
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn random(n: usize) -> [u8; 20] {
    let mut random = [0; 20];
    random[..8].copy_from_slice(&(n as u64).to_be_bytes());
    random
}

/// Fills the table with sessions of these users in turn, the n-th opened at second n.
fn fill(table: &mut SessionTable, users: [UserId; 2]) -> std::vec::Vec<SessionKey> {
    (0..SESSIONS)
        .map(|n| {
            let device = format!("device{n}");
            let user = users[n % 2];
            table.open(user, UserLevel::User, Some(&device), here(), random(n), at(n as u64)).unwrap()
        })
        .collect()
}

#[test]
fn session_is_found_by_its_id() {
    let [a, ..] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let random = *b"\x8e\xd9\x22\x53\x5b\xc7\xcb\x2d\xe3\x9d\xc9\xbd\xaf\xef\x50\x2e\x2e\x20\xb9\x86";
    let key = table.open(a, UserLevel::User, None, here(), random, at(0)).unwrap();
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
    let [a, b, _] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let first = table.open(a, UserLevel::User, Some("phone"), here(), random(1), at(0)).unwrap();
    assert_eq!(table.open(a, UserLevel::User, Some("phone"), here(), random(2), at(1)), Ok(first));
    assert_ne!(table.open(a, UserLevel::User, Some("tablet"), here(), random(3), at(1)), Ok(first));
    assert_ne!(table.open(a, UserLevel::User, None, here(), random(4), at(1)), Ok(first));
    assert_ne!(table.open(b, UserLevel::User, Some("phone"), here(), random(5), at(1)), Ok(first));
    assert_eq!(table.len(), 4);
}

#[test]
fn sessions_are_taken_over_by_a_later_table() {
    let [a, b, _] = users();
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
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let longest = "d".repeat(DEVICE_ID_BYTES);
    let plain = table.open(a, UserLevel::User, None, here(), random(1), at(0)).unwrap();
    let phone = table.open(b, UserLevel::User, Some(&longest), here(), random(2), at(0)).unwrap();
    let empty = table.open(b, UserLevel::User, Some(""), here(), random(3), at(0)).unwrap();
    let ended = table.open(a, UserLevel::User, Some("x"), here(), random(4), at(0)).unwrap();
    let mut memos = std::collections::BTreeMap::new();
    let mut store = |table: &mut SessionTable| {
        while let Some((index, memo)) = table.poll_memo(&both) {
            memos.insert(index, memo);
        }
    };
    store(&mut table);
    table.close(ended);
    store(&mut table);
    let mut later = SessionTable::new(IDLE, LIFETIME);
    for (index, memo) in &memos {
        later.inherit(*index, memo, &both, at(7));
    }
    assert_eq!((later.len(), later.poll_memo(&both)), (3, None));
    for key in [plain, phone, empty] {
        let id = table.id(key).unwrap().to_owned();
        assert_eq!(later.find(&id, at(8)), Some((key, table.user(key).unwrap())));
        let device = |table: &SessionTable| table.session(key).unwrap().device.clone();
        assert_eq!(device(&later), device(&table), "without one is not the same as an empty one");
        assert_eq!(later.session(key).unwrap().source, Some(here()));
    }
    // A server of before did not store the address.
    let mut earlier = SessionTable::new(IDLE, LIFETIME);
    for (index, memo) in &memos {
        let length = memo.len().saturating_sub(ADDRESS_BYTES);
        earlier.inherit(*index, &memo[..length], &both, at(7));
    }
    assert_eq!(earlier.len(), 3);
    assert!(earlier.iter().all(
        |(key, session)| session.source.is_none() && session.device == table.session(key).unwrap().device
    ));
    assert_eq!(later.open(b, UserLevel::User, Some(&longest), here(), random(9), at(8)), Ok(phone));
    // Users have other numbers there, or are gone.
    let mut later = SessionTable::new(IDLE, LIFETIME);
    for (index, memo) in &memos {
        later.inherit(*index, memo, &named(&["b"]), at(7));
    }
    assert_eq!(later.len(), 2);
    assert_eq!((later.user(phone), later.user(plain)), (Some(a), None), "the first one is b now");
    // Other bytes, and those of an unknown user, are left.
    for memo in [&[][..], &[0], &[0; 42], &[9; 52], &[1, b'a', 255], &[1, b'?', 255]] {
        let mut table = SessionTable::new(IDLE, LIFETIME);
        table.inherit(0, memo, &both, at(0));
        assert!(table.is_empty(), "{memo:?}");
    }
}

#[test]
fn memo_of_the_longest_names_has_the_length_of_the_limit() {
    let mut users = Users::new();
    let name = String::try_from("n".repeat(USER_NAME_BYTES).as_str()).unwrap();
    let (level, services) = (UserLevel::User, Grants::default());
    let user = users.push(User { name, full_name: String::new(), level, password: None, services }).unwrap();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let device = "d".repeat(DEVICE_ID_BYTES);
    table.open(user, UserLevel::User, Some(&device), here(), random(1), at(0)).unwrap();
    assert_eq!(table.poll_memo(&users).unwrap().1.len(), SESSION_MEMO_BYTES);
}

#[test]
fn last_login_is_that_of_the_device() {
    let [a, ..] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    assert!(table.is_empty());
    let key = table.open(a, UserLevel::User, Some("phone"), here(), random(1), at(3)).unwrap();
    assert_eq!((table.last_login(key), table.is_empty()), (Some(at(3)), false));
    table.open(a, UserLevel::User, Some("phone"), here(), random(2), at(5)).unwrap();
    assert_eq!(table.last_login(key), Some(at(5)));
    table.close(key);
    assert_eq!(table.last_login(key), None);
}

#[test]
fn memory_of_the_table_is_that_of_its_entries() {
    let table = SessionTable::new(IDLE, LIFETIME);
    assert_eq!(SessionTable::BYTES, size_of_val(&table) + size_of_val(&*table.entries));
}

#[test]
fn key_of_a_closed_session_does_not_find_its_successor() {
    let [a, b, _] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let first = table.open(a, UserLevel::User, None, here(), random(1), at(0)).unwrap();
    assert!(table.close(first));
    assert!(!table.close(first));
    let second = table.open(b, UserLevel::User, None, here(), random(2), at(0)).unwrap();
    assert_ne!(first, second);
    assert_eq!((table.user(first), table.id(first)), (None, None));
    assert!(!table.touch(first, at(1)));
    assert!(!table.close(first));
    assert_eq!(table.user(second), Some(b));
}

#[test]
fn idle_session_expires() {
    let [a, ..] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    assert_eq!(table.poll_timeout(), None);
    let key = table.open(a, UserLevel::User, None, here(), random(1), at(0)).unwrap();
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
    let [a, ..] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let key = table.open(a, UserLevel::User, None, here(), random(1), at(0)).unwrap();
    let id = table.id(key).unwrap().to_owned();
    assert_eq!(table.find(&id, at(100)), None);
    assert!(!table.touch(key, at(100)));
    assert_ne!(table.open(a, UserLevel::User, None, here(), random(2), at(100)), Ok(key));
    assert_eq!(table.handle_timeout(at(100)).as_slice(), [key]);
    assert_eq!(table.len(), 1);
}

#[test]
fn session_expires_at_the_default_timeout() {
    let [a, ..] = users();
    let mut table = SessionTable::new(crate::session::IDLE_TIMEOUT, LIFETIME);
    let end = crate::session::IDLE_TIMEOUT;
    for (number, now, is_there) in [(1, end - Duration::from_millis(1), true), (2, end, false)] {
        let device = format!("device{number}");
        let key = table.open(a, UserLevel::User, Some(&device), here(), random(number), at(0)).unwrap();
        let id = table.id(key).unwrap().to_owned();
        assert_eq!(table.find(&id, now).is_some(), is_there);
    }
}

#[test]
fn find_records_activity() {
    let [a, ..] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let key = table.open(a, UserLevel::User, None, here(), random(1), at(0)).unwrap();
    let id = table.id(key).unwrap().to_owned();
    table.find(&id, at(99));
    assert_eq!(table.poll_timeout(), Some(at(199)));
}

#[test]
fn sessions_of_a_user_are_closed_together() {
    let [a, b, _] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let one = table.open(a, UserLevel::User, Some("1"), here(), random(1), at(0)).unwrap();
    let other = table.open(b, UserLevel::User, Some("1"), here(), random(2), at(0)).unwrap();
    let two = table.open(a, UserLevel::User, Some("2"), here(), random(3), at(0)).unwrap();
    let three = table.open(a, UserLevel::User, Some("3"), here(), random(4), at(0)).unwrap();
    assert_eq!(table.close_user(a, Some(three)).as_slice(), [one, two]);
    assert_eq!(table.user(three), Some(a));
    assert_eq!(table.close_user(a, None).as_slice(), [three]);
    assert_eq!(table.user(other), Some(b));
    assert_eq!(table.len(), 1);
}

#[test]
fn full_table_refuses_the_login_of_another_user() {
    let [a, b, c] = users();
    let mut table = SessionTable::new(Duration::from_secs(1_000_000), LIFETIME);
    let keys = fill(&mut table, [a, b]);
    assert_eq!(table.len(), SESSIONS);
    let now = at(SESSIONS as u64);
    assert_eq!(table.open(c, UserLevel::User, None, here(), random(SESSIONS), now), Err(OpenError::Full));
    assert!(keys.iter().all(|key| table.user(*key).is_some()));
}

#[test]
fn full_table_evicts_the_longest_idle_session_of_the_user() {
    let [a, b, c] = users();
    let mut table = SessionTable::new(Duration::from_secs(1_000_000), LIFETIME);
    let keys = fill(&mut table, [a, b]);
    let now = at(SESSIONS as u64);
    table.touch(keys[0], now);
    assert_eq!(table.take_evicted(), None);
    let new = table.open(a, UserLevel::User, None, here(), random(SESSIONS), now).unwrap();
    assert_eq!(table.user(keys[2]), None);
    assert_eq!((table.take_evicted(), table.take_evicted()), (Some(keys[2]), None));
    assert_eq!(table.user(new), Some(a));
    assert_eq!(table.len(), SESSIONS);
    // The login of an administrator evicts the session of any user.
    let admin = table.open(c, UserLevel::Admin, None, here(), random(SESSIONS + 1), now).unwrap();
    assert_eq!(table.user(keys[1]), None);
    assert_eq!(table.user(admin), Some(c));
    // The next login of the administrator evicts its own session.
    let again = table.open(c, UserLevel::Admin, Some("x"), here(), random(SESSIONS + 2), now).unwrap();
    assert_eq!((table.user(admin), table.user(again)), (None, Some(c)));
}

#[test]
fn full_table_reuses_an_expired_session_first() {
    let [a, b, c] = users();
    let mut table = SessionTable::new(Duration::from_secs(SESSIONS as u64), LIFETIME);
    let keys = fill(&mut table, [a, b]);
    let now = at(SESSIONS as u64);
    let new = table.open(c, UserLevel::User, None, here(), random(SESSIONS), now).unwrap();
    assert_eq!(table.user(keys[0]), None);
    assert_eq!(table.user(new), Some(c));
}

#[test]
fn user_has_no_more_sessions_than_the_limit() {
    let [a, b, _] = users();
    let mut table = SessionTable::new(Duration::from_secs(1_000_000), LIFETIME);
    let open = |table: &mut SessionTable, n: usize| {
        table.open(a, UserLevel::User, None, here(), random(n), at(n as u64)).unwrap()
    };
    let keys: std::vec::Vec<_> = (0..USER_SESSIONS).map(|n| open(&mut table, n)).collect();
    assert_eq!(table.len(), USER_SESSIONS);
    // One with a socket is the last choice.
    table.set_bound([keys[0]].into_iter(), at(0));
    let new = open(&mut table, USER_SESSIONS);
    let at_most = |table: &SessionTable| (table.len(), table.user(keys[1]), table.user(keys[0]));
    assert_eq!(at_most(&table), (USER_SESSIONS, None, Some(a)));
    assert_eq!((table.take_evicted(), table.user(new)), (Some(keys[1]), Some(a)));
    assert!(table.open(b, UserLevel::User, None, here(), random(SESSIONS), at(9)).is_ok());
}

#[test]
fn login_without_a_device_has_a_session_of_its_own() {
    let [a, ..] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let first = table.open(a, UserLevel::User, None, here(), random(1), at(0)).unwrap();
    let second = table.open(a, UserLevel::User, None, here(), random(2), at(0)).unwrap();
    assert_ne!(first, second);
    assert!(table.close(first) && table.user(second) == Some(a), "one log-out does not end the other");
}

#[test]
fn session_ends_at_the_end_of_its_lifetime() {
    let [a, ..] = users();
    let mut table = SessionTable::new(Duration::MAX, LIFETIME);
    let key = table.open(a, UserLevel::User, Some("d"), here(), random(1), at(0)).unwrap();
    assert_eq!(table.poll_timeout(), Some(LIFETIME));
    let last = LIFETIME - Duration::from_nanos(1);
    assert!(table.touch(key, last) && table.handle_timeout(last).is_empty());
    assert!(!table.touch(key, LIFETIME), "use does not extend it");
    assert_eq!(table.handle_timeout(LIFETIME).as_slice(), [key]);
    // Another login with the password does.
    let key = table.open(a, UserLevel::User, Some("d"), here(), random(2), at(0)).unwrap();
    assert_eq!(table.open(a, UserLevel::User, Some("d"), here(), random(3), last), Ok(key));
    assert_eq!(table.poll_timeout(), Some(last + LIFETIME));
    table.set_times(IDLE, Duration::MAX);
    assert_eq!(table.poll_timeout(), Some(last + IDLE));
}

#[test]
fn session_with_a_socket_is_not_idle() {
    let [a, ..] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let key = table.open(a, UserLevel::User, None, here(), random(1), at(0)).unwrap();
    let is_bound = |table: &SessionTable| table.iter().next().unwrap().1.is_bound;
    table.bind(key, at(1));
    for seconds in (50..500).step_by(50) {
        table.set_bound([key].into_iter(), at(seconds));
        assert!(is_bound(&table) && table.handle_timeout(at(seconds)).is_empty());
    }
    table.set_bound(core::iter::empty(), at(460));
    assert!(!is_bound(&table));
    assert_eq!(table.poll_timeout(), Some(at(450) + IDLE), "since the last time with a socket");
    assert_eq!(table.handle_timeout(at(550)).as_slice(), [key]);
}

#[test]
fn public_id_is_the_beginning_of_a_hash() {
    let [a, ..] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let random = *b"\x8e\xd9\x22\x53\x5b\xc7\xcb\x2d\xe3\x9d\xc9\xbd\xaf\xef\x50\x2e\x2e\x20\xb9\x86";
    let key = table.open(a, UserLevel::User, None, here(), random, at(0)).unwrap();
    // printf %s 8ed922535bc7cb2de39dc9bdafef502e2e20b986 | sha256sum
    assert_eq!(
        table.iter().next().map(|(_, session)| session.public_id().as_str().to_owned()).unwrap(),
        "3c1254e4"
    );
    let ended = table.close_matching(|session| session.public_id().as_str() == "3c1254e4");
    assert_eq!(ended.as_slice(), [key]);
}

#[test]
fn device_id_up_to_its_limit() {
    let [a, ..] = users();
    let mut table = SessionTable::new(IDLE, LIFETIME);
    let longest = "d".repeat(DEVICE_ID_BYTES);
    assert!(table.open(a, UserLevel::User, Some(&longest), here(), random(1), at(0)).is_ok());
    let longer = "d".repeat(DEVICE_ID_BYTES + 1);
    assert_eq!(
        table.open(a, UserLevel::User, Some(&longer), here(), random(2), at(0)),
        Err(OpenError::DeviceTooLong)
    );
    assert_eq!(table.len(), 1);
}
