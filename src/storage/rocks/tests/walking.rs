//! Cursors and ranges: bounds, ends of memory, deletion and dropping of ranges.

use super::*;
use crate::base::Error;
use crate::storage::{Compaction, Cursor, KeyRange};

#[test]
fn a_cursor_in_memory_stops_at_the_edge_of_memory() {
    let directory = tempfile::tempdir().unwrap();
    {
        let engine = opened(directory.path());
        let changes = (0..5000u32).map(|n| put(Family::Expiry, &n.to_be_bytes(), &[7; 100]));
        commit(&engine, changes.collect());
        engine.flush().unwrap();
    }
    let engine = opened(directory.path());
    let mut warm = engine.cursor(Family::Expiry, KeyRange::default(), &DISK).unwrap();
    warm.seek_to_first().unwrap();
    let mut cursor = engine.cursor(Family::Expiry, KeyRange::default(), &MEMORY).unwrap();
    cursor.seek_to_first().unwrap();
    let mut seen = 0;
    let end = loop {
        match cursor.next() {
            Ok(()) if cursor.entry().is_some() => seen += 1,
            other => break other,
        }
    };
    assert!(matches!(end, Err(Error::NotInMemory)), "after {seen}: {end:?}");
    assert!(seen > 10 && seen < 4999, "{seen}");
    assert!(cursor.entry().is_none());
}

#[test]
fn ranges_are_half_open_in_both_directions_and_up_to_the_last_byte() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    let keys: [&[u8]; 8] = [b"", b"\x00", b"a", b"a\x00", b"a\xff\xff", b"b", b"\xff", b"\xff\xff\xff"];
    commit(&engine, keys.iter().map(|key| put(Family::Keys, key, b"v")).collect());
    let range = |from: Option<&[u8]>, to: Option<&[u8]>| KeyRange {
        from: from.map(Bytes::copy_from_slice),
        to: to.map(Bytes::copy_from_slice),
    };
    for (range, expected) in [
        (KeyRange::default(), &keys[..]),
        (KeyRange::prefix(b"a"), &keys[2..5]),
        (KeyRange::prefix(b"\xff"), &keys[6..]),
        (KeyRange::prefix(b"\xff\xff"), &keys[7..]),
        (KeyRange::prefix(b"c"), &[]),
        (range(Some(b"a"), Some(b"b")), &keys[2..5]),
        (range(Some(b"a\x00"), None), &keys[3..]),
        (range(None, Some(b"a\x00")), &keys[..3]),
        (range(Some(b"a"), Some(b"a")), &[]),
        (range(Some(b"b"), Some(b"a")), &[]),
    ] {
        let mut cursor = engine.cursor(Family::Keys, range.clone(), &DISK).unwrap();
        assert!(cursor.entry().is_none());
        assert_eq!(walk_forward(cursor.as_mut()), expected, "{range:?}");
        assert_eq!(walk_back(cursor.as_mut()), expected, "{range:?} from the back");
    }
}

#[test]
fn seeks_land_inside_the_range_or_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    commit(&engine, (b'a'..=b'j').map(|key| put(Family::Keys, &[key], &[key])).collect());
    let range = KeyRange { from: Some(Bytes::from_static(b"c")), to: Some(Bytes::from_static(b"g")) };
    let mut cursor = engine.cursor(Family::Keys, range, &DISK).unwrap();
    let mut at = |seek: &dyn Fn(&mut dyn Cursor)| {
        seek(cursor.as_mut());
        cursor.entry().map(|(key, _)| key[0] as char)
    };
    assert_eq!(at(&|cursor| cursor.seek(b"a").unwrap()), Some('c'));
    assert_eq!(at(&|cursor| cursor.seek(b"cc").unwrap()), Some('d'));
    assert_eq!(at(&|cursor| cursor.seek(b"g").unwrap()), None);
    assert_eq!(at(&|cursor| cursor.seek_for_prev(b"z").unwrap()), Some('f'));
    assert_eq!(at(&|cursor| cursor.seek_for_prev(b"dd").unwrap()), Some('d'));
    assert_eq!(at(&|cursor| cursor.seek_for_prev(b"b").unwrap()), None);
    assert_eq!(at(&|cursor| cursor.seek_to_last().unwrap()), Some('f'));
    assert_eq!(at(&|cursor| cursor.prev().unwrap()), Some('e'));
    assert_eq!(at(&|cursor| cursor.next().unwrap()), Some('f'));
    assert_eq!(at(&|cursor| cursor.next().unwrap()), None);
    assert_eq!(at(&|cursor| cursor.next().unwrap()), None);
    assert_eq!(at(&|cursor| cursor.prev().unwrap()), None);
}

