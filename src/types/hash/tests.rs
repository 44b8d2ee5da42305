//! Hashes against a plain map, warm and cold, inline and in parts, with fields that lapse.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::base::Error;
use crate::storage::Family;
use crate::types::trial::Trial;

const LIMITS: Limits = Limits { entries: 512, value_bytes: 64 };

fn edit<R>(trial: &Trial, mut change: impl FnMut(&mut Hash, &mut Tx) -> Result<R>) -> Result<R> {
    trial.on("key", |tx, key| Hash::edit(tx, key, &mut change))
}

fn read<R>(trial: &Trial, mut look: impl FnMut(&Hash, &mut Tx) -> Result<R>) -> R {
    let look = |tx: &mut Tx, key: &Key| match Hash::read(tx, key)? {
        Some(hash) => look(&hash, tx),
        None => look(&Hash::create(), tx),
    };
    trial.on("key", look).unwrap()
}

fn set(trial: &Trial, field: &str, value: &[u8]) -> bool {
    edit(trial, |hash, tx| hash.set(tx, field.as_bytes(), value, LIMITS)).unwrap()
}

fn expire(trial: &Trial, field: &str, at_ms: u64) -> Expired {
    edit(trial, |hash, tx| hash.expire(tx, field.as_bytes(), at_ms, Condition::Always)).unwrap()
}

fn all(trial: &Trial) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let all = read(trial, |hash, tx| hash.all(tx));
    let map: BTreeMap<_, _> = all.iter().map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
    assert_eq!(map.len(), all.len(), "a field is listed twice");
    map
}

fn is_large(trial: &Trial) -> bool {
    read(trial, |hash, _| Ok(matches!(hash.layout, Layout::Large(_))))
}

fn encoding(trial: &Trial) -> Option<&'static str> {
    trial.on("key", |tx, key| Ok(tx.record(key)?.map(|record| crate::types::encoding_name(&record)))).unwrap()
}

/// A hash of `count` fields in parts.
fn large(trial: &Trial, count: usize) {
    let names: Vec<String> = (0..count).map(|number| format!("field:{number:012}")).collect();
    for some in names.chunks(1000) {
        let pairs: Vec<&[u8]> = some.iter().flat_map(|name| [name.as_bytes(), b"value".as_slice()]).collect();
        let added = edit(trial, |hash, tx| hash.set_many(tx, &pairs, LIMITS)).unwrap();
        assert_eq!(added, some.len() as u64);
    }
    assert!(is_large(trial));
}

#[test]
fn records_have_the_documented_bytes() {
    let trial = Trial::new();
    set(&trial, "f", b"v");
    let body = |trial: &Trial| {
        let record = trial.on("key", |tx, key| tx.record(key)).unwrap().unwrap();
        match record.body {
            Body::Inline(bytes) | Body::Large { meta: bytes, .. } => bytes,
        }
    };
    assert_eq!(&body(&trial)[..], b"\0\x01\x01f\x01v");
    expire(&trial, "f", 0x1234);
    assert_eq!(&body(&trial)[..], b"\0\0\0\0\0\0\x12\x34\0\x01\x01f\x01v\x08\0\0\0\0\0\0\x12\x34");
    set(&trial, "g", &[0; INLINE_BYTES]);
    let meta = body(&trial);
    assert_eq!((&meta[..8], &meta[16..]), (&b"\0\0\0\0\0\0\x12\x34"[..], &b"\x02"[..]));
    // Two values, a deadline, and its place in time.
    assert_eq!(trial.parts(), 4);
}

#[test]
fn a_body_is_inline_up_to_its_limit_and_in_parts_for_ever_after() {
    let trial = Trial::new();
    set(&trial, "f", &vec![7; INLINE_BYTES - 6]);
    assert!(!is_large(&trial));
    set(&trial, "f", &vec![7; INLINE_BYTES - 5]);
    assert!(is_large(&trial));
    set(&trial, "f", b"");
    assert!(is_large(&trial));
    assert_eq!(trial.parts(), 1);
}

