//! A damaged value made again, from as much of it as can be read.

use std::sync::Arc;

use super::export::export;
use super::filter::Filter;
use super::import::Limits;
use super::load::{Conflict, Loader};
use crate::base::{Error, Result, clock};
use crate::encoding::key::split_record_key;
use crate::encoding::piece::Piece;
use crate::keyspace::{DatabaseIndex, Store, Tx};
use crate::storage::Tier;

/// What became of a damaged value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Salvaged {
    /// All that its parts say is there again.
    Whole { elements: u64 },
    /// So many elements are; reading ended with this error.
    Partly { elements: u64, error: String },
    /// Nothing could be read, and the key is gone.
    Lost { error: String },
}

/// Makes the value of a stored key again, in a new place.
///
/// # Errors
/// When the engine refuses to write.
pub fn rebuild(store: &Arc<Store>, stored_key: &[u8], limits: Limits) -> Result<Salvaged> {
    let (keyspace, name) = split_record_key(stored_key).ok_or_else(|| Error::client("ERR not the key of a record"))?;
    let shows = |db: &DatabaseIndex| store.keyspace(*db) == Some(keyspace);
    let db = (0..store.database_count()).find(shows).ok_or_else(|| Error::client("ERR no database shows the key"))?;
    let mut tx = Tx::new(store.clone());
    tx.start(Tier::Disk, clock::now_ms());
    tx.freeze_all();
    let key = tx.key(db, name);
    let mut loader = Loader::new(store.clone(), limits, Filter::default(), Conflict::Replace);
    loader.piece(Piece::Database(db))?;
    let mut elements = 0;
    let mut begun = false;
    let read = match tx.record(&key) {
        Ok(None) => Ok(false),
        Ok(Some(record)) => export::<Error>(&mut tx, &key, record, &mut |piece| {
            begun |= matches!(piece, Piece::Key(_));
            elements += u64::from(!matches!(piece, Piece::Key(_) | Piece::End));
            loader.piece(piece)
        }),
        Err(error) => Err(error),
    };
    if let Err(error) = &read
        && begun
    {
        tracing::debug!(%error, "a value could be read in part");
        loader.piece(Piece::End)?;
    }
    if !begun {
        loader.delete(db, name)?;
    }
    loader.finish()?;
    Ok(match read {
        Ok(_) => Salvaged::Whole { elements },
        Err(error) if begun => Salvaged::Partly { elements, error: error.to_string() },
        Err(error) => Salvaged::Lost { error: error.to_string() },
    })
}
