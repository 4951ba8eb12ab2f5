//! A booted board whose slot B was given up. `cargo xtask trial` boots it, and waits until A is back.

use super::*;

/// Checks that the owner of the file logs in, and gets the notice with this reason.
fn owner_gets(reason: &str) -> String {
    let person = Person(Directory::new());
    person.done(&["login", "fadmin"], "secret\n");
    let status = person.done(&["board", "--json"], "");
    assert_eq!(member(&status, "Slot"), "A");
    assert_eq!(
        (member(&status, "DeviceFile"), member(&status, "Complaint")),
        ("given".into(), String::new())
    );
    let notice = format!("slot B was given up: {reason}");
    assert!(member(&status, "Notice").starts_with(&notice), "{status}");
    let mut socket = socket();
    socket.bind(ADMIN);
    assert!(socket.text().contains(&notice));
    status
}

#[test]
#[ignore = "needs a booted board"]
fn version_that_does_not_know_a_key_is_given_up() {
    owner_gets("built-in default in force: /data/friendlet.toml:");
    until("A is good", || call("board/status").contains(r#""SlotState": "good""#));
}

#[test]
#[ignore = "needs a booted board"]
fn service_that_is_required_and_does_not_run_gives_a_slot_up() {
    let status = owner_gets("service broken is not up");
    // Without it, A is not good either; it serves.
    assert_eq!(member(&status, "SlotState"), "confirmed");
    assert_eq!(member(&status, "SlotMissing"), "service broken is not up");
}
