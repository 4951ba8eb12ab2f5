//! The rounds: every server once in each, so that other work of the machine affects all of them.

use std::time::Duration;

use super::counts;
use super::kit::Kit;
use super::load::{self, Shape, figure};
use super::memory::{self, Growth};
use super::message::CALLS;
use super::peer::{FRIENDLET, Peer};
use super::server::{Server, Under};

/// Number of measurements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) rounds: u32,
    /// Messages of one measurement: so many for each connection, bounded below.
    pub(super) messages: u32,
    pub(super) setups: u32,
    /// Starts in each round.
    pub(super) starts: u32,
}

impl Effort {
    pub(super) const FULL: Self = Self { rounds: 5, messages: 6000, setups: 300, starts: 4 };
    /// No times.
    pub(super) const COUNTS: Self = Self { rounds: 0, ..Self::QUICK };
    pub(super) const QUICK: Self = Self { rounds: 2, messages: 2000, setups: 100, starts: 2 };
}

/// Connections and messages in flight of each measurement, in the order of [`Side::shapes`].
pub(super) const SHAPES: [(u32, u32); 4] = [(1, 1), (32, 1), (1, 16), (32, 16)];

/// Results of one shape, the best of all rounds each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    /// Processor time of the server per message.
    pub(super) cpu_ns: f64,
    pub(super) per_second: f64,
    /// p50, p99, p99.9.
    pub(super) latency_ns: [f64; 3],
}

impl Default for Exchange {
    fn default() -> Self {
        Self { cpu_ns: f64::INFINITY, per_second: 0.0, latency_ns: [f64::INFINITY; 3] }
    }
}

impl Exchange {
    fn add(&mut self, found: &load::Found) {
        let messages = figure(found, "messages");
        self.cpu_ns = self.cpu_ns.min(figure(found, "cpu_ns") / messages);
        self.per_second = self.per_second.max(messages * 1e9 / figure(found, "wall_ns"));
        for (best, name) in self.latency_ns.iter_mut().zip(["p50_ns", "p99_ns", "p999_ns"]) {
            *best = best.min(figure(found, name));
        }
    }
}

/// A peer over one transport.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    pub(super) shapes: [Exchange; 4],
    /// Processor time of the server per set-up, and set-ups per second as the client sees them.
    pub(super) setup_cpu_ns: f64,
    pub(super) setups_per_second: f64,
    pub(super) growth: Growth,
    /// Bytes of a slot of friendlet.
    pub(super) slot: f64,
    /// Bytes idle, and with 64 connections.
    pub(super) resident: [u64; 2],
    pub(super) first_accept: Vec<Duration>,
    pub(super) instructions: f64,
    pub(super) system_calls: f64,
    /// friendlet's calls, in the order of [`CALLS`].
    pub(super) calls: [Call; CALLS.len()],
}

/// The cost of one of friendlet's calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) instructions: f64,
    /// Processor time, best of all rounds.
    pub(super) cpu_ns: f64,
}

impl Default for Call {
    fn default() -> Self {
        Self { instructions: f64::NAN, cpu_ns: f64::INFINITY }
    }
}

/// A server and its results.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) peer: &'static Peer,
    /// Bytes of the program, and of its libraries.
    pub(super) sizes: [u64; 2],
    /// Plain, and TLS where there is that.
    pub(super) sides: Vec<Side>,
}

/// Measures everything of all peers.
pub(super) fn measure(kit: &Kit, peers: &[&'static Peer], effort: Effort) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for peer in peers {
        let side = Side { setup_cpu_ns: f64::INFINITY, ..Side::default() };
        let sides = vec![side; peer.transports().len()];
        rows.push(Row { peer, sizes: memory::sizes(&kit.program(peer, false))?, sides });
    }
    for round in 1..=effort.rounds {
        println!("    round {round} of {}", effort.rounds);
        for_each(&mut rows, |peer, tls, side| one_round(kit, peer, tls, effort, side))?;
    }
    println!("    memory, instructions, system calls");
    for_each(&mut rows, |peer, tls, side| firm(kit, peer, tls, side))?;
    Ok(rows)
}

