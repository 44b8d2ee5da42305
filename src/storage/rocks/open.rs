//! Opening a directory: the lock, what lies there, RocksDB itself, the format guard; in that
//! order, so that nothing is touched before it is known to be ours.
//!
//! A directory is new when it holds no database. While a new one is being made, the file
//! [`NEW_MARK`] lies beside it; a crash in between leaves the mark, and the next opening
//! finishes the work instead of taking a half-made database for somebody else's. While a
//! backup is being put back, [`RESTORING_MARK`] lies there instead, and the directory is refused.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rocksdb::{ColumnFamilyDescriptor, DB, Options};

use super::engine::RocksEngine;
use super::ffi::Database;
use super::{failure, options};
use crate::base::{Error, Result};
use crate::storage::budget::EngineBudget;
use crate::storage::lock::DirectoryLock;
use crate::storage::{Family, format};

/// Lies in a directory while its database is being made.
const NEW_MARK: &str = "ferrock.new";

/// Lies in a directory while a backup is being put back into it.
pub const RESTORING_MARK: &str = "ferrock.restoring";

/// While a repair exchanges the files of a database, the new one lies here, complete, and the old one's go.
pub const REBUILT_FOLDER: &str = "ferrock.rebuilt";
/// The same once these have gone, while the new one's files come out.
pub const MOVING_FOLDER: &str = "ferrock.moving";

/// How the write-ahead log is read after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Recovery {
    /// An incomplete last record is the crash's doing and dropped; damage before it is an
    /// error. Nothing that was acknowledged is lost without a word.
    #[default]
    TornTail,
    /// Up to the first damage, dropping all behind it: for rescuing what is left, on demand.
    PointInTime,
}

/// How a directory is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    pub budget: EngineBudget,
    /// Threads for flushes and compactions.
    pub background_threads: i32,
    /// Whether a directory without a database gets one.
    pub create_if_missing: bool,
    /// Nothing is written: no log is replayed into files, no background work runs.
    pub read_only: bool,
    pub recovery: Recovery,
    /// File descriptors the process may have open; half go to table files at most.
    pub descriptors: u64,
}

impl OpenOptions {
    /// For a server or an offline command on this machine.
    pub fn new(budget: EngineBudget) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            budget,
            background_threads: i32::try_from(cores.clamp(2, 16)).unwrap_or(2),
            create_if_missing: true,
            read_only: false,
            recovery: Recovery::default(),
            descriptors: descriptor_limit(),
        }
    }
}

/// The soft limit on open files.
fn descriptor_limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20)
}

/// What a directory holds.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// No database.
    Nothing,
    /// One that a crash left half-made.
    HalfMade,
    /// One with our families.
    Ours,
}

/// Opens the database in `directory`, or makes a new one.
///
/// # Errors
/// In use by another process; not a database of Ferrock; of a newer format; damaged.
pub fn open(directory: &Path, open: &OpenOptions) -> Result<Arc<RocksEngine>> {
    if open.create_if_missing && !open.read_only {
        fs::create_dir_all(directory).map_err(|source| Error::Io { path: directory.into(), source })?;
    }
    let lock = DirectoryLock::take(directory, open.read_only)?;
    let found = look(directory)?;
    match found {
        Found::Ours => {}
        Found::Nothing if !open.create_if_missing || open.read_only => {
            return Err(Error::Storage(format!("there is no database in {}", directory.display())));
        }
        Found::HalfMade if open.read_only => {
            return Err(Error::Storage(format!(
                "the database in {} was never completed; open it for writing once",
                directory.display()
            )));
        }
        Found::Nothing | Found::HalfMade => set_mark(directory)?,
    }
    let engine = Arc::new(open_database(directory, open, lock)?);
    if found == Found::Ours {
        format::check(engine.as_ref(), directory)?;
    } else {
        format::initialise(engine.as_ref())?;
        remove_mark(directory)?;
    }
    Ok(engine)
}

/// Opens a database that is there and known to be damaged, so that its marks may be, too.
///
/// # Errors
/// In use by another process; RocksDB does not open it.
pub fn open_damaged(directory: &Path, open: &OpenOptions) -> Result<Arc<RocksEngine>> {
    let lock = DirectoryLock::take(directory, open.read_only)?;
    Ok(Arc::new(open_database(directory, open, lock)?))
}

