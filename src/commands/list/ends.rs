//! Pushing and popping: LPUSH, RPUSH and their X forms, LPOP, RPOP, LMPOP.

use bytes::Bytes;

use super::{end, limits, popped, pushed};
use crate::base::number::{format_u64, parse_i64};
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Key, Tx};
use crate::resp::Reply;
use crate::types::list::{End, Limits, List};

pub(super) fn lpush(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    push(context, args, End::Left)
}

pub(super) fn rpush(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    push(context, args, End::Right)
}

pub(super) fn lpushx(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    push_existing(context, args, End::Left)
}

pub(super) fn rpushx(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    push_existing(context, args, End::Right)
}

fn push(context: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Result<Outcome> {
    let (key, elements, limits) = (args.key()?, args.rest(), limits(context));
    context.weigh_elements(elements.len() as u64)?;
    let length = context.edit::<List, _>(key, |list, tx, key| push_to(list, tx, key, end, elements, limits))?;
    Ok(Outcome::integer(length))
}

fn push_existing(context: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Result<Outcome> {
    let (key, elements, limits) = (args.key()?, args.rest(), limits(context));
    context.weigh_elements(elements.len() as u64)?;
    let length =
        context.edit_existing::<List, _>(key, |list, tx, key| push_to(list, tx, key, end, elements, limits))?;
    Ok(Outcome::integer(length.unwrap_or(0)))
}

/// Pushes and tells of it; the new length.
fn push_to(list: &mut List, tx: &mut Tx, key: &Key, end: End, elements: &[&[u8]], limits: Limits) -> Result<i64> {
    list.push(tx, end, elements, limits)?;
    let (class, name) = pushed(end);
    tx.notify(class, name, key);
    Ok(list.len() as i64)
}

pub(super) fn lpop(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    pop_one_or_many(context, args, End::Left)
}

pub(super) fn rpop(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    pop_one_or_many(context, args, End::Right)
}

fn pop_one_or_many(context: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Result<Outcome> {
    let key = args.key()?;
    if args.remaining() > 1 {
        return Err(ClientError::Arity(context.command_name().to_owned()).into());
    }
    let Some(count) = args.next_if_any() else {
        let popped = pop(context, key, end, 1)?;
        return Ok(Outcome::optional(popped.and_then(|elements| elements.into_iter().next())));
    };
    let count = parse_i64(count).and_then(|count| u64::try_from(count).ok()).ok_or(ClientError::MustBePositive)?;
    Ok(pop(context, key, end, count)?.map_or(Reply::NilArray, Reply::Bulks).into())
}

/// Takes up to `count` elements off a list; `None` if it is not there.
pub(super) fn pop(context: &mut Context<'_>, key: &[u8], end: End, count: u64) -> Result<Option<Vec<Bytes>>> {
    let limits = limits(context);
    let key = context.key(key);
    if count > 1 {
        let Some(list) = context.tx.read::<List>(&key)? else { return Ok(None) };
        context.weigh_elements(count.min(list.len()))?;
    }
    context.tx.edit_existing::<List, _>(&key, |list, tx| {
        let elements = list.pop(tx, end, count, limits)?;
        if !elements.is_empty() {
            let (class, name) = popped(end);
            tx.notify(class, name, &key);
        }
        Ok(elements)
    })
}

/// The command that pops at once.
pub(super) const fn pop_command(end: End) -> &'static [u8] {
    match end {
        End::Left => b"LPOP",
        End::Right => b"RPOP",
    }
}

/// What LMPOP and BLMPOP ask for.
pub(super) struct Request<'a> {
    pub keys: &'a [&'a [u8]],
    end: End,
    count: u64,
}

impl<'a> Request<'a> {
    /// Reads the arguments from `numkeys` on.
    pub(super) fn parse(args: &mut Args<'a>) -> Result<Self> {
        let number = positive(args.next()?).ok_or_else(|| Error::client("ERR numkeys should be greater than 0"))?;
        // Behind the keys there is at least the end.
        let number = usize::try_from(number).ok().filter(|number| *number < args.remaining());
        let keys = args.take(number.ok_or(ClientError::Syntax)?)?;
        let end = end(args)?;
        let mut count = None;
        while !args.is_empty() {
            if count.is_some() || args.remaining() < 2 || !args.accept("COUNT") {
                return Err(ClientError::Syntax.into());
            }
            let given = positive(args.next()?);
            count = Some(given.ok_or_else(|| Error::client("ERR count should be greater than 0"))?);
        }
        Ok(Self { keys, end, count: count.unwrap_or(1) })
    }

    /// Takes elements off the first list that is there; `None` if there is none.
    pub(super) fn serve(&self, context: &mut Context<'_>) -> Result<Option<Reply>> {
        for key in context.in_order_of_writes(self.keys) {
            if let Some(elements) = pop(context, key, self.end, self.count)? {
                context.replicate_as(&[pop_command(self.end), key, &format_u64(elements.len() as u64)]);
                return Ok(Some(Reply::Array(vec![Reply::copy(key), Reply::Bulks(elements)])));
            }
        }
        Ok(None)
    }
}

fn positive(number: &[u8]) -> Option<u64> {
    parse_i64(number).and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}

pub(super) fn lmpop(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let request = Request::parse(args)?;
    Ok(request.serve(context)?.unwrap_or(Reply::NilArray).into())
}
