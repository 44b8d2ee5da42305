//! The figures of the console, as JSON: what is counted, for the page to make rates of, and what
//! is as it is. The page asks once a second while somebody looks at it.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::families::{Facts, cache_lookups};
use super::{Served, Shared};
use crate::base::quoting;
use crate::commands::report::{Report, command_name, last_command};
use crate::observe::latency::BUCKETS;
use crate::storage::pool::PoolFigures;

/// Rows of each list.
const ROWS: usize = 20;
/// Large keys that are looked at each time.
const SURVEYED_KEYS: usize = 500;
/// The longest text of a row, in bytes.
const LONGEST_TEXT: usize = 200;

#[derive(Serialize)]
struct Figures {
    version: &'static str,
    now_ms: u64,
    uptime_s: u64,
    port: u16,
    dir: String,
    operations: u64,
    failures: u64,
    input_bytes: u64,
    output_bytes: u64,
    keyspace_hits: u64,
    keyspace_misses: u64,
    /// By power of two of microseconds, all commands together.
    latency: Vec<u64>,
    commands: Vec<Command>,
    caches: Vec<Cache>,
    memory: Memory,
    databases: Vec<Database>,
    levels: Vec<Level>,
    engine: Engine,
    log: Log,
    backlogs: Backlogs,
    pool: Pool,
    clients: Clients,
    replicas: Vec<Replica>,
    slow: Vec<Slow>,
    hot: Vec<Hot>,
    big: Vec<Big>,
}

#[derive(Serialize)]
struct Command {
    name: &'static str,
    calls: u64,
    failed: u64,
    microseconds: u64,
    latency: Vec<u64>,
}

#[derive(Serialize)]
struct Cache {
    name: &'static str,
    hits: u64,
    misses: u64,
}

#[derive(Serialize)]
struct Memory {
    allocated: u64,
    resident: u64,
    budget: u64,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    name: &'static str,
    bytes: u64,
}

#[derive(Serialize)]
struct Database {
    db: u32,
    keys: u64,
    expires: u64,
}

