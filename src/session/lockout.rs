//! Lock-out: too many wrong passwords block the logins of a user from one client address.
//!
//! Friend Core blocks the user, so that anyone can lock out anyone. Here a pair of user and client
//! address is blocked, and the user can still log in from elsewhere. Unknown user names are counted
//! like any other, so a block does not reveal which names exist.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use heapless::Vec;
use ring::digest;

use crate::{internal_error, limits::LOCKOUTS};

/// Address of a client: an IPv4 address, or the /64 of an IPv6 address, because one host may use
/// every address of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientAddr([u8; 16]);

impl From<IpAddr> for ClientAddr {
    fn from(address: IpAddr) -> Self {
        // An IPv4 peer of an IPv6 socket has an IPv4-mapped address.
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => {
                let mut octets = address.octets();
                octets[8..].fill(0);
                Self(octets)
            }
        }
    }
}

/// The address; `ADDRESS/64` of IPv6, and `local` at the local socket.
impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from(self.0);
        match address.to_ipv4_mapped() {
            _ if address.is_unspecified() => f.write_str("local"),
            Some(address) => address.fmt(f),
            None => write!(f, "{address}/64"),
        }
    }
}

/// Digest of a user name, which may have any length.
type NameDigest = [u8; 16];

/// Wrong passwords of one pair of user and client address.
#[derive(Debug)]
struct Attempts {
    user: NameDigest,
    client: ClientAddr,
    failures: u8,
    /// Time of the last failure.
    failed: Duration,
    blocked_until: Option<Duration>,
}

/// Table of wrong passwords by user and client address.
#[derive(Debug)]
pub struct Lockout {
    attempts: u8,
    block_time: Duration,
    entries: Box<Vec<Attempts, LOCKOUTS>>,
}

impl Lockout {
    /// Memory of the table, allocated at once.
    pub const BYTES: usize = size_of::<Self>() + size_of::<Vec<Attempts, LOCKOUTS>>();

    /// Creates a table that blocks a pair for `block_time` after `attempts` wrong passwords, each
    /// within `block_time` of the previous one. 0 attempts count as 1.
    pub fn new(attempts: u8, block_time: Duration) -> Self {
        Self { attempts: attempts.max(1), block_time, entries: Box::default() }
    }

    /// Changes the limits. Blocks last as long as they were to.
    pub fn set(&mut self, attempts: u8, block_time: Duration) {
        (self.attempts, self.block_time) = (attempts.max(1), block_time);
    }

    /// Returns the remaining block of a pair, if it is blocked.
    pub fn blocked_for(&self, user: &str, client: ClientAddr, now: Duration) -> Option<Duration> {
        let user = name_digest(user);
        self.entries
            .iter()
            .find(|entry| entry.user == user && entry.client == client)
            .and_then(|entry| entry.remaining(now))
    }

    /// Counts a wrong password. Returns the remaining block of the pair, if it is blocked now. A
    /// failure during a block does not prolong it.
    ///
    /// A full table of [`LOCKOUTS`] entries evicts the one with the oldest last failure, and a blocked
    /// one only if all are blocked.
    pub fn handle_failure(&mut self, user: &str, client: ClientAddr, now: Duration) -> Option<Duration> {
        let user = name_digest(user);
        let block_time = self.block_time;
        self.entries.retain(|entry| !entry.is_over(block_time, now));
        let known = self.entries.iter().position(|entry| entry.user == user && entry.client == client);
        if known.is_none() {
            self.evict_oldest(now);
            let new = Attempts { user, client, failures: 0, failed: now, blocked_until: None };
            if self.entries.push(new).is_err() {
                internal_error!("the lock-out table has no room");
                return None;
            }
        }
        let index = known.unwrap_or(self.entries.len().saturating_sub(1));
        let attempts = self.attempts;
        let entry = self.entries.get_mut(index)?;
        if entry.blocked_until.is_none() {
            entry.failures = entry.failures.saturating_add(1);
            entry.failed = now;
            if entry.failures >= attempts {
                entry.blocked_until = Some(now.saturating_add(block_time));
            }
        }
        entry.remaining(now)
    }

    /// Clears the failures of a pair after a correct password.
    pub fn handle_success(&mut self, user: &str, client: ClientAddr) {
        let user = name_digest(user);
        self.entries.retain(|entry| entry.user != user || entry.client != client);
    }

    fn evict_oldest(&mut self, now: Duration) {
        if !self.entries.is_full() {
            return;
        }
        let oldest = self
            .entries
            .iter()
            .enumerate()
            .min_by_key(|(_, entry)| (entry.remaining(now).is_some(), entry.failed))
            .map(|(index, _)| index);
        if let Some(index) = oldest {
            self.entries.swap_remove(index);
        }
    }
}

impl Attempts {
    fn remaining(&self, now: Duration) -> Option<Duration> {
        self.blocked_until.and_then(|until| until.checked_sub(now)).filter(|left| !left.is_zero())
    }

