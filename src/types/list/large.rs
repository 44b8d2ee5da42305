//! A list that has outgrown its record: a part for each element, under a position.
//!
//! ```text
//! metadata, one run       weight varint · run
//! metadata, several runs  weight varint · first run · last run · positions in use at the ends, as
//!                         a run · those in the middle, as a run · tree of the runs between
//! parts                   'e' position i64 → element      'n' number → node of the tree
//! ```
//!
//! Positions say where an element is stored, and runs in which order they come. A list that
//! only grows and shrinks at its ends is one run, so every index is found by adding, and both
//! ends are point reads however much has passed through. An element that is put in the middle gets
//! a position of its own far from those of the ends, and parts the run it stands in; one that
//! is taken out parts it as well. Nothing else moves. First and last run stay at hand, outside
//! the tree, so the ends are as quick as ever.
//!
//! Invariants: with several runs neither the first nor the last is empty. Among positions of
//! the ends the order is that of the list, so where the first run has such it begins where those
//! in use begin, and where the last one has it ends where they end.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::End;
use super::tree::{self, Run, Tree};
use crate::base::{Error, Result};
use crate::encoding::key::{ObjectId, part_key};
use crate::encoding::order::encode_i64;
use crate::encoding::varint::{put_varint, take_varint};
use crate::keyspace::{Direction, Tx};
use crate::storage::{Family, Tier};

const ELEMENTS: u8 = b'e';
/// Where the positions of elements begin that were put in the middle; those of the ends lie around 0.
const MIDDLE: i64 = 1 << 62;
/// From here on a position is one of the middle.
const MIDDLE_FROM: i64 = 1 << 61;
/// Runs of fewer elements are read one by one, all such together.
const RUN_FROM: u64 = 32;
/// Runs of more elements are walked past the record cache, in which the elements of shorter ones are kept.
const SCAN_FROM: u64 = 512;
/// Elements at an end that are read together, if they are short.
const ALONG: u64 = 128;
/// The same on a trip to the disk, which costs as much as reading some hundreds of them.
const ALONG_FROM_DISK: u64 = 1024;
const SHORT_BYTES: u64 = 256;
/// Elements read together.
const BATCH: usize = 256;
/// From this many elements on a run is deleted as a range: fewer are better deleted one by
/// one, because range tombstones slow readers down.
const DELETE_RANGE_FROM: u64 = 4096;
/// More gaps than this are cut at once, by writing the tree anew.
const CUT_ONE_BY_ONE: usize = 16;

/// The metadata of a large list.
#[derive(Debug, Clone)]
pub struct Large {
    pub object: ObjectId,
    /// What all elements weigh in a listpack; not known after changes that did not look at them.
    pub weight: Option<u64>,
    first: Run,
    /// Empty if there is only one run.
    last: Run,
    between: Tree,
    /// Positions of the ends that may be in use.
    ends: Range<i64>,
    /// Positions of the middle that may be in use.
    middle: Range<i64>,
}

impl Large {
    pub fn create(object: ObjectId) -> Self {
        Self {
            object,
            weight: Some(0),
            first: Run::EMPTY,
            last: Run::EMPTY,
            between: Tree::default(),
            ends: 0..0,
            middle: MIDDLE..MIDDLE,
        }
    }

