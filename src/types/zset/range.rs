//! Ranges of a sorted set, by score or by member, and the ranks they stand for.

use std::ops::Range;

use super::entry::{SCORE_BYTES, entry, member_of};
use super::{Layout, ZSet};
use crate::base::Result;
use crate::encoding::order::encode_f64;
use crate::keyspace::{Direction, Tx};
use crate::types::packed::Packed;

/// An end of a range of scores.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreBound {
    pub score: f64,
    /// The score itself is not in the range.
    pub exclusive: bool,
}

/// Scores from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreRange {
    pub min: ScoreBound,
    pub max: ScoreBound,
}

/// An end of a range of members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// In front of every member.
    Lowest,
    /// Behind every member.
    Highest,
    Inclusive(&'a [u8]),
    Exclusive(&'a [u8]),
}

/// Members from `min` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LexRange<'a> {
    pub min: LexBound<'a>,
    pub max: LexBound<'a>,
}

impl LexBound<'_> {
    fn is_below(&self, member: &[u8]) -> bool {
        match self {
            Self::Lowest => true,
            Self::Highest => false,
            Self::Inclusive(bound) => *bound <= member,
            Self::Exclusive(bound) => *bound < member,
        }
    }

    fn is_above(&self, member: &[u8]) -> bool {
        match self {
            Self::Lowest => false,
            Self::Highest => true,
            Self::Inclusive(bound) => *bound >= member,
            Self::Exclusive(bound) => *bound > member,
        }
    }
}

/// The least bytes behind every entry of a score.
fn behind(score: f64) -> [u8; SCORE_BYTES] {
    // No overflow: the bytes of infinity are not the highest.
    u64::from_be_bytes(encode_f64(score)).saturating_add(1).to_be_bytes()
}

impl ZSet {
    /// The ranks of a range of scores.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn score_span(&self, tx: &mut Tx, range: &ScoreRange) -> Result<Range<u64>> {
        let ScoreRange { min, max } = range;
        let first = if min.exclusive { behind(min.score) } else { encode_f64(min.score) };
        let end = if max.exclusive { encode_f64(max.score) } else { behind(max.score) };
        if first >= end {
            return Ok(0..0);
        }
        Ok(span(self.below(tx, &first)?, self.below(tx, &end)?))
    }

    /// The ranks of a range of members. All scores should be the same; where they are not, the
    /// answer follows the order of scores as Redis' does for small sets, and then the direction
    /// of the look makes a difference.
    ///
    /// # Errors
    /// As [`Tx::part`].
    pub fn lex_span(&self, tx: &mut Tx, range: &LexRange<'_>, direction: Direction) -> Result<Range<u64>> {
        match &self.layout {
            Layout::Inline(packed) => Ok(inline_lex_span(packed, range, direction)),
            Layout::Large(_) => {
                let start = self.below_member(tx, &range.min, true)?;
                let end = self.below_member(tx, &range.max, false)?;
                Ok(span(start, end))
            }
        }
    }

    /// How many elements lie in front of a bound of members.
    fn below_member(&self, tx: &mut Tx, bound: &LexBound<'_>, is_min: bool) -> Result<u64> {
        let (member, skips_equal) = match bound {
            LexBound::Lowest => return Ok(0),
            LexBound::Highest => return Ok(self.len()),
            LexBound::Inclusive(member) => (member, !is_min),
            LexBound::Exclusive(member) => (member, is_min),
        };
        let Some((_, score)) = self.at(tx, 0)? else { return Ok(0) };
        let mut bytes = entry(score, member);
        if skips_equal {
            bytes.push(0);
        }
        self.below(tx, &bytes)
    }
}

fn span(start: u64, end: u64) -> Range<u64> {
    start..end.max(start)
}

fn inline_lex_span(packed: &Packed, range: &LexRange<'_>, direction: Direction) -> Range<u64> {
    let all = packed.as_slice();
    let members: Vec<&[u8]> = packed.strings().map(|range| member_of(all.get(range).unwrap_or_default())).collect();
    let (Some(first), Some(last)) = (members.first(), members.last()) else { return 0..0 };
    if !range.min.is_below(last) || !range.max.is_above(first) {
        return 0..0;
    }
    let found = match direction {
        Direction::Forward => {
            let start = members.iter().position(|member| range.min.is_below(member)).unwrap_or(members.len());
            let length = members.iter().skip(start).take_while(|member| range.max.is_above(member)).count();
            start..start + length
        }
        Direction::Backward => {
            let end = members.iter().rposition(|member| range.max.is_above(member)).map_or(0, |last| last + 1);
            let backwards = members.iter().take(end).rev();
            let length = backwards.take_while(|member| range.min.is_below(member)).count();
            end - length..end
        }
    };
    found.start as u64..found.end as u64
}
