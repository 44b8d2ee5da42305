//! Integers as Redis reads and prints them. Two grammars, since Redis has two:
//! the strict one of values and most arguments, in which every number has one
//! spelling, and `strtoull`'s, which stream ids and cursors go by.

use super::{NumberText, is_space};

/// The digits of `u64::MAX`; a longer number without leading zeros overflows.
const MAX_DIGITS: usize = 20;

/// A signed integer in its one spelling: no `+`, no leading zeros, no `-0`, no
/// white space. `None` for anything else and for what i64 does not hold.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text {
        [b'-', digits @ ..] => match parse_u64(digits)? {
            0 => None,
            magnitude => 0_i64.checked_sub_unsigned(magnitude),
        },
        digits => parse_u64(digits)?.try_into().ok(),
    }
}

/// An unsigned integer in its one spelling: digits without leading zeros.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    match text {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] if text.len() < MAX_DIGITS => sum_digits(text),
        [b'1'..=b'9', ..] if text.len() == MAX_DIGITS => sum_digits_checked(text),
        _ => None,
    }
}

/// An unsigned integer as `strtoull` reads it, for stream ids and cursors, where
/// Redis takes `007`, `+7`, ` 7` and even `-007` (which wraps around) but not
/// a negative number in its strict spelling. The whole text must be consumed.
pub fn parse_u64_lenient(text: &[u8]) -> Option<u64> {
    if let Some(value) = parse_i64(text) {
        return value.try_into().ok();
    }
    let start = text.iter().position(|byte| !is_space(*byte))?;
    match &text[start..] {
        [b'-', digits @ ..] => sum_digits_checked(digits).map(u64::wrapping_neg),
        [b'+', digits @ ..] => sum_digits_checked(digits),
        digits => sum_digits_checked(digits),
    }
}

/// At most 19 digits: no overflow to look out for.
fn sum_digits(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum: u64, byte| Some(sum * 10 + digit(*byte)?))
}

/// One digit or more, as many as there are.
fn sum_digits_checked(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |sum: u64, byte| sum.checked_mul(10)?.checked_add(digit(*byte)?))
}

fn digit(byte: u8) -> Option<u64> {
    byte.is_ascii_digit().then(|| u64::from(byte - b'0'))
}

/// The decimal text of a signed integer.
pub fn format_i64(value: i64) -> NumberText {
    NumberText::of(itoa::Buffer::new().format(value))
}

/// The decimal text of an unsigned integer.
pub fn format_u64(value: u64) -> NumberText {
    NumberText::of(itoa::Buffer::new().format(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strict_integers_have_one_spelling() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("99999999999999999999", None),
            ("100000000000000000000", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            ("-01", None),
            ("00", None),
            (" 1", None),
            ("1 ", None),
            ("1.0", None),
            ("1e3", None),
            ("0x10", None),
            ("1\0", None),
            ("--1", None),
            ("\u{0661}", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), value, "{text:?}");
        }
    }

    #[test]
    fn unsigned_integers_reach_their_limit() {
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        assert_eq!(parse_u64(b"-1"), None);
    }

    /// What redis-server 7.0.15 makes of them in `XADD s <text>-1 f v`.
    #[test]
    fn lenient_integers_follow_strtoull() {
        for (text, value) in [
            ("7", Some(7)),
            ("007", Some(7)),
            ("+7", Some(7)),
            (" \t7", Some(7)),
            ("-7", None),
            ("-007", Some(7_u64.wrapping_neg())),
            ("-0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-18446744073709551616", None),
            ("", None),
            (" ", None),
            ("+", None),
            ("+-7", None),
            ("7 ", None),
            ("0x7", None),
        ] {
            assert_eq!(parse_u64_lenient(text.as_bytes()), value, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn integers_survive_their_text(signed: i64, unsigned: u64) {
            prop_assert_eq!(parse_i64(&format_i64(signed)), Some(signed));
            prop_assert_eq!(parse_u64(&format_u64(unsigned)), Some(unsigned));
        }

        #[test]
        fn what_is_read_is_printed_the_same(text in "[-+ 0-9]{0,21}") {
            if let Some(value) = parse_i64(text.as_bytes()) {
                let printed = format_i64(value);
                prop_assert_eq!(printed.as_str(), &text);
            }
            let _ = parse_u64_lenient(text.as_bytes());
        }
    }
}
