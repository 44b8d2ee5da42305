//! The I/O pool: a fixed number of threads on which everything may wait that a network thread
//! must not wait for: disk reads, stalled writes, scans. A hand-over costs some 12 to 18 µs,
//! so only true misses come here.
//!
//! Both the threads and the queue are bounded. [`Pool::run`] waits for a place in the queue
//! as a future, which holds back the clients that ask for more than the disk can give;
//! [`Pool::submit`] never waits and says so when there is no place. A job that panics takes
//! nobody with it: its caller gets an error, its thread goes on.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::base::{Error, Result};

/// Work for the pool.
pub type Job = Box<dyn FnOnce() + Send>;

/// What a job will give.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// What the pool says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolFigures {
    pub threads: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Threads at work.
    pub busy: usize,
    /// Jobs done since the start.
    pub done: u64,
    /// Jobs that panicked, of those.
    pub panicked: u64,
}

/// A job that found no place in the queue, or the pool stopped.
pub struct Refused(pub Job);

/// A pool of threads. Dropping it stops it.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    thread_count: usize,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Places in the queue; a job gives its place back when a thread takes it up.
    places: Arc<Semaphore>,
    busy: AtomicUsize,
    done: AtomicU64,
    panicked: AtomicU64,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<(Job, OwnedSemaphorePermit)>,
    stopping: bool,
}

