//! Keys of a ranked index one by one, upwards or downwards, from any rank on.

use std::ops::Range;

use bytes::Bytes;

use super::node::{Address, Branch, Node};
use super::{Ranked, TOO_FEW};
use crate::base::Result;
use crate::keyspace::{Direction, Tx};
use crate::types::packed::Packed;

/// Walks over keys. Good until the index changes.
pub struct RankedWalk {
    /// The branches above the leaf, from the root on, and which child of each is being walked.
    path: Vec<(Address, Branch, usize)>,
    leaf: Packed,
    /// The keys of the leaf that are still to come, and where they stand.
    keys: Vec<Range<usize>>,
    left: Range<usize>,
    direction: Direction,
}

impl RankedWalk {
    pub(super) fn start(index: &Ranked, tx: &mut Tx, rank: u64, direction: Direction) -> Result<Self> {
        let mut walk = Self { path: Vec::new(), leaf: Packed::empty(1), keys: Vec::new(), left: 0..0, direction };
        if rank >= index.count {
            return Ok(walk);
        }
        let mut left = rank;
        let mut address = Address::root(index.height);
        loop {
            match index.see(tx, &address)?.into_owned() {
                Node::Leaf(leaf) => {
                    walk.enter(leaf);
                    let at = usize::try_from(left).unwrap_or(usize::MAX).min(walk.keys.len());
                    match direction {
                        Direction::Forward => walk.left.start = at,
                        Direction::Backward => walk.left.end = (at + 1).min(walk.keys.len()),
                    }
                    return Ok(walk);
                }
                Node::Branch(branch) => {
                    let (nth, rest) = branch.select(left).ok_or_else(|| index.damaged(&address, TOO_FEW))?;
                    left = rest;
                    let below = index.below(&branch, nth, &address)?;
                    walk.path.push((address, branch, nth));
                    address = below;
                }
            }
        }
    }

    fn enter(&mut self, leaf: Packed) {
        self.keys = leaf.strings().collect();
        self.left = 0..self.keys.len();
        self.leaf = leaf;
    }

    /// The next key.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn next(&mut self, index: &Ranked, tx: &mut Tx) -> Result<Option<Bytes>> {
        loop {
            let next = match self.direction {
                Direction::Forward => self.left.next(),
                Direction::Backward => self.left.next_back(),
            };
            if let Some(range) = next.and_then(|nth| self.keys.get(nth)) {
                return Ok(Some(self.leaf.slice(range.clone())));
            }
            if !self.turn(index, tx)? {
                return Ok(None);
            }
        }
    }

    /// Goes on to the neighbouring leaf; says whether there is one.
    fn turn(&mut self, index: &Ranked, tx: &mut Tx) -> Result<bool> {
        let mut address = loop {
            let Some((address, branch, nth)) = self.path.last_mut() else { return Ok(false) };
            let next = match self.direction {
                Direction::Forward => nth.checked_add(1),
                Direction::Backward => nth.checked_sub(1),
            };
            match next.filter(|next| *next < branch.children.len()) {
                Some(next) => {
                    *nth = next;
                    break index.below(branch, next, address)?;
                }
                None => {
                    self.path.pop();
                }
            }
        };
        loop {
            match index.see(tx, &address)?.into_owned() {
                Node::Leaf(leaf) => {
                    self.enter(leaf);
                    return Ok(true);
                }
                Node::Branch(branch) => {
                    let nth = match self.direction {
                        Direction::Forward => 0,
                        Direction::Backward => branch.children.len().saturating_sub(1),
                    };
                    let below = index.below(&branch, nth, &address)?;
                    self.path.push((address, branch, nth));
                    address = below;
                }
            }
        }
    }
}
