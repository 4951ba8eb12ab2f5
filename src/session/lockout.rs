//! Lock-out: wrong passwords block the logins of a user from one client address, and those of the address.
//!
//! Friend Core blocks the user, so that anyone can lock out anyone. Here a pair of user and client
//! address is blocked, for longer after each wrong password, and the user can still log in from elsewhere. An address
//! that guesses is blocked for all names, except users who have logged in from there. Unknown user names are counted
//! like any other, so a block does not reveal which names exist.

use core::time::Duration;

use heapless::Vec;
use ring::digest;

use super::LOCKOUT_FIRST;
use super::client_addr::ClientAddr;
use super::guesses::Guesses;
use crate::{internal_error, limits::LOCKOUTS};

/// Pairs of users and addresses that have logged in from there.
const KNOWN: usize = LOCKOUTS / 2;

const _: () = assert!(KNOWN >= 1 && KNOWN < LOCKOUTS, "each kind of pair has room");

/// Digest of a user name, which may have any length.
type NameDigest = [u8; 16];

/// Logins of one pair of user and client address.
#[derive(Debug)]
struct Pair {
    user: NameDigest,
    client: ClientAddr,
    /// Wrong passwords since the last right one.
    failures: u8,
    /// Time of the last wrong or right password.
    used: Duration,
    blocked_until: Duration,
    /// The user has logged in from there.
    is_known: bool,
}

/// Tables of wrong passwords, by user and client address, and by client address alone.
#[derive(Debug)]
pub struct Lockout {
    attempts: u8,
    longest: Duration,
    pairs: Box<Vec<Pair, LOCKOUTS>>,
    guesses: Guesses,
}

impl Lockout {
    /// Memory of the tables, allocated at once.
    pub const BYTES: usize = size_of::<Self>() + size_of::<Vec<Pair, LOCKOUTS>>() + Guesses::BYTES;

    /// Creates tables. After `attempts` wrong passwords a pair is blocked, after each further one for twice as long, up
    /// to `longest`. 0 attempts count as 1.
    pub fn new(attempts: u8, longest: Duration) -> Self {
        let attempts = attempts.max(1);
        Self { attempts, longest, pairs: Box::default(), guesses: Guesses::new(attempts) }
    }

    /// Changes the limits. Blocks last as long as they were to.
    pub fn set(&mut self, attempts: u8, longest: Duration) {
        (self.attempts, self.longest) = (attempts.max(1), longest);
        self.guesses.set(self.attempts);
    }

    /// Returns the remaining block of a pair, if it is blocked: by its own wrong passwords, or by all those of its address,
    /// unless the user has logged in from there.
    pub fn blocked_for(&self, user: &str, client: ClientAddr, now: Duration) -> Option<Duration> {
        let user = name_digest(user);
        let pair = self.pairs.iter().find(|pair| pair.user == user && pair.client == client);
        let own = pair.and_then(|pair| pair.remaining(now));
        let of_all = match pair {
            Some(Pair { is_known: true, .. }) => None,
            _ => self.guesses.blocked_for(client, now),
        };
        own.max(of_all)
    }

    /// Returns true if the user has logged in from there.
    pub fn is_known(&self, user: &str, client: ClientAddr) -> bool {
        let user = name_digest(user);
        self.pairs.iter().any(|pair| pair.is_known && pair.user == user && pair.client == client)
    }

    /// Counts a wrong password. Returns the remaining block of the pair, if it is blocked now. A failure during a block
    /// does not prolong it.
    ///
    /// A full table of [`LOCKOUTS`] pairs evicts the oldest of the address with most of them that has no login: who guesses
    /// many names evicts pairs of his own.
    pub fn handle_failure(&mut self, user: &str, client: ClientAddr, now: Duration) -> Option<Duration> {
        if let Some(left) = self.blocked_for(user, client, now) {
            return Some(left);
        }
        self.guesses.count(client, now);
        let (attempts, longest) = (self.attempts, self.longest);
        let pair = self.pair(name_digest(user), client, now)?;
        pair.failures = pair.failures.saturating_add(1);
        pair.used = now;
        if let Some(further) = pair.failures.checked_sub(attempts) {
            let factor = 1_u32.checked_shl(further.into()).unwrap_or(u32::MAX);
            let block = LOCKOUT_FIRST.saturating_mul(factor).min(longest);
            pair.blocked_until = now.saturating_add(block);
        }
        self.blocked_for(user, client, now)
    }

