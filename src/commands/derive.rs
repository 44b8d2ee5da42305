//! What follows from a command's entry: arity, key specs, the older first/last/step triple,
//! ACL categories and the names of flags.
//!
//! Pure functions from the grammar to facts, run once when the table is gathered
//! (`table.rs`); tests compare them with what a real redis-server says of itself. Finding
//! keys in the arguments of a call is `keys.rs`.

use super::command::{Category, Command, Flags, Group, Keys};
use super::grammar::{Arg, Begin, Find, KeySpec, Shape};

/// The length of an argument in words: the least, and whether it is the only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Length {
    least: usize,
    fixed: bool,
}

impl Length {
    const NONE: Self = Self { least: 0, fixed: true };

    fn plus(self, other: Self) -> Self {
        Self { least: self.least + other.least, fixed: self.fixed && other.fixed }
    }
}

/// The length of one occurrence of an argument, its fixed word included.
fn length_once(arg: &Arg) -> Length {
    let body = match arg.shape {
        Shape::Token => return Length { least: 1, fixed: true },
        Shape::OneOf(choices) => {
            let lengths = || choices.iter().map(length);
            let least = lengths().map(|length| length.least).min().unwrap_or(0);
            Length { least, fixed: lengths().all(|length| length.fixed && length.least == least) }
        }
        Shape::Block(parts) => total(parts),
        _ => Length { least: 1, fixed: true },
    };
    Length { least: body.least + usize::from(arg.token.is_some()), ..body }
}

fn length(arg: &Arg) -> Length {
    let once = length_once(arg);
    Length { least: if arg.optional { 0 } else { once.least }, fixed: once.fixed && !arg.optional && !arg.multiple }
}

fn total(args: &[Arg]) -> Length {
    args.iter().map(length).fold(Length::NONE, Length::plus)
}

/// Redis' arity, the `depth` words of the name included: exact when positive, the least
/// when negative.
pub fn arity(command: &Command, depth: usize) -> i32 {
    if let Some(arity) = command.arity {
        return arity;
    }
    if !command.subcommands.is_empty() {
        return -2;
    }
    let length = total(command.args);
    let words = i32::try_from(length.least + depth).unwrap_or(i32::MAX);
    if length.fixed { words } else { -words }
}

/// Where the keys of a command stand, in the order of the grammar. `depth` is 1 for a
/// command and 2 for a subcommand.
pub fn key_specs(command: &Command, depth: usize) -> Vec<KeySpec> {
    if let Keys::Given(specs, _) = command.keys {
        return specs.to_vec();
    }
    let mut specs = Vec::new();
    let mut position = depth;
    let mut sure = true;
    for (index, arg) in command.args.iter().enumerate() {
        let (before, after) = (index.checked_sub(1).and_then(|i| command.args.get(i)), &command.args[index + 1..]);
        specs.extend(run_of_keys(arg, before, after, position, sure));
        let length = length(arg);
        sure &= length.fixed;
        if sure {
            position += length.least;
        }
    }
    specs
}

/// The run of keys that `arg` stands for, if it holds any. `position` is where it begins
/// when `sure`, else where the first argument of uncertain place begins.
fn run_of_keys(arg: &Arg, before: Option<&Arg>, after: &[Arg], position: usize, sure: bool) -> Option<KeySpec> {
    let (access, step, limit) = match arg.shape {
        Shape::Key(access) => (access, 1, 0),
        // `key value [key value …]`, or `STREAMS key [key …] id [id …]`.
        Shape::Block(parts) => match parts.first()?.shape {
            Shape::Key(access) if parts[0].multiple => (access, 1, parts.len()),
            Shape::Key(access) => (access, length_once(arg).least, 0),
            _ => return None,
        },
        _ => return None,
    };
    let many = arg.multiple || limit > 0;
    let (begin, find) = match (arg.token, before) {
        (Some(word), _) => (Begin::Keyword(word, isize::try_from(position).ok()?), range(many, step, limit, after)),
        (None, Some(count)) if many && is_count(count) => {
            (Begin::Index(position - 1), Find::Counted { number: 0, first: 1, step })
        }
        (None, _) if sure => (Begin::Index(position), range(many, step, limit, after)),
        (None, _) => (Begin::Unknown, Find::Unknown),
    };
    Some(KeySpec { begin, find, access, incomplete: false })
}

/// Whether this argument says how many keys follow.
fn is_count(arg: &Arg) -> bool {
    matches!(arg.shape, Shape::Integer) && arg.name.starts_with("num")
}

fn range(many: bool, step: usize, limit: usize, after: &[Arg]) -> Find {
    let behind = isize::try_from(total(after).least).unwrap_or(0);
    Find::Range { last: if many { -1 - behind } else { 0 }, step, limit }
}

