//! Ferrock: a Redis-compatible server whose data lives on disk.
//!
//! Folders are layers and imports run downward only: cli → server → commands →
//! services (acl, pubsub, observe, scripting, replication, transfer) → types → keyspace →
//! storage → codecs (encoding, resp, config) → base. `tests/architecture.rs`
//! holds the code to that; `docs/architecture.md` follows a request through it.

pub mod acl;
pub mod base;
pub mod cli;
pub mod commands;
pub mod config;
pub mod encoding;
pub mod keyspace;
pub mod observe;
pub mod pubsub;
pub mod replication;
pub mod resp;
pub mod scripting;
pub mod server;
pub mod storage;
pub mod transfer;
pub mod types;
