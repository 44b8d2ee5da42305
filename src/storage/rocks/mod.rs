//! The RocksDB implementation of [`Engine`](crate::storage::Engine), and the only place that
//! names rocksdb.
//!
//! - `open.rs`: a directory becomes an engine, or a clear refusal.
//! - `relist.rs`: what is done where RocksDB does not open a directory.
//! - `options.rs`: how RocksDB is set up, with reasons.
//! - `engine.rs`: the trait; `cursor.rs`, `snapshot.rs`: what it hands out.
//! - `figures.rs`: what it says about itself.
//! - `failure.rs`: RocksDB's texts of failure as errors of the house.
//! - `ffi/`: the one folder with `unsafe`.

mod cursor;
mod engine;
mod failure;
mod ffi;
mod figures;
mod open;
mod options;
mod relist;
mod snapshot;
#[cfg(test)]
mod tests;

pub use engine::RocksEngine;
pub use open::{
    MOVING_FOLDER, OpenOptions, REBUILT_FOLDER, RESTORING_MARK, Recovery, is_being_repaired, open, open_damaged,
};
pub use relist::{LOST, damaged_files, relist};
