//! Sums seen from redis-server 7.0.15 on x86-64, and the edges of the type.

use super::*;
use proptest::prelude::*;

fn add(left: &str, right: &str) -> Option<String> {
    let read = |text: &str| LongDouble::parse(text.as_bytes());
    let sum = read(left)?.checked_add(read(right)?)?;
    Some(String::from_utf8(sum.to_text()).unwrap())
}

/// What `SET k <left>`, `INCRBYFLOAT k <right>` answers; `None` stands for an error.
#[rustfmt::skip]
#[cfg(target_arch = "x86_64")]
const SUMS: &[(&str, &str, Option<&str>)] = &[
    ("3", "0", Some("3")),
    ("10.5", "0.1", Some("10.6")),
    ("5.0e3", "200", Some("5200")),
    ("1", "0.1", Some("1.1")),
    ("0.1", "0.2", Some("0.3")),
    ("-0", "0", Some("0")),
    ("-0.0", "-0.0", Some("0")),
    ("1", "-1", Some("0")),
    ("-0.5", "0.5", Some("0")),
    ("1e-17", "0", Some("0.00000000000000001")),
    ("1e-18", "0", Some("0")),
    ("5e-18", "0", Some("0")),
    ("-1e-18", "0", Some("0")),
    ("1e-4950", "0", Some("0")),
    ("1e-4960", "0", None),
    ("1e4932", "1e4932", None),
    ("1e4933", "0", None),
    ("inf", "1", None),
    ("1", "-inf", None),
    ("nan", "1", None),
    ("1", "nan", None),
    ("0x1p3", "0.5", Some("8.5")),
    ("0x.8", "0X1P-1", Some("1")),
    (" 1", "1", None),
    ("1 ", "1", None),
    ("1", "+2", Some("3")),
    ("+1.5", "1", Some("2.5")),
    ("", "1", None),
    ("1", "", None),
    ("1.", "1", Some("2")),
    (".5", "1", Some("1.5")),
    (".", "1", None),
    ("1e", "1", None),
    ("1e+2", "1", Some("101")),
    ("1_0", "1", None),
    ("9223372036854775807", "1", Some("9223372036854775808")),
    ("18446744073709551615", "1", Some("18446744073709551616")),
    ("18446744073709551616", "1", Some("18446744073709551616")),
    ("18446744073709551616", "0.5", Some("18446744073709551616")),
    ("9007199254740993", "0", Some("9007199254740993")),
    ("0.3", "-0.1", Some("0.2")),
    ("17179869184", "1.5", Some("17179869185.5")),
    ("1.23456789012345678901", "0", Some("1.23456789012345679")),
    ("3.0e3", "1.9999999999", Some("3001.99999999989999999")),
    ("100000000000000000000", "0.1", Some("100000000000000000000")),
    ("1e20", "-1e20", Some("0")),
    ("-5.000", "5.1", Some("0.1")),
    ("0.000000000000000005", "0", Some("0")),
    ("123456789.123456789", "987654321.987654321", Some("1111111111.11111110995989293")),
    ("1e17", "0.00000000000000001", Some("100000000000000000")),
    ("0x", "1", None),
    ("infinity", "0", None),
    ("1e-5000", "1", None),
    ("0", "1.5", Some("1.5")),
];

#[test]
#[cfg(target_arch = "x86_64")]
fn sums_are_those_of_incrbyfloat() {
    for (left, right, sum) in SUMS {
        assert_eq!(add(left, right).as_deref(), *sum, "{left} + {right}");
    }
}

#[test]
fn the_longest_text_has_room() {
    let largest = "1.18973149535723176502e+4932";
    if let Some(value) = LongDouble::parse(largest.as_bytes()) {
        let text = value.to_text();
        assert_eq!(text.len(), 4_933);
        assert!(text.starts_with(b"118973149535723176502"));
    }
    assert!(LongDouble::parse(&b"1".repeat(MAX_TEXT)).is_none());
    assert!(LongDouble::parse(&[b"0.".to_vec(), b"0".repeat(MAX_TEXT - 3)].concat()).is_some());
}

#[test]
fn infinities_are_read_and_known() {
    assert!(!LongDouble::parse(b"-inf").unwrap().is_finite());
    assert!(LongDouble::parse(b"1e308").unwrap().is_finite());
    assert!(LongDouble::of(f64::NAN).is_none());
}

#[test]
fn a_nul_byte_does_not_end_a_number() {
    assert!(LongDouble::parse(b"1\0").is_none());
    assert!(LongDouble::parse(b"1\x002").is_none());
}

proptest! {
    #[test]
    fn doubles_print_all_their_decimals(whole in -1_000_000_i64..1_000_000, quarters in 0..4_i64) {
        let value = whole as f64 + quarters as f64 / 4.0;
        let text = String::from_utf8(LongDouble::of(value).unwrap().to_text()).unwrap();
        prop_assert_eq!(text, format!("{value}"));
    }

    #[test]
    fn any_bytes_are_a_number_or_refused(text: Vec<u8>) {
        let _ = LongDouble::parse(&text);
    }
}
