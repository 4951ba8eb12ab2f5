//! Floods by seed: clients without an identity that dial again whenever they are evicted, and an administrator who
//! logs in among them. Time, sockets and the accept queue are simulated in steps of a millisecond.

use core::time::Duration;
use std::collections::VecDeque;

use super::fixture::{ADMIN, Fixture, upgrade};
use crate::connection::{SlotId, Stage};

/// Host of the flood; another one is 2.
const FLOOD: u8 = 1;
/// Attackers at once: five times as many as there are slots.
const ATTACKERS: usize = 100;
const SLOTS: usize = 16;
/// Time of a password check.
const CHECK_MS: u64 = 150;
/// The administrator's time for a login and a bound socket.
const LIMIT_MS: u64 = 2_000;

/// Progress of each attacker before it waits.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Idle,
    CutHello,
    /// Handshake, and half of a request.
    SlowHead,
    /// WebSocket without a session.
    Stranger,
    /// One after the other of these.
    Mixed,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Idle, Self::CutHello, Self::SlowHead, Self::Stranger, Self::Mixed];

    fn accepts_a_ms(self) -> usize {
        match self {
            Self::Idle => 8,
            Self::CutHello => 4,
            // Each costs a handshake.
            Self::SlowHead | Self::Stranger | Self::Mixed => 1,
        }
    }

    fn of(self, attacker: usize) -> Self {
        match self {
            Self::Mixed => Self::ALL[attacker % 4],
            kind => kind,
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Client {
    Attacker(usize),
    Administrator,
}

/// Step of the administrator.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// Dialled; its first bytes arrive then.
    Dialled(u64),
    Greeted(SlotId, u64),
    Secured(SlotId, u64),
    Checking(SlotId, u64),
    Bound(SlotId),
}

struct Flood {
    fixture: Fixture,
    seed: u64,
    now_ms: u64,
    kind: Kind,
    host: u8,
    queue: VecDeque<Client>,
    away: Vec<(u64, usize)>,
    inside: Vec<(SlotId, Client)>,
    step: Step,
    is_logged_in: bool,
    attempts: u32,
}

impl Flood {
    /// A flood beside `bound` sockets of administrators. The one who logs in is at `host`.
    fn new(seed: u64, kind: Kind, host: u8, bound: usize) -> Self {
        let mut fixture = Fixture::new(SLOTS);
        for _ in 0..bound {
            fixture.bound(ADMIN);
        }
        Self {
            fixture,
            seed,
            now_ms: 0,
            kind,
            host,
            queue: (0..ATTACKERS).map(Client::Attacker).collect(),
            away: Vec::new(),
            inside: Vec::new(),
            step: Step::Dialled(0),
            is_logged_in: false,
            attempts: 0,
        }
    }

    /// A number below `end`.
    fn random(&mut self, end: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % end
    }

    /// Time until the next bytes of the administrator arrive, on a network with load.
    fn soon(&mut self) -> u64 {
        self.now_ms + self.random(4)
    }

    fn dial(&mut self) {
        self.attempts += 1;
        self.step = Step::Dialled(self.soon());
        self.queue.push_back(Client::Administrator);
    }

    fn release_evicted(&mut self) {
        for (id, client) in std::mem::take(&mut self.inside) {
            if self.fixture.server.state(id).finish.is_none() {
                self.inside.push((id, client));
                continue;
            }
            self.fixture.server.release(id);
            match client {
                Client::Attacker(attacker) => {
                    let again = self.now_ms + self.random(20);
                    self.away.push((again, attacker));
                }
                Client::Administrator => self.dial(),
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..self.kind.accepts_a_ms() {
            let Some(client) = self.queue.pop_front() else { return };
            let host = if client == Client::Administrator { self.host } else { FLOOD };
            let claimed = self.fixture.connect_from(host).or_else(|| {
                self.release_evicted();
                self.fixture.connect_from(host)
            });
            let id = claimed.expect("an unproven connection was evicted");
            self.inside.push((id, client));
            match client {
                Client::Attacker(attacker) => self.attack(id, self.kind.of(attacker)),
                Client::Administrator => self.advance(),
            }
        }
    }

    fn attack(&mut self, id: SlotId, kind: Kind) {
        let stages: &[Stage] = match kind {
            Kind::Idle | Kind::Mixed => &[],
            Kind::CutHello => &[Stage::Begun],
            Kind::SlowHead | Kind::Stranger => &[Stage::Begun, Stage::Greeted, Stage::Secured],
        };
        for stage in stages {
            self.fixture.server.handle_stage(id, *stage, self.fixture.now);
        }
        match kind {
            Kind::SlowHead => self.fixture.put(id, b"GET / HTTP/1.1\r\nHo"),
            // Refused while every slot for proven connections is in use.
            Kind::Stranger => {
                self.fixture.http(id, &upgrade("/fcws"));
            }
            _ => {}
        }
    }

    /// Does what the administrator's bytes that have arrived lead to.
    fn advance(&mut self) {
        let Some((id, _)) = self.inside.iter().find(|(_, client)| *client == Client::Administrator).copied()
        else {
            return;
        };
        let due = match self.step {
            Step::Dialled(due) | Step::Greeted(_, due) | Step::Secured(_, due) | Step::Checking(_, due) => {
                due
            }
            Step::Bound(_) => return,
        };
        if self.now_ms < due {
            return;
        }
        let now = self.fixture.now;
        self.step = match self.step {
            Step::Dialled(_) => {
                self.fixture.server.handle_stage(id, Stage::Greeted, now);
                Step::Greeted(id, self.soon())
            }
            Step::Greeted(..) => {
                self.fixture.server.handle_stage(id, Stage::Secured, now);
                Step::Secured(id, self.soon())
            }
            Step::Secured(..) if self.is_logged_in => {
                let response = self.fixture.http(id, &upgrade(&format!("/fcws?sessionid={ADMIN}")));
                assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
                Step::Bound(id)
            }
            Step::Secured(..) => {
                let body = "username=admin&password=x&deviceid=d";
                let head = format!("Host: h\r\nContent-Length: {}\r\n\r\n", body.len());
                self.fixture
                    .put(id, format!("POST /system.library/login HTTP/1.1\r\n{head}{body}").as_bytes());
                Step::Checking(id, self.now_ms + CHECK_MS)
            }
            Step::Checking(..) => {
                self.fixture.check_password(true);
                let response = String::from_utf8(self.fixture.get(id)).unwrap();
                assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
                self.fixture.server.release(id);
                self.inside.retain(|(other, _)| *other != id);
                self.is_logged_in = true;
                return self.dial();
            }
            Step::Bound(id) => Step::Bound(id),
        };
    }

    fn pass_a_millisecond(&mut self) {
        self.now_ms += 1;
        self.fixture.now += Duration::from_millis(1);
        self.release_evicted();
        let now = self.now_ms;
        let again = self.away.extract_if(.., |(at, _)| *at <= now);
        self.queue.extend(again.map(|(_, attacker)| Client::Attacker(attacker)));
        self.advance();
        self.accept();
    }

    /// Runs until the administrator is bound, and on for a while. Returns the time and the number of dials beyond the
    /// two that a login and a socket need.
    fn run(mut self) -> (u64, u32) {
        // The flood has every slot before.
        for _ in 0..200 {
            self.pass_a_millisecond();
        }
        let start = self.now_ms;
        self.dial();
        while !matches!(self.step, Step::Bound(_)) {
            self.pass_a_millisecond();
            assert!(self.now_ms < start + LIMIT_MS, "{:?} at {}: {:?}", self.kind, self.host, self.step);
        }
        let (time, more) = (self.now_ms - start, self.attempts - 2);
        for _ in 0..200 {
            self.pass_a_millisecond();
        }
        let Step::Bound(id) = self.step else { panic!("the socket was evicted") };
        assert_eq!(self.fixture.server.state(id).finish, None);
        (time, more)
    }
}

#[test]
fn administrator_from_another_source_is_in_at_once_in_any_flood() {
    for kind in Kind::ALL {
        for seed in 0..8 {
            for bound in [0, SLOTS - 1] {
                let (time, more) = Flood::new(seed, kind, 2, bound).run();
                assert_eq!(more, 0, "{kind:?}, seed {seed}: evicted, {time} ms");
            }
        }
    }
}

#[test]
fn administrator_from_the_same_source_is_in_soon_in_any_flood() {
    for kind in Kind::ALL {
        for seed in 0..8 {
            let (time, more) = Flood::new(seed, kind, FLOOD, 0).run();
            assert!(more <= 2, "{kind:?}, seed {seed}: evicted {more} times, {time} ms");
        }
    }
}
