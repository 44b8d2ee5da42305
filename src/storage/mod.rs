//! The storage layer: bytes by key in a few ordered families, and nothing about what a
//! key means.
//!
//! - [`Engine`]: what the layers above may ask of a store. `rocks/` is its RocksDB
//!   implementation and the only place that names rocksdb; `writeback/` puts a write-ahead log and a
//!   table of dirty entries in front of it, which is what a server opens.
//! - `memory.rs`: an implementation without a disk, for tests of the layers above.
//! - `cache.rs`: the hot record cache in front of the engine.
//! - `pool.rs`: the I/O pool, where what would wait goes.
//! - `durability.rs`: when commits reach the disk, and one fsync for all who wait.
//! - `budget.rs`: how `maxmemory` is split among caches and buffers.
//! - `salvage.rs`: a database of what can be read of another.
//! - `format.rs`: the version guard; `lock.rs`: one process a directory.
//!
//! Reads say how far they may go ([`Tier`]): on a network thread only what is in memory,
//! and a miss comes back as [`Error::NotInMemory`](crate::base::Error::NotInMemory).

pub mod budget;
pub mod cache;
pub mod durability;
pub mod format;
pub mod lock;
pub mod memory;
pub mod pool;
mod rocks;
mod salvage;
mod writeback;

use bytes::Bytes;
use std::sync::Arc;

use crate::base::Result;

pub use rocks::{LOST, OpenOptions, RESTORING_MARK, Recovery, damaged_files, relist};
pub use salvage::{Gap, keep_readable, resume_repair};
pub use writeback::{LogDamage, log_damage, open};

/// The column families. Their names are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Family {
    /// One record a key.
    Keys,
    /// Which keys own a large object: the directory that reclaiming and blind writes consult.
    Objects,
    /// Elements of large objects.
    Data,
    /// Sorted-set score order of large sorted sets.
    Scores,
    /// Time-ordered index of expiring keys.
    Expiry,
    /// Named facts about the database itself.
    System,
}

impl Family {
    /// All, in the order of their discriminants.
    pub const ALL: [Self; 6] = [Self::Keys, Self::Objects, Self::Data, Self::Scores, Self::Expiry, Self::System];

    /// The name on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Objects => "objects",
            Self::Data => "data",
            Self::Scores => "scores",
            Self::Expiry => "expiry",
            Self::System => "system",
        }
    }
}

/// How far a read may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tier {
    /// Memtables and block cache only; a miss is `Error::NotInMemory`. For network threads.
    Memory,
    /// Down to the disk. For the I/O pool, background tasks and offline commands.
    Disk,
}

/// Where in time and how far down a read looks.
#[derive(Clone)]
pub struct View {
    pub tier: Tier,
    /// `None` reads the newest state, each read by itself.
    pub snapshot: Option<Arc<dyn Snapshot>>,
    /// Whether blocks read from disk enter the block cache; off for whole-database walks.
    pub fill_cache: bool,
    /// Read-ahead of a scan, in bytes; 0 leaves it to the engine.
    pub readahead_bytes: usize,
}

impl View {
    /// The newest state, as far as the tier goes.
    pub const fn latest(tier: Tier) -> Self {
        Self { tier, snapshot: None, fill_cache: true, readahead_bytes: 0 }
    }
}

/// A frozen state of the whole store; dropping it lets go. Holds the engine alive.
pub trait Snapshot: Send + Sync {
    /// The engine's own type behind it.
    fn as_any(&self) -> &dyn std::any::Any;
    /// The sequence number of the last write that is visible.
    fn sequence(&self) -> u64;
}

/// A half-open range of keys in byte order; `None` is unbounded.
#[derive(Debug, Clone, Default)]
pub struct KeyRange {
    pub from: Option<Bytes>,
    pub to: Option<Bytes>,
}

impl KeyRange {
    /// Every key that starts with the prefix.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { from: Some(Bytes::copy_from_slice(prefix)), to: after_prefix(prefix).map(Bytes::from) }
    }
}

/// The first key behind every key that starts with `prefix`; `None` when there is none.
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Walks a range of one family in either direction, over the state at its creation.
///
/// A new cursor stands nowhere: call a `seek` first. Keys outside the range are never shown.
pub trait Cursor: Send {
    /// To the first key at or behind `key`.
    fn seek(&mut self, key: &[u8]) -> Result<()>;
    /// To the last key at or before `key`.
    fn seek_for_prev(&mut self, key: &[u8]) -> Result<()>;
    /// To the first key of the range.
    fn seek_to_first(&mut self) -> Result<()>;
    /// To the last key of the range.
    fn seek_to_last(&mut self) -> Result<()>;
    /// One key onward. Only while [`Cursor::entry`] shows one.
    fn next(&mut self) -> Result<()>;
    /// One key back. Only while [`Cursor::entry`] shows one.
    fn prev(&mut self) -> Result<()>;
    /// Key and value where the cursor stands; `None` at either end.
    fn entry(&self) -> Option<(&[u8], &[u8])>;
}

/// One change in a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Put {
        family: Family,
        key: Bytes,
        value: Bytes,
    },
    Delete {
        family: Family,
        key: Bytes,
    },
    /// Every key of `from..to`.
    DeleteRange {
        family: Family,
        from: Bytes,
        to: Bytes,
    },
}

