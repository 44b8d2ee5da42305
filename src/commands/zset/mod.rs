//! The sorted set family: members with scores, looked up, ranked, listed by rank, score and
//! name, taken from the ends, and what several sets have in common.
//!
//! - here: the entries, and what the handlers share.
//! - `members.rs`: one set by its members. `range.rs`: ranges of one set; `bounds.rs`: their ends.
//!   `pop.rs`: elements taken from an end, waited for if need be. `algebra.rs`: several sets.

mod algebra;
mod bounds;
mod members;
mod pop;
mod range;

pub(in crate::commands) use members::add;

use super::command::{Command, Group, flags};
use super::context::Context;
use super::grammar::{Access, Arg, block, double, integer, key, one_of, pattern, text, token};
use super::outcome::Outcome;
use crate::base::Result;
use crate::keyspace::Class;
use crate::resp::Reply;
use crate::types::zset::{Element, Limits, ZSet};

const WITH_SCORES: Arg = token("withscores", "WITHSCORES").optional();
const LIMIT: Arg = block("limit", &[integer("offset"), integer("count")]).after("LIMIT").optional();
const BY: Arg = one_of("sortby", &[token("byscore", "BYSCORE"), token("bylex", "BYLEX")]).optional();
const REV: Arg = token("rev", "REV").optional();
const END: Arg = one_of("where", &[token("min", "MIN"), token("max", "MAX")]);
const COUNT: Arg = integer("count").after("COUNT").optional();
const WEIGHTS: Arg = integer("weight").after("WEIGHTS").many().optional();
const AGGREGATE: Arg =
    one_of("aggregate", &[token("sum", "SUM"), token("min", "MIN"), token("max", "MAX")]).after("AGGREGATE").optional();

