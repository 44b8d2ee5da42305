//! What several sets, sorted or plain, have in common, together, or apart. The members of a
//! plain set have the score 1. Inputs are combined from the smallest to the largest, because
//! Redis does so and the order shows in the last digit of a sum.

use bytes::Bytes;
use rustc_hash::FxHashMap;
use rustc_hash::FxHashSet;

use super::{Element, ZSet};
use crate::base::Result;
use crate::keyspace::{Direction, Tx};
use crate::types::set::Set;

/// Members looked up together.
const PAGE: usize = 256;

/// How the scores of one member are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Aggregate {
    #[default]
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn combine(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Sum => number(one + other),
            Self::Min => {
                if other < one {
                    other
                } else {
                    one
                }
            }
            Self::Max => {
                if other > one {
                    other
                } else {
                    one
                }
            }
        }
    }
}

/// Infinities that cancel out, and infinity times nothing, count as 0.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// An input.
#[derive(Debug)]
pub struct Source {
    /// `None` if there is no such key.
    pub set: Option<AnySet>,
    pub weight: f64,
}

/// A set, sorted or plain.
#[derive(Debug)]
pub enum AnySet {
    Sorted(ZSet),
    Plain(Set),
}

enum SourceWalk<'a> {
    Nothing,
    Sorted(super::Walk<'a>),
    Plain(crate::types::set::Walk<'a>),
}

impl SourceWalk<'_> {
    fn next(&mut self, tx: &mut Tx) -> Result<Option<Element>> {
        match self {
            Self::Nothing => Ok(None),
            Self::Sorted(walk) => walk.next(tx),
            Self::Plain(walk) => Ok(walk.next()?.map(|member| (member, 1.0))),
        }
    }

    fn page(&mut self, tx: &mut Tx) -> Result<Vec<Element>> {
        let mut page = Vec::with_capacity(PAGE);
        while page.len() < PAGE
            && let Some(element) = self.next(tx)?
        {
            page.push(element);
        }
        Ok(page)
    }
}

impl Source {
    /// How many members it has.
    pub fn len(&self) -> u64 {
        match &self.set {
            None => 0,
            Some(AnySet::Sorted(set)) => set.len(),
            Some(AnySet::Plain(set)) => set.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn walk<'a>(&'a self, tx: &mut Tx) -> Result<SourceWalk<'a>> {
        Ok(match &self.set {
            None => SourceWalk::Nothing,
            Some(AnySet::Sorted(set)) => SourceWalk::Sorted(set.walk(tx, 0, Direction::Forward)?),
            Some(AnySet::Plain(set)) => SourceWalk::Plain(set.walk(tx)?),
        })
    }

    /// The scores of members, in their order, before weighing.
    fn scores(&self, tx: &mut Tx, members: &[&[u8]]) -> Result<Vec<Option<f64>>> {
        match &self.set {
            None => Ok(vec![None; members.len()]),
            Some(AnySet::Sorted(set)) => set.scores(tx, members),
            Some(AnySet::Plain(set)) => {
                let found = set.contains_many(tx, members)?;
                Ok(found.into_iter().map(|found| found.then_some(1.0)).collect())
            }
        }
    }
}

fn by_size(sources: &[Source]) -> Vec<&Source> {
    let mut sorted: Vec<&Source> = sources.iter().collect();
    sorted.sort_by_key(|source| source.len());
    sorted
}

/// Puts elements in the order of a sorted set.
fn in_order(elements: impl IntoIterator<Item = Element>) -> Vec<Element> {
    let mut elements: Vec<Element> =
        elements.into_iter().map(|(member, score)| (member, number(score) + 0.0)).collect();
    elements.sort_unstable_by(|(one, low), (other, high)| low.total_cmp(high).then_with(|| one.cmp(other)));
    elements
}

