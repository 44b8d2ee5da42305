//! Whether the members of a large set stand in their places and are as many as counted.

use super::{Layout, MEMBERS, Set};
use crate::base::Result;
use crate::keyspace::{Direction, Tx};
use crate::storage::Family;

impl Set {
    /// Tells `find` what does not hold.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn check(&self, tx: &mut Tx, find: &mut dyn FnMut(String)) -> Result<()> {
        let Layout::Large(large) = &self.layout else { return Ok(()) };
        let mut scan = tx.scan(Family::Data, large.object, b"", None, Direction::Forward)?;
        let mut members = 0;
        while let Some((part, value)) = scan.next()? {
            let name = part.get(crate::types::spread::PART_PREFIX_BYTES..).unwrap_or_default();
            if part.first() != Some(&MEMBERS) || part[..] != large.members().part(name)[..] || !value.is_empty() {
                find(format!("a part \"{}\" that is no member", part.escape_ascii()));
            } else {
                members += 1;
            }
        }
        if members != large.count || large.most < large.count {
            find(format!("{members} members where the set counts {} of at most {}", large.count, large.most));
        }
        Ok(())
    }
}
