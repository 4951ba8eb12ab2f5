//! Tokens: session ids that the configuration file grants to programs.
//!
//! The file contains the SHA-256 of a token, so reading the file is not enough to use the token.

use core::fmt;

use heapless::{String, Vec};
use ring::digest;

use super::{Grants, HASH_BYTES, PRESENTED_SESSION_BYTES, UserId, equal_in_constant_time};
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

/// Token of the configuration file.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// User of its calls.
    pub user: UserId,
    /// Hash of the token.
    pub sha256: [u8; HASH_BYTES],
    /// Seconds since 1970 from which it is refused.
    pub expires: Option<u64>,
    /// Its calls change nothing.
    pub reads_only: bool,
    /// Services of its calls, as far as the user has them.
    pub services: Grants,
}

impl Token {
    /// Token with all rights of its user, for ever.
    pub fn new(user: UserId, sha256: [u8; HASH_BYTES]) -> Self {
        Self { user, sha256, expires: None, reads_only: false, services: Grants::all() }
    }

    /// Returns true if it has not all rights of its user.
    pub(super) fn is_limited(&self) -> bool {
        self.reads_only || !self.services.is_all()
    }
}

/// Reason for refusing a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenRefusal {
    /// Its time is over.
    Expired,
    /// It has an end, and the time of day is not known. Were it accepted, a board without a network would accept an
    /// expired one.
    NoTimeOfDay,
}

impl fmt::Display for TokenRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "token expired",
            Self::NoTimeOfDay => "time of day unknown",
        })
    }
}

/// Index of a token in [`Tokens`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TokenId(u16);

/// Token in plain text, cached after a match.
#[derive(Clone, PartialEq)]
struct CachedToken {
    token: String<PRESENTED_SESSION_BYTES>,
    id: TokenId,
}

impl fmt::Debug for CachedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Tokens of the configuration file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tokens {
    /// Boxed like every large table.
    tokens: Box<Vec<Token, TOKENS>>,
    /// Token of the latest match. A program sends its token with every call, and hashing it would
    /// double the cost of a call.
    last: Option<CachedToken>,
}

impl Tokens {
    /// Memory of the table, allocated at once.
    pub const BYTES: usize = size_of::<Self>() + size_of::<Vec<Token, TOKENS>>();

    /// Table without tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a token.
    pub fn push(&mut self, token: Token) -> Result<(), TokensError> {
        if self.tokens.iter().any(|other| other.sha256 == token.sha256) {
            return Err(TokensError::Duplicate);
        }
        self.tokens.push(token).map_err(|_| TokensError::Full)
    }

    /// Returns the id of a token, also of one that [`refusal`](Self::refusal) refuses. Compares with every entry, so timing
    /// does not reveal a match. A token longer than [`PRESENTED_SESSION_BYTES`] is none.
    pub fn find(&mut self, presented: &str) -> Option<TokenId> {
        if let Some(cached) = &self.last
            && equal_in_constant_time(cached.token.as_bytes(), presented.as_bytes())
        {
            return Some(cached.id);
        }
        let token = String::try_from(presented).ok()?;
        let sha256 = digest::digest(&digest::SHA256, presented.as_bytes());
        let mut id = None;
        for (index, entry) in (0..).zip(&*self.tokens) {
            if equal_in_constant_time(&entry.sha256, sha256.as_ref()) {
                id = Some(TokenId(index));
            }
        }
        if let Some(id) = id {
            self.last = Some(CachedToken { token, id });
        }
        id
    }

    /// Returns the token with this id.
    pub fn get(&self, id: TokenId) -> Option<&Token> {
        self.tokens.get(usize::from(id.0))
    }

    /// Returns the reason for refusing a token now. `time_of_day` is called for a token with an end alone.
    pub fn refusal(&self, id: TokenId, time_of_day: impl FnOnce() -> Option<u64>) -> Option<TokenRefusal> {
        let expires = self.get(id)?.expires?;
        match time_of_day() {
            None => Some(TokenRefusal::NoTimeOfDay),
            Some(now) => (now >= expires).then_some(TokenRefusal::Expired),
        }
    }

