//! Whole keys: there or not, renamed, moved, copied, deleted; at a cost that does not depend on
//! the size of the value (COPY apart).

use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result};
use crate::commands::context::Context;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::encoding::key::ObjectId;
use crate::keyspace::{Body, Class, DatabaseIndex, Direction, Key, Record, Tx};
use crate::resp::Reply;
use crate::storage::Family;

pub(super) fn del(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let mut deleted = 0;
    for name in args.rest() {
        let key = context.key(name);
        deleted += usize::from(delete(context.tx, &key)?);
    }
    Ok(Outcome::count(deleted))
}

pub(super) fn unlink(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    del(context, args)
}

/// Deletes a key if it is there.
pub(super) fn delete(tx: &mut Tx, key: &Key) -> Result<bool> {
    if tx.record(key)?.is_none() {
        return Ok(false);
    }
    tx.delete_record(key)?;
    tx.touch(key);
    tx.notify(Class::GENERIC, "del", key);
    Ok(true)
}

pub(super) fn exists(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let mut found = 0;
    for name in args.rest() {
        let key = context.key(name);
        found += usize::from(context.tx.record(&key)?.is_some());
    }
    Ok(Outcome::count(found))
}

/// Looking at a record is what touches it, unless the command says otherwise, as EXISTS does.
pub(super) fn touch(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    exists(context, args)
}

pub(super) fn type_of(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let record = context.tx.record(&key)?;
    Ok(Reply::simple(record.map_or("none", |record| record.kind.name())).into())
}

pub(super) fn rename(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    rename_to(context, args, true)?;
    Ok(Outcome::ok())
}

pub(super) fn renamenx(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    Ok(Outcome::flag(rename_to(context, args, false)?))
}

fn rename_to(context: &mut Context<'_>, args: &mut Args<'_>, replace: bool) -> Result<bool> {
    let from = context.key(args.key()?);
    let to = context.key(args.key()?);
    let record = context.tx.record(&from)?.ok_or(ClientError::NoSuchKey)?;
    if from.stored() == to.stored() {
        return Ok(replace);
    }
    if !replace && context.tx.record(&to)?.is_some() {
        return Ok(false);
    }
    let tx = &mut *context.tx;
    tx.move_record(&from, &to, &record)?;
    tx.touch(&from);
    tx.touch(&to);
    tx.notify(Class::GENERIC, "rename_from", &from);
    tx.notify(Class::GENERIC, "rename_to", &to);
    Ok(true)
}

/// A database by its number in a command.
fn database(context: &Context<'_>, word: &[u8]) -> Result<DatabaseIndex> {
    let number = parse_i64(word).ok_or(ClientError::NotInteger)?;
    let db = u32::try_from(number).ok().filter(|db| *db < context.instance.store.database_count());
    Ok(db.ok_or(ClientError::DbIndexOutOfRange)?)
}

const SAME: &str = "ERR source and destination objects are the same";

pub(super) fn move_key(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let name = args.key()?;
    let db = database(context, args.next()?)?;
    if db == context.session.db {
        return Err(Error::client(SAME));
    }
    let from = context.key(name);
    let to = context.tx.key(db, name);
    let Some(record) = context.tx.record(&from)? else { return Ok(Outcome::flag(false)) };
    if context.tx.record(&to)?.is_some() {
        return Ok(Outcome::flag(false));
    }
    let tx = &mut *context.tx;
    tx.move_record(&from, &to, &record)?;
    tx.touch(&from);
    tx.touch(&to);
    tx.notify(Class::GENERIC, "move_from", &from);
    tx.notify(Class::GENERIC, "move_to", &to);
    Ok(Outcome::flag(true))
}

pub(super) fn copy(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (source, target) = (args.key()?, args.key()?);
    let mut db = context.session.db;
    let mut replace = false;
    while !args.is_empty() {
        if args.accept("REPLACE") {
            replace = true;
        } else if args.accept("DB") {
            db = database(context, args.next()?)?;
        } else {
            return Err(ClientError::Syntax.into());
        }
    }
    let from = context.key(source);
    let to = context.tx.key(db, target);
    if from.stored() == to.stored() {
        return Err(Error::client(SAME));
    }
    let tx = &mut *context.tx;
    let Some(record) = tx.record(&from)? else { return Ok(Outcome::flag(false)) };
    if tx.record(&to)?.is_some() && !replace {
        return Ok(Outcome::flag(false));
    }
    let body = match record.body {
        Body::Inline(bytes) => Body::Inline(bytes),
        Body::Large { id, meta } => Body::Large { id: copy_parts(tx, id)?, meta },
    };
    tx.put_record(&to, &Record { body, ..record })?;
    tx.touch(&to);
    tx.notify(Class::GENERIC, "copy_to", &to);
    Ok(Outcome::flag(true))
}

/// Copies all parts of a large object, as they are, to a new one.
fn copy_parts(tx: &mut Tx, from: ObjectId) -> Result<ObjectId> {
    let to = tx.new_object()?;
    for family in [Family::Data, Family::Scores] {
        let mut parts = tx.scan(family, from, b"", None, Direction::Forward)?;
        while let Some((part, value)) = parts.next()? {
            tx.put_part(family, to, &part, value);
        }
    }
    Ok(to)
}
