//! Streams: entries in the order of their ids, and consumer groups that share the reading.
//!
//! - here: [`Stream`], its entries and its groups as a whole. `group.rs`: one group, its consumers
//!   and what is pending with them.
//! - `check.rs`: whether it is whole.
//! - `id.rs`, `entry.rs`, `meta.rs`: what is stored. `nodes.rs`: Redis' accounts of its nodes.
//!
//! Every stream is large: an entry is written once, under its id, and nothing is rewritten but
//! the record. A stream without entries is still a stream.
//!
//! What a group keeps (who has read what) changes beside the record, by verbs of [`Group`] on a
//! stream that was read under the key's lock. It is no change of the stream: neither WATCH nor
//! blocked clients hear of it, as in Redis.
//!
//! ```text
//! record    length, added · last, first, deleted id · groups, next group · first node · last node
//! parts     'e' id → entry                            'g' name → group
//!           'c' group consumer → consumer             'n' group name → consumer
//!           'p' group id → pending entry              'o' group consumer id → empty
//! ```

mod check;
mod entry;
mod group;
mod id;
mod meta;
mod nodes;

use bytes::Bytes;

pub use entry::{Entry, Walk};
pub use group::{Consumer, ConsumerIndex, Group, Pending, PendingWalk};
pub use id::Id;
use meta::{Head, Meta};
pub use nodes::{NODE_BYTES_MAX, NodeLimits, payload_bytes};

use crate::base::Result;
use crate::encoding::key::ObjectId;
use crate::keyspace::{Body, Direction, Encoding, Kind, Tx, Type};
use crate::storage::Family;

/// From this many on, parts are deleted as a range.
const RANGE_FROM: usize = 1024;

/// A stream as a command holds it.
#[derive(Debug)]
pub struct Stream {
    /// None until something is written.
    object: Option<ObjectId>,
    meta: Meta,
    /// Whether the record must be written.
    changed: bool,
}

/// What a trim leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So many of the last entries.
    Length(u64),
    /// Entries from this id on.
    From(Id),
}

/// How a stream is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    pub keep: Keep,
    /// Only whole nodes, and so less than was asked for.
    pub approximate: bool,
    /// The most entries an approximate trim takes away; 0 is no limit.
    pub limit: u64,
}

impl Kind for Stream {
    const TYPE: Type = Type::Stream;

    fn create() -> Self {
        Self { object: None, meta: Meta::default(), changed: true }
    }

    fn load(encoding: Encoding, body: Body) -> Result<Self, String> {
        if encoding != Encoding::Stream {
            return Err(format!("a stream is never encoded as {encoding:?}"));
        }
        match body {
            Body::Inline(_) => Err("a stream is never inline".to_owned()),
            Body::Large { id, meta } => Ok(Self { object: Some(id), meta: Meta::load(&meta)?, changed: false }),
        }
    }

    /// Never: a stream stays when its last entry goes.
    fn is_empty(&self) -> bool {
        false
    }

    fn is_changed(&self) -> bool {
        self.changed
    }

    fn pack(mut self, tx: &mut Tx) -> Result<(Encoding, Body)> {
        let id = self.object(tx)?;
        Ok((Encoding::Stream, Body::Large { id, meta: self.meta.pack() }))
    }
}

// ---- facts -------------------------------------------------------------------------------

