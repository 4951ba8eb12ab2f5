//! Many clients' lives against a server behind a bad line: whatever is lost, doubled or late, no client
//! uses an address that the server has not granted it, and each has one once the line is good.

use proptest::prelude::*;

use super::*;

/// A server with one address to give, and what it promised about it.
struct Server {
    granted_until: Option<Duration>,
    lease: u32,
    /// Refuses what it is asked next.
    is_refusing: bool,
}

impl Server {
    fn answer(&mut self, asked: &Asked, now: Duration) -> Option<std::vec::Vec<u8>> {
        let options = lease_option(self.lease);
        if asked.kind == 1 {
            return Some(answer(asked, 2, ADDRESS, SERVER, &options));
        }
        if asked.server.is_some_and(|server| server != SERVER) {
            return None;
        }
        if core::mem::take(&mut self.is_refusing) {
            return Some(answer(asked, 6, Ipv4Addr::UNSPECIFIED, SERVER, &[]));
        }
        let wanted = asked.requested.unwrap_or(asked.address);
        if wanted != ADDRESS {
            return Some(answer(asked, 6, Ipv4Addr::UNSPECIFIED, SERVER, &[]));
        }
        let until = now + Duration::from_secs(self.lease.into());
        self.granted_until = self.granted_until.max(Some(until));
        Some(answer(asked, 5, ADDRESS, SERVER, &options))
    }
}

/// What happens to one message, and what else happens then.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    AnswerLost,
    Doubled,
    Late(u8),
    Refused,
    LinkLost(u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Arrives),
        2 => Just(Fate::Lost),
        2 => Just(Fate::AnswerLost),
        1 => Just(Fate::Doubled),
        1 => (0..60_u8).prop_map(Fate::Late),
        1 => Just(Fate::Refused),
        1 => (0..200_u8).prop_map(Fate::LinkLost),
    ]
}

struct World {
    now: Duration,
    client: Client,
    server: Server,
    /// What the host uses.
    configured: Option<Lease>,
}

impl World {
    fn act(&mut self) {
        while let Some(action) = self.client.poll_action() {
            self.configured = match action {
                Action::Configure(lease) => Some(lease),
                Action::Deconfigure(_) => None,
            };
        }
        assert_eq!(self.configured.as_ref(), self.client.lease());
        if self.configured.is_some() {
            assert!(self.server.granted_until.is_some_and(|until| self.now <= until), "at {:?}", self.now);
        }
    }

    /// Goes on to the next deadline, or for so long.
    fn pass(&mut self, most: Duration) {
        let end = self.now + most;
        while let Some(deadline) = self.client.poll_timeout()
            && deadline <= end
        {
            assert!(self.client.poll_timeout() >= Some(self.now) || deadline <= self.now);
            self.now = self.now.max(deadline);
            self.client.handle_timeout(self.now);
            self.act();
            if self.client.is_output {
                return;
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, bytes: &[u8]) {
        let _ = self.client.handle_packet(bytes, self.now);
        self.act();
    }

    fn step(&mut self, fate: Fate) {
        let Some(asked) = output(&mut self.client) else {
            self.pass(Duration::from_secs(20_000));
            return;
        };
        match fate {
            Fate::Lost => {}
            Fate::Refused => {
                self.server.is_refusing = true;
                if let Some(bytes) = self.server.answer(&asked, self.now) {
                    self.deliver(&bytes);
                }
            }
            Fate::LinkLost(time) => {
                self.client.handle_link_down();
                self.pass(Duration::from_secs(time.into()));
                self.client.handle_link_up(self.now);
                self.act();
            }
            Fate::Arrives | Fate::AnswerLost | Fate::Doubled | Fate::Late(_) => {
                let Some(bytes) = self.server.answer(&asked, self.now) else { return };
                match fate {
                    Fate::AnswerLost => {}
                    Fate::Late(time) => {
                        let until = self.now + Duration::from_secs(time.into());
                        self.pass(Duration::from_secs(time.into()));
                        self.now = self.now.max(until);
                        // Its deadlines have come in the meantime.
                        while self.client.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
                            self.client.handle_timeout(self.now);
                        }
                        self.act();
                        self.deliver(&bytes);
                    }
                    _ => self.deliver(&bytes),
                }
                if matches!(fate, Fate::Doubled) {
                    self.deliver(&bytes);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn address_is_only_used_while_it_is_granted(
        seed in any::<u64>(), lease in 10..10_000_u32, fates in prop::collection::vec(fate(), 0..60)
    ) {
        let mut world = World {
            now: Duration::ZERO,
            client: Client::new(HARDWARE, "board", seed),
            server: Server { granted_until: None, lease, is_refusing: false },
            configured: None,
        };
        world.client.handle_link_up(world.now);
        for fate in fates {
            world.step(fate);
        }
        world.server.is_refusing = false;
        let good_from = world.now;
        for _ in 0..50 {
            world.step(Fate::Arrives);
            if world.configured.is_some() {
                break;
            }
        }
        prop_assert!(world.configured.is_some(), "good line since {:?}, now {:?}", good_from, world.now);
        // And it keeps it.
        for _ in 0..50 {
            world.step(Fate::Arrives);
            prop_assert!(world.configured.is_some());
        }
    }
}
