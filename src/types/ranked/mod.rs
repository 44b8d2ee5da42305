//! Order statistics: an ordered set of byte strings that knows the rank of each. What lies
//! below is a tree of counted rows under one object, read and written by point reads only.
//!
//! - here: [`Ranked`], its verbs. `node.rs`: its rows. `walk.rs`: keys one by one, from any rank on.
//!   `build.rs`: a whole index from keys that are in order already. `check.rs`: whether one is whole.
//!
//! ```text
//! metadata   count varint · next node varint · height varint · the root, a branch
//!
//!            root        ["" 61] [k 58]              in the record of the key
//!                        /            \
//!            level 1  ["" 30][d 31]  [k 29][q 29]
//!                      /     \         /     \
//!            level 0  keys  keys     keys   keys      leaves
//! ```
//!
//! Rank and selection go down one path and add up counts, so their cost follows the logarithm of
//! the size. A change rewrites the nodes of one path, a kilobyte at most each. Keys are not rows
//! of their own, and nothing here ever seeks: an ordered run of rows that lives by insertion and
//! deletion leaves tombstones, which every seek and every walk has to step over until they are
//! compacted. A queue (add at one end, take from the other) and a leaderboard (a few members that
//! move all the time) would get slower with every change; here a node's newest version is found
//! at once, however many older ones lie below it.
//!
//! A node splits when it is longer than [`NODE_BYTES`]. One that has shrunk below a quarter is
//! united with a neighbour if there is room, and goes when it is empty.

mod build;
mod check;
mod node;
mod walk;

use bytes::{BufMut, Bytes, BytesMut};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

pub use build::Builder;
pub use walk::RankedWalk;

use self::node::{Address, Branch, Child, Found, Node, ROOT, Sought};
use super::packed::{INLINE_BYTES, Packed};
use crate::base::{Error, Result};
use crate::encoding::key::{ObjectId, part_key};
use crate::encoding::varint::{put_varint, take_varint};
use crate::keyspace::{Direction, Tx};
use crate::storage::Family;

/// A node longer than this splits.
const NODE_BYTES: usize = INLINE_BYTES;
/// A node that has shrunk below this looks for a neighbour to be united with.
const SPARSE_BYTES: usize = NODE_BYTES / 4;
/// Nodes are united up to this length, so that the next insertions do not split them again.
const UNITED_BYTES: usize = NODE_BYTES * 3 / 4;
/// A branch of fewer children does not split, however long their keys are.
const CHILDREN_MIN: usize = 4;
/// Each level doubles the keys at least, so no index is higher: a bound for damaged metadata.
const MOST_LEVELS: u64 = 64;

const FAMILY: Family = Family::Scores;

/// An ordered set of byte strings with ranks.
#[derive(Debug)]
pub struct Ranked {
    object: ObjectId,
    count: u64,
    next_node: u64,
    /// Levels of branches, the root included.
    height: u8,
    /// As it was read. Once changed it is among the nodes.
    root: Bytes,
    /// Count, next node and height as they stand in the record.
    stored: (u64, u64, u8),
    /// Nodes that this command changes, by number.
    nodes: FxHashMap<u64, Kept>,
}

/// A node that is being changed.
#[derive(Debug)]
struct Kept {
    address: Address,
    /// As it was read, so that what ends up the same is not written; `None` if it is new.
    stored: Option<Bytes>,
    /// `None` if it is to be deleted.
    node: Option<Node>,
}

/// A node to be read: one that is being changed, or as stored.
enum Seen<'a> {
    Kept(&'a Node),
    Stored(Node),
}

impl Seen<'_> {
    fn into_owned(self) -> Node {
        match self {
            Self::Kept(node) => node.clone(),
            Self::Stored(node) => node,
        }
    }
}

impl std::ops::Deref for Seen<'_> {
    type Target = Node;

    fn deref(&self) -> &Node {
        match self {
            Self::Kept(node) => node,
            Self::Stored(node) => node,
        }
    }
}

/// The branches above a leaf, from the root on, and which child was taken of each.
type Path = SmallVec<[(Address, usize); 6]>;

