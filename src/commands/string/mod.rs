//! The commands on strings: GET and what reads or changes a value in place.
//!
//! - `set.rs`: SET and its kin, whole values and their deadlines.
//! - `number.rs`: INCR and its kin. `lcs.rs`: LCS.
//!
//! Arguments in, reply out; what a string is and how it is stored is `types/string`'s affair.

mod lcs;
mod number;
mod set;

use bytes::Bytes;

use crate::base::{ClientError, Error, Result};
use crate::commands::command::{Command, Group, Keys, flags};
use crate::commands::context::Context;
use crate::commands::grammar::{Access, block, double, integer, key, one_of, text, token, unix_time};
use crate::commands::outcome::Outcome;
use crate::commands::request::Args;
use crate::keyspace::{Body, Class, Encoding, Key, Record, Type};
use crate::resp::Reply;
use crate::types::string::{StringValue, overwrite};

pub static COMMANDS: &[Command] = &[
    Command {
        name: "APPEND",
        summary: "Adds bytes to the end of a string, creating it if missing.",
        since: "2.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Insert), text("value")],
        run: append,
        ..Command::of(Group::String)
    },
    Command {
        name: "DECR",
        summary: "Subtracts one from an integer, starting at zero if missing.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Update)],
        run: number::decr,
        ..Command::of(Group::String)
    },
    Command {
        name: "DECRBY",
        summary: "Subtracts a number from an integer, starting at zero if missing.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Update), integer("decrement")],
        run: number::decrby,
        ..Command::of(Group::String)
    },
    Command {
        name: "GET",
        summary: "Returns a string.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read)],
        run: get,
        ..Command::of(Group::String)
    },
    Command {
        name: "GETDEL",
        summary: "Returns a string and deletes its key.",
        since: "6.2.0",
        complexity: "O(1)",
        flags: flags!(WRITE | FAST),
        args: &[key("key", Access::Take)],
        run: getdel,
        ..Command::of(Group::String)
    },
    Command {
        name: "GETEX",
        summary: "Returns a string and changes when its key lapses.",
        since: "6.2.0",
        complexity: "O(1)",
        flags: flags!(WRITE | FAST),
        args: &[
            key("key", Access::Update),
            one_of(
                "expiration",
                &[
                    integer("seconds").after("EX"),
                    integer("milliseconds").after("PX"),
                    unix_time("unix-time-seconds").after("EXAT"),
                    unix_time("unix-time-milliseconds").after("PXAT"),
                    token("persist", "PERSIST"),
                ],
            )
            .optional(),
        ],
        run: set::getex,
        ..Command::of(Group::String)
    },
    Command {
        name: "GETRANGE",
        summary: "Returns a part of a string.",
        since: "2.4.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), integer("start"), integer("end")],
        run: getrange,
        ..Command::of(Group::String)
    },
    Command {
        name: "GETSET",
        summary: "Replaces a string and returns the old one.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Update), text("value")],
        deprecated: Some(("6.2.0", "SET with GET")),
        run: set::getset,
        ..Command::of(Group::String)
    },
    Command {
        name: "INCR",
        summary: "Adds one to an integer, starting at zero if missing.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Update)],
        run: number::incr,
        ..Command::of(Group::String)
    },
    Command {
        name: "INCRBY",
        summary: "Adds a number to an integer, starting at zero if missing.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Update), integer("increment")],
        run: number::incrby,
        ..Command::of(Group::String)
    },
    Command {
        name: "INCRBYFLOAT",
        summary: "Adds a number to a number that may have a fraction, starting at zero if missing.",
        since: "2.6.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Update), double("increment")],
        run: number::incrbyfloat,
        ..Command::of(Group::String)
    },
    Command {
        name: "LCS",
        summary: "Finds the longest common subsequence of two strings.",
        since: "7.0.0",
        complexity: "O(N*M)",
        flags: flags!(READONLY),
        args: &[
            key("key1", Access::Read),
            key("key2", Access::Read),
            token("len", "LEN").optional(),
            token("idx", "IDX").optional(),
            integer("len").after("MINMATCHLEN").optional(),
            token("withmatchlen", "WITHMATCHLEN").optional(),
        ],
        run: lcs::lcs,
        ..Command::of(Group::String)
    },
    Command {
        name: "MGET",
        summary: "Returns several strings at once.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Read).many()],
        tips: &["request_policy:multi_shard"],
        run: mget,
        ..Command::of(Group::String)
    },
    Command {
        name: "MSET",
        summary: "Sets several strings at once.",
        since: "1.0.1",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[block("key_value", &[key("key", Access::Overwrite), text("value")]).many()],
        tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
        run: set::mset,
        ..Command::of(Group::String)
    },
    Command {
        name: "MSETNX",
        summary: "Sets several strings, but only if none of the keys exists.",
        since: "1.0.1",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[block("key_value", &[key("key", Access::Create), text("value")]).many()],
        tips: &["request_policy:multi_shard", "response_policy:agg_min"],
        run: set::msetnx,
        ..Command::of(Group::String)
    },
    Command {
        name: "PSETEX",
        summary: "Sets a string that lapses after a number of milliseconds.",
        since: "2.6.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("key", Access::Overwrite), integer("milliseconds"), text("value")],
        deprecated: Some(("2.6.12", "SET with PX")),
        run: set::psetex,
        ..Command::of(Group::String)
    },
    Command {
        name: "SET",
        summary: "Sets a string, whatever the key held before.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM),
        keys: Keys::Varying(set::set_access),
        args: &[
            key("key", Access::Varies),
            text("value"),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")]).optional().since("2.6.12"),
            token("get", "GET").optional().since("6.2.0"),
            one_of(
                "expiration",
                &[
                    integer("seconds").after("EX").since("2.6.12"),
                    integer("milliseconds").after("PX").since("2.6.12"),
                    unix_time("unix-time-seconds").after("EXAT").since("6.2.0"),
                    unix_time("unix-time-milliseconds").after("PXAT").since("6.2.0"),
                    token("keepttl", "KEEPTTL").since("6.0.0"),
                ],
            )
            .optional(),
        ],
        run: set::set,
        ..Command::of(Group::String)
    },
    Command {
        name: "SETEX",
        summary: "Sets a string that lapses after a number of seconds.",
        since: "2.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("key", Access::Overwrite), integer("seconds"), text("value")],
        deprecated: Some(("2.6.12", "SET with EX")),
        run: set::setex,
        ..Command::of(Group::String)
    },
    Command {
        name: "SETNX",
        summary: "Sets a string only if the key does not exist.",
        since: "1.0.0",
        complexity: "O(1)",
        flags: flags!(WRITE | DENY_OOM | FAST),
        args: &[key("key", Access::Create), text("value")],
        deprecated: Some(("2.6.12", "SET with NX")),
        run: set::setnx,
        ..Command::of(Group::String)
    },
    Command {
        name: "SETRANGE",
        summary: "Overwrites a part of a string, padding with zero bytes.",
        since: "2.2.0",
        complexity: "O(N)",
        flags: flags!(WRITE | DENY_OOM),
        args: &[key("key", Access::Modify), integer("offset"), text("value")],
        run: setrange,
        ..Command::of(Group::String)
    },
    Command {
        name: "STRLEN",
        summary: "Tells the length of a string in bytes.",
        since: "2.2.0",
        complexity: "O(1)",
        flags: flags!(READONLY | FAST),
        args: &[key("key", Access::Inspect)],
        run: strlen,
        ..Command::of(Group::String)
    },
    Command {
        name: "SUBSTR",
        summary: "Returns a part of a string, under the older name.",
        since: "1.0.0",
        complexity: "O(N)",
        flags: flags!(READONLY),
        args: &[key("key", Access::Read), integer("start"), integer("end")],
        deprecated: Some(("2.0.0", "GETRANGE")),
        run: getrange,
        ..Command::of(Group::String)
    },
];

