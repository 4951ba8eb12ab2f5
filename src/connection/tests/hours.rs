//! Hours of a board in one test: the server core with simulated clients, processes and faults, all of them by a seed.
//!
//! Users start, stop and watch services, lose their connections in the middle of a call and repeat it; strangers and guessers
//! do what they can. Time jumps to the next event. After each event the invariants are checked: states agree
//! with processes, no user sees or changes what the own rights do not permit, a call is executed once however often it
//! is repeated, guesses of an address are bounded, and an administrator logs in within seconds at any time.
//!
//! `FRIENDLET_SEED=17 FRIENDLET_HOURS=50 cargo test --lib ten_hours` repeats the run of a seed for this time.

mod client;
mod keeper;
mod random;

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;

use self::client::{Client, Kind};
use self::keeper::{Keeper, Outcome};
use crate::api::{Api, Board};
use crate::call::{CommandOutput, Completion, PasswordVerdict};
use crate::config;
use crate::connection::{End, Finish, Peer, Server, ServerConfig, SlotId};
use crate::limits::SESSIONS;
use crate::service::{State, Supervisor};
use crate::session::{ClientAddr, Lockout, PasswordHash, SessionTable, User, Users};

/// Services by their id. Their names are in no other text.
const SERVICES: [&str; 3] = ["alpha", "bravo", "delta"];
const FILE: &str = r#"
[limits]
slots = 6
[session]
idle_timeout_s = 3600
[[user]]
name = "admin"
level = "admin"
[[user]]
name = "anna"
level = "user"
services = ["alpha"]
[[user]]
name = "vera"
level = "viewer"
services = ["bravo"]
[[user]]
name = "mallory"
level = "user"
services = []
[[service]]
name = "alpha"
command = ["/bin/alpha"]
restart = "always"
[service.commands]
run = ["/bin/run"]
[[service]]
name = "bravo"
command = ["/bin/bravo"]
restart = "on-failure"
after = ["alpha"]
[service.commands]
run = ["/bin/run"]
[[service]]
name = "delta"
command = ["/bin/delta"]
requires = ["bravo"]
[service.commands]
run = ["/bin/run"]
"#;
/// Wrong passwords of one address in an hour.
const GUESSES_AN_HOUR: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);
/// Longest time of an administrator's login with a bound socket, at any moment.
const LOGIN_TIME: Duration = Duration::from_secs(10);

/// Wrong passwords from the address of the guessers.
#[derive(Default)]
struct Guesses {
    /// Names by the calls of their checks.
    pending: BTreeMap<u64, String>,
    /// Times of the verdicts within the last hour.
    made: Vec<Duration>,
}

