//! Several sets: SINTER, SUNION, SDIFF, what stores their results, and SINTERCARD.

use bytes::Bytes;

use super::limits;
use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Class;
use crate::resp::Reply;
use crate::types::set::{self, Set};

/// What is made of several sets.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

pub(super) fn sinter(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, Operation::Intersection)
}

pub(super) fn sunion(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, Operation::Union)
}

pub(super) fn sdiff(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    show(context, args, Operation::Difference)
}

pub(super) fn sinterstore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    store(context, args, Operation::Intersection, "sinterstore")
}

pub(super) fn sunionstore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    store(context, args, Operation::Union, "sunionstore")
}

pub(super) fn sdiffstore(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    store(context, args, Operation::Difference, "sdiffstore")
}

fn show(context: &mut Context<'_>, args: &mut Args<'_>, operation: Operation) -> Result<Outcome> {
    Ok(Reply::Members(compute(context, args.rest(), operation)?).into())
}

fn store(context: &mut Context<'_>, args: &mut Args<'_>, operation: Operation, event: &'static str) -> Result<Outcome> {
    let destination = args.key()?;
    let members = compute(context, args.rest(), operation)?;
    let count = members.len();
    let key = context.key(destination);
    if members.is_empty() {
        if context.tx.record(&key)?.is_some() {
            context.tx.delete_record(&key)?;
            context.tx.touch(&key);
            context.tx.notify(Class::GENERIC, "del", &key);
        }
        return Ok(Outcome::count(0));
    }
    let limits = limits(context);
    let result = Set::of(context.tx, members, limits)?;
    context.tx.replace(&key, result)?;
    context.tx.touch(&key);
    context.tx.notify(Class::SET, event, &key);
    Ok(Outcome::count(count))
}

/// The members of the result, each once.
fn compute(context: &mut Context<'_>, keys: &[&[u8]], operation: Operation) -> Result<Vec<Bytes>> {
    let sets = read_all(context, keys)?;
    context.weigh_elements(elements_read(&sets, operation))?;
    match operation {
        Operation::Intersection => match all_there(sets) {
            None => Ok(Vec::new()),
            Some(sets) => set::intersection(context.tx, &sets),
        },
        Operation::Union => {
            let sets: Vec<Set> = sets.into_iter().flatten().collect();
            set::union(context.tx, &sets)
        }
        Operation::Difference => {
            let mut sets = sets.into_iter();
            let Some(Some(first)) = sets.next() else { return Ok(Vec::new()) };
            let others: Vec<Set> = sets.flatten().collect();
            set::difference(context.tx, &first, &others)
        }
    }
}

/// How many members are read or looked up for the result.
fn elements_read(sets: &[Option<Set>], operation: Operation) -> u64 {
    let lengths = sets.iter().map(|set| set.as_ref().map_or(0, Set::len));
    match operation {
        Operation::Intersection => lengths.min().unwrap_or(0).saturating_mul(sets.len() as u64),
        Operation::Union | Operation::Difference => lengths.sum(),
    }
}

/// Reads all sets, so that a key of another type is refused wherever it stands.
fn read_all(context: &mut Context<'_>, keys: &[&[u8]]) -> Result<Vec<Option<Set>>> {
    keys.iter().map(|key| context.read::<Set>(key)).collect()
}

fn all_there(sets: Vec<Option<Set>>) -> Option<Vec<Set>> {
    sets.into_iter().collect()
}

pub(super) fn sintercard(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let count = parse_i64(args.next()?).filter(|count| *count > 0);
    let count = count.ok_or_else(|| Error::client("ERR numkeys should be greater than 0"))?;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > args.remaining() {
        return Err(Error::client("ERR Number of keys can't be greater than number of args"));
    }
    let keys = args.take(count)?;
    let mut most = u64::MAX;
    while !args.is_empty() {
        if !(args.remaining() >= 2 && args.accept("LIMIT")) {
            return Err(ClientError::Syntax.into());
        }
        let limit = parse_i64(args.next()?).filter(|limit| *limit >= 0);
        let limit = limit.ok_or_else(|| Error::client("ERR LIMIT can't be negative"))?;
        most = if limit == 0 { u64::MAX } else { limit.unsigned_abs() };
    }
    let sets = read_all(context, keys)?;
    let shared = match all_there(sets) {
        None => 0,
        Some(sets) => {
            let smallest = sets.iter().map(Set::len).min().unwrap_or(0);
            context.weigh_elements(smallest.saturating_mul(sets.len() as u64))?;
            set::intersection_count(context.tx, &sets, most)?
        }
    };
    Ok(Outcome::integer(i64::try_from(shared).unwrap_or(i64::MAX)))
}
