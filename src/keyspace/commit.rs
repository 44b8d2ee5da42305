//! Makes a transaction true: one atomic batch of the engine, then the hot record cache,
//! key counts and databases, then word to the observer, all while the locks are held.
//!
//! The versions of the held stripes are odd from just before the batch to just after the
//! cache is up to date, so a lock-free reader that overlapped it notices.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::databases::DatabaseIndex;
use super::parts::CachedKey;
use super::store::{KeyCount, Store};
use super::tx::{Before, Deadlines, Outline, Pending, Tx, Use};
use crate::base::{Error, Result};
use crate::encoding::key::{
    KeyspaceId, Lapsing, ObjectId, expiry_key, reclaim_keyspace_key, reclaim_object_key, split_record_key,
};
use crate::encoding::record::Record;
use crate::storage::cache::clock_seconds;
use crate::storage::{Change, CommitOptions, Durability, Family, after_prefix};

impl Tx {
    /// Commits and gives the locks back. `origin` is the client it is done for.
    ///
    /// # Errors
    /// `WouldStall` if it may not wait but would have to: the transaction stands as it
    /// was, locks held, and can be committed again where waiting is allowed. On any other
    /// error nothing was written and the transaction is empty.
    pub fn commit(&mut self, may_wait: bool, origin: u64) -> Result<()> {
        if self.is_clean() {
            self.abandon();
            return Ok(());
        }
        let changes = self.changes();
        if !changes.is_empty() {
            self.locks.step_versions();
            let count = changes.len();
            let options = CommitOptions { may_wait, durability: Durability::Kernel };
            let done = self.store.engine.commit(changes, options);
            if done.is_ok() {
                self.store.note_changes(count);
                self.publish();
            }
            self.locks.step_versions();
            match done {
                Err(Error::WouldStall) => return Err(Error::WouldStall),
                Err(error) => {
                    self.abandon();
                    return Err(error);
                }
                Ok(()) => {}
            }
        }
        if !self.commit.is_empty() {
            self.store.tell(&self.commit, origin, &mut self.locks);
        }
        self.abandon();
        Ok(())
    }

    fn changes(&mut self) -> Vec<Change> {
        self.drop_parts_of_reclaimed();
        let mut changes = Vec::with_capacity(self.records.len() + self.data.len() + self.scores.len() + 2);
        for (key, pending) in &self.records {
            record_changes(key, pending, &mut changes);
        }
        let cleared = self.cleared.iter().cloned();
        changes.extend(cleared.map(|(family, from, to)| Change::DeleteRange { family, from, to }));
        part_changes(Family::Data, &self.data, &mut changes);
        part_changes(Family::Scores, &self.scores, &mut changes);
        changes.extend(self.extra.iter().cloned());
        changes.extend(self.fact_changes.iter().cloned());
        for object in &self.reclaims {
            changes.push(put(Family::System, reclaim_object_key(*object), Bytes::new()));
        }
        if let Some(map) = &self.databases {
            changes.extend(self.store.databases.changes(map));
        }
        for keyspace in &self.flushed {
            changes.push(put(Family::System, reclaim_keyspace_key(*keyspace), Bytes::new()));
        }
        changes
    }

    /// Parts written for an object that is gone by the end of the transaction need not be stored.
    fn drop_parts_of_reclaimed(&mut self) {
        for object in &self.reclaims {
            let prefix = object.0.to_be_bytes();
            for parts in [&mut self.data, &mut self.scores] {
                if !parts.is_empty() {
                    parts.retain(|key, _| !key.starts_with(&prefix));
                }
            }
            self.cleared.retain(|(_, from, _)| !from.starts_with(&prefix));
        }
    }

