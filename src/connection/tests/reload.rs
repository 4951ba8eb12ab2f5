//! Reload while a call waits for the disk.

use core::time::Duration;

use super::fixture::{ADMIN, Fixture, frame};
use crate::api::Board;
use crate::connection::Settings;
use crate::session::LOCKOUT_TIME;

#[test]
fn reload_ends_after_a_write_to_the_disk() {
    let mut fixture = Fixture::new(4);
    let id = fixture.bound(ADMIN);
    let accounts = &fixture.server.api.accounts;
    let settings = Settings {
        users: accounts.users.clone(),
        tokens: accounts.tokens.clone(),
        origins: heapless::Vec::new(),
        public_url: heapless::String::new(),
        session: (Duration::from_secs(60), Duration::MAX),
        lockout: (3, LOCKOUT_TIME),
        update: crate::config::Update::default(),
        kept: None,
    };
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
    let accounts = &fixture.server.api.accounts;
    let settings = Settings {
        users: accounts.users.clone(),
        tokens: accounts.tokens.clone(),
        origins: heapless::Vec::new(),
        public_url: "https://new.example:443/board".try_into().unwrap(),
        session: (Duration::from_secs(60), Duration::MAX),
        lockout: (3, LOCKOUT_TIME),
        update: crate::config::Update::default(),
        kept: None,
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
