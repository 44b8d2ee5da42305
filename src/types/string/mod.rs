//! Strings: [`StringValue`], the bytes behind a key, and what may be done to them.
//!
//! - Inline: the record's body is the value itself, so GET is a slice of the cached record.
//! - Large: `chunks.rs`, 4096 bytes each; the record's metadata is the length, u64 BE.
//!
//! A value that is written whole stays inline up to [`INLINE_BYTES`]. One that is changed in place
//! moves into chunks as soon as it is longer than a chunk, and from then on a change costs
//! the chunks it touches. Bitmaps (`types/bitmap.rs`) and HyperLogLogs are strings too.
//! Nothing here knows a command.

mod check;
mod chunks;
#[cfg(test)]
mod tests;

use std::ops::{ControlFlow, Range};

use bytes::{Bytes, BytesMut};

use chunks::Chunks;
pub use chunks::{CHUNK_BYTES, MAX_LENGTH, Piece};

use crate::base::{ClientError, Result};
use crate::keyspace::{Body, Encoding, Key, Kind, Record, Tx, Type};

/// The longest value that is kept in its record when it is written whole.
pub const INLINE_BYTES: usize = 64 << 10;
const _: () = assert!(INLINE_BYTES >= CHUNK_BYTES);
/// What [`overwrite_in_windows`] makes at a time.
const WINDOW_BYTES: usize = 256 << 10;
const _: () = assert!(WINDOW_BYTES >= INLINE_BYTES && WINDOW_BYTES.is_multiple_of(CHUNK_BYTES));

/// The bytes behind a key.
#[derive(Debug)]
pub struct StringValue {
    encoding: Encoding,
    content: Content,
    changed: bool,
}

#[derive(Debug)]
enum Content {
    Inline(Bytes),
    Chunked(Chunks),
}

impl Kind for StringValue {
    const TYPE: Type = Type::String;

    fn create() -> Self {
        Self { encoding: Encoding::ByContent, content: Content::Inline(Bytes::new()), changed: false }
    }

    fn load(encoding: Encoding, body: Body) -> Result<Self, String> {
        let content = match body {
            Body::Inline(bytes) => Content::Inline(bytes),
            Body::Large { id, meta } => Content::Chunked(Chunks::from_meta(id, &meta)?),
        };
        Ok(Self { encoding, content, changed: false })
    }

    /// Never: the empty string is a value.
    fn is_empty(&self) -> bool {
        false
    }

    fn is_changed(&self) -> bool {
        self.changed
    }

    fn pack(mut self, tx: &mut Tx) -> Result<(Encoding, Body)> {
        if matches!(&self.content, Content::Inline(bytes) if bytes.len() > INLINE_BYTES) {
            self.in_chunks(tx, |_, _| Ok(()))?;
        }
        let body = match self.content {
            Content::Inline(bytes) => Body::Inline(bytes),
            Content::Chunked(chunks) => Body::Large { id: chunks.id, meta: chunks.meta() },
        };
        Ok((self.encoding, body))
    }
}

impl StringValue {
    /// A whole value, to be stored by [`Tx::replace`].
    pub fn new(encoding: Encoding, bytes: Bytes) -> Self {
        Self { encoding, content: Content::Inline(bytes), changed: true }
    }

    /// Bytes of the value; none is a value too, so there is no `is_empty` for this.
    #[expect(clippy::len_without_is_empty, reason = "Kind::is_empty is about the key")]
    pub fn len(&self) -> u64 {
        match &self.content {
            Content::Inline(bytes) => bytes.len() as u64,
            Content::Chunked(chunks) => chunks.length,
        }
    }

    /// Whether it has no bytes at all.
    pub fn is_blank(&self) -> bool {
        self.len() == 0
    }

    /// Whether it lies in chunks, so that reading all of it is more than one read.
    pub fn is_chunked(&self) -> bool {
        matches!(self.content, Content::Chunked(_))
    }

    // ---- reading ------------------------------------------------------------

    /// All bytes; of an inline value without a copy.
    ///
    /// # Errors
    /// `NotInMemory`, corruption.
    pub fn bytes(&self, tx: &mut Tx) -> Result<Bytes> {
        self.range(tx, 0..self.len())
    }

    /// The bytes of a range, as far as there are any; of an inline value without a copy.
    ///
    /// # Errors
    /// `NotInMemory`, corruption.
    pub fn range(&self, tx: &mut Tx, range: Range<u64>) -> Result<Bytes> {
        let range = range.start..range.end.min(self.len());
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        match &self.content {
            Content::Inline(bytes) => Ok(bytes.slice(range.start as usize..range.end as usize)),
            Content::Chunked(chunks) => {
                let mut out = BytesMut::with_capacity((range.end - range.start) as usize);
                chunks.visit(tx, range, |piece| {
                    match piece {
                        Piece::Bytes(bytes) => out.extend_from_slice(bytes),
                        Piece::Zeros(count) => out.resize(out.len() + count as usize, 0),
                    }
                    ControlFlow::Continue(())
                })?;
                Ok(out.freeze())
            }
        }
    }

