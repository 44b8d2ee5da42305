//! A hash outside its record: one part a field, found by its name alone, so that no verb but
//! those that list fields depends on how many there are.
//!
//! Deadlines stand apart from the values: as long as none has come (the earliest is in the
//! metadata), readers need not look at them. Between the moment that one comes and its
//! removal by the expiry task, within a second, reads look up the deadline too.

use bytes::{BufMut, Bytes, BytesMut};
use rustc_hash::FxHashSet;

use super::inline::Inline;
use super::{Deadline, NEVER, deadline_bytes, deadline_of};
use crate::base::{Result, random};
use crate::encoding::key::ObjectId;
use crate::encoding::order::take_u64;
use crate::encoding::varint::{put_varint, take_varint};
use crate::keyspace::{Direction, Tx};
use crate::storage::Family;
use crate::types::spread::{Element, PART_PREFIX_BYTES, Page, Spread};

pub(super) const FIELDS: u8 = b'f';
pub(super) const DEADLINES: u8 = b'd';
pub(super) const TIMELINE: u8 = b't';

/// The metadata of a large hash.
#[derive(Debug)]
pub(super) struct Large {
    object: ObjectId,
    salt: u64,
    /// Fields that are stored, lapsed ones included.
    pub count: u64,
    /// Whether fields may have deadlines.
    pub is_timed: bool,
    /// The earliest deadline of any field, or [`NEVER`].
    pub earliest: u64,
    /// The field with the earliest deadline is gone, so that another one is the earliest.
    earliest_is_gone: bool,
    /// Whether some of the stored fields have lapsed.
    pub hides: bool,
}

