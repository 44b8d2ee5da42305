//! The one place of this layer with `unsafe` (this folder): thin owners around RocksDB's C interface for
//! what the safe crate cannot do, or not fast enough on the path of every request.
//!
//! - Iterators and snapshots of the crate borrow the database; ours own an `Arc` of it, so
//!   that a cursor can live in a session. Each releases its C object in `drop`, before its
//!   fields (the `Arc` among them) go: the database is always closed last.
//! - A batch of the crate is consumed by a write; ours is cleared and used again.
//! - Values are read into a buffer on the stack, or pinned, and copied once.
//!
//! Every pointer here comes from RocksDB itself and is owned by exactly one value of this
//! module; RocksDB allows all calls made through a shared reference from any thread.
//! Nothing here knows the error type of the house: failures are RocksDB's own texts, which
//! `failure.rs` translates.
#![allow(unsafe_code, reason = "the C interface of RocksDB")]

use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use bytes::Bytes;
use librocksdb_sys as sys;
use rocksdb::{AsColumnFamilyRef, AsRawPtr, DB, Options};

use crate::storage::Family;

mod reads;
mod writes;

pub(super) use reads::{RawCursor, ReadOptions, Snapshot};
pub(super) use writes::{Batch, WriteOptions};

/// What a call gives, or RocksDB's own text of what went wrong.
pub(super) type Outcome<T> = std::result::Result<T, String>;

/// Values up to this many bytes are read through a buffer on the stack; records of small
/// objects stay below it. Larger ones cost a second look.
const STACK_BYTES: usize = 2048;

/// Takes the text out of an error pointer that RocksDB has set, and frees it.
fn check(error: *mut c_char) -> Outcome<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a non-null error is a NUL-terminated string that RocksDB allocated for us.
    let text = unsafe { CStr::from_ptr(error) }.to_string_lossy().into_owned();
    // SAFETY: it was allocated by RocksDB, is ours, and is not used afterwards.
    unsafe { sys::rocksdb_free(error.cast()) };
    Err(text)
}

/// What RocksDB's constructors return, which is never null: they are a C++ `new`.
fn owned<T>(pointer: *mut T) -> NonNull<T> {
    NonNull::new(pointer).expect("a constructor of RocksDB returns an object")
}

/// Options that the crate has no setter for.
pub(super) fn set_avoid_flush_during_shutdown(options: &mut Options, on: bool) {
    // SAFETY: the pointer is live for as long as `options` is borrowed.
    unsafe { sys::rocksdb_options_set_avoid_flush_during_shutdown(options.as_raw_ptr(), on.into()) }
}

/// An open database with its families resolved, so that no request looks one up by name.
pub(super) struct Database {
    raw: NonNull<sys::rocksdb_t>,
    families: [NonNull<sys::rocksdb_column_family_handle_t>; Family::ALL.len()],
    /// Owns what the pointers above point to.
    db: DB,
}

// SAFETY: both pointers are into `db`, which is Send and Sync itself.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

impl Database {
    /// Resolves the families of a database that was opened with all of them.
    pub(super) fn new(db: DB) -> Outcome<Arc<Self>> {
        let mut families = [NonNull::dangling(); Family::ALL.len()];
        for (slot, family) in families.iter_mut().zip(Family::ALL) {
            let handle = db.cf_handle(family.name()).ok_or_else(|| format!("no family {}", family.name()))?;
            *slot = owned(handle.inner());
        }
        // SAFETY: only kept beside `db`, in a value that owns it.
        let raw = owned(unsafe { db.as_raw_ptr() });
        Ok(Arc::new(Self { raw, families, db }))
    }

    /// The safe interface, for everything off the hot path.
    pub(super) fn db(&self) -> &DB {
        &self.db
    }

    fn family(&self, family: Family) -> *mut sys::rocksdb_column_family_handle_t {
        self.families[family as usize].as_ptr()
    }

