//! The value of a key, piece by piece. What a type byte stands for is said once, in [`plan`].

use std::io::Read;

use bytes::Bytes;

use super::input::{Input, Text};
use super::packed::{Layout, Packed};
use super::stream::StreamReader;
use super::{RdbError, Result, kind};
use crate::base::number::parse_double_lenient;
use crate::encoding::piece::{CHUNK_BYTES, Head, Piece};
use crate::encoding::record::Type;

/// What an element is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Item,
    Member,
    Field,
    /// A field with its deadline, in milliseconds since the epoch or counted from this moment.
    Timed {
        from_ms: Option<u64>,
    },
    /// A member and its score, as a double if it is `binary`, else as text.
    Scored {
        binary: bool,
    },
}

/// How the elements of a value stand.
enum Plan {
    Text,
    /// Behind their count, one by one.
    Counted(Type, Shape),
    /// In one run of bytes.
    Packed(Type, Shape, Layout),
    /// In runs of bytes behind their count; marked ones may be single elements.
    Quicklist {
        marked: bool,
    },
    Stream {
        version: u8,
    },
}

fn plan<R: Read>(input: &mut Input<R>, kind: u8) -> Result<Plan> {
    Ok(match kind {
        kind::STRING => Plan::Text,
        kind::LIST => Plan::Counted(Type::List, Shape::Item),
        kind::SET => Plan::Counted(Type::Set, Shape::Member),
        kind::ZSET => Plan::Counted(Type::SortedSet, Shape::Scored { binary: false }),
        kind::ZSET_2 => Plan::Counted(Type::SortedSet, Shape::Scored { binary: true }),
        kind::HASH => Plan::Counted(Type::Hash, Shape::Field),
        kind::HASH_METADATA_PRE_GA => Plan::Counted(Type::Hash, Shape::Timed { from_ms: None }),
        kind::HASH_METADATA => Plan::Counted(Type::Hash, Shape::Timed { from_ms: Some(input.u64_le()?) }),
        kind::HASH_ZIPMAP => Plan::Packed(Type::Hash, Shape::Field, Layout::Zipmap),
        kind::HASH_ZIPLIST => Plan::Packed(Type::Hash, Shape::Field, Layout::Ziplist),
        kind::HASH_LISTPACK => Plan::Packed(Type::Hash, Shape::Field, Layout::Listpack),
        kind::HASH_LISTPACK_EX_PRE_GA => Plan::Packed(Type::Hash, Shape::Timed { from_ms: None }, Layout::Listpack),
        kind::HASH_LISTPACK_EX => {
            // The earliest of the deadlines, which the elements say again.
            input.u64_le()?;
            Plan::Packed(Type::Hash, Shape::Timed { from_ms: None }, Layout::Listpack)
        }
        kind::LIST_ZIPLIST => Plan::Packed(Type::List, Shape::Item, Layout::Ziplist),
        kind::SET_INTSET => Plan::Packed(Type::Set, Shape::Member, Layout::Intset),
        kind::SET_LISTPACK => Plan::Packed(Type::Set, Shape::Member, Layout::Listpack),
        kind::ZSET_ZIPLIST => Plan::Packed(Type::SortedSet, Shape::Scored { binary: false }, Layout::Ziplist),
        kind::ZSET_LISTPACK => Plan::Packed(Type::SortedSet, Shape::Scored { binary: false }, Layout::Listpack),
        kind::LIST_QUICKLIST => Plan::Quicklist { marked: false },
        kind::LIST_QUICKLIST_2 => Plan::Quicklist { marked: true },
        kind::STREAM_LISTPACKS => Plan::Stream { version: 1 },
        kind::STREAM_LISTPACKS_2 => Plan::Stream { version: 2 },
        kind::STREAM_LISTPACKS_3 => Plan::Stream { version: 3 },
        kind::MODULE_PRE_GA | kind::MODULE_2 => return Err(module(input)?),
        _ => return Err(input.damaged("a value of no known type")),
    })
}

