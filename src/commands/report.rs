//! What the server knows about itself, gathered in one place for all who tell it: INFO, the
//! metrics and the console (`server/web/`). A report is of one moment, as far as counters of a running
//! server can be; what is dear to gather is gathered when it is first asked for, and once.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use super::instance::Instance;
use super::table::TABLE;
use crate::base::{Result, clock};
use crate::config::Settings;
use crate::keyspace::{DatabaseFigures, DatabaseIndex, Overdue};
use crate::observe::latency::BUCKETS;
use crate::observe::{Client, ClientKind, CommandFigures, memory};
use crate::replication::State;
use crate::storage::EngineFigures;
use crate::storage::cache::CacheFigures;
use crate::storage::durability::SyncFigures;

/// Backlogs are counted up to here: more is as bad.
pub const MOST_COUNTED: usize = 1000;

/// A report on one server.
pub struct Report {
    pub instance: Arc<Instance>,
    pub settings: Arc<Settings>,
    /// When it was begun, milliseconds since the epoch.
    pub now_ms: u64,
    engine: OnceLock<EngineFigures>,
    clients: OnceLock<ClientFigures>,
    overdue: OnceLock<Overdue>,
    reclaim_backlog: OnceLock<usize>,
}

/// Connected clients, all together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientFigures {
    pub connected: usize,
    pub blocked: usize,
    pub subscribers: usize,
    pub monitors: usize,
    /// The fullest input buffer, and the most output that waits for one client, in bytes.
    pub largest_input: usize,
    pub largest_output: usize,
    /// Output that waits for all of them, and all memory held for them, in bytes.
    pub output_bytes: usize,
    pub memory_bytes: usize,
}

/// Where the memory of the process is, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryFigures {
    /// What the allocator has given out, and the most that it ever had.
    pub allocated: u64,
    pub peak: u64,
    /// Of this process in the machine's memory, and all that the machine has.
    pub resident: u64,
    pub machine: u64,
    /// What `maxmemory` amounts to.
    pub budget: u64,
    /// Parts of what is allocated.
    pub record_cache: u64,
    pub block_cache: u64,
    pub memtables: u64,
    /// Written, and not in RocksDB yet.
    pub dirty: u64,
    pub table_readers: u64,
    pub clients: u64,
    pub scripts: u64,
}

impl MemoryFigures {
    /// The parts by name; `other` is the rest of what is allocated.
    pub fn parts(&self) -> [(&'static str, u64); 8] {
        let known = [
            ("record_cache", self.record_cache),
            ("block_cache", self.block_cache),
            ("memtables", self.memtables),
            ("dirty", self.dirty),
            ("table_readers", self.table_readers),
            ("clients", self.clients),
            ("scripts", self.scripts),
        ];
        let rest = self.allocated.saturating_sub(known.iter().map(|(_, bytes)| bytes).sum());
        let [a, b, c, d, e, f, g] = known;
        [a, b, c, d, e, f, g, ("other", rest)]
    }
}

/// How far the write-ahead log has been made safe.
#[derive(Debug, Clone)]
pub struct LogFigures {
    /// The sequence number of the last commit: a place in the log, in bytes.
    pub latest_sequence: u64,
    pub sync: SyncFigures,
}

impl LogFigures {
    /// Bytes of the log that a power cut would take.
    pub fn unsynced_bytes(&self) -> u64 {
        self.latest_sequence.saturating_sub(self.sync.synced_sequence)
    }
}

/// A replica, as INFO shows it.
#[derive(Debug, Clone)]
pub struct ReplicaFigures {
    pub ip: String,
    pub port: u16,
    pub state: State,
    /// What it has acknowledged of the stream, in bytes.
    pub offset: u64,
    /// Since when nothing was heard of it.
    pub silent_ms: u64,
}

/// A command with what was counted of it.
#[derive(Debug, Clone, Copy)]
pub struct CommandReport {
    /// In lower case: `get`, `client|list`.
    pub name: &'static str,
    pub index: usize,
    pub figures: CommandFigures,
}

impl Report {
    /// A report on this server as it is now.
    pub fn new(instance: Arc<Instance>, settings: Arc<Settings>) -> Self {
        Self {
            instance,
            settings,
            now_ms: clock::now_ms(),
            engine: OnceLock::new(),
            clients: OnceLock::new(),
            overdue: OnceLock::new(),
            reclaim_backlog: OnceLock::new(),
        }
    }

    /// What the engine says of itself.
    pub fn engine(&self) -> &EngineFigures {
        self.engine.get_or_init(|| self.instance.store.engine().figures())
    }

    pub fn record_cache(&self) -> CacheFigures {
        self.instance.store.cache().figures()
    }

    /// For how long the server runs.
    pub fn uptime_seconds(&self) -> u64 {
        self.now_ms.saturating_sub(self.instance.process.started_ms) / 1000
    }

    /// All connected clients are looked at for it, so once a report.
    pub fn clients(&self) -> ClientFigures {
        *self.clients.get_or_init(|| self.count_clients())
    }

