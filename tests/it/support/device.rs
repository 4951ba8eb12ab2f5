//! Configuration files for tests.

use std::num::NonZeroU32;

use base64::prelude::{BASE64_STANDARD_NO_PAD as BASE64, Engine as _};
use ring::{digest, pbkdf2};

/// Session id of the reference example, a token of the administrator here.
pub(crate) const ADMIN: &str = "8ed922535bc7cb2de39dc9bdafef502e2e20b986";
/// Session id of the reference `CON`, a token of the administrator too.
pub(crate) const SECOND: &str = "a6e7be6be04d8612eb61f19c2dfe7338e63757dd";
/// A token of the user `guest`, who may control the service `allowed` and no other.
pub(crate) const GUEST: &str = "0123456789abcdef0123456789abcdef01234567";
/// Session id of no session.
pub(crate) const NOBODY: &str = "ffffffffffffffffffffffffffffffffffffffff";

/// Few rounds: a test logs in often.
const ROUNDS: u32 = 1000;

/// SHA-256 in hexadecimal.
pub(crate) fn sha256_hex(text: &str) -> String {
    base16ct::lower::encode_string(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// The form in which Friend Core's web client sends a password.
pub(crate) fn hashed(plain: &str) -> String {
    format!("HASHED{}", sha256_hex(plain))
}

/// A password as the configuration file holds it.
pub(crate) fn stored_password(plain: &str, rounds: u32) -> String {
    let salt = [7; 16];
    let mut hash = [0; 32];
    let rounds_or_one = NonZeroU32::new(rounds).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds_or_one, &salt, hashed(plain).as_bytes(), &mut hash);
    let (salt, hash) = (BASE64.encode(salt), BASE64.encode(hash));
    format!("$pbkdf2-sha256$i={rounds}${salt}${hash}")
}

/// A `[[user]]` table.
pub(crate) fn user(name: &str, level: &str, password: &str, rest: &str) -> String {
    let password = stored_password(password, ROUNDS);
    format!("[[user]]\nname = \"{name}\"\nlevel = \"{level}\"\npassword = \"{password}\"\n{rest}\n")
}

/// A `[[token]]` table.
pub(crate) fn token(user: &str, id: &str) -> String {
    format!("[[token]]\nuser = \"{user}\"\nsha256 = \"{}\"\n", sha256_hex(id))
}

/// A `[[service]]` table; `rest` is further lines of it.
pub(crate) fn service(name: &str, command: &[&str], rest: &str) -> String {
    format!("[[service]]\nname = \"{name}\"\ncommand = {command:?}\n{rest}\n")
}

/// A service that runs `script` in a shell.
pub(crate) fn shell(name: &str, script: &str, rest: &str) -> String {
    service(name, &["/bin/sh", "-c", script], rest)
}

/// The accounts most tests use: `fadmin` with password `secret`, and `guest` with `guest`, each with
/// tokens.
pub(crate) fn accounts() -> String {
    [
        user("fadmin", "admin", "secret", "full_name = \"Friend Administrator\""),
        user("guest", "user", "guest", "services = [\"allowed\"]"),
        token("fadmin", ADMIN),
        token("fadmin", SECOND),
        token("guest", GUEST),
    ]
    .concat()
}

/// Path of the local socket of a server with this state directory.
pub(crate) fn socket_beside(state_dir: &str) -> String {
    format!("{state_dir}.ctl")
}

/// A configuration file in the making.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) tls: bool,
    /// Further keys of `[listen]`, `[session]` and `[limits]`.
    pub(crate) listen: String,
    pub(crate) session: String,
    pub(crate) limits: String,
    pub(crate) address: String,
    /// Tables at the end: users, tokens, services.
    pub(crate) tables: String,
}

impl Device {
    /// With TLS on a free port of the loopback, and the usual accounts.
    pub(crate) fn new() -> Self {
        Self {
            tls: true,
            listen: String::new(),
            session: String::new(),
            limits: String::new(),
            address: "127.0.0.1:0".to_owned(),
            tables: accounts() + &shell("allowed", "exec sleep 1000", ""),
        }
    }

    /// The same without TLS.
    pub(crate) fn plain() -> Self {
        Self { tls: false, ..Self::new() }
    }

    /// With further tables.
    pub(crate) fn with(mut self, tables: &str) -> Self {
        self.tables += tables;
        self
    }

    /// With further keys of `[listen]`.
    pub(crate) fn listen(mut self, keys: &str) -> Self {
        self.listen += keys;
        self
    }

    /// With further keys of `[session]`.
    pub(crate) fn session(mut self, keys: &str) -> Self {
        self.session += keys;
        self
    }

    /// With so many slots.
    pub(crate) fn slots(mut self, slots: usize) -> Self {
        self.limits = format!("slots = {slots}");
        self
    }

    /// The file. The local socket is beside the state directory, so that servers of several tests run at once.
    pub(crate) fn text(&self, state_dir: &str) -> String {
        let socket = if state_dir.is_empty() { "off".to_owned() } else { socket_beside(state_dir) };
        format!(
            "[listen]\naddress = \"{}\"\nsocket = \"{socket}\"\ntls = \"{}\"\n{}\n[state]\ndir = \"{state_dir}\"\n\
             [log]\nlevel = \"debug\"\n[session]\n{}\n[limits]\n{}\n{}",
            self.address,
            if self.tls { "on" } else { "off" },
            self.listen,
            self.session,
            self.limits,
            self.tables
        )
    }
}