/// The refusal of a module's value: its number holds the name in 54 bits, six a letter.
fn module<R: Read>(input: &mut Input<R>) -> Result<RdbError> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let id = input.length()?;
    let letter = |index: u32| {
        let place = (id >> (10 + 6 * (8 - index))) & 63;
        LETTERS.get(place as usize).copied().map_or('?', char::from)
    };
    Ok(RdbError::Module { at: input.at(), name: (0..9).map(letter).collect() })
}

/// Reads one value.
pub struct ValueReader(State);

enum State {
    Text { whole: Option<Bytes>, left: u64 },
    Counted { shape: Shape, left: u64 },
    Packed { shape: Shape, packed: Packed },
    Quicklist { nodes: u64, node: Option<Packed>, marked: bool },
    Stream(Box<StreamReader>),
}

impl ValueReader {
    /// Begins the value of this type; its head has no name yet.
    pub(super) fn begin<R: Read>(input: &mut Input<R>, kind: u8) -> Result<(Self, Head)> {
        let (state, head) = match plan(input, kind)? {
            Plan::Text => Self::begin_text(input)?,
            Plan::Counted(kind, shape) => {
                let left = input.length()?;
                (State::Counted { shape, left }, head_of(kind, left, shape))
            }
            Plan::Packed(kind, shape, layout) => {
                let packed = open(input, layout)?;
                let strings = packed.claimed().unwrap_or(0);
                let head = head_of(kind, strings / strings_of(shape), shape);
                (State::Packed { shape, packed }, head)
            }
            Plan::Quicklist { marked } => {
                let nodes = input.length()?;
                (State::Quicklist { nodes, node: None, marked }, Head::of(Type::List, 0))
            }
            Plan::Stream { version } => {
                (State::Stream(Box::new(StreamReader::begin(input, version)?)), Head::of(Type::Stream, 0))
            }
        };
        Ok((Self(state), head))
    }

    fn begin_text<R: Read>(input: &mut Input<R>) -> Result<(State, Head)> {
        let (whole, left, length) = match input.text()? {
            Text::Whole(bytes) => {
                let length = bytes.len() as u64;
                (Some(bytes), 0, length)
            }
            Text::Follows(length) => (None, length, length),
        };
        Ok((State::Text { whole, left }, Head::of(Type::String, length)))
    }

    /// The next piece; `None` when the value is complete.
    pub(super) fn next<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Piece>> {
        match &mut self.0 {
            State::Text { whole, left } => next_of_text(input, whole, left),
            State::Counted { left: 0, .. } => Ok(None),
            State::Counted { shape, left } => {
                *left -= 1;
                counted_element(input, *shape).map(Some)
            }
            State::Packed { shape, packed } => packed_element(input, packed, *shape),
            State::Quicklist { nodes, node, marked } => next_of_quicklist(input, nodes, node, *marked),
            State::Stream(stream) => stream.next(input),
        }
    }
}

fn head_of(kind: Type, count: u64, shape: Shape) -> Head {
    Head { timed: matches!(shape, Shape::Timed { .. }), ..Head::of(kind, count) }
}

const fn strings_of(shape: Shape) -> u64 {
    match shape {
        Shape::Item | Shape::Member => 1,
        Shape::Field | Shape::Scored { .. } => 2,
        Shape::Timed { .. } => 3,
    }
}

fn open<R: Read>(input: &mut Input<R>, layout: Layout) -> Result<Packed> {
    let bytes = input.string()?;
    Packed::open(bytes, layout).map_err(|what| input.damaged(what))
}

/// A whole string if it is short or was compressed, else a chunk of it.
fn next_of_text<R: Read>(input: &mut Input<R>, whole: &mut Option<Bytes>, left: &mut u64) -> Result<Option<Piece>> {
    if let Some(bytes) = whole {
        if bytes.is_empty() {
            *whole = None;
            return Ok(None);
        }
        return Ok(Some(Piece::Bytes(bytes.split_to(bytes.len().min(CHUNK_BYTES)))));
    }
    if *left == 0 {
        return Ok(None);
    }
    let step = (*left).min(CHUNK_BYTES as u64);
    *left -= step;
    Ok(Some(Piece::Bytes(input.bytes(step)?.into())))
}