    fn count_clients(&self) -> ClientFigures {
        let mut figures = ClientFigures::default();
        for client in self.instance.observe.clients.all() {
            figures.connected += 1;
            figures.blocked += usize::from(client.waits());
            figures.subscribers += usize::from(client.kind() == ClientKind::PubSub);
            figures.monitors += usize::from(client.monitoring.load(Ordering::Relaxed));
            figures.largest_input = figures.largest_input.max(client.input_bytes.load(Ordering::Relaxed));
            let waiting = client.waiting_bytes();
            figures.largest_output = figures.largest_output.max(waiting);
            figures.output_bytes += waiting;
            figures.memory_bytes += client.memory_bytes();
        }
        figures
    }

    pub fn memory(&self) -> MemoryFigures {
        let engine = self.engine();
        let scripts = &self.instance.scripts;
        let allocated = memory::allocated_bytes();
        MemoryFigures {
            allocated,
            peak: memory::peak_bytes(),
            resident: memory::resident_bytes(),
            machine: memory::machine_bytes(),
            budget: self.instance.control.memory_budget_bytes(),
            record_cache: self.record_cache().weight_bytes,
            block_cache: engine.block_cache_bytes,
            memtables: engine.memtable_bytes.saturating_sub(engine.dirty_bytes),
            dirty: engine.dirty_bytes,
            table_readers: engine.table_reader_bytes,
            clients: self.clients().memory_bytes as u64,
            scripts: (scripts.memory_bytes() + scripts.cache.bytes() + scripts.libraries().bytes()) as u64,
        }
    }

    pub fn log(&self) -> LogFigures {
        // The sequence first: what is synced meanwhile must not look like more than there is.
        let latest_sequence = self.instance.store.engine().latest_sequence();
        LogFigures { latest_sequence, sync: self.instance.syncer.figures() }
    }

    /// Objects and keyspaces that wait to be reclaimed, up to [`MOST_COUNTED`] of each; 0 if they cannot be read.
    pub fn reclaim_backlog(&self) -> usize {
        let count = || counted("what waits to be reclaimed", self.instance.store.reclaim_backlog(MOST_COUNTED));
        *self.reclaim_backlog.get_or_init(count)
    }

    /// Deadlines that have come and were not seen to yet, counted up to [`MOST_COUNTED`]; none if they cannot be
    /// read.
    pub fn overdue(&self) -> Overdue {
        let count = || counted("overdue deadlines", self.instance.store.overdue(self.now_ms, MOST_COUNTED));
        *self.overdue.get_or_init(count)
    }

    /// The commands and subcommands of which anything was counted, in the order of their names.
    pub fn commands(&self) -> impl Iterator<Item = CommandReport> {
        let stats = &self.instance.observe.stats;
        let all = TABLE.entries().iter().map(|entry| CommandReport {
            name: &entry.name,
            index: entry.index,
            figures: stats.command(entry.index),
        });
        all.filter(|command| command.figures != CommandFigures::default())
    }

    /// The commands and subcommands whose latencies were counted, with how often it was how long:
    /// by powers of two of microseconds.
    pub fn histograms(&self) -> impl Iterator<Item = (CommandReport, [u64; BUCKETS])> {
        let with_counts = self.commands().map(|command| {
            let counts = self.instance.observe.stats.histogram(command.index);
            (command, counts)
        });
        with_counts.filter(|(_, counts)| counts.iter().any(|count| *count > 0))
    }

    /// The databases that have keys.
    pub fn databases(&self) -> impl Iterator<Item = (DatabaseIndex, DatabaseFigures)> {
        let store = &self.instance.store;
        let all = (0..store.database_count()).map(|db| (db, store.database_figures(db)));
        all.filter(|(_, figures)| figures.keys > 0)
    }

    pub fn replicas(&self) -> Vec<ReplicaFigures> {
        let replicas = self.instance.feed.replicas();
        let figures = replicas.iter().map(|replica| ReplicaFigures {
            ip: super::replication::address_of(replica).to_owned(),
            port: replica.port,
            state: replica.state(),
            offset: replica.acknowledged(),
            silent_ms: self.now_ms.saturating_sub(replica.acknowledged_ms()),
        });
        figures.collect()
    }
}

/// What was counted, or nothing: a report is given even where the store fails. But zero looks as if all were well,
/// so the log is told.
fn counted<T: Default>(what: &str, counted: Result<T>) -> T {
    counted.unwrap_or_else(|error| {
        tracing::warn!(%error, "{what} could not be counted");
        T::default()
    })
}

/// The name of the command that a client ran last, in lower case; `None` before the first.
pub fn last_command(client: &Client) -> Option<&'static str> {
    command_name(client.last_command.load(Ordering::Relaxed) as usize)
}

/// The name behind an index of the table, in lower case.
pub fn command_name(index: usize) -> Option<&'static str> {
    TABLE.entries().get(index).map(|entry| &*entry.name)
}
