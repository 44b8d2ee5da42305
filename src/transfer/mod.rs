//! Data in and out: values and whole databases as [`Piece`]s, whatever format they come from or
//! go to. What DUMP and RESTORE, SAVE, and `ferrock dump` and `restore` have in common.
//!
//! - `export.rs`: a value to pieces. `import.rs`: pieces to a value, in one transaction.
//! - `walk.rs`: frozen databases to pieces, key by key. `load.rs`: pieces to a store, in large
//!   batches; a key appears when it is complete.
//! - `streams.rs`: both for streams.
//! - `filter.rs`: which keys are meant. `script.rs`: pieces as commands that make them.
//! - `save.rs`: SAVE and BGSAVE. `checkpoint.rs`: whole databases beside the served one, by hard links.
//! - `backup/`: backups of whole databases, kept in a folder, each file once.
//! - `salvage.rs`: a damaged value made again from what of it is left.
//!
//! Memory is bounded by a batch, whatever the sizes of values. Formats are `encoding/`'s.

pub mod backup;
pub mod checkpoint;
mod export;
mod filter;
mod import;
mod load;
mod salvage;
mod save;
mod script;
mod streams;
mod walk;

#[cfg(test)]
mod tests;

use std::io;

pub use crate::encoding::piece::{Head, Piece};
pub use export::export;
pub use filter::Filter;
pub use import::{Builder, Limits};
pub use load::{Conflict, Loaded, Loader};
pub use salvage::{Salvaged, rebuild};
pub use save::{Copy, Parts, SaveFigures, SaveFile, Saver, Snapshot};
pub use script::ScriptWriter;
pub use walk::Frozen;

/// Why data did not get in or out.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    #[error(transparent)]
    Store(#[from] crate::base::Error),
    #[error(transparent)]
    Format(#[from] crate::encoding::rdb::RdbError),
    #[error(transparent)]
    Io(#[from] io::Error),
}
