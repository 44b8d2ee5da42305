//! How a request can break the protocol: Redis' exact texts, typed. After any
//! of these the connection is answered once and closed, since where the next
//! request begins is unknown. Replies that cannot be read are here as well.

use super::Reply;

/// A request that is none; `Display` is the error reply without its `-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// An inline command without a line end within its limit.
    #[error("ERR Protocol error: too big inline request")]
    InlineTooBig,
    /// An inline command whose quotes do not close, or close inside a word.
    #[error("ERR Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// `*` without a line end within the limit of a length.
    #[error("ERR Protocol error: too big mbulk count string")]
    CountTooBig,
    /// `*` followed by something that is no number of arguments.
    #[error("ERR Protocol error: invalid multibulk length")]
    InvalidCount,
    /// More arguments than a client may send that is yet to authenticate.
    #[error("ERR Protocol error: unauthenticated multibulk length")]
    UnauthenticatedCount,
    /// An argument that opens with this byte.
    #[error("ERR Protocol error: expected '$', got '{}'", Shown(*.0))]
    ExpectedBulk(u8),
    /// `$` without a line end within the limit of a length.
    #[error("ERR Protocol error: too big bulk count string")]
    BulkLenTooBig,
    /// `$` followed by something that is no length of an argument.
    #[error("ERR Protocol error: invalid bulk length")]
    InvalidBulkLen,
    /// A longer argument than a client may send that is yet to authenticate.
    #[error("ERR Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLen,
}

/// A byte in an error text: itself, or `\xNN` where it is not ASCII (Redis
/// sends the bare byte, which no text type can carry).
struct Shown(u8);

impl std::fmt::Display for Shown {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            byte if byte.is_ascii() => write!(out, "{}", char::from(byte)),
            byte => write!(out, "{}", byte.escape_ascii()),
        }
    }
}

impl From<ProtocolError> for Reply {
    fn from(error: ProtocolError) -> Self {
        Self::Error(error.to_string().into())
    }
}

/// A reply that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A reply that opens with a byte of no known type.
    #[error("unknown reply type '{}'", Shown(*.0))]
    UnknownType(u8),
    /// A line that its type does not allow: a number, a length, a truth value.
    #[error("malformed reply of type '{}'", Shown(*.0))]
    Malformed(u8),
    /// Arrays within arrays beyond [`super::parse::MAX_DEPTH`].
    #[error("the reply is nested too deeply")]
    TooDeep,
}
