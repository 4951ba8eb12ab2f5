//! The other end of every measurement of `cargo xtask bench`: opens WebSockets, sends, counts.
//!
//! `load MODE --server ADDRESS ..` prints its figures as lines `name value`. It runs on one processor,
//! the server on another. Every wait has an end.

mod flood;
mod frame;
mod hold;
mod link;
mod process;
mod pushes;
mod rate;
mod setups;
mod spawns;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use link::Target;
use process::Process;

/// An error: any ends the measurement.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

const MODES: &str = "rate, pushes, setups, hold, spawns or flood";

/// The command line.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) target: Target,
    /// Connections at once.
    pub(crate) connections: usize,
    /// Messages that a connection sends in one write before it waits for the answers to all.
    pub(crate) in_flight: usize,
    /// Messages before those that are measured.
    pub(crate) warm_up: usize,
    /// Messages, or set-ups, that are measured.
    pub(crate) messages: usize,
    /// The measured part ends then, too.
    pub(crate) seconds: u64,
    /// The text sent, a frame a line.
    pub(crate) message: String,
    /// Text that every answer, or the last push of a message, contains.
    pub(crate) expect: String,
    /// The server's, where its processor time is asked for.
    pub(crate) process: Option<Process>,
    /// Before each write the server is waited for until all its threads sleep.
    pub(crate) settle: bool,
    /// Pause after each message whose pushes have come, and after each start and end of a process.
    pub(crate) pause: Duration,
    /// Kind of the flood.
    pub(crate) flood: String,
    /// Form of the administrator's login, his token, and that of another user.
    pub(crate) login: String,
    pub(crate) session: String,
    pub(crate) user: String,
    /// Files of the administrator's certificate and its key.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Options {
    /// Appends the frames of one message.
    pub(crate) fn append_message(&self, out: &mut Vec<u8>) {
        for line in self.message.lines() {
            frame::append(out, frame::TEXT, line.as_bytes());
        }
    }

    /// Returns whether `text` contains the expected string.
    pub(crate) fn is_expected(&self, text: &[u8]) -> bool {
        let expect = self.expect.as_bytes();
        text.windows(expect.len().max(1)).any(|part| part.starts_with(expect))
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let (mode, options) = read()?;
    match mode.as_str() {
        "rate" => rate::run(&options),
        "pushes" => pushes::run(&options),
        "setups" => setups::run(&options),
        "hold" => hold::run(&options),
        "spawns" => spawns::run(&options),
        "flood" => flood::run(&options),
        other => Err(format!("unknown mode '{other}': {MODES}").into()),
    }
}

fn read() -> Result<(String, Options), Error> {
    use lexopt::{Arg, ValueExt as _};
    let mut parser = lexopt::Parser::from_env();
    let (mut mode, mut server, mut tls, mut session) = (None, None, false, None::<String>);
    let mut options = Options {
        target: Target {
            address: ([127, 0, 0, 1], 0).into(),
            tls: None,
            path: "/".to_owned(),
            greeting: None,
        },
        connections: 1,
        in_flight: 1,
        warm_up: 0,
        messages: 1000,
        seconds: 10,
        message: String::new(),
        expect: String::new(),
        process: None,
        settle: false,
        pause: Duration::ZERO,
        flood: String::new(),
        login: String::new(),
        session: String::new(),
        user: String::new(),
        certificate: PathBuf::new(),
        key: PathBuf::new(),
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Value(value) if mode.is_none() => mode = Some(value.string()?),
            Arg::Long("server") => server = Some(parser.value()?.parse()?),
            Arg::Long("tls") => tls = true,
            Arg::Long("session") => session = Some(parser.value()?.string()?),
            Arg::Long("connections") => options.connections = parser.value()?.parse()?,
            Arg::Long("in-flight") => options.in_flight = parser.value()?.parse()?,
            Arg::Long("warm-up") => options.warm_up = parser.value()?.parse()?,
            Arg::Long("messages") => options.messages = parser.value()?.parse()?,
            Arg::Long("seconds") => options.seconds = parser.value()?.parse()?,
            Arg::Long("message") => options.message = parser.value()?.string()?,
            Arg::Long("expect") => options.expect = parser.value()?.string()?,
            Arg::Long("pid") => options.process = Some(Process(parser.value()?.parse()?)),
            Arg::Long("settle") => options.settle = true,
            Arg::Long("pause-ms") => options.pause = Duration::from_millis(parser.value()?.parse()?),
            Arg::Long("flood") => options.flood = parser.value()?.string()?,
            Arg::Long("login") => options.login = parser.value()?.string()?,
            Arg::Long("user") => options.user = parser.value()?.string()?,
            Arg::Long("certificate") => options.certificate = parser.value()?.into(),
            Arg::Long("key") => options.key = parser.value()?.into(),
            Arg::Long("core") => pin(parser.value()?.parse()?)?,
            other => return Err(other.unexpected().into()),
        }
    }
    let needs_server = mode.as_deref() != Some("spawns");
    if needs_server || server.is_some() {
        options.target.address = server.ok_or("--server ADDRESS is missing")?;
    }
    if tls {
        options.target.tls = Some(link::tls_config(None)?);
    }
    if let Some(session) = session {
        options.target.path = format!("/fcws?sessionid={session}");
        options.session.clone_from(&session);
        options.target.greeting = Some(frame::bind(&session));
    }
    if options.in_flight == 0 || options.connections == 0 || options.messages == 0 {
        return Err("--connections, --in-flight and --messages are above 0".into());
    }
    Ok((mode.ok_or_else(|| format!("the mode is missing: {MODES}"))?, options))
}

/// Keeps this process on one processor.
fn pin(core: usize) -> Result<(), Error> {
    let mut set = rustix::thread::CpuSet::new();
    set.set(core);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}
