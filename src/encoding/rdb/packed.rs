//! The runs of bytes that Redis keeps small values in, and writes to RDB as one string: read
//! one element after another, never believed.
//!
//! ```text
//! ziplist    bytes u32 · offset of the last u32 · count u16 · entries · ff
//!            entry: length of the one before (1 byte, or fe u32) · encoding · data
//! listpack   bytes u32 · count u16 · entries · ff
//!            entry: encoding · data · length of both, readable backwards
//! intset     width u32 (2, 4 or 8) · count u32 · integers
//! zipmap     count u8 · (length · key · length · spare u8 · value · spare bytes) … · ff
//! ```
//!
//! Integers are little endian, lengths inside encodings big endian unless said otherwise.

use bytes::{BufMut, Bytes};

use crate::base::number::format_i64;
use crate::encoding::order::take_array;

/// The end of ziplists, listpacks and zipmaps.
const END: u8 = 0xff;
/// Bytes of a ziplist in front of its entries.
const ZIPLIST_HEAD: usize = 10;
/// Bytes of a listpack in front of its entries.
pub(super) const LISTPACK_HEAD: usize = 6;
const INTSET_HEAD: usize = 8;

/// Which of the layouts a run of bytes has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Ziplist,
    Listpack,
    Intset,
    Zipmap,
}

/// The elements of a run of bytes, in order.
#[derive(Debug)]
pub(super) struct Packed {
    bytes: Bytes,
    at: usize,
    layout: Layout,
    /// Integers of an intset that are left, and their width.
    integers: (u32, u32),
    /// Whether the next string of a zipmap is a value.
    is_value: bool,
}

/// What does not hold of such a run.
pub(super) type Damage = &'static str;

/// An element: bytes, or an integer that stands for its decimal text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Element {
    Bytes(Bytes),
    Integer(i64),
}

impl Element {
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Integer(number) => Bytes::copy_from_slice(&format_i64(number)),
        }
    }
}

impl Packed {
    /// Checks the head.
    pub fn open(bytes: Bytes, layout: Layout) -> Result<Self, Damage> {
        let mut integers = (0, 0);
        let at = match layout {
            Layout::Ziplist => {
                is_length_of(&bytes, ZIPLIST_HEAD)?;
                ZIPLIST_HEAD
            }
            Layout::Listpack => {
                is_length_of(&bytes, LISTPACK_HEAD)?;
                LISTPACK_HEAD
            }
            Layout::Intset => {
                integers = intset_head(&bytes)?;
                INTSET_HEAD
            }
            Layout::Zipmap => usize::from(!bytes.is_empty()),
        };
        Ok(Self { bytes, at, layout, integers, is_value: false })
    }

    /// How many elements the head claims, if it knows; never more than there are bytes.
    pub fn claimed(&self) -> Option<u64> {
        let count_at = |at: usize| {
            let bytes = self.bytes.get(at..)?.first_chunk::<2>()?;
            Some(u64::from(u16::from_le_bytes(*bytes))).filter(|count| *count != u64::from(u16::MAX))
        };
        match self.layout {
            Layout::Ziplist => count_at(8),
            Layout::Listpack => count_at(4),
            Layout::Intset => Some(self.integers.0.into()),
            Layout::Zipmap => self.bytes.first().filter(|count| **count < 254).map(|count| 2 * u64::from(*count)),
        }
    }

    /// The next element; `None` at the end.
    pub fn next(&mut self) -> Result<Option<Element>, Damage> {
        match self.layout {
            Layout::Intset => self.next_integer(),
            Layout::Zipmap => self.next_of_zipmap(),
            Layout::Ziplist | Layout::Listpack if self.is_at_end()? => Ok(None),
            Layout::Ziplist => self.next_of_ziplist().ok_or("an entry of a ziplist ends early").map(Some),
            Layout::Listpack => self.next_of_listpack().ok_or("an entry of a listpack ends early").map(Some),
        }
    }

    /// The next element, which must be there.
    pub fn expect(&mut self) -> Result<Element, Damage> {
        self.next()?.ok_or("a run of elements ends early")
    }

