//! A sequence of runs that can be cut and joined anywhere: a tree that counts the elements
//! below each of its entries. Whatever the history of a list, an index is found in as many
//! steps as the tree is high, and a change rewrites one node a level.
//!
//! ```text
//! node    entries
//! entry   at zigzag varint · count varint
//! ```
//!
//! At the bottom an entry is a run: the position of its first element, and how many elements
//! stand under consecutive positions. Above, it is a node's number, and how many elements
//! are below that node. The root lies in the metadata of the list, the other nodes are parts
//! (`'n'` number u64 BE). Nodes are split when they are full and vanish when they are empty.
//!
//! Knows nothing of the elements themselves.

use bytes::{Bytes, BytesMut};

use super::End;
use crate::base::{Error, Result};
use crate::encoding::key::{ObjectId, part_key};
use crate::encoding::varint::{put_varint, take_varint};
use crate::keyspace::Tx;
use crate::storage::Family;

const NODES: u8 = b'n';
/// The most entries of a node.
const NODE_ENTRIES: usize = 64;
/// The most entries of the root: every change of the list rewrites it.
const ROOT_ENTRIES: usize = 16;
/// Higher trees do not exist: 64^10 entries are more than positions.
const MOST_HEIGHT: u64 = 10;

/// Elements under consecutive positions; above the bottom of a tree, a node and what is below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Run {
    /// The position of the first element; a node's number.
    pub at: i64,
    /// How many elements.
    pub count: u64,
}

impl Run {
    /// No elements.
    pub const EMPTY: Self = Self { at: 0, count: 0 };

    /// The position behind the last element.
    pub const fn end(self) -> i64 {
        self.at.wrapping_add_unsigned(self.count)
    }

    /// The elements `from..to` of it.
    pub fn part(self, from: u64, to: u64) -> Self {
        let from = from.min(self.count);
        Self { at: self.at.wrapping_add_unsigned(from), count: to.min(self.count).saturating_sub(from) }
    }

    pub fn put(self, out: &mut BytesMut) {
        put_varint(out, (self.at << 1 ^ self.at >> 63).cast_unsigned());
        put_varint(out, self.count);
    }

    pub fn take(input: &mut &[u8]) -> Option<Self> {
        let zigzag = take_varint(input)?;
        let at = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        let count = take_varint(input)?;
        at.checked_add_unsigned(count)?;
        Some(Self { at, count })
    }
}

/// The elements below several entries.
pub fn total(entries: &[Run]) -> u64 {
    entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.count))
}

/// A sequence of runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Levels below the root.
    height: u64,
    /// The number that the next node gets.
    next_node: u64,
    root: Vec<Run>,
}

/// What a splice puts in and takes out, on its way down the tree.
struct Splice<'a> {
    tx: &'a mut Tx,
    object: ObjectId,
    new: &'a [Run],
    removed: Vec<Run>,
}

