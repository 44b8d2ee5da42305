//! Numbers as stored bytes. The order-preserving ones compare as bytes the way their
//! values compare, so that RocksDB keeps scores and indexes sorted; the big-endian
//! readers take fixed fields off the front of stored bytes.
//!
//! ```text
//! u16, u32, u64   big endian
//! i64             big endian, sign bit flipped
//! f64             big endian; sign bit flipped if positive, all bits if negative
//!                 -inf 000f… < -1 400f… < 0 8000… < 1 bff0… < inf fff0…
//! ```
//!
//! There is one zero: -0 is stored as 0. NaN is never stored. Readers return `None`
//! for bytes that no writer of this file makes.

const SIGN: u64 = 1 << 63;

/// The sortable bytes of an f64. NaN, which callers must have refused, sorts last.
pub fn encode_f64(value: f64) -> [u8; 8] {
    debug_assert!(!value.is_nan(), "NaN has no place in an order");
    // Adding zero turns -0 into 0 and nothing else into anything else.
    let bits = (value + 0.0).to_bits();
    let sortable = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    sortable.to_be_bytes()
}

/// The f64 of its sortable bytes; `None` for the bytes of a NaN or of -0.
pub fn decode_f64(bytes: [u8; 8]) -> Option<f64> {
    let sortable = u64::from_be_bytes(bytes);
    let bits = if sortable & SIGN == 0 { !sortable } else { sortable & !SIGN };
    let value = f64::from_bits(bits);
    (!value.is_nan() && bits != SIGN).then_some(value)
}

/// The sortable bytes of an i64.
pub fn encode_i64(value: i64) -> [u8; 8] {
    (value.cast_unsigned() ^ SIGN).to_be_bytes()
}

/// The i64 of its sortable bytes; all bytes are one.
pub fn decode_i64(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ SIGN).cast_signed()
}

/// Takes a big-endian u16 off the front of `input`.
pub fn take_u16(input: &mut &[u8]) -> Option<u16> {
    take_array(input).map(u16::from_be_bytes)
}

/// Takes a big-endian u32 off the front of `input`.
pub fn take_u32(input: &mut &[u8]) -> Option<u32> {
    take_array(input).map(u32::from_be_bytes)
}

/// Takes a big-endian u64 off the front of `input`.
pub fn take_u64(input: &mut &[u8]) -> Option<u64> {
    take_array(input).map(u64::from_be_bytes)
}

/// Takes a sortable i64 off the front of `input`.
pub fn take_i64(input: &mut &[u8]) -> Option<i64> {
    take_array(input).map(decode_i64)
}

/// Takes a sortable f64 off the front of `input`.
pub fn take_f64(input: &mut &[u8]) -> Option<f64> {
    take_array(input).and_then(decode_f64)
}

/// Takes `N` bytes off the front of `input`, which stays as it is if it has fewer.
pub fn take_array<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (array, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*array)
}

/// Takes `length` bytes off the front of `input`, which stays as it is if it has fewer.
pub fn take_bytes<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_have_the_documented_bytes_in_order() {
        let ascending = [
            (f64::NEG_INFINITY, 0x000f_ffff_ffff_ffff_u64),
            (f64::MIN, 0x0010_0000_0000_0000),
            (-1.0, 0x400f_ffff_ffff_ffff),
            (-5e-324, 0x7fff_ffff_ffff_fffe),
            (0.0, 0x8000_0000_0000_0000),
            (5e-324, 0x8000_0000_0000_0001),
            (1.0, 0xbff0_0000_0000_0000),
            (f64::MAX, 0xffef_ffff_ffff_ffff),
            (f64::INFINITY, 0xfff0_0000_0000_0000),
        ];
        for (value, bytes) in ascending {
            assert_eq!(encode_f64(value), bytes.to_be_bytes(), "{value}");
            assert_eq!(decode_f64(bytes.to_be_bytes()), Some(value));
        }
        assert!(ascending.is_sorted_by(|left, right| left.1 < right.1));
    }

    #[test]
    fn there_is_one_zero_and_no_nan() {
        assert_eq!(encode_f64(-0.0), encode_f64(0.0));
        assert_eq!(decode_f64(encode_f64(-0.0)).map(f64::to_bits), Some(0));
        assert_eq!(decode_f64((!SIGN).to_be_bytes()), None, "-0");
        assert_eq!(decode_f64([0xff; 8]), None, "a NaN");
        assert_eq!(decode_f64([0; 8]), None, "a negative NaN");
    }

    #[test]
    fn integers_have_the_documented_bytes() {
        assert_eq!(encode_i64(i64::MIN), [0; 8]);
        assert_eq!(encode_i64(0), [0x80, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(encode_i64(i64::MAX), [0xff; 8]);
    }

    #[test]
    fn fields_are_taken_in_turn_and_short_input_is_left_alone() {
        let mut input: &[u8] = &[1, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, b'a', b'b', 9];
        assert_eq!(take_u16(&mut input), Some(0x0102));
        assert_eq!(take_u32(&mut input), Some(3));
        assert_eq!(take_u64(&mut input), Some(4));
        assert_eq!(take_bytes(&mut input, 2), Some(&b"ab"[..]));
        assert_eq!(take_u16(&mut input), None);
        assert_eq!(take_bytes(&mut input, usize::MAX), None);
        assert_eq!(input, [9]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn byte_order_of_doubles_is_value_order(left: f64, right: f64) {
            if let Some(order) = left.partial_cmp(&right) {
                prop_assert_eq!(encode_f64(left).cmp(&encode_f64(right)), order);
            }
        }

        #[test]
        fn byte_order_of_near_doubles_is_value_order(value in -1e9..1e9_f64) {
            prop_assert!(encode_f64(value) < encode_f64(value.next_up()));
            prop_assert_eq!(take_f64(&mut &encode_f64(value)[..]), Some(value));
        }

        #[test]
        fn byte_order_of_integers_is_value_order(left: i64, right: i64) {
            prop_assert_eq!(encode_i64(left).cmp(&encode_i64(right)), left.cmp(&right));
            prop_assert_eq!(take_i64(&mut &encode_i64(left)[..]), Some(left));
        }

        #[test]
        fn any_eight_bytes_are_a_double_of_the_same_bytes_or_refused(bytes: [u8; 8]) {
            if let Some(value) = decode_f64(bytes) {
                prop_assert_eq!(encode_f64(value), bytes);
            }
        }

        #[test]
        fn any_bytes_can_be_asked_for_numbers(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            prop_assert_eq!(take_u64(&mut &bytes[..]).is_some(), bytes.len() >= 8);
            prop_assert_eq!(take_i64(&mut &bytes[..]).is_some(), bytes.len() >= 8);
            let _ = take_f64(&mut &bytes[..]);
        }
    }
}
