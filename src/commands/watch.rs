//! WATCH: who wants to know that a key changed. Marks are set by commits, from the one
//! place that tells of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::keyspace::{Commit, DatabaseIndex};

/// What became of the keys that one session watches, the worst of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// Nothing.
    Untouched = 0,
    /// A database was replaced in which a watched key was missing: it has changed only if it is there now.
    Replaced = 1,
    /// One was touched.
    Touched = 2,
}

/// Where a session learns of the fate of its keys.
#[derive(Debug, Clone, Default)]
pub struct Mark(Arc<AtomicU8>);

impl Mark {
    pub fn fate(&self) -> Fate {
        match self.0.load(Ordering::Acquire) {
            0 => Fate::Untouched,
            1 => Fate::Replaced,
            _ => Fate::Touched,
        }
    }

    fn raise(&self, fate: Fate) {
        self.0.fetch_max(fate as u8, Ordering::AcqRel);
    }

    /// Forgets what was: nothing is watched any more.
    pub fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Who watches a key, and whether it was there when that began.
struct Watcher {
    mark: Mark,
    was_there: bool,
}

type Watchers = FxHashMap<(DatabaseIndex, Bytes), Vec<Watcher>>;

/// All watched keys.
#[derive(Default)]
pub struct WatchTable {
    watchers: Mutex<Watchers>,
    /// Watched keys, so that commits look no further while there are none.
    count: AtomicUsize,
}

impl WatchTable {
    /// Watches a key; the mark is raised by the next commit that touches it. `was_there`: it is there now.
    pub fn add(&self, db: DatabaseIndex, key: Bytes, mark: Mark, was_there: bool) {
        let mut watchers = self.watchers.lock();
        watchers.entry((db, key)).or_default().push(Watcher { mark, was_there });
        self.count.store(watchers.len(), Ordering::Release);
    }

    /// Stops watching a key for this mark.
    pub fn remove(&self, db: DatabaseIndex, key: &Bytes, mark: &Mark) {
        let mut watchers = self.watchers.lock();
        let entry = (db, key.clone());
        if let Some(found) = watchers.get_mut(&entry) {
            found.retain(|watcher| !watcher.mark.is(mark));
            if found.is_empty() {
                watchers.remove(&entry);
            }
        }
        self.count.store(watchers.len(), Ordering::Release);
    }

    /// Whether anybody watches anything.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Marks whoever watches what a commit touched. A replaced database counts as a touch of
    /// every watched key that was in it.
    pub fn committed(&self, commit: &Commit) {
        if self.is_empty() {
            return;
        }
        let watchers = self.watchers.lock();
        for touched in commit.changed() {
            if let Some(found) = watchers.get(&(touched.db, touched.key.clone())) {
                found.iter().for_each(|watcher| watcher.mark.raise(Fate::Touched));
            }
        }
        if commit.replaced.is_empty() {
            return;
        }
        for ((db, _), found) in watchers.iter() {
            if commit.replaced.contains(db) {
                let fate = |watcher: &Watcher| if watcher.was_there { Fate::Touched } else { Fate::Replaced };
                found.iter().for_each(|watcher| watcher.mark.raise(fate(watcher)));
            }
        }
    }
}
