//! Snapshots: SAVE, BGSAVE, LASTSAVE. They are for taking data elsewhere; what this server
//! itself needs is on its disk already.

use crate::base::{ClientError, Error, Result, clock};
use crate::commands::REDIS_VERSION;
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::config::Settings;
use crate::observe::memory;
use crate::resp::Reply;
use crate::transfer::{Frozen, SaveFile, TransferError};

const BUSY: &str = "ERR Background save already in progress";

pub(super) fn save(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let saver = context.instance.saver.clone();
    if !saver.begin() {
        return Err(Error::client(BUSY));
    }
    let (frozen, sequence) = freeze(context);
    saver.finish(frozen, sequence, &snapshot_file(context.settings)).map_err(failure)?;
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
    let (frozen, sequence) = freeze(context);
    saver
        .finish_in_background(frozen, sequence, snapshot_file(context.settings))
        .map_err(|error| Error::Storage(error.to_string()))?;
    Ok(Reply::simple("Background saving started").into())
}

/// The state of this moment, under the exclusive lock that these commands run with.
fn freeze(context: &Context<'_>) -> (Frozen, u64) {
    let store = &context.instance.store;
    (Frozen::under_locks(store), store.changes())
}

/// Where and how these settings want a snapshot.
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

/// RocksDB compacts by itself.
pub(super) fn bgrewriteaof(_: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    Ok(Reply::simple("Background append only file rewriting started").into())
}
