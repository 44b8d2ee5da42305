//! Counters of the hot path, sharded by thread so that cores do not fight over a line.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Shards of each counter; threads beyond this many share.
pub const SHARDS: usize = 16;

/// One value for each of a few threads, added up when read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Line<T>(pub T);

/// A counter that many threads add to.
#[derive(Debug, Default)]
pub struct Sharded {
    shards: [Line<AtomicU64>; SHARDS],
}

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);

/// This thread's shard.
pub fn shard() -> usize {
    SHARD.with(|shard| {
        if shard.get() == usize::MAX {
            shard.set(NEXT_SHARD.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        shard.get()
    })
}

impl Sharded {
    /// Adds to this thread's share.
    pub fn add(&self, amount: u64) {
        self.shards[shard()].0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The sum over all threads.
    pub fn sum(&self) -> u64 {
        self.shards.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }

    /// Back to zero.
    pub fn reset(&self) {
        self.shards.iter().for_each(|line| line.0.store(0, Ordering::Relaxed));
    }
}
