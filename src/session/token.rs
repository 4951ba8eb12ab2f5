//! Tokens: session ids that the device file gives to programs.
//!
//! The file holds a token's SHA-256, not the token: who reads the file cannot call with it.

use core::fmt;

use heapless::Vec;
use ring::digest;

use super::{HASH_BYTES, UserId, equal_in_constant_time};
use crate::limits::{PRESENTED_SESSION_BYTES, TOKENS};

/// Why a token cannot be added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokensError {
    /// This token is there already.
    Duplicate,
    /// [`TOKENS`] are there already.
    Full,
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate => f.write_str("this token is there already"),
            Self::Full => write!(f, "more than {TOKENS} tokens"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Token {
    user: UserId,
    sha256: [u8; HASH_BYTES],
}

/// All tokens of the device file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    tokens: Vec<Token, TOKENS>,
}

impl Tokens {
    /// No tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a token of `user` by its SHA-256.
    pub fn push(&mut self, user: UserId, sha256: [u8; HASH_BYTES]) -> Result<(), TokensError> {
        if self.tokens.iter().any(|token| token.sha256 == sha256) {
            return Err(TokensError::Duplicate);
        }
        self.tokens.push(Token { user, sha256 }).map_err(|_| TokensError::Full)
    }

    /// Whose token this is. All are looked at, whichever it is; one longer than
    /// [`PRESENTED_SESSION_BYTES`] is nobody's.
    pub fn find(&self, presented: &str) -> Option<UserId> {
        if presented.len() > PRESENTED_SESSION_BYTES {
            return None;
        }
        let sha256 = digest::digest(&digest::SHA256, presented.as_bytes());
        let mut user = None;
        for token in &self.tokens {
            if equal_in_constant_time(&token.sha256, sha256.as_ref()) {
                user = Some(token.user);
            }
        }
        user
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Grants, Level, User, Users};
    use super::*;

    fn two_users() -> (UserId, UserId) {
        let mut users = Users::new();
        let mut push = |name| {
            users
                .push(User {
                    name: heapless::String::try_from(name).unwrap(),
                    full_name: heapless::String::new(),
                    level: Level::User,
                    password: None,
                    services: Grants::default(),
                })
                .unwrap()
        };
        (push("a"), push("b"))
    }

    fn sha256(text: &str) -> [u8; 32] {
        digest::digest(&digest::SHA256, text.as_bytes()).as_ref().try_into().unwrap()
    }

    #[test]
    fn token_is_found_by_what_it_hashes_to() {
        let (a, b) = two_users();
        let mut tokens = Tokens::new();
        tokens.push(a, sha256("8ed922535bc7cb2de39dc9bdafef502e2e20b986")).unwrap();
        tokens.push(b, sha256("second")).unwrap();
        assert_eq!(tokens.find("8ed922535bc7cb2de39dc9bdafef502e2e20b986"), Some(a));
        assert_eq!(tokens.find("second"), Some(b));
        assert_eq!(tokens.find("8ed9"), None);
        assert_eq!(tokens.find(""), None);
    }

    #[test]
    fn the_stored_hash_is_no_token() {
        let (a, _) = two_users();
        let mut tokens = Tokens::new();
        tokens.push(a, sha256("first")).unwrap();
        let stored = data_encoding::HEXLOWER.encode_display(&sha256("first")).to_string();
        assert_eq!(tokens.find(&stored), None);
    }

    #[test]
    fn table_takes_its_limit_and_no_more() {
        let (a, b) = two_users();
        let mut tokens = Tokens::new();
        for n in 0..TOKENS {
            tokens.push(a, sha256(&n.to_string())).unwrap();
        }
        assert_eq!(tokens.push(b, sha256("0")), Err(TokensError::Duplicate));
        assert_eq!(tokens.push(b, sha256("more")), Err(TokensError::Full));
        assert_eq!(tokens.find("more"), None);
        assert_eq!(tokens.len(), TOKENS);
    }

    #[test]
    fn token_may_be_as_long_as_a_session_id_that_is_looked_at() {
        let (a, _) = two_users();
        let longest = "t".repeat(PRESENTED_SESSION_BYTES);
        let longer = "t".repeat(PRESENTED_SESSION_BYTES + 1);
        let mut tokens = Tokens::new();
        tokens.push(a, sha256(&longest)).unwrap();
        assert_eq!(tokens.find(&longest), Some(a));
        tokens = Tokens::new();
        tokens.push(a, sha256(&longer)).unwrap();
        assert_eq!(tokens.find(&longer), None);
    }
}
