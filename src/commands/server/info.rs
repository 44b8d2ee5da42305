//! INFO: the server about itself, in Redis' sections and field names, so that what reads Redis'
//! INFO reads this one; and a section of our own on RocksDB.

use std::fmt::Write;
use std::sync::atomic::Ordering;

use crate::acl::Reason;
use crate::base::{Error, Result, clock};
use crate::commands::REDIS_VERSION;
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::report::{CommandReport, Report};
use crate::commands::request::Args;
use crate::observe::{latency, memory};
use crate::pubsub::Kind;
use crate::resp::Reply;
use crate::storage::{Family, Tier};

/// A section: its name, whether plain INFO shows it, and what it says.
struct Section {
    name: &'static str,
    title: &'static str,
    by_default: bool,
    write: fn(&Report, &mut String),
}

static SECTIONS: &[Section] = &[
    Section { name: "server", title: "Server", by_default: true, write: server },
    Section { name: "clients", title: "Clients", by_default: true, write: clients },
    Section { name: "memory", title: "Memory", by_default: true, write: memory_section },
    Section { name: "persistence", title: "Persistence", by_default: true, write: persistence },
    Section { name: "stats", title: "Stats", by_default: true, write: stats },
    Section { name: "replication", title: "Replication", by_default: true, write: replication },
    Section { name: "cpu", title: "CPU", by_default: true, write: cpu },
    Section { name: "modules", title: "Modules", by_default: true, write: |_, _| {} },
    Section { name: "commandstats", title: "Commandstats", by_default: false, write: command_stats },
    Section { name: "errorstats", title: "Errorstats", by_default: true, write: error_stats },
    Section { name: "latencystats", title: "Latencystats", by_default: false, write: latency_stats },
    Section { name: "cluster", title: "Cluster", by_default: true, write: |_, out| field(out, "cluster_enabled", 0) },
    Section { name: "keyspace", title: "Keyspace", by_default: true, write: keyspace },
    Section { name: "rocksdb", title: "RocksDB", by_default: true, write: rocksdb },
];

pub(super) fn info(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    if context.tx.tier() == Tier::Memory {
        // Some figures are counted in the engine, which may wait for the disk.
        return Err(Error::NotInMemory);
    }
    let wanted: Vec<String> = args.rest().iter().map(|word| String::from_utf8_lossy(word).to_lowercase()).collect();
    let shows = |section: &Section| {
        if wanted.is_empty() {
            return section.by_default;
        }
        wanted.iter().any(|word| match word.as_str() {
            "all" | "everything" => true,
            "default" => section.by_default,
            word => word == section.name,
        })
    };
    let report = Report::new(context.instance.clone(), context.settings.clone());
    let mut out = String::new();
    for section in SECTIONS.iter().filter(|section| shows(section)) {
        if !out.is_empty() {
            out.push_str("\r\n");
        }
        let _ = write!(out, "# {}\r\n", section.title);
        (section.write)(&report, &mut out);
    }
    Ok(Reply::verbatim(out).into())
}

fn field(out: &mut String, name: &str, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{name}:{value}\r\n");
}

fn server(report: &Report, out: &mut String) {
    let process = &report.instance.process;
    let uptime = report.uptime_seconds();
    field(out, "redis_version", REDIS_VERSION);
    field(out, "ferrock_version", env!("CARGO_PKG_VERSION"));
    field(out, "redis_git_sha1", "00000000");
    field(out, "redis_git_dirty", 0);
    field(out, "redis_build_id", &process.run_id[..16.min(process.run_id.len())]);
    field(out, "redis_mode", "standalone");
    field(out, "os", &process.os);
    field(out, "arch_bits", usize::BITS);
    field(out, "monotonic_clock", "POSIX clock_gettime");
    field(out, "multiplexing_api", "epoll");
    field(out, "atomicvar_api", "c11-builtin");
    field(out, "gcc_version", "0.0.0");
    field(out, "process_id", std::process::id());
    field(out, "process_supervised", "no");
    field(out, "run_id", &process.run_id);
    field(out, "tcp_port", report.settings.port);
    field(out, "server_time_usec", clock::now_us());
    field(out, "uptime_in_seconds", uptime);
    field(out, "uptime_in_days", uptime / 86_400);
    field(out, "hz", 10);
    field(out, "configured_hz", 10);
    field(out, "lru_clock", (report.now_ms / 1000) & 0x00ff_ffff);
    field(out, "executable", process.executable.display());
    field(out, "config_file", process.config_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default());
    field(out, "io_threads_active", 0);
}

