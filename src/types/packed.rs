//! A small collection in one run of bytes: what an inline record holds of a hash, a set, a
//! list or a sorted set.
//!
//! ```text
//! count of items, u16 BE · items
//! item: `width` strings (1 in a set, field and value in a hash …)
//! string: length, varint · bytes
//! ```
//!
//! Finding is a linear scan, which beats every index at a kilobyte. What is read comes as
//! slices of the record, not copies; a change first takes a copy of the whole and then
//! edits it in place. Checked once when opened; afterwards nothing here fails, and bytes
//! that were damaged nonetheless end the walk early instead of panicking.

use std::ops::Range;

use bytes::Bytes;

use crate::encoding::varint::{put_prefixed, take_varint, varint_bytes};

/// Bytes in front of the items.
const HEAD_BYTES: usize = 2;

/// The body limit up to which the types keep a collection inline: every write rewrites the
/// record, so beyond it a large object with one part an element is cheaper.
pub const INLINE_BYTES: usize = 1024;
const _: () = assert!(INLINE_BYTES <= u16::MAX as usize, "an item takes a byte, and the count is a u16");

/// A packed collection whose items are `width` strings each.
#[derive(Debug, Clone)]
pub struct Packed {
    /// As it was stored; shared with the record.
    stored: Bytes,
    /// What it is now, once something changed.
    changed: Option<Vec<u8>>,
    width: usize,
}

/// Where an item stands. Good until the next change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// All its bytes.
    pub range: Range<usize>,
    /// Its place in the order of items.
    pub index: usize,
}

impl Packed {
    /// Nothing, ready to be filled.
    pub fn empty(width: usize) -> Self {
        Self { stored: Bytes::from_static(&[0; HEAD_BYTES]), changed: None, width }
    }

