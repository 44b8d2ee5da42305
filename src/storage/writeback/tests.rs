//! The engine of a server against a sorted map, through crashes and closings, and its log against what
//! crashes and disks do to it.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use proptest::prelude::*;

use super::engine::WriteBack;
use super::{open, segment};
use crate::base::{Error, Result};
use crate::storage::budget::EngineBudget;
use crate::storage::rocks::{self, OpenOptions, Recovery, RocksEngine};
use crate::storage::{
    Change, CommitOptions, Compaction, Cursor, Durability, Engine, Family, KeyRange, Snapshot, Tier, View,
};

const WAITING: CommitOptions = CommitOptions { may_wait: true, durability: Durability::Kernel };
const SYNCED: CommitOptions = CommitOptions { may_wait: true, durability: Durability::Synced };
const DISK: View = View::latest(Tier::Disk);

fn options() -> OpenOptions {
    OpenOptions::new(EngineBudget { block_cache_bytes: 8 << 20, write_buffer_bytes: 8 << 20 })
}

fn opened(directory: &Path) -> Arc<dyn Engine> {
    open(directory, &options()).unwrap()
}

fn put(family: Family, key: &[u8], value: &[u8]) -> Change {
    Change::Put { family, key: Bytes::copy_from_slice(key), value: Bytes::copy_from_slice(value) }
}

fn delete(family: Family, key: &[u8]) -> Change {
    Change::Delete { family, key: Bytes::copy_from_slice(key) }
}

fn delete_range(family: Family, from: &[u8], to: &[u8]) -> Change {
    Change::DeleteRange { family, from: Bytes::copy_from_slice(from), to: Bytes::copy_from_slice(to) }
}

fn walk(cursor: &mut dyn Cursor, forward: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    if forward {
        cursor.seek_to_first().unwrap()
    } else {
        cursor.seek_to_last().unwrap()
    }
    while let Some((key, value)) = cursor.entry() {
        all.push((key.to_vec(), value.to_vec()));
        if forward { cursor.next().unwrap() } else { cursor.prev().unwrap() }
    }
    all
}

fn contents(engine: &dyn Engine, family: Family, snapshot: Option<Arc<dyn Snapshot>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let view = View { snapshot, ..DISK };
    let mut cursor = engine.cursor(family, KeyRange::default(), &view).unwrap();
    let all = walk(cursor.as_mut(), true);
    let mut back = walk(cursor.as_mut(), false);
    back.reverse();
    assert_eq!(all, back);
    all
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    DeleteRange(u8, u8),
    Get(u8),
    Walk,
    Bounded(u8, u8, u8, bool),
    Flush,
    Snapshot,
    /// The process is killed.
    Crash,
    Close,
    LookOnly,
    Checkpoint,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (any::<u8>(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        4 => any::<u8>().prop_map(Step::Delete),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Step::DeleteRange(from, to)),
        4 => any::<u8>().prop_map(Step::Get),
        1 => Just(Step::Walk),
        3 => (any::<u8>(), any::<u8>(), any::<u8>(), any::<bool>())
            .prop_map(|(from, to, at, forward)| Step::Bounded(from, to, at, forward)),
        1 => Just(Step::Flush),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Crash),
        1 => Just(Step::Close),
        1 => Just(Step::LookOnly),
        1 => Just(Step::Checkpoint),
    ];
    prop::collection::vec(step, 1..60)
}

