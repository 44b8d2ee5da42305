//! [`Tx`]: a view of the store and a set of writes.
//!
//! A command reads through it and leaves its writes in it; nothing is visible to others
//! and nothing has touched the engine until `commit.rs` makes the whole set true at once.
//! Reads go through the writes of this transaction first, then the hot record cache,
//! then the engine as far as the [`Tier`] goes. So a command can be run again: take a
//! [`Savepoint`], and [`Tx::rollback`] to it.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;

use super::commit::outline;
use super::databases::DatabaseIndex;
use super::events::{Class, Commit, Deed, Effect, Event, Fact, Look, Message, Told, Touched};
use super::key::Key;
use super::locks::{LockSet, Stripe, Stripes, Wanted, sorted};
use super::store::{FrozenGuard, Store};
use crate::base::{ClientError, Error, Result};
use crate::encoding::key::{KeyspaceId, ObjectId};
use crate::encoding::record::{Encoding, Record, Type};
use crate::storage::cache::Entry;
use crate::storage::{Change, Family, Tier, View};

/// What is known about a key before this transaction.
#[derive(Debug, Clone)]
pub(super) enum Before {
    /// It was overwritten without looking.
    Unknown,
    Absent,
    /// There: its deadlines and object, if it had any.
    Present {
        deadlines: Deadlines,
        object: Option<ObjectId>,
    },
}

/// When a record has to be looked at by itself, milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Deadlines {
    /// The key's own.
    pub key_ms: Option<u64>,
    /// The earliest among the elements of its value.
    pub element_ms: Option<u64>,
}

impl Deadlines {
    pub(super) fn of(record: &Record) -> Self {
        Self { key_ms: record.expire_at_ms, element_ms: record.element_deadline_ms() }
    }
}

/// The state a key will have.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub before: Before,
    /// The encoded record; `None` deletes the key.
    pub after: Option<Bytes>,
    /// Of `after`.
    pub outline: Outline,
    /// The entry of the cache that was found under the lock, if there was one.
    pub cached: Option<Entry>,
    pub db: DatabaseIndex,
}

/// What of a record stands in other places too.
pub(super) type Outline = (Deadlines, Option<ObjectId>);

/// The entry of the cache that was found last under its key's lock, so that a command that reads a
/// record and writes it looks it up once.
#[derive(Default)]
struct Seen {
    key: Vec<u8>,
    entry: Option<Entry>,
}

impl Seen {
    fn get(&self, key: &Key) -> Option<&Entry> {
        self.entry.as_ref().filter(|_| self.key == key.stored())
    }

    fn set(&mut self, key: &Key, entry: Entry) {
        self.key.clear();
        self.key.extend_from_slice(key.stored());
        self.entry = Some(entry);
    }
}

/// What an overwrite could learn about a key without reading the disk.
#[derive(Debug, Clone)]
pub enum Presence {
    /// Not known, and known to own no large object, so that it may be overwritten blindly.
    Unknown,
    Absent,
    Present(Record),
}

/// How a key was used before it came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Not at all for so long.
    Idle { seconds: u64 },
    /// So often, on Redis' logarithmic scale.
    Frequency { count: u8 },
}

/// How to put back what a command wrote.
pub(super) enum Undo {
    Record(Bytes, Option<Pending>),
    Part(Family, Bytes, Option<Option<Bytes>>),
    Databases { map: Option<Vec<KeyspaceId>>, flushed: usize },
}

/// A point to which a transaction can be taken back.
#[derive(Debug, Clone, Copy)]
pub struct Savepoint {
    undo: usize,
    told: usize,
    touched: usize,
    looks: usize,
    cleared: usize,
    reclaims: usize,
    replaced: usize,
    facts: usize,
    fact_changes: usize,
    lapses: usize,
}

pub(super) type Parts = BTreeMap<Bytes, Option<Bytes>>;

