//! A database of what can be read of another: for `ferrock repair`, where blocks of sorted files are damaged.
//!
//! A damaged block stays in the way of every cursor and every compaction that comes to it, so the file has to go.
//! All families are walked; where the walk meets damage, it goes on behind it, at the first key that can be
//! read again. What was read becomes a new database in the same folder, and the files of the
//! old one go into the folder [`LOST`]: nothing is deleted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::budget::{Budget, Shares};
use super::lock::DirectoryLock;
use super::rocks::{self, LOST, MOVING_FOLDER, OpenOptions, REBUILT_FOLDER, Recovery, RocksEngine};
use super::{Engine, Family, KeyRange, Tier, View};
use crate::base::{Error, Result};

/// Memory for both databases together.
const BUDGET_BYTES: u64 = 512 << 20;
const READAHEAD_BYTES: usize = 2 << 20;
const BATCH_ENTRIES: usize = 1024;
const BATCH_BYTES: usize = 4 << 20;

/// Of keys only so many bytes are told apart when the end of damage is looked for.
const PRECISION_BYTES: usize = 256;
/// And so many behind the last key that could be read: keys of one object differ late.
const BEHIND_BYTES: usize = 16;

/// Files of ours lie beside RocksDB's, and are not part of what is exchanged.
const OURS: &str = "ferrock";

/// A stretch of a family that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    pub family: Family,
    /// The last key before it that could be read; `None` at the beginning.
    pub after: Option<Bytes>,
    /// The first key behind it that could be read; `None` at the end.
    pub before: Option<Bytes>,
    /// What RocksDB says, with the file.
    pub what: String,
}

/// Writes all that can be read of a database anew, and tells what cannot.
///
/// # Errors
/// In use by another process, or not to be opened; the disk is full. The old files are in place
/// until all is written.
pub fn keep_readable(directory: &Path) -> Result<Vec<Gap>> {
    let at = |source| Error::Io { path: directory.into(), source };
    let budget = Budget::split(BUDGET_BYTES / 2, Shares::default());
    let options = OpenOptions { recovery: Recovery::PointInTime, ..OpenOptions::new(budget.engine) };
    let new = tempfile::Builder::new().prefix("ferrock.scratch-").tempdir_in(directory).map_err(at)?;
    let mut gaps = Vec::new();
    {
        let from = rocks::open_damaged(directory, &OpenOptions { create_if_missing: false, ..options.clone() })?;
        let to = rocks::open(new.path(), &options)?;
        for family in Family::ALL {
            copy(&from, &to, family, &mut gaps)?;
        }
        to.flush()?;
        to.close()?;
        from.close()?;
    }
    exchange(directory, &new.keep()).map_err(at)?;
    Ok(gaps)
}

/// Whether a repair was interrupted while it put the new database in the old one's place; it is brought to its end.
///
/// # Errors
/// In use by another process; the files cannot be moved.
pub fn resume_repair(directory: &Path) -> Result<bool> {
    let at = |source| Error::Io { path: directory.into(), source };
    if !rocks::is_being_repaired(directory).map_err(at)? {
        return Ok(false);
    }
    let _lock = DirectoryLock::take(directory, false)?;
    finish_exchange(directory).map_err(at)?;
    Ok(true)
}

