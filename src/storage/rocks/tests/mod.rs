//! The engine against what its trait promises, in real directories.
//!
//! - `reading.rs`: points, snapshots, tiers, figures; `walking.rs`: cursors and ranges;
//!   `model.rs`: random steps beside a sorted map.
//! - `opening.rs`: new, foreign, newer, locked, half-made and damaged directories.
//! - `failing.rs`: disks that fill up, fsyncs that fail, stalls.

mod failing;
mod model;
mod opening;
mod reading;
mod walking;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::{OpenOptions, RocksEngine, open};
use crate::storage::budget::EngineBudget;
use crate::storage::{Change, CommitOptions, Cursor, Durability, Engine, Family, Tier, View};

const WAITING: CommitOptions = CommitOptions { may_wait: true, durability: Durability::Kernel };
const HASTY: CommitOptions = CommitOptions { may_wait: false, durability: Durability::Kernel };
const DISK: View = View::latest(Tier::Disk);
const MEMORY: View = View::latest(Tier::Memory);

fn options() -> OpenOptions {
    OpenOptions::new(EngineBudget { block_cache_bytes: 8 << 20, write_buffer_bytes: 8 << 20 })
}

fn opened(directory: &Path) -> Arc<RocksEngine> {
    open(directory, &options()).unwrap()
}

fn put(family: Family, key: &[u8], value: &[u8]) -> Change {
    Change::Put { family, key: Bytes::copy_from_slice(key), value: Bytes::copy_from_slice(value) }
}

fn delete(family: Family, key: &[u8]) -> Change {
    Change::Delete { family, key: Bytes::copy_from_slice(key) }
}

fn delete_range(family: Family, from: &[u8], to: &[u8]) -> Change {
    Change::DeleteRange { family, from: Bytes::copy_from_slice(from), to: Bytes::copy_from_slice(to) }
}

fn commit(engine: &RocksEngine, changes: Vec<Change>) {
    engine.commit(changes, WAITING).unwrap();
}

fn get(engine: &RocksEngine, family: Family, key: &[u8]) -> Option<Bytes> {
    engine.get(family, key, &DISK).unwrap()
}

fn walk_forward(cursor: &mut dyn Cursor) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    cursor.seek_to_first().unwrap();
    while let Some((key, _)) = cursor.entry() {
        keys.push(key.to_vec());
        cursor.next().unwrap();
    }
    keys
}

fn walk_back(cursor: &mut dyn Cursor) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    cursor.seek_to_last().unwrap();
    while let Some((key, _)) = cursor.entry() {
        keys.push(key.to_vec());
        cursor.prev().unwrap();
    }
    keys.reverse();
    keys
}
