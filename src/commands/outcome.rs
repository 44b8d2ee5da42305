//! What a handler gives back: nearly always a reply.

use bytes::Bytes;

use super::blocking::Wait;
use super::replication::FullSync;
use crate::resp::Reply;
use crate::scripting::Wire;

/// How a command ended.
#[derive(Debug)]
pub enum Outcome {
    /// The reply; the usual case.
    Reply(Reply),
    /// Nothing to give yet: run the same handler again when one of these keys changes.
    Wait(Wait),
    /// The reply, and then the connection closes.
    Close(Reply),
    /// A script is to be debugged: run the same handler again, on a thread at the other end of the wire.
    Debug(Wire),
    /// The reply, and then a copy of everything goes out (SYNC).
    FullSync(Reply, Box<FullSync>),
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Outcome {
    /// `+OK`.
    pub fn ok() -> Self {
        Reply::Ok.into()
    }

    /// An integer.
    pub fn integer(number: impl Into<i64>) -> Self {
        Reply::Integer(number.into()).into()
    }

    /// A number of things.
    pub fn count(count: usize) -> Self {
        Reply::count(count).into()
    }

    /// 1 or 0.
    pub fn flag(flag: bool) -> Self {
        Reply::Integer(i64::from(flag)).into()
    }

    /// A bulk string.
    pub fn bulk(bytes: impl Into<Bytes>) -> Self {
        Reply::bulk(bytes).into()
    }

    /// A bulk string, or the absence of one.
    pub fn optional(bytes: Option<Bytes>) -> Self {
        bytes.map_or(Reply::Nil, Reply::Bulk).into()
    }

    /// The absence of a value.
    pub fn nil() -> Self {
        Reply::Nil.into()
    }
}
