//! The owners of what reads need: how to read, a frozen state, an iterator. Each releases its C
//! object in `drop`, before its fields (the `Arc` of the database among them) go.

use std::ffi::c_char;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use librocksdb_sys as sys;

use super::{Database, Outcome, check, owned, slice};
use crate::storage::{Family, KeyRange};

/// How to read. RocksDB keeps pointers into it, so whatever they point to is kept here.
pub(in crate::storage::rocks) struct ReadOptions {
    pub(super) raw: NonNull<sys::rocksdb_readoptions_t>,
    /// The bounds of an iterator. Bytes do not move when this value does.
    range: KeyRange,
}

// SAFETY: after it is built it is only read.
unsafe impl Send for ReadOptions {}
// SAFETY: as above.
unsafe impl Sync for ReadOptions {}

impl ReadOptions {
    pub(in crate::storage::rocks) fn new() -> Self {
        // SAFETY: a constructor without arguments.
        let raw = owned(unsafe { sys::rocksdb_readoptions_create() });
        Self { raw, range: KeyRange::default() }
    }

    /// Only memtables and block cache: a miss is "Result incomplete".
    pub(in crate::storage::rocks) fn memory_only(self) -> Self {
        const BLOCK_CACHE_TIER: i32 = 1;
        // SAFETY: `raw` is live and ours alone.
        unsafe { sys::rocksdb_readoptions_set_read_tier(self.raw.as_ptr(), BLOCK_CACHE_TIER) };
        self
    }

    pub(in crate::storage::rocks) fn fill_cache(self, on: bool) -> Self {
        // SAFETY: as above.
        unsafe { sys::rocksdb_readoptions_set_fill_cache(self.raw.as_ptr(), on.into()) };
        self
    }

    pub(in crate::storage::rocks) fn readahead(self, bytes: usize) -> Self {
        // SAFETY: as above.
        unsafe { sys::rocksdb_readoptions_set_readahead_size(self.raw.as_ptr(), bytes) };
        self
    }

    /// Lets seeks use the filters of prefixes where that cannot change what they find.
    pub(in crate::storage::rocks) fn auto_prefix(self) -> Self {
        // SAFETY: as above.
        unsafe { sys::rocksdb_readoptions_set_auto_prefix_mode(self.raw.as_ptr(), 1) };
        self
    }

    /// Files that become obsolete with an iterator are deleted by a background thread.
    pub(in crate::storage::rocks) fn purge_in_background(self) -> Self {
        // SAFETY: as above.
        unsafe { sys::rocksdb_readoptions_set_background_purge_on_iterator_cleanup(self.raw.as_ptr(), 1) };
        self
    }

    /// Reads as of a snapshot, which the caller keeps alive for as long as these are used.
    pub(in crate::storage::rocks) fn snapshot(self, snapshot: &Snapshot) -> Self {
        // SAFETY: as above; a reader only takes the sequence number out of the snapshot, and
        // all users (a snapshot's own options, cursors) hold the snapshot themselves.
        unsafe { sys::rocksdb_readoptions_set_snapshot(self.raw.as_ptr(), snapshot.raw.as_ptr()) };
        self
    }

    pub(in crate::storage::rocks) fn range(mut self, range: KeyRange) -> Self {
        self.range = range;
        // SAFETY: as above; the bytes are owned by `self.range`, which nothing changes later.
        unsafe {
            if let Some(from) = &self.range.from {
                sys::rocksdb_readoptions_set_iterate_lower_bound(self.raw.as_ptr(), from.as_ptr().cast(), from.len());
            }
            if let Some(to) = &self.range.to {
                sys::rocksdb_readoptions_set_iterate_upper_bound(self.raw.as_ptr(), to.as_ptr().cast(), to.len());
            }
        }
        self
    }
}

impl Drop for ReadOptions {
    fn drop(&mut self) {
        // SAFETY: ours, and not used afterwards.
        unsafe { sys::rocksdb_readoptions_destroy(self.raw.as_ptr()) }
    }
}

/// A frozen state. Releases itself before it lets go of the database.
pub(in crate::storage::rocks) struct Snapshot {
    raw: NonNull<sys::rocksdb_snapshot_t>,
    database: Arc<Database>,
}

// SAFETY: a snapshot is read-only, and RocksDB releases it under its own lock.
unsafe impl Send for Snapshot {}
// SAFETY: as above.
unsafe impl Sync for Snapshot {}

impl Snapshot {
    pub(in crate::storage::rocks) fn new(database: &Arc<Database>) -> Self {
        // SAFETY: the database is live. Null would mean a memtable type without snapshots,
        // which `options.rs` does not choose.
        let raw = owned(unsafe { sys::rocksdb_create_snapshot(database.raw.as_ptr()) }.cast_mut());
        Self { raw, database: Arc::clone(database) }
    }

    pub(in crate::storage::rocks) fn sequence(&self) -> u64 {
        // SAFETY: the snapshot is live.
        unsafe { sys::rocksdb_snapshot_get_sequence_number(self.raw.as_ptr()) }
    }

