//! The server family: configuration, whole databases, what the server says about itself, stopping.
//!
//! - `config.rs`: CONFIG. `database.rs`: DBSIZE, FLUSHALL, FLUSHDB, SWAPDB.
//! - `info.rs`: INFO, section by section. `process.rs`: TIME, SHUTDOWN, LOLWUT.
//! - `save.rs`: SAVE, BGSAVE and what goes with them.
//! - `slowlog.rs`, `latency.rs`, `memory.rs`: what took long, what takes space.
//! - `debug.rs`: DEBUG; `digest.rs`: its fingerprints of values.

mod config;
mod database;
mod debug;
mod digest;
mod info;
mod latency;
mod memory;
mod process;
mod save;
mod slowlog;

pub use save::{save_before_stopping, save_if_due, snapshot_file};

use super::command::{Category, Command, Group, flags};
use super::grammar::{integer, one_of, text, token};

pub static COMMANDS: &[Command] =
    &[
        Command {
            name: "BGREWRITEAOF",
            summary: "Accepts the wish to make the log shorter, which happens by itself.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING),
            run: save::bgrewriteaof,
            ..Command::of(Group::Server)
        },
        Command {
            name: "BGSAVE",
            summary: "Makes a snapshot of all databases in the background.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | EXCLUSIVE | LONG | SETTLED),
            args: &[token("schedule", "SCHEDULE").optional().since("3.2.2")],
            run: save::bgsave,
            ..Command::of(Group::Server)
        },
        Command {
            name: "LASTSAVE",
            summary: "Tells when the last snapshot was completed, in Unix seconds.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: flags!(LOADING | STALE | FAST),
            categories: Some(Category::ADMIN.union(Category::DANGEROUS)),
            tips: &["nondeterministic_output"],
            run: save::lastsave,
            ..Command::of(Group::Server)
        },
        Command {
            name: "ROLE",
            summary: "Tells the server's part in replication.",
            since: "2.8.12",
            complexity: "O(1)",
            flags: flags!(FAST | LOADING | NOSCRIPT | STALE),
            categories: Some(Category::ADMIN.union(Category::DANGEROUS)),
            run: process::role,
            ..Command::of(Group::Server)
        },
        Command {
            name: "SAVE",
            summary: "Makes a snapshot of all databases and waits for it.",
            since: "1.0.0",
            complexity: "O(N)",
            flags: flags!(ADMIN | NOSCRIPT | NO_ASYNC_LOADING | NO_MULTI | EXCLUSIVE | LONG | SETTLED),
            run: save::save,
            ..Command::of(Group::Server)
        },
        Command {
            name: "CONFIG",
            summary: "Holds the subcommands that read and change the configuration.",
            since: "2.0.0",
            subcommands: config::SUBCOMMANDS,
            ..Command::of(Group::Server)
        },
        Command {
            name: "DBSIZE",
            summary: "Counts the keys of the selected database.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: flags!(READONLY | FAST | LONG),
            categories: Some(Category::KEYSPACE),
            tips: &["request_policy:all_shards", "response_policy:agg_sum"],
            run: database::dbsize,
            ..Command::of(Group::Server)
        },
        Command {
            name: "FLUSHALL",
            summary: "Empties all databases.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: flags!(WRITE | EXCLUSIVE),
            categories: Some(Category::DANGEROUS.union(Category::KEYSPACE)),
            args: &[one_of("async", &[token("async", "ASYNC").since("4.0.0"), token("sync", "SYNC").since("6.2.0")])
                .optional()],
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            run: database::flushall,
            ..Command::of(Group::Server)
        },
        Command {
            name: "FLUSHDB",
            summary: "Empties the selected database.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: flags!(WRITE | EXCLUSIVE),
            categories: Some(Category::DANGEROUS.union(Category::KEYSPACE)),
            args: &[one_of("async", &[token("async", "ASYNC").since("4.0.0"), token("sync", "SYNC").since("6.2.0")])
                .optional()],
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            run: database::flushdb,
            ..Command::of(Group::Server)
        },
        Command {
            name: "SWAPDB",
            summary: "Swaps the contents of two databases.",
            since: "4.0.0",
            complexity: "O(1)",
            flags: flags!(WRITE | FAST | EXCLUSIVE),
            categories: Some(Category::DANGEROUS.union(Category::KEYSPACE)),
            args: &[integer("index1"), integer("index2")],
            run: database::swapdb,
            ..Command::of(Group::Server)
        },
        Command {
            name: "INFO",
            summary: "Reports on the server and its work, by section.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: flags!(LOADING | STALE),
            categories: Some(Category::DANGEROUS),
            args: &[text("section").many().optional()],
            tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
            run: info::info,
            ..Command::of(Group::Server)
        },
        Command {
            name: "LOLWUT",
            summary: "Draws something and names the version.",
            since: "5.0.0",
            flags: flags!(READONLY | FAST),
            args: &[integer("version").after("VERSION").optional()],
            run: process::lolwut,
            ..Command::of(Group::Server)
        },
        Command {
            name: "SHUTDOWN",
            summary: "Stops the server in good order.",
            since: "1.0.0",
            complexity: "O(1)",
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE | NO_MULTI | ALLOW_BUSY),
            args: &[
                one_of("nosave_save", &[token("nosave", "NOSAVE"), token("save", "SAVE")]).optional(),
                token("now", "NOW").optional().since("7.0.0"),
                token("force", "FORCE").optional().since("7.0.0"),
                token("abort", "ABORT").optional().since("7.0.0"),
            ],
            run: process::shutdown,
            ..Command::of(Group::Server)
        },
        Command {
            name: "TIME",
            summary: "Tells the server's time in seconds and microseconds.",
            since: "2.6.0",
            complexity: "O(1)",
            flags: flags!(LOADING | STALE | FAST),
            tips: &["nondeterministic_output"],
            run: process::time,
            ..Command::of(Group::Server)
        },
        Command {
            name: "LATENCY",
            summary: "Holds the subcommands about latency spikes.",
            since: "2.8.13",
            subcommands: latency::SUBCOMMANDS,
            ..Command::of(Group::Server)
        },
        Command {
            name: "MEMORY",
            summary: "Holds the subcommands about memory.",
            since: "4.0.0",
            subcommands: memory::SUBCOMMANDS,
            ..Command::of(Group::Server)
        },
        Command {
            name: "SLOWLOG",
            summary: "Holds the subcommands about the log of slow commands.",
            since: "2.2.12",
            subcommands: slowlog::SUBCOMMANDS,
            ..Command::of(Group::Server)
        },
        Command {
            name: "DEBUG",
            summary: "Offers switches and peeks for testing the server.",
            since: "1.0.0",
            flags: flags!(ADMIN | NOSCRIPT | LOADING | STALE | PROTECTED | SYSTEM | LONG),
            args: &[text("subcommand"), text("argument").many().optional()],
            run: debug::debug,
            ..Command::of(Group::Server)
        },
    ];
