//! One consumer group: what it has read, who reads in it, and what was delivered and not
//! acknowledged yet.
//!
//! Each fact is a part of its own, so that acknowledging one of a million pending entries costs
//! what it costs with one. A command changes a [`Group`] and the consumers it meets in memory and
//! writes them once, by [`Group::save`].
//!
//! ```text
//! 'g' name             → number · last id · entries read + 1, or 0 · pending · consumers ·
//!                        next consumer · floor · top · acknowledged since the floor was sought
//! 'n' group name       → number of the consumer
//! 'c' group consumer   → seen at · active at + 1, or 0 · pending · name
//! 'p' group id         → consumer · delivered at · deliveries
//! 'o' group consumer id → empty: the same in the consumer's order
//! ```
//!
//! Groups and consumers are numbered in the order they came, u32 BE in parts; everything else is
//! a varint. Nothing is pending below the floor, and nothing above the top ever was: so a walk
//! does not begin with what was acknowledged long ago, and a delivery behind the top need not
//! ask whether its entry is pending already.

use bytes::{Bytes, BytesMut};

use super::entry::{damaged, id_of, weigh};
use super::id::Id;
use crate::base::Result;
use crate::encoding::key::ObjectId;
use crate::encoding::varint::{put_varint, take_varint};
use crate::keyspace::{Direction, Scan, Tx};
use crate::storage::Family;

const GROUPS: u8 = b'g';
const NAMES: u8 = b'n';
const CONSUMERS: u8 = b'c';
const PENDING: u8 = b'p';
const OWNED: u8 = b'o';

/// After so many acknowledgements the floor is sought anew.
const SEEK_AFTER: u64 = 64;
/// From this many pending entries on, a group's parts are deleted as ranges.
const RANGE_FROM: u64 = 256;

/// A consumer group.
#[derive(Debug)]
pub struct Group {
    object: ObjectId,
    pub name: Bytes,
    number: u32,
    /// The last entry that was delivered.
    pub last_id: Id,
    /// Entries read so far, as if none had been skipped; `None` where that cannot be told.
    pub entries_read: Option<u64>,
    /// How many entries are pending.
    pub pending: u64,
    /// How many consumers there are.
    pub consumers: u64,
    next_consumer: u32,
    floor: Id,
    top: Id,
    /// Acknowledgements since the floor was sought.
    acknowledged: u64,
    changed: bool,
    /// Consumers that this command has met.
    met: Vec<Consumer>,
}

/// One who reads in a group.
#[derive(Debug, Clone)]
pub struct Consumer {
    number: u32,
    pub name: Bytes,
    /// When it last tried to read or claim, milliseconds since the epoch.
    pub seen_ms: u64,
    /// When it last got something.
    pub active_ms: Option<u64>,
    /// How many entries are pending with it.
    pub pending: u64,
    changed: bool,
}

impl Consumer {
    /// By which pending entries name it.
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    pub id: Id,
    /// The number of its consumer.
    pub consumer: u32,
    pub delivered_ms: u64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// A consumer among those a group has met; good as long as the group is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerIndex(usize);

// ---- parts -------------------------------------------------------------------------------

/// The part of a group, or of all of them with an empty name.
pub(super) fn group_part(name: &[u8]) -> Vec<u8> {
    [&[GROUPS], name].concat()
}

/// A part of a group: its tag, the group, and what follows.
fn part(tag: u8, group: u32, rest: &[&[u8]]) -> Vec<u8> {
    let mut part = Vec::with_capacity(32);
    part.push(tag);
    part.extend_from_slice(&group.to_be_bytes());
    rest.iter().for_each(|bytes| part.extend_from_slice(bytes));
    part
}

/// The first part behind those of a group with this tag.
fn behind(tag: u8, group: u32) -> Vec<u8> {
    group.checked_add(1).map_or_else(|| vec![tag + 1], |next| part(tag, next, &[]))
}

fn numbers<const N: usize>(value: &[u8]) -> Option<([u64; N], &[u8])> {
    let mut rest = value;
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = take_varint(&mut rest)?;
    }
    Some((numbers, rest))
}

