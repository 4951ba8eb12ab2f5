//! Stored form and canonical form of a password.
//!
//! A client sends a password in plain text, or as `HASHED` and its SHA-256 in lower-case hexadecimal,
//! as Friend Core's web client does. Both are converted to the second, canonical form, and PBKDF2 runs
//! over that, so both match one stored hash. A stored hash is not accepted as a password: it is hashed
//! like any other string.

use core::fmt;
use core::str::FromStr;

use base64::display::Base64Display;
use base64::prelude::{BASE64_STANDARD_NO_PAD as BASE64, Engine as _};
use ring::digest;

use super::{PASSWORD_MIN, PASSWORD_ROUNDS_MAX};

/// Length of the canonical form: `HASHED` and 64 hexadecimal digits.
pub const CANONICAL_PASSWORD_BYTES: usize = PREFIX.len() + 2 * HASH_BYTES;
/// Length of the salt.
pub const SALT_BYTES: usize = 16;
/// Length of a key that PBKDF2 derives, and of a SHA-256.
pub const HASH_BYTES: usize = 32;

const PREFIX: &[u8; 6] = b"HASHED";
const SCHEME: &str = "pbkdf2-sha256";

/// Converts a password to canonical form: `HASHED` and the SHA-256 of the plain text in lower-case
/// hexadecimal. A password already in this form is returned unchanged.
pub fn canonical_password(received: &[u8]) -> [u8; CANONICAL_PASSWORD_BYTES] {
    if let Ok(received) = <[u8; CANONICAL_PASSWORD_BYTES]>::try_from(received)
        && is_canonical(&received)
    {
        return received;
    }
    let mut canonical = [0; CANONICAL_PASSWORD_BYTES];
    let (prefix, hex) = canonical.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    // It has the length of a SHA-256.
    let _ = base16ct::lower::encode(digest::digest(&digest::SHA256, received).as_ref(), hex);
    canonical
}

/// Checks a new password of a user as it was received. The length of a hashed one is not known: the client that hashes it
/// checks that.
///
/// # Errors
/// The reason for refusing it, in words.
pub fn check_new_password(received: &str, user: &str) -> Result<(), &'static str> {
    let canonical = canonical_password(received.as_bytes());
    let is_hashed = canonical == *received.as_bytes();
    let is_short = !is_hashed && received.chars().count() < PASSWORD_MIN;
    if is_short || canonical == canonical_password(b"") {
        return Err("a new password must have at least 8 characters");
    }
    if received.eq_ignore_ascii_case(user) || canonical == canonical_password(user.as_bytes()) {
        return Err("a new password must not be the name of the user");
    }
    Ok(())
}

fn is_canonical(received: &[u8; CANONICAL_PASSWORD_BYTES]) -> bool {
    let (prefix, hex) = received.split_at(PREFIX.len());
    prefix == PREFIX && hex.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Reason why a string is not a stored password.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PasswordHashError {
    /// Not `$pbkdf2-sha256$i=ROUNDS$SALT$HASH`.
    Form,
    /// ROUNDS is not a number from 1 to [`PASSWORD_ROUNDS_MAX`].
    Rounds,
    /// SALT is not 16 bytes in base64 without padding.
    Salt,
    /// HASH is not 32 bytes in base64 without padding.
    Hash,
}

impl fmt::Display for PasswordHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("expected \"$pbkdf2-sha256$i=ROUNDS$SALT$HASH\""),
            Self::Rounds => write!(f, "rounds must be 1 to {PASSWORD_ROUNDS_MAX}"),
            Self::Salt => write!(f, "the salt must be {SALT_BYTES} bytes in base64 without padding"),
            Self::Hash => write!(f, "the hash must be {HASH_BYTES} bytes in base64 without padding"),
        }
    }
}

/// Stored password: PBKDF2-HMAC-SHA256 (RFC 8018, 5.2) over its canonical form.
///
/// Written as `$pbkdf2-sha256$i=200000$<salt>$<hash>`, base64 without padding.
#[derive(Clone, PartialEq)]
pub struct PasswordHash {
    rounds: u32,
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

impl PasswordHash {
    /// Creates a hash of `rounds` rounds; [`PasswordHashError::Rounds`] for 0 or more than
    /// [`PASSWORD_ROUNDS_MAX`].
    pub fn new(
        rounds: u32,
        salt: [u8; SALT_BYTES],
        hash: [u8; HASH_BYTES],
    ) -> Result<Self, PasswordHashError> {
        if rounds == 0 || rounds > PASSWORD_ROUNDS_MAX {
            return Err(PasswordHashError::Rounds);
        }
        Ok(Self { rounds, salt, hash })
    }

