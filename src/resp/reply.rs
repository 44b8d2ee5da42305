//! What a command answers, in RESP3's terms: a [`Reply`] says what the answer
//! *is* (a map, a set, a double), and the writer alone knows what becomes of
//! it for a client that speaks RESP2.
//!
//! Beside the general shapes there are flat ones (`Bulks`, `Fields`, `Scored`,
//! …) that hold their elements' bytes directly: the hot commands' replies then
//! cost one vector, not a tree. A reply never knows the session it goes to.

use std::borrow::Cow;

use bytes::Bytes;

use crate::base::ClientError;

/// One answer to one request, or an out-of-band push.
///
/// Each variant names its RESP2 and RESP3 forms where they differ.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// `+OK`.
    Ok,
    /// A status line such as `+PONG`; line breaks in it are written as spaces.
    Simple(Cow<'static, str>),
    /// An error, its code first and without the leading `-`; line breaks are
    /// written as spaces.
    Error(Cow<'static, str>),
    /// A signed integer.
    Integer(i64),
    /// A binary-safe string.
    Bulk(Bytes),
    /// A bulk string known when the server was compiled.
    Static(&'static str),
    /// The absence of a value: `$-1`, in RESP3 `_`.
    Nil,
    /// The absence of an array: `*-1`, in RESP3 `_`.
    NilArray,
    /// A floating-point number; in RESP2 a bulk string of the same digits.
    Double(f64),
    /// A floating-point number whose digits are given, more of them than a double needs (GEOPOS); in
    /// RESP2 a bulk string.
    Digits(Bytes),
    /// A truth value; in RESP2 the integer 1 or 0.
    Boolean(bool),
    /// Decimal digits of an integer beyond 64 bits; in RESP2 a bulk string.
    BigNumber(Cow<'static, str>),
    /// Text with a hint of how to show it; in RESP2 a plain bulk string.
    Verbatim {
        /// How the text wants to be shown.
        format: VerbatimFormat,
        /// The text, without the format prefix.
        text: Bytes,
    },
    /// A list of anything.
    Array(Vec<Reply>),
    /// An array of bulk strings.
    Bulks(Vec<Bytes>),
    /// An array of bulk strings some of which are absent (MGET, HMGET).
    OptionalBulks(Vec<Option<Bytes>>),
    /// An array of integers.
    Integers(Vec<i64>),
    /// Keys and values; in RESP2 an array of both in turn.
    Map(Vec<(Reply, Reply)>),
    /// A map of bulk strings to bulk strings (HGETALL); in RESP2 an array of
    /// both in turn.
    Fields(Vec<(Bytes, Bytes)>),
    /// An array of two-element arrays; in RESP2 one flat array of both in turn
    /// (HRANDFIELD with values).
    Pairs(Vec<(Reply, Reply)>),
    /// Members and their scores as an array of pairs; in RESP2 one flat array
    /// of bulk strings (ZRANGE with scores).
    Scored(Vec<(Bytes, f64)>),
    /// Elements without order; in RESP2 an array.
    Set(Vec<Reply>),
    /// A set of bulk strings (SMEMBERS); in RESP2 an array.
    Members(Vec<Bytes>),
    /// Out-of-band data (messages, invalidations); in RESP2 an array.
    Push(Vec<Reply>),
    /// A reply with attributes before it, which RESP2 clients do not see.
    Attributed(Box<Attributed>),
    /// Consecutive replies at top level, as SUBSCRIBE of two channels gives;
    /// not to be nested in an array, whose length would not match.
    Several(Vec<Reply>),
    /// Nothing at all, as under CLIENT REPLY OFF; not to be nested in an array.
    Silent,
}

/// A reply and the attributes that RESP3 sends ahead of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Attributed {
    /// Names and values of the attributes.
    pub attributes: Vec<(Reply, Reply)>,
    /// The reply proper.
    pub reply: Reply,
}

/// How a verbatim string wants to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerbatimFormat {
    /// `txt`: plain text.
    Text,
    /// `mkd`: Markdown.
    Markdown,
}

impl VerbatimFormat {
    /// The three letters on the wire.
    pub fn code(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Markdown => "mkd",
        }
    }
}

