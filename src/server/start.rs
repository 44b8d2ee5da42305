//! From a configuration to a running server and back: opens the store, builds what sessions
//! share, listens, waits for the word to stop, and stops in an order that loses nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::background;
use super::control::{Controller, sync_mode};
use super::crew::Crew;
use super::doors::Doors;
use super::listen::Door;
use super::tls::TlsError;
use super::web::Web;
use super::{reload, supervisor};
use crate::acl::{Acl, Stays};
use crate::base::{Error, clock, random};
use crate::commands::{self, Instance, Names, Process, Shutdown};
use crate::config::{AclPubsubDefault, Config, Settings};
use crate::keyspace::{Store, StoreOptions};
use crate::observe::{Observations, memory};
use crate::replication::Feed;
use crate::storage::budget::{Budget, Shares};
use crate::storage::durability::Syncer;
use crate::storage::pool::Pool;
use crate::storage::{self, Engine, OpenOptions};
use crate::transfer::Saver;

/// Jobs that may wait for an I/O thread before connections wait to hand over theirs.
const POOL_PLACES: usize = 4096;
/// How long connections may take to send their last replies when the server stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// As many as Redis' run ids have.
const RUN_ID_DIGITS: usize = 40;
/// Assumed where the kernel does not say how much memory there is.
const FALLBACK_MACHINE_BYTES: u64 = 2 << 30;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Users(String),
    #[error("cannot open the database: {0}")]
    Store(#[from] Error),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: io::Error },
    #[error("cannot speak TLS: {0}")]
    Tls(#[source] TlsError),
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    #[error("cannot write {path}: {source}", path = path.display())]
    PidFile { path: PathBuf, source: io::Error },
}

/// For background tasks and accepting; connections have threads of their own.
const HOUSEWORK_THREADS: usize = 2;

/// Runs a server until it is told to stop.
///
/// # Errors
/// When it cannot start, or the last writes could not be made safe.
pub fn run(config: Config) -> Result<(), StartError> {
    let config = Arc::new(config);
    let settings = config.snapshot();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(HOUSEWORK_THREADS)
        .thread_name("ferrock-house")
        .enable_all()
        .build()
        .map_err(StartError::Runtime)?;
    runtime.block_on(serve(config, settings))
}

fn threads_or_cores(setting: u32) -> usize {
    match setting {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        threads => threads as usize,
    }
}

/// Bytes of memory in this machine, or in the cgroup that confines this process.
fn machine_bytes() -> u64 {
    let machine = match memory::machine_bytes() {
        0 => FALLBACK_MACHINE_BYTES,
        bytes => bytes,
    };
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let confined = limits.iter().filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    confined.fold(machine, u64::min)
}

fn process(config: &Config) -> Result<Process, StartError> {
    let run_id = random::secret_hex(RUN_ID_DIGITS).map_err(StartError::Runtime)?;
    let kernel = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Ok(Process {
        started_ms: clock::now_ms(),
        run_id,
        os: format!("{} {} {}", text(kernel.sysname()), text(kernel.release()), text(kernel.machine())),
        executable: std::env::current_exe().unwrap_or_default(),
        config_file: config.file().map(PathBuf::from),
    })
}

/// How `maxmemory` is split under these settings.
pub(super) fn split(settings: &Settings) -> Budget {
    let shares = Shares {
        write_buffer_percent: u64::from(settings.write_buffer_percent),
        record_cache_percent: u64::from(settings.record_cache_percent),
        ..Shares::default()
    };
    Budget::split(settings.memory_budget(machine_bytes()), shares)
}

/// Opens the database and the keyspace on it.
pub(super) fn open(settings: &Settings) -> Result<(Arc<dyn Engine>, Arc<Store>), Error> {
    let split = split(settings);
    let mut options = OpenOptions::new(split.engine);
    if settings.compaction_threads > 0 {
        options.background_threads = i32::try_from(settings.compaction_threads).unwrap_or(i32::MAX);
    }
    let engine: Arc<dyn Engine> = storage::open(settings.dir.path(), &options)?;
    let store = Store::open(
        engine.clone(),
        &StoreOptions { databases: settings.databases, record_cache_bytes: split.record_cache_bytes },
    )?;
    Ok((engine, store))
}

/// What all sessions share, on an opened store.
pub(super) fn assemble(
    config: Arc<Config>,
    store: Arc<Store>,
    syncer: Arc<Syncer<dyn Engine>>,
    controller: Arc<Controller>,
) -> Result<Arc<Instance>, StartError> {
    let settings = config.snapshot();
    let (acl, names) = users_and_names(&settings).map_err(StartError::Users)?;
    let instance = Arc::new(Instance {
        observe: Arc::new(Observations::new(commands::table_size())),
        acl,
        names,
        watch: Arc::default(),
        waiters: Arc::default(),
        pubsub: Arc::default(),
        tracking: Arc::default(),
        feed: Arc::new(Feed::new(random::secret_hex(RUN_ID_DIGITS).map_err(StartError::Runtime)?)),
        monitors: commands::Monitors::default(),
        control: controller,
        scripts: Arc::default(),
        active_expiry: AtomicBool::new(true),
        scripts_run_all: AtomicBool::new(false),
        syncer,
        saver: Arc::new(Saver::new(store.changes())),
        process: process(&config)?,
        config,
        store,
    });
    instance.observe.clients.limit_output(&settings.client_output_buffer_limit);
    commands::attach(&instance);
    commands::restore_libraries(&instance)?;
    Ok(instance)
}

async fn serve(config: Arc<Config>, settings: Arc<Settings>) -> Result<(), StartError> {
    let began = std::time::Instant::now();
    supervisor::opening(settings.dir.path());
    // First, so that a probe is answered while the log is being read.
    let web = Arc::new(Web::open(config.clone(), &settings)?);
    let (engine, store) = open(&settings)?;
    let syncer = Arc::new(Syncer::start(engine.clone(), sync_mode(settings.appendfsync))?);
    let pool = Arc::new(Pool::start(pool_threads(&settings), POOL_PLACES)?);
    let controller = Arc::new(Controller::new(syncer.clone(), engine.clone(), split(&settings).total_bytes));
    controller.set_store(store.clone());
    controller.set_web(&web);
    let instance = assemble(config, store.clone(), syncer.clone(), controller.clone())?;
    let crew = Arc::new(Crew::start(threads_or_cores(settings.network_threads)).map_err(StartError::Runtime)?);
    let door = Door { instance: instance.clone(), pool: pool.clone(), tls: Arc::default(), crew };
    // Before anybody can connect: whoever got an answer may ask the process to stop.
    let signals = signal(SignalKind::terminate()).and_then(|first| Ok((first, signal(SignalKind::interrupt())?)));
    let doors = Arc::new(Doors::open(&settings, door)?);
    controller.set_doors(&doors);
    web.serve(instance.clone(), pool.clone());
    let housework = [
        tokio::spawn(background::expire(instance.clone())),
        tokio::spawn(background::reclaim(instance.clone())),
        tokio::spawn(background::count_keys(instance.clone())),
        tokio::spawn(background::care(instance.clone())),
        tokio::spawn(background::save_points(instance.clone())),
        tokio::spawn(reload::on_hangup(instance.clone(), doors.clone())),
        tokio::spawn(supervisor::keep_alive()),
        tokio::spawn(background::evict_clients(instance.clone())),
        tokio::spawn(background::care_for_replicas(instance.clone())),
    ];
    write_pid_file(&settings)?;
    tracing::info!(port = settings.port, dir = %settings.dir.path().display(), ready_ms = began.elapsed().as_millis() as u64, "ready to accept connections");
    supervisor::ready();
    let how = stop_signal(&controller, signals).await;
    tracing::info!(?how, "stopping");
    supervisor::stopping();
    web.stop();
    doors.close();
    housework.iter().for_each(|task| task.abort());
    instance.scripts.running.stop();
    say_farewell(&instance).await;
    let closed = tokio::task::spawn_blocking(move || {
        pool.stop();
        let has_points = || !instance.config.load().save.0.is_empty();
        if how.save.unwrap_or_else(has_points) {
            commands::save_before_stopping(&instance);
        }
        syncer.stop();
        let closed = store.close();
        engine.close().and(closed)
    });
    remove_pid_file(&settings);
    match closed.await {
        Ok(Err(error)) => Err(error.into()),
        Ok(Ok(())) => {
            tracing::info!("everything is on disk; bye");
            Ok(())
        }
        Err(error) => Err(Error::Storage(error.to_string()).into()),
    }
}

/// The users that the settings or their file name, and what commands are called.
fn users_and_names(settings: &Settings) -> Result<(Acl, Names), String> {
    let acl = Acl::new(&commands::CATALOGUE);
    let all_channels = settings.acl_pubsub_default == AclPubsubDefault::Allchannels;
    acl.set_default_password(&settings.requirepass);
    acl.take_lines(&settings.user.0, all_channels)?;
    if !settings.aclfile.is_empty() {
        let path = settings.dir.path().join(&settings.aclfile);
        acl.load(&path, &settings.aclfile, all_channels, &settings.requirepass, Stays::Nobody)?;
    }
    let names = Names::new(&settings.rename_command.0).map_err(|why| format!("rename-command: {why}"))?;
    Ok((acl, names))
}

fn pool_threads(settings: &Settings) -> usize {
    match settings.cold_io_threads {
        0 => (threads_or_cores(0) * 8).clamp(16, 128),
        threads => threads as usize,
    }
}

/// Waits for SHUTDOWN, SIGTERM or SIGINT.
async fn stop_signal(controller: &Controller, signals: io::Result<(Signal, Signal)>) -> Shutdown {
    let Ok((mut terminate, mut interrupt)) = signals else {
        return controller.told_to_stop().await;
    };
    tokio::select! {
        how = controller.told_to_stop() => how,
        _ = terminate.recv() => Shutdown::default(),
        _ = interrupt.recv() => Shutdown::default(),
    }
}

/// Lets connections finish what they are at, and closes them.
async fn say_farewell(instance: &Instance) {
    let clients = &instance.observe.clients;
    let deadline = tokio::time::Instant::now() + FAREWELL;
    while !clients.is_empty() && tokio::time::Instant::now() < deadline {
        clients.all().iter().for_each(|client| client.kill());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn write_pid_file(settings: &Settings) -> Result<(), StartError> {
    if settings.pidfile.is_empty() {
        return Ok(());
    }
    let path = PathBuf::from(&settings.pidfile);
    std::fs::write(&path, format!("{}\n", std::process::id())).map_err(|source| StartError::PidFile { path, source })
}

fn remove_pid_file(settings: &Settings) {
    if !settings.pidfile.is_empty()
        && let Err(error) = std::fs::remove_file(&settings.pidfile)
    {
        tracing::warn!(%error, "the pid file could not be removed");
    }
}
