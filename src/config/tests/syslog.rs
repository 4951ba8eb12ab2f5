//! `[syslog]`, correct and wrong.

use super::super::{References, Source, parse_with_warnings};
use super::{config, errors};
use crate::syslog::Facility;

const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";

#[test]
fn every_key_is_read() {
    assert!(config("").syslog.is_none() && config("[syslog]\n").syslog.is_none());
    let plain = config("[syslog]\naddress = 'udp://192.0.2.1'\n").syslog.unwrap();
    assert_eq!(plain.target.to_string(), "udp://192.0.2.1:514");
    assert!(plain.has_audit && !plain.has_log && plain.key.is_none() && plain.host.is_empty());
    assert_eq!(plain.facility, Facility::from_name("daemon").unwrap());
    let keys = "facility = 'local7'\nhostname = 'board-7'\naudit = false";
    let pinned = config(&format!("[syslog]\naddress = 'tls://[::1]:7000'\nfingerprint = '{KEY}'\n{keys}\n"));
    let pinned = pinned.syslog.unwrap();
    assert_eq!((pinned.key.unwrap()[1], pinned.host.as_str(), pinned.has_audit), (0x11, "board-7", false));
    let signed =
        config("[syslog]\naddress = 'tls://[::1]'\nca = '/etc/ca.pem'\nserver_name = 'logs.example'\n");
    let signed = signed.syslog.unwrap();
    assert_eq!((signed.authority.as_str(), signed.server_name.as_str()), ("/etc/ca.pem", "logs.example"));
}

#[test]
fn services_have_the_default_of_the_table_or_their_own() {
    let services = |keys: &str| {
        let text = format!(
            "[syslog]\naddress = 'udp://192.0.2.1'\n{keys}\n[[service]]\nname = 'a'\ncommand = ['a']\n\
             [[service]]\nname = 'b'\ncommand = ['b']\nsyslog = true\n\
             [[service]]\nname = 'c'\ncommand = ['c']\nsyslog = false\n"
        );
        let services = config(&text).services;
        ["a", "b", "c", "hello"].map(|name| services.get(services.find(name).unwrap()).unwrap().is_sent.0)
    };
    assert_eq!(services(""), [true, true, false, true]);
    assert_eq!(services("services = false"), [false, true, false, false]);
}

#[test]
fn every_error_is_reported_with_its_place() {
    for (keys, error) in [
        ("facility = 'user'", "1:1: [syslog] has no address; write address = \"udp://192.0.2.1:514\""),
        (
            "address = 'udp://logs.example'",
            "2:11: address: expected 'udp://ADDRESS:PORT' or 'tls://ADDRESS:PORT' with an IP address, \
             or 'journal', found 'udp://logs.example'",
        ),
        (
            "address = 'tls://[::1]'",
            "2:11: address: with tls:// either ca or fingerprint has to prove that it is the log server; \
             set one of the two",
        ),
        ("address = 'udp://[::1]'\nca = '/a'", "3:6: ca: needs an address with tls://"),
        ("address = 'udp://[::1]'\nserver_name = 'a'", "3:15: server_name: needs an address with tls://"),
        (
            "address = 'tls://[::1]'\nfingerprint = 'x'",
            "3:15: fingerprint: expected SHA-256 as 64 hexadecimal digits, found 'x'",
        ),
        (
            "address = 'udp://[::1]'\nhostname = 'my board'",
            "3:12: hostname: expected a name of visible ASCII characters, such as 'logs.example', found 'my board'",
        ),
    ] {
        assert_eq!(errors(&format!("[syslog]\n{keys}\n")), format!("{error}\n"), "{keys}");
    }
    let both = format!("[syslog]\naddress = 'tls://[::1]'\nca = '/a'\nfingerprint = '{KEY}'\n");
    assert!(errors(&both).starts_with("2:11: address: with tls:// either ca or fingerprint"));
}

#[test]
fn what_others_read_and_what_nobody_learns_is_a_warning() {
    let warnings = |text: &str| {
        let (_, warnings) = parse_with_warnings(&[Source::new("f", text)], References::Known, "f").unwrap();
        warnings.iter().map(|warning| warning.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(warnings("[syslog]\naddress = 'udp://10.0.0.1'\n"), [""; 0]);
    assert_eq!(
        warnings("[syslog]\naddress = 'udp://198.41.0.4'\naudit = false\n"),
        [
            "address: anyone on the way to this public address can read and change what is sent",
            "audit: the log server does not learn who did what",
        ]
    );
}
