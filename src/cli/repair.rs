//! `ferrock repair`: saves what of a damaged database can be read, and lists what is lost.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use clap::Args;

use super::check::{line, look};
use super::offline::{Opened, failed};
use super::{EXIT_FAILURE, EXIT_USAGE};
use crate::base::{Error, Result};
use crate::config;
use crate::encoding::key::reclaim_object_key;
use crate::encoding::record::{Record, Type};
use crate::keyspace::{Finding, Remedy};
use crate::storage::{
    Change, CommitOptions, Durability, Family, Gap, KeyRange, LOST, LogDamage, Recovery, Tier, View, keep_readable,
    log_damage, relist, resume_repair,
};
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
    let mut losses = 0;
    if resume_repair(&arguments.dir)? {
        println!("lost: what the repair before listed, which did not come to its end");
        losses += 1;
    }
    if let Some(LogDamage { what, bytes }) = log_damage(&arguments.dir)? {
        println!("lost: the writes behind damage to the write-ahead log, {bytes} bytes ({what})");
        losses += 1;
    }
    let mut gaps = Vec::new();
    let mut files_lost = 0;
    let open = || Opened::existing(&arguments.dir, Recovery::PointInTime);
    let mut opened = open();
    if let Err(Error::Damaged { .. }) = opened {
        files_lost = list_anew(&arguments.dir)?;
        losses += files_lost;
        opened = open();
    }
    if let Err(Error::Corruption { .. }) = opened {
        gaps.extend(write_anew(&arguments.dir)?);
        opened = open();
    }
    let mut opened = opened?;
    let mut findings = look_at(&opened)?;
    let is_damaged = findings.iter().any(|finding| finding.remedy == Remedy::Rewrite);
    if is_damaged || opened.engine.verify().is_err() {
        opened.close()?;
        gaps.extend(write_anew(&arguments.dir)?);
        opened = open()?;
        findings = look_at(&opened)?;
    }
    let is_note = |finding: &&Finding| matches!(finding.remedy, Remedy::Put { family: Family::System, .. });
    if findings.iter().any(|finding| is_note(&finding)) {
        // What is repaired below has to know them from the beginning.
        for finding in findings.iter().filter(is_note) {
            eprintln!("{}", line(finding));
            losses += apply(&opened, finding, &finding.remedy)?;
        }
        opened.close()?;
        opened = open()?;
        findings = look_at(&opened)?;
    }
    losses += gaps.len() as u64;
    name_owners(&opened, &gaps, files_lost > 0)?;
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

fn look_at(opened: &Opened) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    look(opened, &mut |finding| findings.push(finding))?;
    Ok(findings)
}

/// Has RocksDB make a new list of its files, where the old one is lost or damaged or names one that is.
fn list_anew(directory: &Path) -> Result<u64> {
    eprintln!("RocksDB does not open the database: listing its files anew");
    let (files, notes_lost) = relist(directory)?;
    for file in &files {
        println!("lost: all that was in {file}, which cannot be read and lies in {LOST}/ now");
    }
    if notes_lost {
        println!("lost: the database's notes about itself; SWAPDB is undone, what was flushed may be back");
    }
    Ok(files.len() as u64 + u64::from(notes_lost))
}

/// Writes what can be read into new files.
fn write_anew(directory: &Path) -> Result<Vec<Gap>> {
    eprintln!("RocksDB's files are damaged: writing anew what can be read");
    let gaps = keep_readable(directory)?;
    let named = |key: &Option<Bytes>, none: &str| match key {
        Some(key) => format!("\"{}\"", key.escape_ascii()),
        None => none.to_owned(),
    };
    for gap in &gaps {
        println!(
            "lost: {} between {} and {} ({})",
            gap.family.name(),
            named(&gap.after, "the beginning"),
            named(&gap.before, "the end"),
            gap.what
        );
    }
    Ok(gaps)
}

/// Lists the keys whose values may lack parts that could not be read. Of whole files that are lost nobody knows
/// what was in them: counts tell of collections, but a long string has zeros there now, as it might have had before.
fn name_owners(opened: &Opened, gaps: &[Gap], files_lost: bool) -> Result<()> {
    let object = |key: &Option<Bytes>| key.as_ref().and_then(|key| key.first_chunk().copied()).map(u64::from_be_bytes);
    let gaps = gaps.iter().filter(|gap| matches!(gap.family, Family::Data | Family::Scores));
    let ranges = gaps.map(|gap| object(&gap.after).unwrap_or(0)..=object(&gap.before).unwrap_or(u64::MAX));
    let ranges: Vec<_> = ranges.collect();
    if ranges.is_empty() && !files_lost {
        return Ok(());
    }
    let mut cursor = opened.engine.cursor(Family::Keys, KeyRange::default(), &View::latest(Tier::Disk))?;
    cursor.seek_to_first()?;
    while let Some((key, stored)) = cursor.entry() {
        let record = Record::decode(&Bytes::copy_from_slice(stored)).ok();
        let large = record.and_then(|record| Some((record.kind, record.object()?.0)));
        let is_meant = |(kind, object): (Type, u64)| {
            files_lost && kind == Type::String || ranges.iter().any(|range| range.contains(&object))
        };
        if large.is_some_and(is_meant) {
            println!("partly lost, perhaps: keys \"{}\"", key.escape_ascii());
        }
        cursor.next()?;
    }
    Ok(())
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
        Remedy::None | Remedy::Rewrite | Remedy::Rebuild => {
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