/// Members that any of the inputs has, in the order of their scores.
///
/// # Errors
/// As [`Tx::scan`].
pub fn union(tx: &mut Tx, sources: &[Source], aggregate: Aggregate) -> Result<Vec<Element>> {
    let mut scores: FxHashMap<Bytes, f64> = FxHashMap::default();
    for source in by_size(sources) {
        let mut walk = source.walk(tx)?;
        while let Some((member, score)) = walk.next(tx)? {
            let score = number(score * source.weight);
            scores.entry(member).and_modify(|sum| *sum = aggregate.combine(*sum, score)).or_insert(score);
        }
    }
    Ok(in_order(scores))
}

/// Members that all of the inputs have, in the order of their scores.
///
/// # Errors
/// As [`Tx::scan`].
pub fn intersection(tx: &mut Tx, sources: &[Source], aggregate: Aggregate) -> Result<Vec<Element>> {
    let mut shared = Vec::new();
    each_shared(tx, sources, aggregate, u64::MAX, |elements| shared.extend(elements))?;
    Ok(in_order(shared))
}

/// How many members all of the inputs have; counting stops at `most`.
///
/// # Errors
/// As [`Tx::scan`].
pub fn intersection_count(tx: &mut Tx, sources: &[Source], most: u64) -> Result<u64> {
    let mut count = 0;
    each_shared(tx, sources, Aggregate::Sum, most, |elements| count += elements.len() as u64)?;
    Ok(count.min(most))
}

/// Walks the smallest input and shows what the others have too, page by page, until there were `most`.
fn each_shared(
    tx: &mut Tx,
    sources: &[Source],
    aggregate: Aggregate,
    most: u64,
    mut show: impl FnMut(Vec<Element>),
) -> Result<()> {
    let sorted = by_size(sources);
    let Some((smallest, others)) = sorted.split_first() else { return Ok(()) };
    let mut walk = smallest.walk(tx)?;
    let mut shown = 0;
    while shown < most {
        let page = walk.page(tx)?;
        if page.is_empty() {
            break;
        }
        let mut page: Vec<Element> =
            page.into_iter().map(|(member, score)| (member, number(score * smallest.weight))).collect();
        for other in others {
            let members: Vec<&[u8]> = page.iter().map(|(member, _)| &member[..]).collect();
            let found = other.scores(tx, &members)?;
            page = page
                .into_iter()
                .zip(found)
                .filter_map(|((member, sum), score)| Some((member, aggregate.combine(sum, score? * other.weight))))
                .collect();
        }
        shown += page.len() as u64;
        show(page);
    }
    Ok(())
}

/// Members of the first input that none of the others has, with their scores there.
///
/// # Errors
/// As [`Tx::scan`].
pub fn difference(tx: &mut Tx, sources: &[Source]) -> Result<Vec<Element>> {
    let Some((first, others)) = sources.split_first() else { return Ok(Vec::new()) };
    let mut left = Vec::new();
    if first.is_empty() {
        return Ok(left);
    }
    let others_len = others.iter().fold(0_u64, |sum, source| sum.saturating_add(source.len()));
    let mut walk = first.walk(tx)?;
    // Looking up costs about ten times what reading in order does.
    if others_len <= first.len().saturating_mul(10) {
        let mut gone = FxHashSet::default();
        for other in others {
            let mut walk = other.walk(tx)?;
            while let Some((member, _)) = walk.next(tx)? {
                gone.insert(member);
            }
        }
        while let Some((member, score)) = walk.next(tx)? {
            if !gone.contains(&member) {
                left.push((member, score));
            }
        }
        return Ok(in_order(left));
    }
    loop {
        let mut page = walk.page(tx)?;
        if page.is_empty() {
            return Ok(in_order(left));
        }
        for other in others {
            let members: Vec<&[u8]> = page.iter().map(|(member, _)| &member[..]).collect();
            let mut found = other.scores(tx, &members)?.into_iter();
            page.retain(|_| found.next() == Some(None));
        }
        left.extend(page);
    }
}