    /// The value of a key, copied once.
    pub(super) fn get(&self, family: Family, key: &[u8], options: &ReadOptions) -> Outcome<Option<Bytes>> {
        if family == Family::Data {
            return self.get_pinned(family, key, options); // Elements and chunks come in any size.
        }
        let mut buffer = [const { MaybeUninit::<u8>::uninit() }; STACK_BYTES];
        let (mut length, mut found, mut error) = (0, 0, ptr::null_mut());
        // SAFETY: all pointers are live, the lengths are theirs, and RocksDB writes at most
        // `STACK_BYTES` into the buffer.
        let copied = unsafe {
            sys::rocksdb_get_into_buffer_cf(
                self.raw.as_ptr(),
                options.raw.as_ptr(),
                self.family(family),
                key.as_ptr().cast(),
                key.len(),
                buffer.as_mut_ptr().cast(),
                STACK_BYTES,
                &raw mut length,
                &raw mut found,
                &raw mut error,
            )
        };
        if copied == 1 {
            // SAFETY: RocksDB said that it copied `length` bytes, which fitted.
            let value = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), length) };
            return Ok(Some(Bytes::copy_from_slice(value)));
        }
        if found == 1 {
            return self.get_pinned(family, key, options);
        }
        check(error)?;
        Ok(None)
    }

    fn get_pinned(&self, family: Family, key: &[u8], options: &ReadOptions) -> Outcome<Option<Bytes>> {
        let mut error = ptr::null_mut();
        // SAFETY: all pointers are live and the length is the key's.
        let handle = unsafe {
            sys::rocksdb_get_pinned_cf_v2(
                self.raw.as_ptr(),
                options.raw.as_ptr(),
                self.family(family),
                key.as_ptr().cast(),
                key.len(),
                &raw mut error,
            )
        };
        check(error)?;
        if handle.is_null() {
            return Ok(None);
        }
        let mut length = 0;
        // SAFETY: the handle is live until it is destroyed below; the value is copied before.
        let value = unsafe {
            let data = sys::rocksdb_pinnable_handle_get_value(handle, &raw mut length);
            let value = Bytes::copy_from_slice(slice(data, length));
            sys::rocksdb_pinnable_handle_destroy(handle);
            value
        };
        Ok(Some(value))
    }

    /// The values of several keys, read as one request.
    pub(super) fn multi_get(
        &self,
        family: Family,
        keys: &[&[u8]],
        options: &ReadOptions,
    ) -> Vec<Outcome<Option<Bytes>>> {
        let slices: Vec<sys::rocksdb_slice_t> =
            keys.iter().map(|key| sys::rocksdb_slice_t { data: key.as_ptr().cast(), size: key.len() }).collect();
        let mut values = vec![ptr::null_mut(); keys.len()];
        let mut errors = vec![ptr::null_mut(); keys.len()];
        // SAFETY: three arrays of `keys.len()` elements; the keys outlive the call.
        unsafe {
            sys::rocksdb_batched_multi_get_cf_slice(
                self.raw.as_ptr(),
                options.raw.as_ptr(),
                self.family(family),
                keys.len(),
                slices.as_ptr(),
                values.as_mut_ptr(),
                errors.as_mut_ptr(),
                false,
            );
        }
        values.into_iter().zip(errors).map(|(value, error)| take_pinned(value, error)).collect()
    }

    /// The sequence number of the last write that readers see.
    pub(super) fn latest_sequence(&self) -> u64 {
        self.db.latest_sequence_number()
    }

    /// Drops the files that lie wholly inside `from..=to`; `None` is unbounded.
    pub(super) fn delete_files(&self, family: Family, from: Option<&[u8]>, to: Option<&[u8]>) -> Outcome<()> {
        let (from, from_length) = bound(from);
        let (to, to_length) = bound(to);
        let mut error = ptr::null_mut();
        // SAFETY: bounds are live or null, which means none.
        unsafe {
            sys::rocksdb_delete_file_in_range_cf(
                self.raw.as_ptr(),
                self.family(family),
                from,
                from_length,
                to,
                to_length,
                &raw mut error,
            );
        }
        check(error)
    }

    /// Changes options of the database as a whole while it is open.
    pub(super) fn set_options(&self, options: &[(&str, &str)]) -> Outcome<()> {
        let text = |text: &str| CString::new(text).map_err(|_| "an option holds a NUL byte".to_owned());
        let names = options.iter().map(|(name, _)| text(name)).collect::<Outcome<Vec<_>>>()?;
        let values = options.iter().map(|(_, value)| text(value)).collect::<Outcome<Vec<_>>>()?;
        let name_pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let value_pointers: Vec<_> = values.iter().map(|value| value.as_ptr()).collect();
        let mut error = ptr::null_mut();
        let count = i32::try_from(options.len()).map_err(|_| "too many options".to_owned())?;
        // SAFETY: two arrays of `count` pointers to strings that live until the end of the block.
        unsafe {
            sys::rocksdb_set_db_options(
                self.raw.as_ptr(),
                count,
                name_pointers.as_ptr(),
                value_pointers.as_ptr(),
                &raw mut error,
            );
        }
        check(error)
    }

    /// Files and bytes of each level of a family.
    pub(super) fn levels(&self, family: Family) -> Vec<(u64, u64)> {
        // SAFETY: the description is ours until it is destroyed; so is each level's.
        unsafe {
            let all = sys::rocksdb_get_column_family_metadata_cf(self.raw.as_ptr(), self.family(family));
            if all.is_null() {
                return Vec::new();
            }
            let levels = (0..sys::rocksdb_column_family_metadata_get_level_count(all)).map(|index| {
                let level = sys::rocksdb_column_family_metadata_get_level_metadata(all, index);
                if level.is_null() {
                    return (0, 0);
                }
                let files = sys::rocksdb_level_metadata_get_file_count(level) as u64;
                let bytes = sys::rocksdb_level_metadata_get_size(level);
                sys::rocksdb_level_metadata_destroy(level);
                (files, bytes)
            });
            let levels = levels.collect();
            sys::rocksdb_column_family_metadata_destroy(all);
            levels
        }
    }
}

