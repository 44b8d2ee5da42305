//! All fields (HGETALL, HKEYS, HVALS), some at random (HRANDFIELD), page by page (HSCAN).

use bytes::Bytes;

use super::read;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::element_scan::{self, ElementScan};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::resp::Reply;
use crate::types::spread::Element;

/// Fields with repetitions that one HRANDFIELD may ask for.
const MOST_REPEATED: u64 = 10_000_000;

pub(super) fn hgetall(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    Ok(Reply::Fields(all(context, args)?).into())
}

pub(super) fn hkeys(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    Ok(Reply::Bulks(all(context, args)?.into_iter().map(|(field, _)| field).collect()).into())
}

pub(super) fn hvals(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    Ok(Reply::Bulks(all(context, args)?.into_iter().map(|(_, value)| value).collect()).into())
}

fn all(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Vec<Element>> {
    let key = args.key()?;
    match read(context, key)? {
        None => Ok(Vec::new()),
        Some(hash) => {
            context.weigh_elements(hash.stored_len())?;
            hash.all(context.tx)
        }
    }
}

pub(super) fn hrandfield(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    if args.is_empty() {
        let Some(hash) = read(context, key)? else { return Ok(Outcome::nil()) };
        return Ok(Outcome::optional(hash.random(context.tx)?.map(|(field, _)| field)));
    }
    let count = args.integer()?;
    if count == i64::MIN {
        let text = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
        return Err(Error::client(text));
    }
    let with_values = !args.is_empty();
    if with_values && !(args.accept("WITHVALUES") && args.is_empty()) {
        return Err(ClientError::Syntax.into());
    }
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(ClientError::OutOfRange.into());
    }
    let Some(hash) = read(context, key)? else { return Ok(Reply::EMPTY.into()) };
    context.weigh_elements(element_scan::drawing(count, hash.stored_len()))?;
    let chosen = if count >= 0 {
        hash.sample(context.tx, count.unsigned_abs())?
    } else if count.unsigned_abs() <= MOST_REPEATED {
        hash.draws(context.tx, count.unsigned_abs())?
    } else {
        return Err(ClientError::OutOfRange.into());
    };
    Ok(chosen_reply(chosen, with_values).into())
}

fn chosen_reply(chosen: Vec<Element>, with_values: bool) -> Reply {
    if with_values {
        let pair = |(field, value)| (Reply::Bulk(field), Reply::Bulk(value));
        Reply::Pairs(chosen.into_iter().map(pair).collect())
    } else {
        Reply::Bulks(chosen.into_iter().map(|(field, _)| field).collect())
    }
}

pub(super) fn hscan(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let cursor = element_scan::cursor(args)?;
    let Some(hash) = read(context, key)? else { return Ok(element_scan::nothing()) };
    let scan = ElementScan::parse(args, true)?;
    context.weigh_elements(hash.stored_len().min(scan.count as u64))?;
    let page = hash.page(context.tx, cursor, scan.count)?;
    let mut shown: Vec<Bytes> = Vec::with_capacity(2 * page.elements.len());
    for (field, value) in page.elements {
        if scan.wants(&field) {
            shown.push(field);
            if !scan.no_values {
                shown.push(value);
            }
        }
    }
    Ok(element_scan::page(page.cursor, shown))
}
