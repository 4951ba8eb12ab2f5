//! List of sessions, and their end by others or by time.

use core::time::Duration;

use super::fixture::{ADMIN, Fixture};

const NOTICE: &str = r#"{"type":"msg","data":{"type":"server-notice","data":"session WORD"}}"#;
/// Keeps a socket open, and makes no call.
const PONG: &str = r#"{"type":"con","data":{"type":"pong","data":1}}"#;

/// Makes a call in the frame on a new socket.
fn call(fixture: &mut Fixture, path: &str, session: &str, rest: &str) -> String {
    let id = fixture.socket();
    let text = format!(
        r#"<!--"MSG"--"1"--"system.library/sessions/{path}"-->{{"sessionid":"{session}"{rest}}}<--!>"#
    );
    let answer = fixture.say(id, &text).concat();
    fixture.server.release(id);
    answer
}

/// Public ids of the list in an answer.
fn ids(answer: &str) -> Vec<String> {
    let parts = answer.split(r#""Session": ""#).skip(1);
    parts.map(|part| part.split('"').next().unwrap().to_owned()).collect()
}

const OK: &str = r#"{ "Status": "ok"}"#;

#[test]
fn sessions_are_listed_without_their_ids() {
    let mut fixture = Fixture::new(6);
    let [phone, tablet] = ["phone", "tablet"].map(|device| fixture.login("anna", device));
    let admin = fixture.login("admin", "rack");
    fixture.bound(&tablet);
    fixture.pass(Duration::from_secs(7));
    let own = call(&mut fixture, "list", &phone, "");
    assert_eq!(ids(&own).len(), 2, "{own}");
    let all = call(&mut fixture, "list", ADMIN, "");
    assert_eq!(ids(&all).len(), 3, "{all}");
    for session in [&phone, &tablet, &admin] {
        assert!(!all.contains(session.as_str()) && !own.contains(session.as_str()));
    }
    let members = |user: &str, device: &str, rest: &str| {
        format!(r#""User": "{user}", "Device": "{device}", "From": "192.0.2.1", "Since": 7, {rest}}}"#)
    };
    for entry in [
        members("anna", "phone", r#""Idle": 0, "Bound": false, "Own": true"#),
        members("anna", "tablet", r#""Idle": 0, "Bound": true, "Own": false"#),
    ] {
        assert!(own.contains(&entry), "{own}");
    }
    let entry = members("admin", "rack", r#""Idle": 7, "Bound": false, "Own": false"#);
    assert!(all.contains(&entry) && !own.contains("rack"), "{all}");
}

#[test]
fn user_ends_own_sessions_and_an_administrator_any() {
    let mut fixture = Fixture::new(6);
    let [phone, tablet] = ["phone", "tablet"].map(|device| fixture.login("anna", device));
    let admin = fixture.login("admin", "rack");
    let [of_phone, of_tablet] =
        <[String; 2]>::try_from(ids(&call(&mut fixture, "list", &phone, ""))).unwrap();
    let of_admin = ids(&call(&mut fixture, "list", &admin, "")).pop().unwrap();
    let end = |fixture: &mut Fixture, session: &str, id: &str| {
        call(fixture, "end", session, &format!(r#","session":"{id}""#))
    };
    let killed = NOTICE.replace("WORD", "killed");
    let id = fixture.bound(&tablet);
    assert_eq!(end(&mut fixture, &phone, &of_tablet), OK);
    assert_eq!(fixture.receive(id), core::slice::from_ref(&killed));
    fixture.server.release(id);
    for (session, id) in [(&phone, &of_tablet), (&phone, &of_admin), (&admin, &"00000000".to_owned())] {
        assert!(end(&mut fixture, session, id).contains("Function end returned: 2"), "{id}");
    }
    let others = call(&mut fixture, "end", &phone, r#","username":"admin""#);
    assert!(others.contains(r#""code":"4""#), "{others}");
    assert!(call(&mut fixture, "end", &phone, "").contains("Missing parameters: session"));
    assert!(call(&mut fixture, "end", &admin, r#","username":"eve""#).contains("User not found"));
    assert_eq!(ids(&call(&mut fixture, "list", &admin, "")), [of_phone, of_admin.clone()]);
    assert_eq!(call(&mut fixture, "end", ADMIN, r#","username":"anna""#), OK);
    assert_eq!(ids(&call(&mut fixture, "list", ADMIN, "")), [of_admin]);
    // The own one, last.
    let id = fixture.bound(&admin);
    assert_eq!(call(&mut fixture, "end", &admin, r#","username":"admin""#), OK);
    assert_eq!(fixture.receive(id), [killed]);
}

#[test]
fn socket_of_a_wall_display_stays_until_the_lifetime_ends() {
    let mut fixture = Fixture::new(4);
    let session = fixture.login("anna", "wall");
    let id = fixture.bound(&session);
    let step = Duration::from_secs(20);
    // Longer than the idle time, without a call.
    for _ in 0..2 * 10_800 / 20 {
        fixture.pass(step);
        assert!(fixture.say(id, PONG).is_empty());
    }
    let opened = fixture.now;
    let lifetime = opened + step;
    fixture.server.api.accounts.sessions.set_times(Duration::from_secs(10_800), lifetime);
    fixture.pass(step / 2);
    assert!(fixture.say(id, PONG).is_empty());
    fixture.pass(step);
    assert_eq!(fixture.receive(id), [NOTICE.replace("WORD", "timeout")]);
}
