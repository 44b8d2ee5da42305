//! Directories of every kind: new, foreign, newer, locked, half-made, damaged.

use std::fs;
use std::path::PathBuf;

use rocksdb::DB;

use super::*;
use crate::storage::rocks::Recovery;
use crate::storage::{KeyRange, format};

fn refusal(directory: &Path, options: &OpenOptions) -> String {
    match open(directory, options) {
        Ok(_) => panic!("{} was opened", directory.display()),
        Err(error) => error.to_string(),
    }
}

/// The files of a directory whose names end so, oldest first.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .collect();
    found.sort();
    found
}

#[test]
fn what_was_committed_is_there_after_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3u8 {
        let engine = opened(directory.path());
        for former in 0..round {
            assert_eq!(get(&engine, Family::Keys, &[former]).unwrap(), "v");
        }
        commit(&engine, vec![put(Family::Keys, &[round], b"v")]);
        engine.close().unwrap();
        assert!(engine.commit(vec![put(Family::Keys, b"late", b"")], WAITING).is_err());
    }
}

#[test]
fn a_second_opening_is_refused_and_names_the_holder() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    let text = refusal(directory.path(), &options());
    assert!(text.ends_with(&format!("is in use by process {}", std::process::id())), "{text}");
    drop(engine);
    opened(directory.path());
}

#[test]
fn nothing_is_created_unless_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    for options in [OpenOptions { create_if_missing: false, ..options() }, OpenOptions { read_only: true, ..options() }]
    {
        assert!(refusal(directory.path(), &options).starts_with("storage: there is no database in "));
    }
    assert!(!directory.path().join("CURRENT").exists());
}

#[test]
fn a_newer_format_is_refused_by_both_versions() {
    let directory = tempfile::tempdir().unwrap();
    let newer = [&b"FERROCK\0"[..], &77u32.to_be_bytes()].concat();
    commit(&opened(directory.path()), vec![put(Family::System, format::KEY, &newer)]);
    let text = refusal(directory.path(), &options());
    assert!(text.contains("format version 77, this ferrock reads up to version 1"), "{text}");
}

#[test]
fn a_mark_that_is_none_is_corruption_and_a_missing_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    commit(&opened(directory.path()), vec![put(Family::System, format::KEY, b"something")]);
    let text = refusal(directory.path(), &options());
    assert!(text.starts_with("corruption in family system, key format: \"something\""), "{text}");

    let directory = tempfile::tempdir().unwrap();
    commit(&opened(directory.path()), vec![delete(Family::System, format::KEY)]);
    assert!(refusal(directory.path(), &options()).contains("without Ferrock's format mark"));
}

#[test]
fn a_foreign_database_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    DB::open_default(directory.path()).unwrap().put(b"their", b"data").unwrap();
    let text = refusal(directory.path(), &options());
    assert!(text.contains("not Ferrock's (column families: default)"), "{text}");
    assert_eq!(DB::open_default(directory.path()).unwrap().get(b"their").unwrap().unwrap(), b"data");
}

#[test]
fn a_half_made_database_is_completed() {
    let directory = tempfile::tempdir().unwrap();
    // As a crash leaves it: the mark, and RocksDB without families or the format.
    fs::write(directory.path().join("ferrock.new"), "").unwrap();
    drop(DB::open_default(directory.path()).unwrap());
    let text = refusal(directory.path(), &OpenOptions { read_only: true, ..options() });
    assert!(text.contains("never completed"), "{text}");
    drop(opened(directory.path()));
    assert!(!directory.path().join("ferrock.new").exists());
    opened(directory.path());
}

#[test]
fn a_reader_sees_everything_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    commit(&opened(directory.path()), vec![put(Family::Keys, b"a", b"1")]);
    let engine = open(directory.path(), &OpenOptions { read_only: true, ..options() }).unwrap();
    assert_eq!(get(&engine, Family::Keys, b"a").unwrap(), "1");
    assert!(engine.commit(vec![put(Family::Keys, b"b", b"")], WAITING).is_err());
    drop(engine);
    assert_eq!(get(&opened(directory.path()), Family::Keys, b"b"), None);
}