#[test]
fn a_range_is_deleted_and_an_empty_one_is_nothing() {
    let directory = tempfile::tempdir().unwrap();
    {
        let engine = opened(directory.path());
        commit(&engine, (b'a'..=b'f').map(|key| put(Family::Data, &[key; 9], b"v")).collect());
        let changes = vec![
            delete_range(Family::Data, &[b'b'; 9], &[b'd'; 9]),
            delete_range(Family::Data, &[b'e'; 9], &[b'e'; 9]),
            delete_range(Family::Data, &[b'f'; 9], &[b'a'; 9]),
        ];
        commit(&engine, changes);
    }
    // Opened again: an inverted range in the log would be the end of it.
    let engine = opened(directory.path());
    for view in [DISK, MEMORY] {
        let left: Vec<bool> = (b'a'..=b'f')
            .map(|key| engine.get(Family::Data, &[key; 9], &view).is_ok_and(|value| value.is_some()))
            .collect();
        if view.tier == Tier::Disk {
            assert_eq!(left, [true, false, false, true, true, true]);
        }
    }
    let mut cursor = engine.cursor(Family::Data, KeyRange::default(), &DISK).unwrap();
    assert_eq!(walk_forward(cursor.as_mut()).len(), 4);
}

#[test]
fn dropping_files_never_takes_what_lies_outside() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    let object = |id: u64, part: u32| [&id.to_be_bytes()[..], &part.to_be_bytes()[..]].concat();
    for id in 1..=3u64 {
        let changes = (0..2000).map(|part| put(Family::Data, &object(id, part), &[id as u8; 200]));
        commit(&engine, changes.collect());
        // Files that end exactly at a boundary, and begin with a key that is one.
        commit(&engine, vec![put(Family::Data, &id.to_be_bytes(), b"the boundary itself")]);
        engine.flush().unwrap();
    }
    let middle = KeyRange::prefix(&2u64.to_be_bytes());
    engine.compact(Family::Data, &KeyRange::default(), Compaction::Rewrite).unwrap();
    let before = engine.approximate_bytes(Family::Data, &KeyRange::default()).unwrap();
    assert!(before > 0);
    engine.compact(Family::Data, &middle, Compaction::DropFiles).unwrap();
    for id in [1, 3] {
        let mut cursor = engine.cursor(Family::Data, KeyRange::prefix(&u64::to_be_bytes(id)), &DISK).unwrap();
        assert_eq!(walk_forward(cursor.as_mut()).len(), 2001, "object {id}");
    }
    engine.compact(Family::Data, &KeyRange::default(), Compaction::DropFiles).unwrap();
    assert_eq!(engine.approximate_bytes(Family::Data, &KeyRange::default()).unwrap(), 0);
}

#[test]
fn a_file_that_ends_with_the_first_key_behind_the_range_stays() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    let (inside, behind) = ([&2u64.to_be_bytes()[..], b"part"].concat(), 3u64.to_be_bytes());
    commit(&engine, vec![put(Family::Data, &inside, b"v"), put(Family::Data, &behind, b"v")]);
    engine.flush().unwrap();
    engine.compact(Family::Data, &KeyRange::default(), Compaction::Rewrite).unwrap();
    engine.compact(Family::Data, &KeyRange::prefix(&2u64.to_be_bytes()), Compaction::DropFiles).unwrap();
    assert_eq!(get(&engine, Family::Data, &behind).unwrap(), "v");
    engine.compact(Family::Data, &KeyRange::prefix(&[0; 7]), Compaction::DropFiles).unwrap();
    assert_eq!(get(&engine, Family::Data, &inside), None, "a file wholly inside goes");
}

#[test]
fn prefix_filters_keep_a_walk_out_of_other_files() {
    let directory = tempfile::tempdir().unwrap();
    let engine = opened(directory.path());
    // Three files that all span the ids, each with other objects in it.
    for file in 0..3u64 {
        let ids = (0..100).map(|n| n * 3 + file);
        commit(&engine, ids.map(|id| put(Family::Scores, &[&id.to_be_bytes()[..], b"m"].concat(), b"")).collect());
        engine.flush().unwrap();
    }
    let useful = || engine.figures().ticker("seeks_filtered_above");
    let before = useful();
    for id in 3..297u64 {
        // 255 is among them, whose successor ends in a zero.
        let mut cursor = engine.cursor(Family::Scores, KeyRange::prefix(&id.to_be_bytes()), &DISK).unwrap();
        assert_eq!(walk_forward(cursor.as_mut()).len(), 1, "object {id}");
    }
    let useful = useful() - before;
    assert!(useful > 550, "{useful} of about 588 look-ups were spared");
}
