//! XINFO: what there is to know of a stream, its groups and their consumers.

use super::ids::{self, NO_COUNT};
use crate::base::{ClientError, Result};
use crate::commands::command::{Command, Group as CommandGroup, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{Access, block, integer, key, text, token};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::usage::help;
use crate::keyspace::Direction;
use crate::resp::Reply;
use crate::types::stream::{Consumer, Group, Id, Stream};

/// What FULL shows of each list unless it is told otherwise.
const FULL_COUNT: u64 = 10;

/// The subcommands of XINFO.
pub(super) static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "CONSUMERS",
        summary: "Lists the consumers of a group.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), text("group")],
        tips: &["nondeterministic_output"],
        run: consumers,
        ..Command::of(CommandGroup::Stream)
    },
    Command {
        name: "GROUPS",
        summary: "Lists the consumer groups of a stream.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read)],
        run: groups,
        ..Command::of(CommandGroup::Stream)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of XINFO.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        run: help,
        ..Command::of(CommandGroup::Stream)
    },
    Command {
        name: "STREAM",
        summary: "Describes a stream, with FULL its entries, groups and consumers as well.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            block("full-block", &[token("full", "FULL"), integer("count").after("COUNT").optional()]).optional(),
        ],
        run: stream,
        ..Command::of(CommandGroup::Stream)
    },
];

fn integer_reply(number: u64) -> Reply {
    Reply::Integer(number.cast_signed())
}

fn optional_integer(number: Option<u64>) -> Reply {
    number.map_or(Reply::Nil, integer_reply)
}

fn existing(context: &mut Context<'_>, key: &[u8]) -> Result<Stream> {
    Ok(context.read::<Stream>(key)?.ok_or(ClientError::NoSuchKey)?)
}

// ---- XINFO STREAM ------------------------------------------------------------------------

fn stream(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let subcommand = args.all().get(1).copied().unwrap_or_default();
    let key = args.key()?;
    let stream = existing(context, key)?;
    let bad = || ids::bad_subcommand("XINFO", subcommand);
    if args.is_empty() {
        return brief(context, &stream);
    }
    if !matches!(args.remaining(), 1 | 3) || !args.accept("FULL") {
        return Err(bad());
    }
    let mut count = FULL_COUNT;
    if !args.is_empty() {
        if !args.accept("COUNT") {
            return Err(bad());
        }
        count = match args.integer()? {
            ..0 => FULL_COUNT,
            0 => NO_COUNT,
            count => count.cast_unsigned(),
        };
    }
    full(context, &stream, count)
}

fn facts(stream: &Stream) -> Vec<(&'static str, Reply)> {
    let nodes = stream.node_count();
    vec![
        ("length", integer_reply(stream.len())),
        ("radix-tree-keys", integer_reply(nodes)),
        ("radix-tree-nodes", integer_reply(nodes + 1)),
        ("last-generated-id", ids::reply(stream.last_id())),
        ("max-deleted-entry-id", ids::reply(stream.max_deleted_id())),
        ("entries-added", integer_reply(stream.entries_added())),
        ("recorded-first-entry-id", ids::reply(stream.first_id())),
    ]
}

fn brief(context: &mut Context<'_>, stream: &Stream) -> Result<Outcome> {
    let mut facts = facts(stream);
    facts.push(("groups", integer_reply(stream.group_count())));
    let first = stream.entry(context.tx, stream.first_id())?;
    let last = stream.last_entry(context.tx)?;
    for (name, entry) in [("first-entry", first), ("last-entry", last)] {
        facts.push((name, entry.map_or(Ok(Reply::Nil), |entry| ids::entry_reply(&entry))?));
    }
    Ok(Reply::named(facts).into())
}

fn full(context: &mut Context<'_>, stream: &Stream, count: u64) -> Result<Outcome> {
    context.weigh_elements(stream.len().min(count))?;
    let mut facts = facts(stream);
    let walk = stream.walk(context.tx, Id::MIN, Id::MAX, Direction::Forward)?;
    facts.push(("entries", Reply::Array(ids::entries(walk, count)?)));
    let mut groups = Vec::new();
    for mut group in stream.groups(context.tx)? {
        groups.push(full_group(context, stream, &mut group, count)?);
    }
    facts.push(("groups", Reply::Array(groups)));
    Ok(Reply::named(facts).into())
}

