//! Changes of passwords.

use super::fixture::{ADMIN, ANNA, Fixture};
use crate::call::PasswordVerdict;
use crate::connection::SlotId;
use crate::limits::{PASSWORD_BYTES, PASSWORD_CHECKS};
use crate::session::{LOCKOUT_ATTEMPTS, PasswordHash, canonical_password};

const OK: &str = r#"ok<!--separate-->{ "updatepassword": "success!"}"#;
const KILLED: &str = r#"{"type":"msg","data":{"type":"server-notice","data":"session killed"}}"#;

fn made(salt: u8) -> PasswordVerdict {
    PasswordVerdict::Made(PasswordHash::new(1, [salt; 16], [0; 32]).unwrap())
}

/// Posts a form to a call over HTTP.
fn post(fixture: &mut Fixture, path: &str, form: &str) -> SlotId {
    let id = fixture.connect();
    let head = format!("POST /system.library/{path} HTTP/1.1\r\nHost: h\r\nContent-Length: {}", form.len());
    fixture.put(id, format!("{head}\r\n\r\n{form}").as_bytes());
    id
}

/// Returns the content of the answer.
fn answer(fixture: &mut Fixture, id: SlotId) -> String {
    let response = String::from_utf8(fixture.get(id)).unwrap();
    fixture.server.release(id);
    response.split_once("\r\n\r\n").map(|(_, content)| content.to_owned()).unwrap_or_default()
}

fn change(fixture: &mut Fixture, form: &str) -> SlotId {
    post(fixture, "user/updatepassword", form)
}

fn refused(fixture: &mut Fixture, form: &str) -> String {
    let asked = fixture.system.checks.len();
    let id = change(fixture, form);
    assert_eq!(fixture.system.checks.len(), asked, "{form}");
    answer(fixture, id)
}

