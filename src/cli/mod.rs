//! The command line: one file a subcommand, exit codes in one place. Knows nothing of how a
//! command of the protocol works.
//!
//! - `server.rs`: `ferrock server [config.toml | redis.conf] [--<parameter> <value>]…`
//! - `config.rs`: `ferrock config check | docs`
//! - `dump.rs`, `restore.rs`: a database out to a file and in again. `offline.rs`: what they
//!   share: opening a directory, filters, progress.
//! - `check.rs`, `repair.rs`: whether a database is whole, and what of it can be saved.
//! - `log.rs`: where log lines go.

mod check;
mod config;
mod dump;
mod log;
mod offline;
mod repair;
mod restore;
mod server;

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
    }
}
