//! Sorted sets: members with scores, in the order of the scores.
//!
//! - here: [`ZSet`], its two layouts and its verbs. `entry.rs`: an element as bytes that sort.
//!   `range.rs`: ranges of scores and of members as ranges of ranks. `algebra.rs`: what several
//!   sets have in common, together, or apart. `check.rs`: whether one is whole.
//!
//! Every selection is one of ranks, counted from 0 for the least score: a verb finds the ranks
//! ([`ZSet::score_span`], [`ZSet::lex_span`], [`ZSet::rank`]), another reads or removes them
//! ([`ZSet::slice`], [`ZSet::walk`], [`ZSet::remove_span`]).
//!
//! ```text
//! inline body      packed (score f64 · member), in order
//! large metadata   salt u64 BE · metadata of the ranked index
//! parts            data: 'm' place member → score f64; scores: the nodes of the ranked index
//! ```
//!
//! So an inline set is one leaf of the index that it gets when it outgrows its record.
//! Which word OBJECT ENCODING answers follows Redis' thresholds ([`Limits`]).

mod algebra;
mod check;
mod entry;
mod range;

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use rustc_hash::FxHashSet;

pub use algebra::{Aggregate, AnySet, Source, difference, intersection, intersection_count, union};
pub use range::{LexBound, LexRange, ScoreBound, ScoreRange};

use self::entry::{entry, member_of, score_of, split};
use super::packed::{INLINE_BYTES, Packed, Spot};
use super::ranked::{Builder, Ranked, RankedWalk};
use super::spread::Spread;
use crate::base::{Error, Result, random};
use crate::encoding::key::{ObjectId, part_key};
use crate::encoding::order::{encode_f64, take_u64};
use crate::keyspace::{Body, Direction, Encoding, Kind, Tx, Type};
use crate::storage::{Family, Tier};

const MEMBERS: u8 = b'm';
/// From one element in this many on, a sample reads the whole set.
const SPARSE_SHARE: u64 = 8;

/// Up to where OBJECT ENCODING says `listpack`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most elements of a listpack.
    pub listpack_entries: usize,
    /// The longest member of a listpack.
    pub listpack_value_bytes: usize,
}

/// Which elements ZADD writes, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// Only new members.
    pub new_only: bool,
    /// Only members that are there.
    pub present_only: bool,
    /// Present members only if the score grows.
    pub greater: bool,
    /// Present members only if the score falls.
    pub less: bool,
    /// The score is an increment.
    pub increment: bool,
}

/// What became of an element that was to be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Written {
    /// The rules forbade it.
    Nothing,
    /// It had that score already.
    Same(f64),
    Added(f64),
    Updated(f64),
}

/// A member and its score.
pub type Element = (Bytes, f64);

/// A sorted set as a command holds it.
#[derive(Debug)]
pub struct ZSet {
    is_skiplist: bool,
    layout: Layout,
    /// Whether the record must be written.
    changed: bool,
}

/// Where the elements are.
#[derive(Debug)]
enum Layout {
    Inline(Packed),
    Large(Large),
}

/// A sorted set outside its record: scores by member, and members in the order of scores.
#[derive(Debug)]
struct Large {
    object: ObjectId,
    salt: u64,
    order: Ranked,
}

impl Large {
    fn load(object: ObjectId, meta: &Bytes) -> Result<Self, &'static str> {
        let mut rest = &meta[..];
        let salt = take_u64(&mut rest).ok_or("the metadata of a large sorted set ends early")?;
        Ok(Self { object, salt, order: Ranked::load(object, &meta.slice_ref(rest))? })
    }

    fn meta(&self) -> Bytes {
        let mut meta = BytesMut::with_capacity(64);
        meta.put_u64(self.salt);
        self.order.put_meta(&mut meta);
        meta.freeze()
    }

    fn members(&self) -> Spread {
        Spread { object: self.object, salt: self.salt, tag: MEMBERS }
    }

    fn score(&self, tx: &mut Tx, member: &[u8]) -> Result<Option<f64>> {
        let stored = self.members().get(tx, member)?;
        stored.map(|bytes| self.decode_score(member, &bytes)).transpose()
    }

    fn decode_score(&self, member: &[u8], stored: &[u8]) -> Result<f64> {
        let score = score_of(stored).filter(|_| stored.len() == entry::SCORE_BYTES);
        score.ok_or_else(|| Error::Corruption {
            family: Family::Data.name(),
            key: part_key(self.object, &self.members().part(member)),
            what: "a score is not a double".into(),
        })
    }

    fn decode_entry(&self, stored: &Bytes) -> Result<Element> {
        split(stored).ok_or_else(|| Error::Corruption {
            family: Family::Scores.name(),
            key: part_key(self.object, stored),
            what: "an entry in the order of scores has no score".into(),
        })
    }

    fn put(&mut self, tx: &mut Tx, member: &[u8], old: Option<f64>, score: f64) -> Result<()> {
        if let Some(old) = old {
            self.order.remove(tx, &entry(old, member))?;
        }
        self.order.insert(tx, &entry(score, member))?;
        self.members().put(tx, member, Bytes::copy_from_slice(&encode_f64(score)));
        Ok(())
    }

    fn remove(&mut self, tx: &mut Tx, member: &[u8], score: f64) -> Result<()> {
        self.order.remove(tx, &entry(score, member))?;
        self.members().delete(tx, member);
        Ok(())
    }
}

