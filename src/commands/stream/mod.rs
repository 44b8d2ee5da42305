//! The stream family: entries added, trimmed and read by id or as they come, and consumer groups
//! that share the reading.
//!
//! - here: the entries. `ids.rs`: ids as clients write them.
//! - `add.rs`: writing. `range.rs`: reading by id. `read.rs`: reading what is new.
//! - `groups.rs`: XGROUP. `pending.rs`: what was delivered and not acknowledged. `info.rs`: XINFO.
//! - `effects.rs`: what copies are told of groups.

mod add;
mod effects;
mod groups;
mod ids;
mod info;
mod pending;
mod range;
mod read;

use super::command::{Command, Group, Keys, flags};
use super::grammar::{Access, Arg, Begin, Find, KeySpec, block, integer, key, one_of, text, token, unix_time};

pub static COMMANDS: &[Command] = &[
    Command {
        name: "XACK",
        summary: "Acknowledges entries, which are then no longer pending.",
        since: "5.0.0",
        complexity: "O(1) an id",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Modify), text("group"), text("id").many()],
        run: pending::xack,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XADD",
        summary: "Adds an entry to a stream, creating it if missing, and may trim it.",
        since: "5.0.0",
        complexity: "O(1), and O(N) in the entries that a trim takes away",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[
            key("key", Access::Modify),
            token("nomkstream", "NOMKSTREAM").optional().since("6.2.0"),
            TRIM.optional(),
            one_of("id-selector", &[token("auto-id", "*"), text("id")]),
            block("data", &[text("field"), text("value")]).many(),
        ],
        tips: &["nondeterministic_output"],
        run: add::xadd,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XAUTOCLAIM",
        summary: "Gives what has been pending for long to another consumer, in the order of ids.",
        since: "6.2.0",
        complexity: "O(1) while COUNT is small",
        flags: flags!(WRITE | FAST),
        args: &[
            key("key", Access::Remove),
            text("group"),
            text("consumer"),
            text("min-idle-time"),
            text("start"),
            integer("count").after("COUNT").optional(),
            token("justid", "JUSTID").optional(),
        ],
        tips: &["nondeterministic_output"],
        run: pending::xautoclaim,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XCLAIM",
        summary: "Gives pending entries to another consumer.",
        since: "5.0.0",
        complexity: "O(1) an id",
        flags: flags!(WRITE | FAST),
        args: &[
            key("key", Access::Modify),
            text("group"),
            text("consumer"),
            text("min-idle-time"),
            text("id").many(),
            integer("ms").after("IDLE").optional(),
            unix_time("unix-time-milliseconds").after("TIME").optional(),
            integer("count").after("RETRYCOUNT").optional(),
            token("force", "FORCE").optional(),
            token("justid", "JUSTID").optional(),
            text("lastid").after("LASTID").optional(),
        ],
        tips: &["nondeterministic_output"],
        run: pending::xclaim,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XDEL",
        summary: "Deletes entries by their ids.",
        since: "5.0.0",
        complexity: "O(1) an id",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Remove), text("id").many()],
        run: add::xdel,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XGROUP",
        summary: "Manages consumer groups.",
        since: "5.0.0",
        complexity: "Depends on subcommand.",
        subcommands: groups::SUBCOMMANDS,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XINFO",
        summary: "Tells of streams, groups and consumers.",
        since: "5.0.0",
        complexity: "Depends on subcommand.",
        subcommands: info::SUBCOMMANDS,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XLEN",
        summary: "Counts the entries of a stream.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Inspect)],
        run: range::xlen,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XPENDING",
        summary: "Tells what is pending in a group.",
        since: "5.0.0",
        complexity: "O(N) in the entries that are listed",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            text("group"),
            block(
                "filters",
                &[
                    integer("min-idle-time").after("IDLE").optional().since("6.2.0"),
                    text("start"),
                    text("end"),
                    integer("count"),
                    text("consumer").optional(),
                ],
            )
            .optional(),
        ],
        tips: &["nondeterministic_output"],
        run: pending::xpending,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XRANGE",
        summary: "Returns the entries from one id to another.",
        since: "5.0.0",
        complexity: "O(N) in the entries that are returned",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), text("start"), text("end"), COUNT],
        run: range::xrange,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XREAD",
        summary: "Returns what is new in streams, and may wait for it.",
        since: "5.0.0",
        complexity: "O(N) in the entries that are returned",
        flags: flags!(READONLY | BLOCKING),
        args: &[COUNT, BLOCK, STREAMS],
        keys: Keys::Given(XREAD_KEYS, read::find_keys),
        run: read::xread,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XREADGROUP",
        summary: "Returns what is new to a group, or pending with a consumer, and may wait for it.",
        since: "5.0.0",
        complexity: "O(N) in the entries that are returned",
        flags: flags!(WRITE | BLOCKING),
        args: &[
            block("group-block", &[text("group"), text("consumer")]).after("GROUP"),
            COUNT,
            BLOCK,
            token("noack", "NOACK").optional(),
            STREAMS,
        ],
        keys: Keys::Given(XREADGROUP_KEYS, read::find_keys),
        run: read::xreadgroup,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XREVRANGE",
        summary: "Returns the entries from one id back to another.",
        since: "5.0.0",
        complexity: "O(N) in the entries that are returned",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), text("end"), text("start"), COUNT],
        run: range::xrevrange,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XSETID",
        summary: "Sets the id that the next entry must exceed.",
        since: "5.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[
            key("key", Access::Modify),
            text("last-id"),
            integer("entries-added").after("ENTRIESADDED").optional().since("7.0.0"),
            text("max-deleted-id").after("MAXDELETEDID").optional().since("7.0.0"),
        ],
        run: add::xsetid,
        ..Command::of(Group::Stream)
    },
    Command {
        name: "XTRIM",
        summary: "Takes entries away from the front of a stream.",
        since: "5.0.0",
        complexity: "O(N) in the entries that go",
        flags: flags!(WRITE),
        args: &[key("key", Access::Remove), TRIM],
        tips: &["nondeterministic_output"],
        run: add::xtrim,
        ..Command::of(Group::Stream)
    },
];

const COUNT: Arg = integer("count").after("COUNT").optional();

const BLOCK: Arg = integer("milliseconds").after("BLOCK").optional();

const STREAMS: Arg = block("streams", &[key("key", Access::Read).many(), text("id").many()]).after("STREAMS");

/// The keys behind STREAMS, the first half of what follows. A consumer may be called so too, which
/// the word alone does not tell apart: `read.rs` finds them option by option.
const fn behind_streams(from: isize) -> KeySpec {
    KeySpec {
        begin: Begin::Keyword("STREAMS", from),
        find: Find::Range { last: -1, step: 1, limit: 2 },
        access: Access::Read,
        incomplete: false,
    }
}

const XREAD_KEYS: &[KeySpec] = &[behind_streams(1)];
const XREADGROUP_KEYS: &[KeySpec] = &[behind_streams(4)];

const TRIM: Arg = block(
    "trim",
    &[
        one_of("strategy", &[token("maxlen", "MAXLEN"), token("minid", "MINID").since("6.2.0")]),
        one_of("operator", &[token("equal", "="), token("approximately", "~")]).optional(),
        text("threshold"),
        integer("count").after("LIMIT").optional().since("6.2.0"),
    ],
);
