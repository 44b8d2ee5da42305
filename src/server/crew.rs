//! The network threads. Each runs a runtime of its own and keeps the connections it was given: what a
//! connection needs stays in the caches of one core, and no thread is woken to take work from another.
//!
//! As many threads serve as the load takes, and no more: a second one beside a client on the same two
//! cores costs both more than it gives. A manager looks at what the serving threads take of their cores. When one
//! of them has all of it while cores are idle, one more serves; when the others could carry the load, one less. A
//! connection moves between two requests, by itself, so one that is silent stays where it is.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How often the manager looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// The network threads. Dropping it ends them, with whatever connections are left.
pub(super) struct Crew {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// Dropped to end the threads.
    stops: Vec<oneshot::Sender<()>>,
}

struct Shared {
    members: Vec<Member>,
    /// How many members serve: the first so many.
    serving: AtomicUsize,
    stopping: AtomicBool,
}

struct Member {
    handle: Handle,
    /// Connections that are served there.
    connections: AtomicUsize,
    /// How many of them are to go elsewhere.
    surplus: AtomicUsize,
}

/// A connection's place on a thread.
pub(super) struct Seat {
    shared: Arc<Shared>,
    member: usize,
}

impl Seat {
    fn member(&self) -> &Member {
        &self.shared.members[self.member]
    }

    /// Whether this connection is to go elsewhere; true makes it one less that is.
    pub(super) fn is_to_move(&self) -> bool {
        let surplus = &self.member().surplus;
        surplus.load(Ordering::Relaxed) > 0
            && surplus.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1)).is_ok()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.member().connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Crew {
    /// Starts as many threads, the most that will serve.
    ///
    /// # Errors
    /// The operating system gives no more threads or descriptors.
    pub(super) fn start(threads: usize) -> io::Result<Self> {
        let (mut crew, thread_ids) = Self::unmanaged(threads)?;
        if threads > 1 {
            let shared = crew.shared.clone();
            let manager = thread::Builder::new().name("ferrock-crew".into());
            crew.threads.push(manager.spawn(move || Manager::new(thread_ids).run(&shared))?);
        }
        Ok(crew)
    }

    /// As many threads, of which one serves, and how the kernel calls them.
    fn unmanaged(threads: usize) -> io::Result<(Self, Vec<rustix::thread::Pid>)> {
        let mut members = Vec::new();
        let mut crew = Self { shared: Shared::of(Vec::new()), threads: Vec::new(), stops: Vec::new() };
        let mut thread_ids = Vec::new();
        for _ in 0..threads.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            members.push(Member { handle, connections: AtomicUsize::new(0), surplus: AtomicUsize::new(0) });
            let (stop, stopped) = oneshot::channel::<()>();
            let (tell, told) = std::sync::mpsc::channel();
            crew.stops.push(stop);
            crew.threads.push(thread::Builder::new().name("ferrock-net".into()).spawn(move || {
                let _ = tell.send(rustix::thread::gettid());
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })?);
            thread_ids.extend(told.recv().ok());
        }
        crew.shared = Shared::of(members);
        Ok((crew, thread_ids))
    }

    /// Serves a connection on the serving thread that has the fewest.
    pub(super) fn serve<F>(&self, serving: impl FnOnce(Seat) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = &self.shared;
        let among = shared.serving.load(Ordering::Relaxed);
        let members = shared.members.iter().enumerate().take(among);
        let fewest = members.min_by_key(|(_, member)| member.connections.load(Ordering::Relaxed));
        let Some((number, member)) = fewest else { return };
        member.connections.fetch_add(1, Ordering::Relaxed);
        let seat = Seat { shared: shared.clone(), member: number };
        member.handle.spawn(async move { serving(seat).await });
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.stops.clear();
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn of(members: Vec<Member>) -> Arc<Self> {
        Arc::new(Self { members, serving: AtomicUsize::new(1), stopping: AtomicBool::new(false) })
    }

    /// So many members serve from here on; the others, and those that have more than their share, give
    /// connections up.
    fn let_serve(&self, serving: usize) {
        self.serving.store(serving, Ordering::Relaxed);
        let total: usize = self.members.iter().map(|member| member.connections.load(Ordering::Relaxed)).sum();
        let share = total.div_ceil(serving.max(1));
        for (number, member) in self.members.iter().enumerate() {
            let keeps = if number < serving { share } else { 0 };
            let surplus = member.connections.load(Ordering::Relaxed).saturating_sub(keeps);
            member.surplus.store(surplus, Ordering::Relaxed);
        }
    }
}

