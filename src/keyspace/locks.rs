//! Key-striped locks. Writers hold the stripes of their keys from their first read to
//! the end of their commit; plain readers hold none.
//!
//! Each stripe carries a version that is odd while a commit is being applied and
//! even otherwise. A reader of several parts notes the versions it started from
//! and is run again when one has moved: that makes it linearizable without a lock.
//!
//! Nobody waits for a stripe on a network thread: [`Locks::try_acquire`] fails at once, and
//! [`Locks::acquire`] is a future. Stripes are always taken in ascending order.

use std::hash::Hasher;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};

use event_listener::Event;
use rustc_hash::FxHasher;
use smallvec::SmallVec;

/// How many stripes there are. More means fewer false conflicts; all are taken for the exclusive lock.
pub const STRIPES: usize = 1024;
const _: () = assert!(STRIPES.is_power_of_two() && STRIPES <= 1 << 16);

/// One stripe, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stripe(u16);

impl Stripe {
    /// The stripe of a key, by its name alone: a flush does not change it, and MOVE and COPY to
    /// another database need no second one.
    pub fn of(user_key: &[u8]) -> Self {
        let mut hasher = FxHasher::default();
        hasher.write(user_key);
        let hash = hasher.finish();
        Self(((hash ^ (hash >> 32)) as usize & (STRIPES - 1)) as u16)
    }
}

/// One stripe's lock. It goes to whoever comes first when it is free, not to whoever has waited
/// longest: handed to a task whose thread sleeps, it would be held until that wakes up, and everybody who
/// comes meanwhile would have to sleep as well. Who has lost too often keeps others from coming first.
#[derive(Default)]
struct Slot {
    held: AtomicBool,
    /// How many have lost too often.
    starving: AtomicU32,
    freed: Event,
    version: AtomicU32,
}

/// How often somebody who waits finds the lock taken before others are to stand back.
const PATIENCE: u32 = 4;

/// How often a lock is looked at before its taker goes on to something else: some microseconds together.
const SPINS: u32 = 64;

/// The same for this machine: on a single core nobody could give it back meanwhile.
fn spins() -> u32 {
    static SPINS_HERE: LazyLock<u32> = LazyLock::new(|| match std::thread::available_parallelism() {
        Ok(cores) if cores.get() > 1 => SPINS,
        _ => 0,
    });
    *SPINS_HERE
}

/// Says that somebody starves, until it is dropped.
struct Starving<'a>(&'a Slot);

impl Drop for Starving<'_> {
    fn drop(&mut self) {
        self.0.starving.fetch_sub(1, Ordering::AcqRel);
        // Who stood back may have gone to sleep.
        self.0.freed.notify(1);
    }
}

impl Slot {
    fn take(&self) -> bool {
        self.held.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn try_take(&self) -> bool {
        self.starving.load(Ordering::Relaxed) == 0 && self.take()
    }

    /// Takes it if it is free or becomes so at once: a command is done sooner than a thread has gone to
    /// sleep and been woken up.
    fn take_soon(&self) -> bool {
        for _ in 0..spins() {
            if self.starving.load(Ordering::Relaxed) > 0 {
                return false;
            }
            if !self.held.load(Ordering::Relaxed) && self.take() {
                return true;
            }
            std::hint::spin_loop();
        }
        self.try_take()
    }

    fn give_back(&self) {
        self.held.store(false, Ordering::Release);
        self.freed.notify(1);
    }

    async fn wait(&self) {
        let mut lost = 0;
        let mut starving = None;
        while !self.take() {
            // Listening begins before the second try, so that a release in between is not missed.
            let freed = self.freed.listen();
            if self.take() {
                break;
            }
            freed.await;
            lost += 1;
            if lost == PATIENCE {
                self.starving.fetch_add(1, Ordering::AcqRel);
                starving = Some(Starving(self));
            }
        }
        drop(starving);
    }
}

/// All stripes.
pub struct Locks {
    slots: Box<[Slot]>,
}

impl Default for Locks {
    fn default() -> Self {
        Self { slots: (0..STRIPES).map(|_| Slot::default()).collect() }
    }
}

/// The stripes a command needs: sorted, without repeats.
pub type Stripes = SmallVec<[Stripe; 8]>;

/// Sorts and removes repeats, so that stripes are taken in ascending order.
pub fn sorted(mut stripes: Stripes) -> Stripes {
    stripes.sort_unstable();
    stripes.dedup();
    stripes
}

impl Locks {
    /// Takes the stripe if it is free.
    fn try_take(&self, stripe: Stripe) -> bool {
        self.slots[usize::from(stripe.0)].try_take()
    }

