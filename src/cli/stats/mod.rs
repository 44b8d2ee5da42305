//! `ferrock stats`: what lies in a database, while no server runs: keys, bytes, types and deadlines by database
//! and by prefix, the biggest keys, and the sorted files of each family.
//!
//! - `report.rs`: the figures, and how keys are added to them. `prefixes.rs`: groups of keys by prefix.
//! - `text.rs`: the report for people; as JSON it is what its types say.

mod prefixes;
mod report;
mod text;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::offline::{Opened, Progress, Unit, failed};
use crate::base::{Error, Result, clock};
use crate::storage::Recovery;
use report::{Counting, Report, Shape};

/// Say what lies in a database, while no server runs
#[derive(Debug, Args)]
#[command(after_help = "\
Bytes are those of all entries that a key has, names and indexes included, before compression; what
the files take is told by family. Keys whose deadline has come do not count.

Examples:
  ferrock stats --dir /var/lib/ferrock
  ferrock stats --dir /var/lib/ferrock --depth 2 --prefixes 50 --top 100
  ferrock stats --dir /var/lib/ferrock --json | jq .databases")]
pub(super) struct Arguments {
    /// The database directory, or a checkpoint.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
    /// How many of the biggest keys are named.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=100_000))]
    top: u32,
    /// How many of the largest prefixes of each database are named.
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(..=100_000))]
    prefixes: u32,
    /// What a prefix ends with.
    #[arg(long, value_name = "CHARACTER", default_value_t = ':')]
    delimiter: char,
    /// Up to which delimiter a prefix reaches.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    depth: u32,
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let shown = look(arguments).and_then(|report| show(&report, arguments.json));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn look(arguments: &Arguments) -> Result<Report> {
    let opened = Opened::existing(&arguments.dir, Recovery::default())?;
    let mut delimiter = [0; 4];
    let shape = Shape {
        top: arguments.top as usize,
        prefixes: arguments.prefixes as usize,
        delimiter: arguments.delimiter.encode_utf8(&mut delimiter).as_bytes().to_vec(),
        depth: arguments.depth as usize,
        now_ms: clock::now_ms(),
    };
    let mut progress = Progress::new("looking", opened.estimated_keys(), Unit::Keys);
    let mut counting = Counting::new(shape);
    let mut seen = 0;
    opened.store.survey(&mut |key| {
        counting.add(&key);
        seen += 1;
        progress.reached(seen);
    })?;
    progress.finish();
    let report = counting.finish(&opened.engine.figures());
    opened.close()?;
    Ok(report)
}

/// A reader that has seen enough is no failure.
fn show(report: &Report, json: bool) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = match json {
        true => serde_json::to_writer_pretty(&mut out, report).map_err(io::Error::from).and_then(|()| writeln!(out)),
        false => text::write(report, &mut out),
    };
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { path: "standard output".into(), source: error })
        }
        _ => Ok(()),
    }
}
