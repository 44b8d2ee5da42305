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
//! - `commands.rs`, `completions.rs`, `manual.rs`: what is made of tables: `ferrock commands docs`,
//!   `completions`, `man`. `print.rs`: to standard output.
//! - `advice.rs`: what to do about an error. `log.rs`: where log lines go.

mod advice;
mod backup;
mod check;
mod commands;
mod compact;
mod completions;
mod config;
mod dump;
mod log;
mod manual;
mod offline;
mod print;
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

/// What the exit codes mean, for `--help` and the manual.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  it failed, or there are findings; standard error says why
  2  the command line or the configuration is wrong; nothing was done";

/// A Redis-compatible server whose data lives on disk.
#[derive(Debug, Parser)]
#[command(
    name = "ferrock",
    version,
    about,
    arg_required_else_help = true,
    after_help = format!("Examples:\n  ferrock server config.toml\n  ferrock config check /etc/ferrock/config.toml\n  \
                          ferrock help restore\n\n{EXIT_CODES}")
)]
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
    Commands(commands::Arguments),
    Completions(completions::Arguments),
    Man(manual::Arguments),
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
        Command::Commands(arguments) => commands::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => manual::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The subcommands that do something, with the words that call them.
    fn leaves(command: &clap::Command, words: &str, found: &mut Vec<(String, clap::Command)>) {
        for subcommand in command.get_subcommands() {
            let words = format!("{words} {}", subcommand.get_name());
            match subcommand.has_subcommands() {
                true => leaves(subcommand, &words, found),
                false => found.push((words, subcommand.clone())),
            }
        }
    }

    #[test]
    fn every_subcommand_shows_how_it_is_called() {
        Cli::command().debug_assert();
        let mut found = Vec::new();
        leaves(&Cli::command(), "ferrock", &mut found);
        assert!(found.len() >= 10, "{}", found.len());
        for (words, command) in found {
            let shown = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(shown.contains("Example"), "{words} --help shows no example");
            assert!(shown.contains(&words), "the examples of {words} do not call it: {shown}");
        }
    }
}