/// An object id of eight bytes (a few of them), and a part, so that the prefix filters of `data`
/// and `scores` are in play.
fn model_key(key: u8) -> Vec<u8> {
    let mut bytes = u64::from(key >> 5).to_be_bytes().to_vec();
    bytes.extend((key & 31 > 0).then_some(key & 31));
    bytes
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn pairs(model: &Model) -> Vec<(Vec<u8>, Vec<u8>)> {
    model.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn bounded(engine: &dyn Engine, model: &Model, family: Family, step: &Step) {
    let Step::Bounded(from, to, at, forward) = step else { return };
    let (from, to, at) = (model_key(*from), model_key(*to), model_key(*at));
    let range = KeyRange { from: Some(from.clone().into()), to: Some(to.clone().into()) };
    let mut cursor = engine.cursor(family, range, &DISK).unwrap();
    let within = model.iter().filter(|(key, _)| **key >= from && **key < to);
    let expected: Vec<_> = match forward {
        true => within.filter(|(key, _)| **key >= at).collect(),
        false => within.rev().filter(|(key, _)| **key <= at).collect(),
    };
    if *forward {
        cursor.seek(&at).unwrap()
    } else {
        cursor.seek_for_prev(&at).unwrap()
    }
    for (index, (key, value)) in expected.iter().enumerate() {
        assert_eq!(cursor.entry(), Some((&key[..], &value[..])));
        // Back and forth again.
        if let Some(before) = index.checked_sub(1) {
            if *forward {
                cursor.prev().unwrap()
            } else {
                cursor.next().unwrap()
            }
            assert_eq!(cursor.entry().map(|(key, _)| key), Some(&expected[before].0[..]));
            if *forward {
                cursor.next().unwrap()
            } else {
                cursor.prev().unwrap()
            }
            assert_eq!(cursor.entry().map(|(key, _)| key), Some(&key[..]));
        }
        if *forward { cursor.next().unwrap() } else { cursor.prev().unwrap() }
    }
    assert_eq!(cursor.entry(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done, and however often the process dies, the engine shows what a sorted map does.
    #[test]
    fn it_is_a_sorted_map_that_survives(steps in steps(), family in prop::sample::select(&Family::ALL[..5])) {
        let directory = tempfile::tempdir().unwrap();
        let mut engine = opened(directory.path());
        let mut model = Model::new();
        let mut frozen: Option<(Arc<dyn Snapshot>, Model)> = None;
        for step in steps {
            match &step {
                Step::Put(key, value) => {
                    engine.commit(vec![put(family, &model_key(*key), &[*value])], WAITING).unwrap();
                    model.insert(model_key(*key), vec![*value]);
                }
                Step::Delete(key) => {
                    engine.commit(vec![delete(family, &model_key(*key))], WAITING).unwrap();
                    model.remove(&model_key(*key));
                }
                Step::DeleteRange(from, to) => {
                    // And something anew in the range, in the same commit.
                    let (from, to) = (model_key(*from), model_key(*to));
                    let changes = vec![delete_range(family, &from, &to), put(family, &from, b"anew")];
                    engine.commit(changes, WAITING).unwrap();
                    model.retain(|key, _| *key < from || *key >= to);
                    model.insert(from, b"anew".to_vec());
                }
                Step::Get(key) => {
                    let value = engine.get(family, &model_key(*key), &DISK).unwrap().map(|value| value.to_vec());
                    prop_assert_eq!(value.as_ref(), model.get(&model_key(*key)));
                    let (one, other) = (model_key(*key), model_key(key.wrapping_add(1)));
                    let values = engine.multi_get(family, &[&one, &other], &DISK).unwrap();
                    let values: Vec<_> = values.into_iter().map(|value| value.map(|value| value.to_vec())).collect();
                    prop_assert_eq!(values, [model.get(&one).cloned(), model.get(&other).cloned()]);
                    let run: Vec<_> = (*key..=key.saturating_add(20)).map(model_key).collect();
                    let keys: Vec<_> = run.iter().map(|key| &key[..]).collect();
                    let values = engine.get_run(family, &keys, &DISK).unwrap();
                    let values: Vec<_> = values.into_iter().map(|value| value.map(|value| value.to_vec())).collect();
                    prop_assert_eq!(values, run.iter().map(|key| model.get(key).cloned()).collect::<Vec<_>>());
                }
                Step::Walk => prop_assert_eq!(contents(engine.as_ref(), family, None), pairs(&model)),
                Step::Bounded(..) => bounded(engine.as_ref(), &model, family, &step),
                Step::Flush => engine.flush().unwrap(),
                Step::Snapshot => frozen = Some((engine.snapshot(), model.clone())),
                Step::Crash | Step::Close => {
                    frozen = None;
                    if matches!(step, Step::Close) {
                        engine.close().unwrap();
                    }
                    drop(engine);
                    engine = opened(directory.path());
                }
                Step::LookOnly => {
                    frozen = None;
                    drop(engine);
                    let looking = open(directory.path(), &OpenOptions { read_only: true, ..options() }).unwrap();
                    prop_assert_eq!(contents(looking.as_ref(), family, None), pairs(&model));
                    for (key, value) in &model {
                        prop_assert_eq!(looking.get(family, key, &DISK).unwrap(), Some(Bytes::copy_from_slice(value)));
                    }
                    prop_assert!(looking.commit(vec![delete(family, b"12345678")], WAITING).is_err());
                    drop(looking);
                    engine = opened(directory.path());
                }
                Step::Checkpoint => {
                    let place = tempfile::tempdir().unwrap();
                    let folder = place.path().join("copy");
                    engine.checkpoint(&folder).unwrap();
                    let copy = opened(&folder);
                    prop_assert_eq!(contents(copy.as_ref(), family, None), pairs(&model));
                }
            }
            if let Some((snapshot, then)) = &frozen {
                prop_assert_eq!(contents(engine.as_ref(), family, Some(snapshot.clone())), pairs(then));
            }
        }
    }

    /// However the end of the log is cut off, a whole number of commits stands, in order.
    #[test]
    fn a_torn_tail_loses_whole_commits_only(sizes in prop::collection::vec(0usize..3000, 1..8), cut in 0.0..1.0f64) {
        let directory = tempfile::tempdir().unwrap();
        let ends = write_commits(directory.path(), &sizes);
        let path = segment::path(directory.path(), 1);
        let length = (cut * *ends.last().unwrap() as f64) as u64;
        let length = length.max(segment::HEAD_BYTES as u64);
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        let whole = ends.iter().filter(|end| **end <= length).count();
        for _ in 0..2 {
            let engine = opened(directory.path());
            for number in 0..sizes.len() {
                let found = engine.get(Family::Keys, &[number as u8], &DISK).unwrap();
                prop_assert_eq!(found.is_some(), number < whole, "commit {} of {}", number, whole);
                prop_assert_eq!(engine.get(Family::Data, &[number as u8; 8], &DISK).unwrap().is_some(), number < whole);
            }
            drop(engine);
        }
    }

    /// A flipped bit anywhere in the log is refused and named, and never read as data. To rescue
    /// what is left, the commits in front of it can be had.
    #[test]
    fn a_flipped_bit_is_refused(sizes in prop::collection::vec(0usize..300, 1..6), at in 0.0..1.0f64, bit in 0u8..8) {
        let directory = tempfile::tempdir().unwrap();
        let ends = write_commits(directory.path(), &sizes);
        let path = segment::path(directory.path(), 1);
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let at = (at * (*ends.last().unwrap() - 1) as f64) as u64;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << bit], at).unwrap();
        let error = open(directory.path(), &options()).err().expect("it is damaged").to_string();
        prop_assert!(error.contains("ferrock-0000000001.wal"), "{}", error);
        let rescue = OpenOptions { read_only: true, recovery: Recovery::PointInTime, ..options() };
        let engine = open(directory.path(), &rescue).unwrap();
        let whole = if at < segment::HEAD_BYTES as u64 { 0 } else { ends.iter().filter(|end| **end <= at).count() };
        for number in 0..sizes.len() {
            let found = engine.get(Family::Keys, &[number as u8], &DISK).unwrap();
            prop_assert_eq!(found.is_some(), number < whole);
        }
    }
}

/// One commit a size, into two families; where each ends in the log's first file.
fn write_commits(directory: &Path, sizes: &[usize]) -> Vec<u64> {
    let engine = opened(directory);
    let ends = sizes.iter().enumerate().map(|(number, size)| {
        // Not zeros: those are what a sector looks like that was never written.
        let changes =
            vec![put(Family::Keys, &[number as u8], &vec![7; *size]), put(Family::Data, &[number as u8; 8], b"x")];
        engine.commit(changes, WAITING).unwrap();
        engine.figures().wal_bytes
    });
    ends.collect()
}

#[test]
fn sectors_that_a_power_cut_kept_from_the_disk_are_no_damage_unless_they_were_synced() {
    for synced in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let engine = opened(directory.path());
        let path = segment::path(directory.path(), 1);
        engine.commit(vec![put(Family::Keys, b"first", b"1")], WAITING).unwrap();
        let begin = engine.figures().wal_bytes;
        engine.commit(vec![put(Family::Keys, b"torn", &[7; 4000])], if synced { SYNCED } else { WAITING }).unwrap();
        engine.commit(vec![put(Family::Keys, b"behind", b"3")], WAITING).unwrap();
        drop(engine);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(&[0; 1024], begin.next_multiple_of(512)).unwrap();
        match open(directory.path(), &options()) {
            Ok(engine) => {
                assert!(!synced);
                assert!(engine.get(Family::Keys, b"first", &DISK).unwrap().is_some());
                assert_eq!(engine.get(Family::Keys, b"torn", &DISK).unwrap(), None);
                assert_eq!(engine.get(Family::Keys, b"behind", &DISK).unwrap(), None);
            }
            Err(error) => {
                assert!(synced, "{error}");
                assert!(error.to_string().contains("the payload of a frame is damaged at byte"), "{error}");
            }
        }
    }
}

#[test]
fn a_log_that_is_gone_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    engine.commit(vec![put(Family::Keys, b"k", b"v")], WAITING).unwrap();
    engine.close().unwrap();
    drop(engine);
    let numbers = segment::numbers(directory.path()).unwrap();
    assert_eq!(numbers.len(), 1, "closing leaves one file: {numbers:?}");
    let engine = opened(directory.path());
    engine.commit(vec![put(Family::Keys, b"k", b"w")], WAITING).unwrap();
    drop(engine);
    std::fs::remove_file(segment::path(directory.path(), numbers[0])).unwrap();
    let error = open(directory.path(), &options()).err().expect("a file is missing").to_string();
    assert!(error.contains("is missing"), "{error}");
}

