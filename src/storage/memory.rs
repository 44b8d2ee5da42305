//! [`MemoryEngine`]: an [`Engine`] that keeps its families in ordered maps. Tests and
//! benchmarks of the layers above run on it without a disk; a server never does.
//!
//! It can play the disk: after [`MemoryEngine::evict`] whatever is stored counts as being on disk
//! only, so a read in [`Tier::Memory`] fails with `NotInMemory` until one in [`Tier::Disk`] has
//! brought the entry back; after [`MemoryEngine::stall`] commits that may not wait fail with
//! `WouldStall`. Absent keys are known to be absent, as behind a bloom filter.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::budget::EngineBudget;
use super::{Change, CommitOptions, Compaction, Cursor, Engine, EngineFigures, Family, KeyRange, Snapshot, Tier, View};
use crate::base::{Error, Result};

type Entries = BTreeMap<Bytes, Bytes>;
/// One map a family, in the order of [`Family::ALL`].
type State = [Entries; Family::ALL.len()];

/// What is on disk only, by family and key.
type Cold = Mutex<BTreeSet<(Family, Bytes)>>;

/// An engine without a disk.
#[derive(Default)]
pub struct MemoryEngine {
    state: Mutex<Arc<State>>,
    cold: Arc<Cold>,
    stalled: AtomicBool,
    sequence: AtomicU64,
    misses: Arc<AtomicU64>,
}

/// A frozen state: the maps as they were; later commits copy what they change.
struct Frozen {
    state: Arc<State>,
    sequence: u64,
}

impl Snapshot for Frozen {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl MemoryEngine {
    /// An empty engine.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on everything stored is on disk only.
    pub fn evict(&self) {
        let state = self.state.lock().clone();
        let mut cold = self.cold.lock();
        for family in Family::ALL {
            cold.extend(state[family as usize].keys().map(|key| (family, key.clone())));
        }
    }

    /// Whether commits have to wait from now on.
    pub fn stall(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    /// Reads that failed with `NotInMemory` so far.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// How many entries a family has.
    pub fn entries(&self, family: Family) -> usize {
        self.state.lock()[family as usize].len()
    }

    fn state_of(&self, view: &View) -> Arc<State> {
        let frozen = view.snapshot.as_ref().and_then(|snapshot| snapshot.as_any().downcast_ref::<Frozen>());
        frozen.map_or_else(|| self.state.lock().clone(), |frozen| frozen.state.clone())
    }

    fn reach(&self, view: &View) -> Reach {
        Reach { tier: view.tier, cold: self.cold.clone(), misses: self.misses.clone() }
    }
}

/// How far reads go, and what that brings back into memory.
struct Reach {
    tier: Tier,
    cold: Arc<Cold>,
    misses: Arc<AtomicU64>,
}

impl Reach {
    /// Fails if the entry is on disk only and the tier ends before it.
    fn load(&self, family: Family, key: &Bytes) -> Result<()> {
        let mut cold = self.cold.lock();
        if cold.is_empty() {
            return Ok(());
        }
        let place = (family, key.clone());
        if self.tier == Tier::Disk {
            cold.remove(&place);
        } else if cold.contains(&place) {
            self.misses.fetch_add(1, Ordering::Relaxed);
            return Err(Error::NotInMemory);
        }
        Ok(())
    }
}

impl Engine for MemoryEngine {
    fn get(&self, family: Family, key: &[u8], view: &View) -> Result<Option<Bytes>> {
        let state = self.state_of(view);
        match state[family as usize].get_key_value(key) {
            None => Ok(None),
            Some((key, value)) => {
                self.reach(view).load(family, key)?;
                Ok(Some(value.clone()))
            }
        }
    }

    fn multi_get(&self, family: Family, keys: &[&[u8]], view: &View) -> Result<Vec<Option<Bytes>>> {
        keys.iter().map(|key| self.get(family, key, view)).collect()
    }

