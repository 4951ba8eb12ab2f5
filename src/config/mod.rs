//! The device file: one TOML text in, a [`Config`] or everything that is wrong with it out.
//!
//! Its keys, defaults and ranges are told in `docs/device-file.md`. Reading allocates, and happens
//! before the server starts; what comes out is bounded like everything else.

mod accounts;
mod board;
mod diagnostics;
mod in_force;
mod network;
mod section;
mod services;
mod settings;

use core::net::SocketAddr;
use core::time::Duration;
use std::fmt;

use heapless::{String, Vec};
use toml::de::DeTable;

use crate::limits::{BOARD_FILE, CONFIG_BYTES, FILE_PATH_BYTES, ORIGIN_BYTES, ORIGINS};
use crate::log::Level;
use crate::service::ServiceTable;
use crate::session::{Tokens, Users};

/// What reading a device file takes at worst, until it is read: the reader holds every sign and line
/// end of it, measured as up to 86 bytes for a byte of a file that is right (x86-64).
pub const READ_BYTES: usize = 96 * CONFIG_BYTES;

pub use accounts::{parse_user, user_text};
pub use board::BoardCommands;
pub use diagnostics::{Diagnostic, Diagnostics};
pub use in_force::{Complaint, InForce, one_line};
pub use network::{Address, InterfaceName, Network};

use diagnostics::Report;
use section::Section;

/// Path of a file, absolute or relative to the state folder.
pub type FilePath = String<FILE_PATH_BYTES>;

/// Everything that the device file says, or leaves to its defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[board]`.
    pub board: BoardCommands,
    /// `[listen]`.
    pub listen: Listen,
    /// `[state] dir`; empty: the place depends on who runs the server.
    pub state_dir: FilePath,
    /// `[limits] slots`: connections served at once, at most the board's.
    pub slots: usize,
    /// `[log] level`.
    pub log_level: Level,
    /// The rest of `[log]`.
    pub log_files: LogFiles,
    /// `[network]`, if there is one: for `friendlet init` alone.
    pub network: Option<Network>,
    /// `[session] idle_timeout_s`.
    pub idle_timeout: Duration,
    /// `[session] lockout_attempts`.
    pub lockout_attempts: u8,
    /// `[session] lockout_s`.
    pub lockout_time: Duration,
    /// Each `[[user]]`.
    pub users: Users,
    /// Each `[[token]]`.
    pub tokens: Tokens,
    /// Each `[[service]]`, and the built-in `hello`.
    pub services: ServiceTable,
}

/// The files that the log is kept in.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFiles {
    /// `[log] file`: the newest; the others are `FILE.1`, `FILE.2` and so on. Empty: none are written.
    pub file: FilePath,
    /// `[log] file_bytes`: most bytes of each.
    pub bytes: usize,
    /// `[log] files`: how many there are at most.
    pub count: usize,
}

/// Where the server listens, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
    /// Whether connections are encrypted.
    pub tls: Tls,
    /// Origins beside the server's own from which a page may open the socket.
    pub origins: Vec<String<ORIGIN_BYTES>, ORIGINS>,
}

/// Whether connections are encrypted.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one, made at start")]
pub enum Tls {
    /// Plain text.
    Off,
    /// TLS 1.3.
    On {
        /// Certificate chain, PEM.
        certificate: FilePath,
        /// Private key, PEM.
        key: FilePath,
        /// Whether the owner named files of its own. Those must be there; the default ones are made
        /// when they are not.
        own: bool,
        /// PEM of the authority whose certificate clients must show.
        client_ca: Option<FilePath>,
    },
}

/// Reads a device file. `origin` is what its errors call it, `program` the path of this binary, which
/// the built-in service runs.
///
/// # Errors
/// All errors of the text, in the order of their places.
pub fn parse(text: &str, origin: &str, program: &str) -> Result<Config, Diagnostics> {
    let mut report = Report::new(text);
    let config = build(text, program, &mut report);
    report.finish(origin, Some(config))
}

/// The configuration of the board's own device file, which is in the program. It is right, or its
/// board does not pass its tests; what would be wrong with it counts as not said.
pub fn of_the_board(program: &str) -> Config {
    build(BOARD_FILE, program, &mut Report::new(BOARD_FILE))
}

fn build(text: &str, program: &str, report: &mut Report<'_>) -> Config {
    let known =
        ["board", "limits", "listen", "log", "network", "service", "session", "state", "token", "user"];
    let document = read(text, report);
    let root = Section::root(&document, &known, report);

    let board = board::commands(&root, report);
    let listen = settings::listen(&root, report);
    let state_dir = settings::state_dir(&root, report);
    let slots = settings::slots(&root, report);
    let (log_level, log_files) = settings::log(&root, report);
    let network = network::network(&root, report);
    let session = settings::session(&root, report);
    let services = services::read(&root, program, report);
    let users = accounts::users(&root, &services.names(), report);
    let tokens = accounts::tokens(&root, &users, report);

    Config {
        board,
        listen,
        state_dir,
        slots,
        log_level,
        log_files,
        network,
        idle_timeout: session.idle_timeout,
        lockout_attempts: session.lockout_attempts,
        lockout_time: session.lockout_time,
        users,
        tokens,
        services: services.table,
    }
}

/// What of the text is TOML.
fn read<'t>(text: &'t str, report: &mut Report<'_>) -> toml::Spanned<DeTable<'t>> {
    if text.len() > CONFIG_BYTES {
        report.syntax_error(0..0, format_args!("the file is larger than {CONFIG_BYTES} bytes"));
        return DeTable::parse_recoverable("").0;
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        report.syntax_error(error.span().unwrap_or(0..0), error.message());
    }
    document
}

/// `'a', 'b' or 'c'`, for messages.
fn alternatives(names: &[&str]) -> impl fmt::Display {
    names.iter().enumerate().fold(std::string::String::new(), |list, (n, name)| {
        let joint = match n {
            0 => "",
            _ if n + 1 == names.len() => " or ",
            _ => ", ",
        };
        format!("{list}{joint}'{name}'")
    })
}

#[cfg(test)]
mod tests;