impl Ranked {
    /// Nothing yet.
    pub fn create(object: ObjectId) -> Self {
        Self {
            object,
            count: 0,
            next_node: ROOT + 1,
            height: 1,
            root: Bytes::new(),
            stored: (0, 0, 0),
            nodes: FxHashMap::default(),
        }
    }

    /// Reads the metadata.
    ///
    /// # Errors
    /// What does not hold.
    pub fn load(object: ObjectId, meta: &Bytes) -> Result<Self, &'static str> {
        let mut rest = &meta[..];
        let (Some(count), Some(next_node), Some(height)) =
            (take_varint(&mut rest), take_varint(&mut rest), take_varint(&mut rest))
        else {
            return Err("the metadata of a ranked index ends early");
        };
        if height == 0 || height > MOST_LEVELS {
            return Err("a ranked index of an impossible height");
        }
        let (height, root) = (height as u8, meta.slice_ref(rest));
        let stored = (count, next_node, height);
        Ok(Self { object, count, next_node, height, root, stored, nodes: FxHashMap::default() })
    }

    /// Appends the metadata. What was changed must have been flushed.
    pub fn put_meta(&self, out: &mut BytesMut) {
        debug_assert!(self.nodes.is_empty(), "changes of a ranked index were not flushed");
        put_varint(out, self.count);
        put_varint(out, self.next_node);
        put_varint(out, u64::from(self.height));
        out.put_slice(&self.root);
    }

    /// How many keys there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn damaged(&self, address: &Address, what: &str) -> Error {
        damage(self.object, address, what)
    }

    // ---- reading ------------------------------------------------------------

    /// A node, to be read.
    fn see(&self, tx: &mut Tx, address: &Address) -> Result<Seen<'_>> {
        match self.nodes.get(&address.node) {
            Some(Kept { node: Some(node), .. }) => Ok(Seen::Kept(node)),
            Some(_) => Err(self.damaged(address, IN_USE)),
            None => Ok(Seen::Stored(self.fetch(tx, address)?)),
        }
    }

    /// A node as it is stored, in bytes.
    fn stored(&self, tx: &mut Tx, address: &Address) -> Result<Bytes> {
        if address.node == ROOT {
            return Ok(self.root.clone());
        }
        let stored = tx.part(FAMILY, self.object, &address.part())?;
        stored.ok_or_else(|| self.damaged(address, "a node of a ranked index is missing"))
    }

    /// A node as it is stored.
    fn fetch(&self, tx: &mut Tx, address: &Address) -> Result<Node> {
        let stored = self.stored(tx, address)?;
        Node::decode(address.level, stored).map_err(|what| self.damaged(address, what))
    }

    /// The address below a branch.
    fn below(&self, branch: &Branch, index: usize, address: &Address) -> Result<Address> {
        let child = branch.children.get(index).filter(|_| address.level > 0);
        child.map(|child| child.address(address.level - 1)).ok_or_else(|| self.damaged(address, "a branch is empty"))
    }

    /// How many keys are less than this one.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn rank(&self, tx: &mut Tx, key: &[u8]) -> Result<u64> {
        if self.is_empty() {
            return Ok(0);
        }
        let (leaf, before) = self.leaf_of(tx, Sought::Key(key))?;
        Ok(before.saturating_add(place_in(&leaf, key).0))
    }

    /// The key of a rank.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn select(&self, tx: &mut Tx, rank: u64) -> Result<Option<Bytes>> {
        if rank >= self.count {
            return Ok(None);
        }
        let (leaf, before) = self.leaf_of(tx, Sought::Rank(rank))?;
        let nth = usize::try_from(rank.saturating_sub(before)).ok();
        Ok(nth.and_then(|nth| leaf.strings().nth(nth)).map(|range| leaf.slice(range)))
    }

    /// A node in bytes, as this command would leave it.
    fn bytes(&self, tx: &mut Tx, address: &Address) -> Result<Bytes> {
        match self.nodes.get(&address.node) {
            Some(Kept { node: Some(node), .. }) => Ok(node.clone().into_bytes()),
            Some(_) => Err(self.damaged(address, IN_USE)),
            None => self.stored(tx, address),
        }
    }

    /// The child of a branch that holds what is sought.
    fn find(&self, branch: &Bytes, sought: Sought<'_>, address: &Address) -> Result<Found> {
        let found = node::find_stored(branch, sought).map_err(|what| self.damaged(address, what))?;
        found.ok_or_else(|| self.damaged(address, TOO_FEW))
    }

    /// The leaf that holds what is sought, and how many keys lie in front of it.
    fn leaf_of(&self, tx: &mut Tx, sought: Sought<'_>) -> Result<(Packed, u64)> {
        let mut before = 0_u64;
        let mut address = Address::root(self.height);
        loop {
            let rest = match sought {
                Sought::Rank(rank) => Sought::Rank(rank.saturating_sub(before)),
                key => key,
            };
            let stored = self.bytes(tx, &address)?;
            if address.level == 0 {
                let leaf = Packed::open(stored, 1).map_err(|what| self.damaged(&address, what))?;
                return Ok((leaf, before));
            }
            let found = self.find(&stored, rest, &address)?;
            before = before.saturating_add(found.before);
            address = found.child.address(address.level - 1);
        }
    }

    /// The keys from a rank on, upwards or downwards.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn walk(&self, tx: &mut Tx, rank: u64, direction: Direction) -> Result<RankedWalk> {
        RankedWalk::start(self, tx, rank, direction)
    }

    // ---- changing -----------------------------------------------------------

    /// A node, to be changed.
    fn keep(&mut self, tx: &mut Tx, address: &Address) -> Result<&mut Node> {
        let object = self.object;
        if !self.nodes.contains_key(&address.node) {
            let stored = self.stored(tx, address)?;
            let node = Node::decode(address.level, stored.clone()).map_err(|what| damage(object, address, what))?;
            let kept = Kept { address: address.clone(), stored: Some(stored), node: Some(node) };
            self.nodes.insert(address.node, kept);
        }
        match self.nodes.get_mut(&address.node) {
            Some(Kept { node: Some(node), .. }) => Ok(node),
            _ => Err(damage(object, address, IN_USE)),
        }
    }

    fn keep_branch(&mut self, tx: &mut Tx, address: &Address) -> Result<&mut Branch> {
        let object = self.object;
        match self.keep(tx, address)? {
            Node::Branch(branch) => Ok(branch),
            Node::Leaf(_) => Err(damage(object, address, "a leaf where a branch should be")),
        }
    }

    /// Puts a node in the place of what was read at its address, if anything was.
    fn put_node(&mut self, address: Address, node: Option<Node>) {
        let stored = self.nodes.remove(&address.node).and_then(|kept| kept.stored);
        self.nodes.insert(address.node, Kept { address, stored, node });
    }

    fn new_node(&mut self, level: u8, from: Bytes, node: Node) -> Address {
        let address = Address { level, from, node: self.next_node };
        self.next_node = self.next_node.saturating_add(1);
        self.put_node(address.clone(), Some(node));
        address
    }

    /// Deletes a node's row.
    fn drop_node(&mut self, address: &Address) {
        self.put_node(address.clone(), None);
    }

    /// Goes down to the leaf of a key and changes the counts on the way.
    fn descend(&mut self, tx: &mut Tx, key: &[u8], adding: bool) -> Result<(Path, Address)> {
        let mut path = Path::new();
        let mut address = Address::root(self.height);
        while address.level > 0 {
            let branch = self.keep_branch(tx, &address)?;
            let index = branch.find(key);
            if let Some(child) = branch.children.get_mut(index) {
                child.count = if adding { child.count.saturating_add(1) } else { child.count.saturating_sub(1) };
                let below = child.address(address.level - 1);
                path.push((address, index));
                address = below;
            } else {
                return Err(self.damaged(&address, "a branch is empty"));
            }
        }
        Ok((path, address))
    }

    /// Adds a key that is not there.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn insert(&mut self, tx: &mut Tx, key: &[u8]) -> Result<()> {
        if self.is_empty() {
            self.plant();
        }
        let (path, address) = self.descend(tx, key, true)?;
        let Node::Leaf(leaf) = self.keep(tx, &address)? else {
            return Err(self.damaged(&address, "a branch where a leaf should be"));
        };
        let (place, spot) = place_in(leaf, key);
        let at_end = place as usize == leaf.len();
        leaf.insert(spot.as_ref(), &[key]);
        let is_long = leaf.size_bytes() > NODE_BYTES && leaf.len() > 1;
        self.count = self.count.saturating_add(1);
        if is_long { self.split(tx, path, address, at_end) } else { Ok(()) }
    }

    /// Begins anew with one empty leaf.
    fn plant(&mut self) {
        self.height = 1;
        let leaf = self.new_node(0, Bytes::new(), Node::Leaf(Packed::empty(1)));
        let child = Child { from: Bytes::new(), node: leaf.node, count: 0 };
        let root = Node::Branch(Branch { children: vec![child] });
        self.put_node(Address::root(1), Some(root));
    }

    /// Splits a node that has grown too long, and those above it that do so in turn.
    fn split(&mut self, tx: &mut Tx, mut path: Path, mut address: Address, at_end: bool) -> Result<()> {
        // Only at the very end of the index is what comes next likely to come behind.
        let at_end = at_end && self.is_last(tx, &path)?;
        loop {
            let (back, from) = self.keep(tx, &address)?.split(at_end);
            let count = back.count();
            let back = self.new_node(address.level, from, back);
            let Some((parent, index)) = path.pop() else { return Err(self.damaged(&address, "a node without parent")) };
            let branch = self.keep_branch(tx, &parent)?;
            if let Some(front) = branch.children.get_mut(index) {
                front.count = front.count.saturating_sub(count);
            }
            let child = Child { from: back.from, node: back.node, count };
            branch.children.insert((index + 1).min(branch.children.len()), child);
            let (bytes, children) = (branch.size_bytes(), branch.children.len());
            if bytes <= NODE_BYTES || children < CHILDREN_MIN {
                return Ok(());
            }
            address = if parent.node == ROOT { self.grow(tx, &mut path)? } else { parent };
        }
    }

    /// Whether a path leads along the end of every branch.
    fn is_last(&self, tx: &mut Tx, path: &Path) -> Result<bool> {
        for (address, index) in path {
            if let Node::Branch(branch) = &*self.see(tx, address)?
                && index + 1 < branch.children.len()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Moves what the root holds to a node of its own, which becomes the root's only child.
    fn grow(&mut self, tx: &mut Tx, path: &mut Path) -> Result<Address> {
        let branch = std::mem::take(self.keep_branch(tx, &Address::root(self.height))?);
        let count = branch.count();
        let from = branch.children.first().map(|child| child.from.clone()).unwrap_or_default();
        let moved = self.new_node(self.height, from.clone(), Node::Branch(branch));
        self.height += 1;
        let root = Branch { children: vec![Child { from, node: moved.node, count }] };
        let address = Address::root(self.height);
        self.put_node(address.clone(), Some(Node::Branch(root)));
        path.push((address, 0));
        Ok(moved)
    }

    /// Takes away a key that is there.
    ///
    /// # Errors
    /// As [`Tx::part`]; damage if the key is not there.
    pub fn remove(&mut self, tx: &mut Tx, key: &[u8]) -> Result<()> {
        let (path, address) = self.descend(tx, key, false)?;
        let Node::Leaf(leaf) = self.keep(tx, &address)? else {
            return Err(self.damaged(&address, "a branch where a leaf should be"));
        };
        let before = leaf.size_bytes();
        let (_, spot) = place_in(leaf, key);
        let Some(spot) = spot.filter(|spot| leaf.string(spot, 0) == key) else {
            return Err(self.damaged(&address, "a key of a ranked index is missing"));
        };
        leaf.remove(&spot);
        self.count = self.count.saturating_sub(1);
        self.shrink(tx, path, address, before)
    }

    /// Drops a node that has become empty or unites a sparse one, and those above it in turn.
    /// `before` is how long the node was.
    fn shrink(&mut self, tx: &mut Tx, mut path: Path, mut address: Address, mut before: usize) -> Result<()> {
        while let Some((parent, index)) = path.pop() {
            let node = self.see(tx, &address)?;
            let (is_empty, bytes) = (node.is_empty(), node.size_bytes());
            let is_sparse = before >= SPARSE_BYTES && bytes < SPARSE_BYTES;
            if !(is_empty || is_sparse) {
                break;
            }
            let parent_before = self.see(tx, &parent)?.size_bytes();
            if is_empty {
                self.drop_node(&address);
                let branch = self.keep_branch(tx, &parent)?;
                if index < branch.children.len() {
                    branch.children.remove(index);
                }
            } else if !self.unite(tx, &parent, index)? {
                break;
            }
            (address, before) = (parent, parent_before);
        }
        self.lower(tx)
    }

    /// Unites a child with the one behind it, or before it if it is the last; says whether.
    fn unite(&mut self, tx: &mut Tx, parent: &Address, index: usize) -> Result<bool> {
        let level = parent.level.saturating_sub(1);
        let children = &self.keep_branch(tx, parent)?.children;
        let front = if index + 1 < children.len() { index } else { index.saturating_sub(1) };
        let (Some(one), Some(other)) = (children.get(front), children.get(front + 1)) else { return Ok(false) };
        let (one, other) = (one.address(level), other.address(level));
        let bytes = self.see(tx, &one)?.size_bytes() + self.see(tx, &other)?.size_bytes();
        if bytes > UNITED_BYTES {
            return Ok(false);
        }
        let behind = self.see(tx, &other)?.into_owned();
        self.keep(tx, &one)?.append(&behind);
        self.drop_node(&other);
        let branch = self.keep_branch(tx, parent)?;
        branch.children.remove(front + 1);
        if let Some(child) = branch.children.get_mut(front) {
            child.count = child.count.saturating_add(behind.count());
        }
        Ok(true)
    }

    /// Makes a branch that is the root's only child the root.
    fn lower(&mut self, tx: &mut Tx) -> Result<()> {
        while self.height > 1 {
            let root = Address::root(self.height);
            let below = match &*self.see(tx, &root)? {
                Node::Branch(branch) if branch.children.len() == 1 => self.below(branch, 0, &root)?,
                _ => return Ok(()),
            };
            let only = self.see(tx, &below)?;
            if only.size_bytes() > NODE_BYTES {
                return Ok(());
            }
            let only = only.into_owned();
            self.drop_node(&below);
            self.height -= 1;
            self.put_node(Address::root(self.height), Some(only));
        }
        Ok(())
    }

    /// Writes the changed nodes to the transaction; says whether the metadata changed as well.
    pub fn flush(&mut self, tx: &mut Tx) -> bool {
        let mut changed = false;
        for (number, kept) in std::mem::take(&mut self.nodes) {
            match kept.node {
                Some(root) if number == ROOT => {
                    let root = root.into_bytes();
                    changed |= root != self.root;
                    self.root = root;
                }
                Some(node) => {
                    let node = node.into_bytes();
                    if kept.stored.as_ref() != Some(&node) {
                        tx.put_part(FAMILY, self.object, &kept.address.part(), node);
                    }
                }
                None => tx.delete_part(FAMILY, self.object, &kept.address.part()),
            }
        }
        let facts = (self.count, self.next_node, self.height);
        changed | (std::mem::replace(&mut self.stored, facts) != facts)
    }
}

fn damage(object: ObjectId, address: &Address, what: &str) -> Error {
    Error::Corruption { family: FAMILY.name(), key: part_key(object, &address.part()), what: what.into() }
}

const IN_USE: &str = "a deleted node is still in use";
const TOO_FEW: &str = "a branch counts fewer keys than the one above it";

/// How many keys of a leaf are less than `key`, and the first that is not.
fn place_in(leaf: &Packed, key: &[u8]) -> (u64, Option<super::packed::Spot>) {
    let mut place = 0;
    for spot in leaf.items() {
        if leaf.string(&spot, 0) >= key {
            return (place, Some(spot));
        }
        place += 1;
    }
    (place, None)
}

#[cfg(test)]
mod tests;
