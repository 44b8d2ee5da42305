//! `ferrock completions`: what a shell needs to complete a command line, made of the same
//! declarations as the command line itself.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use super::print::print;

/// Print a shell's completions for this command
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ferrock completions bash > /usr/share/bash-completion/completions/ferrock
  ferrock completions zsh > /usr/local/share/zsh/site-functions/_ferrock
  ferrock completions fish > ~/.config/fish/completions/ferrock.fish

The Debian package brings those of bash, zsh and fish along.")]
pub(super) struct Arguments {
    /// The shell.
    shell: Shell,
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "ferrock", &mut text);
    print(&text)
}
