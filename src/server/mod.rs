//! The server: sockets, the loop of each connection, background tasks, start and stop. It knows
//! sessions and what they ask to wait for, but neither RocksDB nor encodings.
//!
//! - `start.rs`: opens the store, builds what is shared, runs until told to stop.
//! - `listen.rs`: TCP and Unix listeners, who may connect.
//! - `connection.rs`: one task a connection: read, run, wait for what the session asks for, write.
//! - `background.rs`: expiry, reclaiming, key counts, idle clients, free disk space.
//! - `control.rs`: what commands ask of the server (SHUTDOWN, CONFIG SET).

mod background;
mod connection;
mod control;
mod listen;
mod notices;
mod start;

pub use start::{StartError, run};