#[test]
fn old_files_of_the_log_go_and_their_contents_stay() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    let value = vec![b'v'; 64 << 10];
    for number in 0..2000u32 {
        engine.commit(vec![put(Family::Keys, &number.to_be_bytes(), &value)], WAITING).unwrap();
    }
    let patience = std::time::Instant::now();
    while segment::numbers(directory.path()).unwrap()[0] == 1 || engine.figures().wal_bytes > 80 << 20 {
        assert!(patience.elapsed().as_secs() < 60, "{:?}", segment::numbers(directory.path()));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(engine);
    let engine = opened(directory.path());
    for number in 0..2000u32 {
        assert_eq!(engine.get(Family::Keys, &number.to_be_bytes(), &DISK).unwrap().as_deref(), Some(&value[..]));
    }
}

/// Whoever freezes sees each commit whole or not at all, whatever has been given to RocksDB by then.
#[test]
fn snapshots_and_checkpoints_fall_between_commits() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    let families = [Family::Keys, Family::Data, Family::Scores];
    let done = AtomicBool::new(false);
    let same = |engine: &dyn Engine, view: &View| {
        let values: Vec<_> = families.map(|family| engine.get(family, b"the same", view).unwrap()).into();
        assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0u64.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let value = number.to_be_bytes();
                engine.commit(families.map(|family| put(family, b"the same", &value)).into(), WAITING).unwrap();
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let mut cursor = engine.cursor(Family::Data, KeyRange::default(), &DISK).unwrap();
                cursor.seek_to_first().unwrap();
            }
        });
        let work = || {
            for round in 0..300 {
                same(engine.as_ref(), &View { snapshot: Some(engine.snapshot()), ..DISK });
                if round % 100 == 0 {
                    let folder = directory.path().join(format!("copy{round}"));
                    engine.checkpoint(&folder).unwrap();
                    same(opened(&folder).as_ref(), &DISK);
                }
            }
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
}

