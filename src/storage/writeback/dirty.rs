//! What is in the write-ahead log but not in RocksDB yet, by key: the newest value each. A key that
//! is written again and again reaches RocksDB once a drain, not once a write.
//!
//! A drain takes the `fresh` entries of a family as `draining`, writes those to RocksDB and
//! then forgets them; reads look at `fresh`, then `draining`, then RocksDB, so at no moment is an
//! entry nowhere. One drain at a time, which is up to the caller.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::storage::{Change, Family};

/// Places for the entries of a family, so that threads seldom meet.
const SHARDS: usize = 64;
const _: () = assert!(SHARDS.is_power_of_two());

/// What an entry costs around key and value: its slot in a table that is about two thirds full, and the
/// headers of two allocations.
const OVERHEAD_BYTES: usize = 176;

/// The value that a key has got; `None` if it was deleted.
pub(super) type Value = Option<Bytes>;

type Table = HashMap<Bytes, Value, RandomState>;

#[derive(Default)]
struct Shard {
    fresh: Table,
    draining: Arc<Table>,
}

impl Shard {
    /// Takes a value out that no drain has seen; false if there is none.
    fn forget(&mut self, key: &[u8]) -> bool {
        matches!(self.fresh.get(key), Some(Some(_)))
            && !self.draining.contains_key(key)
            && self.fresh.remove(key).is_some()
    }
}

/// The entries of one family.
struct Part {
    shards: Box<[Mutex<Shard>]>,
    /// Of both tables. An upper bound: a key may be in both.
    entries: AtomicUsize,
}

/// The entries of all families.
pub(super) struct Dirty {
    parts: [Part; Family::ALL.len()],
    hasher: RandomState,
    bytes: AtomicUsize,
}

impl Dirty {
    pub(super) fn new() -> Self {
        let hasher = RandomState::default();
        let table = || Table::with_hasher(hasher.clone());
        let shard = || Mutex::new(Shard { fresh: table(), draining: Arc::default() });
        let part = || Part { shards: (0..SHARDS).map(|_| shard()).collect(), entries: AtomicUsize::new(0) };
        Self { parts: Family::ALL.map(|_| part()), hasher, bytes: AtomicUsize::new(0) }
    }

    /// Bytes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many entries of a family are not in RocksDB yet; none are if it is 0.
    pub(super) fn entries(&self, family: Family) -> usize {
        self.parts[family as usize].entries.load(Ordering::Acquire)
    }