/// What a commit promises when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Handed to the kernel: survives a killed process.
    Kernel,
    /// On the disk: survives a power cut.
    Synced,
}

/// How a batch is committed.
#[derive(Debug, Clone, Copy)]
pub struct CommitOptions {
    /// Whether it may wait for a stalled store; if not, a stall is `Error::WouldStall` and
    /// nothing was written.
    pub may_wait: bool,
    pub durability: Durability,
}

/// How thoroughly space is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compaction {
    /// Drop the files that lie wholly inside the range. Cheap.
    DropFiles,
    /// Rewrite what overlaps the range.
    Rewrite,
}

/// What the engine says about itself, for INFO, metrics and background decisions.
#[derive(Debug, Clone, Default)]
pub struct EngineFigures {
    /// Bytes of table files that are live.
    pub live_bytes: u64,
    /// Bytes of all memtables, and of what waits to get there.
    pub memtable_bytes: u64,
    /// Bytes of what is written and not in a memtable yet.
    pub dirty_bytes: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes in use and capacity of the block cache.
    pub block_cache_bytes: u64,
    pub block_cache_capacity_bytes: u64,
    /// Bytes held by table readers outside the block cache.
    pub table_reader_bytes: u64,
    /// Bytes awaiting compaction.
    pub pending_compaction_bytes: u64,
    pub running_compactions: u64,
    pub running_flushes: u64,
    /// Whether writes are stopped, and the delayed write rate (0: not delayed).
    pub writes_stopped: bool,
    pub delayed_write_rate: u64,
    pub background_errors: u64,
    /// By level: files and bytes, for each family in the order of [`Family::ALL`].
    pub family_levels: [Vec<(u64, u64)>; 6],
    /// Keys as the engine guesses them, by family in the order of [`Family::ALL`].
    pub estimated_keys: [u64; 6],
    /// Tickers worth showing, by name.
    pub tickers: Vec<(&'static str, u64)>,
}

impl EngineFigures {
    /// By level: files and bytes, all families together. As many levels as the deepest family has.
    pub fn levels(&self) -> Vec<(u64, u64)> {
        let mut all: Vec<(u64, u64)> = Vec::new();
        for (level, (files, bytes)) in self.family_levels.iter().flat_map(|levels| levels.iter().enumerate()) {
            if all.len() <= level {
                all.resize(level + 1, (0, 0));
            }
            all[level].0 += files;
            all[level].1 += bytes;
        }
        all
    }

    /// What a ticker stands at; 0 where the engine has none of that name.
    pub fn ticker(&self, name: &str) -> u64 {
        self.tickers.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count)
    }
}

/// An ordered, transactional byte store.
pub trait Engine: Send + Sync {
    /// The value of one key.
    fn get(&self, family: Family, key: &[u8], view: &View) -> Result<Option<Bytes>>;
    /// The values of several keys, in their order. In [`Tier::Disk`] reads run in parallel where
    /// the engine can; in [`Tier::Memory`] one miss fails the whole call.
    fn multi_get(&self, family: Family, keys: &[&[u8]], view: &View) -> Result<Vec<Option<Bytes>>>;
    /// As [`Engine::multi_get`], for keys in ascending order between which hardly any others lie: it may walk
    /// from the first to the last.
    fn get_run(&self, family: Family, keys: &[&[u8]], view: &View) -> Result<Vec<Option<Bytes>>> {
        self.multi_get(family, keys, view)
    }
    /// A cursor over a range. It keeps the engine alive.
    fn cursor(&self, family: Family, range: KeyRange, view: &View) -> Result<Box<dyn Cursor>>;
    /// The newest state, frozen.
    fn snapshot(&self) -> Arc<dyn Snapshot>;
    /// Applies all changes or none.
    fn commit(&self, changes: Vec<Change>, options: CommitOptions) -> Result<()>;
    /// The sequence number of the last commit that readers see; every commit raises it.
    fn latest_sequence(&self) -> u64;
    /// Makes everything committed so far survive a power cut. After a failure the store
    /// refuses every later write until it is opened again: what an fsync could not write may
    /// be gone from memory as well.
    fn sync(&self) -> Result<()>;
    /// Writes memtables out.
    fn flush(&self) -> Result<()>;
    /// Reads every block of every table file and compares it with its checksum.
    fn verify(&self) -> Result<()>;
    /// Gives back the space of deleted keys in a range.
    fn compact(&self, family: Family, range: &KeyRange, how: Compaction) -> Result<()>;
    /// About how many bytes of table files lie in the range.
    fn approximate_bytes(&self, family: Family, range: &KeyRange) -> Result<u64>;
    /// A consistent copy by hard links in a new folder.
    fn checkpoint(&self, folder: &std::path::Path) -> Result<()>;
    /// Splits a new memory budget among the engine's parts.
    fn set_budget(&self, budget: &budget::EngineBudget) -> Result<()>;
    fn figures(&self) -> EngineFigures;
    /// The engine's own report, for DEBUG and INFO rocksdb: property name to text.
    fn report(&self, property: &str) -> Option<String>;
    /// Makes everything committed survive a power cut, refuses later writes and stops background
    /// work. The directory may be opened again once the engine and all its cursors and
    /// snapshots are dropped.
    fn close(&self) -> Result<()>;
}
