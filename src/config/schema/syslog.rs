//! `[syslog]`: one row a key.

use crate::config::checks::{is_absolute_path_or_empty, is_log_name_or_empty};
use crate::config::key::Default::{Boolean, String, Unset};
use crate::config::key::{Key, Kind, Table, board_limit, documentation, fixed};
use crate::syslog::{Facility, SYSLOG_NAME_BYTES};

/// `[syslog]`.
pub static SYSLOG: Table = Table {
    name: "syslog",
    header: "[syslog]",
    doc: documentation("Log server for the output of services and the audit trail (RFC 5424): docs/logs.md."),
    fixed: &[],
    keys: &[
        Key::new(
            "address",
            Kind::parsed("'udp://ADDRESS:PORT' or 'tls://ADDRESS:PORT' with an IP address, or 'journal'"),
            Unset(documentation("none: nothing is sent")),
            "Address of the log server, in numbers: the server looks no names up. Without a port it is 514, with TLS 6514.",
        )
        .example("\"udp://192.0.2.1:514\"")
        .reload(),
        Key::new(
            "ca",
            Kind::string(board_limit!(FILE_PATH_BYTES), "an absolute path", is_absolute_path_or_empty),
            String(""),
            "PEM file of an authority. With `tls://`, the log server must show a certificate of it.",
        )
        .reload(),
        Key::new(
            "server_name",
            Kind::string(
                fixed(SYSLOG_NAME_BYTES as u64),
                "a name of visible ASCII characters, such as 'logs.example'",
                is_log_name_or_empty,
            ),
            String(""),
            "Name in that certificate. Empty: the address.",
        )
        .reload(),
        Key::new(
            "fingerprint",
            Kind::parsed("SHA-256 as 64 hexadecimal digits"),
            String(""),
            "SHA-256 of the public key that the log server must have, in place of `ca`.",
        )
        .reload(),
        Key::new(
            "facility",
            Kind::Choice(&Facility::NAMES),
            String("daemon"),
            "Facility of the messages; that of the audit trail is `authpriv`.",
        )
        .reload(),
        Key::new(
            "hostname",
            Kind::string(
                fixed(SYSLOG_NAME_BYTES as u64),
                "a name of visible ASCII characters, such as 'logs.example'",
                is_log_name_or_empty,
            ),
            String(""),
            "Name of this board in the messages. Empty: that of the system.",
        )
        .reload(),
        Key::new(
            "services",
            Kind::Boolean,
            Boolean(true),
            "Sends the output of each service without a `syslog` of its own.",
        )
        .reload(),
        Key::new(
            "audit",
            Kind::Boolean,
            Boolean(true),
            "Sends the audit trail, also without a file of it.",
        )
        .reload(),
        Key::new(
            "server_log",
            Kind::Boolean,
            Boolean(false),
            "Sends the log of the server. Not on a board whose log is frames.",
        )
        .reload(),
    ],
};
