//! Snapshots: SAVE, BGSAVE, LASTSAVE. They are for taking data elsewhere; what this server
//! itself needs is on its disk already.

use crate::base::{ClientError, Error, Result, clock};
use crate::commands::REDIS_VERSION;
use crate::commands::context::Context;
use crate::commands::instance::Instance;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::config::{SaveFormat, SavePoint, SavePoints, Settings};
use crate::observe::memory;
use crate::resp::Reply;
use crate::transfer::{Frozen, SaveFigures, SaveFile, Snapshot, TransferError};

const BUSY: &str = "ERR Background save already in progress";

/// Seconds until a snapshot of a save point that failed is tried again, as in Redis.
const RETRY_DELAY_S: u64 = 5;

pub(super) fn save(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let saver = context.instance.saver.clone();
    if !saver.begin() {
        return Err(Error::client(BUSY));
    }
    let sequence = context.instance.store.changes();
    saver.finish(under_locks(context), sequence).map_err(failure)?;
    Ok(Outcome::ok())
}

pub(super) fn bgsave(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    if !args.is_empty() && !args.accept("SCHEDULE") {
        return Err(ClientError::Syntax.into());
    }
    args.finish()?;
    let saver = context.instance.saver.clone();
    if !saver.begin() {
        return Err(Error::client(BUSY));
    }
    let sequence = context.instance.store.changes();
    saver.finish_in_background(under_locks(context), sequence).map_err(|error| Error::Storage(error.to_string()))?;
    Ok(Reply::simple("Background saving started").into())
}

/// Of the state of this moment, under the exclusive lock that these commands run with.
fn under_locks(context: &Context<'_>) -> Snapshot {
    let store = &context.instance.store;
    snapshot(context.instance, context.settings, || Frozen::under_locks(store))
}

/// What these settings want, of a state that is frozen where that takes one.
fn snapshot(instance: &Instance, settings: &Settings, freeze: impl FnOnce() -> Frozen) -> Snapshot {
    match settings.save_format {
        SaveFormat::Rdb => Snapshot::Rdb { frozen: Box::new(freeze()), file: snapshot_file(settings) },
        SaveFormat::Checkpoint => Snapshot::Checkpoint {
            engine: instance.store.engine().clone(),
            link: settings.dir.path().join(&settings.checkpoint_dirname),
        },
    }
}

/// SHUTDOWN SAVE, for who holds no locks. What is served is on disk anyway, so a failure is told to the
/// log only.
pub fn save_before_stopping(instance: &Instance) {
    if !instance.saver.begin() {
        tracing::warn!("a snapshot is under way; stopping makes no other");
        return;
    }
    let sequence = instance.store.changes();
    let snapshot = snapshot(instance, &instance.config.snapshot(), || Frozen::now(&instance.store));
    let path = snapshot.path().to_path_buf();
    match instance.saver.finish(snapshot, sequence) {
        Ok(()) => tracing::info!(path = %path.display(), "the snapshot is on disk"),
        Err(error) => tracing::error!(%error, path = %path.display(), "the snapshot failed"),
    }
}

/// The save point that is reached now, if one is.
fn reached(figures: &SaveFigures, changes: u64, points: &SavePoints, now_s: u64) -> Option<SavePoint> {
    let has_rested = figures.last_succeeded || now_s.saturating_sub(figures.last_begun_s) > RETRY_DELAY_S;
    let unsaved = changes.saturating_sub(figures.sequence);
    let age_s = now_s.saturating_sub(figures.last_save_s);
    points.0.iter().copied().find(|point| has_rested && unsaved >= point.changes && age_s > point.seconds)
}

/// Begins a snapshot if a save point is reached. For who holds no locks and may wait.
///
/// # Errors
/// When there is no thread to be had.
pub fn save_if_due(instance: &Instance) -> Result<()> {
    let settings = instance.config.snapshot();
    let saver = &instance.saver;
    let sequence = instance.store.changes();
    let point = reached(&saver.figures(), sequence, &settings.save, clock::now_ms() / 1000);
    let Some(point) = point.filter(|_| saver.begin()) else { return Ok(()) };
    tracing::info!(changes = point.changes, seconds = point.seconds, "a save point is reached: saving");
    let snapshot = snapshot(instance, &settings, || Frozen::now(&instance.store));
    saver.finish_in_background(snapshot, sequence).map_err(|error| Error::Storage(error.to_string()))
}

/// Where and how these settings want an RDB file.
pub fn snapshot_file(settings: &Settings) -> SaveFile {
    SaveFile {
        path: settings.dir.path().join(&settings.dbfilename),
        compress: settings.rdbcompression,
        facts: vec![
            ("redis-ver", REDIS_VERSION.into()),
            ("redis-bits", usize::BITS.to_string()),
            ("ctime", (clock::now_ms() / 1000).to_string()),
            ("used-mem", memory::allocated_bytes().to_string()),
            ("ferrock-ver", env!("CARGO_PKG_VERSION").into()),
        ],
    }
}

fn failure(error: TransferError) -> Error {
    match error {
        TransferError::Store(error) => error,
        error => Error::Storage(error.to_string()),
    }
}

pub(super) fn lastsave(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let seconds = context.instance.saver.figures().last_save_s;
    Ok(Reply::Integer(seconds.cast_signed()).into())
}

/// The log gets shorter by itself, as soon as RocksDB has what is in it.
pub(super) fn bgrewriteaof(_: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    Ok(Reply::simple("Background append only file rewriting started").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(pairs: &[(u64, u64)]) -> SavePoints {
        SavePoints(pairs.iter().map(|(seconds, changes)| SavePoint { seconds: *seconds, changes: *changes }).collect())
    }

    fn figures(last_succeeded: bool) -> SaveFigures {
        SaveFigures {
            last_save_s: 1000,
            last_succeeded,
            last_took_s: None,
            running_s: None,
            saves: 0,
            sequence: 50,
            last_begun_s: 1100,
            keys_written: 0,
        }
    }

    #[test]
    fn a_point_is_reached_by_time_and_changes_together() {
        let points = points(&[(100, 10), (60, 1000)]);
        let due = |changes, now_s| reached(&figures(true), changes, &points, now_s).map(|point| point.seconds);
        assert_eq!(due(60, 1101), Some(100));
        assert_eq!(due(60, 1100), None, "not a second too early");
        assert_eq!(due(59, 1101), None, "one change short");
        assert_eq!(due(1050, 1061), Some(60));
        assert_eq!(due(49, 9999), None);
        assert_eq!(reached(&figures(true), 9999, &SavePoints::default(), 9999), None);
    }

    #[test]
    fn after_a_failure_it_rests() {
        let points = points(&[(1, 1)]);
        assert_eq!(reached(&figures(false), 60, &points, 1105), None);
        assert!(reached(&figures(false), 60, &points, 1106).is_some());
    }
}