    /// Returns true once neither the block nor the failures count.
    fn is_over(&self, block_time: Duration, now: Duration) -> bool {
        now.saturating_sub(self.failed) >= block_time
    }
}

fn name_digest(name: &str) -> NameDigest {
    let mut short = NameDigest::default();
    short.iter_mut().zip(digest::digest(&digest::SHA256, name.as_bytes()).as_ref()).for_each(|(to, from)| {
        *to = *from;
    });
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn client(text: &str) -> ClientAddr {
        ClientAddr::from(text.parse::<IpAddr>().unwrap())
    }

    fn numbered(n: usize) -> ClientAddr {
        ClientAddr::from(IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()))
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn third_failure_blocks_for_an_hour() {
        let mut lockout = Lockout::new(3, HOUR);
        let here = client("192.0.2.1");
        assert_eq!(lockout.handle_failure("anna", here, at(0)), None);
        assert_eq!(lockout.handle_failure("anna", here, at(1)), None);
        assert_eq!(lockout.blocked_for("anna", here, at(1)), None);
        assert_eq!(lockout.handle_failure("anna", here, at(2)), Some(HOUR));
        assert_eq!(lockout.blocked_for("anna", here, at(2)), Some(HOUR));
        assert_eq!(lockout.blocked_for("anna", here, at(3601)), Some(at(1)));
        assert_eq!(lockout.blocked_for("anna", here, at(3602)), None);
    }

    #[test]
    fn failure_during_a_block_does_not_prolong_it() {
        let mut lockout = Lockout::new(1, HOUR);
        let here = client("192.0.2.1");
        lockout.handle_failure("anna", here, at(0));
        assert_eq!(lockout.handle_failure("anna", here, at(3599)), Some(at(1)));
        assert_eq!(lockout.blocked_for("anna", here, at(3600)), None);
    }

    #[test]
    fn block_applies_to_one_user_from_one_address() {
        let mut lockout = Lockout::new(1, HOUR);
        lockout.handle_failure("anna", client("192.0.2.1"), at(0));
        assert_eq!(lockout.blocked_for("anna", client("192.0.2.2"), at(1)), None);
        assert_eq!(lockout.blocked_for("ben", client("192.0.2.1"), at(1)), None);
    }

    #[test]
    fn success_clears_failures() {
        let mut lockout = Lockout::new(2, HOUR);
        let here = client("192.0.2.1");
        lockout.handle_failure("anna", here, at(0));
        lockout.handle_success("anna", here);
        assert_eq!(lockout.handle_failure("anna", here, at(1)), None);
        assert!(lockout.handle_failure("anna", here, at(2)).is_some());
    }

    #[test]
    fn old_failures_and_blocks_start_over() {
        let mut lockout = Lockout::new(2, HOUR);
        let here = client("192.0.2.1");
        lockout.handle_failure("anna", here, at(0));
        assert_eq!(lockout.handle_failure("anna", here, at(3600)), None);
        assert!(lockout.handle_failure("anna", here, at(3601)).is_some());
        assert_eq!(lockout.handle_failure("anna", here, at(7201)), None);
    }

    #[test]
    fn addresses_are_displayed() {
        for (address, text) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::", "local"),
        ] {
            assert_eq!(ClientAddr::from(address.parse::<IpAddr>().unwrap()).to_string(), text);
        }
    }

    #[test]
    fn ipv6_counts_by_network_and_mapped_ipv4_by_address() {
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:2:3:4"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn full_table_evicts_the_oldest_entry_that_is_not_blocked() {
        let mut lockout = Lockout::new(2, HOUR);
        lockout.handle_failure("anna", numbered(0), at(0));
        lockout.handle_failure("anna", numbered(0), at(0));
        for n in 1..LOCKOUTS {
            lockout.handle_failure("anna", numbered(n), at(n as u64));
        }
        assert_eq!(lockout.entries.len(), LOCKOUTS);
        lockout.handle_failure("anna", numbered(LOCKOUTS), at(LOCKOUTS as u64));
        assert_eq!(lockout.entries.len(), LOCKOUTS);
        assert!(lockout.blocked_for("anna", numbered(0), at(100)).is_some());
        // Entry 1 was evicted, entry 2 was not.
        assert!(lockout.handle_failure("anna", numbered(2), at(100)).is_some());
        assert_eq!(lockout.handle_failure("anna", numbered(1), at(100)), None);
    }

    #[test]
    fn table_full_of_blocked_entries_evicts_the_oldest() {
        let mut lockout = Lockout::new(1, HOUR);
        for n in 0..=LOCKOUTS {
            lockout.handle_failure("anna", numbered(n), at(n as u64));
        }
        let now = at(LOCKOUTS as u64);
        assert_eq!(lockout.blocked_for("anna", numbered(0), now), None);
        assert!((1..=LOCKOUTS).all(|n| lockout.blocked_for("anna", numbered(n), now).is_some()));
    }

    #[test]
    fn no_attempts_count_as_one() {
        let mut lockout = Lockout::new(0, HOUR);
        assert_eq!(lockout.handle_failure("anna", numbered(1), at(0)), Some(HOUR));
    }
}
