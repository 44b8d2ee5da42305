//! `ferrock repair`: saves what of a damaged database can be read, and lists what is lost.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::check::{line, look};
use super::offline::{Opened, failed};
use super::{EXIT_FAILURE, EXIT_USAGE};
use crate::base::Result;
use crate::config;
use crate::encoding::key::reclaim_object_key;
use crate::keyspace::{Finding, Remedy};
use crate::storage::{Change, CommitOptions, Durability, Family, Recovery};
use crate::transfer::{Limits, Salvaged, rebuild};

/// Save what can be read of a damaged database, while no server runs
#[derive(Debug, Args)]
#[command(after_help = "\
Work on a copy: what cannot be read is taken out. Ends with 0 if nothing was lost, with 1 and a line
for each loss on standard output if something was. Writes that were torn by a crash are
dropped from the first damage on.

Example:
  cp -a /var/lib/ferrock /var/lib/ferrock.saved && ferrock repair --dir /var/lib/ferrock")]
pub(super) struct Arguments {
    /// The database directory.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let settings = match config::load_arguments(&[]) {
        Ok(loaded) => loaded.config.snapshot(),
        Err(error) => {
            eprintln!("ferrock: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match repair(arguments, Limits::of(&settings)) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(losses) => {
            eprintln!("{losses} losses");
            ExitCode::from(EXIT_FAILURE)
        }
        Err(error) => failed(&error),
    }
}

/// Tells how much was lost.
fn repair(arguments: &Arguments, limits: Limits) -> Result<u64> {
    let opened = Opened::existing(&arguments.dir, Recovery::PointInTime)?;
    let mut findings = Vec::new();
    look(&opened, &mut |finding| findings.push(finding))?;
    let mut losses = 0;
    let mut rebuilt = BTreeSet::new();
    for finding in &findings {
        eprintln!("{}", line(finding));
        losses += match &finding.remedy {
            Remedy::Rebuild if !rebuilt.insert(finding.key.clone()) => 0,
            Remedy::Rebuild => report(finding, &rebuild(&opened.store, &finding.key, limits)?),
            remedy => apply(&opened, finding, remedy)?,
        };
    }
    while opened.store.reclaim_step()? {}
    eprintln!("{} findings treated", findings.len());
    opened.close()?;
    Ok(losses)
}

/// Lists a value that was made again; tells whether that is a loss.
fn report(finding: &Finding, salvaged: &Salvaged) -> u64 {
    match salvaged {
        Salvaged::Whole { .. } => 0,
        Salvaged::Partly { elements, error } => {
            println!("partly lost: {}; {elements} elements are kept ({error})", line(finding));
            1
        }
        Salvaged::Lost { error } => {
            println!("lost: {} ({error})", line(finding));
            1
        }
    }
}

fn apply(opened: &Opened, finding: &Finding, remedy: &Remedy) -> Result<u64> {
    let change = match remedy {
        Remedy::None | Remedy::Rebuild => {
            println!("not repaired: {}", line(finding));
            return Ok(1);
        }
        Remedy::Delete => Change::Delete { family: finding.family, key: finding.key.clone().into() },
        Remedy::Put { family, key, value } => {
            Change::Put { family: *family, key: key.clone().into(), value: value.clone().into() }
        }
        Remedy::Reclaim(object) => {
            Change::Put { family: Family::System, key: reclaim_object_key(*object).into(), value: Default::default() }
        }
    };
    let options = CommitOptions { may_wait: true, durability: Durability::Synced };
    opened.engine.commit(vec![change], options)?;
    let is_loss = *remedy == Remedy::Delete && finding.family == Family::Keys;
    if is_loss {
        println!("lost: {}", line(finding));
    }
    Ok(u64::from(is_loss))
}
