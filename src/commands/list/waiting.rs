//! The commands that wait for an element: what the others do at once, these do as soon as one
//! of their lists is there.

use bytes::Bytes;

use super::end;
use super::ends::{self, Request};
use super::moving::{Way, move_element};
use crate::base::Result;
use crate::commands::blocking::{Wait, until_after_seconds};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::resp::Reply;
use crate::types::list::End;

pub(super) fn blpop(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    pop(context, args, End::Left)
}

pub(super) fn brpop(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    pop(context, args, End::Right)
}

fn pop(context: &mut Context<'_>, args: &mut Args<'_>, end: End) -> Result<Outcome> {
    let keys = args.take(args.remaining().saturating_sub(1))?;
    let until_ms = until_after_seconds(context.tx.now_ms(), args.next()?)?;
    for key in context.in_order_of_writes(keys) {
        if let Some(element) = ends::pop(context, key, end, 1)?.and_then(|elements| elements.into_iter().next()) {
            context.replicate_as(&[ends::pop_command(end), key]);
            return Ok(Reply::Bulks(vec![Bytes::copy_from_slice(key), element]).into());
        }
    }
    Ok(wait(context, keys, until_ms))
}

pub(super) fn blmpop(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let until_ms = until_after_seconds(context.tx.now_ms(), args.next()?)?;
    let request = Request::parse(args)?;
    match request.serve(context)? {
        Some(reply) => Ok(reply.into()),
        None => Ok(wait(context, request.keys, until_ms)),
    }
}

pub(super) fn blmove(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (source, destination) = (args.key()?, args.key()?);
    let ends = args.clone().take(2)?;
    let way = Way { source, destination, from: end(args)?, to: end(args)? };
    move_or_wait(context, args, way, &[&[b"LMOVE", source, destination], ends].concat())
}

pub(super) fn brpoplpush(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let way = Way { source: args.key()?, destination: args.key()?, from: End::Right, to: End::Left };
    move_or_wait(context, args, way, &[b"RPOPLPUSH", way.source, way.destination])
}

/// `at_once` is the command that does not wait.
fn move_or_wait(context: &mut Context<'_>, args: &mut Args<'_>, way: Way<'_>, at_once: &[&[u8]]) -> Result<Outcome> {
    let until_ms = until_after_seconds(context.tx.now_ms(), args.next()?)?;
    match move_element(context, way)? {
        Some(element) => {
            context.replicate_as(at_once);
            Ok(Outcome::bulk(element))
        }
        // Two different nulls, as in Redis: of a value where nothing waits, of an array in time.
        None if context.in_transaction() => Ok(Outcome::nil()),
        None => Ok(wait(context, &[way.source], until_ms)),
    }
}

fn wait(context: &Context<'_>, keys: &[&[u8]], until_ms: Option<u64>) -> Outcome {
    let db = context.session.db;
    let keys = keys.iter().map(|key| (db, Bytes::copy_from_slice(key))).collect();
    Outcome::Wait(Wait { keys, until_ms, on_timeout: Reply::NilArray, resume: None })
}