fn full_group(context: &mut Context<'_>, stream: &Stream, group: &mut Group, count: u64) -> Result<Reply> {
    context.weigh_elements(group.pending.min(count))?;
    let mut pending = Vec::new();
    let mut walk = group.walk_pending(context.tx, Id::MIN, Id::MAX)?;
    while (pending.len() as u64) < count
        && let Some(entry) = walk.next()?
    {
        let name = group.name_of(context.tx, entry.consumer)?;
        let (at, deliveries) = (integer_reply(entry.delivered_ms), integer_reply(entry.deliveries));
        pending.push(Reply::Array(vec![ids::reply(entry.id), name.into(), at, deliveries]));
    }
    let mut consumers = Vec::new();
    for consumer in group.all_consumers(context.tx)? {
        consumers.push(full_consumer(context, group, &consumer, count)?);
    }
    Ok(Reply::named([
        ("name", group.name.clone().into()),
        ("last-delivered-id", ids::reply(group.last_id)),
        ("entries-read", optional_integer(group.entries_read)),
        ("lag", optional_integer(stream.lag(group))),
        ("pel-count", integer_reply(group.pending)),
        ("pending", Reply::Array(pending)),
        ("consumers", Reply::Array(consumers)),
    ]))
}

fn full_consumer(context: &mut Context<'_>, group: &Group, consumer: &Consumer, count: u64) -> Result<Reply> {
    context.weigh_elements(consumer.pending.min(count))?;
    let mut pending = Vec::new();
    let mut walk = group.walk_owned(context.tx, consumer, Id::MIN, Id::MAX)?;
    while (pending.len() as u64) < count
        && let Some(id) = walk.next_id()?
    {
        if let Some(entry) = group.pending_of(context.tx, id)? {
            let (at, deliveries) = (integer_reply(entry.delivered_ms), integer_reply(entry.deliveries));
            pending.push(Reply::Array(vec![ids::reply(id), at, deliveries]));
        }
    }
    Ok(Reply::named([
        ("name", consumer.name.clone().into()),
        ("seen-time", integer_reply(consumer.seen_ms)),
        ("active-time", consumer.active_ms.map_or(Reply::Integer(-1), integer_reply)),
        ("pel-count", integer_reply(consumer.pending)),
        ("pending", Reply::Array(pending)),
    ]))
}

// ---- XINFO GROUPS, CONSUMERS -------------------------------------------------------------

fn groups(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let stream = existing(context, args.key()?)?;
    context.weigh_elements(stream.group_count())?;
    let groups = stream.groups(context.tx)?;
    let groups = groups.into_iter().map(|group| {
        Reply::named([
            ("name", group.name.clone().into()),
            ("consumers", integer_reply(group.consumers)),
            ("pending", integer_reply(group.pending)),
            ("last-delivered-id", ids::reply(group.last_id)),
            ("entries-read", optional_integer(group.entries_read)),
            ("lag", optional_integer(stream.lag(&group))),
        ])
    });
    Ok(Reply::array(groups).into())
}

fn consumers(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let (key, name) = (args.key()?, args.next()?);
    let stream = existing(context, key)?;
    let group = stream.group(context.tx, name)?.ok_or_else(|| ids::no_such_group(key, name))?;
    context.weigh_elements(group.consumers)?;
    let now_ms = context.tx.now_ms();
    let consumers = group.all_consumers(context.tx)?.into_iter().map(|consumer| {
        let inactive = consumer.active_ms.map(|at| now_ms.saturating_sub(at));
        Reply::named([
            ("name", consumer.name.into()),
            ("pending", integer_reply(consumer.pending)),
            ("idle", integer_reply(now_ms.saturating_sub(consumer.seen_ms))),
            ("inactive", inactive.map_or(Reply::Integer(-1), integer_reply)),
        ])
    });
    Ok(Reply::array(consumers).into())
}
