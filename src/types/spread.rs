//! The elements of a large hash or set, spread evenly over a circle of 2^32 places by a
//! keyed hash of their names.
//!
//! ```text
//! part: namespace (1 byte) · place u32 BE · name
//! ```
//!
//! One order serves three needs at the price of four bytes an element and no second write:
//! - *Random elements.* Elements lie on the circle like raindrops. A draw looks at one of
//!   the equal stretches that hold [`PER_STRETCH`] elements on average, and takes the
//!   `n`-th of them, `n` drawn below [`MOST_PER_STRETCH`]; where there is no `n`-th it draws
//!   again. So each element is as likely as any other; only where more than
//!   [`MOST_PER_STRETCH`] share a stretch (one stretch in 10,000) are they a little less so.
//! - *SCAN cursors* are places: stateless, good after a restart, and whatever is there from
//!   start to end of a scan is returned, because an element never moves.
//! - Two namespaces of one object (fields and their deadlines) stand in the same order.
//!
//! The key of the hash is drawn with each object and kept in its metadata, so no client can
//! choose names that crowd a place.

use std::ops::ControlFlow;

use bytes::Bytes;
use rustc_hash::FxHashSet;

use crate::base::{Result, random, sip};
use crate::encoding::key::ObjectId;
use crate::keyspace::{Direction, Scan, Tx};
use crate::storage::Family;

/// Bytes of a part in front of the name.
pub const PART_PREFIX_BYTES: usize = 5;
/// Places on the circle.
const PLACES: u64 = 1 << 32;
/// Elements that a stretch holds on average.
const PER_STRETCH: u64 = 6;
/// Elements of a stretch that a draw tells apart.
const MOST_PER_STRETCH: u64 = 16;
/// Draws before the next element is taken as it comes: 1 in 10^17 gets there.
const MOST_DRAWS: u32 = 100;
/// From one element in this many on, a sample reads the whole object.
const SPARSE_SHARE: u64 = 3;

/// One namespace of a large object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    pub object: ObjectId,
    /// The key of the hash.
    pub salt: u64,
    /// The namespace.
    pub tag: u8,
}

/// A name and what stands under it.
pub type Element = (Bytes, Bytes);

/// One page of a scan.
#[derive(Debug)]
pub struct Page {
    /// What to pass next; 0 when the walk is complete.
    pub cursor: u64,
    pub elements: Vec<Element>,
}

impl Spread {
    /// Where a name lies.
    pub fn place(&self, name: &[u8]) -> u32 {
        (sip::sip13([self.salt, 0], name) >> 32) as u32
    }

    /// The part of a name.
    pub fn part(&self, name: &[u8]) -> Vec<u8> {
        let mut part = Vec::with_capacity(PART_PREFIX_BYTES + name.len());
        part.push(self.tag);
        part.extend_from_slice(&self.place(name).to_be_bytes());
        part.extend_from_slice(name);
        part
    }

