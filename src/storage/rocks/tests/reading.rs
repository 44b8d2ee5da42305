//! Points, snapshots and tiers.

use super::*;
use crate::base::Error;
use crate::storage::{Compaction, KeyRange};

#[test]
fn values_of_every_size_come_back_whole() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    for family in Family::ALL {
        for bytes in [0, 1, 2047, 2048, 2049, 100_000] {
            let (key, value) = (format!("objectid-{bytes}"), vec![b'v'; bytes]);
            commit(&engine, vec![put(family, key.as_bytes(), &value)]);
            assert_eq!(get(&engine, family, key.as_bytes()).unwrap(), value, "{family:?} {bytes}");
            engine.flush().unwrap();
            assert_eq!(get(&engine, family, key.as_bytes()).unwrap(), value, "{family:?} {bytes} flushed");
        }
        assert_eq!(get(&engine, family, b"objectid-none"), None);
    }
}

#[test]
fn a_batch_is_one_and_its_order_counts() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    let before = engine.latest_sequence();
    let changes = vec![
        put(Family::Keys, b"a", b"1"),
        put(Family::Keys, b"b", b"1"),
        delete(Family::Keys, b"a"),
        put(Family::Keys, b"b", b"2"),
        put(Family::Objects, b"a", b"other family"),
        delete(Family::Keys, b"was never there"),
    ];
    commit(&engine, changes);
    assert_eq!(get(&engine, Family::Keys, b"a"), None);
    assert_eq!(get(&engine, Family::Keys, b"b").unwrap(), "2");
    assert_eq!(get(&engine, Family::Objects, b"a").unwrap(), "other family");
    assert!(engine.latest_sequence() > before);
}

#[test]
fn many_gets_keep_order_and_repetitions() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    commit(&engine, vec![put(Family::Keys, b"a", b"1"), put(Family::Keys, b"c", &[b'x'; 5000])]);
    engine.flush().unwrap();
    commit(&engine, vec![put(Family::Keys, b"b", b"2")]);
    let keys: [&[u8]; 6] = [b"c", b"none", b"a", b"b", b"a", b""];
    for view in [DISK, MEMORY] {
        let values = engine.multi_get(Family::Keys, &keys, &view).unwrap();
        let lengths: Vec<_> = values.iter().map(|value| value.as_ref().map(Bytes::len)).collect();
        assert_eq!(lengths, [Some(5000), None, Some(1), Some(1), Some(1), None]);
    }
    assert!(engine.multi_get(Family::Keys, &[], &DISK).unwrap().is_empty());
}

#[test]
fn what_is_only_on_disk_is_not_in_memory_until_it_was_read() {
    let directory = tempfile::tempdir().unwrap();
    {
        let engine = opened(directory.path());
        let changes = (0..2000u32).map(|n| put(Family::Keys, &n.to_be_bytes(), &[7; 100]));
        commit(&engine, changes.collect());
        engine.flush().unwrap();
    }
    let engine = opened(directory.path());
    let key = 1000u32.to_be_bytes();
    assert!(matches!(engine.get(Family::Keys, &key, &MEMORY), Err(Error::NotInMemory)));
    assert!(matches!(engine.multi_get(Family::Keys, &[&key], &MEMORY), Err(Error::NotInMemory)));
    let run: Vec<_> = (1000..1020u32).map(u32::to_be_bytes).collect();
    let run: Vec<&[u8]> = run.iter().map(|key| &key[..]).collect();
    assert!(matches!(engine.get_run(Family::Keys, &run, &MEMORY), Err(Error::NotInMemory)));
    let mut cursor = engine.cursor(Family::Keys, KeyRange::default(), &MEMORY).unwrap();
    assert!(matches!(cursor.seek(&key), Err(Error::NotInMemory)));
    assert!(cursor.entry().is_none());

    commit(&engine, vec![put(Family::Keys, b"fresh", b"in the memtable")]);
    let fresh = engine.multi_get(Family::Keys, &[b"fresh", &key], &MEMORY);
    assert!(matches!(fresh, Err(Error::NotInMemory)));
    assert_eq!(engine.get(Family::Keys, b"fresh", &MEMORY).unwrap().unwrap(), "in the memtable");

    let not_kept = View { fill_cache: false, ..DISK };
    assert!(engine.get(Family::Keys, &key, &not_kept).unwrap().is_some());
    assert!(matches!(engine.get(Family::Keys, &key, &MEMORY), Err(Error::NotInMemory)));
    assert!(get(&engine, Family::Keys, &key).is_some());
    assert_eq!(engine.get(Family::Keys, &key, &MEMORY).unwrap().unwrap().len(), 100);
}

