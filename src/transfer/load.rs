//! Pieces to a store, in large batches. A key appears at once and complete: what does not fit
//! one batch is put together in a keyspace that no database shows, and then moved, so that an
//! interrupted load leaves whole keys or nothing, and can be repeated.

use std::sync::Arc;

use super::filter::Filter;
use super::import::{Builder, Limits};
use crate::base::{Error, Result, clock};
use crate::encoding::key::KeyspaceId;
use crate::encoding::piece::{Head, Piece};
use crate::keyspace::{DatabaseIndex, Key, Locks, Store, Tx, Wanted};
use crate::storage::Tier;

/// Keys and bytes of a commit.
const BATCH_KEYS: u64 = 2_000;
const BATCH_BYTES: u64 = 4 << 20;

/// What happens when a key is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflict {
    /// Nothing more is loaded.
    #[default]
    Refuse,
    /// The key stays as it is.
    Skip,
    /// The loaded value takes its place.
    Replace,
}

/// What became of what was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Keys that are there now.
    pub keys: u64,
    /// Of those, the ones that took another value's place.
    pub replaced: u64,
    /// Keys that were there and stayed.
    pub skipped: u64,
    /// Keys whose deadline has come, or that have no elements.
    pub lapsed: u64,
    /// Keys that the filter left out.
    pub filtered: u64,
    /// Function libraries that were loaded, which is up to the caller.
    pub libraries: u64,
}

/// Where the key stands whose pieces are coming.
enum Current {
    None,
    /// Its pieces pass by.
    Passing,
    Building(Box<Building>),
}

/// A key that is being made.
struct Building {
    builder: Builder,
    target: Key,
    /// Where it is put together, once that takes more than one batch.
    staged: Option<Key>,
}

/// Loads pieces into a store.
pub struct Loader {
    store: Arc<Store>,
    tx: Tx,
    limits: Limits,
    filter: Filter,
    conflict: Conflict,
    staging: Option<KeyspaceId>,
    db: DatabaseIndex,
    current: Current,
    /// What stands in the transaction: keys and about how many bytes.
    uncommitted: (u64, u64),
    /// What is committed, and what will be with this transaction.
    committed: Loaded,
    loaded: Loaded,
}

impl Loader {
    /// A loader of a store that nobody else writes to.
    pub fn new(store: Arc<Store>, limits: Limits, filter: Filter, conflict: Conflict) -> Self {
        let mut loader = Self {
            tx: Tx::new(store.clone()),
            store,
            limits,
            filter,
            conflict,
            staging: None,
            db: 0,
            current: Current::None,
            uncommitted: (0, 0),
            committed: Loaded::default(),
            loaded: Loaded::default(),
        };
        loader.begin_batch();
        loader
    }

    /// What is there for good.
    pub fn committed(&self) -> Loaded {
        self.committed
    }

    fn begin_batch(&mut self) {
        self.tx.locks().adopt(Locks::acquire_waiting(self.store.locks(), Wanted::All));
        self.tx.start(Tier::Disk, clock::now_ms());
        self.uncommitted = (0, 0);
    }

    fn commit(&mut self) -> Result<()> {
        self.tx.commit(true, 0)?;
        self.committed = self.loaded;
        self.begin_batch();
        Ok(())
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// A key that is there already, a database that is not, a piece that does not fit its
    /// value, failures of the engine. What [`Loader::committed`] tells is there nonetheless.
    pub fn piece(&mut self, piece: Piece) -> Result<()> {
        match piece {
            Piece::Database(db) => self.select(db),
            Piece::Library(_) => {
                self.loaded.filtered += 1;
                Ok(())
            }
            Piece::Key(head) => self.begin(head),
            Piece::End => self.end(),
            piece => match &mut self.current {
                Current::Building(building) => {
                    building.builder.gather(piece);
                    if building.builder.is_full() { self.write_part() } else { Ok(()) }
                }
                Current::Passing => Ok(()),
                Current::None => Err(Error::client("ERR a value without a key")),
            },
        }
    }

    /// Deletes a key whose value nothing is left of.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn delete(&mut self, db: DatabaseIndex, name: &[u8]) -> Result<()> {
        let key = self.tx.key(db, name);
        self.tx.delete_record(&key)
    }

