//! Cursors: RocksDB's iterators behind the [`Cursor`](crate::storage::Cursor) trait, with
//! bounds that RocksDB itself keeps and errors that name where the cursor was sent.

use std::sync::Arc;

use super::failure;
use super::ffi::{Database, Outcome, RawCursor, ReadOptions};
use super::snapshot::base;
use crate::base::Result;
use crate::storage::{self, Family, KeyRange, Snapshot, View};

/// Walks a range of one family.
pub(super) struct Cursor {
    raw: RawCursor,
    family: Family,
    /// The state that is walked, so that it outlives the walk.
    _snapshot: Option<Arc<dyn Snapshot>>,
}

impl Cursor {
    /// A cursor that stands nowhere yet.
    pub(super) fn new(
        database: &Arc<Database>,
        family: Family,
        range: KeyRange,
        view: &View,
        snapshot: Option<&super::snapshot::Snapshot>,
    ) -> Self {
        let options = read_options(family, range, view, snapshot);
        Self { raw: RawCursor::new(database, family, options), family, _snapshot: view.snapshot.clone() }
    }

    fn told(&self, outcome: Outcome<()>, key: &[u8]) -> Result<()> {
        outcome.map_err(|text| failure::of_read(text, self.family, key))
    }
}

fn read_options(
    family: Family,
    range: KeyRange,
    view: &View,
    snapshot: Option<&super::snapshot::Snapshot>,
) -> ReadOptions {
    let mut options = base(view, snapshot.map(super::snapshot::Snapshot::raw)).purge_in_background();
    if view.readahead_bytes > 0 {
        options = options.readahead(view.readahead_bytes);
    }
    match super::options::prefix_bytes(family) {
        None => options.range(range),
        Some(bytes) => options.auto_prefix().range(with_full_end(range, bytes)),
    }
}

/// The same range, with an end as long as a prefix: RocksDB uses the filter of a prefix when
/// the end is the next prefix, and does not see that in one whose last zeros are left out. No
/// key of the family is short enough to lie between the two.
fn with_full_end(range: KeyRange, prefix_bytes: usize) -> KeyRange {
    let to = range.to.map(|to| {
        if to.len() >= prefix_bytes {
            return to;
        }
        let mut full = to.to_vec();
        full.resize(prefix_bytes, 0);
        full.into()
    });
    KeyRange { to, ..range }
}

impl storage::Cursor for Cursor {
    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let outcome = self.raw.seek(key);
        self.told(outcome, key)
    }

    fn seek_for_prev(&mut self, key: &[u8]) -> Result<()> {
        let outcome = self.raw.seek_for_prev(key);
        self.told(outcome, key)
    }

    fn seek_to_first(&mut self) -> Result<()> {
        let outcome = self.raw.seek_to_first();
        self.told(outcome, b"(first of the range)")
    }

    fn seek_to_last(&mut self) -> Result<()> {
        let outcome = self.raw.seek_to_last();
        self.told(outcome, b"(last of the range)")
    }

    fn next(&mut self) -> Result<()> {
        let outcome = self.raw.next();
        self.told(outcome, b"(the next one)")
    }

    fn prev(&mut self) -> Result<()> {
        let outcome = self.raw.prev();
        self.told(outcome, b"(the one before)")
    }

    fn entry(&self) -> Option<(&[u8], &[u8])> {
        self.raw.entry()
    }
}
