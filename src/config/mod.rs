//! Configuration file: parses a TOML text into a [`Config`], or reports all of its errors.
//!
//! [`schema`] has one row a key: type, range, default and description. [`parse`] reads each table of the
//! file by these rows. Parsing allocates, before the server starts; the resulting [`Config`] has a fixed
//! size.
//!
//! A file may have drop-ins. `sources` joins all of them to one document and splits it, `merge` makes the values of one
//! file of them, `drop_ins` decides which are in force at a start, `provenance` names the file of each service. `secrets` are
//! left out of a text that leaves the server.
//!
//! One mistake is one error: `syntax` and `Diagnostics` leave out its consequences. `warnings` are about values that can be
//! used. `Places` and `Line` are for the findings of `check`.

mod accounts;
mod attributes;
mod board;
mod checks;
mod commands;
mod devices;
mod diagnostics;
mod drop_ins;
mod health;
mod instances;
pub mod key;
mod life;
mod line;
mod merge;
mod network;
mod origin;
mod places;
mod provenance;
mod restart;
pub mod schema;
mod secrets;
mod section;
mod services;
mod settings;
mod sources;
mod syntax;
mod syslog;
mod value;
mod warnings;

use core::net::SocketAddr;
use core::time::Duration;

use heapless::String;

use crate::http::Front;
use crate::limits::{BOARD, BOARD_FILE, CONFIG_BYTES, FILE_PATH_BYTES};
use crate::log::Level;
use crate::service::{BoardEnd, ServiceTable, UNIX_PATH_BYTES};
use crate::session::{Tokens, Users};
use crate::syslog::Settings;

crate::limits::limits! {
    /// Name of a network interface: the kernel's IFNAMSIZ without its NUL.
    INTERFACE_NAME_BYTES: usize = 15, exceeded "configuration error",
        tests ["each_limit_is_met_and_not_passed"];
    /// `[[device]]` tables.
    DEVICES: usize = 16, exceeded "configuration error",
        tests ["device_rules_up_to_their_limit"];
    /// Pattern of the names of devices.
    DEVICE_NAME_BYTES: usize = 64, exceeded "configuration error",
        tests ["each_limit_is_met_and_not_passed"];
    /// Drop-in files.
    DROP_INS: usize = 16, exceeded "the rest is not read: an error, or a notice at the start",
        tests ["files_up_to_their_limit_are_read"];
    /// Error text of a configuration file that is not in force.
    COMPLAINT_BYTES: usize = 512, exceeded "cut",
        tests ["text_is_one_line_up_to_its_limit", "message_is_cut_at_its_limit_and_keeps_its_end"];
    /// `settle_s` unless configured.
    SETTLE_TIME: Duration = Duration::from_secs(60), exceeded "the slot is marked good, or waits for an administrator",
        tests ["slot_is_good_once_everything_has_been_up_for_its_time"];
    /// Longest `settle_s`.
    SETTLE_TIME_MAX: Duration = Duration::from_secs(3600), exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Time of a slot in test to be marked good, besides `settle_s`.
    GOOD_TIME: Duration = Duration::from_secs(5 * 60), exceeded "the slot has failed",
        tests ["tested_slot_that_is_not_good_in_time_fails"];
    /// Time of the administrators to confirm it after that, with `confirm = "administrator"`.
    CONFIRM_TIME: Duration = Duration::from_secs(15 * 60), exceeded "the slot has failed",
        tests ["administrators_have_their_time_to_confirm_a_slot"];
    /// Time from the notice of that to the failure.
    FAILURE_NOTICE: Duration = Duration::from_secs(60), exceeded "the slot has failed",
        tests ["tested_slot_that_is_not_good_in_time_fails"];
    /// Reason why a slot has failed.
    REASON_BYTES: usize = 128, exceeded "cut", tests ["reason_is_cut_at_its_limit"];
    /// Text of an error before the start of the server.
    NOTICE_BYTES: usize = 256, exceeded "cut",
        tests ["notice_is_as_long_as_its_limit_and_no_longer", "notice_is_cut_at_its_limit"];
}

/// Heap that parsing the largest configuration file uses at most: the parser holds every token,
/// measured as up to 86 bytes for a byte of a correct file (x86-64).
pub const READ_BYTES: usize = 96 * CONFIG_BYTES;

/// Name of the built-in service.
const BUILT_IN: &str = "hello";

