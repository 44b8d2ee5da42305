//! What is done about a database that RocksDB does not open: which of its sorted files cannot be read, and a
//! new list of those that can.
//!
//! RocksDB opens every sorted file when it opens a database, so one with a damaged index keeps all others
//! from being read, and its error does not always say which. Its repairer reads each file
//! from one end to the other and moves those it cannot read into a folder `lost`.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use rocksdb::DB;

use super::open::{OpenOptions, Recovery, open_families};
use super::{RocksEngine, failure, options};
use crate::base::{Error, Result};
use crate::storage::budget::{Budget, Shares};
use crate::storage::lock::DirectoryLock;
use crate::storage::{Engine, Family, Tier, View, format};

/// Where RocksDB's repairer puts what it cannot read.
pub const LOST: &str = "lost";

/// Memory for reading files one by one.
const BUDGET_BYTES: u64 = 256 << 20;

fn open_options() -> OpenOptions {
    OpenOptions {
        recovery: Recovery::PointInTime,
        ..OpenOptions::new(Budget::split(BUDGET_BYTES, Shares::default()).engine)
    }
}

/// The names of the sorted files of a database that cannot be read. All of them are read; nothing is changed.
///
/// # Errors
/// In use by another process; a folder beside the files cannot be made.
pub fn damaged_files(directory: &Path) -> Result<Vec<String>> {
    let _lock = DirectoryLock::take(directory, false)?;
    let scratch = tempfile::Builder::new().prefix("ferrock.scratch-").tempdir_in(directory);
    let scratch = scratch.map_err(|source| Error::Io { path: directory.into(), source })?;
    let linked = link_sorted_files(directory, scratch.path());
    linked.map_err(|source| Error::Io { path: scratch.path().into(), source })?;
    run_repairer(scratch.path())?;
    lost_files(scratch.path())
}

/// Makes a new list of the sorted files that can be read, in place of one that is lost or damaged or names a file
/// that is; those that cannot be read are moved into the folder `lost`. Gives their names, and whether the
/// database's own notes are among what they held.
///
/// # Errors
/// In use by another process; RocksDB's repairer fails.
pub fn relist(directory: &Path) -> Result<(Vec<String>, bool)> {
    let lock = DirectoryLock::take(directory, false)?;
    set_aside(directory)?;
    run_repairer(directory)?;
    let lost = lost_files(directory)?;
    // Families of which no file is left are made anew.
    let open = open_options();
    let (tuning, families) = options::prepare(&open);
    let database = open_families(directory, &open, &tuning, families)?;
    let engine = RocksEngine::new(database, tuning, lock);
    let notes_lost = engine.get(Family::System, format::KEY, &View::latest(Tier::Disk))?.is_none();
    if notes_lost {
        format::initialise(&engine)?;
    }
    engine.close()?;
    Ok((lost, notes_lost))
}

fn run_repairer(directory: &Path) -> Result<()> {
    let (tuning, _) = options::prepare(&open_options());
    DB::repair(&tuning.options, directory)
        .map_err(|error| failure::of(error.into_string(), &format!("repair the database in {}", directory.display())))
}

fn link_sorted_files(from: &Path, to: &Path) -> io::Result<()> {
    let from = from.canonicalize()?;
    for entry in fs::read_dir(&from)? {
        let name = entry?.file_name();
        if Path::new(&name).extension().is_some_and(|ending| ending == "sst") {
            symlink(from.join(&name), to.join(&name))?;
        }
    }
    Ok(())
}

/// Gives what an earlier repair has lost another folder: RocksDB would write over files of the same names.
fn set_aside(directory: &Path) -> Result<()> {
    let lost = directory.join(LOST);
    let aside = (1..).map(|number| directory.join(format!("{LOST}.{number}"))).find(|path| !path.exists());
    match aside.map(|aside| fs::rename(&lost, aside)) {
        Some(Err(error)) if error.kind() != io::ErrorKind::NotFound => Err(Error::Io { path: lost, source: error }),
        _ => Ok(()),
    }
}

fn lost_files(directory: &Path) -> Result<Vec<String>> {
    let lost = directory.join(LOST);
    let entries = match fs::read_dir(&lost) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let entries = entries.map_err(|source| Error::Io { path: lost, source })?;
    let names = entries.into_iter().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".sst")).collect();
    names.sort_unstable();
    Ok(names)
}
