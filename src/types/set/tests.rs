//! Sets against a plain set, warm and cold, inline and in parts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::types::trial::Trial;

const LIMITS: Limits = Limits { intset_entries: 512, listpack_entries: 128, listpack_value_bytes: 64 };

fn edit_key<R>(trial: &Trial, key: &str, mut change: impl FnMut(&mut Set, &mut Tx) -> Result<R>) -> R {
    trial.on(key, |tx, key| tx.edit::<Set, _>(key, &mut change)).unwrap()
}

fn edit<R>(trial: &Trial, change: impl FnMut(&mut Set, &mut Tx) -> Result<R>) -> R {
    edit_key(trial, "key", change)
}

fn read<R>(trial: &Trial, mut look: impl FnMut(&Set, &mut Tx) -> Result<R>) -> R {
    let look = |tx: &mut Tx, key: &crate::keyspace::Key| match tx.read::<Set>(key)? {
        Some(set) => look(&set, tx),
        None => look(&Set::create(), tx),
    };
    trial.on("key", look).unwrap()
}

fn fill(trial: &Trial, key: &str, members: impl IntoIterator<Item = impl ToString>) -> u64 {
    let members: Vec<String> = members.into_iter().map(|member| member.to_string()).collect();
    let members: Vec<&[u8]> = members.iter().map(|member| member.as_bytes()).collect();
    edit_key(trial, key, |set, tx| set.insert_many(tx, &members, LIMITS))
}

fn all(trial: &Trial) -> BTreeSet<Vec<u8>> {
    let all = read(trial, |set, tx| set.all(tx));
    let set: BTreeSet<_> = all.iter().map(|member| member.to_vec()).collect();
    assert_eq!(set.len(), all.len(), "a member is listed twice");
    assert_eq!(read(trial, |set, _| Ok(set.len())), all.len() as u64);
    set
}

fn encoding(trial: &Trial) -> Option<&'static str> {
    trial.on("key", |tx, key| Ok(tx.record(key)?.map(|record| crate::types::encoding_name(&record)))).unwrap()
}

#[test]
fn the_encoding_follows_redis_thresholds_and_never_goes_back() {
    let encoding_of = |steps: &[&[&str]]| {
        let trial = Trial::new();
        for members in steps {
            fill(&trial, "key", *members);
        }
        encoding(&trial).unwrap()
    };
    assert_eq!(encoding_of(&[&["1", "-5"]]), "intset");
    assert_eq!(encoding_of(&[&["1", "01"]]), "listpack");
    assert_eq!(encoding_of(&[&["a"], &["1"]]), "listpack");
    assert_eq!(encoding_of(&[&["1"], &[&"x".repeat(64)]]), "listpack");
    assert_eq!(encoding_of(&[&["1"], &[&"x".repeat(65)]]), "hashtable");
    let trial = Trial::new();
    fill(&trial, "key", 0..512);
    assert_eq!(encoding(&trial), Some("intset"));
    fill(&trial, "key", [512]);
    assert_eq!(encoding(&trial), Some("hashtable"));
    edit(&trial, |set, tx| set.pop(tx, 500));
    assert_eq!(encoding(&trial), Some("hashtable"));
    let trial = Trial::new();
    fill(&trial, "key", (0..128).map(|number| format!("m{number}")));
    assert_eq!(encoding(&trial), Some("listpack"));
    fill(&trial, "key", ["one more"]);
    assert_eq!(encoding(&trial), Some("hashtable"));
}

#[test]
fn popping_all_leaves_no_key_and_no_parts() {
    let trial = Trial::new();
    fill(&trial, "key", 0..2_000);
    let popped = edit(&trial, |set, tx| set.pop(tx, 5_000));
    assert_eq!((popped.len(), encoding(&trial)), (2_000, None));
    while trial.store.reclaim_step().unwrap() {}
    assert_eq!(trial.parts(), 0);
}

#[test]
fn a_set_that_shrank_far_is_gathered_in_a_new_place() {
    let trial = Trial::new();
    fill(&trial, "key", (0..20_000).map(|number| format!("member:{number:08}")));
    let object = |trial: &Trial| trial.on("key", |tx, key| Ok(tx.record(key)?.and_then(|record| record.object())));
    let before = object(&trial).unwrap().unwrap();
    let mut popped = BTreeSet::new();
    for _ in 0..19_700 {
        popped.extend(edit(&trial, |set, tx| set.pop(tx, 1)));
    }
    assert_eq!(popped.len(), 19_700);
    let after = object(&trial).unwrap().unwrap();
    assert_ne!(before, after);
    assert!(all(&trial).is_disjoint(&popped.iter().map(|member| member.to_vec()).collect()));
    while trial.store.reclaim_step().unwrap() {}
    assert_eq!(trial.parts(), 300);
}

#[test]
fn pops_are_even() {
    let mut seen: BTreeMap<Bytes, usize> = BTreeMap::new();
    for _ in 0..40 {
        let trial = Trial::new();
        fill(&trial, "key", (0..200).map(|number| format!("member:{number:08}")));
        for _ in 0..50 {
            let popped = edit(&trial, |set, tx| set.pop(tx, 1));
            *seen.entry(popped[0].clone()).or_default() += 1;
        }
    }
    let expected = 40.0 * 50.0 / 200.0;
    let deviation: f64 = seen.values().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    assert!(seen.len() == 200 && deviation < 260.0, "{} {deviation}", seen.len());
}