/// A cursor that leaves what is in memory says so on the way, and stands nowhere.
#[test]
fn a_snapshot_does_not_move() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    commit(&engine, vec![put(Family::Keys, b"a", b"old"), put(Family::Keys, b"b", b"old")]);
    let snapshot = engine.snapshot();
    assert_eq!(snapshot.sequence(), engine.latest_sequence());
    let mut running = engine.cursor(Family::Keys, KeyRange::default(), &DISK).unwrap();
    commit(&engine, vec![put(Family::Keys, b"a", b"new"), delete_range(Family::Keys, b"b", b"c")]);
    commit(&engine, vec![put(Family::Keys, b"c", b"new")]);
    engine.flush().unwrap();
    engine.compact(Family::Keys, &KeyRange::default(), Compaction::Rewrite).unwrap();

    let then = View { snapshot: Some(snapshot), ..DISK };
    assert_eq!(engine.get(Family::Keys, b"a", &then).unwrap().unwrap(), "old");
    assert_eq!(engine.multi_get(Family::Keys, &[b"b", b"c"], &then).unwrap(), [Some(Bytes::from("old")), None]);
    let memory_then = View { tier: Tier::Memory, ..then.clone() };
    assert_eq!(engine.get(Family::Keys, b"a", &memory_then).unwrap().unwrap(), "old");
    let mut cursor = engine.cursor(Family::Keys, KeyRange::default(), &then).unwrap();
    drop(then);
    drop(memory_then);
    assert_eq!(walk_forward(cursor.as_mut()), [b"a", b"b"]);
    assert_eq!(walk_forward(running.as_mut()), [b"a", b"b"]);
    assert_eq!(get(&engine, Family::Keys, b"b"), None);
}

#[test]
fn a_snapshot_of_another_store_is_refused() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let engines = directories.each_ref().map(|directory| opened(directory.path()));
    let foreign = View { snapshot: Some(engines[0].snapshot()), ..DISK };
    assert!(engines[0].get(Family::Keys, b"a", &foreign).is_ok());
    assert!(matches!(engines[1].get(Family::Keys, b"a", &foreign), Err(Error::Storage(_))));
    assert!(engines[1].cursor(Family::Keys, KeyRange::default(), &foreign).is_err());
}

#[test]
fn cursors_and_snapshots_outlive_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    commit(&engine, vec![put(Family::Keys, b"a", b"1")]);
    let snapshot = engine.snapshot();
    let mut cursor = engine.cursor(Family::Keys, KeyRange::default(), &DISK).unwrap();
    drop(engine);
    assert_eq!(walk_forward(cursor.as_mut()), [b"a"]);
    drop(cursor);
    assert!(snapshot.sequence() > 0);
    drop(snapshot);
    assert_eq!(get(&opened(directory.path()), Family::Keys, b"a").unwrap(), "1");
}

/// RocksDB's own bound for dropping files is inclusive: a file that ends exactly with the first
/// key behind the range went with it.
/// A walk of one object asks no file that does not hold it, and misses no element for it.
#[test]
fn figures_and_reports_speak() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    commit(&engine, (0..1000u32).map(|n| put(Family::Keys, &n.to_be_bytes(), &[7; 100])).collect());
    engine.flush().unwrap();
    assert!(get(&engine, Family::Keys, &7u32.to_be_bytes()).is_some());
    let figures = engine.figures();
    assert_eq!(figures.estimated_keys[Family::Keys as usize], 1000);
    assert!(figures.live_bytes > 0 && figures.memtable_bytes > 0 && figures.block_cache_bytes > 0);
    assert_eq!(figures.block_cache_capacity_bytes, 8 << 20);
    assert_eq!(figures.levels()[0].0, 2, "a file each of keys and system: {:?}", figures.levels());
    assert!(figures.ticker("keys_written") >= 1000 && figures.ticker("keys_read") >= 1);
    assert!(figures.ticker("flushed_bytes") > 0);
    assert_eq!(figures.ticker("no-such-thing"), 0);
    assert!(engine.report("rocksdb.stats").unwrap().contains("# keys"));
    assert!(engine.report("rocksdb.levelstats").unwrap().contains("# scores"));
    assert_eq!(engine.report("rocksdb.no-such-thing"), None);
}

#[test]
fn a_new_budget_is_applied() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    let budget = EngineBudget { block_cache_bytes: 3 << 20, write_buffer_bytes: 24 << 20 };
    engine.set_budget(&budget).unwrap();
    assert_eq!(engine.figures().block_cache_capacity_bytes, 3 << 20);
    commit(&engine, vec![put(Family::Keys, b"a", b"1")]);
}
