//! The metrics: one table with name, type, meaning and where the figure comes from. /metrics is
//! written from it, and a test holds `docs/metrics.md` to that.

use std::sync::atomic::Ordering;

use prometheus_client::registry::Unit;

use crate::commands::REDIS_VERSION;
use crate::commands::report::{CommandReport, Report};
use crate::observe::memory;
use crate::pubsub;
use crate::storage::pool::PoolFigures;

/// What metrics are made from.
pub(super) struct Facts {
    pub report: Report,
    pub pool: PoolFigures,
}

/// The types of OpenMetrics that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// One figure.
pub(super) enum Value {
    Whole(u64),
    Real(f64),
    /// Seconds in all, and how many times it took at most so long; the last bound is infinite.
    Counts {
        sum: f64,
        buckets: Vec<(f64, u64)>,
    },
}

/// Takes a sample: its labels and its value.
pub(super) type Told<'t> = &'t mut dyn FnMut(&[(&str, &str)], Value);

/// One metric, with or without labels.
pub(super) struct Family {
    /// Without the prefix `ferrock_`, the unit, and the suffix of counters.
    pub name: &'static str,
    pub unit: Option<Unit>,
    pub kind: Kind,
    pub help: &'static str,
    pub tell: fn(&Facts, Told<'_>),
}

const fn counter(name: &'static str, help: &'static str, tell: fn(&Facts, Told<'_>)) -> Family {
    Family { name, unit: None, kind: Kind::Counter, help, tell }
}

const fn counter_of(unit: Unit, name: &'static str, help: &'static str, tell: fn(&Facts, Told<'_>)) -> Family {
    Family { name, unit: Some(unit), kind: Kind::Counter, help, tell }
}

const fn gauge_of(unit: Unit, name: &'static str, help: &'static str, tell: fn(&Facts, Told<'_>)) -> Family {
    Family { name, unit: Some(unit), kind: Kind::Gauge, help, tell }
}

const fn gauge(name: &'static str, help: &'static str, tell: fn(&Facts, Told<'_>)) -> Family {
    Family { name, unit: None, kind: Kind::Gauge, help, tell }
}

fn one(told: Told<'_>, value: impl TryInto<u64>) {
    told(&[], Value::Whole(value.try_into().unwrap_or(u64::MAX)));
}

fn each<'l, T: TryInto<u64>>(told: Told<'_>, label: &str, values: impl IntoIterator<Item = (&'l str, T)>) {
    for (name, value) in values {
        told(&[(label, name)], Value::Whole(value.try_into().unwrap_or(u64::MAX)));
    }
}

fn yes_or_no(told: Told<'_>, value: bool) {
    one(told, u64::from(value));
}

const MICROSECOND: f64 = 1e-6;
/// The longest bucket but the infinite one: 2^24 µs are 17 seconds.
const LONGEST_BUCKET: usize = 24;

/// Every metric, by subject.
pub(super) static FAMILIES: &[Family] = &[
    // ---- the process
    Family {
        name: "build",
        unit: None,
        kind: Kind::Info,
        help: "The version that runs, and the version of Redis that it says it is.",
        tell: |_, told| {
            let labels = [("version", env!("CARGO_PKG_VERSION")), ("redis_version", REDIS_VERSION)];
            told(&labels, Value::Whole(1));
        },
    },
    gauge_of(Unit::Seconds, "uptime", "For how long the server runs.", |facts, told| {
        one(told, facts.report.uptime_seconds())
    }),
    counter_of(Unit::Seconds, "cpu", "Processor time, by mode.", |_, told| {
        let times = memory::cpu_seconds();
        told(&[("mode", "user")], Value::Real(times.user));
        told(&[("mode", "system")], Value::Real(times.system));
    }),
    // ---- commands
    counter("command_calls", "Commands that ran, by name.", |facts, told| {
        each(told, "command", facts.report.commands().map(|command| (command.name, command.figures.calls)));
    }),
    counter("command_failures", "Commands that ran and answered an error, by name.", |facts, told| {
        each(told, "command", facts.report.commands().map(|command| (command.name, command.figures.failed)));
    }),
    counter("command_rejections", "Commands that were refused before they ran, by name.", |facts, told| {
        each(told, "command", facts.report.commands().map(|command| (command.name, command.figures.rejected)));
    }),
    Family {
        name: "command_duration",
        unit: Some(Unit::Seconds),
        kind: Kind::Histogram,
        help: "How long commands took, by name; while latency-tracking is on.",
        tell: |facts, told| {
            for (CommandReport { name, figures, .. }, counts) in facts.report.histograms() {
                let bound = |place: usize| (1u64 << place) as f64 * MICROSECOND;
                let mut buckets: Vec<(f64, u64)> = counts
                    .iter()
                    .take(LONGEST_BUCKET + 1)
                    .copied()
                    .enumerate()
                    .map(|(place, count)| (bound(place), count))
                    .collect();
                buckets.push((f64::INFINITY, counts.iter().skip(LONGEST_BUCKET + 1).sum()));
                let sum = figures.microseconds as f64 * MICROSECOND;
                told(&[("command", name)], Value::Counts { sum, buckets });
            }
        },
    },
    counter("errors", "Errors that were answered, by their first word.", |facts, told| {
        let errors = facts.report.instance.observe.stats.errors();
        each(told, "code", errors.iter().map(|(code, count)| (code.as_str(), *count)));
    }),
    gauge("slowlog_entries", "Entries of the slow log.", |facts, told| {
        one(told, facts.report.instance.observe.slow_log.len());
    }),
    // ---- clients
    gauge("clients", "Connected clients, by what they do; `connected` is all of them.", |facts, told| {
        let clients = facts.report.clients();
        let tracking = facts.report.instance.tracking.figures().clients;
        each(
            told,
            "state",
            [
                ("connected", clients.connected),
                ("blocked", clients.blocked),
                ("subscribed", clients.subscribers),
                ("monitoring", clients.monitors),
                ("tracking", tracking),
            ],
        );
    }),
    gauge("clients_limit", "How many clients may be connected (maxclients).", |facts, told| {
        one(told, facts.report.settings.maxclients);
    }),
    gauge_of(Unit::Bytes, "clients_output", "Output that clients have not taken yet.", |facts, told| {
        one(told, facts.report.clients().output_bytes);
    }),
    counter("connections", "Connections that came, turned away or not.", |facts, told| {
        one(told, facts.report.instance.observe.stats.connections.sum());
    }),
    counter("connections_rejected", "Connections that were turned away.", |facts, told| {
        one(told, facts.report.instance.observe.stats.rejected_connections.sum());
    }),
    counter("clients_evicted", "Clients that were closed because all together held too much memory.", |facts, told| {
        one(told, facts.report.instance.observe.clients.evicted.load(Ordering::Relaxed));
    }),
    counter_of(Unit::Bytes, "network", "Bytes from and to clients, by direction.", |facts, told| {
        let stats = &facts.report.instance.observe.stats;
        each(told, "direction", [("input", stats.input_bytes.sum()), ("output", stats.output_bytes.sum())]);
    }),
    gauge(
        "pubsub_subscriptions",
        "What is subscribed to, by kind: channels, patterns, shard channels.",
        |facts, told| {
            let hub = &facts.report.instance.pubsub;
            each(
                told,
                "kind",
                [
                    ("channel", hub.count(pubsub::Kind::Channel)),
                    ("pattern", hub.count(pubsub::Kind::Pattern)),
                    ("shard", hub.count(pubsub::Kind::Shard)),
                ],
            );
        },
    ),
    // ---- keys and caches
    gauge("keys", "Keys, by database; estimated where blind writes have left it uncertain.", |facts, told| {
        facts.report.databases().for_each(|(db, figures)| {
            told(&[("db", &db.to_string())], Value::Whole(figures.keys));
        });
    }),
    gauge("keys_expiring", "Keys with a deadline, by database; about.", |facts, told| {
        facts.report.databases().for_each(|(db, figures)| {
            told(&[("db", &db.to_string())], Value::Whole(figures.expires));
        });
    }),
    counter("keyspace_hits", "Look-ups by readers that found their key.", |facts, told| {
        one(told, facts.report.instance.store.counters.hits.sum());
    }),
    counter("keyspace_misses", "Look-ups by readers that did not find their key.", |facts, told| {
        one(told, facts.report.instance.store.counters.misses.sum());
    }),
    counter("cache_hits", "Look-ups that a cache answered, by cache.", |facts, told| {
        each(told, "cache", cache_lookups(facts).map(|(cache, hits, _)| (cache, hits)));
    }),
    counter("cache_misses", "Look-ups that a cache did not answer, by cache.", |facts, told| {
        each(told, "cache", cache_lookups(facts).map(|(cache, _, misses)| (cache, misses)));
    }),
    gauge_of(Unit::Bytes, "cache_used", "What is in a cache, by cache.", |facts, told| {
        let (records, engine) = (facts.report.record_cache(), facts.report.engine());
        each(told, "cache", [("record", records.weight_bytes), ("block", engine.block_cache_bytes)]);
    }),
    gauge_of(Unit::Bytes, "cache_capacity", "What a cache may hold, by cache.", |facts, told| {
        let (records, engine) = (facts.report.record_cache(), facts.report.engine());
        each(told, "cache", [("record", records.capacity_bytes), ("block", engine.block_cache_capacity_bytes)]);
    }),
    counter("filter_useful", "Reads that a bloom filter kept from a table file.", |facts, told| {
        one(told, facts.report.engine().ticker("filter_useful"));
    }),
    // ---- memory
    gauge_of(Unit::Bytes, "memory", "What the allocator has given out, by part; the parts add up.", |facts, told| {
        each(told, "part", facts.report.memory().parts());
    }),
    gauge_of(Unit::Bytes, "memory_resident", "Memory of the process in RAM.", |facts, told| {
        one(told, facts.report.memory().resident);
    }),
    gauge_of(Unit::Bytes, "memory_budget", "What the process may use (maxmemory).", |facts, told| {
        one(told, facts.report.memory().budget);
    }),
    // ---- the engine
    gauge("lsm_level_files", "Table files, by level.", |facts, told| {
        facts.report.engine().levels().into_iter().enumerate().for_each(|(level, (files, _))| {
            told(&[("level", &level.to_string())], Value::Whole(files));
        });
    }),
    gauge_of(Unit::Bytes, "lsm_level", "Bytes of table files, by level.", |facts, told| {
        facts.report.engine().levels().into_iter().enumerate().for_each(|(level, (_, bytes))| {
            told(&[("level", &level.to_string())], Value::Whole(bytes));
        });
    }),
    gauge("lsm_jobs", "Flushes and compactions that run now, by kind.", |facts, told| {
        let engine = facts.report.engine();
        each(told, "kind", [("flush", engine.running_flushes), ("compaction", engine.running_compactions)]);
    }),
    gauge_of(Unit::Bytes, "compaction_pending", "Bytes that compactions have yet to rewrite, about.", |facts, told| {
        one(told, facts.report.engine().pending_compaction_bytes);
    }),
    counter_of(
        Unit::Bytes,
        "compaction",
        "Bytes that flushes and compactions read and wrote, by what was done.",
        |facts, told| {
            let engine = facts.report.engine();
            each(
                told,
                "work",
                [
                    ("flush_write", engine.ticker("flushed_bytes")),
                    ("compaction_read", engine.ticker("compaction_read_bytes")),
                    ("compaction_write", engine.ticker("compaction_written_bytes")),
                ],
            );
        },
    ),
    counter_of(Unit::Seconds, "stall", "For how long RocksDB held up writes, all threads together.", |facts, told| {
        told(&[], Value::Real(facts.report.engine().ticker("stall_microseconds") as f64 * MICROSECOND));
    }),
    gauge("writes_stopped", "Whether RocksDB takes no writes now.", |facts, told| {
        yes_or_no(told, facts.report.engine().writes_stopped);
    }),
    gauge(
        "write_rate_limit",
        "Bytes a second that RocksDB takes while it slows writes down; 0 while it does not.",
        |facts, told| {
            one(told, facts.report.engine().delayed_write_rate);
        },
    ),
    counter("background_errors", "Flushes and compactions that failed.", |facts, told| {
        one(told, facts.report.engine().background_errors);
    }),
    // ---- the write-ahead log
    gauge_of(Unit::Bytes, "wal", "Bytes of the write-ahead log's files.", |facts, told| {
        one(told, facts.report.engine().wal_bytes)
    }),
    gauge_of(
        Unit::Bytes,
        "wal_unsynced",
        "How far the disk is behind: bytes of the log that a power cut would take.",
        |facts, told| {
            one(told, facts.report.log().unsynced_bytes());
        },
    ),
    gauge_of(
        Unit::Bytes,
        "wal_undrained",
        "How far RocksDB is behind: memory of what only the log has on disk.",
        |facts, told| {
            one(told, facts.report.engine().dirty_bytes);
        },
    ),
    counter_of(
        Unit::Bytes,
        "wal_written",
        "Bytes that went into the log, counted from any beginning.",
        |facts, told| {
            one(told, facts.report.log().latest_sequence);
        },
    ),
    counter("wal_syncs", "Times the log was made safe by an fsync.", |facts, told| {
        one(told, facts.report.log().sync.syncs);
    }),
    gauge_of(Unit::Seconds, "wal_last_sync_duration", "How long the last fsync took.", |facts, told| {
        told(&[], Value::Real(facts.report.log().sync.last_sync_us as f64 * MICROSECOND));
    }),
    gauge("wal_failed", "Whether an fsync failed: writes are then refused until a restart.", |facts, told| {
        yes_or_no(told, facts.report.log().sync.failure.is_some());
    }),
    gauge("writes_refused", "Whether writes are refused, because the disk is nearly full.", |facts, told| {
        yes_or_no(told, facts.report.instance.observe.writes_allowed().is_err());
    }),
    // ---- expiry and reclaiming
    counter("expired_keys", "Keys that lapsed.", |facts, told| {
        one(told, facts.report.instance.store.counters.expired_keys.load(Ordering::Relaxed));
    }),
    counter("expired_fields", "Fields of hashes that lapsed.", |facts, told| {
        one(told, facts.report.instance.store.counters.expired_fields.load(Ordering::Relaxed));
    }),
    gauge(
        "expiry_backlog",
        "Deadlines that have come and were not seen to yet; 1000 is that or more.",
        |facts, told| {
            one(told, facts.report.overdue().entries);
        },
    ),
    gauge_of(Unit::Seconds, "expiry_lag", "How late the oldest of them is.", |facts, told| {
        let late_ms = facts.report.overdue().oldest_ms.map_or(0, |at_ms| facts.report.now_ms.saturating_sub(at_ms));
        told(&[], Value::Real(late_ms as f64 / 1000.0));
    }),
    gauge(
        "reclaim_backlog",
        "Deleted objects and flushed databases whose space is to come free; 1000 of each is that or more.",
        |facts, told| {
            one(told, facts.report.reclaim_backlog());
        },
    ),
    counter("reclaimed_objects", "Deleted objects whose space came free.", |facts, told| {
        one(told, facts.report.instance.store.counters.reclaimed_objects.load(Ordering::Relaxed));
    }),
    // ---- the I/O pool
    gauge("io_pool_threads", "Threads of the I/O pool, by state.", |facts, told| {
        let busy = facts.pool.busy.min(facts.pool.threads);
        each(told, "state", [("busy", busy), ("idle", facts.pool.threads - busy)]);
    }),
    gauge("io_pool_queue", "Jobs that wait for a thread of the I/O pool.", |facts, told| one(told, facts.pool.queued)),
    counter(
        "io_pool_jobs",
        "Jobs that the I/O pool did: what was not in memory, and what runs for long.",
        |facts, told| {
            one(told, facts.pool.done);
        },
    ),
    // ---- replication
    gauge("replicas", "Replicas that are connected.", |facts, told| one(told, facts.report.replicas().len())),
    counter_of(Unit::Bytes, "replication_offset", "Bytes of the replication stream.", |facts, told| {
        one(told, facts.report.instance.feed.offset());
    }),
    gauge_of(
        Unit::Bytes,
        "replica_behind",
        "Bytes of the stream that a replica has not acknowledged, by replica and state.",
        |facts, told| {
            let offset = facts.report.instance.feed.offset();
            for replica in facts.report.replicas() {
                let name = format!("{}:{}", replica.ip, replica.port);
                let labels = [("replica", name.as_str()), ("state", replica.state.name())];
                told(&labels, Value::Whole(offset.saturating_sub(replica.offset)));
            }
        },
    ),
    gauge_of(Unit::Seconds, "replica_silence", "For how long nothing was heard of a replica.", |facts, told| {
        for replica in facts.report.replicas() {
            let name = format!("{}:{}", replica.ip, replica.port);
            told(&[("replica", &name)], Value::Real(replica.silent_ms as f64 / 1000.0));
        }
    }),
];

/// By cache: hits and misses.
pub(super) fn cache_lookups(facts: &Facts) -> [(&'static str, u64, u64); 5] {
    let (records, engine) = (facts.report.record_cache(), facts.report.engine());
    let of_engine = |cache, hits, misses| (cache, engine.ticker(hits), engine.ticker(misses));
    [
        ("record", records.hits, records.misses),
        of_engine("block_data", "block_cache_data_hits", "block_cache_data_misses"),
        of_engine("block_index", "block_cache_index_hits", "block_cache_index_misses"),
        of_engine("block_filter", "block_cache_filter_hits", "block_cache_filter_misses"),
        of_engine("memtable", "memtable_hits", "memtable_misses"),
    ]
}
