//! What can be wrong with a message, a parameter or a chunk: one small enum each.

use core::fmt;

use super::Form;
use crate::json::JsonError;

/// A message that is answered with an error and changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal<'m> {
    /// Form of the message, and so of the answer.
    pub form: Form,
    /// The message's `requestid`, where one could be found. Always `None` in the frame form, which has
    /// none.
    pub request_id: Option<&'m str>,
    /// What was wrong.
    pub kind: RefusalKind,
}

/// What was wrong with a message. The peer is told one text for all of them; this is for the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusalKind {
    /// Two members of one object have the same key.
    DuplicateKey,
    /// Not UTF-8.
    Encoding,
    /// The frame's LENGTH is not a decimal number above zero.
    Length,
    /// Not a frame, or not JSON.
    Malformed,
    /// A member that the message needs is not there.
    Missing,
    /// Nested deeper than `limits::JSON_DEPTH`.
    TooDeep,
    /// A path, id or echo is longer than its limit.
    TooLong,
    /// More than `limits::PARAMETERS` parameters.
    TooManyParameters,
    /// A TYPE or `type` that is not served.
    Type,
    /// A member's value is not of the kind that the message needs.
    WrongType,
}

impl RefusalKind {
    /// The reason in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DuplicateKey => "duplicate key",
            Self::Encoding => "not UTF-8",
            Self::Length => "bad length",
            Self::Malformed => "malformed",
            Self::Missing => "missing member",
            Self::TooDeep => "nested too deep",
            Self::TooLong => "member too long",
            Self::TooManyParameters => "too many parameters",
            Self::Type => "type not served",
            Self::WrongType => "member of a wrong type",
        }
    }
}

impl From<JsonError> for RefusalKind {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::DuplicateKey => Self::DuplicateKey,
            JsonError::Encoding => Self::Encoding,
            JsonError::Malformed => Self::Malformed,
            JsonError::TooDeep => Self::TooDeep,
            JsonError::TooManyMembers => Self::TooManyParameters,
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a chunk was not taken, or a reply not cut into chunks. The set the chunk belongs to is gone
/// afterwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChunkError {
    /// The whole text is not base64 as RFC 4648, 4 has it.
    Base64,
    /// All `limits::CHUNK_SETS` are in use.
    Busy,
    /// This part was there already.
    Duplicate,
    /// The id is empty or longer than `limits::CHUNK_ID_BYTES`.
    Id,
    /// `total` differs from that of the set's first part.
    Inconsistent,
    /// `part` is not below `total`.
    Part,
    /// The parts together are longer than `limits::CHUNK_BYTES`.
    TooLong,
    /// `total` is zero or above `limits::CHUNK_PARTS`.
    Total,
}

impl fmt::Display for ChunkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base64 => "not base64",
            Self::Busy => "too many chunked messages under way",
            Self::Duplicate => "part given twice",
            Self::Id => "bad id",
            Self::Inconsistent => "total changed",
            Self::Part => "part beyond total",
            Self::TooLong => "too long",
            Self::Total => "bad total",
        })
    }
}