impl Reply {
    /// The empty array.
    pub const EMPTY: Self = Self::Array(Vec::new());

    /// A bulk string that takes over owned bytes.
    pub fn bulk(bytes: impl Into<Bytes>) -> Self {
        Self::Bulk(bytes.into())
    }

    /// A bulk string copied from borrowed bytes.
    pub fn copy(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(bytes.as_ref()))
    }

    /// A bulk string, or nil where there is none.
    pub fn optional(bytes: Option<impl Into<Bytes>>) -> Self {
        bytes.map_or(Self::Nil, |bytes| Self::Bulk(bytes.into()))
    }

    /// A status line.
    pub fn simple(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Simple(text.into())
    }

    /// An error; `text` opens with its code, as in `ERR syntax error`.
    pub fn error(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Error(text.into())
    }

    /// The size of something in memory; sizes beyond `i64` saturate.
    pub fn count(count: usize) -> Self {
        Self::Integer(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// The integer 1 or 0, as SISMEMBER or EXPIRE answer in both protocols.
    /// [`Reply::Boolean`] is RESP3's own type, which few commands use.
    pub fn flag(flag: bool) -> Self {
        Self::Integer(i64::from(flag))
    }

    /// An array of anything.
    pub fn array(elements: impl IntoIterator<Item = Reply>) -> Self {
        Self::Array(elements.into_iter().collect())
    }

    /// A double, or nil where there is none (ZSCORE).
    pub fn optional_double(number: Option<f64>) -> Self {
        number.map_or(Self::Nil, Self::Double)
    }

    /// Verbatim plain text (INFO, CLIENT LIST, LATENCY DOCTOR).
    pub fn verbatim(text: impl Into<Bytes>) -> Self {
        Self::Verbatim { format: VerbatimFormat::Text, text: text.into() }
    }

    /// A map whose keys are names known at compile time.
    pub fn named(entries: impl IntoIterator<Item = (&'static str, Reply)>) -> Self {
        Self::Map(entries.into_iter().map(|(name, value)| (Self::Static(name), value)).collect())
    }

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// The code an error opens with, such as `WRONGTYPE`; none for other replies.
    pub fn error_code(&self) -> Option<&str> {
        match self {
            Self::Error(text) => text.split(' ').next(),
            _ => None,
        }
    }
}

impl From<i64> for Reply {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Bytes> for Reply {
    fn from(bytes: Bytes) -> Self {
        Self::Bulk(bytes)
    }
}

impl From<Vec<Bytes>> for Reply {
    fn from(bulks: Vec<Bytes>) -> Self {
        Self::Bulks(bulks)
    }
}

impl From<Vec<Reply>> for Reply {
    fn from(elements: Vec<Reply>) -> Self {
        Self::Array(elements)
    }
}

impl From<ClientError> for Reply {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Text(text) => Self::Error(text),
            other => Self::Error(other.to_string().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_stays_small() {
        // Replies travel by value through every layer; a bulk string's four
        // words plus the tag are the floor.
        assert!(size_of::<Reply>() <= 40, "{}", size_of::<Reply>());
    }

    #[test]
    fn an_error_has_a_code() {
        assert_eq!(Reply::from(ClientError::WrongType).error_code(), Some("WRONGTYPE"));
        assert_eq!(Reply::error("ERR syntax error").error_code(), Some("ERR"));
        assert_eq!(Reply::Ok.error_code(), None);
    }

    #[test]
    fn absence_is_nil() {
        assert_eq!(Reply::optional(None::<Bytes>), Reply::Nil);
        assert_eq!(Reply::optional(Some("a")), Reply::Bulk("a".into()));
        assert_eq!(Reply::optional_double(None), Reply::Nil);
    }
}
