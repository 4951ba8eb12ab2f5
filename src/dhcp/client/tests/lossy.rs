//! Random simulations of a client and a server behind a lossy line.
//!
//! Messages are lost, doubled or late. No client uses an address that the server has not granted, and
//! each has one once the line is good.

use proptest::prelude::*;

use super::*;

/// Server with one address to lease.
struct LossyServer {
    granted_until: Option<Duration>,
    lease: u32,
    /// Sends a DHCPNAK to the next request.
    is_refusing: bool,
}

impl LossyServer {
    fn reply(&mut self, message: &Received, now: Duration) -> Option<std::vec::Vec<u8>> {
        let options = lease_option(self.lease);
        if message.kind == 1 {
            return Some(reply(message, 2, ADDRESS, SERVER, &options));
        }
        if message.server.is_some_and(|server| server != SERVER) {
            return None;
        }
        if core::mem::take(&mut self.is_refusing) {
            return Some(reply(message, 6, Ipv4Addr::UNSPECIFIED, SERVER, &[]));
        }
        let requested = message.requested.unwrap_or(message.address);
        if requested != ADDRESS {
            return Some(reply(message, 6, Ipv4Addr::UNSPECIFIED, SERVER, &[]));
        }
        let until = now + Duration::from_secs(self.lease.into());
        self.granted_until = self.granted_until.max(Some(until));
        Some(reply(message, 5, ADDRESS, SERVER, &options))
    }
}

/// Fate of one message.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Lost,
    ReplyLost,
    Doubled,
    Late(u8),
    Refused,
    LinkLost(u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Arrives),
        2 => Just(Fate::Lost),
        2 => Just(Fate::ReplyLost),
        1 => Just(Fate::Doubled),
        1 => (0..60_u8).prop_map(Fate::Late),
        1 => Just(Fate::Refused),
        1 => (0..200_u8).prop_map(Fate::LinkLost),
    ]
}

struct Simulation {
    now: Duration,
    client: Client,
    server: LossyServer,
    /// Lease that the host uses.
    configured: Option<Lease>,
}

impl Simulation {
    fn apply_change(&mut self) {
        while let Some(change) = self.client.poll_change() {
            self.configured = match change {
                AddressChange::Configure(lease) => Some(lease),
                AddressChange::Deconfigure(_) => None,
            };
        }
        assert_eq!(self.configured.as_ref(), self.client.lease());
        if self.configured.is_some() {
            assert!(self.server.granted_until.is_some_and(|until| self.now <= until), "at {:?}", self.now);
        }
    }

    /// Advances to the next deadline, by `most` at the latest.
    fn advance(&mut self, most: Duration) {
        let end = self.now + most;
        while let Some(deadline) = self.client.poll_timeout()
            && deadline <= end
        {
            assert!(self.client.poll_timeout() >= Some(self.now) || deadline <= self.now);
            self.now = self.now.max(deadline);
            self.client.handle_timeout(self.now);
            self.apply_change();
            if self.client.has_output {
                return;
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, bytes: &[u8]) {
        let _ = self.client.handle_packet(bytes, self.now);
        self.apply_change();
    }

    fn step(&mut self, fate: Fate) {
        let Some(message) = output(&mut self.client) else {
            self.advance(Duration::from_secs(20_000));
            return;
        };
        match fate {
            Fate::Lost => {}
            Fate::Refused => {
                self.server.is_refusing = true;
                if let Some(bytes) = self.server.reply(&message, self.now) {
                    self.deliver(&bytes);
                }
            }
            Fate::LinkLost(time) => {
                self.client.handle_link_down();
                self.advance(Duration::from_secs(time.into()));
                self.client.handle_link_up(self.now);
                self.apply_change();
            }
            Fate::Arrives | Fate::ReplyLost | Fate::Doubled | Fate::Late(_) => {
                let Some(bytes) = self.server.reply(&message, self.now) else { return };
                match fate {
                    Fate::ReplyLost => {}
                    Fate::Late(time) => {
                        let until = self.now + Duration::from_secs(time.into());
                        self.advance(Duration::from_secs(time.into()));
                        self.now = self.now.max(until);
                        // Deadlines of the meantime come first.
                        while self.client.poll_timeout().is_some_and(|deadline| deadline <= self.now) {
                            self.client.handle_timeout(self.now);
                        }
                        self.apply_change();
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
        let mut simulation = Simulation {
            now: Duration::ZERO,
            client: Client::new(HARDWARE, host_name(), seed),
            server: LossyServer { granted_until: None, lease, is_refusing: false },
            configured: None,
        };
        simulation.client.handle_link_up(simulation.now);
        for fate in fates {
            simulation.step(fate);
        }
        simulation.server.is_refusing = false;
        let good_from = simulation.now;
        for _ in 0..50 {
            simulation.step(Fate::Arrives);
            if simulation.configured.is_some() {
                break;
            }
        }
        prop_assert!(simulation.configured.is_some(), "good line since {:?}, now {:?}", good_from, simulation.now);
        // The client keeps it.
        for _ in 0..50 {
            simulation.step(Fate::Arrives);
            prop_assert!(simulation.configured.is_some());
        }
    }
}
