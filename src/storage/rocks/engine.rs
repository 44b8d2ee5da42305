//! [`RocksEngine`]: the [`Engine`] trait over RocksDB. Point reads and commits are the paths
//! of every request: options are prepared, families resolved, and a thread's batch is kept.
//! `open.rs` makes one; `figures.rs` describes it.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rocksdb::{BottommostLevelCompaction, CompactOptions, FlushOptions, Range, checkpoint::Checkpoint};

use super::cursor::Cursor;
use super::ffi::{Batch, Database, Outcome, ReadOptions, WriteOptions};
use super::options::Tuning;
use super::snapshot::{PointReads, Snapshot};
use super::{failure, figures};
use crate::base::{Error, Result};
use crate::storage::budget::EngineBudget;
use crate::storage::lock::DirectoryLock;
use crate::storage::{
    self, Change, CommitOptions, Compaction, Durability, Engine, EngineFigures, Family, KeyRange, Tier, View,
};

/// A batch that has grown beyond this is not kept for the thread's next one.
const KEPT_BATCH_BYTES: usize = 256 << 10;

/// Fewer keys of a run are read one by one: an iterator costs some point reads before it shows anything.
const WALKED_KEYS: usize = 12;

/// Longer than any key that is stored, for "the end" where RocksDB wants a key.
const BEYOND_ALL_KEYS: [u8; 64] = [0xff; 64];

thread_local! {
    /// The batch of this thread, kept for its buffer.
    static BATCH: RefCell<Batch> = RefCell::new(Batch::new());
}

/// A store in RocksDB.
///
/// The database is closed, and its directory may be opened again, when the engine and all
/// its cursors and snapshots are gone.
pub struct RocksEngine {
    database: Arc<Database>,
    tuning: Tuning,
    reads: PointReads,
    writes: Writes,
    refusing: Refusal,
    /// Makes [`RocksEngine::apply`] fail.
    #[cfg(test)]
    pub refuses_unlogged: AtomicBool,
    /// How often it has.
    #[cfg(test)]
    pub refused_unlogged: std::sync::atomic::AtomicU64,
    /// Last, so that the directory is let go of behind the database.
    _lock: Option<DirectoryLock>,
}

/// Prepared write options: by whether a commit may wait, and for what is in another log.
struct Writes {
    waiting: WriteOptions,
    hasty: WriteOptions,
    unlogged: WriteOptions,
}

/// Whether writes are refused for good, and why.
///
/// After a failed fsync the kernel may have dropped the pages it could not write and report
/// success the next time, so trying again proves nothing. What was acknowledged since the
/// last good fsync may be lost; every later write is refused until the database is opened
/// again, which reads what really is on the disk.
#[derive(Default)]
struct Refusal {
    on: AtomicBool,
    why: Mutex<String>,
}

impl Refusal {
    fn set(&self, why: String) {
        let mut kept = self.why.lock();
        if !self.on.load(Ordering::Acquire) {
            *kept = why;
            self.on.store(true, Ordering::Release);
        }
    }

    fn check(&self) -> Result<()> {
        if self.on.load(Ordering::Acquire) {
            return Err(Error::Storage(self.why.lock().clone()));
        }
        Ok(())
    }
}

impl RocksEngine {
    pub(super) fn new(database: Arc<Database>, tuning: Tuning, lock: Option<DirectoryLock>) -> Self {
        Self {
            database,
            tuning,
            reads: PointReads::default(),
            writes: Writes {
                waiting: WriteOptions::new(true),
                hasty: WriteOptions::new(false),
                unlogged: WriteOptions::unlogged(),
            },
            refusing: Refusal::default(),
            #[cfg(test)]
            refuses_unlogged: AtomicBool::default(),
            #[cfg(test)]
            refused_unlogged: std::sync::atomic::AtomicU64::default(),
            _lock: lock,
        }
    }

    /// Applies changes without RocksDB's log: they are in another. Waits for as long as RocksDB wants.
    ///
    /// # Errors
    /// When RocksDB refuses writes; a batch is applied as a whole or not at all.
    pub fn apply(&self, changes: &[Change]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        #[cfg(test)]
        if self.refuses_unlogged.load(Ordering::Relaxed) {
            return Err(Error::Storage("refused by a test".into()));
        }
        let mut batch = Batch::new();
        fill(&mut batch, &self.database, changes);
        batch.write(&self.database, &self.writes.unlogged).map_err(failure::of_write)
    }

    /// The same for values of keys of one family; `None` deletes one.
    ///
    /// # Errors
    /// As [`RocksEngine::apply`].
    pub fn apply_points(&self, family: Family, points: &[(&Bytes, &Option<Bytes>)]) -> Result<()> {
        #[cfg(test)]
        if self.refuses_unlogged.load(Ordering::Relaxed) {
            self.refused_unlogged.fetch_add(1, Ordering::Relaxed);
            return Err(Error::Storage("refused by a test".into()));
        }
        let mut batch = Batch::new();
        for (key, value) in points {
            match value {
                Some(value) => batch.put(&self.database, family, key, value),
                None => batch.delete(&self.database, family, key),
            }
        }
        batch.write(&self.database, &self.writes.unlogged).map_err(failure::of_write)
    }

