//! What commands ask of the server above them: to stop, and to make changed parameters true.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::doors::Doors;
use super::migrate::Links;
use super::web::Web;
use crate::commands::{Control, Endpoint, ExchangeError, Shutdown};
use crate::config::{AppendFsync, Changes, Unapplied};
use crate::resp::Reply;
use crate::storage::durability::{SyncMode, Syncer};
use crate::storage::{Engine, budget};

/// The server's side of [`Control`].
pub(super) struct Controller {
    stop: watch::Sender<Option<Shutdown>>,
    syncer: Arc<Syncer<dyn Engine>>,
    engine: Arc<dyn Engine>,
    store: Mutex<Option<Arc<crate::keyspace::Store>>>,
    doors: Mutex<Weak<Doors>>,
    web: Mutex<Weak<Web>>,
    budget_bytes: AtomicU64,
    links: Links,
}

impl Controller {
    pub fn new(syncer: Arc<Syncer<dyn Engine>>, engine: Arc<dyn Engine>, budget_bytes: u64) -> Self {
        Self {
            stop: watch::Sender::new(None),
            syncer,
            engine,
            store: Mutex::new(None),
            doors: Mutex::default(),
            web: Mutex::default(),
            budget_bytes: AtomicU64::new(budget_bytes),
            links: Links::default(),
        }
    }

    /// The store, once there is one.
    pub fn set_store(&self, store: Arc<crate::keyspace::Store>) {
        *self.store.lock() = Some(store);
    }

    /// The doors, once they are open.
    pub fn set_doors(&self, doors: &Arc<Doors>) {
        *self.doors.lock() = Arc::downgrade(doors);
    }

    /// The listeners of the web, once they are open.
    pub fn set_web(&self, web: &Arc<Web>) {
        *self.web.lock() = Arc::downgrade(web);
    }

    /// Resolves when the server is told to stop.
    pub async fn told_to_stop(&self) -> Shutdown {
        let mut told = self.stop.subscribe();
        let found = told.wait_for(Option::is_some).await.map(|how| *how);
        found.ok().flatten().unwrap_or_default()
    }
}

/// What `appendfsync` means to the log.
pub(super) fn sync_mode(setting: AppendFsync) -> SyncMode {
    match setting {
        AppendFsync::Always => SyncMode::Always,
        AppendFsync::Everysec => SyncMode::EverySecond,
        AppendFsync::No => SyncMode::No,
    }
}

impl Control for Controller {
    fn shutdown(&self, how: Shutdown) {
        self.stop.send_replace(Some(how));
    }

    fn abort_shutdown(&self) -> bool {
        // Stopping begins at once, so there is never one left to call off.
        false
    }

    fn memory_budget_bytes(&self) -> u64 {
        self.budget_bytes.load(Ordering::Relaxed)
    }

    fn apply(&self, changes: &Changes<'_>) -> Result<(), Unapplied> {
        if changes.touch(&["appendfsync"]) {
            self.syncer.set_mode(sync_mode(changes.after.appendfsync));
        }
        let doors = self.doors.lock().upgrade();
        if let Some(doors) = doors {
            doors.apply(changes)?;
        }
        let web = self.web.lock().upgrade();
        if let Some(web) = web {
            web.apply(changes)?;
        }
        if changes.touch(&["maxmemory"]) {
            let split = super::start::split(changes.after);
            self.apply_budget(&split).map_err(|error| Unapplied { parameter: "maxmemory", why: error.to_string() })?;
        }
        Ok(())
    }

    fn exchange(&self, to: &Endpoint<'_>, requests: &[u8], replies: usize) -> Result<Vec<Reply>, ExchangeError> {
        self.links.exchange(to, requests, replies)
    }

    fn kept_links(&self) -> usize {
        self.links.count()
    }
}

impl Controller {
    fn apply_budget(&self, split: &budget::Budget) -> crate::base::Result<()> {
        self.engine.set_budget(&split.engine)?;
        if let Some(store) = self.store.lock().as_ref() {
            store.cache().set_capacity(split.record_cache_bytes);
        }
        self.budget_bytes.store(split.total_bytes, Ordering::Relaxed);
        Ok(())
    }
}
