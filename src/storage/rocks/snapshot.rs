//! Frozen states of the database. A snapshot carries its own prepared read options, made
//! when first needed, so that reading many keys of one state costs no more per key than
//! reading the newest.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::ffi::{self, Database, ReadOptions};
use crate::base::{Error, Result};
use crate::storage::{self, Tier, View};

/// Prepared read options for point reads, by what a [`View`] asks for.
#[derive(Default)]
pub(super) struct PointReads {
    memory: OnceLock<ReadOptions>,
    disk: OnceLock<ReadOptions>,
    disk_without_filling: OnceLock<ReadOptions>,
}

impl PointReads {
    /// The options for a view; `snapshot` is the same at every call on one value.
    pub(super) fn of(&self, view: &View, snapshot: Option<&ffi::Snapshot>) -> &ReadOptions {
        match (view.tier, view.fill_cache) {
            (Tier::Memory, _) => self.memory.get_or_init(|| base(view, snapshot)),
            (Tier::Disk, true) => self.disk.get_or_init(|| base(view, snapshot)),
            (Tier::Disk, false) => self.disk_without_filling.get_or_init(|| base(view, snapshot)),
        }
    }
}

/// What point reads and cursors have in common.
pub(super) fn base(view: &View, snapshot: Option<&ffi::Snapshot>) -> ReadOptions {
    let mut options = ReadOptions::new();
    match view.tier {
        Tier::Memory => options = options.memory_only(),
        Tier::Disk if !view.fill_cache => options = options.fill_cache(false),
        Tier::Disk => {}
    }
    match snapshot {
        Some(snapshot) => options.snapshot(snapshot),
        None => options,
    }
}

/// A frozen state of a [`RocksEngine`](super::RocksEngine).
pub(super) struct Snapshot {
    // Before `raw`: the options point to the snapshot.
    reads: PointReads,
    raw: ffi::Snapshot,
}

impl Snapshot {
    pub(super) fn new(database: &Arc<Database>) -> Self {
        Self { reads: PointReads::default(), raw: ffi::Snapshot::new(database) }
    }

    /// The engine's own type behind a view's snapshot.
    pub(super) fn of<'a>(view: &'a View, database: &Arc<Database>) -> Result<Option<&'a Self>> {
        let Some(snapshot) = &view.snapshot else {
            return Ok(None);
        };
        let own = snapshot.as_any().downcast_ref::<Self>().filter(|own| own.raw.is_of(database));
        own.map(Some).ok_or_else(|| Error::Storage("a snapshot of another store was used for a read".into()))
    }

    pub(super) fn reads(&self, view: &View) -> &ReadOptions {
        self.reads.of(view, Some(&self.raw))
    }

    pub(super) fn raw(&self) -> &ffi::Snapshot {
        &self.raw
    }
}

impl storage::Snapshot for Snapshot {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn sequence(&self) -> u64 {
        self.raw.sequence()
    }
}
