//! Streams against plain lists, warm and cold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::types::trial::Trial;

const LIMITS: NodeLimits = NodeLimits { bytes: 4096, entries: 3 };

fn id(ms: u64) -> Id {
    Id { ms, seq: 1 }
}

fn edit<R>(trial: &Trial, mut change: impl FnMut(&mut Stream, &mut Tx) -> Result<R>) -> R {
    trial.on("key", |tx, key| tx.edit::<Stream, _>(key, &mut change)).unwrap()
}

fn read<R>(trial: &Trial, mut look: impl FnMut(&Stream, &mut Tx) -> Result<R>) -> R {
    let look = |tx: &mut Tx, key: &crate::keyspace::Key| match tx.read::<Stream>(key)? {
        Some(stream) => look(&stream, tx),
        None => look(&Stream::create(), tx),
    };
    trial.on("key", look).unwrap()
}

/// Changes a group beside the record, as XREADGROUP does.
fn with_group<R>(trial: &Trial, mut change: impl FnMut(&mut Group, &Stream, &mut Tx) -> Result<R>) -> R {
    read(trial, |stream, tx| {
        let mut group = stream.group(tx, b"g")?.expect("the group is there");
        let result = change(&mut group, stream, tx)?;
        group.save(tx)?;
        Ok(result)
    })
}

fn add(trial: &Trial, ms: u64) {
    let value = ms.to_string();
    edit(trial, |stream, tx| stream.add(tx, id(ms), &[b"f", value.as_bytes()], LIMITS));
}

fn trim(trial: &Trial, keep: Keep, approximate: bool, limit: u64) -> u64 {
    edit(trial, |stream, tx| stream.trim(tx, Trim { keep, approximate, limit }))
}

fn ids(trial: &Trial, from: Id, to: Id, direction: Direction) -> Vec<u64> {
    read(trial, |stream, tx| {
        let mut walk = stream.walk(tx, from, to, direction)?;
        let mut ids = Vec::new();
        while let Some(entry) = walk.next()? {
            assert_eq!(entry.pairs()?, ["f".to_owned(), entry.id.ms.to_string()]);
            ids.push(entry.id.ms);
        }
        Ok(ids)
    })
}

fn all(trial: &Trial) -> Vec<u64> {
    ids(trial, Id::MIN, Id::MAX, Direction::Forward)
}

#[test]
fn a_stream_stays_when_its_last_entry_goes() {
    let trial = Trial::new();
    add(&trial, 1);
    assert_eq!(edit(&trial, |stream, tx| stream.delete(tx, &[id(1), id(1), id(2)])), 1);
    read(&trial, |stream, _| {
        assert_eq!((stream.len(), stream.entries_added()), (0, 1));
        assert_eq!((stream.first_id(), stream.last_id(), stream.max_deleted_id()), (Id::MIN, id(1), id(1)));
        assert_eq!(stream.node_count(), 0);
        Ok(())
    });
    assert!(trial.on("key", |tx, key| Ok(tx.record(key)?.is_some())).unwrap());
}

#[test]
fn approximate_trims_take_whole_nodes_within_their_limit() {
    let trial = Trial::new();
    (1..=10).for_each(|ms| add(&trial, ms));
    assert_eq!(read(&trial, |stream, _| Ok(stream.node_count())), 4);
    assert_eq!(trim(&trial, Keep::Length(8), true, 0), 0, "a node would be too much");
    assert_eq!(trim(&trial, Keep::Length(0), true, 2), 0, "a node would be over the limit");
    assert_eq!(trim(&trial, Keep::Length(5), true, 0), 3);
    assert_eq!(trim(&trial, Keep::From(id(9)), true, 0), 3);
    assert_eq!(trim(&trial, Keep::From(id(9)), true, 0), 0);
    assert_eq!(all(&trial), [7, 8, 9, 10]);
    edit(&trial, |stream, tx| stream.delete(tx, &[id(8), id(9)]));
    assert_eq!(trim(&trial, Keep::Length(1), true, 0), 1, "of the first node one is left");
    assert_eq!(all(&trial), [10]);
    assert_eq!(trim(&trial, Keep::Length(0), true, 0), 1);
    assert_eq!(all(&trial), [0; 0]);
}

#[test]
fn many_entries_are_trimmed_as_a_range() {
    let trial = Trial::new();
    edit(&trial, |stream, tx| {
        (1..=3000).try_for_each(|ms| stream.add(tx, id(ms), &[b"f", ms.to_string().as_bytes()], LIMITS))
    });
    assert_eq!(trim(&trial, Keep::Length(2), false, 0), 2998);
    assert_eq!(all(&trial), [2999, 3000]);
    assert_eq!(trial.parts(), 2);
    assert_eq!(read(&trial, |stream, tx| stream.entry(tx, id(5))), None);
}

