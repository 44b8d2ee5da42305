//! Several sets, sorted or plain: ZUNION, ZINTER, ZDIFF, what stores their results, and ZINTERCARD.

use super::{elements, replace};
use crate::base::number::{parse_double, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Type;
use crate::resp::Reply;
use crate::types::set::Set;
use crate::types::zset::{self, Aggregate, AnySet, Element, Source, ZSet};

/// What is made of several sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What is asked for.
struct Query {
    sources: Vec<Source>,
    aggregate: Aggregate,
    with_scores: bool,
}

pub(super) fn zunion(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, Operation::Union)
}

pub(super) fn zinter(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, Operation::Intersection)
}

pub(super) fn zdiff(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, Operation::Difference)
}

pub(super) fn zunionstore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    store(context, args, Operation::Union, "zunionstore")
}

pub(super) fn zinterstore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    store(context, args, Operation::Intersection, "zinterstore")
}

pub(super) fn zdiffstore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    store(context, args, Operation::Difference, "zdiffstore")
}

fn show(context: &mut Context<'_>, args: &mut Args<'_>, operation: Operation) -> Result<Outcome> {
    let query = parse(context, args, operation, false)?;
    let result = compute(context, &query, operation)?;
    Ok(elements(result, query.with_scores).into())
}

fn store(context: &mut Context<'_>, args: &mut Args<'_>, operation: Operation, event: &'static str) -> Result<Outcome> {
    let destination = args.key()?;
    let query = parse(context, args, operation, true)?;
    let result = compute(context, &query, operation)?;
    replace(context, destination, &result, event)
}

fn parse(context: &mut Context<'_>, args: &mut Args<'_>, operation: Operation, stores: bool) -> Result<Query> {
    let mut query = Query { sources: sources(context, args)?, aggregate: Aggregate::Sum, with_scores: false };
    let combines = operation != Operation::Difference;
    while !args.is_empty() {
        if combines && args.remaining() > query.sources.len() && args.accept("WEIGHTS") {
            for source in &mut query.sources {
                let weight = parse_double(args.next()?);
                source.weight = weight.ok_or_else(|| Error::client("ERR weight value is not a float"))?;
            }
        } else if combines && args.remaining() >= 2 && args.accept("AGGREGATE") {
            query.aggregate = match () {
                () if args.accept("SUM") => Aggregate::Sum,
                () if args.accept("MIN") => Aggregate::Min,
                () if args.accept("MAX") => Aggregate::Max,
                () => return Err(ClientError::Syntax.into()),
            };
        } else if !stores && args.accept("WITHSCORES") {
            query.with_scores = true;
        } else {
            return Err(ClientError::Syntax.into());
        }
    }
    Ok(query)
}

/// The inputs, as many as the number in front of them says.
fn sources(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Vec<Source>> {
    let count = args.integer()?;
    if count < 1 {
        let name = context.command_name();
        return Err(Error::client(format!("ERR at least 1 input key is needed for '{name}' command")));
    }
    let keys = args.take(usize::try_from(count).unwrap_or(usize::MAX))?;
    keys.iter().map(|key| source(context, key)).collect()
}

fn source(context: &mut Context<'_>, name: &[u8]) -> Result<Source> {
    let key = context.key(name);
    let set = match context.tx.record(&key)?.map(|record| record.kind) {
        Some(Type::Set) => context.read::<Set>(name)?.map(AnySet::Plain),
        _ => context.read::<ZSet>(name)?.map(AnySet::Sorted),
    };
    Ok(Source { set, weight: 1.0 })
}

fn compute(context: &mut Context<'_>, query: &Query, operation: Operation) -> Result<Vec<Element>> {
    let lengths = query.sources.iter().map(Source::len);
    let read = match operation {
        Operation::Intersection => lengths.min().unwrap_or(0).saturating_mul(query.sources.len() as u64),
        Operation::Union | Operation::Difference => lengths.fold(0, u64::saturating_add),
    };
    context.weigh_elements(read)?;
    match operation {
        Operation::Union => zset::union(context.tx, &query.sources, query.aggregate),
        Operation::Intersection => zset::intersection(context.tx, &query.sources, query.aggregate),
        Operation::Difference => zset::difference(context.tx, &query.sources),
    }
}

pub(super) fn zintercard(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let sources = sources(context, args)?;
    let mut most = u64::MAX;
    while !args.is_empty() {
        if !(args.remaining() >= 2 && args.accept("LIMIT")) {
            return Err(ClientError::Syntax.into());
        }
        let limit = parse_i64(args.next()?).filter(|limit| *limit >= 0);
        let limit = limit.ok_or_else(|| Error::client("ERR LIMIT can't be negative"))?;
        most = if limit == 0 { u64::MAX } else { limit.unsigned_abs() };
    }
    let smallest = sources.iter().map(Source::len).min().unwrap_or(0);
    context.weigh_elements(smallest.saturating_mul(sources.len() as u64))?;
    let shared = zset::intersection_count(context.tx, &sources, most)?;
    Ok(Reply::Integer(i64::try_from(shared).unwrap_or(i64::MAX)).into())
}
