//! Statistics of commands, connections and errors, counted on the hot path by thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::CommandEnd;
use super::latency::{BUCKETS, Histogram};
use crate::base::counter::{Line, SHARDS, Sharded, shard};

/// Error codes counted apart, so that scripts cannot fill memory with invented ones.
const ERROR_CODES: usize = 128;

/// What INFO commandstats tells of a command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommandFigures {
    pub calls: u64,
    pub microseconds: u64,
    pub rejected: u64,
    pub failed: u64,
}

#[derive(Default)]
struct CommandCounters {
    calls: AtomicU64,
    microseconds: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    histogram: Histogram,
}

/// All statistics of one server.
pub struct Stats {
    /// By shard, then by command.
    commands: Box<[Line<Box<[CommandCounters]>>]>,
    errors: Mutex<BTreeMap<String, u64>>,
    pub connections: Sharded,
    pub rejected_connections: Sharded,
    pub input_bytes: Sharded,
    pub output_bytes: Sharded,
    pub errors_answered: Sharded,
}

impl Stats {
    /// For a table of this many commands and subcommands.
    pub fn new(commands: usize) -> Self {
        let counters = || (0..commands).map(|_| CommandCounters::default()).collect();
        Self {
            commands: (0..SHARDS).map(|_| Line(counters())).collect(),
            errors: Mutex::default(),
            connections: Sharded::default(),
            rejected_connections: Sharded::default(),
            input_bytes: Sharded::default(),
            output_bytes: Sharded::default(),
            errors_answered: Sharded::default(),
        }
    }

    fn counters(&self, command: usize) -> Option<&CommandCounters> {
        self.commands.get(shard())?.0.get(command)
    }

    /// A command was run.
    pub fn ended(&self, end: &CommandEnd, latency: bool) {
        if let Some(counters) = self.counters(end.command) {
            if latency {
                counters.histogram.note(end.duration_us);
            }
            counters.calls.fetch_add(1, Ordering::Relaxed);
            counters.microseconds.fetch_add(end.duration_us, Ordering::Relaxed);
            counters.failed.fetch_add(u64::from(end.failed), Ordering::Relaxed);
        }
    }

    /// A command was refused before it ran.
    pub fn rejected(&self, command: usize) {
        if let Some(counters) = self.counters(command) {
            counters.rejected.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An error with this code was answered.
    pub fn error(&self, code: &str) {
        self.errors_answered.add(1);
        let mut errors = self.errors.lock();
        if errors.len() < ERROR_CODES || errors.contains_key(code) {
            *errors.entry(code.to_owned()).or_default() += 1;
        }
    }

    /// How often each error code was answered.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().clone()
    }

    /// What is known of one command.
    pub fn command(&self, command: usize) -> CommandFigures {
        let mut sum = CommandFigures::default();
        for counters in self.commands.iter().filter_map(|line| line.0.get(command)) {
            sum.calls += counters.calls.load(Ordering::Relaxed);
            sum.microseconds += counters.microseconds.load(Ordering::Relaxed);
            sum.rejected += counters.rejected.load(Ordering::Relaxed);
            sum.failed += counters.failed.load(Ordering::Relaxed);
        }
        sum
    }

    /// How often one command took how long, by power of two of microseconds.
    pub fn histogram(&self, command: usize) -> [u64; BUCKETS] {
        let mut sum = [0; BUCKETS];
        for counters in self.commands.iter().filter_map(|line| line.0.get(command)) {
            for (sum, count) in sum.iter_mut().zip(counters.histogram.counts()) {
                *sum += count;
            }
        }
        sum
    }

    /// All calls of all commands.
    pub fn calls(&self) -> u64 {
        let lines = self.commands.iter().flat_map(|line| line.0.iter());
        lines.map(|counters| counters.calls.load(Ordering::Relaxed)).sum()
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        for counters in self.commands.iter().flat_map(|line| line.0.iter()) {
            counters.calls.store(0, Ordering::Relaxed);
            counters.microseconds.store(0, Ordering::Relaxed);
            counters.rejected.store(0, Ordering::Relaxed);
            counters.failed.store(0, Ordering::Relaxed);
            counters.histogram.reset();
        }
        self.errors.lock().clear();
        for counter in [
            &self.connections,
            &self.rejected_connections,
            &self.input_bytes,
            &self.output_bytes,
            &self.errors_answered,
        ] {
            counter.reset();
        }
    }
}
