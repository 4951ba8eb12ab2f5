//! What a change of the configuration puts in force, and who may confirm it.

use std::fs;

use super::services::OK;
use super::trial::{change, confirm, device};
use crate::support::{Device, Server};

#[test]
fn new_address_is_refused_while_its_encryption_waits_for_a_restart() {
    let server = Server::start(&device(""));
    let encrypted = |address: &str| Device { tls: true, address: address.to_owned(), ..device("") };
    for parameters in ["", "dryrun=true"] {
        let answer = change(&server, &encrypted("0.0.0.0:0"), parameters);
        assert!(answer.contains("cannot be opened while [listen] tls"), "{answer}");
    }
    assert!(confirm(&server).contains("no change waits"));
    // One after the other is the same.
    let answer = change(&server, &encrypted("127.0.0.1:0"), "");
    assert!(answer.contains(r#""NeedsRestart": ["[listen] tls"]"#), "{answer}");
    assert_eq!(confirm(&server), OK);
    let answer = change(&server, &encrypted("0.0.0.0:0"), "");
    assert!(answer.contains("cannot be opened while [listen] tls"), "{answer}");
    server.stop();
}

#[test]
fn new_address_is_refused_while_its_certificate_waits_for_a_restart() {
    let of = |address: &str, keys: &str| {
        Device { tls: true, address: address.to_owned(), ..device("") }.listen(keys)
    };
    let server = Server::start(&of("127.0.0.1:0", ""));
    // The one in use stays, and with it clients need no certificate.
    let directory = server.directory();
    fs::copy(directory.file("state/tls/certificate.pem"), directory.file("state/ca.pem")).unwrap();
    fs::remove_file(directory.file("state/tls/certificate.pem")).unwrap();
    let answer = change(&server, &of("127.0.0.2:0", "client_ca = \"ca.pem\""), "");
    assert!(answer.contains("cannot be opened while [listen] certificate"), "{answer}");
    server.stop();
}
