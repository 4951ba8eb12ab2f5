//! Budget of wrong passwords of each client address, over all names.
//!
//! A table that evicts an address with its guesses lets a client with more addresses than the table guess without end. So
//! a further address takes the place of the one with the fewest guesses, and its guesses (Metwally et al., "Space-Saving",
//! 2005): the table never counts too few, and all addresses together have the budgets of [`LOCKOUTS`] of them.

use core::time::Duration;

use heapless::Vec;

use super::client_addr::ClientAddr;
use super::{GUESS_PAUSE, GUESSES};
use crate::limits::LOCKOUTS;

/// Address that has guessed.
#[derive(Debug)]
struct Source {
    client: ClientAddr,
    /// Time at which all its guesses would have been made with a pause after each.
    paid: Duration,
}

/// Table of the addresses.
#[derive(Debug)]
pub(super) struct Guesses {
    /// Guesses without a pause.
    free: u32,
    sources: Box<Vec<Source, LOCKOUTS>>,
}

impl Guesses {
    /// Memory of the table beside this type.
    pub(super) const BYTES: usize = size_of::<Vec<Source, LOCKOUTS>>();

    /// Table of a server that allows `attempts` wrong passwords of one name: no less over all names.
    pub(super) fn new(attempts: u8) -> Self {
        let mut guesses = Self { free: 0, sources: Box::default() };
        guesses.set(attempts);
        guesses
    }

    pub(super) fn set(&mut self, attempts: u8) {
        self.free = GUESSES.max(attempts.into());
    }

    /// Returns the time until the next guess of an address, if it has none now.
    pub(super) fn blocked_for(&self, client: ClientAddr, now: Duration) -> Option<Duration> {
        let known = self.sources.iter().find(|source| source.client == client);
        let source =
            known.or_else(|| self.sources.iter().min_by_key(least).filter(|_| self.sources.is_full()))?;
        let allowed = now + GUESS_PAUSE * self.free.saturating_sub(1);
        source.paid.checked_sub(allowed).filter(|left| !left.is_zero())
    }

    /// Counts a guess.
    pub(super) fn count(&mut self, client: ClientAddr, now: Duration) {
        self.sources.retain(|source| source.paid > now);
        let known = self.sources.iter().position(|source| source.client == client);
        if known.is_none() && self.sources.push(Source { client, paid: now + GUESS_PAUSE }).is_ok() {
            return;
        }
        let source = match known {
            Some(index) => self.sources.get_mut(index),
            None => self.sources.iter_mut().min_by_key(|source| least(&&**source)),
        };
        if let Some(source) = source {
            *source = Source { client, paid: source.paid + GUESS_PAUSE };
        }
    }

    /// Forgets the guesses of all addresses.
    pub(super) fn clear(&mut self) {
        self.sources.clear();
    }
}

/// Key of the address with the fewest guesses.
fn least(source: &&Source) -> Duration {
    source.paid
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    fn client(number: usize) -> ClientAddr {
        ClientAddr::from(IpAddr::from(u32::try_from(number).unwrap().to_be_bytes()))
    }

    #[test]
    fn guesses_without_a_pause_and_then_one_each_pause() {
        let mut guesses = Guesses::new(3);
        let mut now = Duration::from_secs(50);
        for _ in 0..GUESSES {
            assert_eq!(guesses.blocked_for(client(1), now), None);
            guesses.count(client(1), now);
        }
        for _ in 0..3 {
            assert_eq!(guesses.blocked_for(client(1), now), Some(GUESS_PAUSE));
            assert_eq!(guesses.blocked_for(client(2), now), None);
            now += GUESS_PAUSE;
            assert_eq!(guesses.blocked_for(client(1), now), None);
            guesses.count(client(1), now);
        }
        // More are free where more are allowed for one name.
        guesses.set(100);
        assert_eq!(guesses.blocked_for(client(1), now), None);
    }

    #[test]
    fn further_address_takes_over_the_fewest_guesses() {
        let mut guesses = Guesses::new(3);
        let now = Duration::from_secs(1);
        for number in 0..LOCKOUTS {
            for _ in 0..if number == 7 { 1 } else { GUESSES } {
                guesses.count(client(number), now);
            }
        }
        let is_blocked = |guesses: &Guesses, number| guesses.blocked_for(client(number), now).is_some();
        guesses.count(client(LOCKOUTS), now);
        assert!((0..LOCKOUTS).filter(|number| *number != 7).all(|number| is_blocked(&guesses, number)));
        assert!(guesses.sources.iter().all(|source| source.client != client(7)));
        // The one guess of the address before it is its own now.
        let mut more = 0;
        while !is_blocked(&guesses, 1000 + more) {
            guesses.count(client(1000 + more), now);
            more += 1;
        }
        assert_eq!(more, GUESSES as usize - 2);
        assert_eq!(guesses.blocked_for(client(7), now), Some(GUESS_PAUSE));
        assert_eq!(guesses.blocked_for(client(7), now + GUESS_PAUSE), None);
    }

    /// 65 addresses had as many guesses as they wanted.
    #[test]
    fn any_number_of_addresses_has_the_guesses_of_a_full_table() {
        for addresses in [LOCKOUTS + 1, 200, 5000] {
            let (mut guesses, mut count, hour) = (Guesses::new(3), 0, Duration::from_secs(3600));
            let mut now = Duration::from_secs(1);
            while now < hour {
                for number in 0..addresses {
                    if guesses.blocked_for(client(number), now).is_none() {
                        guesses.count(client(number), now);
                        count += 1;
                    }
                }
                now += Duration::from_secs(30);
            }
            let of_one = GUESSES as usize + (hour.as_secs() / GUESS_PAUSE.as_secs()) as usize;
            assert!(
                (LOCKOUTS * GUESSES as usize..=LOCKOUTS * of_one).contains(&count),
                "{addresses}: {count}"
            );
        }
    }
}
