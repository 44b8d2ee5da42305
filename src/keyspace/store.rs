//! [`Store`]: what every transaction shares. It owns the engine, the hot record cache, the
//! locks, the map of databases, object ids and key counts. It decides nothing about types.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use super::databases::{DatabaseIndex, Databases, damaged};
use super::events::{Class, Commit, Observer};
use super::locks::{LockSet, Locks, Stripe};
use super::walk::CursorTable;
use crate::base::Result;
use crate::base::counter::Sharded;
use crate::encoding::key::{KeyspaceId, ObjectId, reclaim_keyspace_key, system};
use crate::storage::cache::RecordCache;
use crate::storage::{Change, CommitOptions, Compaction, Durability, Engine, Family, KeyRange, Tier, View};

/// Object ids are reserved on disk this many at a time.
const OBJECT_ID_BLOCK: u64 = 1 << 20;

/// What a store is opened with.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// How many logical databases there are.
    pub databases: u32,
    /// Bytes of the hot record cache.
    pub record_cache_bytes: u64,
}

/// Keys of one database, as far as they are known without looking.
#[derive(Default)]
pub(super) struct KeyCount {
    /// Keys known to be there; meaningless until `counted`.
    pub keys: AtomicI64,
    /// Blind overwrites since the last count: each may or may not have added a key.
    pub unknown: AtomicU64,
    /// Keys with a deadline, as far as known; overwrites without looking leave it inexact.
    pub expires: AtomicI64,
    /// Whether `keys` was ever established.
    pub counted: AtomicBool,
    /// Grows when all of this is set anew: who counts meanwhile must begin again.
    epoch: Mutex<u64>,
}

impl KeyCount {
    /// Whether it is known exactly.
    pub fn is_exact(&self) -> bool {
        self.counted.load(Ordering::Acquire) && self.unknown.load(Ordering::Relaxed) == 0
    }

    /// Sets everything anew; gives the epoch that begins.
    pub fn set(&self, set: impl FnOnce(&Self)) -> u64 {
        let mut epoch = self.epoch.lock();
        *epoch += 1;
        set(self);
        *epoch
    }

    /// Keys were counted that were there when the epoch began; false if it is over.
    pub fn add_counted(&self, epoch: u64, keys: i64) -> bool {
        let now = self.epoch.lock();
        if *now == epoch {
            self.keys.fetch_add(keys, Ordering::Relaxed);
            self.counted.store(true, Ordering::Release);
        }
        *now == epoch
    }
}

/// As long as it lives, somebody reads a frozen state of everything.
pub(super) struct FrozenGuard(Arc<AtomicUsize>);

impl Drop for FrozenGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What INFO keyspace says of a database.
#[derive(Debug, Clone, Copy, Default)]
pub struct DatabaseFigures {
    pub keys: u64,
    pub expires: u64,
}

/// Numbers that INFO shows.
#[derive(Debug, Default)]
pub struct StoreCounters {
    pub expired_keys: AtomicU64,
    pub expired_fields: AtomicU64,
    pub blind_writes: AtomicU64,
    pub reclaimed_objects: AtomicU64,
    pub commits: AtomicU64,
    pub reader_reruns: AtomicU64,
    /// Look-ups by readers that found a key, and that did not.
    pub hits: Sharded,
    pub misses: Sharded,
}

impl StoreCounters {
    /// Back to zero (CONFIG RESETSTAT).
    pub fn reset(&self) {
        for counter in [
            &self.expired_keys,
            &self.expired_fields,
            &self.blind_writes,
            &self.reclaimed_objects,
            &self.commits,
            &self.reader_reruns,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        self.hits.reset();
        self.misses.reset();
    }
}

/// The shared state below all transactions.
pub struct Store {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) cache: RecordCache,
    pub(super) locks: Arc<Locks>,
    pub(super) databases: Databases,
    pub(super) counts: Box<[KeyCount]>,
    /// Held while keys are counted.
    pub(super) counting: Mutex<()>,
    pub(super) cursors: CursorTable,
    pub counters: StoreCounters,
    /// Changes that transactions have committed since the start; what the store does by itself is none.
    changes: AtomicU64,
    object_ids: ObjectIds,
    observer: OnceLock<Arc<dyn Observer>>,
    /// Earliest deadline that may be due, milliseconds; the expiry walker sleeps until then.
    pub(super) next_deadline_ms: AtomicU64,
    /// How many frozen states of everything are being read: whole files must not go meanwhile.
    frozen: Arc<AtomicUsize>,
    /// Rung when there is something to reclaim.
    pub(super) reclaim_bell: tokio::sync::Notify,
    /// Rung when a deadline earlier than all before it was set.
    pub(super) expiry_bell: tokio::sync::Notify,
}

