//! Checkpoints: the database of one moment in a folder of its own, made of hard links, so at once and
//! without taking space until the served database moves on. BGSAVE makes them where `save-format` says so.
//!
//! ```text
//! dir/checkpoint                  a link to the newest
//! dir/checkpoint-1795772355123    it, by the milliseconds of its making
//! ```
//!
//! The link turns to the new one in one step, so whoever follows it finds a whole database at any
//! moment. The one before goes, unless somebody has it open; then it goes the next time.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::base::{Error, Result, clock};
use crate::storage::Engine;
use crate::storage::lock::DirectoryLock;

/// Makes a checkpoint to which `link` points when this returns; it survives a power cut then.
///
/// # Errors
/// When the engine fails, something else lies at `link`, or the folder cannot be written to. The
/// checkpoint before stays then.
pub fn make(engine: &dyn Engine, link: &Path) -> Result<()> {
    let place = Place::of(link)?;
    place.sweep()?;
    let made = place.free_path();
    engine.checkpoint(&made)?;
    place.turn_to(&made)?;
    place.sweep()
}

/// Where the link and the checkpoints are.
struct Place<'a> {
    link: &'a Path,
    folder: &'a Path,
    name: &'a str,
}

impl<'a> Place<'a> {
    fn of(link: &'a Path) -> Result<Self> {
        let parts = link.parent().zip(link.file_name().and_then(|name| name.to_str()));
        let (folder, name) = parts.ok_or_else(|| Error::Storage(format!("{} names no file", link.display())))?;
        match fs::symlink_metadata(link) {
            Ok(found) if !found.is_symlink() => {
                Err(Error::Storage(format!("{} is in the way of the link to a checkpoint", link.display())))
            }
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::Io { path: link.into(), source: error }),
            _ => Ok(Self { link, folder, name }),
        }
    }

    fn free_path(&self) -> PathBuf {
        let path = |number: u64| self.folder.join(format!("{}-{number}", self.name));
        let mut number = clock::now_ms();
        while path(number).exists() {
            number += 1;
        }
        path(number)
    }

    fn turn_to(&self, made: &Path) -> Result<()> {
        let name = made.file_name().unwrap_or_default();
        let new_link = self.folder.join(format!("{}-link.tmp", self.name));
        let turned = match fs::remove_file(&new_link) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => std::os::unix::fs::symlink(name, &new_link)
                .and_then(|()| fs::rename(&new_link, self.link))
                .and_then(|()| fs::File::open(self.folder)?.sync_all()),
        };
        turned.map_err(|source| Error::Io { path: self.link.into(), source })
    }

    /// Removes checkpoints that the link does not point to and nobody has open, half-made ones included.
    fn sweep(&self) -> Result<()> {
        let newest = fs::read_link(self.link).ok();
        let failed = |source| Error::Io { path: self.folder.into(), source };
        for entry in fs::read_dir(self.folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let is_newest = newest.as_ref().is_some_and(|newest| newest.as_os_str() == name);
            if !is_newest && name.to_str().is_some_and(|name| self.is_checkpoint(name)) {
                remove_unless_open(&entry.path())?;
            }
        }
        Ok(())
    }

    fn is_checkpoint(&self, name: &str) -> bool {
        let number = name.strip_prefix(self.name).and_then(|rest| rest.strip_prefix('-'));
        // RocksDB makes a checkpoint under this name and renames it.
        let number = number.map(|rest| rest.strip_suffix(".tmp").unwrap_or(rest));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// Removes the folder of a database, unless somebody has that open.
///
/// # Errors
/// When there is none, or it cannot be removed.
pub fn remove_unless_open(folder: &Path) -> Result<()> {
    match DirectoryLock::take_of("the checkpoint", folder, false) {
        Err(Error::InUse { .. }) => Ok(()),
        Err(error) => Err(error),
        Ok(_held) => gone(fs::remove_dir_all(folder)).map_err(|source| Error::Io { path: folder.into(), source }),
    }
}

/// Somebody else may have removed it.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::budget::EngineBudget;
    use crate::storage::{self, Change, CommitOptions, Durability, Family, OpenOptions, Tier, View};
    use std::sync::Arc;

    fn open(folder: &Path) -> Arc<dyn Engine> {
        let budget = EngineBudget { block_cache_bytes: 8 << 20, write_buffer_bytes: 4 << 20 };
        storage::open(folder, &OpenOptions::new(budget)).unwrap()
    }

    fn put(engine: &dyn Engine, value: &'static str) {
        let change = Change::Put { family: Family::Keys, key: "key".into(), value: value.into() };
        engine.commit(vec![change], CommitOptions { may_wait: true, durability: Durability::Kernel }).unwrap();
    }

    fn folders(folder: &Path) -> usize {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("checkpoint-")).count()
    }

    #[test]
    fn the_link_leads_to_the_newest_and_an_open_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path());
        let link = folder.path().join("checkpoint");
        put(&*engine, "one");
        make(&*engine, &link).unwrap();
        let first = open(&fs::canonicalize(&link).unwrap());
        put(&*engine, "two");
        fs::create_dir(folder.path().join("checkpoint-12.tmp")).unwrap();
        make(&*engine, &link).unwrap();
        assert_eq!(folders(folder.path()), 2, "the open one and the newest");
        let value = |engine: &dyn Engine| engine.get(Family::Keys, b"key", &View::latest(Tier::Disk)).unwrap().unwrap();
        assert_eq!(value(&*first), "one");
        first.close().unwrap();
        drop(first);
        let second = open(&fs::canonicalize(&link).unwrap());
        assert_eq!(value(&*second), "two");
        second.close().unwrap();
        drop(second);
        make(&*engine, &link).unwrap();
        assert_eq!(folders(folder.path()), 1);
        engine.close().unwrap();
    }

    #[test]
    fn what_else_lies_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(folder.path());
        let link = folder.path().join("checkpoint");
        fs::create_dir(&link).unwrap();
        fs::create_dir(folder.path().join("checkpoint-old")).unwrap();
        let refused = make(&*engine, &link).unwrap_err().to_string();
        assert!(refused.contains("is in the way"), "{refused}");
        fs::remove_dir(&link).unwrap();
        make(&*engine, &link).unwrap();
        assert!(folder.path().join("checkpoint-old").exists());
        engine.close().unwrap();
    }
}
