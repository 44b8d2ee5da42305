//! The rows of a ranked index: branches, which say how many keys lie below each of their
//! children, and leaves, which hold keys.
//!
//! ```text
//! row      level u8 (0 a leaf) · the first 16 bytes of `from` · node u64 BE
//! branch   its children, one behind the other
//! child    from, length varint and bytes · node varint · count of keys varint
//! leaf     packed (key), in order
//! ```
//!
//! `from` is the least key that may lie in a child, cut off behind the byte in which it differs
//! from the keys before; that of the first child counts as the very beginning.

use bytes::{Bytes, BytesMut};

use crate::encoding::varint::{put_prefixed, put_varint, take_prefixed, take_varint, varint_bytes};
use crate::types::packed::Packed;

/// The node that stands in the metadata and has no row.
pub(super) const ROOT: u64 = 0;
/// As much of `from` as stands in a row's key: enough to keep neighbours together on disk.
const PLACE_BYTES: usize = 16;

/// Where a node is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// 0 for a leaf.
    pub level: u8,
    pub from: Bytes,
    pub node: u64,
}

impl Address {
    pub const fn root(height: u8) -> Self {
        Self { level: height, from: Bytes::new(), node: ROOT }
    }

    /// The part of the object.
    pub fn part(&self) -> Vec<u8> {
        let place = self.from.get(..PLACE_BYTES).unwrap_or(&self.from);
        let mut part = Vec::with_capacity(1 + place.len() + 8);
        part.push(self.level);
        part.extend_from_slice(place);
        part.extend_from_slice(&self.node.to_be_bytes());
        part
    }
}

/// What a branch says of a node below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    pub from: Bytes,
    pub node: u64,
    /// Keys below.
    pub count: u64,
}

impl Child {
    pub fn size_bytes(&self) -> usize {
        let from = self.from.len();
        varint_bytes(from as u64) + from + varint_bytes(self.node) + varint_bytes(self.count)
    }

    pub fn address(&self, level: u8) -> Address {
        Address { level, from: self.from.clone(), node: self.node }
    }
}

/// The children of a node, in the order of their keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Branch {
    pub children: Vec<Child>,
}

impl Branch {
    pub fn decode(stored: &Bytes) -> Result<Self, &'static str> {
        let mut children = Vec::with_capacity(stored.len() / 12);
        for child in (StoredChildren { rest: stored }) {
            let (from, node, count) = child?;
            children.push(Child { from: stored.slice_ref(from), node, count });
        }
        Ok(Self { children })
    }

    pub fn encode(&self, out: &mut BytesMut) {
        for child in &self.children {
            put_prefixed(out, &child.from);
            put_varint(out, child.node);
            put_varint(out, child.count);
        }
    }

    pub fn size_bytes(&self) -> usize {
        self.children.iter().map(Child::size_bytes).sum()
    }

    /// Keys below all children.
    pub fn count(&self) -> u64 {
        self.children.iter().fold(0, |sum, child| sum.saturating_add(child.count))
    }

    /// The child in whose range a key lies.
    pub fn find(&self, key: &[u8]) -> usize {
        self.children.partition_point(|child| child.from <= key).saturating_sub(1)
    }
}

/// The children of a branch as it is stored, one by one: `from`, node, count. A reader finds its
/// way among them without taking a copy of each.
pub(super) struct StoredChildren<'a> {
    pub rest: &'a [u8],
}

impl<'a> Iterator for StoredChildren<'a> {
    type Item = Result<(&'a [u8], u64, u64), &'static str>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let rest = &mut self.rest;
        let (Some(from), Some(node), Some(count)) = (take_prefixed(rest), take_varint(rest), take_varint(rest)) else {
            self.rest = &[];
            return Some(Err("a branch of a ranked index ends early"));
        };
        Some(Ok((from, node, count)))
    }
}

/// What a reader looks for in a branch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sought<'a> {
    Key(&'a [u8]),
    Rank(u64),
}

/// A child of a stored branch.
#[derive(Debug)]
pub(super) struct Found {
    pub child: Child,
    pub nth: usize,
    /// Keys in front of it.
    pub before: u64,
}