    fn cursor(&self, family: Family, range: KeyRange, view: &View) -> Result<Box<dyn Cursor>> {
        Ok(Box::new(Walker { state: self.state_of(view), family, range, at: None, reach: self.reach(view) }))
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        let state = self.state.lock().clone();
        Arc::new(Frozen { state, sequence: self.sequence.load(Ordering::Relaxed) })
    }

    fn commit(&self, changes: Vec<Change>, options: CommitOptions) -> Result<()> {
        if !options.may_wait && self.stalled.load(Ordering::Relaxed) {
            return Err(Error::WouldStall);
        }
        let mut state = self.state.lock();
        let entries = Arc::make_mut(&mut state);
        let mut cold = self.cold.lock();
        for change in changes {
            match change {
                Change::Put { family, key, value } => {
                    cold.remove(&(family, key.clone()));
                    entries[family as usize].insert(key, value);
                }
                Change::Delete { family, key } => {
                    entries[family as usize].remove(&key);
                    cold.remove(&(family, key));
                }
                Change::DeleteRange { family, from, to } => {
                    entries[family as usize].retain(|key, _| *key < from || *key >= to);
                    cold.retain(|(of, key)| *of != family || *key < from || *key >= to);
                }
            }
        }
        self.sequence.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn latest_sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        Ok(())
    }

    fn compact(&self, _family: Family, _range: &KeyRange, _how: Compaction) -> Result<()> {
        Ok(())
    }

    fn approximate_bytes(&self, family: Family, range: &KeyRange) -> Result<u64> {
        let state = self.state.lock().clone();
        let inside = |key: &Bytes| {
            range.from.as_ref().is_none_or(|from| key >= from) && range.to.as_ref().is_none_or(|to| key < to)
        };
        let entries = state[family as usize].iter().filter(|(key, _)| inside(key));
        Ok(entries.map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }

    fn checkpoint(&self, folder: &Path) -> Result<()> {
        Err(Error::Storage(format!("{}: an engine in memory has no files", folder.display())))
    }

    fn set_budget(&self, _budget: &EngineBudget) -> Result<()> {
        Ok(())
    }

    fn figures(&self) -> EngineFigures {
        let state = self.state.lock().clone();
        EngineFigures { estimated_keys: state.each_ref().map(|entries| entries.len() as u64), ..Default::default() }
    }

    fn report(&self, _property: &str) -> Option<String> {
        None
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }
}

/// A cursor over a frozen state; each step looks its neighbour up.
struct Walker {
    state: Arc<State>,
    family: Family,
    range: KeyRange,
    at: Option<(Bytes, Bytes)>,
    reach: Reach,
}

impl Walker {
    fn low(&self) -> Bound<Bytes> {
        self.range.from.clone().map_or(Bound::Unbounded, Bound::Included)
    }

    fn high(&self) -> Bound<Bytes> {
        self.range.to.clone().map_or(Bound::Unbounded, Bound::Excluded)
    }

