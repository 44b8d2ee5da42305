//! OBJECT: how a value is encoded, and how it was used of late.

use crate::base::{Error, Result};
use crate::commands::command::{Command, Group, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{Access, key};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::usage::help;
use crate::keyspace::Record;
use crate::resp::Reply;
use crate::types;

/// The subcommands of OBJECT.
pub(super) static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "ENCODING",
        summary: "Names the encoding of a value.",
        since: "2.2.3",
        complexity: "O(1)",
        flags: flags!(READONLY | NO_TOUCH),
        args: &[key("key", Access::Inspect)],
        tips: &["nondeterministic_output"],
        run: encoding,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "FREQ",
        summary: "Tells how often a key was used lately, on a logarithmic scale.",
        since: "4.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | NO_TOUCH),
        args: &[key("key", Access::Inspect)],
        tips: &["nondeterministic_output"],
        run: freq,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of OBJECT.",
        since: "6.2.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        run: help,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "IDLETIME",
        summary: "Tells for how many seconds a key was not used.",
        since: "2.2.3",
        complexity: "O(1)",
        flags: flags!(READONLY | NO_TOUCH),
        args: &[key("key", Access::Inspect)],
        tips: &["nondeterministic_output"],
        run: idletime,
        ..Command::of(Group::Generic)
    },
    Command {
        name: "REFCOUNT",
        summary: "Tells how many references a value has.",
        since: "2.2.3",
        complexity: "O(1)",
        flags: flags!(READONLY | NO_TOUCH),
        args: &[key("key", Access::Inspect)],
        tips: &["nondeterministic_output"],
        run: refcount,
        ..Command::of(Group::Generic)
    },
];

fn record(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Option<Record>> {
    let key = context.key(args.key()?);
    context.tx.record(&key)
}

fn encoding(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let record = record(context, args)?;
    Ok(record.map_or(Reply::Nil, |record| Reply::Static(types::encoding_name(&record))).into())
}

fn refcount(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let record = record(context, args)?;
    Ok(record.map_or(Reply::Nil, |_| Reply::Integer(1)).into())
}

fn idletime(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let access = context.instance.store.cache().peek(key.stored());
    if context.tx.record(&key)?.is_none() {
        return Ok(Outcome::nil());
    }
    if context.settings.maxmemory_policy.is_lfu() {
        return Err(Error::client(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let now = crate::storage::cache::clock_seconds();
    let idle = access.map_or(0, |entry| entry.access.idle_seconds(now));
    Ok(Outcome::integer(i64::from(idle)))
}

fn freq(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let access = context.instance.store.cache().peek(key.stored());
    if context.tx.record(&key)?.is_none() {
        return Ok(Outcome::nil());
    }
    if !context.settings.maxmemory_policy.is_lfu() {
        return Err(Error::client(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ));
    }
    let rules = crate::storage::cache::FrequencyRules {
        log_factor: context.settings.lfu_log_factor,
        decay_minutes: context.settings.lfu_decay_time,
    };
    let now = crate::storage::cache::clock_seconds();
    let frequency = access.map_or(0, |entry| entry.access.frequency(now, rules));
    Ok(Outcome::integer(i64::from(frequency)))
}
