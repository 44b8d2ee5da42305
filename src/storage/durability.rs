//! When commits reach the disk: Redis' `appendfsync`, with one fsync shared by all who wait.
//!
//! Every commit has been handed to the kernel when it returns, whatever the mode. The
//! [`Syncer`]'s one thread makes it survive a power cut as well: once a second when something
//! was written, or as soon as anybody waits. Who arrives while an fsync runs is served by the
//! next, together with all others who came meanwhile; so fifty writers at once need a few
//! fsyncs, not fifty.
//!
//! A failed fsync is final. The kernel may drop pages it could not write and report success
//! the next time, so a second try proves nothing: the engine refuses every later write, and
//! all who wait are told, until the database is opened again and shows what is really there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::Engine;
use crate::base::clock;
use crate::base::{Error, Result};

/// Between two fsyncs that nobody waits for.
const INTERVAL: Duration = Duration::from_secs(1);

/// When a commit is made to survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// Before it is acknowledged.
    Always,
    /// Within a second or so.
    EverySecond,
    /// When the kernel sees fit.
    No,
}

/// What the syncer says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncFigures {
    pub mode: SyncMode,
    /// Everything up to this sequence number survives a power cut.
    pub synced_sequence: u64,
    /// Good fsyncs since the start.
    pub syncs: u64,
    /// Those who waited for one.
    pub waited: u64,
    /// When the last good one ended, in milliseconds since the epoch; 0 if there was none.
    pub last_sync_ms: u64,
    /// How long it took, in microseconds.
    pub last_sync_us: u64,
    /// What went wrong, once something has; then nothing is synced any more.
    pub failure: Option<String>,
}

/// What is synced: the engine, and in tests something that fails on demand.
pub trait Log: Send + Sync {
    /// The sequence number of the last commit.
    fn sequence(&self) -> u64;
    /// Makes everything up to it survive a power cut.
    fn sync(&self) -> Result<()>;
}

impl<E: Engine + ?Sized> Log for E {
    fn sequence(&self) -> u64 {
        self.latest_sequence()
    }

    fn sync(&self) -> Result<()> {
        Engine::sync(self)
    }
}

/// Syncs a log in the background and tells those who wait. Dropping it stops it.
pub struct Syncer<L: Log + ?Sized + 'static> {
    shared: Arc<Shared<L>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared<L: ?Sized> {
    state: Mutex<State>,
    /// There is something for the thread to do.
    work: Condvar,
    /// An fsync has ended.
    ended: Condvar,
    /// As in `state.figures`, for those who ask whether they need to wait at all.
    synced_sequence: AtomicU64,
    log: Arc<L>,
}

struct State {
    figures: SyncFigures,
    /// Who waits as a future, and for which sequence number.
    waiting: Vec<(u64, oneshot::Sender<Outcome>)>,
    /// The greatest sequence number that anybody waits for.
    wanted: u64,
    stopping: bool,
}

/// Of an fsync, in a form that can be told to many.
type Outcome = std::result::Result<(), String>;

fn told(outcome: Outcome) -> Result<()> {
    outcome.map_err(Error::Storage)
}

impl<L: Log + ?Sized> Syncer<L> {
    /// Starts the thread.
    ///
    /// # Errors
    /// The operating system gives no more threads.
    pub fn start(log: Arc<L>, mode: SyncMode) -> Result<Self> {
        // What was there before counts as synced: nobody here has acknowledged it.
        let synced_sequence = log.sequence();
        let figures =
            SyncFigures { mode, synced_sequence, syncs: 0, waited: 0, last_sync_ms: 0, last_sync_us: 0, failure: None };
        let shared = Arc::new(Shared {
            state: Mutex::new(State { figures, waiting: Vec::new(), wanted: 0, stopping: false }),
            work: Condvar::new(),
            ended: Condvar::new(),
            synced_sequence: AtomicU64::new(synced_sequence),
            log,
        });
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new().name("ferrock-fsync".into()).spawn(move || worker.work());
        let thread = thread.map_err(|error| Error::Storage(format!("cannot start the fsync thread: {error}")))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    pub fn mode(&self) -> SyncMode {
        self.shared.state.lock().figures.mode
    }

    /// Changes the mode; the new one holds from the next acknowledgement.
    pub fn set_mode(&self, mode: SyncMode) {
        self.shared.state.lock().figures.mode = mode;
        self.shared.work.notify_one();
    }

    pub fn figures(&self) -> SyncFigures {
        self.shared.state.lock().figures.clone()
    }

    /// Everything up to this sequence number survives a power cut.
    pub fn synced_sequence(&self) -> u64 {
        self.shared.synced_sequence.load(Ordering::Acquire)
    }

    /// Waits until everything up to `sequence` survives a power cut, whatever the mode. The
    /// future does not borrow the syncer.
    pub fn synced(&self, sequence: u64) -> impl Future<Output = Result<()>> + Send + use<L> + 'static {
        let ready = self.ask(sequence);
        async move {
            match ready {
                Ok(answer) => told(answer),
                Err(receiver) => told(receiver.await.unwrap_or_else(|_| Err(stopped()))),
            }
        }
    }

