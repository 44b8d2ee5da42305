//! The parameters that the server obeys: one row states name, kind, default,
//! when it may change, the field that holds it and its documentation. The macro
//! makes of them the struct [`Settings`] and their part of the table; nothing
//! else lists them. Parameters that are only kept are in `inert.rs`.

use std::sync::Arc;

use super::compound::{Addresses, Directory, Lines, OutputLimits, Percentiles, SavePoints};
use super::events::EventClasses;
use super::kind::{Kind, Octal, Setting, SizeOrPercent, choices};
use super::parameter::{Parameter, Slot, choice, integer, size, table, text, yes_no};

// What is not built yet. Who builds it takes the calls with its reason away below.
const NO_TYPE: &str = "this version does not have the type yet";
const NO_FREQUENCIES: &str = "this version counts no accesses yet";

/// The largest value of Redis' `int` parameters.
const INT: i64 = i32::MAX as i64;
/// The largest value of Redis' `long` parameters.
const LONG: i64 = i64::MAX;
/// The same for sizes.
const BYTES: u64 = i64::MAX as u64;

choices! {
    /// How much the server tells in its log.
    LogLevel {
        Debug = "debug", Verbose = "verbose", Notice = "notice",
        Warning = "warning", Nothing = "nothing",
    }
    /// The form of log lines.
    LogFormat { Text = "text", Json = "json" }
    /// When the write-ahead log is made safe against a power cut.
    AppendFsync { Everysec = "everysec", Always = "always", No = "no" }
    /// What snapshots are.
    SaveFormat { Rdb = "rdb", Checkpoint = "checkpoint" }
    /// What Redis would evict; in Ferrock, which statistics of access are kept.
    MaxmemoryPolicy {
        VolatileLru = "volatile-lru", VolatileLfu = "volatile-lfu",
        VolatileRandom = "volatile-random", VolatileTtl = "volatile-ttl",
        AllkeysLru = "allkeys-lru", AllkeysLfu = "allkeys-lfu",
        AllkeysRandom = "allkeys-random", NoEviction = "noeviction",
    }
    /// Who may do what is dangerous.
    ProtectedAction { No = "no", Yes = "yes", Local = "local" }
    /// Whether TLS clients must show a certificate.
    TlsAuthClients { No = "no", Yes = "yes", Optional = "optional" }
    /// The channels of users whose rules name none.
    AclPubsubDefault { Allchannels = "allchannels", Resetchannels = "resetchannels" }
}

impl MaxmemoryPolicy {
    /// Whether frequencies of access rather than times are asked for.
    pub const fn is_lfu(self) -> bool {
        matches!(self, Self::VolatileLfu | Self::AllkeysLfu)
    }
}