impl Stream {
    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.meta.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.meta.length == 0
    }

    /// The highest id given so far.
    pub fn last_id(&self) -> Id {
        self.meta.last
    }

    /// The id of the first entry; `0-0` without any.
    pub fn first_id(&self) -> Id {
        self.meta.first
    }

    /// The highest id that was deleted one by one; `0-0` if none was.
    pub fn max_deleted_id(&self) -> Id {
        self.meta.deleted
    }

    /// How many entries were ever added.
    pub fn entries_added(&self) -> u64 {
        self.meta.added
    }

    /// How many consumer groups there are.
    pub fn group_count(&self) -> u64 {
        self.meta.groups
    }

    /// About how many nodes Redis would have.
    pub fn node_count(&self) -> u64 {
        if self.is_empty() {
            return 0;
        }
        let last = self.meta.tail.number.saturating_sub(u64::from(self.meta.tail.entries == 0));
        (last + 1).saturating_sub(self.meta.head.node).max(1)
    }

    /// The id of an entry added now; `None` when all are used up.
    pub fn next_id(&self, now_ms: u64) -> Option<Id> {
        if now_ms > self.meta.last.ms { Some(Id { ms: now_ms, seq: 0 }) } else { self.meta.last.next() }
    }

    /// How many entries were added up to an id, where that can be told without counting: what
    /// Redis calls the logical read counter.
    pub fn added_up_to(&self, id: Id) -> Option<u64> {
        let Meta { length, added, last, first, deleted, .. } = &self.meta;
        if *added == 0 {
            return Some(0);
        }
        if *length == 0 && id <= *last {
            return Some(*added);
        }
        if id >= *last {
            return (id == *last).then_some(*added);
        }
        let has_gaps = !deleted.is_zero() && deleted >= first;
        match id.cmp(first) {
            _ if has_gaps => None,
            std::cmp::Ordering::Less => Some(added.saturating_sub(*length)),
            std::cmp::Ordering::Equal => Some(added.saturating_sub(*length) + 1),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// Whether entries from an id on may have been deleted one by one.
    pub fn has_gaps_from(&self, id: Id) -> bool {
        let Meta { first, deleted, .. } = self.meta;
        !self.is_empty() && !deleted.is_zero() && first <= deleted && id <= deleted
    }

    /// How many entries a group has not read yet, where that can be told.
    pub fn lag(&self, group: &Group) -> Option<u64> {
        let added = self.meta.added;
        if added == 0 {
            return Some(0);
        }
        match group.entries_read {
            Some(read) if !self.has_gaps_from(group.last_id) => Some(added.wrapping_sub(read)),
            _ => Some(added.saturating_sub(self.added_up_to(group.last_id)?)),
        }
    }
}

// ---- entries -----------------------------------------------------------------------------

impl Stream {
    fn object(&mut self, tx: &mut Tx) -> Result<ObjectId> {
        match self.object {
            Some(object) => Ok(object),
            None => Ok(*self.object.insert(tx.new_object()?)),
        }
    }

    /// Adds an entry behind all others: its id is higher than the last one.
    ///
    /// # Errors
    /// When no object id can be had.
    pub fn add(&mut self, tx: &mut Tx, id: Id, pairs: &[&[u8]], limits: NodeLimits) -> Result<()> {
        debug_assert!(id > self.meta.last, "ids only grow");
        let object = self.object(tx)?;
        let meta = &mut self.meta;
        let node = meta.tail.add(id, pairs, limits);
        meta.length += 1;
        meta.added = meta.added.saturating_add(1);
        meta.last = id;
        if meta.length == 1 {
            meta.first = id;
            meta.head = Head { node, live: 1, last: id };
        } else if node == meta.head.node && meta.head.live > 0 {
            meta.head.live += 1;
            meta.head.last = id;
        }
        self.changed = true;
        tx.put_part(Family::Data, object, &entry::part(id), entry::pack(node, pairs));
        Ok(())
    }

    /// The entry of an id.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn entry(&self, tx: &mut Tx, id: Id) -> Result<Option<Entry>> {
        let Some(object) = self.object.filter(|_| self.may_have(id)) else { return Ok(None) };
        let value = tx.part(Family::Data, object, &entry::part(id))?;
        value.map(|value| Entry::load(id, value)).transpose()
    }

    /// Whether an id lies where entries are.
    fn may_have(&self, id: Id) -> bool {
        !self.is_empty() && id >= self.meta.first && id <= self.meta.last
    }

    /// The entries from one id to another, either included, in this direction.
    ///
    /// # Errors
    /// As [`Tx::scan_between`].
    pub fn walk(&self, tx: &mut Tx, from: Id, to: Id, direction: Direction) -> Result<Walk> {
        let (from, to) = (from.max(self.meta.first), to.min(self.meta.last));
        let Some(object) = self.object.filter(|_| !self.is_empty() && from <= to) else {
            return Ok(Walk { scan: None, left: 0 });
        };
        let (start, end) = (entry::part(from), entry::part_behind(to));
        let scan = tx.scan_between(Family::Data, object, &start, &end, direction)?;
        Ok(Walk { scan: Some(scan), left: self.meta.length })
    }

    /// The last entry.
    ///
    /// # Errors
    /// As [`Stream::walk`].
    pub fn last_entry(&self, tx: &mut Tx) -> Result<Option<Entry>> {
        self.walk(tx, Id::MIN, Id::MAX, Direction::Backward)?.next()
    }

    /// Deletes entries; says how many there were.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn delete(&mut self, tx: &mut Tx, ids: &[Id]) -> Result<u64> {
        let mut count = 0;
        for id in ids {
            let Some(entry) = self.entry(tx, *id)? else { continue };
            count += 1;
            self.forget(tx, &entry);
            self.meta.deleted = self.meta.deleted.max(*id);
        }
        if count > 0 {
            self.settle_first(tx)?;
        }
        Ok(count)
    }

    fn forget(&mut self, tx: &mut Tx, entry: &Entry) {
        if let Some(object) = self.object {
            tx.delete_part(Family::Data, object, &entry::part(entry.id));
        }
        let meta = &mut self.meta;
        meta.length = meta.length.saturating_sub(1);
        if entry.node == meta.head.node {
            meta.head.live = meta.head.live.saturating_sub(1);
        }
        if entry.node == meta.tail.number {
            meta.tail.delete(1);
        }
        self.changed = true;
    }

    /// Entries went: which one is the first now?
    fn settle_first(&mut self, tx: &mut Tx) -> Result<()> {
        let first = self.walk(tx, Id::MIN, Id::MAX, Direction::Forward)?.next()?;
        self.begin_at(first.as_ref());
        Ok(())
    }

    fn begin_at(&mut self, first: Option<&Entry>) {
        let meta = &mut self.meta;
        match first {
            None => {
                meta.length = 0;
                meta.first = Id::MIN;
                meta.head = Head::default();
                meta.tail.delete(meta.tail.entries);
            }
            Some(entry) => {
                meta.first = entry.id;
                if meta.head.node != entry.node {
                    meta.head = Head { node: entry.node, ..Head::default() };
                }
            }
        }
        self.changed = true;
    }

    /// Takes entries away from the front; says how many.
    ///
    /// # Errors
    /// As [`Tx::scan_between`].
    pub fn trim(&mut self, tx: &mut Tx, trim: Trim) -> Result<u64> {
        let (most, below) = match trim.keep {
            Keep::Length(length) => (self.meta.length.saturating_sub(length), None),
            Keep::From(id) => (self.meta.length, Some(id)),
        };
        if !trim.approximate {
            return self.cut(tx, most, below);
        }
        let mut gone = 0;
        while !self.is_empty() && gone < most && is_below(self.meta.first, below) {
            let head = self.head(tx)?;
            let is_over_limit = trim.limit > 0 && gone + head.live > trim.limit;
            if is_over_limit || gone + head.live > most || !is_below(head.last, below) {
                break;
            }
            gone += self.cut(tx, head.live, None)?;
        }
        Ok(gone)
    }

    /// The first node, its entries counted.
    fn head(&mut self, tx: &mut Tx) -> Result<Head> {
        if self.meta.head.live == 0 {
            let mut head = Head { node: self.meta.head.node, live: 0, last: self.meta.first };
            let mut walk = self.walk(tx, Id::MIN, Id::MAX, Direction::Forward)?;
            while let Some(entry) = walk.next()?
                && entry.node == head.node
            {
                head.live += 1;
                head.last = entry.id;
            }
            if head.node == self.meta.tail.number {
                // A deleted one counts as the last as well.
                head.last = self.meta.last;
            }
            self.meta.head = head;
            self.changed = true;
        }
        Ok(self.meta.head)
    }

    /// Takes up to `most` entries below an id away from the front.
    fn cut(&mut self, tx: &mut Tx, most: u64, below: Option<Id>) -> Result<u64> {
        let is_needed = most > 0 && !self.is_empty() && is_below(self.meta.first, below);
        let Some(object) = self.object.filter(|_| is_needed) else { return Ok(0) };
        let mut walk = self.walk(tx, Id::MIN, Id::MAX, Direction::Forward)?;
        let mut gone: Vec<Id> = Vec::new();
        let (mut from_head, mut from_tail) = (0, 0);
        let first = loop {
            match walk.next()? {
                Some(entry) if (gone.len() as u64) < most && is_below(entry.id, below) => {
                    from_head += u64::from(entry.node == self.meta.head.node);
                    from_tail += u64::from(entry.node == self.meta.tail.number);
                    gone.push(entry.id);
                    entry::weigh(tx, gone.len() as u64)?;
                }
                first => break first,
            }
        };
        if let (Some(last), RANGE_FROM..) = (gone.last(), gone.len()) {
            let (start, end) = (entry::part(self.meta.first), entry::part_behind(*last));
            tx.delete_parts(Family::Data, object, &start, &end);
        } else {
            gone.iter().for_each(|id| tx.delete_part(Family::Data, object, &entry::part(*id)));
        }
        let count = gone.len() as u64;
        self.meta.length = self.meta.length.saturating_sub(count);
        self.meta.head.live = self.meta.head.live.saturating_sub(from_head);
        self.meta.tail.delete(from_tail);
        self.begin_at(first.as_ref());
        Ok(count)
    }

    /// Sets the id that the next one must exceed, and what else XSETID says.
    pub fn set_last_id(&mut self, last: Id, added: Option<u64>, max_deleted: Option<Id>) {
        self.meta.last = last;
        self.meta.added = added.unwrap_or(self.meta.added);
        self.meta.deleted = max_deleted.unwrap_or(self.meta.deleted);
        self.changed = true;
    }
}

