//! What the commands share that work on a database directory while no server runs: opening it,
//! which keys are meant, progress.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::EXIT_FAILURE;
use crate::base::{Error, Result};
use crate::keyspace::{Databases, Store, StoreOptions, Type};
use crate::storage::budget::{Budget, Shares};
use crate::storage::{self, Engine, OpenOptions, Recovery};
use crate::transfer::Filter;

/// Memory of an offline command.
const BUDGET_BYTES: u64 = 512 << 20;
/// A line of progress this often, where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Steps between looks at the clock.
const STEPS: u64 = 256;

/// Which keys are meant.
#[derive(Debug, Args)]
pub(super) struct FilterArguments {
    /// Only this logical database; may be given several times.
    #[arg(long = "database", value_name = "NUMBER")]
    only_databases: Vec<u32>,
    /// Only keys that match this glob pattern, as in SCAN; may be given several times.
    #[arg(long = "match", value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Only keys of this type; may be given several times.
    #[arg(long = "type", value_name = "TYPE", value_enum)]
    kinds: Vec<KindArgument>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindArgument {
    String,
    List,
    Set,
    Zset,
    Hash,
    Stream,
}

impl From<KindArgument> for Type {
    fn from(kind: KindArgument) -> Self {
        match kind {
            KindArgument::String => Self::String,
            KindArgument::List => Self::List,
            KindArgument::Set => Self::Set,
            KindArgument::Zset => Self::SortedSet,
            KindArgument::Hash => Self::Hash,
            KindArgument::Stream => Self::Stream,
        }
    }
}

impl FilterArguments {
    pub fn filter(&self) -> Filter {
        Filter {
            databases: self.only_databases.clone(),
            patterns: self.patterns.iter().map(|pattern| pattern.clone().into_bytes()).collect(),
            kinds: self.kinds.iter().map(|kind| Type::from(*kind)).collect(),
        }
    }
}

/// An opened database directory.
pub(super) struct Opened {
    pub engine: Arc<dyn Engine>,
    pub store: Arc<Store>,
}

impl Opened {
    /// Opens a directory that holds a database.
    ///
    /// # Errors
    /// When it holds none, or a server has it open.
    pub fn existing(directory: &Path, recovery: Recovery) -> Result<Self> {
        // The link to a checkpoint may turn to another meanwhile.
        let directory = std::fs::canonicalize(directory).map_err(with_path(directory))?;
        let budget = Budget::split(BUDGET_BYTES, Shares::default());
        let options = OpenOptions { create_if_missing: false, recovery, ..OpenOptions::new(budget.engine) };
        let engine: Arc<dyn Engine> = storage::open(&directory, &options)?;
        let databases = Databases::stored(engine.as_ref())?;
        let options = StoreOptions { databases, record_cache_bytes: budget.record_cache_bytes };
        let store = Store::open(engine.clone(), &options)?;
        Ok(Self { engine, store })
    }

    /// About how many keys there are.
    pub fn estimated_keys(&self) -> u64 {
        let [keys, ..] = self.engine.figures().estimated_keys;
        keys
    }

    /// Leaves the directory to others.
    ///
    /// # Errors
    /// When the last writes could not be made safe.
    pub fn close(self) -> Result<()> {
        let Self { engine, store } = self;
        store.close()?;
        engine.close()
    }
}

/// The engine alone, for what does not look into it.
///
/// # Errors
/// As [`Opened::existing`].
pub(super) fn bare_engine(directory: &Path) -> Result<Arc<dyn Engine>> {
    let budget = Budget::split(BUDGET_BYTES, Shares::default());
    storage::open(directory, &OpenOptions { create_if_missing: false, ..OpenOptions::new(budget.engine) })
}

/// Says what went wrong.
pub(super) fn failed(error: &impl std::fmt::Display) -> ExitCode {
    complain(error);
    ExitCode::from(EXIT_FAILURE)
}

/// Says what went wrong, without the code that a client would want.
pub(super) fn complain(error: &impl std::fmt::Display) {
    let text = error.to_string();
    eprintln!("ferrock: {}", text.strip_prefix("ERR ").unwrap_or(&text));
}

/// A file operation that failed, with its path.
pub(super) fn with_path(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = PathBuf::from(path);
    move |source| Error::Io { path, source }
}

/// What progress counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Keys,
    Bytes,
}

/// How far the work is: a bar with rate and time left on a terminal, else a line now and then.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    unit: Unit,
    total: u64,
    done: u64,
    steps: u64,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Work on about `total` of something; 0 if that is not known.
    pub fn new(what: &'static str, total: u64, unit: Unit) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target((total > 0).then_some(total), ProgressDrawTarget::stderr());
            let template = match unit {
                Unit::Keys => "{msg} [{bar:30}] {human_pos} of about {human_len} keys, {per_sec}, {eta} left",
                Unit::Bytes => "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(what);
            bar
        });
        let now = Instant::now();
        Self { bar, what, unit, total, done: 0, steps: 0, started: now, last_line: now }
    }

    /// So much is done by now. Cheap enough for each of many small steps.
    pub fn reached(&mut self, done: u64) {
        self.done = done;
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS) {
            self.show(done);
        }
    }

    /// The same for large steps.
    pub fn show(&mut self, done: u64) {
        self.done = done;
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.last_line.elapsed() >= LINE_INTERVAL => {
                self.last_line = Instant::now();
                eprintln!("{}", self.line());
            }
            None => {}
        }
    }

    fn line(&self) -> String {
        let unit = if self.unit == Unit::Keys { "keys" } else { "bytes" };
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = self.done as f64 / seconds;
        let left = match self.total.checked_sub(self.done) {
            Some(left) if self.total > 0 => format!(", about {:.0} s left", left as f64 / rate.max(0.001)),
            _ => String::new(),
        };
        format!("{}: {} {unit}, {rate:.0} {unit}/s{left}", self.what, self.done)
    }

    /// The bar goes; tells how long it took.
    pub fn finish(self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}
