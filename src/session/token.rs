//! Tokens: session ids that the configuration file grants to programs.
//!
//! The file contains the SHA-256 of a token, so reading the file is not enough to use the token.

use core::fmt;

use heapless::{String, Vec};
use ring::digest;

use super::{HASH_BYTES, PRESENTED_SESSION_BYTES, UserId, equal_in_constant_time};
use crate::limits::TOKENS;

/// Reason why a token cannot be added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokensError {
    /// The table already has this token.
    Duplicate,
    /// The table already has [`TOKENS`] tokens.
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

/// Token in plain text with its user, cached after a match.
#[derive(Clone, PartialEq)]
struct CachedToken {
    token: String<PRESENTED_SESSION_BYTES>,
    user: UserId,
}

impl fmt::Debug for CachedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedToken").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Tokens of the configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    tokens: Vec<Token, TOKENS>,
    /// Token of the latest match. A program sends its token with every call, and hashing it would
    /// double the cost of a call.
    last: Option<CachedToken>,
}

impl Tokens {
    /// Table without tokens.
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

    /// Returns the user of a token. Compares with every entry, so timing does not reveal a match. A
    /// token longer than [`PRESENTED_SESSION_BYTES`] has no user.
    pub fn find(&mut self, presented: &str) -> Option<UserId> {
        if let Some(cached) = &self.last
            && equal_in_constant_time(cached.token.as_bytes(), presented.as_bytes())
        {
            return Some(cached.user);
        }
        let token = String::try_from(presented).ok()?;
        let sha256 = digest::digest(&digest::SHA256, presented.as_bytes());
        let mut user = None;
        for entry in &self.tokens {
            if equal_in_constant_time(&entry.sha256, sha256.as_ref()) {
                user = Some(entry.user);
            }
        }
        if let Some(user) = user {
            self.last = Some(CachedToken { token, user });
        }
        user
    }

    /// Gives each token the id that its user has now: `ids` has it by the index of the old one.
    pub fn renumber(&mut self, ids: &[UserId]) {
        self.last = None;
        for token in &mut self.tokens {
            if let Some(id) = ids.get(token.user.index()) {
                token.user = *id;
            }
        }
    }

    /// Returns true if the other table has the same tokens of the same users.
    pub fn has_same(&self, other: &Self) -> bool {
        self.tokens == other.tokens
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns true without tokens.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Grants, User, UserLevel, Users};
    use super::*;

    fn two_users() -> (UserId, UserId) {
        let mut users = Users::new();
        let mut push = |name| {
            users
                .push(User {
                    name: String::try_from(name).unwrap(),
                    full_name: String::new(),
                    level: UserLevel::User,
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
    fn token_is_found_by_its_hash() {
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
    fn cached_token_does_not_hide_others() {
        let (a, b) = two_users();
        let mut tokens = Tokens::new();
        tokens.push(a, sha256("first")).unwrap();
        tokens.push(b, sha256("second")).unwrap();
        for _ in 0..2 {
            assert_eq!(tokens.find("first"), Some(a));
            assert_eq!(tokens.find("first"), Some(a));
            assert_eq!(tokens.find("firs"), None);
            assert_eq!(tokens.find("first "), None);
            assert_eq!(tokens.find("second"), Some(b));
        }
        assert!(!format!("{tokens:?}").contains("second"), "a token must not be shown");
    }

    #[test]
    fn stored_hash_is_not_a_token() {
        let (a, _) = two_users();
        let mut tokens = Tokens::new();
        tokens.push(a, sha256("first")).unwrap();
        let stored = base16ct::lower::encode_string(&sha256("first"));
        assert_eq!(tokens.find(&stored), None);
    }

    #[test]
    fn tokens_up_to_the_limit() {
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
    fn token_up_to_the_length_of_a_presented_session_id() {
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
