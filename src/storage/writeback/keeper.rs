//! The threads behind the engine: one drains the table, one gives files of the log back. Both try again
//! after a failure, for as long as it takes: what they could not do yet is in the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::engine::Shared;
use crate::base::{Error, Result};

/// Entries reach RocksDB after about this time, however few there are: until then those that are
/// written again cost nothing more, and cursors find little to give to it.
const DRAIN_INTERVAL: Duration = Duration::from_secs(5);

/// A file of the log that is not quite short goes after this time, and what was deleted since goes
/// from RocksDB's memtables: so disk space comes back though nobody writes, and a restart reads little.
const FILE_AGE: Duration = Duration::from_secs(45);
const OLD_FILE_BYTES: u64 = 1 << 20;

/// What the drainer gives up of its share of a core.
const DRAIN_NICENESS: i32 = 5;

/// How long until something that failed is tried again.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// By which commits call the threads, and wait for them.
#[derive(Default)]
pub(super) struct Bell {
    /// Rung, and not heard yet.
    pending: AtomicBool,
    state: Mutex<State>,
    work: Condvar,
    room: Condvar,
}

#[derive(Default)]
struct State {
    /// How often it was rung.
    rung: u64,
    stopping: bool,
    /// Why the last drain failed, until one succeeds.
    failure: Option<String>,
}

impl Bell {
    /// There is something to do.
    pub(super) fn ring(&self) {
        if !self.pending.load(Ordering::Relaxed) && !self.pending.swap(true, Ordering::AcqRel) {
            self.state.lock().rung += 1;
            self.work.notify_all();
        }
    }

    /// Waits until there is room in the table.
    pub(super) fn wait_for_room(&self, has_room: impl Fn() -> bool) -> Result<()> {
        let mut state = self.state.lock();
        while !has_room() {
            if let Some(failure) = &state.failure {
                return Err(Error::Storage(failure.clone()));
            }
            if state.stopping {
                return Err(Error::Storage("the store is closed".into()));
            }
            self.room.wait_for(&mut state, RETRY_INTERVAL);
        }
        Ok(())
    }

    /// Notes how a drain ended.
    fn drained(&self, outcome: &Result<()>) {
        let mut state = self.state.lock();
        match outcome {
            Ok(()) => state.failure = None,
            Err(error) => {
                let text = match error {
                    Error::Storage(text) => text.clone(),
                    error => error.to_string(),
                };
                if state.failure.as_ref() != Some(&text) {
                    tracing::error!("what was written cannot be given to RocksDB: {text}");
                }
                state.failure = Some(text);
            }
        }
        self.room.notify_all();
    }

    /// Waits before what failed is tried again, however often it is rung. False when it is time to stop.
    fn pause(&self) -> bool {
        let time = Instant::now() + RETRY_INTERVAL;
        let mut state = self.state.lock();
        while !state.stopping && !self.work.wait_until(&mut state, time).timed_out() {}
        !state.stopping
    }

    /// Waits until `time` or until it is rung again. False when it is time to stop.
    fn wait(&self, heard: &mut u64, time: Instant) -> bool {
        let mut state = self.state.lock();
        while !state.stopping && state.rung == *heard && !self.work.wait_until(&mut state, time).timed_out() {}
        *heard = state.rung;
        self.pending.store(false, Ordering::Release);
        !state.stopping
    }
}

/// The running threads. Dropping it stops them.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Keeper {
    pub(super) fn start(shared: &Arc<Shared>) -> Result<Self> {
        let spawn = |name: &str, work: fn(&Shared)| {
            let shared = shared.clone();
            let thread = thread::Builder::new().name(name.into()).spawn(move || work(&shared));
            thread.map_err(|error| Error::Storage(format!("cannot start the thread {name}: {error}")))
        };
        let threads = vec![spawn("ferrock-drain", drain)?, spawn("ferrock-wal", retire)?];
        Ok(Self { shared: shared.clone(), threads: Mutex::new(threads) })
    }

    /// Ends the threads; what they have left to do is in the log.
    pub(super) fn stop(&self) {
        let bell = &self.shared.bell;
        bell.state.lock().stopping = true;
        bell.work.notify_all();
        bell.room.notify_all();
        for thread in self.threads.lock().drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Gives the table's entries to RocksDB, when there are many or from time to time.
fn drain(shared: &Shared) {
    // Where cores are short, requests come first. Should it fall behind, commits wait for it.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), DRAIN_NICENESS);
    let mut last = Instant::now();
    let mut next = last + DRAIN_INTERVAL;
    let mut heard = 0;
    while shared.bell.wait(&mut heard, next) {
        if !shared.is_filling() && last.elapsed() < DRAIN_INTERVAL {
            continue;
        }
        loop {
            let outcome = shared.drain();
            shared.bell.drained(&outcome);
            if outcome.is_ok() {
                break;
            }
            if !shared.bell.pause() {
                return;
            }
        }
        last = Instant::now();
        next = last + DRAIN_INTERVAL;
    }
}

/// Closes the log's file when it is long, and gives those back that RocksDB needs no more.
fn retire(shared: &Shared) {
    let mut closed = None;
    let mut heard = 0;
    let mut last = Instant::now();
    let mut told = String::new();
    while shared.bell.wait(&mut heard, Instant::now() + RETRY_INTERVAL) {
        let is_old = last.elapsed() >= FILE_AGE && shared.log.newest_bytes() > OLD_FILE_BYTES;
        if closed.is_none() && !is_old && !shared.has_long_file() {
            continue;
        }
        last = Instant::now();
        let outcome = match closed {
            Some(number) => Ok(number),
            None => shared.log.rotate(),
        };
        let outcome = outcome.and_then(|number| {
            closed = Some(number);
            shared.retire(number)
        });
        match outcome {
            Ok(()) => {
                closed = None;
                told.clear();
            }
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    tracing::warn!(%error, "a file of the write-ahead log cannot be given back yet");
                    told = text;
                }
                if !shared.bell.pause() {
                    return;
                }
            }
        }
    }
}
