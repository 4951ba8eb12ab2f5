//! `[[check]]`, and the short form of a check in a service.

use super::super::checks::is_absolute_path;
use super::super::key::Default::{Boolean, Integer, Required, String, Unset};
use super::super::key::{Key, Kind, Table, any, board_limit, documentation, fixed, word};
use super::SERVICE_NAME;
use crate::service::{
    CHECK_FAILURES, CHECK_FAILURES_MAX, CHECK_GRACE, CHECK_GRACE_MAX, CHECK_PERIOD, CHECK_PERIOD_MAX,
    CHECK_TIMEOUT, CHECK_TIMEOUT_MAX, UNIX_PATH_BYTES,
};

/// `[[check]]`.
pub static CHECK: Table = Table {
    name: "check",
    header: "[[check]]",
    doc: documentation("A health check. It has exactly one of `tcp`, `unix`, `http` and `command`."),
    fixed: &[],
    keys: &KEYS,
};

/// The value of `health` in a service: the same keys, but for those that the service gives.
pub static HEALTH: Table = Table {
    name: "health",
    header: "health = { .. }",
    doc: documentation("The check of a service."),
    fixed: &[],
    keys: KEYS.split_at(GIVEN).1,
};

/// Keys of a check that the service gives in the short form: `name`, `level`, `service` and `enabled`.
const GIVEN: usize = 4;

static KEYS: [Key; 12] = [
    Key::new(
        "name",
        SERVICE_NAME,
        Required,
        "Name in reports, different for each check.",
    )
    .example("\"clock-port\"")
    .reload(),
    Key::new(
        "level",
        Kind::Choice(&["alive", "ready"]),
        String("alive"),
        "`alive`: the board works. `ready`: it also does its work. `/healthz?level=ready` asks for both.",
    )
    .reload(),
    Key::new(
        "service",
        Kind::string(board_limit!(SERVICE_NAME_BYTES), "", any),
        Unset(documentation("none")),
        "Service that is checked while it runs. When the check fails, the service is stopped, and its \
         restart policy decides.",
    )
    .example("\"clock\"")
    .reload(),
    Key::new(
        "enabled",
        Kind::Boolean,
        Boolean(true),
        "`false` masks the check, with any of an earlier file under its name.",
    )
    .reload(),
    Key::new(
        "tcp",
        Kind::parsed("a numeric address with a port, such as '127.0.0.1:8080'"),
        Unset(documentation("none")),
        "Healthy when a TCP connection to this address is accepted.",
    )
    .example("\"127.0.0.1:8080\"")
    .reload(),
    Key::new(
        "unix",
        Kind::string(fixed(UNIX_PATH_BYTES as u64), "an absolute path", is_absolute_path),
        Unset(documentation("none")),
        "Healthy when a connection to this UNIX socket is accepted.",
    )
    .example("\"/run/clock.sock\"")
    .reload(),
    Key::new(
        "http",
        Kind::parsed("a URL with a numeric address, such as 'http://127.0.0.1:8080/health'"),
        Unset(documentation("none")),
        "Healthy when `GET` of this URL is answered with a status of 200 to 299. Plain HTTP.",
    )
    .example("\"http://127.0.0.1:8080/health\"")
    .reload(),
    Key::new(
        "command",
        Kind::Command,
        Unset(documentation("none")),
        "Healthy when this program exits with 0. It runs with user, directory and environment of the service.",
    )
    .example("[\"/usr/bin/clock\", \"--self-test\"]")
    .reload(),
    Key::new(
        "period_s",
        Kind::integer(1, CHECK_PERIOD_MAX.as_secs()),
        Integer(word(CHECK_PERIOD.as_secs())),
        "Seconds from the begin of one attempt to that of the next.",
    )
    .reload(),
    Key::new(
        "timeout_s",
        Kind::integer(1, CHECK_TIMEOUT_MAX.as_secs()),
        Integer(word(CHECK_TIMEOUT.as_secs())),
        "Seconds after which an attempt without a result has failed. A program is killed.",
    )
    .reload(),
    Key::new(
        "limit",
        Kind::integer(1, CHECK_FAILURES_MAX as u64),
        Integer(word(CHECK_FAILURES as u64)),
        "Failures in a row after which the check is failing.",
    )
    .reload(),
    Key::new(
        "grace_s",
        Kind::integer(0, CHECK_GRACE_MAX.as_secs()),
        Integer(word(CHECK_GRACE.as_secs())),
        "Seconds before the first attempt after the start of the service, or of the server.",
    )
    .reload(),
];
