//! Lists: elements in an order, quick at both ends and anywhere by index.
//!
//! - here: [`List`], its two layouts and its verbs. `large.rs`: elements in parts, by position;
//!   `tree.rs`: which positions follow which. `weight.rs`: what OBJECT ENCODING goes by.
//!
//! Whether that answers `listpack` or `quicklist` follows Redis' threshold ([`Limits`]), both
//! ways: a list that shrank to half of it is a listpack again. The layout follows the bytes
//! and goes one way only.
//!
//! ```text
//! inline body      packed (element)
//! large            see large.rs
//! ```

mod large;
mod tree;
mod weight;

use std::ops::{ControlFlow, Range};

use bytes::Bytes;

use self::large::Large;
pub use self::weight::Limits;
use self::weight::entry_bytes;
use super::packed::{INLINE_BYTES, Packed};
use crate::base::{Error, Result};
use crate::keyspace::{Body, Encoding, Kind, Tx, Type};
use crate::storage::Tier;

/// Elements that a search reads together at first, and at the most.
const PAGE: Range<u64> = 32..1024;
/// Elements that are looked through where nobody may wait.
const SEARCH_IN_MEMORY: u64 = 1024;

/// The left end of a list is where its first element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Left,
    Right,
}

/// A list as a command holds it.
#[derive(Debug)]
pub struct List {
    /// What OBJECT ENCODING says: `quicklist` or else `listpack`.
    is_quicklist: bool,
    layout: Layout,
    /// Whether the record must be written.
    changed: bool,
}

/// Where the elements are.
#[derive(Debug)]
enum Layout {
    Inline(Packed),
    Large(Box<Large>),
}

/// What LPOS looks for.
#[derive(Debug, Clone, Copy)]
pub struct Search {
    /// Which end it starts from.
    pub from: End,
    /// Matches to step over.
    pub skip: u64,
    /// Matches to find.
    pub count: u64,
    /// Elements to compare.
    pub compare: u64,
}

impl Kind for List {
    const TYPE: Type = Type::List;

    fn create() -> Self {
        Self { is_quicklist: false, layout: Layout::Inline(Packed::empty(1)), changed: false }
    }

    fn load(encoding: Encoding, body: Body) -> Result<Self, String> {
        let is_quicklist = match encoding {
            Encoding::Listpack => false,
            Encoding::Quicklist => true,
            other => return Err(format!("a list is never encoded as {other:?}")),
        };
        let layout = match body {
            Body::Inline(bytes) => Layout::Inline(Packed::open(bytes, 1)?),
            Body::Large { id, meta } => Layout::Large(Box::new(Large::load(id, &meta)?)),
        };
        Ok(Self { is_quicklist, layout, changed: false })
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn is_changed(&self) -> bool {
        self.changed
    }

    fn pack(mut self, tx: &mut Tx) -> Result<(Encoding, Body)> {
        if matches!(&self.layout, Layout::Inline(packed) if packed.size_bytes() > INLINE_BYTES) {
            self.spill(tx)?;
        }
        let encoding = if self.is_quicklist { Encoding::Quicklist } else { Encoding::Listpack };
        let body = match self.layout {
            Layout::Inline(packed) => Body::Inline(packed.into_bytes()),
            Layout::Large(large) => Body::Large { id: large.object, meta: large.meta() },
        };
        Ok((encoding, body))
    }
}

impl List {
    /// A new list of elements.
    ///
    /// # Errors
    /// When no object id can be had.
    pub fn of(tx: &mut Tx, elements: &[&[u8]], limits: Limits) -> Result<Self> {
        let mut list = Self::create();
        list.push(tx, End::Right, elements, limits)?;
        Ok(list)
    }