fn for_each(
    rows: &mut [Row],
    mut each: impl FnMut(&Peer, bool, &mut Side) -> Result<(), String>,
) -> Result<(), String> {
    for row in rows {
        for (tls, side) in row.peer.transports().iter().zip(&mut row.sides) {
            each(row.peer, *tls, side).map_err(|error| format!("{}: {error}", row.peer.name))?;
        }
    }
    Ok(())
}

fn one_round(kit: &Kit, peer: &Peer, tls: bool, effort: Effort, side: &mut Side) -> Result<(), String> {
    for _ in 0..effort.starts {
        let server = Server::start(kit, peer, tls, &Under::Nothing, false)?;
        side.first_accept.push(server.first_accept);
        server.stop()?;
    }
    let server = Server::start(kit, peer, tls, &Under::OneCore, false)?;
    for ((connections, in_flight), exchange) in SHAPES.into_iter().zip(&mut side.shapes) {
        let messages = effort.messages * if connections * in_flight > 1 { 4 } else { 1 };
        let shape = Shape { connections, in_flight, messages, settle: false };
        exchange.add(&load::rate(kit, &server, tls, peer.ping, shape)?);
    }
    let found = load::setups(kit, &server, tls, effort.setups)?;
    let setups = figure(&found, "setups");
    side.setup_cpu_ns = side.setup_cpu_ns.min(figure(&found, "cpu_ns") / setups);
    side.setups_per_second = side.setups_per_second.max(setups * 1e9 / figure(&found, "wall_ns"));
    if peer.name == FRIENDLET.name {
        for (message, call) in CALLS.iter().zip(&mut side.calls) {
            let shape = Shape { connections: 1, in_flight: 1, messages: effort.messages / 2, settle: false };
            let found = load::rate(kit, &server, tls, message, shape)?;
            call.cpu_ns = call.cpu_ns.min(figure(&found, "cpu_ns") / figure(&found, "messages"));
        }
    }
    server.stop()?;
    let [one, many, ..] = &side.shapes;
    println!(
        "    {:<30} {:>6.1} us CPU per message alone, {:>5.1} of 32, {:>6.1} per set-up",
        named(peer, tls),
        one.cpu_ns / 1000.0,
        many.cpu_ns / 1000.0,
        side.setup_cpu_ns / 1000.0
    );
    Ok(())
}

/// The counts, which need no second measurement.
fn firm(kit: &Kit, peer: &Peer, tls: bool, side: &mut Side) -> Result<(), String> {
    side.growth = memory::growth(kit, peer, tls)?;
    side.resident = memory::resident(kit, peer, tls)?;
    side.instructions = counts::instructions(kit, peer, tls, peer.ping)?;
    side.system_calls = counts::system_calls(kit, peer, tls, peer.ping)?;
    println!(
        "    {:<30} {:>7.0} bytes/connection, {:>6.0} kB with 64, {:>6.0} instructions, {:>4.1} calls/message",
        named(peer, tls),
        side.growth.per_connection(),
        side.resident[1] as f64 / 1024.0,
        side.instructions,
        side.system_calls
    );
    if peer.is_friendlet() {
        side.slot = memory::per_slot(kit, tls)?;
    }
    if peer.name == FRIENDLET.name {
        for (message, call) in CALLS.iter().zip(&mut side.calls) {
            call.instructions = counts::instructions(kit, peer, tls, message)?;
            println!(
                "    {:<30} {:>7.0} instructions: {}",
                named(peer, tls),
                call.instructions,
                message.name
            );
        }
    }
    Ok(())
}

fn named(peer: &Peer, tls: bool) -> String {
    format!("{}{}", peer.name, if tls { ", TLS" } else { "" })
}
