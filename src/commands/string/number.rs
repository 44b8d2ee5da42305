//! INCR and its kin: strings that are numbers.

use super::whole;
use crate::base::number::{LongDouble, format_i64, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Body, Class, Encoding, Key, Record, Type};

pub(super) fn incr(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    add(context, &key, 1)
}

pub(super) fn decr(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    add(context, &key, -1)
}

pub(super) fn incrby(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let increment = args.integer()?;
    add(context, &key, increment)
}

pub(super) fn decrby(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let decrement = args.integer()?;
    let increment = decrement.checked_neg().ok_or_else(|| Error::client("ERR decrement would overflow"))?;
    add(context, &key, increment)
}

fn add(context: &mut Context<'_>, key: &Key, increment: i64) -> Result<Outcome> {
    let record = context.tx.record_of(key, Type::String)?;
    let old = match &record {
        None => 0,
        Some(Record { body: Body::Inline(bytes), .. }) => parse_i64(bytes).ok_or(ClientError::NotInteger)?,
        Some(_) => return Err(ClientError::NotInteger.into()),
    };
    let sum = old.checked_add(increment).ok_or(ClientError::Overflow)?;
    put(context, key, record.as_ref(), &format_i64(sum), Encoding::ByContent, "incrby")?;
    Ok(Outcome::integer(sum))
}

pub(super) fn incrbyfloat(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let increment = args.next()?;
    let record = context.tx.record_of(&key, Type::String)?;
    let old = match &record {
        None => LongDouble::of(0.0),
        Some(record) => LongDouble::parse(&whole(context, &key, record.clone())?),
    };
    let old = old.ok_or(ClientError::NotFloat)?;
    let increment = LongDouble::parse(increment).ok_or(ClientError::NotFloat)?;
    let sum = old.checked_add(increment).ok_or(ClientError::NanOrInfinity)?.to_text();
    put(context, &key, record.as_ref(), &sum, Encoding::Text, "incrbyfloat")?;
    // Not every processor computes the same sum.
    context.replicate_as(&[b"SET", key.user_key(), &sum, b"KEEPTTL"]);
    Ok(Outcome::bulk(sum))
}

/// Stores a new number in place of the old; the deadline stays.
fn put(
    context: &mut Context<'_>,
    key: &Key,
    old: Option<&Record>,
    number: &[u8],
    encoding: Encoding,
    event: &'static str,
) -> Result<()> {
    let expire_at_ms = old.and_then(|record| record.expire_at_ms);
    context.tx.put_inline(key, Type::String, encoding, expire_at_ms, number)?;
    context.tx.touch(key);
    if old.is_none() {
        context.tx.notify(Class::NEW, "new", key);
    }
    context.tx.notify(Class::STRING, event, key);
    Ok(())
}
