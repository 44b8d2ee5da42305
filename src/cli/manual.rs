//! `ferrock man`: the manual pages, made of the same declarations as the command line itself.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::offline::{failed, with_path};
use super::print::print;
use super::{Cli, EXIT_CODES};

/// Print the manual page, or write the pages of all subcommands
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ferrock man | man -l -
  ferrock man --out /usr/local/share/man/man1")]
pub(super) struct Arguments {
    /// Write a page for each subcommand into this folder, which is made if it is not there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let command = with_exit_codes(Cli::command());
    match &arguments.out {
        Some(folder) => write_all(command, folder),
        None => {
            let mut text = Vec::new();
            match Man::new(command).render(&mut text) {
                Ok(()) => print(&text),
                Err(error) => failed(&error),
            }
        }
    }
}

fn write_all(command: clap::Command, folder: &Path) -> ExitCode {
    let made = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&with_path(folder)(error)),
    }
}

/// Every page tells the exit codes; `--help` of the subcommands need not.
fn with_exit_codes(command: clap::Command) -> clap::Command {
    let is_leaf = !command.has_subcommands();
    let command = match command.get_after_help().map(ToString::to_string) {
        Some(examples) if is_leaf => command.after_help(format!("{examples}\n\n{EXIT_CODES}")),
        _ => command,
    };
    command.mut_subcommands(with_exit_codes)
}
