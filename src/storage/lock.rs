//! One process a directory: an advisory lock on `ferrock.lock`, in which the holder writes
//! its process id so that a second one can say whom it met. The kernel lets go when the
//! holder dies, however it dies; the file stays. RocksDB has a lock of its own behind this.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::base::{Error, Result};

/// The file that is locked.
pub const FILE_NAME: &str = "ferrock.lock";

/// More than any process id is long.
const PID_BYTES: u64 = 32;

/// Holds a directory until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock of a directory. A reader on a medium that cannot be written to goes
    /// without one (`None`): nobody else can be writing there.
    ///
    /// # Errors
    /// Held by another process, which the message names; or the file cannot be opened.
    pub fn take(directory: &Path, read_only: bool) -> Result<Option<Self>> {
        Self::take_of("the database", directory, read_only)
    }

    /// The same for a folder of something else; `what` is for the message.
    ///
    /// # Errors
    /// As [`DirectoryLock::take`].
    pub fn take_of(what: &str, directory: &Path, read_only: bool) -> Result<Option<Self>> {
        let path = directory.join(FILE_NAME);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = match opened {
            Ok(file) => file,
            Err(error) if read_only && error.kind() == ErrorKind::ReadOnlyFilesystem => {
                return Ok(None);
            }
            Err(source) => return Err(Error::Io { path, source }),
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(held(what, directory, &mut file)),
            Err(errno) => {
                return Err(Error::Io { path, source: errno.into() });
            }
        }
        note_pid(&mut file).map_err(|source| Error::Io { path, source })?;
        Ok(Some(Self { _file: file }))
    }
}

fn held(what: &str, directory: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let read = file.take(PID_BYTES).read_to_string(&mut text);
    let holder = match (read, text.trim()) {
        (Ok(_), pid) if !pid.is_empty() => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    Error::InUse { what: what.into(), directory: directory.into(), holder }
}

fn note_pid(file: &mut File) -> std::io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_refused_by_name_until_the_first_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(directory.path(), false).unwrap();
        let error = DirectoryLock::take(directory.path(), false).unwrap_err().to_string();
        assert!(error.ends_with(&format!("is in use by process {}", std::process::id())), "{error}");
        drop(first);
        DirectoryLock::take(directory.path(), false).unwrap();
    }

    #[test]
    fn the_name_of_a_former_longer_holder_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), "123456789012345\n").unwrap();
        let _lock = DirectoryLock::take(directory.path(), false).unwrap();
        let text = std::fs::read_to_string(directory.path().join(FILE_NAME)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let error = DirectoryLock::take(&directory.path().join("none"), false).unwrap_err();
        assert!(matches!(error, Error::Io { path, .. } if path.ends_with("none/ferrock.lock")));
    }
}