fn copy(from: &RocksEngine, to: &RocksEngine, family: Family, gaps: &mut Vec<Gap>) -> Result<()> {
    let view = View { fill_cache: false, readahead_bytes: READAHEAD_BYTES, ..View::latest(Tier::Disk) };
    let new_cursor = || from.cursor(family, KeyRange::default(), &view);
    let mut cursor = new_cursor()?;
    let mut batch = Batch::default();
    let mut stands = cursor.seek_to_first();
    loop {
        match stands {
            Ok(()) => {
                let Some((key, value)) = cursor.entry() else { break };
                batch.add(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
                if batch.is_full() {
                    batch.write(to, family)?;
                }
                stands = cursor.next();
            }
            Err(error) => {
                let after = batch.last.clone();
                // One that has met damage keeps some of it.
                let mut probe = |key: &[u8]| new_cursor().is_ok_and(|mut cursor| cursor.seek(key).is_ok());
                let resumes_at = first_readable(after.as_deref(), &mut probe);
                let what = error.to_string();
                let Some(resumes_at) = resumes_at else {
                    gaps.push(Gap { family, after, before: None, what });
                    break;
                };
                cursor = new_cursor()?;
                stands = cursor.seek(&resumes_at);
                let before = cursor.entry().map(|(key, _)| Bytes::copy_from_slice(key));
                gaps.push(Gap { family, after, before, what });
            }
        }
    }
    batch.write(to, family)
}

/// The smallest key behind `last` that can be sought, about: what lies behind damage begins there. `probe`
/// tells whether a key can be.
fn first_readable(last: Option<&[u8]>, probe: &mut dyn FnMut(&[u8]) -> bool) -> Option<Vec<u8>> {
    let last = last.unwrap_or_default();
    let length = (last.len() + BEHIND_BYTES).min(PRECISION_BYTES);
    let mut below = last.to_vec();
    below.resize(length, 0);
    // Ever larger steps, so that what can be read between two damaged stretches is not stepped over.
    let mut above = None;
    for bit in 0..length * 8 {
        let Some(next) = plus(&below, bit) else { break };
        if probe(&next) {
            above = Some(next);
            break;
        }
        below = next;
    }
    let mut above = match above {
        Some(above) => above,
        None => Some(vec![0xff; length]).filter(|end| probe(end))?,
    };
    while let Some(middle) = between(&below, &above) {
        if probe(&middle) { above = middle } else { below = middle }
    }
    Some(above)
}

/// `number` with a power of two added, both as big-endian numbers of the same length.
fn plus(number: &[u8], bit: usize) -> Option<Vec<u8>> {
    let mut sum = number.to_vec();
    let mut carry = 1u16 << (bit % 8);
    for byte in sum.iter_mut().rev().skip(bit / 8) {
        let added = u16::from(*byte) + carry;
        *byte = added as u8;
        carry = added >> 8;
        if carry == 0 {
            return Some(sum);
        }
    }
    None
}

/// The number half-way between two, if there is one that is neither.
fn between(low: &[u8], high: &[u8]) -> Option<Vec<u8>> {
    let mut sum = Vec::with_capacity(low.len());
    let mut carry = 0;
    for (one, other) in low.iter().zip(high).rev() {
        let added = u16::from(*one) + u16::from(*other) + carry;
        sum.push(added as u8);
        carry = added >> 8;
    }
    sum.reverse();
    for byte in &mut sum {
        let whole = carry << 8 | u16::from(*byte);
        *byte = (whole >> 1) as u8;
        carry = whole & 1;
    }
    (&sum[..] > low && &sum[..] < high).then_some(sum)
}

#[derive(Default)]
struct Batch {
    entries: Vec<(Bytes, Option<Bytes>)>,
    bytes: usize,
    last: Option<Bytes>,
}

impl Batch {
    fn add(&mut self, key: Bytes, value: Bytes) {
        self.bytes += key.len() + value.len();
        self.last = Some(key.clone());
        self.entries.push((key, Some(value)));
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_ENTRIES || self.bytes >= BATCH_BYTES
    }

    fn write(&mut self, to: &RocksEngine, family: Family) -> Result<()> {
        let points: Vec<_> = self.entries.iter().map(|(key, value)| (key, value)).collect();
        to.apply_points(family, &points)?;
        self.entries.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// Puts the files of a new database in the place of an old one's. Whether that has come to its end is said by
/// the name of the folder in which the new ones lie, so [`finish_exchange`] can go on from anywhere.
fn exchange(directory: &Path, new: &Path) -> io::Result<()> {
    fs::rename(new, directory.join(REBUILT_FOLDER))?;
    finish_exchange(directory)
}

/// Goes on with an exchange that was interrupted, if there is one.
fn finish_exchange(directory: &Path) -> io::Result<()> {
    let (rebuilt, moving) = (directory.join(REBUILT_FOLDER), directory.join(MOVING_FOLDER));
    if rebuilt.try_exists()? {
        let lost = directory.join(LOST);
        fs::create_dir_all(&lost)?;
        for name in files_of_rocksdb(directory)? {
            fs::rename(directory.join(&name), free_place(&lost, &name)?)?;
        }
        fs::rename(&rebuilt, &moving)?;
    }
    if moving.try_exists()? {
        // Last comes what makes a database of the files.
        let mut names = files_of_rocksdb(&moving)?;
        names.sort_unstable_by_key(|name| name == "CURRENT");
        for name in names {
            fs::rename(moving.join(&name), directory.join(&name))?;
        }
        fs::remove_dir_all(&moving)?;
    }
    fs::File::open(directory)?.sync_all()
}

/// A path in a folder that nothing lies at: files of two databases may have the same name.
fn free_place(folder: &Path, name: &str) -> io::Result<PathBuf> {
    let mut path = folder.join(name);
    let mut number = 1;
    while path.try_exists()? {
        path = folder.join(format!("{name}.{number}"));
        number += 1;
    }
    Ok(path)
}

fn files_of_rocksdb(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && !name.starts_with(OURS) {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Damage between two keys, whatever they are: what comes out can be read, and no smaller key of the
        /// same precision can.
        #[test]
        fn the_end_of_damage_is_found(last in prop::collection::vec(any::<u8>(), 0..20), behind in prop::collection::vec(any::<u8>(), 1..20)) {
            prop_assume!(behind > last);
            let mut probe = |key: &[u8]| key >= &behind[..];
            let found = first_readable(Some(&last), &mut probe);
            let found = found.expect("behind the damage there is something");
            prop_assert!(found >= behind);
            if let Some(smaller) = minus_one(&found) {
                prop_assert!(smaller < behind || smaller <= last, "{:?} would do", smaller);
            }
        }
    }

    fn minus_one(number: &[u8]) -> Option<Vec<u8>> {
        let mut less = number.to_vec();
        for byte in less.iter_mut().rev() {
            *byte = byte.wrapping_sub(1);
            if *byte != 0xff {
                return Some(less);
            }
        }
        None
    }

    /// An exchange that ends anywhere and is gone on with leaves the new files and nothing of the old ones.
    #[test]
    fn an_interrupted_exchange_is_gone_on_with() {
        let old = ["000001.sst", "000002.sst", "CURRENT", "MANIFEST-000003"];
        let new = ["000002.sst", "CURRENT", "MANIFEST-000001"];
        let write = |folder: &Path, names: &[&str], what: &str| {
            fs::create_dir_all(folder).unwrap();
            names.iter().for_each(|name| fs::write(folder.join(name), what).unwrap());
        };
        for (moved_out, moved_in) in [(0, 0), (2, 0), (4, 0), (4, 1), (4, 3)] {
            let directory = tempfile::tempdir().unwrap();
            let place = directory.path();
            write(place, &["ferrock.lock"], "ours");
            write(place, &old[moved_out..], "old");
            write(&place.join(LOST), &["000001.sst"], "older");
            write(&place.join(LOST), &old[1.min(moved_out)..moved_out], "old");
            write(place, &new[..moved_in], "new");
            let folder = if moved_out == 4 { MOVING_FOLDER } else { REBUILT_FOLDER };
            write(&place.join(folder), &new[moved_in..], "new");
            assert!(resume_repair(place).unwrap());
            let mut names = files_of_rocksdb(place).unwrap();
            names.sort_unstable();
            assert_eq!(names, new, "{moved_out} moved out, {moved_in} in");
            assert!(names.iter().all(|name| fs::read_to_string(place.join(name)).unwrap() == "new"));
            assert_eq!(fs::read_to_string(place.join(LOST).join("000001.sst")).unwrap(), "older", "nothing is deleted");
            assert!(!resume_repair(place).unwrap());
        }
    }

    #[test]
    fn where_nothing_can_be_read_any_more_there_is_no_end() {
        assert_eq!(first_readable(Some(b"key"), &mut |_| false), None);
        assert_eq!(first_readable(None, &mut |_| false), None);
    }
}
