//! The two checksums of Redis' world: CRC-64 (Jones, as RDB files and DUMP carry
//! it) and CRC-16 (XMODEM, which places keys in cluster slots). Pure.

use crc::{CRC_16_XMODEM, CRC_64_REDIS, Crc, Digest, Table};

/// The slots of a cluster.
pub const SLOT_COUNT: u16 = 16_384;

static CRC64: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);
static CRC16: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// Redis' CRC-64 of some bytes.
pub fn crc64(bytes: &[u8]) -> u64 {
    CRC64.checksum(bytes)
}

/// CRC-16 (XMODEM) of some bytes.
pub fn crc16(bytes: &[u8]) -> u16 {
    CRC16.checksum(bytes)
}

/// A CRC-64 taken piece by piece.
pub struct Crc64(Digest<'static, u64, Table<16>>);

impl Crc64 {
    /// Of no bytes yet: 0.
    pub fn new() -> Self {
        Self(CRC64.digest())
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far; more may follow.
    pub fn value(&self) -> u64 {
        self.0.clone().finalize()
    }
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

/// The cluster slot of a key, below [`SLOT_COUNT`].
pub fn hash_slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOT_COUNT
}

/// The part of a key that decides its slot: what stands between its first `{` and
/// the `}` after that, unless nothing does; else the whole key.
fn hash_tag(key: &[u8]) -> &[u8] {
    let after_open = memchr::memchr(b'{', key).and_then(|open| key.get(open + 1..));
    let tag = after_open.and_then(|rest| rest.get(..memchr::memchr(b'}', rest)?));
    tag.filter(|tag| !tag.is_empty()).unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn checksums_are_those_of_redis() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        assert_eq!(crc64(b""), 0);
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    /// What `CLUSTER KEYSLOT` answers in redis-server 7.0.15.
    #[test]
    fn slots_follow_the_tag() {
        for (key, slot) in SLOTS {
            assert_eq!(hash_slot(key.as_bytes()), *slot, "{key:?}");
        }
    }

    const SLOTS: &[(&str, u16)] = &[
        ("", 0),
        ("a", 15495),
        ("foo", 12182),
        ("123456789", 12739),
        ("{user1000}.following", 3443),
        ("{user1000}.followers", 3443),
        ("foo{}{bar}", 8363),
        ("foo{{bar}}zap", 4015),
        ("foo{bar}{zap}", 5061),
        ("foo{bar", 15278),
        ("foo}bar{", 11073),
        ("{", 4092),
        ("{}", 15257),
        ("{a}", 15495),
        ("}{a}", 15495),
        ("a{b}c{d}", 3300),
        ("key:000000000042", 7803),
    ];

    proptest! {
        #[test]
        fn pieces_add_up(bytes: Vec<u8>, cut: proptest::sample::Index) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut digest = Crc64::new();
            digest.update(first);
            prop_assert_eq!(digest.value(), crc64(first));
            digest.update(second);
            prop_assert_eq!(digest.value(), crc64(&bytes));
        }

        #[test]
        fn every_key_has_a_slot(key: Vec<u8>) {
            prop_assert!(hash_slot(&key) < SLOT_COUNT);
        }
    }
}