#[derive(Serialize)]
struct Level {
    files: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Engine {
    compactions: u64,
    flushes: u64,
    pending_bytes: u64,
    written_bytes: u64,
    stall_us: u64,
    writes_stopped: bool,
}

#[derive(Serialize)]
struct Log {
    bytes: u64,
    unsynced_bytes: u64,
    undrained_bytes: u64,
    written_bytes: u64,
    syncs: u64,
    last_sync_us: u64,
    failure: Option<String>,
}

#[derive(Serialize)]
struct Backlogs {
    expiry: usize,
    reclaim: usize,
}

#[derive(Serialize)]
struct Pool {
    threads: usize,
    busy: usize,
    queued: usize,
    jobs: u64,
}

#[derive(Serialize)]
struct Clients {
    connected: usize,
    blocked: usize,
    subscribed: usize,
    limit: u32,
    shown: Vec<Client>,
}

#[derive(Serialize)]
struct Client {
    id: u64,
    address: String,
    name: String,
    user: String,
    db: u32,
    command: &'static str,
    age_s: u64,
    idle_ms: u64,
    memory_bytes: usize,
}

#[derive(Serialize)]
struct Replica {
    address: String,
    state: &'static str,
    behind_bytes: u64,
    silent_ms: u64,
}

#[derive(Serialize)]
struct Slow {
    at_ms: u64,
    microseconds: u64,
    command: String,
    address: String,
}

#[derive(Serialize)]
struct Hot {
    db: u32,
    key: String,
    per_second: f64,
    command: &'static str,
}

#[derive(Serialize)]
struct Big {
    db: u32,
    key: String,
    kind: &'static str,
    bytes: u64,
}

/// The figures of this moment.
pub(super) fn figures(shared: &Shared, served: &Served) -> String {
    let facts = Facts { report: served.report(), pool: served.pool.figures() };
    let figures = gather(shared, &facts);
    // Numbers and texts: nothing of it can fail to be written.
    serde_json::to_string(&figures).unwrap_or_default()
}

fn gather(shared: &Shared, facts: &Facts) -> Figures {
    let report = &facts.report;
    let (instance, engine) = (&report.instance, report.engine());
    let stats = &instance.observe.stats;
    let commands = commands(report);
    let log = report.log();
    let memory = report.memory();
    Figures {
        version: env!("CARGO_PKG_VERSION"),
        now_ms: report.now_ms,
        uptime_s: report.uptime_seconds(),
        port: report.settings.port,
        dir: report.settings.dir.path().display().to_string(),
        operations: stats.calls(),
        failures: commands.iter().map(|command| command.failed).sum(),
        input_bytes: stats.input_bytes.sum(),
        output_bytes: stats.output_bytes.sum(),
        keyspace_hits: instance.store.counters.hits.sum(),
        keyspace_misses: instance.store.counters.misses.sum(),
        latency: all_latencies(&commands),
        commands,
        caches: cache_lookups(facts).into_iter().map(|(name, hits, misses)| Cache { name, hits, misses }).collect(),
        memory: Memory {
            allocated: memory.allocated,
            resident: memory.resident,
            budget: memory.budget,
            parts: memory.parts().into_iter().map(|(name, bytes)| Part { name, bytes }).collect(),
        },
        databases: report
            .databases()
            .map(|(db, figures)| Database { db, keys: figures.keys, expires: figures.expires })
            .collect(),
        levels: engine.levels().into_iter().map(|(files, bytes)| Level { files, bytes }).collect(),
        engine: Engine {
            compactions: engine.running_compactions,
            flushes: engine.running_flushes,
            pending_bytes: engine.pending_compaction_bytes,
            written_bytes: engine.ticker("flushed_bytes") + engine.ticker("compaction_written_bytes"),
            stall_us: engine.ticker("stall_microseconds"),
            writes_stopped: engine.writes_stopped,
        },
        log: Log {
            bytes: engine.wal_bytes,
            unsynced_bytes: log.unsynced_bytes(),
            undrained_bytes: engine.dirty_bytes,
            written_bytes: log.latest_sequence,
            syncs: log.sync.syncs,
            last_sync_us: log.sync.last_sync_us,
            failure: log.sync.failure,
        },
        backlogs: Backlogs { expiry: report.overdue().entries, reclaim: report.reclaim_backlog() },
        pool: pool(&facts.pool),
        clients: clients(report),
        replicas: replicas(report),
        slow: slow(report),
        hot: hot(report),
        big: big(shared, report),
    }
}

fn pool(figures: &PoolFigures) -> Pool {
    Pool { threads: figures.threads, busy: figures.busy, queued: figures.queued, jobs: figures.done }
}

fn commands(report: &Report) -> Vec<Command> {
    let stats = &report.instance.observe.stats;
    let commands = report.commands().map(|command| Command {
        name: command.name,
        calls: command.figures.calls,
        failed: command.figures.failed,
        microseconds: command.figures.microseconds,
        latency: stats.histogram(command.index).to_vec(),
    });
    commands.collect()
}

fn all_latencies(commands: &[Command]) -> Vec<u64> {
    let mut sum = vec![0; BUCKETS];
    for command in commands {
        sum.iter_mut().zip(&command.latency).for_each(|(sum, count)| *sum += count);
    }
    sum
}

/// Those who were active last.
fn clients(report: &Report) -> Clients {
    let figures = report.clients();
    let mut all = report.instance.observe.clients.all();
    all.sort_by_cached_key(|client| std::cmp::Reverse(client.last_active_ms.load(Ordering::Relaxed)));
    let shown = all.iter().take(ROWS).map(|client| Client {
        id: client.id,
        address: client.address.clone(),
        name: text(&client.name.read()),
        user: text(&client.user.read()),
        db: client.db.load(Ordering::Relaxed),
        command: last_command(client).unwrap_or_default(),
        age_s: report.now_ms.saturating_sub(client.created_ms) / 1000,
        idle_ms: report.now_ms.saturating_sub(client.last_active_ms.load(Ordering::Relaxed)),
        memory_bytes: client.memory_bytes(),
    });
    Clients {
        connected: figures.connected,
        blocked: figures.blocked,
        subscribed: figures.subscribers,
        limit: report.settings.maxclients,
        shown: shown.collect(),
    }
}

fn replicas(report: &Report) -> Vec<Replica> {
    let offset = report.instance.feed.offset();
    let replicas = report.replicas().into_iter().map(|replica| Replica {
        address: format!("{}:{}", replica.ip, replica.port),
        state: replica.state.name(),
        behind_bytes: offset.saturating_sub(replica.offset),
        silent_ms: replica.silent_ms,
    });
    replicas.collect()
}

fn slow(report: &Report) -> Vec<Slow> {
    let entries = report.instance.observe.slow_log.latest(ROWS).into_iter().map(|entry| Slow {
        at_ms: entry.started_us / 1000,
        microseconds: entry.duration_us,
        command: text(&entry.words.join(&b' ')),
        address: entry.address,
    });
    entries.collect()
}

fn hot(report: &Report) -> Vec<Hot> {
    let keys = report.instance.observe.hot_keys.hottest(ROWS).into_iter().map(|key| Hot {
        db: key.db,
        key: text(&key.name) + if key.is_shortened { "…" } else { "" },
        per_second: (key.per_second * 10.0).round() / 10.0,
        command: command_name(key.command).unwrap_or_default(),
    });
    keys.collect()
}

/// A step of the search for big keys, and what it has found so far.
fn big(shared: &Shared, report: &Report) -> Vec<Big> {
    let mut big_keys = shared.big_keys.lock();
    if let Err(error) = big_keys.go_on(&report.instance.store, SURVEYED_KEYS, ROWS) {
        tracing::warn!(%error, "the biggest keys could not be looked for");
    }
    let keys = big_keys.biggest().iter().map(|key| Big {
        db: key.db,
        key: text(&key.name),
        kind: key.kind.name(),
        bytes: key.bytes,
    });
    keys.collect()
}

/// Bytes of a client's choice as a short text: as they are if that can be read, quoted if not.
fn text(bytes: &[u8]) -> String {
    let is_readable = |text: &&str| !text.chars().any(char::is_control);
    match std::str::from_utf8(bytes).ok().filter(is_readable) {
        Some(text) => shortened(text),
        None => shortened(&quoting::quote(bytes.get(..LONGEST_TEXT).unwrap_or(bytes))),
    }
}

fn shortened(text: &str) -> String {
    let mut ends = text.char_indices().map(|(at, _)| at).filter(|at| *at >= LONGEST_TEXT);
    ends.next().and_then(|end| text.get(..end)).map_or_else(|| text.to_owned(), |short| format!("{short}…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_sends_is_a_short_text() {
        assert_eq!(text("größe <b>".as_bytes()), "größe <b>");
        assert_eq!(text(b"a\n\xff\x00"), "\"a\\n\\xff\\x00\"");
        assert_eq!(text("ü".repeat(150).as_bytes()), format!("{}…", "ü".repeat(100)));
        assert!(text(&[0xff; 5000]).len() <= 2 * LONGEST_TEXT);
    }
}
