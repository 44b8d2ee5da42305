//! Whether the fields of a large hash stand in their places, are as many as counted, and whether
//! their deadlines stand in the order of time as well.

use super::large::{DEADLINES, FIELDS, Large, TIMELINE, split_timeline};
use super::{Hash, Layout, deadline_of};
use crate::base::Result;
use crate::keyspace::{Direction, Tx};
use crate::storage::Family;
use crate::types::spread::PART_PREFIX_BYTES;

/// What the parts of a hash come to.
#[derive(Default)]
struct Counts {
    fields: u64,
    deadlines: u64,
    timeline: u64,
    earliest: Option<u64>,
}

impl Hash {
    /// Tells `find` what does not hold.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn check(&self, tx: &mut Tx, find: &mut dyn FnMut(String)) -> Result<()> {
        let Layout::Large(large) = &self.layout else { return Ok(()) };
        let mut scan = tx.scan(Family::Data, large.id(), b"", None, Direction::Forward)?;
        let mut counts = Counts::default();
        while let Some((part, value)) = scan.next()? {
            if !large.counts_part(tx, &part, &value, &mut counts)? {
                find(format!("a part \"{}\" that does not belong to the hash", part.escape_ascii()));
            }
        }
        if counts.fields != large.count {
            find(format!("{} fields where the hash counts {}", counts.fields, large.count));
        }
        if counts.deadlines != counts.timeline {
            find(format!("{} deadlines, but {} in the order of time", counts.deadlines, counts.timeline));
        }
        if counts.earliest.is_some_and(|earliest| earliest < large.earliest) {
            find("a field lapses before the earliest deadline that the hash knows".into());
        }
        Ok(())
    }
}

impl Large {
    /// Counts a part; false if it does not belong here.
    fn counts_part(&self, tx: &mut Tx, part: &bytes::Bytes, value: &[u8], counts: &mut Counts) -> Result<bool> {
        let name = part.get(PART_PREFIX_BYTES..).unwrap_or_default();
        match part.first() {
            Some(&FIELDS) => {
                counts.fields += 1;
                Ok(part[..] == self.fields().part(name)[..])
            }
            Some(&DEADLINES) => {
                counts.deadlines += 1;
                let has_field = self.fields().get(tx, name)?.is_some();
                Ok(has_field && part[..] == self.deadlines().part(name)[..] && deadline_of(value).is_some())
            }
            Some(&TIMELINE) => {
                counts.timeline += 1;
                let Some((deadline_ms, field)) = split_timeline(part) else { return Ok(false) };
                counts.earliest = Some(counts.earliest.map_or(deadline_ms, |earliest| earliest.min(deadline_ms)));
                let stored = self.deadlines().get(tx, &field)?.and_then(|bytes| deadline_of(&bytes));
                Ok(stored == Some(deadline_ms) && part[..] == self.timeline_part(&field, deadline_ms)[..])
            }
            _ => Ok(false),
        }
    }
}
