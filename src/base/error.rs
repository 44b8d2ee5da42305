//! What can go wrong, in three kinds: the client's doing ([`ClientError`], a
//! catalogue of Redis' exact texts), ours ([`Error::Storage`] and friends,
//! which keep family, key and path), and signals by which a command asks to be
//! run again elsewhere ([`Error::NotInMemory`], [`Error::Undeclared`]).
//!
//! Programming mistakes are assertions and have no variant here.

use std::borrow::Cow;
use std::path::PathBuf;

/// The result of everything that may fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Every failure below the entry layer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client asked for something that cannot be; the text is the reply.
    #[error("{0}")]
    Client(#[from] ClientError),
    /// A read in [`crate::storage::Tier::Memory`] met data that is only on disk. The
    /// command must be run again where waiting is allowed; clients never see this.
    #[error("the data is not in memory")]
    NotInMemory,
    /// A commit that may not wait met a write stall. Run again where waiting is allowed.
    #[error("the write would stall")]
    WouldStall,
    /// A script reached for a key it had not declared, so holds no lock for: run it
    /// again, from scratch, under the exclusive lock.
    #[error("the key was not declared")]
    Undeclared,
    /// The storage engine failed (I/O, full disk, background error).
    #[error("storage: {0}")]
    Storage(String),
    /// A folder belongs to another process, so nothing was done with it.
    #[error("{what} in {directory} is in use by {holder}", directory = directory.display())]
    InUse {
        /// What lies in the folder.
        what: String,
        directory: PathBuf,
        /// The process, as far as it is known.
        holder: String,
    },
    /// Stored bytes are not what was written; never served as data.
    #[error("corruption in family {family}, key {key}: {what}", key = Escaped(key))]
    Corruption {
        /// The column family.
        family: &'static str,
        /// The stored key, raw.
        key: Vec<u8>,
        /// What did not hold.
        what: String,
    },
    /// What lies in a database's folder does not belong together, so it cannot be opened.
    #[error("the database in {directory} is damaged: {what}", directory = directory.display())]
    Damaged {
        /// The folder.
        directory: PathBuf,
        /// What does not fit, with the file where that is known.
        what: String,
    },
    /// A file operation failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
}

impl Error {
    /// A client error of a text that the catalogue lacks because it is composed.
    pub fn client(text: impl Into<Cow<'static, str>>) -> Self {
        ClientError::Text(text.into()).into()
    }

    /// Whether the command is to be run again rather than answered.
    pub fn is_rerun(&self) -> bool {
        matches!(self, Self::NotInMemory | Self::WouldStall | Self::Undeclared)
    }
}

/// Bytes for a human: printable ASCII as it is, the rest as `\xNN`.
struct Escaped<'a>(&'a [u8]);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.0.escape_ascii())
    }
}

/// Redis' error replies, code and text, without the leading `-`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    #[error("ERR value is not a valid float")]
    NotFloat,
    #[error("ERR value is out of range")]
    OutOfRange,
    #[error("ERR value is out of range, must be positive")]
    MustBePositive,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR index out of range")]
    IndexOutOfRange,
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    #[error("ERR increment would produce NaN or Infinity")]
    NanOrInfinity,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error("ERR invalid cursor")]
    InvalidCursor,
    #[error("ERR DB index is out of range")]
    DbIndexOutOfRange,
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(String),
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(String),
    /// A composed text, code included.
    #[error("{0}")]
    Text(Cow<'static, str>),
}
