//! `ferrock compact`: rewrites sorted files so that deleted and overwritten entries take no space any more,
//! while no server runs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, builder::TypedValueParser};
use indicatif::HumanBytes;

use super::offline::{Opened, Progress, Unit, failed};
use crate::base::Result;
use crate::storage::{Compaction, Engine, EngineFigures, Family, KeyRange, Recovery};

/// Between two looks at how far the work is.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Give back the space of what was deleted and overwritten, while no server runs
#[derive(Debug, Args)]
#[command(after_help = "\
A server does this by itself in time; this does all of it at once. Needs as much free space as the
largest family takes.

Example:
  ferrock compact --dir /var/lib/ferrock")]
pub(super) struct Arguments {
    /// The database directory.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Only this column family; may be given several times.
    #[arg(long = "family", value_name = "FAMILY", value_parser = family_parser())]
    families: Vec<Family>,
}

fn family_parser() -> impl TypedValueParser<Value = Family> {
    PossibleValuesParser::new(Family::ALL.map(Family::name)).map(|name| {
        let found = Family::ALL.into_iter().find(|family| family.name() == name);
        found.unwrap_or(Family::Keys)
    })
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match compact(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn compact(arguments: &Arguments) -> Result<()> {
    let opened = Opened::existing(&arguments.dir, Recovery::default())?;
    // What waits to be reclaimed comes before what is there to be compacted.
    while opened.store.reclaim_step()? {}
    opened.engine.flush()?;
    let chosen = |family: &Family| arguments.families.is_empty() || arguments.families.contains(family);
    let (mut before, mut after) = (0, 0);
    for family in Family::ALL.into_iter().filter(chosen) {
        let (had_files, had) = size(&opened.engine.figures(), family);
        rewrite(opened.engine.as_ref(), family, had)?;
        let (files, bytes) = size(&opened.engine.figures(), family);
        println!(
            "{:<8} {had_files:>6} files {:>11}  ->  {files:>6} files {:>11}",
            family.name(),
            HumanBytes(had).to_string(),
            HumanBytes(bytes).to_string()
        );
        before += had;
        after += bytes;
    }
    println!("together {} -> {}", HumanBytes(before), HumanBytes(after));
    opened.close()
}

/// Files and bytes of a family.
fn size(figures: &EngineFigures, family: Family) -> (u64, u64) {
    let levels = figures.family_levels.get(family as usize).map(Vec::as_slice).unwrap_or_default();
    levels.iter().fold((0, 0), |all, level| (all.0 + level.0, all.1 + level.1))
}

/// Compacts a family on a thread of its own; this one looks how much has been read.
fn rewrite(engine: &dyn Engine, family: Family, bytes: u64) -> Result<()> {
    let mut progress = Progress::new("compacting", bytes, Unit::Bytes);
    // The tickers count from the start of the process.
    let compacted_bytes = || engine.figures().ticker("compaction_read_bytes");
    let begin = compacted_bytes();
    let done = thread::scope(|scope| {
        let work = scope.spawn(|| engine.compact(family, &KeyRange::default(), Compaction::Rewrite));
        while !work.is_finished() {
            progress.show(compacted_bytes().saturating_sub(begin));
            thread::park_timeout(LOOK_INTERVAL);
        }
        work.join()
    });
    progress.finish();
    match done {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
