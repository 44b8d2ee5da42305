//! Whether a large sorted set is whole: each member has one score, and it stands with that score in
//! the order.

use super::entry::{member_of, score_of};
use super::{Layout, MEMBERS, ZSet};
use crate::base::Result;
use crate::keyspace::{Direction, Tx};
use crate::storage::Family;
use crate::types::spread::PART_PREFIX_BYTES;

impl ZSet {
    /// Tells `find` what does not hold.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn check(&self, tx: &mut Tx, find: &mut dyn FnMut(String)) -> Result<()> {
        let Layout::Large(large) = &self.layout else { return Ok(()) };
        large.order.check(tx, find, &mut |tx, entry, find| {
            let stored = large.members().get(tx, member_of(entry))?;
            if stored.as_deref().and_then(score_of) != score_of(entry) {
                find(format!("the entry \"{}\" is not its member's score", entry.escape_ascii()));
            }
            Ok(())
        })?;
        let mut scan = tx.scan(Family::Data, large.object, b"", None, Direction::Forward)?;
        let mut members = 0;
        while let Some((part, value)) = scan.next()? {
            let name = part.get(PART_PREFIX_BYTES..).unwrap_or_default();
            let is_placed = part.first() == Some(&MEMBERS) && part[..] == large.members().part(name)[..];
            if !is_placed || large.decode_score(name, &value).is_err() {
                find(format!("a part \"{}\" that is no member with a score", part.escape_ascii()));
            } else {
                members += 1;
            }
        }
        if members != self.len() {
            find(format!("{members} members where the sorted set counts {}", self.len()));
        }
        Ok(())
    }
}