impl Large {
    pub fn load(object: ObjectId, meta: &[u8], is_timed: bool) -> Result<Self, &'static str> {
        let mut rest = meta;
        let earliest = if is_timed { take_u64(&mut rest) } else { Some(NEVER) };
        let (Some(earliest), Some(salt), Some(count)) = (earliest, take_u64(&mut rest), take_varint(&mut rest)) else {
            return Err("the metadata of a large hash ends early");
        };
        if !rest.is_empty() {
            return Err("the metadata of a large hash has bytes behind its count");
        }
        Ok(Self { object, salt, count, is_timed, earliest, earliest_is_gone: false, hides: false })
    }

    pub fn meta(&self) -> Bytes {
        let mut meta = BytesMut::with_capacity(26);
        if self.is_timed {
            meta.put_u64(self.earliest);
        }
        meta.put_u64(self.salt);
        put_varint(&mut meta, self.count);
        meta.freeze()
    }

    /// Writes the fields of an inline hash to a new object.
    pub fn spill(tx: &mut Tx, inline: &Inline) -> Result<Self> {
        let mut large = Self {
            object: tx.new_object()?,
            salt: random::number(),
            count: inline.packed.len() as u64,
            is_timed: inline.is_timed,
            earliest: NEVER,
            earliest_is_gone: false,
            hides: false,
        };
        for spot in inline.packed.items() {
            let field = inline.packed.string(&spot, 0);
            large.fields().put(tx, field, inline.packed.bytes(&spot, 1));
            if let Some(deadline_ms) = inline.deadline(&spot) {
                large.add_deadline(tx, field, deadline_ms);
            }
        }
        Ok(large)
    }

    pub fn id(&self) -> ObjectId {
        self.object
    }

    fn namespace(&self, tag: u8) -> Spread {
        Spread { object: self.object, salt: self.salt, tag }
    }

    pub fn fields(&self) -> Spread {
        self.namespace(FIELDS)
    }

    pub(super) fn deadlines(&self) -> Spread {
        self.namespace(DEADLINES)
    }

    /// Whether any field has a deadline.
    fn has_deadlines(&self) -> bool {
        self.earliest != NEVER
    }

    /// Whether the metadata has to be worked out and written, whatever else changed.
    pub fn is_unsettled(&self) -> bool {
        self.earliest_is_gone
    }

    /// Works out what was put off: which deadline is the earliest.
    pub fn settle(&mut self, tx: &mut Tx) -> Result<()> {
        if self.earliest_is_gone {
            self.earliest = self.next_deadline(tx)?.map_or(NEVER, |(deadline_ms, _)| deadline_ms);
            self.earliest_is_gone = false;
        }
        Ok(())
    }

    fn next_deadline(&self, tx: &mut Tx) -> Result<Option<(u64, Bytes)>> {
        let mut scan = tx.scan(Family::Data, self.object, &[TIMELINE], None, Direction::Forward)?;
        Ok(scan.next()?.and_then(|(part, _)| split_timeline(&part)))
    }

    pub fn len(&self, tx: &mut Tx) -> Result<u64> {
        if !self.hides {
            return Ok(self.count);
        }
        let lapsed = self.lapsed(tx, u64::MAX)?.0.len() as u64;
        Ok(self.count.saturating_sub(lapsed))
    }

    pub fn get(&self, tx: &mut Tx, field: &[u8]) -> Result<Option<Bytes>> {
        if self.hides && self.is_lapsed(tx, field)? {
            return Ok(None);
        }
        self.fields().get(tx, field)
    }

    pub fn get_many(&self, tx: &mut Tx, fields: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        let mut values = self.fields().get_many(tx, fields)?;
        if self.hides {
            let now_ms = tx.now_ms();
            let deadlines = self.deadlines().get_many(tx, fields)?;
            for (value, deadline) in values.iter_mut().zip(deadlines) {
                if deadline.and_then(|bytes| deadline_of(&bytes)).is_some_and(|deadline| deadline <= now_ms) {
                    *value = None;
                }
            }
        }
        Ok(values)
    }

    /// The deadline of a field, if it has one.
    pub fn deadline(&self, tx: &mut Tx, field: &[u8]) -> Result<Option<u64>> {
        if !self.has_deadlines() {
            return Ok(None);
        }
        Ok(self.deadlines().get(tx, field)?.and_then(|bytes| deadline_of(&bytes)))
    }

    fn is_lapsed(&self, tx: &mut Tx, field: &[u8]) -> Result<bool> {
        let now_ms = tx.now_ms();
        Ok(self.deadline(tx, field)?.is_some_and(|deadline| deadline <= now_ms))
    }

    pub fn set(&mut self, tx: &mut Tx, field: &[u8], value: &[u8], deadline: Deadline) -> Result<bool> {
        let was_stored = self.fields().get(tx, field)?.is_some();
        let was_lapsed = self.hides && self.is_lapsed(tx, field)?;
        if was_stored && (was_lapsed || deadline == Deadline::Drop) {
            self.drop_deadline(tx, field)?;
        }
        self.fields().put(tx, field, Bytes::copy_from_slice(value));
        self.count += u64::from(!was_stored);
        Ok(!was_stored || was_lapsed)
    }

    /// Sets several fields; reads that miss memory run together.
    pub fn set_many(&mut self, tx: &mut Tx, pairs: &[[&[u8]; 2]]) -> Result<u64> {
        if self.has_deadlines() {
            let mut added = 0;
            for [field, value] in pairs {
                added += u64::from(self.set(tx, field, value, Deadline::Drop)?);
            }
            return Ok(added);
        }
        let names: Vec<&[u8]> = pairs.iter().map(|[field, _]| *field).collect();
        let stored = self.fields().get_many(tx, &names)?;
        let mut seen = FxHashSet::default();
        let mut added = 0;
        for ([field, value], stored) in pairs.iter().zip(stored) {
            self.fields().put(tx, field, Bytes::copy_from_slice(value));
            added += u64::from(stored.is_none() && seen.insert(*field));
        }
        self.count += added;
        Ok(added)
    }

    pub fn remove(&mut self, tx: &mut Tx, field: &[u8]) -> Result<bool> {
        if self.fields().get(tx, field)?.is_none() {
            return Ok(false);
        }
        let was_lapsed = self.hides && self.is_lapsed(tx, field)?;
        self.forget(tx, field)?;
        Ok(!was_lapsed)
    }

    /// Takes a stored field away.
    fn forget(&mut self, tx: &mut Tx, field: &[u8]) -> Result<()> {
        self.drop_deadline(tx, field)?;
        self.fields().delete(tx, field);
        self.count = self.count.saturating_sub(1);
        Ok(())
    }

    /// Puts a deadline on a stored field in place of the one it has.
    pub fn put_deadline(&mut self, tx: &mut Tx, field: &[u8], deadline_ms: u64) -> Result<()> {
        self.drop_deadline(tx, field)?;
        self.add_deadline(tx, field, deadline_ms);
        Ok(())
    }

    fn add_deadline(&mut self, tx: &mut Tx, field: &[u8], deadline_ms: u64) {
        self.deadlines().put(tx, field, deadline_bytes(deadline_ms));
        tx.put_part(Family::Data, self.object, &self.timeline_part(field, deadline_ms), Bytes::new());
        self.earliest = self.earliest.min(deadline_ms);
    }

    /// Takes the deadline of a field off; says whether it had one.
    pub fn drop_deadline(&mut self, tx: &mut Tx, field: &[u8]) -> Result<bool> {
        let Some(deadline_ms) = self.deadline(tx, field)? else { return Ok(false) };
        self.deadlines().delete(tx, field);
        tx.delete_part(Family::Data, self.object, &self.timeline_part(field, deadline_ms));
        self.earliest_is_gone |= deadline_ms <= self.earliest;
        Ok(true)
    }

    pub(super) fn timeline_part(&self, field: &[u8], deadline_ms: u64) -> Vec<u8> {
        let mut part = Vec::with_capacity(8 + PART_PREFIX_BYTES + field.len());
        part.push(TIMELINE);
        part.extend_from_slice(&deadline_ms.to_be_bytes());
        part.extend_from_slice(&self.fields().place(field).to_be_bytes());
        part.extend_from_slice(field);
        part
    }

    /// Up to `most` fields whose deadline has come, oldest first, and the first deadline after them.
    fn lapsed(&self, tx: &mut Tx, most: u64) -> Result<(Vec<(u64, Bytes)>, u64)> {
        let now_ms = tx.now_ms();
        let mut scan = tx.scan(Family::Data, self.object, &[TIMELINE], None, Direction::Forward)?;
        let mut lapsed = Vec::new();
        while let Some((part, _)) = scan.next()? {
            let Some((deadline_ms, field)) = split_timeline(&part) else { continue };
            if deadline_ms > now_ms || lapsed.len() as u64 >= most {
                return Ok((lapsed, deadline_ms));
            }
            lapsed.push((deadline_ms, field));
        }
        Ok((lapsed, NEVER))
    }

    /// Removes up to `most` fields whose deadline has come; says how many. Notes whether others stay.
    pub fn remove_lapsed(&mut self, tx: &mut Tx, most: u64) -> Result<Vec<Bytes>> {
        let (lapsed, next) = self.lapsed(tx, most)?;
        for (deadline_ms, field) in &lapsed {
            tx.delete_part(Family::Data, self.object, &self.timeline_part(field, *deadline_ms));
            self.deadlines().delete(tx, field);
            self.fields().delete(tx, field);
        }
        self.count = self.count.saturating_sub(lapsed.len() as u64);
        self.earliest = next;
        self.earliest_is_gone = false;
        self.hides = next <= tx.now_ms();
        Ok(lapsed.into_iter().map(|(_, field)| field).collect())
    }

    /// All fields that have not lapsed, for the short time in which some have.
    pub fn visible(&self, tx: &mut Tx) -> Result<Vec<Element>> {
        let lapsed: FxHashSet<Bytes> = self.lapsed(tx, u64::MAX)?.0.into_iter().map(|(_, field)| field).collect();
        let mut walk = self.fields().walk(tx)?;
        let mut visible = Vec::new();
        while let Some(element) = walk.next()? {
            if !lapsed.contains(&element.0) {
                visible.push(element);
            }
        }
        Ok(visible)
    }

    pub fn page(&self, tx: &mut Tx, cursor: u64, count: usize) -> Result<Page> {
        let mut page = self.fields().page(tx, cursor, count)?;
        if self.hides {
            let fields: Vec<&[u8]> = page.elements.iter().map(|(field, _)| &field[..]).collect();
            let values = self.get_many(tx, &fields)?;
            let mut kept = values.iter().map(Option::is_some);
            page.elements.retain(|_| kept.next().unwrap_or(false));
        }
        Ok(page)
    }
}

/// Deadline and field of an entry in time's order.
pub(super) fn split_timeline(part: &Bytes) -> Option<(u64, Bytes)> {
    let (_, rest) = part.split_first_chunk::<1>()?;
    let (deadline, rest) = rest.split_first_chunk::<8>()?;
    let (_, field) = rest.split_first_chunk::<4>()?;
    Some((u64::from_be_bytes(*deadline), part.slice_ref(field)))
}
