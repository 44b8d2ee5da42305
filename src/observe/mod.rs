//! What the server knows about itself while it runs: clients, statistics, the slow log,
//! latency. Filled from the hot path by relaxed, sharded counters; read by INFO, CLIENT LIST,
//! SLOWLOG, LATENCY and the metrics page. Runs no command and touches no socket.

mod clients;
mod hot_keys;
pub mod latency;
mod limits;
pub mod memory;
mod outbox;
mod rates;
mod slow_log;
mod stats;

pub use clients::{Client, ClientKind, Clients, Pause, Tracking};
pub use hot_keys::{HotKey, HotKeys};
pub use latency::Spikes;
pub use outbox::Outbox;
pub use rates::Rates;
pub use slow_log::{SlowEntry, SlowLog};
pub use stats::{CommandFigures, Stats};

use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::base::{Error, Result};
use crate::config::Settings;

/// How one run of a command ended.
#[derive(Debug, Clone, Copy)]
pub struct CommandEnd {
    /// The command's dense index in the table.
    pub command: usize,
    /// Microseconds since the epoch.
    pub started_us: u64,
    pub duration_us: u64,
    /// The reply was an error.
    pub failed: bool,
    /// Whether the slow log may name it.
    pub loggable: bool,
    /// Whether it is expected to be fast (`command` and `fast-command` are events of their own).
    pub fast: bool,
}

impl CommandEnd {
    /// Whether it belongs into the slow log.
    pub fn is_slow(&self, settings: &Settings) -> bool {
        let limit_us = u64::try_from(settings.slowlog_log_slower_than);
        self.loggable && limit_us.is_ok_and(|limit_us| self.duration_us >= limit_us)
    }
}

/// Why writes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum WriteGate {
    Open = 0,
    Refused = 1,
}

/// Everything observed about one server.
pub struct Observations {
    pub clients: Clients,
    pub stats: Stats,
    pub rates: Rates,
    pub slow_log: SlowLog,
    pub latency: latency::Monitor,
    pub hot_keys: HotKeys,
    gate: AtomicU8,
    why_refused: Mutex<String>,
}

impl Observations {
    /// For a table of this many commands and subcommands.
    pub fn new(commands: usize) -> Self {
        Self {
            clients: Clients::default(),
            stats: Stats::new(commands),
            rates: Rates::default(),
            slow_log: SlowLog::default(),
            latency: latency::Monitor::default(),
            hot_keys: HotKeys::default(),
            gate: AtomicU8::new(WriteGate::Open as u8),
            why_refused: Mutex::new(String::new()),
        }
    }

    /// A command was run; `words` are those of its request that may be shown.
    pub fn ended<'a>(
        &self,
        end: &CommandEnd,
        client: &Client,
        words: impl FnOnce() -> SmallVec<[&'a [u8]; 8]>,
        settings: &Settings,
    ) {
        self.stats.ended(end, settings.latency_tracking);
        client.last_command.store(end.command as u32, Ordering::Relaxed);
        if end.is_slow(settings) {
            self.log_slow(end, client, &words(), settings.slowlog_max_len);
        }
        let threshold_ms = settings.latency_monitor_threshold;
        if threshold_ms > 0 && end.duration_us / 1000 >= threshold_ms {
            let event = if end.fast { "fast-command" } else { "command" };
            self.latency.note(event, end.started_us / 1_000_000, end.duration_us / 1000);
        }
    }

    /// Enters a command into the slow log, which then holds at most so many.
    #[cold]
    pub fn log_slow(&self, end: &CommandEnd, client: &Client, args: &[&[u8]], most: usize) {
        let entry = SlowEntry {
            id: 0,
            started_us: end.started_us,
            duration_us: end.duration_us,
            words: slow_log::shortened(args),
            address: client.address.clone(),
            name: client.name.read().clone(),
        };
        self.slow_log.enter(entry, most);
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        self.stats.reset();
        self.hot_keys.reset();
    }

    /// A command was refused before it ran.
    pub fn note_rejected(&self, command: usize, error: &Error) {
        self.stats.rejected(command);
        self.note_error(error);
    }

    /// An error was answered.
    pub fn note_error(&self, error: &Error) {
        self.note_error_text(&error.to_string());
    }

    /// An error of this text was answered; its first word is counted.
    pub fn note_error_text(&self, text: &str) {
        self.stats.error(text.split(' ').next().unwrap_or("ERR"));
    }

    /// Whether writes may be tried at all.
    ///
    /// # Errors
    /// `MISCONF` with the reason while the disk is full or failing.
    pub fn writes_allowed(&self) -> Result<()> {
        if self.gate.load(Ordering::Relaxed) == WriteGate::Open as u8 {
            return Ok(());
        }
        Err(Error::client(format!("MISCONF Ferrock refuses writes: {}", self.why_refused.lock())))
    }

    /// Refuses writes for a reason, or (with `None`) allows them again.
    pub fn refuse_writes(&self, why: Option<String>) {
        let gate = if why.is_some() { WriteGate::Refused } else { WriteGate::Open };
        *self.why_refused.lock() = why.unwrap_or_default();
        self.gate.store(gate as u8, Ordering::Relaxed);
    }
}
