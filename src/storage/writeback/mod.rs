//! The engine of a server: RocksDB behind a write-ahead log and a table of dirty entries of our own.
//!
//! A commit goes into the log (one copy) and into the table, and is acknowledged; RocksDB hears of
//! it later, in sorted batches, and once for a key that was written many times. That takes the
//! search of RocksDB's memtable, most of a small write's cost, off the path of a request.
//!
//! - `frame.rs`: a commit in the log; `segment.rs`: the log's files; `log.rs`, `window.rs`: writing and
//!   syncing it.
//! - `dirty.rs`: what is in the log and not in RocksDB.
//! - `engine.rs`: the [`Engine`](crate::storage::Engine) trait over all three; `keeper.rs`: its threads, which drain the table
//!   and give files of the log back.
//! - `recovery.rs`: the log after a crash; `read_only.rs`: a database that is only looked at;
//!   `overlay.rs`: changes over what RocksDB holds, for those.
//!
//! Why nothing is lost: a file of the log goes only when all that is in it was given to RocksDB and
//! RocksDB has flushed its memtables since, for it keeps no log of this. On opening, every commit of the
//! files that are left is applied again, in order. RocksDB may have had a part of them already, even
//! a part of one commit; the last word on each key is the log's, so what comes out is the same.
//!
//! Why nothing is torn: points are looked up in the table first, so a commit is visible as a whole when the
//! keyspace says so. What has to see everything as of one moment (snapshots, checkpoints) takes
//! the table over between two commits. A cursor makes its family's entries go to RocksDB first.

mod dirty;
mod engine;
mod frame;
mod keeper;
mod log;
mod overlay;
mod read_only;
mod recovery;
mod segment;
#[cfg(test)]
mod tests;
mod window;

use std::path::Path;
use std::sync::Arc;

use crate::base::Result;
use crate::storage::lock::DirectoryLock;
use crate::storage::rocks::{self, OpenOptions};
use crate::storage::{Engine, Family, Tier, View};

/// Where the `system` family says which file of the log is the first that is needed, u64 big-endian.
/// Without it a log that has gone missing would be taken for an empty one.
const FIRST_FILE: &[u8] = b"wal";

/// Opens the database in a directory, or makes a new one.
///
/// # Errors
/// In use by another process; not a database of Ferrock; of a newer format; damaged.
pub fn open(directory: &Path, options: &OpenOptions) -> Result<Arc<dyn Engine>> {
    let rocks = rocks::open(directory, options)?;
    if options.read_only {
        return Ok(Arc::new(read_only::ReadOnly::open(rocks, directory, options)?));
    }
    Ok(Arc::new(engine::WriteBack::open(rocks, directory, options)?))
}

/// Damage to a write-ahead log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDamage {
    /// What stands there, with the file.
    pub what: String,
    /// How many bytes of the log, reserved space included, begin there.
    pub bytes: u64,
}

/// Where the write-ahead log of a directory is damaged, if it is. Nothing is changed.
///
/// # Errors
/// In use by another process, whose log is being written; the files cannot be read.
pub fn log_damage(directory: &Path) -> Result<Option<LogDamage>> {
    let _lock = DirectoryLock::take(directory, false)?;
    recovery::damage(directory)
}

/// The first file of the log that the database needs.
fn first_file(engine: &dyn Engine) -> Result<Option<u64>> {
    let number = engine.get(Family::System, FIRST_FILE, &View::latest(Tier::Disk))?;
    Ok(number.and_then(|number| Some(u64::from_be_bytes(*number.first_chunk()?))))
}
