//! The parameters that Ferrock accepts, checks, keeps and shows, but that change
//! nothing: clients, frameworks and configuration files of Redis set them. Each
//! group says why. Whoever makes one matter moves its row to `settings.rs`.

use super::kind::Kind;
use super::parameter::{Parameter, Section, integer, size, text, yes_no};

const INT: i64 = i32::MAX as i64;
const LONG: i64 = i64::MAX;
const BYTES: u64 = i64::MAX as u64;

/// The rows of one section that share a reason.
fn group<const N: usize>(
    section: Section,
    reason: &'static str,
    rows: [Parameter; N],
) -> impl Iterator<Item = Parameter> {
    rows.into_iter().map(move |row| Parameter { section, no_effect: Some(reason), ..row })
}

/// A row with one line about it.
const fn about(row: Parameter, lines: &'static [&'static str]) -> Parameter {
    Parameter { about: lines, ..row }
}

/// `about(row, &["…"])`, in the order of reading.
macro_rules! rows {
    ($($row:expr => $line:literal;)+) => { [$(about($row, &[$line])),+] };
}

const fn words(name: &'static str, allowed: &'static [&'static str], default: &'static str) -> Parameter {
    Parameter::new(name, Kind::Choice(allowed), default)
}

/// All of them. Their order here is that of their values in memory.
pub(super) fn inert() -> Vec<Parameter> {
    let mut all = process();
    all.extend(tls());
    all.extend(memory());
    all.extend(files());
    all.extend(keyspace());
    all.extend(replication());
    all.extend(cluster());
    all
}

fn process() -> Vec<Parameter> {
    let started = "systemd or a container runs the server, which stays in the foreground";
    let threads = "`network-threads`, `cold-io-threads` and `compaction-threads` say how many threads there are";
    let network = group(
        Section::Network,
        "connections are taken as they come",
        rows! {
            integer("max-new-connections-per-cycle", 1, 1000, "10") => "Connections accepted in one turn.";
            integer("max-new-tls-connections-per-cycle", 1, 1000, "1") => "TLS connections accepted in one turn.";
            integer("socket-mark-id", 0, u32::MAX as i64, "0").restart() => "A mark that Redis puts on its sockets.";
        },
    );
    let general = group(
        Section::General,
        started,
        rows! {
            yes_no("daemonize", "no").restart() => "Whether Redis goes into the background.";
            words("supervised", &["upstart", "systemd", "auto", "no"], "no").restart() => "How Redis reports to what supervises it; Ferrock notifies systemd whenever it is asked to.";
            yes_no("always-show-logo", "no").restart() => "Whether Redis draws its logo.";
            yes_no("set-proc-title", "yes").restart() => "Whether Redis changes its name in the process list.";
            Parameter::new("proc-title-template", Kind::Text(title_template), "{title} {listen-addr} {server-mode}") => "The name of Redis in the process list.";
            yes_no("syslog-enabled", "no").restart() => "Whether Redis logs to syslog; Ferrock's standard output reaches the journal.";
            text("syslog-ident", "redis").restart() => "The name of Redis in syslog.";
            words("syslog-facility", FACILITIES, "local0").restart() => "The facility of Redis in syslog.";
            yes_no("crash-log-enabled", "yes") => "Whether Redis reports its own crashes.";
            yes_no("crash-memcheck-enabled", "yes") => "Whether Redis tests the memory after a crash.";
            yes_no("use-exit-on-panic", "no").hidden() => "How Redis ends after a failed assertion.";
            integer("watchdog-period", 0, INT, "0").hidden() => "Milliseconds after which Redis logs where it hangs.";
            text("ignore-warnings", "") => "Warnings at the start that Redis leaves out.";
            text("locale-collate", "") => "The locale by which Redis compares texts.";
            yes_no("hide-user-data-from-log", "yes") => "Whether Redis keeps user data out of its log; Ferrock always does.";
            integer("shutdown-timeout", 0, INT, "10") => "Seconds that SHUTDOWN waits for replicas.";
            Parameter::new("shutdown-on-sigint", Kind::ShutdownFlags, "default") => "What Redis saves when it is interrupted; Ferrock always stops cleanly.";
            Parameter::new("shutdown-on-sigterm", Kind::ShutdownFlags, "default") => "What Redis saves when it is terminated; Ferrock always stops cleanly.";
            words("enable-module-command", &["no", "yes", "local"], "no").restart() => "Whether MODULE may be used; Ferrock loads no modules.";
        },
    );
    let threads = group(
        Section::General,
        threads,
        rows! {
            integer("io-threads", 1, 128, "1").restart() => "Redis' threads for reading and writing.";
            yes_no("io-threads-do-reads", "no").restart() => "Whether Redis' threads parse requests.";
            text("server_cpulist", "").restart() => "The cores of Redis' main thread.";
            text("bio_cpulist", "").restart() => "The cores of Redis' background threads.";
            text("aof_rewrite_cpulist", "").restart() => "The cores of Redis' AOF rewrite.";
            text("bgsave_cpulist", "").restart() => "The cores of Redis' snapshots.";
            Parameter::new("hz", Kind::Clamped { min: 1, max: 500 }, "10") => "How often a second Redis looks after its background work; Ferrock wakes when there is some.";
            yes_no("dynamic-hz", "yes") => "Whether Redis does so more often with many clients.";
        },
    );
    network.chain(general).chain(threads).collect()
}

fn tls() -> Vec<Parameter> {
    let library = "the TLS library (rustls) chooses safe ciphers and resumes sessions by itself";
    let outgoing = "Ferrock opens no connections to other servers";
    let chosen = group(
        Section::Tls,
        library,
        rows! {
            text("tls-ciphers", "") => "The ciphers of TLS 1.2.";
            text("tls-ciphersuites", "") => "The cipher suites of TLS 1.3.";
            yes_no("tls-prefer-server-ciphers", "no") => "Whether the server's order of ciphers counts.";
            yes_no("tls-session-caching", "yes") => "Whether sessions can be resumed.";
            integer("tls-session-cache-size", 0, INT, "20480") => "How many sessions are kept.";
            integer("tls-session-cache-timeout", 0, INT, "300") => "How many seconds a session is kept.";
            text("tls-dh-params-file", "") => "Parameters of the Diffie-Hellman exchange.";
        },
    );
    let outgoing = group(
        Section::Tls,
        outgoing,
        rows! {
            text("tls-client-cert-file", "") => "The certificate that Redis shows to other servers.";
            text("tls-client-key-file", "") => "The private key of that certificate.";
            text("tls-client-key-file-pass", "").secret() => "The password of that key.";
            yes_no("tls-replication", "no") => "Whether a replica speaks TLS with its master.";
            yes_no("tls-cluster", "no") => "Whether the cluster bus speaks TLS.";
        },
    );
    let plain = group(
        Section::Tls,
        "Ferrock takes unencrypted private keys only",
        rows! {
            text("tls-key-file-pass", "").secret().refused() => "The password of the private key.";
        },
    );
    chosen.chain(plain).chain(outgoing).collect()
}

fn memory() -> Vec<Parameter> {
    let disk = "nothing is evicted: memory is a cache of the data on disk";
    let allocator = "RocksDB and jemalloc look after their memory by themselves";
    let kernel = "left to the system that starts the server (systemd: OOMScoreAdjust)";
    let eviction = group(
        Section::Memory,
        disk,
        rows! {
            integer("maxmemory-samples", 1, INT, "5") => "How many keys Redis compares to evict one.";
            integer("maxmemory-eviction-tenacity", 0, 100, "10") => "How hard Redis tries to evict.";
            yes_no("replica-ignore-maxmemory", "yes").alias(&["slave-ignore-maxmemory"]) => "Whether a replica evicts nothing by itself.";
        },
    );
    let allocator = group(
        Section::Memory,
        allocator,
        rows! {
            yes_no("activedefrag", "no") => "Whether Redis moves values to make memory contiguous.";
            size("active-defrag-ignore-bytes", 1, BYTES, "100mb") => "Waste from which that starts.";
            integer("active-defrag-threshold-lower", 0, 1000, "10") => "Percentage of waste from which it starts.";
            integer("active-defrag-threshold-upper", 0, 1000, "100") => "Percentage of waste with the most effort.";
            integer("active-defrag-cycle-min", 1, 99, "1") => "Percentage of the processor it takes at least.";
            integer("active-defrag-cycle-max", 1, 99, "25") => "Percentage of the processor it takes at most.";
            integer("active-defrag-max-scan-fields", 1, LONG, "1000") => "The largest collection it walks at once.";
            yes_no("jemalloc-bg-thread", "yes") => "Whether jemalloc frees in a thread of its own.";
            yes_no("activerehashing", "yes") => "Whether Redis rehashes its tables in idle time.";
            yes_no("disable-thp", "yes").restart() => "Whether Redis turns transparent huge pages off.";
        },
    );
    let kernel = group(
        Section::Memory,
        kernel,
        rows! {
            words("oom-score-adj", &["no", "yes", "relative", "absolute"], "no") => "Whether Redis tells the kernel how readily to kill it.";
            Parameter::new("oom-score-adj-values", Kind::ScoreAdjustments, "0 200 800") => "How readily: master, replica, child.";
        },
    );
    eviction.chain(allocator).chain(kernel).collect()
}

fn files() -> Vec<Parameter> {
    let log = "the write-ahead log takes the place of the append-only file, always";
    let snapshots = "every write is on disk already, and snapshots are made without fork";
    let log = group(
        Section::Persistence,
        log,
        rows! {
            yes_no("appendonly", "yes") => "Whether Redis keeps an append-only file.";
            text("appendfilename", "appendonly.aof").restart() => "The name of that file.";
            text("appenddirname", "appendonlydir").restart() => "The folder of that file.";
            yes_no("no-appendfsync-on-rewrite", "no") => "Whether Redis leaves fsync out while it rewrites.";
            integer("auto-aof-rewrite-percentage", 0, INT, "100") => "Growth in percent from which Redis rewrites it.";
            size("auto-aof-rewrite-min-size", 0, BYTES, "64mb") => "Size from which Redis rewrites it.";
            yes_no("aof-load-truncated", "yes") => "Whether Redis starts with a file that was cut off.";
            yes_no("aof-use-rdb-preamble", "yes") => "Whether the file begins with a snapshot.";
            yes_no("aof-timestamp-enabled", "no") => "Whether the file carries times.";
            yes_no("aof-disable-auto-gc", "no") => "Whether Redis keeps old files.";
            yes_no("aof-rewrite-incremental-fsync", "yes") => "Whether a rewrite is synced bit by bit.";
        },
    );
    let snapshots = group(
        Section::Persistence,
        snapshots,
        rows! {
            yes_no("stop-writes-on-bgsave-error", "yes") => "Whether Redis refuses writes after a failed snapshot.";
            yes_no("rdb-save-incremental-fsync", "yes") => "Whether a snapshot is synced bit by bit.";
            yes_no("rdb-del-sync-files", "no") => "Whether snapshots made for replicas are deleted.";
            integer("rdb-key-save-delay", i32::MIN as i64, INT, "0").hidden() => "Slows snapshots down, for tests.";
            integer("key-load-delay", i32::MIN as i64, INT, "0").hidden() => "Slows loading down, for tests.";
            size("loading-process-events-interval-bytes", 1024, INT as u64, "2mb").hidden() => "How often Redis answers while it loads.";
            words("sanitize-dump-payload", &["no", "yes", "clients"], "no") => "Whether dumps are checked throughout; Ferrock always does.";
        },
    );
    log.chain(snapshots).collect()
}

fn keyspace() -> Vec<Parameter> {
    let lazy = "deletion is always lazy: names vanish at once, space comes back in the background";
    let exact = "expiry follows an index ordered by time, so there is nothing to try harder";
    let packed = "the form on disk is Ferrock's own";
    let lazy = group(
        Section::Keyspace,
        lazy,
        rows! {
            yes_no("lazyfree-lazy-eviction", "no") => "Whether evicted values are freed in the background.";
            yes_no("lazyfree-lazy-expire", "no") => "Whether lapsed values are freed in the background.";
            yes_no("lazyfree-lazy-server-del", "no") => "Whether overwritten values are freed in the background.";
            yes_no("lazyfree-lazy-user-del", "no") => "Whether DEL frees in the background.";
            yes_no("lazyfree-lazy-user-flush", "no") => "Whether FLUSHALL and FLUSHDB free in the background.";
        },
    );
    let exact = group(
        Section::Keyspace,
        exact,
        rows! {
            integer("active-expire-effort", 1, 10, "1") => "How hard Redis looks for lapsed keys.";
        },
    );
    let packed = group(
        Section::Encodings,
        packed,
        rows! {
            integer("list-compress-depth", 0, INT, "0") => "How many nodes at each end of a list stay uncompressed.";
        },
    );
    let sandbox = "scripts see what those of Redis see by default";
    let sandbox = group(
        Section::Scripts,
        sandbox,
        rows! {
            yes_no("lua-enable-deprecated-api", "no").restart().hidden() => "Whether scripts see what Lua itself has given up.";
        },
    );
    lazy.chain(exact).chain(packed).chain(sandbox).collect()
}

fn replication() -> Vec<Parameter> {
    let reason = "this version of Ferrock copies itself to replicas in one way only, keeps no history for replicas that return, and is no replica";
    group(Section::Replication, reason, rows! {
        Parameter::new("replicaof", Kind::Master, "").alias(&["slaveof"]).restart() => "The master to follow.";
        text("masterauth", "").secret() => "The password for the master.";
        text("masteruser", "").secret() => "The user for the master.";
        text("bind-source-addr", "") => "The address from which to connect to the master.";
        yes_no("replica-serve-stale-data", "yes").alias(&["slave-serve-stale-data"]) => "Whether a replica without its master answers.";
        yes_no("replica-read-only", "yes").alias(&["slave-read-only"]) => "Whether a replica refuses writes.";
        yes_no("replica-lazy-flush", "no").alias(&["slave-lazy-flush"]) => "Whether a replica drops its old data in the background.";
        integer("replica-priority", 0, INT, "100").alias(&["slave-priority"]) => "How readily Sentinel promotes it.";
        yes_no("replica-announced", "yes") => "Whether Sentinel tells of it.";
        text("replica-announce-ip", "").alias(&["slave-announce-ip"]) => "The address it tells its master.";
        integer("replica-announce-port", 0, 65535, "0").alias(&["slave-announce-port"]) => "The port it tells its master.";
        yes_no("replica-ignore-disk-write-errors", "no") => "Whether it goes on when its disk fails.";
        yes_no("repl-disable-tcp-nodelay", "no") => "Whether small packets to replicas wait for more.";
        yes_no("repl-diskless-sync", "yes") => "Whether a full copy goes out without a file.";
        integer("repl-diskless-sync-delay", 0, INT, "5") => "Seconds to wait for more replicas first.";
        integer("repl-diskless-sync-max-replicas", 0, INT, "0") => "How many replicas end that wait.";
        words("repl-diskless-load", &["disabled", "on-empty-db", "swapdb"], "disabled") => "How a replica takes a full copy in.";
        size("repl-backlog-size", 1, BYTES, "1mb") => "How much history is kept for replicas that return.";
        integer("repl-backlog-ttl", 0, LONG, "3600") => "Seconds for which it is kept without replicas.";
        words("propagation-error-behavior", &["ignore", "panic", "panic-on-replicas"], "ignore") => "What happens when a replica cannot apply a write.";
    })
    .collect()
}

fn cluster() -> Vec<Parameter> {
    let reason = "this version of Ferrock is no member of a cluster";
    group(Section::Cluster, reason, rows! {
        words("cluster-enabled", &["no"], "no").restart() => "Whether the server is a member of a cluster; only `no` is possible.";
        text("cluster-config-file", "nodes.conf").restart() => "The file in which a member keeps what it knows.";
        integer("cluster-node-timeout", 0, LONG, "15000") => "Milliseconds without a sign of life.";
        integer("cluster-port", 0, 65535, "0").restart() => "The port of the cluster bus.";
        text("cluster-announce-ip", "") => "The address to tell others.";
        integer("cluster-announce-port", 0, 65535, "0") => "The port to tell others.";
        integer("cluster-announce-tls-port", 0, 65535, "0") => "The TLS port to tell others.";
        integer("cluster-announce-bus-port", 0, 65535, "0") => "The bus port to tell others.";
        Parameter::new("cluster-announce-hostname", Kind::Text(host_name), "") => "The host name to tell others.";
        text("cluster-announce-human-nodename", "") => "The name in the log.";
        words("cluster-preferred-endpoint-type", &["ip", "hostname", "unknown-endpoint"], "ip") => "What clients are told to connect to.";
        size("cluster-link-sendbuf-limit", 0, u64::MAX, "0") => "How much may wait for another member.";
        integer("cluster-migration-barrier", 0, INT, "1") => "Replicas a master keeps before one moves.";
        yes_no("cluster-allow-replica-migration", "yes") => "Whether replicas move to masters without.";
        integer("cluster-replica-validity-factor", 0, INT, "10").alias(&["cluster-slave-validity-factor"]) => "How stale a replica may be to take over.";
        yes_no("cluster-replica-no-failover", "no").alias(&["cluster-slave-no-failover"]) => "Whether it never takes over.";
        yes_no("cluster-require-full-coverage", "yes") => "Whether all slots must be served.";
        yes_no("cluster-allow-reads-when-down", "no") => "Whether reads go on otherwise.";
        yes_no("cluster-allow-pubsubshard-when-down", "yes") => "Whether sharded channels go on otherwise.";
    })
    .collect()
}

const FACILITIES: &[&str] = &["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"];

/// Only the variables that Redis fills in.
fn title_template(word: &str) -> Result<(), &'static str> {
    const KNOWN: [&str; 7] = ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];
    let refusal = "template format is invalid or contains unknown variables";
    let mut rest = word;
    while let Some((_, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or(refusal)?;
        if !KNOWN.contains(&name) {
            return Err(refusal);
        }
        rest = after;
    }
    Ok(())
}

fn host_name(word: &str) -> Result<(), &'static str> {
    if word.len() >= 256 {
        return Err("Hostnames must be less than 256 characters");
    }
    match word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.') {
        true => Ok(()),
        false => Err("Hostnames may only contain alphanumeric characters, hyphens or dots"),
    }
}
