//! Sorted sets against a model, warm and cold, inline and in parts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::types::set;
use crate::types::trial::Trial;

const LIMITS: Limits = Limits { listpack_entries: 128, listpack_value_bytes: 64 };

fn edit_key<R>(trial: &Trial, key: &str, mut change: impl FnMut(&mut ZSet, &mut Tx) -> Result<R>) -> Result<R> {
    trial.on(key, |tx, key| tx.edit::<ZSet, _>(key, &mut change))
}

fn edit<R>(trial: &Trial, change: impl FnMut(&mut ZSet, &mut Tx) -> Result<R>) -> R {
    edit_key(trial, "key", change).unwrap()
}

fn read<R>(trial: &Trial, mut look: impl FnMut(&ZSet, &mut Tx) -> Result<R>) -> R {
    let look = |tx: &mut Tx, key: &crate::keyspace::Key| match tx.read::<ZSet>(key)? {
        Some(set) => look(&set, tx),
        None => look(&ZSet::create(), tx),
    };
    trial.on("key", look).unwrap()
}

fn write(trial: &Trial, elements: &[(f64, &str)], rules: Rules) -> Vec<Written> {
    let elements: Vec<(f64, &[u8])> = elements.iter().map(|(score, member)| (*score, member.as_bytes())).collect();
    edit(trial, |set, tx| set.write(tx, &elements, rules, LIMITS))
}

fn fill(trial: &Trial, key: &str, count: u32) {
    let members: Vec<String> = (0..count).map(|number| format!("member:{number:06}")).collect();
    let elements: Vec<(f64, &[u8])> =
        members.iter().enumerate().map(|(score, member)| (score as f64, member.as_bytes())).collect();
    edit_key(trial, key, |set, tx| set.write(tx, &elements, Rules::default(), LIMITS)).unwrap();
}

fn encoding(trial: &Trial) -> Option<&'static str> {
    trial.on("key", |tx, key| Ok(tx.record(key)?.map(|record| crate::types::encoding_name(&record)))).unwrap()
}

fn element(member: &str, score: f64) -> Element {
    (Bytes::copy_from_slice(member.as_bytes()), score)
}

#[test]
fn the_encoding_follows_redis_thresholds_and_never_goes_back() {
    let trial = Trial::new();
    fill(&trial, "key", 128);
    assert_eq!(encoding(&trial), Some("listpack"));
    write(&trial, &[(1.0, "one more")], Rules::default());
    assert_eq!(encoding(&trial), Some("skiplist"));
    edit(&trial, |set, tx| set.remove_span(tx, 0..128, Direction::Forward));
    assert_eq!(encoding(&trial), Some("skiplist"));
    let trial = Trial::new();
    write(&trial, &[(1.0, &"x".repeat(64))], Rules::default());
    assert_eq!(encoding(&trial), Some("listpack"));
    write(&trial, &[(1.0, &"x".repeat(65))], Rules::default());
    assert_eq!(encoding(&trial), Some("skiplist"));
}

#[test]
fn the_rules_decide_who_is_written() {
    use Written::{Added, Nothing, Same, Updated};
    let trial = Trial::new();
    let plain = Rules::default();
    assert_eq!(write(&trial, &[(1.0, "a"), (2.0, "a"), (2.0, "a")], plain), [Added(1.0), Updated(2.0), Same(2.0)]);
    let rules = Rules { new_only: true, ..plain };
    assert_eq!(write(&trial, &[(1.0, "a"), (1.0, "b")], rules), [Nothing, Added(1.0)]);
    let rules = Rules { present_only: true, ..plain };
    assert_eq!(write(&trial, &[(5.0, "a"), (1.0, "c")], rules), [Updated(5.0), Nothing]);
    let rules = Rules { greater: true, ..plain };
    assert_eq!(write(&trial, &[(4.0, "a"), (5.0, "a"), (6.0, "a")], rules), [Nothing, Nothing, Updated(6.0)]);
    let rules = Rules { less: true, increment: true, ..plain };
    assert_eq!(write(&trial, &[(1.0, "a"), (-1.0, "a"), (3.0, "d")], rules), [Nothing, Updated(5.0), Added(3.0)]);
    let rules = Rules { increment: true, ..plain };
    write(&trial, &[(f64::INFINITY, "a")], plain);
    let nan = edit_key(&trial, "key", |set, tx| set.write(tx, &[(f64::NEG_INFINITY, b"a")], rules, LIMITS));
    assert!(nan.is_err());
    assert_eq!(read(&trial, |set, tx| set.score(tx, b"a")), Some(f64::INFINITY));
}

