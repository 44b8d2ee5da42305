//! `ferrock restore`: a dump, an RDB file or a log of commands into a database directory, while no
//! server runs. Which of them a file is, its content says.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;

use super::offline::{FilterArguments, Progress, Unit, complain, failed, with_path};
use super::{EXIT_FAILURE, EXIT_USAGE};
use crate::base::{Error, quoting};
use crate::config;
use crate::encoding::dump::{self, DumpReader};
use crate::encoding::rdb;
use crate::server::{LibraryLoad, Replay};
use crate::transfer::{Conflict, Limits, Loaded, Loader, Piece, TransferError};

const BUFFER_BYTES: usize = 1 << 20;

/// Load a dump, an RDB file or an append-only file, while no server runs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ferrock restore --dir /var/lib/ferrock /var/lib/redis/dump.rdb
  ferrock restore --dir /var/lib/ferrock /var/lib/redis/appendonlydir
  ferrock restore --dir /var/lib/ferrock --replace all.dump
  zcat commands.resp.gz | ferrock restore --dir /var/lib/ferrock -

A key appears when it is complete. After an interruption repeat the command with --skip, which
leaves what is there, or with --replace. Commands (an append-only file) are run as they
stand, so they belong into an empty database.")]
pub(super) struct Arguments {
    /// The database directory; made if it is not there.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    filter: FilterArguments,
    /// Values of the file take the place of those that are there.
    #[arg(long, conflicts_with = "skip")]
    replace: bool,
    /// Keys that are there stay as they are.
    #[arg(long)]
    skip: bool,
    /// How many logical databases the server has.
    #[arg(long, value_name = "NUMBER", default_value_t = 16)]
    databases: u32,
    /// The file or the folder of an append-only log, or - for standard input.
    file: PathBuf,
}

impl Arguments {
    fn conflict(&self) -> Conflict {
        match (self.replace, self.skip) {
            (true, _) => Conflict::Replace,
            (_, true) => Conflict::Skip,
            _ => Conflict::Refuse,
        }
    }
}

/// Does what the arguments say.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let words = [
        "--dir".to_owned(),
        arguments.dir.display().to_string(),
        "--databases".to_owned(),
        arguments.databases.to_string(),
        "--port".to_owned(),
        "0".to_owned(),
    ];
    if let Err(error) = std::fs::create_dir_all(&arguments.dir) {
        return failed(&with_path(&arguments.dir)(error));
    }
    let loaded = match config::load_arguments(&words) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("ferrock: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let replay = match Replay::open(loaded.config) {
        Ok(replay) => replay,
        Err(error) => return failed(&error),
    };
    let mut restore = Restore { arguments, replay, loaded: Loaded::default(), took: Duration::ZERO };
    let done = restore.all();
    restore.close(done)
}

/// A restore under way.
struct Restore<'a> {
    arguments: &'a Arguments,
    replay: Replay,
    loaded: Loaded,
    took: Duration,
}

