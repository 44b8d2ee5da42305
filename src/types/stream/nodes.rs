//! Redis keeps a stream in nodes of up to `stream-node-max-entries` entries and
//! `stream-node-max-bytes` bytes, and trims whole nodes where `~` allows it. Clients see that: in
//! XLEN after `MAXLEN ~`, in the count of nodes that XINFO tells. So we keep the same accounts,
//! though our entries lie one by one: each carries the number of its node, and the record
//! knows of the first node what a trim asks, and of the last one how full it is.
//!
//! How full it is depends on how many bytes Redis' listpack of the node would have. An element
//! is its encoding and, behind it, the length of that for those who walk backwards:
//!
//! ```text
//! integer   1, 2, 3, 4, 5 or 9 bytes, as it needs
//! string    1, 2 or 5 bytes and its own
//! node      6 bytes of header · entries · deleted · fields of the first entry · 0 · … · 1 byte of end
//! entry     flags · ms and seq, counted from the first entry's · [count · fields] · values · length
//!           without its fields where they are those of the first entry
//! ```

use bytes::BufMut;

use super::id::Id;
use crate::base::number::parse_i64;
use crate::base::sip;
use crate::encoding::order::take_u64;
use crate::encoding::varint::{put_prefixed, put_varint, take_varint};

/// Where Redis begins a new node.
#[derive(Debug, Clone, Copy)]
pub struct NodeLimits {
    /// 0 is none.
    pub bytes: u64,
    /// 0 is none.
    pub entries: u64,
}

/// The most bytes a node may have, whatever is configured.
pub const NODE_BYTES_MAX: u64 = 1 << 30;
/// Header and end of a listpack.
const FRAME_BYTES: u64 = 7;

/// The node that new entries go into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tail {
    /// Its number; those before it have lower ones.
    pub number: u64,
    /// Entries that were added to it; none: it is gone, and the next entry begins another.
    pub entries: u64,
    /// How many of them were deleted.
    pub deleted: u64,
    /// Bytes of the listpack, but for the two counts above.
    bytes: u64,
    /// Its first entry.
    master: Id,
    /// What the names of that entry's fields hash to.
    fields: u64,
}

impl Tail {
    /// Adds an entry, in a new node where this one is full. The number of its node.
    pub fn add(&mut self, id: Id, pairs: &[&[u8]], limits: NodeLimits) -> u64 {
        let names = hash_of_names(pairs);
        if self.entries == 0 || self.is_full(pairs, limits) {
            let fields: u64 = names_of(pairs).map(string_bytes).sum();
            let bytes = FRAME_BYTES + integer_bytes(pair_count(pairs)) + fields + integer_bytes(0);
            *self = Self { number: self.number + 1, entries: 0, deleted: 0, bytes, master: id, fields: names };
        }
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(self.entry_bytes(id, pairs, names == self.fields));
        self.number
    }

    /// Entries of it are deleted; with the last one it goes itself.
    pub fn delete(&mut self, count: u64) {
        self.deleted += count;
        if self.deleted >= self.entries {
            *self = Self { number: self.number, ..Self::default() };
        }
    }

    fn is_full(&self, pairs: &[&[u8]], limits: NodeLimits) -> bool {
        let most = if limits.bytes == 0 { NODE_BYTES_MAX } else { limits.bytes.min(NODE_BYTES_MAX) };
        let live = self.entries.saturating_sub(self.deleted);
        let counts = integer_bytes(live as i64) + integer_bytes(self.deleted as i64);
        self.bytes.saturating_add(counts).saturating_add(payload_bytes(pairs)) >= most
            || (limits.entries > 0 && self.entries >= limits.entries)
    }

    fn entry_bytes(&self, id: Id, pairs: &[&[u8]], same_fields: bool) -> u64 {
        const FLAGS_BYTES: u64 = 2;
        let count = pair_count(pairs);
        let ms = integer_bytes(id.ms.wrapping_sub(self.master.ms).cast_signed());
        let seq = integer_bytes(id.seq.wrapping_sub(self.master.seq).cast_signed());
        let values: u64 = pairs.iter().skip(1).step_by(2).map(|value| string_bytes(value)).sum();
        let (fields, elements) = if same_fields {
            (0, count + 3)
        } else {
            let fields: u64 = names_of(pairs).map(string_bytes).sum();
            (integer_bytes(count) + fields, 2 * count + 4)
        };
        FLAGS_BYTES + ms + seq + fields + values + integer_bytes(elements)
    }