fn is_below(id: Id, bound: Option<Id>) -> bool {
    bound.is_none_or(|bound| id < bound)
}

// ---- groups ------------------------------------------------------------------------------

impl Stream {
    /// A group by its name.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn group(&self, tx: &mut Tx, name: &[u8]) -> Result<Option<Group>> {
        let Some(object) = self.object.filter(|_| self.meta.groups > 0) else { return Ok(None) };
        let part = group::group_part(name);
        let value = tx.part(Family::Data, object, &part)?;
        value.map(|value| Group::load(object, &part, &value)).transpose()
    }

    /// All groups, in the order of their names.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn groups(&self, tx: &mut Tx) -> Result<Vec<Group>> {
        let Some(object) = self.object.filter(|_| self.meta.groups > 0) else { return Ok(Vec::new()) };
        let mut groups = Vec::new();
        let mut scan = tx.scan(Family::Data, object, &group::group_part(b""), None, Direction::Forward)?;
        while let Some((part, value)) = scan.next()? {
            groups.push(Group::load(object, &part, &value)?);
        }
        Ok(groups)
    }

    /// Makes a group that has read up to an id; `None` if there is one of this name.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn create_group(
        &mut self,
        tx: &mut Tx,
        name: &[u8],
        last_id: Id,
        entries_read: Option<u64>,
    ) -> Result<Option<Group>> {
        if self.group(tx, name)?.is_some() {
            return Ok(None);
        }
        let object = self.object(tx)?;
        let number = self.meta.next_group;
        self.meta.next_group = number.wrapping_add(1);
        self.meta.groups += 1;
        self.changed = true;
        let mut group = Group::create(object, Bytes::copy_from_slice(name), number);
        group.set_last_id(last_id, entries_read);
        group.save(tx)?;
        Ok(Some(group))
    }

    /// Takes a group away with all it has; says whether it was there.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn destroy_group(&mut self, tx: &mut Tx, name: &[u8]) -> Result<bool> {
        let Some(group) = self.group(tx, name)? else { return Ok(false) };
        group.destroy(tx)?;
        self.meta.groups = self.meta.groups.saturating_sub(1);
        self.changed = true;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
