//! Commands: their table, the gates in front of it, sessions, one file or folder per family.
//! Arguments in, reply out; knows neither sockets nor RocksDB.
//!
//! - `command.rs`, `grammar.rs`: what an entry says. `table.rs`, `derive.rs`, `keys.rs`: what follows.
//!   `command_info.rs`, `usage.rs`, `reference.rs`: what clients and readers are told of it.
//! - `session.rs`: a connection's conversation. `dispatch.rs`: from the words of a request to
//!   its reply. `context.rs`, `request.rs`, `outcome.rs`: what a handler gets and gives.
//! - `permission.rs`: the gate of users' permissions. `names.rs`: what commands are called.
//! - `observer.rs`: what is told of commits, and to whom. `tracking/`: client-side caching.
//!   `monitor.rs`: MONITOR. `secrets.rs`: what nobody is shown.
//! - `transactions.rs`, `watch.rs`: MULTI and WATCH. `inside.rs`: a command inside EXEC or a script.
//! - `blocking.rs`, `waiters.rs`: waiting for keys. `replication.rs`: SYNC and what replicas say.
//! - `instance.rs`: what all sessions share, and what commands ask of the server. `report.rs`: what the
//!   server knows about itself, for INFO, metrics and the console.
//! - the families.

mod acl;
mod bitmap;
mod blocking;
mod cluster;
pub mod command;
mod command_info;
mod connection;
pub mod context;
pub mod derive;
mod dispatch;
pub mod element_scan;
mod generic;
mod geo;
pub mod grammar;
mod hash;
mod hyperloglog;
mod inside;
mod instance;
pub mod keys;
mod list;
mod monitor;
mod names;
mod observer;
pub mod outcome;
pub mod permission;
mod pubsub;
pub mod reference;
mod replication;
pub mod report;
pub mod request;
mod scripting;
mod secrets;
mod server;
mod session;
mod set;
mod stream;
mod string;
pub mod table;
mod tracking;
mod transactions;
pub mod usage;
mod waiters;
mod watch;
mod zset;

pub use blocking::{GiveUp, Wait};
pub use connection::REDIS_VERSION;
pub use instance::{Control, Endpoint, ExchangeError, Instance, Process, Shutdown};
pub use monitor::{Monitors, Source};
pub use names::Names;
pub use observer::attach;
pub use permission::CATALOGUE;
pub use replication::FullSync;
pub use scripting::restore_libraries;
pub use server::{save_before_stopping, save_if_due};
pub use session::{Next, Session};

/// How many commands and subcommands there are, for arrays beside the table.
pub fn table_size() -> usize {
    table::TABLE.entries().len()
}