    pub fn put(&self, out: &mut impl BufMut) {
        for number in [self.number, self.entries, self.deleted, self.bytes] {
            put_varint(out, number);
        }
        self.master.put(out);
        out.put_u64(self.fields);
    }

    pub fn take(input: &mut &[u8]) -> Option<Self> {
        Some(Self {
            number: take_varint(input)?,
            entries: take_varint(input)?,
            deleted: take_varint(input)?,
            bytes: take_varint(input)?,
            master: Id::take(input)?,
            fields: take_u64(input)?,
        })
    }
}

/// All bytes of an entry's fields and values.
pub fn payload_bytes(pairs: &[&[u8]]) -> u64 {
    pairs.iter().map(|string| string.len() as u64).sum()
}

fn pair_count(pairs: &[&[u8]]) -> i64 {
    (pairs.len() / 2) as i64
}

fn names_of<'a>(pairs: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [u8]> {
    pairs.iter().step_by(2).copied()
}

fn hash_of_names(pairs: &[&[u8]]) -> u64 {
    let mut names = Vec::with_capacity(64);
    names_of(pairs).for_each(|name| put_prefixed(&mut names, name));
    sip::sip13([0, 0], &names)
}

/// What an integer takes in a listpack.
fn integer_bytes(value: i64) -> u64 {
    let encoded = match value {
        0..=127 => 1,
        -4096..=4095 => 2,
        -32_768..=32_767 => 3,
        -8_388_608..=8_388_607 => 4,
        -2_147_483_648..=2_147_483_647 => 5,
        _ => 9,
    };
    encoded + 1
}

/// What a string takes in a listpack, which knows integers when it sees them.
fn string_bytes(string: &[u8]) -> u64 {
    if let Some(integer) = parse_i64(string) {
        return integer_bytes(integer);
    }
    let length = string.len() as u64;
    let encoded = length
        + match length {
            0..64 => 1,
            64..4096 => 2,
            _ => 5,
        };
    let backward = match encoded {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    encoded + backward
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: NodeLimits = NodeLimits { bytes: 4096, entries: 100 };

    fn id(ms: u64) -> Id {
        Id { ms, seq: 0 }
    }

    #[test]
    fn a_node_ends_with_its_hundredth_entry_deleted_ones_counted() {
        let mut tail = Tail::default();
        let numbers: Vec<u64> = (1..=201).map(|ms| tail.add(id(ms), &[b"f", b"v"], LIMITS)).collect();
        assert_eq!(numbers.iter().filter(|number| **number == 1).count(), 100);
        assert_eq!(numbers.last(), Some(&3));
        let mut tail = Tail::default();
        for ms in 1..=100 {
            assert_eq!(tail.add(id(ms), &[b"f", b"v"], LIMITS), 1);
            tail.delete(u64::from(ms % 2 == 0));
        }
        assert_eq!(tail.add(id(101), &[b"f", b"v"], LIMITS), 2);
    }

    #[test]
    fn a_node_ends_before_it_has_too_many_bytes() {
        let value = [b'v'; 1000];
        let mut tail = Tail::default();
        // Each entry has about 1010 bytes; the fourth would make 4,096 and more.
        let numbers: Vec<u64> = (1..=5).map(|ms| tail.add(id(ms), &[b"f", &value], LIMITS)).collect();
        assert_eq!(numbers, [1, 1, 1, 1, 2]);
        let unlimited = NodeLimits { bytes: 0, entries: 0 };
        assert!((6..500).all(|ms| tail.add(id(ms), &[b"f", &value], unlimited) == 2));
    }

    #[test]
    fn a_node_that_lost_all_is_followed_by_another() {
        let mut tail = Tail::default();
        assert_eq!(tail.add(id(1), &[b"f", b"v"], LIMITS), 1);
        tail.delete(1);
        assert_eq!(tail.add(id(2), &[b"f", b"v"], LIMITS), 2);
    }

    #[test]
    fn elements_have_the_sizes_of_a_listpack() {
        for (integer, bytes) in
            [(0, 2), (127, 2), (128, 3), (-1, 3), (4096, 4), (1 << 15, 5), (1 << 23, 6), (1 << 31, 10)]
        {
            assert_eq!(integer_bytes(integer), bytes, "{integer}");
        }
        for (length, bytes) in [(0, 2), (63, 65), (64, 67), (126, 130), (4095, 4099), (4096, 4103)] {
            assert_eq!(string_bytes(&vec![b'x'; length]), bytes, "{length}");
        }
        assert_eq!(string_bytes(b"12"), 2);
        assert_eq!(string_bytes(b"012"), 5);
    }
}
