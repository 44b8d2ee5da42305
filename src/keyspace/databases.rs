//! Logical databases: which keyspace each of them shows now. FLUSHDB gives a database a
//! new keyspace and SWAPDB exchanges two, so both are O(1) whatever the size.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use crate::base::{Error, Result};
use crate::encoding::key::{KeyspaceId, split_record_key, system};
use crate::storage::{Change, Engine, Family, KeyRange, Tier, View};

/// How many a server has unless it is told otherwise.
const DEFAULT_DATABASES: u32 = 16;

/// The number of a logical database, as SELECT takes it.
pub type DatabaseIndex = u32;

/// The keyspace of each database, readable without a lock.
pub struct Databases {
    current: Box<[AtomicU32]>,
    next: AtomicU32,
}

impl Databases {
    /// Reads the map from `system`; databases beyond those stored get keyspaces of their own.
    ///
    /// # Errors
    /// When the engine fails or the stored map has no whole number of entries.
    pub fn load(engine: &dyn Engine, count: u32, view: &View) -> Result<Self> {
        let stored = engine.get(Family::System, system::DATABASES, view)?.unwrap_or_default();
        let (entries, rest) = stored.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(damaged(system::DATABASES, "the map of databases has a broken entry"));
        }
        let mut known: Vec<u32> = entries.iter().map(|entry| u32::from_be_bytes(*entry)).collect();
        let mut next = next_keyspace(engine, view)?.max(known.iter().max().map_or(0, |last| last.saturating_add(1)));
        while known.len() < count as usize {
            known.push(next);
            next = next.saturating_add(1);
        }
        Ok(Self { current: known.into_iter().map(AtomicU32::new).collect(), next: AtomicU32::new(next) })
    }

    /// How many databases there must be at least for every stored key to be in one; no fewer than
    /// a server has by default. For offline use, where no configuration says it.
    ///
    /// # Errors
    /// As [`Databases::load`].
    pub fn stored(engine: &dyn Engine) -> Result<u32> {
        let view = View::latest(Tier::Disk);
        let known = Self::load(engine, DEFAULT_DATABASES, &view)?;
        let mut cursor = engine.cursor(Family::Keys, KeyRange::default(), &view)?;
        match cursor.seek_to_last() {
            // Whoever reads those keys is told.
            Err(Error::Corruption { .. }) => return Ok(known.count()),
            sought => sought?,
        }
        let last = cursor.entry().and_then(|(key, _)| split_record_key(key)).map(|(keyspace, _)| keyspace.0);
        let next = known.next.load(Ordering::Relaxed);
        Ok(known.count() + last.map_or(0, |last| last.saturating_add(1).saturating_sub(next)))
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.current.len() as u32
    }

    /// The keyspace that a database shows.
    pub fn keyspace(&self, db: DatabaseIndex) -> Option<KeyspaceId> {
        self.current.get(db as usize).map(|id| KeyspaceId(id.load(Ordering::Acquire)))
    }

    /// All of them, in order.
    pub fn snapshot(&self) -> Vec<KeyspaceId> {
        self.current.iter().map(|id| KeyspaceId(id.load(Ordering::Acquire))).collect()
    }

    /// A keyspace id that was never used.
    pub fn allot(&self) -> KeyspaceId {
        KeyspaceId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes a committed map current. Only under the exclusive lock.
    pub fn publish(&self, map: &[KeyspaceId]) {
        for (slot, id) in self.current.iter().zip(map) {
            slot.store(id.0, Ordering::Release);
        }
    }

    /// The changes that make a map permanent.
    pub fn changes(&self, map: &[KeyspaceId]) -> [Change; 2] {
        let bytes: Vec<u8> = map.iter().flat_map(|id| id.0.to_be_bytes()).collect();
        let next = self.next.load(Ordering::Relaxed).to_be_bytes();
        [
            Change::Put { family: Family::System, key: Bytes::from_static(system::DATABASES), value: bytes.into() },
            Change::Put {
                family: Family::System,
                key: Bytes::from_static(system::NEXT_KEYSPACE),
                value: Bytes::copy_from_slice(&next),
            },
        ]
    }
}

fn next_keyspace(engine: &dyn Engine, view: &View) -> Result<u32> {
    match engine.get(Family::System, system::NEXT_KEYSPACE, view)? {
        None => Ok(0),
        Some(bytes) => match <[u8; 4]>::try_from(&bytes[..]) {
            Ok(number) => Ok(u32::from_be_bytes(number)),
            Err(_) => Err(damaged(system::NEXT_KEYSPACE, "is not four bytes")),
        },
    }
}

/// A system entry that is not what was written.
pub(super) fn damaged(name: &[u8], what: &str) -> Error {
    Error::Corruption { family: Family::System.name(), key: name.to_vec(), what: what.into() }
}