    /// Stands on the first (or last) entry between two bounds.
    fn stand(&mut self, low: Bound<Bytes>, high: Bound<Bytes>, first: bool) -> Result<()> {
        self.at = None;
        if is_empty(&low, &high) {
            return Ok(());
        }
        let mut between = self.state[self.family as usize].range((low, high));
        let found = if first { between.next() } else { between.next_back() };
        if let Some((key, value)) = found {
            self.reach.load(self.family, key)?;
            self.at = Some((key.clone(), value.clone()));
        }
        Ok(())
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

impl Cursor for Walker {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let key = Bytes::copy_from_slice(key);
        let low = self.range.from.clone().map_or(key.clone(), |from| from.max(key));
        self.stand(Bound::Included(low), self.high(), true)
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<()> {
        let key = Bytes::copy_from_slice(key);
        let high = match self.range.to.clone() {
            Some(to) if to <= key => Bound::Excluded(to),
            _ => Bound::Included(key),
        };
        self.stand(self.low(), high, false)
    }

    fn seek_to_first(&mut self) -> Result<()> {
        self.stand(self.low(), self.high(), true)
    }

    fn seek_to_last(&mut self) -> Result<()> {
        self.stand(self.low(), self.high(), false)
    }

    fn next(&mut self) -> Result<()> {
        match self.at.take() {
            Some((key, _)) => self.stand(Bound::Excluded(key), self.high(), true),
            None => Ok(()),
        }
    }

    fn prev(&mut self) -> Result<()> {
        match self.at.take() {
            Some((key, _)) => self.stand(self.low(), Bound::Excluded(key), false),
            None => Ok(()),
        }
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.at.as_ref().map(|(key, value)| (&key[..], &value[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Durability;

    const AT_ONCE: CommitOptions = CommitOptions { may_wait: false, durability: Durability::Kernel };
    const MEMORY: View = View::latest(Tier::Memory);
    const DISK: View = View::latest(Tier::Disk);

    fn put(key: &'static str, value: &'static str) -> Change {
        Change::Put { family: Family::Data, key: key.into(), value: value.into() }
    }

    fn filled() -> MemoryEngine {
        let engine = MemoryEngine::new();
        engine.commit(vec![put("a", "1"), put("b", "2"), put("c", "3")], AT_ONCE).unwrap();
        engine
    }

    #[test]
    fn an_evicted_entry_is_found_again_by_who_may_reach_the_disk() {
        let engine = filled();
        engine.evict();
        assert!(matches!(engine.get(Family::Data, b"a", &MEMORY), Err(Error::NotInMemory)));
        assert_eq!(engine.get(Family::Data, b"absent", &MEMORY).unwrap(), None);
        assert_eq!(engine.get(Family::Data, b"a", &DISK).unwrap(), Some("1".into()));
        assert_eq!(engine.get(Family::Data, b"a", &MEMORY).unwrap(), Some("1".into()));
        assert_eq!(engine.misses(), 1);
        let mut cursor = engine.cursor(Family::Data, KeyRange::default(), &MEMORY).unwrap();
        cursor.seek_to_first().unwrap();
        assert!(matches!(cursor.next(), Err(Error::NotInMemory)));
    }

    #[test]
    fn a_cursor_keeps_to_its_range_both_ways_and_to_its_state() {
        let engine = filled();
        let range = KeyRange { from: Some("b".into()), to: Some("c".into()) };
        let mut cursor = engine.cursor(Family::Data, range, &MEMORY).unwrap();
        engine.commit(vec![put("bb", "later")], AT_ONCE).unwrap();
        for seek in [b"a", b"b"] {
            cursor.seek(seek).unwrap();
            assert_eq!(cursor.entry(), Some((&b"b"[..], &b"2"[..])));
        }
        cursor.next().unwrap();
        assert_eq!(cursor.entry(), None);
        cursor.seek_for_prev(b"z").unwrap();
        assert_eq!(cursor.entry(), Some((&b"b"[..], &b"2"[..])));
        cursor.prev().unwrap();
        assert_eq!(cursor.entry(), None);
        cursor.seek(b"z").unwrap();
        assert_eq!(cursor.entry(), None);
        cursor.seek_for_prev(b"a").unwrap();
        assert_eq!(cursor.entry(), None);
    }

    #[test]
    fn a_snapshot_stands_still_and_a_stall_refuses() {
        let engine = filled();
        let view = View { snapshot: Some(engine.snapshot()), ..MEMORY };
        let range = Change::DeleteRange { family: Family::Data, from: "a".into(), to: "c".into() };
        engine.commit(vec![range], AT_ONCE).unwrap();
        assert_eq!(engine.get(Family::Data, b"a", &view).unwrap(), Some("1".into()));
        assert_eq!(engine.get(Family::Data, b"a", &MEMORY).unwrap(), None);
        assert_eq!(engine.entries(Family::Data), 1);
        engine.stall(true);
        assert!(matches!(engine.commit(vec![put("d", "4")], AT_ONCE), Err(Error::WouldStall)));
        assert_eq!(engine.entries(Family::Data), 1);
    }
}
