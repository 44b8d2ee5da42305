//! Where log lines go: standard error or `logfile`, as text or JSON, from `loglevel` on.

use std::fs::OpenOptions;
use std::io;
use std::sync::Mutex;

use tracing::Level;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{LogFormat, LogLevel, Settings};

/// Starts logging as the settings say.
///
/// # Errors
/// When the log file cannot be opened.
pub(super) fn start(settings: &Settings) -> Result<(), String> {
    let level = match settings.loglevel {
        LogLevel::Debug => Some(Level::TRACE),
        LogLevel::Verbose => Some(Level::DEBUG),
        LogLevel::Notice => Some(Level::INFO),
        LogLevel::Warning => Some(Level::WARN),
        LogLevel::Nothing => None,
    };
    let Some(level) = level else { return Ok(()) };
    let (writer, colours) = if settings.logfile.is_empty() {
        (BoxMakeWriter::new(io::stderr), io::IsTerminal::is_terminal(&io::stderr()))
    } else {
        let file = OpenOptions::new().create(true).append(true).open(&settings.logfile);
        let file = file.map_err(|error| format!("cannot open the log file {}: {error}", settings.logfile))?;
        (BoxMakeWriter::new(Mutex::new(file)), false)
    };
    let lines =
        tracing_subscriber::fmt().with_max_level(level).with_ansi(colours).with_target(false).with_writer(writer);
    let started = match settings.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    started.map_err(|error| error.to_string())
}