impl Restore<'_> {
    fn all(&mut self) -> Result<(), TransferError> {
        let path = self.arguments.file.as_path();
        if path == Path::new("-") {
            return self.one(io::stdin().lock(), 0);
        }
        for file in files_of(path)? {
            let opened = File::open(&file).map_err(with_path(&file))?;
            let total = opened.metadata().map_or(0, |metadata| metadata.len());
            self.one(opened, total)?;
        }
        Ok(())
    }

    /// One file, by what it begins with.
    fn one(&mut self, from: impl Read, total: u64) -> Result<(), TransferError> {
        let passed = Rc::new(Cell::new(0));
        let mut from = BufReader::with_capacity(BUFFER_BYTES, Counted { from, passed: passed.clone() });
        let mut progress = Steps { progress: Progress::new("restoring", total, Unit::Bytes), passed };
        let beginning = beginning(&mut from)?;
        let done = match beginning {
            Beginning::Nothing => Ok(()),
            Beginning::Dump => {
                let reader = DumpReader::open(&mut from)?;
                self.body(rdb::Reader::body(BufReader::new(reader)), &mut progress)
            }
            Beginning::Rdb => {
                let reader = rdb::Reader::open(&mut from)?;
                self.body(reader, &mut progress).and_then(|()| self.commands(&mut from, &mut progress))
            }
            Beginning::Commands => self.commands(&mut from, &mut progress),
        };
        self.took += progress.progress.finish();
        done
    }

    fn body(&mut self, mut reader: rdb::Reader<impl Read>, progress: &mut Steps) -> Result<(), TransferError> {
        let limits = Limits::of(self.replay.settings());
        let filter = self.arguments.filter.filter();
        let takes_libraries = filter.wants_all();
        let mut loader = Loader::new(self.replay.store().clone(), limits, filter, self.arguments.conflict());
        let mut libraries = Vec::new();
        let read = load(&mut reader, progress, |piece| match piece {
            Piece::Library(code) if takes_libraries => {
                libraries.push(code);
                Ok(())
            }
            piece => loader.piece(piece),
        });
        // What was complete before the damage is kept.
        let finished = loader.finish();
        if let Ok(loaded) = &finished {
            self.loaded = sum(self.loaded, *loaded);
        }
        let taken = self.libraries(&libraries);
        read.and(finished.map(drop).and(taken).map_err(TransferError::from))
    }

    /// Function libraries are loaded by the command, which runs them.
    fn libraries(&mut self, all: &[Bytes]) -> Result<(), Error> {
        let conflict = self.arguments.conflict();
        for code in all {
            match self.replay.load_library(code, conflict == Conflict::Replace)? {
                LibraryLoad::Loaded => self.loaded.libraries += 1,
                LibraryLoad::AlreadyThere if conflict == Conflict::Skip => self.loaded.skipped += 1,
                LibraryLoad::AlreadyThere => {
                    return Err(Error::client(
                        "ERR a function library of the file already exists; see --skip and --replace",
                    ));
                }
            }
        }
        Ok(())
    }

    fn commands(&mut self, from: &mut impl BufRead, progress: &mut Steps) -> Result<(), TransferError> {
        let mut is_first = true;
        loop {
            let bytes = from.fill_buf()?;
            let count = bytes.len();
            if count == 0 {
                break;
            }
            if std::mem::take(&mut is_first) && !self.arguments.filter.filter().wants_all() {
                return Err(Error::client("ERR commands are run as they stand: filters do not apply to them").into());
            }
            self.replay.feed(bytes)?;
            from.consume(count);
            progress.step();
        }
        if self.replay.unfinished_bytes() > 0 {
            eprintln!("ferrock: the last command is cut off; {} bytes were not used", self.replay.unfinished_bytes());
        }
        Ok(())
    }

    /// Says what became of it.
    fn close(self, done: Result<(), TransferError>) -> ExitCode {
        let Self { replay, loaded, took, .. } = self;
        let closed = replay.close();
        report(&loaded, took);
        let answers = match (done, closed) {
            (Err(error), _) => {
                complain(&error);
                eprintln!("ferrock: not everything was restored; what stands above is there and complete");
                return ExitCode::from(EXIT_FAILURE);
            }
            (Ok(()), Err(error)) => return failed(&error),
            (Ok(()), Ok(answers)) => answers,
        };
        if answers.commands > 0 {
            eprintln!("{} commands run", answers.commands);
        }
        if answers.refused == 0 {
            return ExitCode::SUCCESS;
        }
        let first = answers.first_refusal.unwrap_or_default();
        eprintln!("ferrock: {} commands were refused, the first with: {first}", answers.refused);
        ExitCode::from(EXIT_FAILURE)
    }
}

fn report(loaded: &Loaded, took: Duration) {
    let mut notes = vec![format!("{} keys restored in {:.1} s", loaded.keys, took.as_secs_f64())];
    let mut note = |count: u64, what: &str| {
        if count > 0 {
            notes.push(format!("{count} {what}"));
        }
    };
    note(loaded.replaced, "of them in place of others");
    note(loaded.skipped, "left as they were");
    note(loaded.lapsed, "lapsed or empty");
    note(loaded.filtered, "not meant");
    note(loaded.libraries, "function libraries loaded");
    eprintln!("{}", notes.join(", "));
}

