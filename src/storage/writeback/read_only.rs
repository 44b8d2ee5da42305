//! A database that is only looked at: what the log holds lies over what RocksDB holds.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::overlay::Overlay;
use super::recovery::{self, Reading};
use crate::base::{Error, Result};
use crate::storage::budget::EngineBudget;
use crate::storage::rocks::{OpenOptions, RocksEngine};
use crate::storage::{
    self, Change, CommitOptions, Compaction, Engine, EngineFigures, Family, KeyRange, Snapshot, View,
};

/// Nothing changes in it, so each view of it is of the same state.
pub(super) struct ReadOnly {
    rocks: Arc<RocksEngine>,
    overlay: Overlay,
    position: u64,
}

impl ReadOnly {
    pub(super) fn open(rocks: Arc<RocksEngine>, directory: &Path, options: &OpenOptions) -> Result<Self> {
        let how =
            Reading { recovery: options.recovery, repair: false, first_needed: super::first_file(rocks.as_ref())? };
        let mut overlay = Overlay::default();
        let replayed = recovery::replay(directory, how, |changes| {
            overlay.apply(changes);
            Ok(())
        })?;
        Ok(Self { rocks, overlay, position: replayed.position })
    }
}

impl Engine for ReadOnly {
    fn get(&self, family: Family, key: &[u8], view: &View) -> Result<Option<Bytes>> {
        match self.overlay.get(family, key) {
            Some(value) => Ok(value),
            None => self.rocks.get(family, key, view),
        }
    }

    fn multi_get(&self, family: Family, keys: &[&[u8]], view: &View) -> Result<Vec<Option<Bytes>>> {
        super::engine::multi_get(&self.rocks, |key| self.overlay.get(family, key), family, keys, view)
    }

    fn cursor(&self, family: Family, range: KeyRange, view: &View) -> Result<Box<dyn storage::Cursor>> {
        let below = self.rocks.cursor(family, range.clone(), view)?;
        Ok(self.overlay.over(below, family, range))
    }

    fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.rocks.snapshot()
    }

    fn commit(&self, changes: Vec<Change>, _options: CommitOptions) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        Err(Error::Storage("the database is open for reading only".into()))
    }

    fn latest_sequence(&self) -> u64 {
        self.position
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        self.rocks.verify()
    }

    fn compact(&self, family: Family, range: &KeyRange, how: Compaction) -> Result<()> {
        self.rocks.compact(family, range, how)
    }

    fn approximate_bytes(&self, family: Family, range: &KeyRange) -> Result<u64> {
        self.rocks.approximate_bytes(family, range)
    }

    fn checkpoint(&self, folder: &Path) -> Result<()> {
        Err(Error::Storage(format!("{}: no checkpoint of a database that is open for reading only", folder.display())))
    }

    fn set_budget(&self, budget: &EngineBudget) -> Result<()> {
        self.rocks.set_budget(budget)
    }

    fn figures(&self) -> EngineFigures {
        self.rocks.figures()
    }

    fn report(&self, property: &str) -> Option<String> {
        self.rocks.report(property)
    }

    fn close(&self) -> Result<()> {
        Ok(())
    }
}
