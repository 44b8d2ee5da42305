//! Ids as clients write them, and entries as they are answered.

use std::borrow::Cow;

use crate::base::{Error, Result};
use crate::resp::Reply;
use crate::types::stream::{Entry, Id, Walk};

/// As many entries as there are.
pub(super) const NO_COUNT: u64 = u64::MAX;

fn invalid() -> Error {
    Error::client("ERR Invalid stream ID specified as stream command argument")
}

/// An id; one without a number means `0`.
pub(super) fn exact(text: &[u8]) -> Result<Id> {
    Id::parse(text, 0).ok_or_else(invalid)
}

/// An id, or `-` and `+` for the first and the last there can be.
pub(super) fn loose(text: &[u8], missing_seq: u64) -> Result<Id> {
    match text {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        text => Id::parse(text, missing_seq).ok_or_else(invalid),
    }
}

/// The id of an entry to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewId {
    /// `*`
    Automatic,
    /// `5-*`: the next number within a millisecond.
    Within(u64),
    Given(Id),
}

pub(super) fn new(text: &[u8]) -> Result<NewId> {
    match Id::parse_open(text) {
        Some(ms) => Ok(NewId::Within(ms)),
        None => exact(text).map(NewId::Given),
    }
}

/// The beginning of a range; `(` in front leaves the id itself out.
pub(super) fn start(text: &[u8]) -> Result<Id> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => {
            exact(id)?.next().ok_or_else(|| Error::client("ERR invalid start ID for the interval"))
        }
        id => loose(id, 0),
    }
}

/// The end of a range.
pub(super) fn end(text: &[u8]) -> Result<Id> {
    match text {
        [b'(', id @ ..] if !id.is_empty() => {
            let id = Id::parse(id, u64::MAX).ok_or_else(invalid)?;
            id.previous().ok_or_else(|| Error::client("ERR invalid end ID for the interval"))
        }
        id => loose(id, u64::MAX),
    }
}

/// An id as a reply.
pub(super) fn reply(id: Id) -> Reply {
    Reply::Bulk(id.text())
}

/// An entry as a reply: its id, its fields and values.
pub(super) fn entry_reply(entry: &Entry) -> Result<Reply> {
    Ok(Reply::Array(vec![reply(entry.id), Reply::Bulks(entry.pairs()?)]))
}

/// Up to `count` entries of a walk.
pub(super) fn entries(mut walk: Walk, count: u64) -> Result<Vec<Reply>> {
    let mut replies = Vec::new();
    while (replies.len() as u64) < count
        && let Some(entry) = walk.next()?
    {
        replies.push(entry_reply(&entry)?);
    }
    Ok(replies)
}

/// A name in an error, up to its first zero byte, as Redis shows it.
pub(super) fn shown(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default())
}

/// The error for a group that is not there; `place` is what stands behind it.
pub(super) fn no_group(key: &[u8], group: &[u8], place: &str) -> Error {
    let (key, group) = (shown(key), shown(group));
    Error::client(format!("NOGROUP No such key '{key}' or consumer group '{group}'{place}"))
}

/// The same where the key is known to be there.
pub(super) fn no_such_group(key: &[u8], group: &[u8]) -> Error {
    let (key, group) = (shown(key), shown(group));
    Error::client(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

/// The error for options that a subcommand does not know.
pub(super) fn bad_subcommand(container: &str, subcommand: &[u8]) -> Error {
    let subcommand: String = shown(subcommand).chars().take(128).collect();
    Error::client(format!(
        "ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try {container} HELP."
    ))
}
