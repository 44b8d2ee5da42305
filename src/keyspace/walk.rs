//! Walks over the keys of a database: SCAN, KEYS, DBSIZE, RANDOMKEY.
//!
//! Keys are walked in byte order, so whatever is there from start to end of a SCAN is
//! returned, and each call costs O(COUNT). A SCAN cursor is a number that a small table
//! resolves to the last key shown; a number the table has forgotten (a restart, 65,536
//! younger cursors) starts over, which keeps the guarantee at the price of repeats.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::Mutex;

use super::databases::DatabaseIndex;
use super::locks::{LockSet, Locks, Wanted};
use super::store::Store;
use super::tx::Tx;
use crate::base::{Error, Result};
use crate::encoding::key::{KEY_PREFIX_BYTES, keyspace_prefix};
use crate::encoding::record::Record;
use crate::storage::{Cursor, Family, KeyRange, Tier, View};

/// Open SCAN positions that are remembered.
const CURSORS: usize = 1 << 16;
/// Bits of a cursor that say its place in the table; the rest tells generations apart. Together they
/// stay below 2^53, which every client can carry.
const CURSOR_SLOT_BITS: u32 = 16;
const _: () = assert!(CURSORS == 1 << CURSOR_SLOT_BITS);
/// Below this many keys RANDOMKEY and DBSIZE look at every one.
const SMALL_DATABASE: i64 = 1_000;
/// A count is trusted while at most one key in this many may have been added blindly.
const TRUSTED_SHARE: u64 = 100;
/// Keys up to which DBSIZE is exact.
const EXACT_UP_TO: i64 = 1_000_000;

/// One page of a SCAN.
#[derive(Debug)]
pub struct KeyPage {
    /// What to pass next; 0 when the walk is complete.
    pub cursor: u64,
    pub keys: Vec<Bytes>,
}

/// Resolves cursor numbers to positions.
#[derive(Default)]
pub struct CursorTable {
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    slots: Vec<(u32, Bytes)>,
    next: u64,
}

impl CursorTable {
    /// A number for a position; never 0.
    pub fn remember(&self, position: Bytes) -> u64 {
        let mut ring = self.ring.lock();
        let slot = (ring.next % CURSORS as u64) as usize;
        let generation = ((ring.next >> CURSOR_SLOT_BITS) as u32).wrapping_add(1) | 1;
        ring.next += 1;
        match ring.slots.get_mut(slot) {
            Some(entry) => *entry = (generation, position),
            None => ring.slots.push((generation, position)),
        }
        (u64::from(generation) << CURSOR_SLOT_BITS) | slot as u64
    }

    /// The position behind a number, if it is still known.
    pub fn recall(&self, cursor: u64) -> Option<Bytes> {
        let ring = self.ring.lock();
        let (generation, position) = ring.slots.get((cursor % CURSORS as u64) as usize)?;
        (u64::from(*generation) == cursor >> CURSOR_SLOT_BITS).then(|| position.clone())
    }
}

/// Lapsed keys that one walk remembers, for whoever deletes them.
const LAPSED_REMEMBERED: usize = 64;

/// Keys of one database in order, each with its record; lapsed ones are left out.
pub struct Walk {
    cursor: Box<dyn Cursor>,
    pending: std::iter::Peekable<std::vec::IntoIter<(Bytes, Option<Bytes>)>>,
    now_ms: u64,
    lapsed: Vec<Bytes>,
}

impl Walk {
    /// The next live key and its record.
    ///
    /// # Errors
    /// `NotInMemory` beyond the tier, corruption.
    #[allow(clippy::should_implement_trait, reason = "fallible")]
    pub fn next(&mut self) -> Result<Option<(Bytes, Record)>> {
        while let Some((stored, value)) = self.next_stored()? {
            let record = Record::decode(&value).map_err(|error| Error::Corruption {
                family: Family::Keys.name(),
                key: stored.to_vec(),
                what: error.to_string(),
            })?;
            let name = stored.slice(KEY_PREFIX_BYTES.min(stored.len())..);
            if !record.is_lapsed(self.now_ms) {
                return Ok(Some((name, record)));
            }
            if self.lapsed.len() < LAPSED_REMEMBERED {
                self.lapsed.push(name);
            }
        }
        Ok(None)
    }

