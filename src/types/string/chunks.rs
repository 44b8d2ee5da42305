//! A large string as chunks of 4096 bytes under an object id, in family `data`.
//!
//! ```text
//! part:  chunk index u32 BE           value: up to 4096 bytes
//! ```
//!
//! What is not stored is zero: a chunk that is missing, and whatever lies behind the end of a
//! short one. So a bitmap with one bit at 4294967295 is one chunk, and growing a string
//! writes nothing. Reads and writes touch only the chunks they need.

use std::ops::{ControlFlow, Range};

use bytes::{Bytes, BytesMut};

use crate::base::{Error, Result};
use crate::encoding::key::{ObjectId, part_key};
use crate::keyspace::{Direction, Tx};
use crate::storage::Family;

/// Bytes of a full chunk.
pub const CHUNK_BYTES: usize = 4096;
/// The longest string that chunk indices reach.
pub const MAX_LENGTH: u64 = (u32::MAX as u64 + 1) * CHUNK_BYTES as u64;
/// Up to this many chunks are read by their keys; more by a scan, which skips what is missing.
const POINT_READS: u64 = 16;

/// A stretch of a string.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    Bytes(&'a [u8]),
    /// This many zeros.
    Zeros(u64),
}

/// Where the chunks are, and how long the string is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunks {
    pub id: ObjectId,
    pub length: u64,
}

impl Chunks {
    /// Reads the metadata of a large record.
    pub fn from_meta(id: ObjectId, meta: &[u8]) -> Result<Self, String> {
        let length = u64::from_be_bytes(meta.try_into().map_err(|_| "the length is not eight bytes".to_string())?);
        if length > MAX_LENGTH {
            return Err(format!("a length of {length} is beyond the last chunk"));
        }
        Ok(Self { id, length })
    }

    /// The metadata of the record.
    pub fn meta(&self) -> Bytes {
        Bytes::copy_from_slice(&self.length.to_be_bytes())
    }

    /// Stores a whole string under a fresh id.
    pub fn store(tx: &mut Tx, id: ObjectId, bytes: &[u8]) -> Self {
        Self::store_at(tx, id, 0, bytes);
        Self { id, length: bytes.len() as u64 }
    }

    /// Stores bytes from the start of a chunk on; chunks of zeros are left out.
    pub fn store_at(tx: &mut Tx, id: ObjectId, offset: u64, bytes: &[u8]) {
        for (index, chunk) in (offset / CHUNK_BYTES as u64..).zip(bytes.chunks(CHUNK_BYTES)) {
            if chunk.iter().any(|byte| *byte != 0) {
                let index = (index as u32).to_be_bytes();
                tx.put_part(Family::Data, id, &index, Bytes::copy_from_slice(chunk));
            }
        }
    }