    /// Shows the bytes of a range in order, without gathering them, until `visit` breaks.
    ///
    /// # Errors
    /// `NotInMemory`, corruption.
    pub fn visit(
        &self,
        tx: &mut Tx,
        range: Range<u64>,
        mut visit: impl FnMut(Piece<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        match &self.content {
            Content::Inline(bytes) => {
                let end = range.end.min(bytes.len() as u64);
                if range.start < end {
                    let _ = visit(Piece::Bytes(&bytes[range.start as usize..end as usize]));
                }
                Ok(())
            }
            Content::Chunked(chunks) => chunks.visit(tx, range, visit),
        }
    }

    /// Fills `out` with the bytes from `offset` on, and with zeros behind the end.
    ///
    /// # Errors
    /// `NotInMemory`, corruption.
    pub fn read_into(&self, tx: &mut Tx, offset: u64, out: &mut [u8]) -> Result<()> {
        out.fill(0);
        let mut filled = 0;
        let range = offset..offset.saturating_add(out.len() as u64);
        self.visit(tx, range, |piece| {
            match piece {
                Piece::Bytes(bytes) => {
                    if let Some(place) = out.get_mut(filled..filled + bytes.len()) {
                        place.copy_from_slice(bytes);
                    }
                    filled += bytes.len();
                }
                Piece::Zeros(count) => filled += count as usize,
            }
            ControlFlow::Continue(())
        })
    }

    // ---- changing in place -----------------------------------------------------

    /// Adds bytes to the end and tells the new length.
    ///
    /// # Errors
    /// `StringTooLong` beyond `limit_bytes`, `NotInMemory`, corruption.
    pub fn append(&mut self, tx: &mut Tx, bytes: &[u8], limit_bytes: u64) -> Result<u64> {
        self.write(tx, self.len(), bytes, limit_bytes)?;
        self.mark_raw();
        self.changed = true;
        Ok(self.len())
    }

    /// Overwrites bytes from `offset` on, with zeros between the old end and `offset`, and tells
    /// the length. Without bytes nothing happens.
    ///
    /// # Errors
    /// As [`StringValue::append`].
    pub fn write(&mut self, tx: &mut Tx, offset: u64, bytes: &[u8], limit_bytes: u64) -> Result<u64> {
        if bytes.is_empty() {
            return Ok(self.len());
        }
        let end = checked_end(offset, bytes.len() as u64, limit_bytes)?;
        if self.outgrows_record(end) {
            self.in_chunks(tx, |chunks, tx| chunks.write(tx, offset, bytes))?;
        } else {
            let (start, end) = (offset as usize, end as usize);
            self.edit_inline(end, |value| value[start..end].copy_from_slice(bytes));
        }
        self.mark_raw();
        Ok(self.len())
    }

    /// Makes the value at least `length` bytes long by zeros at its end.
    ///
    /// # Errors
    /// As [`StringValue::append`].
    pub fn grow(&mut self, tx: &mut Tx, length: u64, limit_bytes: u64) -> Result<()> {
        checked_end(length, 0, limit_bytes)?;
        if length <= self.len() {
            return Ok(());
        }
        if self.outgrows_record(length) {
            self.in_chunks(tx, |chunks, _| {
                chunks.length = length;
                Ok(())
            })?;
        } else {
            self.edit_inline(length as usize, |_| ());
        }
        self.mark_raw();
        Ok(())
    }

    /// Replaces one byte by what `change` makes of it, and tells the old one. The value grows to
    /// hold it; if neither happens, nothing is written.
    ///
    /// # Errors
    /// As [`StringValue::append`].
    pub fn edit_byte(
        &mut self,
        tx: &mut Tx,
        offset: u64,
        limit_bytes: u64,
        change: impl FnOnce(u8) -> u8,
    ) -> Result<u8> {
        let end = checked_end(offset, 1, limit_bytes)?;
        let grows = end > self.len();
        let replace = |byte: &mut u8| {
            let old = *byte;
            *byte = change(old);
            (old, *byte != old)
        };
        let (old, differs) = if self.outgrows_record(end) {
            self.in_chunks(tx, |chunks, tx| chunks.edit_byte(tx, offset, replace))?
        } else {
            let mut byte = self.inline_byte(offset);
            let (old, differs) = replace(&mut byte);
            if grows || differs {
                self.edit_inline(end as usize, |value| value[offset as usize] = byte);
            }
            (old, differs)
        };
        if grows || differs {
            self.mark_raw();
        }
        Ok(old)
    }

    /// A byte of an inline value; 0 behind its end.
    fn inline_byte(&self, offset: u64) -> u8 {
        match &self.content {
            Content::Inline(bytes) => bytes.get(offset as usize).copied().unwrap_or(0),
            Content::Chunked(_) => 0,
        }
    }

    /// Whether a change in place that reaches up to `end` is to be made in chunks.
    fn outgrows_record(&self, end: u64) -> bool {
        match &self.content {
            Content::Inline(bytes) => end.max(bytes.len() as u64) > CHUNK_BYTES as u64,
            Content::Chunked(_) => true,
        }
    }

    /// Changes the bytes of a value that stays in its record, at least `length` bytes long.
    fn edit_inline<R>(&mut self, length: usize, change: impl FnOnce(&mut [u8]) -> R) -> R {
        let old = match &self.content {
            Content::Inline(bytes) => &bytes[..],
            Content::Chunked(_) => &[],
        };
        let mut value = Vec::with_capacity(length.max(old.len()));
        value.extend_from_slice(old);
        if value.len() < length {
            value.resize(length, 0);
        }
        let result = change(&mut value);
        self.content = Content::Inline(value.into());
        self.changed = true;
        result
    }

    /// Changes the value as chunks; an inline one moves there first.
    fn in_chunks<R>(&mut self, tx: &mut Tx, change: impl FnOnce(&mut Chunks, &mut Tx) -> Result<R>) -> Result<R> {
        let mut chunks = match &self.content {
            Content::Chunked(chunks) => *chunks,
            Content::Inline(bytes) => {
                let id = tx.new_object()?;
                self.changed = true;
                Chunks::store(tx, id, bytes)
            }
        };
        let length = chunks.length;
        let result = change(&mut chunks, tx)?;
        self.changed |= chunks.length != length;
        self.content = Content::Chunked(chunks);
        Ok(result)
    }

    /// It was worked on in place, which Redis remembers: `raw` from now on.
    pub fn mark_raw(&mut self) {
        self.changed |= self.encoding != Encoding::Raw;
        self.encoding = Encoding::Raw;
    }
}

/// The end of a change, which must stay within the limit.
fn checked_end(offset: u64, count: u64, limit_bytes: u64) -> Result<u64> {
    match offset.checked_add(count) {
        Some(end) if end <= limit_bytes.min(MAX_LENGTH) => Ok(end),
        _ => Err(ClientError::StringTooLong.into()),
    }
}

/// Sets a whole value, whatever the key held before; a small one blindly, if that is safe.
/// WATCH and the like are told; events are the caller's.
///
/// # Errors
/// `NotInMemory` when what was there before has to be known.
pub fn overwrite(tx: &mut Tx, key: &Key, value: &[u8], encoding: Encoding, expire_at_ms: Option<u64>) -> Result<()> {
    if value.len() <= INLINE_BYTES {
        tx.put_inline(key, Type::String, encoding, expire_at_ms, value)?;
    } else {
        let id = tx.new_object()?;
        let chunks = Chunks { id, length: value.len() as u64 };
        let body = Body::Large { id, meta: chunks.meta() };
        tx.put_record(key, &Record { kind: Type::String, encoding, expire_at_ms, body })?;
        Chunks::store(tx, id, value);
    }
    tx.touch(key);
    Ok(())
}

/// Sets a whole value of `length` bytes, made a window at a time (a whole number of chunks, the
/// last one apart): `fill` gets the window's range and its bytes, zero at first. It may read
/// what the key holds now.
///
/// # Errors
/// As [`overwrite`], and what `fill` fails with.
pub fn overwrite_in_windows(
    tx: &mut Tx,
    key: &Key,
    length: u64,
    mut fill: impl FnMut(&mut Tx, Range<u64>, &mut [u8]) -> Result<()>,
) -> Result<()> {
    checked_end(length, 0, MAX_LENGTH)?;
    let mut window = vec![0; length.min(WINDOW_BYTES as u64) as usize];
    if length <= INLINE_BYTES as u64 {
        fill(tx, 0..length, &mut window)?;
        return overwrite(tx, key, &window, Encoding::Raw, None);
    }
    let id = tx.new_object()?;
    let mut start = 0;
    while start < length {
        let end = length.min(start + WINDOW_BYTES as u64);
        window.truncate((end - start) as usize);
        window.fill(0);
        fill(tx, start..end, &mut window)?;
        Chunks::store_at(tx, id, start, &window);
        start = end;
    }
    let body = Body::Large { id, meta: Chunks { id, length }.meta() };
    tx.put_record(key, &Record { kind: Type::String, encoding: Encoding::Raw, expire_at_ms: None, body })?;
    tx.touch(key);
    Ok(())
}