    fn next_stored(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        loop {
            let stored = self.cursor.entry();
            let order = match (stored, self.pending.peek()) {
                (None, None) => return Ok(None),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((key, _)), Some((pending, _))) => key.cmp(pending),
            };
            let found = stored
                .filter(|_| order.is_lt())
                .map(|(key, value)| (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            if order.is_le() {
                self.cursor.next()?;
            }
            if found.is_some() {
                return Ok(found);
            }
            if let Some((key, Some(value))) = self.pending.next() {
                return Ok(Some((key, value)));
            }
        }
    }
}

impl Tx {
    /// Walks the keys of a database that start with `prefix`, from behind `after`.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn walk(&mut self, db: DatabaseIndex, prefix: &[u8], after: Option<&[u8]>) -> Result<Walk> {
        let base = keyspace_prefix(self.keyspace(db));
        let mut range = KeyRange::prefix(&[&base, prefix].concat());
        if let Some(after) = after {
            let behind = [&base, after, &b"\0"[..]].concat();
            if range.from.as_ref().is_none_or(|from| from[..] < behind[..]) {
                range.from = Some(behind.into());
            }
        }
        let inside = |key: &Bytes| {
            range.from.as_ref().is_none_or(|from| key >= from) && range.to.as_ref().is_none_or(|to| key < to)
        };
        let mut pending: Vec<(Bytes, Option<Bytes>)> = self
            .records
            .iter()
            .filter(|(key, _)| inside(key))
            .map(|(key, pending)| (key.clone(), pending.after.clone()))
            .collect();
        pending.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let empty = range.to.as_ref().is_some_and(|to| range.from.as_ref().is_some_and(|from| from >= to));
        let mut cursor = self.store.engine.cursor(Family::Keys, range, self.view())?;
        if !empty {
            cursor.seek_to_first()?;
        }
        Ok(Walk { cursor, pending: pending.into_iter().peekable(), now_ms: self.now_ms(), lapsed: Vec::new() })
    }

    /// One page of a SCAN: looks at `count` keys and keeps those that `keep` wants.
    ///
    /// # Errors
    /// `NotInMemory` beyond the tier, corruption, engine failures.
    pub fn scan_keys(
        &mut self,
        db: DatabaseIndex,
        cursor: u64,
        prefix: &[u8],
        count: usize,
        mut keep: impl FnMut(&[u8], &Record) -> bool,
    ) -> Result<KeyPage> {
        let after = if cursor == 0 { None } else { self.store.cursors.recall(cursor) };
        let mut walk = self.walk(db, prefix, after.as_deref())?;
        let mut keys = Vec::new();
        let mut last = None;
        for _ in 0..count.max(1) {
            let Some((key, record)) = walk.next()? else { break };
            if keep(&key, &record) {
                keys.push(key.clone());
            }
            last = Some(key);
        }
        let cursor = match (walk.next()?, last) {
            (Some(_), Some(last)) => self.store.cursors.remember(last),
            _ => 0,
        };
        self.note_lapsed(db, walk.lapsed);
        Ok(KeyPage { cursor, keys })
    }

    /// A number that stands for a position of a scan inside a value.
    pub fn remember_position(&self, position: Bytes) -> u64 {
        self.store.cursors.remember(position)
    }

    /// The position behind such a number, if it is still known.
    pub fn recall_position(&self, cursor: u64) -> Option<Bytes> {
        self.store.cursors.recall(cursor)
    }

    /// How many keys a database has: exact up to a million keys, within 1 % beyond.
    ///
    /// # Errors
    /// `NotInMemory` when keys must be counted and waiting is not allowed, `Undeclared` when that takes
    /// all locks and some are held.
    pub fn count_keys(&mut self, db: DatabaseIndex) -> Result<i64> {
        let Some(count) = self.store.counts.get(db as usize) else { return Ok(0) };
        let moved = self
            .databases
            .as_ref()
            .is_some_and(|map| map.get(db as usize).copied() != self.store.databases.keyspace(db));
        if moved {
            let mut walk = self.walk(db, b"", None)?;
            let mut keys = 0;
            while walk.next()?.is_some() {
                keys += 1;
            }
            return Ok(keys);
        }
        let keys = count.keys.load(Ordering::Relaxed);
        let unknown = count.unknown.load(Ordering::Relaxed);
        let trusted = unknown == 0 || (keys > EXACT_UP_TO && unknown * TRUSTED_SHARE < keys.unsigned_abs());
        if !(trusted && count.counted.load(Ordering::Acquire)) {
            if self.tier() == Tier::Memory {
                return Err(Error::NotInMemory);
            }
            match self.locks.is_exclusive() {
                true => self.store.recount_under_locks(db)?,
                // Others may wait for these locks with some that counting needs.
                false if !self.locks.is_empty() => return Err(Error::Undeclared),
                false => self.store.recount(db)?,
            }
        }
        let keys = count.keys.load(Ordering::Relaxed) + (count.unknown.load(Ordering::Relaxed) / 2) as i64;
        Ok(keys + self.pending_keys(db))
    }

