//! MEMORY: where the bytes are.

use crate::base::{ClientError, Result};
use crate::commands::command::{Command, Group, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{Access, integer, key};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::commands::usage::help;
use crate::encoding::key::OBJECT_ID_BYTES;
use crate::keyspace::Body;
use crate::observe::memory;
use crate::resp::Reply;

/// The subcommands of MEMORY.
pub(super) static SUBCOMMANDS: &[Command] = &[
    Command {
        name: "DOCTOR",
        summary: "Judges the use of memory in words.",
        since: "4.0.0",
        complexity: "O(1)",
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        run: doctor,
        ..Command::of(Group::Server)
    },
    Command {
        name: "HELP",
        summary: "Explains the subcommands of MEMORY.",
        since: "4.0.0",
        complexity: "O(1)",
        flags: flags!(LOADING | STALE),
        run: help,
        ..Command::of(Group::Server)
    },
    Command {
        name: "MALLOC-STATS",
        summary: "Shows the allocator's own statistics.",
        since: "4.0.0",
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        run: malloc_stats,
        ..Command::of(Group::Server)
    },
    Command {
        name: "PURGE",
        summary: "Asks the allocator to give free memory back to the system.",
        since: "4.0.0",
        tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
        run: purge,
        ..Command::of(Group::Server)
    },
    Command {
        name: "STATS",
        summary: "Shows where the memory goes, in figures.",
        since: "4.0.0",
        complexity: "O(1)",
        tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        run: stats,
        ..Command::of(Group::Server)
    },
    Command {
        name: "USAGE",
        summary: "Estimates how many bytes a key and its value take.",
        since: "4.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Inspect), integer("count").after("SAMPLES").optional()],
        run: usage,
        ..Command::of(Group::Server)
    },
];

/// What a cached record costs beside its bytes.
const RECORD_OVERHEAD_BYTES: u64 = 64;

/// Bytes of a key: its record, and of a large object its parts in memory or on disk.
fn usage(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    while !args.is_empty() {
        if !args.accept("SAMPLES") {
            return Err(ClientError::Syntax.into());
        }
        if args.integer()? < 0 {
            return Err(ClientError::Syntax.into());
        }
    }
    let Some(record) = context.tx.record(&key)? else { return Ok(Outcome::nil()) };
    let mut bytes = key.stored().len() as u64 + record.encode().len() as u64 + RECORD_OVERHEAD_BYTES;
    if let Body::Large { id, .. } = record.body {
        bytes += context.instance.store.object_bytes(id)? + OBJECT_ID_BYTES as u64;
    }
    Ok(Reply::Integer(bytes as i64).into())
}

fn doctor(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let budget = context.instance.control.memory_budget_bytes();
    let resident = memory::resident_bytes();
    let words = if resident > budget + budget / 10 {
        format!("The process has {resident} bytes in memory, more than its budget of {budget} (maxmemory).\n")
    } else {
        format!("All is well: {resident} bytes in memory, within the budget of {budget} (maxmemory).\n")
    };
    Ok(Reply::verbatim(words).into())
}

fn malloc_stats(_: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let text = format!(
        "jemalloc: {} bytes allocated, {} bytes resident in the process\n",
        memory::allocated_bytes(),
        memory::resident_bytes()
    );
    Ok(Reply::verbatim(text).into())
}

/// jemalloc gives unused pages back by itself; there is nothing more to ask of it.
fn purge(_: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    Ok(Outcome::ok())
}

fn stats(context: &mut Context<'_>, _: &mut Args<'_>) -> Result<Outcome> {
    let figures = context.instance.store.engine().figures();
    let cache = context.instance.store.cache().figures();
    let keys: u64 =
        (0..context.instance.store.database_count()).map(|db| context.instance.store.database_figures(db).keys).sum();
    let number = |bytes: u64| Reply::Integer(bytes as i64);
    let allocated = memory::allocated_bytes();
    let resident = memory::resident_bytes();
    Ok(Reply::named([
        ("peak.allocated", number(memory::peak_bytes())),
        ("total.allocated", number(allocated)),
        ("startup.allocated", number(0)),
        ("clients.normal", number(0)),
        ("record.cache", number(cache.weight_bytes)),
        ("block.cache", number(figures.block_cache_bytes)),
        ("memtables", number(figures.memtable_bytes)),
        ("table.readers", number(figures.table_reader_bytes)),
        ("keys.count", number(keys)),
        ("dataset.bytes", number(cache.weight_bytes)),
        ("process.resident", number(resident)),
        ("budget", number(context.instance.control.memory_budget_bytes())),
        ("fragmentation", Reply::Double(resident as f64 / allocated.max(1) as f64)),
    ])
    .into())
}
