//! LATENCY: spikes of named events, and how long each command takes.

use std::fmt::Write;

use crate::base::{Error, Result};
use crate::commands::command::{Command, Group, flags};
use crate::commands::context::Context;
use crate::commands::grammar::text;
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::table::{Facts, TABLE};
use crate::commands::usage::help;
use crate::observe::{Spikes, latency::BUCKETS};
use crate::resp::Reply;

/// The subcommands of LATENCY.
pub(super) static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "DOCTOR",
        summary: "Explains the recorded latency spikes in words.",
        since: "2.8.13",
        complexity: "O(1)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        run: doctor,
        ..Command::of(Group::Server)
    },
    Command {
        name: "GRAPH",
        summary: "Draws the latency spikes of one event in characters.",
        since: "2.8.13",
        complexity: "O(1)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[text("event")],
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        run: graph,
        ..Command::of(Group::Server)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of LATENCY.",
        since: "2.8.13",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        run: help,
        ..Command::of(Group::Server)
    },
    Command {
        name: "HISTOGRAM",
        summary: "Shows how long commands took, as a cumulative distribution.",
        since: "7.0.0",
        complexity: "O(N)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[text("command").many().optional()],
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        run: histogram,
        ..Command::of(Group::Server)
    },
    Command {
        name: "HISTORY",
        summary: "Lists the latency spikes of one event with their times.",
        since: "2.8.13",
        complexity: "O(1)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[text("event")],
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        run: history,
        ..Command::of(Group::Server)
    },
    Command {
        name: "LATEST",
        summary: "Shows the newest latency spike of every event.",
        since: "2.8.13",
        complexity: "O(1)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        tips: &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        run: latest,
        ..Command::of(Group::Server)
    },
    Command {
        name: "RESET",
        summary: "Forgets the latency spikes of some or all events.",
        since: "2.8.13",
        complexity: "O(1)",
        flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE),
        args: &[text("event").many().optional()],
        tips: &["request_policy:all_nodes", "response_policy:all_succeeded"],
        run: reset,
        ..Command::of(Group::Server)
    },
];

fn spikes(context: &Context<'_>, event: &[u8]) -> Option<Spikes> {
    let all = context.instance.observe.latency.all();
    all.into_iter().find(|(name, _)| name.as_bytes() == event).map(|(_, spikes)| spikes)
}

fn latest(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let all = context.instance.observe.latency.all();
    let lines = all.into_iter().filter_map(|(event, spikes)| {
        let last = spikes.history.back()?;
        Some(Reply::array([
            Reply::Static(event),
            Reply::Integer(last.at as i64),
            Reply::Integer(last.milliseconds as i64),
            Reply::Integer(spikes.worst_ms as i64),
        ]))
    });
    Ok(Reply::array(lines).into())
}

fn history(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let spikes = spikes(context, args.next()?).unwrap_or_default();
    let pairs = spikes
        .history
        .iter()
        .map(|spike| Reply::array([Reply::Integer(spike.at as i64), Reply::Integer(spike.milliseconds as i64)]));
    Ok(Reply::array(pairs).into())
}

fn reset(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    Ok(Outcome::count(context.instance.observe.latency.reset(args.rest())))
}

/// Rows of the graph; a column is a spike.
const GRAPH_ROWS: u64 = 4;

fn graph(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let event = args.next()?;
    let shown = String::from_utf8_lossy(event);
    let Some(spikes) = spikes(context, event) else {
        return Err(Error::client(format!("ERR No samples available for event '{shown}'")));
    };
    let worst = spikes.history.iter().map(|spike| spike.milliseconds).max().unwrap_or(0);
    let least = spikes.history.iter().map(|spike| spike.milliseconds).min().unwrap_or(0);
    let mut drawn = format!("{shown} - high {worst} ms, low {least} ms (all time high {} ms)\n", spikes.worst_ms);
    for row in (1..=GRAPH_ROWS).rev() {
        for spike in &spikes.history {
            let height = (spike.milliseconds * GRAPH_ROWS).div_ceil(worst.max(1));
            drawn.push(if height >= row { '#' } else { ' ' });
        }
        drawn.push('\n');
    }
    Ok(Reply::verbatim(drawn).into())
}

fn doctor(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let all = context.instance.observe.latency.all();
    if context.settings.latency_monitor_threshold == 0 {
        return Ok(Reply::verbatim(
            "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Ferrock instance. \
             You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it.\n",
        )
        .into());
    }
    let mut words = String::new();
    if all.is_empty() {
        words.push_str("No latency spike was observed since the monitor was started or reset.\n");
    }
    for (event, spikes) in all {
        let count = spikes.history.len() as u64;
        let sum: u64 = spikes.history.iter().map(|spike| spike.milliseconds).sum();
        let average = sum / count.max(1);
        let _ =
            writeln!(words, "{event}: {count} spikes, {average} ms on average, {} ms at the worst.", spikes.worst_ms);
    }
    Ok(Reply::verbatim(words).into())
}

fn histogram(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let wanted = args.rest();
    let chosen = |entry: &&Facts| {
        wanted.is_empty()
            || wanted.iter().any(|name| {
                TABLE.get(name).is_some_and(|named| named.index == entry.index || entry.container == Some(named.index))
            })
    };
    let mut commands = Vec::new();
    for entry in TABLE.entries().iter().filter(chosen) {
        let counts = context.instance.observe.stats.histogram(entry.index);
        if counts.iter().any(|count| *count > 0) {
            commands.push((Reply::bulk(entry.name.to_string()), histogram_of(&counts)));
        }
    }
    Ok(Reply::Map(commands).into())
}

/// Calls, and how many of them took up to so many microseconds.
fn histogram_of(counts: &[u64; BUCKETS]) -> Reply {
    let mut seen = 0;
    let mut buckets = Vec::new();
    for (bucket, count) in counts.iter().enumerate() {
        seen += count;
        if *count > 0 {
            buckets.push((Reply::Integer(1 << bucket), Reply::Integer(seen as i64)));
        }
    }
    Reply::named([("calls", Reply::Integer(seen as i64)), ("histogram_usec", Reply::Map(buckets))])
}
