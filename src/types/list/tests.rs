//! Lists against a deque, warm and cold, inline and in parts, one run and many.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::keyspace::Key;
use crate::types::trial::Trial;

fn limits() -> Limits {
    Limits::of(-2)
}

fn edit<R>(trial: &Trial, mut change: impl FnMut(&mut List, &mut Tx) -> Result<R>) -> R {
    trial.on("key", |tx, key| tx.edit::<List, _>(key, &mut change)).unwrap()
}

fn read<R>(trial: &Trial, mut look: impl FnMut(&List, &mut Tx) -> Result<R>) -> R {
    let look = |tx: &mut Tx, key: &Key| match tx.read::<List>(key)? {
        Some(list) => look(&list, tx),
        None => look(&List::create(), tx),
    };
    trial.on("key", look).unwrap()
}

fn fill(trial: &Trial, elements: impl IntoIterator<Item = impl ToString>) {
    let elements: Vec<String> = elements.into_iter().map(|element| element.to_string()).collect();
    let elements: Vec<&[u8]> = elements.iter().map(|element| element.as_bytes()).collect();
    edit(trial, |list, tx| list.push(tx, End::Right, &elements, limits()));
}

fn all(trial: &Trial) -> Vec<Bytes> {
    read(trial, |list, tx| list.range(tx, 0..u64::MAX))
}

fn texts(trial: &Trial) -> Vec<String> {
    all(trial).iter().map(|element| String::from_utf8_lossy(element).into_owned()).collect()
}

fn encoding(trial: &Trial) -> Option<&'static str> {
    trial.on("key", |tx, key| Ok(tx.record(key)?.map(|record| crate::types::encoding_name(&record)))).unwrap()
}

/// How many bytes the record has.
fn record_bytes(trial: &Trial) -> usize {
    trial.on("key", |tx, key| Ok(tx.record(key)?.map_or(0, |record| record.encode().len()))).unwrap()
}

fn reclaim(trial: &Trial) {
    while trial.store.reclaim_step().unwrap() {}
}

#[test]
fn a_queue_keeps_one_run_and_no_parts_behind() {
    let trial = Trial::new();
    fill(&trial, (0..200).map(|number| format!("element {number:020}")));
    for number in 200..2_000 {
        fill(&trial, [format!("element {number:020}")]);
        let popped = edit(&trial, |list, tx| list.pop(tx, End::Left, 1, limits()));
        assert_eq!(popped, [format!("element {:020}", number - 200)]);
    }
    assert!(record_bytes(&trial) < 24, "{}", record_bytes(&trial));
    assert_eq!(trial.parts(), 200);
    edit(&trial, |list, tx| list.pop(tx, End::Right, 1_000, limits()));
    reclaim(&trial);
    assert_eq!((encoding(&trial), trial.parts()), (None, 0));
}

#[test]
fn what_is_put_in_one_after_the_other_makes_one_run() {
    let trial = Trial::new();
    fill(&trial, 1_000..2_000);
    let before = trial.parts();
    for number in 0..300 {
        edit(&trial, |list, tx| list.insert(tx, 500 + number, b"up", limits()));
        edit(&trial, |list, tx| list.insert(tx, 200, b"down", limits()));
    }
    // The second kind takes every other place of the middle, so it cannot go on where it stands.
    assert!(record_bytes(&trial) < 400, "{}", record_bytes(&trial));
    let trial = Trial::new();
    fill(&trial, 1_000..2_000);
    for _ in 0..300 {
        edit(&trial, |list, tx| list.insert(tx, 200, b"down", limits()));
    }
    assert!(record_bytes(&trial) < 80, "{}", record_bytes(&trial));
    assert_eq!(trial.parts(), before + 300);
}

#[test]
fn every_other_element_can_go_and_what_is_left_is_found() {
    let trial = Trial::new();
    fill(&trial, (0..5_000).map(|number| if number % 2 == 0 { "even".into() } else { number.to_string() }));
    let removed = edit(&trial, |list, tx| list.remove(tx, b"even", End::Left, u64::MAX, limits()));
    assert_eq!(removed, 2_500);
    assert_eq!(texts(&trial), (0..2_500).map(|number| (2 * number + 1).to_string()).collect::<Vec<_>>());
    for index in [0, 1, 77, 1_250, 2_498, 2_499] {
        let found = read(&trial, |list, tx| list.get(tx, index));
        assert_eq!(found, Some(Bytes::from((2 * index + 1).to_string())));
    }
    // Elements, and few nodes above them.
    assert!(trial.parts() < 2_500 + 2_500 / 30, "{}", trial.parts());
    assert!(record_bytes(&trial) < 300, "{}", record_bytes(&trial));
    edit(&trial, |list, tx| list.trim(tx, 1_000..1_010, limits()));
    assert_eq!(texts(&trial), (1_000..1_010).map(|number| (2 * number + 1).to_string()).collect::<Vec<_>>());
    assert!(trial.parts() <= 12, "{} parts: the nodes of what was trimmed are still there", trial.parts());
}

