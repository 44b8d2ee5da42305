//! A value to pieces, read a part at a time.

use bytes::Bytes;

use super::streams;
use crate::base::{Error, Result};
use crate::encoding::piece::{CHUNK_BYTES, Head, Piece};
use crate::keyspace::{Direction, Key, Kind, Record, Tx, Type};
use crate::storage::Family;
use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::set::Set;
use crate::types::string::StringValue;
use crate::types::zset::ZSet;

/// Elements of a list that are read at a time.
const LIST_STRETCH: u64 = 256;

/// Shows a key with its value: head, pieces, end. A hash of which every field has lapsed is not
/// shown at all. Says whether anything was.
///
/// # Errors
/// As [`Tx::scan`], corruption, and what `show` fails with.
pub fn export<E: From<Error>>(
    tx: &mut Tx,
    key: &Key,
    record: Record,
    show: &mut impl FnMut(Piece) -> Result<(), E>,
) -> Result<bool, E> {
    let head = Head {
        name: Bytes::copy_from_slice(key.user_key()),
        expire_at_ms: record.expire_at_ms,
        ..Head::of(record.kind, 0)
    };
    let shown = match record.kind {
        Type::String => string(tx, load(key, record)?, head, show)?,
        Type::List => list(tx, &load(key, record)?, head, show)?,
        Type::Set => set(tx, &load(key, record)?, head, show)?,
        Type::Hash => {
            let head = Head { timed: record.element_deadline_ms().is_some(), ..head };
            hash(tx, load(key, record)?, head, show)?
        }
        Type::SortedSet => zset(tx, &load(key, record)?, head, show)?,
        Type::Stream => streams::export(tx, &load(key, record)?, head, show)?,
    };
    if shown {
        show(Piece::End)?;
    }
    Ok(shown)
}

fn load<K: Kind>(key: &Key, record: Record) -> Result<K> {
    K::load(record.encoding, record.body).map_err(|what| Error::Corruption {
        family: Family::Keys.name(),
        key: key.stored().to_vec(),
        what,
    })
}

fn string<E: From<Error>>(
    tx: &mut Tx,
    value: StringValue,
    head: Head,
    show: &mut impl FnMut(Piece) -> Result<(), E>,
) -> Result<bool, E> {
    let length = value.len();
    show(Piece::Key(Head { count: length, ..head }))?;
    let mut at = 0;
    while at < length {
        let end = length.min(at + CHUNK_BYTES as u64);
        show(Piece::Bytes(value.range(tx, at..end)?))?;
        at = end;
    }
    Ok(true)
}

fn list<E: From<Error>>(
    tx: &mut Tx,
    list: &List,
    head: Head,
    show: &mut impl FnMut(Piece) -> Result<(), E>,
) -> Result<bool, E> {
    let count = list.len();
    show(Piece::Key(Head { count, ..head }))?;
    let mut at = 0;
    while at < count {
        let end = count.min(at + LIST_STRETCH);
        for item in list.range(tx, at..end)? {
            show(Piece::Item(item))?;
        }
        at = end;
    }
    Ok(true)
}

fn set<E: From<Error>>(
    tx: &mut Tx,
    set: &Set,
    head: Head,
    show: &mut impl FnMut(Piece) -> Result<(), E>,
) -> Result<bool, E> {
    show(Piece::Key(Head { count: set.len(), ..head }))?;
    let mut walk = set.walk(tx)?;
    while let Some(member) = walk.next()? {
        show(Piece::Member(member))?;
    }
    Ok(true)
}

fn zset<E: From<Error>>(
    tx: &mut Tx,
    zset: &ZSet,
    head: Head,
    show: &mut impl FnMut(Piece) -> Result<(), E>,
) -> Result<bool, E> {
    show(Piece::Key(Head { count: zset.len(), ..head }))?;
    let mut walk = zset.walk(tx, 0, Direction::Forward)?;
    while let Some((member, score)) = walk.next(tx)? {
        show(Piece::Scored { member, score })?;
    }
    Ok(true)
}

fn hash<E: From<Error>>(
    tx: &mut Tx,
    hash: Hash,
    head: Head,
    show: &mut impl FnMut(Piece) -> Result<(), E>,
) -> Result<bool, E> {
    let hash = hash.as_of(tx.now_ms());
    let count = hash.len(tx)?;
    if count == 0 {
        return Ok(false);
    }
    let timed = head.timed;
    show(Piece::Key(Head { count, ..head }))?;
    let mut walk = hash.walk(tx)?;
    while let Some((name, value)) = walk.next()? {
        let expire_at_ms = if timed { hash.deadline(tx, &name)?.flatten() } else { None };
        show(Piece::Field { name, value, expire_at_ms })?;
    }
    Ok(true)
}
