//! Ends of ranges as clients write them: `(1.5`, `-inf`, `[member`, `+` …

use crate::base::number::{parse_double_lenient, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::types::zset::{LexBound, LexRange, ScoreBound, ScoreRange};

/// The range between two ends of scores.
///
/// # Errors
/// `ERR min or max is not a float`.
pub(super) fn scores(min: &[u8], max: &[u8]) -> Result<ScoreRange> {
    let bounds = score(min).zip(score(max));
    let (min, max) = bounds.ok_or_else(|| Error::client("ERR min or max is not a float"))?;
    Ok(ScoreRange { min, max })
}

fn score(text: &[u8]) -> Option<ScoreBound> {
    let (exclusive, text) = match text {
        [b'(', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    Some(ScoreBound { score: parse_double_lenient(text)?, exclusive })
}

/// The range between two ends of members.
///
/// # Errors
/// `ERR min or max not valid string range item`.
pub(super) fn members<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>> {
    let bounds = member(min).zip(member(max));
    let (min, max) = bounds.ok_or_else(|| Error::client("ERR min or max not valid string range item"))?;
    Ok(LexRange { min, max })
}

fn member(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        b"-" => Some(LexBound::Lowest),
        b"+" => Some(LexBound::Highest),
        [b'[', rest @ ..] => Some(LexBound::Inclusive(rest)),
        [b'(', rest @ ..] => Some(LexBound::Exclusive(rest)),
        _ => None,
    }
}

/// Places in a row, counted from 0, or from the end backwards when negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places {
    start: i64,
    end: i64,
}

impl Places {
    /// # Errors
    /// `ERR value is not an integer or out of range`.
    pub(super) fn parse(start: &[u8], end: &[u8]) -> Result<Self> {
        let number = |text| parse_i64(text).ok_or(ClientError::NotInteger);
        Ok(Self { start: number(start)?, end: number(end)? })
    }

    /// The places in a row of `count`.
    pub(super) fn among(self, count: u64) -> std::ops::Range<u64> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let absolute = |place: i64| if place < 0 { place.saturating_add(count) } else { place };
        let start = absolute(self.start).max(0);
        let end = absolute(self.end).min(count - 1);
        if start > end { 0..0 } else { start.unsigned_abs()..end.unsigned_abs() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_scores_may_exclude_themselves() {
        let bound = |text: &str| score(text.as_bytes()).map(|bound| (bound.score, bound.exclusive));
        assert_eq!(bound("1.5"), Some((1.5, false)));
        assert_eq!(bound("(1.5"), Some((1.5, true)));
        assert_eq!(bound("(-inf"), Some((f64::NEG_INFINITY, true)));
        assert_eq!((bound("("), bound("")), (Some((0.0, true)), Some((0.0, false))));
        assert_eq!((bound("((1"), bound("nan"), bound("x")), (None, None, None));
    }

    #[test]
    fn ends_of_members_say_whether_they_count() {
        assert_eq!(member(b"-"), Some(LexBound::Lowest));
        assert_eq!(member(b"[a"), Some(LexBound::Inclusive(b"a")));
        assert_eq!(member(b"("), Some(LexBound::Exclusive(b"")));
        assert_eq!((member(b"a"), member(b""), member(b"+a")), (None, None, None));
    }

    #[test]
    fn places_count_from_either_end() {
        let among = |start, end, count| Places { start, end }.among(count);
        assert_eq!(among(0, -1, 5), 0..5);
        assert_eq!(among(-2, -1, 5), 3..5);
        assert_eq!(among(-9, 1, 5), 0..2);
        assert_eq!(among(3, 99, 5), 3..5);
        assert_eq!(among(4, 3, 5), 0..0);
        assert_eq!(among(5, 9, 5), 0..0);
        assert_eq!(among(i64::MIN, i64::MAX, 5), 0..5);
        assert_eq!(among(0, -1, 0), 0..0);
    }
}