/// What was seen in an interval, in cores.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Load {
    /// What the busiest serving thread has taken.
    busiest: f64,
    /// What all threads together have taken.
    total: f64,
    /// What nobody of the whole machine has.
    idle: f64,
}

/// A thread that takes so much is at its end.
const FULL: f64 = 0.85;
/// The same where whole cores are idle: answers come sooner from two.
const HALF_FULL: f64 = 0.5;
/// What must be idle for another thread to be worth it.
const SOME_IDLE: f64 = 0.3;
const MUCH_IDLE: f64 = 1.0;
/// What threads may be taking each for the load to be left to them.
const CARRIED: f64 = 0.7;
/// The same for one thread beside which nobody is idle.
const CARRIED_ALONE: f64 = 0.85;
/// Looks in a row that must agree.
const LOOKS_FOR_MORE: u32 = 2;
const LOOKS_FOR_LESS: u32 = 8;

/// How many threads serve.
#[derive(Debug, Default)]
struct Policy {
    for_more: u32,
    for_less: u32,
}

impl Policy {
    /// How many of `most` threads are to serve after `serving` did under this load.
    fn decide(&mut self, serving: usize, most: usize, load: Load) -> usize {
        let roomy = load.idle >= MUCH_IDLE;
        let wants_more = (load.busiest >= FULL && load.idle >= SOME_IDLE) || (load.busiest >= HALF_FULL && roomy);
        let each = match serving {
            2 if !roomy => CARRIED_ALONE,
            _ if roomy => HALF_FULL * CARRIED,
            _ => CARRIED,
        };
        let wants_less = load.total < each * (serving.saturating_sub(1)) as f64;
        self.for_more = if wants_more { self.for_more + 1 } else { 0 };
        self.for_less = if wants_less { self.for_less + 1 } else { 0 };
        if serving < most && self.for_more >= LOOKS_FOR_MORE {
            *self = Self::default();
            return serving + 1;
        }
        if serving > 1 && self.for_less >= LOOKS_FOR_LESS {
            *self = Self::default();
            return serving - 1;
        }
        serving
    }
}

/// Watches the threads.
struct Manager {
    threads: Vec<rustix::thread::Pid>,
    ran_ns: Vec<u64>,
    idle_ticks: u64,
    last: Instant,
    ticks_per_s: f64,
    policy: Policy,
}

impl Manager {
    fn new(threads: Vec<rustix::thread::Pid>) -> Self {
        let ran_ns = threads.iter().map(|thread| ran_ns(*thread).unwrap_or(0)).collect();
        Self {
            threads,
            ran_ns,
            idle_ticks: idle_ticks().unwrap_or(0),
            last: Instant::now(),
            ticks_per_s: rustix::param::clock_ticks_per_second() as f64,
            policy: Policy::default(),
        }
    }

    fn run(mut self, shared: &Shared) {
        while !shared.stopping.load(Ordering::Relaxed) {
            thread::park_timeout(INTERVAL);
            let serving = shared.serving.load(Ordering::Relaxed);
            let Some(load) = self.look(serving, &shared.members) else { continue };
            let next = self.policy.decide(serving, shared.members.len(), load);
            if next != serving {
                tracing::debug!(threads = next, ?load, "another number of network threads serves");
                shared.let_serve(next);
            }
        }
    }

    /// What happened since the last look. Where the kernel does not tell, every thread counts as busy and
    /// every core as idle, so all threads serve.
    fn look(&mut self, serving: usize, members: &[Member]) -> Option<Load> {
        let took = self.last.elapsed();
        if took < INTERVAL / 2 {
            return None;
        }
        self.last = Instant::now();
        let mut load = Load { busiest: 0.0, total: 0.0, idle: f64::MAX };
        for (number, (thread, before)) in self.threads.iter().zip(&mut self.ran_ns).enumerate() {
            // The others run nothing, and reading of a hundred of them would be work.
            if number >= serving && members[number].connections.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let now = ran_ns(*thread).unwrap_or_else(|| *before + took.as_nanos() as u64);
            let share = now.saturating_sub(*before) as f64 / took.as_nanos() as f64;
            *before = now;
            load.total += share;
            if number < serving {
                load.busiest = load.busiest.max(share);
            }
        }
        if let Some(now) = idle_ticks() {
            load.idle = now.saturating_sub(self.idle_ticks) as f64 / self.ticks_per_s / took.as_secs_f64();
            self.idle_ticks = now;
        }
        Some(load)
    }
}