#[test]
fn a_trimmed_front_is_never_walked_over() {
    let trial = Trial::new();
    edit(&trial, |stream, tx| {
        (1..=100).try_for_each(|ms| stream.add(tx, id(ms), &[b"f", ms.to_string().as_bytes()], LIMITS))
    });
    trim(&trial, Keep::Length(1), false, 0);
    read(&trial, |stream, tx| {
        assert_eq!(stream.first_id(), id(100));
        // Ids before the first one are known to be gone without a look.
        assert!(stream.walk(tx, Id::MIN, id(99), Direction::Backward)?.scan.is_none());
        Ok(())
    });
}

#[test]
fn lag_is_told_where_nothing_in_between_was_deleted() {
    let trial = Trial::new();
    (1..=5).for_each(|ms| add(&trial, ms));
    edit(&trial, |stream, tx| stream.create_group(tx, b"g", Id::MIN, None).map(|made| made.is_some()));
    let lag = |trial: &Trial| with_group(trial, |group, stream, _| Ok(stream.lag(group)));
    assert_eq!(lag(&trial), Some(5));
    with_group(&trial, |group, _, _| {
        group.set_last_id(id(2), None);
        Ok(())
    });
    assert_eq!(lag(&trial), None, "how many came before an id in the middle is not known");
    edit(&trial, |stream, tx| stream.delete(tx, &[id(4)]));
    with_group(&trial, |group, _, _| {
        group.set_last_id(id(2), Some(2));
        Ok(())
    });
    assert_eq!(lag(&trial), None, "one of those ahead is gone");
    with_group(&trial, |group, _, _| {
        group.set_last_id(id(5), Some(5));
        Ok(())
    });
    assert_eq!(lag(&trial), Some(0));
    // What was deleted lies before the first entry, so the counter counts, however odd.
    edit(&trial, |stream, tx| stream.delete(tx, &[id(1), id(2), id(3), id(5)]));
    (6..=7).for_each(|ms| add(&trial, ms));
    with_group(&trial, |group, _, _| {
        group.set_last_id(id(5), Some(10));
        Ok(())
    });
    assert_eq!(lag(&trial).map(u64::cast_signed), Some(-3));
}

#[test]
fn a_group_takes_all_its_parts_along() {
    for entries in [3, 400] {
        let trial = Trial::new();
        edit(&trial, |stream, tx| {
            (1..=entries).try_for_each(|ms| stream.add(tx, id(ms), &[b"f", b"v"], LIMITS))?;
            stream.create_group(tx, b"g", Id::MIN, None)?;
            stream.create_group(tx, b"h", Id::MIN, None).map(|_| ())
        });
        let before = trial.parts();
        with_group(&trial, |group, _, tx| {
            let (consumer, _) = group.find_or_add_consumer(tx, b"c")?;
            (1..=entries).try_for_each(|ms| group.deliver(tx, id(ms), consumer, 7))
        });
        assert_eq!(trial.parts(), before + 2 * entries as usize + 2);
        assert!(edit(&trial, |stream, tx| stream.destroy_group(tx, b"g")));
        assert!(!edit(&trial, |stream, tx| stream.destroy_group(tx, b"g")));
        assert_eq!(trial.parts(), before - 1, "{entries}");
        assert_eq!(read(&trial, |stream, _| Ok(stream.group_count())), 1);
    }
}

#[test]
fn damaged_metadata_is_refused() {
    let trial = Trial::new();
    add(&trial, 1);
    let record = trial.on("key", |tx, key| tx.record(key)).unwrap().unwrap();
    let Body::Large { id, meta } = record.body else { panic!("streams are large") };
    for end in 0..meta.len() {
        let body = Body::Large { id, meta: meta.slice(..end) };
        assert!(Stream::load(Encoding::Stream, body).is_err(), "{end}");
    }
    let longer = Body::Large { id, meta: [&meta[..], b"x"].concat().into() };
    assert!(Stream::load(Encoding::Stream, longer).is_err());
    assert!(Stream::load(Encoding::Stream, Body::Inline(meta)).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Add(u64),
    Delete(Vec<u64>),
    Keep(u64),
    From(u64),
    Cold(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..4u64).prop_map(Step::Add),
        2 => proptest::collection::vec(1..60u64, 1..4).prop_map(Step::Delete),
        1 => (0..20u64).prop_map(Step::Keep),
        1 => (0..60u64).prop_map(Step::From),
        1 => any::<bool>().prop_map(Step::Cold),
    ]
}