/// The child of a stored branch that holds what is sought.
pub(super) fn find_stored(stored: &Bytes, sought: Sought<'_>) -> Result<Option<Found>, &'static str> {
    let mut before = 0_u64;
    let mut found = None;
    for (nth, child) in (StoredChildren { rest: stored }).enumerate() {
        let (from, node, count) = child?;
        match sought {
            Sought::Key(key) => {
                if nth > 0 && from > key {
                    break;
                }
                found = Some((from, node, count, nth, before));
            }
            Sought::Rank(rank) => {
                if rank < before.saturating_add(count) {
                    found = Some((from, node, count, nth, before));
                    break;
                }
            }
        }
        before = before.saturating_add(count);
    }
    Ok(found.map(|(from, node, count, nth, before)| {
        let child = Child { from: stored.slice_ref(from), node, count };
        Found { child, nth, before }
    }))
}

/// A branch or a leaf.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Branch(Branch),
    Leaf(Packed),
}

impl Node {
    /// # Errors
    /// What does not hold, when the bytes are no node of that level.
    pub fn decode(level: u8, stored: Bytes) -> Result<Self, &'static str> {
        if level == 0 { Packed::open(stored, 1).map(Self::Leaf) } else { Branch::decode(&stored).map(Self::Branch) }
    }

    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Leaf(leaf) => leaf.into_bytes(),
            Self::Branch(branch) => {
                let mut out = BytesMut::with_capacity(branch.size_bytes());
                branch.encode(&mut out);
                out.freeze()
            }
        }
    }

    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.size_bytes(),
            Self::Branch(branch) => branch.size_bytes(),
        }
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.is_empty(),
            Self::Branch(branch) => branch.children.is_empty(),
        }
    }

    /// Keys in it or below it.
    pub fn count(&self) -> u64 {
        match self {
            Self::Leaf(leaf) => leaf.len() as u64,
            Self::Branch(branch) => branch.count(),
        }
    }

    /// Takes over all that the node behind it holds.
    pub fn append(&mut self, behind: &Self) {
        match (self, behind) {
            (Self::Leaf(leaf), Self::Leaf(behind)) => {
                for range in behind.strings() {
                    leaf.push(&[behind.as_slice().get(range).unwrap_or_default()]);
                }
            }
            (Self::Branch(branch), Self::Branch(behind)) => branch.children.extend_from_slice(&behind.children),
            _ => debug_assert!(false, "nodes of one level are alike"),
        }
    }

    /// Takes the back half out, by bytes, or only the last item where the node is the very last
    /// and `at_end` says that it grows there: what is added in order then fills nodes. Gives
    /// what was taken and its `from`.
    pub fn split(&mut self, at_end: bool) -> (Self, Bytes) {
        match self {
            Self::Leaf(leaf) => {
                let (front, back, from) = split_leaf(leaf, at_end);
                *leaf = front;
                (Self::Leaf(back), from)
            }
            Self::Branch(branch) => {
                let middle = if at_end { branch.children.len() - 1 } else { middle_of(branch) };
                let children = branch.children.split_off(middle.min(branch.children.len()));
                let from = children.first().map(|child| child.from.clone()).unwrap_or_default();
                (Self::Branch(Branch { children }), from)
            }
        }
    }
}

/// Where the front half of a branch ends; neither half is empty.
fn middle_of(branch: &Branch) -> usize {
    let half = branch.size_bytes() / 2;
    let mut bytes = 0;
    let middle = branch.children.iter().take_while(|child| {
        bytes += child.size_bytes();
        bytes <= half
    });
    middle.count().clamp(1, branch.children.len().max(2) - 1)
}

fn split_leaf(leaf: &Packed, at_end: bool) -> (Packed, Packed, Bytes) {
    let all = leaf.as_slice();
    let (mut front, mut back) = (Packed::empty(1), Packed::empty(1));
    let mut last: &[u8] = &[];
    let mut from = Bytes::new();
    for (index, range) in leaf.strings().enumerate() {
        let key = all.get(range).unwrap_or_default();
        let is_front = if at_end {
            index + 1 < leaf.len()
        } else {
            back.is_empty() && front.size_bytes() + key.len() / 2 < all.len() / 2
        };
        if index == 0 || (is_front && index + 1 < leaf.len()) {
            front.push(&[key]);
            last = key;
        } else {
            if back.is_empty() {
                from = separator(last, key);
            }
            back.push(&[key]);
        }
    }
    (front, back, from)
}

/// The shortest bytes that are greater than `before` and not greater than `key`.
pub(super) fn separator(before: &[u8], key: &[u8]) -> Bytes {
    debug_assert!(before < key);
    let shared = before.iter().zip(key).take_while(|(one, other)| one == other).count();
    Bytes::copy_from_slice(key.get(..=shared).unwrap_or(key))
}
