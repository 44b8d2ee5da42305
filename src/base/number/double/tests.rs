//! Readings seen from redis-server 7.0.15 (`ZADD z <text> m`), texts as 7.2 prints
//! them, and laws of both.

use super::*;
use proptest::prelude::*;

#[test]
fn doubles_read_as_strtod_reads_them() {
    for (text, value) in READINGS {
        let read = parse_double(text.as_bytes());
        assert_eq!(read.map(f64::to_bits), value.map(f64::to_bits), "{text:?}: {read:?}");
    }
}

const READINGS: &[(&str, Option<f64>)] = &[
    ("0", Some(0.0)),
    ("-0", Some(-0.0)),
    ("1", Some(1.0)),
    ("+1", Some(1.0)),
    ("-1.5", Some(-1.5)),
    (".5", Some(0.5)),
    ("5.", Some(5.0)),
    ("1e3", Some(1000.0)),
    ("1E+3", Some(1000.0)),
    ("1e-3", Some(0.001)),
    ("0001", Some(1.0)),
    ("inf", Some(f64::INFINITY)),
    ("+InF", Some(f64::INFINITY)),
    ("-Infinity", Some(f64::NEG_INFINITY)),
    ("0x10", Some(16.0)),
    ("0X1.8p1", Some(3.0)),
    ("-0x.8P+1", Some(-1.0)),
    ("0x1p-1", Some(0.5)),
    ("0x0p99999999999999999999", Some(0.0)),
    ("0x1p-1074", Some(5e-324)),
    ("0x1.8p-1075", Some(5e-324)),
    ("0x1p-1075", None),
    ("0x1p1023", Some(8.98846567431158e307)),
    ("0x1p1024", None),
    ("0x1.fffffffffffff7p1023", Some(f64::MAX)),
    ("0x1.fffffffffffff8p1023", None),
    ("0x1.00000000000008p0", Some(1.0)),
    ("0x1.00000000000018p0", Some(1.0000000000000004)),
    ("0x1.000000000000080000000000001p0", Some(1.0000000000000002)),
    ("0x100000000000000000000000000000000", Some(3.402823669209385e38)),
    ("0x.00000000000000000000000000000001", Some(2.938735877055719e-39)),
    ("1e308", Some(1e308)),
    ("1e309", None),
    ("-1e309", None),
    ("1e99999999999999999999", None),
    ("5e-324", Some(5e-324)),
    ("2e-324", None),
    ("3e-324", Some(5e-324)),
    ("1e-400", None),
    ("0e-400", Some(0.0)),
    ("0.0e99999", Some(0.0)),
    ("nan", None),
    ("-NaN", None),
    ("nan(1)", None),
    ("", None),
    ("+", None),
    ("-", None),
    (".", None),
    ("+-1", None),
    ("e5", None),
    ("1e", None),
    ("1e+", None),
    ("1.2.3", None),
    ("0x", None),
    ("0x.", None),
    ("0x1p", None),
    ("0x1p+", None),
    ("0x1.2.3", None),
    ("0xg", None),
    ("infinit", None),
    ("in", None),
    (" 1", None),
    ("1 ", None),
    ("\t1", None),
    ("1_0", None),
    ("1,5", None),
    ("1\0", None),
    ("\u{221e}", None),
];

#[test]
fn ends_of_ranges_are_read_less_strictly() {
    for (text, value) in [
        ("", Some(0.0)),
        (" 1", Some(1.0)),
        ("\n-1", Some(-1.0)),
        ("1e400", Some(f64::INFINITY)),
        ("-1e400", Some(f64::NEG_INFINITY)),
        ("1e-400", Some(0.0)),
        ("5\0rest", Some(5.0)),
        ("\0", Some(0.0)),
        (" ", None),
        ("1 ", None),
        ("nan", None),
        ("x", None),
    ] {
        assert_eq!(parse_double_lenient(text.as_bytes()), value, "{text:?}");
    }
}

#[test]
fn doubles_print_as_redis_7_2_prints_them() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (3.0, "3"),
        (-17.0, "-17"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (-1.5, "-1.5"),
        (100.25, "100.25"),
        (1e15, "1000000000000000"),
        (1e17, "100000000000000000"),
        (MAX_PLAIN_INTEGER, "4611686018427387904"),
        (-MAX_PLAIN_INTEGER, "-4611686018427387904"),
        (9_223_372_036_854_775_807.0, "9223372036854776000"),
        (1e19, "1e+19"),
        (1e20, "1e+20"),
        (1.5e20, "1.5e+20"),
        (-1.25e100, "-1.25e+100"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (0.001, "0.001"),
        (0.000001, "0.000001"),
        (0.0000001, "1e-7"),
        (0.000_000_12, "1.2e-7"),
        (0.00012345678, "1.2345678e-4"),
        (0.0012345678, "0.0012345678"),
        (1234.5678901, "1234.5678901"),
        (1.234e-9, "1.234e-9"),
        (123456.789012, "123456.789012"),
        (123456.7890123, "1.234567890123e+5"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ] {
        assert_eq!(format_double(value).as_str(), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn doubles_survive_their_text(value: f64) {
        if !value.is_nan() {
            let text = format_double(value);
            prop_assert_eq!(parse_double(&text).map(f64::to_bits), Some(value.to_bits()), "{}", text);
        }
    }

    #[test]
    fn fractions_of_ordinary_size_survive_too(whole: i32, power in 0..20_i32) {
        let value = f64::from(whole) / 10_f64.powi(power);
        prop_assert_eq!(parse_double(&format_double(value)), Some(value));
    }

    #[test]
    fn hexadecimal_reads_exactly(value: f64) {
        if value.is_finite() {
            let bits = value.to_bits();
            let (exponent, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
            let (leading, power) = if exponent == 0 { (0, -1022) } else { (1, exponent as i64 - 1023) };
            let sign = if value.is_sign_negative() { "-" } else { "" };
            let text = format!("{sign}0x{leading}.{fraction:013x}p{power}");
            prop_assert_eq!(parse_double(text.as_bytes()).map(f64::to_bits), Some(bits), "{}", text);
        }
    }

    #[test]
    fn any_bytes_are_a_double_or_refused(text: Vec<u8>) {
        let _ = parse_double(&text);
        let _ = parse_double_lenient(&text);
    }

    #[test]
    fn near_numbers_never_panic(text in "[-+]?(0x)?[0-9a-fA-FpPxX.+-]{0,12}") {
        let _ = parse_double(text.as_bytes());
    }
}
