//! Rates of the moment: operations and bytes a second, as differences of counters that the
//! server's care task samples.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Stats;

#[derive(Debug, Default, Clone, Copy)]
struct Sample {
    at_us: u64,
    calls: u64,
    input_bytes: u64,
    output_bytes: u64,
}

/// Rates between the last two samples.
#[derive(Debug, Default)]
pub struct Rates {
    last: Mutex<Sample>,
    operations: AtomicU64,
    input_kilobytes: AtomicU64,
    output_kilobytes: AtomicU64,
}

impl Rates {
    /// Takes a sample at this time, microseconds on any clock that does not go back; says how many
    /// went by since the last.
    pub fn sample(&self, stats: &Stats, at_us: u64) -> u64 {
        let now = Sample {
            at_us,
            calls: stats.calls(),
            input_bytes: stats.input_bytes.sum(),
            output_bytes: stats.output_bytes.sum(),
        };
        let before = std::mem::replace(&mut *self.last.lock(), now);
        let elapsed_us = at_us.saturating_sub(before.at_us).max(1);
        let per_second = |now: u64, before: u64| now.saturating_sub(before).saturating_mul(1_000_000) / elapsed_us;
        self.operations.store(per_second(now.calls, before.calls), Ordering::Relaxed);
        self.input_kilobytes.store(per_second(now.input_bytes, before.input_bytes) / 1024, Ordering::Relaxed);
        self.output_kilobytes.store(per_second(now.output_bytes, before.output_bytes) / 1024, Ordering::Relaxed);
        elapsed_us
    }

    pub fn operations_per_second(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    pub fn input_kilobytes_per_second(&self) -> u64 {
        self.input_kilobytes.load(Ordering::Relaxed)
    }

    pub fn output_kilobytes_per_second(&self) -> u64 {
        self.output_kilobytes.load(Ordering::Relaxed)
    }
}
