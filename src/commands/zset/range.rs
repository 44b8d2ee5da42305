//! Ranges: by rank, by score, by member; shown, stored, counted and removed.

use std::ops::Range;

use super::bounds::{self, Places};
use super::{elements, replace};
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Direction, Tx};
use crate::resp::Reply;
use crate::types::zset::{Element, LexRange, ScoreRange, ZSet};

/// By what a range is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Member,
}

/// The ends of a range.
#[derive(Debug, Clone, Copy)]
enum Ends<'a> {
    Places(Places),
    Scores(ScoreRange),
    Members(LexRange<'a>),
}

/// What a command's name says; ZRANGE and ZRANGESTORE leave it to their options.
#[derive(Debug, Clone, Copy, Default)]
struct Fixed {
    by: Option<By>,
    direction: Option<Direction>,
    stores: bool,
}

/// A range as a command asks for it.
#[derive(Debug)]
struct Query<'a> {
    ends: Ends<'a>,
    direction: Direction,
    /// Elements to leave out at the beginning; negative ones leave nothing.
    offset: i64,
    /// The most elements; negative means all.
    limit: i64,
    with_scores: bool,
}

impl<'a> Query<'a> {
    fn parse(args: &mut Args<'a>, fixed: Fixed) -> Result<Self> {
        let (first, second) = (args.next()?, args.next()?);
        let (mut by, mut direction) = (fixed.by, fixed.direction);
        let (mut offset, mut limit, mut with_scores) = (0, -1, false);
        while !args.is_empty() {
            if !fixed.stores && args.accept("WITHSCORES") {
                with_scores = true;
            } else if args.remaining() > 2 && args.accept("LIMIT") {
                (offset, limit) = (args.integer()?, args.integer()?);
            } else if direction.is_none() && args.accept("REV") {
                direction = Some(Direction::Backward);
            } else if by.is_none() && args.accept("BYLEX") {
                by = Some(By::Member);
            } else if by.is_none() && args.accept("BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(ClientError::Syntax.into());
            }
        }
        let (by, direction) = (by.unwrap_or(By::Rank), direction.unwrap_or(Direction::Forward));
        if limit != -1 && by == By::Rank {
            return Err(Error::client(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Member {
            return Err(Error::client("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        // Against the order of scores, the upper end comes first.
        let (min, max) = if direction == Direction::Backward { (second, first) } else { (first, second) };
        let ends = match by {
            By::Rank => Ends::Places(Places::parse(first, second)?),
            By::Score => Ends::Scores(bounds::scores(min, max)?),
            By::Member => Ends::Members(bounds::members(min, max)?),
        };
        Ok(Self { ends, direction, offset, limit, with_scores })
    }

    /// The ranks that the range covers, LIMIT included.
    fn ranks(&self, tx: &mut Tx, set: &ZSet) -> Result<Range<u64>> {
        let whole = match &self.ends {
            Ends::Places(places) => {
                let count = set.len();
                let places = places.among(count);
                return Ok(match self.direction {
                    Direction::Forward => places,
                    Direction::Backward => count - places.end.min(count)..count - places.start.min(count),
                });
            }
            Ends::Scores(range) => set.score_span(tx, range)?,
            Ends::Members(range) => set.lex_span(tx, range, self.direction)?,
        };
        let Ok(offset) = u64::try_from(self.offset) else { return Ok(0..0) };
        let most = u64::try_from(self.limit).unwrap_or(u64::MAX);
        Ok(match self.direction {
            Direction::Forward => {
                let start = whole.start.saturating_add(offset).min(whole.end);
                start..start.saturating_add(most).min(whole.end)
            }
            Direction::Backward => {
                let end = whole.end.saturating_sub(offset).max(whole.start);
                end.saturating_sub(most).max(whole.start)..end
            }
        })
    }

    fn read(&self, context: &mut Context<'_>, set: &ZSet) -> Result<Vec<Element>> {
        let ranks = self.ranks(context.tx, set)?;
        context.weigh_elements(ranks.end.saturating_sub(ranks.start) / ELEMENTS_PER_READ)?;
        set.slice(context.tx, ranks, self.direction)
    }
}

/// Elements of a range that are read with one another, so that they weigh as one.
const ELEMENTS_PER_READ: u64 = 16;

pub(super) fn zrange(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, Fixed::default())
}

pub(super) fn zrevrange(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, fixed(By::Rank, Direction::Backward))
}

pub(super) fn zrangebyscore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, fixed(By::Score, Direction::Forward))
}

pub(super) fn zrevrangebyscore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, fixed(By::Score, Direction::Backward))
}