    /// Creates a hash that no known password matches, at the cost of a real one. A login with an
    /// unknown name is verified against it, so that timing does not reveal which names exist.
    pub fn dummy(rounds: u32) -> Self {
        Self { rounds: rounds.clamp(1, PASSWORD_ROUNDS_MAX), salt: [0x5a; SALT_BYTES], hash: [0; HASH_BYTES] }
    }

    /// PBKDF2 rounds, 1 to [`PASSWORD_ROUNDS_MAX`].
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Salt.
    pub fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    /// Key that PBKDF2 derived.
    pub fn hash(&self) -> &[u8; HASH_BYTES] {
        &self.hash
    }
}

/// Shows the rounds only: a hash must not get into a log.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash").field("rounds", &self.rounds).finish_non_exhaustive()
    }
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, hash) = (Base64Display::new(&self.salt, &BASE64), Base64Display::new(&self.hash, &BASE64));
        write!(f, "${SCHEME}$i={}${salt}${hash}", self.rounds)
    }
}

impl FromStr for PasswordHash {
    type Err = PasswordHashError;

    fn from_str(text: &str) -> Result<Self, PasswordHashError> {
        let mut fields = text.split('$');
        let (Some(""), Some(SCHEME), Some(rounds), Some(salt), Some(hash), None) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(PasswordHashError::Form);
        };
        let rounds = rounds.strip_prefix("i=").ok_or(PasswordHashError::Form)?;
        if rounds.starts_with('0') || !rounds.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PasswordHashError::Rounds);
        }
        let rounds = rounds.parse().map_err(|_| PasswordHashError::Rounds)?;
        let salt = decode::<SALT_BYTES>(salt).ok_or(PasswordHashError::Salt)?;
        let hash = decode::<HASH_BYTES>(hash).ok_or(PasswordHashError::Hash)?;
        Self::new(rounds, salt, hash)
    }
}

