//! Latency: how long commands take (LATENCY HISTOGRAM, INFO latencystats), and the spikes of
//! named events (LATENCY LATEST, HISTORY).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Samples that the history of an event keeps (Redis' `LATENCY_TS_LEN`).
const HISTORY: usize = 160;
/// Buckets of a histogram: bucket n counts what took at most 2^n microseconds.
pub const BUCKETS: usize = 32;

/// How often a command took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
}

impl Histogram {
    /// Notes one run.
    pub fn note(&self, duration_us: u64) {
        let bucket = (u64::BITS - duration_us.saturating_sub(1).leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// The counts, by bucket.
    pub fn counts(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed))
    }

    /// Back to zero.
    pub fn reset(&self) {
        self.buckets.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }
}

/// The time, in microseconds, that this share (per cent) of the runs stayed within.
pub fn percentile(counts: &[u64; BUCKETS], percent: f64) -> u64 {
    let all: u64 = counts.iter().sum();
    let wanted = (all as f64 * percent / 100.0).ceil() as u64;
    let mut seen = 0;
    for (bucket, count) in counts.iter().enumerate() {
        seen += count;
        if seen >= wanted.max(1) {
            return 1 << bucket;
        }
    }
    0
}

/// One spike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spike {
    /// Seconds since the epoch.
    pub at: u64,
    pub milliseconds: u64,
}

/// The spikes of one event.
#[derive(Debug, Clone, Default)]
pub struct Spikes {
    pub history: VecDeque<Spike>,
    pub worst_ms: u64,
}

/// Spikes of all events.
#[derive(Debug, Default)]
pub struct Monitor {
    events: Mutex<BTreeMap<&'static str, Spikes>>,
}

impl Monitor {
    /// Notes a spike; of several in one second the worst counts.
    pub fn note(&self, event: &'static str, at: u64, milliseconds: u64) {
        let mut events = self.events.lock();
        let spikes = events.entry(event).or_default();
        spikes.worst_ms = spikes.worst_ms.max(milliseconds);
        match spikes.history.back_mut() {
            Some(last) if last.at == at => last.milliseconds = last.milliseconds.max(milliseconds),
            _ => spikes.history.push_back(Spike { at, milliseconds }),
        }
        if spikes.history.len() > HISTORY {
            spikes.history.pop_front();
        }
    }

    /// All events with their spikes.
    pub fn all(&self) -> Vec<(&'static str, Spikes)> {
        self.events.lock().iter().map(|(event, spikes)| (*event, spikes.clone())).collect()
    }

    /// Forgets these events, or all; says how many there were.
    pub fn reset(&self, events: &[&[u8]]) -> usize {
        let mut all = self.events.lock();
        let before = all.len();
        if events.is_empty() {
            all.clear();
        } else {
            all.retain(|name, _| !events.contains(&name.as_bytes()));
        }
        before - all.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_up_to_its_power_of_two() {
        let histogram = Histogram::default();
        [0, 1, 2, 3, 4, 5, u64::MAX].into_iter().for_each(|us| histogram.note(us));
        let counts = histogram.counts();
        assert_eq!(counts[..4], [2, 1, 2, 1]);
        assert_eq!(counts[BUCKETS - 1], 1);
        assert_eq!(percentile(&counts, 50.0), 4);
    }

    #[test]
    fn spikes_of_one_second_count_once() {
        let monitor = Monitor::default();
        monitor.note("command", 7, 20);
        monitor.note("command", 7, 30);
        monitor.note("command", 8, 10);
        let (event, spikes) = monitor.all().remove(0);
        assert_eq!((event, spikes.worst_ms, spikes.history.len()), ("command", 30, 2));
        assert_eq!(monitor.reset(&[b"other"]), 0);
        assert_eq!(monitor.reset(&[b"command"]), 1);
    }
}