struct World {
    server: Server,
    keeper: Keeper,
    clients: Vec<Client>,
    now: Duration,
    /// Events so far.
    steps: u64,
    /// Calls of users that were answered, and those of them without the right to it.
    answered: u64,
    refused: u64,
    logins: u64,
    guesses: Guesses,
    /// End of the flood of strangers.
    flood_until: Duration,
    /// Number of the newest operation of each user.
    operations: BTreeMap<&'static str, u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let config =
            config::parse(FILE, "hours", "/bin/friendlet").unwrap_or_else(|errors| panic!("{errors}"));
        let mut users = Users::new();
        for (_, user) in config.users.iter() {
            users.push(User { password: Some(PasswordHash::dummy(1)), ..user.clone() }).unwrap();
        }
        let mut services = Supervisor::new(config.services);
        services.set_seed(seed);
        let server = Server::new(ServerConfig {
            slots: config.slots,
            tls: false,
            front: config.listen.front,
            owner: 0,
            api: Api::new(
                users,
                config.tokens,
                SessionTable::new(config.idle_timeout, config.lifetime),
                Lockout::new(config.lockout_attempts, config.lockout_time),
                services,
                Board::default(),
            ),
        });
        let clients = Kind::ALL.iter().map(|kind| Client::new(*kind)).collect();
        let mut world = Self {
            server,
            keeper: Keeper::new(seed),
            clients,
            now: Duration::from_secs(1),
            steps: 0,
            answered: 0,
            refused: 0,
            logins: 0,
            guesses: Guesses::default(),
            flood_until: Duration::ZERO,
            operations: BTreeMap::new(),
        };
        world.keeper.now = world.now;
        world.server.start(world.now, &mut world.keeper);
        world.settle();
        world
    }

    fn below(&mut self, end: u64) -> u64 {
        self.keeper.random.below(end)
    }

    /// Runs for this time.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let wake = self.clients.iter().map(|client| client.wake).min();
            let due = [self.keeper.poll_timeout(), self.server.poll_timeout(), wake];
            let next = due.into_iter().flatten().min().expect("a client is awake");
            self.now = self.now.max(next);
            self.keeper.now = self.now;
            self.step();
        }
    }

    /// Handles one event that is due.
    fn step(&mut self) {
        self.steps += 1;
        // A board gets the time of day some minutes after its start.
        self.keeper.unix_s = (self.now > HOUR / 6).then(|| 1_800_000_000 + self.now.as_secs());
        if self.steps.is_multiple_of(5000) {
            let is_soon = self.below(2) == 0;
            self.server.set_expiry_notices(is_soon.then(|| config::one_line("c.pem: expires")), None);
        } else if self.server.poll_timeout().is_some_and(|due| due <= self.now) {
            self.server.handle_timeout(self.now, &mut self.keeper);
            let next = self.server.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "what is due stays due: {next:?}");
        } else if let Some(outcome) = self.keeper.poll() {
            self.handle_outcome(outcome);
        } else if let Some(index) = self.clients.iter().position(|client| client.wake <= self.now) {
            client::act(self, index);
        }
        self.settle();
        self.check();
    }

    fn handle_outcome(&mut self, outcome: Outcome) {
        let now = self.now;
        let text;
        let (call_id, completion) = match outcome {
            Outcome::Password(call_id, is_right) => {
                self.count_guess(call_id);
                let verdict = if is_right { PasswordVerdict::Right } else { PasswordVerdict::Wrong };
                (call_id, Completion::Password(verdict))
            }
            Outcome::Command(call_id, run) => {
                text = format!("run {run}.");
                let output = CommandOutput { exit: "exit 0", output: text.as_bytes(), is_cut: false };
                (call_id, Completion::Command(output))
            }
            Outcome::Written(call_id, result) => (call_id, Completion::Written(result)),
            outcome => {
                if let Some((service, event)) = self.keeper.event(outcome) {
                    self.server.handle_event(service, event, now, &mut self.keeper);
                }
                return;
            }
        };
        self.server.handle_completion(call_id, completion, now, &mut self.keeper);
    }

    /// Counts a wrong password whose client learns so: one that waits for it, and that is not refused whatever it is.
    fn count_guess(&mut self, call_id: u64) {
        let Some(name) = self.guesses.pending.remove(&call_id) else { return };
        let slots = &self.server.slots;
        let waits =
            slots.iter().any(|slot| slot.pending.as_ref().is_some_and(|pending| pending.call.id == call_id));
        let source = ClientAddr::from(IpAddr::from([192, 0, 2, Kind::Guesser.host()]));
        let lockout = &self.server.api.accounts.lockout;
        if waits && lockout.blocked_for(&name, source, self.now).is_none() {
            self.guesses.made.retain(|time| *time + HOUR > self.now);
            self.guesses.made.push(self.now);
        }
        let made = &self.guesses.made;
        assert!(made.len() <= GUESSES_AN_HOUR, "{} guesses in an hour: {made:?}", made.len());
    }

    /// Does the work of the network for the slots that the server wakes, until none is left.
    fn settle(&mut self) {
        while let Some(slot) = self.server.next_wake() {
            let is_there = |client: &Client| client.slot.is_some_and(|id| id.index == slot);
            if let Some(index) = self.clients.iter().position(is_there) {
                client::read(self, index);
            }
        }
    }

    fn connect(&mut self, index: usize) -> Option<SlotId> {
        let peer = Peer::Network(IpAddr::from([192, 0, 2, self.clients[index].kind.host()]));
        let slot = self.server.claim(peer, self.now).or_else(|| {
            // The evicted one goes first.
            self.settle();
            self.server.claim(peer, self.now)
        });
        self.clients[index].connected(slot);
        slot
    }

    /// Sends bytes as far as the server accepts them.
    fn send(&mut self, index: usize, mut bytes: &[u8]) {
        let Some(id) = self.clients[index].slot else { return };
        while !bytes.is_empty() && self.server.state(id).receives {
            let piece = self.below(4 * bytes.len() as u64) as usize + 1;
            let space = self.server.receive_space(id);
            let count = bytes.len().min(space.len()).min(piece);
            assert!(count > 0, "it receives and has no room");
            space[..count].copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.server.received(id, count, self.now, &mut self.keeper);
        }
        client::read(self, index);
    }

    /// Breaks a connection without a word to its peer.
    fn cut(&mut self, index: usize) {
        if let Some(id) = self.clients[index].slot.take() {
            let end = self.keeper.random.pick(&[End::Broken, End::Eof]);
            self.server.handle_end(id, end, self.now, &mut self.keeper);
            self.server.release(id);
        }
    }

    /// Releases the slot of a client that the server has done with. Returns true if so.
    fn release_if_over(&mut self, index: usize) -> bool {
        let Some(id) = self.clients[index].slot else { return true };
        let state = self.server.state(id);
        let is_over = match state.finish {
            Some(Finish::Abort | Finish::Evict) => true,
            Some(Finish::Graceful) => !state.sends,
            None => false,
        };
        if is_over {
            self.server.release(id);
            self.clients[index].slot = None;
        }
        is_over
    }

    fn state_of(&self, service: usize) -> (State, u32) {
        let service = self.server.services().table().find(SERVICES[service]).expect("a service");
        let status = self.server.services().status(service, self.now);
        (status.state, status.pid)
    }

    /// Checks what holds after each event.
    fn check(&self) {
        for (index, process) in self.keeper.processes.iter().take(SERVICES.len()).enumerate() {
            let (state, pid) = self.state_of(index);
            let agrees = match (state, process) {
                (State::Started | State::Paused, Some(process)) => process.pid == pid && pid != 0,
                (State::Started | State::Paused, None) => false,
                (State::Stopping, process) => process.is_some(),
                (State::Starting, _) => true,
                (State::Stopped | State::Failed | State::Finished, process) => {
                    process.is_none_or(|process| process.is_given_up(self.now))
                }
            };
            assert!(agrees, "{} is {state:?} with {process:?}", SERVICES[index]);
        }
        let accounts = &self.server.api.accounts;
        assert!(accounts.sessions.len() <= SESSIONS);
        let used = self.clients.iter().filter(|client| client.slot.is_some()).count();
        assert_eq!(self.server.api.connections.used, used, "a slot is lost");
    }
}