    /// What the engine now holds becomes what everybody sees.
    fn publish(&mut self) {
        let store = self.store.clone();
        store.counters.commits.fetch_add(1, Ordering::Relaxed);
        let moved = self.databases.take();
        if let Some(map) = &moved {
            store.move_counts(map);
            store.databases.publish(map);
        }
        for (key, pending) in self.records.drain() {
            match &moved {
                None => store.count(pending.db, &pending),
                // The database that shows this keyspace now, if any still does.
                Some(map) => {
                    let keyspace = split_record_key(&key).map(|(keyspace, _)| keyspace);
                    let shown = map.iter().position(|id| Some(*id) == keyspace);
                    shown.into_iter().for_each(|db| store.count(db as DatabaseIndex, &pending));
                }
            }
            match pending.after {
                Some(record) => match &pending.cached {
                    Some(former) => store.cache.replace(&key, former, record),
                    None => store.cache.insert(key, record),
                },
                None => store.cache.remove(&key),
            }
        }
        for (family, parts) in [(Family::Data, &self.data), (Family::Scores, &self.scores)] {
            for (key, value) in parts {
                store.cache.update(CachedKey::new(family, key).bytes(), value.as_ref());
            }
        }
        for (key, of_late) in self.uses.drain(..) {
            if let Some(entry) = store.cache.peek(&key) {
                match of_late {
                    Use::Idle { seconds } => entry.access.assume_idle(clock_seconds(), seconds),
                    Use::Frequency { count } => entry.access.assume_frequency(clock_seconds(), count),
                }
            }
        }
        if !(self.reclaims.is_empty() && self.flushed.is_empty()) {
            store.reclaim_bell.notify_one();
        }
    }
}

fn put(family: Family, key: Vec<u8>, value: Bytes) -> Change {
    Change::Put { family, key: key.into(), value }
}

fn delete(family: Family, key: Vec<u8>) -> Change {
    Change::Delete { family, key: key.into() }
}

fn part_changes<'a>(
    family: Family,
    parts: impl IntoIterator<Item = (&'a Bytes, &'a Option<Bytes>)>,
    changes: &mut Vec<Change>,
) {
    changes.extend(parts.into_iter().map(|(key, value)| match value {
        Some(value) => Change::Put { family, key: key.clone(), value: value.clone() },
        None => Change::Delete { family, key: key.clone() },
    }));
}

/// The record itself, its place in the expiry index, and its object's directory entry.
fn record_changes(key: &Bytes, pending: &Pending, changes: &mut Vec<Change>) {
    let (old_deadlines, old_object) = match pending.before {
        Before::Present { deadlines, object } => (deadlines, object),
        Before::Absent | Before::Unknown => (Deadlines::default(), None),
    };
    let (new_deadlines, new_object) = pending.outline;
    match &pending.after {
        Some(record) => changes.push(Change::Put { family: Family::Keys, key: key.clone(), value: record.clone() }),
        None if matches!(pending.before, Before::Absent) => {}
        None => changes.push(Change::Delete { family: Family::Keys, key: key.clone() }),
    }
    if old_deadlines != new_deadlines {
        index_changes(key, Lapsing::Key, old_deadlines.key_ms, new_deadlines.key_ms, changes);
        index_changes(key, Lapsing::Elements, old_deadlines.element_ms, new_deadlines.element_ms, changes);
    }
    match (old_object, new_object) {
        (old, new) if old == new => {}
        (_, Some(object)) => changes.push(Change::Put {
            family: Family::Objects,
            key: key.clone(),
            value: Bytes::copy_from_slice(&object.0.to_be_bytes()),
        }),
        (_, None) => changes.push(Change::Delete { family: Family::Objects, key: key.clone() }),
    }
}

/// Moves an entry of the expiry index.
fn index_changes(key: &Bytes, what: Lapsing, old_ms: Option<u64>, new_ms: Option<u64>, changes: &mut Vec<Change>) {
    let Some((keyspace, user_key)) = split_record_key(key).filter(|_| old_ms != new_ms) else { return };
    let index_key = |deadline| expiry_key(keyspace, deadline, what, user_key);
    changes.extend(old_ms.map(|deadline| delete(Family::Expiry, index_key(deadline))));
    changes.extend(new_ms.map(|deadline| put(Family::Expiry, index_key(deadline), Bytes::new())));
}

