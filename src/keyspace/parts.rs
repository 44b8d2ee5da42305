//! The parts of large objects, as a transaction sees and writes them: single ones, several at
//! once, and in order ([`Scan`]), always what the engine holds overlaid by its own writes.

use std::ops::Bound;

use bytes::Bytes;

use super::tx::{Parts, Tx, Undo};
use crate::base::Result;
use crate::encoding::key::{ObjectId, part_key};
use crate::storage::{Cursor, Engine, Family, KeyRange, View};

/// Larger parts are not worth their place in the record cache.
const CACHED_PART_BYTES: usize = 4 << 10;

/// The key of a part in the record cache: `0xff` (no keyspace's number begins so), the family, the
/// stored key.
#[derive(Clone)]
pub(super) struct CachedKey(Vec<u8>);

impl CachedKey {
    /// Of a part as it is stored.
    pub(super) fn new(family: Family, stored: &[u8]) -> Self {
        Self([&[0xff, family as u8], stored].concat())
    }

    fn of(family: Family, object: ObjectId, part: &[u8]) -> Self {
        Self([&[0xff, family as u8][..], &object.0.to_be_bytes(), part].concat())
    }

    /// Makes it the key of another part of the same object.
    fn set_part(&mut self, part: &[u8]) {
        self.0.truncate(2 + size_of::<u64>());
        self.0.extend_from_slice(part);
    }

