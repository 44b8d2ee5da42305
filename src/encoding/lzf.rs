//! LZF, the compression of strings in RDB files and DUMP payloads, around the `lzf`
//! crate, which trusts its caller: it allots whatever length a file claims
//! and calls a text that ends early a success.

/// The most bytes that three compressed bytes, a longest reference, stand for.
const LONGEST_REFERENCE: usize = 264;

/// Redis tries to compress only strings longer than this.
const MIN_INPUT: usize = 20;

/// Compressed bytes are damaged, or do not have the length they claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged LZF data")]
pub struct DamagedLzf;

/// The compressed bytes, or `None` if the input is short or would save nothing.
pub fn compress(input: &[u8]) -> Option<Vec<u8>> {
    if input.len() <= MIN_INPUT {
        return None;
    }
    let compressed = lzf::compress(input).ok()?;
    (compressed.len() < input.len()).then_some(compressed)
}

/// The `length` bytes that `compressed` stands for.
pub fn decompress(compressed: &[u8], length: usize) -> Result<Vec<u8>, DamagedLzf> {
    if length > compressed.len().div_ceil(3).saturating_mul(LONGEST_REFERENCE) {
        return Err(DamagedLzf);
    }
    match lzf::decompress(compressed, length) {
        Ok(bytes) if bytes.len() == length => Ok(bytes),
        _ => Err(DamagedLzf),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What redis-server 7.0.15 puts in `DUMP` of a thousand times `a`.
    #[test]
    fn bytes_of_redis_decompress() {
        let dumped = [
            0x01, 0x61, 0x61, 0xe0, 0xff, 0x00, 0xe0, 0xff, 0x00, 0xe0, 0xff, 0x00, 0xe0, 0xc3, 0x00, 0x01, 0x61, 0x61,
        ];
        let text = b"a".repeat(1_000);
        assert_eq!(decompress(&dumped, 1_000), Ok(text));
    }

    #[test]
    fn claimed_lengths_are_held_to() {
        let compressed = compress(&b"a".repeat(1_000)).unwrap();
        assert!(compressed.len() < 30);
        assert!(decompress(&compressed, 1_000).is_ok());
        for length in [0, 999, 1_001, usize::MAX] {
            assert_eq!(decompress(&compressed, length), Err(DamagedLzf), "{length}");
        }
        assert_eq!(decompress(&[], 0), Err(DamagedLzf));
    }

    #[test]
    fn the_longest_reference_is_allowed_for() {
        let longest = [0, b'a', 0xe0, 0xff, 0x00, 0xe0, 0xff, 0x00];
        assert_eq!(decompress(&longest, 529), Ok(b"a".repeat(529)));
    }

    #[test]
    fn what_does_not_shrink_is_left() {
        assert_eq!(compress(b"aaaaaaaaaaaaaaaaaaaa"), None);
        assert_eq!(compress(b"abcdefghijklmnopqrstuvwxyz0123456789"), None);
    }

    proptest! {
        #[test]
        fn what_compresses_decompresses(words in proptest::collection::vec("[ab]{1,9}|[a-z]{1,40}", 0..60)) {
            let text = words.concat().into_bytes();
            if let Some(compressed) = compress(&text) {
                prop_assert_eq!(decompress(&compressed, text.len()), Ok(text));
            }
        }

        #[test]
        fn any_bytes_compress_or_not(bytes in proptest::collection::vec(0..4_u8, 0..600)) {
            if let Some(compressed) = compress(&bytes) {
                prop_assert_eq!(decompress(&compressed, bytes.len()), Ok(bytes));
            }
        }

        #[test]
        fn any_bytes_decompress_or_are_refused(bytes: Vec<u8>, length in 0..10_000_usize) {
            let _ = decompress(&bytes, length);
        }
    }
}