    /// Takes the stripe if it is free, or nearly.
    fn take_soon(&self, stripe: Stripe) -> bool {
        self.slots[usize::from(stripe.0)].take_soon()
    }

    fn give_back(&self, stripe: Stripe) {
        self.slots[usize::from(stripe.0)].give_back();
    }

    /// The stripe's version; odd while a commit is being applied.
    pub fn version(&self, stripe: Stripe) -> u32 {
        self.slots[usize::from(stripe.0)].version.load(Ordering::Acquire)
    }

    /// The sum of the versions of some stripes: another one later says that one of them has changed. All
    /// stripes together have no such sum.
    pub fn moment(&self, wanted: &Wanted) -> Option<u64> {
        match wanted {
            Wanted::Some(stripes) => Some(stripes.iter().map(|stripe| u64::from(self.version(*stripe))).sum()),
            Wanted::All => None,
        }
    }

    /// The versions of all stripes, by their numbers.
    pub(super) fn versions(&self) -> Vec<u32> {
        self.slots.iter().map(|slot| slot.version.load(Ordering::Acquire)).collect()
    }

    /// Whether a stripe has the version that it had when `versions` were noted.
    pub(super) fn is_as_in(&self, versions: &[u32], stripe: Stripe) -> bool {
        versions.get(usize::from(stripe.0)).is_some_and(|version| *version == self.version(stripe))
    }

    /// Runs `action` with the stripe held, if it is free and its version is still `version`.
    pub fn if_unchanged(&self, stripe: Stripe, version: u32, action: impl FnOnce()) {
        if self.try_take(stripe) {
            if self.version(stripe) == version {
                action();
            }
            self.give_back(stripe);
        }
    }

    /// Steps the version of every held stripe: once before a commit is applied, once after.
    fn step(&self, stripe: Stripe) {
        self.slots[usize::from(stripe.0)].version.fetch_add(1, Ordering::AcqRel);
    }

    /// The same for threads that may wait: the I/O pool and background tasks.
    pub fn acquire_waiting(locks: &Arc<Self>, wanted: Wanted) -> LockSet {
        block_on(locks.clone().acquire(wanted))
    }

    /// Waits for stripes, in ascending order, whoever holds them.
    pub async fn acquire(self: Arc<Self>, wanted: Wanted) -> LockSet {
        let mut held = LockSet::none(self.clone());
        for stripe in wanted.stripes() {
            self.slots[usize::from(stripe.0)].wait().await;
            held.note(stripe);
        }
        held.all = matches!(wanted, Wanted::All);
        held
    }
}

/// Wakes a parked thread.
struct Unpark(std::thread::Thread);

impl std::task::Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on this thread, parking while it waits.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// What to lock.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// These stripes, sorted.
    Some(Stripes),
    /// Every stripe: the whole keyspace to oneself.
    All,
}

impl Wanted {
    fn stripes(&self) -> Stripes {
        match self {
            Self::Some(stripes) => stripes.clone(),
            Self::All => (0..STRIPES).map(|number| Stripe(number as u16)).collect(),
        }
    }
}

/// The stripes that a transaction holds. Dropping it gives them back.
pub struct LockSet {
    locks: Arc<Locks>,
    held: Stripes,
    all: bool,
}

impl LockSet {
    /// Holds nothing.
    pub fn none(locks: Arc<Locks>) -> Self {
        Self { locks, held: Stripes::new(), all: false }
    }