    /// What stands under a name.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn get(&self, tx: &mut Tx, name: &[u8]) -> Result<Option<Bytes>> {
        tx.part(Family::Data, self.object, &self.part(name))
    }

    /// What stands under several names; reads that miss memory run together.
    ///
    /// # Errors
    /// As [`Tx::parts`].
    pub fn get_many(&self, tx: &mut Tx, names: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        let parts: Vec<Vec<u8>> = names.iter().map(|name| self.part(name)).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        tx.parts(Family::Data, self.object, &parts)
    }

    /// Sets what stands under a name.
    pub fn put(&self, tx: &mut Tx, name: &[u8], value: Bytes) {
        tx.put_part(Family::Data, self.object, &self.part(name), value);
    }

    /// Takes a name away.
    pub fn delete(&self, tx: &mut Tx, name: &[u8]) {
        tx.delete_part(Family::Data, self.object, &self.part(name));
    }

    /// All elements in the order of the circle.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn walk(&self, tx: &mut Tx) -> Result<SpreadWalk> {
        self.walk_from(tx, 0)
    }

    /// The elements from a place on.
    fn walk_from(&self, tx: &mut Tx, place: u32) -> Result<SpreadWalk> {
        let mut from = [self.tag; PART_PREFIX_BYTES];
        if let Some(bytes) = from.last_chunk_mut::<4>() {
            *bytes = place.to_be_bytes();
        }
        let scan = tx.scan(Family::Data, self.object, &[self.tag], Some(&from), Direction::Forward)?;
        Ok(SpreadWalk { scan })
    }

    /// One page of a scan: about `count` elements, and all that share the last one's place.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn page(&self, tx: &mut Tx, cursor: u64, count: usize) -> Result<Page> {
        let mut elements = Vec::new();
        let Ok(start) = u32::try_from(cursor) else { return Ok(Page { cursor: 0, elements }) };
        let mut walk = self.walk_from(tx, start)?;
        let mut last = None;
        while let Some((place, name, value)) = walk.next_placed()? {
            if elements.len() >= count.max(1) && last != Some(place) {
                return Ok(Page { cursor: u64::from(place), elements });
            }
            last = Some(place);
            elements.push((name, value));
        }
        Ok(Page { cursor: 0, elements })
    }

    /// An element drawn evenly from `count`; `None` only if there is none.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn random(&self, tx: &mut Tx, count: u64) -> Result<Option<Element>> {
        if count <= MOST_PER_STRETCH {
            let mut all = self.stretch(tx, 0, PLACES)?;
            let nth = random::below(all.len() as u64) as usize;
            return Ok((nth < all.len()).then(|| all.swap_remove(nth)));
        }
        let width = (PLACES.saturating_mul(PER_STRETCH) / count).clamp(1, PLACES);
        for _ in 0..MOST_DRAWS {
            let start = random::below(PLACES.div_ceil(width)) * width;
            let mut found = self.stretch(tx, start, start + width)?;
            let nth = random::below(MOST_PER_STRETCH.max(found.len() as u64)) as usize;
            if nth < found.len() {
                return Ok(Some(found.swap_remove(nth)));
            }
        }
        let next = self.walk_from(tx, random::number() as u32)?.next()?;
        if next.is_some() { Ok(next) } else { self.walk(tx)?.next() }
    }

    /// The elements at places `start..end`.
    fn stretch(&self, tx: &mut Tx, start: u64, end: u64) -> Result<Vec<Element>> {
        let mut found = Vec::new();
        let Ok(first) = u32::try_from(start) else { return Ok(found) };
        let mut walk = self.walk_from(tx, first)?;
        while let Some((place, name, value)) = walk.next_placed()? {
            if u64::from(place) >= end {
                break;
            }
            found.push((name, value));
        }
        Ok(found)
    }

    /// `wanted` elements, each drawn evenly from `count`; reads the whole object where that is
    /// the shorter way.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn draws(&self, tx: &mut Tx, count: u64, wanted: u64) -> Result<Vec<Element>> {
        let mut drawn = Vec::new();
        if wanted >= count {
            let all = self.sample_walking(tx, count, count)?;
            let draw = |_| all.get(random::below(all.len() as u64) as usize).cloned();
            drawn.extend((0..wanted).map_while(draw));
            return Ok(drawn);
        }
        for _ in 0..wanted {
            let Some(element) = self.random(tx, count)? else { break };
            drawn.push(element);
        }
        Ok(drawn)
    }

    /// `wanted` different elements of `count`, each choice as likely as any other; all of
    /// them, if there are no more. In the order of the draws or of the circle.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn sample(&self, tx: &mut Tx, count: u64, wanted: u64) -> Result<Vec<Element>> {
        if wanted.saturating_mul(SPARSE_SHARE) >= count {
            return self.sample_walking(tx, count, wanted);
        }
        let mut drawn = Vec::with_capacity(wanted as usize);
        let mut seen = FxHashSet::default();
        // Two of three draws are new ones at worst; the bound is for damaged counts.
        for _ in 0..wanted.saturating_mul(16).saturating_add(64) {
            if drawn.len() as u64 == wanted {
                break;
            }
            let Some(element) = self.random(tx, count)? else { break };
            if seen.insert(element.0.clone()) {
                drawn.push(element);
            }
        }
        Ok(drawn)
    }

    fn sample_walking(&self, tx: &mut Tx, count: u64, wanted: u64) -> Result<Vec<Element>> {
        let mut chosen = Vec::new();
        let mut walk = self.walk(tx)?;
        let mut left = count;
        while (chosen.len() as u64) < wanted
            && let Some(element) = walk.next()?
        {
            let needed = wanted - chosen.len() as u64;
            if random::below(left.max(1)) < needed {
                chosen.push(element);
            }
            left = left.saturating_sub(1);
        }
        Ok(chosen)
    }

    /// Shows every element to `visit` until it breaks.
    ///
    /// # Errors
    /// As [`Tx::scan`].
    pub fn each(&self, tx: &mut Tx, mut visit: impl FnMut(Bytes, Bytes) -> ControlFlow<()>) -> Result<()> {
        let mut walk = self.walk(tx)?;
        while let Some((name, value)) = walk.next()? {
            if visit(name, value).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Walks over the elements of a namespace.
pub struct SpreadWalk {
    scan: Scan,
}

impl SpreadWalk {
    /// The next element.
    ///
    /// # Errors
    /// As [`Scan::next`].
    #[allow(clippy::should_implement_trait, reason = "fallible")]
    pub fn next(&mut self) -> Result<Option<Element>> {
        Ok(self.next_placed()?.map(|(_, name, value)| (name, value)))
    }

    /// The next element and its place.
    fn next_placed(&mut self) -> Result<Option<(u32, Bytes, Bytes)>> {
        while let Some((part, value)) = self.scan.next()? {
            if let Some((place, name)) = split(&part) {
                return Ok(Some((place, name, value)));
            }
        }
        Ok(None)
    }
}

/// Place and name of a part.
fn split(part: &Bytes) -> Option<(u32, Bytes)> {
    let (&[_, place @ ..], _) = part.split_first_chunk::<PART_PREFIX_BYTES>()?;
    Some((u32::from_be_bytes(place), part.slice(PART_PREFIX_BYTES..)))
}
