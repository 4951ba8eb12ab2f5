//! Schema of the configuration file: one row a key.
//!
//! Parsing, defaults, hints and messages come from these rows, and so do the tables of
//! `docs/configuration.md`, the example file and the JSON schema for editors
//! (`tests/it/configuration.rs`).

mod accounts;
mod attributes;
mod board;
mod checks;
mod life;
mod output;
mod syslog;
mod web;

pub use self::accounts::{SESSION, TOKEN, USER};
pub use self::board::{BOARD, DEVICE, NETWORK, UPDATE};
pub use self::checks::{CHECK, HEALTH};
pub use self::syslog::SYSLOG;
pub use self::web::WEB;
use super::checks::{
    is_absolute_path, is_absolute_path_or_empty, is_absolute_path_or_off, is_origin, is_path,
    is_path_or_empty, is_public_url_or_empty, is_service_user,
};
use super::key::Default::{Boolean, Build, Empty, Integer, Integers, Required, String, Unset};
use super::key::{Form, Key, Kind, LINE, Table, any, board_limit, documentation, fixed, is_line, word};
use crate::http::{ClientFrom, Network, TRUSTED_PROXIES};
use crate::limits;
use crate::log::{
    AUDIT_FILE_BYTES, LOG_FILE_BYTES, LOG_FILE_BYTES_MAX, LOG_FILE_BYTES_MIN, LOG_FILES, LOG_FILES_MAX,
};
use crate::service::{
    INSTANCES, SERVICE_READY_TIMEOUT, SERVICE_READY_TIMEOUT_MAX, START_LIMIT_MAX, STOP_TIMEOUT,
    STOP_TIMEOUT_MAX, SUCCESS_CODES, UNIX_PATH_BYTES, WATCHDOG_MAX, is_service_name,
};

/// User of a service, or of the server.
const ACCOUNT: Kind = Kind::string(
    board_limit!(USER_NAME_BYTES),
    "the name of a user, a number, or 'uid:gid' in numbers",
    is_service_user,
);

/// Name of a service, of a check, or of a directory of a service.
const SERVICE_NAME: Kind = Kind::String(NAME_FORM);

/// The same, and of an instance.
const NAME_FORM: Form = Form {
    bytes: board_limit!(SERVICE_NAME_BYTES),
    expected: "letters, digits and '-', '_', '.', '@', a letter or digit first",
    is_met: is_service_name,
};

/// Every table, in the order of the documentation.
pub static TABLES: [&Table; 15] = [
    &LISTEN, &WEB, &STATE, &LIMITS, &LOG, &SYSLOG, &BOARD, &UPDATE, &NETWORK, &DEVICE, &SESSION, &USER,
    &TOKEN, &SERVICE, &CHECK,
];