    /// Refuses writes for good after a failed fsync; hands the error on.
    fn poison(&self, text: String) -> Error {
        let why = format!(
            "an fsync failed ({text}): what was written since the last good one may be lost; \
             writes are refused until the database is opened again"
        );
        tracing::error!("{why}");
        self.refusing.set(why);
        Error::Storage(format!("cannot sync: {text}"))
    }

    /// The prepared options for point reads of a view.
    fn read_options<'a>(&'a self, view: &'a View) -> Result<&'a ReadOptions> {
        Ok(match Snapshot::of(view, &self.database)? {
            None => self.reads.of(view, None),
            Some(snapshot) => snapshot.reads(view),
        })
    }
}

#[cfg(test)]
impl RocksEngine {
    /// Provokes a stall of the `keys` family.
    pub(super) fn stop_writes_at_level0_files(&self, files: u32) {
        let db = self.database.db();
        let keys = db.cf_handle(Family::Keys.name()).unwrap();
        let files = files.to_string();
        let changes = [
            ("level0_file_num_compaction_trigger", "1000"), // No compaction comes to the rescue.
            ("level0_slowdown_writes_trigger", &files),
            ("level0_stop_writes_trigger", &files),
        ];
        db.set_options_cf(keys, &changes).unwrap();
    }
}

/// Puts the changes into a batch; empty ranges are nothing.
fn fill(batch: &mut Batch, database: &Database, changes: &[Change]) -> usize {
    batch.clear();
    let mut bytes = 0;
    for change in changes {
        match change {
            Change::Put { family, key, value } => {
                batch.put(database, *family, key, value);
                bytes += key.len() + value.len();
            }
            Change::Delete { family, key } => {
                batch.delete(database, *family, key);
                bytes += key.len();
            }
            Change::DeleteRange { family, from, to } if from < to => {
                batch.delete_range(database, *family, from, to);
                bytes += from.len() + to.len();
            }
            Change::DeleteRange { .. } => {}
        }
    }
    bytes
}

/// The greatest key (or a lower one) that is below `to`, because RocksDB's bound for dropping
/// files is inclusive. Too low a bound only keeps a file.
fn just_below(to: &[u8]) -> Vec<u8> {
    let mut below = to.to_vec();
    match below.pop() {
        None | Some(0) => below,
        Some(last) => {
            below.push(last - 1);
            below.extend_from_slice(&BEYOND_ALL_KEYS);
            below
        }
    }
}

impl Engine for RocksEngine {
    fn get(&self, family: Family, key: &[u8], view: &View) -> Result<Option<Bytes>> {
        let value = self.database.get(family, key, self.read_options(view)?);
        value.map_err(|text| failure::of_read(text, family, key))
    }

    /// RocksDB's own multi-get ignores the tier and reads the disk, so in memory it is a loop.
    fn multi_get(&self, family: Family, keys: &[&[u8]], view: &View) -> Result<Vec<Option<Bytes>>> {
        if view.tier == Tier::Memory || keys.len() == 1 {
            return keys.iter().map(|key| self.get(family, key, view)).collect();
        }
        let values = self.database.multi_get(family, keys, self.read_options(view)?);
        let told = |(value, key): (Outcome<_>, &&[u8])| value.map_err(|text| failure::of_read(text, family, key));
        values.into_iter().zip(keys).map(told).collect()
    }