    /// By how much this transaction's own writes change the number of keys.
    fn pending_keys(&self, db: DatabaseIndex) -> i64 {
        use super::tx::Before;
        let change = |pending: &super::tx::Pending| match (&pending.before, pending.after.is_some()) {
            (Before::Absent, true) => 1,
            (Before::Present { .. }, false) => -1,
            _ => 0,
        };
        self.records.values().filter(|pending| pending.db == db).map(change).sum()
    }

    /// Some live key, evenly where the database is small.
    ///
    /// # Errors
    /// `NotInMemory` beyond the tier, engine failures.
    pub fn random_key(&mut self, db: DatabaseIndex) -> Result<Option<Bytes>> {
        let keys = self.count_keys(db)?;
        if keys <= SMALL_DATABASE {
            return self.random_of_all(db);
        }
        let Some(start) = self.random_position(db)? else { return Ok(None) };
        let mut walk = self.walk(db, b"", Some(&start))?;
        let mut found = None;
        for _ in 0..=crate::base::random::below(64) {
            match walk.next()? {
                Some((key, _)) => found = Some(key),
                None => break,
            }
        }
        if found.is_some() { Ok(found) } else { self.random_of_first(db) }
    }

    fn random_of_first(&mut self, db: DatabaseIndex) -> Result<Option<Bytes>> {
        Ok(self.walk(db, b"", None)?.next()?.map(|(key, _)| key))
    }

    fn random_of_all(&mut self, db: DatabaseIndex) -> Result<Option<Bytes>> {
        let mut walk = self.walk(db, b"", None)?;
        let mut chosen = None;
        let mut seen = 0;
        while let Some((key, _)) = walk.next()? {
            seen += 1;
            if crate::base::random::below(seen) == 0 {
                chosen = Some(key);
            }
        }
        self.note_lapsed(db, walk.lapsed);
        Ok(chosen)
    }

    /// A position between the first and the last key: their common start, then eight bytes drawn
    /// between what follows it in either.
    fn random_position(&mut self, db: DatabaseIndex) -> Result<Option<Vec<u8>>> {
        let base = keyspace_prefix(self.keyspace(db));
        let mut cursor = self.store.engine.cursor(Family::Keys, KeyRange::prefix(&base), self.view())?;
        cursor.seek_to_first()?;
        let Some(first) = cursor.entry().map(|(key, _)| key.get(KEY_PREFIX_BYTES..).unwrap_or_default().to_vec())
        else {
            return Ok(None);
        };
        cursor.seek_to_last()?;
        let last =
            cursor.entry().map_or_else(Vec::new, |(key, _)| key.get(KEY_PREFIX_BYTES..).unwrap_or_default().to_vec());
        let common = first.iter().zip(&last).take_while(|(one, other)| one == other).count();
        let number = |key: &[u8]| {
            let mut bytes = [0; 8];
            key.iter().skip(common).zip(&mut bytes).for_each(|(from, to)| *to = *from);
            u64::from_be_bytes(bytes)
        };
        let (low, high) = (number(&first), number(&last));
        let drawn = low + crate::base::random::below(high.saturating_sub(low).saturating_add(1).max(1));
        let mut position = first.get(..common).unwrap_or_default().to_vec();
        position.extend_from_slice(&drawn.to_be_bytes());
        Ok(Some(position))
    }
}