fn pack(numbers: &[u64], rest: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(numbers.len() * 4 + rest.len() + 8);
    numbers.iter().for_each(|number| put_varint(&mut out, *number));
    out.extend_from_slice(rest);
    out.freeze()
}

fn number_of(value: u64) -> Option<u32> {
    u32::try_from(value).ok()
}

// ---- the group ---------------------------------------------------------------------------

impl Group {
    pub(super) fn create(object: ObjectId, name: Bytes, number: u32) -> Self {
        Self {
            object,
            name,
            number,
            last_id: Id::MIN,
            entries_read: None,
            pending: 0,
            consumers: 0,
            next_consumer: 0,
            floor: Id::MIN,
            top: Id::MIN,
            acknowledged: 0,
            changed: true,
            met: Vec::new(),
        }
    }

    pub(super) fn load(object: ObjectId, part: &[u8], value: &[u8]) -> Result<Self> {
        let name = Bytes::copy_from_slice(part.get(1..).unwrap_or_default());
        Self::parse(object, name, value).ok_or_else(|| damaged(part, "a group is not what was written"))
    }

    fn parse(object: ObjectId, name: Bytes, value: &[u8]) -> Option<Self> {
        let ([number, ms, seq, read, pending, consumers, next, floor_ms, floor_seq, top_ms, top_seq, acknowledged], []) =
            numbers(value)?
        else {
            return None;
        };
        Some(Self {
            object,
            name,
            number: number_of(number)?,
            last_id: Id { ms, seq },
            entries_read: read.checked_sub(1),
            pending,
            consumers,
            next_consumer: number_of(next)?,
            floor: Id { ms: floor_ms, seq: floor_seq },
            top: Id { ms: top_ms, seq: top_seq },
            acknowledged,
            changed: false,
            met: Vec::new(),
        })
    }

    fn value(&self) -> Bytes {
        let Self { last_id, floor, top, .. } = self;
        let read = self.entries_read.map_or(0, |read| read.saturating_add(1));
        let facts = [u64::from(self.number), last_id.ms, last_id.seq, read, self.pending, self.consumers];
        let marks = [u64::from(self.next_consumer), floor.ms, floor.seq, top.ms, top.seq, self.acknowledged];
        pack(&[facts, marks].concat(), b"")
    }

    /// Sets what was read so far.
    pub fn set_last_id(&mut self, last_id: Id, entries_read: Option<u64>) {
        self.last_id = last_id;
        self.entries_read = entries_read;
        self.changed = true;
    }

    /// Writes the group and the consumers that were changed.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn save(&mut self, tx: &mut Tx) -> Result<()> {
        self.seek_floor(tx)?;
        for consumer in self.met.iter_mut().filter(|consumer| consumer.changed) {
            consumer.changed = false;
            let active = consumer.active_ms.map_or(0, |ms| ms.saturating_add(1));
            let value = pack(&[consumer.seen_ms, active, consumer.pending], &consumer.name);
            let part = part(CONSUMERS, self.number, &[&consumer.number.to_be_bytes()]);
            tx.put_part(Family::Data, self.object, &part, value);
        }
        if std::mem::take(&mut self.changed) {
            tx.put_part(Family::Data, self.object, &group_part(&self.name), self.value());
        }
        Ok(())
    }

    fn seek_floor(&mut self, tx: &mut Tx) -> Result<()> {
        if self.pending == 0 || self.acknowledged < SEEK_AFTER {
            return Ok(());
        }
        if let Some(first) = self.walk_pending(tx, Id::MIN, Id::MAX)?.next()? {
            self.floor = first.id;
        }
        self.acknowledged = 0;
        self.changed = true;
        Ok(())
    }

    /// Deletes all parts of the group.
    pub(super) fn destroy(self, tx: &mut Tx) -> Result<()> {
        tx.delete_part(Family::Data, self.object, &group_part(&self.name));
        for tag in [NAMES, CONSUMERS, PENDING, OWNED] {
            let (from, to) = (part(tag, self.number, &[]), behind(tag, self.number));
            if self.pending.max(self.consumers) >= RANGE_FROM {
                tx.delete_parts(Family::Data, self.object, &from, &to);
                continue;
            }
            let mut scan = tx.scan_between(Family::Data, self.object, &from, &to, Direction::Forward)?;
            while let Some((part, _)) = scan.next()? {
                tx.delete_part(Family::Data, self.object, &part);
            }
        }
        Ok(())
    }
}

