//! Whether an index is whole: keys in order and in their leaves, every count equal to a recount,
//! and no row that nothing leads to.

use super::node::{Address, Node};
use super::{FAMILY, Ranked};
use crate::base::{Error, Result};
use crate::keyspace::{Direction, Tx};

/// Is shown every key, and told whom to tell what does not hold of it.
type ShowKey<'a> = dyn FnMut(&mut Tx, &[u8], &mut dyn FnMut(String)) -> Result<()> + 'a;

/// What a recount gathers.
struct Recount<'a, 'b> {
    find: &'a mut dyn FnMut(String),
    /// Rows that are in use.
    rows: u64,
    key: &'a mut ShowKey<'b>,
}

impl Ranked {
    /// Tells `find` what does not hold, and shows every key to `key`, which may tell more.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn check(&self, tx: &mut Tx, find: &mut dyn FnMut(String), key: &mut ShowKey<'_>) -> Result<()> {
        let mut recount = Recount { find, rows: 0, key };
        let root = Address::root(self.height);
        match self.recount(tx, &root, (&[], None), &mut recount) {
            Ok(count) if count == self.count => {}
            Ok(count) => (recount.find)(format!("{count} keys where the ranked index counts {}", self.count)),
            Err(error @ Error::Corruption { .. }) => {
                (recount.find)(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let rows = recount.rows;
        let mut scan = tx.scan(FAMILY, self.object, b"", None, Direction::Forward)?;
        let mut stored = 0;
        while scan.next()?.is_some() {
            stored += 1;
        }
        if stored != rows {
            find(format!("{stored} rows where the ranked index uses {rows}"));
        }
        Ok(())
    }

    /// Counts the keys below a node, all of which must lie between the bounds.
    fn recount(
        &self,
        tx: &mut Tx,
        address: &Address,
        (low, high): (&[u8], Option<&[u8]>),
        recount: &mut Recount<'_, '_>,
    ) -> Result<u64> {
        match self.see(tx, address)?.into_owned() {
            Node::Leaf(leaf) => {
                recount.rows += 1;
                let mut last: Option<&[u8]> = None;
                for range in leaf.strings() {
                    let key = leaf.as_slice().get(range).unwrap_or_default();
                    if key < low || high.is_some_and(|high| key >= high) || last.is_some_and(|last| last >= key) {
                        (recount.find)(format!("the key \"{}\" is out of place", key.escape_ascii()));
                    }
                    last = Some(key);
                    (recount.key)(tx, key, &mut *recount.find)?;
                }
                Ok(leaf.len() as u64)
            }
            Node::Branch(branch) => {
                recount.rows += u64::from(address != &Address::root(self.height));
                let mut count = 0_u64;
                for (nth, child) in branch.children.iter().enumerate() {
                    let from = if nth == 0 { low } else { &child.from };
                    let end = branch.children.get(nth + 1).map(|next| &next.from[..]).or(high);
                    if end.is_some_and(|end| from >= end) {
                        (recount.find)(format!("node {} is out of order", child.node));
                    }
                    let below = self.recount(tx, &self.below(&branch, nth, address)?, (from, end), recount)?;
                    if below != child.count {
                        (recount.find)(format!("{below} keys where node {} counts {}", child.node, child.count));
                    }
                    count = count.saturating_add(below);
                }
                Ok(count)
            }
        }
    }
}