pub static COMMANDS: &[Command] = &[
    Command {
        name: "BZMPOP",
        summary: "Takes elements from an end of the first sorted set that has any, waiting for one.",
        since: "7.0.0",
        complexity: "O(K)+O(M*log(N))",
        flags: flags!(WRITE | BLOCKING),
        args: &[double("timeout"), integer("numkeys"), key("key", Access::Take).many(), END, COUNT],
        run: pop::bzmpop,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "BZPOPMAX",
        summary: "Takes the element with the greatest score of the first sorted set that has any, waiting for one.",
        since: "5.0.0",
        complexity: "O(log(N))",
        flags: flags!(WRITE | NOSCRIPT | FAST | BLOCKING),
        args: &[key("key", Access::Take).many(), double("timeout")],
        run: pop::bzpopmax,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "BZPOPMIN",
        summary: "Takes the element with the least score of the first sorted set that has any, waiting for one.",
        since: "5.0.0",
        complexity: "O(log(N))",
        flags: flags!(WRITE | NOSCRIPT | FAST | BLOCKING),
        args: &[key("key", Access::Take).many(), double("timeout")],
        run: pop::bzpopmin,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZADD",
        summary: "Adds members with scores to a sorted set, or changes the scores of members.",
        since: "1.2.0",
        complexity: "O(log(N))",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[
            key("key", Access::Modify),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")]).optional().since("3.0.2"),
            one_of("comparison", &[token("gt", "GT"), token("lt", "LT")]).optional().since("6.2.0"),
            token("change", "CH").optional().since("3.0.2"),
            token("increment", "INCR").optional().since("3.0.2"),
            block("data", &[double("score"), text("member")]).many(),
        ],
        run: members::zadd,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZCARD",
        summary: "Counts the members of a sorted set.",
        since: "1.2.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Inspect)],
        run: members::zcard,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZCOUNT",
        summary: "Counts the members whose scores lie in a range.",
        since: "2.0.0",
        complexity: "O(log(N))",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), double("min"), double("max")],
        run: range::zcount,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZDIFF",
        summary: "Returns the members of the first sorted set that no other has.",
        since: "6.2.0",
        complexity: "O(L + (N-K)log(N))",
        flags: flags!(READONLY),
        args: &[integer("numkeys"), key("key", Access::Read).many(), WITH_SCORES],
        run: algebra::zdiff,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZDIFFSTORE",
        summary: "Stores the members of the first sorted set that no other has.",
        since: "6.2.0",
        complexity: "O(L + (N-K)log(N))",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("destination", Access::Overwrite), integer("numkeys"), key("key", Access::Read).many()],
        run: algebra::zdiffstore,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZINCRBY",
        summary: "Adds to the score of a member.",
        since: "1.2.0",
        complexity: "O(log(N))",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Update), integer("increment"), text("member")],
        run: members::zincrby,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZINTER",
        summary: "Returns the members that all sorted sets share.",
        since: "6.2.0",
        complexity: "O(N*K)+O(M*log(M))",
        flags: flags!(READONLY),
        args: &[integer("numkeys"), key("key", Access::Read).many(), WEIGHTS, AGGREGATE, WITH_SCORES],
        run: algebra::zinter,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZINTERCARD",
        summary: "Counts the members that all sorted sets share.",
        since: "7.0.0",
        complexity: "O(N*K)",
        flags: flags!(READONLY),
        args: &[integer("numkeys"), key("key", Access::Read).many(), integer("limit").after("LIMIT").optional()],
        run: algebra::zintercard,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZINTERSTORE",
        summary: "Stores the members that all sorted sets share.",
        since: "2.0.0",
        complexity: "O(N*K)+O(M*log(M))",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            key("destination", Access::Overwrite),
            integer("numkeys"),
            key("key", Access::Read).many(),
            WEIGHTS,
            AGGREGATE,
        ],
        run: algebra::zinterstore,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZLEXCOUNT",
        summary: "Counts the members in a range of names.",
        since: "2.8.9",
        complexity: "O(log(N))",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), text("min"), text("max")],
        run: range::zlexcount,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZMPOP",
        summary: "Takes elements from an end of the first sorted set that has any.",
        since: "7.0.0",
        complexity: "O(K)+O(M*log(N))",
        flags: flags!(WRITE),
        args: &[integer("numkeys"), key("key", Access::Take).many(), END, COUNT],
        run: pop::zmpop,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZMSCORE",
        summary: "Returns the scores of several members.",
        since: "6.2.0",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), text("member").many()],
        run: members::zmscore,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZPOPMAX",
        summary: "Takes the elements with the greatest scores out of a sorted set.",
        since: "5.0.0",
        complexity: "O(log(N)*M)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Take), integer("count").optional()],
        run: pop::zpopmax,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZPOPMIN",
        summary: "Takes the elements with the least scores out of a sorted set.",
        since: "5.0.0",
        complexity: "O(log(N)*M)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Take), integer("count").optional()],
        run: pop::zpopmin,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZRANDMEMBER",
        summary: "Returns members of a sorted set picked at random.",
        since: "6.2.0",
        complexity: "O(N*log(M))",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), block("options", &[integer("count"), WITH_SCORES]).optional()],
        tips: &["nondeterministic_output"],
        run: members::zrandmember,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZRANGE",
        summary: "Returns a range of a sorted set, by rank, score or name.",
        since: "1.2.0",
        complexity: "O(log(N)+M)",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            text("start"),
            text("stop"),
            BY.since("6.2.0"),
            REV.since("6.2.0"),
            LIMIT.since("6.2.0"),
            WITH_SCORES,
        ],
        run: range::zrange,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZRANGEBYLEX",
        summary: "Returns the members in a range of names.",
        since: "2.8.9",
        complexity: "O(log(N)+M)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), text("min"), text("max"), LIMIT],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
        run: range::zrangebylex,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZRANGEBYSCORE",
        summary: "Returns the members whose scores lie in a range.",
        since: "1.0.5",
        complexity: "O(log(N)+M)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), double("min"), double("max"), WITH_SCORES.since("2.0.0"), LIMIT],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
        run: range::zrangebyscore,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZRANGESTORE",
        summary: "Stores a range of a sorted set.",
        since: "6.2.0",
        complexity: "O(log(N)+M)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("dst", Access::Overwrite), key("src", Access::Read), text("min"), text("max"), BY, REV, LIMIT],
        run: range::zrangestore,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZRANK",
        summary: "Tells how many members have a lower score than one.",
        since: "2.0.0",
        complexity: "O(log(N))",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), text("member"), token("withscore", "WITHSCORE").optional().since("7.2.0")],
        run: members::zrank,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZREM",
        summary: "Removes members from a sorted set, and the set with its last member.",
        since: "1.2.0",
        complexity: "O(M*log(N))",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Remove), text("member").many()],
        run: members::zrem,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZREMRANGEBYLEX",
        summary: "Removes the members in a range of names.",
        since: "2.8.9",
        complexity: "O(log(N)+M)",
        flags: flags!(WRITE),
        args: &[key("key", Access::Remove), text("min"), text("max")],
        run: range::zremrangebylex,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZREMRANGEBYRANK",
        summary: "Removes the members in a range of ranks.",
        since: "2.0.0",
        complexity: "O(log(N)+M)",
        flags: flags!(WRITE),
        args: &[key("key", Access::Remove), integer("start"), integer("stop")],
        run: range::zremrangebyrank,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZREMRANGEBYSCORE",
        summary: "Removes the members whose scores lie in a range.",
        since: "1.2.0",
        complexity: "O(log(N)+M)",
        flags: flags!(WRITE),
        args: &[key("key", Access::Remove), double("min"), double("max")],
        run: range::zremrangebyscore,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZREVRANGE",
        summary: "Returns a range of ranks, counted from the greatest score.",
        since: "1.2.0",
        complexity: "O(log(N)+M)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), integer("start"), integer("stop"), WITH_SCORES],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
        run: range::zrevrange,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZREVRANGEBYLEX",
        summary: "Returns the members in a range of names, the last ones first.",
        since: "2.8.9",
        complexity: "O(log(N)+M)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), text("max"), text("min"), LIMIT],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
        run: range::zrevrangebylex,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZREVRANGEBYSCORE",
        summary: "Returns the members whose scores lie in a range, the greatest first.",
        since: "2.2.0",
        complexity: "O(log(N)+M)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), double("max"), double("min"), WITH_SCORES, LIMIT],
        deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
        run: range::zrevrangebyscore,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZREVRANK",
        summary: "Tells how many members have a greater score than one.",
        since: "2.0.0",
        complexity: "O(log(N))",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), text("member"), token("withscore", "WITHSCORE").optional().since("7.2.0")],
        run: members::zrevrank,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZSCAN",
        summary: "Walks through the elements of a sorted set in steps.",
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
        run: members::zscan,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZSCORE",
        summary: "Returns the score of a member.",
        since: "1.2.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), text("member")],
        run: members::zscore,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZUNION",
        summary: "Returns the members that any of the sorted sets has.",
        since: "6.2.0",
        complexity: "O(N)+O(M*log(M))",
        flags: flags!(READONLY),
        args: &[integer("numkeys"), key("key", Access::Read).many(), WEIGHTS, AGGREGATE, WITH_SCORES],
        run: algebra::zunion,
        ..Command::of(Group::SortedSet)
    },
    Command {
        name: "ZUNIONSTORE",
        summary: "Stores the members that any of the sorted sets has.",
        since: "2.0.0",
        complexity: "O(N)+O(M*log(M))",
        flags: flags!(WRITE | DENY_OOM),
        args: &[
            key("destination", Access::Overwrite),
            integer("numkeys"),
            key("key", Access::Read).many(),
            WEIGHTS,
            AGGREGATE,
        ],
        run: algebra::zunionstore,
        ..Command::of(Group::SortedSet)
    },
];

