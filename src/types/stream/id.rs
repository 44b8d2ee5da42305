//! The id of a stream's entry: a time in milliseconds and a number within it.

use std::fmt;

use bytes::{BufMut, Bytes};

use crate::base::number::{format_u64, parse_u64_lenient};
use crate::encoding::varint::{put_varint, take_varint};

/// The longest text of an id that is looked at.
const TEXT_BYTES_MAX: usize = 127;

/// An id. Ids order as they were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Id {
    pub ms: u64,
    pub seq: u64,
}

impl Id {
    /// Before every entry.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The last one there can be.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// Whether this is `0-0`, which no entry has.
    pub fn is_zero(self) -> bool {
        self == Self::MIN
    }

    /// The id behind this one.
    pub fn next(self) -> Option<Self> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The id before this one.
    pub fn previous(self) -> Option<Self> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(Self { seq, ..self }),
            None => Some(Self { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// The id of a text such as `1526919030474-55`, or of `1526919030474` and the number that is
    /// then meant.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        let (ms, seq) = split(text)?;
        let seq = seq.map_or(Some(missing_seq), parse_u64_lenient)?;
        Some(Self { ms: parse_u64_lenient(ms)?, seq })
    }

    /// The time of a text such as `1526919030474-*`, which leaves the number open.
    pub fn parse_open(text: &[u8]) -> Option<u64> {
        let (ms, seq) = split(text)?;
        if seq? != b"*" {
            return None;
        }
        parse_u64_lenient(ms)
    }

    /// The text of it.
    pub fn text(self) -> Bytes {
        let (ms, seq) = (format_u64(self.ms), format_u64(self.seq));
        let mut text = Vec::with_capacity(ms.len() + seq.len() + 1);
        text.extend_from_slice(&ms);
        text.push(b'-');
        text.extend_from_slice(&seq);
        text.into()
    }

    /// Bytes that order as ids do.
    pub fn key(self) -> [u8; 16] {
        ((u128::from(self.ms) << 64) | u128::from(self.seq)).to_be_bytes()
    }

    /// The id of such bytes.
    pub fn of_key(key: [u8; 16]) -> Self {
        let number = u128::from_be_bytes(key);
        Self { ms: (number >> 64) as u64, seq: number as u64 }
    }

    pub(super) fn put(self, out: &mut impl BufMut) {
        put_varint(out, self.ms);
        put_varint(out, self.seq);
    }

    pub(super) fn take(input: &mut &[u8]) -> Option<Self> {
        Some(Self { ms: take_varint(input)?, seq: take_varint(input)? })
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", self.ms, self.seq)
    }
}

/// Time and number of a text. A zero byte ends it, as it ends Redis' strings.
fn split(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let text = text.split(|byte| *byte == 0).next()?;
    Some(match text.iter().position(|byte| *byte == b'-') {
        None => (text, None),
        Some(at) => (text.get(..at)?, text.get(at + 1..)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(ms: u64, seq: u64) -> Id {
        Id { ms, seq }
    }

    #[test]
    fn texts_are_read_as_redis_reads_them() {
        for (text, read) in [
            ("1-2", Some(id(1, 2))),
            ("7", Some(id(7, 9))),
            ("+5-0", Some(id(5, 0))),
            ("18446744073709551615-18446744073709551615", Some(Id::MAX)),
            ("18446744073709551616-0", None),
            ("1-", None),
            ("-1", None),
            ("", None),
            ("1-*", None),
            ("0x1-1", None),
            ("1-1-1", None),
        ] {
            assert_eq!(Id::parse(text.as_bytes(), 9), read, "{text:?}");
        }
        assert_eq!(Id::parse(&[b'1'; 128], 0), None);
        assert_eq!(Id::parse_open(b"5-*"), Some(5));
        assert_eq!(Id::parse_open(b"5-*x"), None);
        assert_eq!(Id::parse_open(b"*"), None);
    }

    #[test]
    fn the_ends_have_no_neighbours_beyond() {
        assert_eq!(Id::MAX.next(), None);
        assert_eq!(Id::MIN.previous(), None);
        assert_eq!(id(1, u64::MAX).next(), Some(id(2, 0)));
        assert_eq!(id(2, 0).previous(), Some(id(1, u64::MAX)));
    }

    proptest! {
        #[test]
        fn ids_survive_the_trip_and_order_as_their_keys(one: (u64, u64), other: (u64, u64)) {
            let (one, other) = (id(one.0, one.1), id(other.0, other.1));
            prop_assert_eq!(Id::parse(&one.text(), 0), Some(one));
            prop_assert_eq!(Id::of_key(one.key()), one);
            prop_assert_eq!(one.key().cmp(&other.key()), one.cmp(&other));
            let mut stored = Vec::new();
            one.put(&mut stored);
            let mut input = &stored[..];
            prop_assert_eq!(Id::take(&mut input), Some(one));
            prop_assert!(input.is_empty());
        }
    }
}
