//! Changes of the configuration: who confirms them, over which connection, and when.

use core::time::Duration;

use super::fixture::{ADMIN, ANNA, Fixture, upgrade};
use crate::api::{CHANGE_CONFIRM_TIME, Trial};
use crate::call::{Completion, ConfigurationWork, UserName};
use crate::connection::{Peer, SlotId};

fn trial(fixture: &Fixture, has_address: bool) -> Trial {
    let address = has_address.then_some(([192, 0, 2, 1], 6501).into());
    let (since, until) = (fixture.now, fixture.now + CHANGE_CONFIRM_TIME);
    let by = UserName::try_from("admin").unwrap();
    Trial { change: 7, by, since, until, is_writing: false, address, needs_login: false }
}

/// Makes a call, and returns the answer if there is one yet.
fn call(fixture: &mut Fixture, id: SlotId, path: &str, session: &str) -> String {
    fixture.say(id, &format!(r#"<!--"MSG"--"9"--"system.library/board/{path}"-->{session}<--!>"#)).concat()
}

fn confirm(fixture: &mut Fixture, id: SlotId) -> String {
    call(fixture, id, "confirm", &format!(r#"{{"sessionid":"{ADMIN}"}}"#))
}

#[test]
fn change_is_confirmed_within_its_time_or_over() {
    let mut fixture = Fixture::new(4);
    let early = fixture.bound(ADMIN);
    assert!(confirm(&mut fixture, early).contains("no change waits to be confirmed"));
    fixture.server.begin_trial(trial(&fixture, false));
    assert!(confirm(&mut fixture, early).contains("older than the change"));
    fixture.now += CHANGE_CONFIRM_TIME - Duration::from_nanos(1);
    assert!(!fixture.server.trial_is_over(fixture.now));
    let late = fixture.bound(ADMIN);
    assert_eq!(confirm(&mut fixture, late), "");
    assert!(matches!(fixture.system.configurations[..], [(_, ConfigurationWork::Write)]));
    // The time does not count while the file is written.
    fixture.now += CHANGE_CONFIRM_TIME;
    assert!(!fixture.server.trial_is_over(fixture.now));
    let id = fixture.system.configurations[0].0;
    fixture.server.continue_trial();
    let failed = Completion::Confirmed(Err("f.toml: No space left"));
    fixture.server.handle_completion(id, failed, fixture.now, &mut fixture.system);
    assert!(fixture.receive(late).concat().contains("No space left"));
    assert!(fixture.server.trial_is_over(fixture.now));
    assert!(confirm(&mut fixture, late).contains("no change waits to be confirmed"));
    assert!(fixture.server.end_trial(false).is_some() && !fixture.server.trial_is_over(fixture.now));
}

#[test]
fn change_is_confirmed_over_the_address_that_it_opened() {
    let mut fixture = Fixture::new(4);
    fixture.server.begin_trial(trial(&fixture, true));
    fixture.now += Duration::from_secs(1);
    let old = fixture.bound(ADMIN);
    assert!(confirm(&mut fixture, old).contains("over a connection to that"));
    let beside = fixture.server.claim(Peer::Beside([192, 0, 2, 7].into()), fixture.now).unwrap();
    fixture.http(beside, &upgrade("/fcws"));
    assert_eq!(confirm(&mut fixture, beside), "");
}

#[test]
fn only_administrators_reach_the_configuration() {
    let mut fixture = Fixture::new(4);
    let anna = fixture.bound(ANNA);
    for path in ["configuration", "confirm"] {
        let answer = call(&mut fixture, anna, path, &format!(r#"{{"sessionid":"{ANNA}","text":"x"}}"#));
        assert!(answer.contains("Admin rights required"), "{answer}");
    }
    assert!(fixture.system.configurations.is_empty());
}
