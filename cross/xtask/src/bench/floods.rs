//! `cargo xtask floods`: an administrator logs in beside each kind of flood, with the server on one processor and
//! flood and administrator on the other.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use super::kit;
use super::load::{self, Found};
use super::message::SESSION;
use super::report::{self, Part};
use super::server::{Server, Under, free_address};
use crate::board::Board;
use crate::{build, run};

/// Logins of each row, of which all are to succeed in time.
const NUMBER: u32 = 100;

/// A token of a user who is not an administrator.
const USER: &str = "0123456789abcdef0123456789abcdef01234567";
const LOGIN: &str = "username=admin&password=flood-administrator-7";

/// Configuration file without its first lines. An address may guess often, so that there are passwords to check as long
/// as the row lasts.
const DEVICE: &str = r#"
[log]
level = "info"
[session]
lockout_attempts = 100
[[user]]
name = "admin"
level = "admin"
password = "$pbkdf2-sha256$i=200000$4yH50RxN5gAmqupQ76S2CQ$Fe2gFGyHzYv/Sfnc0aHFHjacgLLdIMXUt4LNMjjroQs"
[[user]]
name = "guest"
level = "user"
services = ["hello"]
[[token]]
user = "admin"
sha256 = "3c1254e442cb96265cd08c8e2f9815d224a2de6048292deca9fd6bdf5c0d7d3c"
[[token]]
user = "guest"
sha256 = "deb87fabd17715bb31ad4cf4ffb9494eeb15f8d33d85b031a301c64ab3417eaa"
[[service]]
name = "hello"
command = ["/bin/sleep", "1000000"]
commands = { now = ["/bin/echo", "now"], wait = ["/bin/sleep", "1000"] }
"#;

/// The floods: their names for the load, and in the table.
const FLOODS: [(&str, &str); 12] = [
    ("none", "none"),
    ("idle", "1,000 sockets without a byte"),
    ("hellos", "1,000 halves of a ClientHello"),
    ("heads", "1,000 requests, a byte each second"),
    ("bodies", "1,000 logins, a byte each second"),
    ("reads", "1,000 clients that do not read the page"),
    ("handshakes", "26,000 TLS handshakes"),
    ("connects", "200,000 connections that are reset"),
    ("sockets", "100 WebSockets without a session"),
    ("names", "4 addresses that guess passwords of random names"),
    ("user", "64 WebSockets of one user: chunks and commands"),
    ("calls", "64 WebSockets of one user: calls without a pause"),
];

/// The options of `cargo xtask floods`.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Options {
    /// Logins of each row.
    number: Option<u32>,
    /// Rows; all where none is named.
    only: Vec<String>,
}

/// `floods [--number N] [--only FLOOD]..`
pub(crate) fn options(words: &[&str]) -> Result<Options, String> {
    let options = parse(words).map_err(|error| format!("floods: {error}"))?;
    let is_known = |name: &&String| FLOODS.iter().any(|(known, _)| known == name);
    match options.only.iter().find(|name| !is_known(name)) {
        None => Ok(options),
        Some(name) => {
            let names: Vec<&str> = FLOODS.iter().map(|(name, _)| *name).collect();
            Err(format!("floods: no flood is named '{name}': {}", names.join(", ")))
        }
    }
}

