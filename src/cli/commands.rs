//! `ferrock commands docs`: the reference of the protocol's commands, made of their table.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::print::print;
use crate::commands::reference;

/// Print the reference of all commands that clients can send
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print every command with its syntax, what it does, since when, and its state
    #[command(after_help = "Example:\n  ferrock commands docs > docs/commands.md")]
    Docs,
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match arguments.action {
        Action::Docs => print(reference::markdown().as_bytes()),
    }
}