impl Store {
    /// Opens the keyspace on an engine.
    ///
    /// # Errors
    /// When the engine fails or a `system` entry is damaged.
    pub fn open(engine: Arc<dyn Engine>, options: &StoreOptions) -> Result<Arc<Self>> {
        let view = View::latest(Tier::Disk);
        let databases = Databases::load(engine.as_ref(), options.databases, &view)?;
        let count = databases.count() as usize;
        let object_ids = ObjectIds::load(engine.as_ref(), &view)?;
        let store = Arc::new(Self {
            cache: RecordCache::new(options.record_cache_bytes),
            locks: Arc::new(Locks::default()),
            counts: (0..count).map(|_| KeyCount::default()).collect(),
            counting: Mutex::new(()),
            cursors: CursorTable::default(),
            counters: StoreCounters::default(),
            changes: AtomicU64::new(0),
            object_ids,
            observer: OnceLock::new(),
            next_deadline_ms: AtomicU64::new(0),
            frozen: Arc::default(),
            reclaim_bell: tokio::sync::Notify::new(),
            expiry_bell: tokio::sync::Notify::new(),
            databases,
            engine,
        });
        store.restore_counts()?;
        Ok(store)
    }

    /// Who is told of commits. Once, before the first command.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        let fresh = self.observer.set(observer).is_ok();
        debug_assert!(fresh, "a store has one observer");
    }

    pub(super) fn tell(&self, commit: &Commit, origin: u64, locks: &mut LockSet) {
        if let Some(observer) = self.observer.get() {
            observer.committed(commit, origin, locks);
        }
    }

    pub(super) fn wanted_events(&self) -> Class {
        self.observer.get().map_or(Class::empty(), |observer| observer.wanted())
    }

    pub(super) fn wants_touched(&self) -> bool {
        self.observer.get().is_some_and(|observer| observer.wants_touched())
    }

    pub(super) fn wants_effects(&self) -> bool {
        self.observer.get().is_some_and(|observer| observer.wants_effects())
    }

    /// The engine below, for figures and offline tools.
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// The writer locks.
    pub fn locks(&self) -> &Arc<Locks> {
        &self.locks
    }

    /// The hot record cache.
    pub fn cache(&self) -> &RecordCache {
        &self.cache
    }

    /// How many changes were committed, counted from any beginning.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    pub(super) fn note_changes(&self, count: usize) {
        self.changes.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How many logical databases there are.
    pub fn database_count(&self) -> u32 {
        self.databases.count()
    }

    /// The keyspace a database shows now.
    pub fn keyspace(&self, db: DatabaseIndex) -> Option<KeyspaceId> {
        self.databases.keyspace(db)
    }

    /// The entries of family `system` whose names begin with a prefix, and the rest of their names.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn facts(&self, prefix: &[u8], view: &View) -> Result<Vec<(Bytes, Bytes)>> {
        let range = KeyRange::prefix(prefix);
        let mut cursor = self.engine.cursor(Family::System, range, view)?;
        cursor.seek_to_first()?;
        let mut found = Vec::new();
        while let Some((key, value)) = cursor.entry() {
            let rest = key.get(prefix.len()..).unwrap_or_default();
            found.push((Bytes::copy_from_slice(rest), Bytes::copy_from_slice(value)));
            cursor.next()?;
        }
        Ok(found)
    }

    /// An object id that was never used.
    pub(super) fn new_object_id(&self) -> Result<ObjectId> {
        self.object_ids.allot(self.engine.as_ref())
    }

    /// Says that a frozen state of everything is being read, until the guard is dropped.
    pub(super) fn note_frozen(&self) -> FrozenGuard {
        self.frozen.fetch_add(1, Ordering::AcqRel);
        FrozenGuard(self.frozen.clone())
    }

    /// Gives back the files that lie wholly in a range. Snapshots do not hold such files, so while a
    /// frozen state is being read they stay; compactions take what is in them later.
    pub(super) fn drop_files(&self, family: Family, range: &KeyRange) -> Result<()> {
        if self.frozen.load(Ordering::Acquire) > 0 {
            return Ok(());
        }
        self.engine.compact(family, range, Compaction::DropFiles)
    }

    /// A keyspace that no database shows, for values to be put together in. It stands among those
    /// to be reclaimed from the beginning, so what is left in it goes; for offline use, where
    /// nobody reclaims meanwhile.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn stage(&self) -> Result<KeyspaceId> {
        let staging = self.databases.allot();
        let mut changes = Vec::from(self.databases.changes(&self.databases.snapshot()));
        let key = reclaim_keyspace_key(staging).into();
        changes.push(Change::Put { family: Family::System, key, value: Bytes::new() });
        self.engine.commit(changes, WAITING)?;
        Ok(staging)
    }

    /// Nothing is left in such a keyspace.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn unstage(&self, staging: KeyspaceId) -> Result<()> {
        let key = reclaim_keyspace_key(staging).into();
        self.engine.commit(vec![Change::Delete { family: Family::System, key }], WAITING)
    }

    /// Puts a record that was read at `version` into the cache, unless its key has changed since.
    pub(super) fn fill_cache(&self, stored_key: &[u8], stripe: Stripe, version: u32, value: Bytes) {
        self.locks.if_unchanged(stripe, version, || {
            self.cache.insert(stored_key, value);
        });
    }

    /// Key counts as of the last clean shutdown, taken off the disk so that a crash cannot
    /// leave them to be believed.
    fn restore_counts(&self) -> Result<()> {
        let view = View::latest(Tier::Disk);
        let Some(stored) = self.engine.get(Family::System, system::KEY_COUNTS, &view)? else {
            let empty = self.engine.figures().estimated_keys[Family::Keys as usize] == 0 && self.has_no_keys()?;
            for count in self.counts.iter().filter(|_| empty) {
                count.counted.store(true, Ordering::Release);
            }
            return Ok(());
        };
        let (entries, rest) = stored.as_chunks::<12>();
        if !rest.is_empty() {
            return Err(damaged(system::KEY_COUNTS, "has a broken entry"));
        }
        for (db, count) in self.counts.iter().enumerate() {
            let keyspace = self.databases.keyspace(db as DatabaseIndex);
            let entry = entries.iter().find(|entry| {
                let (id, _) = entry.split_at(4);
                keyspace.is_some_and(|keyspace| keyspace.0.to_be_bytes() == id)
            });
            if let Some([_, _, _, _, number @ ..]) = entry {
                count.keys.store(i64::from_be_bytes(*number), Ordering::Relaxed);
            }
            count.counted.store(true, Ordering::Release);
        }
        let gone = Change::Delete { family: Family::System, key: Bytes::from_static(system::KEY_COUNTS) };
        self.engine.commit(vec![gone], WAITING)
    }

    /// What is known of a database without looking.
    pub fn database_figures(&self, db: DatabaseIndex) -> DatabaseFigures {
        let Some(count) = self.counts.get(db as usize) else { return DatabaseFigures::default() };
        let keys = count.keys.load(Ordering::Relaxed).max(0).unsigned_abs();
        let expires = count.expires.load(Ordering::Relaxed).max(0).unsigned_abs();
        DatabaseFigures { keys: keys + count.unknown.load(Ordering::Relaxed) / 2, expires: expires.min(keys) }
    }

    fn has_no_keys(&self) -> Result<bool> {
        let range = KeyRange::default();
        let mut cursor = self.engine.cursor(Family::Keys, range, &View::latest(Tier::Disk))?;
        cursor.seek_to_first()?;
        Ok(cursor.entry().is_none())
    }

    /// Writes what a clean shutdown leaves for the next start, and syncs.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn close(&self) -> Result<()> {
        let all_known = self
            .counts
            .iter()
            .all(|count| count.counted.load(Ordering::Acquire) && count.unknown.load(Ordering::Relaxed) == 0);
        if all_known {
            let mut value = Vec::new();
            for (count, keyspace) in self.counts.iter().zip(self.databases.snapshot()) {
                value.extend_from_slice(&keyspace.0.to_be_bytes());
                value.extend_from_slice(&count.keys.load(Ordering::Relaxed).to_be_bytes());
            }
            let key = Bytes::from_static(system::KEY_COUNTS);
            self.engine.commit(vec![Change::Put { family: Family::System, key, value: value.into() }], WAITING)?;
        }
        self.engine.sync()
    }
}