    /// Tokens in the order of the configuration file.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.tokens.iter()
    }

    /// Gives each token the id that its user has now: `ids` has it by the index of the old one.
    pub fn renumber(&mut self, ids: &[UserId]) {
        self.last = None;
        for token in &mut *self.tokens {
            if let Some(id) = ids.get(token.user.index()) {
                token.user = *id;
            }
        }
    }

    /// Returns true if the other table has the same tokens of a user, who has the id `then` there.
    pub fn has_same_of(&self, user: UserId, other: &Self, then: UserId) -> bool {
        fn of(tokens: &Tokens, user: UserId) -> impl Iterator<Item = Token> + '_ {
            let tokens = tokens.tokens.iter().filter(move |token| token.user == user);
            tokens.map(|token| Token { user: UserId::LOCAL_ROOT, ..token.clone() })
        }
        of(self, user).eq(of(other, then))
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
    use super::super::{User, UserLevel, Users};
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

    fn user_of(tokens: &mut Tokens, presented: &str) -> Option<UserId> {
        let id = tokens.find(presented)?;
        tokens.get(id).map(|token| token.user)
    }

    fn sha256(text: &str) -> [u8; 32] {
        digest::digest(&digest::SHA256, text.as_bytes()).as_ref().try_into().unwrap()
    }

    #[test]
    fn errors_and_refusals_have_their_reasons() {
        assert_eq!(TokensError::Duplicate.to_string(), "this token is there already");
        assert_eq!(TokensError::Full.to_string(), format!("more than {TOKENS} tokens"));
        assert_eq!(TokenRefusal::Expired.to_string(), "token expired");
        assert_eq!(TokenRefusal::NoTimeOfDay.to_string(), "time of day unknown");
    }

    #[test]
    fn memory_of_the_table_is_that_of_its_tokens() {
        let tokens = Tokens::new();
        assert_eq!(Tokens::BYTES, size_of_val(&tokens) + size_of_val(&*tokens.tokens));
    }

    #[test]
    fn token_is_found_by_its_hash() {
        let (a, b) = two_users();
        let mut tokens = Tokens::new();
        tokens.push(Token::new(a, sha256("8ed922535bc7cb2de39dc9bdafef502e2e20b986"))).unwrap();
        tokens.push(Token::new(b, sha256("second"))).unwrap();
        assert_eq!(user_of(&mut tokens, "8ed922535bc7cb2de39dc9bdafef502e2e20b986"), Some(a));
        assert_eq!(user_of(&mut tokens, "second"), Some(b));
        assert_eq!(tokens.find("8ed9"), None);
        assert_eq!(tokens.find(""), None);
        assert!(tokens.iter().map(|token| token.user).eq([a, b]), "in the order of the file");
    }

    #[test]
    fn cached_token_does_not_hide_others() {
        let (a, b) = two_users();
        let mut tokens = Tokens::new();
        tokens.push(Token::new(a, sha256("first"))).unwrap();
        tokens.push(Token::new(b, sha256("second"))).unwrap();
        for _ in 0..2 {
            assert_eq!(user_of(&mut tokens, "first"), Some(a));
            assert_eq!(user_of(&mut tokens, "first"), Some(a));
            assert_eq!(tokens.find("firs"), None);
            assert_eq!(tokens.find("first "), None);
            assert_eq!(user_of(&mut tokens, "second"), Some(b));
        }
        let shown = format!("{:?}", tokens.last);
        assert_eq!(shown, "Some(CachedToken { id: TokenId(1), .. })", "a token must not be shown");
    }

    #[test]
    fn stored_hash_is_not_a_token() {
        let (a, _) = two_users();
        let mut tokens = Tokens::new();
        tokens.push(Token::new(a, sha256("first"))).unwrap();
        let stored = base16ct::lower::encode_string(&sha256("first"));
        assert_eq!(tokens.find(&stored), None);
    }

    #[test]
    fn tokens_up_to_the_limit() {
        let (a, b) = two_users();
        let mut tokens = Tokens::new();
        for n in 0..TOKENS {
            tokens.push(Token::new(a, sha256(&n.to_string()))).unwrap();
        }
        assert_eq!(tokens.push(Token::new(b, sha256("0"))), Err(TokensError::Duplicate));
        assert_eq!(tokens.push(Token::new(b, sha256("more"))), Err(TokensError::Full));
        assert_eq!(tokens.find("more"), None);
        assert_eq!(tokens.len(), TOKENS);
    }

    #[test]
    fn tokens_of_a_user_are_compared_without_the_id_that_he_has() {
        let (a, b) = two_users();
        let table = |tokens: [Token; 2]| {
            let mut table = Tokens::new();
            tokens.into_iter().for_each(|token| table.push(token).unwrap());
            table
        };
        let mut tokens = table([Token::new(a, sha256("first")), Token::new(b, sha256("second"))]);
        let later = table([Token::new(a, sha256("second")), Token::new(b, sha256("first"))]);
        assert!(tokens.has_same_of(a, &later, b) && tokens.has_same_of(b, &later, a));
        assert!(!tokens.has_same_of(a, &later, a) && !tokens.has_same(&later));
        let limited = Token { reads_only: true, ..Token::new(b, sha256("first")) };
        assert!(!tokens.has_same_of(a, &table([limited, Token::new(a, sha256("second"))]), b));
        tokens.renumber(&[b, a]);
        assert_eq!(["first", "second"].map(|token| user_of(&mut tokens, token)), [Some(b), Some(a)]);
        assert!(tokens.has_same(&table([Token::new(b, sha256("first")), Token::new(a, sha256("second"))])));
        assert!(!tokens.is_empty() && Tokens::new().is_empty());
    }

    #[test]
    fn token_up_to_the_length_of_a_presented_session_id() {
        let (a, _) = two_users();
        let longest = "t".repeat(PRESENTED_SESSION_BYTES);
        let longer = "t".repeat(PRESENTED_SESSION_BYTES + 1);
        let mut tokens = Tokens::new();
        tokens.push(Token::new(a, sha256(&longest))).unwrap();
        assert_eq!(user_of(&mut tokens, &longest), Some(a));
        tokens = Tokens::new();
        tokens.push(Token::new(a, sha256(&longer))).unwrap();
        assert_eq!(tokens.find(&longer), None);
    }

    #[test]
    fn token_with_an_end_is_refused_from_then_on_and_while_the_time_is_unknown() {
        let (a, _) = two_users();
        let mut tokens = Tokens::new();
        tokens.push(Token { expires: Some(1000), ..Token::new(a, sha256("first")) }).unwrap();
        tokens.push(Token::new(a, sha256("second"))).unwrap();
        let [first, second] = ["first", "second"].map(|token| tokens.find(token).unwrap());
        assert_eq!(tokens.refusal(first, || Some(999)), None);
        assert_eq!(tokens.refusal(first, || Some(1000)), Some(TokenRefusal::Expired));
        assert_eq!(tokens.refusal(first, || None), Some(TokenRefusal::NoTimeOfDay));
        assert_eq!(tokens.refusal(second, || unreachable!("it has no end")), None);
    }
}
