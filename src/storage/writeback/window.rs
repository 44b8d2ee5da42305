//! The part of a log file that is being written, mapped into memory: a frame reaches the kernel by a
//! copy into its page cache, at a tenth of the cost of a write(2). Pages of a shared
//! mapping are the kernel's: a killed process loses none of them, and an fsync of the file covers them.
//!
//! The file's space is reserved before it is mapped, so a full disk is an error here and not a signal
//! in the middle of a copy. Where a file system cannot reserve space, the log writes instead.
#![allow(unsafe_code, reason = "a mapping of a file")]

use std::fs::File;
use std::io;
use std::sync::atomic::{Ordering, compiler_fence};

use memmap2::{MmapMut, MmapOptions};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::frame::HEADER_BYTES;

/// How much is mapped at a time. It counts as memory of the process.
pub(super) const WINDOW_BYTES: u64 = 4 << 20;

/// Where a mapping may begin; a multiple of any page size.
const ALIGNMENT: u64 = 64 << 10;

/// A mapped part of a file.
pub(super) struct Window {
    map: MmapMut,
    /// Where it begins in the file.
    start: u64,
}

impl Window {
    /// Maps the part that begins at or a little before `at`, and reserves its space. `None` where
    /// the file system cannot.
    pub(super) fn open(file: &File, at: u64) -> io::Result<Option<Self>> {
        let start = at / ALIGNMENT * ALIGNMENT;
        match fallocate(file, FallocateFlags::empty(), start, WINDOW_BYTES) {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // SAFETY: the file is the log's own, in a directory that this process has locked; the log
        // gives the window up before it makes the file shorter.
        let map = unsafe { MmapOptions::new().offset(start).len(WINDOW_BYTES as usize).map_mut(file) };
        Ok(Some(Self { map: map?, start }))
    }

    /// Bytes from `at` to the end of the window.
    pub(super) fn room(&self, at: u64) -> usize {
        at.checked_sub(self.start).and_then(|used| WINDOW_BYTES.checked_sub(used)).unwrap_or(0) as usize
    }

    /// Copies a frame, for which there is room, to `at`: the header last, for without one there is no
    /// frame, should the process be killed in between.
    pub(super) fn write(&mut self, frame: &[u8], at: u64) {
        let begin = (at - self.start) as usize;
        let place = &mut self.map[begin..begin + frame.len()];
        place[HEADER_BYTES..].copy_from_slice(&frame[HEADER_BYTES..]);
        compiler_fence(Ordering::Release);
        place[..HEADER_BYTES].copy_from_slice(&frame[..HEADER_BYTES]);
    }
}
