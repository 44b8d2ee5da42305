//! The network threads. Each runs a runtime of its own and keeps the connections it was given: what a
//! connection needs stays in the caches of one core, and no thread is woken to take work from another.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The network threads. Dropping it ends them, with whatever connections are left.
pub(super) struct Crew {
    members: Vec<Member>,
}

struct Member {
    handle: Handle,
    /// Connections that are served there.
    connections: Arc<AtomicUsize>,
    /// Dropped to end the thread.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Counts a connection for as long as it is served.
struct Served(Arc<AtomicUsize>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Crew {
    /// Starts as many threads.
    ///
    /// # Errors
    /// The operating system gives no more threads or descriptors.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let members = (0..threads.max(1)).map(|_| Member::start()).collect::<io::Result<_>>()?;
        Ok(Self { members })
    }

    /// Serves a connection on the thread that has the fewest.
    pub(super) fn serve<F>(&self, serving: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let fewest = self.members.iter().min_by_key(|member| member.connections.load(Ordering::Relaxed));
        let Some(member) = fewest else { return };
        member.connections.fetch_add(1, Ordering::Relaxed);
        let served = Served(member.connections.clone());
        member.handle.spawn(async move {
            let _served = served;
            serving().await;
        });
    }
}

impl Member {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name("ferrock-net".into()).spawn(move || {
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, connections: Arc::default(), stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
