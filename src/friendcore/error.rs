//! Errors of messages, parameters and chunks.

use core::fmt;

use super::Form;
use crate::json::JsonError;

/// Refused message: it is answered with an error and changes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal<'m> {
    /// Form of the message, and so of the answer.
    pub form: Form,
    /// `requestid` of the message, if it was found. The frame form has none.
    pub request_id: Option<&'m str>,
    /// Reason, for the log.
    pub kind: RefusalKind,
}

/// Reason for refusing a message, for the log. The client gets one text for all of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RefusalKind {
    /// Two members of an object have the same key.
    DuplicateKey,
    /// Not UTF-8.
    Encoding,
    /// The frame's LENGTH is not a decimal number above zero.
    Length,
    /// Not a frame, or not JSON.
    Malformed,
    /// A required member is missing.
    Missing,
    /// Nested deeper than `limits::JSON_DEPTH`.
    TooDeep,
    /// A path, id or echo is longer than its limit.
    TooLong,
    /// More than `limits::PARAMETERS` parameters.
    TooManyParameters,
    /// The TYPE or `type` is not supported.
    Type,
    /// The value of a member has the wrong type.
    WrongType,
}

impl RefusalKind {
    /// Reason in words.
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

/// Reason for rejecting a chunk, or for not splitting a reply into chunks. The set of the chunk is dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChunkError {
    /// The whole text is not base64 (RFC 4648, section 4).
    Base64,
    /// All `limits::CHUNK_SETS` are in use.
    Busy,
    /// The part was received already.
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