    /// Shows a range, clipped to the string, piece by piece and in order.
    pub fn visit(&self, tx: &mut Tx, range: Range<u64>, visit: impl FnMut(Piece<'_>) -> ControlFlow<()>) -> Result<()> {
        let range = range.start..range.end.min(self.length);
        if range.is_empty() {
            return Ok(());
        }
        let mut showing = Showing { at: range.start, end: range.end, visit };
        let (first, last) = (index_of(range.start), index_of(range.end - 1));
        let flow = if first == last {
            let chunk = tx.part(Family::Data, self.id, &first.to_be_bytes())?;
            chunk.map_or(ControlFlow::Continue(()), |chunk| showing.chunk(first, &chunk))
        } else if u64::from(last - first) < POINT_READS {
            self.read_chunks(tx, first, last, &mut showing)?
        } else {
            self.scan_chunks(tx, first, last, &mut showing)?
        };
        if flow.is_continue() {
            let _ = showing.zeros_up_to(range.end);
        }
        Ok(())
    }

    fn read_chunks<V: FnMut(Piece<'_>) -> ControlFlow<()>>(
        &self,
        tx: &mut Tx,
        first: u32,
        last: u32,
        showing: &mut Showing<V>,
    ) -> Result<ControlFlow<()>> {
        let keys: Vec<[u8; 4]> = (first..=last).map(u32::to_be_bytes).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        let chunks = tx.parts(Family::Data, self.id, &keys)?;
        for (index, chunk) in (first..=last).zip(chunks) {
            if let Some(chunk) = chunk
                && showing.chunk(index, &chunk).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn scan_chunks<V: FnMut(Piece<'_>) -> ControlFlow<()>>(
        &self,
        tx: &mut Tx,
        first: u32,
        last: u32,
        showing: &mut Showing<V>,
    ) -> Result<ControlFlow<()>> {
        let mut scan = tx.scan(Family::Data, self.id, b"", Some(&first.to_be_bytes()), Direction::Forward)?;
        while let Some((part, chunk)) = scan.next()? {
            let Ok(index) = <[u8; 4]>::try_from(&part[..]).map(u32::from_be_bytes) else {
                return Err(self.damaged(&part));
            };
            if index > last {
                break;
            }
            if showing.chunk(index, &chunk).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn damaged(&self, part: &[u8]) -> Error {
        Error::Corruption {
            family: Family::Data.name(),
            key: part_key(self.id, part),
            what: "not the index of a chunk".into(),
        }
    }

    /// Overwrites bytes, which may lie behind the end; the string then grows.
    pub fn write(&mut self, tx: &mut Tx, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let within = (at % CHUNK_BYTES as u64) as usize;
            let (now, later) = rest.split_at(rest.len().min(CHUNK_BYTES - within));
            self.write_within(tx, at, now)?;
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Overwrites bytes that lie within one chunk. A chunk that is covered whole is not read.
    fn write_within(&mut self, tx: &mut Tx, at: u64, bytes: &[u8]) -> Result<()> {
        let within = (at % CHUNK_BYTES as u64) as usize;
        let end = at + bytes.len() as u64;
        let covers = within == 0 && (bytes.len() == CHUNK_BYTES || end >= self.length);
        let chunk = if covers {
            Bytes::copy_from_slice(bytes)
        } else {
            let mut chunk = self.chunk_up_to(tx, at, within + bytes.len())?;
            chunk[within..within + bytes.len()].copy_from_slice(bytes);
            chunk.freeze()
        };
        tx.put_part(Family::Data, self.id, &index_of(at).to_be_bytes(), chunk);
        self.length = self.length.max(end);
        Ok(())
    }

    /// Changes a byte, if `change` says that it differs afterwards; the string grows to hold it.
    pub fn edit_byte<R>(
        &mut self,
        tx: &mut Tx,
        at: u64,
        change: impl FnOnce(&mut u8) -> (R, bool),
    ) -> Result<(R, bool)> {
        let within = (at % CHUNK_BYTES as u64) as usize;
        let mut chunk = self.chunk_up_to(tx, at, within + 1)?;
        let (result, differs) = change(&mut chunk[within]);
        if differs {
            tx.put_part(Family::Data, self.id, &index_of(at).to_be_bytes(), chunk.freeze());
        }
        self.length = self.length.max(at + 1);
        Ok((result, differs))
    }

    /// A copy of the chunk that holds the byte `at`, at least `length` bytes of it.
    fn chunk_up_to(&self, tx: &mut Tx, at: u64, length: usize) -> Result<BytesMut> {
        let start = at - at % CHUNK_BYTES as u64;
        let stored = if start < self.length {
            tx.part(Family::Data, self.id, &index_of(at).to_be_bytes())?.unwrap_or_default()
        } else {
            Bytes::new()
        };
        let mut chunk = BytesMut::with_capacity(length.max(stored.len()));
        chunk.extend_from_slice(&stored);
        if chunk.len() < length {
            chunk.resize(length, 0);
        }
        Ok(chunk)
    }
}

/// The chunk of a byte. Offsets are below [`MAX_LENGTH`].
fn index_of(offset: u64) -> u32 {
    debug_assert!(offset < MAX_LENGTH, "an offset beyond the last chunk");
    (offset / CHUNK_BYTES as u64) as u32
}

/// Fills the gaps between chunks with zeros.
struct Showing<V> {
    at: u64,
    end: u64,
    visit: V,
}

impl<V: FnMut(Piece<'_>) -> ControlFlow<()>> Showing<V> {
    /// The part of a chunk that lies in the range, after the zeros before it.
    fn chunk(&mut self, index: u32, chunk: &[u8]) -> ControlFlow<()> {
        let start = u64::from(index) * CHUNK_BYTES as u64;
        if self.at < start {
            self.zeros_up_to(start)?;
        }
        let chunk = chunk.get(..CHUNK_BYTES).unwrap_or(chunk);
        let from = (self.at - start) as usize;
        let to = chunk.len().min((self.end - start) as usize);
        match chunk.get(from..to) {
            Some(bytes) if !bytes.is_empty() => {
                self.at += bytes.len() as u64;
                (self.visit)(Piece::Bytes(bytes))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn zeros_up_to(&mut self, end: u64) -> ControlFlow<()> {
        let count = end - self.at;
        self.at = end;
        if count == 0 { ControlFlow::Continue(()) } else { (self.visit)(Piece::Zeros(count)) }
    }
}
