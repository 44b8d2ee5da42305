//! Whole databases: counted, emptied, exchanged, at a cost that does not depend on their size.

use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;

pub(super) fn dbsize(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let keys = context.tx.count_keys(context.session.db)?;
    Ok(Outcome::integer(keys))
}

pub(super) fn flushdb(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    accept_mode(args)?;
    context.tx.flush(&[context.session.db]);
    Ok(Outcome::ok())
}

pub(super) fn flushall(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    accept_mode(args)?;
    let all: Vec<u32> = (0..context.instance.store.database_count()).collect();
    context.tx.flush(&all);
    Ok(Outcome::ok())
}

/// ASYNC and SYNC mean the same here: the keys are gone at once, the space comes back by itself.
fn accept_mode(args: &mut Args<'_>) -> Result<()> {
    if !args.is_empty() && !args.accept("ASYNC") && !args.accept("SYNC") {
        return Err(ClientError::Syntax.into());
    }
    args.finish()
}

pub(super) fn swapdb(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let one = number(args.next()?, "first")?;
    let other = number(args.next()?, "second")?;
    let (one, other) = (database(context, one)?, database(context, other)?);
    if one != other {
        context.tx.swap(one, other);
    }
    Ok(Outcome::ok())
}

fn number(word: &[u8], which: &str) -> Result<i64> {
    parse_i64(word).ok_or_else(|| Error::client(format!("ERR invalid {which} DB index")))
}

fn database(context: &Context<'_>, number: i64) -> Result<u32> {
    let db = u32::try_from(number).ok().filter(|db| *db < context.instance.store.database_count());
    Ok(db.ok_or(ClientError::DbIndexOutOfRange)?)
}
