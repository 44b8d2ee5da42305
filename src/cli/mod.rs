//! The command line: one file a subcommand, exit codes in one place. Knows nothing of how a
//! command of the protocol works.
//!
//! - `server.rs`: `ferrock server [config.toml | redis.conf] [--<parameter> <value>]…`
//! - `config.rs`: `ferrock config check | docs`
//! - `log.rs`: where log lines go.

mod config;
mod log;
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
}

/// Parses the command line and runs what it says.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Server(arguments) => server::run(&arguments),
        Command::Config(arguments) => config::run(&arguments),
    }
}
