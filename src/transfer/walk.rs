//! Whole databases to pieces, from a frozen state: what writers do meanwhile is not seen.

use std::sync::Arc;

use super::export::export;
use super::filter::Filter;
use crate::base::{Error, clock};
use crate::encoding::key::system;
use crate::encoding::piece::Piece;
use crate::keyspace::{DatabaseIndex, Locks, Store, Tx, Wanted};
use crate::storage::Tier;

/// The store as it was at one moment.
pub struct Frozen {
    store: Arc<Store>,
    tx: Tx,
    databases: u32,
}

impl Frozen {
    /// Freezes the store as it is now. Waits for commits that are under way.
    pub fn now(store: &Arc<Store>) -> Self {
        let _locks = Locks::acquire_waiting(store.locks(), Wanted::All);
        Self::under_locks(store)
    }

    /// The same for whoever holds all locks: nobody is between two parts of a commit, so databases
    /// and data belong together.
    pub fn under_locks(store: &Arc<Store>) -> Self {
        let mut tx = Tx::new(store.clone());
        tx.start(Tier::Disk, clock::now_ms());
        tx.freeze_all();
        Self { store: store.clone(), tx, databases: store.database_count() }
    }

    /// Shows every function library, unless the filter leaves something out, and then every key that
    /// the filter wants, in the order of databases and names.
    ///
    /// # Errors
    /// Corruption, failures of the engine, what `show` fails with.
    pub fn show<E: From<Error>>(
        mut self,
        filter: &Filter,
        mut show: impl FnMut(Piece) -> Result<(), E>,
    ) -> Result<(), E> {
        if filter.wants_all() {
            self.show_libraries(&mut show)?;
        }
        for db in (0..self.databases).filter(|db| filter.wants_database(*db)) {
            self.database(db, filter, &mut show)?;
        }
        Ok(())
    }

    /// Shows every function library.
    ///
    /// # Errors
    /// As [`Frozen::show`].
    pub fn show_libraries<E: From<Error>>(&self, mut show: impl FnMut(Piece) -> Result<(), E>) -> Result<(), E> {
        let libraries = self.store.facts(system::FUNCTION_LIBRARY, self.tx.view())?;
        libraries.into_iter().try_for_each(|(_, code)| show(Piece::Library(code)))
    }

    fn database<E: From<Error>>(
        &mut self,
        db: DatabaseIndex,
        filter: &Filter,
        show: &mut impl FnMut(Piece) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut walk = self.tx.walk(db, &filter.prefix(), None)?;
        let mut is_first = true;
        while let Some((name, record)) = walk.next()? {
            if !filter.wants_key(&name, record.kind) {
                continue;
            }
            if std::mem::take(&mut is_first) {
                show(Piece::Database(db))?;
            }
            let key = self.tx.key(db, &name);
            export(&mut self.tx, &key, record, show)?;
        }
        Ok(())
    }
}
