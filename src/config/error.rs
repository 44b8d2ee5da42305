//! What can be wrong with a configuration, told so that a person can mend it:
//! file, line, parameter, what is allowed. The entry layer prints the message and
//! exits with [`ConfigError::EXIT_CODE`]; CONFIG SET and REWRITE have their own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::parameter::{Parameter, table};

/// Where a directive was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line, counted from 1, of a file.
    Line { file: Arc<Path>, line: usize },
    /// The arguments of the program.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(out, "{}:{line}", file.display()),
            Self::CommandLine => out.write_str("command line"),
        }
    }
}

/// Why the server cannot start with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: {source}", path = path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// The text is not of the form of its file.
    #[error("{origin}: {what}")]
    Syntax { origin: Origin, what: String },
    /// No parameter has this name.
    #[error("{origin}: unknown parameter '{name}'{}", suggestion(.nearest))]
    Unknown { origin: Origin, name: String, nearest: Option<&'static str> },
    /// The value is of the wrong type or out of range.
    #[error("{origin}: {name}: {why} (takes {allowed}{given})", given = given(.value))]
    Value {
        origin: Origin,
        name: &'static str,
        why: String,
        allowed: String,
        /// What was given; `None` for secrets.
        value: Option<String>,
    },
    /// Values that do not go together.
    #[error("{origin}: {name}: {why}")]
    Conflict { origin: Origin, name: &'static str, why: String },
}

impl ConfigError {
    /// How a program ends that was configured wrongly.
    pub const EXIT_CODE: u8 = 2;

    pub(super) fn unknown(origin: Origin, name: &str) -> Self {
        Self::Unknown { origin, name: name.to_owned(), nearest: nearest(name) }
    }

    pub(super) fn value(origin: Origin, parameter: &Parameter, why: String, given: String) -> Self {
        Self::Value {
            origin,
            name: parameter.name,
            why,
            allowed: parameter.kind.allowed(),
            value: (!parameter.secret).then_some(given),
        }
    }
}

fn suggestion(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default()
}

fn given(value: &Option<String>) -> String {
    value.as_ref().map(|value| format!("; given: '{value}'")).unwrap_or_default()
}

/// The known name that is most like this one, if any is much like it.
fn nearest(name: &str) -> Option<&'static str> {
    /// Longer names are no misspellings of anything.
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_ascii_lowercase().replace('_', "-");
    let scored = table().names().map(|known| (distance(name.as_bytes(), known.as_bytes()), known));
    let (edits, known) = scored.min()?;
    (edits <= 1 + name.len() / 4).then_some(known)
}

/// How many letters must be inserted, deleted, replaced or swapped with their
/// neighbour to make one word of the other.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut rows: [Vec<usize>; 3] = [vec![], (0..=b.len()).collect(), vec![]];
    for (i, &x) in a.iter().enumerate() {
        let [before, last, next] = &mut rows;
        next.clear();
        next.push(i + 1);
        for (j, &y) in b.iter().enumerate() {
            let replaced = last.get(j).copied().unwrap_or(i + j) + usize::from(x != y);
            let deleted = last.get(j + 1).copied().unwrap_or(i + j) + 1;
            let inserted = next.last().copied().unwrap_or(i + j) + 1;
            let mut edits = replaced.min(deleted).min(inserted);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(&y) && b.get(j - 1) == Some(&x);
            if swapped {
                edits = edits.min(before.get(j - 1).copied().unwrap_or(i + j) + 1);
            }
            next.push(edits);
        }
        rows.rotate_left(1);
    }
    let [_, last, _] = &rows;
    last.last().copied().unwrap_or(a.len())
}

/// Why CONFIG SET changed nothing; the text is the reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")]
    Failed { name: String, why: String },
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{}: {}", .0.parameter, .0.why)]
    Unapplied(super::live::Unapplied),
}

impl From<super::live::Unapplied> for ReloadError {
    fn from(failure: super::live::Unapplied) -> Self {
        Self::Unapplied(failure)
    }
}

/// Why CONFIG REWRITE left the file as it was; the text is the reply.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    #[error("ERR The server is running without a config file")]
    NoFile,
    #[error("ERR Rewriting config file: {0}")]
    Io(#[from] std::io::Error),
    /// The file became unreadable as configuration since the server started.
    #[error("ERR Rewriting config file: {0}")]
    Config(#[from] ConfigError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_find_their_parameter() {
        for (given, meant) in [
            ("prot", Some("port")),
            ("max-memory", Some("maxmemory")),
            ("appendfsnyc", Some("appendfsync")),
            ("hash_max_listpack_entries", Some("hash-max-listpack-entries")),
            ("zzzzzz", None),
        ] {
            assert_eq!(nearest(given), meant, "{given}");
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance(b"prot", b"port"), 1);
        assert_eq!(distance(b"", b"port"), 4);
        assert_eq!(distance(b"port", b""), 4);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
    }
}
