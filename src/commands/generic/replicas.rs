//! WAIT and WAITAOF: until writes are somewhere safe, with replicas or on the own disk.

use std::sync::atomic::Ordering;

use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result};
use crate::commands::blocking::{Wait, until_after_ms};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::replication::ACKNOWLEDGEMENT;
use crate::commands::request::Args;
use crate::resp::Reply;

pub(super) fn wait(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let wanted = args.integer()?;
    let until_ms = until_after_ms(context.tx.now_ms(), args.next()?)?;
    let feed = &context.instance.feed;
    let have = feed.acknowledged(context.session.written_offset) as i64;
    let client = &context.session.client;
    if have < wanted && !client.blocked.load(Ordering::Relaxed) && !context.in_transaction() {
        feed.append(|stretch| stretch.command(None, &["REPLCONF", "GETACK", "*"]));
    }
    if have >= wanted {
        return Ok(Reply::Integer(have).into());
    }
    let keys = vec![ACKNOWLEDGEMENT];
    Ok(Outcome::Wait(Wait { keys, until_ms, on_timeout: Reply::Integer(have), resume: None }))
}

/// Runs where waiting is allowed, after what this connection wrote before was committed.
pub(super) fn waitaof(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let local = parse_i64(args.next()?).ok_or(ClientError::NotInteger)?;
    if !matches!(local, 0 | 1) {
        return Err(Error::client("ERR value is out of range, value must between 0 and 1"));
    }
    let wanted = args.integer()?;
    if wanted < 0 {
        return Err(ClientError::MustBePositive.into());
    }
    let until_ms = until_after_ms(context.tx.now_ms(), args.next()?)?;
    if local == 1 {
        context.instance.store.engine().sync()?;
    }
    Ok(reached(wanted == 0, until_ms, Reply::Integers(vec![local, 0])))
}

/// The answer at once if nothing is missing, and else when the time is over.
fn reached(is_reached: bool, until_ms: Option<u64>, reply: Reply) -> Outcome {
    if is_reached {
        return reply.into();
    }
    Outcome::Wait(Wait { keys: Vec::new(), until_ms, on_timeout: reply, resume: None })
}
