//! Fields that lapse: deadlines put on and taken off, and the removal of fields whose time
//! has come, by whoever changes the hash next or by the expiry task.

use super::{Hash, Layout};
use crate::base::Result;
use crate::keyspace::{Class, Key, Kind, Tx};
use crate::types::packed::INLINE_BYTES;

/// Lapsed fields that a client's command removes on its way; the expiry task removes the others.
const MOST_ON_THE_WAY: u64 = 128;

/// When a deadline may be put on a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    #[default]
    Always,
    /// NX: it has none.
    Without,
    /// XX: it has one.
    With,
    /// GT: it has one that is earlier.
    Later,
    /// LT: it has none, or one that is later.
    Earlier,
}

impl Condition {
    fn allows(self, old_ms: Option<u64>, new_ms: u64) -> bool {
        match (self, old_ms) {
            (Self::Always, _) | (Self::Without | Self::Earlier, None) | (Self::With, Some(_)) => true,
            (Self::With | Self::Later, None) | (Self::Without, Some(_)) => false,
            (Self::Later, Some(old_ms)) => old_ms < new_ms,
            (Self::Earlier, Some(old_ms)) => old_ms > new_ms,
        }
    }
}

/// What became of a field that was to get a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    NoField,
    /// The condition does not hold.
    Refused,
    Set,
    /// The deadline has come already, so the field is gone.
    Deleted,
}

/// What became of a field that was to lose its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persisted {
    NoField,
    HadNone,
    Removed,
}

impl Hash {
    /// Puts a deadline on a field.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn expire(&mut self, tx: &mut Tx, field: &[u8], deadline_ms: u64, condition: Condition) -> Result<Expired> {
        let Some(old_ms) = self.deadline(tx, field)? else { return Ok(Expired::NoField) };
        if !condition.allows(old_ms, deadline_ms) {
            return Ok(Expired::Refused);
        }
        if deadline_ms <= tx.now_ms() {
            self.remove(tx, field)?;
            return Ok(Expired::Deleted);
        }
        self.put_deadline(tx, field, deadline_ms)?;
        self.changed = true;
        Ok(Expired::Set)
    }

    fn put_deadline(&mut self, tx: &mut Tx, field: &[u8], deadline_ms: u64) -> Result<()> {
        if let Layout::Inline(inline) = &mut self.layout {
            inline.make_timed();
            if let Some(spot) = inline.packed.find(field) {
                inline.set_deadline(&spot, Some(deadline_ms));
            }
            if inline.packed.size_bytes() > INLINE_BYTES {
                return self.spill(tx);
            }
        } else if let Layout::Large(large) = &mut self.layout {
            large.is_timed = true;
            large.put_deadline(tx, field, deadline_ms)?;
        }
        Ok(())
    }

    /// Takes the deadline off a field.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn persist(&mut self, tx: &mut Tx, field: &[u8]) -> Result<Persisted> {
        match self.deadline(tx, field)? {
            None => return Ok(Persisted::NoField),
            Some(None) => return Ok(Persisted::HadNone),
            Some(Some(_)) => {}
        }
        match &mut self.layout {
            Layout::Inline(inline) => {
                if let Some(spot) = inline.packed.find(field) {
                    inline.set_deadline(&spot, None);
                }
            }
            Layout::Large(large) => {
                large.drop_deadline(tx, field)?;
            }
        }
        self.changed = true;
        Ok(Persisted::Removed)
    }

    /// The deadline of a field in milliseconds since the epoch: `None` if there is no such
    /// field, `Some(None)` if it has no deadline.
    ///
    /// # Errors
    /// As [`Tx::part`].
    #[allow(clippy::option_option, reason = "two kinds of absence, told apart by every reply")]
    pub fn deadline(&self, tx: &mut Tx, field: &[u8]) -> Result<Option<Option<u64>>> {
        match &self.layout {
            Layout::Inline(inline) => Ok(inline.packed.find(field).map(|spot| inline.deadline(&spot))),
            Layout::Large(large) => match large.get(tx, field)? {
                None => Ok(None),
                Some(_) => large.deadline(tx, field).map(Some),
            },
        }
    }

    /// For a reader: fields that have lapsed are not there.
    pub(super) fn hide_lapsed(&mut self, now_ms: u64) {
        match &mut self.layout {
            Layout::Inline(inline) => {
                inline.remove_lapsed(now_ms);
            }
            Layout::Large(large) => large.hides = large.earliest <= now_ms,
        }
    }

    /// For a writer: removes fields that have lapsed, as far as it is quick.
    pub(super) fn expel_lapsed(&mut self, tx: &mut Tx, key: &Key) -> Result<()> {
        self.remove_lapsed(tx, key, MOST_ON_THE_WAY)
    }

    fn remove_lapsed(&mut self, tx: &mut Tx, key: &Key, most: u64) -> Result<()> {
        let removed = match &mut self.layout {
            Layout::Inline(inline) => inline.remove_lapsed(tx.now_ms()),
            Layout::Large(large) if large.earliest <= tx.now_ms() => large.remove_lapsed(tx, most)?,
            Layout::Large(_) => Vec::new(),
        };
        if !removed.is_empty() {
            self.changed = true;
            tx.notify(Class::HASH, "hexpired", key);
            tx.store().counters.expired_fields.fetch_add(removed.len() as u64, std::sync::atomic::Ordering::Relaxed);
            tx.note_lapsed_elements(key, removed);
        }
        Ok(())
    }

    fn hides(&self) -> bool {
        matches!(&self.layout, Layout::Large(large) if large.hides)
    }
}

/// Removes up to `most` lapsed fields of a hash; says whether there are more. For the expiry task.
///
/// # Errors
/// As [`Tx::edit_existing`]; a value of another type is left alone.
pub fn expire_fields(tx: &mut Tx, key: &Key, most: usize) -> Result<bool> {
    if !tx.record(key)?.is_some_and(|record| record.kind == Hash::TYPE) {
        return Ok(false);
    }
    let more = tx.edit_existing(key, |hash: &mut Hash, tx| {
        hash.remove_lapsed(tx, key, most as u64)?;
        Ok(hash.hides())
    })?;
    Ok(more.unwrap_or(false))
}