fn counted_element<R: Read>(input: &mut Input<R>, shape: Shape) -> Result<Piece> {
    Ok(match shape {
        Shape::Item => Piece::Item(input.string()?),
        Shape::Member => Piece::Member(input.string()?),
        Shape::Field => Piece::Field { name: input.string()?, value: input.string()?, expire_at_ms: None },
        Shape::Timed { from_ms } => {
            let deadline = input.length()?;
            let expire_at_ms = absolute(deadline, from_ms);
            Piece::Field { name: input.string()?, value: input.string()?, expire_at_ms }
        }
        Shape::Scored { binary } => {
            let member = input.string()?;
            let score = if binary { f64::from_le_bytes(input.array()?) } else { input.text_score()? };
            scored(input, member, score)?
        }
    })
}

/// A field's deadline: 0 stands for none, and what is counted from a moment is counted from 1.
fn absolute(deadline: u64, from_ms: Option<u64>) -> Option<u64> {
    match (deadline, from_ms) {
        (0, _) => None,
        (deadline, None) => Some(deadline),
        (deadline, Some(from_ms)) => Some(from_ms.saturating_add(deadline - 1)),
    }
}

fn scored<R: Read>(input: &Input<R>, member: Bytes, score: f64) -> Result<Piece> {
    if score.is_nan() {
        return Err(input.damaged("a score that is no number"));
    }
    Ok(Piece::Scored { member, score })
}

fn packed_element<R: Read>(input: &Input<R>, packed: &mut Packed, shape: Shape) -> Result<Option<Piece>> {
    let damaged = |what| input.damaged(what);
    let Some(first) = packed.next().map_err(damaged)? else { return Ok(None) };
    let first = first.into_bytes();
    Ok(Some(match shape {
        Shape::Item => Piece::Item(first),
        Shape::Member => Piece::Member(first),
        Shape::Field => {
            let value = packed.expect().map_err(damaged)?.into_bytes();
            Piece::Field { name: first, value, expire_at_ms: None }
        }
        Shape::Timed { .. } => {
            let value = packed.expect().map_err(damaged)?.into_bytes();
            let deadline = packed.expect_integer().map_err(damaged)?;
            let deadline = u64::try_from(deadline).map_err(|_| input.damaged("a negative deadline"))?;
            Piece::Field { name: first, value, expire_at_ms: absolute(deadline, None) }
        }
        Shape::Scored { .. } => {
            let text = packed.expect().map_err(damaged)?.into_bytes();
            let score = parse_double_lenient(&text).ok_or_else(|| input.damaged("a score"))?;
            scored(input, first, score)?
        }
    }))
}

/// A node of a quicklist that is one element by itself.
const PLAIN_NODE: u64 = 1;
const PACKED_NODE: u64 = 2;

fn next_of_quicklist<R: Read>(
    input: &mut Input<R>,
    nodes: &mut u64,
    node: &mut Option<Packed>,
    marked: bool,
) -> Result<Option<Piece>> {
    loop {
        if let Some(packed) = node {
            let found = packed_element(input, packed, Shape::Item)?;
            if found.is_some() {
                return Ok(found);
            }
            *node = None;
        }
        if *nodes == 0 {
            return Ok(None);
        }
        *nodes -= 1;
        match if marked { input.length()? } else { 0 } {
            0 if !marked => *node = Some(open(input, Layout::Ziplist)?),
            PLAIN_NODE => return Ok(Some(Piece::Item(input.string()?))),
            PACKED_NODE => *node = Some(open(input, Layout::Listpack)?),
            _ => return Err(input.damaged("a node of a list of no known kind")),
        }
    }
}
