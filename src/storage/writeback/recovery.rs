//! Reading the log when a directory is opened: every frame in order, and a judgement on what is not
//! whole. A crash may cut off the last frame, or leave sectors of the last ones unwritten; nobody was
//! told that those are safe, and they are dropped. Anything else that is broken is damage: it is
//! refused and named, or, to rescue what is left, the log ends there.

use std::fs::OpenOptions;
use std::path::Path;

use super::LogDamage;
use super::frame::HEADER_BYTES;
use super::log::{Found, failed};
use super::segment::{self, Read, Reader};
use crate::base::{Error, Result};
use crate::storage::{Change, Recovery};

/// Sectors are written whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// How the log of a directory is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub recovery: Recovery,
    /// Whether what a crash left of a frame is cut off; otherwise nothing is written.
    pub repair: bool,
    /// The first file that there must be, unless it is not known.
    pub first_needed: Option<u64>,
}

/// What was read.
pub(super) struct Replayed {
    pub files: Vec<Found>,
    /// The position behind the last frame.
    pub position: u64,
    pub commits: u64,
}

/// Where the log stops being whole.
struct Break {
    file: usize,
    /// Where in that file, and in the whole log.
    at: u64,
    position: u64,
    what: String,
}

/// Hands every commit of the log to `apply`, in their order.
pub(super) fn replay(
    directory: &Path,
    how: Reading,
    mut apply: impl FnMut(Vec<Change>) -> Result<()>,
) -> Result<Replayed> {
    let numbers = segment::numbers(directory)?;
    refuse_gaps(directory, how, &numbers)?;
    let mut replayed = Replayed { files: Vec::new(), position: 0, commits: 0 };
    if let Some(broken) = read(directory, &numbers, &mut replayed, &mut apply)? {
        end_at(directory, how, &numbers, &broken)?;
    }
    Ok(replayed)
}

/// Where the log of a directory is damaged, if it is. Nothing is changed.
pub(super) fn damage(directory: &Path) -> Result<Option<LogDamage>> {
    let numbers = segment::numbers(directory)?;
    let mut replayed = Replayed { files: Vec::new(), position: 0, commits: 0 };
    let Some(broken) = read(directory, &numbers, &mut replayed, &mut |_| Ok(()))? else { return Ok(None) };
    if is_trace_of_a_crash(directory, &numbers, &broken)? {
        return Ok(None);
    }
    let mut bytes = 0;
    for number in &numbers[broken.file..] {
        let path = segment::path(directory, *number);
        bytes += std::fs::metadata(&path).map_err(|source| Error::Io { path, source })?.len();
    }
    let file = segment::path(directory, numbers[broken.file]);
    let what = format!("{}: {}", file.display(), broken.what);
    Ok(Some(LogDamage { what, bytes: bytes.saturating_sub(broken.at) }))
}

/// Reads the files one after the other; says where the log stops being whole, if it does.
fn read(
    directory: &Path,
    numbers: &[u64],
    replayed: &mut Replayed,
    apply: &mut impl FnMut(Vec<Change>) -> Result<()>,
) -> Result<Option<Break>> {
    for (index, number) in numbers.iter().enumerate() {
        let reader = Reader::open(directory, *number)?;
        let broken = match reader {
            Ok(mut reader) if index == 0 || reader.start == replayed.position => {
                replayed.position = reader.start;
                let what = read_file(&mut reader, replayed, apply)?;
                let (at, position) = reader.at();
                replayed.files.push(Found { number: *number, bytes: at });
                what.map(|what| Break { file: index, at, position, what })
            }
            Ok(_) => {
                let what = "it does not begin where the file before it ends".into();
                Some(Break { file: index, at: 0, position: replayed.position, what })
            }
            Err(what) => Some(Break { file: index, at: 0, position: replayed.position, what }),
        };
        if broken.is_some() {
            return Ok(broken);
        }
    }
    Ok(None)
}

fn refuse_gaps(directory: &Path, how: Reading, numbers: &[u64]) -> Result<()> {
    if how.recovery == Recovery::PointInTime {
        return Ok(());
    }
    let gap =
        numbers.iter().zip(numbers.iter().skip(1)).find(|(one, next)| **one + 1 != **next).map(|(one, _)| one + 1);
    let missing = gap.or_else(|| how.first_needed.filter(|number| !numbers.contains(number)));
    match missing {
        None => Ok(()),
        Some(number) => Err(Error::Storage(format!(
            "the write-ahead log is not complete: {} is missing",
            segment::path(directory, number).display()
        ))),
    }
}