// ---- reading ------------------------------------------------------------------

fn get(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    Ok(Outcome::optional(read(context, &key)?))
}

/// The whole value of a key that is read; of a small one a slice of its record.
fn read(context: &mut Context<'_>, key: &Key) -> Result<Option<Bytes>> {
    match context.read_record(key)? {
        Some(record) => whole(context, key, record).map(Some),
        None => Ok(None),
    }
}

/// The whole value of a record.
fn whole(context: &mut Context<'_>, key: &Key, record: Record) -> Result<Bytes> {
    match record {
        Record { kind: Type::String, body: Body::Inline(bytes), .. } => Ok(bytes),
        Record { kind: Type::String, .. } => match context.tx.read::<StringValue>(key)? {
            Some(value) => {
                context.weigh(value.len())?;
                value.bytes(context.tx)
            }
            None => Ok(Bytes::new()),
        },
        _ => Err(ClientError::WrongType.into()),
    }
}

fn mget(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let keys: Vec<Key> = args.rest().iter().map(|key| context.key(key)).collect();
    context.tx.preload(&keys)?;
    let mut values = Vec::with_capacity(keys.len());
    for key in &keys {
        values.push(match context.read_record(key)? {
            Some(record) if record.kind == Type::String => Some(whole(context, key, record)?),
            _ => None,
        });
    }
    Ok(Reply::OptionalBulks(values).into())
}

