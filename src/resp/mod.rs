//! The Redis serialization protocol, both versions, without I/O: bytes of a
//! connection's read buffer to requests, replies to bytes of its write buffer.
//!
//! | file | owns |
//! | --- | --- |
//! | `request` | the incremental, zero-copy parser of requests and its limits |
//! | `reply` | what a command answers, in RESP3's terms |
//! | `push` | what is sent that is no reply |
//! | `write` | replies to bytes, downgraded for RESP2 |
//! | `parse` | bytes to replies: tests, tools, a replica's link |
//! | `error` | the ways to break the protocol, in Redis' words |
//!
//! A request's flow: the connection loop reads bytes, a [`RequestParser`] finds
//! the arguments in them, a command turns those into a [`Reply`], and [`write()`]
//! puts it on the wire as the session's [`Protocol`] wants it. Nothing here
//! knows a socket, a command's name or a session.

pub mod error;
pub mod parse;
pub mod push;
pub mod reply;
pub mod request;
pub mod write;

pub use error::{ProtocolError, ReplyError};
pub use parse::parse_reply;
pub use push::Push;
pub use reply::{Attributed, Reply, VerbatimFormat};
pub use request::{Limits, Parsed, RequestParser, Span};
pub use write::{Output, encode_command, write, write_command};

/// The protocol version a session speaks; HELLO changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP2, what every connection starts with.
    #[default]
    Resp2,
    /// RESP3, which has maps, sets, doubles, booleans and pushes of its own.
    Resp3,
}

impl Protocol {
    /// The version of a number as HELLO takes it: 2 or 3.
    pub fn of_version(version: i64) -> Option<Self> {
        match version {
            2 => Some(Self::Resp2),
            3 => Some(Self::Resp3),
            _ => None,
        }
    }

    /// The number that HELLO and CLIENT LIST report: 2 or 3.
    pub fn version(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}