#[test]
fn an_emptied_hash_is_gone_and_its_object_reclaimed() {
    let trial = Trial::new();
    large(&trial, 200);
    let names: Vec<String> = (0..200).map(|number| format!("field:{number:012}")).collect();
    let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    let removed = edit(&trial, |hash, tx| hash.remove_many(tx, &names)).unwrap();
    assert_eq!((removed, encoding(&trial)), (200, None));
    while trial.store.reclaim_step().unwrap() {}
    assert_eq!(trial.parts(), 0);
}

#[test]
fn the_encoding_follows_redis_thresholds_and_never_goes_back() {
    let trial = Trial::new();
    let few = Limits { entries: 2, value_bytes: 4 };
    let set = |field: &[u8], value: &[u8]| edit(&trial, |hash, tx| hash.set(tx, field, value, few)).unwrap();
    set(b"a", b"1234");
    set(b"b", b"1");
    assert_eq!(encoding(&trial), Some("listpack"));
    expire(&trial, "b", 9_000);
    assert_eq!(encoding(&trial), Some("listpackex"));
    set(b"c", b"1");
    assert_eq!((encoding(&trial), is_large(&trial)), (Some("hashtable"), false));
    edit(&trial, |hash, tx| hash.remove(tx, b"c")).unwrap();
    assert_eq!(encoding(&trial), Some("hashtable"));
    edit(&trial, |hash, tx| hash.remove_many(tx, &[b"a", b"b"])).unwrap();
    set(b"a", b"12345");
    assert_eq!(encoding(&trial), Some("hashtable"));
}

#[test]
fn a_field_past_its_deadline_is_not_there_before_anybody_removes_it() {
    for count in [3, 400] {
        let mut trial = Trial::new();
        (0..count).for_each(|number| {
            set(&trial, &format!("{number}"), &[b'v'; 20]);
        });
        assert_eq!(is_large(&trial), count == 400);
        for field in ["0", "1"] {
            assert_eq!(expire(&trial, field, 2_000), Expired::Set);
        }
        trial.now_ms = 1_999;
        assert_eq!(all(&trial).len(), count);
        trial.now_ms = 2_000;
        let left = count - 2;
        assert_eq!(read(&trial, |hash, tx| hash.len(tx)), left as u64);
        assert_eq!(all(&trial).len(), left);
        assert_eq!(read(&trial, |hash, tx| hash.get(tx, b"0")), None);
        assert_eq!(read(&trial, |hash, tx| hash.get_many(tx, &[b"0", b"2", b"1"])).iter().flatten().count(), 1);
        assert_eq!(read(&trial, |hash, tx| hash.deadline(tx, b"1")), None);
        assert_eq!(read(&trial, |hash, tx| hash.sample(tx, 1_000)).len(), left);
        assert!(read(&trial, |hash, tx| hash.draws(tx, 500)).iter().all(|(field, _)| *field != "0" && *field != "1"));
        // As nobody asked for them, the expiry task removes them.
        assert_eq!(trial.engine.entries(Family::Expiry), 1);
        assert!(!trial.store.expire_due(2_000, 100, expire_fields).unwrap());
        assert_eq!(trial.engine.entries(Family::Expiry), 0);
        assert_eq!(trial.store.counters.expired_fields.load(std::sync::atomic::Ordering::Relaxed), 2);
        assert_eq!(all(&trial).len(), left);
        if count == 400 {
            assert_eq!(trial.parts(), left);
        }
        assert!(set(&trial, "0", b"again"));
    }
}

#[test]
fn many_fields_that_lapse_at_once_go_in_steps_and_take_the_key_along() {
    let mut trial = Trial::new();
    large(&trial, 1_500);
    for number in 0..1_500 {
        expire(&trial, &format!("field:{number:012}"), 2_000);
    }
    trial.now_ms = 3_000;
    // A client's command removes some; what it sees of the others is right nonetheless.
    assert!(set(&trial, "field:000000000007", b"new"));
    assert!(!set(&trial, "field:000000000007", b"newer"));
    assert_eq!(read(&trial, |hash, tx| hash.len(tx)), 1);
    assert_eq!(all(&trial).len(), 1);
    assert!(trial.parts() > 1_000);
    let mut steps = 1;
    while trial.store.expire_due(3_000, 100, expire_fields).unwrap() {
        steps += 1;
    }
    assert_eq!((steps, trial.parts()), (3, 1));
    expire(&trial, "field:000000000007", 4_000);
    trial.now_ms = 4_000;
    assert!(!trial.store.expire_due(4_000, 100, expire_fields).unwrap());
    assert_eq!((encoding(&trial), trial.engine.entries(Family::Expiry)), (None, 0));
}