/// How long a thread of this process has run; /proc/self/task/*/schedstat begins with it, see
/// Documentation/scheduler/sched-stats.rst of the kernel.
fn ran_ns(thread: rustix::thread::Pid) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{}/schedstat", thread.as_raw_nonzero())).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// How long all cores together were idle, in clock ticks: the fourth number of the first line of
/// /proc/stat, see proc_stat(5).
fn idle_ticks() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    text.lines().next()?.split_whitespace().nth(4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(serving: usize, most: usize, load: Load) -> usize {
        let mut policy = Policy::default();
        (0..LOOKS_FOR_LESS).map(|_| policy.decide(serving, most, load)).find(|next| *next != serving).unwrap_or(serving)
    }

    #[test]
    fn threads_join_when_one_is_full_and_cores_are_idle() {
        let full = |idle| Load { busiest: 0.95, total: 0.95, idle };
        assert_eq!(decided(1, 2, full(0.4)), 2);
        assert_eq!(decided(1, 2, full(0.1)), 1, "a client has the other core");
        assert_eq!(decided(1, 1, full(0.4)), 1);
        assert_eq!(decided(3, 8, Load { busiest: 0.6, total: 1.5, idle: 4.0 }), 4);
        assert_eq!(decided(3, 8, Load { busiest: 0.6, total: 1.8, idle: 0.5 }), 3);
    }

    #[test]
    fn threads_leave_when_the_others_carry_the_load() {
        assert_eq!(decided(2, 2, Load { busiest: 0.45, total: 0.8, idle: 0.3 }), 1);
        assert_eq!(decided(2, 2, Load { busiest: 0.6, total: 1.1, idle: 0.2 }), 2);
        assert_eq!(decided(8, 8, Load { busiest: 0.2, total: 0.9, idle: 6.0 }), 7);
        assert_eq!(decided(1, 2, Load { busiest: 0.0, total: 0.0, idle: 2.0 }), 1);
    }

    #[test]
    fn one_look_decides_nothing() {
        let mut policy = Policy::default();
        let full = Load { busiest: 1.0, total: 1.0, idle: 1.0 };
        assert_eq!(policy.decide(1, 2, full), 1);
        assert_eq!(policy.decide(1, 2, Load { idle: 0.0, ..full }), 1);
        assert_eq!(policy.decide(1, 2, full), 1);
        assert_eq!(policy.decide(1, 2, full), 2);
    }

    /// A connection that does nothing but look whether it is to move.
    fn sit(crew: Arc<Crew>, seat: Seat, done: Arc<AtomicBool>) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            while !done.load(Ordering::Relaxed) {
                if seat.is_to_move() {
                    drop(seat);
                    let again = crew.clone();
                    return crew.serve(move |seat| sit(again, seat, done));
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }

    #[test]
    fn connections_move_to_who_serves() {
        let crew = Arc::new(Crew::unmanaged(2).unwrap().0);
        let done = Arc::new(AtomicBool::new(false));
        for _ in 0..16 {
            let (again, done) = (crew.clone(), done.clone());
            crew.serve(move |seat| sit(again, seat, done));
        }
        let shares = || [0, 1].map(|member: usize| crew.shared.members[member].connections.load(Ordering::Relaxed));
        for (serving, expected) in [(1, [16, 0]), (2, [8, 8]), (1, [16, 0])] {
            crew.shared.let_serve(serving);
            let deadline = Instant::now() + Duration::from_secs(20);
            while shares() != expected {
                assert!(Instant::now() < deadline, "{:?} where {expected:?} should be", shares());
                thread::sleep(Duration::from_millis(5));
            }
        }
        done.store(true, Ordering::Relaxed);
        while Arc::strong_count(&crew) > 1 {
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_kernel_tells() {
        assert!(ran_ns(rustix::thread::gettid()).is_some() && idle_ticks().is_some());
    }
}