    /// Takes over stored bytes after looking through all of them.
    ///
    /// # Errors
    /// What does not hold, when they are not a packed collection of this width.
    pub fn open(bytes: Bytes, width: usize) -> Result<Self, &'static str> {
        let packed = Self { stored: bytes, changed: None, width };
        let all = packed.as_slice();
        let strings = packed.len() * width;
        let mut at = HEAD_BYTES;
        if all.len() < at {
            return Err("a packed collection ends in its count");
        }
        for _ in 0..strings {
            at = string_at(all, at).ok_or("a packed string ends early")?.end;
        }
        if at != all.len() {
            return Err("a packed collection has bytes behind its last item");
        }
        Ok(packed)
    }

    /// All bytes as stored.
    pub fn as_slice(&self) -> &[u8] {
        self.changed.as_deref().unwrap_or(&self.stored)
    }

    /// The bytes to store.
    pub fn into_bytes(self) -> Bytes {
        self.changed.map_or(self.stored, Bytes::from)
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.as_slice().first_chunk::<HEAD_BYTES>().map_or(0, |count| usize::from(u16::from_be_bytes(*count)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes it is.
    pub fn size_bytes(&self) -> usize {
        self.as_slice().len()
    }

    /// How many bytes an item of these strings adds.
    pub fn item_bytes(strings: &[&[u8]]) -> usize {
        strings.iter().map(|string| varint_bytes(string.len() as u64) + string.len()).sum()
    }

    /// A part of it, shared with the record where nothing changed since.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        let Some(found) = self.as_slice().get(range) else { return Bytes::new() };
        if self.changed.is_some() { Bytes::copy_from_slice(found) } else { self.stored.slice_ref(found) }
    }

    /// The items in order.
    pub fn items(&self) -> Items<'_> {
        Items { packed: self, at: HEAD_BYTES, index: 0 }
    }

    /// All strings in order, whatever item they belong to.
    pub fn strings(&self) -> Strings<'_> {
        let end = self.as_slice().len();
        Strings { all: self.as_slice(), at: HEAD_BYTES, end }
    }

    /// The item whose first string this is.
    pub fn find(&self, first: &[u8]) -> Option<Spot> {
        let all = self.as_slice();
        let mut start = HEAD_BYTES;
        let mut index = 0;
        while start < all.len() {
            let string = string_at(all, start)?;
            let found = all.get(string.clone())? == first;
            let mut end = string.end;
            for _ in 1..self.width {
                end = string_at(all, end)?.end;
            }
            if found {
                return Some(Spot { range: start..end, index });
            }
            start = end;
            index += 1;
        }
        None
    }

    /// The item at a place.
    pub fn at(&self, index: usize) -> Option<Spot> {
        self.items().nth(index)
    }

    /// Where the `nth` string of an item stands.
    pub fn range(&self, spot: &Spot, nth: usize) -> Range<usize> {
        let mut strings = Strings { all: self.as_slice(), at: spot.range.start, end: spot.range.end };
        strings.nth(nth).unwrap_or(0..0)
    }

    /// The `nth` string of an item.
    pub fn string(&self, spot: &Spot, nth: usize) -> &[u8] {
        self.as_slice().get(self.range(spot, nth)).unwrap_or_default()
    }

    /// The `nth` string of an item, as a slice of the record.
    pub fn bytes(&self, spot: &Spot, nth: usize) -> Bytes {
        self.slice(self.range(spot, nth))
    }

    /// Appends an item.
    pub fn push(&mut self, item: &[&[u8]]) {
        self.insert(None, item);
    }

    /// Puts an item in front of another one, or at the end.
    pub fn insert(&mut self, before: Option<&Spot>, item: &[&[u8]]) {
        debug_assert_eq!(item.len(), self.width);
        let count = self.len() + 1;
        let bytes = self.to_mut();
        match before {
            None => item.iter().for_each(|string| put_prefixed(bytes, string)),
            Some(spot) => {
                let mut new = Vec::with_capacity(Self::item_bytes(item));
                item.iter().for_each(|string| put_prefixed(&mut new, string));
                let at = spot.range.start.min(bytes.len());
                bytes.splice(at..at, new);
            }
        }
        self.set_len(count);
    }

    /// Takes an item out.
    pub fn remove(&mut self, spot: &Spot) {
        let count = self.len().saturating_sub(1);
        let bytes = self.to_mut();
        debug_assert!(spot.range.end <= bytes.len());
        bytes.drain(spot.range.start.min(bytes.len())..spot.range.end.min(bytes.len()));
        self.set_len(count);
    }

    /// Puts other bytes in the place of an item's `nth` string.
    pub fn replace(&mut self, spot: &Spot, nth: usize, string: &[u8]) {
        let old = self.range(spot, nth);
        let bytes = self.to_mut();
        if old.len() == string.len() {
            if let Some(place) = bytes.get_mut(old) {
                place.copy_from_slice(string);
            }
            return;
        }
        let start = old.start.saturating_sub(varint_bytes(old.len() as u64));
        let mut new = Vec::with_capacity(string.len() + 2);
        put_prefixed(&mut new, string);
        bytes.splice(start..old.end.min(bytes.len()), new);
    }

    fn to_mut(&mut self) -> &mut Vec<u8> {
        let stored = &self.stored;
        self.changed.get_or_insert_with(|| {
            // Room for one more item of a usual size: most changes are one.
            let mut copy = Vec::with_capacity(stored.len() + 64);
            copy.extend_from_slice(stored);
            copy
        })
    }

    fn set_len(&mut self, count: usize) {
        debug_assert!(count <= usize::from(u16::MAX));
        if let Some(head) = self.to_mut().first_chunk_mut::<HEAD_BYTES>() {
            *head = (count as u16).to_be_bytes();
        }
    }
}

/// Where the bytes of the string stand whose length is at `at`.
#[inline]
fn string_at(all: &[u8], at: usize) -> Option<Range<usize>> {
    let mut rest = all.get(at..)?;
    let length = match rest.first() {
        // Nearly every length is one byte.
        Some(&byte) if byte < 0x80 => {
            rest = rest.get(1..)?;
            u64::from(byte)
        }
        _ => take_varint(&mut rest)?,
    };
    let start = all.len() - rest.len();
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    (end <= all.len()).then_some(start..end)
}

/// Walks over items.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    packed: &'a Packed,
    at: usize,
    index: usize,
}

impl Iterator for Items<'_> {
    type Item = Spot;

    fn next(&mut self) -> Option<Spot> {
        let all = self.packed.as_slice();
        let start = self.at;
        for _ in 0..self.packed.width {
            self.at = string_at(all, self.at)?.end;
        }
        let index = self.index;
        self.index += 1;
        Some(Spot { range: start..self.at, index })
    }
}

/// Walks over strings.
#[derive(Debug, Clone)]
pub struct Strings<'a> {
    all: &'a [u8],
    at: usize,
    end: usize,
}

