//! `ferrock restore-backup`: a backup back into a database directory.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::HumanBytes;

use super::offline::{Progress, Unit, failed};
use crate::base::clock;
use crate::transfer::backup::{BackupFolder, BackupResult};

/// Put a backup into an empty database directory
#[derive(Debug, Args)]
#[command(after_help = "\
Every file is compared with its digest as it is copied. If it is interrupted, run it again; the server
refuses the directory until it is complete.

Example:
  ferrock restore-backup --dir /var/lib/ferrock /backups/ferrock")]
pub(super) struct Arguments {
    /// The database directory: empty, or not there yet.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Which backup; the newest if it is not said.
    #[arg(long, value_name = "NUMBER")]
    id: Option<u64>,
    /// The folder of backups.
    target: PathBuf,
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match restore(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn restore(arguments: &Arguments) -> BackupResult<()> {
    let folder = BackupFolder::open(&arguments.target)?;
    let description = folder.describe(arguments.id)?;
    let mut progress = Progress::new("restoring", description.bytes(), Unit::Bytes);
    let mut done = 0;
    folder.restore(&description, &arguments.dir, &mut |bytes| {
        done += bytes;
        progress.show(done);
    })?;
    progress.finish();
    println!(
        "backup {} of {}: {} files, {} restored",
        description.id,
        clock::utc_text(description.created_ms),
        description.files.len(),
        HumanBytes(description.bytes())
    );
    Ok(())
}
