//! Reasons for refusing a JSON text.

use core::fmt;

/// Reason for refusing a JSON text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum JsonError {
    /// Two members of one object have the same key.
    DuplicateKey,
    /// Not UTF-8.
    Encoding,
    /// Not one JSON object (RFC 8259).
    Malformed,
    /// Nested deeper than `limits::JSON_DEPTH`.
    TooDeep,
    /// More members than the table holds.
    TooManyMembers,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DuplicateKey => "duplicate key",
            Self::Encoding => "not UTF-8",
            Self::Malformed => "malformed",
            Self::TooDeep => "nested too deep",
            Self::TooManyMembers => "too many members",
        })
    }
}
