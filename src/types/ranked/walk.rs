//! Keys of a ranked index one by one, upwards or downwards, from any rank on.

use std::ops::Range;

use bytes::Bytes;

use super::Ranked;
use super::node::{Address, Branch, Sought};
use crate::base::Result;
use crate::keyspace::{Direction, Tx};
use crate::types::packed::Packed;

/// Walks over keys. Good until the index changes.
pub struct RankedWalk {
    /// The branches above the leaf, from the root on.
    path: Vec<Step>,
    leaf: Packed,
    /// Where the keys of the leaf stand, and which of them are still to come.
    keys: Vec<Range<usize>>,
    left: Range<usize>,
    direction: Direction,
}

/// A branch on the way, and which child of it is being walked.
struct Step {
    address: Address,
    stored: Bytes,
    /// Decoded when the walk comes to its second child.
    branch: Option<Branch>,
    nth: usize,
}

impl RankedWalk {
    pub(super) fn start(index: &Ranked, tx: &mut Tx, rank: u64, direction: Direction) -> Result<Self> {
        let mut walk = Self { path: Vec::new(), leaf: Packed::empty(1), keys: Vec::new(), left: 0..0, direction };
        if rank >= index.count {
            return Ok(walk);
        }
        let mut left = rank;
        let mut address = Address::root(index.height);
        while address.level > 0 {
            let stored = index.bytes(tx, &address)?;
            let found = index.find(&stored, Sought::Rank(left), &address)?;
            left = left.saturating_sub(found.before);
            let below = found.child.address(address.level - 1);
            walk.path.push(Step { address, stored, branch: None, nth: found.nth });
            address = below;
        }
        walk.enter(index, tx, &address)?;
        let at = usize::try_from(left).unwrap_or(usize::MAX).min(walk.keys.len());
        match direction {
            Direction::Forward => walk.left.start = at,
            Direction::Backward => walk.left.end = at.saturating_add(1).min(walk.keys.len()),
        }
        Ok(walk)
    }

    fn enter(&mut self, index: &Ranked, tx: &mut Tx, address: &Address) -> Result<()> {
        let stored = index.bytes(tx, address)?;
        self.leaf = Packed::open(stored, 1).map_err(|what| index.damaged(address, what))?;
        self.keys.clear();
        self.keys.extend(self.leaf.strings());
        self.left = 0..self.keys.len();
        Ok(())
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
            let Some(step) = self.path.last_mut() else { return Ok(false) };
            let branch = step.branch(index)?;
            let count = branch.children.len();
            let next = match self.direction {
                Direction::Forward => step.nth.checked_add(1),
                Direction::Backward => step.nth.checked_sub(1),
            };
            match next.filter(|next| *next < count) {
                Some(next) => {
                    step.nth = next;
                    break step.below(index)?;
                }
                None => drop(self.path.pop()),
            }
        };
        while address.level > 0 {
            let stored = index.bytes(tx, &address)?;
            let mut step = Step { address, stored, branch: None, nth: 0 };
            if self.direction == Direction::Backward {
                step.nth = step.branch(index)?.children.len().saturating_sub(1);
            }
            address = step.below(index)?;
            self.path.push(step);
        }
        self.enter(index, tx, &address)?;
        Ok(true)
    }
}

impl Step {
    fn branch(&mut self, index: &Ranked) -> Result<&Branch> {
        if self.branch.is_none() {
            let branch = Branch::decode(&self.stored).map_err(|what| index.damaged(&self.address, what))?;
            self.branch = Some(branch);
        }
        self.branch.as_ref().ok_or_else(|| index.damaged(&self.address, "a branch is empty"))
    }

    /// Where the child is that is being walked.
    fn below(&mut self, index: &Ranked) -> Result<Address> {
        let nth = self.nth;
        self.branch(index)?;
        let branch = self.branch.as_ref().ok_or_else(|| index.damaged(&self.address, "a branch is empty"))?;
        index.below(branch, nth, &self.address)
    }
}
