//! A whole index from keys that come in order: each node is written once, from the leaves up.

use bytes::Bytes;

use super::node::{Address, Branch, Child, Node, separator};
use super::{FAMILY, NODE_BYTES, Ranked};
use crate::keyspace::Tx;
use crate::types::packed::Packed;

/// Nodes are filled up to here, so that there is room for what is added later.
const FILLED_BYTES: usize = NODE_BYTES * 3 / 4;

/// Takes keys in order and writes their index.
pub struct Builder {
    index: Ranked,
    leaf: Packed,
    /// Where the leaf begins.
    from: Bytes,
    last: Bytes,
    /// The open branch of each level, from level 1 on.
    open: Vec<Branch>,
}

impl Builder {
    /// Begins an index of an object that has none yet.
    pub fn new(index: Ranked) -> Self {
        debug_assert!(index.is_empty());
        Self { index, leaf: Packed::empty(1), from: Bytes::new(), last: Bytes::new(), open: Vec::new() }
    }

    /// Adds a key that is greater than all before.
    pub fn push(&mut self, tx: &mut Tx, key: Bytes) {
        debug_assert!(self.index.is_empty() || self.last < key);
        if !self.leaf.is_empty() && self.leaf.size_bytes() + Packed::item_bytes(&[&key]) > FILLED_BYTES {
            self.close_leaf(tx);
            self.from = separator(&self.last, &key);
        }
        self.leaf.push(&[&key]);
        self.last = key;
        self.index.count += 1;
    }

    fn close_leaf(&mut self, tx: &mut Tx) {
        let leaf = std::mem::replace(&mut self.leaf, Packed::empty(1));
        let from = std::mem::take(&mut self.from);
        self.close(tx, 0, from, Node::Leaf(leaf));
    }

    /// Writes a node and tells the branch above it.
    fn close(&mut self, tx: &mut Tx, level: u8, from: Bytes, node: Node) {
        let address = Address { level, from: from.clone(), node: self.index.next_node };
        self.index.next_node += 1;
        let child = Child { from, node: address.node, count: node.count() };
        tx.put_part(FAMILY, self.index.object, &address.part(), node.into_bytes());
        let above = usize::from(level);
        if self.open.len() == above {
            self.open.push(Branch::default());
        }
        let is_full = self
            .open
            .get(above)
            .is_some_and(|branch| branch.children.len() > 1 && branch.size_bytes() + child.size_bytes() > FILLED_BYTES);
        if is_full {
            self.close_branch(tx, level + 1);
        }
        if let Some(branch) = self.open.get_mut(above) {
            branch.children.push(child);
        }
    }

    fn close_branch(&mut self, tx: &mut Tx, level: u8) {
        let Some(branch) = self.open.get_mut(usize::from(level) - 1).map(std::mem::take) else { return };
        let Some(first) = branch.children.first() else { return };
        let from = first.from.clone();
        self.close(tx, level, from, Node::Branch(branch));
    }

    /// Closes what is open; the topmost branch becomes the root.
    pub fn finish(mut self, tx: &mut Tx) -> Ranked {
        if !self.leaf.is_empty() {
            self.close_leaf(tx);
        }
        let mut level = 1;
        while usize::from(level) < self.open.len() {
            self.close_branch(tx, level);
            level += 1;
        }
        self.index.height = self.open.len().max(1) as u8;
        if let Some(root) = self.open.pop() {
            self.index.root = Node::Branch(root).into_bytes();
        }
        self.index
    }
}