fn strlen(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let value = context.read::<StringValue>(args.key()?)?;
    Ok(Outcome::integer(value.map_or(0, |value| value.len()).cast_signed()))
}

fn getrange(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = args.key()?;
    let (start, end) = (args.integer()?, args.integer()?);
    let Some(value) = context.read::<StringValue>(key)? else { return Ok(Outcome::bulk("")) };
    let Some(range) = index_range(start, end, value.len()) else { return Ok(Outcome::bulk("")) };
    if value.is_chunked() {
        context.weigh(range.end - range.start)?;
    }
    Ok(Outcome::bulk(value.range(context.tx, range)?))
}

/// What two inclusive indexes, counted from the end where negative, cut out of `length` things.
pub(super) fn index_range(start: i64, end: i64, length: u64) -> Option<std::ops::Range<u64>> {
    if start < 0 && end < 0 && start > end {
        return None;
    }
    let length = length.cast_signed();
    let from_start = |index: i64| if index < 0 { (length + index).max(0) } else { index };
    let (start, end) = (from_start(start), from_start(end).min(length - 1));
    (start <= end).then(|| start.cast_unsigned()..end.cast_unsigned() + 1)
}

fn getdel(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let value = read(context, &key)?;
    if value.is_some() {
        context.tx.delete_record(&key)?;
        context.tx.touch(&key);
        context.tx.notify(Class::GENERIC, "del", &key);
        context.replicate_as(&[b"DEL", key.user_key()]);
    }
    Ok(Outcome::optional(value))
}

// ---- changing in place ---------------------------------------------------------------

fn append(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let bytes = args.next()?;
    let limit = context.settings.proto_max_bulk_len;
    let edited = context.tx.edit_existing::<StringValue, _>(&key, |value, tx| value.append(tx, bytes, limit))?;
    if edited.is_none() {
        overwrite(context.tx, &key, bytes, Encoding::ByContent, None)?;
        context.tx.notify(Class::NEW, "new", &key);
    }
    context.tx.notify(Class::STRING, "append", &key);
    Ok(Outcome::integer(edited.unwrap_or(bytes.len() as u64).cast_signed()))
}

fn setrange(context: &mut Context<'_>, args: &mut Args<'_>) -> Result<Outcome> {
    let key = context.key(args.key()?);
    let offset = u64::try_from(args.integer()?).map_err(|_| Error::client("ERR offset is out of range"))?;
    let bytes = args.next()?;
    let limit = context.settings.proto_max_bulk_len;
    let length = context.tx.edit::<StringValue, _>(&key, |value, tx| value.write(tx, offset, bytes, limit))?;
    if !bytes.is_empty() {
        context.tx.notify(Class::STRING, "setrange", &key);
    }
    Ok(Outcome::integer(length.cast_signed()))
}
