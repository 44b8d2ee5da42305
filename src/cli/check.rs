//! `ferrock check`: whether a database is whole, while no server runs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::EXIT_FAILURE;
use super::offline::{Opened, Progress, Unit, complain, failed};
use crate::base::{Error, Result};
use crate::keyspace::{CheckFigures, Finding};
use crate::storage::{Recovery, damaged_files};
use crate::types;

/// Say whether a database is whole, while no server runs
#[derive(Debug, Args)]
#[command(after_help = "\
Reads everything: checksums, records, the parts of large values, the indexes. Ends with 0 if all
belongs together, with 1 and a line for each finding if not.

Example:
  ferrock check --dir /var/lib/ferrock")]
pub(super) struct Arguments {
    /// The database directory.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match check(arguments) {
        Ok(figures) if figures.findings == 0 => ExitCode::SUCCESS,
        Ok(figures) => {
            eprintln!("{} findings; `ferrock repair` saves what can be read", figures.findings);
            ExitCode::from(EXIT_FAILURE)
        }
        Err(error @ Error::Damaged { .. }) => {
            let code = failed(&error);
            name_damaged_files(&arguments.dir);
            eprintln!("ferrock: on a copy, `ferrock repair` saves what can be read");
            code
        }
        Err(error) => failed(&error),
    }
}

/// RocksDB does not always say which of its files it could not open.
fn name_damaged_files(directory: &Path) {
    match damaged_files(directory) {
        Ok(files) => {
            for file in files {
                println!("{}: cannot be read", directory.join(file).display());
            }
        }
        Err(error) => complain(&error),
    }
}

fn check(arguments: &Arguments) -> Result<CheckFigures> {
    let opened = Opened::existing(&arguments.dir, Recovery::default())?;
    let mut figures = look(&opened, &mut |finding| println!("{}", line(&finding)))?;
    if let Err(error) = opened.engine.verify() {
        println!("{error}");
        figures.findings += 1;
    }
    eprintln!(
        "{} keys, {} large values, {} deadlines and marks in the index checked",
        figures.keys, figures.objects, figures.index_entries
    );
    opened.close()?;
    Ok(figures)
}

/// Looks at everything, with progress.
pub(super) fn look(opened: &Opened, find: &mut dyn FnMut(Finding)) -> Result<CheckFigures> {
    let mut progress = Progress::new("checking", opened.estimated_keys(), Unit::Keys);
    let figures = opened.store.check(&types::check, find, &mut |keys| progress.reached(keys))?;
    progress.finish();
    Ok(figures)
}

/// A finding for a reader.
pub(super) fn line(finding: &Finding) -> String {
    format!("{} \"{}\": {}", finding.family.name(), finding.key.escape_ascii(), finding.what)
}