/// For the server's own commits, off the network threads.
pub(super) const WAITING: CommitOptions = CommitOptions { may_wait: true, durability: Durability::Kernel };

/// Hands out object ids; those handed out are below a limit that is on disk.
struct ObjectIds {
    next: AtomicU64,
    limit: AtomicU64,
    reserving: Mutex<()>,
}

impl ObjectIds {
    fn load(engine: &dyn Engine, view: &View) -> Result<Self> {
        let limit = match engine.get(Family::System, system::OBJECT_ID_LIMIT, view)? {
            None => 1,
            Some(bytes) => match <[u8; 8]>::try_from(&bytes[..]) {
                Ok(number) => u64::from_be_bytes(number),
                Err(_) => return Err(damaged(system::OBJECT_ID_LIMIT, "is not eight bytes")),
            },
        };
        Ok(Self { next: AtomicU64::new(limit), limit: AtomicU64::new(limit), reserving: Mutex::new(()) })
    }

    fn allot(&self, engine: &dyn Engine) -> Result<ObjectId> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        while id >= self.limit.load(Ordering::Acquire) {
            let _one_at_a_time = self.reserving.lock();
            let limit = self.limit.load(Ordering::Acquire);
            if id < limit {
                break;
            }
            let key = Bytes::from_static(system::OBJECT_ID_LIMIT);
            let raised = limit + OBJECT_ID_BLOCK;
            let value = Bytes::copy_from_slice(&raised.to_be_bytes());
            engine.commit(vec![Change::Put { family: Family::System, key, value }], WAITING)?;
            self.limit.store(raised, Ordering::Release);
        }
        Ok(ObjectId(id))
    }
}