    fn select(&mut self, db: DatabaseIndex) -> Result<()> {
        let count = self.store.database_count();
        if db >= count && self.filter.wants_database(db) {
            return Err(Error::client(format!(
                "ERR the data have a database {db}, but the databases here are 0 to {}",
                count.saturating_sub(1)
            )));
        }
        self.db = db;
        Ok(())
    }

    fn begin(&mut self, head: Head) -> Result<()> {
        self.current = Current::Passing;
        if !self.filter.wants_database(self.db) || !self.filter.wants_key(&head.name, head.kind) {
            self.loaded.filtered += 1;
            return Ok(());
        }
        if head.expire_at_ms.is_some_and(|deadline_ms| deadline_ms <= self.tx.now_ms()) {
            self.loaded.lapsed += 1;
            return Ok(());
        }
        let target = self.tx.key(self.db, &head.name);
        if self.tx.record(&target)?.is_some() {
            match self.conflict {
                Conflict::Replace => self.loaded.replaced += 1,
                Conflict::Skip => {
                    self.loaded.skipped += 1;
                    return Ok(());
                }
                Conflict::Refuse => return Err(already_there(self.db, &head.name)),
            }
        }
        let builder = Builder::new(head, self.limits);
        self.current = Current::Building(Box::new(Building { builder, target, staged: None }));
        Ok(())
    }

    /// Writes a part of a value that does not fit one batch.
    fn write_part(&mut self) -> Result<()> {
        let staging = self.staging()?;
        let Current::Building(building) = &mut self.current else { return Ok(()) };
        let Building { builder, target, staged } = &mut **building;
        let key = staged.get_or_insert_with(|| Key::new(target.db, staging, target.user_key()));
        builder.write(&mut self.tx, key)?;
        self.commit()
    }

    /// A keyspace that no database shows.
    fn staging(&mut self) -> Result<KeyspaceId> {
        match self.staging {
            Some(staging) => Ok(staging),
            None => {
                let staging = self.store.stage()?;
                self.staging = Some(staging);
                Ok(staging)
            }
        }
    }

    fn end(&mut self) -> Result<()> {
        let Current::Building(building) = std::mem::replace(&mut self.current, Current::None) else {
            return Ok(());
        };
        let Building { builder, target, staged } = *building;
        let bytes = builder.head().name.len() as u64 + builder.gathered_bytes() as u64;
        let tx = &mut self.tx;
        let is_there = match staged {
            None => {
                if tx.record(&target)?.is_some() {
                    tx.delete_record(&target)?;
                }
                builder.finish(tx, &target)?
            }
            Some(staged) => {
                builder.finish(tx, &staged)?;
                match tx.record(&staged)? {
                    None => false,
                    Some(record) => {
                        tx.move_record(&staged, &target, &record)?;
                        true
                    }
                }
            }
        };
        if is_there {
            self.loaded.keys += 1
        } else {
            self.loaded.lapsed += 1
        }
        self.uncommitted = (self.uncommitted.0 + 1, self.uncommitted.1 + bytes);
        if self.uncommitted.0 >= BATCH_KEYS || self.uncommitted.1 >= BATCH_BYTES {
            self.commit()?;
        }
        Ok(())
    }

    /// Commits what is complete; a value that is not stays where no database shows it, to be
    /// reclaimed.
    ///
    /// # Errors
    /// When the engine fails.
    pub fn finish(mut self) -> Result<Loaded> {
        self.commit()?;
        self.tx.abandon();
        let is_complete = !matches!(&self.current, Current::Building(building) if building.staged.is_some());
        if let Some(staging) = self.staging.filter(|_| is_complete) {
            self.store.unstage(staging)?;
        }
        Ok(self.committed)
    }
}

fn already_there(db: DatabaseIndex, name: &[u8]) -> Error {
    Error::client(format!("BUSYKEY the key \"{}\" of database {db} is there already", name.escape_ascii()))
}
