//! The load's side of a measurement: its modes and their results.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use super::kit::Kit;
use super::message::{Message, SESSION};
use super::peer::Peer;
use super::server::Server;
use crate::run;

/// The processor of the load where times are measured; the servers have the first. What is counted
/// needs no second one.
pub(super) const CORE: &str = "1";

/// Number and order of messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) connections: u32,
    /// Sent by one write; the answers to all are waited for.
    pub(super) in_flight: u32,
    pub(super) messages: u32,
    /// Nothing is sent before all threads of the server sleep.
    pub(super) settle: bool,
}

/// Figures by name.
pub(super) type Found = BTreeMap<String, u64>;

/// Sends messages of one kind.
pub(super) fn rate(
    kit: &Kit,
    server: &Server,
    tls: bool,
    message: &Message,
    shape: Shape,
) -> Result<Found, String> {
    let mut command = kit.load();
    command.arg("rate").args(common(server, tls));
    command.args(["--message", &message.text(), "--expect", message.answer]);
    command.args(["--connections", &shape.connections.to_string()]);
    command.args(["--in-flight", &shape.in_flight.to_string()]);
    command.args(["--messages", &shape.messages.to_string()]);
    if shape.settle {
        command.arg("--settle");
    } else {
        command.args(["--core", CORE, "--warm-up", &(shape.messages / 10).to_string()]);
    }
    parse(&run::captured(&mut command)?)
}

/// Sends `messages` messages one after the other while `connections` are open, each after the last push
/// of the one before. The pushes that each of them got are counted.
pub(super) fn pushes(
    kit: &Kit,
    server: &Server,
    message: &Message,
    connections: u32,
    messages: u32,
) -> Result<f64, String> {
    let mut command = kit.load();
    command.arg("pushes").args(common(server, false));
    command.args(["--message", &message.text(), "--expect", message.answer]);
    command.args(["--connections", &connections.to_string(), "--messages", &messages.to_string()]);
    Ok(figure(&parse(&run::captured(&mut command)?)?, "pushes"))
}

/// Sends messages that each change a service, the next one a pause after the last push of the one before.
pub(super) fn restarts(
    kit: &Kit,
    server: &Server,
    message: &Message,
    messages: u32,
    pause: Duration,
) -> Result<(), String> {
    let mut command = kit.load();
    command.arg("pushes").args(common(server, false));
    command.args(["--message", &message.text(), "--expect", message.answer]);
    command.args(["--messages", &messages.to_string(), "--pause-ms", &pause.as_millis().to_string()]);
    run::captured(&mut command).map(drop)
}

/// Arguments of starts and ends of a program.
pub(super) fn spawns(program: &str, count: u32, pause: Duration) -> [String; 7] {
    let (count, pause) = (count.to_string(), pause.as_millis().to_string());
    ["spawns", "--message", program, "--messages", &count, "--pause-ms", &pause].map(str::to_owned)
}

/// Connections one after the other, opened and closed.
pub(super) fn setups(kit: &Kit, server: &Server, tls: bool, count: u32) -> Result<Found, String> {
    let mut command = kit.load();
    command.arg("setups").args(common(server, tls));
    command.args(["--core", CORE, "--messages", &count.to_string(), "--warm-up", "20"]);
    parse(&run::captured(&mut command)?)
}

fn common(server: &Server, tls: bool) -> Vec<String> {
    let mut arguments = vec!["--server".to_owned(), server.address().to_string()];
    arguments.extend(["--seconds", "60", "--session", SESSION].map(str::to_owned));
    arguments.extend(["--pid".to_owned(), server.pid().to_string()]);
    if tls {
        arguments.push("--tls".to_owned());
    }
    arguments
}

/// Reads lines `name value`.
pub(super) fn parse(text: &str) -> Result<Found, String> {
    text.lines()
        .map(|line| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| format!("the load printed no figures: {text}"))
}

/// One figure; the load prints all of its mode.
pub(super) fn figure(found: &Found, name: &str) -> f64 {
    found.get(name).map_or(f64::NAN, |value| *value as f64)
}

/// Connections that are held open. They end with this value.
#[derive(Debug)]
pub(super) struct Held {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Held {
    pub(super) fn start(kit: &Kit, peer: &Peer, server: &Server, tls: bool) -> Result<Self, String> {
        let failed = |error| format!("{}: the load did not start: {error}", peer.name);
        let mut command = kit.load();
        command.arg("hold").args(common(server, tls)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let answers = BufReader::new(child.stdout.take().ok_or("the load has no output")?);
        Ok(Self { child, answers })
    }

    /// Opens connections up to this number; the server is at rest when it returns. Each step of the load
    /// has an end of its own.
    pub(super) fn hold(&mut self, count: u32) -> Result<(), String> {
        let input = self.child.stdin.as_mut().ok_or("the load has no input")?;
        writeln!(input, "{count}").map_err(|error| format!("the load is gone: {error}"))?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| format!("the load is gone: {error}"))?;
        if line.trim_end() == format!("held {count}") {
            Ok(())
        } else {
            Err(format!("the load cannot hold {count} connections"))
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_load_are_read() {
        let found = parse("messages 10\nwall_ns 5\n").unwrap();
        assert_eq!((figure(&found, "messages"), found.len()), (10.0, 2));
        assert!(figure(&found, "nothing").is_nan());
        assert!(parse("held 3 4\n").is_err() && parse("messages\n").is_err());
    }
}
