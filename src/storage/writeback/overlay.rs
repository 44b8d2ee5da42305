//! Changes of the log that RocksDB will not be given, in order, over what it holds: those of a database
//! that is opened for reading only, and those that it refuses for the time being.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::dirty::Value;
use crate::base::Result;
use crate::storage::{self, Change, Family, KeyRange};

/// Changes of one family.
#[derive(Default)]
pub(super) struct Layer {
    entries: BTreeMap<Bytes, Value>,
    /// What is deleted below the entries.
    cleared: Vec<(Bytes, Bytes)>,
}

impl Layer {
    /// Of single entries.
    pub(super) fn of(entries: impl IntoIterator<Item = (Bytes, Value)>) -> Self {
        Self { entries: entries.into_iter().collect(), cleared: Vec::new() }
    }

    fn clear(&mut self, from: Bytes, to: Bytes) {
        if from < to {
            let gone: Vec<Bytes> = self.entries.range(from.clone()..to.clone()).map(|(key, _)| key.clone()).collect();
            gone.iter().for_each(|key| drop(self.entries.remove(key)));
            self.cleared.push((from, to));
        }
    }

    fn is_cleared(&self, key: &[u8]) -> bool {
        self.cleared.iter().any(|(from, to)| key >= &from[..] && key < &to[..])
    }

    /// What this layer says of a key; `None` if nothing.
    fn get(&self, key: &[u8]) -> Option<Value> {
        self.entries.get(key).cloned().or_else(|| self.is_cleared(key).then_some(None))
    }
}

/// Changes of all families.
#[derive(Default)]
pub(super) struct Overlay {
    layers: [Arc<Layer>; Family::ALL.len()],
}

impl Overlay {
    /// One layer a family, in the order of [`Family::ALL`].
    pub(super) fn of(layers: [Layer; Family::ALL.len()]) -> Self {
        Self { layers: layers.map(Arc::new) }
    }

    /// Puts changes on top. Only while no cursor walks.
    pub(super) fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            let (family, key, value) = match change {
                Change::Put { family, key, value } => (family, key, Some(value)),
                Change::Delete { family, key } => (family, key, None),
                Change::DeleteRange { family, from, to } => {
                    if let Some(layer) = Arc::get_mut(&mut self.layers[family as usize]) {
                        layer.clear(from, to);
                    }
                    continue;
                }
            };
            if let Some(layer) = Arc::get_mut(&mut self.layers[family as usize]) {
                layer.entries.insert(key, value);
            }
        }
    }

    pub(super) fn get(&self, family: Family, key: &[u8]) -> Option<Value> {
        self.layers[family as usize].get(key)
    }

    /// A cursor over a family: the changes and what `below`, which walks the same range, shows.
    pub(super) fn over(
        &self,
        below: Box<dyn storage::Cursor>,
        family: Family,
        range: KeyRange,
    ) -> Box<dyn storage::Cursor> {
        let layer = &self.layers[family as usize];
        if layer.entries.is_empty() && layer.cleared.is_empty() {
            return below;
        }
        Box::new(Cursor::new(below, layer.clone(), range))
    }
}

/// A cursor over a layer and what lies below.
pub(super) struct Cursor {
    below: Box<dyn storage::Cursor>,
    layer: Arc<Layer>,
    range: KeyRange,
    at: Option<(Bytes, Bytes)>,
    /// Which way `below` went last: it stands at or beyond `at` in this direction.
    forward: bool,
}

impl Cursor {
    /// `below` walks the same range.
    pub(super) fn new(below: Box<dyn storage::Cursor>, layer: Arc<Layer>, range: KeyRange) -> Self {
        Self { below, layer, range, at: None, forward: true }
    }