#[test]
fn damaged_records_are_refused() {
    let large = |meta: &'static [u8]| Body::Large { id: ObjectId(1), meta: Bytes::from_static(meta) };
    assert!(Set::load(Encoding::Hashtable, large(b"\0\0\0\0\0\0\0\0\x05\x06")).is_ok());
    assert!(Set::load(Encoding::Hashtable, large(b"\0\0\0\0\0\0\0\0\x05")).is_err());
    assert!(Set::load(Encoding::Hashtable, large(b"\0\0\0\0\0\0\0\0\x05\x06\x07")).is_err());
    assert!(Set::load(Encoding::Intset, Body::Inline(Bytes::from_static(b"\0\x02\x011"))).is_err());
    assert!(Set::load(Encoding::Skiplist, Body::Inline(Bytes::from_static(b"\0\0"))).is_err());
}

fn members() -> impl Strategy<Value = BTreeSet<u16>> {
    prop_oneof![proptest::collection::btree_set(0..20u16, 0..12), proptest::collection::btree_set(0..900u16, 300..600)]
}

fn sorted(members: Vec<Bytes>) -> Vec<u16> {
    let mut numbers: Vec<u16> =
        members.iter().map(|member| std::str::from_utf8(member).unwrap().parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn algebra_agrees_with_ordered_sets(sets in proptest::collection::vec(members(), 1..4), cold: bool) {
        let mut trial = Trial::new();
        for (number, members) in sets.iter().enumerate() {
            fill(&trial, &format!("{number}"), members);
        }
        trial.cold = cold;
        type Operation<'a> = &'a dyn Fn(&mut Tx, &[Set]) -> Result<Vec<Bytes>>;
        let with_sets = |what: Operation<'_>| {
            let result = trial.run(|tx| {
                let mut read = Vec::new();
                for number in 0..sets.len() {
                    let key = tx.key(0, format!("{number}").as_bytes());
                    read.push(tx.read::<Set>(&key)?.unwrap_or_else(Set::create));
                }
                what(tx, &read)
            });
            sorted(result.unwrap())
        };
        let shared: BTreeSet<u16> =
            sets[0].iter().copied().filter(|member| sets.iter().all(|set| set.contains(member))).collect();
        let together: BTreeSet<u16> = sets.iter().flatten().copied().collect();
        let apart: Vec<u16> =
            sets[0].iter().copied().filter(|member| !sets[1..].iter().any(|set| set.contains(member))).collect();
        prop_assert_eq!(with_sets(&|tx, sets| intersection(tx, sets)), shared.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(with_sets(&|tx, sets| union(tx, sets)), together.into_iter().collect::<Vec<_>>());
        prop_assert_eq!(with_sets(&|tx, sets| difference(tx, &sets[0], &sets[1..])), apart);
        let counted = trial.run(|tx| {
            let mut read = Vec::new();
            for number in 0..sets.len() {
                let key = tx.key(0, format!("{number}").as_bytes());
                read.push(tx.read::<Set>(&key)?.unwrap_or_else(Set::create));
            }
            intersection_count(tx, &read, 3)
        });
        prop_assert_eq!(counted.unwrap(), shared.len().min(3) as u64);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Insert(Vec<(u8, bool)>),
    Remove(Vec<(u8, bool)>),
    Pop(u64),
}

fn name((number, is_long): (u8, bool)) -> Vec<u8> {
    if is_long { format!("member:{number:0150}").into_bytes() } else { number.to_string().into_bytes() }
}

fn step() -> impl Strategy<Value = Step> {
    let members = || proptest::collection::vec((0..12u8, proptest::bool::weighted(0.3)), 1..6);
    prop_oneof![
        4 => members().prop_map(Step::Insert),
        3 => members().prop_map(Step::Remove),
        1 => (0..4u64).prop_map(Step::Pop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn it_does_what_an_ordered_set_does(steps in proptest::collection::vec(step(), 1..40), cold: bool) {
        let mut trial = Trial::new();
        trial.cold = cold;
        let mut model: BTreeSet<Vec<u8>> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Insert(members) => {
                    let members: Vec<Vec<u8>> = members.into_iter().map(name).collect();
                    let names: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
                    let added = edit(&trial, |set, tx| set.insert_many(tx, &names, LIMITS));
                    let before = model.len();
                    model.extend(members.iter().cloned());
                    prop_assert_eq!(added as usize, model.len() - before);
                }
                Step::Remove(members) => {
                    let members: Vec<Vec<u8>> = members.into_iter().map(name).collect();
                    let names: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
                    let removed = edit(&trial, |set, tx| set.remove_many(tx, &names));
                    prop_assert_eq!(removed, members.iter().filter(|member| model.remove(*member)).count());
                }
                Step::Pop(wanted) => {
                    let popped = edit(&trial, |set, tx| set.pop(tx, wanted));
                    prop_assert_eq!(popped.len(), model.len().min(wanted as usize));
                    for member in popped {
                        prop_assert!(model.remove(&member[..]));
                    }
                }
            }
            prop_assert_eq!(&all(&trial), &model);
            for number in 0..12 {
                for is_long in [false, true] {
                    let member = name((number, is_long));
                    prop_assert_eq!(read(&trial, |set, tx| set.contains(tx, &member)), model.contains(&member));
                }
            }
            prop_assert_eq!(encoding(&trial).is_some(), !model.is_empty());
        }
    }
}