fn open_database(directory: &Path, open: &OpenOptions, lock: Option<DirectoryLock>) -> Result<RocksEngine> {
    let (tuning, families) = options::prepare(open);
    let database = open_families(directory, open, &tuning, families)?;
    Ok(RocksEngine::new(database, tuning, lock))
}

/// Has RocksDB open a directory.
pub(super) fn open_families(
    directory: &Path,
    open: &OpenOptions,
    tuning: &options::Tuning,
    families: Vec<ColumnFamilyDescriptor>,
) -> Result<Arc<Database>> {
    let opened = if open.read_only {
        DB::open_cf_descriptors_read_only(&tuning.options, directory, families, false)
    } else {
        DB::open_cf_descriptors(&tuning.options, directory, families)
    };
    let db = opened.map_err(|error| failure::of_open(error.into_string(), directory))?;
    Database::new(db).map_err(|text| failure::of_open(text, directory))
}

/// Looks at a directory without changing it.
fn look(directory: &Path) -> Result<Found> {
    let exists = |name: &str| {
        let path = directory.join(name);
        path.try_exists().map_err(|source| Error::Io { path, source })
    };
    let in_directory = |source| Error::Io { path: directory.into(), source };
    if exists(RESTORING_MARK)? {
        return Err(Error::Storage(format!(
            "a backup was being put back into {} and that did not end: run `ferrock restore-backup` again",
            directory.display()
        )));
    }
    if is_being_repaired(directory).map_err(in_directory)? {
        let what = "a repair of it did not come to its end: run `ferrock repair` again".into();
        return Err(Error::Damaged { directory: directory.into(), what });
    }
    if !exists("CURRENT")? {
        // While a new database is being made there is none yet. Anybody else has lost it, and a new
        // database would delete what it does not know.
        if !exists(NEW_MARK)?
            && let Some(file) = orphan(directory).map_err(in_directory)?
        {
            let what = format!("there is {file}, but no CURRENT");
            return Err(Error::Damaged { directory: directory.into(), what });
        }
        return Ok(Found::Nothing);
    }
    if exists(NEW_MARK)? {
        return Ok(Found::HalfMade);
    }
    let families = DB::list_cf(&Options::default(), directory)
        .map_err(|error| failure::of_open(error.into_string(), directory))?;
    let is_ours = |name: &String| name == "default" || Family::ALL.iter().any(|family| family.name() == name);
    if families.len() != Family::ALL.len() + 1 || !families.iter().all(is_ours) {
        // RocksDB's list of families ends without a word where the list of files is damaged.
        if families.iter().all(is_ours) && has_log_of_ours(directory).map_err(in_directory)? {
            let what = format!("the file that CURRENT names lists the families {} only", families.join(", "));
            return Err(Error::Damaged { directory: directory.into(), what });
        }
        return Err(Error::Storage(format!(
            "{} holds a RocksDB database that is not Ferrock's (column families: {}); \
             it was left as it is",
            directory.display(),
            families.join(", ")
        )));
    }
    Ok(Found::Ours)
}

/// Whether the files of a directory are being exchanged, so that they are no database.
///
/// # Errors
/// The directory cannot be read.
pub fn is_being_repaired(directory: &Path) -> io::Result<bool> {
    Ok(directory.join(REBUILT_FOLDER).try_exists()? || directory.join(MOVING_FOLDER).try_exists()?)
}

/// A file that only a database has.
fn orphan(directory: &Path) -> io::Result<Option<String>> {
    find(directory, |name| name.ends_with(".sst") || name.starts_with("MANIFEST-"))
}

/// Whether a write-ahead log of Ferrock's is there, whatever RocksDB says of the rest.
fn has_log_of_ours(directory: &Path) -> io::Result<bool> {
    find(directory, |name| name.starts_with("ferrock-") && name.ends_with(".wal")).map(|found| found.is_some())
}

fn find(directory: &Path, is_it: impl Fn(&str) -> bool) -> io::Result<Option<String>> {
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_it(&name) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn set_mark(directory: &Path) -> Result<()> {
    let path = directory.join(NEW_MARK);
    let written = fs::File::create(&path).and_then(|file| file.sync_all());
    written.and_then(|()| sync_directory(directory)).map_err(|source| Error::Io { path, source })
}

fn remove_mark(directory: &Path) -> Result<()> {
    let path = directory.join(NEW_MARK);
    fs::remove_file(&path).and_then(|()| sync_directory(directory)).map_err(|source| Error::Io { path, source })
}

/// Makes what was created or removed in a directory survive a power cut.
fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}
