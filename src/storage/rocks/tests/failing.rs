//! Disks that fill up, fsyncs that fail, writers that would have to wait. The failures are
//! real ones of the kernel: the descriptor of the open log is made to point to `/dev/full`,
//! which has no space, or to a pipe, which cannot be synced.

use std::fs::{self, File};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::base::Error;
use crate::storage::durability::{SyncMode, Syncer};
use crate::storage::rocks::ffi::redirect;

/// The descriptor by which this process writes the newest log of a database.
fn log_descriptor(directory: &Path) -> i32 {
    let directory = fs::canonicalize(directory).unwrap();
    let logs = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| {
        let entry = entry.unwrap();
        let target = fs::read_link(entry.path()).ok()?;
        let is_log = target.starts_with(&directory) && target.extension().is_some_and(|ending| ending == "log");
        is_log.then(|| (target, entry.file_name().to_string_lossy().parse().unwrap()))
    });
    logs.max().unwrap().1
}

#[test]
fn a_full_disk_refuses_writes_with_a_clear_error_and_recovers_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    commit(&engine, vec![put(Family::Keys, b"a", b"1")]);
    let log = log_descriptor(directory.path());
    let healthy = redirect(log, File::options().write(true).open("/dev/full").unwrap().into());
    for number in 0..3 {
        let error = engine.commit(vec![put(Family::Keys, b"b", b"refused")], WAITING).unwrap_err().to_string();
        assert!(error.starts_with("storage: the disk is full: cannot write"), "{number}: {error}");
        assert_eq!(get(&engine, Family::Keys, b"a").unwrap(), "1");
        assert_eq!(get(&engine, Family::Keys, b"b"), None);
    }
    redirect(log, healthy);
    let began = Instant::now();
    while let Err(error) = engine.commit(vec![put(Family::Keys, b"c", b"2")], WAITING) {
        assert!(began.elapsed() < Duration::from_secs(60), "no recovery: {error}");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(engine);
    let engine = opened(directory.path());
    let keys: [&[u8]; 3] = [b"a", b"b", b"c"];
    let values = engine.multi_get(Family::Keys, &keys, &DISK).unwrap();
    assert_eq!(values, [Some(Bytes::from("1")), None, Some(Bytes::from("2"))]);
}

#[test]
fn after_a_failed_fsync_every_write_is_refused_until_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    let synced = CommitOptions { may_wait: true, durability: Durability::Synced };
    engine.commit(vec![put(Family::Keys, b"a", b"1")], synced).unwrap();
    let log = log_descriptor(directory.path());
    let (reader, writer) = std::io::pipe().unwrap();
    let healthy = redirect(log, writer.into());
    let error = engine.commit(vec![put(Family::Keys, b"b", b"2")], synced).unwrap_err().to_string();
    assert!(error.starts_with("storage: cannot sync: "), "{error}");
    redirect(log, healthy);
    drop(reader);
    for _ in 0..2 {
        let error = engine.commit(vec![put(Family::Keys, b"c", b"3")], WAITING).unwrap_err().to_string();
        assert!(error.contains("an fsync failed"), "{error}");
        assert!(engine.sync().is_err());
    }
    assert_eq!(get(&engine, Family::Keys, b"a").unwrap(), "1");
    engine.close().unwrap();
    drop(engine);
    let engine = opened(directory.path());
    assert_eq!(get(&engine, Family::Keys, b"a").unwrap(), "1");
    assert_eq!(get(&engine, Family::Keys, b"c"), None);
    commit(&engine, vec![put(Family::Keys, b"c", b"3")]);
}

#[test]
fn a_hasty_write_says_that_it_would_stall_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    engine.stop_writes_at_level0_files(1);
    for value in [b"1", b"2"] {
        // The second would wait for a compaction that never comes.
        if let Err(error) = engine.commit(vec![put(Family::Keys, b"a", value)], HASTY) {
            assert!(matches!(error, Error::WouldStall), "{error}");
        }
        engine.flush().unwrap();
    }
    let stalled = engine.commit(vec![put(Family::Keys, b"b", b"")], HASTY);
    assert!(matches!(stalled, Err(Error::WouldStall)), "{stalled:?}");
    assert!(engine.figures().writes_stopped);
    assert_eq!(get(&engine, Family::Keys, b"b"), None);
}

#[test]
fn many_writers_share_fsyncs_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    let syncer = Syncer::start(Arc::clone(&engine), SyncMode::Always).unwrap();
    let number = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let key = number.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                    commit(&engine, vec![put(Family::Keys, &key, &key)]);
                    syncer.wait_synced(engine.latest_sequence()).unwrap();
                }
            });
        }
    });
    let figures = syncer.figures();
    println!("500 commits of 50 writers: {figures:?}");
    assert!(figures.syncs < 250, "{figures:?}");
    assert!(figures.synced_sequence >= engine.latest_sequence());
    drop(syncer);
    drop(engine);
    let engine = opened(directory.path());
    assert!((0..500u64).all(|key| get(&engine, Family::Keys, &key.to_be_bytes()).is_some()));
}