/// The bytes that RocksDB points to.
///
/// # Safety
/// `data` points to `length` bytes that live as long as `'a`, or is null with length 0.
unsafe fn slice<'a>(data: *const c_char, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(data.cast(), length) }
}

/// Pointer and length of a bound, null for none.
fn bound(key: Option<&[u8]>) -> (*const c_char, usize) {
    key.map_or((ptr::null(), 0), |key| (key.as_ptr().cast(), key.len()))
}

/// One answer of a multi-get.
fn take_pinned(value: *mut sys::rocksdb_pinnableslice_t, error: *mut c_char) -> Outcome<Option<Bytes>> {
    check(error)?;
    if value.is_null() {
        return Ok(None);
    }
    let mut length = 0;
    // SAFETY: the slice is ours and live until it is destroyed; its bytes are copied before.
    unsafe {
        let data = sys::rocksdb_pinnableslice_value(value, &raw mut length);
        let copy = Bytes::copy_from_slice(slice(data, length));
        sys::rocksdb_pinnableslice_destroy(value);
        Ok(Some(copy))
    }
}

/// Makes a descriptor point to another file, for a test to break one that RocksDB writes;
/// returns where it pointed before.
#[cfg(test)]
pub(super) fn redirect(descriptor: i32, file: std::os::fd::OwnedFd) -> std::os::fd::OwnedFd {
    use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
    // SAFETY: the descriptor is open, and stays so: it only changes what it points to. The
    // owner made here gives it up again without closing.
    let mut target = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let before = target.try_clone().expect("a descriptor to spare");
    rustix::io::dup2(&file, &mut target).expect("both are open");
    let _ = target.into_raw_fd();
    before
}