impl Kind for ZSet {
    const TYPE: Type = Type::SortedSet;

    fn create() -> Self {
        Self { is_skiplist: false, layout: Layout::Inline(Packed::empty(1)), changed: false }
    }

    fn load(encoding: Encoding, body: Body) -> Result<Self, String> {
        let is_skiplist = match encoding {
            Encoding::Listpack => false,
            Encoding::Skiplist => true,
            other => return Err(format!("a sorted set is never encoded as {other:?}")),
        };
        let layout = match body {
            Body::Inline(bytes) => Layout::Inline(Packed::open(bytes, 1)?),
            Body::Large { id, meta } => Layout::Large(Large::load(id, &meta)?),
        };
        Ok(Self { is_skiplist, layout, changed: false })
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_changed(&self) -> bool {
        self.changed
    }

    fn pack(mut self, tx: &mut Tx) -> Result<(Encoding, Body)> {
        self.flush(tx);
        let encoding = if self.is_skiplist { Encoding::Skiplist } else { Encoding::Listpack };
        let body = match self.layout {
            Layout::Inline(packed) => Body::Inline(packed.into_bytes()),
            Layout::Large(large) => Body::Large { id: large.object, meta: large.meta() },
        };
        Ok((encoding, body))
    }
}

impl ZSet {
    /// A new set of elements that are sorted by score and member, each member given once.
    ///
    /// # Errors
    /// When no object id can be had.
    pub fn of(tx: &mut Tx, elements: &[Element], limits: Limits) -> Result<Self> {
        let longest = elements.iter().map(|(member, _)| member.len()).max().unwrap_or(0);
        let is_skiplist = elements.len() > limits.listpack_entries || longest > limits.listpack_value_bytes;
        let entries = || elements.iter().map(|(member, score)| entry(*score, member));
        let mut bytes = Packed::empty(1).size_bytes();
        let fits = entries().all(|entry| {
            bytes += Packed::item_bytes(&[&entry]);
            bytes <= INLINE_BYTES
        });
        let layout = if fits {
            let mut packed = Packed::empty(1);
            entries().for_each(|entry| packed.push(&[&entry]));
            Layout::Inline(packed)
        } else {
            Layout::Large(write_large(tx, entries().map(Bytes::from))?)
        };
        Ok(Self { is_skiplist, layout, changed: true })
    }

    // ---- reading ------------------------------------------------------------

