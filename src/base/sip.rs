//! SipHash-1-3: a fast hash that nobody without its key can steer. For what is stored, where
//! the standard library's hashers may not serve: they promise no fixed output.

/// The hash of `bytes` under `key`; the same on every machine, for ever.
pub fn sip13(key: [u64; 2], bytes: &[u8]) -> u64 {
    sip::<1, 3>(key, bytes)
}

/// SipHash with `C` rounds a word and `D` at the end.
fn sip<const C: usize, const D: usize>([k0, k1]: [u64; 2], bytes: &[u8]) -> u64 {
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        absorb::<C>(&mut state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    absorb::<C>(&mut state, u64::from_le_bytes(last) | (bytes.len() as u64) << 56);
    state[2] ^= 0xff;
    rounds::<D>(&mut state);
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

#[inline]
fn absorb<const C: usize>(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    rounds::<C>(state);
    state[0] ^= word;
}

#[inline]
fn rounds<const N: usize>([v0, v1, v2, v3]: &mut [u64; 4]) {
    for _ in 0..N {
        *v0 = v0.wrapping_add(*v1);
        *v2 = v2.wrapping_add(*v3);
        *v1 = v1.rotate_left(13) ^ *v0;
        *v3 = v3.rotate_left(16) ^ *v2;
        *v0 = v0.rotate_left(32);
        *v2 = v2.wrapping_add(*v1);
        *v0 = v0.wrapping_add(*v3);
        *v1 = v1.rotate_left(17) ^ *v2;
        *v3 = v3.rotate_left(21) ^ *v0;
        *v2 = v2.rotate_left(32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    fn counting(length: u8) -> Vec<u8> {
        (0..length).collect()
    }

    /// The example of the paper that defines SipHash (its appendix A).
    #[test]
    fn two_and_four_rounds_give_the_papers_example() {
        assert_eq!(sip::<2, 4>(KEY, &counting(15)), 0xa129_ca61_49be_45e5);
    }

    /// The standard library's hasher is SipHash-1-3 today, with a zero key.
    #[test]
    fn one_and_three_rounds_agree_with_the_standard_library() {
        use std::hash::{DefaultHasher, Hasher};
        for length in 0..100 {
            let mut hasher = DefaultHasher::new();
            hasher.write(&counting(length));
            assert_eq!(sip13([0, 0], &counting(length)), hasher.finish(), "{length}");
        }
    }

    /// Part of the format: it must never change.
    #[test]
    fn the_output_stays() {
        assert_eq!(sip13([1, 2], b"field"), 0xf8d1_561d_d7c9_fd94);
    }
}