/// Prints the seed of a run that fails.
struct Seed(u64, u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, hours) = self;
            eprintln!(
                "FRIENDLET_SEED={seed} FRIENDLET_HOURS={hours} cargo test --lib ten_hours repeats this run"
            );
        }
    }
}

/// Number in an environment variable.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number")))
}

/// Simulates this time for each seed.
fn simulate(seeds: core::ops::Range<u64>, hours: u64) {
    crate::log::set_level(crate::log::Level::Off);
    let seeds = variable("FRIENDLET_SEED").map_or(seeds, |seed| seed..seed + 1);
    let hours = variable("FRIENDLET_HOURS").unwrap_or(hours);
    for seed in seeds {
        let seed = Seed(seed, hours);
        let mut world = World::new(seed.0);
        world.run(HOUR * hours as u32);
        let World { answered, refused, logins, steps, .. } = world;
        println!(
            "seed {}: {hours} hours, {steps} events, {answered} answers, {refused} refused, {logins} logins",
            seed.0
        );
        // An invariant that is never tried holds nothing.
        assert!(logins >= hours / 2 && answered > 10 * hours && refused > 10 * hours);
    }
}

#[test]
fn ten_hours_keep_the_invariants() {
    simulate(100..101, 10);
}

#[test]
fn first_five_hundred_hours_keep_the_invariants() {
    simulate(0..10, 50);
}

#[test]
fn next_five_hundred_hours_keep_the_invariants() {
    simulate(10..20, 50);
}