    /// The next element, which must be an integer or its text.
    pub fn expect_integer(&mut self) -> Result<i64, Damage> {
        match self.expect()? {
            Element::Integer(number) => Ok(number),
            Element::Bytes(text) => crate::base::number::parse_i64(&text).ok_or("text where an integer belongs"),
        }
    }

    fn is_at_end(&self) -> Result<bool, Damage> {
        match self.bytes.get(self.at) {
            Some(&END) if self.at + 1 == self.bytes.len() => Ok(true),
            Some(&END) => Err("bytes behind the end of a run of elements"),
            Some(_) => Ok(false),
            None => Err("a run of elements has no end"),
        }
    }

    fn take(&mut self, count: usize) -> Option<Bytes> {
        let end = self.at.checked_add(count)?;
        // The last byte is the end, which belongs to no element.
        if end >= self.bytes.len() {
            return None;
        }
        let taken = self.bytes.slice(self.at..end);
        self.at = end;
        Some(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.take(N)?;
        <[u8; N]>::try_from(&taken[..]).ok()
    }

    fn take_byte(&mut self) -> Option<u8> {
        self.take_array().map(|[byte]| byte)
    }

    fn next_of_ziplist(&mut self) -> Option<Element> {
        if self.take_byte()? == 0xfe {
            self.take(4)?;
        }
        let encoding = self.take_byte()?;
        let low = encoding & 0x3f;
        let number = match encoding {
            0xc0 => i16::from_le_bytes(self.take_array()?).into(),
            0xd0 => i32::from_le_bytes(self.take_array()?).into(),
            0xe0 => i64::from_le_bytes(self.take_array()?),
            0xf0 => self.take_i24()?,
            0xfe => i8::from_le_bytes(self.take_array()?).into(),
            0xf1..=0xfd => i64::from(encoding & 0x0f) - 1,
            _ => {
                let length = match encoding >> 6 {
                    0 => usize::from(low),
                    1 => usize::from(low) << 8 | usize::from(self.take_byte()?),
                    2 => u32::from_be_bytes(self.take_array()?) as usize,
                    _ => return None,
                };
                return self.take(length).map(Element::Bytes);
            }
        };
        Some(Element::Integer(number))
    }

    fn take_i24(&mut self) -> Option<i64> {
        let [low, middle, high] = self.take_array()?;
        Some(i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8))
    }

    fn next_of_listpack(&mut self) -> Option<Element> {
        let start = self.at;
        let element = self.listpack_data()?;
        self.take(backlen_bytes(self.at - start))?;
        Some(element)
    }

    fn listpack_data(&mut self) -> Option<Element> {
        let first = self.take_byte()?;
        let number = match first {
            0x00..=0x7f => i64::from(first),
            0xc0..=0xdf => {
                let unsigned = u16::from(first & 0x1f) << 8 | u16::from(self.take_byte()?);
                // Thirteen bits, the highest of them the sign.
                i64::from((unsigned << 3).cast_signed() >> 3)
            }
            0xf1 => i16::from_le_bytes(self.take_array()?).into(),
            0xf2 => self.take_i24()?,
            0xf3 => i32::from_le_bytes(self.take_array()?).into(),
            0xf4 => i64::from_le_bytes(self.take_array()?),
            _ => {
                let length = match first {
                    0x80..=0xbf => usize::from(first & 0x3f),
                    0xe0..=0xef => usize::from(first & 0x0f) << 8 | usize::from(self.take_byte()?),
                    0xf0 => u32::from_le_bytes(self.take_array()?) as usize,
                    _ => return None,
                };
                return self.take(length).map(Element::Bytes);
            }
        };
        Some(Element::Integer(number))
    }

    fn next_integer(&mut self) -> Result<Option<Element>, Damage> {
        let (left, width) = self.integers;
        if left == 0 {
            return Ok(None);
        }
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        let number = match width {
            2 => take_array(&mut rest).map(|bytes| i64::from(i16::from_le_bytes(bytes))),
            4 => take_array(&mut rest).map(|bytes| i64::from(i32::from_le_bytes(bytes))),
            _ => take_array(&mut rest).map(i64::from_le_bytes),
        };
        self.integers.0 -= 1;
        self.at += width as usize;
        number.map(|number| Some(Element::Integer(number))).ok_or("an intset ends early")
    }