impl Store {
    /// Counts the keys of a database anew. Waits, for all locks too; for who holds none.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn recount(&self, db: DatabaseIndex) -> Result<()> {
        let _one_at_a_time = self.counting.lock();
        self.recount_with(db, || Some(Locks::acquire_waiting(&self.locks, Wanted::All)))
    }

    /// The same for who holds all locks, and therefore must not wait for others that count.
    fn recount_under_locks(&self, db: DatabaseIndex) -> Result<()> {
        self.recount_with(db, || None)
    }

    fn recount_with(&self, db: DatabaseIndex, lock: impl Fn() -> Option<LockSet>) -> Result<()> {
        let Some(count) = self.counts.get(db as usize) else { return Ok(()) };
        while !count.is_exact() {
            let exclusive = lock();
            let snapshot = self.engine.snapshot();
            let Some(keyspace) = self.databases.keyspace(db) else { return Ok(()) };
            let epoch = count.set(|count| {
                count.counted.store(false, Ordering::Release);
                count.keys.store(0, Ordering::Relaxed);
                count.unknown.store(0, Ordering::Relaxed);
            });
            drop(exclusive);
            let view = View { tier: Tier::Disk, snapshot: Some(snapshot), fill_cache: false, readahead_bytes: 2 << 20 };
            let mut cursor = self.engine.cursor(Family::Keys, KeyRange::prefix(&keyspace_prefix(keyspace)), &view)?;
            cursor.seek_to_first()?;
            let mut keys = 0;
            while cursor.entry().is_some() {
                keys += 1;
                cursor.next()?;
            }
            // Blind writes since are left for the next time.
            if count.add_counted(epoch, keys) {
                break;
            }
        }
        Ok(())
    }

    /// Whether a database's keys have to be counted before DBSIZE can answer at once.
    pub fn needs_count(&self, db: DatabaseIndex) -> bool {
        self.counts.get(db as usize).is_some_and(|count| {
            let keys = count.keys.load(Ordering::Relaxed).unsigned_abs();
            !count.counted.load(Ordering::Acquire) || count.unknown.load(Ordering::Relaxed) * TRUSTED_SHARE > keys
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::keyspace::{StoreOptions, Stripe};
    use crate::storage::memory::MemoryEngine;
    use crate::storage::{Change, CommitOptions, Durability, Engine};

    /// A store that has not counted its three keys.
    fn uncounted() -> Arc<Store> {
        let engine = Arc::new(MemoryEngine::new());
        let options = StoreOptions { databases: 2, record_cache_bytes: 1 << 20 };
        let store = Store::open(engine.clone(), &options).unwrap();
        let prefix = keyspace_prefix(store.keyspace(0).unwrap());
        let key = |name: &str| [&prefix[..], name.as_bytes()].concat().into();
        let put = |name| Change::Put { family: Family::Keys, key: key(name), value: Bytes::from_static(b"-") };
        let options = CommitOptions { may_wait: true, durability: Durability::Kernel };
        engine.commit(["a", "b", "c"].map(put).into(), options).unwrap();
        store.counts[0].counted.store(false, Ordering::Release);
        store
    }

    #[test]
    fn who_holds_all_locks_counts_beside_another_that_waits_for_them() {
        let store = uncounted();
        let mut tx = Tx::new(store.clone());
        tx.start(Tier::Disk, 1);
        assert!(tx.locks().try_extend(&Wanted::Some(std::iter::once(Stripe::of(b"a")).collect())));
        assert!(matches!(tx.count_keys(0), Err(Error::Undeclared)), "it must not wait for the other locks");
        assert!(tx.locks().try_extend(&Wanted::All));
        let other = std::thread::spawn({
            let store = store.clone();
            move || store.recount(0)
        });
        while store.counting.try_lock().is_some() {
            std::thread::yield_now();
        }
        assert_eq!(tx.count_keys(0).unwrap(), 3);
        tx.abandon();
        other.join().unwrap().unwrap();
        assert!(store.counts[0].is_exact());
        assert_eq!(store.counts[0].keys.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_count_does_not_end_in_another_database() {
        let store = uncounted();
        let epoch = store.counts[0].set(|_| {});
        let mut tx = Tx::new(store.clone());
        tx.locks().adopt(Locks::acquire_waiting(store.locks(), Wanted::All));
        tx.start(Tier::Disk, 1);
        tx.swap(0, 1);
        tx.commit(true, 0).unwrap();
        assert!(!store.counts[0].add_counted(epoch, 3));
        store.recount(1).unwrap();
        let keys = |db: usize| store.counts[db].keys.load(Ordering::Relaxed);
        assert_eq!((keys(0), keys(1)), (0, 3));
    }
}