    /// Whether it is a state of this database and of no other.
    pub(in crate::storage::rocks) fn is_of(&self, database: &Arc<Database>) -> bool {
        Arc::ptr_eq(&self.database, database)
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // SAFETY: ours, of this database, and not used afterwards.
        unsafe { sys::rocksdb_release_snapshot(self.database.raw.as_ptr(), self.raw.as_ptr()) }
    }
}

/// Walks a family. Destroys its iterator before it lets go of options and database.
pub(in crate::storage::rocks) struct RawCursor {
    raw: NonNull<sys::rocksdb_iterator_t>,
    /// Where it stands; valid until the next move, which needs `&mut self`.
    current: Option<Current>,
    _options: ReadOptions,
    _database: Arc<Database>,
}

#[derive(Clone, Copy)]
struct Current {
    key: *const c_char,
    key_length: usize,
    value: *const c_char,
    value_length: usize,
}

// SAFETY: an iterator may move between threads; only using one from two at once is forbidden,
// and every use that changes it needs `&mut self`.
unsafe impl Send for RawCursor {}

impl RawCursor {
    pub(in crate::storage::rocks) fn new(database: &Arc<Database>, family: Family, options: ReadOptions) -> Self {
        // SAFETY: database and family are live; the options are kept as long as the iterator,
        // which reads its bounds through them.
        let raw = owned(unsafe {
            sys::rocksdb_create_iterator_cf(database.raw.as_ptr(), options.raw.as_ptr(), database.family(family))
        });
        Self { raw, current: None, _options: options, _database: Arc::clone(database) }
    }

    pub(in crate::storage::rocks) fn seek(&mut self, key: &[u8]) -> Outcome<()> {
        // SAFETY: the iterator is live, the key for the duration of the call.
        unsafe { sys::rocksdb_iter_seek(self.raw.as_ptr(), key.as_ptr().cast(), key.len()) };
        self.settle()
    }

    pub(in crate::storage::rocks) fn seek_for_prev(&mut self, key: &[u8]) -> Outcome<()> {
        // SAFETY: as above.
        unsafe { sys::rocksdb_iter_seek_for_prev(self.raw.as_ptr(), key.as_ptr().cast(), key.len()) };
        self.settle()
    }

    pub(in crate::storage::rocks) fn seek_to_first(&mut self) -> Outcome<()> {
        // SAFETY: the iterator is live.
        unsafe { sys::rocksdb_iter_seek_to_first(self.raw.as_ptr()) };
        self.settle()
    }

    pub(in crate::storage::rocks) fn seek_to_last(&mut self) -> Outcome<()> {
        // SAFETY: as above.
        unsafe { sys::rocksdb_iter_seek_to_last(self.raw.as_ptr()) };
        self.settle()
    }

    /// One onward; nothing where it stands nowhere.
    pub(in crate::storage::rocks) fn next(&mut self) -> Outcome<()> {
        if self.current.is_none() {
            return Ok(());
        }
        // SAFETY: the iterator is live and valid.
        unsafe { sys::rocksdb_iter_next(self.raw.as_ptr()) };
        self.settle()
    }

    /// One back; nothing where it stands nowhere.
    pub(in crate::storage::rocks) fn prev(&mut self) -> Outcome<()> {
        if self.current.is_none() {
            return Ok(());
        }
        // SAFETY: as above.
        unsafe { sys::rocksdb_iter_prev(self.raw.as_ptr()) };
        self.settle()
    }

    pub(in crate::storage::rocks) fn entry(&self) -> Option<(&[u8], &[u8])> {
        let current = self.current?;
        // SAFETY: RocksDB keeps key and value in place until the iterator moves, and a move
        // needs `&mut self` while what is returned borrows `self`.
        unsafe { Some((slice(current.key, current.key_length), slice(current.value, current.value_length))) }
    }

    /// Notes where a move has led, or why it led nowhere.
    fn settle(&mut self) -> Outcome<()> {
        self.current = None;
        // SAFETY: the iterator is live; key and value are asked of a valid one only.
        unsafe {
            if sys::rocksdb_iter_valid(self.raw.as_ptr()) == 0 {
                let mut error = ptr::null_mut();
                sys::rocksdb_iter_get_error(self.raw.as_ptr(), &raw mut error);
                return check(error);
            }
            let key = sys::rocksdb_iter_key_slice(self.raw.as_ptr());
            let value = sys::rocksdb_iter_value_slice(self.raw.as_ptr());
            self.current =
                Some(Current { key: key.data, key_length: key.size, value: value.data, value_length: value.size });
        }
        Ok(())
    }
}

impl Drop for RawCursor {
    fn drop(&mut self) {
        // SAFETY: ours, and not used afterwards; options and database go after this.
        unsafe { sys::rocksdb_iter_destroy(self.raw.as_ptr()) }
    }
}
