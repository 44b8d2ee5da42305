//! One commit as the write-ahead log holds it.
//!
//! ```text
//! 0            4        8             12         20       28
//! +------------+--------+-------------+----------+--------+---------+
//! | header crc | length | payload crc | position | synced | payload |   integers big-endian
//! +------------+--------+-------------+----------+--------+---------+
//! ```
//!
//! - `header crc`: CRC-32 of bytes 4..28; `payload crc`: CRC-32 of the payload.
//! - `position`: where the frame begins, in bytes of the whole log since the database was made.
//! - `synced`: the position up to which the log was known to survive a power cut when the frame was
//!   written. It tells damage from the traces of a crash: what is broken in front of it
//!   was once whole on the disk.
//!
//! The payload is the commit's changes in their order:
//!
//! ```text
//! put           family * 4      varint key length, key, varint value length, value
//! delete        family * 4 + 1  varint key length, key
//! delete range  family * 4 + 2  varint from length, from, varint to length, to
//! ```

use bytes::{BufMut, Bytes};

use crate::encoding::varint::{put_varint, take_varint};
use crate::storage::{Change, Family};

/// Bytes in front of a payload.
pub(super) const HEADER_BYTES: usize = 28;

const PUT: u8 = 0;
const DELETE: u8 = 1;
const DELETE_RANGE: u8 = 2;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub length: u32,
    pub payload_crc: u32,
    pub position: u64,
    pub synced: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = &mut bytes[4..];
        rest.put_u32(self.length);
        rest.put_u32(self.payload_crc);
        rest.put_u64(self.position);
        rest.put_u64(self.synced);
        let crc = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// The header out of its stored form; `None` if it is none.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        (word(0) == crc32fast::hash(&bytes[4..])).then(|| Self {
            length: word(4),
            payload_crc: word(8),
            position: long(12),
            synced: long(20),
        })
    }

    /// Where the next frame begins.
    pub(super) fn end(&self) -> u64 {
        self.position + HEADER_BYTES as u64 + u64::from(self.length)
    }
}

/// Appends changes as a payload.
pub(super) fn put_changes(out: &mut Vec<u8>, changes: &[Change]) {
    let mut put = |family: Family, what: u8, key: &[u8], value: Option<&[u8]>| {
        out.put_u8((family as u8) << 2 | what);
        for part in [Some(key), value].into_iter().flatten() {
            put_varint(out, part.len() as u64);
            out.put_slice(part);
        }
    };
    for change in changes {
        match change {
            Change::Put { family, key, value } => put(*family, PUT, key, Some(value)),
            Change::Delete { family, key } => put(*family, DELETE, key, None),
            Change::DeleteRange { family, from, to } => put(*family, DELETE_RANGE, from, Some(to)),
        }
    }
}

/// The changes of a payload; `None` if it is none.
pub(super) fn changes(payload: &[u8]) -> Option<Vec<Change>> {
    let mut rest = payload;
    let mut changes = Vec::new();
    while let [tag, behind @ ..] = rest {
        rest = behind;
        let family = *Family::ALL.get(usize::from(tag >> 2))?;
        changes.push(match tag & 3 {
            PUT => Change::Put { family, key: take(&mut rest)?, value: take(&mut rest)? },
            DELETE => Change::Delete { family, key: take(&mut rest)? },
            DELETE_RANGE => Change::DeleteRange { family, from: take(&mut rest)?, to: take(&mut rest)? },
            _ => return None,
        });
    }
    Some(changes)
}

fn take(rest: &mut &[u8]) -> Option<Bytes> {
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let (part, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(Bytes::copy_from_slice(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change() -> impl Strategy<Value = Change> {
        let family = || prop::sample::select(&Family::ALL[..]);
        let bytes = || prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
        prop_oneof![
            (family(), bytes(), bytes()).prop_map(|(family, key, value)| Change::Put { family, key, value }),
            (family(), bytes()).prop_map(|(family, key)| Change::Delete { family, key }),
            (family(), bytes(), bytes()).prop_map(|(family, from, to)| Change::DeleteRange { family, from, to }),
        ]
    }

    proptest! {
        #[test]
        fn changes_survive(all in prop::collection::vec(change(), 0..20)) {
            let mut payload = Vec::new();
            put_changes(&mut payload, &all);
            prop_assert_eq!(changes(&payload), Some(all));
        }

        #[test]
        fn headers_survive_and_a_flipped_bit_is_seen(length: u32, payload_crc: u32, position in 0..u64::MAX / 2, synced: u64, bit in 0..HEADER_BYTES * 8) {
            let header = Header { length, payload_crc, position, synced };
            let mut bytes = header.encode();
            prop_assert_eq!(Header::decode(&bytes), Some(header));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Header::decode(&bytes), None);
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(payload: Vec<u8>) {
            if let Some(all) = changes(&payload) {
                let mut again = Vec::new();
                put_changes(&mut again, &all);
                prop_assert_eq!(again, payload);
            }
        }
    }
}