#[test]
fn conditions_compare_a_missing_deadline_as_never() {
    let trial = Trial::new();
    set(&trial, "f", b"v");
    let expire = |at_ms, condition| edit(&trial, |hash, tx| hash.expire(tx, b"f", at_ms, condition)).unwrap();
    assert_eq!(expire(5_000, Condition::With), Expired::Refused);
    assert_eq!(expire(5_000, Condition::Later), Expired::Refused);
    assert_eq!(expire(5_000, Condition::Earlier), Expired::Set);
    assert_eq!(expire(5_000, Condition::Earlier), Expired::Refused);
    assert_eq!(expire(5_000, Condition::Later), Expired::Refused);
    assert_eq!(expire(6_000, Condition::Without), Expired::Refused);
    assert_eq!(expire(6_000, Condition::Later), Expired::Set);
    assert_eq!(expire(4_000, Condition::With), Expired::Set);
    assert_eq!(expire(1_000, Condition::Always), Expired::Deleted);
    assert_eq!(expire(4_000, Condition::Always), Expired::NoField);
}

#[test]
fn random_fields_of_a_large_hash_are_even() {
    let trial = Trial::new();
    const FIELDS: usize = 500;
    const DRAWS: usize = 50_000;
    large(&trial, FIELDS);
    let mut seen: BTreeMap<Bytes, usize> = BTreeMap::new();
    read(&trial, |hash, tx| {
        for _ in 0..DRAWS / 100 {
            for (field, _) in hash.draws(tx, 100)? {
                *seen.entry(field).or_default() += 1;
            }
        }
        Ok(())
    });
    assert_eq!(seen.len(), FIELDS);
    let expected = (DRAWS / FIELDS) as f64;
    let deviation: f64 = seen.values().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
    // 499 degrees of freedom: mean 499, standard deviation 32; a draw biased by the gaps gives about 50,000.
    assert!(deviation < 700.0, "{deviation}");
}

#[test]
fn a_sample_has_no_field_twice() {
    let trial = Trial::new();
    large(&trial, 300);
    for wanted in [1, 50, 150, 299, 300, 1_000] {
        let sample = read(&trial, |hash, tx| hash.sample(tx, wanted));
        let names: BTreeSet<_> = sample.iter().map(|(field, _)| field.clone()).collect();
        assert_eq!((sample.len() as u64, names.len() as u64), (wanted.min(300), wanted.min(300)));
    }
}

#[test]
fn a_scan_returns_what_was_there_throughout() {
    let trial = Trial::new();
    large(&trial, 1_000);
    let mut seen = BTreeSet::new();
    let mut cursor = 0;
    let mut calls = 0;
    loop {
        let page = read(&trial, |hash, tx| hash.page(tx, cursor, 25));
        assert!((1..30).contains(&page.elements.len()), "{}", page.elements.len());
        seen.extend(page.elements.into_iter().map(|(field, _)| field.to_vec()));
        calls += 1;
        // Others come and go meanwhile.
        set(&trial, &format!("other:{calls}"), b"");
        edit(&trial, |hash, tx| hash.remove(tx, format!("field:{:012}", 900 + calls).as_bytes())).unwrap();
        cursor = page.cursor;
        if cursor == 0 {
            break;
        }
    }
    assert!((38..=45).contains(&calls), "{calls}");
    for number in 0..900 {
        assert!(seen.contains(format!("field:{number:012}").as_bytes()), "{number}");
    }
}