pub(super) fn zrangebylex(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, fixed(By::Member, Direction::Forward))
}

pub(super) fn zrevrangebylex(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, fixed(By::Member, Direction::Backward))
}

fn fixed(by: By, direction: Direction) -> Fixed {
    Fixed { by: Some(by), direction: Some(direction), stores: false }
}

fn show(context: &mut Context<'_>, args: &mut Args<'_>, fixed: Fixed) -> Result<Outcome> {
    let key = args.key()?;
    let query = Query::parse(args, fixed)?;
    let Some(set) = context.read::<ZSet>(key)? else { return Ok(Reply::EMPTY.into()) };
    let found = query.read(context, &set)?;
    Ok(elements(found, query.with_scores).into())
}

pub(super) fn zrangestore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (destination, source) = (args.key()?, args.key()?);
    let query = Query::parse(args, Fixed { stores: true, ..Fixed::default() })?;
    let found = match context.read::<ZSet>(source)? {
        None => Vec::new(),
        Some(set) => {
            let mut found = query.read(context, &set)?;
            if query.direction == Direction::Backward {
                found.reverse();
            }
            found
        }
    };
    replace(context, destination, &found, "zrangestore")
}

pub(super) fn zcount(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let range = bounds::scores(args.next()?, args.next()?)?;
    let Some(set) = context.read::<ZSet>(key)? else { return Ok(Outcome::count(0)) };
    let ranks = set.score_span(context.tx, &range)?;
    Ok(Outcome::integer((ranks.end - ranks.start) as i64))
}

pub(super) fn zlexcount(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let range = bounds::members(args.next()?, args.next()?)?;
    let Some(set) = context.read::<ZSet>(key)? else { return Ok(Outcome::count(0)) };
    let ranks = set.lex_span(context.tx, &range, Direction::Forward)?;
    Ok(Outcome::integer((ranks.end - ranks.start) as i64))
}

pub(super) fn zremrangebyrank(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let ends = Ends::Places(Places::parse(args.next()?, args.next()?)?);
    remove(context, key, ends, "zremrangebyrank")
}

pub(super) fn zremrangebyscore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let ends = Ends::Scores(bounds::scores(args.next()?, args.next()?)?);
    remove(context, key, ends, "zremrangebyscore")
}

pub(super) fn zremrangebylex(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let ends = Ends::Members(bounds::members(args.next()?, args.next()?)?);
    remove(context, key, ends, "zremrangebylex")
}

fn remove(context: &mut Context<'_>, key: &[u8], ends: Ends<'_>, event: &'static str) -> Result<Outcome> {
    let query = Query { ends, direction: Direction::Forward, offset: 0, limit: -1, with_scores: false };
    let key = context.key(key);
    let Some(set) = context.tx.read::<ZSet>(&key)? else { return Ok(Outcome::count(0)) };
    let ranks = query.ranks(context.tx, &set)?;
    context.weigh_elements(ranks.end.saturating_sub(ranks.start))?;
    let removed = context.tx.edit_existing::<ZSet, _>(&key, |set, tx| {
        let removed = set.remove_span(tx, ranks.clone(), Direction::Forward)?.len();
        if removed > 0 {
            tx.notify(Class::SORTED_SET, event, &key);
        }
        Ok(removed)
    })?;
    Ok(Outcome::count(removed.unwrap_or(0)))
}
