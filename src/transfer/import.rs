//! Pieces to a value, through the verbs of its type, so that layouts and encodings come out
//! as if a client had made it.

use bytes::Bytes;

use super::streams;
use crate::base::{Error, Result};
use crate::config::Settings;
use crate::encoding::piece::{Head, Piece};
use crate::keyspace::{Encoding, Key, Record, Tx, Type};
use crate::types::hash::{self, Condition, Hash};
use crate::types::list::{self, End, List};
use crate::types::set::{self, Set};
use crate::types::stream::NodeLimits;
use crate::types::string::{self, StringValue};
use crate::types::zset::{self, Rules, Written, ZSet};

/// Elements and bytes that are gathered before they are written.
const BATCH_PIECES: usize = 1024;
const BATCH_BYTES: usize = 1 << 20;

/// Up to where OBJECT ENCODING says what, for all types.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    list: list::Limits,
    set: set::Limits,
    hash: hash::Limits,
    stream: NodeLimits,
    zset: zset::Limits,
}

impl Limits {
    /// As these settings have them.
    pub fn of(settings: &Settings) -> Self {
        Self {
            list: list::Limits::of(settings.list_max_listpack_size),
            set: set::Limits {
                intset_entries: settings.set_max_intset_entries,
                listpack_entries: settings.set_max_listpack_entries,
                listpack_value_bytes: settings.set_max_listpack_value,
            },
            hash: hash::Limits {
                entries: settings.hash_max_listpack_entries,
                value_bytes: settings.hash_max_listpack_value,
            },
            stream: NodeLimits {
                bytes: settings.stream_node_max_bytes as u64,
                entries: settings.stream_node_max_entries,
            },
            zset: zset::Limits {
                listpack_entries: settings.zset_max_listpack_entries,
                listpack_value_bytes: settings.zset_max_listpack_value,
            },
        }
    }
}

/// What a value does not hold that its format promises: an element twice, say.
pub(super) fn bad_data() -> Error {
    Error::client("ERR Bad data format")
}

/// A value being made from its pieces.
pub struct Builder {
    head: Head,
    limits: Limits,
    gathered: Vec<Piece>,
    gathered_bytes: usize,
}

impl Builder {
    /// Begins with a head.
    pub fn new(head: Head, limits: Limits) -> Self {
        Self { head, limits, gathered: Vec::new(), gathered_bytes: 0 }
    }

    /// What it began with.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How many bytes were gathered and not written.
    pub fn gathered_bytes(&self) -> usize {
        self.gathered_bytes
    }

    /// Takes the next piece, in memory only.
    pub fn gather(&mut self, piece: Piece) {
        self.gathered_bytes += bytes_of(&piece);
        self.gathered.push(piece);
    }

    /// Whether so much was gathered that it should be written.
    pub fn is_full(&self) -> bool {
        self.gathered.len() >= BATCH_PIECES || self.gathered_bytes >= BATCH_BYTES
    }

    /// Writes what was gathered to a key that holds nothing but what was written before.
    ///
    /// # Errors
    /// When pieces and type do not fit, an element stands twice, or the engine fails.
    pub fn write(&mut self, tx: &mut Tx, key: &Key) -> Result<()> {
        let pieces = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        if pieces.is_empty() {
            return Ok(());
        }
        match self.head.kind {
            Type::String => write_string(tx, key, pieces),
            Type::List => write_list(tx, key, &pieces, self.limits.list),
            Type::Set => write_set(tx, key, &pieces, self.limits.set),
            Type::Hash => write_hash(tx, key, &pieces, self.limits.hash),
            Type::SortedSet => write_zset(tx, key, &pieces, self.limits.zset),
            Type::Stream => streams::write(tx, key, &pieces, self.limits.stream),
        }
    }

    /// Writes the rest and the deadline; says whether the key is there, which a value without
    /// elements is not.
    ///
    /// # Errors
    /// As [`Builder::write`].
    pub fn finish(mut self, tx: &mut Tx, key: &Key) -> Result<bool> {
        if self.head.kind == Type::String && self.head.count == 0 {
            string::overwrite(tx, key, b"", Encoding::ByContent, self.head.expire_at_ms)?;
            return Ok(true);
        }
        self.write(tx, key)?;
        let Some(record) = tx.record(key)? else { return Ok(false) };
        if self.head.expire_at_ms != record.expire_at_ms {
            tx.put_record(key, &Record { expire_at_ms: self.head.expire_at_ms, ..record })?;
        }
        Ok(true)
    }
}

