//! Whether the entries of a stream are those it counts, and whether its groups, their consumers
//! and what is pending belong together.

use rustc_hash::FxHashMap;

use super::entry::{ENTRIES, Entry, id_of};
use super::{Group, Id, Stream};
use crate::base::Result;
use crate::keyspace::{Direction, Tx};
use crate::storage::Family;

impl Stream {
    /// Tells `find` what does not hold.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn check(&self, tx: &mut Tx, find: &mut dyn FnMut(String)) -> Result<()> {
        self.check_entries(tx, find)?;
        let groups = self.groups(tx)?;
        if groups.len() as u64 != self.group_count() {
            find(format!("{} groups where the stream counts {}", groups.len(), self.group_count()));
        }
        groups.iter().try_for_each(|group| group.check(tx, find))
    }

    fn check_entries(&self, tx: &mut Tx, find: &mut dyn FnMut(String)) -> Result<()> {
        let Some(object) = self.object else { return Ok(()) };
        let mut scan = tx.scan(Family::Data, object, &[ENTRIES], None, Direction::Forward)?;
        let (mut count, mut ends) = (0, None);
        while let Some((part, value)) = scan.next()? {
            let id = id_of(&part)?;
            if !Entry::load(id, value)?.pairs()?.len().is_multiple_of(2) {
                find(format!("entry {id} has a field without a value"));
            }
            count += 1;
            ends = Some((ends.map_or(id, |(first, _)| first), id));
        }
        if count != self.len() {
            find(format!("{count} entries where the stream counts {}", self.len()));
        }
        if ends.is_some_and(|(first, last)| first != self.first_id() || last > self.last_id()) {
            find("the entries do not lie between the first and the last id of the stream".into());
        }
        Ok(())
    }
}

impl Group {
    fn check(&self, tx: &mut Tx, find: &mut dyn FnMut(String)) -> Result<()> {
        let consumers = self.all_consumers(tx)?;
        let mut pending: FxHashMap<u32, u64> = FxHashMap::default();
        let mut walk = self.walk_pending(tx, Id::MIN, Id::MAX)?;
        while let Some(entry) = walk.next()? {
            *pending.entry(entry.consumer).or_default() += 1;
        }
        let total: u64 = pending.values().sum();
        let name = self.name.escape_ascii();
        if consumers.len() as u64 != self.consumers || total != self.pending {
            find(format!(
                "group \"{name}\" has {} consumers and {total} entries pending where it counts {} and {}",
                consumers.len(),
                self.consumers,
                self.pending
            ));
        }
        for consumer in &consumers {
            let own = pending.remove(&consumer.number()).unwrap_or(0);
            let mut owned = 0;
            let mut walk = self.walk_owned(tx, consumer, Id::MIN, Id::MAX)?;
            while walk.next_id()?.is_some() {
                owned += 1;
            }
            if own != consumer.pending || owned != own {
                let who = consumer.name.escape_ascii();
                let counted = consumer.pending;
                find(format!(
                    "consumer \"{who}\" of group \"{name}\" has {own} and {owned} entries, and counts {counted}"
                ));
            }
        }
        if !pending.is_empty() {
            find(format!("entries of group \"{name}\" are pending with nobody"));
        }
        Ok(())
    }
}
