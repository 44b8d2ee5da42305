//! The hash family: fields set and read one by one, listed, scanned, and given deadlines.
//!
//! - here: the entries, and how a handler gets at a hash.
//! - `fields.rs`: fields by name. `listing.rs`: all of them, some at random, page by page.
//! - `deadlines.rs`: the HEXPIRE family.

mod deadlines;
mod fields;
mod listing;

use super::command::{Command, Group, flags};
use super::context::Context;
use super::grammar::{Access, Arg, block, double, integer, key, one_of, pattern, text, token, unix_time};
use crate::base::Result;
use crate::keyspace::{Key, Tx};
use crate::types::hash::{Hash, Limits};

pub static COMMANDS: &[Command] = &[
    Command {
        name: "HDEL",
        summary: "Removes fields from a hash, and the hash with its last field.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Remove), text("field").many()],
        run: fields::hdel,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HEXISTS",
        summary: "Tells whether a hash has a field.",
        since: "2.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Inspect), text("field")],
        run: fields::hexists,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HEXPIRE",
        summary: "Lets fields of a hash lapse after a number of seconds.",
        since: "7.4.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Modify), integer("seconds"), CONDITION.optional(), FIELDS],
        run: deadlines::hexpire,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HEXPIREAT",
        summary: "Lets fields of a hash lapse at a time in Unix seconds.",
        since: "7.4.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Modify), unix_time("unix-time-seconds"), CONDITION.optional(), FIELDS],
        run: deadlines::hexpireat,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HEXPIRETIME",
        summary: "Tells when fields of a hash will lapse, in Unix seconds.",
        since: "7.4.0",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), FIELDS],
        run: deadlines::hexpiretime,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HGET",
        summary: "Returns the value of one field.",
        since: "2.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), text("field")],
        run: fields::hget,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HGETALL",
        summary: "Returns all fields and values.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read)],
        tips: &["nondeterministic_output_order"],
        run: listing::hgetall,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HINCRBY",
        summary: "Adds to the integer in a field, starting at zero if missing.",
        since: "2.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Update), text("field"), integer("increment")],
        run: fields::hincrby,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HINCRBYFLOAT",
        summary: "Adds to the number in a field, starting at zero if missing.",
        since: "2.6.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Update), text("field"), double("increment")],
        run: fields::hincrbyfloat,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HKEYS",
        summary: "Returns all field names.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read)],
        tips: &["nondeterministic_output_order"],
        run: listing::hkeys,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HLEN",
        summary: "Counts the fields of a hash.",
        since: "2.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Inspect)],
        run: fields::hlen,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HMGET",
        summary: "Returns the values of several fields.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), text("field").many()],
        run: fields::hmget,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HMSET",
        summary: "Sets fields of a hash; HSET has taken its place.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Modify), FIELD_VALUE.many()],
        deprecated: Some(("4.0.0", "HSET")),
        run: fields::hmset,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HPERSIST",
        summary: "Keeps fields of a hash from lapsing.",
        since: "7.4.0",
        complexity: "O(N)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Modify), FIELDS],
        run: deadlines::hpersist,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HPEXPIRE",
        summary: "Lets fields of a hash lapse after a number of milliseconds.",
        since: "7.4.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Modify), integer("milliseconds"), CONDITION.optional(), FIELDS],
        run: deadlines::hpexpire,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HPEXPIREAT",
        summary: "Lets fields of a hash lapse at a time in Unix milliseconds.",
        since: "7.4.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Modify), unix_time("unix-time-milliseconds"), CONDITION.optional(), FIELDS],
        run: deadlines::hpexpireat,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HPEXPIRETIME",
        summary: "Tells when fields of a hash will lapse, in Unix milliseconds.",
        since: "7.4.0",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), FIELDS],
        run: deadlines::hpexpiretime,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HPTTL",
        summary: "Tells how many milliseconds fields of a hash have left.",
        since: "7.4.0",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), FIELDS],
        tips: &["nondeterministic_output"],
        run: deadlines::hpttl,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HRANDFIELD",
        summary: "Returns fields picked at random.",
        since: "6.2.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            block("options", &[integer("count"), token("withvalues", "WITHVALUES").optional()]).optional(),
        ],
        tips: &["nondeterministic_output"],
        run: listing::hrandfield,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HSCAN",
        summary: "Walks through the fields of a hash in steps.",
        since: "2.8.0",
        complexity: "O(COUNT)",
        flags: flags!(READONLY),
        args: &[
            key("key", Access::Read),
            integer("cursor"),
            pattern("pattern").after("MATCH").optional(),
            integer("count").after("COUNT").optional(),
            token("novalues", "NOVALUES").optional().since("7.4.0"),
        ],
        tips: &["nondeterministic_output"],
        run: listing::hscan,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HSET",
        summary: "Sets fields of a hash, creating it if missing.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Modify), FIELD_VALUE.many()],
        run: fields::hset,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HSETNX",
        summary: "Sets a field only if the hash lacks it.",
        since: "2.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Insert), text("field"), text("value")],
        run: fields::hsetnx,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HSTRLEN",
        summary: "Tells the length of the value of a field.",
        since: "3.2.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Inspect), text("field")],
        run: fields::hstrlen,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HTTL",
        summary: "Tells how many seconds fields of a hash have left.",
        since: "7.4.0",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read), FIELDS],
        tips: &["nondeterministic_output"],
        run: deadlines::httl,
        ..Command::of(Group::Hash)
    },
    Command {
        name: "HVALS",
        summary: "Returns all values of a hash.",
        since: "2.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read)],
        tips: &["nondeterministic_output_order"],
        run: listing::hvals,
        ..Command::of(Group::Hash)
    },
];

const FIELD_VALUE: Arg = block("field_value", &[text("field"), text("value")]);

const FIELDS: Arg = block("fields", &[integer("numfields"), text("field").many()]).after("FIELDS");

const CONDITION: Arg =
    one_of("condition", &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")]);

/// Where Redis' encodings change, as configured.
fn limits(context: &Context<'_>) -> Limits {
    Limits {
        entries: context.settings.hash_max_listpack_entries,
        value_bytes: context.settings.hash_max_listpack_value,
    }
}

/// The hash of a key: `None` if it is not there.
fn read(context: &mut Context<'_>, name: &[u8]) -> Result<Option<Hash>> {
    let found = context.read::<Hash>(name)?;
    Ok(found.map(|hash| hash.as_of(context.tx.now_ms())))
}

/// Changes the hash of a key, creating it if missing.
fn edit<R>(
    context: &mut Context<'_>,
    name: &[u8],
    change: impl FnOnce(&mut Hash, &mut Tx, &Key) -> Result<R>,
) -> Result<R> {
    let key = context.key(name);
    Hash::edit(context.tx, &key, |hash, tx| change(hash, tx, &key))
}

/// Changes the hash of a key if it is there.
fn edit_existing<R>(
    context: &mut Context<'_>,
    name: &[u8],
    change: impl FnOnce(&mut Hash, &mut Tx, &Key) -> Result<R>,
) -> Result<Option<R>> {
    let key = context.key(name);
    Hash::edit_existing(context.tx, &key, |hash, tx| change(hash, tx, &key))
}
