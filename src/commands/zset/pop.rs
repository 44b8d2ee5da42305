//! Elements taken from either end: ZPOPMIN, ZPOPMAX, ZMPOP, and the commands that wait for one.

use bytes::Bytes;

use crate::base::number::{format_u64, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::commands::blocking::{self, Wait};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Direction};
use crate::resp::Reply;
use crate::types::zset::{Element, ZSet};

/// An end of a sorted set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Least,
    Greatest,
}

impl End {
    /// The command that takes from it at once.
    const fn command(self) -> &'static [u8] {
        match self {
            Self::Least => b"ZPOPMIN",
            Self::Greatest => b"ZPOPMAX",
        }
    }
}

pub(super) fn zpopmin(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    pop(context, args, End::Least)
}

pub(super) fn zpopmax(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    pop(context, args, End::Greatest)
}

fn pop(context: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Result<Outcome> {
    let key = args.key()?;
    let Some(count) = args.next_if_any() else {
        let taken = take(context, key, end, 1)?.unwrap_or_default();
        return Ok(flat(taken, None).into());
    };
    args.finish()?;
    let count = parse_i64(count).and_then(|count| u64::try_from(count).ok()).ok_or(ClientError::MustBePositive)?;
    Ok(Reply::Scored(take(context, key, end, count)?.unwrap_or_default()).into())
}

/// Elements in one array, behind the key they come from.
fn flat(taken: Vec<Element>, key: Option<&[u8]>) -> Reply {
    let elements = taken.into_iter().flat_map(|(member, score)| [Reply::Bulk(member), Reply::Double(score)]);
    Reply::array(key.map(Reply::copy).into_iter().chain(elements))
}

/// Takes up to `count` elements of a key; `None` if it is not there.
fn take(context: &mut Context<'_>, key: &[u8], end: End, count: u64) -> Result<Option<Vec<Element>>> {
    let key = context.key(key);
    if count > 1 {
        let Some(set) = context.tx.read::<ZSet>(&key)? else { return Ok(None) };
        context.weigh_elements(count.min(set.len()))?;
    }
    context.tx.edit_existing::<ZSet, _>(&key, |set, tx| {
        let all = set.len();
        let count = count.min(all);
        let (ranks, direction, event) = match end {
            End::Least => (0..count, Direction::Forward, "zpopmin"),
            End::Greatest => (all - count..all, Direction::Backward, "zpopmax"),
        };
        let taken = set.remove_span(tx, ranks, direction)?;
        if !taken.is_empty() {
            tx.notify(Class::SORTED_SET, event, &key);
        }
        Ok(taken)
    })
}

/// Takes from the first of several keys that has something.
fn take_first<'a, 'k>(
    context: &mut Context<'a>,
    keys: &'k [&'k [u8]],
    end: End,
    count: u64,
) -> Result<Option<(&'k [u8], Vec<Element>)>>
where
    'a: 'k,
{
    for key in context.in_order_of_writes(keys) {
        if let Some(taken) = take(context, key, end, count)? {
            return Ok(Some((key, taken)));
        }
    }
    Ok(None)
}

/// What ZMPOP and BZMPOP are asked for.
struct Several<'a> {
    keys: &'a [&'a [u8]],
    end: End,
    count: u64,
}

impl<'a> Several<'a> {
    fn parse(args: &mut Args<'a>) -> Result<Self> {
        let count = above_zero(args.next()?, "ERR numkeys should be greater than 0")?;
        // The end has to follow the keys.
        let keys = usize::try_from(count).ok().filter(|count| *count < args.remaining()).ok_or(ClientError::Syntax)?;
        let keys = args.take(keys)?;
        let end = match () {
            () if args.accept("MIN") => End::Least,
            () if args.accept("MAX") => End::Greatest,
            () => return Err(ClientError::Syntax.into()),
        };
        let mut count = None;
        while !args.is_empty() {
            if count.is_some() || args.remaining() < 2 || !args.accept("COUNT") {
                return Err(ClientError::Syntax.into());
            }
            count = Some(above_zero(args.next()?, "ERR count should be greater than 0")?);
        }
        Ok(Self { keys, end, count: count.unwrap_or(1) })
    }

    fn take(&self, context: &mut Context<'_>) -> Result<Option<Reply>> {
        let taken = take_first(context, self.keys, self.end, self.count)?;
        if let Some((key, taken)) = &taken {
            context.replicate_as(&[self.end.command(), key, &format_u64(taken.len() as u64)]);
        }
        Ok(taken.map(|(key, taken)| {
            // Pairs in either protocol.
            let pair = |(member, score)| Reply::Array(vec![Reply::Bulk(member), Reply::Double(score)]);
            Reply::Array(vec![Reply::copy(key), Reply::array(taken.into_iter().map(pair))])
        }))
    }
}

fn above_zero(text: &[u8], complaint: &'static str) -> Result<u64> {
    let number = parse_i64(text).and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0);
    number.ok_or_else(|| Error::client(complaint))
}

pub(super) fn zmpop(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let several = Several::parse(args)?;
    Ok(several.take(context)?.unwrap_or(Reply::NilArray).into())
}

pub(super) fn bzmpop(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let until_ms = blocking::until_after_seconds(context.tx.now_ms(), args.next()?)?;
    let several = Several::parse(args)?;
    match several.take(context)? {
        Some(reply) => Ok(reply.into()),
        None => Ok(wait(context, several.keys, until_ms)),
    }
}

pub(super) fn bzpopmin(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    pop_or_wait(context, args, End::Least)
}

pub(super) fn bzpopmax(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    pop_or_wait(context, args, End::Greatest)
}

fn pop_or_wait(context: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Result<Outcome> {
    let keys = args.take(args.remaining().saturating_sub(1))?;
    let until_ms = blocking::until_after_seconds(context.tx.now_ms(), args.next()?)?;
    match take_first(context, keys, end, 1)? {
        Some((key, taken)) => {
            context.replicate_as(&[end.command(), key]);
            Ok(flat(taken, Some(key)).into())
        }
        None => Ok(wait(context, keys, until_ms)),
    }
}

/// Nothing there: the command runs again when one of the keys changes, unless it may not wait.
fn wait(context: &Context<'_>, keys: &[&[u8]], until_ms: Option<u64>) -> Outcome {
    if context.in_transaction() {
        return Reply::NilArray.into();
    }
    let db = context.session.db;
    let keys = keys.iter().map(|key| (db, Bytes::copy_from_slice(key))).collect();
    Outcome::Wait(Wait { keys, until_ms, on_timeout: Reply::NilArray, resume: None })
}
