//! By index and by value: LLEN, LINDEX, LRANGE, LSET, LTRIM; LINSERT, LREM, LPOS.

use std::ops::Range;

use super::limits;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Class;
use crate::resp::Reply;
use crate::types::list::{End, List, Search};

pub(super) fn llen(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let list = context.read::<List>(args.key()?)?;
    Ok(Outcome::integer(list.map_or(0, |list| list.len() as i64)))
}

/// The place that an index means, a negative one counted from the end; `None` in front of the list.
fn place(index: i64, len: u64) -> Option<u64> {
    match u64::try_from(index) {
        Ok(index) => Some(index),
        Err(_) => len.checked_sub(index.unsigned_abs()),
    }
}

/// The places that two indexes enclose, both included.
fn stretch(start: i64, stop: i64, len: u64) -> Range<u64> {
    let start = place(start, len).unwrap_or(0);
    let stop = place(stop, len).map_or(0, |stop| stop.saturating_add(1)).min(len);
    if start < stop { start..stop } else { 0..0 }
}

pub(super) fn lindex(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let Some(list) = context.read::<List>(key)? else { return Ok(Outcome::nil()) };
    let Some(index) = place(args.integer()?, list.len()) else { return Ok(Outcome::nil()) };
    Ok(Outcome::optional(list.get(context.tx, index)?))
}

pub(super) fn lrange(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, start, stop) = (args.key()?, args.integer()?, args.integer()?);
    let Some(list) = context.read::<List>(key)? else { return Ok(Reply::EMPTY.into()) };
    let stretch = stretch(start, stop, list.len());
    context.weigh_elements(stretch.end - stretch.start)?;
    Ok(Reply::Bulks(list.range(context.tx, stretch)?).into())
}

pub(super) fn lset(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, index, element, limits) = (args.key()?, args.next()?, args.next()?, limits(context));
    let done = context.edit_existing::<List, _>(key, |list, tx, key| {
        let index = crate::base::number::parse_i64(index).ok_or(ClientError::NotInteger)?;
        let place = place(index, list.len()).ok_or(ClientError::IndexOutOfRange)?;
        if !list.set(tx, place, element, limits)? {
            return Err(ClientError::IndexOutOfRange.into());
        }
        tx.notify(Class::LIST, "lset", key);
        Ok(())
    })?;
    done.ok_or(ClientError::NoSuchKey)?;
    Ok(Outcome::ok())
}

pub(super) fn ltrim(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, start, stop, limits) = (args.key()?, args.integer()?, args.integer()?, limits(context));
    context.edit_existing::<List, _>(key, |list, tx, key| {
        let len = list.len();
        list.trim(tx, stretch(start, stop, len), limits)?;
        if list.len() == len {
            // Redis counts it as a change all the same.
            tx.touch(key);
        }
        tx.notify(Class::LIST, "ltrim", key);
        Ok(())
    })?;
    Ok(Outcome::ok())
}

pub(super) fn linsert(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, limits) = (args.key()?, limits(context));
    let behind = if args.accept("AFTER") {
        true
    } else if args.accept("BEFORE") {
        false
    } else {
        return Err(ClientError::Syntax.into());
    };
    let (pivot, element) = (args.next()?, args.next()?);
    let length = context.edit_existing::<List, _>(key, |list, tx, key| {
        let search = Search { from: End::Left, skip: 0, count: 1, compare: u64::MAX };
        let Some(index) = list.find(tx, pivot, search)?.first().copied() else { return Ok(-1) };
        list.insert(tx, index + u64::from(behind), element, limits)?;
        tx.notify(Class::LIST, "linsert", key);
        Ok(list.len() as i64)
    })?;
    Ok(Outcome::integer(length.unwrap_or(0)))
}

pub(super) fn lrem(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, count, element, limits) = (args.key()?, args.integer()?, args.next()?, limits(context));
    let from = if count < 0 { End::Right } else { End::Left };
    let most = if count == 0 { u64::MAX } else { count.unsigned_abs() };
    let removed = context.edit_existing::<List, _>(key, |list, tx, key| {
        let removed = list.remove(tx, element, from, most, limits)?;
        if removed > 0 {
            tx.notify(Class::LIST, "lrem", key);
        }
        Ok(removed as i64)
    })?;
    Ok(Outcome::integer(removed.unwrap_or(0)))
}

pub(super) fn lpos(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, element) = (args.key()?, args.next()?);
    let (search, wants_many) = lpos_options(args)?;
    let found = match context.read::<List>(key)? {
        None => Vec::new(),
        Some(list) => list.find(context.tx, element, search)?,
    };
    Ok(if wants_many {
        Reply::Integers(found.into_iter().map(|index| index as i64).collect()).into()
    } else {
        found.first().map_or(Reply::Nil, |index| Reply::Integer(*index as i64)).into()
    })
}

/// What to look for, and whether the reply is an array.
fn lpos_options(args: &mut Args<'_>) -> Result<(Search, bool)> {
    let mut search = Search { from: End::Left, skip: 0, count: 1, compare: u64::MAX };
    let mut wants_many = false;
    while !args.is_empty() {
        if args.remaining() < 2 {
            return Err(ClientError::Syntax.into());
        }
        if args.accept("RANK") {
            let rank = args.integer()?;
            if rank == 0 {
                return Err(Error::client(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                ));
            }
            if rank == i64::MIN {
                return Err(Error::client(
                    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
                ));
            }
            search.from = if rank < 0 { End::Right } else { End::Left };
            search.skip = rank.unsigned_abs() - 1;
        } else if args.accept("COUNT") {
            search.count = up_to(args.next()?, "ERR COUNT can't be negative")?;
            wants_many = true;
        } else if args.accept("MAXLEN") {
            search.compare = up_to(args.next()?, "ERR MAXLEN can't be negative")?;
        } else {
            return Err(ClientError::Syntax.into());
        }
    }
    Ok((search, wants_many))
}

/// A limit; zero is none.
fn up_to(number: &[u8], negative: &'static str) -> Result<u64> {
    let number = crate::base::number::parse_i64(number).and_then(|number| u64::try_from(number).ok());
    Ok(match number.ok_or_else(|| Error::client(negative))? {
        0 => u64::MAX,
        limit => limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_enclose_what_there_is() {
        assert_eq!(stretch(0, -1, 3), 0..3);
        assert_eq!(stretch(-100, 100, 3), 0..3);
        assert_eq!(stretch(1, 1, 3), 1..2);
        assert_eq!(stretch(2, 1, 3), 0..0);
        assert_eq!(stretch(3, 5, 3), 0..0);
        assert_eq!(stretch(0, -4, 3), 0..0);
        assert_eq!(stretch(i64::MIN, i64::MAX, 3), 0..3);
    }
}
