//! The command line: one file a subcommand, exit codes in one place. Knows nothing of how a
//! command of the protocol works.
//!
//! - `server.rs`: `ferrock server [config.toml | redis.conf] [--<parameter> <value>]…`
//! - `config.rs`: `ferrock config check | docs`
//! - `dump.rs`, `restore.rs`: a database out to a file and in again. `offline.rs`: what they
//!   share: opening a directory, filters, progress.
//! - `check.rs`, `repair.rs`: whether a database is whole, and what of it can be saved.
//! - `backup.rs`, `restore_backup.rs`: backups in a folder of their own, and back again.
//! - `stats/`, `compact.rs`: what lies in a database, and less space for the same.
//! - `log.rs`: where log lines go.

mod backup;
mod check;
mod compact;
mod config;
mod dump;
mod log;
mod offline;
mod repair;
mod restore;
mod restore_backup;
mod server;
mod stats;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Bad arguments or configuration.
pub const EXIT_USAGE: u8 = 2;
/// Everything else that fails.
pub const EXIT_FAILURE: u8 = 1;

/// A Redis-compatible server whose data lives on disk.
#[derive(Debug, Parser)]
#[command(name = "ferrock", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Server(server::Arguments),
    Config(config::Arguments),
    Dump(dump::Arguments),
    Restore(restore::Arguments),
    Check(check::Arguments),
    Repair(repair::Arguments),
    Backup(backup::Arguments),
    RestoreBackup(restore_backup::Arguments),
    Stats(stats::Arguments),
    Compact(compact::Arguments),
}

/// Parses the command line and runs what it says.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Server(arguments) => server::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
        Command::Dump(arguments) => dump::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Repair(arguments) => repair::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::RestoreBackup(arguments) => restore_backup::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Compact(arguments) => compact::run(&arguments),
    }
}
