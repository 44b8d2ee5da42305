//! Strings as bits: single bits, counting and searching, integers of any width at any offset,
//! and the logic of several strings. Bit 0 is the highest bit of the first byte.
//!
//! Everything goes over [`StringValue`] piece by piece, so that a command on a few bits of a
//! large bitmap reads a few chunks, and stretches that were never written cost nothing.
//! Ranges here are of absolute bits; what negative indexes mean is the command's affair.

use std::ops::{ControlFlow, Range};

use super::string::{Piece, StringValue};
use crate::base::Result;
use crate::keyspace::Tx;

/// The widest integer of a field, in bits.
pub const MAX_FIELD_BITS: u32 = 64;
/// Bytes that a field can lie in: 64 bits that begin within a byte.
const FIELD_BYTES: usize = 9;

// ---- single bits ----------------------------------------------------------------

/// The bit at an offset; behind the end all are 0.
///
/// # Errors
/// `NotInMemory`, corruption.
pub fn bit(value: &StringValue, tx: &mut Tx, offset: u64) -> Result<bool> {
    let mut byte = [0];
    value.read_into(tx, offset / 8, &mut byte)?;
    Ok(byte[0] & mask(offset) != 0)
}

/// Sets the bit at an offset and tells the old one. The string grows to hold it.
///
/// # Errors
/// As [`StringValue::edit_byte`].
pub fn set_bit(value: &mut StringValue, tx: &mut Tx, offset: u64, on: bool, limit_bytes: u64) -> Result<bool> {
    let mask = mask(offset);
    value.mark_raw();
    let set = |byte: u8| if on { byte | mask } else { byte & !mask };
    Ok(value.edit_byte(tx, offset / 8, limit_bytes, set)? & mask != 0)
}