    /// How many elements there are.
    pub fn len(&self) -> u64 {
        match &self.layout {
            Layout::Inline(packed) => packed.len() as u64,
            Layout::Large(large) => large.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds elements at an end, one after the other.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn push(&mut self, tx: &mut Tx, end: End, elements: &[&[u8]], limits: Limits) -> Result<()> {
        self.expect(elements, limits);
        for element in elements {
            self.make_room(tx, element)?;
            match &mut self.layout {
                Layout::Inline(packed) => {
                    let first = if end == End::Left { packed.at(0) } else { None };
                    packed.insert(first.as_ref(), &[element]);
                }
                Layout::Large(large) => {
                    large.push(tx, end, Bytes::copy_from_slice(element))?;
                    grow(large, element);
                }
            }
            self.changed = true;
        }
        Ok(())
    }

    /// Takes up to `count` elements off an end, the outermost first.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn pop(&mut self, tx: &mut Tx, end: End, count: u64, limits: Limits) -> Result<Vec<Bytes>> {
        let len = self.len();
        let count = count.min(len);
        let stretch = match end {
            End::Left => 0..count,
            End::Right => len - count..len,
        };
        let mut popped = match &self.layout {
            Layout::Large(large) if count == 1 => vec![large.outermost(tx, end)?],
            _ => self.range(tx, stretch.clone())?,
        };
        if end == End::Right {
            popped.reverse();
        }
        self.lighten(popped.iter().map(|element| entry_bytes(element)).sum());
        self.cut(tx, stretch)?;
        self.shrink(tx, limits)?;
        Ok(popped)
    }

    /// The element at an index.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn get(&self, tx: &mut Tx, index: u64) -> Result<Option<Bytes>> {
        match &self.layout {
            Layout::Inline(packed) => {
                let nth = usize::try_from(index).unwrap_or(usize::MAX);
                Ok(packed.strings().nth(nth).map(|range| packed.slice(range)))
            }
            Layout::Large(large) => large.get(tx, index),
        }
    }

    /// The elements of a stretch, as far as they are there.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn range(&self, tx: &mut Tx, stretch: Range<u64>) -> Result<Vec<Bytes>> {
        match &self.layout {
            Layout::Inline(packed) => {
                let skipped = usize::try_from(stretch.start).unwrap_or(usize::MAX);
                let wanted = usize::try_from(stretch.end.saturating_sub(stretch.start)).unwrap_or(usize::MAX);
                Ok(packed.strings().skip(skipped).take(wanted).map(|range| packed.slice(range)).collect())
            }
            Layout::Large(large) => large.range(tx, stretch.start, stretch.end),
        }
    }