    fn next_of_zipmap(&mut self) -> Result<Option<Element>, Damage> {
        if !self.is_value && self.is_at_end()? {
            return Ok(None);
        }
        let text = self.zipmap_text().ok_or("an entry of a zipmap ends early")?;
        self.is_value = !self.is_value;
        Ok(Some(Element::Bytes(text)))
    }

    fn zipmap_text(&mut self) -> Option<Bytes> {
        let length = match self.take_byte()? {
            254 => u32::from_le_bytes(self.take_array()?) as usize,
            255 => return None,
            short => usize::from(short),
        };
        let spare = if self.is_value { self.take_byte()? } else { 0 };
        let text = self.take(length)?;
        self.take(spare.into())?;
        Some(text)
    }
}

/// Ziplists and listpacks begin with how long they are.
fn is_length_of(bytes: &[u8], head: usize) -> Result<(), Damage> {
    let claimed = bytes.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize);
    if claimed != Some(bytes.len()) || bytes.len() <= head {
        return Err("a run of elements is not as long as it says");
    }
    Ok(())
}

/// Count and width of an intset.
fn intset_head(bytes: &[u8]) -> Result<(u32, u32), Damage> {
    let mut rest = bytes;
    let (Some(width), Some(count)) = (take_array(&mut rest), take_array(&mut rest)) else {
        return Err("an intset ends in its head");
    };
    let (width, count) = (u32::from_le_bytes(width), u32::from_le_bytes(count));
    if !matches!(width, 2 | 4 | 8) || rest.len() as u64 != u64::from(width) * u64::from(count) {
        return Err("an intset is not as long as it says");
    }
    Ok((count, width))
}

/// How many bytes say backwards how long an entry of a listpack is.
fn backlen_bytes(length: usize) -> usize {
    match length {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// A listpack being written.
#[derive(Debug)]
pub(super) struct ListpackWriter {
    bytes: Vec<u8>,
    count: u32,
}

impl ListpackWriter {
    pub fn new() -> Self {
        Self { bytes: vec![0; LISTPACK_HEAD], count: 0 }
    }

    pub fn push_integer(&mut self, number: i64) {
        let start = self.bytes.len();
        match number {
            0..=127 => self.bytes.put_u8(number as u8),
            -4096..=4095 => {
                let low = (number as u16) & 0x1fff;
                self.bytes.put_u16(0xc000 | low);
            }
            _ if i16::try_from(number).is_ok() => {
                self.bytes.put_u8(0xf1);
                self.bytes.put_i16_le(number as i16);
            }
            _ if i32::try_from(number).is_ok() => {
                self.bytes.put_u8(0xf3);
                self.bytes.put_i32_le(number as i32);
            }
            _ => {
                self.bytes.put_u8(0xf4);
                self.bytes.put_i64_le(number);
            }
        }
        self.finish_entry(start);
    }

    /// A string, as an integer if it is the text of one, as Redis does.
    pub fn push(&mut self, text: &[u8]) {
        if let Some(number) = crate::base::number::parse_i64(text) {
            return self.push_integer(number);
        }
        let start = self.bytes.len();
        match text.len() {
            length @ 0..=63 => self.bytes.put_u8(0x80 | length as u8),
            length @ 64..=4095 => self.bytes.put_u16(0xe000 | length as u16),
            length => {
                self.bytes.put_u8(0xf0);
                self.bytes.put_u32_le(length as u32);
            }
        }
        self.bytes.put_slice(text);
        self.finish_entry(start);
    }

    fn finish_entry(&mut self, start: usize) {
        let length = self.bytes.len() - start;
        let bytes = backlen_bytes(length);
        for index in 0..bytes {
            let group = (length >> (7 * (bytes - 1 - index))) as u8 & 0x7f;
            self.bytes.put_u8(if index == 0 { group } else { group | 0x80 });
        }
        self.count += 1;
    }

    /// The bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        let length = (self.bytes.len() as u32).to_le_bytes();
        let count = u16::try_from(self.count).unwrap_or(u16::MAX).to_le_bytes();
        if let Some(head) = self.bytes.first_chunk_mut::<LISTPACK_HEAD>() {
            let [a, b, c, d] = length;
            *head = [a, b, c, d, count[0], count[1]];
        }
        self.bytes
    }
}