    /// How many elements there are.
    pub fn len(&self) -> u64 {
        match &self.layout {
            Layout::Inline(packed) => packed.len() as u64,
            Layout::Large(large) => large.order.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of a member.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn score(&self, tx: &mut Tx, member: &[u8]) -> Result<Option<f64>> {
        match &self.layout {
            Layout::Inline(packed) => Ok(find(packed, member).and_then(|spot| score_of(packed.string(&spot, 0)))),
            Layout::Large(large) => large.score(tx, member),
        }
    }

    /// The scores of several members, in their order; reads that miss memory run together.
    ///
    /// # Errors
    /// As [`Tx::parts`].
    pub fn scores(&self, tx: &mut Tx, members: &[&[u8]]) -> Result<Vec<Option<f64>>> {
        match &self.layout {
            Layout::Inline(_) => members.iter().map(|member| self.score(tx, member)).collect(),
            Layout::Large(large) => {
                let stored = large.members().get_many(tx, members)?;
                let decode = |(stored, member): (Option<Bytes>, &&[u8])| {
                    stored.map(|bytes| large.decode_score(member, &bytes)).transpose()
                };
                stored.into_iter().zip(members).map(decode).collect()
            }
        }
    }

    /// Rank, from the least score on, and score of a member.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn rank(&self, tx: &mut Tx, member: &[u8]) -> Result<Option<(u64, f64)>> {
        match &self.layout {
            Layout::Inline(packed) => {
                let ranked = |spot: Spot| Some((spot.index as u64, score_of(packed.string(&spot, 0))?));
                Ok(find(packed, member).and_then(ranked))
            }
            Layout::Large(large) => {
                let Some(score) = large.score(tx, member)? else { return Ok(None) };
                Ok(Some((large.order.rank(tx, &entry(score, member))?, score)))
            }
        }
    }

    /// How many entries are less than `bound`.
    fn below(&self, tx: &mut Tx, bound: &[u8]) -> Result<u64> {
        match &self.layout {
            Layout::Inline(packed) => Ok(place_of(packed, bound).map_or(packed.len(), |spot| spot.index) as u64),
            Layout::Large(large) => large.order.rank(tx, bound),
        }
    }

    /// The element of a rank.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn at(&self, tx: &mut Tx, rank: u64) -> Result<Option<Element>> {
        match &self.layout {
            Layout::Inline(packed) => {
                let spot = usize::try_from(rank).ok().and_then(|rank| packed.at(rank));
                Ok(spot.and_then(|spot| split(&packed.bytes(&spot, 0))))
            }
            Layout::Large(large) => {
                let entry = large.order.select(tx, rank)?;
                entry.map(|entry| large.decode_entry(&entry)).transpose()
            }
        }
    }

    /// The elements from a rank on, upwards or downwards.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn walk<'a>(&'a self, tx: &mut Tx, rank: u64, direction: Direction) -> Result<Walk<'a>> {
        match &self.layout {
            Layout::Inline(packed) => {
                let ranges: Vec<Range<usize>> = packed.strings().collect();
                let rank = usize::try_from(rank).unwrap_or(usize::MAX);
                let left = match direction {
                    _ if rank >= ranges.len() => 0..0,
                    Direction::Forward => rank..ranges.len(),
                    Direction::Backward => 0..rank + 1,
                };
                Ok(Walk(Walking::Inline { packed, ranges, left, direction }))
            }
            Layout::Large(large) => Ok(Walk(Walking::Large { large, walk: large.order.walk(tx, rank, direction)? })),
        }
    }

