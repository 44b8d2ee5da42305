//! `ferrock backup`: a database into a folder of backups; which there are; whether they are whole; fewer of
//! them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgGroup, Args};
use indicatif::HumanBytes;

use super::EXIT_FAILURE;
use super::offline::{Progress, Unit, bare_engine, complain, failed, with_path};
use crate::base::{Error, clock};
use crate::storage::Engine;
use crate::storage::lock::{self, DirectoryLock};
use crate::transfer::backup::{Added, BackupFolder, BackupResult, Checked};
use crate::transfer::checkpoint;

/// The folder of a checkpoint that is being copied, and its process id.
const CHECKPOINT: &str = "backup-checkpoint-";

/// Add a backup of a database to a folder of backups; list, verify and prune them
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("work").required(true).multiple(true).args(["dir", "list", "verify", "keep"]),
    after_help = "\
Examples:
  ferrock backup --dir /var/lib/ferrock /backups/ferrock
  ferrock backup --dir /var/lib/ferrock --keep 14 /backups/ferrock
  ferrock backup --list /backups/ferrock
  ferrock backup --verify /backups/ferrock

Files that a backup before has are not copied again. While a server runs, back up its checkpoint:
  redis-cli CONFIG SET save-format checkpoint && redis-cli BGSAVE
  ferrock backup --dir /var/lib/ferrock/checkpoint /backups/ferrock"
)]
pub(super) struct Arguments {
    /// The database directory, or a checkpoint, to make a backup of.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Then remove all backups but the newest ones, so many.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Say which backups there are.
    #[arg(long, conflicts_with_all = ["dir", "keep", "verify"])]
    list: bool,
    /// Read all backups, or the one of --id, and say what is not as it was written.
    #[arg(long, conflicts_with_all = ["dir", "keep"])]
    verify: bool,
    /// With --verify: only this backup.
    #[arg(long, value_name = "NUMBER", requires = "verify")]
    id: Option<u64>,
    /// The folder of backups; made if it is not there.
    target: PathBuf,
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let done = if arguments.list {
        list(&arguments.target)
    } else if arguments.verify {
        verify(&arguments.target, arguments.id)
    } else {
        add_and_prune(arguments)
    };
    match done {
        Ok(code) => code,
        Err(error) => failed(&error),
    }
}

fn add_and_prune(arguments: &Arguments) -> BackupResult<ExitCode> {
    if let Some(directory) = &arguments.dir {
        let folder = BackupFolder::create(&arguments.target)?;
        let added = match make_checkpoint(directory) {
            Ok(checkpoint) => checkpoint.add_to(&folder)?,
            Err(error) => {
                complain(&error);
                if matches!(error, Error::InUse { .. }) {
                    explain(directory, &arguments.target);
                }
                return Ok(ExitCode::from(EXIT_FAILURE));
            }
        };
        println!(
            "backup {}: {} files, {}; of these new: {} files, {}",
            added.id,
            added.files,
            HumanBytes(added.bytes),
            added.new_files,
            HumanBytes(added.new_bytes)
        );
    }
    let Some(keep) = arguments.keep else { return Ok(ExitCode::SUCCESS) };
    let pruned = BackupFolder::open(&arguments.target)?.prune(keep as usize)?;
    let ids: Vec<String> = pruned.ids.iter().map(u64::to_string).collect();
    if !ids.is_empty() {
        println!("removed: backup {}", ids.join(", "));
    }
    println!("{} files, {} given back", pruned.files, HumanBytes(pruned.bytes));
    Ok(ExitCode::SUCCESS)
}

/// What to do where a server runs.
fn explain(directory: &Path, target: &Path) {
    let directory = directory.display();
    eprintln!(
        "A running server makes a checkpoint, of which a backup can be made meanwhile:\n  \
         redis-cli CONFIG SET save-format checkpoint\n  \
         redis-cli BGSAVE\n  \
         ferrock backup --dir {directory}/checkpoint {}",
        target.display()
    );
}

/// A checkpoint of a database, which this process holds, and which goes with it.
struct Checkpoint {
    /// What was asked for.
    source: PathBuf,
    path: PathBuf,
    _lock: Option<DirectoryLock>,
    /// Holds what a server made beside its database, so that it does not remove it meanwhile.
    _source: Option<Arc<dyn Engine>>,
}

/// Opens a database for as long as it takes to give its log to RocksDB and make a checkpoint.
fn make_checkpoint(directory: &Path) -> Result<Checkpoint, Error> {
    // A link to the newest checkpoint may turn to another meanwhile.
    let source = std::fs::canonicalize(directory).map_err(with_path(directory))?;
    let engine = bare_engine(&source)?;
    let path = source.join(format!("{CHECKPOINT}{}", std::process::id()));
    let made = sweep(&source).and_then(|()| engine.checkpoint(&path));
    let closed = engine.close();
    made.and(closed)?;
    let lock = DirectoryLock::take_of("the checkpoint", &path, false)?;
    let is_beside_a_database = source.parent().is_some_and(|parent| parent.join(lock::FILE_NAME).exists());
    Ok(Checkpoint { source, path, _lock: lock, _source: is_beside_a_database.then_some(engine) })
}

/// Removes what backups that were interrupted have left.
fn sweep(directory: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(directory).map_err(with_path(directory))? {
        let entry = entry.map_err(with_path(directory))?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(CHECKPOINT)) {
            checkpoint::remove_unless_open(&entry.path())?;
        }
    }
    Ok(())
}

impl Checkpoint {
    fn add_to(&self, folder: &BackupFolder) -> BackupResult<Added> {
        let entries = std::fs::read_dir(&self.path).map_err(with_path(&self.path))?;
        let total = entries.filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum();
        let mut progress = Progress::new("backing up", total, Unit::Bytes);
        let mut done = 0;
        let added = folder.add(&self.path, &self.source.display().to_string(), &mut |bytes| {
            done += bytes;
            progress.show(done);
        });
        progress.finish();
        added
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            complain(&with_path(&self.path)(error));
        }
    }
}

fn list(target: &Path) -> BackupResult<ExitCode> {
    let mut out = std::io::stdout().lock();
    let mut code = ExitCode::SUCCESS;
    for (id, described) in BackupFolder::open(target)?.list()? {
        let line = match described {
            Ok(found) => format!(
                "{id:>6}  {}  {:>5} files  {:>11}  {}",
                clock::utc_text(found.created_ms),
                found.files.len(),
                HumanBytes(found.bytes()).to_string(),
                found.source
            ),
            Err(error) => {
                code = ExitCode::from(EXIT_FAILURE);
                format!("{id:>6}  {error}")
            }
        };
        // Whoever reads the list has seen enough.
        let _ = writeln!(out, "{line}");
    }
    Ok(code)
}

fn verify(target: &Path, id: Option<u64>) -> BackupResult<ExitCode> {
    let folder = BackupFolder::open(target)?;
    let all = folder.list()?.into_values().flatten();
    let total = all.filter(|found| id.is_none_or(|id| id == found.id)).map(|found| found.bytes()).max().unwrap_or(0);
    let mut progress = Progress::new("verifying", total, Unit::Bytes);
    let mut done = 0;
    let mut step = |bytes| {
        done += bytes;
        progress.show(done);
    };
    let checked = folder.verify(id, &mut step, &mut |id, error| println!("backup {id}: {error}"))?;
    progress.finish();
    let Checked { backups, files, bytes, findings } = checked;
    eprintln!("{backups} backups, {files} files, {} read; {findings} findings", HumanBytes(bytes));
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILURE) })
}
