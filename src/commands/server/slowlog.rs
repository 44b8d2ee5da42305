//! SLOWLOG: the commands that took long.

use crate::base::number::parse_i64;
use crate::base::{Error, Result};
use crate::commands::command::{Command, Group, flags};
use crate::commands::context::Context;
use crate::commands::grammar::integer;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::usage::help;
use crate::resp::Reply;

/// The subcommands of SLOWLOG.
pub(super) static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "GET",
        summary: "Shows the newest entries of the slow log.",
        since: "2.2.12",
        complexity: "O(N)",
        flags: flags!(ADMIN | LOADING | STALE),
        args: &[integer("count").optional()],
        tips: &["request_policy:all_nodes", "nondeterministic_output"],
        run: get,
        ..Command::of(Group::Server)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of SLOWLOG.",
        since: "6.2.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        run: help,
        ..Command::of(Group::Server)
    },
    Command {
        name: "LEN",
        summary: "Counts the entries of the slow log.",
        since: "2.2.12",
        complexity: "O(1)",
        flags: flags!(ADMIN | LOADING | STALE),
        tips: &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
        run: len,
        ..Command::of(Group::Server)
    },
    Command {
        name: "RESET",
        summary: "Empties the slow log.",
        since: "2.2.12",
        complexity: "O(N)",
        flags: flags!(ADMIN | LOADING | STALE),
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: reset,
        ..Command::of(Group::Server)
    },
];

/// Entries shown unless told otherwise.
const DEFAULT_COUNT: usize = 10;

fn get(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let count = match args.next_if_any() {
        None => DEFAULT_COUNT,
        Some(word) => match parse_i64(word) {
            Some(-1) => usize::MAX,
            count => {
                let count = count.and_then(|count| usize::try_from(count).ok());
                count.ok_or_else(|| Error::client("ERR count should be greater than or equal to -1"))?
            }
        },
    };
    let entries = context.instance.observe.slow_log.latest(count);
    let entry = |entry: crate::observe::SlowEntry| {
        Reply::array([
            Reply::Integer(entry.id as i64),
            Reply::Integer((entry.started_us / 1_000_000) as i64),
            Reply::Integer(entry.duration_us as i64),
            Reply::Bulks(entry.words),
            Reply::bulk(entry.address),
            Reply::Bulk(entry.name),
        ])
    };
    Ok(Reply::array(entries.into_iter().map(entry)).into())
}

fn len(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    Ok(Outcome::count(context.instance.observe.slow_log.len()))
}

fn reset(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    context.instance.observe.slow_log.reset();
    Ok(Outcome::ok())
}