impl Iterator for Strings<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        if self.at >= self.end {
            return None;
        }
        let string = string_at(self.all, self.at)?;
        self.at = string.end;
        Some(string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items(packed: &Packed) -> Vec<Vec<Vec<u8>>> {
        let item = |spot: Spot| (0..packed.width).map(|nth| packed.string(&spot, nth).to_vec()).collect();
        packed.items().map(item).collect()
    }

    #[test]
    fn a_pair_has_the_documented_bytes() {
        let mut packed = Packed::empty(2);
        packed.push(&[b"field", b""]);
        packed.push(&[b"", &[b'v'; 200]]);
        let mut expected = b"\0\x02\x05field\0\0\xc8\x01".to_vec();
        expected.extend_from_slice(&[b'v'; 200]);
        assert_eq!(packed.as_slice(), expected);
        assert_eq!(packed.find(b"").map(|spot| spot.index), Some(1));
    }

    #[test]
    fn reading_does_not_copy() {
        let mut packed = Packed::empty(2);
        packed.push(&[b"f", b"value"]);
        let stored = packed.into_bytes();
        let packed = Packed::open(stored.clone(), 2).unwrap();
        let spot = packed.find(b"f").unwrap();
        assert_eq!(packed.bytes(&spot, 1).as_ptr(), stored[5..].as_ptr());
    }

    #[test]
    fn damaged_bytes_are_refused() {
        for damaged in [&b""[..], b"\0", b"\0\x01", b"\0\x01\x05abc", b"\0\0x", b"\0\x01\x80", b"\xff\xff\0"] {
            assert!(Packed::open(Bytes::copy_from_slice(damaged), 1).is_err(), "{damaged:?}");
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(Vec<u8>, Vec<u8>),
        Insert(usize, Vec<u8>, Vec<u8>),
        Remove(usize),
        Replace(usize, usize, Vec<u8>),
        Reopen,
    }

    fn string() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![proptest::collection::vec(any::<u8>(), 0..6), proptest::collection::vec(any::<u8>(), 120..140)]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (string(), string()).prop_map(|(one, two)| Step::Push(one, two)),
            1 => (0..9usize, string(), string()).prop_map(|(at, one, two)| Step::Insert(at, one, two)),
            2 => (0..9usize).prop_map(Step::Remove),
            2 => (0..9usize, 0..2usize, string()).prop_map(|(at, nth, new)| Step::Replace(at, nth, new)),
            1 => Just(Step::Reopen),
        ]
    }

    proptest! {
        #[test]
        fn it_does_what_a_vector_does(steps in proptest::collection::vec(step(), 0..60)) {
            let mut packed = Packed::empty(2);
            let mut model: Vec<Vec<Vec<u8>>> = Vec::new();
            for step in steps {
                match step {
                    Step::Push(one, two) => {
                        packed.push(&[&one, &two]);
                        model.push(vec![one, two]);
                    }
                    Step::Insert(at, one, two) => {
                        let spot = packed.at(at);
                        prop_assert_eq!(spot.is_some(), at < model.len());
                        packed.insert(spot.as_ref(), &[&one, &two]);
                        model.insert(at.min(model.len()), vec![one, two]);
                    }
                    Step::Remove(at) => if let Some(spot) = packed.at(at) {
                        packed.remove(&spot);
                        model.remove(at);
                    },
                    Step::Replace(at, nth, new) => if let Some(spot) = packed.at(at) {
                        packed.replace(&spot, nth, &new);
                        model[at][nth] = new;
                    },
                    Step::Reopen => packed = Packed::open(packed.into_bytes(), 2).unwrap(),
                }
                prop_assert_eq!(packed.len(), model.len());
                prop_assert_eq!(items(&packed), model.clone());
                for item in &model {
                    let first = model.iter().position(|other| other[0] == item[0]);
                    prop_assert_eq!(packed.find(&item[0]).map(|spot| spot.index), first);
                }
            }
            let reopened = Packed::open(packed.clone().into_bytes(), 2).unwrap();
            prop_assert_eq!(items(&reopened), items(&packed));
        }

        #[test]
        fn any_bytes_open_or_are_refused(bytes: Vec<u8>, width in 1..4usize) {
            if let Ok(packed) = Packed::open(bytes.into(), width) {
                prop_assert_eq!(packed.items().count(), packed.len());
                prop_assert_eq!(packed.strings().count(), packed.len() * width);
            }
        }
    }
}