#[test]
fn the_same_score_again_writes_nothing() {
    for count in [10, 1_000] {
        let trial = Trial::new();
        fill(&trial, "key", count);
        let commits = trial.store.counters.commits.load(std::sync::atomic::Ordering::Relaxed);
        fill(&trial, "key", count);
        assert_eq!(trial.store.counters.commits.load(std::sync::atomic::Ordering::Relaxed), commits);
    }
}

#[test]
fn taking_all_leaves_no_key_and_no_parts() {
    let trial = Trial::new();
    fill(&trial, "key", 3_000);
    assert!(trial.parts() > 0 && trial.engine.entries(Family::Scores) > 0);
    let taken = edit(&trial, |set, tx| set.remove_span(tx, 0..5_000, Direction::Backward));
    assert_eq!((taken.len(), taken[0].1, encoding(&trial)), (3_000, 2_999.0, None));
    while trial.store.reclaim_step().unwrap() {}
    assert_eq!((trial.parts(), trial.engine.entries(Family::Scores)), (0, 0));
}

#[test]
fn removing_one_by_one_leaves_no_key_either() {
    let trial = Trial::new();
    fill(&trial, "key", 300);
    for number in 0..300 {
        let member = format!("member:{number:06}");
        assert_eq!(edit(&trial, |set, tx| set.remove(tx, &[member.as_bytes(), b"nothing"])), 1);
    }
    assert_eq!(encoding(&trial), None);
    while trial.store.reclaim_step().unwrap() {}
    assert_eq!((trial.parts(), trial.engine.entries(Family::Scores)), (0, 0));
}

#[test]
fn damage_is_told() {
    let trial = Trial::new();
    fill(&trial, "key", 300);
    let told = |trial: &Trial| {
        read(trial, |set, tx| {
            let mut told = Vec::new();
            set.check(tx, &mut |what| told.push(what))?;
            Ok(told)
        })
    };
    assert_eq!(told(&trial), Vec::<String>::new());
    let without = |tx: &mut Tx, family: Family| {
        let mut scan = tx.scan(family, ObjectId(1), b"", None, Direction::Forward)?;
        if let Some((part, _)) = scan.next()? {
            tx.delete_part(family, ObjectId(1), &part);
        }
        Ok(())
    };
    trial.run(|tx| without(tx, Family::Data)).unwrap();
    let complaints = told(&trial);
    assert!(complaints.iter().any(|what| what.contains("299 members")), "{complaints:?}");
    assert!(complaints.iter().any(|what| what.contains("not its member's score")), "{complaints:?}");
    trial.run(|tx| without(tx, Family::Scores)).unwrap();
    assert!(told(&trial).iter().any(|what| what.contains("missing")), "{:?}", told(&trial));
}

#[test]
fn draws_are_even_and_samples_differ() {
    for count in [20_u64, 2_000] {
        let trial = Trial::new();
        fill(&trial, "key", count as u32);
        let drawn = read(&trial, |set, tx| set.draws(tx, 40 * count));
        let mut seen: BTreeMap<Bytes, u64> = BTreeMap::new();
        drawn.into_iter().for_each(|(member, _)| *seen.entry(member).or_default() += 1);
        assert_eq!(seen.len() as u64, count);
        assert!(seen.values().all(|times| (5..120).contains(times)), "{seen:?}");
        for wanted in [1, count / 20, count / 2, count, 2 * count] {
            let sample = read(&trial, |set, tx| set.sample(tx, wanted));
            let members: std::collections::BTreeSet<Bytes> = sample.iter().map(|(member, _)| member.clone()).collect();
            assert_eq!((members.len() as u64, sample.len() as u64), (wanted.min(count), wanted.min(count)));
        }
    }
}

