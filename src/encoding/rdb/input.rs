//! Bytes on their way in: counted, summed up for the checksum, taken apart into the lengths
//! and strings that everything in RDB is made of.

use std::io::{ErrorKind, Read};

use bytes::Bytes;

use super::{RdbError, Result, length};
use crate::base::crc::Crc64;
use crate::base::number::format_i64;
use crate::encoding::lzf;
use crate::encoding::piece::CHUNK_BYTES;

/// Memory is taken this much at a time, as bytes really arrive.
const STEP_BYTES: usize = 1 << 20;

/// A length, or how the string is encoded that stands in its place.
pub(super) enum Length {
    Plain(u64),
    Encoded(u8),
}

/// A string that may be too long to be taken at once.
pub(super) enum Text {
    Whole(Bytes),
    /// This many bytes follow as they are.
    Follows(u64),
}

/// Counted and summed bytes.
pub(super) struct Input<R> {
    from: R,
    at: u64,
    checksum: Crc64,
}

impl<R: Read> Input<R> {
    pub fn new(from: R) -> Self {
        Self { from, at: 0, checksum: Crc64::new() }
    }

    /// How many bytes were taken.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The checksum of all that was taken.
    pub fn checksum(&self) -> u64 {
        self.checksum.value()
    }

    pub fn damaged(&self, what: &'static str) -> RdbError {
        RdbError::Damaged { at: self.at, what }
    }

    pub fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        match self.from.read_exact(out) {
            Ok(()) => {
                self.at += out.len() as u64;
                self.checksum.update(out);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(RdbError::Short { at: self.at }),
            Err(error) => Err(error.into()),
        }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    pub fn byte(&mut self) -> Result<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub fn u64_le(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// So many bytes, in memory that grows no faster than they arrive.
    pub fn bytes(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut left = usize::try_from(count).map_err(|_| self.damaged("a length beyond this machine"))?;
        let mut bytes = Vec::new();
        while left > 0 {
            let step = left.min(STEP_BYTES);
            let start = bytes.len();
            bytes.resize(start + step, 0);
            self.fill(bytes.get_mut(start..).unwrap_or_default())?;
            left -= step;
        }
        Ok(bytes)
    }

    pub fn length_or_encoding(&mut self) -> Result<Length> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match first >> 6 {
            0 => Length::Plain(low.into()),
            length::BITS_14 => Length::Plain(u64::from(low) << 8 | u64::from(self.byte()?)),
            length::LONGER if first == length::BITS_32 => Length::Plain(u32::from_be_bytes(self.array()?).into()),
            length::LONGER if first == length::BITS_64 => Length::Plain(u64::from_be_bytes(self.array()?)),
            length::ENCODED => Length::Encoded(low),
            _ => return Err(self.damaged("a length of no known width")),
        })
    }

    pub fn length(&mut self) -> Result<u64> {
        match self.length_or_encoding()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => Err(self.damaged("an encoded string where a length belongs")),
        }
    }

    /// A string; a long one that stands as it is is left to the caller to take in chunks.
    pub fn text(&mut self) -> Result<Text> {
        match self.length_or_encoding()? {
            Length::Plain(length) if length > CHUNK_BYTES as u64 => Ok(Text::Follows(length)),
            Length::Plain(length) => Ok(Text::Whole(self.bytes(length)?.into())),
            Length::Encoded(encoding) => Ok(Text::Whole(self.encoded(encoding)?)),
        }
    }

    /// A whole string.
    pub fn string(&mut self) -> Result<Bytes> {
        match self.text()? {
            Text::Whole(bytes) => Ok(bytes),
            Text::Follows(length) => Ok(self.bytes(length)?.into()),
        }
    }

    fn encoded(&mut self, encoding: u8) -> Result<Bytes> {
        let number = match encoding {
            length::INT_8 => i64::from(i8::from_le_bytes(self.array()?)),
            length::INT_16 => i64::from(i16::from_le_bytes(self.array()?)),
            length::INT_32 => i64::from(i32::from_le_bytes(self.array()?)),
            length::LZF => return self.compressed(),
            _ => return Err(self.damaged("a string of no known encoding")),
        };
        Ok(Bytes::copy_from_slice(&format_i64(number)))
    }

    fn compressed(&mut self) -> Result<Bytes> {
        let compressed = self.length()?;
        let length = self.length()?;
        let compressed = self.bytes(compressed)?;
        let length = usize::try_from(length).ok();
        let text = length.and_then(|length| lzf::decompress(&compressed, length).ok());
        text.map(Bytes::from).ok_or_else(|| self.damaged("a compressed string"))
    }

    /// The score of the first sorted sets: as text, behind its length.
    pub fn text_score(&mut self) -> Result<f64> {
        let length = self.byte()?;
        match length {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            _ => {
                let text = self.bytes(length.into())?;
                crate::base::number::parse_double_lenient(&text).ok_or_else(|| self.damaged("a score"))
            }
        }
    }
}
