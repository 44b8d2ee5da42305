//! The storage layer's paths of every request: `cargo bench --bench storage`.
//!
//! A hundred thousand keys with values of 64 bytes, all in memory; what is measured is the
//! processor's work, not the disk's. Objects of sixteen elements stand for collections.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ferrock::storage::budget::EngineBudget;
use ferrock::storage::cache::RecordCache;
use ferrock::storage::{
    Change, CommitOptions, Compaction, Durability, Engine, Family, KeyRange, OpenOptions, Tier, View, open,
};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const KEYS: u64 = 100_000;
const ELEMENTS: u64 = 16;
const WAITING: CommitOptions = CommitOptions { may_wait: true, durability: Durability::Kernel };
const MEMORY: View = View::latest(Tier::Memory);

/// Visits all keys in an order that is not theirs.
struct Keys(u64);

impl Keys {
    fn next(&mut self) -> Bytes {
        self.0 = (self.0 + 61_237) % KEYS;
        Bytes::copy_from_slice(format!("\0\0\0\0\0\0key:{:012}", self.0).as_bytes())
    }
}

fn put(key: Bytes) -> Change {
    Change::Put { family: Family::Keys, key, value: Bytes::from_static(&[b'v'; 64]) }
}

fn element(number: u64) -> Change {
    let key = [(number / ELEMENTS).to_be_bytes(), (number % ELEMENTS).to_be_bytes()].concat();
    Change::Put { family: Family::Data, key: key.into(), value: Bytes::from_static(&[b'v'; 64]) }
}

fn filled(directory: &std::path::Path) -> Arc<dyn Engine> {
    let budget = EngineBudget { block_cache_bytes: 256 << 20, write_buffer_bytes: 384 << 20 };
    let engine = open(directory, &OpenOptions::new(budget)).expect("a new directory opens");
    let mut keys = Keys(0);
    for number in 0..KEYS {
        engine.commit(vec![put(keys.next()), element(number)], WAITING).expect("a commit");
    }
    engine
}

/// Moves everything into table files and reads it once, into the block cache.
fn settle(engine: &dyn Engine) {
    engine.flush().expect("a flush");
    for family in [Family::Keys, Family::Data] {
        engine.compact(family, &KeyRange::default(), Compaction::Rewrite).expect("a compaction");
        let view = View::latest(Tier::Disk);
        let mut cursor = engine.cursor(family, KeyRange::default(), &view).expect("a cursor");
        cursor.seek_to_first().expect("a seek");
        while cursor.entry().is_some() {
            cursor.next().expect("a step");
        }
    }
    let mut keys = Keys(0);
    for _ in 0..KEYS {
        engine.get(Family::Keys, &keys.next(), &View::latest(Tier::Disk)).expect("a read");
    }
}

fn reads(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = filled(directory.path());
    let mut keys = Keys(0);
    criterion.bench_function("get from a memtable", |bench| {
        bench.iter(|| engine.get(Family::Keys, &keys.next(), &MEMORY).expect("in memory"));
    });
    settle(engine.as_ref());
    criterion.bench_function("get from the block cache", |bench| {
        bench.iter(|| engine.get(Family::Keys, &keys.next(), &MEMORY).expect("in memory"));
    });
    criterion.bench_function("get absent", |bench| {
        bench.iter(|| engine.get(Family::Keys, &[&keys.next()[..], b"x"].concat(), &MEMORY));
    });
    criterion.bench_function("snapshot", |bench| bench.iter(|| engine.snapshot()));
    let mut group = criterion.benchmark_group("cursor");
    group.throughput(Throughput::Elements(ELEMENTS));
    group.bench_function("seek + 16", |bench| {
        bench.iter(|| {
            let mut cursor = engine.cursor(Family::Keys, KeyRange::default(), &MEMORY).expect("a cursor");
            cursor.seek(&keys.next()).expect("in memory");
            for _ in 0..ELEMENTS {
                black_box(cursor.entry());
                cursor.next().expect("in memory");
            }
        });
    });
    let mut object = 0u64;
    group.bench_function("object of 16", |bench| {
        bench.iter(|| {
            object = (object + 4099) % (KEYS / ELEMENTS);
            let range = KeyRange::prefix(&object.to_be_bytes());
            let mut cursor = engine.cursor(Family::Data, range, &MEMORY).expect("a cursor");
            cursor.seek_to_first().expect("in memory");
            while black_box(cursor.entry()).is_some() {
                cursor.next().expect("in memory");
            }
        });
    });
    group.finish();
}

fn writes(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = filled(directory.path());
    let mut keys = Keys(0);
    // A stall is part of the answer, not of the measurement: writes here may wait.
    criterion.bench_function("commit of one put", |bench| {
        bench.iter(|| engine.commit(vec![put(keys.next())], WAITING).expect("a commit"));
    });
    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(16));
    group.bench_function("of 16 puts", |bench| {
        bench.iter(|| engine.commit((0..16).map(|_| put(keys.next())).collect(), WAITING).expect("a commit"));
    });
    group.finish();
}

fn cache(criterion: &mut Criterion) {
    let cache = RecordCache::new(100 << 20);
    let mut keys = Keys(0);
    criterion.bench_function("record cache insert", |bench| {
        bench.iter(|| cache.insert(keys.next(), Bytes::from_static(&[b'v'; 64])));
    });
    criterion.bench_function("record cache get", |bench| bench.iter(|| cache.get(&keys.next())));
}

criterion_group!(benches, reads, writes, cache);
criterion_main!(benches);