/// Decodes base64 of `BYTES` bytes.
fn decode<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    (BASE64.decode_slice(text, &mut bytes).ok()? == BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STORED: &str =
        "$pbkdf2-sha256$i=200000$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    #[test]
    fn stored_form_is_parsed_and_displayed() {
        let hash: PasswordHash = STORED.parse().unwrap();
        assert_eq!(hash.rounds(), 200_000);
        assert_eq!(hash.salt(), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(hash.hash()[31], 31);
        assert_eq!(hash.to_string(), STORED);
    }

    #[test]
    fn other_forms_are_refused() {
        let with_rounds = |rounds: &str| STORED.replace("i=200000", rounds);
        for (text, error) in [
            (String::new(), PasswordHashError::Form),
            ("secret".to_owned(), PasswordHashError::Form),
            (STORED[1..].to_owned(), PasswordHashError::Form),
            (format!("x{STORED}"), PasswordHashError::Form),
            (format!("{STORED}$"), PasswordHashError::Form),
            (STORED.replace("sha256", "sha512"), PasswordHashError::Form),
            (with_rounds("200000"), PasswordHashError::Form),
            (with_rounds("i="), PasswordHashError::Rounds),
            (with_rounds("i=0"), PasswordHashError::Rounds),
            (with_rounds("i=+5"), PasswordHashError::Rounds),
            (with_rounds("i=-5"), PasswordHashError::Rounds),
            (with_rounds("i=007"), PasswordHashError::Rounds),
            (with_rounds("i=10000001"), PasswordHashError::Rounds),
            (with_rounds("i=99999999999999999999"), PasswordHashError::Rounds),
            (STORED.replace("Dw$", "Dw==$"), PasswordHashError::Salt),
            (STORED.replace("Dw$", "Dx$"), PasswordHashError::Salt),
            (STORED.replace("Dw$", "Dw$A"), PasswordHashError::Hash),
            (STORED.replace("Hh8", "Hh"), PasswordHashError::Hash),
            (STORED.replace("Hh8", "H*8"), PasswordHashError::Hash),
        ] {
            assert_eq!(text.parse::<PasswordHash>(), Err(error), "{text}");
        }
    }

    #[test]
    fn errors_of_a_stored_password_have_its_form() {
        for (error, words) in [
            (PasswordHashError::Form, "expected \"$pbkdf2-sha256$i=ROUNDS$SALT$HASH\""),
            (PasswordHashError::Rounds, "rounds must be 1 to 10000000"),
            (PasswordHashError::Salt, "the salt must be 16 bytes in base64 without padding"),
            (PasswordHashError::Hash, "the hash must be 32 bytes in base64 without padding"),
        ] {
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn rounds_up_to_the_limit_are_accepted() {
        assert!(PasswordHash::new(1, [0; 16], [0; 32]).is_ok());
        assert!(PasswordHash::new(PASSWORD_ROUNDS_MAX, [0; 16], [0; 32]).is_ok());
        assert_eq!(PasswordHash::new(0, [0; 16], [0; 32]), Err(PasswordHashError::Rounds));
        assert_eq!(
            PasswordHash::new(PASSWORD_ROUNDS_MAX + 1, [0; 16], [0; 32]),
            Err(PasswordHashError::Rounds)
        );
        assert_eq!(PasswordHash::dummy(0).rounds(), 1);
        assert_eq!(PasswordHash::dummy(u32::MAX).rounds(), PASSWORD_ROUNDS_MAX);
    }

    #[test]
    fn plain_and_hashed_have_one_canonical_form() {
        let hashed = *b"HASHED672ad6ceecc20d08893b4b98956a809c86f47a1a33543bef4bb17dd8e5ec4667";
        assert_eq!(canonical_password(b"securefassword"), hashed);
        assert_eq!(canonical_password(&hashed), hashed);
    }

    #[test]
    fn malformed_hashed_form_is_plain() {
        let upper = b"HASHED672AD6CEECC20D08893B4B98956A809C86F47A1A33543BEF4BB17DD8E5EC4667";
        let short = &upper[..69];
        let lower_prefix = b"hashed672ad6ceecc20d08893b4b98956a809c86f47a1a33543bef4bb17dd8e5ec4667";
        for received in [upper.as_slice(), short, lower_prefix, b"", b"HASHED", STORED.as_bytes()] {
            let canonical = canonical_password(received);
            assert_ne!(canonical.as_slice(), received);
            assert!(is_canonical(&canonical));
        }
    }

    #[test]
    fn debug_hides_the_hash() {
        let hash: PasswordHash = STORED.parse().unwrap();
        assert_eq!(format!("{hash:?}"), "PasswordHash { rounds: 200000, .. }");
    }

    proptest! {
        #[test]
        fn displayed_form_is_parsed_back(
            rounds in 1..=PASSWORD_ROUNDS_MAX, salt in any::<[u8; 16]>(), hash in any::<[u8; 32]>()
        ) {
            let hash = PasswordHash::new(rounds, salt, hash).unwrap();
            prop_assert_eq!(hash.to_string().parse::<PasswordHash>(), Ok(hash));
        }

        #[test]
        fn any_string_is_parsed_or_refused(text in "\\$pbkdf2-sha256\\$i=.{0,8}\\$.{0,44}\\$.{0,44}|.*") {
            if let Ok(hash) = text.parse::<PasswordHash>() {
                prop_assert_eq!(hash.to_string(), text);
            }
        }

        #[test]
        fn any_password_has_a_canonical_form(received in any::<Vec<u8>>()) {
            let canonical = canonical_password(&received);
            prop_assert!(is_canonical(&canonical));
            prop_assert_eq!(canonical_password(&canonical), canonical);
        }
    }

    #[test]
    fn new_password_is_neither_short_nor_the_name() {
        let shortest = "p".repeat(PASSWORD_MIN);
        assert_eq!(check_new_password(&shortest, "anna"), Ok(()));
        let short = check_new_password(&shortest[1..], "anna").unwrap_err();
        assert!(short.ends_with(&format!("at least {PASSWORD_MIN} characters")), "{short}");
        // Characters, not bytes.
        assert_eq!(check_new_password(&"ä".repeat(PASSWORD_MIN - 1), "anna"), Err(short));
        assert_eq!(check_new_password("", "anna"), Err(short));
        let hashed = |plain: &str| String::from_utf8(canonical_password(plain.as_bytes()).to_vec()).unwrap();
        assert_eq!(check_new_password(&hashed(""), "anna"), Err(short));
        assert_eq!(check_new_password(&hashed("short"), "anna"), Ok(()), "its length is not known");
        let name = "administrator";
        for password in [name, "Administrator", &hashed(name)] {
            let refused = check_new_password(password, name).unwrap_err();
            assert!(refused.ends_with("the name of the user"), "{refused}");
        }
        assert_eq!(check_new_password("administrator1", name), Ok(()));
    }
}
