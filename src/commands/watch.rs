//! WATCH: who wants to know that a key changed. Marks are set by commits, from the one
//! place that tells of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::keyspace::{Commit, DatabaseIndex};

/// Set when a watched key was touched.
pub type Mark = Arc<AtomicBool>;

type Watchers = FxHashMap<(DatabaseIndex, Bytes), Vec<Mark>>;

/// All watched keys.
#[derive(Default)]
pub struct WatchTable {
    watchers: Mutex<Watchers>,
    /// Watched keys, so that commits look no further while there are none.
    count: AtomicUsize,
}

impl WatchTable {
    /// Watches a key; the mark is set by the next commit that touches it.
    pub fn add(&self, db: DatabaseIndex, key: Bytes, mark: Mark) {
        let mut watchers = self.watchers.lock();
        watchers.entry((db, key)).or_default().push(mark);
        self.count.store(watchers.len(), Ordering::Release);
    }

    /// Stops watching a key for this mark.
    pub fn remove(&self, db: DatabaseIndex, key: &Bytes, mark: &Mark) {
        let mut watchers = self.watchers.lock();
        let entry = (db, key.clone());
        if let Some(marks) = watchers.get_mut(&entry) {
            marks.retain(|other| !Arc::ptr_eq(other, mark));
            if marks.is_empty() {
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
    /// every watched key in it, there or not.
    pub fn committed(&self, commit: &Commit) {
        if self.is_empty() {
            return;
        }
        let watchers = self.watchers.lock();
        for touched in commit.changed() {
            if let Some(marks) = watchers.get(&(touched.db, touched.key.clone())) {
                marks.iter().for_each(|mark| mark.store(true, Ordering::Release));
            }
        }
        if !commit.replaced.is_empty() {
            for ((db, _), marks) in watchers.iter() {
                if commit.replaced.contains(db) {
                    marks.iter().for_each(|mark| mark.store(true, Ordering::Release));
                }
            }
        }
    }
}