fn clients(report: &Report, out: &mut String) {
    let clients = report.clients();
    field(out, "connected_clients", clients.connected);
    field(out, "cluster_connections", 0);
    field(out, "maxclients", report.settings.maxclients);
    field(out, "client_recent_max_input_buffer", clients.largest_input);
    field(out, "client_recent_max_output_buffer", clients.largest_output);
    field(out, "blocked_clients", clients.blocked);
    field(out, "tracking_clients", report.instance.tracking.figures().clients);
    field(out, "pubsub_clients", clients.subscribers);
    field(out, "clients_in_timeout_table", clients.blocked);
}

fn memory_section(report: &Report, out: &mut String) {
    let figures = report.engine();
    let cache = report.record_cache();
    let memory = report.memory();
    field(out, "used_memory", memory.allocated);
    field(out, "used_memory_human", human(memory.allocated));
    field(out, "used_memory_rss", memory.resident);
    field(out, "used_memory_rss_human", human(memory.resident));
    field(out, "used_memory_peak", memory.peak);
    field(out, "used_memory_peak_human", human(memory.peak));
    field(out, "used_memory_dataset", memory.record_cache);
    field(out, "used_memory_record_cache", memory.record_cache);
    field(out, "used_memory_record_cache_capacity", cache.capacity_bytes);
    field(out, "used_memory_block_cache", figures.block_cache_bytes);
    field(out, "used_memory_block_cache_capacity", figures.block_cache_capacity_bytes);
    field(out, "used_memory_memtables", figures.memtable_bytes);
    field(out, "used_memory_table_readers", figures.table_reader_bytes);
    field(out, "mem_clients_normal", memory.clients);
    field(out, "total_system_memory", memory.machine);
    field(out, "total_system_memory_human", human(memory.machine));
    let scripts = &report.instance.scripts;
    let libraries = scripts.libraries();
    field(out, "used_memory_lua", scripts.memory_bytes());
    field(out, "used_memory_vm_eval", scripts.memory_bytes());
    field(out, "used_memory_vm_functions", 0);
    field(out, "used_memory_vm_total", scripts.memory_bytes());
    field(out, "used_memory_functions", libraries.bytes());
    field(out, "used_memory_scripts_eval", scripts.cache.bytes());
    field(out, "number_of_cached_scripts", scripts.cache.len());
    field(out, "number_of_functions", libraries.function_count());
    field(out, "number_of_libraries", libraries.len());
    field(out, "used_memory_scripts", scripts.cache.bytes() + libraries.bytes());
    field(out, "maxmemory", report.settings.maxmemory);
    field(out, "maxmemory_human", human(report.settings.maxmemory));
    field(out, "maxmemory_budget", memory.budget);
    field(out, "maxmemory_policy", report.settings.text("maxmemory-policy").unwrap_or_default());
    field(out, "mem_fragmentation_ratio", format!("{:.2}", memory.resident as f64 / memory.allocated.max(1) as f64));
    field(out, "mem_allocator", "jemalloc-5.3.1");
    field(out, "active_defrag_running", 0);
    field(out, "lazyfreed_objects", report.instance.store.counters.reclaimed_objects.load(Ordering::Relaxed));
    field(out, "lazyfree_pending_objects", report.reclaim_backlog());
}

/// Bytes for people, as Redis writes them.
fn human(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10), ("B", 1)];
    let (unit, size) = UNITS.into_iter().find(|(_, size)| bytes >= *size).unwrap_or(("B", 1));
    if unit == "B" { format!("{bytes}B") } else { format!("{:.2}{unit}", bytes as f64 / size as f64) }
}

