//! Users, sessions, tokens, paired keys and lock-out.
//!
//! Sans-IO. [`Users`] and [`Tokens`] are filled once from the configuration file. [`SessionTable`] has
//! the sessions that logins opened, [`Pairing`] the keys of clients, and [`Lockout`] counts wrong passwords. Password verification is
//! slow and happens in `sys`; its types are here ([`PasswordHash`], [`canonical_password`]).

mod client_addr;
mod guesses;
mod lockout;
mod pairing;
mod password;
mod rights;
mod table;
mod token;
mod users;

use core::time::Duration;

use heapless::String;

pub use client_addr::ClientAddr;
pub use lockout::Lockout;
pub use pairing::{KeyHash, PairedId, PairedKey, Pairing, Window, device_id};
pub use password::{
    CANONICAL_PASSWORD_BYTES, HASH_BYTES, PasswordHash, PasswordHashError, SALT_BYTES, canonical_password,
    check_new_password,
};
pub use rights::Rights;
pub(crate) use table::SESSION_MEMO_BYTES;
pub use table::{OpenError, Session, SessionKey, SessionMemo, SessionTable};
pub use token::{Token, TokenId, TokenRefusal, Tokens, TokensError};
pub use users::{
    ChangedPassword, Grants, GrantsError, User, UserId, UserLevel, Users, UsersError, is_user_name,
};

use crate::limits::{PASSWORD_ROUNDS, SESSIONS};

crate::limits::limits! {
    /// Session id: 20 random bytes in hexadecimal.
    SESSION_ID_BYTES: usize = 40,
        fixed "the server makes them; those of clients are held to `presented_session_bytes`";
    /// Session id of a client; Friend Core keeps ids in 256 bytes.
    PRESENTED_SESSION_BYTES: usize = 255, exceeded "the message is rejected",
        tests ["token_up_to_the_length_of_a_presented_session_id", "limits_of_path_and_session"];
    /// Longest block of a (user, address) pair unless configured; Friend Core's `Security:blocktimeout`.
    LOCKOUT_TIME: Duration = Duration::from_secs(3600), exceeded "the pair may log in again",
        tests ["blocks_double_after_the_free_attempts_up_to_the_longest", "defaults_are_those_of_the_limits"];
    /// First block of such a pair; each further one is twice as long.
    LOCKOUT_FIRST: Duration = Duration::from_secs(10), exceeded "the pair may log in again",
        tests ["blocks_double_after_the_free_attempts_up_to_the_longest"];
    /// Wrong passwords of an address over all names without a pause, unless `lockout_attempts` is larger. With the pause,
    /// 20 an hour.
    GUESSES: u32 = 10, exceeded "users who have not logged in from there are refused",
        tests ["guesses_without_a_pause_and_then_one_each_pause", "one_address_has_twenty_guesses_an_hour_over_all_names"];
    /// Pause between two wrong passwords after those.
    GUESS_PAUSE: Duration = Duration::from_secs(360), exceeded "the next one",
        tests ["guesses_without_a_pause_and_then_one_each_pause"];
    /// Longest `lockout_s`: a week.
    LOCKOUT_TIME_MAX: Duration = Duration::from_secs(7 * 86_400), exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Consecutive wrong passwords of a (user, address) pair unless configured; Friend Core's
    /// `Security:blockattempts`.
    LOCKOUT_ATTEMPTS: u8 = 3, exceeded "the pair is locked out",
        tests ["block_ends_after_its_time", "defaults_are_those_of_the_limits"];
    /// Largest `lockout_attempts`.
    LOCKOUT_ATTEMPTS_MAX: u8 = 100, exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Idle time of a session unless configured; Friend Core's own.
    IDLE_TIMEOUT: Duration = Duration::from_secs(10_800), exceeded "the session ends",
        tests [
            "session_expires_at_the_default_timeout",
            "defaults_are_those_of_the_limits"
        ];
    /// Shortest `idle_timeout_s`; Friend Core's own minimum.
    IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(30), exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Longest `idle_timeout_s`: a week.
    IDLE_TIMEOUT_MAX: Duration = Duration::from_secs(7 * 86_400), exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Keys of client certificates that log in as a user.
    PAIRED_KEYS: usize = 8, exceeded "pairing is refused until one is ended",
        tests ["keys_up_to_their_limit", "pairing_of_one_key_more_is_refused"];
    /// Time in which one client certificate is accepted after `board/pair`.
    PAIRING_TIME: Duration = Duration::from_secs(120), exceeded "no client is paired",
        tests ["window_is_open_for_its_time_and_for_one_key", "window_that_nobody_uses_closes_after_its_time"];
    /// Pause between two attempts to store the end of a paired key on a disk that is full.
    PAIRING_RETRY: Duration = Duration::from_secs(60), exceeded "the next attempt",
        tests ["end_of_a_key_on_a_full_disk_is_in_force_and_stored_later"];
    /// Fewest characters of a new password.
    PASSWORD_MIN: usize = 8, exceeded "a shorter one is refused; those of the configuration file stay",
        tests ["new_password_is_neither_short_nor_the_name", "weak_new_password_is_refused_with_the_reason"];
    /// Lifetime of a session unless configured: 30 days.
    LIFETIME: Duration = Duration::from_secs(30 * 86_400), exceeded "the session ends",
        tests ["session_ends_at_the_end_of_its_lifetime", "defaults_are_those_of_the_limits"];
    /// Longest `lifetime_s`: a year.
    LIFETIME_MAX: Duration = Duration::from_secs(366 * 86_400), exceeded "configuration error",
        tests ["numbers_of_the_file_stay_in_their_ranges"];
    /// Sessions of one user.
    USER_SESSIONS: usize = SESSIONS.div_ceil(2), exceeded "the longest idle session of the user ends",
        tests ["user_has_no_more_sessions_than_the_limit"];
    /// PBKDF2 rounds of a new password on a slow core.
    PASSWORD_ROUNDS_MIN: u32 = 50_000, fixed "the calibration ends there";
    /// Time of a core for the check of a new password, by which its rounds are calibrated.
    PASSWORD_TIME: Duration = Duration::from_millis(250), exceeded "fewer rounds, down to `password_rounds_min`",
        tests ["rounds_take_their_time_on_a_slow_core_and_never_fall_below_the_floor"];
    /// PBKDF2 rounds of a stored password.
    PASSWORD_ROUNDS_MAX: u32 = 10_000_000, exceeded "the stored password is rejected",
        tests ["rounds_up_to_the_limit_are_accepted"];
}

const _: () =
    assert!(PASSWORD_ROUNDS as u64 <= PASSWORD_ROUNDS_MAX as u64, "password_rounds: at most 10000000");

/// Length of the id of a session for people. The server makes the ids of sessions at random.
pub const PUBLIC_ID_BYTES: usize = 8;
/// Length of the id of a paired key. Clients make keys, as many as they like.
pub const KEY_ID_BYTES: usize = 16;

/// First digits of a hash.
fn public_id<const N: usize>(hash: &[u8]) -> String<N> {
    let (digits, _) = hash.split_at(hash.len().min(N / 2));
    let mut text = [0; N];
    let text = base16ct::lower::encode_str(digits, &mut text);
    text.ok().and_then(|text| text.try_into().ok()).unwrap_or_default()
}

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
            // Two differences do not cancel each other.
            for second in 0..at {
                let mut other = other;
                other[second] ^= 0x80;
                assert!(!equal_in_constant_time(&long, &other), "bytes {second} and {at}");
            }
        }
        assert!(!equal_in_constant_time(b"abc", b"abcd"));
    }
}