#[test]
fn a_checkpoint_is_a_database_of_that_moment() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(&directory.path().join("live"));
    commit(&engine, vec![put(Family::Keys, b"a", b"1"), put(Family::Data, b"objectid", b"2")]);
    let copy = directory.path().join("copy");
    engine.checkpoint(&copy).unwrap();
    commit(&engine, vec![put(Family::Keys, b"a", b"later")]);
    assert!(engine.checkpoint(&copy).is_err(), "over an existing one");
    let copied = opened(&copy);
    assert_eq!(get(&copied, Family::Keys, b"a").unwrap(), "1");
    assert_eq!(get(&copied, Family::Data, b"objectid").unwrap(), "2");
    assert_eq!(get(&engine, Family::Keys, b"a").unwrap(), "later");
}

#[test]
fn damaged_files_of_the_database_are_errors_that_name_the_directory() {
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path));
    let damage: [Damage; 4] = [
        ("CURRENT empty", &|path| fs::write(path.join("CURRENT"), "").unwrap()),
        ("CURRENT of noise", &|path| fs::write(path.join("CURRENT"), [0xff; 99]).unwrap()),
        ("CURRENT elsewhere", &|path| fs::write(path.join("CURRENT"), "MANIFEST-999999\n").unwrap()),
        ("manifest of noise", &|path| {
            let manifest = fs::read_to_string(path.join("CURRENT")).unwrap();
            fs::write(path.join(manifest.trim()), [0xff; 5000]).unwrap();
        }),
    ];
    for (name, damage) in damage {
        let directory = tempfile::tempdir().unwrap();
        commit(&opened(directory.path()), vec![put(Family::Keys, b"a", b"1")]);
        damage(directory.path());
        let text = refusal(directory.path(), &options());
        assert!(text.contains(&directory.path().display().to_string()), "{name}: {text}");
    }
}

/// Leaves a log with ten commits behind, as a killed process would, and returns it.
fn with_log(directory: &Path) -> PathBuf {
    let engine = opened(directory);
    for n in 0..10u8 {
        commit(&engine, vec![put(Family::Keys, &[n], &[n; 1000])]);
    }
    drop(engine);
    files(directory, ".log").pop().unwrap()
}

fn keys_of(engine: &RocksEngine) -> usize {
    let mut cursor = engine.cursor(Family::Keys, KeyRange::default(), &DISK).unwrap();
    cursor.seek_to_first().unwrap();
    let mut keys = 0;
    while cursor.entry().is_some() {
        keys += 1;
        cursor.next().unwrap();
    }
    keys
}

#[test]
fn a_torn_last_record_is_dropped_alone() {
    let directory = tempfile::tempdir().unwrap();
    let log = with_log(directory.path());
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() - 500]).unwrap();
    assert_eq!(keys_of(&opened(directory.path())), 9);
}

#[test]
fn damage_before_the_end_of_a_log_is_reported_and_rescued_only_on_demand() {
    let directory = tempfile::tempdir().unwrap();
    let log = with_log(directory.path());
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    fs::write(&log, bytes).unwrap();
    let text = refusal(directory.path(), &options());
    assert!(text.contains("Corruption"), "{text}");
    let rescue = OpenOptions { recovery: Recovery::PointInTime, ..options() };
    let left = keys_of(&open(directory.path(), &rescue).unwrap());
    assert!((3..7).contains(&left), "{left}");
}

#[test]
fn a_damaged_block_is_an_error_with_family_key_and_file_and_never_data() {
    let directory = tempfile::tempdir().unwrap();
    {
        let engine = opened(directory.path());
        commit(&engine, (0..1000u32).map(|n| put(Family::Keys, &n.to_be_bytes(), &n.to_le_bytes())).collect());
        engine.flush().unwrap();
    }
    let largest = files(directory.path(), ".sst").into_iter().max_by_key(|path| path.metadata().unwrap().len());
    let table = largest.unwrap();
    let mut bytes = fs::read(&table).unwrap();
    bytes[100] ^= 0xff; // In the first data block.
    fs::write(&table, bytes).unwrap();
    let engine = opened(directory.path());
    let key = 3u32.to_be_bytes();
    let text = engine.get(Family::Keys, &key, &DISK).unwrap_err().to_string();
    assert!(text.starts_with("corruption in family keys, key \\x00\\x00\\x00\\x03: "), "{text}");
    assert!(text.contains(".sst"), "{text}");
    let mut cursor = engine.cursor(Family::Keys, KeyRange::default(), &DISK).unwrap();
    assert!(cursor.seek_to_first().is_err());
    assert!(cursor.entry().is_none());
    assert!(engine.multi_get(Family::Keys, &[&key, b"none"], &DISK).is_err());
}