#[test]
fn a_huge_trim_is_one_write_and_positions_are_used_again() {
    let trial = Trial::new();
    fill(&trial, 0..20_000);
    trial
        .on("key", |tx, key| {
            tx.edit::<List, _>(key, |list, tx| {
                list.push(tx, End::Right, &[b"new"], limits())?;
                list.trim(tx, 0..10_000, limits())?;
                list.push(tx, End::Right, &[b"a", b"b"], limits())?;
                assert_eq!(list.range(tx, 9_999..20_000)?, ["9999", "a", "b"]);
                Ok(())
            })
        })
        .unwrap();
    assert_eq!(read(&trial, |list, tx| list.range(tx, 9_998..20_000)), ["9998", "9999", "a", "b"]);
    assert_eq!(trial.parts(), 10_002);
}

#[test]
fn a_failed_command_takes_a_deleted_range_back() {
    let trial = Trial::new();
    fill(&trial, 0..20_000);
    let failed: Result<()> = trial.on("key", |tx, key| {
        tx.edit::<List, _>(key, |list, tx| {
            list.trim(tx, 0..10, limits())?;
            Err(Error::client("no"))
        })
    });
    assert!(failed.is_err());
    assert_eq!(trial.parts(), 20_000);
}

#[test]
fn the_encoding_follows_the_weight_both_ways() {
    let trial = Trial::new();
    fill(&trial, 0..100);
    assert_eq!(encoding(&trial), Some("listpack"));
    fill(&trial, ["x".repeat(9_000)]);
    assert_eq!(encoding(&trial), Some("quicklist"));
    edit(&trial, |list, tx| list.set(tx, 100, b"short", limits()));
    assert_eq!(encoding(&trial), Some("listpack"));
    fill(&trial, (0..100).map(|_| "y".repeat(100)));
    assert_eq!(encoding(&trial), Some("quicklist"));
    edit(&trial, |list, tx| list.pop(tx, End::Right, 50, limits()));
    assert_eq!(encoding(&trial), Some("quicklist"), "more than half of the limit");
    edit(&trial, |list, tx| list.trim(tx, 0..120, limits()));
    assert_eq!(encoding(&trial), Some("listpack"));
    let few = Limits::of(3);
    let trial = Trial::new();
    edit(&trial, |list, tx| list.push(tx, End::Left, &[b"a", b"b", b"c"], few));
    assert_eq!(encoding(&trial), Some("listpack"));
    edit(&trial, |list, tx| list.insert(tx, 1, b"d", few));
    assert_eq!(encoding(&trial), Some("quicklist"));
    edit(&trial, |list, tx| list.remove(tx, b"d", End::Left, 1, few));
    assert_eq!(encoding(&trial), Some("quicklist"));
    edit(&trial, |list, tx| list.pop(tx, End::Left, 2, few));
    assert_eq!(encoding(&trial), Some("listpack"));
}

#[test]
fn damaged_records_are_refused() {
    let large = |meta: &[u8]| {
        List::load(
            Encoding::Quicklist,
            Body::Large { id: crate::encoding::key::ObjectId(1), meta: Bytes::copy_from_slice(meta) },
        )
    };
    assert!(large(b"\x05\x00\x03").is_ok());
    assert!(large(b"\x05\x00").is_err());
    assert!(large(b"\x05\x00\x03\x00").is_err());
    assert!(large(b"\x05\x00\x03\x08\x01\x00\x09\x00\x00").is_err(), "no tree");
    assert!(large(b"\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x03").is_err(), "beyond all positions");
    assert!(List::load(Encoding::Listpack, Body::Inline(Bytes::from_static(b"\0\x02\x011"))).is_err());
    assert!(List::load(Encoding::Hashtable, Body::Inline(Bytes::from_static(b"\0\0"))).is_err());
}

