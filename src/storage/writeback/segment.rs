//! The files of the write-ahead log. Each is a header and frames, one behind the other:
//!
//! ```text
//! ferrock-0000000001.wal, then zeros, for space is reserved before it is used
//! 0            8         12       20      28    32
//! +------------+---------+--------+-------+-----+--------+--------+---
//! | magic      | version | number | start | crc | frame  | frame  | …
//! +------------+---------+--------+-------+-----+--------+--------+---
//! ```
//!
//! Magic is "FERRWAL\0"; version u32, number u64 (that of the name), start u64 (the position of the
//! first frame) and crc u32 (CRC-32 of bytes 0..28) are big-endian.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::BufMut;

use super::frame::{self, Header};
use crate::base::{Error, Result};

const MAGIC: [u8; 8] = *b"FERRWAL\0";
const VERSION: u32 = 1;

/// Bytes in front of the first frame.
pub(super) const HEAD_BYTES: usize = 32;

const PREFIX: &str = "ferrock-";
const SUFFIX: &str = ".wal";

/// The file of a number.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{PREFIX}{number:010}{SUFFIX}"))
}

/// The numbers of the files in a directory, ascending.
pub(super) fn numbers(directory: &Path) -> Result<Vec<u64>> {
    let failed = |source| Error::Io { path: directory.into(), source };
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn head(number: u64, start: u64) -> [u8; HEAD_BYTES] {
    let mut bytes = [0; HEAD_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    let mut rest = &mut bytes[8..];
    rest.put_u32(VERSION);
    rest.put_u64(number);
    rest.put_u64(start);
    let crc = crc32fast::hash(&bytes[..28]);
    bytes[28..].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Makes a file with nothing in it but its head; it survives a power cut when this returns.
pub(super) fn create(directory: &Path, number: u64, start: u64) -> Result<File> {
    let path = path(directory, number);
    let failed = |error: io::Error| super::log::failed("create", &path, &error);
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
    let begun = file
        .write_all_at(&head(number, start), 0)
        .and_then(|()| file.sync_all())
        .and_then(|()| File::open(directory)?.sync_all());
    if let Err(error) = begun {
        let _ = std::fs::remove_file(&path);
        return Err(failed(error));
    }
    Ok(file)
}

/// A file of the log that is read from its beginning.
pub(super) struct Reader {
    path: PathBuf,
    file: File,
    bytes: u64,
    at: u64,
    /// The position of the first frame.
    pub start: u64,
    position: u64,
}

/// What comes next in a file.
#[derive(Debug)]
pub(super) enum Read {
    Frame(Header, Vec<u8>),
    End,
    /// No whole frame begins here, though something does.
    Broken(String),
}

impl Reader {
    /// Opens a file. The inner error is that of a head which is not whole.
    pub(super) fn open(directory: &Path, number: u64) -> Result<std::result::Result<Self, String>> {
        let path = path(directory, number);
        let failed = |source| Error::Io { path: path.clone(), source };
        let file = File::open(&path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut stored = [0; HEAD_BYTES];
        if bytes < HEAD_BYTES as u64 {
            return Ok(Err("its head is cut off".into()));
        }
        file.read_exact_at(&mut stored, 0).map_err(failed)?;
        let word = |at: usize| u32::from_be_bytes([stored[at], stored[at + 1], stored[at + 2], stored[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        if stored[..8] != MAGIC || word(28) != crc32fast::hash(&stored[..28]) || long(12) != number {
            return Ok(Err("its head is damaged".into()));
        }
        if word(8) != VERSION {
            return Ok(Err(format!("it has version {}, this ferrock reads version {VERSION}", word(8))));
        }
        let start = long(20);
        Ok(Ok(Self { path, file, bytes, at: HEAD_BYTES as u64, start, position: start }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next frame begins: in this file, and in the whole log.
    pub(super) fn at(&self) -> (u64, u64) {
        (self.at, self.position)
    }

    /// The next frame.
    pub(super) fn next(&mut self) -> Result<Read> {
        let left = self.bytes - self.at;
        if left == 0 {
            return Ok(Read::End);
        }
        let broken = |what: &str| Ok(Read::Broken(format!("{} at byte {}", what, self.at)));
        let mut stored = [0; frame::HEADER_BYTES];
        let begin = stored.len().min(left as usize);
        self.read(&mut stored[..begin], self.at)?;
        if stored.iter().all(|byte| *byte == 0) {
            // Space that was reserved and never used, unless something comes behind it.
            return if self.is_blank()? { Ok(Read::End) } else { broken("a frame was never completed") };
        }
        if begin < stored.len() {
            return broken("a frame is cut off");
        }
        let Some(header) = Header::decode(&stored) else { return broken("the header of a frame is damaged") };
        if header.position != self.position {
            return broken("a frame is not where it was written");
        }
        if u64::from(header.length) > left - stored.len() as u64 {
            return broken("a frame is cut off");
        }
        let mut payload = vec![0; header.length as usize];
        self.read(&mut payload, self.at + stored.len() as u64)?;
        if crc32fast::hash(&payload) != header.payload_crc {
            return broken("the payload of a frame is damaged");
        }
        self.position = header.end();
        self.at += self.position - header.position;
        Ok(Read::Frame(header, payload))
    }

    /// Whether nothing but zeros is left.
    fn is_blank(&self) -> Result<bool> {
        let mut window = vec![0; 1 << 20];
        let mut at = self.at;
        while at < self.bytes {
            let length = (self.bytes - at).min(window.len() as u64) as usize;
            self.read(&mut window[..length], at)?;
            if window[..length].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += length as u64;
        }
        Ok(true)
    }

    /// Goes on where a frame begins.
    pub(super) fn skip_to(&mut self, at: u64, position: u64) {
        (self.at, self.position) = (at.max(HEAD_BYTES as u64), position);
    }

    /// The greatest `synced` of the whole headers behind a broken place, in this file.
    pub(super) fn synced_behind(&self) -> Result<u64> {
        const STEP: usize = 1 << 20;
        let mut most = 0;
        let mut at = self.at;
        let mut window = Vec::new();
        while at < self.bytes {
            let length = (self.bytes - at).min((STEP + frame::HEADER_BYTES) as u64) as usize;
            window.resize(length, 0);
            self.read(&mut window, at)?;
            for stored in window.windows(frame::HEADER_BYTES) {
                let Some(stored) = stored.first_chunk() else { continue };
                if let Some(header) = plausible(stored, self.position) {
                    most = most.max(header.synced);
                }
            }
            at += STEP as u64;
        }
        Ok(most)
    }

    fn read(&self, into: &mut [u8], at: u64) -> Result<()> {
        self.file.read_exact_at(into, at).map_err(|source| Error::Io { path: self.path.clone(), source })
    }
}

/// A header that may stand behind `position`, told cheaply from other bytes.
fn plausible(stored: &[u8; frame::HEADER_BYTES], position: u64) -> Option<Header> {
    let claimed = u64::from_be_bytes(*stored[12..].first_chunk()?);
    if claimed < position || claimed - position > 1 << 40 {
        return None;
    }
    Header::decode(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        create(directory.path(), 7, 1000).unwrap();
        assert!(create(directory.path(), 7, 1000).is_err());
        std::fs::write(directory.path().join("ferrock.lock"), "1").unwrap();
        assert_eq!(numbers(directory.path()).unwrap(), [7]);
        let mut reader = Reader::open(directory.path(), 7).unwrap().unwrap();
        assert_eq!((reader.start, reader.at()), (1000, (32, 1000)));
        assert!(matches!(reader.next().unwrap(), Read::End));
    }

    #[test]
    fn every_flipped_bit_of_a_head_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        create(directory.path(), 1, 0).unwrap();
        let path = path(directory.path(), 1);
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..HEAD_BYTES * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert!(Reader::open(directory.path(), 1).unwrap().is_err(), "bit {bit}");
        }
    }
}