fn login(fixture: &mut Fixture, user: &str, device: &str) -> String {
    let id = post(fixture, "login", &format!("username={user}&password=x&deviceid={device}"));
    fixture.check_password(true);
    let content = answer(fixture, id);
    content.split(r#""sessionid":""#).nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[test]
fn own_password_is_changed_with_the_old_one() {
    let mut fixture = Fixture::new(6);
    let session = login(&mut fixture, "anna", "d");
    let id = change(&mut fixture, &format!("sessionid={session}&oldpassword=old&password=new-password"));
    let (old, new) = fixture.system.changes.pop().unwrap();
    assert_eq!((old, new), (Some(canonical_password(b"old")), canonical_password(b"new-password")));
    assert!(fixture.system.stored.is_empty(), "not before the old one was found right");
    fixture.finish_check(made(9));
    assert_eq!(fixture.system.stored, [("anna".to_owned(), 9)]);
    assert_eq!(answer(&mut fixture, id), OK);
    // In the other forms, and in the form in which Friend Core's clients send passwords.
    let hashed = canonical_password(b"newer");
    let socket = fixture.socket();
    let body = format!(
        r#"{{"sessionid":"{session}","username":"anna","oldpassword":"new","password":"{}"}}"#,
        core::str::from_utf8(&hashed).unwrap()
    );
    fixture.say(socket, &format!(r#"<!--"MSG"--"1"--"system.library/user/updatepassword"-->{body}<--!>"#));
    assert_eq!(fixture.system.changes.pop().unwrap().1, hashed);
    fixture.finish_check(made(10));
    assert_eq!(fixture.receive(socket), [OK]);
    fixture.say(
        socket,
        &format!(
            r#"{{"type":"msg","data":{{"type":"request","requestid":"r","path":"system.library/user/updatepassword","data":{body},"sessionid":"{session}"}}}}"#
        )
        .replace(&format!(r#""sessionid":"{session}","username""#), r#""username""#),
    );
    fixture.finish_check(made(11));
    let received = fixture.receive(socket);
    assert!(
        received[0].contains(r#""requestid":"r","data":"ok<!--separate-->{ \"updatepassword\""#),
        "{received:?}"
    );
    assert_eq!(fixture.system.stored, [("anna".to_owned(), 11)]);
}

#[test]
fn other_sessions_of_the_user_end_and_that_of_the_change_stays() {
    let mut fixture = Fixture::new(8);
    let (mine, other) = (login(&mut fixture, "anna", "1"), login(&mut fixture, "anna", "2"));
    let admin = login(&mut fixture, "admin", "3");
    let (here, there, his) = (fixture.bound(&mine), fixture.bound(&other), fixture.bound(&admin));
    let id = change(&mut fixture, &format!("sessionid={mine}&oldpassword=old&password=new-password"));
    fixture.finish_check(made(1));
    assert_eq!(answer(&mut fixture, id), OK);
    assert_eq!(fixture.receive(there), [KILLED]);
    assert!(fixture.receive(here).is_empty() && fixture.receive(his).is_empty());
    for (session, is_there) in [(&mine, true), (&other, false), (&admin, true)] {
        let id = post(&mut fixture, "validate", &format!("sessionid={session}"));
        assert_eq!(answer(&mut fixture, id).starts_with("ok"), is_there);
    }
    // A change by an administrator ends all sessions of the user.
    let id = change(&mut fixture, &format!("sessionid={admin}&username=anna&password=newer-password"));
    assert_eq!(fixture.system.changes.last().unwrap().0, None, "he need not know the old one");
    fixture.finish_check(made(2));
    assert_eq!(answer(&mut fixture, id), OK);
    assert_eq!(fixture.receive(here), [KILLED]);
    assert!(fixture.receive(his).is_empty());
}

#[test]
fn old_password_is_wrong_after_the_change() {
    let mut fixture = Fixture::new(8);
    let session = login(&mut fixture, "anna", "1");
    // The password changes between the check and its completion.
    let late = post(&mut fixture, "login", "username=anna&password=old&deviceid=2");
    let id = change(&mut fixture, &format!("sessionid={session}&oldpassword=old&password=new-password"));
    let also = change(&mut fixture, &format!("sessionid={session}&oldpassword=old&password=newest-password"));
    fixture.system.checks.rotate_right(1);
    fixture.finish_check(made(1));
    assert_eq!(fixture.system.stored, [("anna".to_owned(), 1)]);
    fixture.finish_check(made(2));
    fixture.finish_check(PasswordVerdict::Right);
    let answers = [id, also].map(|id| answer(&mut fixture, id));
    assert_eq!(answers.iter().filter(|answer| *answer == OK).count(), 1, "{answers:?}");
    assert!(answer(&mut fixture, late).contains(r#""code":"6""#));
    assert_eq!(fixture.system.stored, [("anna".to_owned(), 1)]);
}

#[test]
fn session_that_has_ended_meanwhile_changes_nothing() {
    let mut fixture = Fixture::new(8);
    let (one, two) = (login(&mut fixture, "anna", "1"), login(&mut fixture, "anna", "2"));
    let first = change(&mut fixture, &format!("sessionid={one}&oldpassword=old&password=new-password"));
    let second = change(&mut fixture, &format!("sessionid={two}&oldpassword=old&password=other-password"));
    fixture.system.checks.reverse();
    fixture.finish_check(made(1));
    fixture.finish_check(made(2));
    assert_eq!(answer(&mut fixture, first), OK);
    assert!(answer(&mut fixture, second).contains(r#""code":"11""#));
    assert_eq!(fixture.system.stored, [("anna".to_owned(), 1)]);
}

#[test]
fn wrong_old_password_counts_like_that_of_a_login() {
    let mut fixture = Fixture::new(6);
    let form = format!("sessionid={ANNA}&oldpassword=wrong&password=new-password");
    for attempt in 1..=LOCKOUT_ATTEMPTS {
        let id = change(&mut fixture, &form);
        fixture.finish_check(PasswordVerdict::Wrong);
        let refusal = answer(&mut fixture, id);
        let until = if attempt < LOCKOUT_ATTEMPTS { "0" } else { "1000010" };
        assert!(refusal.contains(&format!(r#"Account blocked until: {until}", "code":"6""#)), "{refusal}");
    }
    assert!(refused(&mut fixture, &form).contains("Account blocked until: 1000010"));
    let id = post(&mut fixture, "login", "username=anna&password=x&deviceid=d");
    assert!(answer(&mut fixture, id).contains("Account blocked until: 1000010"), "the login is blocked, too");
    // An administrator can still change it.
    let id = change(&mut fixture, &format!("sessionid={ADMIN}&username=anna&password=new-password"));
    fixture.finish_check(made(1));
    assert_eq!(answer(&mut fixture, id), OK);
}

#[test]
fn administrator_ends_the_blocks_of_a_user_or_of_all() {
    let mut fixture = Fixture::new(6);
    for (form, code) in [("username=anna", None), ("", None), ("username=nobody", Some("13"))] {
        for attempt in 1..=LOCKOUT_ATTEMPTS {
            let id = post(&mut fixture, "login", "username=anna&password=x&deviceid=d");
            fixture.finish_check(PasswordVerdict::Wrong);
            let refusal = answer(&mut fixture, id);
            assert_eq!(refusal.contains("until: 0"), attempt < LOCKOUT_ATTEMPTS, "{refusal}");
        }
        let not_allowed = post(&mut fixture, "user/unlock", &format!("sessionid={ANNA}&{form}"));
        assert!(answer(&mut fixture, not_allowed).contains(r#""code":"4""#));
        let id = post(&mut fixture, "user/unlock", &format!("sessionid={ADMIN}&{form}"));
        let said = answer(&mut fixture, id);
        match code {
            None => assert_eq!(said, r#"{ "Status": "ok"}"#),
            Some(code) => assert!(said.contains(&format!(r#""code":"{code}""#)), "{said}"),
        }
        let id = post(&mut fixture, "login", "username=anna&password=x&deviceid=d");
        if code.is_none() {
            fixture.finish_check(PasswordVerdict::Right);
            assert!(answer(&mut fixture, id).contains(r#""username":"anna""#));
        } else {
            assert!(answer(&mut fixture, id).contains("Account blocked until: 10000"), "still blocked");
        }
    }
}

#[test]
fn password_of_another_user_is_changed_by_administrators_only() {
    let mut fixture = Fixture::new(6);
    for (form, code) in [
        (format!("sessionid={ANNA}&username=admin&oldpassword=x&password=new-password"), "4"),
        // The answer does not reveal whether the user exists.
        (format!("sessionid={ANNA}&username=nobody&oldpassword=x&password=new-password"), "4"),
        (format!("sessionid={ADMIN}&username=nobody&password=new-password"), "13"),
        ("sessionid=nobody&password=new-password".to_owned(), "11"),
        ("password=new-password&oldpassword=x".to_owned(), "3"),
        // Even an administrator needs the old password for his own: another person may use the open page.
        (format!("sessionid={ADMIN}&password=new-password"), "14"),
        (format!("sessionid={ADMIN}&username=admin&password=new-password&oldpassword="), "14"),
    ] {
        let refusal = refused(&mut fixture, &form);
        assert!(refusal.contains(&format!(r#""code":"{code}""#)), "{form}: {refusal}");
    }
    let get = format!(
        "GET /system.library/user/updatepassword?sessionid={ANNA}&oldpassword=x&password=y HTTP/1.1\r\nHost: h\r\n\r\n"
    );
    let id = fixture.connect();
    assert!(fixture.http(id, &get).contains(r#""code":"5""#));
    let socket = fixture.socket();
    let event = format!(
        r#"{{"type":"msg","data":{{"type":"event","path":"system.library/user/updatepassword","data":{{"oldpassword":"x","password":"y"}},"sessionid":"{ANNA}"}}}}"#
    );
    assert!(fixture.say(socket, &event).is_empty());
    assert!(fixture.system.changes.is_empty());
}

#[test]
fn new_password_is_neither_empty_nor_over_its_limit() {
    let mut fixture = Fixture::new(6);
    let form = |old: &str, new: &str| format!("sessionid={ANNA}&oldpassword={old}&password={new}");
    let longest = "p".repeat(PASSWORD_BYTES);
    let id = change(&mut fixture, &form(&longest, &longest));
    fixture.finish_check(made(1));
    assert_eq!(answer(&mut fixture, id), OK);
    let long = refused(&mut fixture, &form("x", &(longest.clone() + "p")));
    assert!(long.contains("Function updatepassword returned: 22"), "{long}");
    let long = refused(&mut fixture, &form(&(longest + "p"), "long enough"));
    assert!(long.contains("Account blocked until: 0"), "{long}");
    let empty = refused(&mut fixture, &form("x", ""));
    assert!(empty.contains("Function updatepassword returned: 22"), "{empty}");
    // The form in which a hashing client sends an empty password.
    let empty = canonical_password(b"");
    let empty = refused(&mut fixture, &form("x", core::str::from_utf8(&empty).unwrap()));
    assert!(empty.contains("Function updatepassword returned: 22"), "{empty}");
}

#[test]
fn password_that_cannot_be_stored_is_not_changed() {
    let mut fixture = Fixture::new(6);
    let (one, two) = (login(&mut fixture, "anna", "1"), login(&mut fixture, "anna", "2"));
    let other = fixture.bound(&two);
    let id = change(&mut fixture, &format!("sessionid={one}&oldpassword=old&password=new-password"));
    fixture.system.is_full = true;
    fixture.finish_check(made(1));
    // ENOSPC, the error of the write.
    assert!(answer(&mut fixture, id).contains(r#"Function updatepassword returned: 28", "code":"18""#));
    assert!(fixture.receive(other).is_empty());
    // The old password stays right.
    fixture.system.is_full = false;
    let id = post(&mut fixture, "login", "username=anna&password=old&deviceid=1");
    fixture.check_password(true);
    assert!(answer(&mut fixture, id).contains(&one));
}

#[test]
fn queue_of_the_worker_is_shared_with_logins() {
    let mut fixture = Fixture::new(PASSWORD_CHECKS + 4);
    let form = format!("sessionid={ADMIN}&username=anna&password=new-password");
    for _ in 0..PASSWORD_CHECKS.div_ceil(2) {
        change(&mut fixture, &form);
    }
    assert!(refused(&mut fixture, &form).contains(r#""code":"17""#), "half of it is for others");
    fixture.finish_check(made(1));
    let id = change(&mut fixture, &form);
    fixture.system.is_full = true;
    fixture.finish_check(made(1));
    answer(&mut fixture, id);
    let id = change(&mut fixture, &form);
    assert!(answer(&mut fixture, id).contains(r#""code":"17""#), "the worker's own is full");
}

#[test]
fn change_is_dropped_with_its_connection() {
    let mut fixture = Fixture::new(6);
    let id = change(&mut fixture, &format!("sessionid={ANNA}&oldpassword=old&password=new-password"));
    fixture.server.release(id);
    fixture.finish_check(made(1));
    assert!(fixture.system.stored.is_empty());
}

#[test]
fn weak_new_password_is_refused_with_the_reason() {
    let mut fixture = Fixture::new(6);
    for (new, reason) in [
        ("sevench", "a new password must have at least 8 characters"),
        ("", "a new password must have at least 8 characters"),
    ] {
        for form in [format!("sessionid={ANNA}&oldpassword=x"), format!("sessionid={ADMIN}&username=anna")] {
            let answer = refused(&mut fixture, &format!("{form}&password={new}"));
            let expected =
                format!(r#"Function updatepassword returned: 22", "code":"18", "reason": "{reason}""#);
            assert!(answer.contains(&expected), "{answer}");
        }
    }
    let name = String::from_utf8(canonical_password(b"anna").to_vec()).unwrap();
    let answer = refused(&mut fixture, &format!("sessionid={ADMIN}&username=anna&password={name}"));
    assert!(answer.contains(r#""reason": "a new password must not be the name of the user""#), "{answer}");
}

/// They stayed blocked for up to an hour with the password that the administrator had just set.
#[test]
fn password_set_by_an_administrator_ends_the_blocks_of_its_user() {
    let mut fixture = Fixture::new(6);
    for _ in 0..LOCKOUT_ATTEMPTS {
        let id = post(&mut fixture, "login", "username=anna&password=x&deviceid=d");
        fixture.check_password(false);
        answer(&mut fixture, id);
    }
    assert!(
        refused(&mut fixture, &format!("sessionid={ANNA}&oldpassword=x&password=new-password"))
            .contains("until")
    );
    let id = change(&mut fixture, &format!("sessionid={ADMIN}&username=anna&password=new-password"));
    fixture.finish_check(made(9));
    assert_eq!(answer(&mut fixture, id), OK);
    login(&mut fixture, "anna", "d");
}
