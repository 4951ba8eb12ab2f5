//! Lock-out: too many wrong passwords block a user's login from where they came.
//!
//! Friend Core blocks the user; then anybody could lock out anybody. Here a pair of user and source
//! is blocked, and the user still logs in from elsewhere. Names that are no user's are counted like
//! any other, so that nobody learns from a block who is one.

use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;
use ring::digest;

use crate::limits::LOCKOUTS;

/// Where a login comes from: an IPv4 address, or the /64 of an IPv6 address, which is what one host
/// may move about in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Source([u8; 16]);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        // An IPv4 peer of an IPv6 socket has an IPv4-mapped address: it is the IPv4 address.
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

/// Of a name only this is kept: names come in any length.
type NameDigest = [u8; 16];

#[derive(Debug)]
struct Pair {
    user: NameDigest,
    source: Source,
    failures: u8,
    /// Last failure.
    failed: Duration,
    blocked_until: Option<Duration>,
}

/// The pairs of user and source that gave wrong passwords.
#[derive(Debug)]
pub struct Lockout {
    attempts: u8,
    block_time: Duration,
    pairs: Box<Vec<Pair, LOCKOUTS>>,
}

impl Lockout {
    /// Memory of the table, full or not.
    pub const BYTES: usize = size_of::<Self>() + size_of::<Vec<Pair, LOCKOUTS>>();

    /// Blocks a pair for `block_time` after `attempts` wrong passwords, each within `block_time` of
    /// the one before. 0 attempts count as 1.
    pub fn new(attempts: u8, block_time: Duration) -> Self {
        Self { attempts: attempts.max(1), block_time, pairs: Box::default() }
    }

    /// How long this pair stays blocked; None: it is not.
    pub fn blocked_for(&self, user: &str, source: Source, now: Duration) -> Option<Duration> {
        let user = name_digest(user);
        self.pairs
            .iter()
            .find(|pair| pair.user == user && pair.source == source)
            .and_then(|pair| pair.remaining(now))
    }

    /// A wrong password; how long the pair is blocked now, if it is. A pair that is blocked already
    /// is not blocked for longer.
    ///
    /// When [`LOCKOUTS`] pairs are watched, the one whose last failure is the oldest is forgotten for
    /// a new one; a blocked one only when all are.
    pub fn handle_failure(&mut self, user: &str, source: Source, now: Duration) -> Option<Duration> {
        let user = name_digest(user);
        let block_time = self.block_time;
        self.pairs.retain(|pair| !pair.is_over(block_time, now));
        let known = self.pairs.iter().position(|pair| pair.user == user && pair.source == source);
        if known.is_none() {
            self.evict_oldest(now);
            // There is room now.
            let _ = self.pairs.push(Pair { user, source, failures: 0, failed: now, blocked_until: None });
        }
        let index = known.unwrap_or(self.pairs.len().saturating_sub(1));
        let attempts = self.attempts;
        let pair = self.pairs.get_mut(index)?;
        if pair.blocked_until.is_none() {
            pair.failures = pair.failures.saturating_add(1);
            pair.failed = now;
            if pair.failures >= attempts {
                pair.blocked_until = Some(now.saturating_add(block_time));
            }
        }
        pair.remaining(now)
    }

    /// A right password: the wrong ones before it are forgotten.
    pub fn handle_success(&mut self, user: &str, source: Source) {
        let user = name_digest(user);
        self.pairs.retain(|pair| pair.user != user || pair.source != source);
    }

    fn evict_oldest(&mut self, now: Duration) {
        if !self.pairs.is_full() {
            return;
        }
        let oldest = self
            .pairs
            .iter()
            .enumerate()
            .min_by_key(|(_, pair)| (pair.remaining(now).is_some(), pair.failed))
            .map(|(index, _)| index);
        if let Some(index) = oldest {
            self.pairs.swap_remove(index);
        }
    }
}

impl Pair {
    fn remaining(&self, now: Duration) -> Option<Duration> {
        self.blocked_until.and_then(|until| until.checked_sub(now)).filter(|left| !left.is_zero())
    }

