//! Reading by id: XLEN, XRANGE, XREVRANGE.

use super::ids::{self, NO_COUNT};
use crate::base::{ClientError, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Direction;
use crate::resp::Reply;
use crate::types::stream::Stream;

pub(super) fn xlen(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let stream = context.read::<Stream>(args.key()?)?;
    Ok(Outcome::integer(stream.map_or(0, |stream| stream.len() as i64)))
}

pub(super) fn xrange(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let (from, to) = (args.next()?, args.next()?);
    range(context, key, (from, to), args, Direction::Forward)
}

pub(super) fn xrevrange(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let (to, from) = (args.next()?, args.next()?);
    range(context, key, (from, to), args, Direction::Backward)
}

fn range(
    context: &mut Context<'_>,
    key: &[u8],
    (from, to): (&[u8], &[u8]),
    args: &mut Args<'_>,
    direction: Direction,
) -> Result<Outcome> {
    let (from, to) = (ids::start(from)?, ids::end(to)?);
    let mut count = NO_COUNT;
    while !args.is_empty() {
        if args.remaining() < 2 || !args.accept("COUNT") {
            return Err(ClientError::Syntax.into());
        }
        count = args.integer()?.max(0).cast_unsigned();
    }
    let Some(stream) = context.read::<Stream>(key)? else { return Ok(Reply::EMPTY.into()) };
    if count == 0 {
        return Ok(Reply::NilArray.into());
    }
    context.weigh_elements(stream.len().min(count))?;
    let walk = stream.walk(context.tx, from, to, direction)?;
    Ok(Reply::Array(ids::entries(walk, count)?).into())
}