fn persistence(report: &Report, out: &mut String) {
    let log = report.log();
    let unsynced_bytes = log.unsynced_bytes();
    let sync = log.sync;
    let save = report.instance.saver.figures();
    let seconds = |seconds: Option<u64>| seconds.map_or(-1, u64::cast_signed);
    let store = &report.instance.store;
    let keys = || (0..store.database_count()).map(|db| store.database_figures(db).keys).sum::<u64>();
    field(out, "loading", 0);
    field(out, "async_loading", 0);
    field(out, "current_cow_peak", 0);
    field(out, "current_cow_size", 0);
    field(out, "current_cow_size_age", 0);
    field(out, "current_fork_perc", "0.00");
    field(out, "current_save_keys_processed", save.keys_written);
    field(out, "current_save_keys_total", if save.running_s.is_some() { keys() } else { 0 });
    field(out, "rdb_changes_since_last_save", store.changes().saturating_sub(save.sequence));
    field(out, "rdb_bgsave_in_progress", u8::from(save.running_s.is_some()));
    field(out, "rdb_last_save_time", save.last_save_s);
    field(out, "rdb_last_bgsave_status", if save.last_succeeded { "ok" } else { "err" });
    field(out, "rdb_last_bgsave_time_sec", seconds(save.last_took_s));
    field(out, "rdb_current_bgsave_time_sec", seconds(save.running_s));
    field(out, "rdb_saves", save.saves);
    field(out, "rdb_last_cow_size", 0);
    field(out, "rdb_last_load_keys_expired", 0);
    field(out, "rdb_last_load_keys_loaded", 0);
    let wal_bytes = report.engine().wal_bytes;
    field(out, "aof_enabled", 1);
    field(out, "aof_rewrite_in_progress", 0);
    field(out, "aof_rewrite_scheduled", 0);
    field(out, "aof_last_rewrite_time_sec", -1);
    field(out, "aof_current_rewrite_time_sec", -1);
    field(out, "aof_last_bgrewrite_status", "ok");
    field(out, "aof_rewrites", 0);
    field(out, "aof_rewrites_consecutive_failures", 0);
    field(out, "aof_last_write_status", if sync.failure.is_some() { "err" } else { "ok" });
    field(out, "aof_last_cow_size", 0);
    field(out, "module_fork_in_progress", 0);
    field(out, "module_fork_last_cow_size", 0);
    field(out, "aof_current_size", wal_bytes);
    field(out, "aof_base_size", 0);
    field(out, "aof_pending_rewrite", 0);
    field(out, "aof_buffer_length", 0);
    field(out, "aof_pending_bio_fsync", 0);
    field(out, "aof_delayed_fsync", 0);
    field(out, "wal_synced_sequence", sync.synced_sequence);
    field(out, "wal_latest_sequence", log.latest_sequence);
    field(out, "wal_unsynced_bytes", unsynced_bytes);
    field(out, "wal_syncs", sync.syncs);
    field(out, "wal_last_sync_ms", sync.last_sync_ms);
    field(out, "wal_last_sync_usec", sync.last_sync_us);
    field(out, "wal_last_error", sync.failure.unwrap_or_default());
}

fn stats(report: &Report, out: &mut String) {
    let observe = &report.instance.observe;
    let stats = &observe.stats;
    let counters = &report.instance.store.counters;
    let tracking = report.instance.tracking.figures();
    let cache = report.record_cache();
    field(out, "total_connections_received", stats.connections.sum());
    field(out, "total_commands_processed", stats.calls());
    field(out, "instantaneous_ops_per_sec", observe.rates.operations_per_second());
    field(out, "total_net_input_bytes", stats.input_bytes.sum());
    field(out, "total_net_output_bytes", stats.output_bytes.sum());
    field(out, "instantaneous_input_kbps", observe.rates.input_kilobytes_per_second());
    field(out, "instantaneous_output_kbps", observe.rates.output_kilobytes_per_second());
    field(out, "rejected_connections", stats.rejected_connections.sum());
    field(out, "expired_keys", counters.expired_keys.load(Ordering::Relaxed));
    field(out, "expired_subkeys", counters.expired_fields.load(Ordering::Relaxed));
    field(out, "evicted_keys", 0);
    field(out, "evicted_clients", observe.clients.evicted.load(Ordering::Relaxed));
    field(out, "keyspace_hits", counters.hits.sum());
    field(out, "keyspace_misses", counters.misses.sum());
    field(out, "record_cache_hits", cache.hits);
    field(out, "record_cache_misses", cache.misses);
    field(out, "pubsub_channels", report.instance.pubsub.count(Kind::Channel));
    field(out, "pubsub_patterns", report.instance.pubsub.count(Kind::Pattern));
    field(out, "pubsubshard_channels", report.instance.pubsub.count(Kind::Shard));
    field(out, "tracking_total_keys", tracking.keys);
    field(out, "tracking_total_items", tracking.items);
    field(out, "tracking_total_prefixes", tracking.prefixes);
    let refused = |reason| report.instance.acl.log.refused(reason);
    field(out, "acl_access_denied_auth", refused(Reason::Auth));
    field(out, "acl_access_denied_cmd", refused(Reason::Command));
    field(out, "acl_access_denied_key", refused(Reason::Key));
    field(out, "acl_access_denied_channel", refused(Reason::Channel));
    field(out, "migrate_cached_sockets", report.instance.control.kept_links());
    field(out, "total_error_replies", stats.errors_answered.sum());
    field(out, "commits", counters.commits.load(Ordering::Relaxed));
    field(out, "blind_writes", counters.blind_writes.load(Ordering::Relaxed));
    field(out, "reclaimed_objects", counters.reclaimed_objects.load(Ordering::Relaxed));
}

