//! What Redis' listpack would weigh, for OBJECT ENCODING only: where `listpack` ends and
//! `quicklist` begins, by `list-max-listpack-size`.

use crate::base::number::parse_i64;

/// Bytes of a listpack without elements.
const EMPTY_BYTES: u64 = 7;
/// The least that an element takes.
const LEAST_BYTES: u64 = 2;

/// `list-max-listpack-size`: a number of elements, or for -1 to -5 of bytes, 4 KiB to 64 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    bytes: Option<u64>,
    elements: u64,
}

/// With a number of elements as the limit, a listpack still has no more bytes than this.
const SAFE_BYTES: u64 = 8192;

impl Limits {
    /// As configured.
    pub fn of(size: i64) -> Self {
        match u64::try_from(size) {
            Ok(elements) => Self { bytes: None, elements: elements.max(1) },
            Err(_) => Self { bytes: Some(2048 << size.unsigned_abs().min(5)), elements: u64::MAX },
        }
    }

    /// Whether elements of this weight and number are too much for one listpack.
    pub(super) fn exceeded(self, weight: u64, elements: u64) -> bool {
        let bytes = weight.saturating_add(EMPTY_BYTES);
        bytes > self.bytes.unwrap_or(SAFE_BYTES) || (self.bytes.is_none() && elements > self.elements)
    }

    /// How many elements a list may have at the most to become a listpack again.
    pub(super) fn few(self) -> u64 {
        self.bytes.map_or(self.elements / 2, |bytes| bytes / 2 / LEAST_BYTES)
    }

    /// Whether so few elements of this weight become a listpack again.
    pub(super) fn light(self, weight: u64) -> bool {
        self.bytes.is_none_or(|bytes| weight.saturating_add(EMPTY_BYTES) <= bytes / 2)
    }
}

/// The bytes of an element in a listpack: itself, its head, and its length behind it.
pub(super) fn entry_bytes(element: &[u8]) -> u64 {
    const LONGEST_INTEGER: usize = 20;
    let integer = if element.len() <= LONGEST_INTEGER { parse_i64(element) } else { None };
    let body = match integer {
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(-32_768..=32_767) => 3,
        Some(-8_388_608..=8_388_607) => 4,
        Some(number) if i32::try_from(number).is_ok() => 5,
        Some(_) => 9,
        None => {
            let head = match element.len() {
                0..64 => 1,
                64..4096 => 2,
                _ => 5,
            };
            head + element.len() as u64
        }
    };
    let behind = match body {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    body + behind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_weigh_what_they_do_in_a_listpack() {
        let weighed: [(&str, u64); 9] = [
            ("1", 2),
            ("128", 3),
            ("-1", 3),
            ("5000", 4),
            ("100000", 5),
            ("9000000", 6),
            ("9000000000", 10),
            ("", 2),
            ("01", 4),
        ];
        for (element, bytes) in weighed {
            assert_eq!(entry_bytes(element.as_bytes()), bytes, "{element}");
        }
        assert_eq!(entry_bytes(&[b'x'; 64]), 67);
        assert_eq!(entry_bytes(&[b'x'; 126]), 130);
    }

    #[test]
    fn a_limit_is_a_number_of_bytes_or_of_elements() {
        assert!(!Limits::of(-2).exceeded(8192 - 7, 1) && Limits::of(-2).exceeded(8192 - 6, 1));
        assert!(Limits::of(-9).exceeded(65536, 1) && !Limits::of(-9).exceeded(65529, 1));
        assert!(!Limits::of(3).exceeded(100, 3) && Limits::of(3).exceeded(100, 4));
        assert!(Limits::of(3).exceeded(9000, 1), "elements that are few but long");
        assert!(Limits::of(0).exceeded(4, 2) && !Limits::of(0).exceeded(2, 1));
        assert!(Limits::of(-2).light(4096 - 7) && !Limits::of(-2).light(4096));
    }
}