    /// Puts another element at an index; says whether there was one.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn set(&mut self, tx: &mut Tx, index: u64, element: &[u8], limits: Limits) -> Result<bool> {
        if index >= self.len() {
            return Ok(false);
        }
        self.expect(&[element], limits);
        match &mut self.layout {
            Layout::Inline(packed) => {
                if let Some(spot) = packed.at(usize::try_from(index).unwrap_or(usize::MAX)) {
                    packed.replace(&spot, 0, element);
                }
                self.changed = true;
            }
            Layout::Large(large) => {
                let weight = large.weight;
                if large.len() > limits.few() {
                    // Nobody asks for the weight of so many before it is worked out again.
                    large.weight = None;
                } else if let Some(old) = large.get(tx, index)?
                    && let Some(weight) = large.weight
                {
                    large.weight = Some(weight.saturating_sub(entry_bytes(&old)) + entry_bytes(element));
                }
                large.set(tx, index, Bytes::copy_from_slice(element))?;
                self.changed |= large.weight != weight;
            }
        }
        self.shrink(tx, limits)?;
        Ok(true)
    }

    /// Puts an element in front of the one at an index, or behind all.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn insert(&mut self, tx: &mut Tx, index: u64, element: &[u8], limits: Limits) -> Result<()> {
        let len = self.len();
        if index == 0 || index >= len {
            let end = if index == 0 { End::Left } else { End::Right };
            return self.push(tx, end, &[element], limits);
        }
        self.expect(&[element], limits);
        self.make_room(tx, element)?;
        self.changed = true;
        match &mut self.layout {
            Layout::Inline(packed) => {
                let spot = packed.at(usize::try_from(index).unwrap_or(usize::MAX));
                packed.insert(spot.as_ref(), &[element]);
            }
            Layout::Large(large) => {
                large.insert(tx, index, Bytes::copy_from_slice(element))?;
                grow(large, element);
            }
        }
        Ok(())
    }

    /// Removes up to `most` elements that are equal to this one, seen from an end; says how many.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn remove(&mut self, tx: &mut Tx, element: &[u8], from: End, most: u64, limits: Limits) -> Result<u64> {
        let mut found = self.find(tx, element, Search { from, skip: 0, count: most, compare: u64::MAX })?;
        if found.is_empty() {
            return Ok(0);
        }
        if from == End::Right {
            found.reverse();
        }
        let removed = found.len() as u64;
        self.lighten(removed.saturating_mul(entry_bytes(element)));
        self.cut_all(tx, &stretches(&found))?;
        self.shrink(tx, limits)?;
        Ok(removed)
    }

    /// Keeps a stretch of elements and drops the others.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn trim(&mut self, tx: &mut Tx, kept: Range<u64>, limits: Limits) -> Result<()> {
        let len = self.len();
        let kept = if kept.start < kept.end.min(len) { kept.start..kept.end.min(len) } else { 0..0 };
        let remaining = kept.end - kept.start;
        if remaining == len {
            return Ok(());
        }
        if let Layout::Large(large) = &mut self.layout {
            // What is dropped is not looked at; what few are kept will be.
            large.weight = None;
        }
        self.cut_all(tx, &[0..kept.start, kept.end..len])?;
        self.shrink(tx, limits)
    }

    /// The indexes of elements equal to this one, in the order of the search.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn find(&self, tx: &mut Tx, element: &[u8], search: Search) -> Result<Vec<u64>> {
        let (mut found, mut skip) = (Vec::new(), search.skip);
        self.walk(tx, search.from, search.compare, |index, other| {
            if other == element {
                if skip > 0 {
                    skip -= 1;
                } else {
                    found.push(index);
                }
            }
            if found.len() as u64 >= search.count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok(found)
    }

    /// Shows up to `most` elements from an end on, until `look` has seen enough.
    fn walk(
        &self,
        tx: &mut Tx,
        from: End,
        most: u64,
        mut look: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let len = self.len();
        let most = most.min(len);
        if most > SEARCH_IN_MEMORY && tx.tier() == Tier::Memory {
            return Err(Error::NotInMemory);
        }
        let (mut seen, mut page) = (0, PAGE.start);
        while seen < most {
            let next = (seen + page).min(most);
            let stretch = match from {
                End::Left => seen..next,
                End::Right => len - next..len - seen,
            };
            let mut elements = self.range(tx, stretch)?;
            if from == End::Right {
                elements.reverse();
            }
            for (index, element) in (seen..next).zip(&elements) {
                let index = if from == End::Left { index } else { len - 1 - index };
                if look(index, element).is_break() {
                    return Ok(());
                }
            }
            (seen, page) = (next, (page * 2).min(PAGE.end));
        }
        Ok(())
    }

    /// Takes a stretch of elements out.
    fn cut(&mut self, tx: &mut Tx, stretch: Range<u64>) -> Result<()> {
        self.cut_all(tx, &[stretch])
    }

    /// Takes stretches of elements out, which come in order and do not overlap.
    fn cut_all(&mut self, tx: &mut Tx, stretches: &[Range<u64>]) -> Result<()> {
        let removed: u64 = stretches.iter().map(|stretch| stretch.end - stretch.start).sum();
        self.changed |= removed > 0;
        if removed >= self.len() {
            // The key goes, and what is left of its object with it.
            self.layout = Layout::Inline(Packed::empty(1));
            return Ok(());
        }
        match &mut self.layout {
            Layout::Inline(packed) => {
                for index in stretches.iter().rev().flat_map(|stretch| stretch.clone().rev()) {
                    if let Some(spot) = packed.at(usize::try_from(index).unwrap_or(usize::MAX)) {
                        packed.remove(&spot);
                    }
                }
                Ok(())
            }
            Layout::Large(large) => large.cut_all(tx, stretches),
        }
    }

    /// The elements are about to be added: with them it may be too much for a listpack.
    fn expect(&mut self, elements: &[&[u8]], limits: Limits) {
        if self.is_quicklist {
            return;
        }
        let added: u64 = elements.iter().map(|element| element.len() as u64).sum();
        let count = self.len().saturating_add(elements.len() as u64);
        if let Layout::Inline(packed) = &self.layout
            && !limits.exceeded(2 * packed.size_bytes() as u64 + added, count)
        {
            // No element weighs more than twice what it takes here.
            return;
        }
        let weight = self.weight().unwrap_or(u64::MAX);
        self.is_quicklist = limits.exceeded(weight.saturating_add(added), count);
        self.changed |= self.is_quicklist;
    }

    /// It became smaller: it may be a listpack again.
    fn shrink(&mut self, tx: &mut Tx, limits: Limits) -> Result<()> {
        if !self.is_quicklist || self.len() > limits.few() {
            return Ok(());
        }
        let known = self.weight();
        let weight = match (known, &mut self.layout) {
            (Some(weight), _) => weight,
            (None, Layout::Inline(_)) => 0,
            (None, Layout::Large(large)) => {
                if tx.tier() == Tier::Memory && large.len() > SEARCH_IN_MEMORY {
                    return Err(Error::NotInMemory);
                }
                let elements = large.range(tx, 0, large.len())?;
                let weight = elements.iter().map(|element| entry_bytes(element)).sum();
                large.weight = Some(weight);
                self.changed = true;
                weight
            }
        };
        if limits.light(weight) {
            self.is_quicklist = false;
            self.changed = true;
        }
        Ok(())
    }

    /// What all elements weigh in a listpack, if it is known.
    fn weight(&self) -> Option<u64> {
        match &self.layout {
            Layout::Inline(packed) => {
                let elements = packed.strings().map(|range| packed.as_slice().get(range).unwrap_or_default());
                Some(elements.map(entry_bytes).sum())
            }
            Layout::Large(large) => large.weight,
        }
    }

    /// Elements of this weight are about to go.
    fn lighten(&mut self, weight: u64) {
        if let Layout::Large(large) = &mut self.layout {
            large.weight = large.weight.map(|before| before.saturating_sub(weight));
        }
    }

    /// Moves to parts if one more element is too much for a record.
    fn make_room(&mut self, tx: &mut Tx, element: &[u8]) -> Result<()> {
        match &self.layout {
            Layout::Inline(packed) if packed.size_bytes() + Packed::item_bytes(&[element]) > INLINE_BYTES => {
                self.spill(tx)
            }
            _ => Ok(()),
        }
    }

    /// Moves the elements out of the record into parts of a new object.
    fn spill(&mut self, tx: &mut Tx) -> Result<()> {
        if let Layout::Inline(packed) = &self.layout {
            let mut large = Large::create(tx.new_object()?);
            for range in packed.strings() {
                let element = packed.slice(range);
                grow(&mut large, &element);
                large.push(tx, End::Right, element)?;
            }
            self.layout = Layout::Large(Box::new(large));
            self.changed = true;
        }
        Ok(())
    }
}

/// An element more to weigh.
fn grow(large: &mut Large, element: &[u8]) {
    large.weight = large.weight.map(|weight| weight.saturating_add(entry_bytes(element)));
}

/// Stretches of indexes that follow each other.
fn stretches(indexes: &[u64]) -> Vec<Range<u64>> {
    let mut stretches: Vec<Range<u64>> = Vec::new();
    for index in indexes {
        match stretches.last_mut() {
            Some(last) if last.end == *index => last.end += 1,
            _ => stretches.push(*index..*index + 1),
        }
    }
    stretches
}

#[cfg(test)]
mod tests;