fn replication(report: &Report, out: &mut String) {
    field(out, "role", "master");
    let feed = &report.instance.feed;
    let replicas = report.replicas();
    field(out, "connected_slaves", replicas.len());
    for (number, replica) in replicas.iter().enumerate() {
        let (ip, port, offset) = (&replica.ip, replica.port, replica.offset);
        let (state, lag_s) = (replica.state.name(), replica.silent_ms / 1000);
        let text = format!("ip={ip},port={port},state={state},offset={offset},lag={lag_s}");
        field(out, &format!("slave{number}"), text);
    }
    field(out, "master_failover_state", "no-failover");
    field(out, "master_replid", feed.id());
    field(out, "master_replid2", "0000000000000000000000000000000000000000");
    field(out, "master_repl_offset", feed.offset());
    field(out, "second_repl_offset", -1);
    field(out, "repl_backlog_active", 0);
    field(out, "repl_backlog_size", 1_048_576);
    field(out, "repl_backlog_first_byte_offset", 0);
    field(out, "repl_backlog_histlen", 0);
}

fn cpu(_: &Report, out: &mut String) {
    let times = memory::cpu_seconds();
    field(out, "used_cpu_sys", format!("{:.6}", times.system));
    field(out, "used_cpu_user", format!("{:.6}", times.user));
    field(out, "used_cpu_sys_children", "0.000000");
    field(out, "used_cpu_user_children", "0.000000");
}

fn command_stats(report: &Report, out: &mut String) {
    for CommandReport { name, figures, .. } in report.commands() {
        let each = figures.microseconds as f64 / figures.calls.max(1) as f64;
        let _ = write!(
            out,
            "cmdstat_{name}:calls={},usec={},usec_per_call={each:.2},rejected_calls={},failed_calls={}\r\n",
            figures.calls, figures.microseconds, figures.rejected, figures.failed
        );
    }
}

fn error_stats(report: &Report, out: &mut String) {
    for (code, count) in report.instance.observe.stats.errors() {
        let _ = write!(out, "errorstat_{code}:count={count}\r\n");
    }
}

fn latency_stats(report: &Report, out: &mut String) {
    for (command, counts) in report.histograms() {
        let shares = report.settings.latency_tracking_info_percentiles.0.iter();
        let shown: Vec<String> =
            shares.map(|share| format!("p{share}={}.000", latency::percentile(&counts, *share))).collect();
        let _ = write!(out, "latency_percentiles_usec_{}:{}\r\n", command.name, shown.join(","));
    }
}

fn keyspace(report: &Report, out: &mut String) {
    for (db, figures) in report.databases() {
        let _ = write!(out, "db{db}:keys={},expires={},avg_ttl=0\r\n", figures.keys, figures.expires);
    }
}

fn rocksdb(report: &Report, out: &mut String) {
    let figures = report.engine();
    field(out, "rocksdb_live_bytes", figures.live_bytes);
    field(out, "rocksdb_memtable_bytes", figures.memtable_bytes);
    field(out, "rocksdb_block_cache_bytes", figures.block_cache_bytes);
    field(out, "rocksdb_pending_compaction_bytes", figures.pending_compaction_bytes);
    field(out, "rocksdb_running_compactions", figures.running_compactions);
    field(out, "rocksdb_running_flushes", figures.running_flushes);
    field(out, "rocksdb_writes_stopped", u8::from(figures.writes_stopped));
    field(out, "rocksdb_delayed_write_rate", figures.delayed_write_rate);
    field(out, "rocksdb_background_errors", figures.background_errors);
    for (level, (files, bytes)) in figures.levels().into_iter().enumerate() {
        field(out, &format!("rocksdb_level{level}"), format_args!("files={files},bytes={bytes}"));
    }
    for (family, keys) in Family::ALL.iter().zip(figures.estimated_keys) {
        field(out, &format!("rocksdb_estimated_{}", family.name()), keys);
    }
    for (name, value) in &figures.tickers {
        field(out, &format!("rocksdb_{}", name.replace(['.', '-'], "_")), value);
    }
}
