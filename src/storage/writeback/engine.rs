//! [`WriteBack`]: the [`Engine`] trait over log, dirty table and RocksDB.
//!
//! Three locks order what happens. `gate` is held shared by each commit from its frame to its last
//! entry in the table, and exclusively by who takes the table over between two commits. `drain`
//! is held by who gives entries to RocksDB: one at a time, so that an older value never comes
//! behind a newer one. It is taken before the gate. The log has a lock of its own, the innermost.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::dirty::{Dirty, Value};
use super::keeper::{Bell, Keeper};
use super::log::Log;
use super::overlay::{self, Layer, Overlay};
use super::recovery::{self, Reading};
use super::segment;
use crate::base::{Error, Result};
use crate::storage::budget::EngineBudget;
use crate::storage::rocks::{OpenOptions, RocksEngine};
use crate::storage::{
    self, Change, CommitOptions, Compaction, Durability, Engine, EngineFigures, Family, KeyRange, Snapshot, Tier, View,
};

const MB: u64 = 1 << 20;

/// As many entries may be given to RocksDB on a network thread, for a cursor that is wanted there.
const HASTY_ENTRIES: usize = 128;

/// So many entries of a family are given to RocksDB without delay: who wants to walk it should not have to
/// wait for more.
const MANY_ENTRIES: usize = 128 << 10;

/// A batch for RocksDB.
const BATCH_ENTRIES: usize = 4096;

/// The engine of a server.
pub(super) struct WriteBack {
    pub(super) shared: Arc<Shared>,
    keeper: Keeper,
}

/// What the engine and its threads work on.
pub(super) struct Shared {
    rocks: Arc<RocksEngine>,
    pub(super) log: Log,
    pub(super) dirty: Dirty,
    gate: RwLock<()>,
    drain: Mutex<()>,
    /// Bytes that the table may have before commits wait.
    limit_bytes: AtomicU64,
    /// Bytes of the log's newest file at which it is closed and RocksDB flushed.
    file_bytes: AtomicU64,
    pub(super) bell: Bell,
    #[cfg(test)]
    pub(super) dawdles: AtomicBool,
}

/// The table's part of the memory for writes. RocksDB's memtables keep to theirs by being
/// flushed; the table is on top while it is drained.
fn limit_bytes(budget: &EngineBudget) -> u64 {
    (budget.write_buffer_bytes / 4).clamp(MB, 256 * MB)
}

/// How much of the log is read at the most when a crash is recovered from, about.
fn file_bytes(budget: &EngineBudget) -> u64 {
    budget.write_buffer_bytes.clamp(32 * MB, 256 * MB)
}

impl WriteBack {
    pub(super) fn open(rocks: Arc<RocksEngine>, directory: &Path, options: &OpenOptions) -> Result<Self> {
        let how =
            Reading { recovery: options.recovery, repair: true, first_needed: super::first_file(rocks.as_ref())? };
        let dirty = Dirty::new();
        let limit = limit_bytes(&options.budget);
        let replayed = recovery::replay(directory, how, |changes| {
            if changes.iter().any(|change| matches!(change, Change::DeleteRange { .. })) {
                drain_all(&rocks, &dirty)?;
                clear_ranges(&rocks, &changes)?;
            }
            dirty.insert(changes);
            if dirty.bytes() as u64 > limit {
                drain_all(&rocks, &dirty)?;
            }
            Ok(())
        })?;
        if replayed.commits > 0 {
            tracing::info!(commits = replayed.commits, "read from the write-ahead log");
        }
        let log = Log::start(directory, &replayed.files, replayed.position)?;
        let shared = Arc::new(Shared {
            rocks,
            log,
            dirty,
            gate: RwLock::default(),
            drain: Mutex::default(),
            limit_bytes: AtomicU64::new(limit),
            file_bytes: AtomicU64::new(file_bytes(&options.budget)),
            bell: Bell::default(),
            #[cfg(test)]
            dawdles: AtomicBool::default(),
        });
        let keeper = Keeper::start(&shared)?;
        Ok(Self { shared, keeper })
    }
}

/// Gives what is draining to RocksDB, family by family.
fn drain_all(rocks: &RocksEngine, dirty: &Dirty) -> Result<()> {
    for family in Family::ALL {
        dirty.begin_drain(family);
        give(rocks, dirty, family)?;
    }
    Ok(())
}