macro_rules! settings {
    ($($section:ident { $($(#[doc = $about:literal])+ $field:ident: $type:ty = $row:expr;)+ })+) => {
        /// The value of every parameter. A change makes a new one; see [`super::Config`].
        #[derive(Debug, Clone)]
        pub struct Settings {
            $($($(#[doc = $about])+ pub $field: $type,)+)+
            /// The normal forms of the parameters without an effect, in their order.
            inert: Vec<Arc<str>>,
        }

        impl Settings {
            /// No value at all yet; [`Settings::default`] gives every field one.
            fn blank() -> Self {
                Self { $($($field: <$type>::default(),)+)+ inert: Vec::new() }
            }
        }

        /// The rows of the parameters above.
        pub(super) fn effective() -> Vec<Parameter> {
            vec![$($(Parameter {
                section: super::parameter::Section::$section,
                about: &[$($about),+],
                slot: Slot::Field {
                    show: |settings| settings.$field.show(),
                    assign: |settings, kind, words| settings.$field.assign(kind, words),
                },
                ..$row
            },)+)+]
        }
    };
}

settings! {
    Network {
        /// The addresses to listen on. `*` is every IPv4 and `::*` every IPv6 address; with a
        /// leading `-`, an address that this machine does not have is no error.
        bind: Addresses = Parameter::new("bind", Kind::Addresses, "127.0.0.1 -::1");
        /// The TCP port; 0 listens on none.
        port: u16 = integer("port", 0, 65535, "6379");
        /// How many connections the kernel holds for the server to accept.
        tcp_backlog: u32 = integer("tcp-backlog", 0, INT, "511").restart();
        /// While the default user has no password, answers only clients of this machine.
        protected_mode: bool = yes_no("protected-mode", "yes");
        /// The path of a Unix socket to listen on; empty for none.
        unixsocket: String = text("unixsocket", "").restart();
        /// The permissions of the Unix socket, in octal; 0 leaves them to the umask.
        unixsocketperm: Octal =
            Parameter::new("unixsocketperm", Kind::Octal { max: 0o777 }, "0").restart();
        /// Seconds after which a client that asks nothing is closed; 0 keeps it for ever.
        timeout: u32 = integer("timeout", 0, INT, "0");
        /// Seconds between probes of a silent connection; 0 sends none.
        tcp_keepalive: u32 = integer("tcp-keepalive", 0, INT, "300");
        /// The most threads that serve connections, as the load takes them; 0 is one for each core.
        network_threads: u32 = integer("network-threads", 0, 1024, "0").fixed();
    }
    Tls {
        /// The port for TLS connections; 0 listens on none.
        tls_port: u16 = integer("tls-port", 0, 65535, "0");
        /// The server's certificate chain, in PEM. Names of files start at `dir`; SIGHUP reads them again.
        tls_cert_file: String = text("tls-cert-file", "");
        /// The private key of that certificate, in PEM.
        tls_key_file: String = text("tls-key-file", "");
        /// The certificates, in PEM, that may sign those of clients.
        tls_ca_cert_file: String = text("tls-ca-cert-file", "");
        /// A folder of such certificates.
        tls_ca_cert_dir: String = text("tls-ca-cert-dir", "");
        /// Whether TLS clients must show a certificate (`yes`), may (`optional`), or are not asked.
        tls_auth_clients: TlsAuthClients = choice::<TlsAuthClients>("tls-auth-clients", "yes");
        /// The TLS versions to speak, such as "TLSv1.2 TLSv1.3"; empty for both.
        tls_protocols: String = Parameter::new("tls-protocols", Kind::Text(tls_versions), "");
    }
    General {
        /// The folder of the database, made if it is missing. One server owns it at a time.
        dir: Directory = Parameter::new("dir", Kind::Directory, "data").pinned();
        /// How many logical databases SELECT can choose from.
        databases: u32 = integer("databases", 1, INT, "16").restart();
        /// How much the log tells: `debug`, `verbose`, `notice`, `warning` or `nothing`.
        loglevel: LogLevel = choice::<LogLevel>("loglevel", "notice");
        /// The file of the log; empty for standard output.
        logfile: String = text("logfile", "").restart();
        /// The form of log lines: `text` for people, `json` for programs.
        log_format: LogFormat = choice::<LogFormat>("log-format", "text").fixed();
        /// A file to keep the process id in while the server runs; empty for none.
        pidfile: String = text("pidfile", "").restart();
    }
    Security {
        /// The password of the default user; empty for none.
        requirepass: String = text("requirepass", "").secret();
        /// A file of users, one `user` line each, in `dir` unless its name says where; empty to keep
        /// users in this file.
        aclfile: String = text("aclfile", "").restart();
        /// A user: name and rules, as ACL SETUSER takes them. May stand many times.
        user: Lines = Parameter::new("user", Kind::Lines { form: "a name and ACL rules" }, "")
            .file_only().secret();
        /// Gives a command another name, or with "" none. May stand many times.
        rename_command: Lines = Parameter::new(
            "rename-command", Kind::Lines { form: "a command and its new name, or \"\"" }, "",
        ).file_only();
        /// The pub/sub channels of users whose rules name none.
        acl_pubsub_default: AclPubsubDefault =
            choice::<AclPubsubDefault>("acl-pubsub-default", "resetchannels");
        /// How many refusals ACL LOG remembers.
        acllog_max_len: usize = integer("acllog-max-len", 0, LONG, "128");
        /// Whether CONFIG SET may change `dir` and `dbfilename`: `no`, `yes`, or `local` for
        /// clients of this machine.
        enable_protected_configs: ProtectedAction =
            choice::<ProtectedAction>("enable-protected-configs", "no").restart();
        /// Whether DEBUG may be used: `no`, `yes`, or `local` for clients of this machine.
        enable_debug_command: ProtectedAction =
            choice::<ProtectedAction>("enable-debug-command", "no").restart();
    }
    Clients {
        /// How many clients may be connected at once.
        maxclients: u32 = integer("maxclients", 1, u32::MAX as i64, "10000");
        /// How much unread output closes a client, by class: hard limit, soft limit, seconds
        /// above the soft one; 0 is no limit.
        client_output_buffer_limit: OutputLimits = Parameter::new(
            "client-output-buffer-limit", Kind::OutputLimits,
            "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        );
        /// The largest unparsed input of a client, which is closed beyond it.
        client_query_buffer_limit: u64 = size("client-query-buffer-limit", 1 << 20, BYTES, "1gb");
        /// The largest argument, and the largest string value.
        proto_max_bulk_len: u64 = size("proto-max-bulk-len", 1 << 20, BYTES, "512mb");
        /// The buffers of all clients together, beyond which those who use most are closed; 0 is no limit.
        maxmemory_clients: SizeOrPercent =
            Parameter::new("maxmemory-clients", Kind::SizeOrPercent, "0");
        /// How many keys are remembered for client-side caching; 0 is no limit.
        tracking_table_max_keys: usize = integer("tracking-table-max-keys", 0, LONG, "1000000");
    }
    Memory {
        /// The memory of the whole process: caches, write buffers, clients, scripts. Data beyond it
        /// lives on disk only. 0 takes a quarter of the machine's memory.
        maxmemory: u64 = size("maxmemory", 0, u64::MAX, "512mb");
        /// The share of `maxmemory` that holds hot records, in percent.
        record_cache_percent: u32 = integer("record-cache-percent", 0, 80, "30").fixed();
        /// The share of `maxmemory` that holds writes not yet in sorted files, in percent.
        /// What the two shares leave goes to the block cache and to clients.
        write_buffer_percent: u32 = integer("write-buffer-percent", 1, 50, "20").fixed();
        /// Nothing is evicted from disk, whatever is chosen; a policy with `lfu` makes OBJECT FREQ
        /// answer, any other OBJECT IDLETIME.
        maxmemory_policy: MaxmemoryPolicy =
            choice::<MaxmemoryPolicy>("maxmemory-policy", "noeviction").not_yet(NO_FREQUENCIES);
        /// How slowly the counter of accesses grows for OBJECT FREQ.
        lfu_log_factor: u32 = integer("lfu-log-factor", 0, INT, "10").not_yet(NO_FREQUENCIES);
        /// Minutes after which that counter falls by one; 0 never.
        lfu_decay_time: u32 = integer("lfu-decay-time", 0, INT, "1").not_yet(NO_FREQUENCIES);
    }
    Persistence {
        /// When acknowledged writes are safe from a power cut: `always` before the reply,
        /// `everysec` within a second, `no` when the kernel likes. No mode loses writes when only
        /// the process dies.
        appendfsync: AppendFsync = choice::<AppendFsync>("appendfsync", "everysec");
        /// Writes are refused while the disk of `dir` has less than this free; reads and deletions go on.
        min_free_disk: u64 = size("min-free-disk", 0, BYTES, "256mb");
        /// Snapshots by themselves: pairs of seconds and changes. One is made in the background when so many
        /// seconds have passed since the last and there were at least so many changes; and when the
        /// server stops. Empty makes none. Nothing is lost without: every write is on disk already.
        save: SavePoints = Parameter::new("save", Kind::SavePoints, "");
        /// What SAVE, BGSAVE and save points make: `rdb`, the file `dbfilename`, which Redis reads, or
        /// `checkpoint`, the whole database at once in the folder `checkpoint-dirname`, by hard links.
        save_format: SaveFormat = choice::<SaveFormat>("save-format", "rdb");
        /// The name, in `dir`, of the link to the newest checkpoint.
        checkpoint_dirname: String =
            Parameter::new("checkpoint-dirname", Kind::Text(folder_name), "checkpoint").fixed();
        /// The name of the RDB file that SAVE and BGSAVE write, in `dir`.
        dbfilename: String =
            Parameter::new("dbfilename", Kind::Text(file_name), "dump.rdb").protected();
        /// Whether strings in RDB files are compressed.
        rdbcompression: bool = yes_no("rdbcompression", "yes");
        /// Whether RDB files end with a checksum.
        rdbchecksum: bool = yes_no("rdbchecksum", "yes").restart().not_yet("they always do");
        /// Threads that read data from disk for requests which miss every cache; 0 takes eight for
        /// each core, at least 16 and at most 128.
        cold_io_threads: u32 = integer("cold-io-threads", 0, 1024, "0").fixed();
        /// Threads that flush and compact; 0 leaves it to the engine.
        compaction_threads: u32 = integer("compaction-threads", 0, 256, "0").fixed();
    }
    Keyspace {
        /// The keyspace events to publish: K (by key) or E (by event), and classes: g $ l s h z x e t d,
        /// A for all of these, m for misses, n for new keys. Empty publishes none.
        notify_keyspace_events: EventClasses =
            Parameter::new("notify-keyspace-events", Kind::Events, "");
    }
    Encodings {
        /// The most fields of a hash that OBJECT ENCODING calls a listpack.
        hash_max_listpack_entries: usize = integer("hash-max-listpack-entries", 0, LONG, "512")
            .alias(&["hash-max-ziplist-entries"]);
        /// The longest field or value of such a hash.
        hash_max_listpack_value: usize = size("hash-max-listpack-value", 0, BYTES, "64")
            .alias(&["hash-max-ziplist-value"]);
        /// The most elements (or, from -1 to -5, bytes: 4, 8, 16, 32, 64 kb) of a list that
        /// OBJECT ENCODING calls a listpack.
        list_max_listpack_size: i64 = integer("list-max-listpack-size", i32::MIN as i64, INT, "-2")
            .alias(&["list-max-ziplist-size"]);
        /// The most members of a set of integers that OBJECT ENCODING calls an intset.
        set_max_intset_entries: usize = integer("set-max-intset-entries", 0, LONG, "512");
        /// The most members of a set that OBJECT ENCODING calls a listpack.
        set_max_listpack_entries: usize = integer("set-max-listpack-entries", 0, LONG, "128");
        /// The longest member of such a set.
        set_max_listpack_value: usize = size("set-max-listpack-value", 0, BYTES, "64");
        /// The most members of a sorted set that OBJECT ENCODING calls a listpack.
        zset_max_listpack_entries: usize = integer("zset-max-listpack-entries", 0, LONG, "128")
            .alias(&["zset-max-ziplist-entries"]).not_yet(NO_TYPE);
        /// The longest member of such a sorted set.
        zset_max_listpack_value: usize = size("zset-max-listpack-value", 0, BYTES, "64")
            .alias(&["zset-max-ziplist-value"]).not_yet(NO_TYPE);
        /// The largest HyperLogLog in the sparse form.
        hll_sparse_max_bytes: usize = size("hll-sparse-max-bytes", 0, BYTES, "3000");
        /// The largest node of a stream; 0 is no limit.
        stream_node_max_bytes: usize = size("stream-node-max-bytes", 0, BYTES, "4096");
        /// The most entries in a node of a stream, which `~` trims whole; 0 is no limit.
        stream_node_max_entries: u64 = integer("stream-node-max-entries", 0, LONG, "100");
    }
    Scripts {
        /// Milliseconds after which a script that still runs may be killed, and those who need its
        /// keys are told BUSY; 0 waits for ever.
        busy_reply_threshold: u64 = integer("busy-reply-threshold", 0, LONG, "5000")
            .alias(&["lua-time-limit"]);
        /// The most memory that one script may use.
        lua_memory_limit: u64 = size("lua-memory-limit", 1 << 20, BYTES, "64mb");
    }
    Observation {
        /// Microseconds from which a command enters the slow log; 0 takes all, -1 none.
        slowlog_log_slower_than: i64 = integer("slowlog-log-slower-than", -1, LONG, "10000");
        /// How many commands the slow log remembers.
        slowlog_max_len: usize = integer("slowlog-max-len", 0, LONG, "128");
        /// Milliseconds from which an event is kept for LATENCY; 0 keeps none.
        latency_monitor_threshold: u64 = integer("latency-monitor-threshold", 0, LONG, "0");
        /// Whether the latencies of each command are counted for LATENCY HISTOGRAM and INFO.
        latency_tracking: bool = yes_no("latency-tracking", "yes");
        /// The percentiles that INFO latencystats tells.
        latency_tracking_info_percentiles: Percentiles = Parameter::new(
            "latency-tracking-info-percentiles", Kind::Percentiles, "50 99 99.9",
        );
        /// The port for /metrics, /healthz, /readyz and the console; 0 listens on none.
        metrics_port: u16 = integer("metrics-port", 0, 65535, "0");
        /// The addresses for `metrics-port`, as `bind` names them.
        metrics_bind: Addresses = Parameter::new("metrics-bind", Kind::Addresses, "127.0.0.1 -::1");
        /// The name to be given with `metrics-password`.
        metrics_user: String = Parameter::new("metrics-user", Kind::Text(user_name), "metrics");
        /// The password for /metrics and the console (HTTP's Basic authentication). Without one they
        /// are shown to this machine only, unless `protected-mode` is off; the probes are open.
        metrics_password: String = text("metrics-password", "").secret();
    }
    Replication {
        /// Seconds between signs of life to replicas.
        repl_ping_replica_period: u64 =
            integer("repl-ping-replica-period", 1, INT, "10").alias(&["repl-ping-slave-period"]);
        /// Seconds without a sign of life after which a replica is closed.
        repl_timeout: u64 = integer("repl-timeout", 1, INT, "60");
        /// Writes are refused unless so many replicas follow; 0 demands none.
        min_replicas_to_write: usize =
            integer("min-replicas-to-write", 0, INT, "0").alias(&["min-slaves-to-write"]);
        /// A replica that was not heard of for more seconds than this does not count for that; 0
        /// switches both off.
        min_replicas_max_lag: u64 =
            integer("min-replicas-max-lag", 0, INT, "10").alias(&["min-slaves-max-lag"]);
    }
}

/// A plain name: `dir` says where, and a path would lead out of it.
fn file_name(word: &str) -> Result<(), &'static str> {
    match word.contains('/') || word.is_empty() {
        true => Err("dbfilename can't be a path, just a filename"),
        false => Ok(()),
    }
}

/// The same for a folder, which must not be taken for a file of the database.
fn folder_name(word: &str) -> Result<(), &'static str> {
    let is_plain = !word.contains('/') && !word.starts_with('.') && !word.starts_with("ferrock");
    match is_plain && word.starts_with(|first: char| !first.is_ascii_uppercase()) {
        true => Ok(()),
        false => Err("checkpoint-dirname can't be a path or a name that a file of the database may have"),
    }
}

/// A name that Basic authentication can carry.
fn user_name(word: &str) -> Result<(), &'static str> {
    match word.contains(':') || word.is_empty() {
        true => Err("metrics-user can't be empty or contain a colon"),
        false => Ok(()),
    }
}

/// Versions of TLS that this server could speak.
fn tls_versions(word: &str) -> Result<(), &'static str> {
    let known = |version: &str| ["TLSv1.2", "TLSv1.3"].iter().any(|name| name.eq_ignore_ascii_case(version));
    match word.split_whitespace().all(known) {
        true => Ok(()),
        false => Err("argument must be some of TLSv1.2 and TLSv1.3"),
    }
}

impl Default for Settings {
    /// Every parameter at its default; relative folders start at the current one.
    fn default() -> Self {
        let mut settings = Self::blank();
        for parameter in table().iter() {
            let words = parameter.default_words();
            if !matches!(parameter.kind, Kind::Lines { .. }) {
                let assigned = settings.assign(parameter, &words);
                debug_assert_eq!(assigned, Ok(()), "default of {}", parameter.name);
            }
        }
        settings
    }
}

impl Settings {
    /// The value of a parameter as CONFIG GET shows it.
    pub fn show(&self, parameter: &Parameter) -> String {
        match parameter.slot {
            Slot::Field { show, .. } => show(self),
            Slot::Inert(place) => self.inert.get(place).map(|text| (**text).to_owned()).unwrap_or_default(),
        }
    }

    /// The value, as CONFIG GET shows it, of the parameter of this name or alias.
    pub fn text(&self, name: &str) -> Option<String> {
        table().find(name).map(|parameter| self.show(parameter))
    }

    /// Gives a parameter a value, or says in Redis' words why not.
    pub(super) fn assign(&mut self, parameter: &Parameter, words: &[&str]) -> Result<(), String> {
        if words.len() != 1 && !parameter.kind.takes_many() {
            return Err("wrong number of arguments".into());
        }
        match parameter.slot {
            Slot::Field { assign, .. } => assign(self, &parameter.kind, words),
            Slot::Inert(place) => self.assign_inert(place, &parameter.kind, words),
        }
    }

    /// Why a server that is given this value must not run with it, if so.
    pub(super) fn refusal(&self, parameter: &Parameter) -> Option<String> {
        let reason = parameter.no_effect.filter(|_| parameter.refused)?;
        (self.show(parameter) != parameter.default).then(|| format!("not available: {reason}"))
    }

    fn assign_inert(&mut self, place: usize, kind: &Kind, words: &[&str]) -> Result<(), String> {
        let before = self.inert.get(place).cloned().unwrap_or_default();
        let after = kind.normal_form(words, &before)?;
        if self.inert.len() <= place {
            self.inert.resize(place + 1, Arc::from(""));
        }
        if let Some(value) = self.inert.get_mut(place) {
            *value = after.into();
        }
        Ok(())
    }

    /// Whether the default user has a password.
    pub fn requires_password(&self) -> bool {
        !self.requirepass.is_empty()
    }

    /// The budget of the process in bytes, on a machine with `machine_bytes` of memory.
    pub fn memory_budget(&self, machine_bytes: u64) -> u64 {
        match self.maxmemory {
            0 => machine_bytes / 4,
            bytes => bytes,
        }
    }
}