#[test]
fn a_missing_element_is_damage_and_not_an_answer() {
    let trial = Trial::new();
    fill(&trial, 0..1_000);
    let object = trial.on("key", |tx, key| Ok(tx.record(key)?.and_then(|record| record.object()))).unwrap().unwrap();
    let mut part = b"e".to_vec();
    part.extend_from_slice(&crate::encoding::order::encode_i64(500));
    let lose = |tx: &mut Tx, _: &Key| {
        tx.delete_part(crate::storage::Family::Data, object, &part);
        Ok(())
    };
    trial.on("key", lose).unwrap();
    let is_damage = |look: &dyn Fn(&List, &mut Tx) -> Result<()>| {
        let result = trial.on("key", |tx, key| match tx.read::<List>(key)? {
            Some(list) => look(&list, tx),
            None => Ok(()),
        });
        matches!(result, Err(Error::Corruption { .. }))
    };
    assert!(is_damage(&|list, tx| list.get(tx, 500).map(drop)));
    assert!(is_damage(&|list, tx| list.range(tx, 490..510).map(drop)));
    assert!(!is_damage(&|list, tx| list.range(tx, 0..500).map(drop)));
}

#[derive(Debug, Clone)]
enum Step {
    Push(bool, Vec<u16>),
    Pop(bool, u64),
    Set(u64, u16),
    Insert(u64, u16),
    /// Several at one place, one behind the other or in front of each other.
    InsertMany(u64, u64, u16),
    Remove(u16, bool, u64),
    Trim(u64, u64),
    /// So many elements, at once.
    Grow(u16),
    /// To a part and back to the end, in one transaction.
    Rotate(bool),
}

/// Elements repeat, so that there is something to remove; some are long, some are numbers.
fn element(number: u16) -> Vec<u8> {
    match number % 40 {
        0..20 => (number % 40).to_string().into_bytes(),
        20..37 => format!("element {:020}", number % 40).into_bytes(),
        _ => vec![number as u8; 200],
    }
}

fn step() -> impl Strategy<Value = Step> {
    let place = || 0..2_000u64;
    prop_oneof![
        3 => (any::<bool>(), proptest::collection::vec(any::<u16>(), 1..6)).prop_map(|(left, new)| Step::Push(left, new)),
        3 => (any::<bool>(), 0..8u64).prop_map(|(left, count)| Step::Pop(left, count)),
        2 => (place(), any::<u16>()).prop_map(|(at, new)| Step::Set(at, new)),
        3 => (place(), any::<u16>()).prop_map(|(at, new)| Step::Insert(at, new)),
        1 => (place(), 0..2u64, any::<u16>()).prop_map(|(at, by, new)| Step::InsertMany(at, by, new)),
        2 => (any::<u16>(), any::<bool>(), 0..4u64).prop_map(|(old, left, most)| Step::Remove(old, left, most)),
        1 => (place(), place()).prop_map(|(from, to)| Step::Trim(from, to)),
        1 => (0..400u16).prop_map(Step::Grow),
        1 => any::<bool>().prop_map(Step::Rotate),
    ]
}

const fn end(left: bool) -> End {
    if left { End::Left } else { End::Right }
}

/// Does the same to the list and to the model.
fn apply(trial: &Trial, model: &mut VecDeque<Vec<u8>>, step: &Step) {
    let len = model.len() as u64;
    match step {
        Step::Push(left, new) => {
            push(trial, model, *left, &new.iter().map(|number| element(*number)).collect::<Vec<_>>())
        }
        Step::Grow(count) => push(trial, model, false, &(0..*count).map(element).collect::<Vec<_>>()),
        Step::Pop(left, count) => {
            let popped = edit(trial, |list, tx| list.pop(tx, end(*left), *count, limits()));
            assert_eq!(popped.len() as u64, len.min(*count));
            for element in popped {
                assert_eq!(if *left { model.pop_front() } else { model.pop_back() }.as_deref(), Some(&element[..]));
            }
        }
        Step::Set(at, new) => {
            let done = edit(trial, |list, tx| list.set(tx, *at, &element(*new), limits()));
            assert_eq!(done, *at < len);
            if let Some(place) = model.get_mut(*at as usize) {
                *place = element(*new);
            }
        }
        Step::Insert(at, new) => insert(trial, model, at % (len + 1), *new),
        Step::InsertMany(at, by, new) => {
            (0..10).for_each(|nth| insert(trial, model, (at % (len + 1)) + nth * by, *new));
        }
        Step::Remove(old, left, most) => {
            let (old, most) = (element(*old), if *most == 0 { u64::MAX } else { *most });
            let removed = edit(trial, |list, tx| list.remove(tx, &old, end(*left), most, limits()));
            let mut places: Vec<usize> = (0..model.len()).filter(|at| model[*at] == old).collect();
            if !left {
                places.reverse();
            }
            places.truncate(most.min(1 << 32) as usize);
            assert_eq!(removed, places.len() as u64);
            places.sort_unstable();
            places.into_iter().rev().for_each(|at| drop(model.remove(at)));
        }
        Step::Trim(from, to) => {
            // Mostly a little, now and then nearly all.
            let (from, to) = if from < to { (from % 9, len.saturating_sub(to % 9)) } else { (*from, *from + 50) };
            edit(trial, |list, tx| list.trim(tx, from..to, limits()));
            let to = to.min(len);
            *model =
                if from < to { model.range(from as usize..to as usize).cloned().collect() } else { VecDeque::new() };
        }
        Step::Rotate(left) => {
            edit(trial, |list, tx| {
                for element in list.pop(tx, end(*left), 2, limits())? {
                    list.push(tx, end(!left), &[&element], limits())?;
                }
                Ok(())
            });
            for _ in 0..len.min(2) {
                let moved = if *left { model.pop_front() } else { model.pop_back() };
                moved
                    .into_iter()
                    .for_each(|moved| if *left { model.push_back(moved) } else { model.push_front(moved) });
            }
        }
    }
}

