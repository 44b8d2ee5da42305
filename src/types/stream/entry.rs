//! One entry as a part: where it lies and what it says.
//!
//! ```text
//! 'e' ms u64 BE seq u64 BE → number of its node varint · field, value …
//! each of them: length varint · bytes
//! ```

use bytes::{Bytes, BytesMut};

use super::id::Id;
use crate::base::{Error, Result};
use crate::encoding::varint::{put_prefixed, put_varint, take_prefixed, take_varint};
use crate::keyspace::{Scan, Tx};
use crate::storage::Family;

pub(super) const ENTRIES: u8 = b'e';

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: Id,
    /// The number of its node.
    pub(super) node: u64,
    packed: Bytes,
}

/// The part of an entry.
pub(super) fn part(id: Id) -> [u8; 17] {
    let mut part = [ENTRIES; 17];
    if let Some(key) = part.last_chunk_mut::<16>() {
        *key = id.key();
    }
    part
}

/// The part right behind an entry's.
pub(super) fn part_behind(id: Id) -> Vec<u8> {
    id.next().map_or_else(|| vec![ENTRIES + 1], |next| part(next).to_vec())
}

/// The value of an entry's part.
pub(super) fn pack(node: u64, pairs: &[&[u8]]) -> Bytes {
    let bytes: usize = pairs.iter().map(|string| string.len() + 2).sum();
    let mut packed = BytesMut::with_capacity(bytes + 8);
    put_varint(&mut packed, node);
    pairs.iter().for_each(|string| put_prefixed(&mut packed, string));
    packed.freeze()
}

impl Entry {
    pub(super) fn load(id: Id, value: Bytes) -> Result<Self> {
        let mut rest = &value[..];
        let node = take_varint(&mut rest).ok_or_else(|| damaged(&part(id), "an entry without a node"))?;
        let packed = value.slice_ref(rest);
        Ok(Self { id, node, packed })
    }

    /// Its fields and values in turn.
    ///
    /// # Errors
    /// Corruption.
    pub fn pairs(&self) -> Result<Vec<Bytes>> {
        let mut pairs = Vec::new();
        let mut rest = &self.packed[..];
        while !rest.is_empty() {
            let string = take_prefixed(&mut rest).ok_or_else(|| damaged(&part(self.id), "a field ends early"))?;
            pairs.push(self.packed.slice_ref(string));
        }
        Ok(pairs)
    }
}

/// A part of a stream is not what was written.
pub(super) fn damaged(part: &[u8], what: &str) -> Error {
    Error::Corruption { family: Family::Data.name(), key: part.to_vec(), what: what.to_owned() }
}

/// The id at the end of a part.
pub(super) fn id_of(part: &[u8]) -> Result<Id> {
    let key = part.last_chunk::<16>().ok_or_else(|| damaged(part, "a part without an id"))?;
    Ok(Id::of_key(*key))
}

/// Walks over entries, onward or back.
pub struct Walk {
    pub(super) scan: Option<Scan>,
    /// Entries that may still come.
    pub(super) left: u64,
}

impl Walk {
    /// The next entry.
    ///
    /// # Errors
    /// As [`Scan::next`].
    #[allow(clippy::should_implement_trait, reason = "fallible")]
    pub fn next(&mut self) -> Result<Option<Entry>> {
        let Some(scan) = self.scan.as_mut().filter(|_| self.left > 0) else { return Ok(None) };
        self.left -= 1;
        match scan.next()? {
            None => Ok(None),
            Some((part, value)) => Entry::load(id_of(&part)?, value).map(Some),
        }
    }
}

/// Whether work on so many elements is too much where nobody may wait.
pub(super) fn weigh(tx: &Tx, elements: u64) -> Result<()> {
    const NETWORK_THREAD_ELEMENTS: u64 = 1024;
    if elements > NETWORK_THREAD_ELEMENTS && tx.tier() == crate::storage::Tier::Memory {
        return Err(Error::NotInMemory);
    }
    Ok(())
}
