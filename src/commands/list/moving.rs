//! From one list to another: LMOVE, RPOPLPUSH.

use bytes::Bytes;

use super::{end, limits, popped, pushed};
use crate::base::Result;
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::Kind;
use crate::types::list::{End, List};

/// An element's way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way<'a> {
    pub source: &'a [u8],
    pub destination: &'a [u8],
    pub from: End,
    pub to: End,
}

pub(super) fn lmove(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (source, destination) = (args.key()?, args.key()?);
    let way = Way { source, destination, from: end(args)?, to: end(args)? };
    Ok(Outcome::optional(move_element(context, way)?))
}

pub(super) fn rpoplpush(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let way = Way { source: args.key()?, destination: args.key()?, from: End::Right, to: End::Left };
    Ok(Outcome::optional(move_element(context, way)?))
}

/// Moves an element; `None` if the source is not there. As in Redis the destination's event comes
/// before the source's.
pub(super) fn move_element(context: &mut Context<'_>, way: Way<'_>) -> Result<Option<Bytes>> {
    let limits = limits(context);
    let (source, destination) = (context.key(way.source), context.key(way.destination));
    let tx = &mut *context.tx;
    let Some(list) = tx.read::<List>(&source)? else { return Ok(None) };
    tx.record_of(&destination, List::TYPE)?;
    let index = if way.from == End::Left { 0 } else { list.len().saturating_sub(1) };
    let Some(element) = list.get(tx, index)? else { return Ok(None) };
    let ((push_class, push_name), (pop_class, pop_name)) = (pushed(way.to), popped(way.from));
    if source.stored() == destination.stored() {
        tx.edit_existing::<List, _>(&source, |list, tx| {
            list.pop(tx, way.from, 1, limits)?;
            list.push(tx, way.to, &[&element], limits)
        })?;
        tx.notify(push_class, push_name, &destination);
        tx.notify(pop_class, pop_name, &source);
        return Ok(Some(element));
    }
    tx.edit::<List, _>(&destination, |list, tx| {
        list.push(tx, way.to, &[&element], limits)?;
        tx.notify(push_class, push_name, &destination);
        Ok(())
    })?;
    tx.edit_existing::<List, _>(&source, |list, tx| {
        list.pop(tx, way.from, 1, limits)?;
        tx.notify(pop_class, pop_name, &source);
        Ok(())
    })?;
    Ok(Some(element))
}
