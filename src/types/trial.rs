//! A store on an engine in memory, for trying types: runs what a command would do as the
//! dispatcher does, first with what is in memory, then again down to the disk.

use std::sync::Arc;

use crate::base::{Error, Result};
use crate::keyspace::{Key, Locks, Store, StoreOptions, Tx, Wanted};
use crate::storage::memory::MemoryEngine;
use crate::storage::{Family, Tier};

/// A store, its engine, and whether everything is put on disk before each run.
pub struct Trial {
    pub engine: Arc<MemoryEngine>,
    pub store: Arc<Store>,
    /// Before every run the caches are emptied and the engine counts as being on disk.
    pub cold: bool,
    pub now_ms: u64,
}

impl Default for Trial {
    fn default() -> Self {
        Self::new()
    }
}

impl Trial {
    /// An empty store with one database.
    pub fn new() -> Self {
        let engine = Arc::new(MemoryEngine::new());
        let options = StoreOptions { databases: 1, record_cache_bytes: 1 << 20 };
        let store = Store::open(engine.clone(), &options).expect("an empty engine opens");
        Self { engine, store, cold: false, now_ms: 1_000 }
    }

    /// Runs one command on keys whose locks it holds, and commits it unless it fails.
    pub fn run<R>(&self, mut command: impl FnMut(&mut Tx) -> Result<R>) -> Result<R> {
        if self.cold {
            self.engine.evict();
            self.store.cache().clear();
        }
        let mut tx = Tx::new(self.store.clone());
        tx.locks().adopt(Locks::acquire_waiting(self.store.locks(), Wanted::All));
        let mut result = Err(Error::NotInMemory);
        for tier in [Tier::Memory, Tier::Disk] {
            tx.start(tier, self.now_ms);
            let savepoint = tx.savepoint();
            result = command(&mut tx);
            match &result {
                Ok(_) => break,
                Err(_) => tx.rollback(savepoint),
            }
            if !matches!(result, Err(Error::NotInMemory)) {
                break;
            }
        }
        tx.commit(true, 0)?;
        result
    }

    /// The same for a single key.
    pub fn on<R>(&self, key: &str, mut command: impl FnMut(&mut Tx, &Key) -> Result<R>) -> Result<R> {
        self.run(|tx| {
            let key = tx.key(0, key.as_bytes());
            command(tx, &key)
        })
    }

    /// How many parts large objects have.
    pub fn parts(&self) -> usize {
        self.engine.entries(Family::Data)
    }
}