    fn stored(&self) -> &[u8] {
        &self.0[2..]
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How the engine reads several keys.
type ReadMany = fn(&(dyn Engine + 'static), Family, &[&[u8]], &View) -> Result<Vec<Option<Bytes>>>;

/// Which way a scan walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward,
    Backward,
}

impl Tx {
    /// A fresh object id.
    ///
    /// # Errors
    /// When the engine fails to reserve ids.
    pub fn new_object(&mut self) -> Result<ObjectId> {
        self.store.new_object_id()
    }

    pub(super) fn overlay(&self, family: Family) -> &Parts {
        if family == Family::Scores { &self.scores } else { &self.data }
    }

    pub(super) fn overlay_mut(&mut self, family: Family) -> &mut Parts {
        if family == Family::Scores { &mut self.scores } else { &mut self.data }
    }

    /// One part of a large object.
    ///
    /// # Errors
    /// `NotInMemory` if it is on disk only and the tier does not reach there.
    pub fn part(&mut self, family: Family, object: ObjectId, part: &[u8]) -> Result<Option<Bytes>> {
        let cached_key = CachedKey::of(family, object, part);
        if let Some(known) = self.at_hand(family, &cached_key) {
            return Ok(known);
        }
        self.reads += 1;
        let value = self.store.engine.get(family, cached_key.stored(), &self.view)?;
        if let Some(value) = value.as_ref().filter(|_| self.view.snapshot.is_none()) {
            self.cache_part(&cached_key, value);
        }
        Ok(value)
    }

    /// One part, if it is among this transaction's own writes or in the cache.
    pub fn part_at_hand(&mut self, family: Family, object: ObjectId, part: &[u8]) -> Option<Bytes> {
        self.at_hand(family, &CachedKey::of(family, object, part)).flatten()
    }

    /// The same; the inner `None` is a part that this transaction has deleted.
    fn at_hand(&mut self, family: Family, key: &CachedKey) -> Option<Option<Bytes>> {
        let overlay = self.overlay(family);
        if !overlay.is_empty()
            && let Some(pending) = overlay.get(key.stored())
        {
            return Some(pending.clone());
        }
        if self.view.snapshot.is_some() {
            return None;
        }
        let entry = self.store.cache.get(&key.0)?;
        self.reads += 1;
        Some(Some(entry.record()))
    }

    /// Keeps a part that was read in the cache, if it belongs to the one key that this command has looked at, or
    /// to one whose lock is held.
    fn cache_part(&self, key: &CachedKey, value: &Bytes) {
        if value.len() > CACHED_PART_BYTES {
            return;
        }
        match self.observed() {
            // The record is this transaction's own, so its lock is held.
            [] => self.store.cache.insert(&key.0, value.clone()),
            [(stripe, _)] if self.locks.holds(*stripe) => self.store.cache.insert(&key.0, value.clone()),
            [(stripe, version)] => self.store.fill_cache(&key.0, *stripe, *version, value.clone()),
            _ => {}
        }
    }

    /// Several parts of a large object, in their order; reads that miss memory run together.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn parts(&mut self, family: Family, object: ObjectId, parts: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        self.parts_by(family, object, parts, <dyn Engine>::multi_get)
    }

    /// The same for parts in ascending order between which hardly any others lie.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn part_run(&mut self, family: Family, object: ObjectId, parts: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        self.parts_by(family, object, parts, <dyn Engine>::get_run)
    }

    fn parts_by(
        &mut self,
        family: Family,
        object: ObjectId,
        parts: &[&[u8]],
        read: ReadMany,
    ) -> Result<Vec<Option<Bytes>>> {
        let mut found = Vec::with_capacity(parts.len());
        let mut missing = Vec::new();
        let mut key = CachedKey::of(family, object, &[]);
        for (place, part) in parts.iter().enumerate() {
            key.set_part(part);
            let known = self.at_hand(family, &key);
            if known.is_none() {
                missing.push((place, key.clone()));
            }
            found.push(known.flatten());
        }
        if missing.is_empty() {
            return Ok(found);
        }
        self.reads += missing.len() as u32;
        let stored: Vec<&[u8]> = missing.iter().map(|(_, key)| key.stored()).collect();
        let values = read(&*self.store.engine, family, &stored, &self.view)?;
        for ((place, key), value) in missing.iter().zip(values) {
            if let Some(value) = value.as_ref().filter(|_| self.view.snapshot.is_none()) {
                self.cache_part(key, value);
            }
            if let Some(slot) = found.get_mut(*place) {
                *slot = value;
            }
        }
        Ok(found)
    }

    /// Sets a part.
    pub fn put_part(&mut self, family: Family, object: ObjectId, part: &[u8], value: impl Into<Bytes>) {
        self.write_part(family, part_key(object, part).into(), Some(value.into()));
    }

    /// Deletes a part.
    pub fn delete_part(&mut self, family: Family, object: ObjectId, part: &[u8]) {
        self.write_part(family, part_key(object, part).into(), None);
    }

    /// Deletes every part of `from..to` at a cost that does not depend on how many there are. For
    /// parts that nothing refers to any more: reads of this transaction still find them, until
    /// one is written anew. Range tombstones slow readers down, so a few parts are better
    /// deleted one by one.
    pub fn delete_parts(&mut self, family: Family, object: ObjectId, from: &[u8], to: &[u8]) {
        let (from, to) = (Bytes::from(part_key(object, from)), Bytes::from(part_key(object, to)));
        if from >= to {
            return;
        }
        let written: Vec<Bytes> =
            self.overlay(family).range(from.clone()..to.clone()).map(|(key, _)| key.clone()).collect();
        for key in written {
            self.write_part(family, key, None);
        }
        self.parts_written += 1;
        self.cleared.push((family, from, to));
    }

    fn write_part(&mut self, family: Family, key: Bytes, value: Option<Bytes>) {
        self.parts_written += 1;
        let previous = self.overlay_mut(family).insert(key.clone(), value);
        self.undo.push(Undo::Part(family, key, previous));
    }

    /// How many part writes there were so far: tells whether a closure changed anything.
    pub(super) fn parts_written(&self) -> u64 {
        self.parts_written
    }

    /// Walks the parts of an object from `from` (inclusive; `None`: the end it starts at) within
    /// `prefix`. Sees this transaction's writes as of now.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn scan(
        &mut self,
        family: Family,
        object: ObjectId,
        prefix: &[u8],
        from: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Scan> {
        let start = from.map(|from| part_key(object, from));
        self.scan_range(family, KeyRange::prefix(&part_key(object, prefix)), start, direction)
    }

    /// Walks the parts `from..to` of an object, and looks at nothing beyond them.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn scan_between(
        &mut self,
        family: Family,
        object: ObjectId,
        from: &[u8],
        to: &[u8],
        direction: Direction,
    ) -> Result<Scan> {
        let range = KeyRange { from: Some(part_key(object, from).into()), to: Some(part_key(object, to).into()) };
        self.scan_range(family, range, None, direction)
    }

