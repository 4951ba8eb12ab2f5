//! Users, sessions, tokens and lock-out.
//!
//! Sans-IO. [`Users`] and [`Tokens`] are filled once from the configuration file. [`SessionTable`] has
//! the sessions that logins opened, and [`Lockout`] counts wrong passwords. Password verification is
//! slow and happens in `sys`; its types are here ([`PasswordHash`], [`canonical_password`]).

mod lockout;
mod password;
mod table;
mod token;
mod users;

pub use lockout::{ClientAddr, Lockout};
pub use password::{
    CANONICAL_PASSWORD_BYTES, HASH_BYTES, PasswordHash, PasswordHashError, SALT_BYTES, canonical_password,
};
pub use table::{OpenError, SessionKey, SessionTable};
pub use token::{Tokens, TokensError};
pub use users::{Grants, GrantsError, User, UserId, UserLevel, Users, UsersError, is_user_name};

/// Compares two secrets in a time that depends on their lengths alone.
fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    // Hidden from the optimiser, which could otherwise leave a loop at the first difference.
    let hidden = core::hint::black_box::<u64>;
    let mut difference = 0;
    let ((words, rest), (other_words, other_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in words.iter().zip(other_words) {
        difference = hidden(difference | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)));
    }
    for (a, b) in rest.iter().zip(other_rest) {
        difference = hidden(difference | u64::from(a ^ b));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_means_same_length_and_bytes() {
        assert!(equal_in_constant_time(b"", b""));
        assert!(equal_in_constant_time(b"abc", b"abc"));
        assert!(!equal_in_constant_time(b"abc", b"abd"));
        assert!(!equal_in_constant_time(b"bbc", b"abc"));
        let long = *b"0123456789abcdefXYZ";
        assert!(equal_in_constant_time(&long, &long.clone()));
        for at in 0..long.len() {
            let mut other = long;
            other[at] ^= 0x80;
            assert!(!equal_in_constant_time(&long, &other), "byte {at}");
        }
        assert!(!equal_in_constant_time(b"abc", b"abcd"));
    }
}