    /// The elements of a range of ranks, from either end of it.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn slice(&self, tx: &mut Tx, ranks: Range<u64>, direction: Direction) -> Result<Vec<Element>> {
        let end = ranks.end.min(self.len());
        let count = end.saturating_sub(ranks.start);
        let mut elements = Vec::with_capacity(count.min(1 << 16) as usize);
        if count == 0 {
            return Ok(elements);
        }
        let first = if direction == Direction::Forward { ranks.start } else { end - 1 };
        if count == 1 {
            elements.extend(self.at(tx, first)?);
            return Ok(elements);
        }
        let mut walk = self.walk(tx, first, direction)?;
        while (elements.len() as u64) < count
            && let Some(element) = walk.next(tx)?
        {
            elements.push(element);
        }
        Ok(elements)
    }

    /// All elements in the order of their scores.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn all(&self, tx: &mut Tx) -> Result<Vec<Element>> {
        self.slice(tx, 0..self.len(), Direction::Forward)
    }

    /// A page of ZSCAN and the cursor behind it: about `count` elements of a large set, all of
    /// an inline one.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn page(&self, tx: &mut Tx, cursor: u64, count: usize) -> Result<(u64, Vec<Element>)> {
        match &self.layout {
            Layout::Inline(_) => Ok((0, self.all(tx)?)),
            Layout::Large(large) => {
                let page = large.members().page(tx, cursor, count)?;
                let decode = |(member, score): (Bytes, Bytes)| {
                    let score = large.decode_score(&member, &score)?;
                    Ok((member, score))
                };
                let elements: Result<Vec<Element>> = page.elements.into_iter().map(decode).collect();
                Ok((page.cursor, elements?))
            }
        }
    }

    /// `wanted` elements, each drawn evenly from all; none only if there is none.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn draws(&self, tx: &mut Tx, wanted: u64) -> Result<Vec<Element>> {
        let count = self.len();
        let mut drawn = Vec::new();
        if wanted >= count {
            let all = self.all(tx)?;
            let draw = |_| all.get(random::below(count) as usize).cloned();
            drawn.extend((0..wanted).map_while(draw));
            return Ok(drawn);
        }
        for _ in 0..wanted {
            drawn.extend(self.at(tx, random::below(count))?);
        }
        Ok(drawn)
    }

    /// `wanted` different elements, each choice as likely as any other; all, if there are no more.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn sample(&self, tx: &mut Tx, wanted: u64) -> Result<Vec<Element>> {
        let count = self.len();
        if wanted >= count {
            return self.all(tx);
        }
        if wanted.saturating_mul(SPARSE_SHARE) >= count {
            let mut all = self.all(tx)?;
            random::shuffle(&mut all);
            all.truncate(wanted as usize);
            return Ok(all);
        }
        let mut drawn = Vec::with_capacity(wanted as usize);
        let mut ranks = FxHashSet::default();
        while (drawn.len() as u64) < wanted {
            let rank = random::below(count);
            if ranks.insert(rank) {
                drawn.extend(self.at(tx, rank)?);
            }
        }
        Ok(drawn)
    }

    // ---- changing -----------------------------------------------------------

    /// Writes elements by the rules; says what became of each.
    ///
    /// # Errors
    /// As [`Tx::part`]; a score that would not be a number.
    pub fn write(
        &mut self,
        tx: &mut Tx,
        elements: &[(f64, &[u8])],
        rules: Rules,
        limits: Limits,
    ) -> Result<Vec<Written>> {
        self.expect(elements.len(), limits);
        let members: Vec<&[u8]> = elements.iter().map(|(_, member)| *member).collect();
        self.bring_near(tx, &members)?;
        let mut written = Vec::with_capacity(elements.len());
        for (score, member) in elements {
            written.push(self.write_one(tx, *score, member, rules, limits)?);
        }
        self.flush(tx);
        Ok(written)
    }

    fn write_one(&mut self, tx: &mut Tx, given: f64, member: &[u8], rules: Rules, limits: Limits) -> Result<Written> {
        let Some(old) = self.score(tx, member)? else {
            if rules.present_only {
                return Ok(Written::Nothing);
            }
            self.put(tx, member, None, given, limits)?;
            return Ok(Written::Added(given + 0.0));
        };
        if rules.new_only {
            return Ok(Written::Nothing);
        }
        let score = if rules.increment { old + given } else { given };
        if score.is_nan() {
            return Err(Error::client("ERR resulting score is not a number (NaN)"));
        }
        if (rules.less && score >= old) || (rules.greater && score <= old) {
            return Ok(Written::Nothing);
        }
        if score == old {
            return Ok(Written::Same(old));
        }
        self.put(tx, member, Some(old), score, limits)?;
        Ok(Written::Updated(score + 0.0))
    }

    /// What is on disk only is read at once; the verbs that follow find it in memory.
    fn bring_near(&self, tx: &mut Tx, members: &[&[u8]]) -> Result<()> {
        if let (Layout::Large(large), [_, _, ..], Tier::Disk) = (&self.layout, members, tx.tier()) {
            large.members().get_many(tx, members)?;
        }
        Ok(())
    }

    /// The word once so many elements are about to be added.
    fn expect(&mut self, elements: usize, limits: Limits) {
        if elements > limits.listpack_entries && !self.is_skiplist {
            self.is_skiplist = true;
            self.changed |= !self.is_empty();
        }
    }

    /// Puts an element in the place of the one of the same member, which has the score `old`.
    fn put(&mut self, tx: &mut Tx, member: &[u8], old: Option<f64>, score: f64, limits: Limits) -> Result<()> {
        if old.is_none() && !self.is_skiplist {
            self.is_skiplist =
                self.len() >= limits.listpack_entries as u64 || member.len() > limits.listpack_value_bytes;
            self.changed |= self.is_skiplist;
        }
        let entry = entry(score, member);
        if let Layout::Inline(packed) = &mut self.layout {
            if let Some(spot) = old.and_then(|_| find(packed, member)) {
                packed.remove(&spot);
            }
            if packed.size_bytes() + Packed::item_bytes(&[&entry]) <= INLINE_BYTES {
                packed.insert(place_of(packed, &entry).as_ref(), &[&entry]);
                self.changed = true;
                return Ok(());
            }
            let entries: Vec<Bytes> = packed.strings().map(|range| packed.slice(range)).collect();
            self.layout = Layout::Large(write_large(tx, entries)?);
            self.changed = true;
            return self.put_large(tx, member, None, score);
        }
        self.put_large(tx, member, old, score)
    }

    fn put_large(&mut self, tx: &mut Tx, member: &[u8], old: Option<f64>, score: f64) -> Result<()> {
        match &mut self.layout {
            Layout::Large(large) => large.put(tx, member, old, score),
            Layout::Inline(_) => Ok(()),
        }
    }

    /// Removes members; says how many were there.
    ///
    /// # Errors
    /// As [`Tx::parts`].
    pub fn remove(&mut self, tx: &mut Tx, members: &[&[u8]]) -> Result<u64> {
        self.bring_near(tx, members)?;
        let mut removed = 0;
        for member in members {
            removed += u64::from(self.remove_one(tx, member)?);
        }
        self.flush(tx);
        Ok(removed)
    }

    fn remove_one(&mut self, tx: &mut Tx, member: &[u8]) -> Result<bool> {
        match &mut self.layout {
            Layout::Inline(packed) => {
                let Some(spot) = find(packed, member) else { return Ok(false) };
                packed.remove(&spot);
                self.changed = true;
            }
            Layout::Large(large) => {
                let Some(score) = large.score(tx, member)? else { return Ok(false) };
                large.remove(tx, member, score)?;
            }
        }
        Ok(true)
    }

    /// Removes a range of ranks and gives the elements, from either end of it.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn remove_span(&mut self, tx: &mut Tx, ranks: Range<u64>, direction: Direction) -> Result<Vec<Element>> {
        let removed = self.slice(tx, ranks, direction)?;
        if removed.is_empty() {
            return Ok(removed);
        }
        if removed.len() as u64 == self.len() {
            // The key goes, and what is left of its object with it.
            self.layout = Layout::Inline(Packed::empty(1));
            self.changed = true;
            return Ok(removed);
        }
        for (member, score) in &removed {
            match &mut self.layout {
                Layout::Inline(packed) => {
                    if let Some(spot) = find(packed, member) {
                        packed.remove(&spot);
                        self.changed = true;
                    }
                }
                Layout::Large(large) => large.remove(tx, member, *score)?,
            }
        }
        self.flush(tx);
        Ok(removed)
    }

    /// Writes what a verb changed in the order of a large set.
    fn flush(&mut self, tx: &mut Tx) {
        if let Layout::Large(large) = &mut self.layout {
            self.changed |= large.order.flush(tx);
        }
    }
}