    pub fn load(object: ObjectId, meta: &[u8]) -> Result<Self, &'static str> {
        let mut rest = meta;
        let (Some(weight), Some(first)) = (take_varint(&mut rest), Run::take(&mut rest)) else {
            return Err("the metadata of a large list ends early");
        };
        let large = Self { weight: weight.checked_sub(1), first, ends: first.at..first.end(), ..Self::create(object) };
        if rest.is_empty() {
            return large.checked();
        }
        let (Some(last), Some(ends), Some(middle)) =
            (Run::take(&mut rest), take_range(&mut rest), take_range(&mut rest))
        else {
            return Err("the runs of a large list end early");
        };
        if first.count == 0 {
            return Err("the first run of a large list is empty");
        }
        Self { last, ends, middle, between: Tree::load(rest)?, ..large }.checked()
    }

    /// Refuses positions that no list gets to.
    fn checked(self) -> Result<Self, &'static str> {
        let ends_are_sound = -MIDDLE_FROM < self.ends.start && self.ends.end < MIDDLE_FROM;
        let middle_is_sound = MIDDLE_FROM < self.middle.start && self.middle.end < i64::MAX;
        if ends_are_sound && middle_is_sound { Ok(self) } else { Err("positions of a large list are out of range") }
    }

    pub fn meta(&self) -> Bytes {
        let mut meta = BytesMut::with_capacity(64);
        put_varint(&mut meta, self.weight.map_or(0, |weight| weight.saturating_add(1)));
        self.first.put(&mut meta);
        if self.last.count > 0 || is_middle(self.first) {
            self.last.put(&mut meta);
            put_range(&mut meta, &self.ends);
            put_range(&mut meta, &self.middle);
            self.between.put(&mut meta);
        }
        meta.freeze()
    }

    pub fn len(&self) -> u64 {
        self.first.count.saturating_add(self.between.len()).saturating_add(self.last.count)
    }

    /// Adds an element at an end.
    pub fn push(&mut self, tx: &mut Tx, end: End, element: Bytes) -> Result<()> {
        let at = match end {
            End::Left => self.grow_left(tx)?,
            End::Right => self.grow_right(tx)?,
        };
        tx.put_part(Family::Data, self.object, &part(at), element);
        Ok(())
    }

    fn grow_left(&mut self, tx: &mut Tx) -> Result<i64> {
        if self.first.count > 0 && is_middle(self.first) {
            match self.last.count {
                0 => self.last = self.first,
                _ => {
                    self.between.splice(tx, self.object, 0, 0, &[self.first])?;
                }
            }
            self.first = Run { at: self.ends.start, count: 0 };
        }
        self.ends.start -= 1;
        self.first = Run { at: self.ends.start, count: self.first.count + 1 };
        Ok(self.ends.start)
    }

    fn grow_right(&mut self, tx: &mut Tx) -> Result<i64> {
        let at = self.ends.end;
        self.ends.end += 1;
        if self.last.count > 0 && is_middle(self.last) {
            let end = self.between.len();
            self.between.splice(tx, self.object, end, end, &[self.last])?;
            self.last = Run::EMPTY;
        }
        let only = self.between.is_empty() && self.last.count == 0 && !(self.first.count > 0 && is_middle(self.first));
        let outer = if only { &mut self.first } else { &mut self.last };
        match outer.count {
            0 => *outer = Run { at, count: 1 },
            _ => outer.count += 1,
        }
        Ok(at)
    }

    /// The element at an index.
    pub fn get(&self, tx: &mut Tx, index: u64) -> Result<Option<Bytes>> {
        match self.position(tx, index)? {
            None => Ok(None),
            Some(at) => self.element(tx, at).map(Some),
        }
    }

    /// Puts another element at an index, which is there.
    pub fn set(&self, tx: &mut Tx, index: u64, element: Bytes) -> Result<()> {
        if let Some(at) = self.position(tx, index)? {
            tx.put_part(Family::Data, self.object, &part(at), element);
        }
        Ok(())
    }

    fn position(&self, tx: &mut Tx, index: u64) -> Result<Option<i64>> {
        let runs = self.runs(tx, index, index.saturating_add(1))?;
        Ok(runs.first().map(|run| run.at))
    }

    /// The runs that hold the elements `from..to`, cut to them.
    fn runs(&self, tx: &mut Tx, from: u64, to: u64) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        if from < self.first.count {
            tree::push(&mut runs, self.first.part(from, to));
        }
        let start = self.first.count;
        let end = start.saturating_add(self.between.len());
        if to > start && from < end {
            runs.extend(self.between.runs(tx, self.object, from.saturating_sub(start), to - start)?);
        }
        if to > end {
            tree::push(&mut runs, self.last.part(from.saturating_sub(end), to - end));
        }
        Ok(runs)
    }

    /// The elements `from..to`, as far as they are there.
    pub fn range(&self, tx: &mut Tx, from: u64, to: u64) -> Result<Vec<Bytes>> {
        let runs = self.runs(tx, from, to.min(self.len()))?;
        let mut elements = Vec::new();
        let mut single = Vec::new();
        for run in runs {
            if run.count < RUN_FROM {
                single.extend(run.at..run.end());
            } else {
                self.read_all(tx, &mut single, &mut elements)?;
                if run.count < SCAN_FROM {
                    self.read_run(tx, run, &mut elements)?;
                } else {
                    self.scan(tx, run, &mut elements)?;
                }
            }
            if single.len() >= BATCH {
                self.read_all(tx, &mut single, &mut elements)?;
            }
        }
        self.read_all(tx, &mut single, &mut elements)?;
        Ok(elements)
    }

    /// Reads the elements of a run in order.
    fn scan(&self, tx: &mut Tx, run: Run, elements: &mut Vec<Bytes>) -> Result<()> {
        let (from, to) = (part(run.at), part(run.end()));
        let mut scan = tx.scan_between(Family::Data, self.object, &from, &to, Direction::Forward)?;
        elements.reserve(run.count.min(1 << 16) as usize);
        for at in run.at..run.end() {
            match scan.next()? {
                Some((found, element)) if found[..] == part(at) => elements.push(element),
                _ => return Err(self.missing(at)),
            }
        }
        Ok(())
    }

    /// Reads the elements of a run that is not long.
    fn read_run(&self, tx: &mut Tx, run: Run, elements: &mut Vec<Bytes>) -> Result<()> {
        let parts: Vec<_> = (run.at..run.end()).map(part).collect();
        let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
        let found = tx.part_run(Family::Data, self.object, &parts)?;
        elements.reserve(found.len());
        for (at, element) in (run.at..).zip(found) {
            elements.push(element.ok_or_else(|| self.missing(at))?);
        }
        Ok(())
    }

    /// Reads the elements at some positions together.
    fn read_all(&self, tx: &mut Tx, positions: &mut Vec<i64>, elements: &mut Vec<Bytes>) -> Result<()> {
        if let [only] = positions[..] {
            elements.push(self.element(tx, only)?);
        } else if !positions.is_empty() {
            let parts: Vec<_> = positions.iter().map(|at| part(*at)).collect();
            let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
            let found = tx.parts(Family::Data, self.object, &parts)?;
            for (at, element) in positions.iter().zip(found) {
                elements.push(element.ok_or_else(|| self.missing(*at))?);
            }
        }
        positions.clear();
        Ok(())
    }

    /// The outermost element of a list that has some. Those behind it come along into the record cache if they
    /// are short: who takes one off an end takes more.
    pub fn outermost(&self, tx: &mut Tx, end: End) -> Result<Bytes> {
        let run = if end == End::Right && self.last.count > 0 { self.last } else { self.first };
        let count = run.count.min(if tx.tier() == Tier::Disk { ALONG_FROM_DISK } else { ALONG });
        let are_short = self.weight.is_some_and(|weight| weight / self.len().max(1) <= SHORT_BYTES);
        let at = if end == End::Left { run.at } else { run.end() - 1 };
        if run.count == 0 || count < 2 || !are_short {
            return self.get(tx, if end == End::Left { 0 } else { self.len() - 1 })?.ok_or_else(|| self.missing(at));
        }
        if let Some(element) = tx.part_at_hand(Family::Data, self.object, &part(at)) {
            return Ok(element);
        }
        let along = if end == End::Left { run.part(0, count) } else { run.part(run.count - count, run.count) };
        let mut elements = Vec::new();
        self.read_run(tx, along, &mut elements)?;
        let outermost = if end == End::Left { elements.first() } else { elements.last() };
        outermost.cloned().ok_or_else(|| self.missing(at))
    }

    fn element(&self, tx: &mut Tx, at: i64) -> Result<Bytes> {
        tx.part(Family::Data, self.object, &part(at))?.ok_or_else(|| self.missing(at))
    }

    fn missing(&self, at: i64) -> Error {
        Error::Corruption {
            family: Family::Data.name(),
            key: part_key(self.object, &part(at)),
            what: "an element of a list is missing".into(),
        }
    }

    /// Puts an element in front of the one at an index, which is there and not the first.
    pub fn insert(&mut self, tx: &mut Tx, index: u64, element: Bytes) -> Result<()> {
        let at = self.middle_position(tx, index)?;
        let new = Run { at, count: 1 };
        let start = self.first.count;
        if self.last.count > 0 && (start..=start.saturating_add(self.between.len())).contains(&index) {
            self.between.splice(tx, self.object, index - start, index - start, &[new])?;
        } else {
            self.gather(tx)?;
            self.between.splice(tx, self.object, index, index, &[new])?;
            self.spread(tx)?;
        }
        tx.put_part(Family::Data, self.object, &part(at), element);
        Ok(())
    }

    /// A free position for an element in front of an index: one that goes on where a neighbour
    /// stands, if it can be, so that what is put in one after the other makes one run.
    fn middle_position(&mut self, tx: &mut Tx, index: u64) -> Result<i64> {
        let before = self.position(tx, index - 1)?;
        let follows = before.is_some_and(|at| at + 1 == self.middle.end);
        if !follows && self.position(tx, index)? == Some(self.middle.start) {
            self.middle.start -= 1;
            return Ok(self.middle.start);
        }
        self.middle.end += 1;
        Ok(self.middle.end - 1)
    }

    /// Takes the elements `from..to` out.
    pub fn cut(&mut self, tx: &mut Tx, from: u64, to: u64) -> Result<()> {
        let removed = self.cut_runs(tx, from, to.min(self.len()))?;
        self.erase(tx, &removed);
        Ok(())
    }

    fn cut_runs(&mut self, tx: &mut Tx, from: u64, to: u64) -> Result<Vec<Run>> {
        let len = self.len();
        let outer = if self.last.count > 0 { &mut self.last } else { &mut self.first };
        if from >= to {
            return Ok(Vec::new());
        }
        if to == len && len - from < outer.count {
            let kept = outer.count - (len - from);
            let removed = outer.part(kept, outer.count);
            outer.count = kept;
            self.tighten();
            return Ok(vec![removed]);
        }
        if from == 0 && to < self.first.count {
            let removed = self.first.part(0, to);
            self.first = self.first.part(to, self.first.count);
            self.tighten();
            return Ok(vec![removed]);
        }
        self.gather(tx)?;
        let removed = self.between.splice(tx, self.object, from, to, &[])?;
        self.spread(tx)?;
        Ok(removed)
    }

    /// Takes many stretches of elements out, which come in order and do not overlap.
    pub fn cut_all(&mut self, tx: &mut Tx, stretches: &[Range<u64>]) -> Result<()> {
        if stretches.len() <= CUT_ONE_BY_ONE {
            return stretches.iter().rev().try_for_each(|stretch| self.cut(tx, stretch.start, stretch.end));
        }
        self.gather(tx)?;
        let len = self.between.len();
        let runs = self.between.runs(tx, self.object, 0, len)?;
        let (kept, removed) = divide(&runs, stretches);
        self.between.splice(tx, self.object, 0, len, &kept)?;
        self.spread(tx)?;
        self.erase(tx, &removed);
        Ok(())
    }

    /// Deletes elements that no run shows any more.
    fn erase(&self, tx: &mut Tx, runs: &[Run]) {
        for run in runs {
            if run.count >= DELETE_RANGE_FROM {
                tx.delete_parts(Family::Data, self.object, &part(run.at), &part(run.end()));
            } else {
                (run.at..run.end()).for_each(|at| tx.delete_part(Family::Data, self.object, &part(at)));
            }
        }
    }

    /// Moves first and last run into the tree, where all runs are alike.
    fn gather(&mut self, tx: &mut Tx) -> Result<()> {
        self.between.splice(tx, self.object, 0, 0, &[std::mem::take(&mut self.first)])?;
        let end = self.between.len();
        self.between.splice(tx, self.object, end, end, &[std::mem::take(&mut self.last)])?;
        Ok(())
    }

    /// Takes first and last run out of the tree again.
    fn spread(&mut self, tx: &mut Tx) -> Result<()> {
        if let Some(first) = self.between.outermost(tx, self.object, End::Left)? {
            self.between.splice(tx, self.object, 0, first.count, &[])?;
            self.first = first;
        }
        if let Some(last) = self.between.outermost(tx, self.object, End::Right)? {
            let end = self.between.len();
            self.between.splice(tx, self.object, end.saturating_sub(last.count), end, &[])?;
            self.last = last;
        }
        self.tighten();
        Ok(())
    }

    /// Notes which positions came free at the ends.
    fn tighten(&mut self) {
        let last = if self.last.count > 0 { self.last } else { self.first };
        if !is_middle(self.first) {
            self.ends.start = self.first.at;
        }
        if !is_middle(last) {
            self.ends.end = last.end();
        }
    }
}