    /// Clears the failures of a pair after a right password, and of no other. Pairs with a login have half of the table: of
    /// more, the oldest of the user with most of them is forgotten.
    pub fn handle_success(&mut self, user: &str, client: ClientAddr, now: Duration) {
        if let Some(pair) = self.pair(name_digest(user), client, now) {
            (pair.failures, pair.used, pair.blocked_until, pair.is_known) = (0, now, Duration::ZERO, true);
        }
        if self.pairs.iter().filter(|pair| pair.is_known).count() > KNOWN {
            self.evict(|pair| pair.is_known, |pair, other| pair.user == other.user);
        }
    }

    /// Ends the blocks of a user, or all of them. The guesses of all addresses are forgotten either way: those of the
    /// address of the user may be of other names alone, and in the table of another address.
    pub fn clear(&mut self, user: Option<&str>) {
        let user = user.map(name_digest);
        for pair in self.pairs.iter_mut().filter(|pair| user.is_none_or(|user| user == pair.user)) {
            (pair.failures, pair.blocked_until) = (0, Duration::ZERO);
        }
        self.guesses.clear();
    }

    /// Returns a pair, a new one if there is none.
    fn pair(&mut self, user: NameDigest, client: ClientAddr, now: Duration) -> Option<&mut Pair> {
        let longest = self.longest;
        self.pairs.retain(|pair| pair.is_known || !pair.is_over(longest, now));
        let known = self.pairs.iter().position(|pair| pair.user == user && pair.client == client);
        if known.is_none() {
            self.make_room();
            let (failures, blocked_until, is_known) = (0, Duration::ZERO, false);
            let new = Pair { user, client, failures, used: now, blocked_until, is_known };
            if self.pairs.push(new).is_err() {
                internal_error!("the lock-out table has no room");
                return None;
            }
        }
        let last = self.pairs.len().saturating_sub(1);
        let pair = self.pairs.get_mut(known.unwrap_or(last))?;
        if pair.is_over(longest, now) {
            pair.failures = 0;
        }
        Some(pair)
    }

    fn make_room(&mut self) {
        if self.pairs.is_full() {
            self.evict(|pair| !pair.is_known, |pair, other| pair.client == other.client);
        }
    }

    /// Removes one of the candidates: of those that most of them are alike, the one that was used least recently.
    fn evict(&mut self, is_candidate: fn(&Pair) -> bool, are_alike: fn(&Pair, &Pair) -> bool) {
        let candidates = || self.pairs.iter().enumerate().filter(|(_, pair)| is_candidate(pair));
        let oldest = candidates().max_by_key(|(_, pair)| {
            let alike = candidates().filter(|(_, other)| are_alike(pair, other)).count();
            (alike, core::cmp::Reverse(pair.used))
        });
        if let Some((index, _)) = oldest {
            self.pairs.swap_remove(index);
        }
    }
}

impl Pair {
    fn remaining(&self, now: Duration) -> Option<Duration> {
        self.blocked_until.checked_sub(now).filter(|left| !left.is_zero())
    }

