//! A model test: whatever is done, the engine shows what a sorted map does.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::storage::{Compaction, KeyRange};

/// A step of the model test; keys are short, so that they meet.
#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    DeleteRange(u8, u8),
    Flush,
    Compact,
    Get(u8),
    Forward(u8, u8, u8),
    Back(u8, u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (any::<u8>(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => any::<u8>().prop_map(Step::Delete),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Step::DeleteRange(from, to)),
        1 => Just(Step::Flush),
        1 => Just(Step::Compact),
        4 => any::<u8>().prop_map(Step::Get),
        4 => (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(from, to, at)| Step::Forward(from, to, at)),
        4 => (any::<u8>(), any::<u8>(), any::<u8>()).prop_map(|(from, to, at)| Step::Back(from, to, at)),
    ];
    prop::collection::vec(step, 1..80)
}

/// A key of the model: an object id of eight bytes (a few of them), and a part, so that the
/// prefix filters of `data` and `scores` are in play.
fn model_key(key: u8) -> Vec<u8> {
    let mut bytes = u64::from(key >> 5).to_be_bytes().to_vec();
    bytes.extend((key & 31 > 0).then_some(key & 31));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done, the engine shows what a sorted map does, within any bounds.
    #[test]
    fn the_engine_is_a_sorted_map(steps in steps(), family in prop::sample::select(&Family::ALL[..5])) {
        let directory = tempfile::tempdir().unwrap();
        let engine = opened(directory.path());
        let mut model = BTreeMap::<Vec<u8>, Vec<u8>>::new();
        for step in steps {
            match step {
                Step::Put(key, value) => {
                    commit(&engine, vec![put(family, &model_key(key), &[value])]);
                    model.insert(model_key(key), vec![value]);
                }
                Step::Delete(key) => {
                    commit(&engine, vec![delete(family, &model_key(key))]);
                    model.remove(&model_key(key));
                }
                Step::DeleteRange(from, to) => {
                    let (from, to) = (model_key(from), model_key(to));
                    commit(&engine, vec![delete_range(family, &from, &to)]);
                    model.retain(|key, _| *key < from || *key >= to);
                }
                Step::Flush => engine.flush().unwrap(),
                Step::Compact => engine.compact(family, &KeyRange::default(), Compaction::Rewrite).unwrap(),
                Step::Get(key) => {
                    let value = get(&engine, family, &model_key(key)).map(|value| value.to_vec());
                    prop_assert_eq!(value.as_ref(), model.get(&model_key(key)));
                }
                Step::Forward(from, to, at) | Step::Back(from, to, at) => {
                    let (from, to, at) = (model_key(from), model_key(to), model_key(at));
                    let range = KeyRange { from: Some(from.clone().into()), to: Some(to.clone().into()) };
                    let within = |key: &&Vec<u8>| **key >= from && **key < to;
                    let mut cursor = engine.cursor(family, range, &DISK).unwrap();
                    let forward = matches!(step, Step::Forward(..));
                    let expected: Vec<&Vec<u8>> = if forward {
                        cursor.seek(&at).unwrap();
                        model.keys().filter(within).filter(|key| **key >= at).collect()
                    } else {
                        cursor.seek_for_prev(&at).unwrap();
                        model.keys().rev().filter(within).filter(|key| **key <= at).collect()
                    };
                    for key in expected {
                        prop_assert_eq!(cursor.entry(), Some((&key[..], &model[key][..])));
                        if forward { cursor.next().unwrap() } else { cursor.prev().unwrap() }
                    }
                    prop_assert_eq!(cursor.entry(), None);
                }
            }
        }
    }
}
