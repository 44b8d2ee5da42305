//! Variable-length integers of records: seven bits a byte, lowest first, the high
//! bit set on all but the last (LEB128). One value has one encoding: overlong ones
//! and those beyond 64 bits are refused, so equal records are equal bytes.

use bytes::BufMut;

use super::order::take_bytes;

/// The most bytes of a varint: ten times seven bits hold 64.
pub const MAX_VARINT_BYTES: usize = 10;

const MORE: u8 = 0x80;

/// Appends a varint.
pub fn put_varint(out: &mut impl BufMut, value: u64) {
    let mut rest = value;
    while rest >= u64::from(MORE) {
        out.put_u8(rest as u8 | MORE);
        rest >>= 7;
    }
    out.put_u8(rest as u8);
}

/// How many bytes [`put_varint`] appends.
pub fn varint_bytes(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Takes a varint off the front of `input`, which stays as it is if there is none.
#[inline]
pub fn take_varint(input: &mut &[u8]) -> Option<u64> {
    match input {
        // Nearly all are short.
        [byte, rest @ ..] if *byte < MORE => {
            *input = rest;
            Some(u64::from(*byte))
        }
        _ => take_long_varint(input),
    }
}

fn take_long_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (index, byte) in input.iter().take(MAX_VARINT_BYTES).enumerate() {
        let bits = u64::from(byte & !MORE);
        let shift = 7 * index as u32;
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & MORE == 0 {
            let is_overlong = *byte == 0 && index > 0;
            return (!is_overlong).then(|| {
                *input = &input[index + 1..];
                value
            });
        }
    }
    None
}

/// Appends bytes after their length.
pub fn put_prefixed(out: &mut impl BufMut, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

/// Takes bytes and their length off the front of `input`.
pub fn take_prefixed<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_varint(input)?;
    take_bytes(input, length.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        out
    }

    #[test]
    fn varints_have_the_documented_bytes() {
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(127), [0x7f]);
        assert_eq!(encoded(128), [0x80, 0x01]);
        assert_eq!(encoded(300), [0xac, 0x02]);
        assert_eq!(encoded(u64::MAX), [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
    }

    #[test]
    fn overlong_and_unending_varints_are_refused() {
        let refused: [&[u8]; 7] = [
            &[],
            &[0x80],
            &[0x80, 0x00],
            &[0xff, 0x00],
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 129, 0],
            &[128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1],
        ];
        for bytes in refused {
            let mut input = bytes;
            assert_eq!(take_varint(&mut input), None, "{bytes:?}");
            assert_eq!(input, bytes);
        }
    }

    #[test]
    fn a_length_beyond_the_input_is_refused() {
        assert_eq!(take_prefixed(&mut &[3, b'a', b'b'][..]), None);
        assert_eq!(take_prefixed(&mut &encoded(u64::MAX)[..]), None);
        assert_eq!(take_prefixed(&mut &[0][..]), Some(&[][..]));
    }

    proptest! {
        #[test]
        fn varints_survive_the_trip(value: u64, fewer in 0..64_u32, tail: Vec<u8>) {
            let value = value >> fewer;
            let mut stored = encoded(value);
            prop_assert_eq!(stored.len(), varint_bytes(value));
            prop_assert!(stored.len() <= MAX_VARINT_BYTES);
            stored.extend(&tail);
            let mut input = &stored[..];
            prop_assert_eq!(take_varint(&mut input), Some(value));
            prop_assert_eq!(input, &tail[..]);
        }

        #[test]
        fn what_any_bytes_decode_to_encodes_to_them(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut input = &bytes[..];
            if let Some(value) = take_varint(&mut input) {
                prop_assert_eq!(&encoded(value)[..], &bytes[..bytes.len() - input.len()]);
            }
        }

        #[test]
        fn prefixed_bytes_survive_the_trip(first: Vec<u8>, second: Vec<u8>) {
            let mut stored = Vec::new();
            put_prefixed(&mut stored, &first);
            put_prefixed(&mut stored, &second);
            let mut input = &stored[..];
            prop_assert_eq!(take_prefixed(&mut input), Some(&first[..]));
            prop_assert_eq!(take_prefixed(&mut input), Some(&second[..]));
            prop_assert!(input.is_empty());
        }
    }
}
