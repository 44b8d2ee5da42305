//! `ferrock server`: reads the configuration and runs a server in the foreground.

use std::process::ExitCode;

use clap::Args;

use super::{EXIT_FAILURE, EXIT_USAGE, advice, log};
use crate::{config, server};

/// Run the server in the foreground
#[derive(Debug, Args)]
#[command(
    override_usage = "ferrock server [config.toml | redis.conf] [--<parameter> <value>]…",
    after_help = "Examples:\n  ferrock server config.toml\n  ferrock server --port 6380 --dir /tmp/x --maxmemory 256mb --appendfsync always\n\n\
                  SIGHUP has it read its configuration, certificates and users again; SIGTERM stops it."
)]
pub(super) struct Arguments {
    /// A configuration file, then any parameter by its name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs the server until it is told to stop.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let loaded = match config::load_arguments(&arguments.words) {
        Ok(loaded) => loaded,
        Err(error) => {
            advice::complain(&error, advice::of_configuration(&error));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if let Err(error) = log::start(&loaded.config.load()) {
        eprintln!("ferrock: {error}");
        return ExitCode::from(EXIT_USAGE);
    }
    for note in &loaded.notes {
        tracing::info!("{note}");
    }
    match server::run(loaded.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            advice::complain(&error, advice::of_start(&error));
            ExitCode::from(EXIT_FAILURE)
        }
    }
}