    /// The layer's first (or last) entry between a bound and the end of the range.
    fn above(&self, bound: &Bound<Bytes>) -> Option<(Bytes, Value)> {
        let low = self.range.from.clone().map_or(Bound::Unbounded, Bound::Included);
        let high = self.range.to.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let found = if self.forward {
            let low = if later(bound, &low) { bound.clone() } else { low };
            if is_empty(&low, &high) { None } else { self.layer.entries.range((low, high)).next() }
        } else {
            let high = if sooner(bound, &high) { bound.clone() } else { high };
            if is_empty(&low, &high) { None } else { self.layer.entries.range((low, high)).next_back() }
        };
        found.map(|(key, value)| (key.clone(), value.clone()))
    }

    /// Stands on the first entry from `bound` on; `below` stands on its own first there.
    fn settle(&mut self, mut bound: Bound<Bytes>) -> Result<()> {
        self.at = None;
        loop {
            let above = self.above(&bound);
            let below = self.below.entry().map(|(key, _)| Bytes::copy_from_slice(key));
            let above_is_next = match (&above, &below) {
                (None, None) => return Ok(()),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((above, _)), Some(below)) => {
                    if self.forward {
                        above <= below
                    } else {
                        above >= below
                    }
                }
            };
            if let (true, Some((key, value))) = (above_is_next, above) {
                if below.as_ref() == Some(&key) {
                    self.step_below()?;
                }
                match value {
                    Some(value) => {
                        self.at = Some((key, value));
                        return Ok(());
                    }
                    None => bound = Bound::Excluded(key),
                }
                continue;
            }
            let Some((key, value)) = self.below.entry() else { return Ok(()) };
            if self.layer.is_cleared(key) {
                self.step_below()?;
                continue;
            }
            self.at = Some((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            return self.step_below();
        }
    }

    fn step_below(&mut self) -> Result<()> {
        if self.forward { self.below.next() } else { self.below.prev() }
    }

    /// One step from where the cursor stands.
    fn step(&mut self, forward: bool) -> Result<()> {
        let Some((key, _)) = self.at.take() else { return Ok(()) };
        if self.forward != forward {
            self.forward = forward;
            if forward {
                self.below.seek(&key)?
            } else {
                self.below.seek_for_prev(&key)?
            }
            if self.below.entry().is_some_and(|(below, _)| below == key) {
                self.step_below()?;
            }
        }
        self.settle(Bound::Excluded(key))
    }
}

/// Whether a lower bound begins behind another.
fn later(one: &Bound<Bytes>, other: &Bound<Bytes>) -> bool {
    match (one, other) {
        (Bound::Unbounded, _) => false,
        (_, Bound::Unbounded) => true,
        (Bound::Excluded(one), Bound::Included(other)) => one >= other,
        (Bound::Included(one) | Bound::Excluded(one), Bound::Included(other) | Bound::Excluded(other)) => one > other,
    }
}

/// Whether an upper bound ends before another.
fn sooner(one: &Bound<Bytes>, other: &Bound<Bytes>) -> bool {
    match (one, other) {
        (Bound::Unbounded, _) => false,
        (_, Bound::Unbounded) => true,
        (Bound::Excluded(one), Bound::Included(other)) => one <= other,
        (Bound::Included(one) | Bound::Excluded(one), Bound::Included(other) | Bound::Excluded(other)) => one < other,
    }
}

/// Whether nothing can lie between the bounds; maps refuse some of these.
fn is_empty(low: &Bound<Bytes>, high: &Bound<Bytes>) -> bool {
    match (low, high) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => low >= high,
    }
}

impl storage::Cursor for Cursor {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.forward = true;
        self.below.seek(key)?;
        self.settle(Bound::Included(Bytes::copy_from_slice(key)))
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<()> {
        self.forward = false;
        self.below.seek_for_prev(key)?;
        self.settle(Bound::Included(Bytes::copy_from_slice(key)))
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.forward = true;
        self.below.seek_to_first()?;
        self.settle(Bound::Unbounded)
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.forward = false;
        self.below.seek_to_last()?;
        self.settle(Bound::Unbounded)
    }

    fn next(&mut self) -> Result<()> {
        self.step(true)
    }

    fn prev(&mut self) -> Result<()> {
        self.step(false)
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.at.as_ref().map(|(key, value)| (&key[..], &value[..]))
    }
}