/// Deadlines and object of an encoded record of ours.
pub(super) fn outline(record: Option<&Bytes>) -> Outline {
    match record.map(Record::decode) {
        Some(Ok(record)) => (Deadlines::of(&record), record.object()),
        _ => (Deadlines::default(), None),
    }
}

/// What is known of a database's keys, to be moved to another.
#[derive(Clone, Copy)]
struct Known {
    keys: i64,
    unknown: u64,
    expires: i64,
    counted: bool,
}

impl Known {
    /// Of a database without keys.
    const EMPTY: Self = Self { keys: 0, unknown: 0, expires: 0, counted: true };

    fn of(count: &KeyCount) -> Self {
        Self {
            keys: count.keys.load(Ordering::Relaxed),
            unknown: count.unknown.load(Ordering::Relaxed),
            expires: count.expires.load(Ordering::Relaxed),
            counted: count.counted.load(Ordering::Acquire),
        }
    }

    fn put(self, count: &KeyCount) {
        count.set(|count| {
            count.keys.store(self.keys, Ordering::Relaxed);
            count.unknown.store(self.unknown, Ordering::Relaxed);
            count.expires.store(self.expires, Ordering::Relaxed);
            count.counted.store(self.counted, Ordering::Release);
        });
    }
}

impl Store {
    /// Keeps the key count of the record's database, and the earliest deadline.
    fn count(&self, db: DatabaseIndex, pending: &Pending) {
        let Some(count) = self.counts.get(db as usize) else { return };
        match (&pending.before, pending.after.is_some()) {
            (Before::Absent, true) => {
                count.keys.fetch_add(1, Ordering::Relaxed);
            }
            (Before::Present { .. }, false) => {
                count.keys.fetch_sub(1, Ordering::Relaxed);
            }
            (Before::Unknown, _) => {
                count.unknown.fetch_add(1, Ordering::Relaxed);
            }
            (Before::Absent, false) | (Before::Present { .. }, true) => {}
        }
        let Deadlines { key_ms, element_ms } = pending.outline.0;
        let had_deadline = matches!(&pending.before, Before::Present { deadlines, .. } if deadlines.key_ms.is_some());
        match (had_deadline, key_ms.is_some()) {
            (false, true) => {
                count.expires.fetch_add(1, Ordering::Relaxed);
            }
            (true, false) => {
                count.expires.fetch_sub(1, Ordering::Relaxed);
            }
            _ => {}
        }
        for deadline in [key_ms, element_ms].into_iter().flatten() {
            self.note_deadline(deadline);
        }
    }

    /// Key counts go with their keyspaces; a keyspace that no database showed before is empty.
    /// Cached records of flushed keyspaces cannot be asked for again; the reclaimer takes them out.
    fn move_counts(&self, map: &[KeyspaceId]) {
        let before = self.databases.snapshot();
        let known: Vec<Known> = self.counts.iter().map(Known::of).collect();
        for (count, keyspace) in self.counts.iter().zip(map) {
            let former = before.iter().position(|id| id == keyspace).and_then(|db| known.get(db));
            former.copied().unwrap_or(Known::EMPTY).put(count);
        }
    }

    /// A key will lapse at `deadline_ms`: the expiry walker must not sleep past it.
    pub(super) fn note_deadline(&self, deadline_ms: u64) {
        if deadline_ms < self.next_deadline_ms.load(Ordering::Relaxed) {
            self.next_deadline_ms.fetch_min(deadline_ms, Ordering::Relaxed);
            self.expiry_bell.notify_one();
        }
    }
}

/// The range of all parts of an object.
pub(super) fn object_range(object: ObjectId) -> (Bytes, Option<Bytes>) {
    let from = Bytes::copy_from_slice(&object.0.to_be_bytes());
    let to = after_prefix(&from).map(Bytes::from);
    (from, to)
}
