//! Fields that lapse: HEXPIRE and its kin, HPERSIST, HTTL and its kin (7.4).

use super::{edit_existing, read};
use crate::base::number::{format_u64, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Kind};
use crate::resp::Reply;
use crate::types::hash::{Condition, Expired, Hash, Persisted};

/// The latest deadline a field can have, milliseconds since the epoch: 46 bits.
const LATEST_MS: i64 = (1 << 46) - 1;

/// What times are counted in.
#[derive(Debug, Clone, Copy)]
enum Unit {
    Seconds,
    Milliseconds,
}

/// What times are counted from.
#[derive(Debug, Clone, Copy)]
enum Base {
    Now,
    Epoch,
}

pub(super) fn hexpire(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    expire(context, args, Unit::Seconds, Base::Now)
}

pub(super) fn hpexpire(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    expire(context, args, Unit::Milliseconds, Base::Now)
}

pub(super) fn hexpireat(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    expire(context, args, Unit::Seconds, Base::Epoch)
}

pub(super) fn hpexpireat(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    expire(context, args, Unit::Milliseconds, Base::Epoch)
}

pub(super) fn httl(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    remaining(context, args, Unit::Seconds, Base::Now)
}

pub(super) fn hpttl(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    remaining(context, args, Unit::Milliseconds, Base::Now)
}

pub(super) fn hexpiretime(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    remaining(context, args, Unit::Seconds, Base::Epoch)
}

pub(super) fn hpexpiretime(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    remaining(context, args, Unit::Milliseconds, Base::Epoch)
}

fn expire(context: &mut Context<'_>, args: &mut Args<'_>, unit: Unit, base: Base) -> Result<Outcome> {
    let key = args.key()?;
    expect_hash(context, key)?;
    let deadline_ms = deadline(context, args.integer()?, unit, base)?;
    let condition = condition(args);
    let fields = fields(args, "ERR Parameter `numFields` should be greater than 0")?;
    let results = edit_existing(context, key, |hash, tx, key| {
        let mut results = Vec::with_capacity(fields.len());
        for field in fields {
            results.push(hash.expire(tx, field, deadline_ms, condition)?);
        }
        if results.contains(&Expired::Set) {
            tx.notify(Class::HASH, "hexpire", key);
        }
        if results.contains(&Expired::Deleted) {
            tx.notify(Class::HASH, "hexpired", key);
        }
        Ok(results)
    })?;
    let results = results.unwrap_or_else(|| vec![Expired::NoField; fields.len()]);
    replicate(context, key, deadline_ms, fields, &results);
    let code = |result: &Expired| match result {
        Expired::NoField => -2,
        Expired::Refused => 0,
        Expired::Set => 1,
        Expired::Deleted => 2,
    };
    Ok(Reply::Integers(results.iter().map(code).collect()).into())
}

/// Copies get the moment, and lose what has lost its time here.
fn replicate(context: &mut Context<'_>, key: &[u8], deadline_ms: u64, fields: &[&[u8]], results: &[Expired]) {
    let those = |wanted: Expired| {
        let pairs = fields.iter().zip(results).filter(move |(_, result)| **result == wanted);
        pairs.map(|(field, _)| *field).collect::<Vec<&[u8]>>()
    };
    let (set, deleted) = (those(Expired::Set), those(Expired::Deleted));
    if !set.is_empty() {
        let (deadline, count) = (format_u64(deadline_ms), format_u64(set.len() as u64));
        context.replicate_as(&[&[b"HPEXPIREAT", key, &deadline[..], b"FIELDS", &count[..]], &set[..]].concat());
    }
    if !deleted.is_empty() {
        context.replicate_as(&[&[b"HDEL", key], &deleted[..]].concat());
    }
}

pub(super) fn hpersist(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    expect_hash(context, key)?;
    let fields = fields(args, NOT_POSITIVE)?;
    let results = edit_existing(context, key, |hash, tx, key| {
        let mut results = Vec::with_capacity(fields.len());
        for field in fields {
            results.push(hash.persist(tx, field)?);
        }
        if results.contains(&Persisted::Removed) {
            tx.notify(Class::HASH, "hpersist", key);
        }
        Ok(results)
    })?;
    let results = results.unwrap_or_else(|| vec![Persisted::NoField; fields.len()]);
    let code = |result: &Persisted| match result {
        Persisted::NoField => -2,
        Persisted::HadNone => -1,
        Persisted::Removed => 1,
    };
    Ok(Reply::Integers(results.iter().map(code).collect()).into())
}

fn remaining(context: &mut Context<'_>, args: &mut Args<'_>, unit: Unit, base: Base) -> Result<Outcome> {
    let key = args.key()?;
    let hash = read(context, key)?;
    let fields = fields(args, NOT_POSITIVE)?;
    let Some(hash) = hash else { return Ok(Reply::Integers(vec![-2; fields.len()]).into()) };
    let from_ms = match base {
        Base::Now => context.tx.now_ms(),
        Base::Epoch => 0,
    };
    let mut results = Vec::with_capacity(fields.len());
    for field in fields {
        results.push(match hash.deadline(context.tx, field)? {
            None => -2,
            Some(None) => -1,
            Some(Some(deadline_ms)) => {
                let left_ms = deadline_ms.saturating_sub(from_ms);
                match unit {
                    Unit::Seconds => left_ms.div_ceil(1000) as i64,
                    Unit::Milliseconds => left_ms as i64,
                }
            }
        });
    }
    Ok(Reply::Integers(results).into())
}

/// WRONGTYPE comes before whatever else may be wrong with the arguments.
fn expect_hash(context: &mut Context<'_>, name: &[u8]) -> Result<()> {
    let key = context.key(name);
    context.tx.record_of(&key, Hash::TYPE)?;
    Ok(())
}

/// A time as given, as milliseconds since the epoch.
fn deadline(context: &Context<'_>, given: i64, unit: Unit, base: Base) -> Result<u64> {
    if given < 0 {
        return Err(Error::client("ERR invalid expire time, must be >= 0"));
    }
    let scale = match unit {
        Unit::Seconds => 1000,
        Unit::Milliseconds => 1,
    };
    let from_ms = match base {
        Base::Now => context.tx.now_ms() as i64,
        Base::Epoch => 0,
    };
    let deadline_ms = given.checked_mul(scale).and_then(|given_ms| given_ms.checked_add(from_ms));
    let fitting = deadline_ms.filter(|deadline_ms| *deadline_ms <= LATEST_MS);
    Ok(fitting.ok_or_else(|| ClientError::InvalidExpire(context.command_name().to_owned()))? as u64)
}

fn condition(args: &mut Args<'_>) -> Condition {
    let words =
        [("NX", Condition::Without), ("XX", Condition::With), ("GT", Condition::Later), ("LT", Condition::Earlier)];
    words.into_iter().find(|(word, _)| args.accept(word)).map_or(Condition::Always, |(_, condition)| condition)
}

const NOT_POSITIVE: &str = "ERR Number of fields must be a positive integer";

/// `FIELDS`, how many, and then so many fields.
fn fields<'a>(args: &mut Args<'a>, not_positive: &'static str) -> Result<&'a [&'a [u8]]> {
    if !args.accept("FIELDS") {
        return Err(Error::client("ERR Mandatory argument FIELDS is missing or not at the right position"));
    }
    let count = parse_i64(args.next()?).filter(|count| *count > 0).ok_or_else(|| Error::client(not_positive))?;
    let fields = args.rest();
    if count.unsigned_abs() != fields.len() as u64 {
        return Err(Error::client("ERR The `numfields` parameter must match the number of arguments"));
    }
    Ok(fields)
}
