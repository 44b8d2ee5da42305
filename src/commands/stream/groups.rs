//! XGROUP: consumer groups and their consumers as a whole.

use super::ids;
use crate::base::number::parse_i64;
use crate::base::{ClientError, Error, Result};
use crate::commands::command::{Command, Group as CommandGroup, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{Access, Arg, integer, key, one_of, text, token};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::usage::help;
use crate::keyspace::{Class, Key, Tx};
use crate::types::stream::{Group, Id, Stream};

const START: Arg = one_of("id-selector", &[text("id"), token("new-id", "$")]);
const ENTRIES_READ: Arg = integer("entries-read").after("ENTRIESREAD").optional();

/// The subcommands of XGROUP.
pub(super) static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "CREATE",
        summary: "Creates a consumer group, with MKSTREAM its stream as well.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            key("key", Access::Insert),
            text("group"),
            START,
            token("mkstream", "MKSTREAM").optional(),
            ENTRIES_READ,
        ],
        run: create,
        ..Command::of(CommandGroup::Stream)
    },
    Command {
        name: "CREATECONSUMER",
        summary: "Creates a consumer in a group.",
        since: "6.2.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("key", Access::Insert), text("group"), text("consumer")],
        run: create_consumer,
        ..Command::of(CommandGroup::Stream)
    },
    Command {
        name: "DELCONSUMER",
        summary: "Removes a consumer with all that is pending with it.",
        since: "5.0.0",
        complexity: "O(N) in its pending entries",
        flags: flags!(WRITE),
        args: &[key("key", Access::Remove), text("group"), text("consumer")],
        run: delete_consumer,
        ..Command::of(CommandGroup::Stream)
    },
    Command {
        name: "DESTROY",
        summary: "Removes a consumer group with all it has.",
        since: "5.0.0",
        complexity: "O(1) once it is large",
        flags: flags!(WRITE),
        args: &[key("key", Access::Remove), text("group")],
        run: destroy,
        ..Command::of(CommandGroup::Stream)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of XGROUP.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        run: help,
        ..Command::of(CommandGroup::Stream)
    },
    Command {
        name: "SETID",
        summary: "Sets up to where a group has read.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE),
        args: &[key("key", Access::Modify), text("group"), START, ENTRIES_READ],
        run: set_id,
        ..Command::of(CommandGroup::Stream)
    },
];

/// What may follow the id of CREATE and SETID.
struct Options {
    make_stream: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn parse(args: &mut Args<'_>, subcommand: &[u8], is_create: bool) -> Result<Self> {
        let mut options = Self { make_stream: false, entries_read: None };
        while !args.is_empty() {
            if is_create && args.accept("MKSTREAM") {
                options.make_stream = true;
            } else if args.remaining() >= 2 && args.accept("ENTRIESREAD") {
                let read = parse_i64(args.next()?).ok_or(ClientError::NotInteger)?;
                if read < -1 {
                    return Err(Error::client("ERR value for ENTRIESREAD must be positive or -1"));
                }
                options.entries_read = u64::try_from(read).ok();
            } else {
                return Err(ids::bad_subcommand("XGROUP", subcommand));
            }
        }
        Ok(options)
    }
}

fn no_stream() -> Error {
    Error::client(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.",
    )
}

/// Changes the groups of a stream that is there.
pub(super) fn quietly<R>(
    context: &mut Context<'_>,
    name: &[u8],
    change: impl FnOnce(&mut Stream, &mut Tx, &Key) -> Result<R>,
) -> Result<Option<R>> {
    let key = context.key(name);
    context.tx.edit_quietly(&key, |stream, tx| change(stream, tx, &key))
}

/// The subcommand as the client wrote it.
fn subcommand<'a>(args: &Args<'a>) -> &'a [u8] {
    args.all().get(1).copied().unwrap_or_default()
}

fn create(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    const CREATE_WORDS: usize = 8;
    let subcommand = subcommand(args);
    let words = args.all().len();
    let (key, name, text) = (args.key()?, args.next()?, args.next()?);
    let options = Options::parse(args, subcommand, true)?;
    let start = |last: Id| if text == b"$" { Ok(last) } else { ids::exact(text) };
    let make = |stream: &mut Stream, tx: &mut Tx, key: &Key| {
        if words > CREATE_WORDS {
            return Err(ids::bad_subcommand("XGROUP", subcommand));
        }
        let start = start(stream.last_id())?;
        let made = stream.create_group(tx, name, start, options.entries_read)?;
        made.ok_or_else(|| Error::client("BUSYGROUP Consumer Group name already exists"))?;
        tx.notify(Class::STREAM, "xgroup-create", key);
        Ok(())
    };
    if options.make_stream {
        if quietly(context, key, make)?.is_none() {
            context.edit(key, make)?;
        }
    } else {
        quietly(context, key, make)?.ok_or_else(no_stream)?;
    }
    Ok(Outcome::ok())
}

fn destroy(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, name) = (args.key()?, args.next()?);
    let gone = quietly(context, key, |stream, tx, key| {
        let gone = stream.destroy_group(tx, name)?;
        if gone {
            tx.notify(Class::STREAM, "xgroup-destroy", key);
        }
        Ok(gone)
    })?;
    Ok(Outcome::flag(gone.ok_or_else(no_stream)?))
}

/// A group that must be there.
fn group_of(context: &mut Context<'_>, key: &[u8], name: &[u8]) -> Result<(Stream, Group)> {
    let stored = context.key(key);
    let stream = context.tx.read::<Stream>(&stored)?.ok_or_else(no_stream)?;
    let group = stream.group(context.tx, name)?.ok_or_else(|| ids::no_such_group(key, name))?;
    Ok((stream, group))
}

fn set_id(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let subcommand = subcommand(args);
    let words = args.all().len();
    let (key, name, text) = (args.key()?, args.next()?, args.next()?);
    let options = Options::parse(args, subcommand, false)?;
    let (stream, mut group) = group_of(context, key, name)?;
    if !matches!(words, 5 | 7) {
        return Err(ids::bad_subcommand("XGROUP", subcommand));
    }
    let last_id = if text == b"$" { stream.last_id() } else { ids::loose(text, 0)? };
    group.set_last_id(last_id, options.entries_read);
    group.save(context.tx)?;
    context.notify(Class::STREAM, "xgroup-setid", key);
    Ok(Outcome::ok())
}

fn create_consumer(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, name, consumer) = (args.key()?, args.next()?, args.next()?);
    let (_, mut group) = group_of(context, key, name)?;
    let (_, is_new) = group.find_or_add_consumer(context.tx, consumer)?;
    group.save(context.tx)?;
    if is_new {
        context.notify(Class::STREAM, "xgroup-createconsumer", key);
    }
    Ok(Outcome::flag(is_new))
}

fn delete_consumer(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, name, consumer) = (args.key()?, args.next()?, args.next()?);
    let (_, mut group) = group_of(context, key, name)?;
    let pending = group.remove_consumer(context.tx, consumer)?;
    group.save(context.tx)?;
    if pending.is_some() {
        context.notify(Class::STREAM, "xgroup-delconsumer", key);
    }
    Ok(Outcome::integer(pending.unwrap_or(0) as i64))
}