/// Gives the draining entries of a family to RocksDB.
fn give(rocks: &RocksEngine, dirty: &Dirty, family: Family) -> Result<()> {
    if dirty.entries(family) == 0 {
        return Ok(());
    }
    let draining = dirty.draining(family);
    for batch in draining.sorted().chunks(BATCH_ENTRIES) {
        rocks.apply_points(family, batch)?;
    }
    dirty.end_drain(family);
    Ok(())
}

/// Gives the range deletions among the changes to RocksDB, which holds all that is in the ranges.
fn clear_ranges(rocks: &RocksEngine, changes: &[Change]) -> Result<()> {
    let ranges = changes.iter().filter(|change| matches!(change, Change::DeleteRange { .. })).cloned();
    rocks.apply(&ranges.collect::<Vec<_>>())
}

impl Shared {
    /// Whether commits have to wait.
    pub(super) fn is_full(&self) -> bool {
        self.dirty.bytes() as u64 > self.limit_bytes.load(Ordering::Relaxed)
    }

    /// Whether it is time for the drainer.
    pub(super) fn is_filling(&self) -> bool {
        self.dirty.bytes() as u64 > self.limit_bytes.load(Ordering::Relaxed) / 2
            || self.dirty.most_entries() > MANY_ENTRIES
    }

    /// Whether the newest file of the log has grown enough.
    pub(super) fn has_long_file(&self) -> bool {
        self.log.newest_bytes() > self.file_bytes.load(Ordering::Relaxed)
    }

    /// Gives all families' entries to RocksDB.
    pub(super) fn drain(&self) -> Result<()> {
        let _alone = self.drain.lock();
        drain_all(&self.rocks, &self.dirty)
    }

    /// Takes the table over as of one moment and gives it to RocksDB, which then holds exactly what was
    /// committed up to there, for as long as the guard is held.
    fn settle(&self) -> Result<MutexGuard<'_, ()>> {
        let alone = self.drain.lock();
        self.settle_alone()?;
        Ok(alone)
    }

    /// The same for whoever holds the drain.
    fn settle_alone(&self) -> Result<()> {
        // What a drain that failed has left would keep newer entries of the same shards back.
        for family in Family::ALL {
            give(&self.rocks, &self.dirty, family)?;
        }
        {
            let _between_commits = self.gate.write();
            Family::ALL.iter().for_each(|family| self.dirty.begin_drain(*family));
        }
        for family in Family::ALL {
            give(&self.rocks, &self.dirty, family)?;
        }
        Ok(())
    }

    /// What RocksDB has not got of a family. Only for whoever holds the drain.
    fn layer(&self, family: Family) -> Layer {
        let draining = self.dirty.draining(family);
        let older = draining.sorted().into_iter().map(|(key, value)| (key.clone(), value.clone()));
        Layer::of(older.chain(self.dirty.fresh(family)))
    }

    /// Closes the log's file and makes RocksDB keep all of it on its own; then the file goes.
    pub(super) fn retire(&self, number: u64) -> Result<()> {
        {
            // A checkpoint under way must not get the note of a later file than it is made for.
            let _settled = self.settle()?;
            #[cfg(test)]
            self.dawdle(2);
            let note = Change::Put {
                family: Family::System,
                key: super::FIRST_FILE.into(),
                value: Bytes::copy_from_slice(&number.to_be_bytes()),
            };
            self.rocks.apply(&[note])?;
        }
        self.rocks.flush()?;
        self.log.retire(number)
    }

    /// What has to be done before RocksDB can walk a family. `None` if it cannot be given the
    /// family's entries: they have to be walked over it.
    fn ready_to_walk(&self, family: Family, tier: Tier) -> Result<Option<Layer>> {
        let entries = self.dirty.entries(family);
        if entries == 0 {
            return Ok(None);
        }
        let alone = match tier {
            Tier::Memory if entries > HASTY_ENTRIES => return Err(Error::NotInMemory),
            Tier::Memory => self.drain.try_lock().ok_or(Error::NotInMemory)?,
            Tier::Disk => self.drain.lock(),
        };
        let given = give(&self.rocks, &self.dirty, family).and_then(|()| {
            self.dirty.begin_drain(family);
            give(&self.rocks, &self.dirty, family)
        });
        match given {
            Ok(()) => Ok(None),
            Err(error) => {
                tracing::debug!(%error, "a family is walked with its dirty entries over it");
                let layer = self.layer(family);
                drop(alone);
                Ok(Some(layer))
            }
        }
    }

    /// Waits until there is room for a commit.
    fn make_room(&self, may_wait: bool) -> Result<()> {
        if !self.is_full() {
            return Ok(());
        }
        self.bell.ring();
        if !may_wait {
            return Err(Error::WouldStall);
        }
        self.bell.wait_for_room(|| !self.is_full())
    }
}