    /// Whether neither a block nor a failure counts any more.
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

    fn source(text: &str) -> Source {
        Source::from(text.parse::<IpAddr>().unwrap())
    }

    fn numbered(n: usize) -> Source {
        Source::from(IpAddr::from(u32::try_from(n).unwrap().to_be_bytes()))
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn third_failure_blocks_for_an_hour() {
        let mut lockout = Lockout::new(3, HOUR);
        let here = source("192.0.2.1");
        assert_eq!(lockout.handle_failure("anna", here, at(0)), None);
        assert_eq!(lockout.handle_failure("anna", here, at(1)), None);
        assert_eq!(lockout.blocked_for("anna", here, at(1)), None);
        assert_eq!(lockout.handle_failure("anna", here, at(2)), Some(HOUR));
        assert_eq!(lockout.blocked_for("anna", here, at(2)), Some(HOUR));
        assert_eq!(lockout.blocked_for("anna", here, at(3601)), Some(at(1)));
        assert_eq!(lockout.blocked_for("anna", here, at(3602)), None);
    }

    #[test]
    fn failure_while_blocked_does_not_block_for_longer() {
        let mut lockout = Lockout::new(1, HOUR);
        let here = source("192.0.2.1");
        lockout.handle_failure("anna", here, at(0));
        assert_eq!(lockout.handle_failure("anna", here, at(3599)), Some(at(1)));
        assert_eq!(lockout.blocked_for("anna", here, at(3600)), None);
    }

    #[test]
    fn block_is_of_the_pair() {
        let mut lockout = Lockout::new(1, HOUR);
        lockout.handle_failure("anna", source("192.0.2.1"), at(0));
        assert_eq!(lockout.blocked_for("anna", source("192.0.2.2"), at(1)), None);
        assert_eq!(lockout.blocked_for("ben", source("192.0.2.1"), at(1)), None);
    }

    #[test]
    fn success_forgets_failures() {
        let mut lockout = Lockout::new(2, HOUR);
        let here = source("192.0.2.1");
        lockout.handle_failure("anna", here, at(0));
        lockout.handle_success("anna", here);
        assert_eq!(lockout.handle_failure("anna", here, at(1)), None);
        assert!(lockout.handle_failure("anna", here, at(2)).is_some());
    }

    #[test]
    fn old_failures_and_blocks_start_over() {
        let mut lockout = Lockout::new(2, HOUR);
        let here = source("192.0.2.1");
        lockout.handle_failure("anna", here, at(0));
        assert_eq!(lockout.handle_failure("anna", here, at(3600)), None);
        assert!(lockout.handle_failure("anna", here, at(3601)).is_some());
        assert_eq!(lockout.handle_failure("anna", here, at(7201)), None);
    }

    #[test]
    fn ipv6_counts_by_network_and_mapped_ipv4_by_address() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2:3:4"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn full_table_forgets_the_oldest_that_is_not_blocked() {
        let mut lockout = Lockout::new(2, HOUR);
        lockout.handle_failure("anna", numbered(0), at(0));
        lockout.handle_failure("anna", numbered(0), at(0));
        for n in 1..LOCKOUTS {
            lockout.handle_failure("anna", numbered(n), at(n as u64));
        }
        assert_eq!(lockout.pairs.len(), LOCKOUTS);
        lockout.handle_failure("anna", numbered(LOCKOUTS), at(LOCKOUTS as u64));
        assert_eq!(lockout.pairs.len(), LOCKOUTS);
        assert!(lockout.blocked_for("anna", numbered(0), at(100)).is_some());
        // The failure of number 1 is forgotten, that of number 2 is not.
        assert!(lockout.handle_failure("anna", numbered(2), at(100)).is_some());
        assert_eq!(lockout.handle_failure("anna", numbered(1), at(100)), None);
    }

    #[test]
    fn table_full_of_blocked_pairs_forgets_the_oldest() {
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