/// `[listen]`.
pub static LISTEN: Table = Table {
    name: "listen",
    header: "[listen]",
    doc: documentation("Address of the server, encryption, and whose pages may connect."),
    fixed: &[],
    keys: &[
        Key::new(
            "address",
            Kind::parsed("an IP address and a port, such as '0.0.0.0:6500' or '[::]:6500'"),
            String("127.0.0.1:6500"),
            "Address of the server, for HTTP and WebSocket. `[::]:6500` is every address, IPv6 and IPv4. \
             With port 0 the system chooses a free port, and the server prints it.",
        ),
        Key::new(
            "announce",
            Kind::Boolean,
            Boolean(false),
            "Announces the server on its networks by multicast DNS, as `NAME.local` with the name of the host.",
        )
        .example("true"),
        Key::new(
            "tls",
            Kind::Choice(&["on", "off"]),
            String("on"),
            "TLS 1.3, or plain text. Plain text on other addresses than loopback needs `insecure`.",
        ),
        Key::new(
            "insecure",
            Kind::Boolean,
            Boolean(false),
            "Allows plain text on an address that others can reach.",
        ),
        Key::new(
            "certificate",
            Kind::string(board_limit!(FILE_PATH_BYTES), "the path of a file", is_path),
            String("tls/certificate.pem"),
            "PEM file of the certificate chain. Set it together with `key`.",
        ),
        Key::new(
            "key",
            Kind::string(board_limit!(FILE_PATH_BYTES), "the path of a file", is_path),
            String("tls/key.pem"),
            "PEM file of the private key.",
        ),
        Key::new(
            "client_ca",
            Kind::string(board_limit!(FILE_PATH_BYTES), "the path of a file", is_path_or_empty),
            String(""),
            "PEM file of an authority. Clients must show a certificate of it; empty: they need none.",
        ),
        Key::new(
            "origins",
            Kind::List {
                most: board_limit!(ORIGINS),
                entry: &Form {
                    bytes: board_limit!(ORIGIN_BYTES),
                    expected: "an origin, such as 'https://panel.example' or 'https://panel.example:8443'",
                    is_met: is_origin,
                },
            },
            Empty,
            "Origins, as browsers send them, whose pages may call and open the socket beside the server's own. Over \
             plain text the server's own is that of its address or of `localhost`, and that of a name is listed here.",
        )
        .example("[\"https://panel.example\"]"),
        Key::new(
            "public_url",
            Kind::string(
                board_limit!(ORIGIN_BYTES),
                "a URL, such as 'https://panel.example' or 'https://panel.example/board'",
                is_public_url_or_empty,
            ),
            String(""),
            "URL under which a proxy makes the server reachable. Pages of its origin may call and open the socket, and \
             its path may precede the path of a request.",
        )
        .example("\"https://panel.example/board\""),
        Key::new(
            "trusted_proxies",
            Kind::List {
                most: fixed(TRUSTED_PROXIES as u64),
                entry: &Form {
                    bytes: fixed(49),
                    expected: "an address, or a network such as '10.0.0.0/8' without bits after its prefix",
                    is_met: |text| text.parse::<Network>().is_ok(),
                },
            },
            Empty,
            "Proxies that name their clients, whose addresses then count for log-ins, quotas and the audit trail. Each process \
             at such an address is believed.",
        )
        .example("[\"127.0.0.1\"]"),
        Key::new(
            "client_from",
            Kind::Choice(&ClientFrom::NAMES),
            String("x-forwarded-for"),
            "Form in which they do so: the last address of this field of a request that is not a trusted proxy's, or the header \
             of the PROXY protocol, version 2, with which each of their connections then has to begin.",
        ),
        Key::new(
            "socket",
            Kind::string(
                fixed(UNIX_PATH_BYTES as u64),
                "an absolute path, or 'off'",
                is_absolute_path_or_off,
            ),
            Unset(documentation("`/run/friendlet/ctl`; for a plain user `$XDG_RUNTIME_DIR/friendlet/ctl`, else `ctl` in the \
                 state directory")),
            "UNIX socket on which root and the user of the server are administrators without a login. Two \
             servers need two paths.",
        )
        .example("\"/run/friendlet/ctl\""),
    ],
};

/// `[state]`.
pub static STATE: Table = Table {
    name: "state",
    header: "[state]",
    doc: documentation("Keys, and whatever is kept across restarts."),
    fixed: &[],
    keys: &[Key::new(
        "dir",
        Kind::string(board_limit!(FILE_PATH_BYTES), "an absolute path", is_absolute_path_or_empty),
        String(""),
        "State directory. Empty: `$STATE_DIRECTORY` of systemd, else for a plain user \
         `~/.local/state/friendlet`, else `/var/lib/friendlet`.",
    )],
};

/// `[limits]`.
pub static LIMITS: Table = Table {
    name: "limits",
    header: "[limits]",
    doc: documentation("Limits of the board that a device may lower."),
    fixed: limits::TABLE,
    keys: &[Key::new(
        "slots",
        Kind::Integer { least: fixed(2), most: board_limit!(SLOTS) },
        Build(&Integer(word(limits::SLOTS as u64)), documentation("the board's `slots`")),
        "Connections with an identity served at once, one of them reserved for an administrator.",
    )
    .example("2")],
};

/// `[log]`.
pub static LOG: Table = Table {
    name: "log",
    header: "[log]",
    doc: documentation("The log, and the files that keep it."),
    fixed: &[],
    keys: &[
        Key::new(
            "level",
            Kind::Choice(&["off", "error", "warn", "info", "debug"]),
            String("info"),
            "Least severe records that are logged. The call `board/log` changes it while the server runs.",
        )
        .reload(),
        Key::new(
            "file",
            Kind::string(board_limit!(FILE_PATH_BYTES), "an absolute path", is_absolute_path_or_empty),
            Build(
                if cfg!(feature = "defmt") { &String("/run/friendlet/log") } else { &String("") },
                documentation("`\"/run/friendlet/log\"` on a board whose log is frames, else `\"\"`"),
            ),
            "The newest file; older ones are `FILE.1`, `FILE.2` and so on. Empty: none are written.",
        )
        .example("\"/data/log/friendlet\""),
        Key::new(
            "file_bytes",
            Kind::integer(LOG_FILE_BYTES_MIN as u64, LOG_FILE_BYTES_MAX as u64),
            Integer(word(LOG_FILE_BYTES as u64)),
            "Most bytes of one file.",
        ),
        Key::new("files", Kind::integer(1, LOG_FILES_MAX as u64), Integer(word(LOG_FILES as u64)), "Most files."),
        Key::new(
            "audit",
            Kind::string(board_limit!(FILE_PATH_BYTES), "an absolute path", is_absolute_path_or_empty),
            Build(
                if cfg!(feature = "defmt") { &String("/run/friendlet/audit") } else { &String("") },
                documentation("`\"/run/friendlet/audit\"` on a board whose log is frames, else `\"\"`"),
            ),
            "The newest file of the audit trail, text in every build: who did what, from where, and what came of it. \
             Older ones are `AUDIT.1` and so on. Empty: none are written.",
        )
        .example("\"/data/log/audit\""),
        Key::new(
            "audit_bytes",
            Kind::integer(LOG_FILE_BYTES_MIN as u64, LOG_FILE_BYTES_MAX as u64),
            Integer(word(AUDIT_FILE_BYTES as u64)),
            "Most bytes of one file of the audit trail.",
        ),
        Key::new(
            "audit_files",
            Kind::integer(1, LOG_FILES_MAX as u64),
            Integer(word(LOG_FILES as u64)),
            "Most files of the audit trail.",
        ),
    ],
};