    fn scan_range(
        &mut self,
        family: Family,
        range: KeyRange,
        start: Option<Vec<u8>>,
        direction: Direction,
    ) -> Result<Scan> {
        self.reads += 2;
        let pending = self.pending_in(family, &range, start.as_deref(), direction);
        let mut cursor = self.store.engine.cursor(family, range, &self.view)?;
        match (&start, direction) {
            (Some(start), Direction::Forward) => cursor.seek(start)?,
            (Some(start), Direction::Backward) => cursor.seek_for_prev(start)?,
            (None, Direction::Forward) => cursor.seek_to_first()?,
            (None, Direction::Backward) => cursor.seek_to_last()?,
        }
        Ok(Scan { cursor, pending: pending.into_iter().peekable(), direction, shown: false })
    }

    fn pending_in(
        &self,
        family: Family,
        range: &KeyRange,
        start: Option<&[u8]>,
        direction: Direction,
    ) -> Vec<(Bytes, Option<Bytes>)> {
        let overlay = self.overlay(family);
        if overlay.is_empty() {
            return Vec::new();
        }
        let low = range.from.as_deref().map_or(Bound::Unbounded, Bound::Included);
        let high = range.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let entries = overlay.range::<[u8], _>((low, high)).map(|(key, value)| (key.clone(), value.clone()));
        match direction {
            Direction::Forward => entries.filter(|(key, _)| start.is_none_or(|start| &key[..] >= start)).collect(),
            Direction::Backward => {
                entries.rev().filter(|(key, _)| start.is_none_or(|start| &key[..] <= start)).collect()
            }
        }
    }
}

/// Parts in order: what the engine holds, overlaid by what the transaction wrote.
pub struct Scan {
    cursor: Box<dyn Cursor>,
    pending: std::iter::Peekable<std::vec::IntoIter<(Bytes, Option<Bytes>)>>,
    direction: Direction,
    /// The cursor stands on what was shown or overlaid. It moves on only when more is asked for:
    /// behind the last part that anybody wants may lie many deleted ones.
    shown: bool,
}

impl Scan {
    /// The next part (without the object id) and its value.
    ///
    /// # Errors
    /// `NotInMemory` if it is on disk only and the tier does not reach there.
    #[allow(clippy::should_implement_trait, reason = "fallible, and it borrows nothing")]
    pub fn next(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        loop {
            if std::mem::take(&mut self.shown) {
                match self.direction {
                    Direction::Forward => self.cursor.next()?,
                    Direction::Backward => self.cursor.prev()?,
                }
            }
            let stored = self.cursor.entry();
            let order = match (stored, self.pending.peek()) {
                (None, None) => return Ok(None),
                (Some(_), None) => std::cmp::Ordering::Less,
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some((key, _)), Some((pending, _))) if self.direction == Direction::Forward => key.cmp(pending),
                (Some((key, _)), Some((pending, _))) => pending[..].cmp(key),
            };
            let from_engine = stored.filter(|_| order.is_lt()).map(|(key, value)| {
                (Bytes::copy_from_slice(key.get(8..).unwrap_or_default()), Bytes::copy_from_slice(value))
            });
            self.shown = order.is_le();
            if let Some(entry) = from_engine {
                return Ok(Some(entry));
            }
            if let Some((key, Some(value))) = self.pending.next() {
                return Ok(Some((key.slice(8.min(key.len())..), value)));
            }
        }
    }
}
