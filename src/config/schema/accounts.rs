//! `[session]`, `[[user]]`, `[[token]]`.

use super::super::key::Default::{Empty, Integer, Required, String, Unset};
use super::super::key::{Form, Key, Kind, LINE, Table, any, board_limit, documentation, is_line, word};
use crate::session::{
    IDLE_TIMEOUT, IDLE_TIMEOUT_MAX, IDLE_TIMEOUT_MIN, LIFETIME, LIFETIME_MAX, LOCKOUT_ATTEMPTS,
    LOCKOUT_ATTEMPTS_MAX, LOCKOUT_TIME, LOCKOUT_TIME_MAX, is_user_name,
};

/// `[session]`.
pub static SESSION: Table = Table {
    name: "session",
    header: "[session]",
    doc: documentation("End of idle sessions, and protection against guessed passwords."),
    fixed: &[],
    keys: &[
        Key::new(
            "idle_timeout_s",
            Kind::integer(IDLE_TIMEOUT_MIN.as_secs(), IDLE_TIMEOUT_MAX.as_secs()),
            Integer(word(IDLE_TIMEOUT.as_secs())),
            "Seconds without a call and without a bound socket after which a session ends.",
        )
        .reload(),
        Key::new(
            "lifetime_s",
            Kind::integer(0, LIFETIME_MAX.as_secs()),
            Integer(word(LIFETIME.as_secs())),
            "Seconds after its login at which a session ends in any case; 0: never.",
        )
        .reload(),
        Key::new(
            "lockout_attempts",
            Kind::integer(1, LOCKOUT_ATTEMPTS_MAX as u64),
            Integer(word(LOCKOUT_ATTEMPTS as u64)),
            "Wrong passwords for one user from one address (IPv6: one /64) after which this pair is blocked: for 10 s, and for twice as long after each further one.",
        )
        .reload(),
        Key::new(
            "lockout_s",
            Kind::integer(1, LOCKOUT_TIME_MAX.as_secs()),
            Integer(word(LOCKOUT_TIME.as_secs())),
            "Longest block of the pair in seconds.",
        )
        .reload(),
    ],
};

/// `[[user]]`.
pub static USER: Table = Table {
    name: "user",
    header: "[[user]]",
    doc: documentation("A user. `friendlet passwd NAME` prints a whole table."),
    fixed: &[],
    keys: &[
        Key::new(
            "name",
            Kind::string(
                board_limit!(USER_NAME_BYTES),
                "letters, digits and '.', '_', '-', '@'",
                is_user_name,
            ),
            Required,
            "Name to log in with, different for each user.",
        )
        .example("\"admin\"")
        .reload(),
        Key::new(
            "full_name",
            Kind::string(board_limit!(USER_FULL_NAME_BYTES), LINE, is_line),
            Unset(documentation("the name")),
            "Name for people.",
        )
        .example("\"Administrator\"")
        .reload(),
        Key::new(
            "level",
            Kind::Choice(&["admin", "user", "viewer"]),
            String("user"),
            "An `admin` may do everything; a `user` controls `services`; a `viewer` sees them and changes nothing but the own password.",
        )
        .example("\"admin\"")
        .reload(),
        Key::new(
            "password",
            Kind::parsed("`$pbkdf2-sha256$i=ROUNDS$SALT$HASH` with 1 to 10000000 rounds"),
            Unset(documentation("none")),
            "Hash of the password. Without a hash, login as this user is disabled; tokens still work.",
        )
        .secret()
        .example(
            "\"$pbkdf2-sha256$i=200000$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"",
        )
        .reload(),
        Key::new(
            "services",
            Kind::List {
                most: board_limit!(USER_SERVICES),
                entry: &Form { bytes: board_limit!(SERVICE_NAME_BYTES), expected: "", is_met: any },
            },
            Empty,
            "Services that a `user` may control and a `viewer` may see; `\"*\"` is all of them.",
        )
        .example("[\"clock\"]")
        .reload(),
    ],
};

/// `[[token]]`.
pub static TOKEN: Table = Table {
    name: "token",
    header: "[[token]]",
    doc: documentation("Session id of a program. The file holds its hash alone."),
    fixed: &[],
    keys: &[
        Key::new("user", Kind::parsed(""), Required, "User of the calls that are made with this token.")
            .example("\"admin\"")
            .reload(),
        Key::new(
            "sha256",
            Kind::parsed("the SHA-256 of the token, 64 hexadecimal digits (printf %s TOKEN | sha256sum)"),
            Required,
            "Hash of the token, which is up to 255 bytes long.",
        )
        .secret()
        .example("\"3c1254e442cb96265cd08c8e2f9815d224a2de6048292deca9fd6bdf5c0d7d3c\"")
        .reload(),
        Key::new(
            "expires",
            Kind::Date,
            Unset(documentation("never")),
            "Time from which the token is refused, of a date its beginning. While the time of day is unknown, the token is \
             refused, too.",
        )
        .example("2031-12-31")
        .reload(),
        Key::new(
            "scope",
            Kind::Choice(&["all", "read"]),
            String("all"),
            "`all`: the rights of the user. `read`: those of them that change nothing.",
        )
        .reload(),
        Key::new(
            "services",
            Kind::List {
                most: board_limit!(USER_SERVICES),
                entry: &Form { bytes: board_limit!(SERVICE_NAME_BYTES), expected: "", is_met: any },
            },
            Unset(documentation("those of the user")),
            "Services of the token, as far as the user has them. With this key, the token of an administrator makes no \
             calls of administrators.",
        )
        .example("[\"clock\"]")
        .reload(),
    ],
};