    /// A walk: a step costs a tenth of a point read, an iterator as much as some of them.
    fn get_run(&self, family: Family, keys: &[&[u8]], view: &View) -> Result<Vec<Option<Bytes>>> {
        let (Some(first), Some(last), false) = (keys.first(), keys.last(), keys.len() < WALKED_KEYS) else {
            return self.multi_get(family, keys, view);
        };
        let end = [last, &[0][..]].concat();
        let range = KeyRange { from: Some(Bytes::copy_from_slice(first)), to: Some(end.into()) };
        let mut cursor = self.cursor(family, range, view)?;
        cursor.seek(first)?;
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            while cursor.entry().is_some_and(|(found, _)| found < *key) {
                cursor.next()?;
            }
            let value = cursor.entry().filter(|(found, _)| found == key).map(|(_, value)| value);
            values.push(value.map(Bytes::copy_from_slice));
        }
        Ok(values)
    }

    fn cursor(&self, family: Family, range: KeyRange, view: &View) -> Result<Box<dyn storage::Cursor>> {
        let snapshot = Snapshot::of(view, &self.database)?;
        Ok(Box::new(Cursor::new(&self.database, family, range, view, snapshot)))
    }

    fn snapshot(&self) -> Arc<dyn storage::Snapshot> {
        Arc::new(Snapshot::new(&self.database))
    }

    fn commit(&self, changes: Vec<Change>, options: CommitOptions) -> Result<()> {
        self.refusing.check()?;
        if changes.is_empty() {
            return Ok(());
        }
        let how = if options.may_wait { &self.writes.waiting } else { &self.writes.hasty };
        BATCH.with_borrow_mut(|batch| {
            let bytes = fill(batch, &self.database, &changes);
            let outcome = batch.write(&self.database, how);
            if bytes > KEPT_BATCH_BYTES {
                *batch = Batch::new();
            }
            outcome.map_err(failure::of_write)
        })?;
        // A separate fsync does not hold up the writers behind it, as a synced write would.
        match options.durability {
            Durability::Kernel => Ok(()),
            Durability::Synced => self.sync(),
        }
    }

    fn latest_sequence(&self) -> u64 {
        self.database.latest_sequence()
    }

    fn sync(&self) -> Result<()> {
        self.refusing.check()?;
        self.database.db().flush_wal(true).map_err(|error| self.poison(error.into_string()))
    }

    fn flush(&self) -> Result<()> {
        let db = self.database.db();
        let families: Vec<_> = Family::ALL.iter().filter_map(|family| db.cf_handle(family.name())).collect();
        let families: Vec<_> = families.iter().collect();
        db.flush_cfs_opt(&families, &FlushOptions::default()).map_err(|error| failure::of(error.into_string(), "flush"))
    }

    fn verify(&self) -> Result<()> {
        self.database.verify_checksums().map_err(|text| failure::of(text, "verify the table files"))
    }

    fn compact(&self, family: Family, range: &KeyRange, how: Compaction) -> Result<()> {
        let from = range.from.as_deref();
        match how {
            Compaction::DropFiles => {
                let to = range.to.as_deref().map(just_below);
                if let (Some(from), Some(to)) = (from, &to)
                    && from > to.as_slice()
                {
                    return Ok(());
                }
                self.database.delete_files(family, from, to.as_deref()).map_err(|text| failure::of(text, "drop files"))
            }
            Compaction::Rewrite => {
                let db = self.database.db();
                let Some(handle) = db.cf_handle(family.name()) else {
                    return Ok(());
                };
                let mut options = CompactOptions::default();
                options.set_exclusive_manual_compaction(false);
                options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
                db.compact_range_cf_opt(handle, from, range.to.as_deref(), &options);
                Ok(())
            }
        }
    }

    fn approximate_bytes(&self, family: Family, range: &KeyRange) -> Result<u64> {
        let db = self.database.db();
        let Some(handle) = db.cf_handle(family.name()) else {
            return Ok(0);
        };
        let from = range.from.as_deref().unwrap_or_default();
        let to = range.to.as_deref().unwrap_or(&BEYOND_ALL_KEYS);
        if from >= to {
            return Ok(0);
        }
        let sizes = db.get_approximate_sizes_cf(handle, &[Range::new(from, to)]);
        Ok(sizes.into_iter().sum())
    }

    fn checkpoint(&self, folder: &Path) -> Result<()> {
        let made = Checkpoint::new(self.database.db()).and_then(|making| making.create_checkpoint(folder));
        made.map_err(|error| failure::of(error.into_string(), "make a checkpoint"))
    }

    fn set_budget(&self, budget: &EngineBudget) -> Result<()> {
        self.tuning.apply(budget, &self.database).map_err(|text| failure::of(text, "change the memory budget"))
    }

    fn figures(&self) -> EngineFigures {
        figures::of(&self.database, &self.tuning)
    }

    fn report(&self, property: &str) -> Option<String> {
        figures::report(&self.database, property)
    }

    fn close(&self) -> Result<()> {
        let synced = if self.refusing.on.load(Ordering::Acquire) { Ok(()) } else { self.sync() };
        self.refusing.set("the store is closed".into());
        self.database.db().cancel_all_background_work(true);
        synced
    }
}

impl Drop for RocksEngine {
    /// Cursors may outlive the engine; background work need not.
    fn drop(&mut self) {
        self.database.db().cancel_all_background_work(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn just_below_is_below_and_near() {
        assert_eq!(just_below(b""), b"");
        assert_eq!(just_below(b"a\x00"), b"a");
        for to in [&b"a"[..], b"ab", b"\x00\x01", b"\xff", b"a\xff"] {
            let below = just_below(to);
            assert!(below.as_slice() < to, "{below:?} < {to:?}");
            let mut key = to.to_vec();
            *key.last_mut().unwrap() -= 1;
            key.extend_from_slice(b"any key");
            assert!(key < below, "{key:?} <= {below:?}");
        }
    }
}