/// Whether a run has positions of the middle.
fn is_middle(run: Run) -> bool {
    run.at >= MIDDLE_FROM
}

/// Runs without some stretches of their elements, and what those held.
fn divide(runs: &[Run], stretches: &[Range<u64>]) -> (Vec<Run>, Vec<Run>) {
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    let mut stretches = stretches.iter().peekable();
    let mut start = 0_u64;
    for run in runs {
        let end = start.saturating_add(run.count);
        let mut at = start;
        while let Some(stretch) = stretches.peek().filter(|stretch| stretch.start < end) {
            let (from, to) = (stretch.start.max(at), stretch.end.min(end));
            tree::push(&mut kept, run.part(at - start, from - start));
            tree::push(&mut removed, run.part(from - start, to - start));
            at = to;
            if stretch.end > end {
                break;
            }
            stretches.next();
        }
        tree::push(&mut kept, run.part(at - start, run.count));
        start = end;
    }
    (kept, removed)
}

fn part(at: i64) -> [u8; 9] {
    let mut part = [ELEMENTS; 9];
    if let Some(bytes) = part.last_chunk_mut::<8>() {
        *bytes = encode_i64(at);
    }
    part
}

fn put_range(out: &mut BytesMut, range: &Range<i64>) {
    Run { at: range.start, count: range.end.wrapping_sub(range.start).cast_unsigned() }.put(out);
}

fn take_range(input: &mut &[u8]) -> Option<Range<i64>> {
    Run::take(input).map(|run| run.at..run.end())
}
