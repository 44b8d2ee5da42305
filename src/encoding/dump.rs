//! Ferrock's own dump: compressed blocks, each with a checksum, around the same body as an RDB
//! file. Written and read as a stream; damage is found at its block, and what stands before
//! it is good.
//!
//! ```text
//! "FERROCK-DUMP" · version u16 · length u32 · head (serial.rs) · crc64 of the head u64
//! block:  length u32 · length uncompressed u32 · crc64 of both and what follows u64 · zstd
//! end:    0 u32 · 0 u32 · crc64 of both and of the number of blocks u64
//! ```
//!
//! Everything is big endian. The blocks together are the body: databases, keys and values as in
//! RDB, without its magic, with its end and checksum. Values may begin in one block and end
//! in another.

use std::io::{self, ErrorKind, Read, Write};

use serde::{Deserialize, Serialize};

use super::serial;
use crate::base::crc::{Crc64, crc64};

/// What a dump begins with.
pub const MAGIC: &[u8; 12] = b"FERROCK-DUMP";
/// The version that is written, and the newest that is read.
pub const VERSION: u16 = 1;
/// Bytes of a full block before it is compressed.
const BLOCK_BYTES: usize = 1 << 20;
/// The longest block that is read, compressed or not.
const MOST_BYTES: usize = 4 << 20;
const _: () = assert!(BLOCK_BYTES * 2 < MOST_BYTES);
/// The longest head that is read.
const MOST_HEAD_BYTES: u32 = 64 << 10;
const LEVEL: i32 = 3;

/// What a dump says of its making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DumpHead {
    /// Milliseconds since the epoch.
    pub created_ms: u64,
    /// The program and its version.
    pub made_by: String,
    /// How many logical databases there were.
    pub databases: u32,
}

/// Why a dump was refused.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error("the dump is of version {0}, newer than this program")]
    Version(u16),
    #[error("the head of the dump is damaged")]
    Head,
    #[error("block {number} of the dump, at byte {at}, {what}")]
    Block { number: u64, at: u64, what: &'static str },
}

impl From<DumpError> for io::Error {
    fn from(error: DumpError) -> Self {
        Self::new(ErrorKind::InvalidData, error)
    }
}

/// Writes the body of a dump.
pub struct DumpWriter<W: Write> {
    to: W,
    gathered: Vec<u8>,
    blocks: u64,
}

impl<W: Write> DumpWriter<W> {
    /// Writes the head.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(mut to: W, head: &DumpHead) -> io::Result<Self> {
        let head = serial::encode(head).map_err(io::Error::other)?;
        to.write_all(MAGIC)?;
        to.write_all(&VERSION.to_be_bytes())?;
        to.write_all(&(head.len() as u32).to_be_bytes())?;
        to.write_all(&head)?;
        to.write_all(&crc64(&head).to_be_bytes())?;
        Ok(Self { to, gathered: Vec::with_capacity(BLOCK_BYTES), blocks: 0 })
    }

    fn block(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let compressed = zstd::bulk::compress(&self.gathered, LEVEL)?;
        let lengths = lengths(compressed.len(), self.gathered.len());
        let mut checksum = Crc64::new();
        checksum.update(&lengths);
        checksum.update(&compressed);
        self.to.write_all(&lengths)?;
        self.to.write_all(&checksum.value().to_be_bytes())?;
        self.to.write_all(&compressed)?;
        self.blocks += 1;
        self.gathered.clear();
        Ok(())
    }

    /// Writes the last block and the end; gives back where it was written to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.block()?;
        self.to.write_all(&lengths(0, 0))?;
        self.to.write_all(&end_checksum(self.blocks).to_be_bytes())?;
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for DumpWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK_BYTES - self.gathered.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or(bytes);
        self.gathered.extend_from_slice(taken);
        if self.gathered.len() == BLOCK_BYTES {
            self.block()?;
        }
        Ok(taken.len())
    }

    /// Blocks are written when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lengths(compressed: usize, plain: usize) -> [u8; 8] {
    let mut lengths = [0; 8];
    let (first, second) = lengths.split_at_mut(4);
    first.copy_from_slice(&(compressed as u32).to_be_bytes());
    second.copy_from_slice(&(plain as u32).to_be_bytes());
    lengths
}

fn end_checksum(blocks: u64) -> u64 {
    let mut checksum = Crc64::new();
    checksum.update(&lengths(0, 0));
    checksum.update(&blocks.to_be_bytes());
    checksum.value()
}

/// Reads the body of a dump.
pub struct DumpReader<R> {
    from: R,
    head: DumpHead,
    /// The block that is being given out, and how far.
    block: Vec<u8>,
    given: usize,
    blocks: u64,
    at: u64,
    is_done: bool,
}

