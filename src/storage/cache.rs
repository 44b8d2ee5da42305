//! The hot record cache in front of the engine: encoded records by stored key, so that a
//! read of a hot key costs neither RocksDB nor a copy. Bounded by weight in bytes, what a
//! record costs around its bytes included; S3-FIFO decides what stays.
//!
//! The cache orders nothing by itself. A reader that loaded a record before a writer changed
//! it may come to insert the old one behind the writer's removal: whoever inserts (the
//! keyspace layer) does so under the key's lock, or after comparing versions.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::base::{clock, random};

/// What one entry costs around key and value: its slot and hash in the cache's tables, the
/// reference count and header of the entry, the allocator's rounding.
pub const OVERHEAD_BYTES: u64 = 192;

/// What records weigh on average, key and overhead included, for sizing the tables.
const TYPICAL_ENTRY_BYTES: u64 = 256;

/// Counters are kept in as many places, so that threads do not share a cache line.
const COUNTER_SHARDS: usize = 16;

/// How often an entry is used, in Redis' logarithmic counter, and when it was last.
///
/// ```text
/// bits 63..32: last access, seconds (any clock, wrapping)
/// bits 31..16: last decay, minutes of the same clock, wrapping
/// bits  7..0 : logarithmic counter
/// ```
#[derive(Debug)]
pub struct Access(AtomicU64);

/// How the logarithmic counter grows and fades (`lfu-log-factor`, `lfu-decay-time`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrequencyRules {
    pub log_factor: u32,
    /// Minutes after which a counter falls by one; 0 for never.
    pub decay_minutes: u32,
}

impl Default for FrequencyRules {
    fn default() -> Self {
        Self { log_factor: 10, decay_minutes: 1 }
    }
}

/// Where the counter of a new key starts, so that it is not the first to look cold.
const FIRST_COUNT: u8 = 5;

impl Access {
    /// Of an entry made at `now`, in seconds.
    pub fn new(now: u32) -> Self {
        Self(AtomicU64::new(pack(now, minutes(now), FIRST_COUNT)))
    }

    /// Notes an access at `now`; `chance` is a random number in `0.0..1.0`. Two at once may
    /// count as one.
    pub fn touch(&self, now: u32, chance: f64, rules: FrequencyRules) {
        let count = faded(self.0.load(Ordering::Relaxed), now, rules);
        let above = f64::from(count.saturating_sub(FIRST_COUNT));
        let grows = count < u8::MAX && chance < 1.0 / (above * f64::from(rules.log_factor) + 1.0);
        let count = count + u8::from(grows);
        self.0.store(pack(now, minutes(now), count), Ordering::Relaxed);
    }

    /// Notes an access, once a second at the most: so hot keys do not write what all threads read.
    pub fn touch_now_and_then(&self, now: u32) {
        let (last, _, _) = unpack(self.0.load(Ordering::Relaxed));
        if last != now {
            self.touch(now, random::fraction(), FrequencyRules::default());
        }
    }

    /// Seconds since the last access (OBJECT IDLETIME).
    pub fn idle_seconds(&self, now: u32) -> u32 {
        let (last, _, _) = unpack(self.0.load(Ordering::Relaxed));
        now.wrapping_sub(last)
    }

    /// The logarithmic counter as of `now` (OBJECT FREQ).
    pub fn frequency(&self, now: u32, rules: FrequencyRules) -> u8 {
        faded(self.0.load(Ordering::Relaxed), now, rules)
    }

    /// From now on it was last used so many seconds ago (RESTORE … IDLETIME).
    pub fn assume_idle(&self, now: u32, seconds: u64) {
        let (_, decayed, count) = unpack(self.0.load(Ordering::Relaxed));
        let last = now.wrapping_sub(u32::try_from(seconds).unwrap_or(u32::MAX));
        self.0.store(pack(last, decayed, count), Ordering::Relaxed);
    }

    /// From now on it was used so often (RESTORE … FREQ).
    pub fn assume_frequency(&self, now: u32, count: u8) {
        let (last, _, _) = unpack(self.0.load(Ordering::Relaxed));
        self.0.store(pack(last, minutes(now), count), Ordering::Relaxed);
    }