impl Pool {
    /// Starts `threads` threads that share a queue of at most `places` jobs.
    ///
    /// # Errors
    /// The operating system gives no more threads.
    pub fn start(threads: usize, places: usize) -> Result<Self> {
        assert!(threads > 0 && places > 0, "a pool needs a thread and a place");
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            places: Arc::new(Semaphore::new(places)),
            busy: AtomicUsize::new(0),
            done: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
        });
        let pool = Self { shared, threads: Mutex::default(), thread_count: threads };
        for number in 0..threads {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new().name(format!("ferrock-io-{number}")).spawn(move || shared.work());
            let thread = thread.map_err(|error| Error::Storage(format!("cannot start an I/O thread: {error}")))?;
            pool.threads.lock().push(thread);
        }
        Ok(pool)
    }

    /// Hands over a job without waiting.
    ///
    /// # Errors
    /// The job itself, when the queue is full or the pool stops.
    pub fn submit(&self, job: Job) -> Result<(), Refused> {
        match Arc::clone(&self.shared.places).try_acquire_owned() {
            Ok(place) => self.shared.push(job, place),
            Err(_) => Err(Refused(job)),
        }
    }

    /// Runs a closure on the pool and gives what it returns, waiting for a place if there is
    /// none. The future does not borrow the pool; dropping it before the closure has begun
    /// does not stop the closure.
    pub fn run<T: Send + 'static>(&self, closure: impl FnOnce() -> T + Send + 'static) -> BoxFuture<T> {
        let shared = Arc::clone(&self.shared);
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Caught here too, for the caller to hear the panic's own words.
            let outcome = catch_unwind(AssertUnwindSafe(closure));
            let panicked = outcome.is_err();
            let _ = sender.send(outcome.map_err(|panic| words(panic.as_ref())));
            if panicked {
                // Counted by the thread, which catches it quietly.
                std::panic::resume_unwind(Box::new("reported to the caller"));
            }
        });
        Box::pin(async move {
            let place = Arc::clone(&shared.places).acquire_owned().await.map_err(|_| stopped())?;
            shared.push(job, place).map_err(|_| stopped())?;
            match receiver.await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(words)) => Err(Error::Storage(format!("a job on the I/O pool panicked: {words}"))),
                Err(_) => Err(stopped()),
            }
        })
    }

    /// Takes no more jobs, finishes those in the queue, and waits for the threads to end (but
    /// for the caller's own, should a job be the last to know the pool).
    pub fn stop(&self) {
        self.shared.queue.lock().stopping = true;
        self.shared.places.close();
        self.shared.wake.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != thread::current().id()) {
            // A worker catches the panics of its jobs; one of its own is a bug to show.
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }

    pub fn figures(&self) -> PoolFigures {
        PoolFigures {
            threads: self.thread_count,
            queued: self.shared.queue.lock().jobs.len(),
            busy: self.shared.busy.load(Ordering::Relaxed),
            done: self.shared.done.load(Ordering::Relaxed),
            panicked: self.shared.panicked.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn push(&self, job: Job, place: OwnedSemaphorePermit) -> Result<(), Refused> {
        let mut queue = self.queue.lock();
        if queue.stopping {
            return Err(Refused(job));
        }
        queue.jobs.push_back((job, place));
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    /// The life of a thread.
    fn work(&self) {
        while let Some(job) = self.next() {
            self.busy.fetch_add(1, Ordering::Relaxed);
            if catch_unwind(AssertUnwindSafe(job)).is_err() {
                self.panicked.fetch_add(1, Ordering::Relaxed);
            }
            self.done.fetch_add(1, Ordering::Relaxed);
            self.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The next job, as soon as there is one; `None` when the pool stops and all is done.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if let Some((job, _place)) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.stopping {
                return None;
            }
            self.wake.wait(&mut queue);
        }
    }
}

fn stopped() -> Error {
    Error::Storage("the I/O pool has stopped".into())
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// Occupies every thread until the sender is dropped.
    fn block(pool: &Pool, threads: usize) -> mpsc::SyncSender<()> {
        let (sender, receiver) = mpsc::sync_channel::<()>(0);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let receiver = Arc::clone(&receiver);
            let job: Job = Box::new(move || assert!(receiver.lock().recv().is_err()));
            assert!(pool.submit(job).is_ok());
        }
        while pool.figures().busy < threads {
            thread::sleep(Duration::from_millis(1));
        }
        sender
    }

    #[tokio::test]
    async fn a_closure_runs_elsewhere_and_its_value_comes_back() {
        let pool = Pool::start(2, 8).unwrap();
        let name = pool.run(|| thread::current().name().map(str::to_owned)).await.unwrap();
        assert!(name.unwrap().starts_with("ferrock-io-"));
    }

    #[tokio::test]
    async fn a_panic_becomes_an_error_and_the_thread_goes_on() {
        let pool = Pool::start(1, 8).unwrap();
        let error = pool.run(|| panic!("number {}", 7)).await.map(|(): ()| ()).unwrap_err();
        assert_eq!(error.to_string(), "storage: a job on the I/O pool panicked: number 7");
        assert!(pool.submit(Box::new(|| panic!("unheard"))).is_ok());
        assert_eq!(pool.run(|| 3).await.unwrap(), 3);
        pool.stop();
        let figures = pool.figures();
        assert_eq!((figures.done, figures.panicked), (3, 2));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_submit_and_makes_run_wait() {
        let pool = Pool::start(1, 2).unwrap();
        let blocked = block(&pool, 1);
        assert!(pool.submit(Box::new(|| ())).is_ok());
        assert!(pool.submit(Box::new(|| ())).is_ok());
        assert!(pool.submit(Box::new(|| ())).is_err());
        assert_eq!(pool.figures().queued, 2);
        let waiting = tokio::spawn(pool.run(|| 9));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished());
        drop(blocked);
        assert_eq!(waiting.await.unwrap().unwrap(), 9);
    }

    #[tokio::test]
    async fn stopping_drains_the_queue_and_refuses_more() {
        let pool = Pool::start(1, 100).unwrap();
        let blocked = block(&pool, 1);
        let count = Arc::new(AtomicUsize::new(0));
        for _ in 0..50 {
            let count = Arc::clone(&count);
            let job: Job = Box::new(move || assert!(count.fetch_add(1, Ordering::Relaxed) < 50));
            assert!(pool.submit(job).is_ok());
        }
        let late = pool.run(|| ());
        drop(blocked);
        pool.stop();
        assert_eq!(count.load(Ordering::Relaxed), 50);
        assert!(pool.submit(Box::new(|| ())).is_err());
        assert_eq!(late.await.unwrap_err().to_string(), "storage: the I/O pool has stopped");
    }
}