impl<R: Read> DumpReader<R> {
    /// Reads the head, behind the magic if that was looked at before.
    ///
    /// # Errors
    /// When it is none, or newer than this program.
    pub fn open(mut from: R) -> io::Result<Self> {
        let magic: [u8; 12] = array(&mut from)?;
        let version = u16::from_be_bytes(array(&mut from)?);
        if &magic != MAGIC || version == 0 {
            return Err(DumpError::Head.into());
        }
        if version > VERSION {
            return Err(DumpError::Version(version).into());
        }
        let length = u32::from_be_bytes(array(&mut from)?);
        if length > MOST_HEAD_BYTES {
            return Err(DumpError::Head.into());
        }
        let mut bytes = vec![0; length as usize];
        from.read_exact(&mut bytes)?;
        let checksum = u64::from_be_bytes(array(&mut from)?);
        let head = serial::decode(&bytes).ok().filter(|_| checksum == crc64(&bytes)).ok_or(DumpError::Head)?;
        let at = (MAGIC.len() + 2 + 4 + bytes.len() + 8) as u64;
        Ok(Self { from, head, block: Vec::new(), given: 0, blocks: 0, at, is_done: false })
    }

    /// What the dump says of its making.
    pub fn head(&self) -> &DumpHead {
        &self.head
    }

    fn damaged(&self, what: &'static str) -> DumpError {
        DumpError::Block { number: self.blocks + 1, at: self.at, what }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.from.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.damaged("is cut off").into(),
            _ => error,
        })
    }

    fn next_block(&mut self) -> io::Result<()> {
        let mut head = [0; 16];
        self.fill(&mut head)?;
        let (sizes, checksum) = head.split_at(8);
        let number = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes)) as usize;
        let (compressed, plain) = (number(sizes.first_chunk()), number(sizes.last_chunk()));
        let checksum = checksum.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        if compressed == 0 && plain == 0 {
            self.is_done = true;
            let right = checksum == end_checksum(self.blocks);
            return if right { Ok(()) } else { Err(self.damaged("is missing").into()) };
        }
        if compressed > MOST_BYTES || plain > MOST_BYTES || compressed == 0 || plain == 0 {
            return Err(self.damaged("has damaged lengths").into());
        }
        let mut bytes = vec![0; compressed];
        self.fill(&mut bytes)?;
        let mut computed = Crc64::new();
        computed.update(sizes);
        computed.update(&bytes);
        if computed.value() != checksum {
            return Err(self.damaged("is damaged").into());
        }
        let block = zstd::bulk::decompress(&bytes, plain).ok().filter(|block| block.len() == plain);
        self.block = block.ok_or_else(|| self.damaged("does not decompress"))?;
        self.given = 0;
        self.blocks += 1;
        self.at += (head.len() + bytes.len()) as u64;
        Ok(())
    }
}

impl<R: Read> Read for DumpReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.given == self.block.len() && !self.is_done && !out.is_empty() {
            self.next_block()?;
        }
        if self.is_done {
            return Ok(0);
        }
        let rest = self.block.get(self.given..).unwrap_or_default();
        let count = rest.len().min(out.len());
        if let (Some(out), Some(rest)) = (out.get_mut(..count), rest.get(..count)) {
            out.copy_from_slice(rest);
        }
        self.given += count;
        Ok(count)
    }
}

fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head() -> DumpHead {
        DumpHead { created_ms: 1, made_by: "ferrock".into(), databases: 16 }
    }

    fn dump(bytes: &[u8]) -> Vec<u8> {
        let mut writer = DumpWriter::begin(Vec::new(), &head()).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn body(dump: &[u8]) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        DumpReader::open(dump)?.read_to_end(&mut body)?;
        Ok(body)
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn a_dump_without_a_body_has_the_documented_bytes() {
        let mut expected = b"FERROCK-DUMP\0\x01\0\0\0\x1b".to_vec();
        let facts = b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x07ferrock\0\0\0\x10";
        expected.extend_from_slice(facts);
        expected.extend_from_slice(&crc64(facts).to_be_bytes());
        expected.extend_from_slice(&[0; 8]);
        expected.extend_from_slice(&crc64(&[0; 16]).to_be_bytes());
        assert_eq!(dump(b""), expected);
        assert_eq!(body(&expected).unwrap(), b"");
    }

    #[test]
    fn damage_is_found_at_its_block() {
        let bytes = noise(3 * BLOCK_BYTES);
        let good = dump(&bytes);
        assert_eq!(body(&good).unwrap(), bytes);
        let mut damaged = good.clone();
        damaged[BLOCK_BYTES * 3 / 2] ^= 1;
        let mut reader = DumpReader::open(&damaged[..]).unwrap();
        let mut read = Vec::new();
        let error = reader.read_to_end(&mut read).unwrap_err();
        assert!(error.to_string().starts_with("block 2 of the dump, at byte 10"), "{error}");
        assert_eq!(read, bytes[..BLOCK_BYTES]);
    }

    #[test]
    fn what_is_cut_off_or_left_out_is_noticed() {
        let good = dump(&noise(2 * BLOCK_BYTES + 5));
        for length in 0..60 {
            assert!(body(&good[..length]).is_err(), "{length}");
            assert!(body(&good[..good.len() - 1 - length]).is_err(), "{length}");
        }
        // The last block left out, the end kept.
        let start = good.len()
            - 16
            - 16
            - zstd::bulk::compress(&noise(2 * BLOCK_BYTES + 5)[2 * BLOCK_BYTES..], LEVEL).unwrap().len();
        let without = [&good[..start], &good[good.len() - 16..]].concat();
        assert!(body(&without).unwrap_err().to_string().contains("is missing"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, keep in 0..60_usize) {
            let _ = body(&bytes);
            let mut good = dump(b"some bytes");
            good.truncate(keep);
            good.append(&mut bytes);
            let _ = body(&good);
        }
    }
}
