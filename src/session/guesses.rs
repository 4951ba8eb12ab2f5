//! Budget of wrong passwords of each client address, over all names.

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
        let source = self.sources.iter().find(|source| source.client == client)?;
        let allowed = now + GUESS_PAUSE * self.free.saturating_sub(1);
        source.paid.checked_sub(allowed).filter(|left| !left.is_zero())
    }

    /// Counts a guess. A full table evicts the address with the fewest.
    pub(super) fn count(&mut self, client: ClientAddr, now: Duration) {
        self.sources.retain(|source| source.paid > now);
        let known = self.sources.iter_mut().find(|source| source.client == client);
        if let Some(source) = known {
            source.paid += GUESS_PAUSE;
            return;
        }
        let least = self.sources.iter().enumerate().min_by_key(|(_, source)| source.paid);
        if let Some((index, _)) = least.filter(|_| self.sources.is_full()) {
            self.sources.swap_remove(index);
        }
        let pushed = self.sources.push(Source { client, paid: now + GUESS_PAUSE });
        debug_assert!(pushed.is_ok(), "there is room");
    }

    /// Forgets the guesses of an address.
    pub(super) fn clear(&mut self, client: ClientAddr) {
        self.sources.retain(|source| source.client != client);
    }

    /// Forgets the guesses of all addresses.
    pub(super) fn clear_all(&mut self) {
        self.sources.clear();
    }
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
    fn address_with_the_fewest_guesses_is_evicted() {
        let mut guesses = Guesses::new(3);
        let now = Duration::from_secs(1);
        for number in 0..LOCKOUTS {
            for _ in 0..if number == 7 { 1 } else { GUESSES } {
                guesses.count(client(number), now);
            }
        }
        guesses.count(client(LOCKOUTS), now);
        let is_blocked = |number| guesses.blocked_for(client(number), now).is_some();
        assert!((0..LOCKOUTS).filter(|number| *number != 7).all(is_blocked));
        assert!(guesses.sources.iter().all(|source| source.client != client(7)));
    }
}