    /// Returns true once its failures do not count any more: the longest block has passed since the last one ended.
    fn is_over(&self, longest: Duration, now: Duration) -> bool {
        now.saturating_sub(self.used.max(self.blocked_until)) >= longest
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
    use core::net::IpAddr;

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
    fn blocks_double_after_the_free_attempts_up_to_the_longest() {
        let mut lockout = Lockout::new(3, HOUR);
        let here = client("192.0.2.1");
        lockout.handle_success("anna", here, at(0));
        let (mut now, mut blocks) = (at(0), Vec::<_, 16>::new());
        for _ in 0..14 {
            assert_eq!(lockout.blocked_for("anna", here, now), None);
            let block = lockout.handle_failure("anna", here, now).unwrap_or_default();
            if !block.is_zero() {
                let left = lockout.handle_failure("anna", here, now + block / 2);
                assert_eq!(left, Some(block - block / 2), "a failure during a block does not prolong it");
            }
            blocks.push(block.as_secs()).unwrap();
            now += block.max(at(1));
        }
        assert_eq!(LOCKOUT_FIRST, at(10));
        assert_eq!(blocks, [0, 0, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600]);
    }

    #[test]
    fn block_applies_to_one_user_from_one_address() {
        let mut lockout = Lockout::new(1, HOUR);
        lockout.handle_failure("anna", client("192.0.2.1"), at(0));
        assert_eq!(lockout.blocked_for("anna", client("192.0.2.2"), at(1)), None);
        assert_eq!(lockout.blocked_for("ben", client("192.0.2.1"), at(1)), None);
    }

    #[test]
    fn success_clears_the_failures_of_its_pair_alone() {
        let mut lockout = Lockout::new(2, HOUR);
        let (here, there) = (client("192.0.2.1"), client("192.0.2.2"));
        for (user, client) in [("anna", here), ("ben", here), ("anna", there)] {
            lockout.handle_failure(user, client, at(0));
        }
        lockout.handle_success("anna", here, at(1));
        assert_eq!(lockout.handle_failure("anna", here, at(2)), None);
        assert!(lockout.handle_failure("anna", here, at(2)).is_some());
        assert!(lockout.handle_failure("ben", here, at(2)).is_some());
        assert!(lockout.handle_failure("anna", there, at(2)).is_some());
    }

    #[test]
    fn failures_are_forgotten_the_longest_block_after_the_last_one() {
        let mut lockout = Lockout::new(2, HOUR);
        let here = client("192.0.2.1");
        lockout.handle_failure("anna", here, at(0));
        lockout.handle_failure("anna", here, at(0));
        // The next one, as long as it counts, is a third one.
        assert_eq!(lockout.handle_failure("anna", here, at(3609)), Some(at(20)));
        assert_eq!(lockout.handle_failure("anna", here, at(3629 + 3600)), None);
        assert_eq!(lockout.handle_failure("anna", here, at(3629 + 3600)), Some(LOCKOUT_FIRST));
    }

    /// Guesses of one address in `time`, as many as it may.
    fn guesses(lockout: &mut Lockout, time: Duration, mut name: impl FnMut(u32) -> String) -> u32 {
        let here = client("192.0.2.1");
        let (mut now, mut count) = (at(0), 0);
        while now < time {
            let user = name(count);
            match lockout.blocked_for(&user, here, now) {
                Some(left) => now += left.min(at(1)),
                None => {
                    lockout.handle_failure(&user, here, now);
                    count += 1;
                }
            }
        }
        count
    }

    #[test]
    fn one_address_has_twenty_guesses_an_hour_over_all_names() {
        let names: [fn(u32) -> String; 3] = [
            |_| "admin".to_owned(),
            |number| number.to_string(),
            // The names between two guesses do not push the counter of the first one out.
            |number| if number % 65 == 0 { "admin".to_owned() } else { number.to_string() },
        ];
        for name in names {
            let found = guesses(&mut Lockout::new(3, HOUR), HOUR, name);
            assert!((3..=20).contains(&found), "{found}");
            let day = guesses(&mut Lockout::new(3, HOUR), 24 * HOUR, name);
            assert!(day <= 20 * 24, "{day}");
        }
    }

    #[test]
    fn success_does_not_buy_more_guesses() {
        let mut lockout = Lockout::new(3, HOUR);
        let here = client("192.0.2.1");
        let mut now = at(0);
        let mut count = 0;
        while now < HOUR {
            // A user of the device logs in before each guess.
            lockout.handle_success("mallory", here, now);
            match lockout.blocked_for("admin", here, now) {
                Some(_) => now += at(1),
                None => {
                    lockout.handle_failure("admin", here, now);
                    count += 1;
                }
            }
        }
        assert!(count <= 20, "{count}");
    }

    #[test]
    fn user_who_has_logged_in_from_an_address_is_not_blocked_by_guesses_for_other_names() {
        let mut lockout = Lockout::new(3, HOUR);
        let here = client("192.0.2.1");
        lockout.handle_success("anna", here, at(0));
        for number in 0..100 {
            lockout.handle_failure(&number.to_string(), here, at(1));
        }
        assert_eq!(lockout.blocked_for("anna", here, at(1)), None);
        assert!(lockout.blocked_for("ben", here, at(1)).is_some());
        assert_eq!(lockout.blocked_for("ben", client("192.0.2.2"), at(1)), None);
    }

    #[test]
    fn blocks_are_cleared_for_a_user_or_for_all() {
        let mut lockout = Lockout::new(1, HOUR);
        let (here, there) = (client("192.0.2.1"), client("192.0.2.2"));
        let blocked = |lockout: &Lockout| {
            [("anna", here), ("anna", there), ("ben", here)]
                .map(|(user, client)| lockout.blocked_for(user, client, at(1)).is_some())
        };
        for (user, client) in [("anna", here), ("anna", there), ("ben", here)] {
            lockout.handle_failure(user, client, at(0));
        }
        lockout.clear(Some("anna"));
        assert_eq!(blocked(&lockout), [false, false, true]);
        lockout.clear(None);
        assert_eq!(blocked(&lockout), [false; 3]);
        for number in 0..20 {
            lockout.handle_failure(&number.to_string(), there, at(1));
        }
        assert!(lockout.blocked_for("carl", there, at(1)).is_some());
        lockout.clear(None);
        assert_eq!(lockout.blocked_for("carl", there, at(1)), None);
    }

    /// An unlocked user was still kept out by what others had guessed at the same address, or at all others.
    #[test]
    fn unlocked_user_is_not_blocked_by_the_guesses_for_other_names() {
        let mut lockout = Lockout::new(3, HOUR);
        for number in 0..20 {
            lockout.handle_failure(&number.to_string(), client("192.0.2.1"), at(0));
        }
        let blocked = |lockout: &Lockout| lockout.blocked_for("anna", client("192.0.2.1"), at(1));
        assert!(blocked(&lockout).is_some());
        lockout.clear(Some("anna"));
        assert_eq!(blocked(&lockout), None);
    }

    #[test]
    fn later_limits_are_in_force_at_once() {
        let mut lockout = Lockout::new(3, HOUR);
        let here = client("192.0.2.1");
        lockout.set(1, at(15));
        assert_eq!(lockout.handle_failure("anna", here, at(0)), Some(LOCKOUT_FIRST));
        assert_eq!(lockout.handle_failure("anna", here, at(10)), Some(at(15)), "the longest block");
        // More guesses are free where more are allowed for one name.
        lockout.set(100, HOUR);
        for number in 0..97 {
            assert_eq!(lockout.handle_failure(&number.to_string(), here, at(100)), None, "{number}");
        }
        assert!(lockout.handle_failure("97", here, at(100)).is_some());
    }

    #[test]
    fn memory_of_the_tables_is_that_of_their_entries() {
        let lockout = Lockout::new(3, HOUR);
        let tables = size_of_val(&*lockout.pairs) + Guesses::BYTES;
        assert_eq!(Lockout::BYTES, size_of_val(&lockout) + tables);
    }

    #[test]
    fn full_table_evicts_the_oldest_pair_of_the_address_with_most() {
        let mut lockout = Lockout::new(2, HOUR);
        // Two of one address, then one of each of the others.
        for (user, time) in [("anna", 10), ("ben", 11)] {
            lockout.handle_failure(user, numbered(0), at(time));
        }
        for n in 1..LOCKOUTS - 1 {
            lockout.handle_failure("anna", numbered(n), at(0));
        }
        assert_eq!(lockout.pairs.len(), LOCKOUTS);
        lockout.handle_failure("anna", numbered(LOCKOUTS), at(20));
        assert_eq!(lockout.pairs.len(), LOCKOUTS);
        let failures = |lockout: &Lockout, user, n| {
            let user = name_digest(user);
            let pair = lockout.pairs.iter().find(|pair| pair.user == user && pair.client == numbered(n));
            pair.map(|pair| pair.failures)
        };
        assert_eq!(failures(&lockout, "anna", 0), None);
        assert_eq!(failures(&lockout, "ben", 0), Some(1));
        // Now each has one: the oldest goes.
        lockout.handle_failure("anna", numbered(LOCKOUTS + 1), at(20));
        assert_eq!(failures(&lockout, "ben", 0), Some(1));
        assert_eq!((1..LOCKOUTS - 1).filter(|n| failures(&lockout, "anna", *n).is_none()).count(), 1);
    }

    /// As many wrong passwords from as many addresses pushed it out, and its user was a stranger then.
    #[test]
    fn pair_with_a_login_outlasts_guesses_and_the_logins_of_another_user_from_any_number_of_addresses() {
        let mut lockout = Lockout::new(3, HOUR);
        lockout.handle_success("admin", numbered(0), at(0));
        for n in 1..5 * LOCKOUTS {
            lockout.handle_failure("admin", numbered(n), at(1));
            assert!(lockout.is_known("admin", numbered(0)), "{n} guesses");
        }
        for n in 1..5 * LOCKOUTS {
            lockout.handle_success("mallory", numbered(n), at(n as u64));
            assert!(lockout.is_known("admin", numbered(0)), "{n} logins");
        }
        assert!(lockout.is_known("mallory", numbered(5 * LOCKOUTS - 1)), "the newest ones stay");
        assert_eq!(lockout.pairs.iter().filter(|pair| pair.is_known).count(), KNOWN);
        lockout.handle_failure("admin", numbered(9 * LOCKOUTS), at(3));
        assert!(lockout.pairs.len() <= LOCKOUTS);
    }

    #[test]
    fn no_attempts_count_as_one() {
        let mut lockout = Lockout::new(0, HOUR);
        assert_eq!(lockout.handle_failure("anna", numbered(1), at(0)), Some(LOCKOUT_FIRST));
    }
}
