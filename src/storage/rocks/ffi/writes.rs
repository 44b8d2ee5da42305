//! The owners of what writes need: how to write, and a batch that is used again, where the
//! crate's is consumed by each write.

use std::ptr::{self, NonNull};

use librocksdb_sys as sys;

use super::{Database, Outcome, check, owned};
use crate::storage::Family;

/// How to write.
pub(in crate::storage::rocks) struct WriteOptions(NonNull<sys::rocksdb_writeoptions_t>);

// SAFETY: after it is built it is only read.
unsafe impl Send for WriteOptions {}
// SAFETY: as above.
unsafe impl Sync for WriteOptions {}

impl WriteOptions {
    pub(in crate::storage::rocks) fn new(may_wait: bool) -> Self {
        // SAFETY: a constructor, and setters on what it made.
        unsafe {
            let raw = owned(sys::rocksdb_writeoptions_create());
            sys::rocksdb_writeoptions_set_no_slowdown(raw.as_ptr(), (!may_wait).into());
            Self(raw)
        }
    }

    /// Past the write-ahead log.
    pub(in crate::storage::rocks) fn unlogged() -> Self {
        let options = Self::new(true);
        // SAFETY: a setter on what is live and ours.
        unsafe { sys::rocksdb_writeoptions_disable_WAL(options.0.as_ptr(), 1) };
        options
    }
}

impl Drop for WriteOptions {
    fn drop(&mut self) {
        // SAFETY: ours, and not used afterwards.
        unsafe { sys::rocksdb_writeoptions_destroy(self.0.as_ptr()) }
    }
}

impl Database {
    /// Compares every block of every table file with its checksum.
    pub(in crate::storage::rocks) fn verify_checksums(&self) -> Outcome<()> {
        let mut error = ptr::null_mut();
        // SAFETY: the database is live.
        unsafe { sys::rocksdb_verify_checksum(self.raw.as_ptr(), &raw mut error) };
        check(error)
    }
}

/// A write in the making, cleared and used again by its thread.
pub(in crate::storage::rocks) struct Batch(NonNull<sys::rocksdb_writebatch_t>);

impl Batch {
    pub(in crate::storage::rocks) fn new() -> Self {
        // SAFETY: a constructor without arguments.
        Self(owned(unsafe { sys::rocksdb_writebatch_create() }))
    }

    pub(in crate::storage::rocks) fn clear(&mut self) {
        // SAFETY: the batch is live and ours alone, here and below.
        unsafe { sys::rocksdb_writebatch_clear(self.0.as_ptr()) }
    }

    pub(in crate::storage::rocks) fn put(&mut self, database: &Database, family: Family, key: &[u8], value: &[u8]) {
        // SAFETY: as above; RocksDB copies key and value.
        unsafe {
            sys::rocksdb_writebatch_put_cf(
                self.0.as_ptr(),
                database.family(family),
                key.as_ptr().cast(),
                key.len(),
                value.as_ptr().cast(),
                value.len(),
            );
        }
    }

    pub(in crate::storage::rocks) fn delete(&mut self, database: &Database, family: Family, key: &[u8]) {
        // SAFETY: as above.
        unsafe {
            sys::rocksdb_writebatch_delete_cf(self.0.as_ptr(), database.family(family), key.as_ptr().cast(), key.len());
        }
    }

    /// Deletes `from..to`, which must not be empty: RocksDB finds out too late, when the
    /// write-ahead log already holds it.
    pub(in crate::storage::rocks) fn delete_range(
        &mut self,
        database: &Database,
        family: Family,
        from: &[u8],
        to: &[u8],
    ) {
        assert!(from < to, "an empty range reached the batch");
        // SAFETY: as above.
        unsafe {
            sys::rocksdb_writebatch_delete_range_cf(
                self.0.as_ptr(),
                database.family(family),
                from.as_ptr().cast(),
                from.len(),
                to.as_ptr().cast(),
                to.len(),
            );
        }
    }

    /// Applies it, all or nothing. It is spent until cleared.
    pub(in crate::storage::rocks) fn write(&mut self, database: &Database, options: &WriteOptions) -> Outcome<()> {
        let mut error = ptr::null_mut();
        // SAFETY: all pointers are live; the batch's families are this database's, which is
        // the only one a batch is filled for between `clear` and here.
        unsafe {
            sys::rocksdb_write(database.raw.as_ptr(), options.0.as_ptr(), self.0.as_ptr(), &raw mut error);
        }
        check(error)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: ours, and not used afterwards.
        unsafe { sys::rocksdb_writebatch_destroy(self.0.as_ptr()) }
    }
}
