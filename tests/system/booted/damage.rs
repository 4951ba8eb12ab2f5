//! A booted board whose data partition is damaged, and a factory reset: `cargo xtask damage`.

use std::time::Instant;

use friendlet::limits::BOARD;
use friendlet::net::tls::public_key;
use ring::digest::{SHA256, digest};

use super::*;

/// SHA-256 of the public key that the board shows.
fn shown() -> String {
    let Stream::Tls(stream) = Stream::tls(board().server()) else { panic!("no TLS") };
    let certificate = &stream.conn.peer_certificates().unwrap()[0];
    digest(&SHA256, public_key(certificate).unwrap())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// File with that of the board before any damage, between two tests.
fn pin_file() -> String {
    std::env::var("FRIENDLET_PIN").expect("FRIENDLET_PIN names a file")
}

fn pin() -> String {
    fs::read_to_string(pin_file()).unwrap()
}

#[test]
#[ignore = "needs a booted board"]
fn changed_password_is_in_the_backup_soon() {
    fs::write(pin_file(), shown()).unwrap();
    let person = Person(Directory::new());
    person.done(&["login", "fadmin"], "secret\n");
    person.done(&["passwd"], "secret\nbetter-1\n");
    let start = Instant::now();
    let look = "line=$(tail -n 1 /data/state/passwords); for slot in 7168 7680; do \
                dd if=/dev/vda bs=512 skip=$slot count=512 2> /dev/null | grep -cF \"$line\"; done";
    until("both slots have it", || board().run(look) == "1\n1\n");
    println!("in both slots {:.1} s after the answer", start.elapsed().as_secs_f64());
}

#[test]
#[ignore = "needs a booted board"]
fn owner_logs_in_with_his_password_and_his_certificate() {
    let person = Person(Directory::new());
    person.done(&["--fingerprint", &pin(), "login", "fadmin"], "better-1\n");
    println!("{}", person.done(&["board"], ""));
    let old = Person(Directory::new()).run(&["login", "fadmin"], "secret\n");
    assert_eq!(old.code, Some(77), "{old:?}");
}

#[test]
#[ignore = "needs a booted board"]
fn owner_resets_the_board() {
    let person = Person(Directory::new());
    person.done(&["--fingerprint", &pin(), "login", "fadmin"], "better-1\n");
    let wrong = person.run(&["factory-reset"], "yes\n");
    assert!(wrong.code == Some(1) && wrong.stderr.contains("nothing was erased"), "{wrong:?}");
    let text = person.done(&["factory-reset"], &format!("{BOARD}\n"));
    assert_eq!(text, "factory-reset: ok\n");
}

#[test]
#[ignore = "needs a booted board"]
fn nothing_of_the_owner_is_left() {
    assert_ne!(shown(), pin());
    for password in ["better-1\n", "secret\n"] {
        let run = Person(Directory::new()).run(&["login", "fadmin"], password);
        assert_eq!(run.code, Some(77), "{run:?}");
    }
}
