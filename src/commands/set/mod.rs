//! The set family: members added, removed and looked up, drawn at random, listed, and what
//! several sets have in common.
//!
//! - here: the entries, and how a handler gets at a set.
//! - `members.rs`: one set. `algebra.rs`: several.

mod algebra;
mod members;

use super::command::{Command, Group, flags};
use super::context::Context;
use super::grammar::{Access, integer, key, pattern, text};
use crate::types::set::Limits;

pub static COMMANDS: &[Command] = &[
    Command {
        name: "SADD",
        summary: "Adds members to a set, creating it if missing.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Insert), text("member").many()],
        run: members::sadd,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SCARD",
        summary: "Counts the members of a set.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Inspect)],
        run: members::scard,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SDIFF",
        summary: "Returns the members of the first set that no other has.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read).many()],
        tips: &["nondeterministic_output_order"],
        run: algebra::sdiff,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SDIFFSTORE",
        summary: "Stores the members of the first set that no other has.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("destination", Access::Overwrite), key("key", Access::Read).many()],
        run: algebra::sdiffstore,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SINTER",
        summary: "Returns the members that all sets share.",
        since: "1.0.0",
        complexity: "O(N*M)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read).many()],
        tips: &["nondeterministic_output_order"],
        run: algebra::sinter,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SINTERCARD",
        summary: "Counts the members that all sets share.",
        since: "7.0.0",
        complexity: "O(N*M)",
        flags: flags!(READONLY),
        args: &[integer("numkeys"), key("key", Access::Read).many(), integer("limit").after("LIMIT").optional()],
        run: algebra::sintercard,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SINTERSTORE",
        summary: "Stores the members that all sets share.",
        since: "1.0.0",
        complexity: "O(N*M)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("destination", Access::Modify), key("key", Access::Read).many()],
        run: algebra::sinterstore,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SISMEMBER",
        summary: "Tells whether a set has a member.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Inspect), text("member")],
        run: members::sismember,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SMEMBERS",
        summary: "Returns all members of a set.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read)],
        tips: &["nondeterministic_output_order"],
        run: members::smembers,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SMISMEMBER",
        summary: "Tells which of several members a set has.",
        since: "6.2.0",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), text("member").many()],
        run: members::smismember,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SMOVE",
        summary: "Moves a member from one set to another.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | FAST),
        args: &[key("source", Access::Take), key("destination", Access::Insert), text("member")],
        run: members::smove,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SPOP",
        summary: "Takes members out of a set at random.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Take), integer("count").optional().since("3.2.0")],
        tips: &["nondeterministic_output"],
        run: members::spop,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SRANDMEMBER",
        summary: "Returns members of a set picked at random.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), integer("count").optional().since("2.6.0")],
        tips: &["nondeterministic_output"],
        run: members::srandmember,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SREM",
        summary: "Removes members from a set, and the set with its last member.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Remove), text("member").many()],
        run: members::srem,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SSCAN",
        summary: "Walks through the members of a set in steps.",
        since: "2.8.0",
        complexity: "O(COUNT)",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            integer("cursor"),
            pattern("pattern").after("MATCH").optional(),
            integer("count").after("COUNT").optional(),
        ],
        tips: &["nondeterministic_output"],
        run: members::sscan,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SUNION",
        summary: "Returns the members that any of the sets has.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read).many()],
        tips: &["nondeterministic_output_order"],
        run: algebra::sunion,
        ..Command::of(Group::Set)
    },
    Command {
        name: "SUNIONSTORE",
        summary: "Stores the members that any of the sets has.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("destination", Access::Overwrite), key("key", Access::Read).many()],
        run: algebra::sunionstore,
        ..Command::of(Group::Set)
    },
];

/// Where Redis' encodings change, as configured.
fn limits(context: &Context<'_>) -> Limits {
    Limits {
        intset_entries: context.settings.set_max_intset_entries,
        listpack_entries: context.settings.set_max_listpack_entries,
        listpack_value_bytes: context.settings.set_max_listpack_value,
    }
}