/// Who has what of a group, in a plain map.
#[derive(Debug, Clone)]
enum Turn {
    Deliver(u64, u8),
    Release(u64),
    Remove(u8),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => (1..300u64, 0..3u8).prop_map(|(ms, who)| Turn::Deliver(ms, who)),
        4 => (1..300u64).prop_map(Turn::Release),
        1 => (0..3u8).prop_map(Turn::Remove),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_a_list_does(steps in proptest::collection::vec(step(), 0..60), from in 0..60u64, to in 0..60u64) {
        let mut trial = Trial::new();
        let mut model: Vec<u64> = Vec::new();
        let mut last = 0;
        for step in steps {
            match step {
                Step::Add(more) => {
                    last += more;
                    add(&trial, last);
                    model.push(last);
                }
                Step::Delete(gone) => {
                    let ids: Vec<Id> = gone.iter().map(|ms| id(*ms)).collect();
                    let count = edit(&trial, |stream, tx| stream.delete(tx, &ids));
                    let before = model.len();
                    model.retain(|ms| !gone.contains(ms));
                    prop_assert_eq!(count, (before - model.len()) as u64);
                }
                Step::Keep(length) => {
                    trim(&trial, Keep::Length(length), false, 0);
                    model.drain(..model.len().saturating_sub(length as usize));
                }
                Step::From(ms) => {
                    trim(&trial, Keep::From(id(ms)), false, 0);
                    model.retain(|kept| *kept >= ms);
                }
                Step::Cold(cold) => trial.cold = cold,
            }
            let first = model.first().map_or(Id::MIN, |ms| id(*ms));
            let facts = read(&trial, |stream, _| Ok((stream.len(), stream.first_id(), stream.is_empty())));
            prop_assert_eq!(facts, (model.len() as u64, first, model.is_empty()));
        }
        let within: Vec<u64> = model.iter().copied().filter(|ms| (from..=to).contains(ms)).collect();
        prop_assert_eq!(ids(&trial, id(from), id(to), Direction::Forward), within.clone());
        let back: Vec<u64> = within.into_iter().rev().collect();
        prop_assert_eq!(ids(&trial, id(from), id(to), Direction::Backward), back);
        prop_assert_eq!(all(&trial), model);
    }

    #[test]
    fn a_group_does_what_a_map_does(turns in proptest::collection::vec(turn(), 0..300)) {
        let trial = Trial::new();
        add(&trial, 1);
        edit(&trial, |stream, tx| stream.create_group(tx, b"g", Id::MIN, None).map(|_| ()));
        let mut model: BTreeMap<u64, u8> = BTreeMap::new();
        for turn in turns {
            with_group(&trial, |group, _, tx| match turn.clone() {
                Turn::Deliver(ms, who) => {
                    let (consumer, _) = group.find_or_add_consumer(tx, &[who])?;
                    group.deliver(tx, id(ms), consumer, 7)
                }
                Turn::Release(ms) => match group.pending_of(tx, id(ms))? {
                    Some(pending) => group.release(tx, pending),
                    None => Ok(()),
                },
                Turn::Remove(who) => group.remove_consumer(tx, &[who]).map(|_| ()),
            });
            match turn {
                Turn::Deliver(ms, who) => { model.insert(ms, who); }
                Turn::Release(ms) => { model.remove(&ms); }
                Turn::Remove(who) => model.retain(|_, owner| *owner != who),
            }
        }
        let (pending, owned) = with_group(&trial, |group, _, tx| {
            let mut pending = BTreeMap::new();
            let mut walk = group.walk_pending(tx, Id::MIN, Id::MAX)?;
            while let Some(found) = walk.next()? {
                let name = group.name_of(tx, found.consumer)?;
                pending.insert(found.id.ms, name[0]);
            }
            let mut owned = BTreeMap::new();
            for consumer in group.all_consumers(tx)? {
                let mut walk = group.walk_owned(tx, &consumer, Id::MIN, Id::MAX)?;
                let mut count = 0;
                while let Some(id) = walk.next_id()? {
                    owned.insert(id.ms, consumer.name[0]);
                    count += 1;
                }
                assert_eq!(count, consumer.pending);
            }
            assert_eq!(group.pending, pending.len() as u64);
            assert_eq!(group.last_pending(tx)?.map(|last| last.id.ms), pending.keys().last().copied());
            Ok((pending, owned))
        });
        prop_assert_eq!(&pending, &model);
        prop_assert_eq!(&owned, &model);
    }
}
