//! Where log lines go: standard error or `logfile`, as text or JSON, from `loglevel` on. For
//! systemd's journal, which knows time and process by itself, a line is its priority and the text.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Mutex;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
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
    let for_journal = settings.logfile.is_empty() && settings.log_format == LogFormat::Text && is_journal();
    let (writer, colours) = if for_journal {
        (BoxMakeWriter::new(Journal), false)
    } else if settings.logfile.is_empty() {
        (BoxMakeWriter::new(io::stderr), io::IsTerminal::is_terminal(&io::stderr()))
    } else {
        let file = OpenOptions::new().create(true).append(true).open(&settings.logfile);
        let file = file.map_err(|error| format!("cannot open the log file {}: {error}", settings.logfile))?;
        (BoxMakeWriter::new(Mutex::new(file)), false)
    };
    let lines =
        tracing_subscriber::fmt().with_max_level(level).with_ansi(colours).with_target(false).with_writer(writer);
    let started = match settings.log_format {
        LogFormat::Text if for_journal => lines.without_time().with_level(false).try_init(),
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    started.map_err(|error| error.to_string())
}

/// Whether standard error is the stream that systemd reads into its journal. It names the stream
/// by device and inode, since programs are started with another one all the same.
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    let stream = rustix::fs::fstat(io::stderr());
    stream.is_ok_and(|stream| named == format!("{}:{}", stream.st_dev, stream.st_ino))
}

/// Standard error with priorities as the journal takes them: `<6>` in front of a line.
struct Journal;

/// A line of this priority.
struct Line(u8);

impl<'a> MakeWriter<'a> for Journal {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(priority(Level::INFO))
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        Line(priority(*metadata.level()))
    }
}

/// The priority of syslog for a level.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut text = Vec::with_capacity(line.len() + 3);
        text.extend_from_slice(&[b'<', b'0' + self.0, b'>']);
        text.extend_from_slice(line);
        io::stderr().lock().write_all(&text)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
