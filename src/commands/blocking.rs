//! What a blocking command waits for. Who waits, and in which order they are served, is
//! `waiters.rs`'s; here is only what a handler says.

use bytes::Bytes;

use crate::keyspace::DatabaseIndex;
use crate::resp::Reply;

/// A handler's wish to be run again when something changes.
#[derive(Debug, Clone)]
pub struct Wait {
    /// A change of any of these is worth another run.
    pub keys: Vec<(DatabaseIndex, Bytes)>,
    /// When to give up, milliseconds since the epoch; `None` waits for ever.
    pub until_ms: Option<u64>,
    /// The reply of giving up.
    pub on_timeout: Reply,
}