fn load(
    reader: &mut rdb::Reader<impl Read>,
    progress: &mut Steps,
    mut take: impl FnMut(Piece) -> Result<(), Error>,
) -> Result<(), TransferError> {
    while let Some(piece) = reader.next()? {
        take(piece)?;
        progress.step();
    }
    Ok(())
}

/// Bytes of a file as they pass, counted before they are uncompressed.
struct Counted<R> {
    from: R,
    passed: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(out)?;
        self.passed.set(self.passed.get() + count as u64);
        Ok(count)
    }
}

/// Progress by the bytes that have passed.
struct Steps {
    progress: Progress,
    passed: Rc<Cell<u64>>,
}

impl Steps {
    fn step(&mut self) {
        self.progress.reached(self.passed.get());
    }
}

fn sum(one: Loaded, other: Loaded) -> Loaded {
    Loaded {
        keys: one.keys + other.keys,
        replaced: one.replaced + other.replaced,
        skipped: one.skipped + other.skipped,
        lapsed: one.lapsed + other.lapsed,
        filtered: one.filtered + other.filtered,
        libraries: one.libraries + other.libraries,
    }
}

/// What a file is.
enum Beginning {
    Nothing,
    Dump,
    Rdb,
    Commands,
}

fn beginning(from: &mut impl BufRead) -> Result<Beginning, TransferError> {
    let bytes = from.fill_buf()?;
    Ok(match bytes {
        [] => Beginning::Nothing,
        bytes if bytes.starts_with(dump::MAGIC) => Beginning::Dump,
        bytes if bytes.starts_with(rdb::MAGIC) => Beginning::Rdb,
        [b'*' | b'#', ..] => Beginning::Commands,
        _ => {
            return Err(Error::client("ERR neither a dump of Ferrock, nor an RDB file, nor a log of commands").into());
        }
    })
}

/// The files to read, in order: the parts of a log that is a folder, else the file itself.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Error> {
    if !path.is_dir() {
        let is_manifest = path.extension().is_some_and(|extension| extension == "manifest");
        return if is_manifest { parts_of(path) } else { Ok(vec![path.into()]) };
    }
    let entries = std::fs::read_dir(path).map_err(with_path(path))?;
    let mut manifests: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "manifest"))
        .collect();
    match (manifests.pop(), manifests.is_empty()) {
        (Some(manifest), true) => parts_of(&manifest),
        (None, _) => Err(Error::client(format!("ERR {} holds no manifest of an append-only log", path.display()))),
        _ => Err(Error::client(format!("ERR {} holds several manifests; name one of them", path.display()))),
    }
}

/// The base file of a log, then what was added, in order. A line is `file NAME seq NUMBER type b|i|h`.
fn parts_of(manifest: &Path) -> Result<Vec<PathBuf>, Error> {
    let text = std::fs::read(manifest).map_err(with_path(manifest))?;
    let folder = manifest.parent().unwrap_or(Path::new("."));
    let mut parts = Vec::new();
    for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#")) {
        let words = quoting::split_arguments(line).unwrap_or_default();
        let value = |name: &[u8]| {
            let place = words.iter().step_by(2).position(|word| word == name)?;
            words.get(2 * place + 1)
        };
        let number = value(b"seq").and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok());
        let (Some(name), Some(number), Some(kind)) = (value(b"file"), number, value(b"type")) else {
            return Err(Error::client(format!("ERR {} is no manifest of an append-only log", manifest.display())));
        };
        let path = folder.join(String::from_utf8_lossy(name).into_owned());
        match &kind[..] {
            b"b" => parts.push((0, number, path)),
            b"i" => parts.push((1, number, path)),
            // What a rewrite has made superfluous.
            _ => {}
        }
    }
    parts.sort();
    Ok(parts.into_iter().map(|(_, _, path)| path).collect())
}