    fn note(&mut self, stripe: Stripe) {
        self.held.push(stripe);
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether every stripe is held.
    pub fn is_exclusive(&self) -> bool {
        self.all
    }

    /// Whether this stripe is held.
    pub fn holds(&self, stripe: Stripe) -> bool {
        self.all || self.held.contains(&stripe)
    }

    /// Takes what is wanted beyond what is held, or nothing at all when one stripe is taken.
    pub fn try_extend(&mut self, wanted: &Wanted) -> bool {
        let before = self.held.len();
        if let Wanted::Some(stripes) = wanted {
            return stripes.iter().all(|stripe| self.holds(*stripe) || self.take_or_undo(*stripe, before));
        }
        if self.all {
            return true;
        }
        let all = wanted.stripes();
        self.all = all.iter().all(|stripe| self.held.contains(stripe) || self.take_or_undo(*stripe, before));
        self.all
    }

    fn take_or_undo(&mut self, stripe: Stripe, before: usize) -> bool {
        if self.locks.take_soon(stripe) {
            self.note(stripe);
            return true;
        }
        for taken in self.held.drain(before..) {
            self.locks.give_back(taken);
        }
        false
    }

    /// Replaces what is held (it must be nothing) by stripes that were waited for.
    pub fn adopt(&mut self, other: Self) {
        debug_assert!(self.is_empty());
        *self = other;
    }

    /// Splits one held stripe off, for somebody else to go on with it; `None` if it is not held.
    pub fn part_with(&mut self, stripe: Stripe) -> Option<Self> {
        let at = self.held.iter().position(|held| *held == stripe)?;
        self.held.swap_remove(at);
        self.all = false;
        let mut part = Self::none(self.locks.clone());
        part.note(stripe);
        Some(part)
    }

    /// Takes over what another one holds.
    pub fn join(&mut self, mut other: Self) {
        self.held.extend(other.held.drain(..));
        self.all |= std::mem::take(&mut other.all);
    }

    /// The stripes that are held, in the order in which they were taken.
    pub fn stripes(&self) -> &[Stripe] {
        &self.held
    }

    /// Whether all of these are held.
    pub fn holds_all(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::All => self.all,
            Wanted::Some(stripes) => stripes.iter().all(|stripe| self.holds(*stripe)),
        }
    }

    /// Marks all held stripes as being changed, and again as settled.
    pub fn step_versions(&self) {
        self.held.iter().for_each(|stripe| self.locks.step(*stripe));
    }

    /// Gives everything back.
    pub fn release(&mut self) {
        for stripe in self.held.drain(..) {
            self.locks.give_back(stripe);
        }
        self.all = false;
    }
}

impl Drop for LockSet {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripes(numbers: &[u16]) -> Wanted {
        Wanted::Some(numbers.iter().map(|number| Stripe(*number)).collect())
    }

    #[test]
    fn a_failed_extension_takes_nothing_and_keeps_what_was_held() {
        let locks = Arc::new(Locks::default());
        let mut other = LockSet::none(locks.clone());
        assert!(other.try_extend(&stripes(&[5])));
        let mut set = LockSet::none(locks.clone());
        assert!(set.try_extend(&stripes(&[1])));
        assert!(!set.try_extend(&stripes(&[2, 5])));
        assert!(set.holds(Stripe(1)) && !set.holds(Stripe(2)));
        drop(other);
        assert!(set.try_extend(&stripes(&[2, 5])));
    }

    #[test]
    fn a_stripe_that_is_handed_over_was_never_free() {
        let locks = Arc::new(Locks::default());
        let mut giver = LockSet::none(locks.clone());
        assert!(giver.try_extend(&stripes(&[1, 2])));
        let taker = giver.part_with(Stripe(2)).unwrap();
        assert!(giver.part_with(Stripe(2)).is_none());
        giver.release();
        let mut third = LockSet::none(locks.clone());
        assert!(third.try_extend(&stripes(&[1])));
        assert!(!third.try_extend(&stripes(&[2])));
        drop(taker);
        assert!(third.try_extend(&stripes(&[2])));
    }

    #[test]
    fn the_exclusive_lock_waits_for_every_stripe() {
        let locks = Arc::new(Locks::default());
        let mut one = LockSet::none(locks.clone());
        assert!(one.try_extend(&stripes(&[1000])));
        let mut all = LockSet::none(locks.clone());
        assert!(!all.try_extend(&Wanted::All));
        assert!(all.is_empty());
        drop(one);
        assert!(all.try_extend(&Wanted::All));
        assert!(all.is_exclusive());
    }
}