    /// Takes over what was noted of an entry that this one replaces.
    pub fn inherit(&self, former: &Self) {
        self.0.store(former.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

fn minutes(seconds: u32) -> u16 {
    (seconds / 60) as u16
}

fn pack(last: u32, decayed: u16, count: u8) -> u64 {
    u64::from(last) << 32 | u64::from(decayed) << 16 | u64::from(count)
}

fn unpack(bits: u64) -> (u32, u16, u8) {
    ((bits >> 32) as u32, (bits >> 16) as u16, bits as u8)
}

/// The counter after the minutes that nobody touched it.
fn faded(bits: u64, now: u32, rules: FrequencyRules) -> u8 {
    let (_, decayed, count) = unpack(bits);
    let idle = u32::from(minutes(now).wrapping_sub(decayed));
    let falls = idle.checked_div(rules.decay_minutes).unwrap_or(0);
    count.saturating_sub(u8::try_from(falls).unwrap_or(u8::MAX))
}

/// A cached record.
#[derive(Debug)]
pub struct Cached {
    record: Mutex<Bytes>,
    /// How many bytes the record has, whichever it is: what the entry weighs never changes.
    length: usize,
    pub access: Access,
}

impl Cached {
    /// The record as the engine stores it.
    pub fn record(&self) -> Bytes {
        self.record.lock().clone()
    }
}

/// A cached record as the cache hands it out: cheap to clone, alive though evicted.
pub type Entry = Arc<Cached>;

#[derive(Clone)]
struct Weight;

impl Weighter<Box<[u8]>, Entry> for Weight {
    fn weight(&self, key: &Box<[u8]>, entry: &Entry) -> u64 {
        key.len() as u64 + entry.length as u64 + OVERHEAD_BYTES
    }
}

/// What the cache says about itself; hits and misses since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheFigures {
    pub hits: u64,
    pub misses: u64,
    pub entries: u64,
    pub weight_bytes: u64,
    pub capacity_bytes: u64,
}

#[derive(Default)]
#[repr(align(128))]
struct Lookups {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The cache. The hasher of its tables is seeded anew in each: keys are the clients' choice.
pub struct RecordCache {
    entries: Cache<Box<[u8]>, Entry, Weight>,
    lookups: [Lookups; COUNTER_SHARDS],
}

impl RecordCache {
    /// A cache of at most `capacity_bytes`, overhead included.
    pub fn new(capacity_bytes: u64) -> Self {
        let typical = usize::try_from(capacity_bytes / TYPICAL_ENTRY_BYTES).unwrap_or(usize::MAX);
        Self {
            entries: Cache::with_weighter(typical.max(1), capacity_bytes, Weight),
            lookups: std::array::from_fn(|_| Lookups::default()),
        }
    }

    /// The record of a stored key, and one more hit or miss.
    pub fn get(&self, key: &[u8]) -> Option<Entry> {
        let entry = self.entries.get(key);
        let lookups = &self.lookups[counter_shard()];
        let counter = if entry.is_some() { &lookups.hits } else { &lookups.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        entry
    }

    /// As [`get`](Self::get), but leaves no trace: for OBJECT FREQ and the like.
    pub fn peek(&self, key: &[u8]) -> Option<Entry> {
        self.entries.peek(key)
    }

    /// Puts a record in, in place of the one that was there, whose access it takes over. See
    /// the head on who may.
    pub fn insert(&self, key: impl AsRef<[u8]>, record: Bytes) {
        let former = self.entries.peek(key.as_ref());
        self.put(key.as_ref(), record, former.as_deref());
    }

    /// The same where `former` is the entry that was found under the key's lock, which is still
    /// held. A record of the same length takes its place in the entry, which costs no look-up; if the
    /// entry was evicted meanwhile, it is as if the new one had been.
    pub fn replace(&self, key: &[u8], former: &Cached, record: Bytes) {
        if former.length == record.len() {
            *former.record.lock() = record;
        } else {
            self.put(key, record, Some(former));
        }
    }

    /// What is cached of a key, if anything is, becomes this; `None` deletes it.
    pub fn update(&self, key: &[u8], record: Option<&Bytes>) {
        if let Some(former) = self.entries.peek(key) {
            match record {
                Some(record) => self.replace(key, &former, record.clone()),
                None => self.remove(key),
            }
        }
    }

    fn put(&self, key: &[u8], record: Bytes, former: Option<&Cached>) {
        let access = Access::new(clock_seconds());
        if let Some(former) = former {
            access.inherit(&former.access);
        }
        let entry = Cached { length: record.len(), record: Mutex::new(record), access };
        self.entries.insert(key.into(), Arc::new(entry));
    }

    pub fn remove(&self, key: &[u8]) {
        self.entries.remove(key);
    }

    /// Removes all records under a prefix. Walks the whole cache: for rare occasions.
    pub fn remove_prefix(&self, prefix: &[u8]) {
        self.entries.retain(|key, _| !key.starts_with(prefix));
    }

    /// Removes everything.
    pub fn clear(&self) {
        self.entries.clear();
    }

    /// Changes the capacity, evicting at once what no longer fits.
    pub fn set_capacity(&self, capacity_bytes: u64) {
        self.entries.set_capacity(capacity_bytes);
    }

    /// Bytes held, overhead included.
    pub fn weight_bytes(&self) -> u64 {
        self.entries.weight()
    }

    pub fn figures(&self) -> CacheFigures {
        let sum = |counter: fn(&Lookups) -> &AtomicU64| {
            self.lookups.iter().map(|shard| counter(shard).load(Ordering::Relaxed)).sum()
        };
        CacheFigures {
            hits: sum(|shard| &shard.hits),
            misses: sum(|shard| &shard.misses),
            entries: self.entries.len() as u64,
            weight_bytes: self.entries.weight(),
            capacity_bytes: self.entries.capacity(),
        }
    }
}

/// The clock of [`Access`]: seconds since the epoch, as far as they fit.
pub fn clock_seconds() -> u32 {
    (clock::now_ms() / 1000) as u32
}

/// Which of the counters this thread uses.
fn counter_shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(THREADS.fetch_add(1, Ordering::Relaxed) % COUNTER_SHARDS);
        }
        mine.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: FrequencyRules = FrequencyRules { log_factor: 10, decay_minutes: 1 };

    fn filled(cache: &RecordCache, keys: u32, value_bytes: usize) {
        for number in 0..keys {
            cache.insert(number.to_be_bytes(), vec![7; value_bytes].into());
        }
    }

    #[test]
    fn what_was_put_in_comes_out_and_is_counted() {
        let cache = RecordCache::new(1 << 20);
        cache.insert(b"a", Bytes::from_static(b"1"));
        cache.insert(b"a", Bytes::from_static(b"2"));
        assert_eq!(cache.get(b"a").unwrap().record(), "2");
        assert!(cache.get(b"b").is_none());
        assert!(cache.peek(b"c").is_none());
        cache.remove(b"a");
        assert!(cache.get(b"a").is_none());
        let figures = cache.figures();
        assert_eq!((figures.hits, figures.misses, figures.entries, figures.weight_bytes), (1, 2, 0, 0));
    }

    #[test]
    fn weight_stays_within_a_capacity_that_changes() {
        let cache = RecordCache::new(1 << 20);
        filled(&cache, 20_000, 100);
        assert!(cache.weight_bytes() <= 1 << 20);
        assert!(cache.weight_bytes() > (1 << 20) * 9 / 10);
        cache.set_capacity(1 << 18);
        assert!(cache.weight_bytes() <= 1 << 18);
        cache.set_capacity(8 << 20);
        filled(&cache, 20_000, 100);
        assert_eq!(cache.figures().entries, 20_000);
        assert_eq!(cache.weight_bytes(), 20_000 * (4 + 100 + OVERHEAD_BYTES));
    }

    #[test]
    fn a_record_beyond_the_capacity_is_not_kept() {
        let cache = RecordCache::new(1 << 16);
        cache.insert(b"big", vec![0; 1 << 20].into());
        assert!(cache.get(b"big").is_none());
        assert_eq!(cache.weight_bytes(), 0);
    }

    #[test]
    fn a_new_record_of_a_key_inherits_its_access() {
        let cache = RecordCache::new(1 << 20);
        cache.insert(b"a", Bytes::new());
        let now = clock_seconds();
        cache.get(b"a").unwrap().access.touch(now + 100, 0.0, RULES);
        cache.insert(b"a", Bytes::from_static(b"new"));
        let entry = cache.peek(b"a").unwrap();
        assert_eq!((&entry.record()[..], entry.access.idle_seconds(now + 100)), (&b"new"[..], 0));
    }

    #[test]
    fn a_prefix_goes_alone() {
        let cache = RecordCache::new(1 << 20);
        for key in [&b"ab"[..], b"abc", b"ac", b"b"] {
            cache.insert(key, Bytes::new());
        }
        cache.remove_prefix(b"ab");
        let left = [&b"ab"[..], b"abc", b"ac", b"b"].map(|key| cache.peek(key).is_some());
        assert_eq!(left, [false, false, true, true]);
        cache.clear();
        assert_eq!(cache.figures().entries, 0);
    }

    #[test]
    fn frequency_grows_by_chance_and_fades_by_the_minute() {
        let access = Access::new(1000);
        assert_eq!(access.frequency(1000, RULES), 5);
        access.touch(1000, 0.99, RULES); // At the first count the odds are certain.
        assert_eq!(access.frequency(1000, RULES), 6);
        access.touch(1000, 0.5, RULES); // Then one in eleven.
        assert_eq!(access.frequency(1000, RULES), 6);
        access.touch(1000, 0.05, RULES);
        assert_eq!(access.frequency(1000, RULES), 7);
        assert_eq!(access.frequency(1000 + 180, RULES), 4);
        assert_eq!(access.frequency(1000 + 180, FrequencyRules { decay_minutes: 0, ..RULES }), 7);
        assert_eq!(access.idle_seconds(1180), 180);
    }

    proptest! {
        #[test]
        fn access_bits_survive(last: u32, decayed: u16, count: u8) {
            prop_assert_eq!(unpack(pack(last, decayed, count)), (last, decayed, count));
        }
    }
}