#[test]
fn several_sets_combine_from_the_smallest_on() {
    let trial = Trial::new();
    let sources = |tx: &mut Tx| -> Result<Vec<Source>> {
        let sorted = ZSet::of(tx, &[element("a", 1.0), element("b", 2.0), element("c", f64::INFINITY)], LIMITS)?;
        let limits = set::Limits { intset_entries: 9, listpack_entries: 9, listpack_value_bytes: 9 };
        let plain = set::Set::of(tx, ["b", "c", "d", "e"].map(|name| Bytes::from_static(name.as_bytes())), limits)?;
        let source = |set, weight| Source { set: Some(set), weight };
        Ok(vec![source(AnySet::Sorted(sorted), 2.0), source(AnySet::Plain(plain), f64::NEG_INFINITY)])
    };
    let union = trial.run(|tx| {
        let sources = sources(tx)?;
        union(tx, &sources, Aggregate::Sum)
    });
    let lowest = f64::NEG_INFINITY;
    let expected =
        [element("b", lowest), element("d", lowest), element("e", lowest), element("c", 0.0), element("a", 2.0)];
    assert_eq!(union.unwrap(), expected);
    let shared = trial.run(|tx| {
        let sources = sources(tx)?;
        intersection(tx, &sources, Aggregate::Max)
    });
    assert_eq!(shared.unwrap(), [element("b", 4.0), element("c", f64::INFINITY)]);
    let left = trial.run(|tx| {
        let sources = sources(tx)?;
        difference(tx, &sources)
    });
    assert_eq!(left.unwrap(), [element("a", 1.0)]);
    let count = trial.run(|tx| {
        let mut sources = sources(tx)?;
        sources.push(Source { set: None, weight: 1.0 });
        intersection_count(tx, &sources, 9)
    });
    assert_eq!(count.unwrap(), 0);
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(f64, u16)>),
    Increment(f64, u16),
    Remove(Vec<u16>),
    RemoveSpan(u64, u64),
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-20..20_i32).prop_map(f64::from),
        2 => any::<i32>().prop_map(|number| f64::from(number) / 16.0),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0)],
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => proptest::collection::vec((score(), 0..90_u16), 1..40).prop_map(Step::Write),
        1 => ((-9..9_i32).prop_map(f64::from), 0..90_u16).prop_map(|(by, member)| Step::Increment(by, member)),
        1 => proptest::collection::vec(0..90_u16, 1..20).prop_map(Step::Remove),
        1 => (0..60_u64, 0..9_u64).prop_map(|(start, count)| Step::RemoveSpan(start, start + count)),
    ]
}

fn name(number: u16) -> Vec<u8> {
    let length = if number == 7 { 500 } else { 3 + usize::from(number) % 9 };
    let mut name = number.to_be_bytes().to_vec();
    name.resize(length, b'x');
    name
}

type Model = BTreeMap<Vec<u8>, f64>;

fn ordered(model: &Model) -> Vec<Element> {
    let mut all: Vec<Element> = model.iter().map(|(member, score)| (Bytes::copy_from_slice(member), *score)).collect();
    all.sort_by(|(one, low), (other, high)| low.total_cmp(high).then_with(|| one.cmp(other)));
    all
}

fn apply(set: &mut ZSet, tx: &mut Tx, model: &mut Model, step: &Step) -> Result<()> {
    match step {
        Step::Write(elements) => {
            let named: Vec<(f64, Vec<u8>)> = elements.iter().map(|(score, number)| (*score, name(*number))).collect();
            let given: Vec<(f64, &[u8])> = named.iter().map(|(score, member)| (*score, &member[..])).collect();
            set.write(tx, &given, Rules::default(), LIMITS)?;
            model.extend(named.into_iter().map(|(score, member)| (member, score + 0.0)));
        }
        Step::Increment(by, number) => {
            let member = name(*number);
            let rules = Rules { increment: true, ..Rules::default() };
            set.write(tx, &[(*by, &member)], rules, LIMITS)?;
            *model.entry(member).or_insert(0.0) += by;
        }
        Step::Remove(numbers) => {
            let members: Vec<Vec<u8>> = numbers.iter().map(|number| name(*number)).collect();
            let before = model.len();
            members.iter().for_each(|member| {
                model.remove(member);
            });
            let members: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
            assert_eq!(set.remove(tx, &members)?, (before - model.len()) as u64);
        }
        Step::RemoveSpan(start, end) => {
            let all = ordered(model);
            let range = (*start as usize).min(all.len())..(*end as usize).min(all.len());
            assert_eq!(set.remove_span(tx, *start..*end, Direction::Forward)?, all[range.clone()]);
            all[range].iter().for_each(|(member, _)| {
                model.remove(&member[..]);
            });
        }
    }
    Ok(())
}