pub use accounts::{parse_user, user_text};
pub use board::BoardCommands;
pub use checks::is_device_name;
pub use devices::{DeviceRule, DeviceRules, matches_pattern};
pub use diagnostics::{Diagnostic, ParseError, Severity, position};
pub use drop_ins::{DropInFailure, Settled, settle};
pub use line::Line;
pub use network::{Address, InterfaceName, Network};
pub use origin::{ConfigError, ConfigOrigin, one_line};
pub use places::Places;
pub use provenance::provenance;
pub use secrets::{KEPT, hide_secrets, restore_secrets};
pub use sources::{Source, join, size_error, split, with_file_of};

use diagnostics::Diagnostics;
use section::Document;

/// Path of a file, absolute or relative to the state directory.
pub type FilePath = String<FILE_PATH_BYTES>;

/// Values of all keys, set or defaulted.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[board]`.
    pub board: BoardCommands,
    /// `[listen]`.
    pub listen: Listen,
    /// `[web]`.
    pub web: Web,
    /// `[state] dir`; empty: the default depends on the user that runs the server.
    pub state_dir: FilePath,
    /// `[limits] slots`: connections served at once, at most the board's.
    pub slots: usize,
    /// `[log] level`.
    pub log_level: Level,
    /// The rest of `[log]`.
    pub log_files: LogFiles,
    /// `[syslog]`, if it has an address.
    pub syslog: Option<Settings>,
    /// `[update]`.
    pub update: Update,
    /// Files of the audit trail.
    pub audit_files: LogFiles,
    /// `[network]`, if there is one: for `friendlet init` alone.
    pub network: Option<Network>,
    /// Each `[[device]]`: for `friendlet init` alone.
    pub devices: DeviceRules,
    /// `[session] idle_timeout_s`.
    pub idle_timeout: Duration,
    /// `[session] lifetime_s`; `Duration::MAX` without an end.
    pub lifetime: Duration,
    /// `[session] lockout_attempts`.
    pub lockout_attempts: u8,
    /// `[session] lockout_s`.
    pub lockout_time: Duration,
    /// Each `[[user]]`.
    pub users: Users,
    /// Each `[[token]]`.
    pub tokens: Tokens,
    /// Services of the file, and the built-in `hello`.
    pub services: ServiceTable,
}

impl Config {
    /// Services whose end ends the board, although the file names no program for that, which `[board]` has
    /// under the name of the end. Only `friendlet init` can do it then.
    pub fn without_board_end(&self) -> impl Iterator<Item = (&str, BoardEnd)> {
        let program = |end: &BoardEnd| match end {
            BoardEnd::Reboot => &self.board.reboot,
            BoardEnd::PowerOff => &self.board.poweroff,
        };
        self.services.iter().filter_map(move |(_, spec)| {
            let mut ends = [spec.on_failure, spec.on_success].into_iter().flatten();
            let end = ends.find(|end| program(end).is_empty())?;
            Some((spec.name.as_str(), end))
        })
    }
}

/// Files that keep the log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFiles {
    /// `[log] file`: the newest; the others are `FILE.1`, `FILE.2` and so on. Empty: none are written.
    pub file: FilePath,
    /// `[log] file_bytes`: most bytes of one file.
    pub bytes: usize,
    /// `[log] files`: most files.
    pub count: usize,
}

/// `[listen]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Listen {
    /// Address and port; with port 0 the system chooses a free one.
    pub address: SocketAddr,
    /// The server is announced on its networks.
    pub is_announced: bool,
    /// Encryption.
    pub tls: Tls,
    /// Proxies, and pages that may call and open the socket.
    pub front: Front,
    /// Socket for administrators of this machine.
    pub socket: LocalSocket,
}

/// `[web]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Web {
    /// Directory of own pages; empty: there are none.
    pub root: FilePath,
    /// Most bytes of all files.
    pub bytes: usize,
}

/// `[listen] socket`.
#[derive(Clone, Debug, PartialEq)]
pub enum LocalSocket {
    /// At the default path, which depends on the user that runs the server.
    Default,
    /// None.
    Off,
    /// At this path.
    At(String<UNIX_PATH_BYTES>),
}

/// `[update]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Update {
    /// `settle_s`.
    pub settle: Duration,
    /// `confirm = "administrator"`.
    pub needs_administrator: bool,
}

impl Default for Update {
    fn default() -> Self {
        Self { settle: SETTLE_TIME, needs_administrator: false }
    }
}