/// A view of the store and a set of writes. Kept by a session and used again and again.
pub struct Tx {
    pub(super) store: Arc<Store>,
    pub(super) view: View,
    now_ms: u64,
    pub(super) locks: LockSet,
    pub(super) records: HashMap<Bytes, Pending, FxBuildHasher>,
    pub(super) data: Parts,
    pub(super) scores: Parts,
    /// Ranges of stored keys that go before the parts above are written.
    pub(super) cleared: Vec<(Family, Bytes, Bytes)>,
    pub(super) reclaims: Vec<ObjectId>,
    /// The server's own housekeeping (stale index entries), applied as it is.
    pub(super) extra: Vec<Change>,
    /// What changes in family `system` because of facts.
    pub(super) fact_changes: Vec<Change>,
    /// The map of databases as this transaction would leave it.
    pub(super) databases: Option<Vec<KeyspaceId>>,
    pub(super) flushed: Vec<KeyspaceId>,
    pub(super) commit: Commit,
    /// What the cache is to believe of keys that this transaction writes.
    pub(super) uses: Vec<(Bytes, Use)>,
    /// Held by whoever reads a frozen state of everything.
    frozen: Option<FrozenGuard>,
    pub(super) undo: Vec<Undo>,
    pub(super) parts_written: u64,
    observed: SmallVec<[(Stripe, u32); 4]>,
    pub(super) reads: u32,
    seen: Seen,
    /// Whether looking at a record counts as its use (OBJECT IDLETIME).
    notes_uses: bool,
    lapsed: Vec<(DatabaseIndex, Bytes)>,
    wanted_events: Class,
    wants_touched: bool,
    /// Lapsed keys deleted on the way: writes that no command asked for.
    lapses: usize,
    /// The command that runs has said itself what its effects are.
    told_effects: bool,
}

impl Tx {
    /// An empty transaction that reads memory only.
    pub fn new(store: Arc<Store>) -> Self {
        let locks = LockSet::none(store.locks.clone());
        Self {
            view: View::latest(Tier::Memory),
            now_ms: 0,
            locks,
            records: HashMap::default(),
            data: Parts::new(),
            scores: Parts::new(),
            cleared: Vec::new(),
            reclaims: Vec::new(),
            extra: Vec::new(),
            fact_changes: Vec::new(),
            databases: None,
            flushed: Vec::new(),
            commit: Commit::default(),
            uses: Vec::new(),
            frozen: None,
            undo: Vec::new(),
            parts_written: 0,
            observed: SmallVec::new(),
            reads: 0,
            seen: Seen::default(),
            notes_uses: true,
            lapsed: Vec::new(),
            wanted_events: Class::empty(),
            wants_touched: false,
            lapses: 0,
            told_effects: false,
            store,
        }
    }

    /// Starts a command: how far its reads may go and what time it is.
    pub fn start(&mut self, tier: Tier, now_ms: u64) {
        self.view.tier = tier;
        self.view.snapshot = None;
        self.now_ms = now_ms;
        self.observed.clear();
        self.reads = 0;
        self.wanted_events = self.store.wanted_events();
        self.wants_touched = self.store.wants_touched();
    }

    /// Whether the looks from here on count as uses of what they find.
    pub fn count_uses(&mut self, counts: bool) {
        self.notes_uses = counts;
    }

    /// From here on this command reads a frozen state: for readers whose key never stands still.
    /// The caller holds the locks of its keys at this moment.
    pub fn freeze(&mut self) {
        self.view.snapshot = Some(self.store.engine.snapshot());
    }

    /// From here on this transaction reads a frozen state of all databases, past the caches: for
    /// walks over everything. It is not to write. The caller holds all locks at this moment.
    pub fn freeze_all(&mut self) {
        self.freeze();
        self.view.fill_cache = false;
        self.view.readahead_bytes = WALK_READAHEAD_BYTES;
        self.databases = Some(self.store.databases.snapshot());
        self.frozen = Some(self.store.note_frozen());
    }

    /// The same for a transaction that writes nevertheless and may last: whatever it will have touched is
    /// remembered, as nobody knows who will want to hear of it.
    pub(super) fn freeze_for_draft(&mut self) {
        self.freeze_all();
        self.wants_touched = true;
    }

    /// What was read frozen is as it was, so what was written goes for the state of now. The caller holds all
    /// locks and has made sure of it.
    pub(super) fn thaw(&mut self) {
        self.view = View::latest(Tier::Disk);
        self.frozen = None;
        if self.commit.replaced.is_empty() {
            self.databases = None;
        }
    }

    /// Milliseconds since the epoch, the same for the whole command.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// What is shared.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// How far reads may go.
    pub fn tier(&self) -> Tier {
        self.view.tier
    }

    /// The view that reads of this command use.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The locks held until the commit.
    pub fn locks(&mut self) -> &mut LockSet {
        &mut self.locks
    }

