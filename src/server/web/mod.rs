//! The web of a server: what people and programs that watch it are shown, over HTTP on a port of
//! its own (`metrics-port`). Read-only. It runs on the threads for housework and the blocking threads beside
//! them, so however it is used, clients of the database have their network threads for themselves.
//!
//! - `connection.rs`: one connection: limits, time limits, HTTP/1.1.
//! - `answer.rs`: from a request to a page; `guard.rs`: who may see it.
//! - `metrics.rs`, `families.rs`: /metrics. `console.rs`, `console.html`: the console and its figures.

mod answer;
mod connection;
mod console;
mod families;
mod guard;
mod metrics;

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Semaphore;

use super::listeners::{Listeners, Wanted, places};
use super::start::StartError;
use crate::commands::Instance;
use crate::commands::report::Report;
use crate::config::{Changes, Config, Settings, Unapplied};
use crate::keyspace::BigKeys;
use crate::storage::pool::Pool;

/// The parameters that say where to listen.
const PARAMETERS: &[&str] = &["metrics-port", "metrics-bind"];

/// Connections at once; more are turned away.
const MOST_CONNECTIONS: usize = 64;

/// How far the server is.
#[derive(Clone)]
enum Phase {
    /// The database is being opened.
    Opening,
    Serving(Arc<Served>),
    Stopping,
}

/// What is reported on.
struct Served {
    instance: Arc<Instance>,
    pool: Arc<Pool>,
}

impl Served {
    fn report(&self) -> Report {
        Report::new(self.instance.clone(), self.instance.config.snapshot())
    }
}

/// What all connections share.
struct Shared {
    config: Arc<Config>,
    phase: RwLock<Phase>,
    /// A place for each connection.
    places: Arc<Semaphore>,
    /// One page is put together at a time: who asks often waits, and the server does not.
    gathering: Semaphore,
    big_keys: Mutex<BigKeys>,
}

impl Shared {
    fn phase(&self) -> Phase {
        self.phase.read().clone()
    }
}

/// The listeners, and what they tell of.
pub(super) struct Web {
    listeners: Listeners,
    shared: Arc<Shared>,
}

impl Web {
    /// Opens what the settings name, if they name anything. To be called on the runtime.
    ///
    /// # Errors
    /// When a required address cannot be listened on.
    pub fn open(config: Arc<Config>, settings: &Settings) -> Result<Self, StartError> {
        let shared = Arc::new(Shared {
            config,
            phase: RwLock::new(Phase::Opening),
            places: Arc::new(Semaphore::new(MOST_CONNECTIONS)),
            gathering: Semaphore::new(1),
            big_keys: Mutex::default(),
        });
        let web = Self { listeners: Listeners::new(), shared };
        web.move_to(settings)?;
        Ok(web)
    }

    /// The server is there, and can be told of.
    pub fn serve(&self, instance: Arc<Instance>, pool: Arc<Pool>) {
        *self.shared.phase.write() = Phase::Serving(Arc::new(Served { instance, pool }));
    }

    /// From here on the server is not ready. Probes are answered until the process ends.
    pub fn stop(&self) {
        *self.shared.phase.write() = Phase::Stopping;
    }

    /// Makes changed parameters true. Those of the guard are looked at with each request.
    ///
    /// # Errors
    /// The parameter that could not be applied; nothing has changed then.
    pub fn apply(&self, changes: &Changes<'_>) -> Result<(), Unapplied> {
        if !changes.touch(PARAMETERS) {
            return Ok(());
        }
        let parameter = PARAMETERS.iter().find(|name| changes.touch(&[name])).copied().unwrap_or("metrics-port");
        let why = |error| format!("Unable to listen on this port: {error}");
        self.move_to(changes.after).map_err(|error| Unapplied { parameter, why: why(error) })
    }

    fn move_to(&self, settings: &Settings) -> Result<(), StartError> {
        let wanted: Vec<Wanted> = match settings.metrics_port {
            0 => Vec::new(),
            port => places(&settings.metrics_bind, port, false),
        };
        self.listeners.follow(&wanted, settings.tcp_backlog, |listener, _| {
            tokio::spawn(connection::accept(listener, self.shared.clone()))
        })
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.listeners.close();
    }
}