// ---- consumers ---------------------------------------------------------------------------

impl Group {
    fn name_part(&self, name: &[u8]) -> Vec<u8> {
        part(NAMES, self.number, &[name])
    }

    /// A consumer by its name.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn find_consumer(&mut self, tx: &mut Tx, name: &[u8]) -> Result<Option<ConsumerIndex>> {
        if let Some(index) = self.met.iter().position(|consumer| consumer.name == name) {
            return Ok(Some(ConsumerIndex(index)));
        }
        if self.consumers == 0 {
            return Ok(None);
        }
        let part = self.name_part(name);
        let Some(value) = tx.part(Family::Data, self.object, &part)? else { return Ok(None) };
        let number = numbers(&value).and_then(|([number], _)| number_of(number));
        let number = number.ok_or_else(|| damaged(&part, "a consumer's name without its number"))?;
        self.meet(tx, number).map(Some)
    }

    /// A consumer by its name, made if there is none; says whether it was.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn find_or_add_consumer(&mut self, tx: &mut Tx, name: &[u8]) -> Result<(ConsumerIndex, bool)> {
        if let Some(index) = self.find_consumer(tx, name)? {
            return Ok((index, false));
        }
        let number = self.next_consumer;
        self.next_consumer = number.wrapping_add(1);
        self.consumers += 1;
        self.changed = true;
        tx.put_part(Family::Data, self.object, &self.name_part(name), pack(&[u64::from(number)], b""));
        self.met.push(Consumer {
            number,
            name: Bytes::copy_from_slice(name),
            seen_ms: tx.now_ms(),
            active_ms: None,
            pending: 0,
            changed: true,
        });
        Ok((ConsumerIndex(self.met.len() - 1), true))
    }

    /// A consumer by its number.
    fn meet(&mut self, tx: &mut Tx, number: u32) -> Result<ConsumerIndex> {
        if let Some(index) = self.met.iter().position(|consumer| consumer.number == number) {
            return Ok(ConsumerIndex(index));
        }
        let part = part(CONSUMERS, self.number, &[&number.to_be_bytes()]);
        let value = tx.part(Family::Data, self.object, &part)?;
        let value = value.ok_or_else(|| damaged(&part, "a consumer is missing"))?;
        self.met.push(load_consumer(&part, number, &value)?);
        Ok(ConsumerIndex(self.met.len() - 1))
    }

    /// A consumer that was found.
    pub fn consumer(&self, index: ConsumerIndex) -> Option<&Consumer> {
        self.met.get(index.0)
    }

    fn change(&mut self, index: ConsumerIndex, change: impl FnOnce(&mut Consumer)) {
        if let Some(consumer) = self.met.get_mut(index.0) {
            change(consumer);
            consumer.changed = true;
        }
    }

    /// A consumer tries to get something.
    pub fn note_seen(&mut self, index: ConsumerIndex, now_ms: u64) {
        self.change(index, |consumer| consumer.seen_ms = now_ms);
    }

    /// A consumer got something.
    pub fn note_active(&mut self, index: ConsumerIndex, now_ms: u64) {
        self.change(index, |consumer| consumer.active_ms = Some(now_ms));
    }

    /// The name of the consumer that an entry is pending with.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn name_of(&mut self, tx: &mut Tx, number: u32) -> Result<Bytes> {
        let index = self.meet(tx, number)?;
        Ok(self.consumer(index).map(|consumer| consumer.name.clone()).unwrap_or_default())
    }

    /// All consumers, in the order of their names.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn all_consumers(&self, tx: &mut Tx) -> Result<Vec<Consumer>> {
        let mut all = Vec::new();
        if self.consumers > 0 {
            let prefix = part(CONSUMERS, self.number, &[]);
            let mut scan = tx.scan(Family::Data, self.object, &prefix, None, Direction::Forward)?;
            while let Some((part, value)) = scan.next()? {
                let number = part.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)).unwrap_or_default();
                all.push(load_consumer(&part, number, &value)?);
            }
            all.sort_by(|one, other| one.name.cmp(&other.name));
        }
        Ok(all)
    }

    /// Takes a consumer away with all that is pending with it; says how much that was.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn remove_consumer(&mut self, tx: &mut Tx, name: &[u8]) -> Result<Option<u64>> {
        let Some(index) = self.find_consumer(tx, name)? else { return Ok(None) };
        let consumer = self.met.swap_remove(index.0);
        weigh(tx, consumer.pending)?;
        let mut owned = self.walk_owned(tx, &consumer, Id::MIN, Id::MAX)?;
        while let Some(id) = owned.next_id()? {
            tx.delete_part(Family::Data, self.object, &self.pending_part(id));
            tx.delete_part(Family::Data, self.object, &self.owned_part(consumer.number, id));
        }
        tx.delete_part(Family::Data, self.object, &self.name_part(name));
        tx.delete_part(Family::Data, self.object, &part(CONSUMERS, self.number, &[&consumer.number.to_be_bytes()]));
        self.consumers = self.consumers.saturating_sub(1);
        self.pending = self.pending.saturating_sub(consumer.pending);
        self.acknowledged = self.acknowledged.saturating_add(consumer.pending);
        self.changed = true;
        Ok(Some(consumer.pending))
    }
}