/// About how much memory a piece takes.
fn bytes_of(piece: &Piece) -> usize {
    const EACH: usize = 64;
    EACH + match piece {
        Piece::Bytes(text) | Piece::Item(text) | Piece::Member(text) | Piece::Library(text) => text.len(),
        Piece::Field { name, value, .. } => name.len() + value.len(),
        Piece::Scored { member, .. } => member.len(),
        Piece::Entry { fields, .. } => fields.iter().map(|(name, value)| EACH + name.len() + value.len()).sum(),
        Piece::Group(group) => EACH * (group.pending.len() + group.consumers.len()),
        Piece::Database(_) | Piece::Key(_) | Piece::State(_) | Piece::End => 0,
    }
}

fn write_string(tx: &mut Tx, key: &Key, pieces: Vec<Piece>) -> Result<()> {
    let chunks = pieces.into_iter().map(|piece| match piece {
        Piece::Bytes(bytes) => Ok(bytes),
        _ => Err(bad_data()),
    });
    let chunks: Vec<Bytes> = chunks.collect::<Result<_>>()?;
    let is_new = tx.record(key)?.is_none();
    match &chunks[..] {
        [whole] if is_new => string::overwrite(tx, key, whole, Encoding::ByContent, None),
        chunks => tx.edit(key, |value: &mut StringValue, tx| {
            for chunk in chunks {
                value.append(tx, chunk, string::MAX_LENGTH)?;
            }
            Ok(())
        }),
    }
}

fn write_list(tx: &mut Tx, key: &Key, pieces: &[Piece], limits: list::Limits) -> Result<()> {
    let items = pieces.iter().map(|piece| match piece {
        Piece::Item(item) => Ok(&item[..]),
        _ => Err(bad_data()),
    });
    let items: Vec<&[u8]> = items.collect::<Result<_>>()?;
    tx.edit(key, |list: &mut List, tx| list.push(tx, End::Right, &items, limits))
}

fn write_set(tx: &mut Tx, key: &Key, pieces: &[Piece], limits: set::Limits) -> Result<()> {
    let members = pieces.iter().map(|piece| match piece {
        Piece::Member(member) => Ok(&member[..]),
        _ => Err(bad_data()),
    });
    let members: Vec<&[u8]> = members.collect::<Result<_>>()?;
    let added = tx.edit(key, |set: &mut Set, tx| set.insert_many(tx, &members, limits))?;
    if added == members.len() as u64 { Ok(()) } else { Err(bad_data()) }
}

fn write_zset(tx: &mut Tx, key: &Key, pieces: &[Piece], limits: zset::Limits) -> Result<()> {
    let elements = pieces.iter().map(|piece| match piece {
        Piece::Scored { member, score } => Ok((*score, &member[..])),
        _ => Err(bad_data()),
    });
    let elements: Vec<(f64, &[u8])> = elements.collect::<Result<_>>()?;
    let written = tx.edit(key, |zset: &mut ZSet, tx| zset.write(tx, &elements, Rules::default(), limits))?;
    if written.iter().all(|written| matches!(written, Written::Added(_))) { Ok(()) } else { Err(bad_data()) }
}

fn write_hash(tx: &mut Tx, key: &Key, pieces: &[Piece], limits: hash::Limits) -> Result<()> {
    let mut pairs: Vec<&[u8]> = Vec::with_capacity(2 * pieces.len());
    let mut deadlines = Vec::new();
    for piece in pieces {
        let Piece::Field { name, value, expire_at_ms } = piece else { return Err(bad_data()) };
        pairs.extend([&name[..], &value[..]]);
        deadlines.extend(expire_at_ms.map(|deadline_ms| (name, deadline_ms)));
    }
    let added = Hash::edit(tx, key, |hash, tx| {
        let added = hash.set_many(tx, &pairs, limits)?;
        for (name, deadline_ms) in deadlines {
            hash.expire(tx, name, deadline_ms, Condition::Always)?;
        }
        Ok(added)
    })?;
    if added == pieces.len() as u64 { Ok(()) } else { Err(bad_data()) }
}