/// `[[service]]`.
pub static SERVICE: Table = Table {
    name: "service",
    header: "[[service]]",
    doc: documentation("A service. Beside these there is `hello`, unless one has that name or the table is full."),
    fixed: &[],
    keys: &[
        Key::new(
            "name",
            SERVICE_NAME,
            Required,
            "Name in calls, different for each service.",
        )
        .example("\"clock\"")
        .reload(),
        Key::new(
            "instances",
            Kind::List {
                most: fixed(INSTANCES as u64),
                entry: &NAME_FORM,
            },
            Empty,
            "Names of instances: the table stands for a service for each, with the name `NAME@INSTANCE` and the \
             instance in place of each `%i` in its texts.",
        )
        .reload(),
        Key::new(
            "description",
            Kind::string(board_limit!(DESCRIPTION_BYTES), LINE, is_line),
            Unset(documentation("none")),
            "Purpose of the service, for people.",
        )
        .example("\"Prints the time every minute\"")
        .reload(),
        Key::new(
            "command",
            Kind::Command,
            Required,
            "Program and its arguments. No shell is involved. A program without a slash is looked up in `PATH`.",
        )
        .example("[\"/bin/sh\", \"-c\", \"while date; do sleep 60; done\"]")
        .reload(),
        Key::new(
            "type",
            Kind::Choice(&["simple", "notify", "oneshot"]),
            String("simple"),
            "`simple`: the process is the service. `notify`: it also reports that it is ready, by \
             sd_notify(3). `oneshot`: it does its work and ends, and counts as up after a success.",
        )
        .reload(),
        Key::new("env", Kind::Variables, Empty, "Environment variables beside `PATH` and the like.")
            .example("{ LANG = \"C\", TZ = \"UTC\" }")
            .secret()
            .reload(),
        Key::new(
            "cwd",
            Kind::string(board_limit!(FILE_PATH_BYTES), "an absolute path", is_absolute_path),
            String("/"),
            "Working directory.",
        )
        .reload(),
        Key::new(
            "user",
            ACCOUNT,
            Unset(documentation("the server's own")),
            "User to run as. Needs a server that runs as root.",
        )
        .example("\"www-data\"")
        .reload(),
        attributes::GROUPS,
        attributes::NICE,
        attributes::UMASK,
        attributes::OOM_SCORE,
        attributes::IO_CLASS,
        attributes::LIMITS,
        attributes::MEMORY_MAX,
        attributes::PIDS_MAX,
        attributes::CPU_WEIGHT,
        attributes::CAPABILITIES,
        attributes::NO_NEW_PRIVS,
        attributes::PRIVATE_TMP,
        attributes::READ_ONLY,
        attributes::ENV_FILE,
        attributes::STATE_DIRECTORY,
        attributes::RUNTIME_DIRECTORY,
        attributes::LOG_DIRECTORY,
        Key::new(
            "enabled",
            Kind::Boolean,
            Boolean(true),
            "`false` masks the service, with any of an earlier file under its name: it is as if it were not there.",
        )
        .reload(),
        Key::new(
            "autostart",
            Kind::Boolean,
            Boolean(false),
            "Starts it with the server. A later `install` or `uninstall` takes precedence.",
        )
        .reload(),
        Key::new(
            "required",
            Kind::Boolean,
            Boolean(false),
            "The system of a slot is marked good only while the service is up and ready, without a failing check.",
        )
        .reload(),
        Key::new(
            "restart",
            Kind::Choice(&["never", "on-failure", "always"]),
            String("never"),
            "When it is started again after it exits on its own or cannot be started.",
        )
        .reload(),
        Key::new(
            "start_limit",
            Kind::integer(0, START_LIMIT_MAX as u64),
            Integer(0),
            "Runs in a row of less than 10 s after which it is not started again; 0: no limit.",
        )
        .example("5")
        .reload(),
        life::ON_FAILURE,
        life::ON_SUCCESS,
        Key::new(
            "success_codes",
            Kind::integers(SUCCESS_CODES as u64, 0, 255),
            Integers(&[0]),
            "Exit codes that count as success.",
        )
        .example("[0, 143]")
        .reload(),
        Key::new(
            "after",
            Kind::List {
                most: board_limit!(SERVICE_AFTER),
                entry: &Form { bytes: board_limit!(SERVICE_NAME_BYTES), expected: "", is_met: any },
            },
            Empty,
            "Services that are ready before this one starts, and stop after it; not in a cycle. One that is \
             not started is not waited for.",
        )
        .example("[\"hello\"]")
        .reload(),
        Key::new(
            "requires",
            Kind::List {
                most: board_limit!(SERVICE_AFTER),
                entry: &Form { bytes: board_limit!(SERVICE_NAME_BYTES), expected: "", is_met: any },
            },
            Empty,
            "The same, for services that this one needs: they start with it, and it fails and stops with them.",
        )
        .example("[\"hello\"]")
        .reload(),
        life::WAIT,
        life::NEEDS,
        Key::new(
            "ready",
            Kind::parsed(
                "'line:TEXT' with up to 64 bytes, 'tcp:ADDRESS:PORT' in numbers, 'unix:PATH', or 'fd:NUMBER' with \
                 3 to 9",
            ),
            Unset(documentation("by its `type`")),
            "Sign that a service of type `simple` is ready: a line of its output contains the text, the \
             address or UNIX socket accepts a connection, or it writes a line to this descriptor, as with s6.",
        )
        .example("\"tcp:127.0.0.1:1883\"")
        .reload(),
        Key::new(
            "ready_timeout_s",
            Kind::integer(1, SERVICE_READY_TIMEOUT_MAX.as_secs()),
            Integer(word(SERVICE_READY_TIMEOUT.as_secs())),
            "Seconds to become ready, after which those in whose `after` it is start without it, and those in \
             whose `requires` it is fail.",
        )
        .reload(),
        Key::new(
            "watchdog_s",
            Kind::integer(0, WATCHDOG_MAX.as_secs()),
            Integer(0),
            "Seconds without `WATCHDOG=1` after which it is killed; 0: without a watchdog. For type `notify`.",
        )
        .reload(),
        life::EVERY,
        life::AT,
        life::JITTER,
        life::PRE_START,
        life::STOP_COMMAND,
        life::FINISH,
        life::MAX_RUNTIME,
        Key::new(
            "health",
            Kind::Table(&HEALTH),
            Unset(documentation("none")),
            "Check of the service, as a `[[check]]` with the name of the service and level `alive`.",
        )
        .example("{ tcp = \"127.0.0.1:8080\", period_s = 30 }")
        .reload(),
        Key::new(
            "stop_signal",
            Kind::Choice(&["HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "ALRM", "TERM", "WINCH"]),
            String("TERM"),
            "Signal that asks it to end.",
        )
        .reload(),
        Key::new(
            "stop_timeout_s",
            Kind::integer(1, STOP_TIMEOUT_MAX.as_secs()),
            Integer(word(STOP_TIMEOUT.as_secs())),
            "Seconds after which it is killed if it has not ended, with all its processes.",
        )
        .reload(),
        Key::new(
            "commands",
            Kind::Commands,
            Empty,
            "Names for the call `command`: a signal to send (those above, `CONT` and `STOP`), or a program \
             whose output is the answer. A signal goes to the first process of the service; with the scope \
             `group` to all.",
        )
        .example(
            "{ reload = \"HUP\", flush = { signal = \"USR1\", scope = \"group\" }, uptime = [\"/usr/bin/uptime\"] }",
        )
        .reload(),
        output::OUTPUT_FILE,
        output::FILE_BYTES,
        output::FILES,
        output::DAY_BYTES,
        output::SYSLOG,
        Key::new(
            "webgui",
            Kind::string(board_limit!(WEBGUI_BYTES), "", any),
            Unset(documentation("`<div> </div>`")),
            "HTML that the call `getwebgui` returns.",
        )
        .example("\"<b>The clock</b>\"")
        .reload(),
    ],
};
