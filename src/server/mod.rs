//! The server: sockets, the loop of each connection, background tasks, start and stop. It knows
//! sessions and what they ask to wait for, but neither RocksDB nor encodings.
//!
//! - `start.rs`: opens the store, builds what is shared, runs until told to stop.
//! - `doors.rs`: where to listen. `listeners.rs`: as the settings say. `listen.rs`: who may connect.
//!   `tls.rs`: certificates.
//! - `web/`: metrics, probes and the console, over HTTP on a port of their own.
//! - `connection.rs`: one task a connection: read, run, wait for what the session asks for, write.
//! - `copy.rs`: the copy of everything that a replica begins with, on its way out.
//! - `debug.rs`: a connection whose script is debugged.
//! - `background.rs`: expiry, reclaiming, key counts, idle clients, free disk space.
//! - `reload.rs`: SIGHUP. `supervisor.rs`: what systemd is told.
//! - `migrate.rs`: the connecting side of MIGRATE.
//! - `replay.rs`: commands without a connection, for `ferrock restore`.
//! - `control.rs`: what commands ask of the server (SHUTDOWN, CONFIG SET).

mod background;
mod connection;
mod control;
mod copy;
mod crew;
mod debug;
mod doors;
mod listen;
mod listeners;
mod migrate;
mod notices;
mod reload;
mod replay;
mod start;
mod supervisor;
mod tls;
mod web;

pub use replay::{Answers, LibraryLoad, Replay};
pub use start::{StartError, run};