#[cfg(test)]
impl Shared {
    /// Lingers, if a test wants it, where a checkpoint and the end of a file of the log must not meet: a moment too
    /// short to be hit otherwise. Who reads the note takes longer than who makes it, so that it is made in between
    /// where nothing keeps them apart.
    fn dawdle(&self, time_ms: u64) {
        if self.dawdles.load(Ordering::Relaxed) {
            std::thread::sleep(std::time::Duration::from_millis(time_ms));
        }
    }
}

/// A frozen state of which RocksDB does not have all.
struct Covered {
    below: Arc<dyn Snapshot>,
    overlay: Overlay,
}

impl Covered {
    fn of(view: &View) -> Option<&Self> {
        view.snapshot.as_ref()?.as_any().downcast_ref()
    }

    /// The view of what RocksDB has.
    fn below(&self, view: &View) -> View {
        View { snapshot: Some(self.below.clone()), ..view.clone() }
    }
}

impl Snapshot for Covered {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn sequence(&self) -> u64 {
        self.below.sequence()
    }
}

impl Engine for WriteBack {
    fn get(&self, family: Family, key: &[u8], view: &View) -> Result<Option<Bytes>> {
        let rocks = &self.shared.rocks;
        match (&view.snapshot, Covered::of(view)) {
            (None, _) => match self.shared.dirty.get(family, key) {
                Some(value) => Ok(value),
                None => rocks.get(family, key, view),
            },
            (Some(_), None) => rocks.get(family, key, view),
            (Some(_), Some(covered)) => match covered.overlay.get(family, key) {
                Some(value) => Ok(value),
                None => rocks.get(family, key, &covered.below(view)),
            },
        }
    }

    fn multi_get(&self, family: Family, keys: &[&[u8]], view: &View) -> Result<Vec<Option<Bytes>>> {
        let Shared { rocks, dirty, .. } = &*self.shared;
        if let Some(covered) = Covered::of(view) {
            return multi_get(rocks, |key| covered.overlay.get(family, key), family, keys, &covered.below(view));
        }
        if view.snapshot.is_some() || dirty.entries(family) == 0 {
            return rocks.multi_get(family, keys, view);
        }
        multi_get(rocks, |key| dirty.get(family, key), family, keys, view)
    }

    fn get_run(&self, family: Family, keys: &[&[u8]], view: &View) -> Result<Vec<Option<Bytes>>> {
        let Shared { rocks, dirty, .. } = &*self.shared;
        if view.snapshot.is_some() {
            return self.multi_get(family, keys, view);
        }
        over(|key| dirty.get(family, key), keys, |missing| rocks.get_run(family, missing, view))
    }

    fn cursor(&self, family: Family, range: KeyRange, view: &View) -> Result<Box<dyn storage::Cursor>> {
        if let Some(covered) = Covered::of(view) {
            let below = self.shared.rocks.cursor(family, range.clone(), &covered.below(view))?;
            return Ok(covered.overlay.over(below, family, range));
        }
        if view.snapshot.is_none()
            && let Some(layer) = self.shared.ready_to_walk(family, view.tier)?
        {
            let below = self.shared.rocks.cursor(family, range.clone(), view)?;
            return Ok(Box::new(overlay::Cursor::new(below, Arc::new(layer), range)));
        }
        self.shared.rocks.cursor(family, range, view)
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        let shared = &*self.shared;
        let _nothing_newer = shared.drain.lock();
        if let Err(error) = shared.settle_alone() {
            tracing::debug!(%error, "a snapshot with dirty entries over it");
            let _between_commits = shared.gate.write();
            let overlay = Overlay::of(Family::ALL.map(|family| shared.layer(family)));
            return Arc::new(Covered { below: shared.rocks.snapshot(), overlay });
        }
        shared.rocks.snapshot()
    }

