//! A backup put back into a directory, and backups read through to see whether they are whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::description::{Description, StoredFile};
use super::folder::{BackupFolder, sync_folder};
use super::{BackupError, BackupResult, at, files};
use crate::storage::RESTORING_MARK;
use crate::storage::lock::{self, DirectoryLock};

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    pub backups: usize,
    pub files: usize,
    pub bytes: u64,
    pub findings: usize,
}

impl BackupFolder {
    /// The description of a backup, or of the newest.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn describe(&self, id: Option<u64>) -> BackupResult<Description> {
        let mut all = self.list()?;
        match id {
            Some(id) => all.remove(&id).unwrap_or(Err(BackupError::Missing { folder: self.path.clone(), id })),
            None => all.pop_last().map_or(Err(BackupError::Empty(self.path.clone())), |(_, newest)| newest),
        }
    }

    /// Reads every file of one backup, or of all, and tells what is not as it was written.
    ///
    /// # Errors
    /// When the folder cannot be read, or there is no such backup.
    pub fn verify(
        &self,
        id: Option<u64>,
        progress: &mut dyn FnMut(u64),
        find: &mut dyn FnMut(u64, BackupError),
    ) -> BackupResult<Checked> {
        let mut all = self.list()?;
        if let Some(id) = id {
            let one = all.remove(&id).ok_or(BackupError::Missing { folder: self.path.clone(), id })?;
            all = BTreeMap::from([(id, one)]);
        }
        let mut checked = Checked { backups: all.len(), ..Checked::default() };
        // Whether what is stored under a digest is what it should be; each is read once.
        let mut seen: BTreeMap<String, bool> = BTreeMap::new();
        for (id, described) in all {
            let description = match described {
                Ok(description) => description,
                Err(error) => {
                    checked.findings += 1;
                    find(id, error);
                    continue;
                }
            };
            for file in &description.files {
                let looked = match seen.get(&file.sha256) {
                    Some(true) => Ok(()),
                    Some(false) => {
                        let what = format!("{} is the same file as that of an earlier backup", file.name);
                        Err(BackupError::Damaged { path: self.stored(&file.sha256), what })
                    }
                    None => {
                        checked.files += 1;
                        checked.bytes += file.bytes;
                        self.look_at(file, progress)
                    }
                };
                seen.insert(file.sha256.clone(), looked.is_ok());
                if let Err(error) = looked {
                    checked.findings += 1;
                    find(id, error);
                }
            }
        }
        Ok(checked)
    }

    fn look_at(&self, file: &StoredFile, progress: &mut dyn FnMut(u64)) -> BackupResult<()> {
        let path = self.stored(&file.sha256);
        let found = files::digest(&path, progress)?;
        compare(file, &found, &path)
    }

    /// Puts a backup into a directory, which must be empty or not there, or hold what an interrupted
    /// restore of a backup has left. Until it is complete the directory is refused as a database.
    ///
    /// # Errors
    /// A directory that holds something; a damaged file; what cannot be read or written.
    pub fn restore(
        &self,
        description: &Description,
        directory: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> BackupResult<()> {
        fs::create_dir_all(directory).map_err(at(directory))?;
        let _lock = DirectoryLock::take(directory, false)?;
        clear(directory)?;
        let mark = directory.join(RESTORING_MARK);
        fs::File::create(&mark).and_then(|file| file.sync_all()).map_err(at(&mark))?;
        sync_folder(directory)?;
        for file in &description.files {
            let from = self.stored(&file.sha256);
            let passed = files::copy(&from, &directory.join(&file.name), progress)?;
            compare(file, &passed, &from)?;
        }
        sync_folder(directory)?;
        fs::remove_file(&mark).map_err(at(&mark))?;
        sync_folder(directory)
    }
}

fn compare(file: &StoredFile, found: &files::Passed, path: &Path) -> BackupResult<()> {
    let what = if found.bytes != file.bytes {
        format!("{} has {} bytes, not {}", file.name, found.bytes, file.bytes)
    } else if found.sha256 != file.sha256 {
        format!("{} has another digest", file.name)
    } else {
        return Ok(());
    };
    Err(BackupError::Damaged { path: path.into(), what })
}

/// Removes what an interrupted restore has left; anything else is a reason to stop.
fn clear(directory: &Path) -> BackupResult<()> {
    let is_ours = directory.join(RESTORING_MARK).try_exists().map_err(at(directory))?;
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        let entry = entry.map_err(at(directory))?;
        let name = entry.file_name();
        if name == lock::FILE_NAME || name == RESTORING_MARK {
            continue;
        }
        if !is_ours {
            return Err(BackupError::Occupied(directory.into()));
        }
        let path = entry.path();
        fs::remove_file(&path).map_err(at(&path))?;
    }
    Ok(())
}
