//! The write-ahead log of a running server: commits go in at the end of the newest file, each by a copy into
//! the kernel's page cache (`window.rs`) or a write(2). Files that RocksDB has all of on the disk go.
//!
//! A commit is acknowledged when its frame is in the kernel's hands. What a failed write left of a
//! frame is cut off before anything else is written; if even that fails, the log is closed for good.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::frame::{self, HEADER_BYTES, Header};
use super::segment;
use super::window::{WINDOW_BYTES, Window};
use crate::base::{Error, Result};
use crate::storage::Change;

/// A thread's buffer that has grown beyond this is not kept.
const KEPT_BUFFER_BYTES: usize = 256 << 10;

thread_local! {
    /// Where this thread puts its frames together.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of an open database.
pub(super) struct Log {
    directory: PathBuf,
    newest: Mutex<Newest>,
    /// Everything in front of it is in the kernel's hands.
    written: AtomicU64,
    /// Everything in front of it survives a power cut.
    synced: AtomicU64,
    /// One fsync at a time, and no file goes meanwhile.
    syncing: Mutex<()>,
    refusing: AtomicBool,
    why: Mutex<String>,
    /// Makes writes stop half-way, as on a full disk.
    #[cfg(test)]
    pub(super) is_full: AtomicBool,
}

/// The file that is written to, and those before it.
struct Newest {
    number: u64,
    file: Arc<File>,
    /// The position of its first frame.
    start: u64,
    /// Where the next frame goes, in the file.
    end: u64,
    /// Where frames are copied to.
    window: Option<Window>,
    /// Whether the file system lets files be written by mapping them.
    maps: bool,
    /// Older files, not all of which may have been synced.
    older: Vec<Older>,
}

#[derive(Clone)]
struct Older {
    number: u64,
    bytes: u64,
    /// Until it is synced.
    unsynced: Option<Arc<File>>,
}

/// Files that were found when the directory was opened.
pub(super) struct Found {
    pub number: u64,
    pub bytes: u64,
}

/// What an operation on a file of the log came to; a full disk is said in the words that RocksDB's is.
pub(super) fn failed(verb: &str, path: &Path, error: &io::Error) -> Error {
    let path = path.display();
    if error.kind() == ErrorKind::StorageFull || error.kind() == ErrorKind::QuotaExceeded {
        return Error::Storage(format!(
            "the disk is full: cannot {verb} {path}; reads go on, writes resume when there is space ({error})"
        ));
    }
    Error::Storage(format!("cannot {verb} {path}: {error}"))
}

impl Log {
    /// Goes on at `position` with a new file behind those that are there.
    pub(super) fn start(directory: &Path, found: &[Found], position: u64) -> Result<Self> {
        let number = found.last().map_or(1, |last| last.number + 1);
        let file = segment::create(directory, number, position)?;
        let older = found.iter().map(|found| Older { number: found.number, bytes: found.bytes, unsynced: None });
        let newest = Newest {
            number,
            file: Arc::new(file),
            start: position,
            end: segment::HEAD_BYTES as u64,
            window: None,
            maps: true,
            older: older.collect(),
        };
        Ok(Self {
            directory: directory.into(),
            newest: Mutex::new(newest),
            written: AtomicU64::new(position),
            synced: AtomicU64::new(position),
            syncing: Mutex::default(),
            refusing: AtomicBool::new(false),
            why: Mutex::default(),
            #[cfg(test)]
            is_full: AtomicBool::default(),
        })
    }

    /// The position behind the last frame.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Why nothing is written any more, if so.
    pub(super) fn check(&self) -> Result<()> {
        if self.refusing.load(Ordering::Acquire) {
            return Err(Error::Storage(self.why.lock().clone()));
        }
        Ok(())
    }

    /// Refuses writes from now on.
    pub(super) fn refuse(&self, why: String) {
        let mut kept = self.why.lock();
        if !self.refusing.load(Ordering::Acquire) {
            *kept = why;
            self.refusing.store(true, Ordering::Release);
        }
    }

    /// Puts changes together as a frame; [`Log::append`] writes it.
    pub(super) fn with_frame<T>(
        changes: Vec<Change>,
        then: impl FnOnce(&mut Frame, Vec<Change>) -> Result<T>,
    ) -> Result<T> {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            buffer.resize(HEADER_BYTES, 0);
            frame::put_changes(buffer, &changes);
            let payload = &buffer[HEADER_BYTES..];
            let Ok(length) = u32::try_from(payload.len()) else {
                *buffer = Vec::new();
                return Err(Error::Storage("a transaction of more than 4 GB cannot be written".into()));
            };
            let payload_crc = crc32fast::hash(payload);
            let done = then(&mut Frame { buffer, length, payload_crc }, changes);
            if buffer.capacity() > KEPT_BUFFER_BYTES {
                *buffer = Vec::new();
            }
            done
        })
    }

    /// Hands a frame to the kernel.
    pub(super) fn append(&self, frame: &mut Frame) -> Result<()> {
        self.check()?;
        let mut newest = self.newest.lock();
        let newest = &mut *newest;
        let position = newest.start + newest.end - segment::HEAD_BYTES as u64;
        let header = Header {
            length: frame.length,
            payload_crc: frame.payload_crc,
            position,
            synced: self.synced.load(Ordering::Acquire),
        };
        frame.buffer[..HEADER_BYTES].copy_from_slice(&header.encode());
        if let Err(error) = self.put(newest, frame.buffer) {
            let path = segment::path(&self.directory, newest.number);
            newest.window = None;
            if let Err(cut) = newest.file.set_len(newest.end) {
                self.refuse(format!("a write to {} failed ({error}) and cannot be undone: {cut}", path.display()));
            }
            return Err(failed("write to", &path, &error));
        }
        newest.end += frame.buffer.len() as u64;
        self.written.store(header.end(), Ordering::Release);
        Ok(())
    }

    /// Copies a frame into the window, or writes it.
    fn put(&self, newest: &mut Newest, frame: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        if self.is_full.load(Ordering::Relaxed) {
            newest.file.write_all_at(&frame[..frame.len() / 2], newest.end)?;
            return Err(ErrorKind::StorageFull.into());
        }
        if newest.maps && frame.len() as u64 <= WINDOW_BYTES / 4 {
            if newest.window.as_ref().is_none_or(|window| window.room(newest.end) < frame.len()) {
                newest.window = None;
                newest.window = Window::open(&newest.file, newest.end)?;
                newest.maps = newest.window.is_some();
            }
            if let Some(window) = &mut newest.window {
                window.write(frame, newest.end);
                return Ok(());
            }
        }
        newest.file.write_all_at(frame, newest.end)
    }

    /// Makes all that was written survive a power cut. A failure is final: the kernel may drop pages
    /// that it could not write and report success the next time.
    pub(super) fn sync(&self) -> Result<()> {
        self.check()?;
        let _one = self.syncing.lock();
        let (older, number, file, position) = {
            let newest = self.newest.lock();
            (newest.older.clone(), newest.number, newest.file.clone(), self.written())
        };
        let unsynced = older.iter().filter_map(|older| Some((older.number, older.unsynced.clone()?)));
        for (number, file) in unsynced.chain([(number, file)]) {
            file.sync_data().map_err(|error| self.poison(&segment::path(&self.directory, number), &error))?;
        }
        let last = older.last().map(|older| older.number);
        let mut newest = self.newest.lock();
        for older in newest.older.iter_mut().filter(|older| Some(older.number) <= last) {
            older.unsynced = None;
        }
        self.synced.store(position, Ordering::Release);
        Ok(())
    }

    fn poison(&self, path: &Path, error: &io::Error) -> Error {
        let why = format!(
            "an fsync failed ({}: {error}): what was written since the last good one may be lost; \
             writes are refused until the database is opened again",
            path.display()
        );
        tracing::error!("{why}");
        self.refuse(why);
        failed("sync", path, error)
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        let newest = self.newest.lock();
        newest.end + newest.older.iter().map(|older| older.bytes).sum::<u64>()
    }

    /// Bytes of the file that is written to.
    pub(super) fn newest_bytes(&self) -> u64 {
        self.newest.lock().end
    }

    /// Goes on in a new file; gives its number.
    pub(super) fn rotate(&self) -> Result<u64> {
        self.check()?;
        let _one = self.syncing.lock();
        // Nobody else rotates, so number and order are ours; what is written meanwhile is counted below.
        let number = self.newest.lock().number + 1;
        let mut newest = self.newest.lock();
        let start = newest.start + newest.end - segment::HEAD_BYTES as u64;
        let file = segment::create(&self.directory, number, start)?;
        let former = std::mem::replace(&mut newest.file, Arc::new(file));
        newest.window = None;
        // What was reserved and not used; if it stays, it holds nothing.
        let _ = former.set_len(newest.end);
        let older = Older { number: newest.number, bytes: newest.end, unsynced: Some(former) };
        newest.older.push(older);
        newest.number = number;
        newest.start = start;
        newest.end = segment::HEAD_BYTES as u64;
        Ok(number)
    }

    /// Deletes the files before `number`: RocksDB has all of them on the disk.
    pub(super) fn retire(&self, number: u64) -> Result<()> {
        let _no_sync = self.syncing.lock();
        let gone: Vec<Older> = {
            let mut newest = self.newest.lock();
            let (gone, kept) = newest.older.drain(..).partition(|older| older.number < number);
            newest.older = kept;
            gone
        };
        for older in gone {
            let path = segment::path(&self.directory, older.number);
            std::fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
        }
        Ok(())
    }
}

/// A frame that is put together but for its place.
pub(super) struct Frame<'a> {
    buffer: &'a mut Vec<u8>,
    length: u32,
    payload_crc: u32,
}
