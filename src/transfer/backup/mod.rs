//! Backups of a database in a folder of their own, one after the other, each whole and none larger than
//! what it adds.
//!
//! ```text
//! folder/ferrock-backups          says that the folder is one of backups, and of which version
//! folder/backup-7.toml            what backup 7 is made of: names, sizes, SHA-256
//! folder/files/<sha-256>          every file once, whichever backups have it
//! ```
//!
//! A backup is made from a checkpoint that nobody changes: its log is empty, since making it gives
//! everything to RocksDB. Sorted files never change once they are written, so one that an earlier backup
//! has is recognised by name, size and the digest of its end, where RocksDB notes which run of which database
//! wrote it; it is not read again. All others are copied. Files are synced, then the description
//! takes its name: an interrupted backup leaves none, and what it copied goes with the next pruning.
//!
//! - `description.rs`: a backup's description. `files.rs`: copying with digests.
//! - `folder.rs`: making, listing and pruning. `restore.rs`: putting back and verifying.

mod description;
mod files;
mod folder;
mod restore;

use std::io;
use std::path::{Path, PathBuf};

use crate::base::Error;

pub use description::{Description, StoredFile};
pub use folder::{Added, BackupFolder, Pruned};
pub use restore::Checked;

/// Why a backup was not made, found whole or put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] Error),
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    /// Not what was written.
    #[error("{path} is damaged: {what}", path = path.display())]
    Damaged { path: PathBuf, what: String },
    /// Something else lies where backups should.
    #[error("{path} is no folder of backups, and not empty", path = .0.display())]
    Foreign(PathBuf),
    /// Made by a later version.
    #[error("{path} has version {version} of the format of backups, this ferrock knows version 1", path = path.display())]
    Newer { path: PathBuf, version: String },
    #[error("there is no backup {id} in {folder}", folder = folder.display())]
    Missing { folder: PathBuf, id: u64 },
    #[error("there is no backup in {path}", path = .0.display())]
    Empty(PathBuf),
    /// The directory to put a backup into holds something.
    #[error("{path} is not empty: a backup is put into an empty or new directory", path = .0.display())]
    Occupied(PathBuf),
}

/// The result of everything about backups that may fail.
pub type BackupResult<T> = Result<T, BackupError>;

/// A file operation that failed, with its path.
fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_path_buf();
    move |source| BackupError::Io { path, source }
}