    fn commit(&self, changes: Vec<Change>, options: CommitOptions) -> Result<()> {
        if changes.is_empty() {
            return self.shared.log.check();
        }
        let shared = &*self.shared;
        shared.make_room(options.may_wait)?;
        let clears = changes.iter().any(|change| matches!(change, Change::DeleteRange { .. }));
        let alone = match clears {
            false => None,
            true if options.may_wait => Some(shared.drain.lock()),
            true => Some(shared.drain.try_lock().ok_or(Error::WouldStall)?),
        };
        if clears {
            if !options.may_wait && Family::ALL.iter().any(|family| shared.dirty.entries(*family) > HASTY_ENTRIES) {
                return Err(Error::WouldStall);
            }
            // Nobody else writes in the ranges: the keys' locks are held.
            drain_all(&shared.rocks, &shared.dirty)?;
        }
        Log::with_frame(changes, |frame, changes| {
            let _commit = shared.gate.read();
            shared.log.append(frame)?;
            if clears {
                clear_ranges(&shared.rocks, &changes)?;
            }
            shared.dirty.insert(changes);
            Ok(())
        })?;
        drop(alone);
        if shared.is_filling() || shared.has_long_file() {
            shared.bell.ring();
        }
        match options.durability {
            Durability::Kernel => Ok(()),
            Durability::Synced => self.sync(),
        }
    }

    fn latest_sequence(&self) -> u64 {
        self.shared.log.written()
    }

    fn sync(&self) -> Result<()> {
        self.shared.log.sync()
    }

    fn flush(&self) -> Result<()> {
        drop(self.shared.settle()?);
        self.shared.rocks.flush()
    }

    fn verify(&self) -> Result<()> {
        self.shared.rocks.verify()
    }

    fn compact(&self, family: Family, range: &KeyRange, how: Compaction) -> Result<()> {
        self.shared.rocks.compact(family, range, how)
    }

    fn approximate_bytes(&self, family: Family, range: &KeyRange) -> Result<u64> {
        self.shared.rocks.approximate_bytes(family, range)
    }

    /// The copy has no log of its own but an empty one.
    fn checkpoint(&self, folder: &Path) -> Result<()> {
        let first = {
            let _nothing_newer = self.shared.settle()?;
            let first = super::first_file(self.shared.rocks.as_ref())?;
            #[cfg(test)]
            self.shared.dawdle(10);
            self.shared.rocks.flush()?;
            self.shared.rocks.checkpoint(folder)?;
            first.unwrap_or(1)
        };
        segment::create(folder, first, 0).map(drop)
    }

    fn set_budget(&self, budget: &EngineBudget) -> Result<()> {
        self.shared.limit_bytes.store(limit_bytes(budget), Ordering::Relaxed);
        self.shared.file_bytes.store(file_bytes(budget), Ordering::Relaxed);
        self.shared.rocks.set_budget(budget)
    }

    fn figures(&self) -> EngineFigures {
        let mut figures = self.shared.rocks.figures();
        let dirty = &self.shared.dirty;
        figures.dirty_bytes = dirty.bytes() as u64;
        figures.memtable_bytes += figures.dirty_bytes;
        figures.wal_bytes = self.shared.log.bytes();
        for family in Family::ALL {
            figures.estimated_keys[family as usize] += dirty.entries(family) as u64;
        }
        figures
    }

    fn report(&self, property: &str) -> Option<String> {
        self.shared.rocks.report(property)
    }

    /// Leaves a database whose log is empty, if it can; the log has everything anyway.
    fn close(&self) -> Result<()> {
        self.keeper.stop();
        let synced = self.shared.log.sync();
        if synced.is_ok()
            && let Err(error) = self.shared.log.rotate().and_then(|number| self.shared.retire(number))
        {
            tracing::warn!(%error, "the write-ahead log could not be emptied; the next start will read it");
        }
        self.shared.log.refuse("the store is closed".into());
        self.shared.rocks.close().and(synced)
    }
}

/// Several values: what lies above, or else what RocksDB holds.
pub(super) fn multi_get(
    rocks: &RocksEngine,
    above: impl Fn(&[u8]) -> Option<Value>,
    family: Family,
    keys: &[&[u8]],
    view: &View,
) -> Result<Vec<Option<Bytes>>> {
    over(above, keys, |missing| rocks.multi_get(family, missing, view))
}

/// Several values: what lies above, or else what is read below.
fn over(
    above: impl Fn(&[u8]) -> Option<Value>,
    keys: &[&[u8]],
    below: impl FnOnce(&[&[u8]]) -> Result<Vec<Option<Bytes>>>,
) -> Result<Vec<Option<Bytes>>> {
    let mut found: Vec<Option<Value>> = keys.iter().map(|key| above(key)).collect();
    let missing: Vec<&[u8]> =
        keys.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(key, _)| *key).collect();
    let mut below = match missing.is_empty() {
        true => Vec::new(),
        false => below(&missing)?,
    }
    .into_iter();
    Ok(found.iter_mut().map(|found| found.take().unwrap_or_else(|| below.next().flatten())).collect())
}
