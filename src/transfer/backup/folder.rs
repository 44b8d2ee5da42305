//! The folder of backups: which there are, adding one, removing old ones. One process at a time works on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::description::{Description, StoredFile};
use super::{BackupError, BackupResult, at, files};
use crate::base::clock;
use crate::storage::lock::{self, DirectoryLock};

/// The file that says what the folder is.
const MARK: &str = "ferrock-backups";
const MARK_TEXT: &str = "version 1\n";

/// Where files are, by digest.
const FILES: &str = "files";
/// A file on its way in.
const PARTIAL: &str = "partial";

/// What never changes once it is written.
const SORTED_FILE: &str = "sst";

/// A folder of backups, held by this process.
pub struct BackupFolder {
    pub(super) path: PathBuf,
    /// `None` where the medium cannot be written to.
    _lock: Option<DirectoryLock>,
}

/// A backup that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    pub id: u64,
    pub files: usize,
    pub bytes: u64,
    /// Of these, how many files and bytes no backup before has.
    pub new_files: usize,
    pub new_bytes: u64,
}

/// What pruning took away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    pub ids: Vec<u64>,
    pub files: usize,
    pub bytes: u64,
}

impl BackupFolder {
    /// Opens a folder of backups, or makes an empty or missing one into such.
    ///
    /// # Errors
    /// The folder holds something else, is of a later version, or another process works on it.
    pub fn create(path: &Path) -> BackupResult<Self> {
        fs::create_dir_all(path).map_err(at(path))?;
        if !path.join(MARK).try_exists().map_err(at(path))? {
            let mut entries = fs::read_dir(path).map_err(at(path))?;
            if entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() != lock::FILE_NAME)) {
                return Err(BackupError::Foreign(path.into()));
            }
            fs::create_dir(path.join(FILES)).map_err(at(path))?;
            write_new(&path.join(MARK), MARK_TEXT.as_bytes())?;
        }
        Self::open(path)
    }

    /// Opens a folder of backups.
    ///
    /// # Errors
    /// As [`BackupFolder::create`]; and when it is none.
    pub fn open(path: &Path) -> BackupResult<Self> {
        let mark = path.join(MARK);
        match fs::read(&mark) {
            Ok(text) if text == MARK_TEXT.as_bytes() => {}
            Ok(text) => {
                let version = String::from_utf8_lossy(&text).trim().escape_debug().to_string();
                return Err(BackupError::Newer { path: path.into(), version });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(BackupError::Empty(path.into())),
            Err(error) => return Err(at(&mark)(error)),
        }
        let lock = DirectoryLock::take_of("the folder of backups", path, true)?;
        Ok(Self { path: path.into(), _lock: lock })
    }

    /// Every backup by its number, or why its description cannot be used.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn list(&self) -> BackupResult<BTreeMap<u64, Result<Description, BackupError>>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.path).map_err(at(&self.path))? {
            let name = entry.map_err(at(&self.path))?.file_name();
            let Some(id) = id_of(&name) else { continue };
            let path = self.path.join(&name);
            let described = fs::read(&path).map_err(at(&path)).and_then(|stored| {
                let described = Description::decode(&stored).and_then(|found| match found.id == id {
                    true => Ok(found),
                    false => Err(format!("it describes backup {}", found.id)),
                });
                described.map_err(|what| BackupError::Damaged { path, what })
            });
            found.insert(id, described);
        }
        Ok(found)
    }

    pub(super) fn stored(&self, sha256: &str) -> PathBuf {
        self.path.join(FILES).join(sha256)
    }

    fn description_path(&self, id: u64) -> PathBuf {
        self.path.join(format!("backup-{id}.toml"))
    }

    /// Adds a backup of a checkpoint, in which nobody may change anything meanwhile. `source` is for its
    /// description; `progress` hears how many more bytes are done with.
    ///
    /// # Errors
    /// What cannot be read or written; then there is no such backup.
    pub fn add(&self, checkpoint: &Path, source: &str, progress: &mut dyn FnMut(u64)) -> BackupResult<Added> {
        let before = self.list()?;
        let known = self.known(before.values().flatten());
        let id = before.keys().last().map_or(1, |last| last + 1);
        let mut added = Added { id, files: 0, bytes: 0, new_files: 0, new_bytes: 0 };
        let mut stored = Vec::new();
        for name in names(checkpoint)? {
            let (file, is_new) = self.take_in(checkpoint, name, &known, progress)?;
            added.files += 1;
            added.bytes += file.bytes;
            if is_new {
                added.new_files += 1;
                added.new_bytes += file.bytes;
            }
            stored.push(file);
        }
        sync_folder(&self.path.join(FILES))?;
        let made_by = concat!("ferrock ", env!("CARGO_PKG_VERSION")).into();
        let description =
            Description { id, created_ms: clock::now_ms(), source: source.into(), made_by, files: stored };
        let path = self.description_path(id);
        let text = description.encode().map_err(|what| BackupError::Damaged { path: path.clone(), what })?;
        write_new(&path, text.as_bytes())?;
        Ok(added)
    }

    /// Sorted files that are stored already.
    fn known<'a>(&self, earlier: impl Iterator<Item = &'a Description>) -> HashMap<StoredFile, &'a StoredFile> {
        let files = earlier.flat_map(|description| &description.files).filter(|file| {
            let length = || fs::metadata(self.stored(&file.sha256)).map(|found| found.len());
            file.tail_sha256.is_some() && length().is_ok_and(|length| length == file.bytes)
        });
        files.map(|file| (file.identity(), file)).collect()
    }

    /// Sees to it that a file is stored; says whether it was not.
    fn take_in(
        &self,
        checkpoint: &Path,
        name: String,
        known: &HashMap<StoredFile, &StoredFile>,
        progress: &mut dyn FnMut(u64),
    ) -> BackupResult<(StoredFile, bool)> {
        let from = checkpoint.join(&name);
        let mut file = StoredFile { name, bytes: 0, sha256: String::new(), tail_sha256: None };
        if from.extension().is_some_and(|extension| extension == SORTED_FILE) {
            let tail = files::tail(&from)?;
            (file.bytes, file.tail_sha256) = (tail.bytes, Some(tail.sha256));
            if let Some(found) = known.get(&file) {
                progress(found.bytes);
                return Ok(((*found).clone(), false));
            }
        }
        let partial = self.stored(PARTIAL);
        remove_if_there(&partial)?;
        let passed = files::copy(&from, &partial, progress)?;
        let stored = self.stored(&passed.sha256);
        // What lies there under that name may be damaged: the new one is not.
        let is_new = !stored.try_exists().map_err(at(&stored))?;
        fs::rename(&partial, &stored).map_err(at(&stored))?;
        (file.bytes, file.sha256) = (passed.bytes, passed.sha256);
        Ok((file, is_new))
    }

    /// Removes all backups but the `keep` newest, and every file that no backup has.
    ///
    /// # Errors
    /// A damaged description among those kept: nobody knows which files it needs. Nothing is removed then.
    pub fn prune(&self, keep: usize) -> BackupResult<Pruned> {
        let all = self.list()?;
        let spared = all.len().saturating_sub(keep);
        let mut needed = BTreeSet::new();
        let mut pruned = Pruned::default();
        for (place, (id, described)) in all.into_iter().enumerate() {
            if place < spared {
                pruned.ids.push(id);
            } else {
                needed.extend(described?.files.into_iter().map(|file| file.sha256));
            }
        }
        for id in &pruned.ids {
            let path = self.description_path(*id);
            fs::remove_file(&path).map_err(at(&path))?;
        }
        // Descriptions go first, so that none is left that lacks a file.
        sync_folder(&self.path)?;
        let folder = self.path.join(FILES);
        for entry in fs::read_dir(&folder).map_err(at(&folder))? {
            let entry = entry.map_err(at(&folder))?;
            if !entry.file_name().to_str().is_some_and(|name| needed.contains(name)) {
                let path = entry.path();
                pruned.bytes += entry.metadata().map_err(at(&path))?.len();
                pruned.files += 1;
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(pruned)
    }
}

impl StoredFile {
    /// By what a sorted file is recognised without reading it.
    fn identity(&self) -> Self {
        Self { sha256: String::new(), ..self.clone() }
    }
}

/// The number in the name of a description.
fn id_of(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_prefix("backup-")?.strip_suffix(".toml")?;
    digits.parse().ok().filter(|id: &u64| id.to_string() == digits)
}

/// The files of a database directory, in order; its lock is none.
fn names(folder: &Path) -> BackupResult<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        let path = entry.path();
        let is_file = entry.file_type().map_err(at(&path))?.is_file();
        match entry.file_name().into_string() {
            Ok(name) if is_file && name != lock::FILE_NAME => names.push(name),
            _ => {}
        }
    }
    names.sort();
    Ok(names)
}

/// Makes a file that appears complete, and survives a power cut.
fn write_new(path: &Path, bytes: &[u8]) -> BackupResult<()> {
    let partial = path.with_extension("tmp");
    let mut file = fs::File::create(&partial).map_err(at(&partial))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&partial))?;
    fs::rename(&partial, path).map_err(at(path))?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

pub(super) fn sync_folder(folder: &Path) -> BackupResult<()> {
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

fn remove_if_there(path: &Path) -> BackupResult<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}