/// Encryption of connections.
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
        /// True where the file sets `certificate` and `key`. Such files must exist; those of the default
        /// names are created where they are missing.
        own: bool,
        /// PEM file of the authority that must have signed the certificates of clients.
        client_ca: Option<FilePath>,
    },
}

/// Treatment of names of services that do not exist.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum References {
    /// They are errors.
    Known,
    /// Their service may be in a drop-in that is not in force: a service that requires it is left out, and so is a check of
    /// it. Other names have no effect.
    MayBeMissing,
}

/// Parses a configuration file without drop-ins. Errors name it `source`; `program` is the path of this binary, which
/// the built-in service runs.
///
/// # Errors
/// All errors of the text, in the order of their positions.
pub fn parse(text: &str, source: &str, program: &str) -> Result<Config, ParseError> {
    parse_files(&[Source::new(source, text)], References::Known, program)
}

/// Parses a configuration file and its drop-ins.
///
/// # Errors
/// All errors of the files, in the order of their positions.
pub fn parse_files(
    files: &[Source<'_>],
    references: References,
    program: &str,
) -> Result<Config, ParseError> {
    parse_with_warnings(files, references, program).map(|(config, _)| config)
}

/// The same, with the warnings in the order of their positions.
///
/// # Errors
/// All errors of the files, in the order of their positions.
pub fn parse_with_warnings(
    files: &[Source<'_>],
    references: References,
    program: &str,
) -> Result<(Config, Vec<Diagnostic>), ParseError> {
    let mut diagnostics = Diagnostics::new(files, references);
    let config = build(files, references, program, &mut diagnostics);
    Ok((config, diagnostics.finish()?))
}

/// Parses a document that was in force, perhaps without some of its drop-ins. Returns the origin of its configuration file,
/// too.
///
/// # Errors
/// All errors of the files, in the order of their positions.
pub fn parse_document(
    document: &str,
    source: &str,
    program: &str,
) -> Result<(Config, ConfigOrigin), ParseError> {
    let mut files = split(document, source);
    let built_in = built_in_source();
    let mut config_origin = ConfigOrigin::Given;
    if let Some(file) = files.first_mut()
        && file.text.is_ok_and(|text| text.trim().is_empty())
    {
        *file = Source::new(&built_in, BOARD_FILE);
        config_origin = ConfigOrigin::BuiltIn;
    }
    Ok((parse_files(&files, References::MayBeMissing, program)?, config_origin))
}

/// The built-in default. The tests of its board parse it; an error in it would leave its key at the
/// default.
pub fn built_in(program: &str) -> Config {
    let file = [Source::new("", BOARD_FILE)];
    build(&file, References::Known, program, &mut Diagnostics::new(&file, References::Known))
}

/// Name of the built-in default, for people.
pub fn built_in_source() -> std::string::String {
    format!("boards/{BOARD}/friendlet.toml (built in)")
}

fn build(
    files: &[Source<'_>],
    references: References,
    program: &str,
    diagnostics: &mut Diagnostics<'_>,
) -> Config {
    let merged = merge::merge(files, references, diagnostics);
    let document = Document::new(&merged.values, &schema::TABLES, diagnostics);

    let board = board::commands(&document, diagnostics);
    let listen = settings::listen(&document, diagnostics);
    let web = settings::web(&document, diagnostics);
    let state_dir = settings::state_dir(&document, diagnostics);
    let slots = settings::slots(&document, diagnostics);
    let (log_level, log_files, audit_files) = settings::log(&document, diagnostics);
    let (syslog, sends_services) = syslog::read(&document, diagnostics);
    let update = settings::update(&document, diagnostics);
    let network = network::network(&document, diagnostics);
    let devices = devices::read(&document, diagnostics);
    let session = settings::session(&document, diagnostics);
    let services = services::read(&document, &merged.masked, program, sends_services, diagnostics);
    let names = services.known_names();
    let users = accounts::users(&document, &names, diagnostics);
    let tokens = accounts::tokens(&document, &users, &names, diagnostics);

    Config {
        board,
        listen,
        web,
        state_dir,
        slots,
        log_level,
        log_files,
        syslog,
        update,
        audit_files,
        network,
        devices,
        idle_timeout: session.idle_timeout,
        lifetime: session.lifetime,
        lockout_attempts: session.lockout_attempts,
        lockout_time: session.lockout_time,
        users: users.table,
        tokens,
        services: services.table,
    }
}

/// `'a', 'b' or 'c'`, for messages.
fn alternatives(names: &[&str]) -> std::string::String {
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