fn load_consumer(part: &[u8], number: u32, value: &Bytes) -> Result<Consumer> {
    let ([seen_ms, active, pending], name) =
        numbers(value).ok_or_else(|| damaged(part, "a consumer is not what was written"))?;
    Ok(Consumer {
        number,
        name: value.slice_ref(name),
        seen_ms,
        active_ms: active.checked_sub(1),
        pending,
        changed: false,
    })
}

// ---- what is pending ---------------------------------------------------------------------

impl Group {
    fn pending_part(&self, id: Id) -> Vec<u8> {
        part(PENDING, self.number, &[&id.key()])
    }

    fn owned_part(&self, consumer: u32, id: Id) -> Vec<u8> {
        part(OWNED, self.number, &[&consumer.to_be_bytes(), &id.key()])
    }

    /// What is pending of an entry.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn pending_of(&self, tx: &mut Tx, id: Id) -> Result<Option<Pending>> {
        if self.pending == 0 || id > self.top || id < self.floor {
            return Ok(None);
        }
        let part = self.pending_part(id);
        let value = tx.part(Family::Data, self.object, &part)?;
        value.map(|value| load_pending(&part, &value)).transpose()
    }

    /// An entry is delivered for the first time. One that is pending elsewhere changes hands.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn deliver(&mut self, tx: &mut Tx, id: Id, to: ConsumerIndex, delivered_ms: u64) -> Result<()> {
        let before = self.pending_of(tx, id)?;
        self.give(tx, before, Pending { id, consumer: 0, delivered_ms, deliveries: 1 }, to)
    }

    /// Makes an entry pending with a consumer, as `after` says, which may have been pending
    /// `before` with the same one or another.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn give(&mut self, tx: &mut Tx, before: Option<Pending>, after: Pending, to: ConsumerIndex) -> Result<()> {
        let Some(number) = self.consumer(to).map(|consumer| consumer.number) else { return Ok(()) };
        let id = after.id;
        if before.is_none_or(|before| before.consumer != number) {
            match before {
                Some(before) => self.disown(tx, before)?,
                None => self.enter(id),
            }
            self.change(to, |consumer| consumer.pending += 1);
            tx.put_part(Family::Data, self.object, &self.owned_part(number, id), Bytes::new());
        }
        self.put_pending(tx, Pending { consumer: number, ..after });
        Ok(())
    }

    /// Writes what is pending of an entry.
    pub fn put_pending(&self, tx: &mut Tx, pending: Pending) {
        let value = pack(&[u64::from(pending.consumer), pending.delivered_ms, pending.deliveries], b"");
        tx.put_part(Family::Data, self.object, &self.pending_part(pending.id), value);
    }

    /// One more entry is pending.
    fn enter(&mut self, id: Id) {
        if self.pending == 0 {
            self.floor = id;
            self.acknowledged = 0;
        }
        self.floor = self.floor.min(id);
        self.top = self.top.max(id);
        self.pending += 1;
        self.changed = true;
    }

    /// An entry is no longer pending with its consumer.
    fn disown(&mut self, tx: &mut Tx, pending: Pending) -> Result<()> {
        let owner = self.meet(tx, pending.consumer)?;
        self.change(owner, |consumer| consumer.pending = consumer.pending.saturating_sub(1));
        tx.delete_part(Family::Data, self.object, &self.owned_part(pending.consumer, pending.id));
        Ok(())
    }

    /// An entry is no longer pending.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn release(&mut self, tx: &mut Tx, pending: Pending) -> Result<()> {
        self.disown(tx, pending)?;
        tx.delete_part(Family::Data, self.object, &self.pending_part(pending.id));
        self.pending = self.pending.saturating_sub(1);
        self.acknowledged = self.acknowledged.saturating_add(1);
        self.changed = true;
        Ok(())
    }

    /// What is pending, from one id to another, either included.
    ///
    /// # Errors
    /// As [`Tx::scan_between`].
    pub fn walk_pending(&self, tx: &mut Tx, from: Id, to: Id) -> Result<PendingWalk> {
        self.walk_parts(tx, &part(PENDING, self.number, &[]), self.pending, (from, to), Direction::Forward)
    }

    /// The last entry that is pending.
    ///
    /// # Errors
    /// As [`Tx::scan_between`].
    pub fn last_pending(&self, tx: &mut Tx) -> Result<Option<Pending>> {
        let prefix = part(PENDING, self.number, &[]);
        self.walk_parts(tx, &prefix, self.pending, (Id::MIN, Id::MAX), Direction::Backward)?.next()
    }

    /// The ids of what is pending with one consumer.
    ///
    /// # Errors
    /// As [`Tx::scan_between`].
    pub fn walk_owned(&self, tx: &mut Tx, consumer: &Consumer, from: Id, to: Id) -> Result<PendingWalk> {
        let prefix = part(OWNED, self.number, &[&consumer.number.to_be_bytes()]);
        self.walk_parts(tx, &prefix, consumer.pending, (from, to), Direction::Forward)
    }

    fn walk_parts(
        &self,
        tx: &mut Tx,
        prefix: &[u8],
        count: u64,
        (from, to): (Id, Id),
        direction: Direction,
    ) -> Result<PendingWalk> {
        let (from, to) = (from.max(self.floor), to.min(self.top));
        if count == 0 || from > to {
            return Ok(PendingWalk { scan: None, left: 0 });
        }
        let start = [prefix, &from.key()].concat();
        // A zero byte more is the least part behind.
        let end = [prefix, &to.key(), &[0]].concat();
        let scan = tx.scan_between(Family::Data, self.object, &start, &end, direction)?;
        Ok(PendingWalk { scan: Some(scan), left: count })
    }
}