/// A file of the log may be given back while a checkpoint is made; what comes of that opens.
#[test]
fn checkpoints_open_whatever_becomes_of_the_log_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = parts(directory.path());
    engine.shared.dawdles.store(true, Ordering::Relaxed);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                engine.commit(vec![put(Family::Keys, b"key", b"value")], WAITING).unwrap();
                let number = engine.shared.log.rotate().unwrap();
                engine.shared.retire(number).unwrap();
            }
        });
        let work = || {
            for round in 0..20 {
                let folder = directory.path().join(format!("copy{round}"));
                engine.checkpoint(&folder).unwrap();
                opened(&folder);
            }
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
}

/// The engine and what is below it.
fn parts(directory: &Path) -> (WriteBack, Arc<RocksEngine>) {
    let rocks = rocks::open(directory, &options()).unwrap();
    (WriteBack::open(rocks.clone(), directory, &options()).unwrap(), rocks)
}

#[test]
fn what_rocksdb_refuses_is_read_and_kept_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, rocks) = parts(directory.path());
    engine
        .commit(vec![put(Family::Data, b"00000001", b"old"), put(Family::Data, b"00000002", b"old")], WAITING)
        .unwrap();
    engine.flush().unwrap();
    rocks.refuses_unlogged.store(true, Ordering::Relaxed);
    let all = || {
        vec![
            put(Family::Data, b"00000001", b"new"),
            delete(Family::Data, b"00000002"),
            put(Family::Data, b"00000003", b"new"),
        ]
    };
    engine.commit(all(), WAITING).unwrap();
    let expected = vec![(b"00000001".to_vec(), b"new".to_vec()), (b"00000003".to_vec(), b"new".to_vec())];
    assert_eq!(contents(&engine, Family::Data, None), expected);
    let snapshot = engine.snapshot();
    engine.commit(vec![put(Family::Data, b"00000004", b"newer")], WAITING).unwrap();
    assert_eq!(contents(&engine, Family::Data, Some(snapshot.clone())), expected);
    let view = View { snapshot: Some(snapshot), ..DISK };
    assert_eq!(engine.get(Family::Data, b"00000001", &view).unwrap().as_deref(), Some(&b"new"[..]));
    assert_eq!(engine.get(Family::Data, b"00000004", &view).unwrap(), None);
    assert!(matches!(engine.flush(), Err(Error::Storage(_))));
    rocks.refuses_unlogged.store(false, Ordering::Relaxed);
    engine.flush().unwrap();
    assert_eq!(contents(&engine, Family::Data, None).len(), 3);
}

