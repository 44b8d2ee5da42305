//! One set: SADD, SREM, SISMEMBER, SPOP, SRANDMEMBER, SSCAN … and SMOVE from one to another.

use bytes::Bytes;

use super::limits;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::element_scan::{self, ElementScan};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Class, Kind};
use crate::resp::Reply;
use crate::types::set::Set;

/// Members with repetitions that one SRANDMEMBER may ask for.
const MOST_REPEATED: u64 = 10_000_000;
/// Members that one command to copies removes.
const MEMBERS_PER_REMOVAL: usize = 1024;

pub(super) fn sadd(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let members = args.rest();
    context.weigh_elements(members.len() as u64)?;
    let limits = limits(context);
    let added = context.edit::<Set, _>(key, |set, tx, key| {
        let added = set.insert_many(tx, members, limits)?;
        if added > 0 {
            tx.notify(Class::SET, "sadd", key);
        }
        Ok(added)
    })?;
    Ok(Outcome::integer(added as i64))
}

pub(super) fn srem(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let members = args.rest();
    context.weigh_elements(members.len() as u64)?;
    let removed = context.edit_existing::<Set, _>(key, |set, tx, key| {
        let removed = set.remove_many(tx, members)?;
        if removed > 0 {
            tx.notify(Class::SET, "srem", key);
        }
        Ok(removed)
    })?;
    Ok(Outcome::count(removed.unwrap_or(0)))
}

pub(super) fn scard(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let set = context.read::<Set>(args.key()?)?;
    Ok(Outcome::integer(set.map_or(0, |set| set.len() as i64)))
}

pub(super) fn sismember(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, member) = (args.key()?, args.next()?);
    let Some(set) = context.read::<Set>(key)? else { return Ok(Outcome::flag(false)) };
    Ok(Outcome::flag(set.contains(context.tx, member)?))
}

pub(super) fn smismember(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let members = args.rest();
    context.weigh_elements(members.len() as u64)?;
    let found = match context.read::<Set>(key)? {
        None => vec![false; members.len()],
        Some(set) => set.contains_many(context.tx, members)?,
    };
    Ok(Reply::Integers(found.into_iter().map(i64::from).collect()).into())
}

pub(super) fn smembers(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let members = match context.read::<Set>(args.key()?)? {
        None => Vec::new(),
        Some(set) => {
            context.weigh_elements(set.len())?;
            set.all(context.tx)?
        }
    };
    Ok(Reply::Members(members).into())
}

pub(super) fn smove(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (source, destination, member) = (args.key()?, args.key()?, args.next()?);
    let source_key = context.key(source);
    let Some(set) = context.tx.read::<Set>(&source_key)? else { return Ok(Outcome::flag(false)) };
    let destination_key = context.key(destination);
    context.tx.record_of(&destination_key, Set::TYPE)?;
    if source == destination {
        return Ok(Outcome::flag(set.contains(context.tx, member)?));
    }
    let removed = context.edit_existing::<Set, _>(source, |set, tx, key| {
        let removed = set.remove_many(tx, &[member])? > 0;
        if removed {
            tx.notify(Class::SET, "srem", key);
        }
        Ok(removed)
    })?;
    if removed != Some(true) {
        return Ok(Outcome::flag(false));
    }
    let limits = limits(context);
    context.edit::<Set, _>(destination, |set, tx, key| {
        if set.insert_many(tx, &[member], limits)? > 0 {
            tx.notify(Class::SET, "sadd", key);
        }
        Ok(())
    })?;
    Ok(Outcome::flag(true))
}

pub(super) fn spop(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let Some(count) = args.next_if_any() else {
        let popped = pop(context, key, 1)?;
        if let Some(member) = popped.first() {
            context.replicate_as(&[b"SREM", key, member]);
        }
        return Ok(Outcome::optional(popped.into_iter().next()));
    };
    args.finish()?;
    let count = crate::base::number::parse_i64(count).filter(|count| *count >= 0);
    let count = count.ok_or(ClientError::MustBePositive)?;
    context.weigh_elements(element_scan::drawing(count, u64::MAX))?;
    let popped = pop(context, key, count.unsigned_abs())?;
    replicate_removal(context, key, &popped)?;
    Ok(Reply::Members(popped).into())
}

/// Which members were popped was chance: copies remove the same.
fn replicate_removal(context: &mut Context<'_>, key: &[u8], popped: &[Bytes]) -> Result<()> {
    if popped.is_empty() || !context.tx.wants_effects() {
        return Ok(());
    }
    let stored = context.key(key);
    if context.tx.record(&stored)?.is_none() {
        context.replicate_as(&[b"DEL", key]);
        return Ok(());
    }
    for some in popped.chunks(MEMBERS_PER_REMOVAL) {
        let words: Vec<&[u8]> = [b"SREM", key].into_iter().chain(some.iter().map(|member| &member[..])).collect();
        context.replicate_as(&words);
    }
    Ok(())
}

fn pop(context: &mut Context<'_>, key: &[u8], count: u64) -> Result<Vec<Bytes>> {
    let popped = context.edit_existing::<Set, _>(key, |set, tx, key| {
        let popped = set.pop(tx, count)?;
        if !popped.is_empty() {
            tx.notify(Class::SET, "spop", key);
        }
        Ok(popped)
    })?;
    Ok(popped.unwrap_or_default())
}

pub(super) fn srandmember(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    if args.is_empty() {
        let Some(set) = context.read::<Set>(key)? else { return Ok(Outcome::nil()) };
        return Ok(Outcome::optional(set.random(context.tx)?));
    }
    if args.remaining() > 1 {
        return Err(ClientError::Syntax.into());
    }
    let count = args.integer()?;
    if count == i64::MIN {
        let text = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
        return Err(Error::client(text));
    }
    let Some(set) = context.read::<Set>(key)? else { return Ok(Reply::EMPTY.into()) };
    context.weigh_elements(element_scan::drawing(count, set.len()))?;
    let chosen = if count >= 0 {
        set.sample(context.tx, count.unsigned_abs())?
    } else if count.unsigned_abs() <= MOST_REPEATED {
        set.draws(context.tx, count.unsigned_abs())?
    } else {
        return Err(ClientError::OutOfRange.into());
    };
    Ok(Reply::Bulks(chosen).into())
}

pub(super) fn sscan(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let cursor = element_scan::cursor(args)?;
    let Some(set) = context.read::<Set>(key)? else { return Ok(element_scan::nothing()) };
    let scan = ElementScan::parse(args, false)?;
    context.weigh_elements(set.len().min(scan.count as u64))?;
    let (cursor, mut members) = set.page(context.tx, cursor, scan.count)?;
    members.retain(|member| scan.wants(member));
    Ok(element_scan::page(cursor, members))
}
