//! Random bytes of the kernel.

use std::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};
use rustix::rand::{GetRandomFlags, getrandom};

/// The kernel gave no random bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RandomError;

impl fmt::Display for RandomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no random bytes")
    }
}

impl std::error::Error for RandomError {}

/// `N` random bytes. Early at boot this waits until the kernel's generator is seeded.
pub fn bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// A number that differs between boards and starts. Early at boot it may be one that can be guessed,
/// and on kernels before 5.6 even 0: this does not wait, and nothing secret may come of it.
pub(super) fn seed() -> u64 {
    let mut bytes = [0; 8];
    let flags = [GetRandomFlags::INSECURE, GetRandomFlags::NONBLOCK];
    let _ = flags.into_iter().find(|flags| getrandom(&mut bytes[..], *flags).is_ok());
    u64::from_ne_bytes(bytes)
}

/// 32 characters of which none is taken for another: no 0 and o, no 1 and l.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const GROUPS: usize = 4;
const GROUP: usize = 4;
/// Length of a password made here: its groups and the hyphens between them.
pub const PASSWORD_LEN: usize = GROUPS * GROUP + GROUPS - 1;

/// A password of 80 random bits that can be read out and typed: `8k3w-tn5c-qq2d-7fyh`.
pub fn password() -> Result<heapless::String<PASSWORD_LEN>, RandomError> {
    Ok(spell(bytes()?))
}

fn spell(random: [u8; GROUPS * GROUP]) -> heapless::String<PASSWORD_LEN> {
    let mut password = heapless::String::new();
    for (n, byte) in random.into_iter().enumerate() {
        let hyphen = if n > 0 && n % GROUP == 0 { Some('-') } else { None };
        let letter = ALPHABET.get(usize::from(byte % 32)).map(|letter| char::from(*letter));
        for c in hyphen.into_iter().chain(letter) {
            // The capacity is that of the groups and hyphens.
            let _ = password.push(c);
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
    fn seeds_differ() {
        assert_ne!(seed(), seed());
    }

    #[test]
    fn password_is_spelt_in_groups() {
        let random = [0, 1, 2, 3, 31, 32, 33, 63, 255, 224, 4, 5, 6, 7, 8, 9];
        assert_eq!(spell(random), "abcd-9ab9-9aef-ghij");
    }

    #[test]
    fn each_letter_is_as_likely_and_there_once() {
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