impl Tree {
    /// Reads a tree off the metadata of a list; it is the last thing there.
    pub fn load(mut meta: &[u8]) -> Result<Self, &'static str> {
        let (Some(height), Some(next_node)) = (take_varint(&mut meta), take_varint(&mut meta)) else {
            return Err("the tree of a list ends early");
        };
        if height > MOST_HEIGHT {
            return Err("the tree of a list is too high");
        }
        let root = decode(meta).ok_or("the root of a list's tree is damaged")?;
        Ok(Self { height, next_node, root })
    }

    /// Appends what [`Tree::load`] reads.
    pub fn put(&self, out: &mut BytesMut) {
        put_varint(out, self.height);
        put_varint(out, self.next_node);
        self.root.iter().for_each(|entry| entry.put(out));
    }

    /// How many elements there are.
    pub fn len(&self) -> u64 {
        total(&self.root)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.root.is_empty()
    }

    /// The runs that hold the elements `from..to`, cut to them.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn runs(&self, tx: &mut Tx, object: ObjectId, from: u64, to: u64) -> Result<Vec<Run>> {
        let mut runs = Vec::new();
        collect(tx, object, &self.root, self.height, from, to, &mut runs)?;
        Ok(runs)
    }

    /// The whole first or last run; `None` if there is none.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn outermost(&self, tx: &mut Tx, object: ObjectId, end: End) -> Result<Option<Run>> {
        let outer = |entries: &[Run]| match end {
            End::Left => entries.first().copied(),
            End::Right => entries.last().copied(),
        };
        let mut found = outer(&self.root);
        for _ in 0..self.height {
            let Some(node) = found else { break };
            found = outer(&read_node(tx, object, node.at)?);
        }
        Ok(found)
    }

    /// Puts runs in the place of the elements `from..to`; returns the runs that were there.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn splice(&mut self, tx: &mut Tx, object: ObjectId, from: u64, to: u64, new: &[Run]) -> Result<Vec<Run>> {
        let mut splice = Splice { tx, object, new, removed: Vec::new() };
        let root = std::mem::take(&mut self.root);
        self.root = self.splice_node(&mut splice, root, self.height, from, to)?;
        let Splice { tx, removed, .. } = splice;
        while self.root.len() > ROOT_ENTRIES {
            let entries = std::mem::take(&mut self.root);
            self.root = self.write_nodes(tx, object, None, &entries);
            self.height += 1;
        }
        while let ([only], 1..) = (&self.root[..], self.height) {
            let number = only.at;
            let entries = read_node(tx, object, number)?;
            if entries.len() > ROOT_ENTRIES {
                break;
            }
            tx.delete_part(Family::Data, object, &node_part(number));
            self.root = entries;
            self.height -= 1;
        }
        if self.root.is_empty() {
            self.height = 0;
        }
        Ok(removed)
    }

    /// The entries of a node after a splice of its elements `from..to`.
    fn splice_node(
        &mut self,
        splice: &mut Splice<'_>,
        entries: Vec<Run>,
        height: u64,
        from: u64,
        to: u64,
    ) -> Result<Vec<Run>> {
        if height == 0 {
            return Ok(splice_runs(&entries, from, to, splice));
        }
        let mut result = Vec::with_capacity(entries.len() + 1);
        let mut start = 0_u64;
        for entry in entries {
            let end = start.saturating_add(entry.count);
            let loses = from < end && to > start;
            let gains = !splice.new.is_empty() && (start..=end).contains(&from);
            if loses || gains {
                let below = read_node(splice.tx, splice.object, entry.at)?;
                let (from, to) = (from.clamp(start, end) - start, to.clamp(start, end) - start);
                let below = self.splice_node(splice, below, height - 1, from, to)?;
                result.extend(self.write_nodes(splice.tx, splice.object, Some(entry.at), &below));
            } else {
                result.push(entry);
            }
            start = end;
        }
        Ok(result)
    }

    /// Writes entries into as many nodes as they need, the first of them in place of `number`.
    fn write_nodes(&mut self, tx: &mut Tx, object: ObjectId, number: Option<i64>, entries: &[Run]) -> Vec<Run> {
        if let (Some(number), []) = (number, entries) {
            tx.delete_part(Family::Data, object, &node_part(number));
            return Vec::new();
        }
        let nodes = entries.len().div_ceil(NODE_ENTRIES).max(1);
        let mut number = number;
        let mut written = Vec::with_capacity(nodes);
        for entries in entries.chunks(entries.len().div_ceil(nodes).max(1)) {
            let number = number.take().unwrap_or_else(|| {
                self.next_node += 1;
                self.next_node.cast_signed()
            });
            let mut node = BytesMut::with_capacity(entries.len() * 12);
            entries.iter().for_each(|entry| entry.put(&mut node));
            tx.put_part(Family::Data, object, &node_part(number), node.freeze());
            written.push(Run { at: number, count: total(entries) });
        }
        written
    }
}

/// Runs with the elements `from..to` replaced. Neighbours that follow each other become one.
fn splice_runs(runs: &[Run], from: u64, to: u64, splice: &mut Splice<'_>) -> Vec<Run> {
    let mut result = Vec::with_capacity(runs.len() + 2);
    let mut start = 0_u64;
    for run in runs {
        let end = start.saturating_add(run.count);
        if end > from {
            push(&mut result, run.part(0, from.saturating_sub(start)));
            append(&mut result, std::mem::take(&mut splice.new));
            push(&mut splice.removed, run.part(from.saturating_sub(start), to.saturating_sub(start)));
            push(&mut result, run.part(to.max(from).saturating_sub(start), run.count));
        } else {
            push(&mut result, *run);
        }
        start = end;
    }
    append(&mut result, std::mem::take(&mut splice.new));
    result
}

fn append(runs: &mut Vec<Run>, new: &[Run]) {
    new.iter().for_each(|run| push(runs, *run));
}

/// Appends a run, or makes the last one longer if it goes on there.
pub fn push(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        _ if run.count == 0 => {}
        Some(last) if last.end() == run.at => last.count = last.count.saturating_add(run.count),
        _ => runs.push(run),
    }
}

fn collect(
    tx: &mut Tx,
    object: ObjectId,
    entries: &[Run],
    height: u64,
    from: u64,
    to: u64,
    runs: &mut Vec<Run>,
) -> Result<()> {
    let mut start = 0_u64;
    for entry in entries {
        let end = start.saturating_add(entry.count);
        if start >= to {
            break;
        }
        if end > from {
            let (from, to) = (from.saturating_sub(start), to.saturating_sub(start));
            if height == 0 {
                runs.push(entry.part(from, to));
            } else {
                let below = read_node(tx, object, entry.at)?;
                collect(tx, object, &below, height - 1, from, to, runs)?;
            }
        }
        start = end;
    }
    Ok(())
}

fn node_part(number: i64) -> [u8; 9] {
    let mut part = [NODES; 9];
    if let Some(bytes) = part.last_chunk_mut::<8>() {
        *bytes = number.to_be_bytes();
    }
    part
}

fn read_node(tx: &mut Tx, object: ObjectId, number: i64) -> Result<Vec<Run>> {
    let part = node_part(number);
    let stored = tx.part(Family::Data, object, &part)?;
    stored.as_ref().and_then(|bytes: &Bytes| decode(bytes)).ok_or_else(|| Error::Corruption {
        family: Family::Data.name(),
        key: part_key(object, &part),
        what: "a node of a list's tree is missing or damaged".into(),
    })
}

fn decode(mut bytes: &[u8]) -> Option<Vec<Run>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        entries.push(Run::take(&mut bytes)?);
    }
    Some(entries)
}