/// Applies the frames of a file; says what is broken behind them.
fn read_file(
    reader: &mut Reader,
    replayed: &mut Replayed,
    apply: &mut impl FnMut(Vec<Change>) -> Result<()>,
) -> Result<Option<String>> {
    loop {
        match reader.next()? {
            Read::End => return Ok(None),
            Read::Broken(what) => return Ok(Some(what)),
            Read::Frame(header, payload) => {
                let Some(changes) = super::frame::changes(&payload) else {
                    return Err(Error::Storage(format!(
                        "the write-ahead log is damaged: {}: a frame at position {} holds no changes",
                        reader.path().display(),
                        header.position
                    )));
                };
                apply(changes)?;
                replayed.position = header.end();
                replayed.commits += 1;
            }
        }
    }
}

/// The log ends here: because of a crash, or because that is wanted.
fn end_at(directory: &Path, how: Reading, numbers: &[u64], broken: &Break) -> Result<()> {
    let number = numbers[broken.file];
    let path = segment::path(directory, number);
    let (file, what) = (path.display(), &broken.what);
    if how.recovery == Recovery::TornTail && !is_trace_of_a_crash(directory, numbers, broken)? {
        return Err(Error::Storage(format!(
            "the write-ahead log is damaged: {file}: {what}; `ferrock repair` saves what can be read"
        )));
    }
    tracing::warn!(%file, "the write-ahead log ends here: {what}");
    if !how.repair {
        return Ok(());
    }
    for later in &numbers[broken.file + 1..] {
        let path = segment::path(directory, *later);
        std::fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
    }
    let cut = if broken.at == 0 {
        std::fs::remove_file(&path)
    } else {
        let file = OpenOptions::new().write(true).open(&path);
        file.and_then(|file| file.set_len(broken.at).and_then(|()| file.sync_all()))
    };
    let cut = cut.and_then(|()| std::fs::File::open(directory)?.sync_all());
    cut.map_err(|error| failed("repair", &path, &error))
}

/// Whether a crash explains what is broken: what it hit was not yet known to be on the disk, and the
/// file ends there, or a sector was never written.
fn is_trace_of_a_crash(directory: &Path, numbers: &[u64], broken: &Break) -> Result<bool> {
    let mut synced = 0;
    for number in &numbers[broken.file..] {
        // The head of a file that a crash kept from being made is of no interest here.
        let Ok(mut reader) = Reader::open(directory, *number)? else { continue };
        if *number == numbers[broken.file] {
            reader.skip_to(broken.at, broken.position);
        }
        synced = synced.max(reader.synced_behind()?);
    }
    if synced > broken.position {
        return Ok(false);
    }
    let path = segment::path(directory, numbers[broken.file]);
    let bytes = std::fs::read(&path).map_err(|source| Error::Io { path, source })?;
    let rest = bytes.get(broken.at as usize..).unwrap_or_default();
    Ok(is_incomplete(rest) || has_unwritten_sector(rest, broken.at))
}

/// Whether the frame was not completed, or the file ends before it does.
fn is_incomplete(rest: &[u8]) -> bool {
    match rest.first_chunk::<HEADER_BYTES>() {
        None => true,
        // Headers are written last.
        Some(stored) if stored.iter().all(|byte| *byte == 0) => true,
        Some(stored) => super::frame::Header::decode(stored)
            .is_some_and(|header| u64::from(header.length) > (rest.len() - HEADER_BYTES) as u64),
    }
}

/// Whether a sector of the frame holds nothing but zeros; `at` is where the frame begins in its file.
fn has_unwritten_sector(rest: &[u8], at: u64) -> bool {
    let header = rest.first_chunk().and_then(super::frame::Header::decode);
    // Without a header, all that is known of the frame is where that should be.
    let length = header.map_or(HEADER_BYTES, |header| HEADER_BYTES + header.length as usize).min(rest.len());
    let mut begin = 0;
    while begin < length {
        let next = (((at + begin as u64) / SECTOR_BYTES + 1) * SECTOR_BYTES - at) as usize;
        let end = if header.is_some() { next.min(length) } else { next.min(rest.len()) };
        // What is left of the sector of the frame before says little, unless there is much of it.
        if end - begin >= HEADER_BYTES && rest[begin..end].iter().all(|byte| *byte == 0) {
            return true;
        }
        begin = next;
    }
    false
}