fn load_pending(part: &[u8], value: &[u8]) -> Result<Pending> {
    let pending = numbers(value).and_then(|([consumer, delivered_ms, deliveries], _)| {
        Some(Pending { id: id_of(part).ok()?, consumer: number_of(consumer)?, delivered_ms, deliveries })
    });
    pending.ok_or_else(|| damaged(part, "a pending entry is not what was written"))
}

/// Walks over what is pending.
pub struct PendingWalk {
    scan: Option<Scan>,
    left: u64,
}

impl PendingWalk {
    fn next_part(&mut self) -> Result<Option<(Bytes, Bytes)>> {
        let Some(scan) = self.scan.as_mut().filter(|_| self.left > 0) else { return Ok(None) };
        self.left -= 1;
        scan.next()
    }

    /// The next entry of a walk over a group.
    ///
    /// # Errors
    /// As [`Scan::next`].
    #[allow(clippy::should_implement_trait, reason = "fallible")]
    pub fn next(&mut self) -> Result<Option<Pending>> {
        self.next_part()?.map(|(part, value)| load_pending(&part, &value)).transpose()
    }

    /// The next id of a walk over a group or a consumer.
    ///
    /// # Errors
    /// As [`Scan::next`].
    pub fn next_id(&mut self) -> Result<Option<Id>> {
        self.next_part()?.map(|(part, _)| id_of(&part)).transpose()
    }
}
