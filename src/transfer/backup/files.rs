//! Bytes of files on their way in and out: copied with their digest, synced, read again to be compared.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{BackupResult, at};

/// Read and written at once.
const PIECE_BYTES: usize = 1 << 20;

/// The end of a sorted file that tells which it is: RocksDB's properties of a file, with the identity of the
/// run that wrote it, are its last block but one, and take a few kilobytes.
const TAIL_BYTES: u64 = 64 << 10;

/// Hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Length and digest of bytes that have passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passed {
    pub bytes: u64,
    pub sha256: String,
}

/// Copies a file to one that is made for it, and syncs that.
pub(super) fn copy(from: &Path, to: &Path, progress: &mut dyn FnMut(u64)) -> BackupResult<Passed> {
    let mut source = File::open(from).map_err(at(from))?;
    let mut made = File::options().write(true).create_new(true).open(to).map_err(at(to))?;
    let passed = read(&mut source, from, progress, |piece| made.write_all(piece).map_err(at(to)))?;
    made.sync_all().map_err(at(to))?;
    Ok(passed)
}

/// Reads a file.
pub(super) fn digest(path: &Path, progress: &mut dyn FnMut(u64)) -> BackupResult<Passed> {
    let mut file = File::open(path).map_err(at(path))?;
    read(&mut file, path, progress, |_| Ok(()))
}

/// The digest of a file's end, and its length.
pub(super) fn tail(path: &Path) -> BackupResult<Passed> {
    let mut file = File::open(path).map_err(at(path))?;
    let bytes = file.metadata().map_err(at(path))?.len();
    file.seek(SeekFrom::Start(bytes.saturating_sub(TAIL_BYTES))).map_err(at(path))?;
    let end = read(&mut file, path, &mut |_| (), |_| Ok(()))?;
    Ok(Passed { bytes, sha256: end.sha256 })
}

fn read(
    file: &mut File,
    path: &Path,
    progress: &mut dyn FnMut(u64),
    mut take: impl FnMut(&[u8]) -> BackupResult<()>,
) -> BackupResult<Passed> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut hash = Sha256::new();
    let mut bytes = 0;
    loop {
        let count = file.read(&mut piece).map_err(at(path))?;
        let passed = piece.get(..count).unwrap_or_default();
        if passed.is_empty() {
            return Ok(Passed { bytes, sha256: hex(&hash.finalize()) });
        }
        hash.update(passed);
        take(passed)?;
        bytes += count as u64;
        progress(count as u64);
    }
}
