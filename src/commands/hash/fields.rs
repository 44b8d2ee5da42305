//! Fields by name: HSET and its kin, HGET, HMGET, HDEL, HINCRBY, HINCRBYFLOAT …

use super::{edit, edit_existing, limits, read};
use crate::base::number::LongDouble;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Class;
use crate::resp::Reply;

pub(super) fn hset(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let added = set(context, args)?;
    Ok(Outcome::integer(added as i64))
}

pub(super) fn hmset(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    set(context, args)?;
    Ok(Outcome::ok())
}

fn set(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<u64> {
    let key = args.key()?;
    let pairs = args.rest();
    if !pairs.len().is_multiple_of(2) {
        return Err(ClientError::Arity(context.command_name().to_owned()).into());
    }
    context.weigh_elements(pairs.len() as u64 / 2)?;
    let limits = limits(context);
    edit(context, key, |hash, tx, key| {
        let added = hash.set_many(tx, pairs, limits)?;
        tx.notify(Class::HASH, "hset", key);
        Ok(added)
    })
}

pub(super) fn hsetnx(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, field, value) = (args.key()?, args.next()?, args.next()?);
    let limits = limits(context);
    let is_set = edit(context, key, |hash, tx, key| {
        if hash.contains(tx, field)? {
            return Ok(false);
        }
        hash.set(tx, field, value, limits)?;
        tx.notify(Class::HASH, "hset", key);
        Ok(true)
    })?;
    Ok(Outcome::flag(is_set))
}

pub(super) fn hget(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, field) = (args.key()?, args.next()?);
    let Some(hash) = read(context, key)? else { return Ok(Outcome::nil()) };
    Ok(Outcome::optional(hash.get(context.tx, field)?))
}

pub(super) fn hmget(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let fields = args.rest();
    context.weigh_elements(fields.len() as u64)?;
    let values = match read(context, key)? {
        None => vec![None; fields.len()],
        Some(hash) => hash.get_many(context.tx, fields)?,
    };
    Ok(Reply::OptionalBulks(values).into())
}

pub(super) fn hexists(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, field) = (args.key()?, args.next()?);
    let Some(hash) = read(context, key)? else { return Ok(Outcome::flag(false)) };
    Ok(Outcome::flag(hash.contains(context.tx, field)?))
}

pub(super) fn hlen(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let Some(hash) = read(context, key)? else { return Ok(Outcome::count(0)) };
    Ok(Outcome::integer(hash.len(context.tx)? as i64))
}

pub(super) fn hstrlen(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, field) = (args.key()?, args.next()?);
    let Some(hash) = read(context, key)? else { return Ok(Outcome::count(0)) };
    let value = hash.get(context.tx, field)?;
    Ok(Outcome::count(value.map_or(0, |value| value.len())))
}

pub(super) fn hdel(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let fields = args.rest();
    context.weigh_elements(fields.len() as u64)?;
    let removed = edit_existing(context, key, |hash, tx, key| {
        let removed = hash.remove_many(tx, fields)?;
        if removed > 0 {
            tx.notify(Class::HASH, "hdel", key);
        }
        Ok(removed)
    })?;
    Ok(Outcome::count(removed.unwrap_or(0)))
}

pub(super) fn hincrby(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, field, by) = (args.key()?, args.next()?, args.integer()?);
    let limits = limits(context);
    let sum = edit(context, key, |hash, tx, key| {
        let sum = hash.increment(tx, field, by, limits)?;
        tx.notify(Class::HASH, "hincrby", key);
        Ok(sum)
    })?;
    Ok(Outcome::integer(sum))
}

pub(super) fn hincrbyfloat(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, field) = (args.key()?, args.next()?);
    let by = LongDouble::parse(args.next()?).ok_or(ClientError::NotFloat)?;
    if !by.is_finite() {
        return Err(Error::client("ERR value is NaN or Infinity"));
    }
    let limits = limits(context);
    let sum = edit(context, key, |hash, tx, key| {
        let sum = hash.increment_float(tx, field, by, limits)?;
        tx.notify(Class::HASH, "hincrbyfloat", key);
        Ok(sum)
    })?;
    // Not every processor computes the same sum.
    context.replicate_as(&[b"HSET", key, field, &sum]);
    Ok(Outcome::bulk(sum))
}