#[test]
fn numbers_are_added_exactly_and_keep_their_deadline() {
    let trial = Trial::new();
    let add = |by| edit(&trial, |hash, tx| hash.increment(tx, b"n", by, LIMITS));
    assert_eq!(add(i64::MAX).unwrap(), i64::MAX);
    assert!(matches!(add(1), Err(Error::Client(_))));
    expire(&trial, "n", 9_000);
    assert_eq!(add(-1).unwrap(), i64::MAX - 1);
    assert_eq!(read(&trial, |hash, tx| hash.deadline(tx, b"n")), Some(Some(9_000)));
    set(&trial, "n", b"1");
    assert_eq!(read(&trial, |hash, tx| hash.deadline(tx, b"n")), Some(None));
    set(&trial, "n", b"x");
    assert_eq!(add(1).unwrap_err().to_string(), "ERR hash value is not an integer");
}

#[test]
fn damaged_records_are_refused() {
    let meta = Bytes::from_static(b"\0\0\0\0\0\0\0\0\x05");
    let large = |meta: Bytes| Body::Large { id: crate::encoding::key::ObjectId(1), meta };
    assert!(Hash::load(Encoding::Hashtable, large(meta.clone())).is_ok());
    assert!(Hash::load(Encoding::Hashtable, large(meta.slice(..8))).is_err());
    assert!(Hash::load(Encoding::HashtableEx, large(meta)).is_err());
    assert!(Hash::load(Encoding::Listpack, Body::Inline(Bytes::from_static(b"\0\x01\x01f"))).is_err());
    assert!(Hash::load(Encoding::ListpackEx, Body::Inline(Bytes::from_static(b"\0\0"))).is_err());
    assert!(Hash::load(Encoding::Quicklist, Body::Inline(Bytes::from_static(b"\0\0"))).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Set(u8, usize),
    SetMany(Vec<(u8, usize)>),
    Remove(Vec<u8>),
    Add(u8, i64),
    Expire(u8, u64),
    Persist(u8),
    Wait(u64),
    ActiveExpiry,
}

fn step() -> impl Strategy<Value = Step> {
    let length = || prop_oneof![4 => 0..20usize, 1 => 200..400usize];
    let field = || 0..12u8;
    prop_oneof![
        4 => (field(), length()).prop_map(|(field, length)| Step::Set(field, length)),
        2 => proptest::collection::vec((field(), length()), 1..6).prop_map(Step::SetMany),
        3 => proptest::collection::vec(field(), 1..4).prop_map(Step::Remove),
        1 => (field(), -5..5i64).prop_map(|(field, by)| Step::Add(field, by)),
        3 => (field(), 0..50u64).prop_map(|(field, after)| Step::Expire(field, after)),
        1 => field().prop_map(Step::Persist),
        2 => (0..20u64).prop_map(Step::Wait),
        1 => Just(Step::ActiveExpiry),
    ]
}

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn name(field: u8) -> Vec<u8> {
    format!("field{field}").into_bytes()
}

/// Does a step to the hash and to the model, and compares what both answer.
fn apply(trial: &mut Trial, model: &mut Model, step: &Step) -> Result<(), TestCaseError> {
    match step {
        Step::Set(field, length) => {
            let value = vec![b'1'; *length];
            let is_new = edit(trial, |hash, tx| hash.set(tx, &name(*field), &value, LIMITS)).unwrap();
            prop_assert_eq!(is_new, model.insert(name(*field), (value, None)).is_none());
        }
        Step::SetMany(fields) => {
            let words: Vec<Vec<u8>> =
                fields.iter().flat_map(|(field, length)| [name(*field), vec![b'2'; *length]]).collect();
            let pairs: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let added = edit(trial, |hash, tx| hash.set_many(tx, &pairs, LIMITS)).unwrap();
            let before = model.len();
            model.extend(fields.iter().map(|(field, length)| (name(*field), (vec![b'2'; *length], None))));
            prop_assert_eq!(added as usize, model.len() - before);
        }
        Step::Remove(fields) => {
            let names: Vec<Vec<u8>> = fields.iter().map(|field| name(*field)).collect();
            let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
            let removed = edit(trial, |hash, tx| hash.remove_many(tx, &names)).unwrap();
            prop_assert_eq!(removed, names.iter().filter(|name| model.remove(**name).is_some()).count());
        }
        Step::Add(field, by) => {
            let old = model.get(&name(*field));
            let number = old.map_or(Some(0), |(value, _)| crate::base::number::parse_i64(value));
            let sum = edit(trial, |hash, tx| hash.increment(tx, &name(*field), *by, LIMITS)).ok();
            let expected = number.and_then(|number| number.checked_add(*by));
            prop_assert_eq!(sum, expected);
            if let Some(sum) = sum {
                let deadline = old.and_then(|(_, deadline)| *deadline);
                model.insert(name(*field), (sum.to_string().into_bytes(), deadline));
            }
        }
        Step::Expire(field, after) => {
            let at_ms = trial.now_ms + after;
            let expired = edit(trial, |hash, tx| hash.expire(tx, &name(*field), at_ms, Condition::Always)).unwrap();
            prop_assert_eq!(expired != Expired::NoField, model.contains_key(&name(*field)));
            match model.get_mut(&name(*field)) {
                Some(_) if *after == 0 => {
                    model.remove(&name(*field));
                }
                Some((_, deadline)) => *deadline = Some(at_ms),
                None => {}
            }
        }
        Step::Persist(field) => {
            let persisted = edit(trial, |hash, tx| hash.persist(tx, &name(*field))).unwrap();
            let had = model.get_mut(&name(*field)).map(|(_, deadline)| deadline.take());
            prop_assert_eq!(persisted == Persisted::Removed, had.flatten().is_some());
        }
        Step::Wait(ms) => trial.now_ms += ms,
        Step::ActiveExpiry => while trial.store.expire_due(trial.now_ms, 10, expire_fields).unwrap() {},
    }
    let now_ms = trial.now_ms;
    model.retain(|_, (_, deadline)| deadline.is_none_or(|deadline| deadline > now_ms));
    Ok(())
}

fn compare(trial: &Trial, model: &Model) -> Result<(), TestCaseError> {
    let values: BTreeMap<_, _> = model.iter().map(|(field, (value, _))| (field.clone(), value.clone())).collect();
    prop_assert_eq!(all(trial), values);
    prop_assert_eq!(read(trial, |hash, tx| hash.len(tx)), model.len() as u64);
    for field in 0..12 {
        let deadline = read(trial, |hash, tx| hash.deadline(tx, &name(field)));
        prop_assert_eq!(deadline, model.get(&name(field)).map(|(_, deadline)| *deadline));
        let value = read(trial, |hash, tx| hash.get(tx, &name(field)));
        prop_assert_eq!(value.as_deref(), model.get(&name(field)).map(|(value, _)| &value[..]));
    }
    // The metadata says what the fields say.
    let record = trial.on("key", |tx, key| tx.record(key)).unwrap();
    if let Some(earliest) = record.and_then(|record| record.element_deadline_ms()) {
        let expected = model.values().filter_map(|(_, deadline)| *deadline).min();
        prop_assert!(earliest <= trial.now_ms || Some(earliest) == expected);
        prop_assert_eq!(trial.engine.entries(Family::Expiry), 1);
    } else {
        prop_assert_eq!(trial.engine.entries(Family::Expiry), 0);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn it_does_what_a_map_does(steps in proptest::collection::vec(step(), 1..40), cold: bool) {
        let mut trial = Trial::new();
        trial.cold = cold;
        let mut model = Model::new();
        for step in &steps {
            apply(&mut trial, &mut model, step)?;
            compare(&trial, &model)?;
        }
    }

    #[test]
    fn any_body_loads_or_is_refused(body: Vec<u8>, encoding in 0..4usize, is_large: bool) {
        let encodings = [Encoding::Listpack, Encoding::Hashtable, Encoding::ListpackEx, Encoding::HashtableEx];
        let bytes = Bytes::from(body);
        let body = if is_large {
            Body::Large { id: crate::encoding::key::ObjectId(1), meta: bytes }
        } else {
            Body::Inline(bytes)
        };
        if let Ok(hash) = Hash::load(encodings[encoding], body) {
            let trial = Trial::new();
            trial.run(|tx| hash.all(tx)).unwrap();
        }
    }
}