/// Where Redis' encodings change, as configured.
pub(in crate::commands) fn limits(context: &Context<'_>) -> Limits {
    Limits {
        listpack_entries: context.settings.zset_max_listpack_entries,
        listpack_value_bytes: context.settings.zset_max_listpack_value,
    }
}

/// Elements as a reply shows them.
fn elements(elements: Vec<Element>, with_scores: bool) -> Reply {
    if with_scores {
        Reply::Scored(elements)
    } else {
        Reply::Bulks(elements.into_iter().map(|(member, _)| member).collect())
    }
}

/// Puts a sorted set of these elements, which are in order, in the place of what a key holds;
/// without elements the key goes. Answers how many there are.
pub(in crate::commands) fn replace(
    context: &mut Context<'_>,
    destination: &[u8],
    elements: &[Element],
    event: &'static str,
) -> Result<Outcome> {
    let key = context.key(destination);
    if elements.is_empty() {
        if context.tx.record(&key)?.is_some() {
            context.tx.delete_record(&key)?;
            context.tx.touch(&key);
            context.tx.notify(Class::GENERIC, "del", &key);
        }
        return Ok(Outcome::count(0));
    }
    let limits = limits(context);
    let result = ZSet::of(context.tx, elements, limits)?;
    context.tx.replace(&key, result)?;
    context.tx.touch(&key);
    context.tx.notify(Class::SORTED_SET, event, &key);
    Ok(Outcome::count(elements.len()))
}
