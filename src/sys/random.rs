//! Random bytes from the kernel.

use std::time::Duration;
use std::{fmt, thread};

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use super::RANDOM_TIMEOUT;
use crate::log::console::{info, warning};

/// Failure to get random bytes from the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RandomError;

impl fmt::Display for RandomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot get random bytes from the kernel")
    }
}

impl std::error::Error for RandomError {}

/// Step of [`wait`].
const STEP: Duration = Duration::from_millis(100);
/// Time after which a wait is logged.
const LOGGED_AFTER: Duration = Duration::from_secs(1);

/// Waits until the kernel's generator is seeded, which takes long on a board without a source of randomness. The log
/// has the wait within a second, and its end.
///
/// # Errors
/// The generator is not seeded after `RANDOM_TIMEOUT`.
pub fn wait() -> Result<(), RandomError> {
    wait_for(is_seeded, thread::sleep)
}

/// Returns true once the kernel's generator is seeded.
pub fn is_seeded() -> bool {
    getrandom(&mut [0; 1][..], GetRandomFlags::NONBLOCK) != Err(Errno::AGAIN)
}

fn wait_for(is_seeded: impl Fn() -> bool, pause: impl Fn(Duration)) -> Result<(), RandomError> {
    let mut waited = Duration::ZERO;
    while !is_seeded() {
        if waited == LOGGED_AFTER {
            warning!("waiting for random numbers of the kernel, for at most {} s", RANDOM_TIMEOUT.as_secs());
        }
        if waited >= RANDOM_TIMEOUT {
            return Err(RandomError);
        }
        pause(STEP);
        waited += STEP;
    }
    if waited >= LOGGED_AFTER {
        info!("the kernel has random numbers after {} s", waited.as_secs());
    }
    Ok(())
}

/// Returns `N` random bytes. Early at boot this blocks until the kernel's generator is seeded.
pub fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// Returns a number that differs between boards and starts, without blocking. It is not for secrets:
/// early at boot it may be predictable, and on kernels before 5.6 it may be 0.
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    let flags = [GetRandomFlags::INSECURE, GetRandomFlags::NONBLOCK];
    // Fails early at boot on old kernels, which leaves 0.
    let _ = flags.into_iter().find(|flags| getrandom(&mut bytes[..], *flags).is_ok());
    u64::from_ne_bytes(bytes)
}

/// Characters that are not confused with each other: without 0 and o, 1 and l.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const GROUPS: usize = 4;
const GROUP: usize = 4;
/// Length of a random password: groups with hyphens in between.
pub const PASSWORD_LEN: usize = GROUPS * GROUP + GROUPS - 1;

/// Returns a password of 80 random bits that is easy to read and type: `8k3w-tn5c-qq2d-7fyh`.
///
/// # Errors
/// The kernel returns no random bytes.
pub fn password() -> Result<heapless::String<PASSWORD_LEN>, RandomError> {
    Ok(encode_password(bytes()?))
}

fn encode_password(random: [u8; GROUPS * GROUP]) -> heapless::String<PASSWORD_LEN> {
    let mut password = heapless::String::new();
    for (n, byte) in random.into_iter().enumerate() {
        let hyphen = if n > 0 && n % GROUP == 0 { Some('-') } else { None };
        let letter = char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]);
        for c in hyphen.into_iter().chain([letter]) {
            if password.push(c).is_err() {
                crate::internal_error!("random password over {} characters", PASSWORD_LEN);
            }
        }
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ() {
        let a: [u8; 20] = bytes().unwrap();
        let b: [u8; 20] = bytes().unwrap();
        assert_ne!(a, b);
    }

    #[test]
    fn generator_is_waited_for_until_the_timeout() {
        crate::log::set_level(crate::log::Level::Off);
        for (seeded_after, is_found) in [(0, true), (3, true), (90, true), (91, false)] {
            let waited = std::cell::Cell::new(Duration::ZERO);
            let is_seeded = || waited.get() >= Duration::from_secs(seeded_after);
            let waiting = wait_for(is_seeded, |step| waited.set(waited.get() + step));
            assert_eq!(waiting.is_ok(), is_found, "{seeded_after}");
            assert_eq!(waited.get(), Duration::from_secs(seeded_after).min(RANDOM_TIMEOUT));
        }
        assert_eq!(wait(), Ok(()));
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(seed(), seed());
    }

    #[test]
    fn password_is_encoded_in_groups() {
        let random = [0, 1, 2, 3, 31, 32, 33, 63, 255, 224, 4, 5, 6, 7, 8, 9];
        assert_eq!(encode_password(random), "abcd-9ab9-9aef-ghij");
    }

    #[test]
    fn letters_are_unique_and_equally_likely() {
        assert_eq!(256 % ALPHABET.len(), 0);
        let mut letters = *ALPHABET;
        letters.sort_unstable();
        assert!(letters.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(!letters.iter().any(|letter| b"01lo".contains(letter)));
    }

    #[test]
    fn passwords_differ() {
        let (a, b) = (password().unwrap(), password().unwrap());
        assert_eq!(a.len(), PASSWORD_LEN);
        assert_ne!(a, b);
    }
}