/// The first key, the last and the step between them, as COMMAND INFO gives them since long
/// before key specs; zeros without keys. A negative last counts from the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyRange {
    pub first: usize,
    pub last: isize,
    pub step: usize,
}

/// The triple that covers the specs best, and whether it leaves keys out (`movablekeys`).
pub fn key_range(specs: &[KeySpec]) -> (KeyRange, bool) {
    let mut covered: Option<KeyRange> = None;
    let mut movable = false;
    for spec in specs {
        movable |= spec.incomplete;
        let Some(run) = plain_run(spec) else {
            movable = true;
            continue;
        };
        // A run joins the range when it is plain and goes on where the range ended.
        match covered {
            _ if specs.len() == 1 => covered = Some(run),
            _ if run.step != 1 => movable = true,
            None => covered = Some(run),
            Some(range) if range.last >= 0 && range.last + 1 == run.first.cast_signed() => {
                covered = Some(KeyRange { last: run.last, ..range });
            }
            Some(_) => movable = true,
        }
    }
    (covered.unwrap_or_default(), movable)
}

/// A spec as an absolute range, when positions alone describe it.
fn plain_run(spec: &KeySpec) -> Option<KeyRange> {
    let (Begin::Index(first), Find::Range { last, step, .. }) = (spec.begin, spec.find) else {
        return None;
    };
    let last = if last < 0 { last } else { last + first.cast_signed() };
    Some(KeyRange { first, last, step })
}

/// All ACL categories of a command: those of its flags, and its group's or those given.
pub fn categories(command: &Command) -> Category {
    let by_group = command.categories.unwrap_or_else(|| match command.subcommands {
        [] => category_of_group(command.group),
        _ => Category::empty(),
    });
    by_group | categories_of_flags(command)
}

fn category_of_group(group: Group) -> Category {
    match group {
        Group::Bitmap => Category::BITMAP,
        Group::Connection => Category::CONNECTION,
        Group::Generic => Category::KEYSPACE,
        Group::Geo => Category::GEO,
        Group::Hash => Category::HASH,
        Group::HyperLogLog => Category::HYPERLOGLOG,
        Group::List => Category::LIST,
        Group::PubSub => Category::PUBSUB,
        Group::Scripting => Category::SCRIPTING,
        Group::Set => Category::SET,
        Group::SortedSet => Category::SORTEDSET,
        Group::Stream => Category::STREAM,
        Group::String => Category::STRING,
        Group::Transactions => Category::TRANSACTION,
        Group::Cluster | Group::Server => Category::empty(),
    }
}

fn categories_of_flags(command: &Command) -> Category {
    let flags = command.flags;
    let mut categories = if flags.contains(Flags::FAST) { Category::FAST } else { Category::SLOW };
    categories.set(Category::WRITE, flags.contains(Flags::WRITE));
    // What a script reads is its own commands' affair.
    categories.set(Category::READ, flags.contains(Flags::READONLY) && command.group != Group::Scripting);
    categories.set(Category::ADMIN | Category::DANGEROUS, flags.contains(Flags::ADMIN));
    categories.set(Category::PUBSUB, flags.contains(Flags::PUBSUB));
    categories.set(Category::BLOCKING, flags.contains(Flags::BLOCKING));
    categories
}

/// The flags that clients are told, in Redis' order; `movablekeys` comes last, from the keys.
const PUBLIC_FLAGS: [(Flags, &str); 18] = [
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENY_OOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::BLOCKING, "blocking"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::SKIP_MONITOR, "skip_monitor"),
    (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    (Flags::ASKING, "asking"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
    (Flags::NO_ASYNC_LOADING, "no_async_loading"),
    (Flags::NO_MULTI, "no_multi"),
    (Flags::ALLOW_BUSY, "allow_busy"),
];

/// The names of the flags that clients are told.
pub fn flag_names(flags: Flags) -> impl Iterator<Item = &'static str> {
    PUBLIC_FLAGS.iter().filter(move |(flag, _)| flags.contains(*flag)).map(|(_, name)| *name)
}

/// The group's name in COMMAND DOCS.
pub fn group_name(group: Group) -> &'static str {
    match group {
        Group::Bitmap => "bitmap",
        Group::Cluster => "cluster",
        Group::Connection => "connection",
        Group::Generic => "generic",
        Group::Geo => "geo",
        Group::Hash => "hash",
        Group::HyperLogLog => "hyperloglog",
        Group::List => "list",
        Group::PubSub => "pubsub",
        Group::Scripting => "scripting",
        Group::Server => "server",
        Group::Set => "set",
        Group::SortedSet => "sorted-set",
        Group::Stream => "stream",
        Group::String => "string",
        Group::Transactions => "transactions",
    }
}