fn push(trial: &Trial, model: &mut VecDeque<Vec<u8>>, left: bool, new: &[Vec<u8>]) {
    let elements: Vec<&[u8]> = new.iter().map(Vec::as_slice).collect();
    edit(trial, |list, tx| list.push(tx, end(left), &elements, limits()));
    new.iter().cloned().for_each(|new| if left { model.push_front(new) } else { model.push_back(new) });
}

fn insert(trial: &Trial, model: &mut VecDeque<Vec<u8>>, at: u64, new: u16) {
    edit(trial, |list, tx| list.insert(tx, at, &element(new), limits()));
    model.insert(at as usize, element(new));
}

fn check(trial: &Trial, model: &VecDeque<Vec<u8>>, wanted: &Step) {
    let len = model.len() as u64;
    assert_eq!(read(trial, |list, _| Ok(list.len())), len);
    assert_eq!(all(trial), Vec::from(model.clone()), "after {wanted:?}");
    for at in [0, 1, len / 2, len.saturating_sub(2), len.saturating_sub(1), len] {
        let found = read(trial, |list, tx| list.get(tx, at));
        assert_eq!(found.as_deref(), model.get(at as usize).map(Vec::as_slice), "at {at}");
        let stretch = read(trial, |list, tx| list.range(tx, at..at + 20));
        let expected: Vec<&Vec<u8>> = model.iter().skip(at as usize).take(20).collect();
        assert_eq!(stretch, expected);
    }
    for number in [0, 25, 39] {
        for left in [true, false] {
            let search = Search { from: end(left), skip: 1, count: 3, compare: 60 };
            let found = read(trial, |list, tx| list.find(tx, &element(number), search));
            let indexes: Vec<u64> = if left { (0..len).collect() } else { (0..len).rev().collect() };
            let matching = indexes.into_iter().take(60).filter(|at| model[*at as usize] == element(number));
            assert_eq!(found, matching.skip(1).take(3).collect::<Vec<_>>());
        }
    }
    assert_eq!(encoding(trial).is_some(), len > 0);
    if let Some(weight) = read(trial, |list, _| Ok(list.weight())) {
        assert_eq!(weight, model.iter().map(|element| entry_bytes(element)).sum::<u64>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn it_does_what_a_deque_does(steps in proptest::collection::vec(step(), 1..60), cold: bool) {
        let mut trial = Trial::new();
        trial.cold = cold;
        let mut model = VecDeque::new();
        for step in steps {
            apply(&trial, &mut model, &step);
            check(&trial, &model, &step);
        }
        // Everything that is stored is an element or a node: dropping the list leaves nothing.
        edit(&trial, |list, tx| list.trim(tx, 0..0, limits()));
        reclaim(&trial);
        prop_assert_eq!(trial.parts(), 0);
    }

    #[test]
    fn nothing_but_elements_and_nodes_is_stored(steps in proptest::collection::vec(step(), 1..80)) {
        let trial = Trial::new();
        let mut model = VecDeque::new();
        push(&trial, &mut model, true, &(0..600).map(element).collect::<Vec<_>>());
        for step in steps {
            apply(&trial, &mut model, &step);
        }
        reclaim(&trial);
        let nodes = trial.parts().saturating_sub(model.len());
        prop_assert!(nodes <= 4 + model.len() / 8, "{} nodes for {} elements", nodes, model.len());
    }
}