fn check(trial: &Trial, model: &Model) {
    let expected = ordered(model);
    read(trial, |set, tx| {
        assert_eq!(set.len(), expected.len() as u64);
        assert_eq!(set.all(tx)?, expected);
        let mut backwards = set.slice(tx, 0..u64::MAX, Direction::Backward)?;
        backwards.reverse();
        assert_eq!(backwards, expected);
        for (rank, (member, score)) in expected.iter().enumerate() {
            assert_eq!(set.score(tx, member)?, Some(*score));
            assert_eq!(set.rank(tx, member)?, Some((rank as u64, *score)));
        }
        for (min, max) in [(-5.0, 5.0), (f64::NEG_INFINITY, 0.0), (3.0, f64::INFINITY), (4.0, 4.0), (5.0, 4.0)] {
            for exclusive in [false, true] {
                let bound = |score| ScoreBound { score, exclusive };
                let span = set.score_span(tx, &ScoreRange { min: bound(min), max: bound(max) })?;
                let is_in = |score: f64| {
                    if exclusive { min < score && score < max } else { min <= score && score <= max }
                };
                let wanted: Vec<Element> = expected.iter().filter(|(_, score)| is_in(*score)).cloned().collect();
                assert_eq!(set.slice(tx, span, Direction::Forward)?, wanted);
            }
        }
        let mut cursor = 0;
        let mut scanned = Vec::new();
        loop {
            let (next, page) = set.page(tx, cursor, 7)?;
            scanned.extend(page);
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        scanned.sort_by(|(one, low), (other, high)| low.total_cmp(high).then_with(|| one.cmp(other)));
        assert_eq!(scanned, expected);
        set.check(tx, &mut |what| panic!("{what}"))
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_does_what_a_sorted_list_does(steps in proptest::collection::vec(step(), 1..25), cold: bool) {
        let mut trial = Trial::new();
        trial.cold = cold;
        let mut model = Model::new();
        for step in &steps {
            let before = model.clone();
            let changed = trial.on("key", |tx, key| {
                let mut after = before.clone();
                tx.edit::<ZSet, _>(key, |set, tx| apply(set, tx, &mut after, step))?;
                Ok(after)
            });
            // Infinities of both signs do not add up.
            if let Ok(after) = changed {
                model = after;
            }
            check(&trial, &model);
        }
    }

    #[test]
    fn members_of_one_score_have_ranges(
        numbers in proptest::collection::btree_set(0..400_u16, 0..300),
        low in 0..400_u16,
        high in 0..400_u16,
        exclusive: bool,
    ) {
        let trial = Trial::new();
        let mut members: Vec<Vec<u8>> = numbers.iter().map(|number| name(*number)).collect();
        members.sort();
        let elements: Vec<(f64, &[u8])> = members.iter().map(|member| (3.0, &member[..])).collect();
        edit(&trial, |set, tx| set.write(tx, &elements, Rules::default(), LIMITS));
        let (low, high) = (name(low), name(high));
        let bound = |name| if exclusive { LexBound::Exclusive(name) } else { LexBound::Inclusive(name) };
        let range = LexRange { min: bound(&low), max: bound(&high) };
        let is_in = |member: &&Vec<u8>| {
            if exclusive { low < **member && **member < high } else { low <= **member && **member <= high }
        };
        let wanted: Vec<&Vec<u8>> = members.iter().filter(is_in).collect();
        for direction in [Direction::Forward, Direction::Backward] {
            let found = read(&trial, |set, tx| {
                let span = set.lex_span(tx, &range, direction)?;
                set.slice(tx, span, Direction::Forward)
            });
            let found: Vec<Vec<u8>> = found.into_iter().map(|(member, _)| member.to_vec()).collect();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), wanted.clone());
        }
    }

    #[test]
    fn any_bytes_load_or_are_refused(bytes: Vec<u8>, is_large: bool) {
        let bytes = Bytes::from(bytes);
        let body = if is_large { Body::Large { id: ObjectId(1), meta: bytes } } else { Body::Inline(bytes) };
        if let Ok(set) = ZSet::load(Encoding::Skiplist, body) {
            let trial = Trial::new();
            let _ = trial.run(|tx| set.all(tx));
            let _ = trial.run(|tx| set.rank(tx, b"member"));
        }
    }
}
