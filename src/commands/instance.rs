//! What all sessions of a server share, and the few things commands ask of the layers above.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::command::Flags;
use super::monitor::Monitors;
use super::names::Names;
use super::tracking::TrackingTable;
use super::waiters::Waiters;
use super::watch::WatchTable;
use crate::acl::Acl;
use crate::base::{Error, Result, clock};
use crate::config::{AppendFsync, Changes, Config, Settings, Unapplied};
use crate::keyspace::{Store, Wanted};
use crate::observe::{Client, Observations};
use crate::pubsub::Hub;
use crate::replication::Feed;
use crate::resp::Reply;
use crate::scripting::Scripts;
use crate::scripting::running::Running;
use crate::storage::Engine;
use crate::storage::durability::Syncer;
use crate::transfer::Saver;

/// How SHUTDOWN was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shutdown {
    /// Do not wait for clients.
    pub now: bool,
    /// Stop even if the last writes cannot be made safe.
    pub force: bool,
    /// Whether to save an RDB or checkpoint first; `None`: if save points are set.
    pub save: Option<bool>,
}

/// Another server, as MIGRATE names it.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    pub host: &'a str,
    pub port: u16,
    /// For connecting, and for each reading and writing.
    pub timeout: Duration,
}

/// Why another server could not be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExchangeError {
    Connect,
    Write,
    Read,
    /// The connection was closed before the first reply.
    Closed,
}

/// What commands ask of the server above them.
pub trait Control: Send + Sync {
    /// Begins to stop; connections are closed by the server itself.
    fn shutdown(&self, how: Shutdown);
    /// Calls off a shutdown that has not begun to close; says whether there was one.
    fn abort_shutdown(&self) -> bool;
    /// The budget of the process, in bytes, that `maxmemory` amounts to.
    fn memory_budget_bytes(&self) -> u64;
    /// Makes changed parameters true (listeners, log level, budget …).
    ///
    /// # Errors
    /// The parameter that could not be applied, and why.
    fn apply(&self, changes: &Changes<'_>) -> Result<(), Unapplied>;
    /// Sends requests to another server and waits for so many replies. Never on a network thread.
    ///
    /// # Errors
    /// When it cannot be reached, or does not answer in time.
    fn exchange(&self, to: &Endpoint<'_>, requests: &[u8], replies: usize) -> Result<Vec<Reply>, ExchangeError>;
    /// How many connections to other servers are kept.
    fn kept_links(&self) -> usize;
}

/// Facts of this process that do not change while it runs.
#[derive(Debug)]
pub struct Process {
    /// Milliseconds since the epoch.
    pub started_ms: u64,
    /// 40 hexadecimal digits that no other run has.
    pub run_id: String,
    pub os: String,
    pub executable: std::path::PathBuf,
    pub config_file: Option<std::path::PathBuf>,
}

/// The shared state of one server.
pub struct Instance {
    pub store: Arc<Store>,
    pub config: Arc<Config>,
    /// Statistics, clients, slow log, latency.
    pub observe: Arc<Observations>,
    /// Users and what they may do.
    pub acl: Acl,
    /// What clients call commands by.
    pub names: Names,
    pub watch: Arc<WatchTable>,
    /// Blocked clients.
    pub waiters: Arc<Waiters>,
    /// Who has subscribed to what.
    pub pubsub: Arc<Hub<Client>>,
    /// Which keys clients have copies of.
    pub tracking: Arc<TrackingTable>,
    /// The replication stream, and who gets it.
    pub feed: Arc<Feed<Client>>,
    /// Who is shown every command.
    pub monitors: Monitors,
    pub control: Arc<dyn Control>,
    pub scripts: Arc<Scripts>,
    /// Whether the expiry task may delete (DEBUG SET-ACTIVE-EXPIRE).
    pub active_expiry: AtomicBool,
    /// Scripts may call what is not for scripts (DEBUG SET-DISABLE-DENY-SCRIPTS).
    pub scripts_run_all: AtomicBool,
    pub process: Process,
    /// Who makes snapshots.
    pub saver: Arc<Saver>,
    pub syncer: Arc<Syncer<dyn Engine>>,
}

impl Instance {
    /// The script that holds one of these locks and has run for longer than `busy-reply-threshold`.
    pub fn busy_with(&self, wanted: &Wanted, settings: &Settings) -> Option<Arc<Running>> {
        let threshold = Duration::from_millis(settings.busy_reply_threshold);
        if threshold.is_zero() { None } else { self.scripts.running.in_the_way(wanted, threshold) }
    }

    /// Whether a command of these flags may write now. What only deletes may even on a full disk.
    ///
    /// # Errors
    /// `MISCONF` while the disk is full or failing, `NOREPLICAS` while too few replicas follow
    /// (`min-replicas-to-write`).
    pub fn writes_allowed(&self, flags: Flags, settings: &Settings) -> Result<()> {
        if !flags.contains(Flags::WRITE) {
            return Ok(());
        }
        if flags.contains(Flags::DENY_OOM) {
            self.observe.writes_allowed()?;
        }
        let (wanted, max_lag_s) = (settings.min_replicas_to_write, settings.min_replicas_max_lag);
        if wanted > 0 && max_lag_s > 0 {
            let heard_since_ms = clock::now_ms().saturating_sub(max_lag_s.saturating_mul(1000));
            if self.feed.following(heard_since_ms) < wanted {
                return Err(Error::client("NOREPLICAS Not enough good replicas to write."));
            }
        }
        Ok(())
    }

    /// Makes changed parameters true: those that commands look after, then the server's.
    ///
    /// # Errors
    /// The parameter that could not be applied, and why.
    pub fn apply(&self, changes: &Changes<'_>) -> Result<(), Unapplied> {
        self.control.apply(changes)?;
        if changes.touch(&["requirepass"]) {
            self.acl.set_default_password(&changes.after.requirepass);
        }
        Ok(())
    }

    /// The bytes that clients' buffers may take together (`maxmemory-clients`); `None` for no limit.
    pub fn client_memory_bytes(&self, settings: &Settings) -> Option<usize> {
        let most = settings.maxmemory_clients.of(self.control.memory_budget_bytes());
        usize::try_from(most).ok().filter(|most| *most > 0)
    }

    /// In `appendfsync always`, waits until everything committed so far survives a power cut.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn synced(&self) -> Result<()> {
        if self.config.load().appendfsync != AppendFsync::Always {
            return Ok(());
        }
        self.syncer.synced(self.store.engine().latest_sequence()).await
    }
}
