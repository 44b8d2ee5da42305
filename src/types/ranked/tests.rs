//! The index against an ordered set: ranks, selections and walks; and against itself: every
//! count equals a recount, and no row is left behind.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::types::trial::Trial;

type Model = BTreeSet<Vec<u8>>;

/// An index in a store, its metadata kept as a record would keep it.
struct Tried {
    trial: Trial,
    object: ObjectId,
    meta: Bytes,
}

impl Tried {
    fn new() -> Self {
        let trial = Trial::new();
        let object = trial.run(|tx| tx.new_object()).unwrap();
        let mut meta = BytesMut::new();
        Ranked::create(object).put_meta(&mut meta);
        Self { trial, object, meta: meta.freeze() }
    }

    fn built(keys: &Model) -> Self {
        let mut tried = Self::new();
        let object = tried.object;
        let build = |tx: &mut Tx| {
            let mut builder = Builder::new(Ranked::create(object));
            for key in keys {
                builder.push(tx, Bytes::copy_from_slice(key));
            }
            let mut meta = BytesMut::new();
            builder.finish(tx).put_meta(&mut meta);
            Ok(meta.freeze())
        };
        tried.meta = tried.trial.run(build).unwrap();
        tried
    }

    fn change(&mut self, mut change: impl FnMut(&mut Ranked, &mut Tx) -> Result<()>) {
        let (object, meta) = (self.object, self.meta.clone());
        let run = |tx: &mut Tx| {
            let mut index = Ranked::load(object, &meta).unwrap();
            change(&mut index, tx)?;
            let changed = index.flush(tx);
            let mut after = BytesMut::new();
            index.put_meta(&mut after);
            assert_eq!(changed, after != meta, "whether the metadata changed");
            Ok(after.freeze())
        };
        self.meta = self.trial.run(run).unwrap();
    }

    fn look<R>(&self, look: impl Fn(&Ranked, &mut Tx) -> Result<R>) -> R {
        let index = Ranked::load(self.object, &self.meta).unwrap();
        self.trial.run(|tx| look(&index, tx)).unwrap()
    }

    /// Holds every verb and every count against the model.
    fn check(&self, model: &Model) {
        let walked = |direction, from: u64| {
            self.look(|index, tx| {
                let mut walk = index.walk(tx, from, direction)?;
                let mut keys = Vec::new();
                while let Some(key) = walk.next(index, tx)? {
                    keys.push(key.to_vec());
                }
                Ok(keys)
            })
        };
        let keys: Vec<Vec<u8>> = model.iter().cloned().collect();
        let count = keys.len() as u64;
        assert_eq!(walked(Direction::Forward, 0), keys);
        let middle = keys.len() / 2;
        assert_eq!(walked(Direction::Forward, middle as u64), keys[middle..]);
        let backwards: Vec<Vec<u8>> = keys.iter().take(middle + 1).rev().cloned().collect();
        assert_eq!(walked(Direction::Backward, middle as u64), backwards);
        assert_eq!(walked(Direction::Forward, count), Vec::<Vec<u8>>::new());
        self.look(|index, tx| {
            assert_eq!(index.len(), count);
            for (rank, key) in keys.iter().enumerate().step_by(7) {
                let mut behind = key.clone();
                behind.push(0);
                assert_eq!(index.rank(tx, key)?, rank as u64);
                assert_eq!(index.rank(tx, &behind)?, rank as u64 + 1);
                assert_eq!(index.select(tx, rank as u64)?.as_deref(), Some(&key[..]));
            }
            assert_eq!(index.select(tx, count)?, None);
            let mut rows = 0;
            if count > 0 {
                assert_eq!(recount(index, tx, &Address::root(index.height), (&[], None), &mut rows)?, count);
                assert_eq!(self.trial.engine.entries(FAMILY), rows - 1, "rows in all, the root apart");
            }
            Ok(())
        });
    }
}

/// Counts keys below a node and holds its counts, its order and its length against them.
fn recount(
    index: &Ranked,
    tx: &mut Tx,
    address: &Address,
    (low, high): (&[u8], Option<&[u8]>),
    rows: &mut usize,
) -> Result<u64> {
    *rows += 1;
    let is_in = |key: &[u8]| low <= key && high.is_none_or(|high| key < high);
    match index.see(tx, address)?.into_owned() {
        Node::Leaf(leaf) => {
            assert!(!leaf.is_empty(), "an empty leaf was kept");
            assert!(leaf.size_bytes() <= NODE_BYTES || leaf.len() == 1, "a leaf is too long");
            let keys: Vec<Bytes> = leaf.strings().map(|range| leaf.slice(range)).collect();
            assert!(keys.is_sorted_by(|one, other| one < other));
            assert!(keys.iter().all(|key| is_in(key)), "a key lies in a foreign leaf");
            Ok(keys.len() as u64)
        }
        Node::Branch(branch) => {
            let longest = branch.children.iter().map(Child::size_bytes).max().unwrap_or(0);
            let is_short = branch.size_bytes() <= NODE_BYTES || branch.children.len() < CHILDREN_MIN;
            assert!(is_short || branch.size_bytes() <= NODE_BYTES + longest, "a branch is too long");
            let mut count = 0;
            for (nth, child) in branch.children.iter().enumerate() {
                let from = if nth == 0 { low } else { &child.from };
                let end = branch.children.get(nth + 1).map(|next| &next.from[..]).or(high);
                assert!(end.is_none_or(|end| from < end), "children out of order");
                let below = recount(index, tx, &index.below(&branch, nth, address)?, (from, end), rows)?;
                assert_eq!(below, child.count, "a count is wrong");
                count += below;
            }
            Ok(count)
        }
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (0..400_u32).prop_map(|number| format!("key:{number:06}").into_bytes()),
        2 => proptest::collection::vec(0..3_u8, 0..9),
        1 => (0..40_u8, 100..900_usize).prop_map(|(byte, length)| [vec![b'k'; length], vec![byte]].concat()),
    ]
}

