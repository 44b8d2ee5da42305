//! `ferrock config check | docs`: reads a configuration as the server would and says
//! what is wrong with it; prints the documents that are made of the table.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::advice;
use super::print::print;
use crate::config::{self, ConfigError};

/// Check a configuration, or print its documentation
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether the server would start with this configuration
    #[command(
        override_usage = "ferrock config check [config.toml | redis.conf] [--<parameter> <value>]…",
        after_help = "Ends with 0 if it would, with 2 and a message by line if not.\n\n\
                      Example:\n  ferrock config check /etc/redis/redis.conf --port 6380"
    )]
    Check {
        /// A configuration file, then any parameter by its name.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Print every parameter with its default and what it does
    #[command(
        after_help = "Examples:\n  ferrock config docs | less\n  ferrock config docs --format toml > config.toml"
    )]
    Docs {
        /// As a chapter of the manual, or as a `config.toml` with every default.
        #[arg(long, value_enum, default_value_t = DocsFormat::Markdown)]
        format: DocsFormat,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DocsFormat {
    Markdown,
    Toml,
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.action {
        Action::Check { words } => check(words),
        Action::Docs { format: DocsFormat::Markdown } => print(config::docs::markdown().as_bytes()),
        Action::Docs { format: DocsFormat::Toml } => print(config::docs::toml().as_bytes()),
    }
}

fn check(words: &[String]) -> ExitCode {
    match config::load_arguments(words) {
        Ok(loaded) => {
            let notes = loaded.notes.iter().map(|note| format!("note: {note}\n"));
            print(format!("{}The configuration is right.\n", notes.collect::<String>()).as_bytes())
        }
        Err(error) => {
            advice::complain(&error, advice::of_configuration(&error));
            ExitCode::from(ConfigError::EXIT_CODE)
        }
    }
}
