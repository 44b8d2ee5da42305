//! Gives back the space of deleted objects and flushed keyspaces. What is to be reclaimed
//! stands in `system` since the commit that let go of it, so a restart takes up where
//! the last run stopped.
//!
//! Steps here wait, so they run on the I/O pool; the server's reclaim task calls them.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::commit::object_range;
use super::store::{Store, WAITING};
use crate::base::Result;
use crate::encoding::key::{KeyspaceId, ObjectId, keyspace_prefix, reclaim_keyspace_key, reclaim_object_key, system};
use crate::storage::{Change, Compaction, Family, KeyRange, Tier, View, after_prefix};

/// Objects reclaimed in one step.
const OBJECTS_PER_STEP: usize = 256;
/// Objects of up to this many parts are deleted part by part: range tombstones slow readers down.
const SMALL_OBJECT_PARTS: usize = 128;
/// Table bytes from which a range is rewritten to give its space back at once.
const REWRITE_FROM_BYTES: u64 = 8 << 20;

impl Store {
    /// Resolves when there may be something to reclaim.
    pub async fn something_to_reclaim(&self) {
        self.reclaim_bell.notified().await;
    }

    /// How many objects and keyspaces wait to be reclaimed, up to `most` of each.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn reclaim_backlog(&self, most: usize) -> Result<usize> {
        Ok(self.entries(system::RECLAIM_OBJECT, most)?.len() + self.entries(system::RECLAIM_KEYSPACE, most)?.len())
    }

    /// One step; says whether more is waiting.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn reclaim_step(&self) -> Result<bool> {
        let objects = self.reclaim_objects()?;
        let keyspaces = self.reclaim_keyspaces()?;
        Ok(objects || keyspaces)
    }

    /// Numbers behind a prefix in `system`, in order.
    pub(super) fn entries(&self, prefix: &[u8], most: usize) -> Result<Vec<Bytes>> {
        let mut cursor = self.engine.cursor(Family::System, KeyRange::prefix(prefix), &View::latest(Tier::Disk))?;
        cursor.seek_to_first()?;
        let mut found = Vec::new();
        while found.len() < most
            && let Some((key, _)) = cursor.entry()
        {
            found.push(Bytes::copy_from_slice(key.get(prefix.len()..).unwrap_or_default()));
            cursor.next()?;
        }
        Ok(found)
    }

    fn reclaim_objects(&self) -> Result<bool> {
        let numbers = self.entries(system::RECLAIM_OBJECT, OBJECTS_PER_STEP)?;
        let objects: Vec<ObjectId> = numbers
            .iter()
            .filter_map(|number| <[u8; 8]>::try_from(&number[..]).ok())
            .map(|number| ObjectId(u64::from_be_bytes(number)))
            .collect();
        let mut large = Vec::new();
        for object in &objects {
            let mut changes = Vec::new();
            let whole = self.part_deletions(*object, &mut changes)?;
            changes.push(Change::Delete { family: Family::System, key: reclaim_object_key(*object).into() });
            self.engine.commit(changes, WAITING)?;
            if !whole {
                large.push(*object);
            }
            self.counters.reclaimed_objects.fetch_add(1, Ordering::Relaxed);
        }
        for object in large {
            self.give_back(object)?;
        }
        Ok(objects.len() == OBJECTS_PER_STEP)
    }

    /// Deletions of all parts of an object; says whether they were deleted one by one.
    fn part_deletions(&self, object: ObjectId, changes: &mut Vec<Change>) -> Result<bool> {
        let mut small = true;
        for family in [Family::Data, Family::Scores] {
            let (from, to) = object_range(object);
            let range = KeyRange { from: Some(from.clone()), to: to.clone() };
            let mut cursor = self.engine.cursor(family, range, &View::latest(Tier::Disk))?;
            cursor.seek_to_first()?;
            let mut parts = Vec::new();
            while parts.len() <= SMALL_OBJECT_PARTS
                && let Some((key, _)) = cursor.entry()
            {
                parts.push(Change::Delete { family, key: Bytes::copy_from_slice(key) });
                cursor.next()?;
            }
            match to {
                Some(to) if parts.len() > SMALL_OBJECT_PARTS => {
                    small = false;
                    changes.push(Change::DeleteRange { family, from, to });
                }
                _ => changes.append(&mut parts),
            }
        }
        Ok(small)
    }

    /// Makes the space of a deleted range free if it is worth the work.
    fn give_back(&self, object: ObjectId) -> Result<()> {
        let (from, to) = object_range(object);
        let range = KeyRange { from: Some(from), to };
        for family in [Family::Data, Family::Scores] {
            self.drop_files(family, &range)?;
            if self.engine.approximate_bytes(family, &range)? >= REWRITE_FROM_BYTES {
                self.engine.compact(family, &range, Compaction::Rewrite)?;
            }
        }
        Ok(())
    }

    fn reclaim_keyspaces(&self) -> Result<bool> {
        let numbers = self.entries(system::RECLAIM_KEYSPACE, 1)?;
        let Some(number) = numbers.first().and_then(|number| <[u8; 4]>::try_from(&number[..]).ok()) else {
            return Ok(false);
        };
        self.reclaim_keyspace(KeyspaceId(u32::from_be_bytes(number)))?;
        Ok(true)
    }

    /// First the objects, as long as the directory says which there are; then the records.
    fn reclaim_keyspace(&self, keyspace: KeyspaceId) -> Result<()> {
        self.cache.remove_prefix(&keyspace_prefix(keyspace));
        while self.hand_over_objects(keyspace)? {}
        let prefixes: [(Family, Vec<u8>); 3] = [
            (Family::Keys, keyspace_prefix(keyspace).to_vec()),
            (Family::Objects, keyspace_prefix(keyspace).to_vec()),
            (Family::Expiry, keyspace.0.to_be_bytes().to_vec()),
        ];
        for (family, prefix) in &prefixes {
            self.drop_files(*family, &KeyRange::prefix(prefix))?;
        }
        let mut changes: Vec<Change> = prefixes
            .iter()
            .filter_map(|(family, prefix)| {
                let to = after_prefix(prefix)?;
                Some(Change::DeleteRange { family: *family, from: prefix.clone().into(), to: to.into() })
            })
            .collect();
        changes.push(Change::Delete { family: Family::System, key: reclaim_keyspace_key(keyspace).into() });
        self.engine.commit(changes, WAITING)?;
        for (family, prefix) in &prefixes {
            self.engine.compact(*family, &KeyRange::prefix(prefix), Compaction::Rewrite)?;
        }
        Ok(())
    }

    /// Moves some of a flushed keyspace's objects to the list of objects to reclaim.
    fn hand_over_objects(&self, keyspace: KeyspaceId) -> Result<bool> {
        let range = KeyRange::prefix(&keyspace_prefix(keyspace));
        let mut cursor = self.engine.cursor(Family::Objects, range, &View::latest(Tier::Disk))?;
        cursor.seek_to_first()?;
        let mut changes = Vec::new();
        while changes.len() < 2 * OBJECTS_PER_STEP
            && let Some((key, value)) = cursor.entry()
        {
            if let Ok(number) = <[u8; 8]>::try_from(value) {
                let entry = reclaim_object_key(ObjectId(u64::from_be_bytes(number)));
                changes.push(Change::Put { family: Family::System, key: entry.into(), value: Bytes::new() });
            }
            changes.push(Change::Delete { family: Family::Objects, key: Bytes::copy_from_slice(key) });
            cursor.next()?;
        }
        let more = !changes.is_empty();
        if more {
            self.engine.commit(changes, WAITING)?;
        }
        Ok(more)
    }
}
