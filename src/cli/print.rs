//! Texts to standard output, for the subcommands that print what is made of a table.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use super::EXIT_FAILURE;

/// Writes to standard output; a reader that has seen enough is no failure.
pub(super) fn print(text: &[u8]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("ferrock: {error}");
            ExitCode::from(EXIT_FAILURE)
        }
        _ => ExitCode::SUCCESS,
    }
}