    /// How many entries the family with the most of them has.
    pub(super) fn most_entries(&self) -> usize {
        self.parts.iter().map(|part| part.entries.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    fn shard(&self, family: Family, key: &[u8]) -> &Mutex<Shard> {
        // The tables use the low bits of the same hash for their slots and the top seven for tags.
        let hash = self.hasher.hash_one(key);
        &self.parts[family as usize].shards[(hash >> 32) as usize & (SHARDS - 1)]
    }

    /// The value of a key, if it is not in RocksDB yet.
    pub(super) fn get(&self, family: Family, key: &[u8]) -> Option<Value> {
        if self.entries(family) == 0 {
            return None;
        }
        let shard = self.shard(family, key).lock();
        shard.fresh.get(key).or_else(|| shard.draining.get(key)).cloned()
    }

    /// Takes over the puts and deletions of a commit.
    pub(super) fn insert(&self, changes: Vec<Change>) {
        let (mut more, mut less) = (0, 0);
        for change in changes {
            let (family, key, value) = match change {
                Change::Put { family, key, value } => (family, key, Some(value)),
                Change::Delete { family, key } => (family, key, None),
                Change::DeleteRange { .. } => continue,
            };
            let added = key.len() + OVERHEAD_BYTES;
            more += value.as_ref().map_or(0, Bytes::len);
            // Counted first: nobody may find it in the table and think that there is none.
            let entries = &self.parts[family as usize].entries;
            entries.fetch_add(1, Ordering::AcqRel);
            let mut shard = self.shard(family, &key).lock();
            if value.is_none() && family == Family::Expiry && shard.forget(&key) {
                // A deadline that RocksDB never heard of. One it did hear of before would be stale there,
                // and whoever walks deadlines looks at the records.
                less += key.len() + OVERHEAD_BYTES;
                entries.fetch_sub(2, Ordering::AcqRel);
                continue;
            }
            let former = shard.fresh.insert(key, value);
            drop(shard);
            match former {
                None => more += added,
                Some(former) => {
                    less += former.as_ref().map_or(0, Bytes::len);
                    entries.fetch_sub(1, Ordering::AcqRel);
                }
            }
        }
        if more >= less {
            self.bytes.fetch_add(more - less, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(less - more, Ordering::Relaxed);
        }
    }

    /// What is fresh becomes what is draining, unless a drain before has failed: then its entries stay.
    pub(super) fn begin_drain(&self, family: Family) {
        if self.entries(family) == 0 {
            return;
        }
        for shard in &self.parts[family as usize].shards {
            let mut shard = shard.lock();
            if shard.draining.is_empty() && !shard.fresh.is_empty() {
                // As many are likely to come again.
                let next = Table::with_capacity_and_hasher(shard.fresh.len(), self.hasher.clone());
                shard.draining = Arc::new(std::mem::replace(&mut shard.fresh, next));
            }
        }
    }

    /// The entries that are draining.
    pub(super) fn draining(&self, family: Family) -> Draining {
        let shards = &self.parts[family as usize].shards;
        let tables = shards.iter().map(|shard| shard.lock().draining.clone());
        Draining(tables.filter(|table| !table.is_empty()).collect())
    }

    /// The entries that no drain has taken yet, in no order.
    pub(super) fn fresh(&self, family: Family) -> Vec<(Bytes, Value)> {
        let mut all = Vec::new();
        for shard in &self.parts[family as usize].shards {
            let shard = shard.lock();
            all.extend(shard.fresh.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        all
    }

    /// What was draining is in RocksDB.
    pub(super) fn end_drain(&self, family: Family) {
        let part = &self.parts[family as usize];
        for shard in &part.shards {
            let drained = std::mem::take(&mut shard.lock().draining);
            if drained.is_empty() {
                continue;
            }
            let bytes =
                |(key, value): (&Bytes, &Value)| key.len() + OVERHEAD_BYTES + value.as_ref().map_or(0, Bytes::len);
            let bytes: usize = drained.iter().map(bytes).sum();
            part.entries.fetch_sub(drained.len(), Ordering::AcqRel);
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

/// The entries of one family that a drain has taken.
pub(super) struct Draining(Vec<Arc<Table>>);

impl Draining {
    /// All, in the order of their keys.
    pub(super) fn sorted(&self) -> Vec<(&Bytes, &Value)> {
        let all = || self.0.iter().flat_map(|table| table.iter());
        let Some((first, _)) = all().next() else { return Vec::new() };
        // Keys begin alike. What follows is compared as a number, which is in the processor's cache.
        let alike = all().fold(first.len(), |alike, (key, _)| {
            first[..alike].iter().zip(key.iter()).take_while(|(one, other)| one == other).count()
        });
        let number = |key: &[u8]| {
            let mut bytes = [0; 8];
            let length = (key.len() - alike).min(8);
            bytes[..length].copy_from_slice(&key[alike..alike + length]);
            u64::from_be_bytes(bytes)
        };
        let mut numbered: Vec<_> = all().map(|(key, value)| (number(key), key, value)).collect();
        numbered.sort_unstable_by(|one, other| one.0.cmp(&other.0).then_with(|| one.1.cmp(other.1)));
        numbered.into_iter().map(|(_, key, value)| (key, value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put(key: &str, value: &str) -> Change {
        Change::Put {
            family: Family::Keys,
            key: Bytes::copy_from_slice(key.as_bytes()),
            value: Bytes::copy_from_slice(value.as_bytes()),
        }
    }

    fn delete(key: &str) -> Change {
        Change::Delete { family: Family::Keys, key: Bytes::copy_from_slice(key.as_bytes()) }
    }

    fn get(dirty: &Dirty, key: &str) -> Option<Value> {
        dirty.get(Family::Keys, key.as_bytes())
    }

    #[test]
    fn the_newest_value_counts_and_nothing_is_lost_in_a_drain() {
        let dirty = Dirty::new();
        dirty.insert(vec![put("a", "1"), put("b", "1"), put("a", "two"), delete("c")]);
        assert_eq!(get(&dirty, "a"), Some(Some("two".into())));
        assert_eq!(get(&dirty, "c"), Some(None));
        assert_eq!(get(&dirty, "d"), None);
        assert_eq!(dirty.get(Family::Data, b"a"), None);
        assert_eq!(dirty.entries(Family::Keys), 3);
        dirty.begin_drain(Family::Keys);
        dirty.insert(vec![put("b", "2")]);
        assert_eq!(get(&dirty, "a"), Some(Some("two".into())));
        assert_eq!(get(&dirty, "b"), Some(Some("2".into())));
        let names = |dirty: &Dirty| {
            let draining = dirty.draining(Family::Keys);
            draining.sorted().into_iter().map(|(key, _)| key.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&dirty), ["a", "b", "c"]);
        // A drain that failed: the next one is about the same entries.
        dirty.begin_drain(Family::Keys);
        assert_eq!(names(&dirty), ["a", "b", "c"]);
        dirty.end_drain(Family::Keys);
        assert_eq!(get(&dirty, "a"), None);
        assert_eq!(get(&dirty, "b"), Some(Some("2".into())));
        assert_eq!(dirty.entries(Family::Keys), 1);
    }

    proptest! {
        #[test]
        fn draining_entries_are_sorted(
            prefix in "[a-c]{0,9}",
            keys in prop::collection::btree_set(prop::collection::vec(0u8..3, 0..12), 0..60),
        ) {
            let key = |key: &Vec<u8>| Bytes::from([prefix.as_bytes(), key].concat());
            let dirty = Dirty::new();
            dirty.insert(keys.iter().map(|name| Change::Delete { family: Family::Data, key: key(name) }).collect());
            dirty.begin_drain(Family::Data);
            let draining = dirty.draining(Family::Data);
            let sorted: Vec<_> = draining.sorted().into_iter().map(|(key, _)| key.clone()).collect();
            prop_assert_eq!(sorted, keys.iter().map(key).collect::<Vec<_>>());
        }
    }

    #[test]
    fn deadlines_that_come_and_go_between_two_drains_leave_nothing() {
        let dirty = Dirty::new();
        let deadline = || Bytes::from_static(b"deadline");
        let put = || vec![Change::Put { family: Family::Expiry, key: deadline(), value: Bytes::new() }];
        let delete = || vec![Change::Delete { family: Family::Expiry, key: deadline() }];
        dirty.insert(put());
        dirty.insert(delete());
        assert_eq!((dirty.bytes(), dirty.entries(Family::Expiry)), (0, 0));
        dirty.insert(put());
        dirty.begin_drain(Family::Expiry);
        dirty.insert(put());
        dirty.insert(delete());
        assert_eq!(dirty.get(Family::Expiry, b"deadline"), Some(None), "a drain may have written it");
    }

    #[test]
    fn bytes_and_entries_come_to_nothing_when_all_is_drained() {
        let dirty = Dirty::new();
        for round in 0..5 {
            dirty.insert((0..200).map(|key| put(&key.to_string(), &"x".repeat(round * 10))).collect());
            dirty.insert((0..50).map(|key| delete(&key.to_string())).collect());
            assert!(dirty.bytes() >= 200 * OVERHEAD_BYTES);
            if round % 2 == 1 {
                dirty.begin_drain(Family::Keys);
            }
        }
        for _ in 0..2 {
            dirty.begin_drain(Family::Keys);
            dirty.end_drain(Family::Keys);
        }
        assert_eq!((dirty.bytes(), dirty.entries(Family::Keys)), (0, 0));
    }
}
