//! SAVE and BGSAVE: an RDB file of everything, or a checkpoint, made beside the old one and put in its
//! place when it is complete and on the disk.

use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::filter::Filter;
use super::walk::Frozen;
use super::{Piece, TransferError, checkpoint};
use crate::base::{Error, clock};
use crate::encoding::rdb;
use crate::storage::Engine;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;
/// The same for what goes to a replica.
const COPY_BUFFER_BYTES: usize = 64 << 10;

/// What INFO says of snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaveFigures {
    /// When the last one succeeded, or the server started; seconds since the epoch.
    pub last_save_s: u64,
    /// Whether the last one that was tried succeeded.
    pub last_succeeded: bool,
    /// How long it took; `None` before the first.
    pub last_took_s: Option<u64>,
    /// For how long one is under way.
    pub running_s: Option<u64>,
    /// How many succeeded.
    pub saves: u64,
    /// The number of changes that the last one holds everything up to.
    pub sequence: u64,
    /// When the last one was begun, in seconds since the epoch; 0 before the first.
    pub last_begun_s: u64,
    /// Keys that the one under way has written.
    pub keys_written: u64,
}

/// Makes snapshots, one at a time.
pub struct Saver {
    state: Mutex<State>,
    keys_written: AtomicU64,
}

struct State {
    figures: SaveFigures,
    running_since: Option<Instant>,
}

impl Saver {
    /// Of a server that starts now, with nothing to be saved.
    pub fn new(sequence: u64) -> Self {
        let figures = SaveFigures {
            last_save_s: clock::now_ms() / 1000,
            last_succeeded: true,
            last_took_s: None,
            running_s: None,
            saves: 0,
            sequence,
            last_begun_s: 0,
            keys_written: 0,
        };
        Self { state: Mutex::new(State { figures, running_since: None }), keys_written: AtomicU64::new(0) }
    }

    /// What became of snapshots so far.
    pub fn figures(&self) -> SaveFigures {
        let state = self.state.lock();
        let running_s = state.running_since.map(|since| since.elapsed().as_secs());
        SaveFigures { running_s, keys_written: self.keys_written.load(Ordering::Relaxed), ..state.figures }
    }

    /// Begins to save; false if that is under way already. Whoever gets true calls
    /// [`Saver::finish`].
    pub fn begin(&self) -> bool {
        let mut state = self.state.lock();
        let free = state.running_since.is_none();
        if free {
            state.running_since = Some(Instant::now());
            state.figures.last_begun_s = clock::now_ms() / 1000;
        }
        free
    }

    /// Makes the snapshot and notes what became of it. `sequence` is what it holds at least.
    ///
    /// # Errors
    /// When the store cannot be read or the snapshot not be written.
    pub fn finish(&self, snapshot: Snapshot, sequence: u64) -> Result<(), TransferError> {
        let made = snapshot.make(&self.keys_written);
        let mut state = self.state.lock();
        self.keys_written.store(0, Ordering::Relaxed);
        let took = state.running_since.take().map(|since| since.elapsed().as_secs());
        state.figures.last_took_s = took;
        state.figures.last_succeeded = made.is_ok();
        if made.is_ok() {
            state.figures.last_save_s = clock::now_ms() / 1000;
            state.figures.saves += 1;
            state.figures.sequence = sequence;
        }
        made
    }

    /// The same on a thread of its own.
    ///
    /// # Errors
    /// When there is no thread to be had; saving is then not under way any more.
    pub fn finish_in_background(self: &Arc<Self>, snapshot: Snapshot, sequence: u64) -> Result<(), std::io::Error> {
        let saver = self.clone();
        let path = snapshot.path().to_path_buf();
        let started = std::thread::Builder::new().name("ferrock-save".into()).spawn(move || {
            match saver.finish(snapshot, sequence) {
                Ok(()) => tracing::info!(path = %path.display(), "the snapshot is on disk"),
                Err(error) => tracing::error!(%error, path = %path.display(), "the snapshot failed"),
            }
        });
        if started.is_err() {
            self.state.lock().running_since = None;
        }
        started.map(drop)
    }
}

/// What is made, and of what.
pub enum Snapshot {
    /// An RDB file of a frozen state.
    Rdb { frozen: Box<Frozen>, file: SaveFile },
    /// The whole database as it is when that is made, with a link of this name to it.
    Checkpoint { engine: Arc<dyn Engine>, link: PathBuf },
}

impl Snapshot {
    /// Where it is found when it is complete.
    pub fn path(&self) -> &Path {
        match self {
            Self::Rdb { file, .. } => &file.path,
            Self::Checkpoint { link, .. } => link,
        }
    }

    fn make(self, keys_written: &AtomicU64) -> Result<(), TransferError> {
        match self {
            Self::Rdb { frozen, file } => write_file(*frozen, &file, keys_written),
            Self::Checkpoint { engine, link } => Ok(checkpoint::make(engine.as_ref(), &link)?),
        }
    }
}

/// Where and how an RDB file is written.
#[derive(Debug, Clone)]
pub struct SaveFile {
    pub path: PathBuf,
    pub compress: bool,
    /// What the file says of its making.
    pub facts: Vec<(&'static str, String)>,
}

fn write_file(frozen: Frozen, file: &SaveFile, keys_written: &AtomicU64) -> Result<(), TransferError> {
    let folder = file.path.parent().unwrap_or(Path::new("."));
    let mut made = tempfile::Builder::new();
    // As the umask leaves it: whoever carries the file elsewhere may be another user.
    made.prefix("temp-").suffix(".rdb").permissions(Permissions::from_mode(0o666));
    let made = made.tempfile_in(folder);
    let made = made.map_err(|source| Error::Io { path: folder.into(), source })?;
    let mut writer = rdb::Writer::new(BufWriter::with_capacity(BUFFER_BYTES, made.as_file()), file.compress);
    writer.begin(&file.facts)?;
    frozen.show(&Filter::default(), |piece: Piece| {
        if matches!(piece, Piece::End) {
            keys_written.fetch_add(1, Ordering::Relaxed);
        }
        writer.piece(&piece).map_err(TransferError::from)
    })?;
    writer.finish()?.flush()?;
    made.as_file().sync_all()?;
    made.persist(&file.path).map_err(|error| Error::Io { path: file.path.clone(), source: error.error })?;
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Which parts of everything are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// All there is.
    All,
    /// The function libraries.
    Libraries,
    /// None.
    Nothing,
}

/// What a replica begins with: RDB of everything that is asked for.
pub struct Copy {
    pub frozen: Frozen,
    pub parts: Parts,
    pub compress: bool,
    pub facts: Vec<(&'static str, String)>,
}

impl Copy {
    /// Writes it.
    ///
    /// # Errors
    /// When the store cannot be read or the bytes not be written.
    pub fn write(self, to: impl Write) -> Result<(), TransferError> {
        let mut writer = rdb::Writer::new(BufWriter::with_capacity(COPY_BUFFER_BYTES, to), self.compress);
        writer.begin(&self.facts)?;
        let show = |piece: Piece| writer.piece(&piece).map_err(TransferError::from);
        match self.parts {
            Parts::All => self.frozen.show(&Filter::default(), show)?,
            Parts::Libraries => self.frozen.show_libraries(show)?,
            Parts::Nothing => {}
        }
        writer.finish()?.flush()?;
        Ok(())
    }
}