/// Changes of one command.
fn batch() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    prop_oneof![
        proptest::collection::vec((proptest::bool::weighted(0.8), key()), 1..60),
        proptest::collection::vec((proptest::bool::weighted(0.2), key()), 1..60),
    ]
}

fn apply(tried: &mut Tried, model: &mut Model, batch: &[(bool, Vec<u8>)]) {
    let before = model.clone();
    tried.change(|index, tx| {
        // A command may run again, from the same state.
        *model = before.clone();
        for (adds, key) in batch {
            if *adds && model.insert(key.clone()) {
                index.insert(tx, key)?;
            } else if !*adds && model.remove(key) {
                index.remove(tx, key)?;
            }
        }
        Ok(())
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_does_what_an_ordered_set_does(batches in proptest::collection::vec(batch(), 1..30), cold: bool) {
        let mut tried = Tried::new();
        tried.trial.cold = cold;
        let mut model = Model::new();
        for batch in &batches {
            apply(&mut tried, &mut model, batch);
            tried.check(&model);
        }
    }

    #[test]
    fn what_is_built_at_once_is_the_same_and_changes_as_well(
        keys in proptest::collection::btree_set(key(), 0..600),
        batch in batch(),
    ) {
        let mut tried = Tried::built(&keys);
        let mut model = keys;
        tried.check(&model);
        apply(&mut tried, &mut model, &batch);
        tried.check(&model);
    }

    #[test]
    fn any_metadata_loads_or_is_refused_and_damaged_nodes_are_errors(meta: Vec<u8>, key: Vec<u8>, rank: u64) {
        let trial = Trial::new();
        if let Ok(mut index) = Ranked::load(ObjectId(1), &meta.into()) {
            let _ = trial.run(|tx| index.rank(tx, &key));
            let _ = trial.run(|tx| index.select(tx, rank));
            let _ = trial.run(|tx| index.insert(tx, &key));
            let _ = trial.run(|tx| index.remove(tx, &key));
        }
    }
}

fn numbered(number: u32) -> Vec<u8> {
    format!("key:{number:08}").into_bytes()
}

#[test]
fn a_large_one_is_a_few_levels_high_and_shrinks_again() {
    let mut tried = Tried::new();
    let mut model = Model::new();
    for start in (0..20_000_u32).step_by(500) {
        // Spread over the whole by a multiplier that has no factor in common with it.
        let batch: Vec<_> = (start..start + 500).map(|number| (true, numbered(number * 7_919 % 20_000))).collect();
        apply(&mut tried, &mut model, &batch);
    }
    tried.check(&model);
    assert_eq!(tried.look(|index, _| Ok(index.height)), 2);
    for start in (0..19_900_u32).step_by(500) {
        let batch: Vec<_> =
            (start..(start + 500).min(19_900)).map(|number| (false, numbered(number * 7_919 % 20_000))).collect();
        apply(&mut tried, &mut model, &batch);
    }
    tried.check(&model);
    assert_eq!(model.len(), 100);
    assert_eq!(tried.look(|index, _| Ok(index.height)), 1);
    assert!(tried.trial.engine.entries(FAMILY) < 20, "{}", tried.trial.engine.entries(FAMILY));
}

#[test]
fn what_is_added_in_order_fills_its_nodes() {
    let mut tried = Tried::new();
    let mut model = Model::new();
    for start in (0..5_000_u32).step_by(100) {
        let batch: Vec<_> = (start..start + 100).map(|number| (true, numbered(number))).collect();
        apply(&mut tried, &mut model, &batch);
    }
    tried.check(&model);
    // 13 bytes a key.
    let least = 5_000 * 13 / NODE_BYTES;
    assert!(tried.trial.engine.entries(FAMILY) < least * 5 / 4, "{}", tried.trial.engine.entries(FAMILY));
}

#[test]
fn a_queue_keeps_its_size() {
    let mut tried = Tried::new();
    let mut model = Model::new();
    let first: Vec<_> = (0..1_000).map(|number| (true, numbered(number))).collect();
    apply(&mut tried, &mut model, &first);
    let rows = tried.trial.engine.entries(FAMILY);
    for number in 1_000..6_000 {
        apply(&mut tried, &mut model, &[(true, numbered(number)), (false, numbered(number - 1_000))]);
    }
    tried.check(&model);
    assert!(tried.trial.engine.entries(FAMILY) <= rows + 4, "{}", tried.trial.engine.entries(FAMILY));
}