fn mask(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

// ---- counting and searching --------------------------------------------------------

/// The bytes that hold a range of bits, and the bits at both ends that do not belong to it.
struct Edges {
    bytes: Range<u64>,
    /// The bits of the first byte before the range.
    before: u8,
    /// The bits of the last byte behind it.
    behind: u8,
}

impl Edges {
    fn of(bits: &Range<u64>) -> Self {
        let behind = match bits.end % 8 {
            0 => 0,
            within => 0xff >> within,
        };
        Self { bytes: bits.start / 8..bits.end.div_ceil(8), before: !(0xff >> (bits.start % 8)), behind }
    }

    /// Bits of a piece's first and last byte that do not belong to the range.
    fn outside(&self, at: u64, piece: &[u8]) -> (u8, u8) {
        let first = if at == self.bytes.start { self.before } else { 0 };
        let last = if at + piece.len() as u64 == self.bytes.end { self.behind } else { 0 };
        (first, last)
    }
}

/// How many bits of a range are 1.
///
/// # Errors
/// `NotInMemory`, corruption.
pub fn count(value: &StringValue, tx: &mut Tx, bits: Range<u64>) -> Result<u64> {
    if bits.is_empty() {
        return Ok(0);
    }
    let edges = Edges::of(&bits);
    let mut at = edges.bytes.start;
    let mut count = 0;
    value.visit(tx, edges.bytes.clone(), |piece| {
        match piece {
            Piece::Zeros(zeros) => at += zeros,
            Piece::Bytes(bytes) => {
                let (first, last) = edges.outside(at, bytes);
                let excess = |byte: Option<&u8>, outside: u8| byte.map_or(0, |byte| (byte & outside).count_ones());
                count += ones(bytes);
                count -= u64::from(excess(bytes.first(), first) + excess(bytes.last(), last));
                at += bytes.len() as u64;
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

/// How many bits are 1.
pub fn ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let of_words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    of_words + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The first bit of a range that is `wanted`.
///
/// # Errors
/// `NotInMemory`, corruption.
pub fn position(value: &StringValue, tx: &mut Tx, wanted: bool, bits: Range<u64>) -> Result<Option<u64>> {
    if bits.is_empty() {
        return Ok(None);
    }
    let edges = Edges::of(&bits);
    let mut at = edges.bytes.start;
    let mut found = None;
    value.visit(tx, edges.bytes.clone(), |piece| {
        match piece {
            Piece::Zeros(zeros) => {
                if !wanted {
                    found = Some((at * 8).max(bits.start));
                }
                at += zeros;
            }
            Piece::Bytes(bytes) => {
                found = first_in(bytes, wanted, edges.outside(at, bytes)).map(|within| at * 8 + within);
                at += bytes.len() as u64;
            }
        }
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

/// The first bit of a piece that is `wanted`, leaving out some of its first and last byte.
fn first_in(bytes: &[u8], wanted: bool, outside: (u8, u8)) -> Option<u64> {
    let last = bytes.len().checked_sub(1)?;
    // A byte in which the bits looked for are the ones.
    let looked_at = |index: usize, byte: u8| {
        let mut ones = if wanted { byte } else { !byte };
        if index == 0 {
            ones &= !outside.0;
        }
        if index == last {
            ones &= !outside.1;
        }
        ones
    };
    let dull = if wanted { 0 } else { 0xff };
    let hit = |index: usize, byte: u8| {
        let ones = looked_at(index, byte);
        (ones != 0).then(|| index as u64 * 8 + u64::from(ones.leading_zeros()))
    };
    let mut index = 0;
    while let Some(byte) = bytes.get(index) {
        if let Some(found) = hit(index, *byte) {
            return Some(found);
        }
        index += 1;
        let rest = bytes.get(index..).unwrap_or_default();
        index += rest.as_chunks::<8>().0.iter().take_while(|word| word.iter().all(|byte| *byte == dull)).count() * 8;
    }
    None
}

// ---- integers at bit offsets ------------------------------------------------------------

/// The type of an integer in a bitmap: `i1` to `i64`, `u1` to `u63`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub signed: bool,
    /// Width, 1 to 64.
    pub bits: u32,
}

/// What becomes of a number that a field cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overflow {
    /// The low bits are kept.
    #[default]
    Wrap,
    /// The nearest number that fits.
    Saturate,
    /// Nothing is written.
    Fail,
}

impl Field {
    fn mask(self) -> u64 {
        u64::MAX >> (MAX_FIELD_BITS - self.bits)
    }

    /// The least and the greatest number.
    fn limits(self) -> (i128, i128) {
        if self.signed {
            let half = 1_i128 << (self.bits - 1);
            (-half, half - 1)
        } else {
            (0, i128::from(self.mask()))
        }
    }

    /// The number that the field's bits stand for.
    fn number(self, bits: u64) -> i64 {
        let unused = MAX_FIELD_BITS - self.bits;
        if self.signed { (bits << unused).cast_signed() >> unused } else { bits.cast_signed() }
    }

    /// A number as this field would hold it; `None` if it does not fit and must not be bent.
    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (least, greatest) = self.limits();
        if (least..=greatest).contains(&number) {
            return Some(number as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.number(number as u64 & self.mask())),
            Overflow::Saturate => Some(number.clamp(least, greatest) as i64),
            Overflow::Fail => None,
        }
    }

    /// `value` as SET takes it: an unsigned field sees a negative number as a large one.
    pub fn of_value(self, value: i64, overflow: Overflow) -> Option<i64> {
        let number = if self.signed { i128::from(value) } else { i128::from(value.cast_unsigned()) };
        self.fit(number, overflow)
    }

    /// `old` and `increment` together.
    pub fn sum(self, old: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        self.fit(i128::from(old) + i128::from(increment), overflow)
    }

    /// Reads the field at a bit offset; bits behind the end are 0.
    ///
    /// # Errors
    /// `NotInMemory`, corruption.
    pub fn read(self, value: &StringValue, tx: &mut Tx, offset: u64) -> Result<i64> {
        let mut bytes = [0; FIELD_BYTES];
        value.read_into(tx, offset / 8, &mut bytes[..self.bytes_at(offset)])?;
        let bits = (wide(bytes) >> self.shift(offset)) as u64 & self.mask();
        Ok(self.number(bits))
    }

    /// Writes a number that fits at a bit offset that lies in the string; growing it is the
    /// caller's affair.
    ///
    /// # Errors
    /// As [`StringValue::write`].
    pub fn write(self, value: &mut StringValue, tx: &mut Tx, offset: u64, number: i64) -> Result<()> {
        let mut bytes = [0; FIELD_BYTES];
        let used = self.bytes_at(offset);
        value.read_into(tx, offset / 8, &mut bytes[..used])?;
        let place = u128::from(self.mask()) << self.shift(offset);
        let bits = u128::from(number.cast_unsigned() & self.mask()) << self.shift(offset);
        let bytes = (wide(bytes) & !place | bits).to_be_bytes();
        let bytes = &bytes[16 - FIELD_BYTES..][..used];
        value.write(tx, offset / 8, bytes, u64::MAX)?;
        Ok(())
    }

    /// How many bytes the field lies in.
    fn bytes_at(self, offset: u64) -> usize {
        (offset % 8 + u64::from(self.bits)).div_ceil(8) as usize
    }

    /// Bits behind the field in [`FIELD_BYTES`] bytes.
    fn shift(self, offset: u64) -> u32 {
        FIELD_BYTES as u32 * 8 - (offset % 8) as u32 - self.bits
    }
}

/// Nine bytes as one number, the first the highest.
fn wide(bytes: [u8; FIELD_BYTES]) -> u128 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

// ---- logic of several strings --------------------------------------------------------------

/// How strings are combined; a shorter one counts as padded with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logic {
    And,
    Or,
    Xor,
    /// Of one string.
    Not,
}

/// Combines a window of the sources into `out`, which is as long as the window. `None` stands
/// for a key that is not there.
///
/// # Errors
/// `NotInMemory`, corruption.
pub fn combine(
    logic: Logic,
    sources: &[Option<StringValue>],
    tx: &mut Tx,
    window: Range<u64>,
    out: &mut [u8],
) -> Result<()> {
    let mut sources = sources.iter();
    read(sources.next(), tx, &window, out)?;
    if logic == Logic::Not {
        out.iter_mut().for_each(|byte| *byte = !*byte);
    }
    let mut other = vec![0; out.len()];
    for source in sources {
        read(Some(source), tx, &window, &mut other)?;
        let pairs = out.iter_mut().zip(&other);
        match logic {
            Logic::And => pairs.for_each(|(byte, other)| *byte &= other),
            Logic::Or => pairs.for_each(|(byte, other)| *byte |= other),
            Logic::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
            Logic::Not => {}
        }
    }
    Ok(())
}

fn read(source: Option<&Option<StringValue>>, tx: &mut Tx, window: &Range<u64>, out: &mut [u8]) -> Result<()> {
    match source {
        Some(Some(value)) => value.read_into(tx, window.start, out),
        _ => {
            out.fill(0);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