    /// As [`synced`](Self::synced), on a thread that may wait.
    pub fn wait_synced(&self, sequence: u64) -> Result<()> {
        let mut state = self.shared.state.lock();
        if let Some(answer) = state.answer(sequence) {
            return told(answer);
        }
        state.want(sequence);
        self.shared.work.notify_one();
        loop {
            self.shared.ended.wait(&mut state);
            if let Some(answer) = state.answer(sequence) {
                return told(answer);
            }
        }
    }

    /// The answer if there is one already, or where it will come.
    fn ask(&self, sequence: u64) -> std::result::Result<Outcome, oneshot::Receiver<Outcome>> {
        let mut state = self.shared.state.lock();
        if let Some(answer) = state.answer(sequence) {
            return Ok(answer);
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.push((sequence, sender));
        state.want(sequence);
        drop(state);
        self.shared.work.notify_one();
        Err(receiver)
    }

    /// Syncs what is left and ends the thread. Who still waits afterwards is told so.
    pub fn stop(&self) {
        self.shared.state.lock().stopping = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl<L: Log + ?Sized> Drop for Syncer<L> {
    fn drop(&mut self) {
        self.stop();
    }
}

fn stopped() -> String {
    "the store is closing".into()
}

impl State {
    /// What to tell somebody who needs `sequence` on the disk; `None` while it is not known.
    fn answer(&self, sequence: u64) -> Option<Outcome> {
        if sequence <= self.figures.synced_sequence {
            return Some(Ok(()));
        }
        if let Some(failure) = &self.figures.failure {
            return Some(Err(failure.clone()));
        }
        self.stopping.then(|| Err(stopped()))
    }

    fn want(&mut self, sequence: u64) {
        self.wanted = self.wanted.max(sequence);
        self.figures.waited += 1;
    }

    /// Tells all who can be told.
    fn tell(&mut self) {
        for (sequence, sender) in std::mem::take(&mut self.waiting) {
            match self.answer(sequence) {
                Some(answer) => drop(sender.send(answer)), // A client that has gone needs none.
                None => self.waiting.push((sequence, sender)),
            }
        }
    }
}

impl<L: Log + ?Sized> Shared<L> {
    /// The life of the thread.
    fn work(&self) {
        let mut last = Instant::now();
        let mut state = self.state.lock();
        while !state.stopping {
            if state.figures.failure.is_some() {
                self.work.wait(&mut state);
            } else if state.wanted > state.figures.synced_sequence || self.is_due(&state, last) {
                self.sync(&mut state);
                last = Instant::now();
            } else if state.figures.mode == SyncMode::EverySecond {
                let _ = self.work.wait_until(&mut state, next_look(last));
            } else {
                self.work.wait(&mut state);
            }
        }
        if state.figures.failure.is_none() && self.log.sequence() > state.figures.synced_sequence {
            self.sync(&mut state);
        }
        state.tell();
        self.ended.notify_all();
    }

    /// Whether the second is over and something was written in it.
    fn is_due(&self, state: &State, last: Instant) -> bool {
        state.figures.mode == SyncMode::EverySecond
            && last.elapsed() >= INTERVAL
            && self.log.sequence() > state.figures.synced_sequence
    }

    /// One fsync, with the state unlocked meanwhile, and what follows from it.
    fn sync(&self, state: &mut MutexGuard<'_, State>) {
        let (covered, began, outcome) = MutexGuard::unlocked(state, || {
            // Read first: what is committed during the fsync may or may not be part of it.
            let covered = self.log.sequence();
            (covered, clock::monotonic_us(), self.log.sync())
        });
        match outcome {
            Ok(()) => {
                let figures = &mut state.figures;
                figures.synced_sequence = covered;
                figures.syncs += 1;
                figures.last_sync_ms = clock::now_ms();
                figures.last_sync_us = clock::monotonic_us().saturating_sub(began);
                self.synced_sequence.store(covered, Ordering::Release);
            }
            Err(Error::Storage(text)) => state.figures.failure = Some(text),
            Err(error) => state.figures.failure = Some(error.to_string()),
        }
        state.tell();
        self.ended.notify_all();
    }
}

/// When to look again whether something was written: at the end of the second, or, when that
/// has passed without a write, a second from now.
fn next_look(last: Instant) -> Instant {
    let due = last + INTERVAL;
    let now = Instant::now();
    if due > now { due } else { now + INTERVAL }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// A log that takes its time and fails on demand.
    #[derive(Default)]
    struct Disk {
        sequence: AtomicU64,
        synced: AtomicU64,
        syncs: AtomicU64,
        broken: AtomicBool,
    }

    impl Disk {
        fn write(&self) -> u64 {
            self.sequence.fetch_add(1, Ordering::SeqCst) + 1
        }
    }

    impl Log for Disk {
        fn sequence(&self) -> u64 {
            self.sequence.load(Ordering::SeqCst)
        }

        fn sync(&self) -> Result<()> {
            let covered = self.sequence();
            thread::sleep(Duration::from_millis(3));
            if self.broken.load(Ordering::SeqCst) {
                return Err(Error::Storage("broken".into()));
            }
            self.synced.store(covered, Ordering::SeqCst);
            self.syncs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    fn syncer(mode: SyncMode) -> (Arc<Disk>, Arc<Syncer<Disk>>) {
        let disk = Arc::new(Disk::default());
        (Arc::clone(&disk), Arc::new(Syncer::start(disk, mode).unwrap()))
    }

    #[test]
    fn writers_at_once_share_fsyncs_and_none_is_told_too_early() {
        let (disk, syncer) = syncer(SyncMode::Always);
        thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let sequence = disk.write();
                        syncer.wait_synced(sequence).unwrap();
                        assert!(disk.synced.load(Ordering::SeqCst) >= sequence);
                    }
                });
            }
        });
        let syncs = disk.syncs.load(Ordering::SeqCst);
        assert!(syncs <= 60, "500 commits took {syncs} fsyncs");
        assert!((syncs..=500).contains(&syncer.figures().waited), "{:?}", syncer.figures());
    }

    #[tokio::test]
    async fn a_future_is_told_and_what_is_synced_already_is_ready_at_once() {
        let (disk, syncer) = syncer(SyncMode::No);
        let first = disk.write();
        syncer.synced(first).await.unwrap();
        assert_eq!(disk.synced.load(Ordering::SeqCst), first);
        syncer.synced(first).await.unwrap();
        assert_eq!(disk.syncs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn once_a_second_and_only_after_a_write() {
        let (disk, syncer) = syncer(SyncMode::EverySecond);
        thread::sleep(Duration::from_millis(1200));
        assert_eq!(disk.syncs.load(Ordering::SeqCst), 0);
        let last = disk.write();
        thread::sleep(Duration::from_millis(1200));
        assert_eq!(disk.syncs.load(Ordering::SeqCst), 1);
        assert_eq!(syncer.synced_sequence(), last);
        assert!(syncer.figures().last_sync_ms > 0);
    }

    #[tokio::test]
    async fn a_failed_fsync_is_final() {
        let (disk, syncer) = syncer(SyncMode::Always);
        let good = disk.write();
        syncer.synced(good).await.unwrap();
        disk.broken.store(true, Ordering::SeqCst);
        let lost = disk.write();
        assert_eq!(syncer.synced(lost).await.unwrap_err().to_string(), "storage: broken");
        disk.broken.store(false, Ordering::SeqCst);
        assert!(syncer.synced(disk.write()).await.is_err());
        assert!(syncer.wait_synced(lost).is_err());
        syncer.wait_synced(good).unwrap();
        assert_eq!(disk.syncs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn stopping_syncs_what_is_left() {
        let (disk, syncer) = syncer(SyncMode::No);
        let last = disk.write();
        syncer.stop();
        assert_eq!(disk.synced.load(Ordering::SeqCst), last);
        assert!(syncer.wait_synced(disk.write()).is_err());
    }
}