/// Writes entries, which come in order, to a new object.
fn write_large(tx: &mut Tx, entries: impl IntoIterator<Item = Bytes>) -> Result<Large> {
    let object = tx.new_object()?;
    let mut large = Large { object, salt: random::number(), order: Ranked::create(object) };
    let members = large.members();
    let mut order = Builder::new(large.order);
    for entry in entries {
        let score = entry.get(..entry::SCORE_BYTES).unwrap_or_default();
        members.put(tx, member_of(&entry), Bytes::copy_from_slice(score));
        order.push(tx, entry);
    }
    large.order = order.finish(tx);
    Ok(large)
}

/// The entry of a member.
fn find(packed: &Packed, member: &[u8]) -> Option<Spot> {
    packed.items().find(|spot| member_of(packed.string(spot, 0)) == member)
}

/// The first entry that is not less than `bound`.
fn place_of(packed: &Packed, bound: &[u8]) -> Option<Spot> {
    packed.items().find(|spot| packed.string(spot, 0) >= bound)
}

/// Walks over elements in the order of scores, or against it.
pub struct Walk<'a>(Walking<'a>);

enum Walking<'a> {
    Inline { packed: &'a Packed, ranges: Vec<Range<usize>>, left: Range<usize>, direction: Direction },
    Large { large: &'a Large, walk: RankedWalk },
}

impl Walk<'_> {
    /// The next element.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn next(&mut self, tx: &mut Tx) -> Result<Option<Element>> {
        match &mut self.0 {
            Walking::Inline { packed, ranges, left, direction } => {
                let next = if *direction == Direction::Forward { left.next() } else { left.next_back() };
                let range = next.and_then(|nth| ranges.get(nth)).cloned();
                Ok(range.and_then(|range| split(&packed.slice(range))))
            }
            Walking::Large { large, walk } => {
                let entry = walk.next(&large.order, tx)?;
                entry.map(|entry| large.decode_entry(&entry)).transpose()
            }
        }
    }
}

#[cfg(test)]
mod tests;