    /// A key of a database, in the keyspace that this transaction sees there.
    pub fn key(&self, db: DatabaseIndex, user_key: &[u8]) -> Key {
        Key::new(db, self.keyspace(db), user_key)
    }

    /// The keyspace of a database as this transaction sees it. Databases are checked by SELECT.
    pub fn keyspace(&self, db: DatabaseIndex) -> KeyspaceId {
        let pending = self.databases.as_ref().and_then(|map| map.get(db as usize).copied());
        pending.or_else(|| self.store.databases.keyspace(db)).unwrap_or(KeyspaceId(u32::MAX))
    }

    // ---- records ------------------------------------------------------------

    /// The live record of a key; a lapsed one is deleted (if its lock is held) or noted.
    ///
    /// # Errors
    /// `NotInMemory` if it is on disk only and the tier does not reach there.
    pub fn record(&mut self, key: &Key) -> Result<Option<Record>> {
        let found = match self.stored_record(key)? {
            Some(record) if record.is_lapsed(self.now_ms) => {
                self.lapse(key, &record)?;
                None
            }
            found => found,
        };
        Ok(found)
    }

    /// Brings the records of several keys that are on disk into the cache, their reads side by
    /// side, before they are asked for one by one. Where reads may not wait it does nothing.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn preload(&mut self, keys: &[Key]) -> Result<()> {
        if keys.len() < 2 || self.view.tier == Tier::Memory || self.view.snapshot.is_some() {
            return Ok(());
        }
        let mut missing = Vec::new();
        for key in keys {
            if !self.records.contains_key(key.stored()) && self.store.cache.get(key.stored()).is_none() {
                missing.push((key, self.observe(key.stripe())));
            }
        }
        let stored: Vec<&[u8]> = missing.iter().map(|(key, _)| key.stored()).collect();
        let values = self.store.engine.multi_get(Family::Keys, &stored, &self.view)?;
        for ((key, version), value) in missing.into_iter().zip(values) {
            self.fill_cache(key, version, value);
        }
        Ok(())
    }

    /// Keeps a record read at `version` in the cache.
    fn fill_cache(&self, key: &Key, version: u32, value: Option<Bytes>) {
        let Some(value) = value else { return };
        if self.locks.holds(key.stripe()) {
            self.store.cache.insert(key.stored(), value);
        } else {
            self.store.fill_cache(key.stored(), key.stripe(), version, value);
        }
    }

    /// The live record, which must be of this type.
    pub fn record_of(&mut self, key: &Key, kind: Type) -> Result<Option<Record>> {
        match self.record(key)? {
            Some(record) if record.kind != kind => Err(ClientError::WrongType.into()),
            found => Ok(found),
        }
    }

    /// The record as it is stored, lapsed or not.
    ///
    /// # Errors
    /// As [`Tx::record`].
    pub fn stored_record(&mut self, key: &Key) -> Result<Option<Record>> {
        if let Some(pending) = self.records.get(key.stored()) {
            return decode(key, pending.after.as_ref());
        }
        self.reads += 1;
        if self.view.snapshot.is_some() {
            let value = self.store.engine.get(Family::Keys, key.stored(), &self.view)?;
            return decode(key, value.as_ref());
        }
        let version = self.observe(key.stripe());
        if let Some(entry) = self.seen.get(key) {
            return decode(key, Some(&entry.record()));
        }
        if let Some(entry) = self.store.cache.get(key.stored()) {
            let record = entry.record();
            if self.notes_uses {
                #[expect(clippy::cast_possible_truncation, reason = "seconds wrap")]
                entry.access.touch_now_and_then((self.now_ms / 1000) as u32);
            }
            if self.locks.holds(key.stripe()) {
                self.seen.set(key, entry);
            }
            return decode(key, Some(&record));
        }
        let value = self.store.engine.get(Family::Keys, key.stored(), &self.view)?;
        let record = decode(key, value.as_ref())?;
        self.fill_cache(key, version, value);
        Ok(record)
    }

    /// What can be known of a key that is about to be overwritten, without reading the disk
    /// where that is safe.
    ///
    /// # Errors
    /// `NotInMemory` when the key may own a large object and only the disk can tell.
    pub fn presence(&mut self, key: &Key) -> Result<Presence> {
        match self.record(key) {
            Ok(Some(record)) => Ok(Presence::Present(record)),
            Ok(None) => Ok(Presence::Absent),
            Err(Error::NotInMemory) => {
                let owns = self.store.engine.get(Family::Objects, key.stored(), &self.view)?;
                if owns.is_some() { Err(Error::NotInMemory) } else { Ok(Presence::Unknown) }
            }
            Err(error) => Err(error),
        }
    }

    /// Sets the record of a key. The old object, if the new record does not keep it, is reclaimed.
    ///
    /// # Errors
    /// `NotInMemory` when what was there before has to be known and is on disk only.
    pub fn put_record(&mut self, key: &Key, record: &Record) -> Result<()> {
        self.write_record(key, Some(record.encode()), record.object())
    }

    /// The same for an inline record whose body is borrowed, without a copy in between.
    ///
    /// # Errors
    /// As [`Tx::put_record`].
    pub fn put_inline(
        &mut self,
        key: &Key,
        kind: Type,
        encoding: Encoding,
        expire_at_ms: Option<u64>,
        body: &[u8],
    ) -> Result<()> {
        self.write_record(key, Some(Record::encode_inline(kind, encoding, expire_at_ms, body)), None)
    }

    /// Deletes a key with all it holds, at the cost of one write whatever its size.
    ///
    /// # Errors
    /// As [`Tx::put_record`].
    pub fn delete_record(&mut self, key: &Key) -> Result<()> {
        self.write_record(key, None, None)
    }

    /// The encoded record that a key gets, and the object it keeps.
    fn write_record(&mut self, key: &Key, after: Option<Bytes>, kept: Option<ObjectId>) -> Result<()> {
        debug_assert!(self.locks.holds(key.stripe()) || self.frozen.is_some(), "a write without its lock");
        let (before, current_object) = self.before(key)?;
        if let Some(object) = current_object.filter(|object| Some(*object) != kept) {
            self.reclaims.push(object);
        }
        self.set_pending(key, before, after);
        Ok(())
    }

    /// A key that this transaction writes was used so before.
    pub fn note_use(&mut self, key: &Key, of_late: Use) {
        self.uses.push((key.to_bytes(), of_late));
    }

    fn set_pending(&mut self, key: &Key, before: Before, after: Option<Bytes>) {
        let outline = outline(after.as_ref());
        let pending = Pending { before, after, outline, cached: self.seen.get(key).cloned(), db: key.db };
        let stored = key.to_bytes();
        let previous = self.records.insert(stored.clone(), pending);
        self.undo.push(Undo::Record(stored, previous));
    }

    /// Gives a record, object and all, to another key. What that key held is reclaimed.
    ///
    /// # Errors
    /// As [`Tx::put_record`].
    pub fn move_record(&mut self, from: &Key, to: &Key, record: &Record) -> Result<()> {
        let (before, _) = self.before(from)?;
        self.write_record(to, Some(record.encode()), record.object())?;
        self.set_pending(from, before, None);
        Ok(())
    }

    /// Puts other keyspaces behind the databases. Only under the exclusive lock.
    fn replace_databases(&mut self, map: Vec<KeyspaceId>) {
        debug_assert!(self.locks.is_exclusive() || self.frozen.is_some(), "databases change under the exclusive lock");
        let map = self.databases.replace(map);
        self.undo.push(Undo::Databases { map, flushed: self.flushed.len() });
    }

    fn database_map(&self) -> Vec<KeyspaceId> {
        self.databases.clone().unwrap_or_else(|| self.store.databases.snapshot())
    }

    /// Empties databases at a cost that does not depend on their sizes.
    pub fn flush(&mut self, databases: &[DatabaseIndex]) {
        let mut map = self.database_map();
        let mut gone = Vec::new();
        for db in databases {
            if let Some(slot) = map.get_mut(*db as usize) {
                gone.push(std::mem::replace(slot, self.store.databases.allot()));
                self.commit.replaced.push(*db);
            }
        }
        self.replace_databases(map);
        self.flushed.extend(gone);
    }

    /// Exchanges two databases. Both exist: the caller has checked.
    pub fn swap(&mut self, one: DatabaseIndex, other: DatabaseIndex) {
        let mut map = self.database_map();
        map.swap(one as usize, other as usize);
        self.replace_databases(map);
        self.commit.replaced.extend([one, other]);
    }

    /// What the engine holds of a key, and the object it owns as this transaction sees it.
    fn before(&mut self, key: &Key) -> Result<(Before, Option<ObjectId>)> {
        if let Some(pending) = self.records.get(key.stored()) {
            let current = decode(key, pending.after.as_ref())?;
            return Ok((pending.before.clone(), current.and_then(|record| record.object())));
        }
        match self.stored_record(key) {
            Ok(None) => Ok((Before::Absent, None)),
            Ok(Some(record)) => {
                let object = record.object();
                Ok((Before::Present { deadlines: Deadlines::of(&record), object }, object))
            }
            Err(Error::NotInMemory) => match self.store.engine.get(Family::Objects, key.stored(), &self.view)? {
                None => {
                    self.store.counters.blind_writes.fetch_add(1, Ordering::Relaxed);
                    Ok((Before::Unknown, None))
                }
                Some(_) => Err(Error::NotInMemory),
            },
            Err(error) => Err(error),
        }
    }

    /// A key was found past its deadline.
    fn lapse(&mut self, key: &Key, record: &Record) -> Result<()> {
        if self.locks.holds(key.stripe()) && self.view.snapshot.is_none() {
            debug_assert!(record.expire_at_ms.is_some());
            self.delete_record(key)?;
            self.lapses += 1;
            self.touch(key);
            self.notify(Class::EXPIRED, "expired", key);
            if self.wants_effects() {
                self.push_deed(key.db, Deed::Lapsed(Bytes::copy_from_slice(key.user_key())));
            }
            self.store.counters.expired_keys.fetch_add(1, Ordering::Relaxed);
        } else {
            self.note_lapsed(key.db, [Bytes::copy_from_slice(key.user_key())]);
        }
        Ok(())
    }

    /// Reads found keys past their deadline.
    pub(super) fn note_lapsed(&mut self, db: DatabaseIndex, keys: impl IntoIterator<Item = Bytes>) {
        let room = MAX_NOTED_LAPSES.saturating_sub(self.lapsed.len());
        self.lapsed.extend(keys.into_iter().take(room).map(|key| (db, key)));
    }

    /// Keys that reads found past their deadline, for whoever deletes them afterwards.
    pub fn take_lapsed(&mut self) -> Vec<(DatabaseIndex, Bytes)> {
        std::mem::take(&mut self.lapsed)
    }

    /// Whether this transaction writes the key.
    pub(super) fn has_pending(&self, key: &Key) -> bool {
        self.records.contains_key(key.stored())
    }

    /// Whether reads found keys past their deadline.
    pub fn has_lapsed(&self) -> bool {
        !self.lapsed.is_empty()
    }

    // ---- facts about the database itself -----------------------------------------

    /// Changes a fact: its entries in family `system` (`None` deletes one), and what it is to those
    /// who keep it, who hear of it with the commit. Under the exclusive lock.
    pub fn put_fact(
        &mut self,
        name: &'static str,
        entries: impl IntoIterator<Item = (Bytes, Option<Bytes>)>,
        value: Arc<dyn Any + Send + Sync>,
    ) {
        debug_assert!(self.locks.is_exclusive(), "facts change under the exclusive lock");
        let family = Family::System;
        self.fact_changes.extend(entries.into_iter().map(|(key, value)| match value {
            Some(value) => Change::Put { family, key, value },
            None => Change::Delete { family, key },
        }));
        self.commit.facts.push(Fact { name, value });
    }

    /// A fact as this transaction has changed it.
    pub fn fact<T: Any + Send + Sync>(&self, name: &str) -> Option<Arc<T>> {
        let changed = self.commit.facts.iter().rev().find(|fact| fact.name == name)?;
        changed.value.clone().downcast().ok()
    }

    // ---- what happened ---------------------------------------------------------

    /// The value of a key changed.
    pub fn touch(&mut self, key: &Key) {
        self.touch_as(key, false);
    }

    /// Something beside the value changed that who waits for the key must look at.
    pub(super) fn touch_quietly(&mut self, key: &Key) {
        self.touch_as(key, true);
    }

    fn touch_as(&mut self, key: &Key, quiet: bool) {
        if self.wants_touched {
            let name = Bytes::copy_from_slice(key.user_key());
            self.commit.touched.push(Touched { db: key.db, key: name, quiet });
        }
    }

    /// The client of this transaction has read a key, whose lock is held, and wants to be told of what
    /// happens to it from here on.
    pub fn look(&mut self, user_key: &[u8]) {
        let look = Look { key: Bytes::copy_from_slice(user_key), after: self.commit.touched.len() };
        self.commit.looks.push(look);
    }

    /// The keys that this transaction touched so far, if anybody wants to know.
    pub fn touched(&self) -> &[Touched] {
        &self.commit.touched
    }

    /// Whether a whole database was flushed or swapped.
    pub fn replaces_databases(&self) -> bool {
        !self.commit.replaced.is_empty()
    }

    /// Whether anybody wants to know of events of these classes.
    pub fn wants(&self, classes: Class) -> bool {
        self.wanted_events.intersects(classes)
    }

    /// Something with a name happened to a key.
    pub fn notify(&mut self, class: Class, name: &'static str, key: &Key) {
        if self.wanted_events.intersects(class) {
            let event = Event { class, name, db: key.db, key: Bytes::copy_from_slice(key.user_key()) };
            self.commit.told.push(Told::Event(event));
        }
    }

    /// Publishes a message when the commit is true.
    pub fn publish_message(&mut self, message: Message) {
        self.commit.told.push(Told::Message(message));
    }

    // ---- effects, for who keeps a copy ----------------------------------------------

    /// Whether somebody keeps a copy of the data. To be asked under the locks of what was written.
    pub fn wants_effects(&self) -> bool {
        self.store.wants_effects()
    }

    /// The command that runs is told to copies as these words instead of its own.
    pub fn tell_effect(&mut self, db: DatabaseIndex, words: Vec<Bytes>) {
        self.told_effects = true;
        self.push_effect(db, words);
    }

    /// The command that runs is not told to copies at all, whatever it writes.
    pub fn tell_no_effect(&mut self) {
        self.told_effects = true;
    }

    /// An effect beside that of the command that runs.
    pub fn push_effect(&mut self, db: DatabaseIndex, words: Vec<Bytes>) {
        self.push_deed(db, Deed::Command(words));
    }

    fn push_deed(&mut self, db: DatabaseIndex, deed: Deed) {
        self.commit.told.push(Told::Effect(Effect { db, deed, opens: false, closes: false }));
    }

    /// Elements of a value were deleted because their time had come.
    pub fn note_lapsed_elements(&mut self, key: &Key, elements: Vec<Bytes>) {
        if self.wants_effects() {
            self.push_deed(key.db, Deed::LapsedElements(Bytes::copy_from_slice(key.user_key()), elements));
        }
    }

    /// A command begins: nothing is said of its effects yet.
    pub fn begin_effects(&mut self) {
        self.told_effects = false;
    }

    /// Whether the command that began at the savepoint changed something and has not said itself what
    /// copies are to do.
    pub fn owes_effect(&self, since: Savepoint) -> bool {
        let written = self.undo.len().saturating_sub(since.undo) > self.lapses.saturating_sub(since.lapses)
            || self.cleared.len() > since.cleared
            || self.commit.facts.len() > since.facts;
        written && !self.told_effects
    }

    /// What was told since the savepoint belongs together.
    pub fn join_effects(&mut self, since: Savepoint) {
        let told = self.commit.told.get_mut(since.told..).unwrap_or_default();
        let mut effects = told.iter_mut().filter_map(|told| match told {
            Told::Effect(effect) => Some(effect),
            _ => None,
        });
        if let (Some(first), Some(last)) = (effects.next(), effects.last()) {
            first.opens = true;
            last.closes = true;
        }
    }

    /// Takes back the commands told since the savepoint; what lapsed has lapsed all the same.
    pub fn forget_effects(&mut self, since: Savepoint) {
        let mut at = 0;
        self.commit.told.retain(|told| {
            at += 1;
            at <= since.told || !matches!(told, Told::Effect(Effect { deed: Deed::Command(_), .. }))
        });
    }

    // ---- running again -----------------------------------------------------------

    /// Where the transaction stands now.
    pub fn savepoint(&self) -> Savepoint {
        Savepoint {
            undo: self.undo.len(),
            told: self.commit.told.len(),
            touched: self.commit.touched.len(),
            looks: self.commit.looks.len(),
            cleared: self.cleared.len(),
            reclaims: self.reclaims.len(),
            replaced: self.commit.replaced.len(),
            facts: self.commit.facts.len(),
            fact_changes: self.fact_changes.len(),
            lapses: self.lapses,
        }
    }

    /// Forgets everything written since the savepoint.
    pub fn rollback(&mut self, to: Savepoint) {
        while self.undo.len() > to.undo {
            match self.undo.pop() {
                Some(Undo::Record(key, Some(previous))) => {
                    self.records.insert(key, previous);
                }
                Some(Undo::Record(key, None)) => {
                    self.records.remove(&key);
                }
                Some(Undo::Part(family, key, Some(previous))) => {
                    self.overlay_mut(family).insert(key, previous);
                }
                Some(Undo::Part(family, key, None)) => {
                    self.overlay_mut(family).remove(&key);
                }
                Some(Undo::Databases { map, flushed }) => {
                    self.databases = map;
                    self.flushed.truncate(flushed);
                }
                None => break,
            }
        }
        self.lapses = to.lapses;
        self.commit.told.truncate(to.told);
        self.commit.touched.truncate(to.touched);
        self.commit.looks.truncate(to.looks);
        self.commit.replaced.truncate(to.replaced);
        self.commit.facts.truncate(to.facts);
        self.fact_changes.truncate(to.fact_changes);
        self.cleared.truncate(to.cleared);
        self.reclaims.truncate(to.reclaims);
    }

    /// Whether there is nothing to commit.
    pub fn is_clean(&self) -> bool {
        self.records.is_empty()
            && self.data.is_empty()
            && self.scores.is_empty()
            && self.cleared.is_empty()
            && self.reclaims.is_empty()
            && self.extra.is_empty()
            && self.fact_changes.is_empty()
            && self.databases.is_none()
            && self.commit.is_empty()
    }

    /// Whether it has changed something or has something to tell.
    pub fn has_written(&self) -> bool {
        !self.undo.is_empty() || !self.commit.is_empty() || !self.fact_changes.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.data.clear();
        self.scores.clear();
        self.cleared.clear();
        self.reclaims.clear();
        self.extra.clear();
        self.fact_changes.clear();
        self.commit.facts.clear();
        self.flushed.clear();
        self.databases = None;
        self.commit.touched.clear();
        self.commit.looks.clear();
        self.commit.told.clear();
        self.commit.replaced.clear();
        self.uses.clear();
        self.lapses = 0;
        self.undo.clear();
        self.seen.entry = None;
    }

    /// Forgets everything, locks included.
    pub fn abandon(&mut self) {
        self.clear();
        self.locks.release();
    }

    // ---- validation of lock-free readers ---------------------------------------------

    /// Notes the version that reads of a stripe start from.
    fn observe(&mut self, stripe: Stripe) -> u32 {
        if let Some((_, version)) = self.observed.iter().find(|(seen, _)| *seen == stripe) {
            return *version;
        }
        let version = self.store.locks.version(stripe);
        self.observed.push((stripe, version));
        version
    }

    /// The stripes of the records that this command has read so far, and their versions.
    pub(super) fn observed(&self) -> &[(Stripe, u32)] {
        &self.observed
    }

    /// Holds from here on the locks of all that this command has read, and of `more`: what a writer
    /// needs that began as a reader. False, with nothing taken, if one is not free; or if something
    /// read has changed since, so that the command has to be run again.
    pub fn lock_what_was_read(&mut self, mut more: Stripes) -> bool {
        more.extend(self.observed.iter().map(|(stripe, _)| *stripe));
        let locks = &self.store.locks;
        self.locks.try_extend(&Wanted::Some(sorted(more)))
            && self.observed.iter().all(|(stripe, version)| locks.version(*stripe) == *version)
    }

    /// Whether what this command read without locks belongs together. One read always does.
    pub fn reads_are_consistent(&self) -> bool {
        if self.reads <= 1 || self.view.snapshot.is_some() {
            return true;
        }
        let settled = |stripe: Stripe, version: u32| {
            self.locks.holds(stripe) || (version.is_multiple_of(2) && self.store.locks.version(stripe) == version)
        };
        self.observed.iter().all(|(stripe, version)| settled(*stripe, *version))
    }
}

/// What a walk over everything reads ahead.
const WALK_READAHEAD_BYTES: usize = 2 << 20;

/// Lapsed keys that one command may note; the expiry walker finds the others anyway.
const MAX_NOTED_LAPSES: usize = 1024;

fn decode(key: &Key, value: Option<&Bytes>) -> Result<Option<Record>> {
    let Some(value) = value else { return Ok(None) };
    match Record::decode(value) {
        Ok(record) => Ok(Some(record)),
        Err(error) => {
            Err(Error::Corruption { family: Family::Keys.name(), key: key.stored().to_vec(), what: error.to_string() })
        }
    }
}
