//! Reload while a call waits for the disk.

use core::time::Duration;

use super::fixture::{ADMIN, Fixture, frame};
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
        idle_timeout: Duration::from_secs(60),
        lockout: (3, LOCKOUT_TIME),
        update: crate::config::Update::default(),
    };
    let services = fixture.server.services().table().clone();
    fixture.server.reload(settings, services, fixture.now, &mut fixture.system);
    assert!(fixture.server.reload_is_due());
    let path = "system.library/services/hello/install";
    fixture.deliver(id, &frame(&format!(r#"<!--"MSG"--"9"--"{path}"-->{{"sessionid":"{ADMIN}"}}<--!>"#)));
    assert_eq!(fixture.system.writes.len(), 1);
    assert!(!fixture.server.reload_is_due());
    fixture.settle();
    assert!(fixture.server.reload_is_due());
}
