//! The list family: elements pushed and popped at the ends, moved from list to list, waited for,
//! and looked at and changed by index.
//!
//! - here: the entries, and what their handlers share.
//! - `ends.rs`: pushing and popping. `moving.rs`: from one list to another. `waiting.rs`: the
//!   commands that wait for an element. `index.rs`: by index and by value.

mod ends;
mod index;
mod moving;
mod waiting;

use super::command::{Command, Group, flags};
use super::context::Context;
use super::grammar::{Access, Arg, double, integer, key, one_of, text, token};
use super::request::Args;
use crate::base::{ClientError, Result};
use crate::keyspace::Class;
use crate::types::list::{End, Limits};

const LEFT_OR_RIGHT: &[Arg] = &[token("left", "LEFT"), token("right", "RIGHT")];

pub static COMMANDS: &[Command] = &[
    Command {
        name: "BLMOVE",
        summary: "Moves an element from one list to another, waiting for one if there is none.",
        since: "6.2.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | NOSCRIPT | BLOCKING),
        args: &[
            key("source", Access::Take),
            key("destination", Access::Insert),
            one_of("wherefrom", LEFT_OR_RIGHT),
            one_of("whereto", LEFT_OR_RIGHT),
            double("timeout"),
        ],
        run: waiting::blmove,
        ..Command::of(Group::List)
    },
    Command {
        name: "BLMPOP",
        summary: "Takes elements off the first of several lists that has any, waiting for one if none has.",
        since: "7.0.0",
        complexity: "O(N+M) in keys and elements taken",
        flags: flags!(WRITE | BLOCKING),
        args: &[
            double("timeout"),
            integer("numkeys"),
            key("key", Access::Take).many(),
            one_of("where", LEFT_OR_RIGHT),
            integer("count").after("COUNT").optional(),
        ],
        run: waiting::blmpop,
        ..Command::of(Group::List)
    },
    Command {
        name: "BLPOP",
        summary: "Takes the first element of the first list that has any, waiting for one if none has.",
        since: "2.0.0",
        complexity: "O(N) in the keys",
        flags: flags!(WRITE | NOSCRIPT | BLOCKING),
        args: &[key("key", Access::Take).many(), double("timeout")],
        run: waiting::blpop,
        ..Command::of(Group::List)
    },
    Command {
        name: "BRPOP",
        summary: "Takes the last element of the first list that has any, waiting for one if none has.",
        since: "2.0.0",
        complexity: "O(N) in the keys",
        flags: flags!(WRITE | NOSCRIPT | BLOCKING),
        args: &[key("key", Access::Take).many(), double("timeout")],
        run: waiting::brpop,
        ..Command::of(Group::List)
    },
    Command {
        name: "BRPOPLPUSH",
        summary: "Moves the last element of one list to the front of another, waiting for one if there is none.",
        since: "2.2.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | NOSCRIPT | BLOCKING),
        args: &[key("source", Access::Take), key("destination", Access::Insert), double("timeout")],
        deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
        run: waiting::brpoplpush,
        ..Command::of(Group::List)
    },
    Command {
        name: "LINDEX",
        summary: "Returns the element at an index.",
        since: "1.0.0",
        complexity: "O(log N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), integer("index")],
        run: index::lindex,
        ..Command::of(Group::List)
    },
    Command {
        name: "LINSERT",
        summary: "Puts an element in front of or behind another one.",
        since: "2.2.0",
        complexity: "O(N) in the elements before that one",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            key("key", Access::Insert),
            one_of("where", &[token("before", "BEFORE"), token("after", "AFTER")]),
            text("pivot"),
            text("element"),
        ],
        run: index::linsert,
        ..Command::of(Group::List)
    },
    Command {
        name: "LLEN",
        summary: "Counts the elements of a list.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Inspect)],
        run: index::llen,
        ..Command::of(Group::List)
    },
    Command {
        name: "LMOVE",
        summary: "Moves an element from an end of one list to an end of another.",
        since: "6.2.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            key("source", Access::Take),
            key("destination", Access::Insert),
            one_of("wherefrom", LEFT_OR_RIGHT),
            one_of("whereto", LEFT_OR_RIGHT),
        ],
        run: moving::lmove,
        ..Command::of(Group::List)
    },
    Command {
        name: "LMPOP",
        summary: "Takes elements off the first of several lists that has any.",
        since: "7.0.0",
        complexity: "O(N+M) in keys and elements taken",
        flags: flags!(WRITE),
        args: &[
            integer("numkeys"),
            key("key", Access::Take).many(),
            one_of("where", LEFT_OR_RIGHT),
            integer("count").after("COUNT").optional(),
        ],
        run: ends::lmpop,
        ..Command::of(Group::List)
    },
    Command {
        name: "LPOP",
        summary: "Takes the first elements of a list.",
        since: "1.0.0",
        complexity: "O(N) in the elements taken",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Take), integer("count").optional().since("6.2.0")],
        run: ends::lpop,
        ..Command::of(Group::List)
    },
    Command {
        name: "LPOS",
        summary: "Returns the indexes of elements that are equal to a given one.",
        since: "6.0.6",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            text("element"),
            integer("rank").after("RANK").optional(),
            integer("num-matches").after("COUNT").optional(),
            integer("len").after("MAXLEN").optional(),
        ],
        run: index::lpos,
        ..Command::of(Group::List)
    },
    Command {
        name: "LPUSH",
        summary: "Adds elements in front of a list, creating it if missing.",
        since: "1.0.0",
        complexity: "O(1) an element",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Insert), text("element").many()],
        run: ends::lpush,
        ..Command::of(Group::List)
    },
    Command {
        name: "LPUSHX",
        summary: "Adds elements in front of a list that exists.",
        since: "2.2.0",
        complexity: "O(1) an element",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Insert), text("element").many()],
        run: ends::lpushx,
        ..Command::of(Group::List)
    },
    Command {
        name: "LRANGE",
        summary: "Returns a stretch of elements.",
        since: "1.0.0",
        complexity: "O(log N + M) in the elements returned",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), integer("start"), integer("stop")],
        run: index::lrange,
        ..Command::of(Group::List)
    },
    Command {
        name: "LREM",
        summary: "Removes elements that are equal to a given one.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE),
        args: &[key("key", Access::Remove), integer("count"), text("element")],
        run: index::lrem,
        ..Command::of(Group::List)
    },
    Command {
        name: "LSET",
        summary: "Puts another element at an index.",
        since: "1.0.0",
        complexity: "O(log N)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("key", Access::Modify), integer("index"), text("element")],
        run: index::lset,
        ..Command::of(Group::List)
    },
    Command {
        name: "LTRIM",
        summary: "Keeps a stretch of elements and removes the others.",
        since: "1.0.0",
        complexity: "O(N) in the elements removed, O(1) for long runs of them",
        flags: flags!(WRITE),
        args: &[key("key", Access::Remove), integer("start"), integer("stop")],
        run: index::ltrim,
        ..Command::of(Group::List)
    },
    Command {
        name: "RPOP",
        summary: "Takes the last elements of a list.",
        since: "1.0.0",
        complexity: "O(N) in the elements taken",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Take), integer("count").optional().since("6.2.0")],
        run: ends::rpop,
        ..Command::of(Group::List)
    },
    Command {
        name: "RPOPLPUSH",
        summary: "Moves the last element of one list to the front of another.",
        since: "1.2.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("source", Access::Take), key("destination", Access::Insert)],
        deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
        run: moving::rpoplpush,
        ..Command::of(Group::List)
    },
    Command {
        name: "RPUSH",
        summary: "Adds elements behind a list, creating it if missing.",
        since: "1.0.0",
        complexity: "O(1) an element",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Insert), text("element").many()],
        run: ends::rpush,
        ..Command::of(Group::List)
    },
    Command {
        name: "RPUSHX",
        summary: "Adds elements behind a list that exists.",
        since: "2.2.0",
        complexity: "O(1) an element",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Insert), text("element").many()],
        run: ends::rpushx,
        ..Command::of(Group::List)
    },
];

/// Where OBJECT ENCODING changes its word, as configured.
pub(in crate::commands) fn limits(context: &Context<'_>) -> Limits {
    Limits::of(context.settings.list_max_listpack_size)
}

/// LEFT or RIGHT.
fn end(args: &mut Args<'_>) -> Result<End> {
    if args.accept("LEFT") {
        Ok(End::Left)
    } else if args.accept("RIGHT") {
        Ok(End::Right)
    } else {
        Err(ClientError::Syntax.into())
    }
}

/// The event of a push.
const fn pushed(end: End) -> (Class, &'static str) {
    match end {
        End::Left => (Class::LIST, "lpush"),
        End::Right => (Class::LIST, "rpush"),
    }
}

/// The event of a pop.
const fn popped(end: End) -> (Class, &'static str) {
    match end {
        End::Left => (Class::LIST, "lpop"),
        End::Right => (Class::LIST, "rpop"),
    }
}
