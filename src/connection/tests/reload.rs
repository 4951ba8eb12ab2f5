//! Reload while a call waits for the disk.

use core::time::Duration;

use super::fixture::{ADMIN, ANNA, Fixture, frame};
use crate::api::Board;
use crate::connection::Settings;
use crate::service::ServiceTable;
use crate::session::{Grants, LOCKOUT_TIME, Users};

/// Settings with these users, and the tokens in force.
fn settings(fixture: &Fixture, users: Users) -> Settings {
    Settings {
        users,
        tokens: fixture.server.api.accounts.tokens.clone(),
        front: crate::http::Front::default(),
        session: (Duration::from_secs(60), Duration::MAX),
        lockout: (3, LOCKOUT_TIME),
        update: crate::config::Update::default(),
        kept: None,
    }
}

#[test]
fn stream_of_a_user_with_other_rights_has_all_states_anew() {
    let mut fixture = Fixture::new(4);
    let request = |session| {
        format!("GET /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {session}\r\n\r\n")
    };
    let streams = [ANNA, ADMIN].map(|session| {
        let id = fixture.connect();
        (id, fixture.http(id, &request(session)))
    });
    let [(anna, _), (admin, all)] = &streams;
    let before = fixture.server.api.accounts.users.clone();
    let with = |services: &[&str]| {
        let mut users = Users::new();
        for (_, user) in before.iter() {
            let mut user = user.clone();
            if user.name == "anna" {
                user.services = Grants::default();
                services.iter().for_each(|name| user.services.push(name).unwrap());
            }
            users.push(user).unwrap();
        }
        users
    };
    for services in [&["hello", "clock"][..], &["clock"], &[]] {
        let settings = settings(&fixture, with(services));
        fixture.server.set(settings, fixture.now, &mut fixture.system);
        let read = String::from_utf8(fixture.get(*anna)).unwrap();
        let mut events = read.split_terminator("\n\n");
        assert_eq!(events.next(), Some("event: server-notice\ndata: \"rights changed\""));
        for name in ["hello", "clock"] {
            let state = format!("event: service-change\ndata: {{\"service\":\"{name}\"");
            assert!(all.contains(&state), "{all}");
            assert_eq!(read.contains(&state), services.contains(&name), "{services:?}: {read}");
        }
    }
    let settings = settings(&fixture, with(&[]));
    fixture.server.set(settings, fixture.now, &mut fixture.system);
    assert!(fixture.get(*anna).is_empty() && fixture.get(*admin).is_empty(), "their rights are the same");
}

#[test]
fn services_that_leave_are_reported_to_all_and_those_that_stay_to_nobody() {
    let mut fixture = Fixture::new(4);
    let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {ANNA}\r\n\r\n");
    let id = fixture.connect();
    fixture.http(id, &request);
    let same = fixture.server.services().table().clone();
    for (later, is_reported) in [(same, false), (ServiceTable::new(), true)] {
        let later = fixture.server.services().table().succeed(later);
        fixture.server.reload(later, fixture.now, &mut fixture.system);
        fixture.server.finish_reload(fixture.now, None, &mut |_| None);
        let read = String::from_utf8(fixture.get(id)).unwrap();
        assert_eq!(read.contains("event: server-notice\ndata: \"services changed\""), is_reported, "{read}");
    }
}

#[test]
fn reload_ends_after_a_write_to_the_disk() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    let settings = settings(&fixture, fixture.server.api.accounts.users.clone());
    let services = fixture.server.services().table().clone();
    fixture.server.set(settings, fixture.now, &mut fixture.system);
    fixture.server.reload(services, fixture.now, &mut fixture.system);
    assert!(fixture.server.reload_is_due());
    let path = "system.library/services/hello/install";
    fixture.deliver(id, &frame(&format!(r#"<!--"MSG"--"9"--"{path}"-->{{"sessionid":"{ADMIN}"}}<--!>"#)));
    assert_eq!(fixture.system.writes.len(), 1);
    assert!(!fixture.server.reload_is_due());
    fixture.settle();
    assert!(fixture.server.reload_is_due());
}

#[test]
fn origins_of_a_reload_are_in_force_at_once() {
    let mut fixture =
        Fixture::with_tables(4, Board::default(), "[listen]\norigins = ['https://old.example']\n");
    let login = |origin: &str| {
        format!(
            "POST /system.library/login HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\nContent-Length: 35\r\n\r\n\
             username=anna&password=x&deviceid=d"
        )
    };
    let waiting = fixture.connect();
    fixture.put(waiting, login("https://old.example").as_bytes());
    let settings = Settings {
        front: crate::http::Front {
            public_url: "https://new.example:443/board".try_into().unwrap(),
            ..crate::http::Front::default()
        },
        ..settings(&fixture, fixture.server.api.accounts.users.clone())
    };
    let services = fixture.server.services().table().clone();
    fixture.server.set(settings, fixture.now, &mut fixture.system);
    fixture.server.reload(services, fixture.now, &mut fixture.system);
    let id = fixture.connect();
    assert!(fixture.http(id, &login("https://old.example")).starts_with("HTTP/1.1 403 "));
    let id = fixture.connect();
    fixture.put(id, login("https://new.example").as_bytes());
    fixture.check_password(true);
    let response = String::from_utf8(fixture.get(id)).unwrap();
    assert!(response.contains("\r\naccess-control-allow-origin: https://new.example\r\n"), "{response}");

    // The page that has waited may not read the response.
    fixture.check_password(true);
    let response = String::from_utf8(fixture.get(waiting)).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 ") && !response.contains("old.example"), "{response}");
}