#[test]
fn a_full_table_stalls_the_hasty_and_rocksdbs_error_reaches_those_who_wait() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, rocks) = parts(directory.path());
    rocks.refuses_unlogged.store(true, Ordering::Relaxed);
    let hasty = CommitOptions { may_wait: false, ..WAITING };
    let fill = |options: CommitOptions| -> Result<()> {
        for number in 0..10_000u32 {
            engine.commit(vec![put(Family::Keys, &number.to_be_bytes(), &[7; 1000])], options)?;
        }
        Ok(())
    };
    assert!(matches!(fill(hasty), Err(Error::WouldStall)));
    assert!(matches!(fill(WAITING), Err(Error::Storage(_))));
    // Everybody who finds the table full calls for a drain, and none comes sooner for that.
    let before = rocks.refused_unlogged.load(Ordering::Relaxed);
    let began = std::time::Instant::now();
    while began.elapsed().as_millis() < 1200 {
        assert!(matches!(fill(hasty), Err(Error::WouldStall)));
    }
    let tries = rocks.refused_unlogged.load(Ordering::Relaxed) - before;
    assert!((1..10).contains(&tries), "{tries} tries in a little more than a second");
    rocks.refuses_unlogged.store(false, Ordering::Relaxed);
    let patience = std::time::Instant::now();
    while let Err(error) = fill(WAITING) {
        assert!(patience.elapsed().as_secs() < 60, "no recovery: {error}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, _) = parts(directory.path());
    engine.commit(vec![put(Family::Keys, b"a", b"1")], WAITING).unwrap();
    engine.shared.log.is_full.store(true, Ordering::Relaxed);
    let error = engine.commit(vec![put(Family::Keys, b"b", b"1")], WAITING).unwrap_err().to_string();
    assert!(error.contains("the disk is full") && error.contains(".wal"), "{error}");
    assert_eq!(engine.get(Family::Keys, b"b", &DISK).unwrap(), None);
    engine.shared.log.is_full.store(false, Ordering::Relaxed);
    engine.commit(vec![put(Family::Keys, b"c", b"1")], WAITING).unwrap();
    drop(engine);
    let engine = opened(directory.path());
    let found = [b"a", b"b", b"c"].map(|key| engine.get(Family::Keys, key, &DISK).unwrap().is_some());
    assert_eq!(found, [true, false, true]);
    engine.compact(Family::Keys, &KeyRange::default(), Compaction::Rewrite).unwrap();
}