fn parse(words: &[&str]) -> Result<Options, lexopt::Error> {
    use lexopt::{Arg::Long, ValueExt as _};
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("number") => options.number = Some(parser.value()?.parse()?),
            Long("only") => options.only.push(parser.value()?.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(options)
}

/// Measures the rows, and prints the table. A whole run writes it to `docs/benchmarks.md`.
///
/// # Errors
/// A login that took too long, a socket that was closed, a health that was not answered, memory over the bound.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let directory = run::root().join("target/floods");
    run::create_directory(&directory)?;
    let programs =
        Programs { friendlet: build::build(&Board::load("host")?)?, load: kit::build_load()?, directory };
    let number = options.number.unwrap_or(NUMBER);
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for (name, title) in FLOODS {
        if !options.only.is_empty() && !options.only.iter().any(|only| only == name) {
            continue;
        }
        let begin = Instant::now();
        let row = Row { title, number, found: programs.measure(name, number)? };
        println!("    {} in {:.0} s", row.line(), begin.elapsed().as_secs_f64());
        failures.extend(row.failures());
        rows.push(row);
    }
    let table = table(&rows, number)?;
    println!("\n{table}");
    if failures.is_empty() && options.only.is_empty() && number >= NUMBER {
        report::write(Part::Floods, &table)?;
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// The programs, and the directory of everything that a run writes.
struct Programs {
    friendlet: PathBuf,
    load: PathBuf,
    directory: PathBuf,
}

impl Programs {
    fn measure(&self, flood: &str, number: u32) -> Result<Found, String> {
        let address = free_address()?;
        let state = self.directory.join("state");
        // A new server: blocks and sessions of the row before are none of this one.
        let _ = std::fs::remove_dir_all(&state);
        let file = self.directory.join("friendlet.toml");
        let listen = format!("[listen]\naddress = \"{address}\"\nsocket = \"off\"\ntls = \"on\"\n");
        run::write(&file, format!("{listen}[state]\ndir = {state:?}\n{DEVICE}"))?;
        let mut command = Under::OneCore.command(&self.friendlet);
        command.args(["serve", "--config"]).arg(&file);
        let log = self.directory.join(format!("{flood}.log"));
        let server = Server::start_at(command, address, log, "friendlet", |_| ())?;
        let mut command = Command::new(&self.load);
        command.args(["flood", "--tls", "--core", load::CORE, "--flood", flood, "--login", LOGIN]);
        command.args(["--server", &address.to_string(), "--pid", &server.pid().to_string()]);
        command.args(["--session", SESSION, "--user", USER, "--messages", &number.to_string()]);
        // Any certificate can be paired, and that of the server is at hand.
        for (option, file) in [("--certificate", "tls/certificate.pem"), ("--key", "tls/key.pem")] {
            command.arg(option).arg(state.join(file));
        }
        let mut found = load::parse(&run::captured(&mut command)?)?;
        server.stop()?;
        found.insert("bound_bytes".to_owned(), self.bound(&file)?);
        Ok(found)
    }

    /// Bound of the server's memory, as `friendlet check` reports it.
    fn bound(&self, file: &Path) -> Result<u64, String> {
        let text = run::captured(Command::new(&self.friendlet).arg("check").arg(file))?;
        let line = text.lines().find(|line| line.starts_with("all, bytes  "));
        let bytes = line.and_then(|line| line.split_whitespace().last()?.parse().ok());
        bytes.ok_or_else(|| format!("friendlet check reports no bound: {text}"))
    }
}

/// Figures beside one flood.
struct Row {
    title: &'static str,
    number: u32,
    found: Found,
}

impl Row {
    fn figure(&self, name: &str) -> f64 {
        load::figure(&self.found, name)
    }

    /// Number of times that it was done in time.
    fn done(&self, name: &str) -> String {
        format!("{:.0} of {}", self.figure(&format!("{name}_done")), self.number)
    }

    /// Median and slowest time in milliseconds.
    fn times(&self, name: &str) -> String {
        let [median, slowest] =
            ["median", "slowest"].map(|which| self.figure(&format!("{name}_{which}_us")) / 1000.0);
        format!("{median:.0}, {slowest:.0}")
    }

    /// Connections of the flood each second.
    fn rate(&self) -> f64 {
        self.figure("dials") / (self.figure("wall_ns") / 1e9)
    }

    /// Part of a processor that the server used.
    fn processor(&self) -> f64 {
        100.0 * self.figure("cpu_ns") / self.figure("wall_ns")
    }

    fn line(&self) -> String {
        format!(
            "{}: {} logins ({} ms), {} calls with a token ({} ms), {} with a certificate ({} ms), {:.0} % of a \
             processor",
            self.title,
            self.done("logins"),
            self.times("logins"),
            self.done("calls"),
            self.times("calls"),
            self.done("paired"),
            self.times("paired"),
            self.processor()
        )
    }

    fn failures(&self) -> Vec<String> {
        let number = f64::from(self.number);
        // The socket is called once more, at the end of the flood.
        let wanted = ["logins", "calls", "paired", "healths"].map(|name| (name, number));
        let wanted = wanted.into_iter().chain([("messages", number + 1.0)]);
        let done = wanted.map(|(name, wanted)| {
            let done = self.figure(&format!("{name}_done"));
            (done >= wanted, format!("{done} of {wanted} {name}"))
        });
        let (peak, bound) = (self.figure("peak_bytes"), self.figure("bound_bytes"));
        let others = [
            (self.figure("bound") >= 1.0, "the socket that was bound was closed".to_owned()),
            (peak <= bound, format!("{peak} bytes of memory, where {bound} are the bound")),
        ];
        let failed = done.chain(others).filter(|(is_met, _)| !is_met);
        failed.map(|(_, what)| format!("{}: {what}", self.title)).collect()
    }
}

fn table(rows: &[Row], number: u32) -> Result<String, String> {
    let bound = rows.first().map_or(0.0, |row| row.figure("bound_bytes"));
    let about = format!(
        "{number} logins, calls, requests of `/healthz` and calls on a bound socket beside each flood, over TLS, each \
         within 2 s. Times in milliseconds, median and slowest. The bound of the memory is {:.0} kB. Server, and \
         flood with administrator, have a processor each, which other work uses, too: the first row is that \
         without a flood.",
        bound / 1024.0
    );
    let table = report::table(
        "Floods",
        &about,
        rows,
        &[
            ("flood", Box::new(|row: &Row| row.title.to_owned())),
            ("dials, 1/s", Box::new(|row| format!("{:.0}", row.rate()))),
            ("logins from another address", Box::new(|row| row.done("logins"))),
            ("ms", Box::new(|row| row.times("logins"))),
            ("calls with a token from that of the flood", Box::new(|row| row.done("calls"))),
            ("ms", Box::new(|row| row.times("calls"))),
            ("connections of these", Box::new(|row| format!("{:.0}", row.figure("calls_connections")))),
            ("calls with a paired certificate from there", Box::new(|row| row.done("paired"))),
            ("ms", Box::new(|row| row.times("paired"))),
            ("connections of these", Box::new(|row| format!("{:.0}", row.figure("paired_connections")))),
            ("health, ms", Box::new(|row| row.times("healths"))),
            ("bound socket, ms", Box::new(|row| row.times("messages"))),
            ("processor of the server, %", Box::new(|row| format!("{:.0}", row.processor()))),
            ("memory, kB", Box::new(|row| format!("{:.0}", row.figure("peak_bytes") / 1024.0))),
        ],
    );
    Ok([report::machine(None)?, table].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figures: &[(&str, u64)]) -> Row {
        let mut found: Found =
            ["logins", "calls", "paired", "healths"].map(|name| (format!("{name}_done"), 3)).into();
        found.extend([("messages_done", 4), ("bound", 1), ("peak_bytes", 9), ("bound_bytes", 9)].map(own));
        found.extend(figures.iter().copied().map(own));
        Row { title: "t", number: 3, found }
    }

    fn own((name, value): (&str, u64)) -> (String, u64) {
        (name.to_owned(), value)
    }

    #[test]
    fn every_figure_below_what_is_wanted_is_a_failure() {
        assert_eq!(row(&[]).failures(), Vec::<String>::new());
        for (name, value) in [
            ("logins_done", 2),
            ("calls_done", 2),
            ("paired_done", 2),
            ("healths_done", 2),
            ("messages_done", 3),
            ("bound", 0),
            ("peak_bytes", 10),
        ] {
            assert_eq!(row(&[(name, value)]).failures().len(), 1, "{name}");
        }
        // A figure that is missing is not a good one.
        let mut none = row(&[]);
        none.found.clear();
        assert!(!none.failures().is_empty());
    }

    #[test]
    fn floods_are_chosen_by_name() {
        let wanted = options(&["--number", "5", "--only", "idle", "--only=names"]).unwrap();
        assert_eq!((wanted.number, wanted.only.len()), (Some(5), 2));
        assert!(options(&["--only", "nobody"]).unwrap_err().contains("handshakes"));
        assert!(options(&["--number", "x"]).is_err() && options(&["all"]).is_err());
    }
}
